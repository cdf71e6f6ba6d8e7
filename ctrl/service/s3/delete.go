package s3

import (
	"encoding/xml"
	"net/http"
	"strconv"
)

type deleteRequest struct {
	Quiet  bool
	Object []struct {
		Key              string
		VersionID        string `xml:"VersionId"`
		ETag             string
		LastModifiedTime string
		Size             *int64
	}
}

type deleteResult struct {
	XMLName xml.Name `xml:"DeleteResult"`
	Xmlns   string   `xml:"xmlns,attr"`
	Deleted []deletedKey
	Error   []deleteError
}

type deletedKey struct{ Key string }

type deleteError struct{ Key, Code, Message string }

const (
	mostDeletes   = 1000 // in one request (S3 API, DeleteObjects)
	largestDelete = 2 << 20
)

// deleteObjects deletes each object that it names as if it had been asked for alone: some may be allowed and others not.
func (s *Server) deleteObjects(w *reply, q *request) error {
	text, err := q.document(largestDelete)
	if err != nil {
		return err
	}
	var want deleteRequest
	if err := xml.Unmarshal(text, &want); err != nil || len(want.Object) == 0 || len(want.Object) > mostDeletes {
		return &failure{Status: http.StatusBadRequest, Code: "MalformedXML",
			Message: "The XML you provided was not well-formed or did not validate against our published schema"}
	}
	result := deleteResult{Xmlns: namespace}
	for _, o := range want.Object {
		conditions := http.Header{}
		set(conditions, "If-Match", s.etags(o.ETag))
		set(conditions, "X-Amz-If-Match-Last-Modified-Time", o.LastModifiedTime)
		if o.Size != nil {
			set(conditions, "X-Amz-If-Match-Size", strconv.FormatInt(*o.Size, 10))
		}
		err := s.deleteOne(q, o.Key, o.VersionID, conditions)
		switch {
		case err != nil:
			f := failureOf(err)
			result.Error = append(result.Error, deleteError{o.Key, f.Code, f.Message})
		case !want.Quiet:
			result.Deleted = append(result.Deleted, deletedKey{o.Key})
		}
	}
	return w.xml(http.StatusOK, result)
}

func (s *Server) deleteOne(q *request, key, version string, conditions http.Header) error {
	if version != "" && version != "null" {
		return notImplemented("versions")
	}
	a := address{q.bucket, key}
	if key == "" {
		return &failure{Status: http.StatusBadRequest, Code: "InvalidArgument", Message: "An object has no key"}
	}
	if err := s.config.Gate.Authorize(q.ctx, s.access(q, "s3:DeleteObject", q.home, a, q.keys())); err != nil {
		return err
	}
	return s.ask(q.ctx, http.MethodDelete, a, conditions)
}

func set(h http.Header, name, value string) {
	if value != "" {
		h.Set(name, value)
	}
}
