package lab

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/flowlog/destination"
	"github.com/vpclab/vpclab/ctrl/lab/labtest"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// bucketServer is a service to which objects can be put, while it is up.
type bucketServer struct {
	*httptest.Server
	down  atomic.Bool
	tries atomic.Int64

	mu      sync.Mutex
	objects map[string]string // unzipped
}

func newBucketServer(t *testing.T) *bucketServer {
	b := &bucketServer{objects: map[string]string{}}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.tries.Add(1)
		if b.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		z, err := gzip.NewReader(r.Body)
		if err == nil {
			var text []byte
			text, err = io.ReadAll(z)
			b.mu.Lock()
			b.objects[r.URL.Path] = string(text)
			b.mu.Unlock()
		}
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	t.Cleanup(b.Close)
	return b
}

// records are the lines of all objects that count packets.
func (b *bucketServer) records() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.objects {
		n += strings.Count(text, " OK\n")
	}
	return n
}

// burst sends datagrams from as many ports, each a flow of its own that both ends record, and waits until they are counted.
func (b bed) burst(tap *labtest.Tap, first, n int) {
	b.t.Helper()
	before := b.tallyOf(webNode).delivered.Packets
	for i := range n {
		if err := tap.Send(tap.Frame(labtest.UDP("10.0.0.10", uint16(first+i), "10.0.1.10", 53).Bytes())); err != nil {
			b.t.Fatal(err)
		}
	}
	until(b.t, "all are delivered", func() bool { return b.tallyOf(webNode).delivered.Packets == before+uint64(n) })
}

// startLogged starts loggedLab with options of its own.
func startLogged(t *testing.T, o Options) bed {
	t.Helper()
	needRoot(t)
	l, err := Start(context.Background(), parse(t, loggedLab), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	b := bed{l, t}
	b.silence(webNode)
	b.silence(appNode)
	return b
}

// TestServiceDownAndBack: what was counted while the service was down is delivered when it is back, once and all of it; meanwhile the state
// says what is wrong.
func TestServiceDownAndBack(t *testing.T) {
	server := newBucketServer(t)
	server.down.Store(true)
	b := startLogged(t, Options{Offload: true, S3: &destination.Endpoint{URL: server.URL, AccessKey: "key", SecretKey: "secret"}})
	tap := b.tap(webNode)
	pass := func() {
		t.Helper()
		if err := b.Advance(20 * time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 3 {
		b.burst(tap, 1000+100*round, 50)
		pass()
	}
	var id string
	for id = range b.logs.logs {
	}
	state := b.logs.publisher.Log(id).State()
	if state.Status() != "FAILED" || state.Failures < 3 || state.Waiting.Records < 300 || server.tries.Load() < 3 || server.records() != 0 {
		t.Errorf("while it is down, after %d tries: %+v", server.tries.Load(), state)
	}
	server.down.Store(false)
	pass()
	if state = b.logs.publisher.Log(id).State(); state.Status() != "SUCCESS" || state.Waiting.Packets != 0 {
		t.Errorf("when it is back: %+v", state)
	}
	if n := server.records(); n != 300 {
		t.Errorf("the service has %d records, want one at either end for each of 150 flows", n)
	}
}

// TestMoreFlowsThanAWindowHolds: what has no room is told as SKIPDATA and counted.
func TestMoreFlowsThanAWindowHolds(t *testing.T) {
	both(t, func(t *testing.T, offload bool) {
		b := startLogged(t, Options{Offload: offload, LogFlows: 40})
		b.burst(b.tap(webNode), 1000, 50)
		if err := b.Advance(time.Minute); err != nil {
			t.Fatal(err)
		}
		skips := 0
		for i := range b.logs.recent.records {
			if told := &b.logs.recent.records[i]; strings.HasSuffix(told.format.Row(&told.record).String(), " SKIPDATA") {
				skips++
			}
		}
		if got := b.logs.publisher.Skipped(); len(b.told(0)) != 40 || skips == 0 || got.Flows != 60 || got.Packets != 60 {
			t.Errorf("offload %v: %d records, %d SKIPDATA, skipped %+v; want 40 of 100 flows and the rest told", offload, len(b.told(0)), skips, got)
		}
		if n := b.tallyOf(webNode).dropped[flow.UpcallQueueFull].Packets; n != 0 {
			t.Errorf("%d packets were not seen", n)
		}
	})
}
