package lab

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vpclab/vpclab/ctrl/compile"
	"github.com/vpclab/vpclab/ctrl/flowlog/destination"
	"github.com/vpclab/vpclab/ctrl/hostnet"
	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/ctrl/vpc"
	"github.com/vpclab/vpclab/dataplane/engine"
	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/netdev"
	"github.com/vpclab/vpclab/ebpf/fastpath"
)

// ErrMachine is wrapped by errors that say that this machine cannot run a lab, whatever the scenario.
var ErrMachine = errors.New("this machine cannot run a lab")

// Options choose how a lab runs.
type Options struct {
	// Offload lets eBPF forward what the engine has decided. Without it every packet passes the engine, with the same results.
	Offload bool
	// Out is the folder below which flow logs are delivered that name no endpoint of their own; it is made if need be. Empty: they go with
	// the lab.
	Out string
	// S3 and CloudWatch are services that speak AWS's APIs, to which flow logs go with such a destination; nil: to folders.
	S3, CloudWatch *destination.Endpoint
	// LogFlows is how many flows a window of the flow logs holds; more are skipped, and told as SKIPDATA. 0: flowlog.DefaultFlows.
	LogFlows int
	// Progress is told what is being done; done of total are attachments or programs. It may be nil, and is called from any goroutine.
	Progress func(stage string, done, total int)
}

// Lab is one running lab.
type Lab struct {
	name     string
	clock    *Clock
	host     *hostnet.Host
	fast     *fastpath.FastPath
	engine   *engine.Engine
	sw       *engine.Switch
	guests   guests
	links    links
	logs     flowLogs
	services services
	options  Options

	mu       sync.Mutex // one change at a time
	plan     *compile.Plan
	attached map[uint32]bool
	// atDoor counts, at the latest Mark, what was dropped at the door.
	atDoor map[doorDrop]uint64

	undelivered *UndeliveredError // known once it is closed

	stop    context.CancelFunc
	running sync.WaitGroup
	broken  chan error
	closing atomic.Bool
}

// Start builds the lab of a scenario and starts its listeners and programs. If it fails, nothing of the lab is left.
func Start(ctx context.Context, s *scenario.Scenario, o Options) (*Lab, error) {
	if o.Progress == nil {
		o.Progress = func(string, int, int) {}
	}
	o.Progress("prepare", 0, 1)
	host, err := hostnet.Open(s.Name)
	if err != nil {
		return nil, err
	}
	l := &Lab{
		name:     s.Name,
		clock:    NewClock(s.Clock.Start, s.Clock.Rate, monotonic()),
		host:     host,
		options:  o,
		attached: map[uint32]bool{},
		broken:   make(chan error, 1),
	}
	l.guests.lab, l.guests.dir = l, directoryOf(s)
	l.links.lab, l.logs.lab, l.services.lab = l, l, l
	l.logs.due = make(chan struct{}, 1)
	if err := l.start(ctx, s); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) start(ctx context.Context, s *scenario.Scenario) error {
	plan := compile.Compile(s.Model, nil)
	fast, err := fastpath.Load(fastpath.Config{})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMachine, err)
	}
	l.fast = fast
	config := engine.Config{Network: plan.Network, Memory: fast.Memory(), Rate: s.Clock.Rate, Timeouts: timeouts(s.Model.Tracking)}
	if l.options.Offload {
		config.Offload = fast
	}
	if l.engine, err = engine.New(config); err != nil {
		return err
	}
	l.sw = engine.NewSwitch(l.engine, monotonic, l.fail)
	if err := l.host.Apply(ctx, plan.Desired); err != nil {
		return err
	}
	if err := l.host.Expedited(func() error { return l.connect(ctx, plan) }); err != nil {
		return err
	}
	if err := l.links.update(plan); err != nil {
		return err
	}
	if err := l.logs.update(plan); err != nil {
		return err
	}
	if err := l.services.start(plan); err != nil {
		return hostnet.StateError(err)
	}
	l.plan = plan
	background, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.running.Go(func() { l.runSweeps(background) })
	l.running.Go(func() { l.logs.runDeliveries(background) })
	return l.guests.update(ctx, s.Model)
}

// timeouts are AWS's idle limits with those that the model sets.
func timeouts(t vpc.Tracking) func(uint8) flow.Timeouts {
	return func(proto uint8) flow.Timeouts {
		limits := flow.DefaultTimeouts(proto)
		set := func(s flow.State, d time.Duration) {
			if d > 0 {
				limits[s] = d
			}
		}
		switch proto {
		case flow.TCP:
			set(flow.Established, t.TCPEstablished)
		case flow.UDP:
			set(flow.Opening, t.UDP)
			set(flow.Established, t.UDPStream)
		}
		return limits
	}
}

// connect joins the attachments that are new in a plan to the fast path and the engine, and sets the neighbours.
func (l *Lab) connect(ctx context.Context, plan *compile.Plan) error {
	if err := l.setNeighbors(plan); err != nil {
		return err
	}
	for i, a := range plan.Desired.Attachments {
		l.options.Progress("connect", i, len(plan.Desired.Attachments))
		if l.attached[a.Index] {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := l.attach(a, plan.Scopes[a.Index]); err != nil {
			return fmt.Errorf("attachment %d (%s %s): %w", a.Index, a.Namespace, a.Device, err)
		}
	}
	return nil
}

func (l *Lab) attach(a hostnet.Attachment, scope uint32) error {
	ports, ok := l.host.Ports(a.Index)
	if !ok {
		return errors.New("no devices")
	}
	err := l.host.InFabric(func() error {
		return l.fast.Attach(fastpath.Attachment{
			Index: a.Index, Veth: int(ports.Veth), TUN: int(ports.TUN), GuestMAC: a.MAC, RouterMAC: hostnet.RouterMAC, Scope: scope,
		})
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMachine, err)
	}
	fd, err := l.host.TakeTUN(a.Index)
	if err != nil {
		return err
	}
	device, err := netdev.NewTUN(fd)
	if err != nil {
		return err
	}
	l.sw.Plug(a.Index, device)
	l.attached[a.Index] = true
	return nil
}

// detach takes an attachment out of the fast path and the engine.
func (l *Lab) detach(index uint32) error {
	delete(l.attached, index)
	return errors.Join(l.fast.Detach(index), l.sw.Unplug(index))
}

func (l *Lab) setNeighbors(plan *compile.Plan) error {
	var old map[compile.Neighbor]uint32
	if l.plan != nil {
		old = l.plan.Neighbors
	}
	var errs []error
	for n, owner := range plan.Neighbors {
		if have, ok := old[n]; !ok || have != owner {
			errs = append(errs, l.fast.SetNeighbor(n.Scope, n.Addr, owner))
		}
	}
	for n := range old {
		if _, ok := plan.Neighbors[n]; !ok {
			errs = append(errs, l.fast.RemoveNeighbor(n.Scope, n.Addr))
		}
	}
	return errors.Join(errs...)
}

// Apply changes the running lab to another model: first everything new is made, then the engine decides by the new revision, then
// what is gone is removed.
func (l *Lab) Apply(ctx context.Context, m *vpc.Model) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	plan := compile.Compile(m, l.plan)
	if err := l.detachReplaced(plan); err != nil {
		return err
	}
	if err := l.host.Apply(ctx, union(plan.Desired, l.plan.Desired)); err != nil {
		return err
	}
	if err := l.host.Expedited(func() error { return l.connect(ctx, plan) }); err != nil {
		return err
	}
	if err := l.links.update(plan); err != nil {
		return err
	}
	l.engine.SetTimeouts(timeouts(m.Tracking))
	// Before packets can pass an interface that flow logs do not know.
	if err := l.logs.update(plan); err != nil {
		return err
	}
	if err := l.engine.SetNetwork(monotonic(), plan.Network); err != nil {
		return err
	}
	var errs []error
	for _, a := range l.plan.Desired.Attachments {
		if int(a.Index) >= len(plan.Network.Attachments) || plan.Network.Attachments[a.Index] == nil {
			errs = append(errs, l.detach(a.Index))
		}
	}
	l.plan = plan
	errs = append(errs, l.services.update(plan), l.links.prune(plan), l.guests.update(ctx, m))
	errs = append(errs, l.host.Expedited(func() error { return l.host.Apply(ctx, plan.Desired) }))
	return errors.Join(errs...)
}

// detachReplaced takes out the attachments whose interface a new one takes the place of: the host removes those first.
func (l *Lab) detachReplaced(plan *compile.Plan) error {
	type nic struct{ namespace, device string }
	index := map[nic]uint32{}
	for _, a := range plan.Desired.Attachments {
		index[nic{a.Namespace, a.Device}] = a.Index
	}
	var errs []error
	for _, a := range l.plan.Desired.Attachments {
		if now, ok := index[nic{a.Namespace, a.Device}]; ok && now != a.Index {
			errs = append(errs, l.detach(a.Index))
		}
	}
	return errors.Join(errs...)
}

// union is what is desired now and, beside it, what was desired before, but for what stands in the way: an interface under a name that
// a new one takes.
func union(now, before hostnet.Desired) hostnet.Desired {
	type nic struct{ namespace, device string }
	guests, nics := map[string]bool{}, map[nic]bool{}
	for _, g := range now.Guests {
		guests[g.Namespace] = true
	}
	for _, a := range now.Attachments {
		nics[nic{a.Namespace, a.Device}] = true
	}
	both := hostnet.Desired{
		Lab:         now.Lab,
		Guests:      append([]hostnet.Guest(nil), now.Guests...),
		Attachments: append([]hostnet.Attachment(nil), now.Attachments...),
	}
	for _, g := range before.Guests {
		if !guests[g.Namespace] {
			both.Guests = append(both.Guests, g)
		}
	}
	for _, a := range before.Attachments {
		if !nics[nic{a.Namespace, a.Device}] {
			both.Attachments = append(both.Attachments, a)
		}
	}
	return both
}

// Notes tell what could not be done on this machine though the lab works, a sentence each.
func (l *Lab) Notes() []string { return l.host.Notes() }

// Now is the lab's time.
func (l *Lab) Now() time.Time { return l.clock.At(monotonic()) }

// Advance moves lab time forward. Whatever is idle for too long by then has ended when it returns.
func (l *Lab) Advance(d time.Duration) error {
	l.logs.around(func() {
		l.clock.Advance(d)
		l.engine.Advance(monotonic(), d)
	})
	l.services.suite.Expire()
	return l.host.FlushPathMTU()
}

// Broken delivers an error when a part of the lab stops working by itself.
func (l *Lab) Broken() <-chan error { return l.broken }

func (l *Lab) fail(_ uint32, err error) {
	if l.closing.Load() {
		return // its devices are meant to go
	}
	select {
	case l.broken <- err:
	default:
	}
}

// Stats reads the engine's totals and each attachment's drops, those of full queues included.
func (l *Lab) Stats() (Stats, error) {
	traffic, err := l.host.Traffic()
	l.countQueueDrops(traffic)
	s := Stats{
		Stats:    l.engine.Stats(),
		Sent:     map[uint32]uint64{},
		Answered: map[uint32]uint64{},
		Dropped:  map[uint32]map[flow.Reason]flow.DropCounter{},
	}
	mem := l.fast.Memory()
	l.mu.Lock()
	defer l.mu.Unlock()
	for attachment := range l.attached {
		s.Sent[attachment] = traffic[attachment].Sent
		s.Answered[attachment] = mem.Drop(attachment, flow.None).Read().Packets
		s.Dropped[attachment] = droppedBy(mem, attachment)
	}
	for _, end := range l.links.ends() {
		s.Sent[end] = s.Emerged[end]
		s.Dropped[end] = droppedBy(mem, end)
	}
	return s, err
}

func droppedBy(mem flow.Memory, attachment uint32) map[flow.Reason]flow.DropCounter {
	reasons := map[flow.Reason]flow.DropCounter{}
	for _, info := range flow.Reasons() {
		if c := mem.Drop(attachment, info.Reason).Read(); c.Packets > 0 && info.Reason != flow.None {
			reasons[info.Reason] = c
		}
	}
	return reasons
}

// Stats are a lab's totals by the attachment that sent. The end of a link sends what comes out of it.
type Stats struct {
	engine.Stats
	Sent     map[uint32]uint64 // frames that guests sent, one that is to be segmented counting once, and packets that links brought
	Answered map[uint32]uint64 // frames that the fabric answered or took in itself: ARP, neighbour discovery
	Dropped  map[uint32]map[flow.Reason]flow.DropCounter
}

func (l *Lab) runSweeps(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	window := time.NewTimer(l.logs.tick())
	defer window.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.engine.Sweep(monotonic())
			l.services.suite.Expire()
			l.logs.collect()
		case <-window.C:
		}
		window.Reset(l.logs.tick()) // also after a change or a jump, which it does not hear of
	}
}

// Close takes the lab down: its programs, its devices, its namespaces, its state. It may be called more than once, and on a lab that
// was only half built. What could not be delivered of its flow logs is no error of it: Undelivered tells.
func (l *Lab) Close() error {
	l.closing.Store(true)
	if l.stop != nil {
		l.stop()
	}
	l.running.Wait()
	errs := []error{l.guests.close(), l.services.close(), l.links.close()}
	err := l.logs.close()
	if u, ok := errors.AsType[*UndeliveredError](err); ok {
		l.undelivered, err = u, nil
	}
	errs = append(errs, err)
	// The links go first, all in one message: closing a TUN that still has its link is slow.
	errs = append(errs, l.host.Close())
	if l.sw != nil {
		errs = append(errs, l.sw.Close())
	}
	if l.fast != nil {
		errs = append(errs, l.fast.Close())
	}
	return errors.Join(errs...)
}

// Undelivered is what of a closed lab's flow logs could not be delivered, an *UndeliveredError; nil if all was.
func (l *Lab) Undelivered() error {
	if l.undelivered == nil {
		return nil
	}
	return l.undelivered
}
