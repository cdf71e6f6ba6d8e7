package engine

import (
	"maps"
	"slices"

	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// journalSize bounds how many drops are told in full; older ones are only counted.
const journalSize = 1024

// Drop is one dropped packet in the journal.
type Drop struct {
	At   int64    // monotonic nanoseconds
	Key  flow.Key // as it was sent; an ICMP error under the connection that it quotes
	Path fabric.Path
	// Before are the stations in front of the link that brought the packet, or of the load balancer that sent it, as they are now; Drops fills
	// them in.
	Before []fabric.Hop
	// Carried says that it is not of the connection that was asked for, but of that by which a load balancer carries it on. Drops fills it in.
	Carried bool
}

// journal keeps the latest drops that were decided by a walk. Repetitions that the cache answers are not in it. The ring is used in
// place, so that a flood of refusals makes no garbage.
type journal struct {
	ring []Drop
	next int
}

func (j *journal) add(now int64, key flow.Key, path *fabric.Path) {
	if len(j.ring) < journalSize {
		j.ring = append(j.ring, Drop{At: now, Key: key, Path: *path})
		return
	}
	d := &j.ring[j.next]
	d.At, d.Key, d.Path = now, key, *path
	j.next = (j.next + 1) % journalSize
}

// latest is the drop that was added last.
func (j *journal) latest() *Drop { return &j.ring[(j.next+len(j.ring)-1)%len(j.ring)] }

// glimpse is a packet that interfaces saw and that belongs to no flow, under another tuple than that by which its connection is known: an
// ICMP error, or one that a gateway translated and that was dropped behind it.
type glimpse struct {
	of     flow.Tuple   // the connection, as the packet's sender knows it
	tuples []flow.Tuple // the packet's own, at the interfaces
}

// glimpses are the latest of them, for who asks which records a connection caused.
type glimpses struct {
	ring []glimpse
	next int
}

func (l *glimpses) add(g glimpse) {
	if len(l.ring) < journalSize {
		l.ring = append(l.ring, g)
		return
	}
	l.ring[l.next] = g
	l.next = (l.next + 1) % journalSize
}

// tell writes the walk in e.path, which ended in a drop, into the journal. A packet that a link brought is its sender's.
func (e *Engine) tell(key flow.Key) {
	if e.sender != 0 {
		key.Attachment = e.sender
	}
	e.journal.add(e.now, key, &e.path)
	if e.path.Reason != flow.ServiceSourceUnknown {
		return
	}
	// What a service still sends after its endpoint has gone is known to nobody under the service's own addresses.
	if r := e.flows[key]; r != nil && r.entry.Verdict == flow.Deliver {
		e.journal.latest().Path.Tuple = r.arrives
	}
}

// since walks the drops at or after a time, oldest first.
func (j *journal) since(mark int64, f func(*Drop)) {
	for i := range j.ring {
		if d := &j.ring[(j.next+i)%len(j.ring)]; d.At >= mark {
			f(d)
		}
	}
}

// Mark forgets the cached refusals, so that the next packet of each is walked and told again, and returns now as the time from
// which Drops and Delivered look.
func (e *Engine) Mark(now int64) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now = now
	for i := len(e.records.members); i > 0; {
		i = e.records.backwards(i, len(e.records.members), func(r *record) {
			if r.entry.Verdict == flow.Drop {
				e.forget(r)
			}
		})
	}
	return now
}

// Drops lists the packets dropped since mark that belong to the connection which began with tuple, as its sender sees it: either
// direction, before and after address translation, behind appliances and load balancers. Oldest first.
func (e *Engine) Drops(mark int64, tuple flow.Tuple) []Drop {
	e.mu.Lock()
	defer e.mu.Unlock()
	family, own := e.family(tuple), e.leg(tuple)
	// A fragment that is not its packet's first one has no ports.
	portless := tuple
	portless.SrcPort, portless.DstPort = 0, 0
	family[portless], own[portless] = true, true
	var drops []Drop
	e.journal.since(mark, func(d *Drop) {
		if family[d.Key.Tuple] || family[d.Path.Tuple] {
			drops = append(drops, *d)
		}
	})
	for i := range drops {
		d := &drops[i]
		d.Before, d.Carried = e.before(d), !own[d.Key.Tuple] && !own[d.Path.Tuple]
		if d.Carried && d.Key.Attachment == e.net.Services.Attachment {
			d.Before = e.wayOf(tuple)
		}
	}
	return drops
}

// before walks a packet to the link behind which it was dropped, or in which it was lost.
func (e *Engine) before(d *Drop) []fabric.Hop {
	from := e.attachment(d.Key.Attachment)
	if from == nil || from.ENI == nil || d.Path.Hops()[0].Kind != fabric.HopPeering {
		return nil
	}
	for _, state := range []fabric.State{opening{e}, e} {
		e.net.Walk(fabric.Packet{Tuple: d.Key.Tuple, TTL: 255, TCPFlags: flow.ACK}, from, state, &e.path)
		e.keepFresh(false)
		hops := e.path.Hops()
		if last := len(hops) - 1; hops[last].Kind == fabric.HopPeering && hops[last].Tuple == d.Path.Hops()[0].Tuple {
			return slices.Clone(hops[:last])
		}
	}
	return nil // it came another way: as an ICMP error, or translated
}

// wayOf walks a packet of a connection that is delivered.
func (e *Engine) wayOf(tuple flow.Tuple) []fabric.Hop {
	for _, r := range e.records.members {
		from := e.attachment(r.key.Attachment)
		if r.key.Tuple != tuple || r.entry.Verdict != flow.Deliver || from == nil || from.ENI == nil {
			continue
		}
		e.net.Walk(r.packet(), from, e, &e.path)
		e.keepFresh(false)
		return slices.Clone(e.path.Hops())
	}
	return nil
}

// opening is the engine's memory as the first packets of a connection find it: they pass by a rule, not by the track that they leave.
type opening struct{ *Engine }

// Recall implements fabric.State.
func (e opening) Recall(eni *fabric.ENI, d fabric.Direction, p *fabric.Packet) fabric.Memory {
	memory := e.Engine.Recall(eni, d, p)
	if t := e.tracks[trackKeyOf(eni, d, p.Tuple)]; memory == fabric.Tracked && !p.Error && t.origin == d {
		if state, _ := t.state(e.mem, e.now, e.rate); state == flow.Opening {
			return fabric.UntrackedForward
		}
	}
	return memory
}

// Delivered reports whether a packet that went the way of tuple has reached the owner of its destination since mark.
func (e *Engine) Delivered(mark int64, tuple flow.Tuple) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	family := e.family(tuple)
	for _, r := range e.records.members {
		if r.entry.Verdict != flow.Deliver || !family[r.key.Tuple] || r.slot&1 != 0 {
			continue
		}
		to := e.attachment(r.entry.Out)
		if to == nil || to.Peering != nil || to.ENI != nil && !to.ENI.Owns(r.arrives.DstAddr()) {
			continue
		}
		if int64(e.mem.Slots[r.slot].Read().Last) >= mark {
			return true
		}
	}
	return false
}

// Family is the set of tuples under which the packets of one connection appear: the given one, its translations, what a load balancer
// carries it on as, the answers to all of them, and those of ICMP errors about them. It knows them as long as the connection's flows are known.
func (e *Engine) Family(tuple flow.Tuple) map[flow.Tuple]bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	family := e.family(tuple)
	var others []flow.Tuple
	for i := range e.glimpses.ring {
		if g := &e.glimpses.ring[i]; family[g.of] {
			others = append(others, g.tuples...)
		}
	}
	for _, t := range others {
		family[t] = true
	}
	return family
}

// family is Family without the errors, for who holds the lock.
func (e *Engine) family(tuple flow.Tuple) map[flow.Tuple]bool {
	set := e.leg(tuple)
	for t := range maps.Clone(set) {
		if back, carried := e.joints[t]; carried {
			maps.Copy(set, e.leg(back))
			maps.Copy(set, e.leg(e.net.Services.Outside(back))) // a refusal is not remembered for long
		}
	}
	return set
}

// leg is family up to a load balancer. Between two gateways a packet has a tuple that neither its sender nor its receiver knows.
func (e *Engine) leg(tuple flow.Tuple) map[flow.Tuple]bool {
	set := map[flow.Tuple]bool{tuple: true, tuple.Reply(): true}
	for grown := true; grown; {
		grown = false
		for _, r := range e.records.members {
			if r.entry.Verdict == 0 || !set[r.key.Tuple] && !set[r.arrives] {
				continue
			}
			for t := range r.tuples {
				if !set[t] {
					set[t], set[t.Reply()], grown = true, true, true
				}
			}
		}
	}
	return set
}

// Progress tells how far the connection which began with tuple has come: how many of its packets were counted or told of as dropped, and
// whether one side has closed it and the other has not yet. Two equal answers do not mean that no packet is on its way.
func (e *Engine) Progress(tuple flow.Tuple) (packets uint64, halfClosed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	family := e.family(tuple)
	for _, r := range e.records.members {
		if !family[r.key.Tuple] {
			continue
		}
		packets += e.mem.Slots[r.slot].Read().Packets
		for _, t := range r.tracks {
			out, in := t.counters(fabric.Egress, e.mem).Flags, t.counters(fabric.Ingress, e.mem).Flags
			halfClosed = halfClosed || (out|in)&flow.RST == 0 && (out^in)&flow.FIN != 0
		}
	}
	e.journal.since(0, func(d *Drop) {
		if family[d.Key.Tuple] || family[d.Path.Tuple] {
			packets++
		}
	})
	return packets, halfClosed
}
