package destination_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/ctrl/flowlog/delivery"
	"github.com/vpclab/vpclab/ctrl/flowlog/destination"
)

// subscription is AWS's example: account 123456789012, us-east-1, fl-1234abcd.
func subscription(t *testing.T, to string) *flowlog.Subscription {
	t.Helper()
	d, err := flowlog.ParseDestination(to)
	if err != nil {
		t.Fatal(err)
	}
	f, err := flowlog.ParseFormat("${srcport} ${bytes}")
	if err != nil {
		t.Fatal(err)
	}
	return &flowlog.Subscription{ID: "fl-1234abcd", Account: "123456789012", Region: "us-east-1", Resource: "vpc-1", Format: f, Destination: d}
}

// batch is some lines of some streams: "eni-1 443 60".
func batch(s *flowlog.Subscription, lines ...string) *delivery.Batch {
	return &delivery.Batch{
		Subscription: s, Format: s.Format, Period: time.Date(2018, 6, 20, 16, 20, 0, 0, time.UTC),
		Entries: func(yield func(delivery.Entry, error) bool) {
			for i, l := range lines {
				stream, line, _ := strings.Cut(l, " ")
				start := int64(1529511600 + 100 - i) // later ones began before
				if !yield(delivery.Entry{Stream: stream, Start: start, End: start + 9, Packets: 1, Bytes: 60, Line: []byte(line)}, nil) {
					return
				}
			}
		},
	}
}

// broken is a batch that cannot be read to its end.
func broken(s *flowlog.Subscription, err error) *delivery.Batch {
	b := batch(s)
	b.Entries = iter.Seq2[delivery.Entry, error](func(yield func(delivery.Entry, error) bool) { yield(delivery.Entry{}, err) })
	return b
}

func deliver(t *testing.T, places destination.Places, b *delivery.Batch) error {
	t.Helper()
	d, err := places.Of(b.Subscription)
	if err != nil {
		t.Fatal(err)
	}
	return d.Deliver(context.Background(), b)
}

// files are the paths of all files below a folder, with what is in them, unzipped.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		all[name] = unzipped(t, string(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func unzipped(t *testing.T, s string) string {
	t.Helper()
	if !strings.HasPrefix(s, "\x1f\x8b") {
		return s
	}
	z, err := gzip.NewReader(strings.NewReader(s))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// wants compares files, whose names may end in * for a hash.
func wants(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, text := range want {
		found := slices.DeleteFunc(slices.Sorted(maps.Keys(got)), func(n string) bool {
			begin, end, any := strings.Cut(name, "*")
			return n != name && !(any && strings.HasPrefix(n, begin) && strings.HasSuffix(n, end))
		})
		if len(found) != 1 || got[found[0]] != text {
			t.Errorf("%s is not there as\n%s\nthere are\n%s", name, text, fmt.Sprint(got))
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d files, want %d: %v", len(got), len(want), slices.Sorted(maps.Keys(got)))
	}
}

// bucketTwin speaks as much of S3 as a PUT needs, over HTTP on the loopback.
type bucketTwin struct {
	mu      sync.Mutex
	objects map[string]string
	refuse  func(w http.ResponseWriter) bool
}

func serveBucket(t *testing.T) (*bucketTwin, *destination.Endpoint) {
	b := &bucketTwin{objects: map[string]string{}}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	return b, &destination.Endpoint{URL: server.URL, AccessKey: "AKIAVPCLAB", SecretKey: "secret"}
}

func (b *bucketTwin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != http.MethodPut || !strings.Contains(r.Header.Get("Authorization"), "Credential=AKIAVPCLAB/") {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if b.refuse == nil || !b.refuse(w) {
		b.objects[strings.TrimPrefix(r.URL.Path, "/")] = string(body)
	}
}

// s3Error answers as S3 does.
func s3Error(w http.ResponseWriter, status int, code string) bool {
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}{Code: code, Message: "no"})
	return true
}

// groupTwin speaks as much of CloudWatch Logs as a delivery needs: the JSON protocol over HTTP on the loopback.
type groupTwin struct {
	mu      sync.Mutex
	groups  map[string]bool
	streams map[string][]event // by group and stream
	calls   []int              // how many events each put had
	refuse  func(w http.ResponseWriter, call string) bool
}

type event struct {
	Timestamp int64
	Message   string
}

func serveGroups(t *testing.T) (*groupTwin, *destination.Endpoint) {
	g := &groupTwin{groups: map[string]bool{}, streams: map[string][]event{}}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	return g, &destination.Endpoint{URL: server.URL, AccessKey: "AKIAVPCLAB", SecretKey: "secret"}
}

func (g *groupTwin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var in struct {
		LogGroupName, LogStreamName string
		LogEvents                   []event
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	call := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "Logs_20140328.")
	if g.refuse != nil && g.refuse(w, call) {
		return
	}
	stream := in.LogGroupName + " " + in.LogStreamName
	_, exists := g.streams[stream]
	switch {
	case call == "CreateLogGroup" && g.groups[in.LogGroupName], call == "CreateLogStream" && exists:
		logsError(w, "ResourceAlreadyExistsException")
	case call == "CreateLogGroup":
		g.groups[in.LogGroupName] = true
	case call == "CreateLogStream" && g.groups[in.LogGroupName]:
		g.streams[stream] = nil
	case call == "PutLogEvents" && exists:
		if !slices.IsSortedFunc(in.LogEvents, func(a, b event) int { return int(a.Timestamp - b.Timestamp) }) {
			logsError(w, "InvalidParameterException")
			return
		}
		g.calls = append(g.calls, len(in.LogEvents))
		g.streams[stream] = append(g.streams[stream], in.LogEvents...)
		fmt.Fprint(w, "{}")
	default:
		logsError(w, "ResourceNotFoundException")
	}
}

// logsError answers as CloudWatch Logs does.
func logsError(w http.ResponseWriter, code string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(w, `{"__type":%q,"message":"no"}`, code)
}
