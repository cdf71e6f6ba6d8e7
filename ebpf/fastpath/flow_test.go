package fastpath

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// Which packets ride an entry of their own tuple, and which go up although there is one.
func TestWhatRidesAnEntry(t *testing.T) {
	r := newRig(t)
	t4, u4 := tcp("10.0.0.5", 999, "10.0.1.9", 443), udp("10.0.0.5", 999, "10.0.1.9", 53)
	t6, u6 := tcp("fd00::5", 999, "fd00::9", 443), udp("fd00::5", 999, "fd00::9", 53)
	gre4, gre6 := proto(47, "10.0.0.5", "10.0.1.9"), proto(47, "fd00::5", "fd00::9")
	reply4 := echo("10.0.0.5", "10.0.1.9", 7).with(func(s *spec) { s.tuple.DstPort = 0 })
	for _, s := range []spec{
		t4, u4, t6, u6, gre4, gre6, echo("10.0.0.5", "10.0.1.9", 7), echo("fd00::5", "fd00::9", 7), reply4, proto(0, "10.0.0.5", "10.0.1.9"),
		proto(50, "fd00::5", "fd00::9"), proto(59, "fd00::5", "fd00::9"), proto(58, "10.0.0.5", "10.0.1.9"), proto(1, "fd00::5", "fd00::9"),
	} {
		r.install(s.tuple, toReceiver())
	}
	for _, next := range []uint8{0, 43, 44, 60, 135, 139, 140} {
		r.install(proto(next, "fd00::5", "fd00::9").tuple, toReceiver())
	}
	extension := make([]byte, 16)
	for _, row := range []struct {
		name  string
		frame []byte
		want  string
	}{
		{"TCP", t4.bytes(), deliver},
		{"TCP over IPv6", t6.bytes(), deliver},
		{"UDP", u4.bytes(), deliver},
		{"UDP over IPv6", u6.bytes(), deliver},
		{"UDP without data", u4.with(payload(0)).bytes(), deliver},
		{"an echo request", echo("10.0.0.5", "10.0.1.9", 7).bytes(), deliver},
		{"an echo reply", reply4.bytes(), deliver},
		{"an ICMPv6 echo request", echo("fd00::5", "fd00::9", 7).bytes(), deliver},
		{"GRE", gre4.bytes(), deliver},
		{"GRE over IPv6", gre6.bytes(), deliver},
		{"IPv4 protocol 0 is a protocol", patch(gre4.bytes(), 14+9, 0), deliver},
		{"ESP over IPv6", patch(gre6.bytes(), 14+6, 50), deliver},
		{"a frame padded to 60 bytes", append(u4.with(payload(1)).bytes(), make([]byte, 17)...), deliver},
		{"TTL 1", t4.with(ttl(1)).bytes(), deliver},

		{"another source port", tcp("10.0.0.5", 998, "10.0.1.9", 443).bytes(), upcall},
		{"another destination port", tcp("10.0.0.5", 999, "10.0.1.9", 444).bytes(), upcall},
		{"another source", tcp("10.0.0.4", 999, "10.0.1.9", 443).bytes(), upcall},
		{"another destination", tcp("10.0.0.5", 999, "10.0.1.8", 443).bytes(), upcall},
		{"another echo identifier", echo("10.0.0.5", "10.0.1.9", 8).bytes(), upcall},
		{"the reply to an ICMPv6 echo that was not asked", echo("fd00::5", "fd00::9", 7).with(func(s *spec) { s.tuple.DstPort = 129 }).bytes(), upcall},
		{"an echo request with a code", patch(echo("10.0.0.5", "10.0.1.9", 7).bytes(), 14+20+1, 1), upcall},
		{"an ICMP error", patch(echo("10.0.0.5", "10.0.1.9", 7).bytes(), 14+20, 3), upcall},
		{"an ICMPv6 error", patch(echo("fd00::5", "fd00::9", 7).bytes(), 14+40, 1), upcall},
		{"IPv4 options", patch(u4.with(payload(40)).bytes(), 14, 0x46), upcall},
		{"an IPv4 header size below five words", patch(u4.bytes(), 14, 0x44), upcall},
		{"a first fragment", patch(u4.bytes(), 14+6, 0x20, 0), upcall},
		{"a later fragment", patch(u4.bytes(), 14+6, 0, 5), upcall},
		{"DF is no fragment", patch(u4.bytes(), 14+6, 0x40, 0), deliver},
		{"TTL 0", t4.with(ttl(0)).bytes(), upcall},
		{"hop limit 0", t6.with(ttl(0)).bytes(), upcall},
		{"ICMPv6 over IPv4", patch(gre4.bytes(), 14+9, 58), upcall},
		{"ICMP over IPv6", patch(gre6.bytes(), 14+6, 1), upcall},
		{"no next header", patch(gre6.bytes(), 14+6, 59), upcall},
		{"a hop-by-hop header", ip6("fd00::5", "fd00::9", 0, extension...), upcall},
		{"a routing header", ip6("fd00::5", "fd00::9", 43, extension...), upcall},
		{"a fragment header", ip6("fd00::5", "fd00::9", 44, extension...), upcall},
		{"a destination options header", ip6("fd00::5", "fd00::9", 60, extension...), upcall},
		{"a mobility header", ip6("fd00::5", "fd00::9", 135, extension...), upcall},
		{"a host identity header", ip6("fd00::5", "fd00::9", 139, extension...), upcall},
		{"a shim6 header", ip6("fd00::5", "fd00::9", 140, extension...), upcall},
		{"an IPv4 length beyond the frame", patch(u4.bytes(), 14+2, 0, 200), upcall},
		{"an IPv4 length below its headers", patch(u4.bytes(), 14+2, 0, 27), upcall},
		{"an IPv6 length beyond the frame", patch(u6.bytes(), 14+4, 0, 200), upcall},
		{"a UDP length beyond the packet", patch(u4.bytes(), 14+20+4, 0, 200), upcall},
		{"a UDP length below its header", patch(u4.bytes(), 14+20+4, 0, 7), upcall},
		{"a UDP length below its packet", patch(u4.bytes(), 14+20+4, 0, 9), deliver},
		{"a TCP header below five words", patch(t4.bytes(), 14+20+12, 0x40), upcall},
		{"a TCP header beyond the packet", patch(t4.bytes(), 14+20+12, 0xf0), upcall},
		{"half a TCP header", patch(cut(t4.bytes(), 14+20+10), 14+2, 0, 30), upcall},
		{"half an ICMP header", patch(cut(echo("10.0.0.5", "10.0.1.9", 7).bytes(), 14+20+4), 14+2, 0, 24), upcall},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := r
			r.t = t
			got := r.expect(row.frame, row.want)
			if row.want != deliver {
				return
			}
			macs := append(mac(receiver.GuestMAC), mac(receiver.RouterMAC)...)
			if want := append(bytes.Clone(macs), row.frame[12:]...); !bytes.Equal(got.frame, want) {
				t.Errorf("delivered\n     %x\nwant %x", got.frame, want)
			}
		})
	}
}

func TestDeliveryClearsMarkAndPriority(t *testing.T) {
	r := newRig(t)
	s := udp("10.0.0.5", 1, "10.0.1.9", 2)
	r.install(s.tuple, toReceiver())
	got := r.sendAs(s.bytes(), skBuff{Mark: 5, Priority: 6})
	if got.outcome != deliver || got.skb.Mark != 0 || got.skb.Priority != 0 {
		t.Errorf("%s with mark %d and priority %d", got.outcome, got.skb.Mark, got.skb.Priority)
	}
}

func TestGenerations(t *testing.T) {
	r := newRig(t)
	s := udp("10.0.0.5", 1, "10.0.1.9", 2)
	e := toReceiver()
	e.Domains = [2]flow.Domain{{Index: 2, Generation: 7}, {Index: 5, Generation: 8}}
	r.install(s.tuple, e)
	set := func(domain, generation uint32) {
		t.Helper()
		if err := r.SetGeneration(domain, generation); err != nil {
			t.Fatal(err)
		}
	}
	r.expect(s.bytes(), upcall)
	set(2, 7)
	r.expect(s.bytes(), upcall)
	set(5, 8)
	r.expect(s.bytes(), deliver)
	set(3, 9)
	r.expect(s.bytes(), deliver)
	set(5, 9)
	r.expect(s.bytes(), upcall)
	e.Domains[1].Generation = 9
	r.install(s.tuple, e)
	r.expect(s.bytes(), deliver)

	e.Verdict, e.Reason = flow.Drop, flow.NoRoute
	r.install(s.tuple, e)
	r.expect(s.bytes(), drop(flow.NoRoute))
	set(2, 8)
	r.expect(s.bytes(), upcall)
}

func TestDroppingEntry(t *testing.T) {
	r := newRig(t)
	s := udp("10.0.0.5", 1, "10.0.1.9", 2)
	e := flow.Entry{Verdict: flow.Drop, Reason: flow.ACLRestriction, Slot: 6, Expires: monotonic() + int64(time.Hour), MTU: 1500}
	r.install(s.tuple, e)
	for range 3 {
		got := r.expect(s.bytes(), drop(flow.ACLRestriction))
		if want := (flow.DropCounter{Packets: 1, Bytes: s.ipBytes()}); got.counted != want {
			t.Errorf("counted %v, want %v", got.counted, want)
		}
	}
	if got := r.slot(6).Read(); got.Packets != 3 || got.Bytes != 3*s.ipBytes() {
		t.Errorf("the slot counted %+v", got)
	}
	e.Expires = monotonic() - 1
	r.install(s.tuple, e)
	r.expect(s.bytes(), upcall)
	e.Expires = 0
	r.install(s.tuple, e)
	r.expect(s.bytes(), drop(flow.ACLRestriction))
	// Too big, or at the end of its TTL: that may be the reason, before the entry's.
	e.MTU = 10
	r.install(s.tuple, e)
	r.expect(s.bytes(), upcall)
	e.MTU, e.Rewrite.Hops, s.ttl = 1500, 1, 1
	r.install(s.tuple, e)
	r.expect(s.bytes(), upcall)
}

// A SYN begins something new; what was decided of the old is not for it.
func TestSYN(t *testing.T) {
	r := newRig(t)
	s := tcp("10.0.0.5", 999, "10.0.1.9", 443)
	syn, synAck, ack := s.with(flags(flow.SYN)).bytes(), s.with(flags(flow.SYN|flow.ACK)).bytes(), s.bytes()
	r.install(s.tuple, toReceiver())
	own, peer := r.slot(4), r.slot(5)
	r.expect(syn, deliver)
	r.expect(syn, deliver) // again, as nobody answered
	peer.Add(1, 40, flow.SYN|flow.ACK, monotonic())
	r.expect(syn, deliver) // the answer was lost
	r.expect(ack, deliver)
	r.expect(syn, upcall)
	r.expect(synAck, deliver)
	r.expect(ack, deliver)
	r.expect(s.with(flags(flow.FIN|flow.ACK)).bytes(), deliver)
	r.expect(syn, upcall)
	r.expect(s.with(flags(flow.RST)).bytes(), deliver)
	r.expect(ack, deliver)
	r.expect(syn, upcall)
	own.Reset()
	peer.Reset()
	r.expect(syn, deliver)

	r.install(s.tuple, flow.Entry{Verdict: flow.Drop, Reason: flow.SGRulesMismatch, Slot: 6})
	r.expect(syn, drop(flow.SGRulesMismatch))
	r.install(s.tuple, flow.Entry{Verdict: flow.Drop, Reason: flow.NoTrackedConnection, Slot: 6})
	r.expect(ack, drop(flow.NoTrackedConnection))
	r.expect(syn, upcall)
}

func TestIdle(t *testing.T) {
	r := newRig(t)
	s := udp("10.0.0.5", 1, "10.0.1.9", 2)
	e := toReceiver()
	e.Idle = seconds(30, 180, 30)
	r.install(s.tuple, e)
	own, peer := r.slot(4), r.slot(5)
	ago := func(d time.Duration) int64 { return max(1, monotonic()-int64(d)) }
	for _, row := range []struct {
		name      string
		own, peer time.Duration // since the last packet; 0: none yet
		packets   uint64
		want      string
	}{
		{"nothing was counted yet", 0, 0, 1, deliver},
		{"just inside the limit", 29 * time.Second, 0, 1, deliver},
		{"just beyond the limit", 31 * time.Second, 0, 1, upcall},
		{"the other direction keeps it alive", 40 * time.Second, 29 * time.Second, 1, deliver},
		{"both are silent", 40 * time.Second, 31 * time.Second, 1, upcall},
		{"a stream lives longer", 40 * time.Second, 31 * time.Second, 2, deliver},
		{"a stream ends", 190 * time.Second, 181 * time.Second, 2, upcall},
		{"another processor's clock is ahead", -time.Second, 0, 1, deliver},
	} {
		own.Reset()
		peer.Reset()
		if row.own != 0 {
			own.Add(row.packets, 1, 0, ago(row.own))
		}
		if row.peer != 0 {
			peer.Add(row.packets, 1, 0, ago(row.peer))
		}
		if got := r.send(s.bytes()).outcome; got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}

// The programs derive the state of a connection as flow.StateOf does: of three limits, the one of that state has passed.
func TestStateAgreesWithFlow(t *testing.T) {
	r := newRig(t)
	random := rand.New(rand.NewPCG(1, 2))
	protocols := []spec{
		tcp("10.0.0.5", 999, "10.0.1.9", 443), udp("10.0.0.5", 999, "10.0.1.9", 443), echo("10.0.0.5", "10.0.1.9", 7), proto(47, "10.0.0.5", "10.0.1.9"),
	}
	seen := map[flow.State]int{}
	for range 1000 {
		s := protocols[random.IntN(len(protocols))]
		last := monotonic() - int64(time.Second)
		counted := func() flow.Counters {
			return flow.Counters{Packets: random.Uint64N(4), First: 1, Last: uint64(last), Flags: random.Uint32() & random.Uint32() & 0x1f}
		}
		own, peer := counted(), counted()
		state := flow.StateOf(s.tuple.Protocol, own, peer)
		seen[state]++
		for limited := range flow.State(3) {
			*r.slot(4), *r.slot(5) = own, peer
			e := toReceiver()
			e.Idle[limited] = time.Millisecond
			r.install(s.tuple, e)
			want := deliver
			if limited == state {
				want = upcall
			}
			if got := r.send(s.bytes()).outcome; got != want {
				t.Fatalf("%s, own %+v, peer %+v: state %d, and with a limit of state %d: %s", s, own, peer, state, limited, got)
			}
		}
	}
	if len(seen) != 3 {
		t.Errorf("the states %v do not cover all", seen)
	}
}

func TestPathMTU(t *testing.T) {
	r := newRig(t)
	s := tcp("10.0.0.5", 999, "10.0.1.9", 443)
	with := func(mtu uint16) flow.Entry {
		e := toReceiver()
		e.MTU = mtu
		return e
	}
	r.install(s.tuple, with(1500))
	full := s.with(payload(1460))
	r.expect(full.bytes(), deliver)
	r.expect(append(full.bytes(), 0, 0), deliver) // padding is no packet
	r.expect(s.with(payload(1461)).bytes(), upcall)
	long := s.with(payload(2400))
	for _, row := range []struct {
		segment uint32
		want    string
	}{{1460, deliver}, {1461, upcall}, {1000, deliver}} {
		if got := r.sendAs(long.bytes(), skBuff{GSOSize: row.segment}).outcome; got != row.want {
			t.Errorf("segments of %d bytes: %s, want %s", row.segment, got, row.want)
		}
	}
	r.install(s.tuple, with(0))
	r.expect(s.with(payload(3000)).bytes(), deliver)
}

func TestCounting(t *testing.T) {
	r := newRig(t)
	stream, datagrams := tcp("10.0.0.5", 999, "10.0.1.9", 443), udp("fd00::5", 999, "fd00::9", 443)
	opaque := proto(47, "10.0.0.5", "10.0.1.9")
	for i, s := range []spec{stream, datagrams, opaque} {
		e := toReceiver()
		e.Slot = uint32(10 + 2*i)
		r.install(s.tuple, e)
	}
	for _, row := range []struct {
		name           string
		slot           uint32
		frame          []byte
		skb            skBuff
		packets, bytes uint64
		want           string
	}{
		{"one packet", 10, stream.bytes(), skBuff{}, 1, 50, deliver},
		{"a padded frame", 10, append(stream.with(payload(0)).bytes(), make([]byte, 6)...), skBuff{}, 1, 40, deliver},
		{"three TCP segments", 10, stream.with(payload(2500)).bytes(), skBuff{GSOSize: 1000, GSOSegs: 3}, 3, 2500 + 3*40, deliver},
		{"three TCP segments that nobody numbered", 10, stream.with(payload(2500)).bytes(), skBuff{GSOSize: 1000}, 3, 2500 + 3*40, deliver},
		{"two full segments that nobody numbered", 10, stream.with(payload(2000)).bytes(), skBuff{GSOSize: 1000}, 2, 2000 + 2*40, deliver},
		{"three datagrams", 12, datagrams.with(payload(2500)).bytes(), skBuff{GSOSize: 1000, GSOSegs: 3}, 3, 2500 + 3*48, deliver},
		{"a datagram", 12, datagrams.bytes(), skBuff{}, 1, 58, deliver},
		{"another protocol", 14, opaque.bytes(), skBuff{}, 1, 30, deliver},
		{"segments of another protocol", 14, opaque.with(payload(2500)).bytes(), skBuff{GSOSize: 1000, GSOSegs: 3}, 0, 0, upcall},
		{"segments behind padding", 10, append(stream.with(payload(2500)).bytes(), 0), skBuff{GSOSize: 1000, GSOSegs: 3}, 0, 0, upcall},
	} {
		before := r.slot(row.slot).Read()
		if got := r.sendAs(row.frame, row.skb).outcome; got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
		after := r.slot(row.slot).Read()
		if p, b := after.Packets-before.Packets, after.Bytes-before.Bytes; p != row.packets || b != row.bytes {
			t.Errorf("%s: counted %d packets of %d bytes, want %d of %d", row.name, p, b, row.packets, row.bytes)
		}
	}
	// A refusal at the door counts the packets of a frame, too.
	got := r.sendAs(patch(stream.with(payload(2500)).bytes(), 11, 4), skBuff{GSOSize: 1000, GSOSegs: 3})
	if got.outcome != drop(flow.SourceMACMismatch) || got.counted.Packets != 3 {
		t.Errorf("%s of %d packets", got.outcome, got.counted.Packets)
	}
}

func TestTimesAndFlags(t *testing.T) {
	r := newRig(t)
	s := tcp("10.0.0.5", 999, "10.0.1.9", 443)
	r.install(s.tuple, toReceiver())
	start := uint64(monotonic())
	r.expect(s.with(flags(flow.SYN)).bytes(), deliver)
	first := r.slot(4).Read()
	if first.First < start || first.First != first.Last || first.Flags != flow.SYN {
		t.Errorf("after the first packet, begun at %d: %+v", start, first)
	}
	r.expect(s.bytes(), deliver)
	second := r.slot(4).Read()
	if second.First != first.First || second.Last <= first.Last || second.Last > uint64(monotonic()) || second.Flags != flow.SYN|flow.ACK {
		t.Errorf("after the second packet: %+v, and before: %+v", second, first)
	}
	if second.Recent != flow.SYN {
		t.Errorf("recent flags %x, want the SYN's and no ACK", second.Recent)
	}
}

// What eBPF keeps of each combination of flags for flow logs is what Go keeps.
func TestRecentFlags(t *testing.T) {
	r := newRig(t)
	s := tcp("10.0.0.5", 999, "10.0.1.9", 443)
	r.install(s.tuple, toReceiver())
	for all := range 256 {
		if f := uint8(all); f&(flow.SYN|flow.ACK) != flow.SYN { // a SYN begins a connection, which then is the engine's
			r.slot(4).Take()
			r.expect(s.with(flags(f)).bytes(), deliver)
			if got := r.slot(4).Read().Recent; got != uint32(flow.RecentFlags(f)) {
				t.Errorf("of the flags %08b eBPF keeps %08b, and Go %08b", f, got, flow.RecentFlags(f))
			}
		}
	}
}

// Rewritten packets are those that the new addresses and ports would have made from scratch.
func TestRewrite(t *testing.T) {
	r := newRig(t)
	random := rand.New(rand.NewPCG(3, 4))
	addr := func(family uint8) netip.Addr {
		if family == 4 {
			return netip.AddrFrom4([4]byte{10, byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32())})
		}
		a := ip("fd00::").As16()
		binary.BigEndian.PutUint64(a[8:], random.Uint64())
		return netip.AddrFrom16(a)
	}
	port := func() uint16 { return uint16(1 + random.IntN(0xffff)) }
	rewritten := 0
	for i := range 1500 {
		family, protocol := []uint8{4, 6}[i%2], []uint8{flow.TCP, flow.UDP, flow.ICMP, 47, flow.UDP}[i/2%5]
		s := spec{payload: random.IntN(60), ttl: 64, tcp: flow.ACK, noSum: i/2%5 == 4}
		if protocol == flow.ICMP && family == 6 {
			protocol = flow.ICMPv6
		}
		s.tuple = flow.MakeTuple(protocol, addr(family), 0, addr(family), 0)
		switch protocol {
		case flow.TCP, flow.UDP:
			s.tuple.SrcPort, s.tuple.DstPort = port(), port()
		case flow.ICMP:
			s.tuple.SrcPort, s.tuple.DstPort = port(), uint16(random.IntN(2)*8)
		case flow.ICMPv6:
			s.tuple.SrcPort, s.tuple.DstPort = port(), uint16(128+random.IntN(2))
		}

		want := s
		e := toReceiver()
		if random.IntN(2) == 0 {
			e.Rewrite.Src = addr(family)
			want.tuple.Src = e.Rewrite.Src.As16()
		}
		if random.IntN(2) == 0 {
			e.Rewrite.Dst = addr(family)
			want.tuple.Dst = e.Rewrite.Dst.As16()
		}
		if random.IntN(2) == 0 && protocol != 47 {
			e.Rewrite.SrcPort = port()
			want.tuple.SrcPort = e.Rewrite.SrcPort
		}
		if random.IntN(2) == 0 && (protocol == flow.TCP || protocol == flow.UDP) {
			e.Rewrite.DstPort = port()
			want.tuple.DstPort = e.Rewrite.DstPort
		}
		if random.IntN(2) == 0 {
			e.Rewrite.Hops = uint8(1 + random.IntN(3))
			want.ttl -= e.Rewrite.Hops
		}
		if !e.Rewrite.Zero() {
			rewritten++
		}
		r.install(s.tuple, e)
		got := r.expect(s.bytes(), deliver).frame
		expected := want.frame(&layers.Ethernet{SrcMAC: mac(receiver.RouterMAC), DstMAC: mac(receiver.GuestMAC)})
		if !bytes.Equal(got, expected) {
			t.Fatalf("%s\nrewritten by %+v\nis   %x\nwant %x", s, e.Rewrite, got, expected)
		}
		if err := r.Evict(s.key()); err != nil {
			t.Fatal(err)
		}
	}
	if rewritten < 1000 {
		t.Errorf("only %d packets were rewritten", rewritten)
	}
}

// A UDP checksum that comes out as zero is written as 0xffff, since zero means that there is none (RFC 768).
func TestRewriteToZeroChecksum(t *testing.T) {
	r := newRig(t)
	for _, row := range []struct {
		s  spec
		at int
	}{{udp("10.0.0.5", 7, "10.0.1.9", 53), 14 + 20 + 6}, {udp("fd00::5", 7, "fd00::9", 53), 14 + 40 + 6}} {
		sum := binary.BigEndian.Uint16(row.s.bytes()[row.at:])
		e := toReceiver()
		// In one's complement, adding the checksum to a word that it covers makes it zero.
		port := uint32(row.s.tuple.SrcPort) + uint32(sum)
		e.Rewrite.SrcPort = uint16(port + port>>16)
		r.install(row.s.tuple, e)
		got := r.expect(row.s.bytes(), deliver).frame
		if sum := binary.BigEndian.Uint16(got[row.at:]); sum != 0xffff {
			t.Errorf("%s from port %d: checksum %#04x, want 0xffff", row.s, e.Rewrite.SrcPort, sum)
		}
	}
}

// Memory of a deleted element may serve another flow at once, and two flows may have one digest. An entry that is not of one piece,
// or of another flow, is none.
func TestEntryOfAnotherFlow(t *testing.T) {
	r := newRig(t)
	mine, other := udp("10.0.0.5", 1, "10.0.1.9", 2), udp("10.0.0.5", 1, "10.0.1.9", 3)
	k, o := encodeKey(mine.key()), encodeKey(other.key())
	for _, row := range []struct {
		name       string
		key        fabricFlowKey
		begin, end uint64
		want       string
	}{
		{"of one piece", k, 1, 1, deliver},
		{"not yet begun", k, 1, 2, upcall},
		{"not yet finished", k, 2, 1, upcall},
		{"another's", o, 1, 1, upcall},
	} {
		v, err := encodeDeliver(mine.key(), k, toReceiver(), receiver)
		if err != nil {
			t.Fatal(err)
		}
		v.Key, v.Installation, v.End = row.key, row.begin, row.end
		if err := r.objects.Flows.Put(digest(k), &v); err != nil {
			t.Fatal(err)
		}
		if got := r.send(mine.bytes()).outcome; got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}

// Keys that differ in one or two bits have different digests. The highest bits are the ones that a sum of products loses.
func TestDigest(t *testing.T) {
	k := encodeKey(tcp("fd00::5", 999, "fd00::9", 443).key())
	want := digest(k)
	word := [...]*uint64{&k.Ends, &k.Network, &k.Source[0], &k.Source[1], &k.Destination[0], &k.Destination[1]}
	flip := func(bit int) { *word[bit/64] ^= 1 << (bit % 64) }
	for a := range 64 * len(word) {
		for b := range a + 1 {
			flip(a)
			if b != a {
				flip(b)
			}
			if digest(k) == want {
				t.Errorf("bits %d and %d make no difference", a, b)
			}
			flip(a)
			if b != a {
				flip(b)
			}
		}
	}
}

// Every installation has a number of its own, also of the same entry.
func TestInstallationsAreNumbered(t *testing.T) {
	r := newRig(t)
	s := udp("10.0.0.5", 1, "10.0.1.9", 2)
	last := uint64(0)
	for range 3 {
		r.install(s.tuple, toReceiver())
		var v fabricFlowEntry
		if err := r.objects.Flows.Lookup(digest(encodeKey(s.key())), &v); err != nil {
			t.Fatal(err)
		}
		if v.Installation <= last || v.End != v.Installation {
			t.Errorf("installation %d ends with %d, after %d", v.Installation, v.End, last)
		}
		last = v.Installation
	}
}

// Whatever a guest sends, it has exactly one fate, and what goes up goes up unchanged (both are checked by every send).
func TestEveryFrameHasOneFate(t *testing.T) {
	r := newRig(t)
	random := rand.New(rand.NewPCG(5, 6))
	seeds := [][]byte{
		tcp("10.0.0.5", 999, "10.0.1.9", 443).bytes(), udp("fd00::5", 999, "fd00::9", 53).bytes(), echo("10.0.0.5", "10.0.1.9", 7).bytes(),
		echo("fd00::5", "fd00::9", 7).bytes(), arpFrame(t, nil), solicit("fd00::5", "ff02::1:ff00:9", "fd00::9", 1, 1, 2, 0, 0, 0, 1, 3),
		ip6("fe80::5", "ff02::16", 0, 58, 0, 5, 2, 0, 0, 1, 0, 143, 0, 0, 0),
	}
	r.neighbor(sender.Scope, "10.0.0.9", 0)
	r.neighbor(sender.Scope, "fd00::9", 0)
	e := toReceiver()
	e.Rewrite = flow.Rewrite{Src: ip("10.9.9.9"), SrcPort: 5}
	r.install(tcp("10.0.0.5", 999, "10.0.1.9", 443).tuple, e)
	r.install(echo("10.0.0.5", "10.0.1.9", 7).tuple, e)
	r.install(udp("fd00::5", 999, "fd00::9", 53).tuple, toReceiver())
	fates := map[string]int{}
	for range 4000 {
		b := bytes.Clone(seeds[random.IntN(len(seeds))])
		for range random.IntN(4) {
			b[random.IntN(len(b))] = byte(random.Uint32())
		}
		if random.IntN(4) == 0 {
			b = b[:max(14+40, random.IntN(len(b)+1))] // a test run wants a whole IP header
		}
		fates[r.send(b).outcome]++
	}
	for _, want := range []string{upcall, deliver, answer, consumed, drop(flow.SourceMACMismatch), drop(flow.UnsupportedEthertype)} {
		if fates[want] == 0 {
			t.Errorf("no frame ended as %q: %v", want, fates)
		}
	}
}

func TestInstallRefuses(t *testing.T) {
	r := newRig(t)
	k := udp("10.0.0.5", 1, "10.0.1.9", 2).key()
	const flowName = "install flow udp 10.0.0.5:1 > 10.0.1.9:2 of attachment 3: "
	for _, row := range []struct {
		change func(*flow.Entry)
		want   string
	}{
		{func(e *flow.Entry) { e.Verdict = 0 }, "verdict 0 is neither deliver nor drop"},
		{func(e *flow.Entry) { e.Verdict = flow.Drop }, "reason NONE is none to drop for"},
		{func(e *flow.Entry) { e.Verdict, e.Reason = flow.Drop, 64 }, "reason REASON_64 is none to drop for"},
		{func(e *flow.Entry) { e.Slot = slotsInTest }, "slot 64: the fast path was loaded for 64 slots"},
		{func(e *flow.Entry) { e.Domains[1].Index = 8 }, "domain 8: the fast path was loaded for 8 domains"},
		{func(e *flow.Entry) { e.Idle[1] = -time.Second }, "idle limit -1s of state 1 is negative"},
		{func(e *flow.Entry) { e.Expires = -1 }, "expires before the clock began"},
		{func(e *flow.Entry) { e.Out = 5 }, "receiver 5 is not attached"},
		{func(e *flow.Entry) { e.Rewrite.Dst = ip("fd00::9") }, "rewrite to fd00::9: the flow is of IPv4"},
	} {
		e := toReceiver()
		row.change(&e)
		err := r.Install(k, e)
		if err == nil || err.Error() != flowName+row.want {
			t.Errorf("error %v, want %q", err, flowName+row.want)
		}
	}
	if n, err := r.Flows(); n != 0 || err != nil {
		t.Errorf("%d entries, %v", n, err)
	}
	if err := r.SetGeneration(8, 1); err == nil || err.Error() != "set generation of domain 8: the fast path was loaded for 8 domains" {
		t.Error(err)
	}
}

func TestFlowCache(t *testing.T) {
	r := newRig(t)
	at := func(i int) flow.Key { return udp("10.0.0.5", uint16(i+1), "10.0.1.9", 2).key() }
	count := func(want int) {
		t.Helper()
		if n, err := r.Flows(); n != want || err != nil {
			t.Errorf("%d entries, %v; want %d", n, err, want)
		}
	}
	count(0)
	n := 0
	var err error
	for ; n <= 128 && err == nil; n++ {
		err = r.Install(at(n), toReceiver())
	}
	n-- // the last did not fit
	if !errors.Is(err, flow.ErrFull) || n != 128 {
		t.Fatalf("after %d entries: %v", n, err)
	}
	if want := "install flow udp 10.0.0.5:129 > 10.0.1.9:2 of attachment 3: flow cache full"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	count(128)
	if err := r.Install(at(0), toReceiver()); err != nil { // replacing needs no room
		t.Error(err)
	}
	if err := r.Evict(at(0), at(1), at(0), at(500)); err != nil {
		t.Error(err)
	}
	count(126)
	for range 2 {
		if err := r.Wipe(); err != nil {
			t.Fatal(err)
		}
		count(0)
	}
	if err := r.Install(at(0), toReceiver()); err != nil {
		t.Error(err)
	}
	count(1)
}

// What the engine delivers gets an Ethernet header and goes to the guest.
func TestDeliveryFromTheEngine(t *testing.T) {
	r := newRig(t)
	packet := udp("10.0.1.9", 2, "10.0.0.5", 1).bytes()
	opts := rigRun(packet, skBuff{Mark: 1, Priority: 2})
	ret, err := r.objects.ToEni.Run(opts)
	if err != nil || ret != redirected {
		t.Fatalf("to_eni returned %d, %v", ret, err)
	}
	want := append(append(append([]byte{}, guest[:]...), router[:]...), 8, 0)
	if got := opts.DataOut; !bytes.Equal(got, append(want, packet...)) {
		t.Errorf("delivered %x", got)
	}
	if skb := opts.ContextOut.(*skBuff); skb.Mark != 0 || skb.Priority != 0 {
		t.Errorf("mark %d and priority %d", skb.Mark, skb.Priority)
	}
}

func TestAttachmentErrors(t *testing.T) {
	r := newRig(t)
	const missing, shared = 1<<30 + 50, 1 + devices // the sender's veth has the index 1
	for _, row := range []struct {
		a    Attachment
		want string
	}{
		{Attachment{Index: 0, Veth: 1, TUN: 2}, "attach 0: index 0 is the router's"},
		{Attachment{Index: 16, Veth: 1, TUN: 2}, "attach 16: the fast path was loaded for indices below 16"},
		{Attachment{Index: 4, Veth: 0, TUN: 2}, "attach 4: interfaces 0 and 2: an index is above 0"},
		{Attachment{Index: 3, Veth: 50, TUN: 51}, "attach 3: it is attached already"},
		{Attachment{Index: 4, Veth: sender.Veth, TUN: 51}, "attach 4: interface 1 belongs to another attachment"},
		{Attachment{Index: 4, Veth: 60, TUN: shared}, "attach 4: interface 65537: its place is taken by attachment 3, as their interfaces' " +
			"indices differ by a multiple of 65536: detach that one, or make the interface again"},
		{Attachment{Index: 4, Veth: missing, TUN: missing + 1}, "the interface is not in this network namespace"},
	} {
		err := r.Attach(row.a)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("error %v, want %q", err, row.want)
		}
	}
	// What failed left nothing behind, and took nothing from others.
	r.expect(udp("10.0.0.5", 1, "10.0.1.9", 2).bytes(), upcall)
	var value fabricAttachment
	for _, device := range []int{missing, missing + 1, 51, 60} {
		if err := r.objects.Attachments.Lookup(place(device), &value); err != nil || value != (fabricAttachment{}) {
			t.Errorf("interface %d still belongs to attachment %d, %v", device, value.Index, err)
		}
	}
	if err := r.Detach(12); err != nil {
		t.Errorf("detaching what is not attached: %v", err)
	}
	if err := r.SetNeighbor(1, netip.Addr{}, 0); err == nil || err.Error() != "set neighbor of scope 1: no address" {
		t.Error(err)
	}
	if err := r.RemoveNeighbor(1, netip.Addr{}); err == nil || err.Error() != "remove neighbor of scope 1: no address" {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := r.Attach(Attachment{Index: 4, Veth: 1, TUN: 2}); err == nil || err.Error() != "attach 4: the fast path is closed" {
		t.Error(err)
	}
}

// Where the MSS that a SYN announces is lowered, it is for the engine, also one that comes again.
func TestSYNWhoseMSSIsLowered(t *testing.T) {
	r := newRig(t)
	for _, s := range []spec{tcp("10.0.0.5", 999, "10.0.1.9", 443), tcp("fd00::5", 999, "fd00::9", 443)} {
		e := toReceiver()
		e.LowersMSS = true
		r.install(s.tuple, e)
		for _, row := range []struct {
			flags   uint8
			outcome string
		}{{flow.SYN, upcall}, {flow.SYN | flow.ACK, upcall}, {flow.ACK, deliver}, {flow.FIN | flow.ACK, deliver}, {flow.RST, deliver}} {
			r.expect(s.with(flags(row.flags)).bytes(), row.outcome)
		}
	}
}

// TestHops: a packet that would not survive its way is for the engine to tell of.
func TestHops(t *testing.T) {
	r := newRig(t)
	for _, s := range []spec{udp("10.0.0.5", 999, "10.0.1.9", 53), udp("fd00::5", 999, "fd00::9", 53)} {
		e := toReceiver()
		e.Rewrite.Hops = 2
		r.install(s.tuple, e)
		for ttl, outcome := range map[uint8]string{1: upcall, 2: upcall, 3: deliver} {
			s.ttl = ttl
			r.expect(s.bytes(), outcome)
		}
	}
}
