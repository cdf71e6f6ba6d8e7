package engine

import (
	"slices"

	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// Sample is what one interface saw of one flow since it was last taken: a part of a flow-log record. Times are monotonic nanoseconds.
type Sample struct {
	Sighting
	Packets, Bytes uint64
	First, Last    int64
	Flags          uint8 // flow.RecentFlags of the packets, OR-ed
}

// Sighting is a flow as one interface sees it pass.
type Sighting struct {
	Attachment  uint32
	Direction   fabric.Direction
	Tuple       flow.Tuple
	Accept      bool
	TrafficPath uint8
}

// account is who sees the packets of a slot, and how many of them were taken so far. Its packets are told once: what is not taken when a
// flow ends is taken when its slot has rested.
type account struct {
	seen   []Sighting
	family uint8 // of the packets as they were sent, which is how they are counted
	taken  Count
}

// sightings are the interfaces that the walk in path passed, as flow logs tell of them: an egress-only gateway is none, and what the VPC's
// router says is not logged (VPC user guide, flow log limitations).
func sightings(path *fabric.Path) []Sighting {
	var seen []Sighting
	for i := range path.Taps() {
		tap := &path.Taps()[i]
		s := tap.ENI.Subnet
		if src := tap.Tuple.SrcAddr(); s != nil && src != s.Router4 && src != s.Router6 {
			seen = append(seen, Sighting{tap.ENI.Attachment, tap.Direction, tap.Tuple, tap.Accept, tap.TrafficPath})
		}
	}
	return seen
}

// observe notes who sees the packets of a flow from now on: the interfaces on the walk in e.path.
func (e *Engine) observe(r *record) {
	if !e.sampling {
		return
	}
	if r.account == nil {
		c := e.mem.Slots[r.slot].Take()
		r.account = &account{family: r.key.Family, taken: Count{c.Packets, c.Bytes}}
	}
	if seen := sightings(&e.path); !slices.Equal(seen, r.account.seen) {
		e.take(r.slot, r.account)
		r.account.seen = seen
	}
}

// observeOnce samples a packet that no slot counts, of a length in bytes.
func (e *Engine) observeOnce(p *fabric.Packet) {
	if !e.sampling {
		return
	}
	seen := sightings(&e.path)
	e.glimpse(conversation(p), seen)
	for _, s := range seen {
		bytes := uint64(p.Length) + longer(p.Tuple.Family, s.Tuple.Family)
		e.samples = append(e.samples, Sample{s, 1, bytes, e.now, e.now, flow.RecentFlags(p.TCPFlags)})
	}
}

// glimpse notes how the interfaces saw a packet of a connection, if it is not as the connection is known.
func (e *Engine) glimpse(of flow.Tuple, seen []Sighting) {
	if !slices.ContainsFunc(seen, func(s Sighting) bool { return s.Tuple != of }) {
		return
	}
	g := glimpse{of: of}
	for i := range seen {
		g.tuples = append(g.tuples, seen[i].Tuple)
	}
	e.glimpses.add(g)
}

// longer is by how many bytes a packet gets longer when NAT64 changes its family, modulo 2^64: it exchanges the IP header.
func longer(from, to uint8) uint64 {
	const difference = 40 - 20
	switch {
	case from == to:
		return 0
	case to == 6:
		return difference
	}
	return ^uint64(difference) + 1
}

// take samples what a slot has counted since the last time.
func (e *Engine) take(slot uint32, a *account) {
	if a == nil {
		return
	}
	c := e.mem.Slots[slot].Take()
	n := Count{c.Packets - a.taken.Packets, c.Bytes - a.taken.Bytes}
	if n.Packets == 0 {
		return
	}
	a.taken = Count{c.Packets, c.Bytes}
	first := c.First
	if first == 0 || first > c.Last { // a packet was being counted the last time
		first = c.Last
	}
	for _, s := range a.seen {
		bytes := n.Bytes + n.Packets*longer(a.family, s.Tuple.Family)
		e.samples = append(e.samples, Sample{s, n.Packets, bytes, int64(first), int64(c.Last), uint8(c.Recent)})
	}
}

// withdrawMoved takes the flows from the fast path whose packets will pass other interfaces than before, and waits for those that are under
// way: what they count belongs to the interfaces of the old way.
func (e *Engine) withdrawMoved(records []*record) error {
	moved := false
	for _, r := range records {
		from := e.attachment(r.key.Attachment)
		if r.account == nil || r.installed == 0 || from == nil {
			continue
		}
		p := r.packet()
		if !e.over(r) && e.rehearse(from, &p) && !slices.Equal(sightings(&e.path), r.account.seen) {
			e.evict(r)
			moved = true
		}
	}
	if !moved {
		return nil
	}
	return e.offload.Quiesce()
}

// SetSampling begins or ends to take samples for flow logs. What packets did before is not sampled.
func (e *Engine) SetSampling(now int64, on bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sampling == on {
		return
	}
	e.now, e.sampling, e.samples = now, on, nil
	for _, r := range e.records.members {
		r.account = nil
		e.evict(r)
		r.entry.Domains = [2]flow.Domain{} // the next packet is walked, and its interfaces are seen
	}
}

// Sample takes what all flows have counted since the last time. It is to be called at the end of each window of the flow logs and before
// lab time jumps; sink is called without the engine's lock.
func (e *Engine) Sample(now int64, sink func([]Sample)) {
	e.mu.Lock()
	e.now = now
	on, records := e.sampling, len(e.records.members)
	if on {
		for pair, h := range e.halves {
			e.take(2*pair+h.side, h.account)
		}
		for i := range e.pairs.resting {
			rest := &e.pairs.resting[i]
			for side := range rest.account {
				e.take(2*rest.pair+uint32(side), rest.account[side])
			}
		}
	}
	e.mu.Unlock()
	for on && records > 0 {
		e.mu.Lock()
		records = e.records.backwards(records, sweepPiece, func(r *record) { e.take(r.slot, r.account) })
		e.mu.Unlock()
		e.Drain(sink)
	}
	e.Drain(sink)
}

// Drain gives a sink what was sampled so far: packets that belong to no flow, and the last of flows that ended.
func (e *Engine) Drain(sink func([]Sample)) {
	e.mu.Lock()
	samples := e.samples
	e.samples = nil
	e.mu.Unlock()
	if len(samples) > 0 {
		sink(samples)
	}
}
