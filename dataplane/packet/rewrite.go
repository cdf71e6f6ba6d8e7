package packet

import (
	"encoding/binary"
	"net/netip"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// Rewrite changes addresses and ports of b in place and keeps every checksum that covers them right by incremental update
// (RFC 1624, equation 3), so that a wrong checksum stays wrong: IPv4 header, TCP, UDP, ICMPv6 with its pseudo header, ICMP. p is b's Info and
// p.Tuple follows the change. A valid address in r is of the packet's family.
//
// A UDP checksum of zero means "none" and stays; a computed zero is written as 0xffff (RFC 768). Of a protocol whose header
// Decode does not read, and of a later fragment, only the IP header changes; a first fragment's checksum covers the whole datagram
// and is updated like any other. The echo identifier is r.SrcPort; r.DstPort does not apply to ICMP. IPv4 source routes are not
// followed.
func Rewrite(b []byte, p *Info, r flow.Rewrite) {
	edit(b[:p.Length], 0, p, r)
}

// RewriteQuoted changes the headers that the ICMP error b quotes, as Rewrite would have changed the packet itself, with the inner
// checksums as far as they are quoted and the ICMP checksum of the error. p and q are the Info of b and of the quoted packet;
// q.Tuple follows the change.
func RewriteQuoted(b []byte, p, q *Info, r flow.Rewrite) {
	inner := p.L4 + icmpHeader
	changed := edit(b[:min(inner+q.Length, p.Length)], inner, q, r)
	changed.apply(b[p.L4+2:])
}

// edit rewrites the packet at b[at:], which ends where b ends, and returns the change of the sum of all its bytes.
func edit(b []byte, at int, p *Info, r flow.Rewrite) change {
	var header, pseudo, ports change // of the IP header's words, of the pseudo header's, of the upper layer's
	srcAt, dstAt, size := at+12, at+16, 4
	if p.Tuple.Family == 6 {
		srcAt, dstAt, size = at+8, at+24, 16
	}
	if r.Src.IsValid() {
		c := setAddr(b[srcAt:srcAt+size], &p.Tuple.Src, r.Src)
		header, pseudo = header+c, pseudo+c
	}
	if r.Dst.IsValid() {
		c := setAddr(b[dstAt:dstAt+size], &p.Tuple.Dst, r.Dst)
		header += c
		if !p.routed {
			pseudo += c
		}
	}
	if r.Hops != 0 {
		header += lowerTTL(b[at:], p, r.Hops)
	}
	total := header
	if p.Tuple.Family == 4 {
		total += header.apply(b[at+10:])
	}
	if p.Fragment && !p.First {
		return total
	}

	h := b[p.L4:]
	switch p.upper() {
	case flow.TCP:
		ports = setPorts(h, p, r)
		total += ports
		if len(h) >= 18 { // a quote may end before the checksum, or in its middle
			total += (pseudo + ports).apply(h[16:])
		}
	case flow.UDP:
		ports = setPorts(h, p, r)
		total += ports
		total += (pseudo + ports).applyUDP(h[6:])
	case flow.ICMP:
		ports = setIdentifier(h, p, r)
		total += ports
		total += ports.apply(h[2:])
	case flow.ICMPv6:
		ports = setIdentifier(h, p, r)
		total += ports
		total += (pseudo + ports).apply(h[2:])
	}
	return total
}

// lowerTTL counts down the TTL or hop limit, of which there must be enough.
func lowerTTL(ip []byte, p *Info, hops uint8) change {
	p.TTL -= hops
	if p.Tuple.Family == 6 {
		ip[7] = p.TTL // no checksum covers it
		return 0
	}
	return setWord(ip[8:], uint16(p.TTL)<<8|uint16(ip[9]))
}

func setPorts(h []byte, p *Info, r flow.Rewrite) change {
	var c change
	if r.SrcPort != 0 {
		c += setWord(h, r.SrcPort)
		p.Tuple.SrcPort = r.SrcPort
	}
	if r.DstPort != 0 {
		c += setWord(h[2:], r.DstPort)
		p.Tuple.DstPort = r.DstPort
	}
	return c
}

func setIdentifier(h []byte, p *Info, r flow.Rewrite) change {
	if r.SrcPort == 0 || !p.Tuple.ICMPEcho() {
		return 0
	}
	p.Tuple.SrcPort = r.SrcPort
	return setWord(h[4:], r.SrcPort)
}

// setAddr writes a over the 4 or 16 bytes of field and into tuple.
func setAddr(field []byte, tuple *[16]byte, a netip.Addr) change {
	var c change
	*tuple = a.As16()
	from := tuple[16-len(field):]
	for i := 0; i < len(field); i += 2 {
		c += setWord(field[i:], binary.BigEndian.Uint16(from[i:]))
	}
	return c
}

// setWord writes one 16-bit word and returns what it changed.
func setWord(field []byte, word uint16) change {
	old := binary.BigEndian.Uint16(field)
	if old == word {
		return 0
	}
	binary.BigEndian.PutUint16(field, word)
	return change(^old) + change(word)
}

// change is how a one's-complement sum of 16-bit words changed, not yet folded: the sum of ~m + m' over the words that went from m
// to m' (RFC 1624). A packet has far fewer words than would overflow it. All words must be at even offsets of what is summed,
// which IP headers, whose sizes are multiples of four, ensure.
type change uint64

// apply updates the checksum at field and returns the change of that word itself, for a sum that covers it too.
func (c change) apply(field []byte) change {
	if c == 0 {
		return 0
	}
	return setWord(field, c.checksum(binary.BigEndian.Uint16(field)))
}

// applyUDP is apply for a UDP checksum, in which zero means "none" (RFC 768; RFC 6935 for IPv6).
func (c change) applyUDP(field []byte) change {
	old := binary.BigEndian.Uint16(field)
	if c == 0 || old == 0 {
		return 0
	}
	sum := c.checksum(old)
	if sum == 0 {
		sum = 0xffff
	}
	return setWord(field, sum)
}

// swapped is the change of a sum by words that stand at odd offsets: one's-complement sums do not mind the order of bytes, as long as it is
// the same for all words (RFC 1071, section 2(B)).
func (c change) swapped() change {
	s := fold(uint64(c))
	return change(s<<8 | s>>8)
}

// checksum is what old becomes.
func (c change) checksum(old uint16) uint16 {
	return ^fold(uint64(^old) + uint64(c))
}
