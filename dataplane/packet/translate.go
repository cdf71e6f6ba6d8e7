package packet

import (
	"encoding/binary"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// Translation is how a packet changes its family.
type Translation struct {
	// Rewrite has both addresses, of the other family, and like any rewrite ports that may stay.
	flow.Rewrite
	// Quote is the same for the packet that an ICMP error quotes.
	Quote flow.Rewrite
	// ID is the identification for an IPv4 packet whose IPv6 form has no fragment header to take it from. Packets of at most 1260
	// bytes may be fragmented later on, so the IDs of one pair of addresses should differ.
	ID uint16
}

// Translate64 appends to dst the IPv4 packet that the IPv6 packet b becomes on its way through a translator (RFC 7915, section 5): a NAT
// gateway's NAT64 (RFC 6146). p is b's Info, and b, which dst must not overlap, stays as it is. The result has another length, which is
// to be compared with the next link's MTU.
//
// It translates TCP, UDP, ICMPv6 echo, and ICMPv6 errors with the packet that they quote. Checksums change by what changed, so that a
// wrong one stays wrong, and UDP's zero stays zero. The traffic class is copied, the hop limit falls by Hops. Extension headers fall
// away. A fragment stays a fragment, with the low 16 bits of its identification and without DF; a whole packet gets DF if it is larger
// than 1260 bytes (RFC 7915, section 5.1).
//
// It returns dst and false for what RFC 7915 drops: other protocols and messages, fragments of ICMPv6, routing headers with stops to
// come, a fragment header before another extension header, an error that quotes an error or nothing readable, a hop limit that ends here.
func Translate64(dst, b []byte, p *Info, t Translation) ([]byte, bool) {
	if p.Tuple.Family != 6 || endsHere(p, t.Hops) {
		return dst, false
	}
	if p.ICMPError {
		return translateError(dst, b, p, t)
	}
	return translate64(dst, b[:p.Length], 0, p, t.Rewrite, t.ID)
}

// Translate46 is Translate64 for the way back, from IPv4 to IPv6 (RFC 7915, section 4).
//
// A packet gets a fragment header if it is a fragment, and no other: the links of a VPC carry 9001 bytes, so that an IPv4 packet
// without DF need not be cut to IPv6's smallest MTU. A whole UDP datagram without a checksum gets one; the first fragment of such a one
// is dropped, as is a packet with stops to come in a source route. Other IPv4 options fall away. An error is cut to 1280 bytes (RFC 4443).
func Translate46(dst, b []byte, p *Info, t Translation) ([]byte, bool) {
	if p.Tuple.Family != 4 || endsHere(p, t.Hops) {
		return dst, false
	}
	if p.ICMPError {
		return translateError(dst, b, p, t)
	}
	return translate46(dst, b[:p.Length], 0, p, t.Rewrite, whole)
}

// translate64 translates the packet at b[at:] but for ICMP errors. b ends where the packet, or what is quoted of it, ends.
func translate64(dst, b []byte, at int, p *Info, r flow.Rewrite, id uint16) ([]byte, bool) {
	proto, ok := translatable(p)
	fragmented := p.FragmentData != 0 // also an atomic fragment
	size := at + p.Length - p.L4      // of the upper layer
	switch {
	case !ok, !leadsTo(true, r), p.routed, ipv4Header+size > 0xffff:
		return dst, false
	case fragmented && p.L4 != p.FragmentData:
		return dst, false
	}
	h := ipv4{tos: trafficClass(b[at:]), ttl: p.TTL - r.Hops, proto: proto, id: id, src: r.Src.As16(), dst: r.Dst.As16()}
	switch {
	case fragmented:
		h.id, h.frag = uint16(p.ID), uint16(p.FragmentOffset/8)
		if p.MoreFragments {
			h.frag |= flagMF
		}
	case ipv4Header+size > mayFragment:
		h.frag = flagDF
	}
	start := len(dst)
	dst = append(room(dst, ipv4Header), b[p.L4:]...)
	out := dst[start:]
	putIPv4(out, h)
	setTotalLength(out, ipv4Header+size)
	translateUpper(out[ipv4Header:], p, r, change(addresses(4, &h.src, &h.dst)), size)
	return dst, true
}

// mayFragment is the largest IPv4 packet, in bytes, that a translator sends without DF (RFC 7915, section 5.1).
const mayFragment = 1260

// setTotalLength corrects the total length of a packet of which out may hold the beginning.
func setTotalLength(out []byte, length int) {
	setWord(out[2:], uint16(length)).apply(out[10:])
}

func translate46(dst, b []byte, at int, p *Info, r flow.Rewrite, v view) ([]byte, bool) {
	proto, ok := translatable(p)
	size := at + p.Length - p.L4
	if !ok || !leadsTo(false, r) || sourceRouted(b[at:p.L4]) {
		return dst, false
	}
	missing := v == whole && withoutChecksum(b[p.L4:], p)
	if missing && p.Fragment {
		return dst, false
	}
	h := ipv6{class: b[at+1], next: proto, hops: p.TTL - r.Hops, src: r.Src.As16(), dst: r.Dst.As16()}
	headers := ipv6Header
	if p.Fragment {
		h.next, headers = fragment, ipv6Header+fragmentHeader
	}
	start := len(dst)
	dst = append(room(dst, headers), b[p.L4:]...)
	out := dst[start:]
	putIPv6(out, headers+size, h)
	if p.Fragment {
		putFragmentHeader(out[ipv6Header:], proto, p)
	}
	upper := out[headers:]
	translateUpper(upper, p, r, change(addresses(6, &h.src, &h.dst)), size)
	if missing {
		datagram := upper[:binary.BigEndian.Uint16(upper[4:])]
		checksum := ^fold(pseudo(6, flow.UDP, &h.src, &h.dst, len(datagram)) + sum(datagram))
		if checksum == 0 {
			checksum = 0xffff
		}
		binary.BigEndian.PutUint16(upper[6:], checksum)
	}
	return dst, true
}

// fragmentHeader is the size of IPv6's fragment header in bytes.
const fragmentHeader = 8

func putFragmentHeader(h []byte, next uint8, p *Info) {
	word := uint16(p.FragmentOffset)
	if p.MoreFragments {
		word |= 1
	}
	h[0], h[1] = next, 0
	binary.BigEndian.PutUint16(h[2:], word)
	binary.BigEndian.PutUint32(h[4:], p.ID)
}

// endsHere reports whether a TTL or hop limit is too small for so many hops.
func endsHere(p *Info, hops uint8) bool { return hops != 0 && p.TTL <= hops }

// leadsTo reports whether both addresses are of IPv4, or of IPv6.
func leadsTo(to4 bool, r flow.Rewrite) bool {
	if to4 {
		return r.Src.Is4() && r.Dst.Is4()
	}
	return r.Src.Is6() && r.Dst.Is6()
}

// translatable is the protocol number that a packet has in the other family; false for what is not translated.
func translatable(p *Info) (uint8, bool) {
	switch p.upper() {
	case flow.TCP, flow.UDP:
		return p.Tuple.Protocol, true
	case flow.ICMP:
		// An ICMPv6 checksum covers the length of the whole message, which no fragment tells.
		return flow.ICMPv6, !p.Fragment && p.Tuple.ICMPEcho()
	case flow.ICMPv6:
		return flow.ICMP, !p.Fragment && p.Tuple.ICMPEcho()
	}
	return 0, false
}

// translateUpper edits the upper layer h, already copied, of size bytes when whole. p is the Info of the packet that is translated, and to
// the sum of the new addresses.
func translateUpper(h []byte, p *Info, r flow.Rewrite, to change, size int) {
	if p.Fragment && !p.First {
		return
	}
	q := *p // whose tuple follows
	c := replaced(addresses(p.Tuple.Family, &p.Tuple.Src, &p.Tuple.Dst), uint64(to))
	switch p.upper() {
	case flow.TCP:
		c += setPorts(h, &q, r)
		if len(h) >= 18 { // a quote may end before the checksum, or in its middle
			c.apply(h[16:])
		}
	case flow.UDP:
		c += setPorts(h, &q, r)
		c.applyUDP(h[6:])
	case flow.ICMP: // whose checksum covers no pseudo header, and ICMPv6's does
		c = setIdentifier(h, &q, r) + to + change(pseudo(0, flow.ICMPv6, &noAddress, &noAddress, size))
		(c + setKind(h, echoTypes[h[0]])).apply(h[2:])
	case flow.ICMPv6:
		c = setIdentifier(h, &q, r) + replaced(pseudo(6, flow.ICMPv6, &p.Tuple.Src, &p.Tuple.Dst, size), 0)
		(c + setKind(h, echoTypes[h[0]])).apply(h[2:])
	}
}

var noAddress [16]byte

// echoTypes pairs echo requests and replies of the two families.
var echoTypes = map[uint8]uint8{8: 128, 0: 129, 128: 8, 129: 0}

// setKind writes an ICMP type and returns what it changed.
func setKind(h []byte, kind uint8) change {
	return setWord(h, uint16(kind)<<8|uint16(h[1]))
}

// trafficClass is the field of an IPv6 header.
func trafficClass(h []byte) uint8 { return h[0]<<4 | h[1]>>4 }

// sourceRouted reports whether an IPv4 header has a source route that is not at its end (RFC 791): loose or strict.
func sourceRouted(header []byte) bool {
	for _, option := range options(header, ipv4Header) {
		if (option[0] == 131 || option[0] == 137) && len(option) > 2 && int(option[2]) <= len(option) {
			return true
		}
	}
	return false
}

// withoutChecksum reports whether h is a UDP header whose checksum is zero.
func withoutChecksum(h []byte, p *Info) bool {
	return p.Tuple.Protocol == flow.UDP && (!p.Fragment || p.First) && h[6] == 0 && h[7] == 0
}
