package engine

import (
	"net/netip"
	"slices"
	"time"

	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// trackKey is a connection as one interface knows it, the same for both directions.
type trackKey struct {
	attachment            uint32
	local, remote         [16]byte
	localPort, remotePort uint16 // ICMP: the identifier and the query's type
	protocol              uint8
	localAsks             bool // ICMP: tells apart two pings that cross each other with one identifier
}

// trackKeyOf turns a packet's tuple, as the interface sees it pass in direction d, into the connection's key.
func trackKeyOf(eni *fabric.ENI, d fabric.Direction, t flow.Tuple) trackKey {
	k := trackKey{attachment: eni.Attachment, protocol: t.Protocol}
	if isICMP(t.Protocol) {
		asks := !isAnswer(t)
		if !asks {
			t = t.Reply()
			d = opposite(d)
		}
		k.localAsks = d == fabric.Egress
		k.localPort, k.remotePort = t.SrcPort, t.DstPort
	} else {
		k.localPort, k.remotePort = t.SrcPort, t.DstPort
		if d == fabric.Ingress {
			k.localPort, k.remotePort = t.DstPort, t.SrcPort
		}
	}
	k.local, k.remote = t.Src, t.Dst
	if d == fabric.Ingress {
		k.local, k.remote = t.Dst, t.Src
	}
	return k
}

func opposite(d fabric.Direction) fabric.Direction { return fabric.Egress + fabric.Ingress - d }

func isICMP(proto uint8) bool { return proto == flow.ICMP || proto == flow.ICMPv6 }

// isAnswer reports whether an ICMP message answers another one.
func isAnswer(t flow.Tuple) bool {
	if t.Protocol == flow.ICMPv6 {
		return t.DstPort == 129
	}
	return t.DstPort == 0 || t.DstPort == 14 || t.DstPort == 18
}

// packet is one that goes in direction d; the connection is no ICMP query.
func (k *trackKey) packet(d fabric.Direction) fabric.Packet {
	t := flow.Tuple{Src: k.local, Dst: k.remote, SrcPort: k.localPort, DstPort: k.remotePort, Protocol: k.protocol, Family: 6}
	if netip.AddrFrom16(k.local).Is4In6() {
		t.Family = 4
	}
	if d == fabric.Ingress {
		t = t.Reply()
	}
	return fabric.Packet{Tuple: t, TTL: 255}
}

// track is what one interface's security groups remember of one connection.
type track struct {
	key      trackKey
	origin   fabric.Direction // of the connection's first packet
	limits   flow.Timeouts
	tracked  bool
	sender   uint32           // of that packet, whoever passed it on
	gone     bool             // no longer in the table; its flows must be walked again
	flows    [2][]*record     // by direction, the flows that pass the interface
	past     [2]flow.Counters // by direction, what flows that ended had counted
	idle     idleness
	position int
}

// idleness measures in lab time how long nothing happened. Counters stamp monotonic time, and the lab's clock may have jumped since.
type idleness struct {
	last   int64         // monotonic time of the last activity known
	jumped time.Duration // lab time that `advance` added since
}

// since returns the lab time that has passed at now since the activity at last; rate is lab time per real time.
func (i *idleness) since(last, now int64, rate float64) time.Duration {
	if last > i.last {
		i.last, i.jumped = last, 0
	}
	return time.Duration(float64(now-i.last)*rate) + i.jumped
}

// counters sums one direction of the connection.
func (t *track) counters(d fabric.Direction, mem flow.Memory) flow.Counters {
	sum := t.past[d]
	for _, r := range t.flows[d] {
		sum = merge(sum, mem.Slots[r.slot].Read())
	}
	return sum
}

func merge(a, b flow.Counters) flow.Counters {
	a.Packets += b.Packets
	a.Bytes += b.Bytes
	a.Flags |= b.Flags
	a.Last = max(a.Last, b.Last)
	return a
}

// state is how far the connection is and for how long it has been idle.
func (t *track) state(mem flow.Memory, now int64, rate float64) (flow.State, time.Duration) {
	out, in := t.counters(fabric.Egress, mem), t.counters(fabric.Ingress, mem)
	return flow.StateOf(t.key.protocol, out, in), t.idle.since(int64(max(out.Last, in.Last)), now, rate)
}

func (t *track) attach(d fabric.Direction, r *record) {
	for _, have := range t.flows[d] {
		if have == r {
			return
		}
	}
	t.flows[d] = append(t.flows[d], r)
	r.tracks = append(r.tracks, t)
}

// unsettle takes flows of a track from the fast path that no longer tell all.
func (e *Engine) unsettle(t *track) {
	for d := range t.flows {
		for _, r := range t.flows[d] {
			if r.installed != 0 && !e.tellsAll(r) {
				e.evict(r)
			}
		}
	}
}

// detach forgets a flow that ends, keeping what it had counted.
func (t *track) detach(r *record, last flow.Counters) {
	for d := range t.flows {
		for i, have := range t.flows[d] {
			if have == r {
				t.flows[d] = append(t.flows[d][:i], t.flows[d][i+1:]...)
				t.past[d] = merge(t.past[d], last)
				break
			}
		}
	}
}

// alive reports whether a track still stands, and ends it when it has been idle for too long.
func (e *Engine) alive(t *track) bool {
	if t.gone {
		return false
	}
	state, idle := t.state(e.mem, e.now, e.rate)
	if idle <= t.limits[state] {
		return true
	}
	e.untrack(t)
	return false
}

// untrack ends a track. Its flows find out when they are next checked.
func (e *Engine) untrack(t *track) {
	t.gone = true
	e.nat.end(t.key)
	e.tracking.remove(t)
	delete(e.tracks, t.key)
	for d := range t.flows {
		for _, r := range t.flows[d] {
			r.checked = 0
			e.evict(r)
		}
	}
}

// Recall implements fabric.Tracker.
func (e *Engine) Recall(eni *fabric.ENI, d fabric.Direction, p *fabric.Packet) fabric.Memory {
	tuple, way := p.Tuple, d
	if p.Error {
		// The quoted packet went the other way.
		tuple, way = p.Quoted, opposite(d)
	}
	key := trackKeyOf(eni, way, tuple)
	t := e.tracks[key]
	e.asked = asked{key: key}
	switch {
	case t == nil || !e.alive(t):
		return fabric.Unknown
	case p.Error:
		return fabric.Tracked
	case e.begins(t, p):
		e.asked.replaced = true
		return fabric.Unknown
	case t.tracked:
		return fabric.Tracked
	case d == t.origin:
		return fabric.UntrackedForward
	}
	return fabric.UntrackedReply
}

// begins reports whether a packet begins a new connection on the addresses and ports of a known one: a SYN when that does not open any more.
// A SYN the other way belongs to a connection that both sides open at once (RFC 9293, section 3.5).
func (e *Engine) begins(t *track, p *fabric.Packet) bool {
	if p.Tuple.Protocol != flow.TCP || p.TCPFlags&(flow.SYN|flow.ACK) != flow.SYN {
		return false
	}
	state, _ := t.state(e.mem, e.now, e.rate)
	return state != flow.Opening
}

// limits are the idle limits of a connection at an interface or gateway.
func (e *Engine) limits(at *fabric.ENI, proto uint8) flow.Timeouts {
	if at.NAT != nil || at.Portals != nil {
		return flow.Timeouts{natIdleSeconds * time.Second, natIdleSeconds * time.Second, natClosingSeconds * time.Second}
	}
	return e.timeouts(proto)
}

// remember does at every interface on the way of a packet, sent by attachment from, what the walk in e.path noted there. r is the packet's
// flow, which counts it, or nil if it gets no record: the interfaces that a refused packet passed know its connection nevertheless.
func (e *Engine) remember(from uint32, r *record, p *fabric.Packet) {
	if p.Sender != 0 {
		from = p.Sender
	}
	for i := range e.path.Taps() {
		if tap := &e.path.Taps()[i]; tap.Passed {
			e.rememberAt(tap, from, r, p)
		}
	}
}

func (e *Engine) rememberAt(tap *fabric.Tap, from uint32, r *record, p *fabric.Packet) {
	key := trackKeyOf(tap.ENI, tap.Direction, tap.Tuple)
	t := e.tracks[key]
	switch {
	case t == nil:
	case !e.alive(t): // a gateway lets packets out without a look at what it remembers
		t = nil
	case tap.Note != fabric.NothingNew && e.begins(t, p):
		e.untrack(t)
		t = nil
	}
	if t == nil {
		if tap.Note == fabric.NothingNew || e.path.Verdict == flow.Drop && len(e.tracks) > len(e.mem.Slots)*3/4 {
			return
		}
		t = &track{key: key, origin: tap.Direction, sender: from, limits: e.limits(tap.ENI, key.protocol), idle: idleness{last: e.now}}
		e.tracks[key] = t
		e.tracking.add(t)
		e.wake(key)
	}
	if tap.Note == fabric.BeginTracked && !t.tracked {
		t.tracked = true
		e.wake(key)
	}
	if r != nil {
		t.attach(tap.Direction, r)
	} else {
		one := flow.Counters{Packets: 1, Bytes: uint64(p.Length), Flags: uint32(p.TCPFlags), Last: uint64(e.now)}
		t.past[tap.Direction] = merge(t.past[tap.Direction], one)
	}
	e.unsettle(t)
}

// asked is what a walk last asked of the engine's memory: a connection at a place. replaced says that one is known there which the packet
// would replace.
type asked struct {
	key      trackKey
	replaced bool
}

// wait lets a refusal end as soon as the place that refused it knows a connection to which the packet belongs.
func (e *Engine) wait(r *record) {
	e.waitNoMore(r) // for another one
	switch r.entry.Reason {
	case flow.SGRulesMismatch, flow.NoTrackedConnection, flow.EIGWInbound, flow.NATInbound:
		r.waits = e.asked.key
		e.waiting[r.waits] = append(e.waiting[r.waits], r)
	}
}

// wake ends the refusals that waited for a connection.
func (e *Engine) wake(key trackKey) {
	for _, r := range slices.Clone(e.waiting[key]) {
		e.forget(r)
	}
}

// waitNoMore is for a refusal that ends.
func (e *Engine) waitNoMore(r *record) {
	if r.entry.Verdict != flow.Drop {
		return
	}
	e.waiting[r.waits] = slices.DeleteFunc(e.waiting[r.waits], func(other *record) bool { return other == r })
	if len(e.waiting[r.waits]) == 0 {
		delete(e.waiting, r.waits)
	}
}
