package packet

import (
	"encoding/binary"
	"net/netip"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// Largest ICMP errors, in bytes: what every IPv4 host can receive (RFC 1812, section 4.3.2.3), and the smallest IPv6 MTU (RFC 4443,
// section 2.4(c)).
const (
	maxError4 = 576
	maxError6 = 1280
)

// AppendTooBig appends the message by which router tells b's sender of an MTU, in bytes, that b exceeds: ICMP destination unreachable,
// fragmentation needed (RFC 1191), or ICMPv6 packet too big (RFC 4443). It quotes as much of b as fits in 576 bytes, of an IPv6
// packet in 1280. p is b's Info and router of its family.
//
// It returns nil where no error may be sent: about an ICMP error or redirect, about a fragment that is not the first, to a source that is
// no single host, about a multicast or broadcast destination (RFC 1122, section 3.2.2; RFC 4443, section 2.4(e)). RFC 4443 lets a
// router tell of too big multicasts and later fragments; a VPC carries no multicast, and a later fragment names no connection.
func AppendTooBig(dst, b []byte, p *Info, router netip.Addr, mtu int) []byte {
	if p.Tuple.Family == 4 {
		return appendError(dst, b, p, router, icmpHead{kind: 3, code: 4, rest: uint32(min(mtu, 0xffff))})
	}
	return appendError(dst, b, p, router, icmpHead{kind: 2, rest: uint32(mtu)})
}

// AppendTimeExceeded is AppendTooBig for the message that b's TTL or hop limit ended at router (RFC 792, RFC 4443): what traceroute waits
// for.
func AppendTimeExceeded(dst, b []byte, p *Info, router netip.Addr) []byte {
	if p.Tuple.Family == 4 {
		return appendError(dst, b, p, router, icmpHead{kind: 11})
	}
	return appendError(dst, b, p, router, icmpHead{kind: 3})
}

// icmpHead is the first 8 bytes of a message without its checksum.
type icmpHead struct {
	kind, code uint8
	rest       uint32
}

func (m icmpHead) put(h []byte) {
	h[0], h[1] = m.kind, m.code
	binary.BigEndian.PutUint32(h[4:], m.rest)
}

// networkControl is the precedence of a router's errors (RFC 1812, section 4.3.2.5: 6 or 7).
const networkControl = 6 << 5

func appendError(dst, b []byte, p *Info, router netip.Addr, m icmpHead) []byte {
	if !answerable(p) || router.Is4() != (p.Tuple.Family == 4) {
		return nil
	}
	source := router.As16()
	start, headers, limit := len(dst), ipv4Header+icmpHeader, maxError4
	if p.Tuple.Family == 6 {
		headers, limit = ipv6Header+icmpHeader, maxError6
	}
	dst = append(room(dst, headers), b[:min(p.Length, limit-headers)]...)
	e := dst[start:]
	h := e[headers-icmpHeader:]
	m.put(h)
	h[2], h[3] = 0, 0
	if p.Tuple.Family == 4 {
		binary.BigEndian.PutUint16(h[2:], ^fold(sum(h)))
		// Nothing fragments 576 bytes, so the identification means nothing (RFC 6864).
		putIPv4(e, ipv4{tos: networkControl, ttl: defaultTTL, proto: flow.ICMP, frag: flagDF, src: source, dst: p.Tuple.Src})
		return dst
	}
	binary.BigEndian.PutUint16(h[2:], ^fold(pseudo(6, flow.ICMPv6, &source, &p.Tuple.Src, len(h))+sum(h)))
	putIPv6(e, len(e), ipv6{class: networkControl, next: flow.ICMPv6, hops: defaultTTL, src: source, dst: p.Tuple.Src})
	return dst
}

// AppendRST appends the reset that answers the TCP packet b for a connection that is unknown here, from b's destination to its
// source: it has b's acknowledgement for its sequence number, or acknowledges b if that has none (RFC 9293, section 3.10.7.1). p is b's
// Info. It returns nil for a reset, a fragment, and packets that are not TCP between single hosts.
func AppendRST(dst, b []byte, p *Info) []byte {
	if p.upper() != flow.TCP || p.TCPFlags&flow.RST != 0 || p.Fragment || p.routed || !answerable(p) {
		return nil
	}
	from := b[p.L4:p.Length]
	var seq, ack uint32
	flags := uint8(flow.RST)
	if p.TCPFlags&flow.ACK != 0 {
		seq = binary.BigEndian.Uint32(from[8:])
	} else {
		flags |= flow.ACK
		ack = binary.BigEndian.Uint32(from[4:]) + segmentLength(from, p.TCPFlags)
	}

	start, header := len(dst), ipv4Header
	if p.Tuple.Family == 6 {
		header = ipv6Header
	}
	dst = room(dst, header+tcpHeader)
	r := dst[start:]
	h := r[header:]
	binary.BigEndian.PutUint16(h, p.Tuple.DstPort)
	binary.BigEndian.PutUint16(h[2:], p.Tuple.SrcPort)
	binary.BigEndian.PutUint32(h[4:], seq)
	binary.BigEndian.PutUint32(h[8:], ack)
	clear(h[12:])
	h[12], h[13] = tcpHeader/4<<4, flags
	binary.BigEndian.PutUint16(h[16:], ^fold(pseudo(p.Tuple.Family, flow.TCP, &p.Tuple.Dst, &p.Tuple.Src, len(h))+sum(h)))
	if p.Tuple.Family == 4 {
		putIPv4(r, ipv4{ttl: defaultTTL, proto: flow.TCP, frag: flagDF, src: p.Tuple.Dst, dst: p.Tuple.Src})
		return dst
	}
	putIPv6(r, len(r), ipv6{next: flow.TCP, hops: defaultTTL, src: p.Tuple.Dst, dst: p.Tuple.Src})
	return dst
}

// segmentLength is how many sequence numbers the segment h takes: its data, and one each for SYN and FIN (RFC 9293, SEG.LEN).
func segmentLength(h []byte, flags uint8) uint32 {
	n := uint32(len(h)) - uint32(h[12]>>4)*4
	if flags&flow.SYN != 0 {
		n++
	}
	if flags&flow.FIN != 0 {
		n++
	}
	return n
}

// answerable reports whether a router may answer a packet by itself.
func answerable(p *Info) bool {
	const redirect = 137 // no error by its number, but treated as one (RFC 4443, section 2.4(e.2))
	switch {
	case p.ICMPError, p.Fragment && !p.First, p.upper() == flow.ICMPv6 && p.ICMPType == redirect:
		return false
	}
	return singleHost(p.Tuple.Family, &p.Tuple.Src) && singleHost(p.Tuple.Family, &p.Tuple.Dst)
}

// singleHost reports whether an address may stand for one host on a wire: it is not unspecified, loopback, multicast, broadcast or of
// IPv4's class E.
func singleHost(family uint8, a *[16]byte) bool {
	if family == 4 {
		return a[12] != 0 && a[12] != 127 && a[12] < 224
	}
	return a[0] != 0xff && *a != [16]byte{} && *a != [16]byte{15: 1}
}
