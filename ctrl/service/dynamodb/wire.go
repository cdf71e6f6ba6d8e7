package dynamodb

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
)

const (
	targetPrefix = "DynamoDB_20120810."
	contentType  = "application/x-amz-json-1.0"
	maxBody      = 16 << 20 // bytes of a request (API reference, BatchWriteItem)
)

// failure is an error as the API writes it.
type failure struct {
	kind    string // the whole __type
	message string
	more    map[string]any // further members
	status  int            // 0: 400
}

// Error is the type's name and the message.
func (f *failure) Error() string { return f.kind + ": " + f.message }

// The namespaces of errors' types.
const (
	ours    = "com.amazonaws.dynamodb.v20120810#"
	coral   = "com.amazon.coral.service#"
	invalid = "com.amazon.coral.validate#ValidationException"
)

// unknownOperation is without a message, as in AWS, if the request names none. Of those that AWS has the person is told that they are ours
// to lack.
func unknownOperation(name string) *failure {
	f := &failure{kind: coral + "UnknownOperationException"}
	if name != "" {
		f.message = "vpclab's DynamoDB does not support the operation " + name
	}
	return f
}

func failed(kind, format string, args ...any) *failure {
	return &failure{kind: ours + kind, message: fmt.Sprintf(format, args...)}
}

// failureOf is an error as the client is told of it. What is not the client's fault is ours.
func failureOf(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if i, ok := errors.AsType[attribute.Invalid](err); ok {
		return &failure{kind: invalid, message: string(i)}
	}
	if d, ok := errors.AsType[*service.Denied](err); ok {
		return &failure{kind: coral + d.JSONCode(), message: d.Message}
	}
	return &failure{kind: ours + "InternalServerError", message: err.Error(), status: http.StatusInternalServerError}
}

// readRequest is a request's operation and body.
func readRequest(w http.ResponseWriter, r *http.Request) (operation string, body []byte, err error) {
	operation, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	if !ok || operation == "" || r.Method != http.MethodPost {
		return "", nil, unknownOperation("")
	}
	body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return "", nil, &failure{kind: coral + "RequestEntityTooLargeException", message: "Request size exceeded the limit of 16 MB",
			status: http.StatusRequestEntityTooLarge}
	}
	if err == nil {
		body, err = canonical(body)
	}
	return operation, body, err
}

func serialization(err error) error {
	if i, ok := errors.AsType[attribute.Invalid](err); ok {
		return i
	}
	return &failure{kind: coral + "SerializationException", message: err.Error()}
}

// decodeStrictly reads a request. What it does not know would be lost in silence, so it is refused.
func decodeStrictly(body []byte, request any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	err := d.Decode(request)
	if err == nil {
		return nil
	}
	if _, field, ok := strings.Cut(err.Error(), "unknown field "); ok {
		return attribute.Invalidf("vpclab's DynamoDB does not support the parameter %s", strings.Trim(field, `"`))
	}
	return serialization(err)
}

func writeFailure(w http.ResponseWriter, err error) {
	f := failureOf(err)
	answer := map[string]any{"__type": f.kind}
	if f.message != "" {
		answer["message"] = f.message
	}
	for name, member := range f.more {
		answer[name] = member
	}
	status := http.StatusBadRequest
	if f.status != 0 {
		status = f.status
	}
	writeAnswer(w, status, answer)
}

// writeAnswer sends an answer with the headers that SDKs look at: they retry if the checksum is not the body's.
func writeAnswer(w http.ResponseWriter, status int, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"__type":"`+ours+`InternalServerError"}`)
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Amzn-RequestId", rand.Text()+rand.Text())
	h.Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10))
	w.WriteHeader(status)
	_, _ = w.Write(body) // whoever has gone needs no answer
}
