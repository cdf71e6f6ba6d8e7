package fragment_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vpclab/vpclab/dataplane/fragment"
	"github.com/vpclab/vpclab/dataplane/packet"
)

const second = int64(1e9)

// piece describes one fragment of a datagram of protocol 253, whose content nobody reads.
type piece struct {
	v6         bool
	attachment uint32
	id         uint32
	proto      uint8
	start, end int // bytes of the datagram's data
	more       bool
	headers    int // bytes of IPv6 extension headers before the fragment header
	fill       byte
}

// part is the piece of datagram 1 from start up to end, with more to come; rest is the last piece.
func part(start, end int) piece {
	return piece{attachment: 1, id: 1, proto: 253, start: start, end: end, more: true}
}
func rest(start, end int) piece { p := part(start, end); p.more = false; return p }

func (p piece) of(id uint32) piece     { p.id = id; return p }
func (p piece) by(from uint32) piece   { p.attachment = from; return p }
func (p piece) with(proto uint8) piece { p.proto = proto; return p }
func (p piece) over6() piece           { p.v6 = true; return p }

var (
	src4, dst4 = netip.MustParseAddr("10.0.1.5"), netip.MustParseAddr("10.0.2.9")
	src6, dst6 = netip.MustParseAddr("2001:db8:1::5"), netip.MustParseAddr("2001:db8:2::9")
)

func (p piece) bytes() []byte {
	data := bytes.Repeat([]byte{p.fill}, max(p.end-p.start, 0))
	more := uint16(0)
	if p.more {
		more = 1
	}
	if !p.v6 {
		b := make([]byte, 20, 20+len(data))
		b[0], b[8], b[9] = 0x45, 64, p.proto
		binary.BigEndian.PutUint16(b[2:], uint16(20+len(data)))
		binary.BigEndian.PutUint16(b[4:], uint16(p.id))
		binary.BigEndian.PutUint16(b[6:], more<<13|uint16(p.start/8))
		copy(b[12:], src4.AsSlice())
		copy(b[16:], dst4.AsSlice())
		return append(b, data...)
	}
	b := make([]byte, 40+p.headers+8, 40+p.headers+8+len(data))
	b[0], b[6], b[7] = 0x60, 44, 64
	binary.BigEndian.PutUint16(b[4:], uint16(p.headers+8+len(data)))
	copy(b[8:], src6.AsSlice())
	copy(b[24:], dst6.AsSlice())
	if p.headers > 0 {
		b[6] = 60
		b[40], b[41] = 44, byte(p.headers/8-1)
	}
	h := b[40+p.headers:]
	h[0] = p.proto
	binary.BigEndian.PutUint16(h[2:], uint16(p.start)|more)
	binary.BigEndian.PutUint32(h[4:], p.id)
	return append(b, data...)
}

// bench is a table whose verdict on a datagram is "datagram" and its first fragment's fill.
type bench struct {
	testing.TB
	table *fragment.Table[string]
	now   int64
}

func newBench(t testing.TB, l fragment.Limits) *bench {
	return &bench{TB: t, table: fragment.New[string](l)}
}

// offer says what becomes of a piece, and of the pieces that it sets free.
func (b *bench) offer(p piece) string {
	b.Helper()
	raw := append(p.bytes(), 1, 2, 3) // bytes behind the packet are no part of it
	var info packet.Info
	if !packet.Decode(raw, &info) {
		b.Fatalf("malformed: % x", raw)
	}
	k := fragment.KeyOf(p.attachment, &info)
	o := b.table.Offer(b.now, k, &info, raw)
	clear(raw) // what is held is a copy
	switch o.Step {
	case fragment.Decide:
		text := "decide"
		for _, held := range b.table.Settle(k, fmt.Sprintf("datagram %d", p.fill)) {
			var h packet.Info
			if !packet.Decode(held, &h) || h.Length != len(held) {
				b.Fatalf("a held fragment is malformed: % x", held)
			}
			text += fmt.Sprintf(", free %d-%d", h.FragmentOffset, h.FragmentOffset+h.Length-h.FragmentData)
		}
		return text
	case fragment.Follow:
		return "follow " + o.Verdict
	case fragment.Hold:
		return "hold"
	case fragment.Drop:
		return "drop " + o.Reason.String()
	}
	return fmt.Sprintf("step %d", o.Step)
}

// lost is what Sweep tells, as text.
func (b *bench) lost() string {
	var text []string
	for _, l := range b.table.Sweep(b.now) {
		text = append(text, fmt.Sprintf("%d: %s %d/%d", l.Attachment, l.Reason, l.Packets, l.Bytes))
	}
	return strings.Join(text, ", ")
}

type offered struct {
	piece piece
	want  string
}

func TestOffer(t *testing.T) {
	const overlap, incomplete = "drop FRAGMENT_OVERLAP", "drop FRAGMENT_INCOMPLETE"
	filled := func(p piece, fill byte) piece { p.fill = fill; return p }
	behind := func(p piece, headers int) piece { p.headers = headers; return p }
	for _, row := range []struct {
		name string
		run  []offered
		lost string
		left int // datagrams that the table still knows
	}{
		{"in order", []offered{
			{part(0, 1480), "decide"}, {part(1480, 2960), "follow datagram 0"}, {rest(2960, 3000), "follow datagram 0"}}, "", 0},
		{"the last first", []offered{
			{rest(2960, 3000), "hold"}, {part(1480, 2960), "hold"}, {part(0, 1480), "decide, free 2960-3000, free 1480-2960"}}, "", 0},
		{"the middle before the first, the last after it", []offered{
			{part(8, 16), "hold"}, {part(0, 8), "decide, free 8-16"}, {rest(16, 17), "follow datagram 0"}}, "", 0},
		{"an identification that is used again at once", []offered{
			{part(0, 8), "decide"}, {rest(8, 16), "follow datagram 0"},
			{filled(part(0, 16), 1), "decide"}, {rest(16, 24), "follow datagram 1"}}, "", 0},
		{"datagrams side by side", []offered{
			{part(0, 8), "decide"}, {filled(part(0, 8), 2).of(2), "decide"}, {rest(8, 16).of(2), "follow datagram 2"}, {rest(8, 16), "follow datagram 0"}}, "", 0},
		{"the same identification by another sender", []offered{{part(0, 8), "decide"}, {rest(8, 16).by(2), "hold"}}, "", 2},
		{"the same identification of another protocol", []offered{{part(0, 8), "decide"}, {rest(8, 16).with(254), "hold"}}, "", 2},
		{"the same identification of the other family", []offered{{part(0, 8), "decide"}, {rest(8, 16).over6(), "hold"}}, "", 2},
		{"IPv6 goes by addresses and identification alone", []offered{
			{part(0, 8).over6(), "decide"}, {rest(8, 16).over6().with(254), "follow datagram 0"}}, "", 0},
		{"IPv6 identifications have 32 bits", []offered{
			{part(0, 8).over6(), "decide"}, {rest(8, 16).over6().of(0x10001), "hold"}}, "", 2},
		{"IPv6 behind extension headers", []offered{
			{behind(part(0, 8).over6(), 16), "decide"}, {behind(rest(8, 16).over6(), 8), "follow datagram 0"}}, "", 0},

		{"a part that comes twice is not an overlap, and passes once", []offered{
			{part(0, 8), "decide"}, {part(0, 8), overlap}, {part(8, 16), "follow datagram 0"}, {part(8, 16), overlap}, {rest(16, 24), "follow datagram 0"}}, "", 0},
		{"a part that comes twice before the first", []offered{
			{part(8, 16), "hold"}, {part(8, 16), overlap}, {part(0, 8), "decide, free 8-16"}, {rest(16, 24), "follow datagram 0"}}, "", 0},
		{"the same bytes, once as the last", []offered{{part(0, 8), "decide"}, {part(8, 16), "follow datagram 0"}, {rest(8, 16), overlap}, {rest(16, 24), overlap}}, "", 1},
		{"a header that is written over (RFC 1858)", []offered{{part(0, 24), "decide"}, {rest(8, 32), overlap}, {rest(24, 32), overlap}}, "", 1},
		{"a header that is written over by another first", []offered{{part(0, 24), "decide"}, {part(0, 32), overlap}, {rest(24, 32), overlap}}, "", 1},
		{"teardrop: one part inside another", []offered{{part(0, 64), "decide"}, {rest(24, 28), overlap}, {rest(64, 72), overlap}}, "", 1},
		{"one part around another", []offered{{part(16, 24), "hold"}, {part(8, 32), overlap}, {part(0, 8), overlap}}, "1: FRAGMENT_OVERLAP 1/28", 1},
		{"an overlap before the first kills what is held", []offered{
			{part(8, 24), "hold"}, {rest(24, 32), "hold"}, {part(16, 24), overlap}, {part(0, 8), overlap}}, "1: FRAGMENT_OVERLAP 2/64", 1},
		{"data behind the end", []offered{{part(0, 8), "decide"}, {rest(16, 24), "follow datagram 0"}, {part(24, 32), overlap}, {part(8, 16), overlap}}, "", 1},
		{"an end before data", []offered{{part(0, 8), "decide"}, {part(24, 32), "follow datagram 0"}, {rest(8, 16), overlap}, {part(16, 24), overlap}}, "", 1},
		{"two ends", []offered{{part(0, 8), "decide"}, {rest(16, 24), "follow datagram 0"}, {rest(24, 32), overlap}}, "", 1},
		{"the dead do not disturb others", []offered{
			{part(0, 24), "decide"}, {rest(8, 32), overlap}, {filled(part(0, 24), 2).of(2), "decide"}, {rest(24, 32).of(2), "follow datagram 2"}}, "", 1},

		{"the largest datagram", []offered{{part(0, 65512), "decide"}, {rest(65512, 65515), "follow datagram 0"}}, "", 0},
		{"the largest datagram of IPv6", []offered{{part(0, 65000).over6(), "decide"}, {rest(65000, 65535).over6(), "follow datagram 0"}}, "", 0},
		{"ping of death: a byte too many, and the rest lives", []offered{
			{part(0, 65512), "decide"}, {rest(65512, 65516), overlap}, {rest(65512, 65515), "follow datagram 0"}}, "", 0},
		{"ping of death over IPv6", []offered{{part(0, 65000).over6(), "decide"}, {rest(65000, 65536).over6(), overlap}}, "", 1},
		{"a part without data", []offered{{rest(8, 8), "drop MALFORMED_PACKET"}, {part(8, 8).over6(), "drop MALFORMED_PACKET"}}, "", 0},
		{"a part that ends where none can begin", []offered{{part(0, 15), "drop MALFORMED_PACKET"}, {part(8, 17).over6(), "drop MALFORMED_PACKET"}}, "", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t, fragment.Limits{})
			for i, o := range row.run {
				if got := b.offer(o.piece); got != o.want {
					t.Fatalf("%d: %+v: %s, want %s", i, o.piece, got, o.want)
				}
			}
			if got := b.lost(); got != row.lost {
				t.Errorf("lost %q, want %q", got, row.lost)
			}
			if b.table.Len() != row.left {
				t.Errorf("%d datagrams are left, want %d", b.table.Len(), row.left)
			}
		})
	}

	t.Run("more parts than one datagram may have", func(t *testing.T) {
		b := newBench(t, fragment.Limits{Parts: 3})
		b.offer(part(0, 8))
		b.offer(part(8, 16))
		b.offer(part(16, 24))
		if got := b.offer(part(24, 32)); got != incomplete {
			t.Error(got)
		}
		if got := b.offer(rest(32, 40)); got != incomplete {
			t.Errorf("and then: %s", got)
		}
	})
	t.Run("more bytes than one datagram may hold", func(t *testing.T) {
		b := newBench(t, fragment.Limits{DatagramBytes: 2*(20+64) + 2*100})
		for i, want := range []string{"hold", "hold", incomplete, incomplete} {
			if got := b.offer(part(104*i+104, 104*i+200)); got != want {
				t.Errorf("%d: %s, want %s", i, got, want)
			}
		}
		if got := b.lost(); got != "1: FRAGMENT_INCOMPLETE 2/232" {
			t.Error(got)
		}
	})
}

func TestTimeout(t *testing.T) {
	b := newBench(t, fragment.Limits{})
	b.offer(part(8, 16))
	b.offer(part(16, 24).by(2))
	b.offer(rest(8, 16).of(2))
	b.now = 20 * second
	b.offer(part(0, 8).of(3))
	b.offer(part(8, 16).of(4))
	b.now = 30*second - 1
	if got := b.lost(); got != "" {
		t.Errorf("before the timeout: %s", got)
	}
	b.now++
	if got := b.lost(); got != "1: FRAGMENT_INCOMPLETE 2/56, 2: FRAGMENT_INCOMPLETE 1/28" {
		t.Errorf("at the timeout: %s", got)
	}
	if got := b.lost(); got != "" {
		t.Errorf("told twice: %s", got)
	}
	if got := b.offer(rest(8, 16).of(3)); got != "follow datagram 0" {
		t.Errorf("a younger one: %s", got)
	}
	if got := b.offer(rest(8, 16)); got != "hold" {
		t.Errorf("the identification of one that was given up: %s", got)
	}
	b.now = math.MaxInt64
	if got := b.lost(); got != "1: FRAGMENT_INCOMPLETE 2/56" || b.table.Len() != 0 {
		t.Errorf("at the end: %s, %d left", got, b.table.Len())
	}

	t.Run("nobody sweeps", func(t *testing.T) {
		b := newBench(t, fragment.Limits{Timeout: second})
		b.offer(part(0, 8))
		b.offer(part(4000, 4008).of(2))
		b.now = second
		if got := b.offer(rest(8, 16)); got != "hold" {
			t.Errorf("a verdict that is too old holds: %s", got)
		}
		if got := b.lost(); got != "1: FRAGMENT_INCOMPLETE 1/28" {
			t.Error(got)
		}
	})
	t.Run("the dead are forgotten in time", func(t *testing.T) {
		b := newBench(t, fragment.Limits{})
		b.offer(part(0, 24))
		b.offer(part(8, 24))
		b.now = 30*second - 1
		if got := b.offer(part(0, 24)); got != "drop FRAGMENT_OVERLAP" {
			t.Error(got)
		}
		b.now++
		if got := b.offer(part(0, 24)); got != "decide" {
			t.Error(got)
		}
	})
}

func TestEviction(t *testing.T) {
	t.Run("the oldest datagram goes", func(t *testing.T) {
		b := newBench(t, fragment.Limits{Datagrams: 3})
		b.offer(part(8, 16).of(1))
		b.offer(part(0, 8).of(2))
		b.offer(part(8, 16).of(3))
		b.offer(part(0, 8).of(4))
		if got := b.lost(); got != "1: FRAGMENT_INCOMPLETE 1/28" || b.table.Len() != 3 {
			t.Errorf("%s, %d left", got, b.table.Len())
		}
		for id, want := range map[uint32]string{2: "follow datagram 0", 4: "follow datagram 0"} {
			if got := b.offer(rest(8, 16).of(id)); got != want {
				t.Errorf("%d: %s, want %s", id, got, want)
			}
		}
		if got := b.offer(part(0, 8).of(3)); got != "decide, free 8-16" {
			t.Error(got)
		}
	})
	t.Run("the oldest make room for bytes", func(t *testing.T) {
		b := newBench(t, fragment.Limits{Bytes: 3 * (64 + 120)})
		for id := range uint32(4) {
			if got := b.offer(part(8, 108-4).of(id).by(id)); got != "hold" {
				t.Errorf("%d: %s", id, got)
			}
		}
		if got := b.lost(); got != "0: FRAGMENT_INCOMPLETE 1/116" {
			t.Error(got)
		}
		if packets, size := b.table.Held(); packets != 3 || size != 3*116 {
			t.Errorf("%d fragments of %d bytes are held", packets, size)
		}
	})
	t.Run("a fragment that is larger than all there is", func(t *testing.T) {
		b := newBench(t, fragment.Limits{Bytes: 1000})
		b.offer(part(8, 16))
		if got := b.offer(part(16, 1016).of(2)); got != "drop FRAGMENT_INCOMPLETE" {
			t.Error(got)
		}
		if got := b.lost(); got != "1: FRAGMENT_INCOMPLETE 1/28" || b.table.Len() != 0 {
			t.Errorf("%s, %d left", got, b.table.Len())
		}
	})
}

func TestSettle(t *testing.T) {
	table := fragment.New[string](fragment.Limits{})
	raw := part(0, 8).bytes()
	var p packet.Info
	packet.Decode(raw, &p)
	k := fragment.KeyOf(1, &p)
	if held := table.Settle(k, "nobody asked"); held != nil || table.Len() != 0 {
		t.Errorf("a datagram that nobody offered: %v", held)
	}
	later := rest(8, 16).bytes()
	var q packet.Info
	packet.Decode(later, &q)
	table.Offer(0, k, &q, later)
	if held := table.Settle(k, "too early"); held != nil {
		t.Errorf("before its first fragment: %v", held)
	}
	table.Offer(0, k, &p, raw)
	if held := table.Settle(k, "yes"); len(held) != 1 || !bytes.Equal(held[0], later) {
		t.Errorf("%v", held)
	}
}

// TestRealDatagram sends UDP datagrams that packet.Fragment cut, in any order, and cut again.
func TestRealDatagram(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	table := fragment.New[int](fragment.Limits{})
	for n := range 300 {
		ip := &layers.IPv4{Version: 4, TTL: 64, Id: uint16(n % 3), Protocol: layers.IPProtocolUDP, SrcIP: src4.AsSlice(), DstIP: dst4.AsSlice()}
		udp := &layers.UDP{SrcPort: 999, DstPort: layers.UDPPort(n)}
		if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		buf := gopacket.NewSerializeBuffer()
		payload := make([]byte, 3000+rng.Intn(60000))
		if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, udp, gopacket.Payload(payload)); err != nil {
			t.Fatal(err)
		}
		var p packet.Info
		if !packet.Decode(buf.Bytes(), &p) {
			t.Fatal("malformed")
		}
		want := packet.Fragment(buf.Bytes(), &p, 1500)
		rng.Shuffle(len(want), func(i, j int) { want[i], want[j] = want[j], want[i] })
		var passed [][]byte
		for _, f := range want {
			var q packet.Info
			if !packet.Decode(f, &q) {
				t.Fatal("malformed fragment")
			}
			k := fragment.KeyOf(7, &q)
			switch o := table.Offer(int64(n), k, &q, f); o.Step {
			case fragment.Decide:
				if q.Tuple.DstPort != uint16(n) {
					t.Fatalf("decide about %v", q.Tuple)
				}
				passed = append(append(passed, f), table.Settle(k, n)...)
			case fragment.Follow:
				if o.Verdict != n {
					t.Fatalf("datagram %d follows %d", n, o.Verdict)
				}
				passed = append(passed, f)
			case fragment.Drop:
				t.Fatalf("datagram %d: %s", n, o.Reason)
			}
		}
		order := func(a, b []byte) int { return bytes.Compare(a, b) }
		slices.SortFunc(want, order)
		slices.SortFunc(passed, order)
		if !reflect.DeepEqual(passed, want) {
			t.Fatalf("datagram %d: %d of %d fragments passed", n, len(passed), len(want))
		}
		if packets, _ := table.Held(); packets != 0 || table.Len() != 0 {
			t.Fatalf("datagram %d left %d datagrams and %d fragments", n, table.Len(), packets)
		}
	}
}

// TestFloods: whatever comes, the table's memory stays within its limits, and every fragment is somewhere.
func TestFloods(t *testing.T) {
	n := uint32(0)
	for _, flood := range []struct {
		name string
		next func() piece
	}{
		{"last fragments of 9001 bytes", func() piece { n++; return rest(8, 8+8976).over6().of(n) }},
		{"the smallest fragments", func() piece { n++; return part(8+int(n%250)*8, 16+int(n%250)*8).of(n / 250 % 60000) }},
		{"first fragments", func() piece { n++; return part(0, 8).over6().of(n) }},
		{"one datagram in eights, never its first", func() piece { n++; return part(8+int(n%8000)*8, 16+int(n%8000)*8) }},
		{"overlaps", func() piece { n++; return part(8+int(n%3)*8, 32+int(n%3)*8).of(n / 2 % 60000) }},
		{"headers without an end", func() piece {
			n++
			p := part(8+int(n%200)*8, 16+int(n%200)*8).over6().of(n / 200)
			p.headers = 2048
			return p
		}},
		{"many senders", func() piece { n++; return rest(8, 1008).of(n % 60000).by(n % 500) }},
	} {
		t.Run(flood.name, func(t *testing.T) {
			n = 0
			b := newBench(t, fragment.Limits{})
			before := heap()
			const fragments = 30000
			counts := map[string]int{}
			for range fragments {
				got := b.offer(flood.next())
				counts[strings.Fields(got)[0]]++
				if packets, size := b.table.Held(); b.table.Len() > 1024 || size+64*packets > 4<<20 {
					t.Fatalf("%d datagrams, %d fragments of %d bytes", b.table.Len(), packets, size)
				}
			}
			if grown := int64(heap()) - int64(before); grown > 9<<20 {
				t.Errorf("the heap grew by %d bytes", grown)
			}
			packets, size := b.table.Held()
			lost, lostBytes := 0, 0
			for _, l := range b.table.Sweep(b.now) {
				lost += int(l.Packets)
				lostBytes += int(l.Bytes)
			}
			if counts["hold"] != packets+lost {
				t.Errorf("%d fragments were held, %d are, %d were lost", counts["hold"], packets, lost)
			}
			b.now = math.MaxInt64
			for _, l := range b.table.Sweep(b.now) {
				packets -= int(l.Packets)
				size -= int(l.Bytes)
			}
			if packets != 0 || size != 0 || b.table.Len() != 0 {
				t.Errorf("%d fragments of %d bytes are unaccounted for", packets, size)
			}
			runtime.KeepAlive(b)
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestNoAllocationInOrder(t *testing.T) {
	table := fragment.New[int](fragment.Limits{})
	var raw [3][]byte
	var p [3]packet.Info
	for i, f := range []piece{part(0, 1480), part(1480, 2960), rest(2960, 3000)} {
		raw[i] = f.bytes()
		packet.Decode(raw[i], &p[i])
	}
	allocs := testing.AllocsPerRun(100, func() {
		for i := range raw {
			k := fragment.KeyOf(1, &p[i])
			if o := table.Offer(1, k, &p[i], raw[i]); o.Step == fragment.Decide {
				table.Settle(k, 1)
			} else if o.Step != fragment.Follow {
				t.Fatal(o)
			}
		}
	})
	if allocs != 0 || table.Len() != 0 {
		t.Errorf("%v allocations a datagram, %d left", allocs, table.Len())
	}
}

func BenchmarkInOrder(b *testing.B) {
	table := fragment.New[int](fragment.Limits{})
	var raw [2][]byte
	var p [2]packet.Info
	for i, f := range []piece{part(0, 1480), rest(1480, 2960)} {
		raw[i] = f.bytes()
		packet.Decode(raw[i], &p[i])
	}
	k := fragment.KeyOf(1, &p[0])
	for b.Loop() {
		table.Offer(1, k, &p[0], raw[0])
		table.Settle(k, 1)
		table.Offer(1, k, &p[1], raw[1])
	}
}
