package load

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// shelf is a Store on the loopback interface that keeps objects in memory and counts requests, by method.
type shelf struct {
	*httptest.Server
	mu       sync.Mutex
	objects  map[string][]byte
	asked    map[string]int
	unsigned int
}

func newShelf(t *testing.T) *shelf {
	s := &shelf{objects: map[string][]byte{}, asked: map[string]int{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *shelf) InClient(f func() error) error { return f() }

func (s *shelf) Bucket() Bucket {
	return Bucket{
		Addr: s.Listener.Addr().(*net.TCPAddr).AddrPort(), Host: "bench.s3.us-east-1.amazonaws.com", Region: "us-east-1",
		AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "secret",
	}
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[r.Method]++
	if err != nil || r.Host != s.Bucket().Host || !strings.Contains(r.Header.Get("Authorization"), "/us-east-1/s3/aws4_request") {
		s.unsigned++
	}
	if r.Method == http.MethodPut {
		s.objects[r.URL.Path] = body
		return
	}
	if object, ok := s.objects[r.URL.Path]; ok {
		w.Header().Set("Content-Length", strconv.Itoa(len(object)))
		_, _ = w.Write(object) // a client that is gone does not matter
		return
	}
	http.NotFound(w, r)
}

// networkFor is the loopback interface as the network that a load wants.
func networkFor(t *testing.T, l Load) Network {
	switch l.Far {
	case Objects:
		return newShelf(t)
	case Resolver:
		return newDesk(t, echoed)
	}
	return newLoopback()
}

func TestRequestsAreWholeAndCounted(t *testing.T) {
	for _, row := range []struct {
		load, method string
		per          float64 // of the load's unit in one request
		others       int     // requests that prepare
	}{
		{"s3-get", http.MethodGet, 8 * large, 1},
		{"s3-put", http.MethodPut, 8 * large, 0},
		{"s3-small", http.MethodGet, 1, 1},
	} {
		s := newShelf(t)
		r, err := named(t, row.load).Run(t.Context(), s, short)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		first := 1
		counted := int(r.Rate*r.Took.Seconds()/row.per + 0.5)
		if asked := s.asked[row.method]; asked != counted+first {
			t.Errorf("%s: %d requests arrived, %d are counted besides the first", row.load, asked, counted)
		}
		if others := s.asked[http.MethodPut] + s.asked[http.MethodGet] - s.asked[row.method]; others != row.others || s.unsigned > 0 {
			t.Errorf("%s: %d other requests, %d unsigned", row.load, others, s.unsigned)
		}
		for path, object := range s.objects {
			if want := map[bool]int{true: small, false: large}[row.load == "s3-small"]; len(object) != want {
				t.Errorf("%s: %s has %d bytes, want %d", row.load, path, len(object), want)
			}
		}
	}
}

// broken is a Store that answers everything with one text.
type broken struct {
	*shelf
	text string
}

func (b broken) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // or the client is reset
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_, _ = io.WriteString(conn, b.text)
		conn.Close()
	}
}

func TestWrongAnswersAreErrors(t *testing.T) {
	for _, row := range []struct{ answer, want string }{
		{"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "s3-put: the answer is 403 Forbidden with 0 bytes, want 200 with 0"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsurplus", "s3-put: the answer is 200 OK with 7 bytes, want 200 with 0"},
		{"HTTP/1.1 200", "s3-put: receive: the connection was closed"},
	} {
		b := broken{newShelf(t), row.answer}
		b.Config.Handler = b
		_, err := named(t, "s3-put").Run(t.Context(), b, short)
		if err == nil || err.Error() != row.want {
			t.Errorf("%q: got %v, want %s", row.answer, err, row.want)
		}
	}
}

// unreachable is a Store that no client reaches.
type unreachable struct{ error }

func (u unreachable) InClient(func() error) error { return u.error }
func (u unreachable) Bucket() Bucket {
	return Bucket{Addr: netip.MustParseAddrPort("127.0.0.1:1"), Host: "bench.s3.us-east-1.amazonaws.com", Region: "us-east-1"}
}

func TestStoreLoadsSayWhy(t *testing.T) {
	gone := errors.New("enter network namespace: no such process")
	for _, l := range All() {
		n, want := Network(unreachable{gone}), l.Name+": "+gone.Error()
		if l.Far != Objects {
			want = l.Name + ": not a load for such a network"
		}
		if _, err := l.Run(t.Context(), n, short); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
