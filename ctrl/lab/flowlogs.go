package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"sync"
	"time"

	"github.com/vpclab/vpclab/ctrl/compile"
	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/ctrl/flowlog/delivery"
	"github.com/vpclab/vpclab/ctrl/flowlog/destination"
	"github.com/vpclab/vpclab/dataplane/engine"
)

// flowLogs are a lab's flow logs: they tell the publisher of interfaces and subscriptions, feed it with the engine's samples, and have it
// close windows and deliver in lab time.
//
//	engine.Sample ─► Publisher.Add ─► Tick: windows ─┬─► recent, for checks
//	                                                 └─► spool ─► Deliver
type flowLogs struct {
	lab *Lab

	// mu is held from before samples are taken until they are counted: none comes after its window was closed.
	mu         sync.Mutex
	publisher  *delivery.Publisher
	interfaces map[uint32]flowlog.Interface
	logs       map[string]compile.FlowLog // by ID
	next       time.Time                  // lab time at which a window ends
	recent     recent
	closed     bool

	due      chan struct{} // something is to be delivered
	register register
}

// inMemory bounds, in bytes, what waits for delivery on the memory file system where labs have their state.
const inMemory = 64 << 20

func (f *flowLogs) activeLocked() bool { return len(f.logs) > 0 }

// places is where flow logs are delivered, and their spools.
func (f *flowLogs) places() (destination.Places, string) {
	o := f.lab.options
	places := destination.Places{Dir: o.Out, S3: o.S3, Logs: o.CloudWatch, Buckets: f.lab.services.keep}
	if o.Out == "" {
		places.Dir = filepath.Join(f.lab.host.Dir(), "logs")
		return places, filepath.Join(f.lab.host.Dir(), "spool")
	}
	return places, filepath.Join(o.Out, ".spool-"+f.lab.name)
}

// limits are those of a flow log's delivery, which takes as long as in AWS.
func (f *flowLogs) limits(k flowlog.DestinationKind) delivery.Limits {
	limits := delivery.Limits{Delay: delivery.UsualDelay(k)}
	if f.lab.options.Out == "" {
		limits.Spool = inMemory
	}
	return limits
}

// update makes the publisher know a plan's interfaces and subscriptions, and the engine sample if there are any; and it tells of them.
func (f *flowLogs) update(plan *compile.Plan) error {
	if err := f.take(plan); err != nil {
		return err
	}
	return f.publish(false)
}

func (f *flowLogs) take(plan *compile.Plan) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := monotonic()
	at := f.lab.clock.At(now)
	if f.publisher == nil {
		_, spool := f.places()
		f.publisher = delivery.NewPublisher(flowlog.Options{Start: f.lab.clock.start, Flows: f.lab.options.LogFlows, Services: plan.Services}, spool)
	}
	f.countLocked(now)
	for index, i := range plan.Interfaces {
		f.publisher.SetInterface(index, i, at)
	}
	for index := range f.interfaces {
		if _, stays := plan.Interfaces[index]; !stays {
			f.publisher.RemoveInterface(index, at)
		}
	}
	f.interfaces = maps.Clone(plan.Interfaces)
	err := f.subscribeLocked(plan.FlowLogs, at)
	f.lab.engine.SetSampling(now, f.activeLocked())
	f.expectLocked(at)
	return errors.Join(err, f.registerLocked())
}

// subscribeLocked begins and ends subscriptions.
func (f *flowLogs) subscribeLocked(wanted []compile.FlowLog, at time.Time) error {
	before := f.logs
	f.logs = map[string]compile.FlowLog{}
	places, _ := f.places()
	var errs []error
	for _, l := range wanted {
		if have, ok := before[l.ID]; ok {
			f.logs[l.ID] = have
			continue
		}
		err := f.locate(&l.Destination)
		var to delivery.Destination
		if err == nil {
			to, err = places.Of(&l.Subscription)
		}
		if err == nil {
			err = f.publisher.Subscribe(&l.Subscription, to, f.limits(l.Destination.Kind), at)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("flow log %s: %w", l.Name, err))
			continue
		}
		f.logs[l.ID] = l
	}
	for id := range before {
		if _, stays := f.logs[id]; !stays {
			f.publisher.Unsubscribe(id)
		}
	}
	return errors.Join(errs...)
}

// locate makes the path of a file absolute. It is relative to the scenario file, wherever that is.
func (f *flowLogs) locate(d *flowlog.Destination) (err error) {
	if d.Kind == flowlog.File && !filepath.IsAbs(d.Path) {
		d.Path, err = filepath.Abs(filepath.Join(f.lab.guests.dir, d.Path))
	}
	return err
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

// tick closes the windows that are over and has delivered what is due. It returns after how much real time there will be more to do; a long
// time if there will be nothing by itself.
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
		select {
		case f.due <- struct{}{}:
		default: // it is known
		}
	}
	return time.Duration(float64(f.next.Sub(f.lab.clock.At(now)))/rate) + time.Millisecond
}

// runDeliveries delivers what tick finds due. A destination may take long, and the lab's housekeeping does not wait for it.
func (f *flowLogs) runDeliveries(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.due:
			f.deliver(ctx)
		}
	}
}

// deliver hands over what is due. That a destination fails is its log's state, and it is tried again.
func (f *flowLogs) deliver(ctx context.Context) {
	_ = f.publisher.Deliver(ctx, f.lab.Now()) // State says it
	_ = f.publish(false)                      // where this cannot be written, nothing can be delivered either, which close tells
}

// around calls jump, in which lab time jumps: what was seen before is counted before, and what is over and due then is closed and delivered.
func (f *flowLogs) around(jump func()) {
	f.mu.Lock()
	f.countLocked(monotonic())
	jump()
	f.closeLocked(monotonic())
	active := f.activeLocked()
	f.mu.Unlock()
	if active {
		f.deliver(context.Background())
	}
}

// countLocked takes and counts all that was seen until now.
func (f *flowLogs) countLocked(now int64) {
	if f.activeLocked() {
		f.lab.engine.Sample(now, f.addLocked)
	}
}

func (f *flowLogs) addLocked(samples []engine.Sample) {
	clock := f.lab.clock
	counted := make([]flowlog.Sample, len(samples))
	for i := range samples {
		s := &samples[i]
		counted[i] = flowlog.Sample{
			Interface: s.Attachment, Direction: s.Direction, Tuple: s.Tuple, Accept: s.Accept, TrafficPath: s.TrafficPath,
			Packets: s.Packets, Bytes: s.Bytes, First: clock.At(s.First), Last: clock.At(s.Last), Flags: s.Flags,
		}
	}
	f.publisher.Add(counted...)
}

// closeLocked closes the windows that are over. All that was seen in them is counted.
func (f *flowLogs) closeLocked(now int64) {
	if !f.activeLocked() {
		return
	}
	at := f.lab.clock.At(now)
	for _, w := range f.publisher.Tick(at) {
		for s, r := range w.Records() {
			f.recent.add(told{log: f.logs[s.ID].Name, format: s.Format, record: *r, at: now})
		}
	}
	f.expectLocked(at)
}

// windowEnd is when the window of a flow log ends in which a lab time lies; false if there is no log of that name.
func (f *flowLogs) windowEnd(name string, at time.Time) (time.Time, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.logs {
		if l.Name == name {
			start := f.lab.clock.start
			return start.Add((at.Sub(start)/l.Interval + 1) * l.Interval), true
		}
	}
	return time.Time{}, false
}

// close delivers all that is there, windows that are not over included. What could not be delivered is an *UndeliveredError.
func (f *flowLogs) close() error {
	failed, finished := f.finish()
	if !finished {
		return nil
	}
	told := f.publish(true)
	if f.lab.options.Out == "" {
		f.letFollowersRead()
	}
	if err := f.undelivered(); err != nil {
		return err // which says why
	}
	return errors.Join(failed, told)
}

// finish closes all windows and delivers; false if there is nothing to finish, or it was done before.
func (f *flowLogs) finish() (failed error, finished bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.publisher == nil || f.closed {
		return nil, false
	}
	f.closed = true
	now := monotonic()
	f.countLocked(now)
	return f.publisher.Finish(context.Background(), f.lab.clock.At(now)), true
}
