package lab

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// backendLab leaves its objects to an S3 elsewhere. Of its bucket everybody may do everything but write what is secret.
const backendLab = `
name: labtest-backend
vpcs:
  a:
    cidr: 10.0.0.0/16
    subnets: {p: {cidr: 10.0.0.0/24, az: a, route_table: private}}
    route_tables: {private: {}}
    instances: {web: {subnet: p, ip: 10.0.0.10}}
    endpoints: {s3: {type: gateway, service: s3, route_tables: [private]}}
services:
  s3:
    backend: BACKEND
    buckets:
      open:
        policy:
          Version: "2012-10-17"
          Statement:
            - {Effect: Allow, Principal: "*", Action: "s3:*", Resource: "*"}
            - {Effect: Deny, Principal: "*", Action: "s3:PutObject", Resource: "arn:aws:s3:::open/secret"}
`

// TestObjectsOnABackend: what an instance puts through a gateway endpoint arrives at a server outside the lab, the bucket's policy stands
// before that server, and when it is gone the client is told so.
func TestObjectsOnABackend(t *testing.T) {
	needRoot(t)
	elsewhere := &shelf{objects: map[string]string{}}
	web := httptest.NewServer(elsewhere)
	t.Cleanup(web.Close)
	b := build(t, strings.Replace(backendLab, "BACKEND", web.URL, 1), true)
	for _, row := range []struct {
		what, method, key, body string
		status                  int
		want                    string // in the answer
	}{
		{"what may be written", http.MethodPut, "x", "hello", 200, ""},
		{"what was written", http.MethodGet, "x", "", 200, "hello"},
		{"what is not there", http.MethodGet, "none", "", 404, "NoSuchKey"},
		{"what the policy denies", http.MethodPut, "secret", "hush", 403, "AccessDenied"},
	} {
		status, answer, err := b.object(webNode, row.method, "open/"+row.key, row.body)
		if err != nil || status != row.status || !strings.Contains(answer, row.want) {
			t.Errorf("%s: %d %s %v, want %d %s", row.what, status, answer, err, row.status, row.want)
		}
	}
	if got, want := elsewhere.asked(), "PUT /open, PUT /open/x, GET /open/x, GET /open/none"; got != want {
		t.Errorf("the backend was asked %s, want %s", got, want)
	}
	if got := elsewhere.object("/open/x"); got != "hello" {
		t.Errorf("the backend has %q", got)
	}

	web.Close()
	status, answer, err := b.object(webNode, http.MethodGet, "open/x", "")
	if err != nil || status != http.StatusServiceUnavailable || !strings.Contains(answer, "The backend does not answer") {
		t.Errorf("without a backend: %d %s %v", status, answer, err)
	}
	status, answer, err = b.object(webNode, http.MethodPut, "open/secret", "hush")
	if err != nil || status != http.StatusForbidden {
		t.Errorf("what the policy denies, without a backend: %d %s %v", status, answer, err)
	}
}

// shelf is an S3 as far as a backend needs one here: it keeps what is put, and notes how it was asked.
type shelf struct {
	mu       sync.Mutex
	objects  map[string]string
	requests []string
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // whoever asked has gone
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r.Method+" "+r.URL.Path)
	object, ok := s.objects[r.URL.Path]
	switch {
	case r.Method == http.MethodPut:
		s.objects[r.URL.Path] = string(body)
	case ok:
		_, _ = io.WriteString(w, object)
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "<Error><Code>NoSuchKey</Code></Error>")
	}
}

func (s *shelf) asked() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.requests, ", ")
}

func (s *shelf) object(path string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects[path]
}

// object asks S3 in the default region for BUCKET/KEY, unsigned and on a connection of its own.
func (b bed) object(n scenario.Node, method, path, body string) (status int, answer string, err error) {
	s3, _ := vpc.FindService("s3")
	var conn net.Conn
	err = b.Do(n, func() (err error) {
		conn, err = net.DialTimeout("tcp", netip.AddrPortFrom(s3.Addr(vpc.DefaultRegion), 80).String(), patience)
		return err
	})
	if err != nil {
		return 0, "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, "", err
	}
	head := fmt.Sprintf("%s /%s HTTP/1.1\r\nHost: s3.amazonaws.com\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", method, path, len(body))
	if _, err := io.WriteString(conn, head+body); err != nil {
		return 0, "", err
	}
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, "", err
	}
	text, err := io.ReadAll(r.Body)
	return r.StatusCode, string(text), err
}
