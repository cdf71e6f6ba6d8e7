package fragment

import (
	"cmp"
	"slices"

	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/packet"
)

// Key names one fragmented packet, a datagram, as one attachment sends it.
type Key struct {
	Attachment uint32
	ID         uint32
	Src, Dst   [16]byte
	Protocol   uint8 // IPv4 only: fragments of one IPv6 packet may differ in it (RFC 8200, section 4.5)
	Family     uint8
}

// KeyOf is the key of a fragment, whose Info is p, from an attachment.
func KeyOf(attachment uint32, p *packet.Info) Key {
	k := Key{Attachment: attachment, ID: p.ID, Src: p.Tuple.Src, Dst: p.Tuple.Dst, Family: p.Tuple.Family}
	if k.Family == 4 {
		k.Protocol = p.Tuple.Protocol
	}
	return k
}

// Limits bound a table's memory. A field that is 0 or less means its default.
type Limits struct {
	Datagrams     int   // that are incomplete; 1024
	Bytes         int   // of memory for fragments held, in all; 4 MiB
	DatagramBytes int   // of memory for fragments held for one datagram; 96 KiB: the largest, with the headers of so many parts
	Parts         int   // fragments of one datagram; 256: the largest, over links of 280 bytes
	Timeout       int64 // ns from a datagram's first arrival until it is given up; 30 s (Linux, ipfrag_time)
}

// overhead is the memory, in bytes, that a held fragment takes beside its own bytes: what the allocator rounds up, its slice, its part.
const overhead = 64

func (l Limits) orDefault() Limits {
	for _, f := range []struct {
		field *int
		value int
	}{{&l.Datagrams, 1024}, {&l.Bytes, 4 << 20}, {&l.DatagramBytes, 96 << 10}, {&l.Parts, 256}} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	if l.Timeout <= 0 {
		l.Timeout = 30e9
	}
	return l
}

// Step is what to do with a fragment that was offered.
type Step uint8

// The steps.
const (
	Decide Step = 1 + iota // it is the first: decide about it, then call Settle
	Follow                 // the first was decided about: it shares the verdict
	Hold                   // its first has not come; the table has a copy
	Drop                   // for a reason; the caller counts it
)

// Outcome is what becomes of a fragment that was offered.
type Outcome[V any] struct {
	Step    Step
	Verdict V           // of Follow
	Reason  flow.Reason // of Drop
}

// Table follows the datagrams that are incomplete. V is the caller's verdict on a datagram, whatever that is. A table belongs to one
// goroutine at a time; times are monotonic nanoseconds that do not run backwards.
//
// A datagram is forgotten when its last missing part has passed, so that its identification can be used again at once, or after the
// timeout. One of which two parts overlap is dead: the rest of it is dropped until then (RFC 5722, and for IPv4 as well: RFC 1858). A part that
// comes twice, whole, is dropped without such a consequence, which RFC 8200 allows: no receiver gets to choose between two versions.
type Table[V any] struct {
	limits    Limits
	datagrams map[Key]*datagram[V]
	oldest    *datagram[V] // by first arrival, up to newest
	newest    *datagram[V]
	free      *datagram[V] // a list by next, at most limits.Datagrams long
	packets   int          // held
	bytes     int          // of packets
	losses    map[lossKey]Loss
}

// New makes an empty table.
func New[V any](limits Limits) *Table[V] {
	return &Table[V]{limits: limits.orDefault(), datagrams: map[Key]*datagram[V]{}, losses: map[lossKey]Loss{}}
}

// datagram is one fragmented packet, of which something is missing or its first fragment is being decided about.
type datagram[V any] struct {
	key        Key
	born       int64
	prev, next *datagram[V]

	parts parts
	first bool        // came
	dead  flow.Reason // why the rest of it is dropped; None while it lives

	settled bool
	verdict V
	held    [][]byte // in the order of arrival, until settled
	bytes   int      // of held
}

// Offer takes a fragment: p.Fragment is true, b begins with its packet, and k is its key. What the table holds is a copy.
//
// A fragment is dropped as FRAGMENT_OVERLAP if it overlaps another one of its datagram, contradicts its end or lies beyond the largest packet,
// as FRAGMENT_INCOMPLETE if its datagram is out of room, and as MALFORMED_PACKET if it is empty or ends, with more to come, where no
// other can begin (RFC 8200, section 4.5).
func (t *Table[V]) Offer(now int64, k Key, p *packet.Info, b []byte) Outcome[V] {
	t.expire(now)
	pt, reason := partOf(p)
	if reason != flow.None {
		return Outcome[V]{Step: Drop, Reason: reason}
	}
	d := t.datagrams[k]
	if d == nil {
		d = t.add(now, k)
	}
	if d.dead != flow.None {
		return Outcome[V]{Step: Drop, Reason: d.dead}
	}
	switch d.parts.add(pt, t.limits.Parts) {
	case again:
		return Outcome[V]{Step: Drop, Reason: flow.FragmentOverlap}
	case overlaps:
		t.kill(d, flow.FragmentOverlap)
		return Outcome[V]{Step: Drop, Reason: flow.FragmentOverlap}
	case tooMany:
		t.kill(d, flow.FragmentIncomplete)
		return Outcome[V]{Step: Drop, Reason: flow.FragmentIncomplete}
	}
	switch {
	case pt.start == 0:
		d.first = true
		return Outcome[V]{Step: Decide}
	case !d.settled:
		return t.hold(d, b[:p.Length])
	}
	o := Outcome[V]{Step: Follow, Verdict: d.verdict}
	if d.parts.complete() {
		t.remove(d)
	}
	return o
}

// Settle tells the verdict on the datagram whose first fragment was offered last, and returns the fragments that were waiting for it, in
// the order in which they came: they share the verdict and are the caller's now.
func (t *Table[V]) Settle(k Key, verdict V) [][]byte {
	d := t.datagrams[k]
	if d == nil || !d.first || d.settled || d.dead != flow.None {
		return nil
	}
	held := t.release(d)
	d.settled, d.verdict = true, verdict
	if d.parts.complete() {
		t.remove(d)
	}
	return held
}

// Loss is a number of fragments that were held and will not be delivered.
type Loss struct {
	Attachment     uint32
	Reason         flow.Reason // FragmentIncomplete or FragmentOverlap
	Packets, Bytes uint64
}

type lossKey struct {
	attachment uint32
	reason     flow.Reason
}

// Sweep gives up what is too old, and returns the losses since the last call, for the caller to count: of what it gave up itself, of what
// Offer gave up for want of room, and of what was held of dead datagrams. A time beyond all timeouts empties the table.
func (t *Table[V]) Sweep(now int64) []Loss {
	t.expire(now)
	if len(t.losses) == 0 {
		return nil
	}
	all := make([]Loss, 0, len(t.losses))
	for _, l := range t.losses {
		all = append(all, l)
	}
	clear(t.losses)
	slices.SortFunc(all, func(a, b Loss) int {
		return cmp.Or(cmp.Compare(a.Attachment, b.Attachment), cmp.Compare(a.Reason, b.Reason))
	})
	return all
}

// Held is how many fragments are held, and their bytes: neither delivered nor dropped so far.
func (t *Table[V]) Held() (packets, bytes int) { return t.packets, t.bytes }

// Len is the number of datagrams of which the table knows.
func (t *Table[V]) Len() int { return len(t.datagrams) }

// hold keeps a copy of a fragment whose first one has not come, at the cost of older datagrams if need be.
func (t *Table[V]) hold(d *datagram[V], b []byte) Outcome[V] {
	if memory(len(d.held)+1, d.bytes+len(b)) > t.limits.DatagramBytes {
		t.kill(d, flow.FragmentIncomplete)
		return Outcome[V]{Step: Drop, Reason: flow.FragmentIncomplete}
	}
	for memory(t.packets+1, t.bytes+len(b)) > t.limits.Bytes {
		evicted := t.oldest
		t.giveUp(evicted)
		if evicted == d {
			return Outcome[V]{Step: Drop, Reason: flow.FragmentIncomplete}
		}
	}
	d.held = append(d.held, slices.Clone(b))
	d.bytes += len(b)
	t.packets++
	t.bytes += len(b)
	return Outcome[V]{Step: Hold}
}

// memory is what so many held fragments of so many bytes take.
func memory(packets, bytes int) int { return bytes + packets*overhead }

// kill drops what is held of a datagram and lets nothing more of it pass.
func (t *Table[V]) kill(d *datagram[V], r flow.Reason) {
	t.lose(d, r)
	d.dead = r
	d.parts.reset()
}

// giveUp ends a datagram of which something never came.
func (t *Table[V]) giveUp(d *datagram[V]) {
	t.lose(d, flow.FragmentIncomplete)
	t.remove(d)
}

func (t *Table[V]) lose(d *datagram[V], r flow.Reason) {
	if len(d.held) == 0 {
		return
	}
	k := lossKey{d.key.Attachment, r}
	l := t.losses[k]
	t.losses[k] = Loss{Attachment: d.key.Attachment, Reason: r, Packets: l.Packets + uint64(len(d.held)), Bytes: l.Bytes + uint64(d.bytes)}
	t.release(d)
}

// release takes what is held of a datagram out of the table.
func (t *Table[V]) release(d *datagram[V]) [][]byte {
	held := d.held
	t.packets -= len(held)
	t.bytes -= d.bytes
	d.held, d.bytes = nil, 0
	return held
}

// expire gives up the datagrams whose time is over.
func (t *Table[V]) expire(now int64) {
	for t.oldest != nil && now-t.oldest.born >= t.limits.Timeout {
		t.giveUp(t.oldest)
	}
}

// add makes room for one more datagram and begins it.
func (t *Table[V]) add(now int64, k Key) *datagram[V] {
	for len(t.datagrams) >= t.limits.Datagrams {
		t.giveUp(t.oldest)
	}
	d := t.free
	if d == nil {
		d = new(datagram[V])
	} else {
		t.free = d.next
	}
	*d = datagram[V]{key: k, born: now, prev: t.newest, parts: d.parts}
	d.parts.reset()
	if t.newest != nil {
		t.newest.next = d
	} else {
		t.oldest = d
	}
	t.newest = d
	t.datagrams[k] = d
	return d
}

// remove forgets a datagram, of which nothing is held any more.
func (t *Table[V]) remove(d *datagram[V]) {
	delete(t.datagrams, d.key)
	if d.prev != nil {
		d.prev.next = d.next
	} else {
		t.oldest = d.next
	}
	if d.next != nil {
		d.next.prev = d.prev
	} else {
		t.newest = d.prev
	}
	*d = datagram[V]{parts: d.parts, next: t.free} // keeps nothing of the verdict alive
	t.free = d
}
