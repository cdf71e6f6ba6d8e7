package flow

import (
	"fmt"
	"net/netip"
)

// IP protocol numbers that flows treat by name (IANA protocol numbers).
const (
	ICMP   = 1
	TCP    = 6
	UDP    = 17
	ICMPv6 = 58
)

// Tuple is a packet's addresses, protocol and ports. It holds no pointer, so it is a cheap map key.
//
// For an ICMP echo message SrcPort is the identifier and DstPort the ICMP type, so that two hosts that ping each other with one
// identifier have four different tuples. For other ICMP messages SrcPort is 0 and DstPort is the type; for every other protocol
// both are 0.
type Tuple struct {
	Src, Dst         [16]byte // IPv4 in its IPv4-mapped form
	SrcPort, DstPort uint16
	Protocol         uint8
	Family           uint8 // 4 or 6
}

// MakeTuple builds a tuple from addresses of one family.
func MakeTuple(proto uint8, src netip.Addr, srcPort uint16, dst netip.Addr, dstPort uint16) Tuple {
	t := Tuple{Src: src.As16(), Dst: dst.As16(), SrcPort: srcPort, DstPort: dstPort, Protocol: proto, Family: 6}
	if src.Is4() {
		t.Family = 4
	}
	return t
}

// Addr turns one of the tuple's addresses back into a netip.Addr.
func (t Tuple) addr(a [16]byte) netip.Addr {
	if t.Family == 4 {
		return netip.AddrFrom4([4]byte(a[12:]))
	}
	return netip.AddrFrom16(a)
}

// SrcAddr is the source address.
func (t Tuple) SrcAddr() netip.Addr { return t.addr(t.Src) }

// DstAddr is the destination address.
func (t Tuple) DstAddr() netip.Addr { return t.addr(t.Dst) }

// ICMPEcho reports whether the tuple is an ICMP or ICMPv6 echo request or reply.
func (t Tuple) ICMPEcho() bool {
	switch t.Protocol {
	case ICMP:
		return t.DstPort == 8 || t.DstPort == 0
	case ICMPv6:
		return t.DstPort == 128 || t.DstPort == 129
	}
	return false
}

// icmpAnswers pairs the ICMP queries with their answers, both ways: echo, timestamp, address mask (RFC 792, RFC 950).
var icmpAnswers = map[uint16]uint16{8: 0, 0: 8, 13: 14, 14: 13, 17: 18, 18: 17}

// Reply is the tuple that an answer to this packet has: addresses and ports swapped, an ICMP query
// turned into its answer and the reverse.
func (t Tuple) Reply() Tuple {
	t.Src, t.Dst = t.Dst, t.Src
	switch t.Protocol {
	case ICMP:
		if answer, ok := icmpAnswers[t.DstPort]; ok {
			t.DstPort = answer
		}
	case ICMPv6:
		if t.ICMPEcho() {
			t.DstPort ^= 128 ^ 129
		}
	default:
		t.SrcPort, t.DstPort = t.DstPort, t.SrcPort
	}
	return t
}

// String reads "tcp 10.0.0.5:999 > 10.0.1.9:443".
func (t Tuple) String() string {
	switch t.Protocol {
	case TCP, UDP:
		name := "tcp"
		if t.Protocol == UDP {
			name = "udp"
		}
		return fmt.Sprintf("%s %s > %s", name, netip.AddrPortFrom(t.SrcAddr(), t.SrcPort), netip.AddrPortFrom(t.DstAddr(), t.DstPort))
	case ICMP, ICMPv6:
		name := "icmp"
		if t.Protocol == ICMPv6 {
			name = "icmpv6"
		}
		if t.ICMPEcho() {
			return fmt.Sprintf("%s type %d id %d %s > %s", name, t.DstPort, t.SrcPort, t.SrcAddr(), t.DstAddr())
		}
		return fmt.Sprintf("%s type %d %s > %s", name, t.DstPort, t.SrcAddr(), t.DstAddr())
	}
	return fmt.Sprintf("protocol %d %s > %s", t.Protocol, t.SrcAddr(), t.DstAddr())
}

// Key identifies one flow: a tuple as one attachment sends it. The same addresses sent by two attachments are two flows, which is
// what keeps VPCs of equal CIDRs apart.
type Key struct {
	Attachment uint32
	Tuple
}
