package iam

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/vpclab/vpclab/ctrl/service"
)

// What x-amz-content-sha256 says beside a hash (S3 API, authenticating requests).
const (
	unsignedPayload  = "UNSIGNED-PAYLOAD"
	unsignedTrailer  = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	signedChunks     = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	signedTrailer    = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	decodedLength    = "X-Amz-Decoded-Content-Length"
	announcedTrailer = "X-Amz-Trailer"
)

var hexHash = regexp.MustCompile(`^[0-9a-f]{64}$`)

// openPayload replaces the body of a request to S3 by its plain content, which is checked while it is read: a read error that is a
// *service.Denied is for the client. payload is what a signature covers; without one, the request's own word counts.
func openPayload(r *http.Request, name, payload string, signed *chain) *service.Denied {
	if name != "s3" {
		return nil
	}
	if signed == nil {
		payload = r.Header.Get("X-Amz-Content-Sha256")
	}
	switch {
	case payload == unsignedPayload, payload == "" && signed == nil:
		return nil
	case hexHash.MatchString(payload):
		return openHashed(r, payload)
	case payload == unsignedTrailer:
		return openChunks(r, nil)
	case signed != nil && (payload == signedChunks || payload == signedTrailer):
		return openChunks(r, signed)
	}
	return deny("InvalidArgument", "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, "+unsignedTrailer+", "+signedChunks+", "+signedTrailer+
		" or a valid sha256 value.", "x-amz-content-sha256 is "+strconv.Quote(payload))
}

// openHashed checks the body against a hash. An empty one is checked at once: nobody may read it.
func openHashed(r *http.Request, want string) *service.Denied {
	if r.ContentLength == 0 && want != emptyHash {
		return mismatch()
	}
	r.Body = &hashed{body: r.Body, sum: sha256.New(), want: want, left: r.ContentLength}
	return nil
}

func mismatch() *service.Denied {
	return deny("XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.",
		"the body is not the one that was signed")
}

// hashed is a body whose hash was declared.
type hashed struct {
	body io.ReadCloser
	sum  hash.Hash
	want string
	left int64 // negative: not known
}

// Read gives a *service.Denied in place of the last bytes if the body is another one.
func (h *hashed) Read(p []byte) (int, error) {
	n, err := h.body.Read(p)
	h.sum.Write(p[:n])
	h.left -= int64(n)
	if (err == io.EOF || h.left == 0) && hex.EncodeToString(h.sum.Sum(nil)) != h.want {
		return 0, mismatch()
	}
	return n, err
}

func (h *hashed) Close() error { return h.body.Close() }

// openChunks makes the body of an aws-chunked request a plain one of the declared length.
func openChunks(r *http.Request, signed *chain) *service.Denied {
	length, err := strconv.ParseInt(r.Header.Get(decodedLength), 10, 64)
	if err != nil || length < 0 {
		return deny("MissingContentLength", "You must provide the Content-Length HTTP header.", "a body in chunks says its length in "+decodedLength)
	}
	trailers, refused := announced(r.Header)
	if refused != nil {
		return refused
	}
	r.Trailer = http.Header{}
	content := newChunks(r.Body, length, signed, trailers, r.Trailer)
	r.Body, r.ContentLength = content, length
	withoutChunked(r.Header)
	return content.open()
}

// announced is the one trailer that a request says it has, or none.
func announced(h http.Header) (*trailer, *service.Denied) {
	name := strings.ToLower(strings.TrimSpace(h.Get(announcedTrailer)))
	if name == "" {
		return nil, nil
	}
	sum, ok := newChecksum(name)
	if !ok {
		return nil, deny("InvalidRequest", "The value specified in the x-amz-trailer header is not supported", "trailer "+strconv.Quote(name))
	}
	return &trailer{name: name, sum: sum}, nil
}

// withoutChunked removes the encoding that has been undone.
func withoutChunked(h http.Header) {
	var rest []string
	for _, coding := range strings.Split(h.Get("Content-Encoding"), ",") {
		if coding = strings.TrimSpace(coding); coding != "" && coding != "aws-chunked" {
			rest = append(rest, coding)
		}
	}
	h.Del("Content-Encoding")
	if len(rest) > 0 {
		h.Set("Content-Encoding", strings.Join(rest, ","))
	}
}
