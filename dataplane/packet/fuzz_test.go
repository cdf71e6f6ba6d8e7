package packet_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/packet"
)

// FuzzDecode feeds any bytes to Decode, Quoted and both rewrites: none may panic or touch what is not the packet, what is decoded
// agrees with gopacket where gopacket decodes it too, and a right checksum stays right.
func FuzzDecode(f *testing.F) {
	body := make([]byte, 60)
	for _, d := range []datagram{
		tcp4.with(body), tcp6.with(body), udp4.with(body), udp6.with(body), echo(web4, app4, 8, 7), echo(web6, app6, 128, 7),
		icmp(app4, web4, 3, 4).with(tcp4.bytes(f)), icmp(app4, web4, 11, 0).with(udp4.with(body).bytes(f)[:28]), icmp(app4, web4, 3, 1).with(echo(web4, app4, 8, 7).bytes(f)),
		icmp(app6, web6, 2, 0).with(tcp6.bytes(f)), icmp(app6, web6, 1, 0).with(udp6.behind(0, 60).bytes(f)), icmp(app6, web6, 3, 0).with(echo(web6, app6, 128, 7).bytes(f)),
		tcp6.behind(0, 60, 43, 44), other(47, web4, app4).with(body), other(50, web6, app6).with(body),
	} {
		f.Add(d.bytes(f), uint16(1234))
	}
	f.Fuzz(func(t *testing.T, b []byte, port uint16) {
		var p, q packet.Info
		if !packet.Decode(b, &p) {
			return
		}
		if p.Length > len(b) || p.L4 > p.Length || p.L4 < 20 {
			t.Fatalf("offsets outside the packet: %+v", p)
		}
		agreesWithGopacket(t, b, &p)

		r := flow.Rewrite{Src: netip.MustParseAddr("203.0.113.7"), Dst: netip.MustParseAddr("198.51.100.9"), SrcPort: port, DstPort: port / 2}
		if p.Tuple.Family == 6 {
			r.Src, r.Dst = netip.MustParseAddr("2001:db8:ffff::7"), netip.MustParseAddr("fd00::9")
		}
		before := append([]byte{}, b...)
		rightBefore := checksumsRight(b, &p)
		ports := [2]uint16{p.Tuple.SrcPort, p.Tuple.DstPort}
		back := flow.Rewrite{Src: p.Tuple.SrcAddr(), Dst: p.Tuple.DstAddr(), SrcPort: ports[0], DstPort: ports[1]}
		quoted := packet.Quoted(b, &p, &q)
		if quoted {
			packet.RewriteQuoted(b, &p, &q, r)
		}
		packet.Rewrite(b, &p, r)
		if rightBefore && !checksumsRight(b, &p) {
			t.Fatalf("a right checksum went wrong\nbefore % x\nafter  % x", before, b)
		}
		if !bytes.Equal(b[p.Length:], before[p.Length:]) {
			t.Fatalf("wrote behind the packet")
		}
		var again packet.Info
		if !packet.Decode(b, &again) || again != p {
			t.Fatalf("after the rewrite\n got %+v\nwant %+v", again, p)
		}
		if quoted {
			var inner packet.Info
			if !packet.Quoted(b, &again, &inner) || inner != q {
				t.Fatalf("after the rewrite the quote is\n got %+v\nwant %+v", inner, q)
			}
		}
		packet.Rewrite(b, &p, back)
		if p.Tuple.Src != back.Src.As16() || p.Tuple.Dst != back.Dst.As16() {
			t.Fatalf("back again: %v", p.Tuple)
		}
	})
}

// checksumsRight verifies the checksums of a whole packet the slow way. It is false where there is nothing to verify.
func checksumsRight(b []byte, p *packet.Info) bool {
	if p.Fragment || p.Tuple.Family == 6 && p.Options {
		return false
	}
	b = b[:p.Length]
	h := b[p.L4:]
	src, dst := p.Tuple.SrcAddr().AsSlice(), p.Tuple.DstAddr().AsSlice()
	if p.Tuple.Family == 4 && sum(b[:p.L4]) != 0xffff {
		return false
	}
	switch p.Tuple.Protocol {
	case flow.UDP:
		h = h[:binary.BigEndian.Uint16(h[4:])]
		if h[6] == 0 && h[7] == 0 {
			return false
		}
	case flow.TCP:
	case flow.ICMP:
		return p.Tuple.Family == 4 && sum(h) == 0xffff
	case flow.ICMPv6:
		if p.Tuple.Family == 4 {
			return false
		}
	default:
		return false
	}
	pseudo := binary.BigEndian.AppendUint16(append(append([]byte{}, src...), dst...), uint16(len(h)))
	return sum(pseudo, []byte{0, p.Tuple.Protocol}, h) == 0xffff
}

// agreesWithGopacket compares p with what gopacket makes of b, if gopacket can read it.
func agreesWithGopacket(t *testing.T, b []byte, p *packet.Info) {
	t.Helper()
	first := layers.LayerTypeIPv4
	if p.Tuple.Family == 6 {
		first = layers.LayerTypeIPv6
	}
	pkt := gopacket.NewPacket(b, first, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	switch ip := pkt.Layer(first).(type) {
	case nil:
		t.Fatalf("gopacket sees no IP header in % x", b)
	case *layers.IPv4:
		if !p.Tuple.SrcAddr().Is4() || string(ip.SrcIP) != string(p.Tuple.SrcAddr().AsSlice()) || string(ip.DstIP) != string(p.Tuple.DstAddr().AsSlice()) ||
			ip.TTL != p.TTL || uint8(ip.Protocol) != p.Tuple.Protocol || int(ip.Length) != p.Length || int(ip.IHL)*4 != p.L4 {
			t.Fatalf("gopacket: %+v\nours: %+v", ip, p)
		}
		more := ip.Flags&layers.IPv4MoreFragments != 0
		if p.Fragment != (more || ip.FragOffset != 0) || p.First != (more && ip.FragOffset == 0) || p.DontFragment != (ip.Flags&layers.IPv4DontFragment != 0) {
			t.Fatalf("gopacket: %+v\nours: %+v", ip, p)
		}
	case *layers.IPv6:
		if string(ip.SrcIP) != string(p.Tuple.SrcAddr().AsSlice()) || string(ip.DstIP) != string(p.Tuple.DstAddr().AsSlice()) ||
			ip.HopLimit != p.TTL || int(ip.Length)+40 != p.Length {
			t.Fatalf("gopacket: %+v\nours: %+v", ip, p)
		}
	}
	if p.Fragment {
		return
	}
	upper := upperLayer(pkt)
	switch p.Tuple.Protocol {
	case flow.TCP:
		if l, ok := upper.(*layers.TCP); ok {
			flags := l.LayerContents()[13]
			if uint16(l.SrcPort) != p.Tuple.SrcPort || uint16(l.DstPort) != p.Tuple.DstPort || flags != p.TCPFlags || (flags&flow.SYN != 0) != l.SYN {
				t.Fatalf("gopacket: %+v\nours: %+v", l, p)
			}
		}
	case flow.UDP:
		if l, ok := upper.(*layers.UDP); ok && (uint16(l.SrcPort) != p.Tuple.SrcPort || uint16(l.DstPort) != p.Tuple.DstPort) {
			t.Fatalf("gopacket: %+v\nours: %+v", l, p)
		}
	case flow.ICMP:
		if l, ok := upper.(*layers.ICMPv4); ok && p.Tuple.Family == 4 {
			if l.TypeCode.Type() != p.ICMPType || l.TypeCode.Code() != p.ICMPCode || p.Tuple.ICMPEcho() && l.Id != p.Tuple.SrcPort {
				t.Fatalf("gopacket: %+v\nours: %+v", l, p)
			}
		}
	case flow.ICMPv6:
		if l, ok := upper.(*layers.ICMPv6); ok && p.Tuple.Family == 6 {
			if l.TypeCode.Type() != p.ICMPType || l.TypeCode.Code() != p.ICMPCode {
				t.Fatalf("gopacket: %+v\nours: %+v", l, p)
			}
		}
	}
}

// upperLayer is the first layer behind the IP header and its extension headers, or nil if gopacket could not read that far.
func upperLayer(pkt gopacket.Packet) gopacket.Layer {
	if e := pkt.ErrorLayer(); e != nil {
		return nil
	}
	for i, l := range pkt.Layers() {
		switch l.LayerType() {
		case layers.LayerTypeIPv6HopByHop, layers.LayerTypeIPv6Routing, layers.LayerTypeIPv6Destination:
		default:
			if i > 0 {
				return l
			}
		}
	}
	return nil
}
