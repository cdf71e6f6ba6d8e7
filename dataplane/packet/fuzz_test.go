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
		if p.ID != uint32(ip.Id) || p.FragmentOffset != int(ip.FragOffset)*8 || p.MoreFragments != more || p.FragmentData != p.L4 {
			t.Fatalf("gopacket: %+v\nours: %+v", ip, p)
		}
		if p.Fragment != (more || ip.FragOffset != 0) || p.First != (more && ip.FragOffset == 0) || p.DontFragment != (ip.Flags&layers.IPv4DontFragment != 0) {
			t.Fatalf("gopacket: %+v\nours: %+v", ip, p)
		}
	case *layers.IPv6:
		if string(ip.SrcIP) != string(p.Tuple.SrcAddr().AsSlice()) || string(ip.DstIP) != string(p.Tuple.DstAddr().AsSlice()) ||
			ip.HopLimit != p.TTL || int(ip.Length)+40 != p.Length {
			t.Fatalf("gopacket: %+v\nours: %+v", ip, p)
		}
	}
	if f, ok := pkt.Layer(layers.LayerTypeIPv6Fragment).(*layers.IPv6Fragment); ok && p.Tuple.Family == 6 && p.FragmentData != 0 {
		if p.ID != f.Identification || p.FragmentOffset != int(f.FragmentOffset)*8 || p.MoreFragments != f.MoreFragments {
			t.Fatalf("gopacket: %+v\nours: %+v", f, p)
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

// checkAnswers builds all that a router may answer b with, and cuts b into fragments: what comes out is a packet with right checksums that
// fits, and b stays as it is.
func checkAnswers(t *testing.T, b []byte, p *packet.Info) {
	t.Helper()
	before := bytes.Clone(b)
	router, limit := router4, 576
	if p.Tuple.Family == 6 {
		router, limit = router6, 1280
	}
	for _, answer := range [][]byte{
		packet.AppendTooBig(nil, b, p, router, 1500), packet.AppendTimeExceeded(nil, b, p, router), packet.AppendRST(nil, b, p),
	} {
		if answer == nil {
			continue
		}
		a := decoded(t, answer)
		if !checksumsRight(answer, &a) || len(answer) > limit || a.Length != len(answer) || a.Tuple.Dst != p.Tuple.Src {
			t.Fatalf("% x\nis answered by % x", b, answer)
		}
	}
	for _, f := range packet.Fragment(b, p, 576) {
		if len(f) > 576 {
			t.Fatalf("a fragment has %d bytes", len(f))
		}
	}
	if !bytes.Equal(b, before) {
		t.Fatal("an answer changed the packet")
	}
	right := checksumsRight(b, p)
	if packet.ClampMSS(b, p, 100); right && !checksumsRight(b, p) {
		t.Fatalf("a right checksum went wrong\nbefore % x\nafter  % x", before, b)
	}
	copy(b, before)
}

// FuzzICMPErrorTranslation feeds any bytes to the translation between the families and back: it may not panic or touch the packet; what
// comes out is a packet of the other family with the addresses and ports that were asked for, also in the quote of an error; a right checksum stays
// right; and what goes there and back is the same connection.
func FuzzICMPErrorTranslation(f *testing.F) {
	body := make([]byte, 60)
	fill(body)
	huge := make([]byte, 1500)
	fill(huge)
	extended := func(d datagram, rest ...byte) []byte { d.rest = rest; return d.bytes(f) }
	fragmented4, fragmented6 := udp4.with(body), udp6.with(body)
	fragmented4.frag, fragmented4.cut = 0x2000, 32
	fragmented6.chain, fragmented6.options, fragmented6.cut = []uint8{44}, ext(flow.UDP, 0, 0, 1, 1, 2, 3, 4), 32
	for _, b := range [][]byte{
		tcp4.with(body).bytes(f), tcp6.with(huge).bytes(f), udp4.with(huge).bytes(f), udp6.behind(0, 60, 43, 44).bytes(f),
		echo(web4, app4, 8, 7).with(body).bytes(f), echo(web6, app6, 129, 7).with(body).bytes(f), fragmented4.bytes(f), fragmented6.bytes(f),
		extended(icmp(app4, web4, 3, 4).with(tcp4.with(huge).bytes(f)[:548]), 0, 0, 5, 220),
		extended(icmp(app4, web4, 3, 4).with(udp4.bytes(f)), 0, 0, 0, 0),
		extended(icmp(app4, web4, 3, 3).with(udp4.with(huge).bytes(f)), 0, 32, 0, 0),
		extended(icmp(app4, web4, 11, 0).with(echo(web4, app4, 8, 7).with(body).bytes(f)), 0, 0, 0, 0),
		extended(icmp(app4, web4, 12, 0).with(fragmented4.bytes(f)), 9, 0, 0, 0),
		extended(icmp(app6, web6, 2, 0).with(tcp6.with(huge).bytes(f)[:1232]), 0, 0, 5, 220),
		extended(icmp(app6, web6, 1, 4).with(udp6.with(body).behind(0, 60).bytes(f)), 16, 0, 0, 0),
		extended(icmp(app6, web6, 3, 0).with(echo(web6, app6, 128, 7).bytes(f)), 0, 0, 0, 0),
		extended(icmp(app6, web6, 4, 0).with(fragmented6.bytes(f)), 0, 0, 0, 6),
		extended(icmp(app6, web6, 4, 1).with(tcp6.bytes(f)[:48]), 0, 0, 0, 6),
		icmp(app4, web4, 11, 0).with(icmp(web4, app4, 3, 1).with(tcp4.bytes(f)).bytes(f)).bytes(f),
	} {
		f.Add(b, uint16(1234))
	}
	f.Fuzz(func(t *testing.T, b []byte, port uint16) {
		var p packet.Info
		if !packet.Decode(b, &p) {
			return
		}
		checkAnswers(t, b, &p)
		before := bytes.Clone(b)
		there := packet.Translation{
			Rewrite: flow.Rewrite{Src: netip.MustParseAddr("64:ff9b::a00:209"), Dst: netip.MustParseAddr("2001:db8::5"), DstPort: port}, ID: port,
			Quote: flow.Rewrite{Src: netip.MustParseAddr("2001:db8::5"), Dst: netip.MustParseAddr("64:ff9b::a00:209"), SrcPort: port},
		}
		if p.Tuple.Family == 6 {
			there.Src, there.Dst = netip.MustParseAddr("203.0.113.5"), netip.MustParseAddr("198.51.100.9")
			there.Quote.Src, there.Quote.Dst = there.Dst, there.Src
		}
		out, ok := translate(b, &p, there)
		if !bytes.Equal(b, before) {
			t.Fatalf("the packet itself changed")
		}
		if !ok {
			if string(out) != "head" {
				t.Fatalf("dropped, and left % x", out)
			}
			return
		}
		o := checkTranslated(t, b, &p, out[4:], there)
		if p.Fragment && !p.First {
			return
		}
		back := packet.Translation{Rewrite: flow.Rewrite{Src: p.Tuple.SrcAddr(), Dst: p.Tuple.DstAddr(), DstPort: p.Tuple.DstPort}, Quote: there.Quote}
		back.Quote.Src, back.Quote.Dst, back.Quote.SrcPort = p.Tuple.DstAddr(), p.Tuple.SrcAddr(), 0
		again, ok := translate(out[4:], &o, back)
		if !ok { // an error's pointer may have no way back, nor a first fragment whose sum nobody can know
			unsummed := p.Fragment && p.Tuple.Protocol == flow.UDP && b[p.L4+6] == 0 && b[p.L4+7] == 0
			if !p.ICMPError && !unsummed {
				t.Fatalf("no way back from % x", out[4:])
			}
			return
		}
		if r := decoded(t, again[4:]); p.Tuple.Src != r.Tuple.Src || p.Tuple.Dst != r.Tuple.Dst || p.Tuple.Protocol != r.Tuple.Protocol ||
			!p.ICMPError && p.Tuple.DstPort != 0 && p.Tuple != r.Tuple { // port 0 means "unchanged", so nothing leads back to it
			t.Fatalf("there and back: %v, want %v", r.Tuple, p.Tuple)
		}
	})
}

// checkTranslated asserts that out is b as the translation asks for, and returns its Info.
func checkTranslated(t *testing.T, b []byte, p *packet.Info, out []byte, tr packet.Translation) packet.Info {
	t.Helper()
	o := decoded(t, out)
	if o.Length != len(out) || o.Tuple.SrcAddr() != tr.Src || o.Tuple.DstAddr() != tr.Dst || o.TTL != p.TTL || o.Fragment != p.Fragment || o.First != p.First ||
		o.FragmentOffset != p.FragmentOffset || o.MoreFragments != p.MoreFragments || o.ICMPError != p.ICMPError {
		t.Fatalf("% x\nbecame % x\nwhich is %+v", b, out, o)
	}
	if right := checksumsRight(b, p) || upperRight(b, p); right && !o.Fragment && !checksumsRight(out, &o) {
		t.Fatalf("a right checksum went wrong\nbefore % x\nafter  % x", b, out)
	}
	if !p.ICMPError {
		if o.Length-o.L4 != p.Length-p.L4 {
			t.Fatalf("%d bytes of data became %d", p.Length-p.L4, o.Length-o.L4)
		}
		return o
	}
	if len(out) > 1280 && o.Tuple.Family == 6 {
		t.Fatalf("an error of %d bytes", len(out))
	}
	var q, i packet.Info
	if !packet.Quoted(b, p, &q) || !packet.Quoted(out, &o, &i) {
		t.Fatalf("% x\nbecame % x\nand one of them quotes nothing", b, out)
	}
	if i.Tuple.SrcAddr() != tr.Quote.Src || i.Tuple.DstAddr() != tr.Quote.Dst || i.Length-(i.L4-o.L4-8) != q.Length-(q.L4-p.L4-8) {
		t.Fatalf("quotes %+v\nwhich became %+v", q, i)
	}
	return o
}

// upperRight verifies the checksum of an upper layer behind extension headers, for whose sake checksumsRight is silent.
func upperRight(b []byte, p *packet.Info) bool {
	if p.Fragment || p.Tuple.Family != 6 || p.Tuple.Protocol == flow.UDP {
		return false
	}
	h := b[p.L4:p.Length]
	return sum(pseudoHeader(p, len(h)), h) == 0xffff
}
