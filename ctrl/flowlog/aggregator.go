package flowlog

import (
	"maps"
	"slices"
	"time"
)

// DefaultFlows is how many flows a window holds unless Options say otherwise; they take 200 MB.
const DefaultFlows = 2 << 20

// Options are what an Aggregator is made with.
type Options struct {
	Start    time.Time // of the lab: windows are aligned to it
	Flows    int       // in one window, over all interfaces; more are skipped and counted. 0: DefaultFlows
	Services *Services
}

// Skipped counts what was seen and not recorded. A flow that is skipped in several samples counts once for each.
type Skipped struct{ Flows, Packets, Bytes uint64 }

// Add adds what else was skipped.
func (s *Skipped) Add(o Skipped) {
	s.Flows += o.Flows
	s.Packets += o.Packets
	s.Bytes += o.Bytes
}

// Aggregator adds up samples to windows. It belongs to one goroutine at a time.
//
// Subscriptions of one interval share their windows, so that a flow is counted once however many subscriptions want it. What nobody
// wants is not counted.
type Aggregator struct {
	options       Options
	interfaces    map[uint32]*member
	subscriptions []*enrolled
	pipelines     [2]pipeline // of ShortInterval and LongInterval
	strays        Skipped
}

// member is an interface from when it came until it went, in Unix nanoseconds.
type member struct {
	Interface
	index       uint32
	since, gone int64
	wanted      [2]bool // by a subscription of the pipeline
}

// forever is when an interface goes that is there.
const forever = 1<<63 - 1

// enrolled is a subscription with the time from which it wants records.
type enrolled struct {
	*Subscription
	since int64
}

// pipeline is the windows of one interval.
type pipeline struct {
	interval time.Duration
	open     map[int64]*Window // by number
	next     int64             // number of the first window that has not been closed
}

// NewAggregator makes an aggregator that knows no interface and no subscription.
func NewAggregator(o Options) *Aggregator {
	if o.Flows <= 0 {
		o.Flows = DefaultFlows
	}
	a := &Aggregator{options: o, interfaces: map[uint32]*member{}}
	for i, interval := range [...]time.Duration{ShortInterval, LongInterval} {
		a.pipelines[i] = pipeline{interval: interval, open: map[int64]*Window{}}
	}
	return a
}

// SetInterface says what records are to say of an interface, from now on and of all windows that are still open.
func (a *Aggregator) SetInterface(index uint32, i Interface, now time.Time) {
	m := a.interfaces[index]
	if m == nil {
		m = &member{index: index, since: now.UnixNano()}
	}
	a.interfaces[index] = &member{Interface: i, index: index, since: m.since, gone: forever}
	a.enlist()
}

// RemoveInterface ends an interface. What is still sampled of it counts until its last window is closed.
func (a *Aggregator) RemoveInterface(index uint32, now time.Time) {
	if m := a.interfaces[index]; m != nil {
		m.gone = min(m.gone, now.UnixNano())
	}
}

// Subscribe adds a subscription, from now on; in the window that is open it wants the flows whose last packet is yet to come. The error is
// an *ExistsError if there is one that differs in its ID only.
func (a *Aggregator) Subscribe(s *Subscription, now time.Time) error {
	if err := s.check(); err != nil {
		return err
	}
	for _, other := range a.subscriptions {
		if s.ID == other.ID || s.same(other.Subscription) {
			return &ExistsError{s.ID, other.ID}
		}
	}
	p := a.pipelineOf(s)
	if !a.runs(p) {
		p.next = max(p.next, a.number(p, now))
	}
	a.subscriptions = append(a.subscriptions, &enrolled{s, now.UnixNano()})
	a.enlist()
	return nil
}

// Unsubscribe ends a subscription at once: windows that are open no longer have records for it.
func (a *Aggregator) Unsubscribe(id string) {
	a.subscriptions = slices.DeleteFunc(a.subscriptions, func(s *enrolled) bool { return s.ID == id })
	a.enlist()
}

// enlist works out which pipelines want which interfaces.
func (a *Aggregator) enlist() {
	for _, m := range a.interfaces {
		m.wanted = [2]bool{}
		for _, s := range a.subscriptions {
			if s.covers(&m.Interface) {
				m.wanted[pipelineIndex(s.Subscription)] = true
			}
		}
	}
}

func pipelineIndex(s *Subscription) int {
	if s.interval() == ShortInterval {
		return 0
	}
	return 1
}

func (a *Aggregator) pipelineOf(s *Subscription) *pipeline { return &a.pipelines[pipelineIndex(s)] }

// runs reports whether a pipeline has a subscription.
func (a *Aggregator) runs(p *pipeline) bool {
	return slices.ContainsFunc(a.subscriptions, func(s *enrolled) bool { return a.pipelineOf(s.Subscription) == p })
}

// number is that of the window in which a time lies.
func (a *Aggregator) number(p *pipeline, t time.Time) int64 {
	return max(0, int64(t.Sub(a.options.Start)/p.interval))
}

// Add counts samples. One that comes after its window was closed counts in the first that is open.
func (a *Aggregator) Add(samples ...Sample) {
	for i := range samples {
		s := &samples[i]
		m := a.interfaces[s.Interface]
		if m == nil {
			a.strays.Add(Skipped{1, s.Packets, s.Bytes})
			continue
		}
		for at := range a.pipelines {
			if m.wanted[at] {
				p := &a.pipelines[at]
				a.window(p, max(p.next, a.number(p, s.Last))).add(s, a.options.Flows)
			}
		}
	}
}

// window is one that is open, made if need be.
func (a *Aggregator) window(p *pipeline, number int64) *Window {
	w := p.open[number]
	if w == nil {
		start := a.options.Start.Add(time.Duration(number) * p.interval)
		w = &Window{
			Start: start, End: start.Add(p.interval), services: a.options.Services, flows: newTable(), seen: map[uint32]*seen{},
		}
		p.open[number] = w
	}
	return w
}

// Close ends the windows that are over and returns them, the oldest first and of equal ones the shorter. The caller has sampled all
// counters before; now is when it began to.
func (a *Aggregator) Close(now time.Time) []*Window {
	var closed []*Window
	for at := range a.pipelines {
		p := &a.pipelines[at]
		over := a.number(p, now)
		if !a.runs(p) { // nobody wants them
			p.next = max(p.next, over)
			clear(p.open)
			continue
		}
		audience := a.audience(p)
		for ; p.next < over; p.next++ {
			w := a.window(p, p.next)
			delete(p.open, p.next)
			w.audience = audience
			closed = append(closed, w)
		}
	}
	a.forget()
	slices.SortStableFunc(closed, func(v, w *Window) int { return v.End.Compare(w.End) })
	return closed
}

// Finish closes all windows, those that are not over with what they have: of an interface without packets they do not say that it had none.
// It is for the end of a lab: nothing may be added afterwards.
func (a *Aggregator) Finish(now time.Time) []*Window {
	closed := a.Close(now)
	for at := range a.pipelines {
		p := &a.pipelines[at]
		if !a.runs(p) {
			continue
		}
		a.window(p, a.number(p, now))
		for _, number := range slices.Sorted(maps.Keys(p.open)) {
			w := p.open[number]
			if w.audience = a.audience(p); w.End.After(now) {
				w.End, w.cut = now, true
			}
			closed = append(closed, w)
		}
		clear(p.open)
	}
	return closed
}

// audience is who wants records of which interface of a pipeline, by interface index.
func (a *Aggregator) audience(p *pipeline) []audience {
	var all []audience
	for _, index := range slices.Sorted(maps.Keys(a.interfaces)) {
		au := audience{member: a.interfaces[index]}
		for _, s := range a.subscriptions {
			if a.pipelineOf(s.Subscription) == p && s.covers(&au.member.Interface) {
				au.subscriptions = append(au.subscriptions, s)
			}
		}
		if len(au.subscriptions) > 0 {
			all = append(all, au)
		}
	}
	return all
}

// forget drops the interfaces that went before all windows that are open.
func (a *Aggregator) forget() {
	oldest := int64(forever)
	for at := range a.pipelines {
		if p := &a.pipelines[at]; a.runs(p) {
			oldest = min(oldest, a.options.Start.Add(time.Duration(p.next)*p.interval).UnixNano())
		}
	}
	maps.DeleteFunc(a.interfaces, func(_ uint32, m *member) bool { return m.gone != forever && m.gone <= oldest })
}

// Strays counts the samples of interfaces that nobody had told of.
func (a *Aggregator) Strays() Skipped { return a.strays }
