package s3

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/rclone/gofakes3"
	"github.com/vpclab/vpclab/ctrl/service/s3/store"
)

// algorithms are the checksums that S3 knows, by the end of the header's name (S3 user guide, checking object integrity).
var algorithms = map[string]func() hash.Hash{
	"Crc32":     func() hash.Hash { return crc32.NewIEEE() },
	"Crc32c":    func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	"Crc64nvme": func() hash.Hash { return crc64.New(crc64.MakeTable(0x9a6c9329ac4bc9b5)) },
	"Sha1":      sha1.New,
	"Sha256":    sha256.New,
}

// checksum compares a body, while it is read, with what its sender says it adds up to: in a header, or in a trailer after it.
type checksum struct {
	name string // of the header, canonical; empty: the sender says nothing
	hash hash.Hash
	want func() string // the value, in base64; known at the end of the body
}

// value is the header and the value of what was read so far.
func (c *checksum) value() (name, value string) {
	if c.name == "" {
		return "", ""
	}
	return c.name, base64.StdEncoding.EncodeToString(c.hash.Sum(nil))
}

// verify compares at the end of the body. A trailer that did not reach us was verified by whoever took it off.
func (c *checksum) verify() error {
	name, got := c.value()
	if name == "" {
		return nil
	}
	if want := c.want(); want != "" && want != got {
		return gofakes3.ErrorMessagef(gofakes3.ErrBadDigest, "The %s you specified did not match the calculated checksum.",
			strings.ToUpper(strings.TrimPrefix(name, store.ChecksumHeader)))
	}
	return nil
}

// largestPart is how many bytes are put at once (S3 user guide, multipart upload limits).
const largestPart = 5 << 30

// checkBody refuses a body of a size that cannot be right, and has it checked while it is read. The engine then need not.
func (q *request) checkBody() error {
	if q.length < 0 && (q.op.name == "PutObject" || q.op.name == "UploadPart") {
		return &failure{Status: http.StatusLengthRequired, Code: "MissingContentLength", Message: "You must provide the Content-Length HTTP header."}
	}
	if q.length > largestPart && (q.op.name == "PutObject" || q.op.name == "UploadPart") {
		return &failure{Status: http.StatusBadRequest, Code: "EntityTooLarge", Message: "Your proposed upload exceeds the maximum allowed size"}
	}
	// What a completion's header sums up is the object and not the body.
	if q.op.name == "CompleteMultipartUpload" {
		return nil
	}
	names, err := q.checksumHeaders()
	if err != nil {
		return err
	}
	if len(names) == 1 {
		q.checksum.start(names[0], q.header, q.trailer)
	}
	if q.length == 0 { // nobody will read it
		return q.checksum.verify()
	}
	q.body = &checkedBody{ReadCloser: q.body, sum: q.checksum, left: q.length}
	return nil
}

// checksumHeaders are the names of the headers and trailers with a checksum: at most one.
func (q *request) checksumHeaders() ([]string, error) {
	var names []string
	for _, name := range q.announced() {
		kind, ok := strings.CutPrefix(name, store.ChecksumHeader)
		switch {
		case !ok || kind == "Type" || kind == "Mode" || kind == "Algorithm":
		case algorithms[kind] == nil:
			return nil, &failure{Status: http.StatusBadRequest, Code: "InvalidRequest", Message: "The " + strings.ToLower(name) + " header is not supported."}
		case !slices.Contains(names, name):
			names = append(names, name)
		}
	}
	if len(names) > 1 {
		return nil, &failure{Status: http.StatusBadRequest, Code: "InvalidRequest",
			Message: "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."}
	}
	return names, nil
}

func (q *request) announced() []string {
	var names []string
	for name := range q.header {
		names = append(names, name)
	}
	for _, list := range q.header.Values("X-Amz-Trailer") {
		for name := range strings.SplitSeq(list, ",") {
			names = append(names, textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)))
		}
	}
	return names
}

// start begins to sum up.
func (c *checksum) start(name string, header http.Header, trailer func() http.Header) {
	c.name, c.hash = name, algorithms[strings.TrimPrefix(name, store.ChecksumHeader)]()
	value := header.Get(name)
	c.want = func() string { return value }
	if value == "" {
		c.want = func() string { return trailer().Get(name) }
	}
}

// checkedBody is a body that ends with an error if it is short or does not add up.
type checkedBody struct {
	io.ReadCloser
	sum  *checksum
	left int64 // negative: not known
	done bool
}

func (b *checkedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.sum.hash != nil {
		b.sum.hash.Write(p[:n])
	}
	known := b.left >= 0
	b.left -= int64(n)
	if known && b.left == 0 && err == nil {
		err = b.reachEnd() // readers that know the length stop here, and would miss what comes after
	}
	if err != io.EOF || b.done {
		return n, err
	}
	b.done = true
	if known && b.left > 0 {
		return n, gofakes3.ErrIncompleteBody
	}
	if bad := b.sum.verify(); bad != nil {
		return n, bad
	}
	return n, io.EOF
}

// reachEnd reads the end of a body whose data was read, and with it the trailers.
func (b *checkedBody) reachEnd() error {
	n, err := io.ReadFull(b.ReadCloser, make([]byte, 1))
	if n > 0 {
		return gofakes3.ErrorMessage(gofakes3.ErrBadRequest, "The body is longer than its Content-Length.")
	}
	return err
}
