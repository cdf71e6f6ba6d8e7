package lab

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/hostnet"
	"github.com/vpclab/vpclab/ctrl/lab/labtest"
	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/engine"
	"github.com/vpclab/vpclab/dataplane/engine/reference"
	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/netdev"
)

var (
	sequences = flag.Int("sequences", 10, "how many random sequences TestFastPathDoesWhatTheEngineWould runs")
	firstSeed = flag.Uint64("seed", 0, "the seed of the first of them; 0 draws one")
)

// TestFastPathDoesWhatTheEngineWould: whatever guests send, whatever changes, and whenever the fast path loses what it knows, each packet of a
// running lab ends as the engine alone decides it: with the same receiver, the same bytes, the same reason and the same counts. A twin of the
// lab's engine, which has no fast path, is told everything that happens in the lab. A sequence that differs is printed with the steps that
// are left when all others are taken away, and is run again by -seed=N -sequences=1.
func TestFastPathDoesWhatTheEngineWould(t *testing.T) {
	needRoot(t)
	first := *firstSeed
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	t.Logf("seeds from %d", first)
	seen := met{reasons: map[string]int{}}
	for i := range *sequences {
		seed := first + uint64(i)
		random := rand.New(rand.NewPCG(seed, 0))
		shape, steps := drawn(random)
		story, differs := play(t, seed, shape, steps, &seen)
		if !differs {
			continue
		}
		enough := time.Now().Add(shrinkFor)
		reference.Shrink(steps, func(rest []reference.Step) bool {
			if time.Now().After(enough) {
				return false
			}
			shorter, differs := play(t, seed, shape, rest, &met{reasons: map[string]int{}})
			if differs {
				story = shorter
			}
			return differs
		})
		t.Fatalf("-seed=%d -sequences=1:\n%s", seed, story)
	}
	t.Logf("%d packets, %d of them by eBPF, which refused %d, translated %d and had %d to services; %d changes, %d wipes; ends %v", seen.packets, seen.hits,
		seen.refused, seen.translated, seen.served, seen.changes, seen.wipes, seen.reasons)
	if *sequences >= 10 {
		seen.check(t)
	}
}

// shrinkFor is how long a sequence that differs may be made shorter.
const shrinkFor = 5 * time.Minute

// drawn is a random lab and what happens in it.
func drawn(random *rand.Rand) (*reference.Lab, []reference.Step) {
	shape := reference.GenerateLab(random)
	shape.Rate = random.IntN(2)
	tame(shape)
	var steps []reference.Step
	for range 5 { // a lab takes longer to build than its packets take
		base := len(steps)
		for _, s := range reference.GenerateSteps(random) {
			s.ID, s.Of = s.ID+base, s.Of+base
			steps = append(steps, s)
		}
	}
	return shape, steps
}

// met is what the sequences met, so that a fast path that does nothing does not pass.
type met struct {
	packets, hits, refused, translated, served, changes, wipes int
	reasons                                                    map[string]int
}

func (m *met) check(t *testing.T) {
	if m.hits < m.packets/5 || m.refused == 0 || m.translated == 0 || m.served == 0 || m.changes == 0 || m.wipes == 0 || m.reasons[delivered] < m.packets/4 {
		t.Errorf("too little of something to show anything: %+v", *m)
	}
}

// play runs a sequence in a lab of its own until lab and twin differ, and tells what happened.
func play(t *testing.T, seed uint64, shape *reference.Lab, steps []reference.Step, seen *met) (story string, differs bool) {
	played := t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
		c := newCourse(t, shape.Clone(), seen)
		lines := []string{shape.String()}
		for _, s := range steps {
			line, difference := c.take(s)
			if line != "" {
				lines = append(lines, line)
			}
			if difference == "" {
				continue
			}
			story, differs = strings.Join(append(lines, difference), "\n"), true
			return
		}
		if difference := c.balance(); difference != "" {
			story, differs = strings.Join(append(lines, "at the end: "+difference), "\n"), true
		}
	})
	if !played {
		t.FailNow()
	}
	return story, differs
}

// course is a running lab, what it is meant to be, and the twin of its engine.
type course struct {
	bed
	shape  *reference.Lab
	seen   *met
	twin   *engine.Engine
	memory flow.Memory // the twin's
	guests map[uint32]*silentGuest
	number map[uint32]uint32 // of attachments, as the shape has it, by index; the services have none
	last   uint32            // index that there ever was
	sent   map[uint32]uint64 // by index
	events map[int]reference.Event
	private
}

// silentGuest is one whose kernel says nothing, so that what is on its wire is ours.
type silentGuest struct {
	index uint32
	tap   *labtest.Tap
}

func newCourse(t *testing.T, shape *reference.Lab, seen *met) *course {
	t.Helper()
	c := &course{
		bed: start(t, parse(t, scenarioOf(t, shape, endpoints{true, true})), true), shape: shape, seen: seen, memory: flow.NewMemory(1<<12, 64),
		private: private{endpoints: endpoints{true, true}}, guests: map[uint32]*silentGuest{},
		number: map[uint32]uint32{}, sent: map[uint32]uint64{}, events: map[int]reference.Event{},
	}
	var err error
	c.twin, err = engine.New(engine.Config{Network: c.plan.Network, Memory: c.memory, Rate: float64(shape.Rate)})
	if err != nil {
		t.Fatal(err)
	}
	c.meet()
	return c
}

// meet gets to know the guests that there are now, and keeps them silent: a change gives them their addresses back.
func (c *course) meet() {
	c.t.Helper()
	there := map[uint32]scenario.Node{}
	for _, v := range c.shape.VPCs {
		for _, n := range v.NICs {
			if !n.NAT {
				there[n.ID] = node(v.Name, instanceName(n.ID))
			}
		}
	}
	for _, h := range c.shape.Hosts {
		there[h.ID] = node("", hostName(h.ID))
	}
	for id, g := range c.guests {
		if _, ok := there[id]; !ok && id != servicesID {
			g.tap.Close()
			delete(c.guests, id)
		}
	}
	for id, n := range there {
		c.silence(n)
		if c.guests[id] == nil {
			c.guests[id] = &silentGuest{c.attachmentOf(n).Index, c.tap(n)}
			c.number[c.guests[id].index] = id
		}
	}
	c.meetServices()
	c.last = uint32(len(c.plan.Network.Attachments) - 1)
	c.receive(nil)
}

// meetServices makes the services one more guest that says nothing.
func (c *course) meetServices() {
	c.t.Helper()
	namespace := hostnet.ServicesNamespace(c.name)
	inside := func(f func() error) error { return c.host.InGuest(namespace, f) }
	if err := silence(inside); err != nil {
		c.t.Fatal(err)
	}
	if c.guests[servicesID] == nil {
		a := c.attachmentIn(namespace)
		c.guests[servicesID] = &silentGuest{a.Index, openTap(c.t, inside, a)}
	}
}

// take takes a step in the lab and in its twin, and says what it was and how they differ.
func (c *course) take(s reference.Step) (line, difference string) {
	switch s.Kind {
	case reference.Send, reference.Follow, reference.Complain:
		return c.send(s)
	case reference.Change:
		line = c.change(s)
	case reference.Advance, reference.Wait:
		// Limits are multiples of five seconds: whatever real time passes between lab and twin, both are on the same side.
		s.Kind, s.Time = reference.Advance, s.Time.Truncate(5*time.Second)
		if err := c.Advance(s.Time); err != nil {
			c.t.Fatal(err)
		}
		c.twin.Advance(monotonic(), s.Time)
	case reference.Sweep:
		c.engine.Sweep(monotonic())
		c.twin.Sweep(monotonic())
	case reference.Mark:
		c.Mark()
		c.twin.Mark(monotonic())
	case reference.Wipe:
		c.seen.wipes++
		if err := c.fast.Wipe(); err != nil {
			c.t.Fatal(err)
		}
	}
	if line == "" {
		line = s.String()
	}
	return line, c.compare(nil)
}

func (c *course) change(s reference.Step) string {
	c.t.Helper()
	c.seen.changes++
	c.shape = c.shape.Clone()
	what, _, _ := c.shape.Edit(s.Seed)
	tame(c.shape)
	what += c.private.edit(s.Seed)
	if err := c.Apply(context.Background(), parse(c.t, scenarioOf(c.t, c.shape, c.endpoints)).Model); err != nil {
		c.t.Fatal(err)
	}
	if err := c.twin.SetNetwork(monotonic(), c.plan.Network); err != nil {
		c.t.Fatal(err)
	}
	c.meet()
	return fmt.Sprintf("%v: %s", s, what)
}

// send puts what a step sends on its guest's wire.
func (c *course) send(s reference.Step) (line, difference string) {
	c.t.Helper()
	id, p, ok := s.Packet(c.shape, c.events)
	if !ok {
		return "", ""
	}
	id, p = c.divert(s, id, p)
	from := c.guests[id]
	packets, how := wired(s.Seed, &p)
	before, counted := c.twinLedger(), c.upcalls(from.index)
	e := reference.Event{From: id, Sent: p}
	want := arrivals{}
	for _, b := range packets {
		c.decide(from.index, b, want, &e)
	}
	for _, b := range packets {
		if err := from.tap.Send(from.tap.Frame(b)); err != nil {
			c.t.Fatalf("send %x: %v", b, err)
		}
	}
	if id != servicesID {
		c.events[s.ID] = e
	}
	c.sent[from.index] += uint64(len(packets))
	difference = c.compare(want)
	hits := len(packets) - int(c.upcalls(from.index)-counted)
	fates := c.twinLedger().since(before)
	if want[c.guests[servicesID].index] != nil {
		c.seen.served += hits
	}
	c.tell(len(packets), hits, fates, &e)
	line = fmt.Sprintf("%v: #%d sends %v%s: %v", s, id, &p, how, fates)
	if e.To != 0 {
		line += fmt.Sprintf(", to #%d as %v", e.To, &e.Got)
	}
	if hits > 0 {
		line += fmt.Sprintf(" (%d by eBPF)", hits)
	}
	return line, difference
}

func (c *course) tell(packets, hits int, fates ledger, e *reference.Event) {
	c.seen.packets += packets
	c.seen.hits += hits
	switch {
	case e.To == 0:
		c.seen.refused += hits
	case e.Got.Src != e.Sent.Src || e.Got.Dst != e.Sent.Dst:
		c.seen.translated += hits
	}
	for entry, n := range fates {
		c.seen.reasons[entry.what] += int(n.Packets)
	}
}

// arrivals are the packets that guests are to receive, by index.
type arrivals map[uint32][][]byte

// decide is the twin's verdict on a packet. Its last arrival, or how its pieces were as one packet, is the event's.
func (c *course) decide(from uint32, b []byte, to arrivals, e *reference.Event) {
	raw, out := slices.Clone(b), []uint32{0}
	before := c.twinLedger()
	emitted := c.twin.Handle(monotonic(), from, [][]byte{raw}, out)
	arrive := func(index uint32, b []byte) {
		to[index] = append(to[index], b)
		if index == c.guests[servicesID].index {
			c.private.heard(e.From, e.Sent, b)
		}
	}
	took := func(index uint32, b []byte) {
		if p, ok := modelOf(b); ok && c.number[index] != 0 {
			e.To, e.Got = c.number[index], p
		}
	}
	if out[0] != 0 {
		arrive(out[0], raw)
		took(out[0], raw)
	}
	for _, x := range emitted {
		arrive(x.Out, x.Frame[netdev.Headroom:])
	}
	wentOn := c.twinLedger().since(before)[entry{from, delivered}].Packets > 0
	if out[0] == 0 && len(emitted) > 0 && wentOn {
		took(emitted[0].Out, emitted[0].Frame[netdev.Headroom:])
		e.Got.Size = e.Sent.Size
	}
}

// compare waits until lab and twin agree on what has arrived and on all counts, and says how they differ if they never do.
func (c *course) compare(want arrivals) string {
	c.t.Helper()
	frames, got := map[uint32][]string{}, map[uint32][]string{}
	for index, packets := range want {
		tap := c.guests[c.number[index]]
		if tap == nil || tap.index != index {
			return fmt.Sprintf("the twin delivers to attachment %d, which is nobody's", index)
		}
		for _, b := range packets {
			frames[index] = append(frames[index], string(slices.Concat(tap.tap.MAC[:], tap.tap.Router[:], tap.tap.Frame(b)[12:])))
		}
		slices.Sort(frames[index])
	}
	agree := func() bool {
		c.receive(got)
		return maps.EqualFunc(got, frames, slices.Equal) && maps.Equal(c.labLedger(), c.twinLedger()) &&
			c.engine.Stats().Held == c.twin.Stats().Held
	}
	const soon = 3 * time.Second
	if within(soon, agree) {
		return ""
	}
	var b strings.Builder
	for index := range c.last + 1 {
		if !slices.Equal(got[index], frames[index]) {
			fmt.Fprintf(&b, "attachment %d (#%d) hears\n%swhere the engine alone sends it\n%s", index, c.number[index], brief(got[index]),
				brief(frames[index]))
		}
	}
	if lab, twin := c.labLedger(), c.twinLedger(); !maps.Equal(lab, twin) {
		fmt.Fprintf(&b, "the lab counts %v, the engine alone %v\n", lab.since(twin), twin.since(lab))
	}
	if lab, twin := c.engine.Stats().Held, c.twin.Stats().Held; lab != twin {
		fmt.Fprintf(&b, "the lab holds %d fragments, the engine alone %d\n", lab, twin)
	}
	return b.String()
}

// brief shows frames up to the end of their headers.
func brief(frames []string) string {
	var b strings.Builder
	for _, f := range frames {
		p, _ := modelOf([]byte(f)[14:])
		fmt.Fprintf(&b, "  %x (%d bytes: %v)\n", f[:min(len(f), 100)], len(f), &p)
	}
	return b.String()
}

// receive takes what has arrived at the guests, in no order.
func (c *course) receive(got map[uint32][]string) {
	c.t.Helper()
	for _, g := range c.guests {
		for {
			frame, err := g.tap.Receive()
			if err != nil {
				c.t.Fatal(err)
			}
			if frame == nil {
				break
			}
			if got != nil {
				got[g.index] = append(got[g.index], string(frame))
				slices.Sort(got[g.index])
			}
		}
	}
}

// upcalls counts the packets of an attachment that the engine was asked about.
func (c *course) upcalls(index uint32) uint64 {
	return c.deviceCounter(fmt.Sprint("t", index), transmitted)
}

// entry is a fate of an attachment's packets: delivered, or the reason of their drop.
type entry struct {
	attachment uint32
	what       string
}

// ledger are all the counts of a lab that are not zero.
type ledger map[entry]engineCount

// String tells of the packets.
func (l ledger) String() string {
	var fates []string
	for e, n := range l {
		fates = append(fates, fmt.Sprintf("%d: %d %s of %d bytes", e.attachment, int64(n.Packets), e.what, int64(n.Bytes)))
	}
	slices.Sort(fates)
	return strings.Join(fates, ", ")
}

// since is what was added.
func (l ledger) since(before ledger) ledger {
	added := ledger{}
	for e, n := range l {
		if was := before[e]; n != was {
			added[e] = engineCount{n.Packets - was.Packets, n.Bytes - was.Bytes}
		}
	}
	return added
}

func (c *course) labLedger() ledger  { return c.ledgerOf(c.engine.Stats(), c.fast.Memory()) }
func (c *course) twinLedger() ledger { return c.ledgerOf(c.twin.Stats(), c.memory) }

// ledgerOf leaves out what a guest's kernel may have said to its door before it was silent.
func (c *course) ledgerOf(s engine.Stats, m flow.Memory) ledger {
	l := ledger{}
	for index := range c.last + 1 {
		if n := s.Delivered[index]; n.Packets > 0 {
			l[entry{index, delivered}] = engineCount(n)
		}
		for _, info := range flow.Reasons() {
			switch info.Reason {
			case flow.None, flow.DuplicateAddressDetection, flow.Multicast, flow.UnknownNeighbor:
				continue
			}
			if n := m.Drop(index, info.Reason).Read(); n.Packets > 0 {
				l[entry{index, info.Code}] = engineCount{n.Packets, n.Bytes}
			}
		}
	}
	return l
}

// balance compares what the lab tells of each attachment at the end with what was sent, and that with what the twin counts.
func (c *course) balance() string {
	c.t.Helper()
	if difference := c.compare(nil); difference != "" {
		return difference
	}
	s, err := c.Stats()
	if err != nil {
		c.t.Fatal(err)
	}
	twin, held := c.twinLedger(), c.engine.Stats().Held
	for _, g := range c.guests {
		fates := ledger{}
		if n := s.Delivered[g.index]; n.Packets > 0 {
			fates[entry{g.index, delivered}] = engineCount(n)
		}
		for reason, n := range s.Dropped[g.index] {
			fates[entry{g.index, reason.String()}] = engineCount{n.Packets, n.Bytes}
		}
		var sum uint64
		for e, n := range twin {
			if e.attachment == g.index {
				sum += n.Packets
				if fates[e] != n {
					return fmt.Sprintf("the lab tells %v of attachment %d, its engine counts %d %s", fates, g.index, n.Packets, e.what)
				}
			}
		}
		if sum > c.sent[g.index] || sum+uint64(held) < c.sent[g.index] {
			return fmt.Sprintf("attachment %d sent %d packets, of which %d are counted", g.index, c.sent[g.index], sum)
		}
	}
	return ""
}
