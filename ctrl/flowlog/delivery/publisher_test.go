package delivery

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// newPublisher makes one with an interface, 1, of vpc-1.
func newPublisher(t *testing.T, o flowlog.Options) *Publisher {
	t.Helper()
	o.Start = unix(0)
	p := NewPublisher(o, t.TempDir())
	p.SetInterface(1, *eni, unix(0))
	return p
}

// saw is a sample of interface 1: one packet of 100 bytes from a port, at a Unix second.
func saw(port uint16, accept bool, at int64) flowlog.Sample {
	return flowlog.Sample{Interface: 1, Direction: fabric.Egress, Accept: accept, Packets: 1, Bytes: 100, First: unix(at), Last: unix(at),
		Tuple: flow.MakeTuple(flow.UDP, netip.MustParseAddr("10.0.0.1"), port, netip.MustParseAddr("10.0.0.2"), 53)}
}

func TestPublisher(t *testing.T) {
	p := newPublisher(t, flowlog.Options{})
	all, rejects := newTwin(), newTwin()
	s := subscription(t, flowlog.File)
	if err := p.Subscribe(s, all, Limits{}, unix(0)); err != nil {
		t.Fatal(err)
	}
	other := *s
	other.ID = "fl-2"
	if err := p.Subscribe(&other, rejects, Limits{}, unix(0)); !errors.As(err, new(*flowlog.ExistsError)) {
		t.Errorf("a duplicate: %v", err)
	}
	other.Traffic = flowlog.Reject
	if err := p.Subscribe(&other, rejects, Limits{}, unix(0)); err != nil {
		t.Fatal(err)
	}
	p.Add(saw(1, true, 10), saw(2, false, 20))
	if windows := p.Tick(unix(59)); windows != nil {
		t.Errorf("%d windows are over", len(windows))
	}
	if windows := p.Tick(unix(60)); len(windows) != 1 || windows[0].Flows() != 2 {
		t.Errorf("%d windows are over", len(windows))
	}
	rejects.answer = func(int) (bool, error) { return false, &Failure{RateLimited, errDown} }
	if err := p.Deliver(background, unix(60)); !errors.Is(err, errDown) {
		t.Errorf("deliver: %v", err)
	}
	wants(t, all.files(), "60: 1 10 OK | 2 20 OK")
	if got := p.Log("fl-2").State(); got.Cause != RateLimited || got.Waiting.Records != 1 {
		t.Errorf("state %+v", got)
	}

	// One that is deleted still delivers what waits; the other ends with the lab, in the middle of a window.
	p.Unsubscribe("fl-2")
	p.RemoveInterface(1, unix(90))
	p.Add(saw(3, true, 70), saw(4, false, 70))
	rejects.answer = nil
	if err := p.Finish(background, unix(100)); err != nil {
		t.Error(err)
	}
	wants(t, all.files(), "60: 1 10 OK | 2 20 OK", "100: 3 70 OK | 4 70 OK")
	wants(t, rejects.files(), "60: 2 20 OK")
	if p.Log("fl-2") != nil || p.Log("fl-1") == nil {
		t.Error("logs that ended are kept, or others are not")
	}
}

// A log that is made again under its ID, in another format, delivers first what the one before it left.
func TestLogIsMadeAgain(t *testing.T) {
	p := newPublisher(t, flowlog.Options{})
	w := newTwin()
	w.answer = func(int) (bool, error) { return false, errDown }
	s := subscription(t, flowlog.File)
	if err := p.Subscribe(s, w, Limits{}, unix(0)); err != nil {
		t.Fatal(err)
	}
	p.Add(saw(1, true, 10))
	p.Tick(unix(60))
	_ = p.Deliver(background, unix(60))
	again := *s
	again.Format = flowlog.FormatOf(flowlog.SrcPort)
	if err := p.Subscribe(&again, w, Limits{}, unix(60)); !errors.As(err, new(*flowlog.ExistsError)) {
		t.Errorf("before the first one ended: %v", err)
	}
	p.Unsubscribe("fl-1")
	if err := p.Subscribe(&again, w, Limits{}, unix(60)); err != nil {
		t.Fatal(err)
	}
	p.Add(saw(2, true, 70))
	p.Tick(unix(120))
	w.answer = nil
	if err := p.Deliver(background, unix(120)); err != nil {
		t.Fatal(err)
	}
	wants(t, w.files(), "60: 1 10 OK", "120: 2")
	p.Unsubscribe("fl-1")
	_ = p.Deliver(background, unix(120))
	wants(t, segments(t, p.dir))
}

func TestPublisherSaysWhatItSkipped(t *testing.T) {
	p := newPublisher(t, flowlog.Options{Flows: 1})
	w := newTwin()
	if err := p.Subscribe(subscription(t, flowlog.File), w, Limits{}, unix(0)); err != nil {
		t.Fatal(err)
	}
	p.Add(saw(1, true, 10), saw(2, true, 20), saw(1, true, 30))
	stranger := saw(1, true, 30)
	stranger.Interface = 2
	p.Add(stranger)
	p.Tick(unix(60))
	if got, want := p.Skipped(), (flowlog.Skipped{Flows: 1, Packets: 1, Bytes: 100}); got != want || p.Strays() != want {
		t.Errorf("skipped %+v, strays %+v", got, p.Strays())
	}
	if err := p.Finish(background, unix(60)); err != nil {
		t.Fatal(err)
	}
	wants(t, w.files(), "60: 1 30 OK | - 59 SKIPDATA")
}

// Without a place for its spool there is no subscription.
func TestPublisherWithoutSpool(t *testing.T) {
	p := newPublisher(t, flowlog.Options{})
	tear(t, p.dir, "fl-1", "a file where a folder should be")
	err := p.Subscribe(subscription(t, flowlog.File), newTwin(), Limits{}, unix(0))
	if err == nil || !strings.Contains(err.Error(), filepath.Join(p.dir, "fl-1")) {
		t.Errorf("error %v", err)
	}
	if p.Log("fl-1") != nil {
		t.Error("it is subscribed")
	}
}

// Samples, windows, deliveries and questions at once, with a destination that fails half of the time: the sums are exact.
func TestPublisherIsSafe(t *testing.T) {
	p := newPublisher(t, flowlog.Options{})
	w := newTwin()
	w.answer = func(attempt int) (bool, error) {
		if attempt%2 == 0 {
			return false, errDown
		}
		return true, nil
	}
	s := subscription(t, flowlog.S3)
	if err := p.Subscribe(s, w, Limits{}, unix(0)); err != nil {
		t.Fatal(err)
	}
	const seconds, each = 900, 20
	var clock sync.Mutex // samples of a second are told before its window is closed
	now := int64(0)
	var all sync.WaitGroup
	all.Go(func() {
		for range seconds {
			clock.Lock()
			for i := range each {
				p.Add(saw(uint16(i), true, now))
			}
			now++
			clock.Unlock()
		}
	})
	second := func() int64 {
		clock.Lock()
		defer clock.Unlock()
		return now
	}
	for range 3 {
		all.Go(func() {
			for n := second(); n < seconds; n = second() {
				p.Tick(unix(n))
				_ = p.Deliver(background, unix(n))
				_ = p.Log("fl-1").State()
				for _, err := range p.Log("fl-1").Waiting() {
					if err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	for p.Finish(background, unix(seconds)) != nil {
		continue
	}
	if got := w.sum(); got.Packets != seconds*each || got.Bytes != 100*seconds*each {
		t.Errorf("delivered %+v", got)
	}
}

// A million flows, from samples to a destination in memory.
func BenchmarkMillionFlows(b *testing.B) {
	for b.Loop() {
		p := NewPublisher(flowlog.Options{Start: unix(0)}, b.TempDir())
		p.SetInterface(1, *eni, unix(0))
		s := &flowlog.Subscription{ID: "fl-1", Resource: "vpc-1", Interval: time.Minute}
		var delivered Counts
		if err := p.Subscribe(s, tally{&delivered}, Limits{}, unix(0)); err != nil {
			b.Fatal(err)
		}
		for i := range 1_000_000 {
			sample := saw(uint16(i), true, 1)
			sample.Tuple.DstPort = uint16(i >> 16)
			p.Add(sample)
		}
		p.Tick(unix(60))
		if err := p.Finish(background, unix(60)); err != nil || delivered.Records != 1_000_000 {
			b.Fatal(fmt.Sprint(err, delivered))
		}
	}
}

// tally is a destination that only counts.
type tally struct{ counts *Counts }

func (d tally) Deliver(_ context.Context, b *Batch) error {
	for e, err := range b.Entries {
		if err != nil {
			return err
		}
		d.counts.add(e.counts())
	}
	return nil
}
