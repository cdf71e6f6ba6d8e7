package dynamodb

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// newProxy is the way to a backend.
func newProxy(u *url.URL) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			writeFailure(w, &failure{kind: ours + "InternalServerError", message: fmt.Sprintf("backend %s: %v", u.Host, err), status: http.StatusBadGateway})
		},
	}
}

// forward sends a request on whose body was read.
func (s *Server) forward(w http.ResponseWriter, r *http.Request, body []byte) {
	r = r.Clone(r.Context())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Set("Authorization", backendAuthorization(s.account(r.Context()), service.From(r.Context()).Region))
	r.Header.Del("X-Amz-Security-Token") // it is the lab's
	s.proxy.ServeHTTP(w, r)
}

// backendAuthorization tells a backend that verifies no signatures whose tables, and of which region, are meant: DynamoDB Local keeps them
// apart by access key and region.
func backendAuthorization(account, region string) string {
	return "AWS4-HMAC-SHA256 Credential=" + account + "/20120810/" + region + "/dynamodb/aws4_request, SignedHeaders=host, Signature=0"
}

// backendWait is how long a backend may take for a request of ours.
const backendWait = 10 * time.Second

// updateBackend makes and deletes tables there. Which ones the scenario has declared is known as long as the process lives.
func (s *Server) updateBackend(before, declared map[tableName]*vpc.Table) error {
	var errs error
	for _, n := range sortedNames(before) {
		if now := declared[n]; now == nil || *keyOfDeclared(now) != *keyOfDeclared(before[n]) {
			errs = errors.Join(errs, s.ask(n, "DeleteTable", tableRequest{n.Name}, "ResourceNotFoundException"))
		}
	}
	for _, n := range sortedNames(declared) {
		errs = errors.Join(errs, s.ask(n, "CreateTable", creation(n, keyOfDeclared(declared[n])), "ResourceInUseException"))
	}
	return errs
}

// creation is the request that makes a declared table.
func creation(n tableName, k *tableKey) map[string]any {
	d := (&table{Key: *k}).describe(n, "", 0, 0)
	return map[string]any{"TableName": n.Name, "BillingMode": "PAY_PER_REQUEST", "KeySchema": d["KeySchema"], "AttributeDefinitions": d["AttributeDefinitions"]}
}

// ask sends the backend a request of ours. One error says that all is as it should be.
func (s *Server) ask(n tableName, operation string, request any, fine string) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	r, err := http.NewRequest(http.MethodPost, s.backend.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("X-Amz-Target", targetPrefix+operation)
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Authorization", backendAuthorization(n.Account, n.Region))
	answer, err := (&http.Client{Timeout: backendWait}).Do(r)
	if err != nil {
		return fmt.Errorf("table %s: backend: %w", n.arn(), err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	if err != nil {
		return fmt.Errorf("table %s: backend: %w", n.arn(), err)
	}
	if answer.StatusCode == http.StatusOK || strings.Contains(string(text), fine) {
		return nil
	}
	return fmt.Errorf("table %s: backend: %s: %s", n.arn(), answer.Status, text)
}
