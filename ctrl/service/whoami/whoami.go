// Package whoami stands for the AWS services that a lab needs only as something to reach: SQS, SNS, STS and others. It answers who
// asked, by which way and as whom, and common calls of SDKs in their form. It keeps nothing: lists are empty and what is sent is lost.
package whoami

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/vpclab/vpclab/ctrl/service"
)

// Principal is who signed a request; the zero Principal is nobody.
type Principal struct {
	ARN     string // "arn:aws:sts::123456789012:assumed-role/reader/i-0123456789abcdef0"
	Account string
	UserID  string // as STS tells it
}

// Handler answers for every service; the service.Caller in a request's context says which one was asked.
type Handler struct {
	// Gate is asked about everything but an unsigned GET of /, which curl and checks send: SERVICE:OPERATION on any resource.
	Gate service.Gate
	// Principal is who signed a request, by its context.
	Principal func(context.Context) Principal
}

// maxBody is how many bytes of a request are looked at: the form of a query-protocol call.
const maxBody = 1 << 20

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := callOf(r)
	if err != nil {
		c.fail(w, http.StatusBadRequest, &service.Denied{Code: "InvalidAction", Message: err.Error()})
		return
	}
	if c.signed || !c.plain(r) {
		if err := h.authorize(r.Context(), c); err != nil {
			c.refuse(w, err)
			return
		}
	}
	c.answer(w, service.From(r.Context()), h.Principal(r.Context()))
}

func (h *Handler) authorize(ctx context.Context, c call) error {
	return h.Gate.Authorize(ctx, service.Access{Action: c.service + ":" + c.operation, Resource: "*", Account: h.Principal(ctx).Account})
}

// protocol is how a client speaks, and wants to be answered.
type protocol uint8

const (
	rest   protocol = iota // a path and perhaps a body, of which nothing is understood
	target                 // an operation in X-Amz-Target, answered in JSON
	query                  // an operation in the parameter Action, answered in XML
)

// call is a request as far as it is understood.
type call struct {
	service     string
	operation   string // "Invoke" if the request names none
	protocol    protocol
	contentType string // of an answer in JSON
	signed      bool
	id          string // of the request
}

// plain says that the request is what people type to see whether somebody is there.
func (c call) plain(r *http.Request) bool {
	return r.Method == http.MethodGet && r.URL.Path == "/" && c.operation == "Invoke"
}

func callOf(r *http.Request) (call, error) {
	c := call{service: service.From(r.Context()).Service, operation: "Invoke", contentType: "application/json", id: requestID()}
	parameters := r.URL.Query()
	c.signed = r.Header.Get("Authorization") != "" || parameters.Has("X-Amz-Signature")
	if _, operation, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		c.operation, c.protocol = operation, target
		if asked := r.Header.Get("Content-Type"); strings.HasPrefix(asked, "application/x-amz-json-") {
			c.contentType = asked
		}
		return c, checkOperation(c.operation)
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
		if err != nil {
			return c, err
		}
		if parameters, err = url.ParseQuery(string(body)); err != nil {
			return c, err
		}
	}
	if operation := parameters.Get("Action"); operation != "" {
		c.operation, c.protocol = operation, query
	}
	return c, checkOperation(c.operation)
}

// checkOperation refuses what is no operation's name, and would be put into policies and answers as if it were.
func checkOperation(operation string) error {
	strange := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	}
	if operation == "" || strings.ContainsFunc(operation, strange) {
		return errors.New("the request names no operation")
	}
	return nil
}
