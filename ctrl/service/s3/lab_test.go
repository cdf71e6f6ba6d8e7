package s3_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/service/s3"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

const (
	us = "us-east-1"
	eu = "eu-west-1"

	ours   = "111111111111"
	theirs = "222222222222"
)

// gate refuses what is in deny, by action or by action and resource or all ("*"), and remembers what it was asked.
type gate struct {
	mu    sync.Mutex
	deny  map[string]bool
	asked []service.Access
}

func (g *gate) Authorize(_ context.Context, a service.Access) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, a)
	if g.deny["*"] || g.deny[a.Action] || g.deny[a.Action+" "+a.Resource] {
		return &service.Denied{Code: "AccessDenied", Message: "may not " + a.Action + " on " + a.Resource}
	}
	return nil
}

// refuse changes what is refused.
func (g *gate) refuse(what ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.deny, g.asked = map[string]bool{}, nil
	for _, w := range what {
		g.deny[w] = true
	}
}

// question finds an access that was asked for.
func (g *gate) question(action string) (service.Access, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.IndexFunc(g.asked, func(a service.Access) bool { return a.Action == action })
	if i < 0 {
		return service.Access{}, false
	}
	return g.asked[i], true
}

// scene is an S3 with one bucket, "logs" in us-east-1.
type scene struct {
	*testing.T
	*gate
	server  *s3.Server
	dir     string
	backend string
	account string
	via     service.Via
}

func newScene(t *testing.T) *scene {
	return newSceneOn(t, "")
}

func newSceneOn(t *testing.T, backend string) *scene {
	s := &scene{T: t, gate: &gate{}, dir: t.TempDir(), backend: backend, account: ours}
	s.open()
	s.update(&vpc.Bucket{Name: "logs", Region: us, Account: ours})
	return s
}

// open begins anew with the folder as it is.
func (s *scene) open() {
	s.Helper()
	server, err := s3.New(s3.Config{
		Dir: s.dir, Gate: s.gate, Backend: s.backend, Wall: time.Now,
		Now:     func() time.Time { return time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC) },
		Account: func(context.Context) string { return s.account },
		CheckPolicy: func(text string) error {
			if !strings.HasPrefix(text, "{") {
				return errors.New("line 1, column 1: not an object")
			}
			return nil
		},
	})
	if err != nil {
		s.Fatal(err)
	}
	s.server = server
}

func (s *scene) update(buckets ...*vpc.Bucket) {
	s.Helper()
	if err := s.server.Update(buckets); err != nil {
		s.Fatal(err)
	}
}

// ServeHTTP is the service where a request has arrived in a region.
func (s *scene) in(region string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := service.Caller{Via: s.via, Service: "s3", Region: region}
		s.server.ServeHTTP(w, r.WithContext(service.With(r.Context(), c)))
	})
}

// client is the SDK's, with S3's host names, whose connections all end at the service in a region.
func (s *scene) client(region string, options ...func(*sdk.Options)) *sdk.Client {
	web := httptest.NewServer(s.in(region))
	s.Cleanup(web.Close)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", web.Listener.Addr().String())
	}
	transport := &http.Transport{DialContext: dial}
	s.Cleanup(transport.CloseIdleConnections)
	return sdk.New(sdk.Options{
		Region:     region,
		HTTPClient: &http.Client{Transport: transport},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "secret"}, nil
		}),
		EndpointOptions:  sdk.EndpointResolverOptions{DisableHTTPS: true},
		RetryMaxAttempts: 1,
	}, options...)
}

func (s *scene) put(c *sdk.Client, key, text string) {
	s.Helper()
	_, err := c.PutObject(s.Context(), &sdk.PutObjectInput{Bucket: aws.String("logs"), Key: &key, Body: strings.NewReader(text)})
	if err != nil {
		s.Fatal(err)
	}
}

func (s *scene) get(c *sdk.Client, key string) string {
	s.Helper()
	out, err := c.GetObject(s.Context(), &sdk.GetObjectInput{Bucket: aws.String("logs"), Key: &key})
	if err != nil {
		s.Fatal(err)
	}
	return read(s, out.Body)
}

func read(t testing.TB, body io.ReadCloser) string {
	t.Helper()
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// ask sends a request that no SDK would, to the service in us-east-1.
func (s *scene) ask(method, url string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, url, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return s.send(r)
}

func (s *scene) send(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.in(us).ServeHTTP(w, r)
	return w
}

// code is that of an API error; empty if there is none.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func (s *scene) wantCode(what string, err error, want string) {
	s.Helper()
	if got := code(err); got != want {
		s.Errorf("%s: got %q (%v), want %q", what, got, err, want)
	}
}

func random(n int) []byte { return bytes.Repeat([]byte("0123456789abcdef"), (n+15)/16)[:n] }
