package packet

import (
	"encoding/binary"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// Info is what is known of one IP packet. Offsets count from the start of the buffer that was decoded.
type Info struct {
	// Tuple follows flow.Tuple's rule for ICMP. Ports are 0 where the packet has none: later fragments and protocols other than TCP,
	// UDP and the ICMP of the packet's own family. In a later IPv6 fragment the protocol is the one its fragment header names.
	Tuple  flow.Tuple
	L4     int // offset of the upper-layer header, or of a later fragment's data
	Length int // of the IP packet, in bytes, as its header says; the buffer may hold more
	TTL    uint8

	TCPFlags           uint8 // the header's 14th byte (RFC 9293); 0 where it is not there
	ICMPType, ICMPCode uint8

	Fragment     bool // MF or an offset; an IPv6 atomic fragment is a whole packet (RFC 6946)
	First        bool // a fragment with offset 0
	Options      bool // IPv4 options or IPv6 extension headers: never offloaded
	ICMPError    bool // quotes another packet
	DontFragment bool // no router may fragment it: DF in IPv4, always in IPv6 (RFC 8200)

	// ID is the identification of an IPv4 packet, or of an IPv6 packet with a fragment header; 0 without one. FragmentOffset is where
	// the fragment's data belongs, in bytes from 0 to 65528, and FragmentData where it begins in the buffer: behind the IPv4
	// header, or behind the IPv6 fragment header; 0 without one.
	ID             uint32
	FragmentOffset int
	FragmentData   int
	MoreFragments  bool

	// routed: an IPv6 routing header still names stops to come, so the upper-layer checksum covers the last of them and not the
	// header's destination address (RFC 8200, section 8.1).
	routed bool
}

// Header sizes in bytes.
const (
	ipv4Header = 20
	ipv6Header = 40
	tcpHeader  = 20
	udpHeader  = 8
	icmpHeader = 8
)

// IPv6 next-header values that continue the chain (IANA IPv6 extension header types). All others, AH, ESP and mobility among them,
// are upper layers here: what follows them is not ours to read.
const (
	hopByHop    = 0
	routing     = 43
	fragment    = 44
	destination = 60
)

// maxExtensions bounds an extension header chain. RFC 8200 recommends an order that uses six.
const maxExtensions = 8

// view says how much of a packet is there: whole for one on the wire, a quote for the beginning that an ICMP error carries.
type view bool

const (
	whole view = false
	quote view = true
)

// Decode reads the headers of the IP packet at the start of b into p. It reports false for a malformed packet: a wrong version, a
// length that contradicts another or the buffer, a header that is cut off, a chain of extension headers that is too long or has
// a jumbo payload. A first fragment must hold its upper-layer header (RFC 1858, RFC 7112). Bytes of b beyond the packet's
// length are ignored. p is meaningful only after true.
func Decode(b []byte, p *Info) bool {
	*p = Info{}
	return decode(b, 0, p, whole)
}

// Quoted reads into q the headers of the packet that the ICMP error b quotes; p is b's own Info. Lengths in q are those of the
// packet when it was sent; the quote may hold less. It reports false unless the quote has the packet's IP header, extension
// headers and, where ports or an echo identifier are to be read, the first 8 bytes of its upper layer (RFC 792).
func Quoted(b []byte, p, q *Info) bool {
	*q = Info{}
	inner := p.L4 + icmpHeader
	if !p.ICMPError || inner >= p.Length || p.Length > len(b) {
		return false
	}
	if p.Tuple.Family != b[inner]>>4 {
		return false
	}
	return decode(b[:p.Length], inner, q, quote)
}

// decode reads the packet at b[at:].
func decode(b []byte, at int, p *Info, v view) bool {
	if len(b) <= at {
		return false
	}
	switch b[at] >> 4 {
	case 4:
		return decode4(b, at, p, v)
	case 6:
		return decode6(b, at, p, v)
	}
	return false
}

func decode4(b []byte, at int, p *Info, v view) bool {
	h := b[at:]
	if len(h) < ipv4Header {
		return false
	}
	size := int(h[0]&0x0f) * 4
	p.Length = int(binary.BigEndian.Uint16(h[2:]))
	if size < ipv4Header || p.Length < size || len(h) < size {
		return false
	}
	if v == whole && p.Length > len(h) {
		return false
	}
	const (
		dontFragment  = 0x4000
		moreFragments = 0x2000
		offset        = 0x1fff
	)
	frag := binary.BigEndian.Uint16(h[6:])
	p.Options = size > ipv4Header
	p.DontFragment = frag&dontFragment != 0
	p.Fragment = frag&(moreFragments|offset) != 0
	p.First = p.Fragment && frag&offset == 0
	p.MoreFragments = frag&moreFragments != 0
	p.FragmentOffset = int(frag&offset) * 8
	p.ID = uint32(binary.BigEndian.Uint16(h[4:]))
	p.TTL = h[8]

	p.Tuple.Family = 4
	p.Tuple.Protocol = h[9]
	p.Tuple.Src = mapped(h[12:16])
	p.Tuple.Dst = mapped(h[16:20])
	p.L4, p.FragmentData = at+size, at+size
	return decodeUpper(b[:min(at+p.Length, len(b))], p, v)
}

func decode6(b []byte, at int, p *Info, v view) bool {
	h := b[at:]
	if len(h) < ipv6Header {
		return false
	}
	p.Length = ipv6Header + int(binary.BigEndian.Uint16(h[4:]))
	if v == whole && p.Length > len(h) {
		return false
	}
	p.DontFragment = true
	p.TTL = h[7]
	p.Tuple.Family = 6
	p.Tuple.Src = [16]byte(h[8:24])
	p.Tuple.Dst = [16]byte(h[24:40])

	b = b[:min(at+p.Length, len(b))]
	if !extensions(b, at+ipv6Header, h[6], p) {
		return false
	}
	return decodeUpper(b, p, v)
}

// extensions follows the IPv6 header chain from at, whose header has type next, to the upper layer.
func extensions(b []byte, at int, next uint8, p *Info) bool {
	fragmented := false
	for n := 0; ; n++ {
		switch next {
		case hopByHop, routing, fragment, destination:
		default:
			p.Tuple.Protocol, p.L4 = next, at
			return true
		}
		if n == maxExtensions || len(b)-at < 8 {
			return false
		}
		h := b[at:]
		size := 8 + int(h[1])*8
		switch next {
		case hopByHop:
			if n > 0 { // only right after the IPv6 header (RFC 8200, section 4.3)
				return false
			}
		case routing:
			p.routed = p.routed || h[3] > 0 // segments left
		case fragment:
			if fragmented {
				return false
			}
			fragmented, size = true, 8
			const moreFragments, offset = 0x0001, 0xfff8
			frag := binary.BigEndian.Uint16(h[2:])
			p.Fragment = frag&(moreFragments|offset) != 0
			p.First = p.Fragment && frag&offset == 0
			p.MoreFragments = frag&moreFragments != 0
			p.FragmentOffset = int(frag & offset)
			p.FragmentData = at + size
			p.ID = binary.BigEndian.Uint32(h[4:])
		}
		if size > len(b)-at {
			return false
		}
		p.Options = true
		next, at = h[0], at+size
		if p.Fragment && !p.First {
			// What follows is the middle of something, whatever its first byte looks like.
			p.Tuple.Protocol, p.L4 = next, at
			return true
		}
	}
}

// decodeUpper reads the upper-layer header at p.L4; b ends where the packet, or what is quoted of it, ends.
func decodeUpper(b []byte, p *Info, v view) bool {
	if p.Fragment && !p.First {
		return true
	}
	h := b[p.L4:]
	complete := v == whole && !p.Fragment
	switch p.upper() {
	case flow.TCP:
		return decodeTCP(h, p, v, complete)
	case flow.UDP:
		if len(h) < udpHeader {
			return false
		}
		p.Tuple.SrcPort = binary.BigEndian.Uint16(h)
		p.Tuple.DstPort = binary.BigEndian.Uint16(h[2:])
		length := int(binary.BigEndian.Uint16(h[4:]))
		// A datagram may be shorter than its packet, never longer; the rest is padding (RFC 768).
		return !complete || length >= udpHeader && length <= len(h)
	case flow.ICMP, flow.ICMPv6:
		if len(h) < icmpHeader {
			return false
		}
		p.ICMPType, p.ICMPCode = h[0], h[1]
		p.Tuple.DstPort = uint16(p.ICMPType)
		if p.Tuple.ICMPEcho() {
			p.Tuple.SrcPort = binary.BigEndian.Uint16(h[4:])
		}
		p.ICMPError = icmpError(p.Tuple.Protocol, p.ICMPType)
	}
	return true
}

func decodeTCP(h []byte, p *Info, v view, complete bool) bool {
	const quoted = 8 // the ports and the sequence number
	if len(h) < quoted || v == whole && len(h) < tcpHeader {
		return false
	}
	p.Tuple.SrcPort = binary.BigEndian.Uint16(h)
	p.Tuple.DstPort = binary.BigEndian.Uint16(h[2:])
	if len(h) > 13 {
		p.TCPFlags = h[13]
	}
	if v == quote {
		return true
	}
	size := int(h[12]>>4) * 4
	return size >= tcpHeader && (!complete || size <= len(h))
}

// upper is the upper-layer protocol whose header Decode reads, or 0 for a protocol that stays opaque. ICMP belongs to IPv4 and ICMPv6 to
// IPv6; either in the other family is just a number.
func (p *Info) upper() uint8 {
	switch p.Tuple.Protocol {
	case flow.TCP, flow.UDP:
		return p.Tuple.Protocol
	case flow.ICMP:
		if p.Tuple.Family == 4 {
			return flow.ICMP
		}
	case flow.ICMPv6:
		if p.Tuple.Family == 6 {
			return flow.ICMPv6
		}
	}
	return 0
}

// icmpError reports whether a message quotes the packet that caused it, 8 bytes into the message: destination unreachable, source
// quench, redirect, time exceeded and parameter problem of RFC 792; the four errors of RFC 4443.
func icmpError(proto, kind uint8) bool {
	if proto == flow.ICMPv6 {
		return kind >= 1 && kind <= 4
	}
	switch kind {
	case 3, 4, 5, 11, 12:
		return true
	}
	return false
}

// mapped is an IPv4 address in its IPv4-mapped form, as flow.Tuple keeps it.
func mapped(a []byte) (m [16]byte) {
	m[10], m[11] = 0xff, 0xff
	copy(m[12:], a[:4])
	return m
}
