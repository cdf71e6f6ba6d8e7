package imds

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/service/iam"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// Names is what others in the lab call an interface.
type Names struct {
	// Private and Public are its host names; empty if it has none.
	Private, Public func(*vpc.VPC, *vpc.ENI) string
	MAC             func(*vpc.ENI) string // its Ethernet address: 02:29:96:8f:6a:2d
}

// Config is what a Service needs.
type Config struct {
	Names Names
	// Role issues an instance's credentials.
	Role func(*vpc.VPC, *vpc.Instance) iam.Credentials
	Now  func() time.Time // lab time
	// Hops is told before each answer how many routers it may pass, which is the TTL of the request's connection from then on. Answers to
	// token requests go as far as the instance's metadata options say, all others 64 hops (EC2 user guide, instance metadata options).
	Hops   func(request context.Context, n int)
	Random io.Reader // for the secret key of session tokens
}

// Service is an http.Handler. The context of requests knows the caller.
type Service struct {
	Config
	key []byte
}

// New makes the service. The error is Random's.
func New(c Config) (*Service, error) {
	s := &Service{Config: c, key: make([]byte, sha256.Size)}
	if _, err := io.ReadFull(c.Random, s.key); err != nil {
		return nil, fmt.Errorf("make the metadata's secret key: %w", err)
	}
	return s, nil
}

// hops is how far answers go that are not for token requests.
const hops = 64

// hopLimit is how far an instance's answers to token requests go.
func hopLimit(i *vpc.Instance) int { return cmp.Or(i.Metadata.HopLimit, 1) }

// ServeHTTP answers an instance about itself.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := service.From(r.Context())
	w.Header().Set("Server", "EC2ws")
	if c.Instance == nil {
		fail(w, http.StatusForbidden)
		return
	}
	limit := hops
	if r.Method == http.MethodPut {
		limit = hopLimit(c.Instance)
	}
	s.Hops(r.Context(), limit)
	switch m := c.Instance.Metadata; {
	case m.Disabled, c.Asked.Unmap().Is6() && !m.IPv6:
		fail(w, http.StatusForbidden)
	case r.Method == http.MethodPut:
		s.put(w, r, c.Instance)
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		s.get(w, r, c)
	default:
		w.Header().Set("Allow", "GET, HEAD, PUT")
		fail(w, http.StatusMethodNotAllowed)
	}
}

// The headers of version 2.
const (
	tokenHeader = "X-Aws-Ec2-Metadata-Token"
	ttlHeader   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	tokenPath   = "/latest/api/token"
	maxTTL      = 21600 // seconds
)

// put makes a session token. One that a proxy forwards is refused, so that an open proxy does not hand out tokens.
func (s *Service) put(w http.ResponseWriter, r *http.Request, i *vpc.Instance) {
	if r.URL.Path != tokenPath || len(r.Header["X-Forwarded-For"]) > 0 {
		fail(w, http.StatusForbidden)
		return
	}
	ttl, err := strconv.Atoi(r.Header.Get(ttlHeader))
	if err != nil || ttl < 1 || ttl > maxTTL {
		fail(w, http.StatusBadRequest)
		return
	}
	w.Header().Set(ttlHeader, strconv.Itoa(ttl))
	answer(w, r, s.token(i.ID, s.Now().Add(time.Duration(ttl)*time.Second)))
}

func (s *Service) get(w http.ResponseWriter, r *http.Request, c service.Caller) {
	token := r.Header.Get(tokenHeader)
	switch {
	case token == "" && c.Instance.Metadata.TokensRequired, token != "" && !s.valid(token, c.Instance.ID):
		fail(w, http.StatusUnauthorized)
		return
	case r.URL.Path == tokenPath:
		w.Header().Set("Allow", "PUT")
		fail(w, http.StatusMethodNotAllowed)
		return
	}
	text, ok := s.find(c, r.URL.Path)
	if !ok {
		fail(w, http.StatusNotFound)
		return
	}
	answer(w, r, text)
}

// find finds what a path leads to, or lists what is below it.
func (s *Service) find(c service.Caller, path string) (string, bool) {
	if path == "/" {
		return strings.Join(versions, "\n"), true
	}
	version, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if !slices.Contains(versions, version) {
		return "", false
	}
	return s.tree(c.VPC, c.Instance).find(rest)
}

// versions are those of AWS (EC2 user guide, get the available versions of the instance metadata).
var versions = []string{
	"1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01", "2009-04-04", "2011-01-01",
	"2011-05-01", "2012-01-12", "2014-02-25", "2014-11-05", "2015-10-20", "2016-04-19", "2016-06-30", "2016-09-02", "2018-03-28", "2018-08-17",
	"2018-09-24", "2019-10-01", "2020-10-27", "2021-01-03", "2021-03-23", "2021-07-15", "2022-09-24", "latest",
}

func answer(w http.ResponseWriter, r *http.Request, text string) {
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, text) // the client may have gone
	}
}

// fail answers with a page, as AWS does.
func fail(w http.ResponseWriter, status int) {
	title := strconv.Itoa(status) + " - " + http.StatusText(status)
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `<?xml version="1.0" encoding="iso-8859-1"?>
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head><title>%s</title></head>
 <body><h1>%[1]s</h1></body>
</html>
`, title) // the client may have gone
}
