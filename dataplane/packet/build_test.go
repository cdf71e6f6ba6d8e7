package packet_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// datagram describes a packet; gopacket, which shares no code with this package, turns it into bytes and so says what a decoded or
// rewritten packet has to be.
type datagram struct {
	proto        uint8
	src, dst     netip.AddrPort // the source port is the identifier of an ICMP echo
	kind, code   uint8          // ICMP
	flags        uint8          // TCP
	options      []byte         // IPv4 options, or whole IPv6 extension headers of the types in chain
	chain        []uint8
	tcpOptions   []byte
	noChecksum   bool   // UDP
	frag         uint16 // IPv4: flags and offset
	cut          int    // keep so many bytes of the upper layer; 0 keeps all
	skip         int    // and leave out so many at its start
	payload      []byte
	ttl, class   uint8
	rest         []byte     // ICMP: the second word of a message that is no echo
	pseudoTarget netip.Addr // what the pseudo header has for the destination, if not the destination
}

func tcp(src string, dst string) datagram {
	return datagram{proto: flow.TCP, src: netip.MustParseAddrPort(src), dst: netip.MustParseAddrPort(dst), flags: flow.SYN, ttl: 64}
}

func udp(src string, dst string) datagram {
	return datagram{proto: flow.UDP, src: netip.MustParseAddrPort(src), dst: netip.MustParseAddrPort(dst), ttl: 64}
}

// icmp is a message between two addresses; its protocol follows from their family.
func icmp(src, dst string, kind, code uint8) datagram {
	d := other(flow.ICMP, src, dst)
	if d.v6() {
		d.proto = flow.ICMPv6
	}
	d.kind, d.code = kind, code
	return d
}

func echo(src, dst string, kind uint8, id uint16) datagram {
	d := icmp(src, dst, kind, 0)
	d.src = netip.AddrPortFrom(d.src.Addr(), id)
	return d
}

func other(proto uint8, src, dst string) datagram {
	return datagram{proto: proto, src: netip.AddrPortFrom(netip.MustParseAddr(src), 0),
		dst: netip.AddrPortFrom(netip.MustParseAddr(dst), 0), ttl: 64}
}

func (d datagram) with(payload []byte) datagram { d.payload = payload; return d }

func (d datagram) v6() bool { return d.src.Addr().Is6() }

func (d datagram) isEcho() bool {
	return d.proto == flow.ICMP && (d.kind == 8 || d.kind == 0) || d.proto == flow.ICMPv6 && (d.kind == 128 || d.kind == 129)
}

// rewritten is the packet that a rewrite has to produce.
func (d datagram) rewritten(r flow.Rewrite) datagram {
	src, dst := d.src, d.dst
	if r.Src.IsValid() {
		src = netip.AddrPortFrom(r.Src, src.Port())
	}
	if r.Dst.IsValid() {
		dst = netip.AddrPortFrom(r.Dst, dst.Port())
	}
	if r.SrcPort != 0 && d.skip == 0 && (d.proto == flow.TCP || d.proto == flow.UDP || d.isEcho()) {
		src = netip.AddrPortFrom(src.Addr(), r.SrcPort)
	}
	if r.DstPort != 0 && d.skip == 0 && (d.proto == flow.TCP || d.proto == flow.UDP) {
		dst = netip.AddrPortFrom(dst.Addr(), r.DstPort)
	}
	d.src, d.dst = src, dst
	return d
}

// tuple is the packet's tuple as flow defines it.
func (d datagram) tuple() flow.Tuple {
	sport, dport := d.src.Port(), d.dst.Port()
	if d.proto == flow.ICMP || d.proto == flow.ICMPv6 {
		dport = uint16(d.kind)
		if !d.isEcho() {
			sport = 0
		}
	}
	if d.skip > 0 {
		sport, dport = 0, 0
	}
	return flow.MakeTuple(d.proto, d.src.Addr(), sport, d.dst.Addr(), dport)
}

// bytes builds the packet.
func (d datagram) bytes(t testing.TB) []byte {
	t.Helper()
	upper := d.upper(t)
	whole := len(upper)
	if d.cut > 0 {
		upper = upper[:min(d.cut, whole)]
	}
	upper = upper[d.skip:]
	if !d.v6() {
		ip := &layers.IPv4{Version: 4, TOS: d.class, TTL: d.ttl, Protocol: layers.IPProtocol(d.proto), SrcIP: d.src.Addr().AsSlice(), DstIP: d.dst.Addr().AsSlice(),
			Flags: layers.IPv4Flag(d.frag >> 13), FragOffset: d.frag & 0x1fff, Id: 7}
		b := serialize(t, ip, gopacket.Payload(upper))
		if len(d.options) > 0 { // gopacket pads options in its own way; ours are whole words
			b = append(append(append([]byte{}, b[:20]...), d.options...), b[20:]...)
			b[0] = 0x40 | byte(len(d.options)/4+5)
			binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
			b[10], b[11] = 0, 0
			binary.BigEndian.PutUint16(b[10:], ^sum(b[:20+len(d.options)]))
		}
		return b
	}
	next := d.proto
	if len(d.chain) > 0 {
		next = d.chain[0]
	}
	ip := &layers.IPv6{Version: 6, TrafficClass: d.class, HopLimit: d.ttl, NextHeader: layers.IPProtocol(next), SrcIP: d.src.Addr().AsSlice(), DstIP: d.dst.Addr().AsSlice()}
	return serialize(t, ip, gopacket.Payload(append(append([]byte{}, d.options...), upper...)))
}

// upper builds the upper layer with its checksum, whole.
func (d datagram) upper(t testing.TB) []byte {
	t.Helper()
	dst := d.dst.Addr()
	if d.pseudoTarget.IsValid() {
		dst = d.pseudoTarget
	}
	var ip gopacket.NetworkLayer = &layers.IPv4{SrcIP: d.src.Addr().AsSlice(), DstIP: dst.AsSlice(), Protocol: layers.IPProtocol(d.proto)}
	if d.v6() {
		ip = &layers.IPv6{SrcIP: d.src.Addr().AsSlice(), DstIP: dst.AsSlice(), NextHeader: layers.IPProtocol(d.proto)}
	}
	body := gopacket.Payload(d.payload)
	switch d.proto {
	case flow.TCP:
		h := &layers.TCP{SrcPort: layers.TCPPort(d.src.Port()), DstPort: layers.TCPPort(d.dst.Port()), Seq: 1, Window: 64000,
			FIN: d.flags&flow.FIN != 0, SYN: d.flags&flow.SYN != 0, RST: d.flags&flow.RST != 0, ACK: d.flags&flow.ACK != 0}
		for len(d.tcpOptions) >= 4 { // four NOPs a word
			h.Options = append(h.Options, layers.TCPOption{OptionType: 1}, layers.TCPOption{OptionType: 1}, layers.TCPOption{OptionType: 1}, layers.TCPOption{OptionType: 1})
			d.tcpOptions = d.tcpOptions[4:]
		}
		must(t, h.SetNetworkLayerForChecksum(ip))
		return serialize(t, h, body)
	case flow.UDP:
		h := &layers.UDP{SrcPort: layers.UDPPort(d.src.Port()), DstPort: layers.UDPPort(d.dst.Port())}
		must(t, h.SetNetworkLayerForChecksum(ip))
		b := serialize(t, h, body)
		switch {
		case d.noChecksum:
			b[6], b[7] = 0, 0
		case b[6] == 0 && b[7] == 0: // gopacket forgets RFC 768's rule
			b[6], b[7] = 0xff, 0xff
		}
		return b
	case flow.ICMP:
		rest := d.second()
		return serialize(t, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(d.kind, d.code),
			Id: binary.BigEndian.Uint16(rest), Seq: binary.BigEndian.Uint16(rest[2:])}, body)
	case flow.ICMPv6:
		h := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(d.kind, d.code)}
		must(t, h.SetNetworkLayerForChecksum(ip))
		return serialize(t, h, gopacket.Payload(append(d.second(), d.payload...)))
	}
	return d.payload
}

// second is an ICMP message's second word: identifier and sequence number, or whatever rest says.
func (d datagram) second() []byte {
	if d.rest != nil {
		return append([]byte{}, d.rest...)
	}
	return append(binary.BigEndian.AppendUint16(nil, d.src.Port()), 0, 3)
}

func serialize(t testing.TB, l ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	must(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, l...))
	return append([]byte{}, buf.Bytes()...)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sum is the one's-complement sum of b, the slow way (RFC 1071).
func sum(parts ...[]byte) uint16 {
	var s uint32
	for _, b := range parts {
		for i, c := range b {
			s += uint32(c) << (8 * (1 - i%2))
			s = s>>16 + s&0xffff
		}
	}
	return uint16(s)
}

// ext is one IPv6 extension header of 8 bytes whose next header is next.
func ext(next uint8, body ...byte) []byte {
	h := make([]byte, 8)
	h[0] = next
	copy(h[1:], body)
	return h
}

// behind puts the extension headers of these types between the IPv6 header and the upper layer.
func (d datagram) behind(types ...uint8) datagram {
	d.chain, d.options = types, nil
	for i := range types {
		next := d.proto
		if i+1 < len(types) {
			next = types[i+1]
		}
		body := []byte{0, 1, 4} // size 0, then PadN over the rest
		if types[i] != 0 && types[i] != 60 {
			body = nil // a routing header with no stops to come; an atomic fragment
		}
		d.options = append(d.options, ext(next, body...)...)
	}
	return d
}
