package lab

import (
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/vpclab/vpclab/ctrl/compile"
	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/dataplane/engine"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// flowLogs are a lab's flow logs: they tell the aggregator of interfaces and subscriptions, feed it with the engine's samples, and hand on
// the windows of lab time that are over.
//
//	engine.Sample ─► aggregator ─► window ─┬─► recent, for checks
//	                                       └─► delivery
type flowLogs struct {
	lab *Lab

	// mu is held from before samples are taken until they are counted: none comes after its window was closed.
	mu         sync.Mutex
	aggregator *flowlog.Aggregator
	interfaces map[uint32]flowlog.Interface
	names      map[string]string // of subscriptions, by ID
	next       time.Time         // lab time at which a window ends
	recent     recent
}

func (f *flowLogs) activeLocked() bool { return len(f.names) > 0 }

// update makes the aggregator know a plan's interfaces and subscriptions, and the engine sample if there are any.
func (f *flowLogs) update(plan *compile.Plan) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := monotonic()
	at := f.lab.clock.At(now)
	if f.aggregator == nil {
		f.aggregator = flowlog.NewAggregator(flowlog.Options{Start: f.lab.clock.start, Services: plan.Services})
	}
	f.countLocked(now)
	for index, i := range plan.Interfaces {
		f.aggregator.SetInterface(index, i, at)
	}
	for index := range f.interfaces {
		if _, stays := plan.Interfaces[index]; !stays {
			f.aggregator.RemoveInterface(index, at)
		}
	}
	f.interfaces = maps.Clone(plan.Interfaces)

	wanted := map[string]string{}
	var errs []error
	for _, l := range plan.FlowLogs {
		wanted[l.ID] = l.Name
		if f.names[l.ID] == "" {
			errs = append(errs, f.aggregator.Subscribe(&l.Subscription, at))
		}
	}
	for id := range f.names {
		if wanted[id] == "" {
			f.aggregator.Unsubscribe(id)
		}
	}
	f.names = wanted
	f.lab.engine.SetSampling(now, f.activeLocked())
	f.expectLocked(at)
	return errors.Join(errs...)
}

// expectLocked notes when the window ends in which a lab time lies. All windows are whole minutes from the lab's start.
func (f *flowLogs) expectLocked(at time.Time) {
	start := f.lab.clock.start
	f.next = start.Add((at.Sub(start)/flowlog.ShortInterval + 1) * flowlog.ShortInterval)
}

// collect counts what the engine has sampled by itself: packets without a flow, and flows that ended.
func (f *flowLogs) collect() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.activeLocked() {
		f.lab.engine.Drain(f.addLocked)
	}
}

// tick closes the windows that are over, and returns after how much real time another one will be; a long time if none will be by itself.
func (f *flowLogs) tick() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	rate := f.lab.clock.rate
	if !f.activeLocked() || rate == 0 {
		return time.Hour
	}
	now := monotonic()
	if !f.lab.clock.At(now).Before(f.next) {
		f.countLocked(now)
		f.closeLocked(now)
	}
	return time.Duration(float64(f.next.Sub(f.lab.clock.At(now)))/rate) + time.Millisecond
}

// around calls jump, in which lab time jumps: what was seen before is counted before, and windows that are over then are closed.
func (f *flowLogs) around(jump func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.countLocked(monotonic())
	jump()
	f.closeLocked(monotonic())
}

// countLocked takes and counts all that was seen until now.
func (f *flowLogs) countLocked(now int64) {
	if f.activeLocked() {
		f.lab.engine.Sample(now, f.addLocked)
	}
}

func (f *flowLogs) addLocked(samples []engine.Sample) {
	clock := f.lab.clock
	for i := range samples {
		s := &samples[i]
		f.aggregator.Add(flowlog.Sample{
			Interface: s.Attachment, Direction: s.Direction, Tuple: s.Tuple, Accept: s.Accept, TrafficPath: s.TrafficPath,
			Packets: s.Packets, Bytes: s.Bytes, First: clock.At(s.First), Last: clock.At(s.Last), Flags: s.Flags,
		})
	}
}

// closeLocked hands on the windows that are over. All that was seen in them is counted.
func (f *flowLogs) closeLocked(now int64) {
	if !f.activeLocked() {
		return
	}
	at := f.lab.clock.At(now)
	for _, w := range f.aggregator.Close(at) {
		for s, r := range w.Records() {
			f.recent.add(told{log: f.names[s.ID], format: s.Format, record: *r, at: now})
		}
	}
	f.expectLocked(at)
}

// recent are the latest records, for checks that ask for theirs.
type recent struct{ records []told }

// told is a record that a flow log has told, at a monotonic time.
type told struct {
	log    string
	format flowlog.Format
	record flowlog.Record
	at     int64
}

// maxRecent bounds how many records are kept for checks: more than one check causes.
const maxRecent = 1 << 16

func (r *recent) add(t told) {
	if len(r.records) == maxRecent {
		r.records = append(r.records[:0], r.records[maxRecent/2:]...)
	}
	r.records = append(r.records, t)
}

// since lists a flow log's records that were told since a monotonic time and are of a connection, given by the tuples of its packets. Of
// protocols other than TCP and UDP records have no ports.
func (r *recent) since(mark int64, log string, connection map[flow.Tuple]bool) []flowlog.Row {
	portless := map[flow.Tuple]bool{}
	for t := range connection {
		if t.Protocol != flow.TCP && t.Protocol != flow.UDP {
			t.SrcPort, t.DstPort = 0, 0
		}
		portless[t] = true
	}
	var rows []flowlog.Row
	for i := range r.records {
		if t := &r.records[i]; t.at >= mark && t.log == log && t.record.Status == flowlog.OK && portless[t.record.Tuple] {
			rows = append(rows, t.format.Row(&t.record))
		}
	}
	return rows
}
