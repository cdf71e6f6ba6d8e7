package engine

import (
	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// record is one flow: a direction of a connection as one attachment sends it, with its cached decision. Its verdict never changes,
// so that its slot counts packets of one fate; another verdict is another record.
type record struct {
	key     flow.Key
	slot    uint32
	peer    *record    // the opposite direction, as the walk predicts it
	arrives flow.Tuple // as the receiver sees the flow
	entry   flow.Entry // Verdict 0: nothing is decided yet
	family  uint8      // to which NAT64 changes its packets; 0: it does not
	mss     uint16     // to which a SYN's MSS is lowered; 0: it is left alone
	noPMTUD bool       // what is too big is dropped, even what might be cut
	sender  uint32     // who really sends the flow, if it comes out of a link
	linked  bool       // a link carries it, to or from here
	account *account   // for flow logs; nil without them
	tracks  []*track
	waits   trackKey // of a refusal: the connection that would end it
	idle    idleness
	checked int64 // when it was last found alive; spares looking at the tracks for every packet
	// installed is when the fast path was given the entry; 0: it does not hold it.
	installed int64
	position  int
}

// slotPairs hands out pairs of slots: 2p for the direction that came first, 2p+1 for its answer. A freed pair rests for two sweeps,
// since a packet that had already looked up its entry may still be counted.
type slotPairs struct {
	free    []uint32
	next    uint32
	total   uint32
	resting []restingPair
}

// restingPair remembers to whose totals the last counts of a pair's slots belong.
type restingPair struct {
	pair    uint32
	sweeps  int
	sender  [2]uint32
	verdict [2]flow.Verdict
	account [2]*account
}

const restingSweeps = 2

func newSlotPairs(slots int) slotPairs { return slotPairs{total: uint32(slots / 2), next: 1} }

// take returns a pair; pair 0 is never handed out, so that slot 0 means none.
func (s *slotPairs) take() (uint32, bool) {
	if n := len(s.free); n > 0 {
		p := s.free[n-1]
		s.free = s.free[:n-1]
		return p, true
	}
	if s.next < s.total {
		s.next++
		return s.next - 1, true
	}
	return 0, false
}

// scarce reports whether less than a quarter of the pairs is left.
func (s *slotPairs) scarce() bool { return uint32(len(s.free))+s.total-s.next < s.total/4 }

// newRecord begins a flow with a slot pair of its own; false when none is left.
func (e *Engine) newRecord(key flow.Key, now int64) (*record, bool) {
	pair, ok := e.pairs.take()
	if !ok {
		return nil, false
	}
	r := &record{key: key, slot: 2 * pair, idle: idleness{last: now}}
	e.insert(r)
	return r, true
}

func (e *Engine) insert(r *record) {
	e.flows[r.key] = r
	e.records.add(r)
}

// expect makes the record of the answer to a flow that is delivered to attachment out, unless that flow is known already.
func (e *Engine) expect(r *record, out uint32, now int64) *record {
	key := flow.Key{Attachment: out, Tuple: r.arrives.Reply()}
	if r.peer != nil && r.peer.key == key {
		return r.peer
	}
	if r.peer != nil || e.flows[key] != nil {
		return nil
	}
	if _, ended := e.halves[r.slot/2]; ended {
		return nil // the slot still holds what an earlier answer counted: another one gets a pair of its own when it comes
	}
	p := &record{key: key, slot: r.slot ^ 1, peer: r, idle: idleness{last: now}}
	r.peer = p
	e.insert(p)
	return p
}

// forget removes a flow from the table and the fast path. Its slot pair rests once the opposite direction is gone too.
func (e *Engine) forget(r *record) {
	e.evict(r)
	e.waitNoMore(r)
	delete(e.flows, r.key)
	e.records.remove(r)
	counted := e.mem.Slots[r.slot].Read()
	for _, t := range r.tracks {
		t.detach(r, counted)
	}
	r.tracks = nil
	side := r.slot & 1
	if r.peer != nil {
		r.peer.peer = nil
		e.halves[r.slot/2] = half{side: side, sender: r.key.Attachment, verdict: r.entry.Verdict, account: r.account}
		r.peer = nil
		return
	}
	rest := restingPair{pair: r.slot / 2}
	rest.sender[side], rest.verdict[side], rest.account[side] = r.key.Attachment, r.entry.Verdict, r.account
	if other, ok := e.halves[r.slot/2]; ok {
		rest.sender[other.side], rest.verdict[other.side], rest.account[other.side] = other.sender, other.verdict, other.account
		delete(e.halves, r.slot/2)
	}
	e.pairs.resting = append(e.pairs.resting, rest)
}

// half is a direction that ended before its opposite one: whose its counts are.
type half struct {
	side, sender uint32
	verdict      flow.Verdict
	account      *account
}

// forgetPair removes both directions.
func (e *Engine) forgetPair(r *record) {
	peer := r.peer
	e.forget(r)
	if peer != nil {
		e.forget(peer)
	}
}

// harvest reads rested pairs for the last time and frees them.
func (e *Engine) harvest() {
	kept := e.pairs.resting[:0]
	for _, rest := range e.pairs.resting {
		rest.sweeps++
		if rest.sweeps <= restingSweeps {
			kept = append(kept, rest)
			continue
		}
		for side := range rest.sender {
			slot := 2*rest.pair + uint32(side)
			c := &e.mem.Slots[slot]
			e.take(slot, rest.account[side])
			e.credit(rest.sender[side], rest.verdict[side], c.Read())
			c.Reset()
		}
		e.pairs.free = append(e.pairs.free, rest.pair)
	}
	e.pairs.resting = kept
}

func (e *Engine) credit(sender uint32, v flow.Verdict, c flow.Counters) {
	if v == flow.Deliver {
		t := e.delivered[sender]
		e.delivered[sender] = Count{t.Packets + c.Packets, t.Bytes + c.Bytes}
	}
}

// stateOf is how far a flow's connection has come, as its interfaces know it, or by its own two directions where none tracks it.
func (e *Engine) stateOf(r *record, now int64) flow.State {
	state := flow.StateOf(r.key.Protocol, e.mem.Slots[r.slot].Read(), e.mem.Slots[r.slot^1].Read())
	for _, t := range r.tracks {
		s, _ := t.state(e.mem, now, e.rate)
		state = max(state, s)
	}
	return state
}

// expired reports whether a flow that no interface tracks has been idle for too long.
func (e *Engine) expired(r *record, now int64) bool {
	own, peer := e.mem.Slots[r.slot].Read(), e.mem.Slots[r.slot^1].Read()
	state := flow.StateOf(r.key.Protocol, own, peer)
	idle := r.idle.since(int64(max(own.Last, peer.Last)), now, e.rate)
	return idle > e.timeouts(r.key.Protocol)[state]
}

// tuples yields what the flow's packets look like: at the sender, at the receiver, and for flow logs at the interfaces between.
func (r *record) tuples(yield func(flow.Tuple) bool) {
	if !yield(r.key.Tuple) || !yield(r.arrives) || r.account == nil {
		return
	}
	for i := range r.account.seen {
		if !yield(r.account.seen[i].Tuple) {
			return
		}
	}
}

// packet is a packet of the flow for a walk that no packet caused: one in the middle of its connection.
func (r *record) packet() fabric.Packet {
	p := fabric.Packet{Tuple: r.key.Tuple, TTL: 255, Sender: r.sender}
	switch r.key.Protocol {
	case flow.TCP:
		p.TCPFlags = flow.ACK
	case flow.ICMP, flow.ICMPv6:
		p.ICMPType = uint8(r.key.DstPort)
	}
	return p
}
