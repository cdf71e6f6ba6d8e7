package packet_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand"
	"net/netip"
	"testing"

	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/packet"
)

// TestRewrite compares thousands of random rewrites, byte by byte, with the packet that gopacket builds from the new addresses and
// ports in the first place: every protocol, both families, options, extension headers, fragments and quotes.
func TestRewrite(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	for n := range 4000 {
		d := randomDatagram(rng)
		r := randomRewrite(rng, d.v6())
		got := d.bytes(t)
		want := d.rewritten(r)
		var p packet.Info
		if !packet.Decode(got, &p) {
			t.Fatalf("%d: %+v is malformed", n, d)
		}
		packet.Rewrite(got, &p, r)
		if wanted := want.bytes(t); !bytes.Equal(got, wanted) {
			t.Fatalf("%d: %+v\nby %+v\n got % x\nwant % x", n, d, r, got, wanted)
		}
		if p.Tuple != want.tuple() {
			t.Fatalf("%d: tuple %v, want %v", n, p.Tuple, want.tuple())
		}
	}
}

func TestRewriteQuoted(t *testing.T) {
	rng := rand.New(rand.NewSource(2))
	for n := range 4000 {
		inner := randomDatagram(rng)
		outer := randomError(rng, inner.v6())
		whole := inner.bytes(t)
		keep := len(whole)
		floor := min(keep, 8+len(whole)-len(inner.bytesUpper(t)))
		if keep > floor {
			keep = floor + rng.Intn(keep-floor+1)
		}
		if inner.proto == flow.TCP && inner.skip == 0 && keep-floor == 17-8 {
			keep-- // half a checksum cannot be updated, and stays
		}
		r, ro := randomRewrite(rng, inner.v6()), randomRewrite(rng, inner.v6())

		got := outer.with(whole[:keep]).bytes(t)
		newInner := inner.rewritten(r)
		want := outer.rewritten(ro).with(newInner.bytes(t)[:keep])
		var p, q packet.Info
		if !packet.Decode(got, &p) || !packet.Quoted(got, &p, &q) {
			t.Fatalf("%d: %+v in %+v is malformed", n, inner, outer)
		}
		packet.RewriteQuoted(got, &p, &q, r)
		packet.Rewrite(got, &p, ro)
		if wanted := want.bytes(t); !bytes.Equal(got, wanted) {
			t.Fatalf("%d: %+v, %d bytes of it\nby %+v\n got % x\nwant % x", n, inner, keep, r, got, wanted)
		}
		if q.Tuple != newInner.tuple() || p.Tuple != want.tuple() {
			t.Fatalf("%d: tuples %v and %v, want %v and %v", n, p.Tuple, q.Tuple, want.tuple(), newInner.tuple())
		}
	}
}

func TestRewriteOf(t *testing.T) {
	at := func(addr string, port uint16) flow.Rewrite {
		return flow.Rewrite{Dst: netip.MustParseAddr(addr), DstPort: port}
	}
	field := func(b []byte, off int) uint16 { return binary.BigEndian.Uint16(b[off:]) }
	rewrite := func(t *testing.T, b []byte, r flow.Rewrite) {
		t.Helper()
		var p packet.Info
		if !packet.Decode(b, &p) {
			t.Fatal("malformed")
		}
		packet.Rewrite(b, &p, r)
	}

	t.Run("nothing changes nothing", func(t *testing.T) {
		for _, r := range []flow.Rewrite{{}, {Src: tcp4.src.Addr(), Dst: tcp4.dst.Addr(), SrcPort: 999, DstPort: 443}} {
			b := tcp4.bytes(t)
			b[36], b[37] = 0xff, 0xff // a checksum that an update by "no change" would normalize
			before := bytes.Clone(b)
			if rewrite(t, b, r); !bytes.Equal(b, before) {
				t.Errorf("by %+v\n got % x\nwant % x", r, b, before)
			}
		}
	})
	t.Run("udp without a checksum leaves it out", func(t *testing.T) {
		for _, d := range []datagram{udp4, udp6} {
			d.noChecksum = true
			b := d.bytes(t)
			to := at("198.51.100.1", 99)
			if d.v6() {
				to = at("2001:db8::99", 99)
			}
			if rewrite(t, b, to); field(b, len(b)-2) != 0 {
				t.Errorf("checksum %#04x", field(b, len(b)-2))
			}
		}
	})
	t.Run("udp whose checksum becomes zero says so with 0xffff", func(t *testing.T) {
		b := udp4.bytes(t)
		// Raising the port by the checksum lowers the checksum to zero.
		port := uint32(53) + uint32(field(b, 26))
		rewrite(t, b, flow.Rewrite{DstPort: uint16(port>>16 + port&0xffff)})
		if got := field(b, 26); got != 0xffff {
			t.Errorf("checksum %#04x", got)
		}
		rewrite(t, b, flow.Rewrite{DstPort: 53})
		if want := udp4.bytes(t); !bytes.Equal(b, want) {
			t.Errorf("and back\n got % x\nwant % x", b, want)
		}
	})
	t.Run("a wrong checksum stays as wrong as it was", func(t *testing.T) {
		b := tcp4.bytes(t)
		b[36] ^= 0x40
		rewrite(t, b, at("198.51.100.1", 99))
		want := tcp4.rewritten(at("198.51.100.1", 99)).bytes(t)
		if bytes.Equal(b, want) {
			t.Error("the rewrite repaired it")
		}
	})
	t.Run("a routing header with stops to come: the checksum covers the last of them", func(t *testing.T) {
		r := flow.Rewrite{Src: netip.MustParseAddr("2001:db8:77::1"), Dst: netip.MustParseAddr("2001:db8:99::1")}
		d := tcp6.behind(43)
		d.options[3] = 1
		d.pseudoTarget = netip.MustParseAddr("2001:db8:3::3")
		b := d.bytes(t)
		rewrite(t, b, r)
		if want := d.rewritten(r).bytes(t); !bytes.Equal(b, want) {
			t.Errorf("\n got % x\nwant % x", b, want)
		}
	})
	t.Run("bytes behind the packet stay", func(t *testing.T) {
		b := append(udp4.bytes(t), 1, 2, 3)
		rewrite(t, b, at("198.51.100.1", 99))
		if want := append(udp4.rewritten(at("198.51.100.1", 99)).bytes(t), 1, 2, 3); !bytes.Equal(b, want) {
			t.Errorf("\n got % x\nwant % x", b, want)
		}
	})
}

// bytesUpper is the packet's upper layer as bytes puts it into the packet.
func (d datagram) bytesUpper(t testing.TB) []byte {
	b := d.upper(t)
	if d.cut > 0 {
		b = b[:min(d.cut, len(b))]
	}
	return b[d.skip:]
}

func randomAddr(rng *rand.Rand, v6 bool) netip.Addr {
	a := make([]byte, 4)
	if v6 {
		a = make([]byte, 16)
	}
	rng.Read(a)
	if v6 {
		a[0] = 0x20 // never an IPv4-mapped one
	}
	addr, _ := netip.AddrFromSlice(a)
	return addr
}

func randomRewrite(rng *rand.Rand, v6 bool) flow.Rewrite {
	var r flow.Rewrite
	if rng.Intn(3) > 0 {
		r.Src = randomAddr(rng, v6)
	}
	if rng.Intn(3) > 0 {
		r.Dst = randomAddr(rng, v6)
	}
	if rng.Intn(3) > 0 {
		r.SrcPort = uint16(rng.Intn(1 << 16))
	}
	if rng.Intn(3) > 0 {
		r.DstPort = uint16(rng.Intn(1 << 16))
	}
	return r
}

func randomError(rng *rand.Rand, v6 bool) datagram {
	d := datagram{proto: flow.ICMP, kind: []uint8{3, 4, 5, 11, 12}[rng.Intn(5)], code: uint8(rng.Intn(5)), ttl: 60}
	if v6 {
		d.proto, d.kind = flow.ICMPv6, uint8(1+rng.Intn(4))
	}
	d.src, d.dst = netip.AddrPortFrom(randomAddr(rng, v6), 0), netip.AddrPortFrom(randomAddr(rng, v6), 0)
	return d
}

// randomDatagram is any packet this package reads: one in four a fragment, one in three behind options or extension headers.
func randomDatagram(rng *rand.Rand) datagram {
	v6 := rng.Intn(2) == 0
	d := datagram{ttl: uint8(1 + rng.Intn(255)), flags: uint8(rng.Intn(256)), noChecksum: rng.Intn(4) == 0}
	d.proto = []uint8{flow.TCP, flow.TCP, flow.UDP, flow.UDP, flow.ICMP, flow.ICMP, 47, 253}[rng.Intn(8)]
	d.src = netip.AddrPortFrom(randomAddr(rng, v6), uint16(rng.Intn(1<<16)))
	d.dst = netip.AddrPortFrom(randomAddr(rng, v6), uint16(rng.Intn(1<<16)))
	d.payload = make([]byte, rng.Intn(200))
	rng.Read(d.payload)
	if d.proto == flow.TCP {
		d.tcpOptions = make([]byte, 4*rng.Intn(11))
	}
	if d.proto == flow.ICMP {
		d.kind = []uint8{8, 0, 13, 9}[rng.Intn(4)]
		if v6 {
			d.proto, d.kind = flow.ICMPv6, []uint8{128, 129, 135, 200}[rng.Intn(4)]
		}
	}
	if d.proto == 47 || d.proto == 253 { // neither has ports
		d.src, d.dst = netip.AddrPortFrom(d.src.Addr(), 0), netip.AddrPortFrom(d.dst.Addr(), 0)
	}
	if rng.Intn(3) == 0 {
		if v6 {
			d = d.behind([][]uint8{{0}, {60}, {43}, {44}, {0, 60, 43, 44}, {60, 60}}[rng.Intn(6)]...)
		} else {
			d.options = make([]byte, 4*(1+rng.Intn(10)))
			for i := range d.options {
				d.options[i] = 1 // no-operation
			}
		}
	}
	if rng.Intn(4) == 0 {
		d.payload = append(d.payload, make([]byte, 128)...)
		first := rng.Intn(2) == 0
		if first {
			d.cut = 64
		} else {
			d.skip = 64
		}
		switch {
		case v6 && first:
			d.chain, d.options = []uint8{44}, ext(d.proto, 0, 0, 1)
		case v6:
			d.chain, d.options = []uint8{44}, ext(d.proto, 0, 0, 64)
		case first:
			d.frag = 0x2000
		default:
			d.frag = 8
		}
	}
	return d
}

func TestNoAllocation(t *testing.T) {
	inner := tcp4.with(make([]byte, 100)).bytes(t)
	b := icmp(app4, web4, 3, 4).with(inner[:48]).bytes(t)
	r := flow.Rewrite{Src: netip.MustParseAddr("203.0.113.7"), Dst: netip.MustParseAddr("198.51.100.9"), SrcPort: 7, DstPort: 8}
	var p, q packet.Info
	allocs := testing.AllocsPerRun(100, func() {
		if !packet.Decode(b, &p) || !packet.Quoted(b, &p, &q) {
			t.Fatal("malformed")
		}
		packet.RewriteQuoted(b, &p, &q, r)
		packet.Rewrite(b, &p, r)
	})
	if allocs != 0 {
		t.Errorf("%v allocations a packet", allocs)
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, d := range []datagram{tcp4, tcp6, tcp6.behind(0, 60, 43)} {
		raw := d.bytes(b)
		b.Run(fmt.Sprintf("%d bytes of headers", len(raw)), func(b *testing.B) {
			var p packet.Info
			for b.Loop() {
				packet.Decode(raw, &p)
			}
		})
	}
}

func BenchmarkRewrite(b *testing.B) {
	for _, d := range []datagram{tcp4, tcp6} {
		raw := d.bytes(b)
		there := flow.Rewrite{Src: d.dst.Addr(), Dst: d.src.Addr(), SrcPort: 7, DstPort: 8}
		back := flow.Rewrite{Src: d.src.Addr(), Dst: d.dst.Addr(), SrcPort: 9, DstPort: 10}
		b.Run(fmt.Sprintf("%d bytes of headers", len(raw)), func(b *testing.B) {
			var p packet.Info
			packet.Decode(raw, &p)
			for b.Loop() {
				packet.Rewrite(raw, &p, there)
				there, back = back, there
			}
		})
	}
}

// TestHops: the TTL or hop limit falls, and the IPv4 header's checksum with it.
func TestHops(t *testing.T) {
	raw := []byte{0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 2, 0, 8, 0, 0}
	sum := func() (s uint32) {
		for i := 0; i < 20; i += 2 {
			s += uint32(raw[i])<<8 | uint32(raw[i+1])
		}
		for s > 0xffff {
			s = s>>16 + s&0xffff
		}
		return s
	}
	checksum := ^uint16(sum())
	raw[10], raw[11] = byte(checksum>>8), byte(checksum)
	var info packet.Info
	if !packet.Decode(raw, &info) {
		t.Fatal("malformed")
	}
	packet.Rewrite(raw, &info, flow.Rewrite{Hops: 2})
	if raw[8] != 62 || info.TTL != 62 || sum() != 0xffff {
		t.Errorf("TTL %d and %d, header sums to %x", raw[8], info.TTL, sum())
	}
	v6 := make([]byte, 40)
	v6[0], v6[6], v6[7], v6[8], v6[24] = 0x60, 59, 64, 0x20, 0x20
	if !packet.Decode(v6, &info) {
		t.Fatal("malformed")
	}
	if packet.Rewrite(v6, &info, flow.Rewrite{Hops: 1}); v6[7] != 63 {
		t.Errorf("hop limit %d", v6[7])
	}
}
