package iam

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/vpclab/vpclab/ctrl/service"
)

// emptyHash is that of nothing, which each chunk's string to sign has.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// maxLine is the longest line between chunks, in bytes.
const maxLine = 4096

// chain is the signatures of one request's parts: each covers the one before, the first that of the request itself.
type chain struct {
	*signing
	last string
}

// follows reports whether given is the signature of the next part.
func (c *chain) follows(given, kind string, lines ...string) bool {
	want := hex.EncodeToString(c.sum(kind, append([]string{c.last}, lines...)...))
	c.last = want
	return hmac.Equal([]byte(want), []byte(given))
}

// trailer is the header that follows the last chunk: a checksum of the whole.
type trailer struct {
	name string // lower case
	sum  hash.Hash
}

// chunks is the plain content of a body in the encoding aws-chunked (S3 API, signature calculations for the authorization header:
// transferring payload in multiple chunks):
//
//	size[;chunk-signature=…] CRLF content CRLF … 0[;chunk-signature=…] CRLF [name:value CRLF] [x-amz-trailer-signature:… CRLF] CRLF
type chunks struct {
	closer  io.Closer
	body    *bufio.Reader
	signed  *chain      // nil: chunks are not signed
	trailer *trailer    // nil: none was announced
	into    http.Header // gets the trailer
	missing int64       // of the whole
	left    int64       // of the chunk
	given   string      // the chunk's signature
	sum     hash.Hash   // of the chunk
	err     error
}

func newChunks(body io.ReadCloser, length int64, signed *chain, t *trailer, into http.Header) *chunks {
	return &chunks{closer: body, body: bufio.NewReaderSize(body, maxLine), signed: signed, trailer: t, into: into, missing: length, sum: sha256.New()}
}

func (c *chunks) Close() error { return c.closer.Close() }

// open checks a body without content at once: nobody may read it.
func (c *chunks) open() *service.Denied {
	if c.missing > 0 {
		return nil
	}
	c.err = c.begin()
	denied, _ := errors.AsType[*service.Denied](c.err)
	return denied
}

// Read hands content on before its chunk's signature is known, but for the last bytes, which come once all is proven. What is wrong is a
// *service.Denied.
func (c *chunks) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if c.err == nil && c.left == 0 {
		c.err = c.begin()
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.body.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	c.sum.Write(p[:n])
	if c.trailer != nil {
		c.trailer.sum.Write(p[:n])
	}
	switch {
	case err != nil:
		c.err = cut(err)
	case c.left == 0:
		c.err = c.end()
	}
	if c.err != nil && c.err != io.EOF {
		return 0, c.err
	}
	return n, c.err
}

// begin reads a chunk's first line; after that of the empty one, the rest. io.EOF: that was all.
func (c *chunks) begin() error {
	line, err := c.line()
	if err != nil {
		return err
	}
	text, extension, _ := strings.Cut(line, ";")
	size, bad := strconv.ParseUint(text, 16, 63)
	switch {
	case bad != nil:
		return broken("a chunk's size is " + strconv.Quote(text))
	case int64(size) > c.missing:
		return broken("the chunks have more than " + decodedLength + " says")
	}
	c.left, c.missing = int64(size), c.missing-int64(size)
	c.given = strings.TrimPrefix(extension, "chunk-signature=")
	c.sum.Reset()
	if size > 0 {
		return nil
	}
	return c.finish()
}

// end reads what follows a chunk's content, and checks it; after the last one's, the rest.
func (c *chunks) end() error {
	line, err := c.line()
	if err != nil {
		return err
	}
	if line != "" {
		return broken("a chunk is longer than its size")
	}
	if err := c.check(); err != nil || c.missing > 0 {
		return err
	}
	return c.begin()
}

func (c *chunks) check() error {
	if c.signed == nil || c.signed.follows(c.given, algorithm+"-PAYLOAD", emptyHash, hex.EncodeToString(c.sum.Sum(nil))) {
		return nil
	}
	return forged("a chunk's signature is wrong")
}

// finish checks the empty chunk and what follows it.
func (c *chunks) finish() error {
	if c.missing > 0 {
		return deny("IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header",
			strconv.FormatInt(c.missing, 10)+" bytes are missing")
	}
	if err := c.check(); err != nil {
		return err
	}
	if c.trailer != nil {
		if err := c.readTrailer(); err != nil {
			return err
		}
	}
	if line, err := c.line(); err != nil || line != "" {
		return broken("something follows the last chunk")
	}
	return io.EOF
}

func (c *chunks) readTrailer() error {
	line, err := c.line()
	if err != nil {
		return err
	}
	name, value, _ := strings.Cut(line, ":")
	name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
	if name != c.trailer.name {
		return deny("MalformedTrailerError", "The request contained trailing data that was not well-formed or did not conform to our published schema.",
			"the trailer "+c.trailer.name+" was announced, and does not follow")
	}
	if err := c.checkTrailer(name + ":" + value + "\n"); err != nil {
		return err
	}
	if value != base64.StdEncoding.EncodeToString(c.trailer.sum.Sum(nil)) {
		algorithm := strings.ToUpper(strings.TrimPrefix(name, checksumPrefix))
		return deny("BadDigest", "The "+algorithm+" you specified did not match the calculated checksum.", "the body was changed on its way")
	}
	c.into.Set(name, value)
	return nil
}

// checkTrailer reads the trailer's signature and checks it.
func (c *chunks) checkTrailer(text string) error {
	if c.signed == nil {
		return nil
	}
	line, err := c.line()
	if err != nil {
		return err
	}
	given, ok := strings.CutPrefix(line, "x-amz-trailer-signature:")
	if !ok || !c.signed.follows(strings.TrimSpace(given), algorithm+"-TRAILER", hashText(text)) {
		return forged("the trailer's signature is wrong")
	}
	return nil
}

// line reads up to CRLF.
func (c *chunks) line() (string, error) {
	line, err := c.body.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", broken("a line between chunks is longer than " + strconv.Itoa(maxLine) + " bytes")
	}
	if err != nil {
		return "", cut(err)
	}
	return string(bytes.TrimSuffix(line[:len(line)-1], []byte("\r"))), nil
}

// cut is a body that ended too early, or could not be read further.
func cut(err error) error {
	if err == io.EOF {
		return deny("IncompleteBody", "The request body terminated unexpectedly", "the body ends within a chunk")
	}
	return err
}

func broken(why string) *service.Denied {
	return deny("InvalidRequest", "The body of your request is not in the encoding aws-chunked.", why)
}
