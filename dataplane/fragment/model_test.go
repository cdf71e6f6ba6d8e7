package fragment_test

import (
	"bytes"
	"fmt"
	"math/rand"
	"slices"
	"testing"

	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/fragment"
	"github.com/vpclab/vpclab/dataplane/packet"
)

// model is the table as one would explain it: a list of datagrams in the order of their first arrival, and for each the list of what came,
// looked through byte by byte.
type model struct {
	limits    fragment.Limits
	datagrams []*modelled
	lost      map[fragment.Loss]fragment.Loss // by attachment and reason
}

type modelled struct {
	key     fragment.Key
	born    int64
	came    []piece
	verdict int // 0: none yet
	dead    flow.Reason
	held    []piece
}

func (m *model) find(k fragment.Key) *modelled {
	for _, d := range m.datagrams {
		if d.key == k {
			return d
		}
	}
	return nil
}

func (m *model) lose(d *modelled, r flow.Reason) {
	for _, p := range d.held {
		k := fragment.Loss{Attachment: d.key.Attachment, Reason: r}
		l := m.lost[k]
		m.lost[k] = fragment.Loss{Attachment: k.Attachment, Reason: r, Packets: l.Packets + 1, Bytes: l.Bytes + uint64(len(p.bytes()))}
	}
	d.held = nil
}

func (m *model) remove(d *modelled) {
	m.datagrams = slices.DeleteFunc(m.datagrams, func(o *modelled) bool { return o == d })
}

func (m *model) evictOldest() *modelled {
	d := m.datagrams[0]
	m.lose(d, flow.FragmentIncomplete)
	m.remove(d)
	return d
}

func (m *model) expire(now int64) {
	for len(m.datagrams) > 0 && now-m.datagrams[0].born >= m.limits.Timeout {
		m.evictOldest()
	}
}

func (m *model) memory() (n int) {
	for _, d := range m.datagrams {
		n += d.memory()
	}
	return n
}

func (d *modelled) memory() (n int) {
	for _, p := range d.held {
		n += len(p.bytes()) + 64
	}
	return n
}

// contradicts reports whether two parts cannot be of one datagram.
func contradicts(a, b piece) bool {
	for at := a.start; at < a.end; at++ {
		if at >= b.start && at < b.end || !b.more && at >= b.end {
			return true
		}
	}
	return !a.more && b.end > a.end
}

func (d *modelled) complete() bool {
	end := -1
	for _, p := range d.came {
		if !p.more {
			end = p.end
		}
	}
	for at := range max(end, 0) {
		if !slices.ContainsFunc(d.came, func(p piece) bool { return at >= p.start && at < p.end }) {
			return false
		}
	}
	return end >= 0
}

func (m *model) offer(now int64, k fragment.Key, p piece) string {
	m.expire(now)
	size := p.end
	if !p.v6 {
		size += 20
	}
	switch {
	case size > 65535:
		return "drop FRAGMENT_OVERLAP"
	case p.end == p.start, p.more && (p.end-p.start)%8 != 0:
		return "drop MALFORMED_PACKET"
	}
	d := m.find(k)
	if d == nil {
		for len(m.datagrams) >= m.limits.Datagrams {
			m.evictOldest()
		}
		d = &modelled{key: k, born: now}
		m.datagrams = append(m.datagrams, d)
	}
	kill := func(r flow.Reason) string {
		m.lose(d, r)
		d.dead = r
		return "drop " + r.String()
	}
	if d.dead != flow.None {
		return "drop " + d.dead.String()
	}
	for _, o := range d.came {
		if o.start == p.start && o.end == p.end && o.more == p.more {
			return "drop FRAGMENT_OVERLAP"
		}
	}
	for _, o := range d.came {
		if contradicts(o, p) || contradicts(p, o) {
			return kill(flow.FragmentOverlap)
		}
	}
	if len(d.came) >= m.limits.Parts {
		return kill(flow.FragmentIncomplete)
	}
	d.came = append(d.came, p)
	switch {
	case p.start == 0:
		return "decide"
	case d.verdict != 0:
		text := fmt.Sprint("follow ", d.verdict)
		if d.complete() {
			m.remove(d)
		}
		return text
	}
	need := len(p.bytes()) + 64
	if d.memory()+need > m.limits.DatagramBytes {
		return kill(flow.FragmentIncomplete)
	}
	for m.memory()+need > m.limits.Bytes {
		if m.evictOldest() == d {
			return "drop FRAGMENT_INCOMPLETE"
		}
	}
	d.held = append(d.held, p)
	return "hold"
}

func (m *model) settle(k fragment.Key, verdict int) []piece {
	d := m.find(k)
	if d == nil || d.verdict != 0 || d.dead != flow.None || !slices.ContainsFunc(d.came, func(p piece) bool { return p.start == 0 }) {
		return nil
	}
	held := d.held
	d.held, d.verdict = nil, verdict
	if d.complete() {
		m.remove(d)
	}
	return held
}

// both offers the same to the table and to the model, and fails where they differ.
type both struct {
	testing.TB
	table   *fragment.Table[int]
	model   model
	now     int64
	verdict int
	log     []string
	passed  func(fragment.Key, []byte) // what gets through, in its order
}

func newBoth(t testing.TB, l fragment.Limits) *both {
	return &both{TB: t, table: fragment.New[int](l), model: model{limits: l, lost: map[fragment.Loss]fragment.Loss{}},
		passed: func(fragment.Key, []byte) {}}
}

func (b *both) fail(format string, args ...any) {
	b.Helper()
	for _, line := range b.log {
		b.Log(line)
	}
	b.Fatalf(format, args...)
}

// offer offers a piece, and settles what is to be decided if settle says so.
func (b *both) offer(p piece, settle bool) {
	b.Helper()
	raw := p.bytes()
	var info packet.Info
	if !packet.Decode(raw, &info) {
		b.Fatalf("malformed: % x", raw)
	}
	k := fragment.KeyOf(p.attachment, &info)
	o := b.table.Offer(b.now, k, &info, raw)
	got := map[fragment.Step]string{
		fragment.Decide: "decide", fragment.Follow: fmt.Sprint("follow ", o.Verdict), fragment.Hold: "hold", fragment.Drop: "drop " + o.Reason.String(),
	}[o.Step]
	want := b.model.offer(b.now, k, p)
	b.log = append(b.log, fmt.Sprintf("%d ms: %+v: %s", b.now/1e6, p, want))
	if got != want {
		b.fail("%s, want %s", got, want)
	}
	if o.Step == fragment.Decide || o.Step == fragment.Follow {
		b.passed(k, raw)
	}
	if o.Step == fragment.Decide && settle {
		b.settle(k)
	}
	packets, size := b.table.Held()
	if b.table.Len() != len(b.model.datagrams) || size+64*packets != b.model.memory() {
		b.fail("%d datagrams, %d fragments of %d bytes, want %d datagrams and %d bytes of memory",
			b.table.Len(), packets, size, len(b.model.datagrams), b.model.memory())
	}
}

func (b *both) settle(k fragment.Key) {
	b.Helper()
	b.verdict++
	held, want := b.table.Settle(k, b.verdict), b.model.settle(k, b.verdict)
	if len(held) != len(want) {
		b.fail("%d fragments are set free, want %d", len(held), len(want))
	}
	for i, h := range held {
		if !bytes.Equal(h, want[i].bytes()) {
			b.fail("fragment %d that is set free is % x, want % x", i, h, want[i].bytes())
		}
		b.passed(k, h)
	}
}

func (b *both) sweep() {
	b.Helper()
	b.model.expire(b.now)
	for _, got := range b.table.Sweep(b.now) {
		k := fragment.Loss{Attachment: got.Attachment, Reason: got.Reason}
		if want := b.model.lost[k]; got != want {
			b.fail("lost %+v, want %+v", got, want)
		}
		delete(b.model.lost, k)
	}
	if len(b.model.lost) > 0 {
		b.fail("not told: lost %+v", b.model.lost)
	}
}

// step is one random or fuzzed step: a fragment of some datagram, which more often than not fits, or time that passes.
func (b *both) step(op [5]byte) {
	b.Helper()
	p := piece{attachment: uint32(op[0] & 1), id: uint32(op[0] >> 1 & 3), proto: 253, v6: op[0]&8 != 0, fill: op[4], more: op[2]&0xc0 != 0}
	p.start = int(op[1]&15) * 8
	p.end = p.start + int(op[2]&7)*8
	switch {
	case op[3]&0xf0 == 0xf0: // at the edge of what may be
		p.start += 65536 - 128
		p.end = min(p.end+65536-128, p.start+160)
	case op[3]&0xf0 == 0xe0: // an odd size
		p.end += int(op[3] & 7)
	case op[3]&0xf0 == 0xd0:
		b.now += int64(op[3]&15) * second
	case op[3]&0xf0 == 0xc0:
		b.sweep()
	case op[3]&0xf0 == 0xb0 && p.start == 0:
		b.offer(p, false)
		return
	}
	b.offer(p, true)
}

func (b *both) end() {
	b.Helper()
	b.sweep()
	b.now += 1000 * second
	b.sweep()
	if packets, size := b.table.Held(); b.table.Len() != 0 || packets != 0 || size != 0 {
		b.fail("%d datagrams, %d fragments of %d bytes at the end", b.table.Len(), packets, size)
	}
}

func TestAgainstModel(t *testing.T) {
	rng := rand.New(rand.NewSource(2))
	for range 400 {
		b := newBoth(t, fragment.Limits{
			Datagrams: 1 + rng.Intn(8), Bytes: 100 + rng.Intn(1500), DatagramBytes: 100 + rng.Intn(600), Parts: 2 + rng.Intn(8), Timeout: 30 * second,
		})
		for range 200 {
			var op [5]byte
			rng.Read(op[:])
			b.step(op)
		}
		b.end()
	}
}

// receiver reassembles what gets through. Where parts overlap it believes the first that came, or the last: nobody knows what a guest does.
type receiver struct {
	lastWins  bool
	datagrams map[fragment.Key]*reassembly
	delivered []string
}

type reassembly struct {
	data [1 << 16]byte
	have [1 << 16]bool
	end  int
}

func (r *receiver) receive(k fragment.Key, b []byte) {
	var p packet.Info
	packet.Decode(b, &p)
	d := r.datagrams[k]
	if d == nil {
		d = &reassembly{end: -1}
		r.datagrams[k] = d
	}
	for i, c := range b[p.FragmentData:] {
		if at := p.FragmentOffset + i; r.lastWins || !d.have[at] {
			d.data[at], d.have[at] = c, true
		}
	}
	if !p.MoreFragments && (r.lastWins || d.end < 0) {
		d.end = p.FragmentOffset + p.Length - p.FragmentData
	}
	if d.end >= 0 && !slices.Contains(d.have[:d.end], false) {
		r.delivered = append(r.delivered, fmt.Sprintf("%v: % x", k, d.data[:d.end]))
		delete(r.datagrams, k)
	}
}

// receivers are two that disagree about overlaps.
func (b *both) receivers() [2]*receiver {
	all := [2]*receiver{{datagrams: map[fragment.Key]*reassembly{}}, {lastWins: true, datagrams: map[fragment.Key]*reassembly{}}}
	b.passed = func(k fragment.Key, raw []byte) {
		for _, r := range all {
			r.receive(k, raw)
		}
	}
	return all
}

// TestReceiversAgree: whatever is sent, what gets through means the same to every receiver, whether its first or its last copy of a byte
// wins. So nobody can show the rules one packet and the receiver another.
func TestReceiversAgree(t *testing.T) {
	rng := rand.New(rand.NewSource(3))
	delivered := 0
	for range 150 {
		b := newBoth(t, fragment.Limits{Datagrams: 1024, Bytes: 1 << 20, DatagramBytes: 1 << 20, Parts: 256, Timeout: 30 * second})
		receivers := b.receivers()
		for range 150 {
			var op [5]byte
			rng.Read(op[:])
			op[3] &= 0x3f // time stands still
			op[1] &= 3    // few places, so that datagrams become whole
			b.step(op)
		}
		if !slices.Equal(receivers[0].delivered, receivers[1].delivered) {
			b.fail("one receiver has %q, the other %q", receivers[0].delivered, receivers[1].delivered)
		}
		delivered += len(receivers[0].delivered)
	}
	if delivered < 100 {
		t.Errorf("%d datagrams came through: too few to tell", delivered)
	}
}

// FuzzFragments runs any sequence of fragments, times and limits through the table and the model, then the sequence without time and limits past
// two receivers, and real packets through packet.Fragment and back.
func FuzzFragments(f *testing.F) {
	f.Add([]byte{4, 8, 8, 4}, []byte{0, 0, 0x43, 0, 1, 0, 3, 2, 0, 2})
	f.Add([]byte{1, 1, 1, 1}, []byte{2, 3, 0x42, 0, 1, 2, 0, 0x43, 0, 2, 2, 5, 1, 0, 3})
	f.Add([]byte{2, 255, 255, 2}, []byte{0, 1, 0x41, 0, 1, 2, 1, 0x41, 0, 1, 4, 1, 0x41, 0, 1, 6, 1, 0x41, 0, 1, 0, 0, 0x41, 0, 1})
	f.Add([]byte{9, 9, 9, 9}, []byte{8, 0, 0x43, 0xb0, 1, 8, 3, 2, 0, 2, 8, 0, 0x43, 0xdf, 1, 8, 3, 2, 0xdf, 2, 8, 3, 2, 0xdf, 2, 8, 3, 2, 0xc0, 2})
	f.Add([]byte{9, 9, 9, 9}, []byte{0, 0, 0x43, 0, 1, 0, 15, 2, 0xf0, 2, 8, 15, 7, 0xf0, 2, 0, 2, 0x43, 0xe3, 1})
	f.Fuzz(func(t *testing.T, limits, ops []byte) {
		if len(limits) < 4 || len(ops) > 2000 {
			return
		}
		b := newBoth(t, fragment.Limits{
			Datagrams: 1 + int(limits[0]), Bytes: 1 + 16*int(limits[1]), DatagramBytes: 1 + 16*int(limits[2]), Parts: 1 + int(limits[3]), Timeout: 30 * second,
		})
		calm := newBoth(t, fragment.Limits{Datagrams: 1024, Bytes: 1 << 20, DatagramBytes: 1 << 20, Parts: 1024, Timeout: 30 * second})
		receivers := calm.receivers()
		for chunk := range slices.Chunk(ops, 5) {
			if len(chunk) < 5 {
				break
			}
			op := [5]byte(chunk)
			b.step(op)
			op[3] &= 0x3f
			calm.step(op)
		}
		b.end()
		if !slices.Equal(receivers[0].delivered, receivers[1].delivered) {
			calm.fail("one receiver has %q, the other %q", receivers[0].delivered, receivers[1].delivered)
		}
		calm.end()
		cutAndFollow(t, limits, ops)
	})
}

// cutAndFollow takes b for an IPv4 packet and cuts it: its fragments, offered backwards, all get through.
func cutAndFollow(t *testing.T, limits, b []byte) {
	t.Helper()
	raw := slices.Concat([]byte{0x45, limits[0], byte((len(b) + 20) >> 8), byte(len(b) + 20), limits[1], limits[2], 0, 0, 64, 253, 0, 0, 10, 0, 1, 5, 10, 0, 2, 9}, b)
	var p packet.Info
	if !packet.Decode(raw, &p) {
		t.Fatalf("malformed: % x", raw)
	}
	fragments := packet.Fragment(raw, &p, 28+int(limits[3]))
	if len(fragments) < 2 || len(fragments) > 256 {
		return
	}
	table := fragment.New[bool](fragment.Limits{})
	passed := 0
	for i := len(fragments) - 1; i >= 0; i-- {
		var q packet.Info
		if !packet.Decode(fragments[i], &q) {
			t.Fatalf("a malformed fragment: % x", fragments[i])
		}
		k := fragment.KeyOf(1, &q)
		switch o := table.Offer(0, k, &q, fragments[i]); {
		case o.Step == fragment.Decide:
			passed += 1 + len(table.Settle(k, true))
		case o.Step != fragment.Hold:
			t.Fatalf("fragment %d of %d: step %d", i, len(fragments), o.Step)
		}
	}
	if passed != len(fragments) || table.Len() != 0 {
		t.Fatalf("%d of %d fragments got through", passed, len(fragments))
	}
}
