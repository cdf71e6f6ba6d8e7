package s3

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
)

// forward has the engine do what is authorised. The library gets what it is not good at in a way in which it is: it compares entity tags
// without the number of parts, checksums are compared already, and of ranges it knows only where there is data.
func (s *Server) forward(w *reply, q *request) error {
	r := q.canonical()
	if q.op.name == "HeadObject" && q.header.Get("Range") != "" && !s.elsewhere {
		r.Method = http.MethodGet
	}
	for _, name := range []string{"If-Match", "If-None-Match", "X-Amz-Copy-Source-If-Match", "X-Amz-Copy-Source-If-None-Match"} {
		set(r.Header, name, s.etags(r.Header.Get(name)))
	}
	if !s.elsewhere {
		r.Header.Del(q.checksum.name)
	}
	s.engine.ServeHTTP(w, r)
	return nil
}

// getObjectAttributes tells the entity tag with the number of parts, which the library leaves out.
func (s *Server) getObjectAttributes(w *reply, q *request) error {
	return s.edit(w, q, func(text []byte) []byte {
		if q.note.Parts == 0 {
			return text
		}
		return bytes.Replace(text, []byte("</ETag>"), fmt.Appendf(nil, "-%d</ETag>", q.note.Parts), 1)
	})
}

// listObjects tells numbers that are 0, too, which the library leaves out and clients look at: KeyCount of an empty bucket.
func (s *Server) listObjects(w *reply, q *request) error {
	w.Header().Set("X-Amz-Bucket-Region", q.home.Region)
	return s.edit(w, q, func(text []byte) []byte {
		if q.query.Get("list-type") == "2" {
			text = withElement(text, "ListBucketResult", "KeyCount", "0")
		}
		return withElement(text, "ListBucketResult", "MaxKeys", "0")
	})
}

// edit has the library answer with a document, and corrects what that does not say.
func (s *Server) edit(w *reply, q *request, by func(text []byte) []byte) error {
	if s.elsewhere {
		return s.forward(w, q)
	}
	answer := &recorder{header: w.Header(), status: http.StatusOK}
	s.engine.ServeHTTP(answer, q.canonical())
	text := answer.body.Bytes()
	if answer.status < 300 {
		text = by(text)
	}
	w.WriteHeader(answer.status)
	_, err := w.Write(text)
	return err
}

// withElement is a document with an element at its end, if it has none of the name. Text in it is escaped, and looks like no element.
func withElement(document []byte, root, name, value string) []byte {
	if bytes.Contains(document, []byte("<"+name+">")) {
		return document
	}
	return bytes.Replace(document, []byte("</"+root+">"), fmt.Appendf(nil, "<%[1]s>%[2]s</%[1]s></%[3]s>", name, value, root), 1)
}

// etags are the entity tags of a condition as the engine has them.
func (s *Server) etags(list string) string {
	if s.elsewhere {
		return list
	}
	return withoutParts(list)
}

// partsOfETag is the number of parts at the end of an entity tag.
var partsOfETag = regexp.MustCompile(`-[0-9]+("?\s*(?:,|$))`)

func withoutParts(tags string) string { return partsOfETag.ReplaceAllString(tags, "$1") }

// ask has the engine do something that answers without data, and is its error.
func (s *Server) ask(ctx context.Context, method string, a address, header http.Header) error {
	r := engineRequest(ctx, method, a, nil)
	r.Header = header
	return s.do(r)
}

func (s *Server) do(r *http.Request) error {
	answer := &recorder{header: http.Header{}, status: http.StatusOK}
	s.engine.ServeHTTP(answer, r)
	if answer.status < 300 {
		return nil
	}
	f := &failure{}
	if err := xml.Unmarshal(answer.body.Bytes(), f); err != nil {
		return fmt.Errorf("%s %s: the engine answers %d without an error of S3's", r.Method, r.URL.Path, answer.status)
	}
	f.Status = answer.status
	return f
}

// Keep puts an object of the lab's own into a bucket, whatever the bucket's policy says. It does nothing if there is no such bucket.
func (s *Server) Keep(ctx context.Context, bucket, key string, body []byte) error {
	if _, ok := s.store.Bucket(bucket); !ok {
		return nil
	}
	r := engineRequest(ctx, http.MethodPut, address{bucket, key}, nil)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body))) // the library looks there
	return s.do(r)
}

// recorder keeps an answer of the engine, which is short where nobody asked for data.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }
