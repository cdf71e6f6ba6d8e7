package s3

import (
	"context"
	"encoding/base64"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/service/s3/store"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// request is an HTTP request, understood.
type request struct {
	op     operation
	method string
	caller service.Caller
	region string // where it arrived
	address
	source   address // of a copy
	query    url.Values
	header   http.Header
	body     io.ReadCloser
	length   int64              // of the body; -1: not known
	trailer  func() http.Header // complete when the body has been read
	ctx      context.Context
	note     *store.Note
	checksum *checksum

	home, sourceHome place
}

// place is a bucket as it was when the request came.
type place struct {
	store.Bucket
	exists bool
}

const longestKey = 1024 // bytes (S3 user guide, object keys)

// read understands a request, or refuses it.
func (s *Server) read(r *http.Request) (*request, error) {
	caller := service.From(r.Context())
	q := &request{method: r.Method, caller: caller, region: caller.Region, address: addressOf(r.Host, r.URL), header: r.Header.Clone(),
		body: r.Body, length: r.ContentLength, trailer: func() http.Header { return r.Trailer }, note: &store.Note{}, checksum: &checksum{}}
	q.ctx = store.WithNote(r.Context(), q.note)
	if q.region == "" {
		q.region = vpc.DefaultRegion
	}
	if !utf8.ValidString(q.key) {
		return nil, &failure{Status: http.StatusBadRequest, Code: "InvalidURI", Message: "Couldn't parse the specified URI."}
	}
	if len(q.key) > longestKey {
		return nil, &failure{Status: http.StatusBadRequest, Code: "KeyTooLongError", Message: "Your key is too long"}
	}
	q.readQuery(r.URL.Query())
	if err := q.understand(); err != nil {
		return nil, err
	}
	if s.elsewhere && (ambiguous(q.key) || ambiguous(q.source.key)) {
		return nil, &failure{Status: http.StatusBadRequest, Code: "InvalidURI", Message: "The lab's S3 backend could take the key for another one."}
	}
	return q, nil
}

// readQuery keeps what the operation is about and moves headers of a presigned URL back to where they came from.
func (q *request) readQuery(all url.Values) {
	q.query = url.Values{}
	for name, values := range all {
		switch operation, header := meaning(name); {
		case operation:
			q.query[name] = values
		case header && q.header.Get(name) == "":
			q.header.Set(name, values[0])
		}
	}
}

// checkQuery refuses parameters of which the library would say something else than S3, or nothing.
func (q *request) checkQuery() error {
	if !q.within("max-keys", 0, math.MaxInt32) {
		return invalid("Argument max-keys must be an integer between 0 and 2147483647")
	}
	if !q.within("max-parts", 0, math.MaxInt32) || !q.within("part-number-marker", 0, math.MaxInt32) {
		return invalid("Arguments max-parts and part-number-marker must be integers between 0 and 2147483647")
	}
	if q.op.sub == "uploadId" && !q.within("partNumber", 1, mostParts) {
		return invalid("Part number must be an integer between 1 and 10000, inclusive")
	}
	if _, err := base64.URLEncoding.DecodeString(q.query.Get("continuation-token")); err != nil {
		return invalid("The continuation token provided is incorrect")
	}
	return nil
}

// mostParts is how many parts an upload has at most (S3 user guide, multipart upload limits).
const mostParts = 10000

// within says that a parameter, if it is there, is a number between two others.
func (q *request) within(name string, least, most int64) bool {
	if !q.query.Has(name) {
		return true
	}
	n, err := strconv.ParseInt(q.query.Get(name), 10, 64)
	return err == nil && least <= n && n <= most
}

func invalid(message string) *failure {
	return &failure{Status: http.StatusBadRequest, Code: "InvalidArgument", Message: message}
}

// ambiguous keys are those that some servers clean as paths: what was authorised would not be what is done.
func ambiguous(key string) bool {
	return strings.HasPrefix(key, "/") || strings.Contains("/"+key+"/", "/./") || strings.Contains("/"+key+"/", "/../") || strings.Contains(key, "//")
}

// understand finds the operation.
func (q *request) understand() (err error) {
	l := account
	switch {
	case q.key != "" && q.bucket != "":
		l = onObject
	case q.bucket != "":
		l = onBucket
	}
	from := q.header.Get("X-Amz-Copy-Source")
	if q.query.Has("AWSAccessKeyId") && q.query.Has("Signature") {
		return &failure{Status: http.StatusBadRequest, Code: "InvalidRequest",
			Message: "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."}
	}
	var ok bool
	q.op, ok = findOperation(q.method, l, from != "", slices.Collect(maps.Keys(q.query)))
	if !ok {
		return notImplemented(q.describe())
	}
	if q.op.copies {
		q.source, err = copySource(from)
	}
	return err
}

// describe is what the request looks like, for whoever learns that the lab cannot do it.
func (q *request) describe() string {
	names := slices.Sorted(maps.Keys(q.query))
	return q.method + " " + q.path() + "?" + strings.Join(names, "&")
}

// canonical is the request for the engine: path style, without the signature, and with nothing in its address that the operation does not
// have.
func (q *request) canonical() *http.Request {
	r := engineRequest(q.ctx, q.method, q.address, q.query)
	r.Header = q.header
	r.Body, r.ContentLength = q.body, q.length
	for _, name := range []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256",
		"X-Amz-Decoded-Content-Length", "X-Amz-Trailer", "Content-Length"} {
		r.Header.Del(name)
	}
	if q.length >= 0 {
		r.Header.Set("Content-Length", strconv.FormatInt(q.length, 10))
	}
	if q.op.copies {
		r.Header.Set("X-Amz-Copy-Source", q.source.bucket+"/"+url.QueryEscape(q.source.key))
	}
	return r
}

// engineRequest is a request without a body.
func engineRequest(ctx context.Context, method string, a address, query url.Values) *http.Request {
	u := &url.URL{Path: a.path(), RawPath: escapePath(a.path()), RawQuery: query.Encode()}
	r := &http.Request{Method: method, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: http.NoBody}
	return r.WithContext(ctx)
}

// escapePath encodes a path as S3's signatures want it: all but unreserved characters and slashes.
func escapePath(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~/", c) >= 0:
			b.WriteByte(c)
		default:
			const hex = "0123456789ABCDEF"
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}
