package delivery

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/vpclab/vpclab/ctrl/flowlog"
)

// Publisher is all of a lab's flow logs: one Aggregator and a Log for each subscription. It is safe for use by several goroutines.
//
// Whoever owns the counters calls Add with what they say, Tick when windows may be over, and Deliver from wherever it may take long.
type Publisher struct {
	dir string

	ticking sync.Mutex // held while windows are written, in their order

	mu         sync.Mutex
	aggregator *flowlog.Aggregator
	logs       []*publication
	skipped    flowlog.Skipped
}

// publication is a subscription's Log.
type publication struct {
	*Log
	ended bool // nobody subscribes any more; what waits is still delivered
}

// NewPublisher makes a publisher that keeps its spools below a folder.
func NewPublisher(o flowlog.Options, dir string) *Publisher {
	return &Publisher{dir: dir, aggregator: flowlog.NewAggregator(o)}
}

// Subscribe begins a subscription at a lab time. The error may be a *flowlog.ExistsError. What waits of one that ended and had the same ID
// is its own from now on; a delivery of it that is under way is waited for.
func (p *Publisher) Subscribe(s *flowlog.Subscription, d Destination, limits Limits, now time.Time) error {
	p.ticking.Lock()
	defer p.ticking.Unlock()
	if l := p.Log(s.ID); l != nil && p.forget(l) {
		l.retire()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.aggregator.Subscribe(s, now); err != nil {
		return err
	}
	l, err := Open(filepath.Join(p.dir, s.ID), s, d, limits)
	if err != nil {
		p.aggregator.Unsubscribe(s.ID)
		return err
	}
	p.logs = append(p.logs, &publication{Log: l})
	return nil
}

// Unsubscribe ends a subscription. What has been spooled is still delivered.
func (p *Publisher) Unsubscribe(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.aggregator.Unsubscribe(id)
	for _, l := range p.logs {
		l.ended = l.ended || l.subscription.ID == id
	}
}

// forget takes a log out that has ended; false if it has not.
func (p *Publisher) forget(l *Log) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := len(p.logs)
	p.logs = slices.DeleteFunc(p.logs, func(o *publication) bool { return o.Log == l && o.ended })
	return len(p.logs) < before
}

// SetInterface is Aggregator.SetInterface.
func (p *Publisher) SetInterface(index uint32, i flowlog.Interface, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.aggregator.SetInterface(index, i, now)
}

// RemoveInterface is Aggregator.RemoveInterface.
func (p *Publisher) RemoveInterface(index uint32, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.aggregator.RemoveInterface(index, now)
}

// Add is Aggregator.Add.
func (p *Publisher) Add(samples ...flowlog.Sample) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.aggregator.Add(samples...)
}

// Tick closes the windows that are over at a lab time and spools their records. It returns the windows, for whoever else wants to look
// at their records.
func (p *Publisher) Tick(now time.Time) []*flowlog.Window {
	return p.close(now, (*flowlog.Aggregator).Close)
}

func (p *Publisher) close(now time.Time, with func(*flowlog.Aggregator, time.Time) []*flowlog.Window) []*flowlog.Window {
	p.ticking.Lock()
	defer p.ticking.Unlock()
	p.mu.Lock()
	windows := with(p.aggregator, now)
	logs := map[*flowlog.Subscription]*publication{}
	for _, l := range p.logs {
		logs[l.subscription] = l
	}
	p.mu.Unlock()
	if len(windows) == 0 {
		return nil
	}
	var skipped flowlog.Skipped
	for _, w := range windows {
		skipped.Add(w.Skipped())
		for s, r := range w.Records() {
			if l := logs[s]; l != nil {
				l.Write(r, w.End)
			}
		}
	}
	for _, l := range logs {
		l.Flush()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.skipped.Add(skipped)
	return windows
}

// Deliver hands over what is due at a lab time, to all destinations at once, so that none waits for another. The error joins those of
// destinations that failed.
func (p *Publisher) Deliver(ctx context.Context, now time.Time) error {
	return p.each(func(l *Log) error { return l.Deliver(ctx, now) })
}

// Finish closes all windows where they are, and hands over all there is. What a destination does not take stays in its spool.
func (p *Publisher) Finish(ctx context.Context, now time.Time) error {
	p.close(now, (*flowlog.Aggregator).Finish)
	return errors.Join(p.each(func(l *Log) error { return l.Drain(ctx, now) }), p.each((*Log).Close))
}

// each calls f for all logs side by side, and forgets those that have ended and are empty.
func (p *Publisher) each(f func(*Log) error) error {
	p.mu.Lock()
	logs := slices.Clone(p.logs)
	p.mu.Unlock()
	errs := make([]error, len(logs))
	var all sync.WaitGroup
	for i, l := range logs {
		all.Go(func() { errs[i] = f(l.Log) })
	}
	all.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.logs = slices.DeleteFunc(p.logs, func(l *publication) bool {
		done := l.ended && l.State().Waiting.Records == 0
		if done {
			_ = os.Remove(l.dir) // refused if somebody put something there
		}
		return done
	})
	return errors.Join(errs...)
}

// Log finds a subscription's delivery by its ID, nil if there is none.
func (p *Publisher) Log(id string) *Log {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.logs {
		if l.subscription.ID == id {
			return l.Log
		}
	}
	return nil
}

// Skipped is what no window held for want of room; what the spools had no room for is in each Log's State.
func (p *Publisher) Skipped() flowlog.Skipped {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.skipped
}

// Strays is Aggregator.Strays.
func (p *Publisher) Strays() flowlog.Skipped {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.aggregator.Strays()
}
