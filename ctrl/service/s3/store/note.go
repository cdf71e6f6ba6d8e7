package store

import (
	"context"
	"errors"

	"github.com/rclone/gofakes3"
)

// Note goes with a request, past the protocol library, and tells what the library has no word for.
type Note struct {
	// Checksum gives the header and the value of the body's checksum once the body has been read; nil or an empty name: there is none.
	Checksum func() (name, value string)
	// Parts is how many parts the object that was looked at has; 0: it was put in one piece.
	Parts int
	// Status is the HTTP status of an error that the library does not know; 0: it knows.
	Status int
}

// ChecksumHeader begins the names of the headers with an object's checksum.
const ChecksumHeader = "X-Amz-Checksum-"

type noteKey struct{}

// WithNote gives a request's context a note.
func WithNote(ctx context.Context, n *Note) context.Context {
	return context.WithValue(ctx, noteKey{}, n)
}

// noteOf is the context's note, or one that nobody reads.
func noteOf(ctx context.Context) *Note {
	if n, ok := ctx.Value(noteKey{}).(*Note); ok {
		return n
	}
	return &Note{}
}

func (n *Note) checksum() (name, value string) {
	if n.Checksum == nil {
		return "", ""
	}
	return n.Checksum()
}

// fault is an error as the protocol library tells it: one of S3's if there is one in it, or InternalError with its text.
func fault(err error) error {
	var known gofakes3.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	}
	return gofakes3.ErrorMessage(gofakes3.ErrInternal, err.Error())
}

func noSuchBucket() error {
	return gofakes3.ErrorMessage(gofakes3.ErrNoSuchBucket, "The specified bucket does not exist")
}

func incomplete() error {
	return gofakes3.ErrorMessage(gofakes3.ErrIncompleteBody, "You did not provide the number of bytes specified by the Content-Length HTTP header")
}

func quoted(etag string) string { return `"` + etag + `"` }
