package s3_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// Where nothing is allowed, nothing is done, whatever a request looks like: no answer is a success, and what is there stays as it is.
func FuzzNothingIsDoneUnauthorised(f *testing.F) {
	for _, method := range []string{"GET", "PUT", "POST", "DELETE", "HEAD"} {
		for _, target := range []string{"/", "/logs", "/logs/a", "/logs/a?uploads", "/logs?delete", "/logs?policy", "/logs/a?uploadId=x&partNumber=1",
			"/logs/a?X-Amz-Copy-Source=logs/a", "//logs/a", "/logs/a?acl&x-id=GetObject", "/logs?list-type=2&prefix=a", "/nobody/a"} {
			f.Add(method, "s3.us-east-1.amazonaws.com", target, "<Delete><Object><Key>a</Key></Object></Delete>")
			f.Add(method, "logs.s3.us-east-1.amazonaws.com", target, "{}")
		}
	}
	f.Fuzz(func(t *testing.T, method, host, target, body string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		s := newScene(t)
		s.send(httptest.NewRequest(http.MethodPut, "/logs/a", strings.NewReader("x")))
		s.refuse("*")
		r := httptest.NewRequest(http.MethodGet, "/", strings.NewReader(body))
		r.Method, r.Host, r.URL = method, host, u
		w := s.send(r)
		if w.Code < 300 && (r.Method != http.MethodPost || strings.Contains(w.Body.String(), "<Deleted>")) {
			t.Errorf("%s %s at %s: %d %s", method, target, host, w.Code, w.Body)
		}
		s.refuse()
		if got := s.ask(http.MethodGet, "/logs/a").Body.String(); got != "x" {
			t.Errorf("%s %s at %s: the object is %q now", method, target, host, got)
		}
	})
}
