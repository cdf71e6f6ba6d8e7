package packet_test

import (
	"encoding/binary"
	"testing"

	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/packet"
)

const (
	web4, app4 = "10.0.1.5", "10.0.2.9"
	web6, app6 = "2001:db8:1::5", "2001:db8:2::9"
)

var (
	tcp4 = tcp("10.0.1.5:999", "10.0.2.9:443")
	tcp6 = tcp("[2001:db8:1::5]:999", "[2001:db8:2::9]:443")
	udp4 = udp("10.0.1.5:999", "10.0.2.9:53")
	udp6 = udp("[2001:db8:1::5]:999", "[2001:db8:2::9]:53")
)

func TestDecode(t *testing.T) {
	with := func(d datagram, change func(*datagram)) datagram { change(&d); return d }
	body := make([]byte, 64)
	for _, row := range []struct {
		name string
		in   datagram
		want packet.Info // Tuple, Length, TTL and what IPv4 identifies fragments by come from the description
	}{
		{"tcp syn", tcp4, packet.Info{L4: 20, TCPFlags: flow.SYN}},
		{"tcp with options and data", with(tcp4.with(body), func(d *datagram) { d.tcpOptions = body[:40]; d.flags = flow.ACK | flow.FIN }),
			packet.Info{L4: 20, TCPFlags: flow.ACK | flow.FIN}},
		{"tcp that must not be fragmented", with(tcp4, func(d *datagram) { d.frag = 0x4000 }), packet.Info{L4: 20, TCPFlags: flow.SYN, DontFragment: true}},
		{"tcp behind ipv4 options", with(tcp4, func(d *datagram) { d.options = []byte{1, 1, 1, 0} }), packet.Info{L4: 24, TCPFlags: flow.SYN, Options: true}},
		{"tcp behind all the options ipv4 has room for", with(tcp4, func(d *datagram) { d.options = make([]byte, 40) }), packet.Info{L4: 60, TCPFlags: flow.SYN, Options: true}},
		{"udp without data", udp4, packet.Info{L4: 20}},
		{"udp with data and ttl 1", with(udp4.with(body), func(d *datagram) { d.ttl = 1 }), packet.Info{L4: 20}},
		{"echo request", echo(web4, app4, 8, 77), packet.Info{L4: 20, ICMPType: 8}},
		{"echo reply", echo(app4, web4, 0, 77), packet.Info{L4: 20}},
		{"timestamp request, whose identifier is no port", icmp(web4, app4, 13, 0), packet.Info{L4: 20, ICMPType: 13}},
		{"destination unreachable", icmp(web4, app4, 3, 4).with(body), packet.Info{L4: 20, ICMPType: 3, ICMPCode: 4, ICMPError: true}},
		{"source quench", icmp(web4, app4, 4, 0).with(body), packet.Info{L4: 20, ICMPType: 4, ICMPError: true}},
		{"redirect", icmp(web4, app4, 5, 1).with(body), packet.Info{L4: 20, ICMPType: 5, ICMPCode: 1, ICMPError: true}},
		{"time exceeded", icmp(web4, app4, 11, 0).with(body), packet.Info{L4: 20, ICMPType: 11, ICMPError: true}},
		{"parameter problem", icmp(web4, app4, 12, 0).with(body), packet.Info{L4: 20, ICMPType: 12, ICMPError: true}},
		{"first fragment", with(udp4.with(body), func(d *datagram) { d.frag = 0x2000; d.cut = 32 }), packet.Info{L4: 20, Fragment: true, First: true, MoreFragments: true}},
		{"middle fragment", with(udp4.with(body), func(d *datagram) { d.frag = 0x2004; d.skip = 32; d.cut = 40 }), packet.Info{L4: 20, Fragment: true, MoreFragments: true, FragmentOffset: 32}},
		{"last fragment", with(udp4.with(body), func(d *datagram) { d.frag = 5; d.skip = 40 }), packet.Info{L4: 20, Fragment: true, FragmentOffset: 40}},
		{"esp", other(50, web4, app4).with(body), packet.Info{L4: 20}},
		{"a protocol with no bytes at all", other(253, web4, app4), packet.Info{L4: 20}},
		{"icmpv6 inside ipv4 is a protocol like any other", other(flow.ICMPv6, web4, app4), packet.Info{L4: 20}},

		{"tcp over ipv6", tcp6, packet.Info{L4: 40, TCPFlags: flow.SYN, DontFragment: true}},
		{"udp over ipv6", udp6.with(body), packet.Info{L4: 40, DontFragment: true}},
		{"echo request over ipv6", echo(web6, app6, 128, 77), packet.Info{L4: 40, ICMPType: 128, DontFragment: true}},
		{"echo reply over ipv6", echo(web6, app6, 129, 77), packet.Info{L4: 40, ICMPType: 129, DontFragment: true}},
		{"neighbour solicitation", icmp(web6, app6, 135, 0).with(body), packet.Info{L4: 40, ICMPType: 135, DontFragment: true}},
		{"destination unreachable over ipv6", icmp(web6, app6, 1, 4).with(body), packet.Info{L4: 40, ICMPType: 1, ICMPCode: 4, ICMPError: true, DontFragment: true}},
		{"packet too big", icmp(web6, app6, 2, 0).with(body), packet.Info{L4: 40, ICMPType: 2, ICMPError: true, DontFragment: true}},
		{"time exceeded over ipv6", icmp(web6, app6, 3, 0).with(body), packet.Info{L4: 40, ICMPType: 3, ICMPError: true, DontFragment: true}},
		{"parameter problem over ipv6", icmp(web6, app6, 4, 0).with(body), packet.Info{L4: 40, ICMPType: 4, ICMPError: true, DontFragment: true}},
		{"an icmpv6 error nobody has defined quotes nothing that we know", icmp(web6, app6, 5, 0).with(body), packet.Info{L4: 40, ICMPType: 5, DontFragment: true}},
		{"tcp behind hop-by-hop, destination options and routing", tcp6.behind(0, 60, 43),
			packet.Info{L4: 64, TCPFlags: flow.SYN, Options: true, DontFragment: true}},
		{"an atomic fragment is a whole packet", udp6.behind(44), packet.Info{L4: 48, FragmentData: 48, Options: true, DontFragment: true}},
		{"no next header", other(59, web6, app6), packet.Info{L4: 40, DontFragment: true}},
		{"an authentication header is an upper layer", other(51, web6, app6).with(body), packet.Info{L4: 40, DontFragment: true}},
		{"icmp inside ipv6 is a protocol like any other", other(2, web6, app6).with(body), packet.Info{L4: 40, DontFragment: true}},
		{"first fragment over ipv6", with(udp6.with(body), func(d *datagram) {
			d.cut, d.chain, d.options = 32, []uint8{44}, ext(flow.UDP, 0, 0, 1, 1, 2, 3, 4)
		}), packet.Info{L4: 48, FragmentData: 48, Fragment: true, First: true, MoreFragments: true, ID: 0x01020304, Options: true, DontFragment: true}},
		{"last fragment over ipv6", with(udp6.with(body), func(d *datagram) {
			d.skip, d.chain, d.options = 32, []uint8{44}, ext(flow.UDP, 0, 0, 32)
		}), packet.Info{L4: 48, FragmentData: 48, Fragment: true, FragmentOffset: 32, Options: true, DontFragment: true}},
		{"first fragment whose data begins with an extension header", with(udp6.with(body), func(d *datagram) {
			d.cut, d.chain, d.options = 32, []uint8{0, 44, 60}, append(append(ext(44, 0, 1, 4), ext(60, 0, 0, 1, 0, 0, 0, 9)...), ext(flow.UDP, 0, 1, 4)...)
		}), packet.Info{L4: 64, FragmentData: 56, Fragment: true, First: true, MoreFragments: true, ID: 9, Options: true, DontFragment: true}},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := row.in.bytes(t)
			want := row.want
			want.Tuple, want.Length, want.TTL = row.in.tuple(), len(b), row.in.ttl
			if !row.in.v6() {
				want.ID, want.FragmentData = 7, want.L4
			}
			var got packet.Info
			if !packet.Decode(b, &got) {
				t.Fatalf("malformed: % x", b)
			}
			if got != want {
				t.Errorf("\n got %+v\nwant %+v", got, want)
			}
			if !packet.Decode(append(b, 0xde, 0xad, 0xbe, 0xef), &got) || got != want {
				t.Errorf("with four bytes behind it\n got %+v\nwant %+v", got, want)
			}
			agreesWithGopacket(t, b, &got)
		})
	}
}

func TestDecodeMalformed(t *testing.T) {
	put16 := func(at int, v uint16) func([]byte) []byte {
		return func(b []byte) []byte { binary.BigEndian.PutUint16(b[at:], v); return b }
	}
	put := func(at int, v byte) func([]byte) []byte {
		return func(b []byte) []byte { b[at] = v; return b }
	}
	keep := func(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:n] } }
	// short is a packet whose upper layer is cut to n bytes, with an IP length that says so.
	short := func(d datagram, n int) datagram { d.cut = n; return d }
	same := func(b []byte) []byte { return b }
	fragmented := func(d datagram) datagram { d.frag = 0x2000; return d }
	deep := make([]uint8, 9)
	for i := range deep {
		deep[i] = 60
	}
	for _, row := range []struct {
		name   string
		in     datagram
		change func([]byte) []byte
	}{
		{"nothing", tcp4, keep(0)},
		{"version 5", tcp4, put(0, 0x55)},
		{"19 bytes of ipv4", tcp4, keep(19)},
		{"39 bytes of ipv6", tcp6, keep(39)},
		{"an ipv4 header of 16 bytes", tcp4, put(0, 0x44)},
		{"an ipv4 header larger than the packet", udp4, put(0, 0x4f)},
		{"a total length below the header's", tcp4, put16(2, 19)},
		{"a total length of zero", tcp4, put16(2, 0)},
		{"a total length beyond the buffer", tcp4, put16(2, 41)},
		{"a payload length beyond the buffer", tcp6, put16(4, 21)},
		{"tcp of 19 bytes", short(tcp4, 19), same},
		{"tcp of 19 bytes over ipv6", short(tcp6, 19), same},
		{"a tcp data offset of 4 words", tcp4, put(20+12, 0x40)},
		{"a tcp data offset beyond the packet", tcp4, put(20+12, 0x60)},
		{"udp of 7 bytes", short(udp4, 7), same},
		{"a udp length of 7", udp4, put16(24, 7)},
		{"a udp length beyond the packet", udp4, put16(24, 9)},
		{"a udp length of zero, as in a jumbogram", udp6, put16(44, 0)},
		{"an echo of 7 bytes", short(echo(web4, app4, 8, 1), 7), same},
		{"an echo of 7 bytes over ipv6", short(echo(web6, app6, 128, 1), 7), same},
		{"a first fragment without its tcp header", fragmented(short(tcp4.with(make([]byte, 40)), 16)), same},
		{"a first fragment with a tcp data offset of 4 words", fragmented(tcp4.with(make([]byte, 40))), put(20+12, 0x40)},
		{"a first fragment without its udp header", fragmented(short(udp4, 4)), same},
		{"an extension header that is cut off", tcp6.behind(60), func(b []byte) []byte { return put16(4, 7)(b[:47]) }},
		{"an extension header longer than the packet", tcp6.behind(60), put(41, 200)},
		{"a hop-by-hop header that is not the first", tcp6.behind(60, 0), same},
		{"a payload length of zero with a hop-by-hop header (a jumbogram)", tcp6.behind(0), put16(4, 0)},
		{"two fragment headers", tcp6.behind(44, 44), same},
		{"nine extension headers", tcp6.behind(deep...), same},
	} {
		t.Run(row.name, func(t *testing.T) {
			var p packet.Info
			good := row.in.bytes(t)
			bad := row.change(append([]byte{}, good...))
			if packet.Decode(bad, &p) {
				t.Errorf("decoded as %+v: % x", p, bad)
			}
		})
	}

	t.Run("every prefix of a good packet", func(t *testing.T) {
		for _, d := range []datagram{tcp4, udp4, echo(web4, app4, 8, 1), tcp6.behind(0, 43, 60, 44), udp6, echo(web6, app6, 128, 1)} {
			b := d.bytes(t)
			var p packet.Info
			if !packet.Decode(b, &p) {
				t.Fatalf("the whole of % x is malformed", b)
			}
			for n := range b {
				if packet.Decode(b[:n:n], &p) {
					t.Errorf("%d of %d bytes decoded: % x", n, len(b), b[:n])
				}
			}
		}
	})
	t.Run("eight extension headers are not too many", func(t *testing.T) {
		var p packet.Info
		if b := tcp6.behind(deep[:8]...).bytes(t); !packet.Decode(b, &p) || p.L4 != 40+64 {
			t.Errorf("%+v", p)
		}
	})
}

func TestQuoted(t *testing.T) {
	full := make([]byte, 200)
	for _, row := range []struct {
		name  string
		error datagram // without the quote
		inner datagram
		keep  int // bytes of the inner packet; 0 is all
		want  packet.Info
		ok    bool
	}{
		{"tcp, as much as RFC 792 asks for", icmp(app4, web4, 3, 4), tcp4.with(full), 28, packet.Info{L4: 48}, true},
		{"tcp to its flags", icmp(app4, web4, 3, 4), tcp4.with(full), 34, packet.Info{L4: 48, TCPFlags: flow.SYN}, true},
		{"tcp, whole", icmp(app4, web4, 11, 0), tcp4, 0, packet.Info{L4: 48, TCPFlags: flow.SYN}, true},
		{"udp", icmp(app4, web4, 3, 3), udp4.with(full), 28, packet.Info{L4: 48}, true},
		{"echo", icmp(app4, web4, 3, 1), echo(web4, app4, 8, 77).with(full), 28, packet.Info{L4: 48, ICMPType: 8}, true},
		{"a protocol without ports that sent 3 bytes", icmp(app4, web4, 3, 2), other(253, web4, app4).with(full[:3]), 0, packet.Info{L4: 48}, true},
		{"seven bytes of tcp are too few", icmp(app4, web4, 3, 4), tcp4, 27, packet.Info{}, false},
		{"seven bytes of udp are too few", icmp(app4, web4, 3, 4), udp4.with(full), 27, packet.Info{}, false},
		{"seven bytes of icmp are too few", icmp(app4, web4, 3, 4), echo(web4, app4, 8, 77), 27, packet.Info{}, false},
		{"half an ip header", icmp(app4, web4, 3, 4), tcp4, 10, packet.Info{}, false},
		{"an ipv6 packet in an icmpv4 error", icmp(app4, web4, 3, 4), tcp6, 0, packet.Info{}, false},
		{"an echo reply quotes nothing", echo(app4, web4, 0, 9), tcp4, 0, packet.Info{}, false},
		{"tcp over ipv6", icmp(app6, web6, 2, 0), tcp6.with(full), 48, packet.Info{L4: 88, DontFragment: true}, true},
		{"udp behind extension headers", icmp(app6, web6, 1, 4), udp6.with(full).behind(0, 60), 64, packet.Info{L4: 104, Options: true, DontFragment: true}, true},
		{"half an extension header", icmp(app6, web6, 1, 4), udp6.with(full).behind(0, 60), 52, packet.Info{}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			inner := row.inner.bytes(t)
			length := len(inner)
			if row.keep > 0 {
				inner = inner[:row.keep]
			}
			b := row.error.with(inner).bytes(t)
			var p, q packet.Info
			if !packet.Decode(b, &p) {
				t.Fatal("malformed")
			}
			b = append(b, full...) // bytes behind the packet are no part of the quote
			if ok := packet.Quoted(b, &p, &q); ok != row.ok {
				t.Fatalf("quoted: %v, want %v: %+v", ok, row.ok, q)
			}
			if !row.ok {
				return
			}
			want := row.want
			want.Tuple, want.Length, want.TTL = row.inner.tuple(), length, row.inner.ttl
			if !row.inner.v6() {
				want.ID, want.FragmentData = 7, want.L4
			}
			if q != want {
				t.Errorf("\n got %+v\nwant %+v", q, want)
			}
		})
	}

	t.Run("an error that quotes nothing", func(t *testing.T) {
		b := icmp(app4, web4, 3, 4).bytes(t)
		var p, q packet.Info
		if !packet.Decode(b, &p) || packet.Quoted(b, &p, &q) {
			t.Errorf("%+v", q)
		}
	})
	t.Run("a fragment's middle is quoted without ports", func(t *testing.T) {
		d := udp4.with(full)
		d.frag, d.skip = 9, 72
		b := icmp(app4, web4, 11, 1).with(d.bytes(t)).bytes(t)
		var p, q packet.Info
		if !packet.Decode(b, &p) || !packet.Quoted(b, &p, &q) || !q.Fragment || q.First || q.Tuple != d.tuple() {
			t.Errorf("%+v", q)
		}
	})
}
