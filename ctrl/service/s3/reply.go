package s3

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/rclone/gofakes3"
	"github.com/vpclab/vpclab/ctrl/service/s3/store"
)

// reply is an answer on its way. It corrects what the protocol library says about things that it does not know, and lets data through as
// it comes, by sendfile where there can be one.
type reply struct {
	http.ResponseWriter
	id      string
	request *request // nil: refused before anything was done
	status  int      // 0: not written yet
}

func (s *Server) newReply(w http.ResponseWriter) *reply {
	// The library counts its own from 1.
	r := &reply{ResponseWriter: w, id: fmt.Sprintf("8%015X", s.requests.Add(1))}
	w.Header().Set("X-Amz-Request-Id", r.id)
	w.Header().Set("X-Amz-Id-2", r.hostID())
	w.Header().Set("Server", "AmazonS3")
	return r
}

func (r *reply) hostID() string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(r.id, 3)))
}

// WriteHeader sends the headers, corrected.
func (r *reply) WriteHeader(status int) {
	if r.status != 0 {
		return
	}
	if r.request != nil {
		status = r.correct(status)
	}
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *reply) correct(status int) int {
	q, h := r.request, r.Header()
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") { // a bucket without CORS configuration has none
			h.Del(name)
		}
	}
	if h.Get("X-Amz-Delete-Marker") == "false" {
		h.Del("X-Amz-Delete-Marker")
	}
	if etag := h.Get("Etag"); q.note.Parts > 0 && q.op.reads() {
		h.Set("Etag", fmt.Sprintf(`%s-%d"`, strings.TrimSuffix(etag, `"`), q.note.Parts))
	}
	if q.op.reads() && status < 300 && h.Get("Content-Type") == "" {
		h.Set("Content-Type", "binary/octet-stream") // of an object whose type nobody said
	}
	if name, value := q.checksum.value(); name != "" && status < 300 && (q.op.name == "PutObject" || q.op.name == "UploadPart") {
		h.Set(name, value)
	}
	if q.note.Status != 0 && status >= 400 {
		return q.note.Status
	}
	return status
}

// reads says whether the answer's entity tag is that of an object which was there before.
func (op operation) reads() bool { return op.name == "GetObject" || op.name == "HeadObject" }

func (r *reply) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	if r.bodiless() {
		return len(p), nil
	}
	return r.ResponseWriter.Write(p)
}

// ReadFrom hands a file on to the writer below, which knows how to send it.
func (r *reply) ReadFrom(from io.Reader) (int64, error) {
	r.WriteHeader(http.StatusOK)
	if r.bodiless() {
		return 0, nil
	}
	return io.Copy(r.ResponseWriter, from)
}

// bodiless: an answer to HEAD has no body, even if the engine was asked for one.
func (r *reply) bodiless() bool { return r.request != nil && r.request.method == http.MethodHead }

// Unwrap is for http.ResponseController.
func (r *reply) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// end sends the headers of an answer without a body.
func (r *reply) end() { r.WriteHeader(http.StatusOK) }

// xml writes a document.
func (r *reply) xml(status int, document any) error {
	text, err := xml.Marshal(document)
	if err != nil {
		return err
	}
	r.Header().Set("Content-Type", "application/xml")
	r.WriteHeader(status)
	_, err = r.Write(append([]byte(xml.Header), text...))
	return err
}

// failure is an error as S3 tells it (S3 API, error responses).
type failure struct {
	XMLName    xml.Name `xml:"Error"`
	Status     int      `xml:"-"`
	Code       string
	Message    string
	BucketName string `xml:",omitempty"`
	Endpoint   string `xml:",omitempty"`
	Bucket     string `xml:",omitempty"`
	Region     string `xml:"-"` // of the bucket, for a header
	RequestID  string `xml:"RequestId"`
	HostID     string `xml:"HostId"`
}

func (f *failure) Error() string { return f.Code + ": " + f.Message }

func notImplemented(what string) *failure {
	return &failure{Status: http.StatusNotImplemented, Code: "NotImplemented",
		Message: "A header you provided implies functionality that is not implemented: " + what}
}

func denied(message string) *failure {
	return &failure{Status: http.StatusForbidden, Code: "AccessDenied", Message: message}
}

// redirect sends a client to the region of a bucket.
func redirect(b store.Bucket) *failure {
	return &failure{Status: http.StatusMovedPermanently, Code: "PermanentRedirect", Bucket: b.Name,
		Endpoint: b.Name + ".s3." + b.Region + ".amazonaws.com", Region: b.Region,
		Message: "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint."}
}

// failureOf is any error as S3 tells it.
func failureOf(err error) failure {
	switch err := err.(type) {
	case *failure:
		return *err
	case gofakes3.Error:
		return failure{Status: err.ErrorCode().Status(), Code: string(err.ErrorCode()), Message: messageOf(err)}
	}
	if d, ok := deniedBy(err); ok {
		return failure{Status: statusOf(d.Code), Code: d.Code, Message: d.Message}
	}
	return failure{Status: http.StatusInternalServerError, Code: "InternalError", Message: err.Error()}
}

func messageOf(err gofakes3.Error) string {
	_, message, ok := strings.Cut(err.Error(), ": ")
	if !ok {
		return err.Error()
	}
	return message
}

// statusOf is that of the error codes of authentication and authorisation (S3 API, list of error codes).
func statusOf(code string) int {
	switch code {
	case "AccessDenied", "InvalidAccessKeyId", "RequestTimeTooSkewed", "SignatureDoesNotMatch":
		return http.StatusForbidden
	case "MissingContentLength":
		return http.StatusLengthRequired
	}
	return http.StatusBadRequest
}

// refuse answers with an error, if nothing was answered yet. An answer to HEAD has no body.
func (r *reply) refuse(method string, err error) {
	if r.status != 0 {
		return
	}
	f := failureOf(err)
	if f.Region != "" {
		r.Header().Set("X-Amz-Bucket-Region", f.Region)
	}
	f.RequestID, f.HostID = r.id, r.hostID()
	if method == http.MethodHead {
		r.WriteHeader(f.Status)
		return
	}
	_ = r.xml(f.Status, &f) // if the client is gone, there is nobody left to tell
}
