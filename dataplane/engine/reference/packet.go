package reference

import (
	"fmt"
	"net/netip"
)

// Protocol numbers and TCP flags, as the headers have them.
const (
	icmp   = 1
	tcp    = 6
	udp    = 17
	icmpv6 = 58

	fin = 0x01
	syn = 0x02
	rst = 0x04
	ack = 0x10
)

// Packet is an IP packet.
type Packet struct {
	Protocol         uint8
	Src, Dst         netip.Addr
	SrcPort, DstPort int   // of TCP and UDP; beyond 65535 a NAT gateway's choice that nobody has seen
	Flags            uint8 // of TCP
	Type, Code       uint8 // of ICMP and ICMPv6
	ID               int   // of an echo; beyond 65535 as with ports
	Size             int   // of the IP packet, in bytes
	TTL              uint8
	MayFragment      bool
	Quote            *Packet // by an ICMP error
}

func (p *Packet) icmp() bool  { return p.Protocol == icmp || p.Protocol == icmpv6 }
func (p *Packet) ports() bool { return p.Protocol == tcp || p.Protocol == udp }

// Echo reports whether the packet is an echo request or reply.
func (p *Packet) Echo() bool {
	return p.Protocol == icmp && (p.Type == 8 || p.Type == 0) || p.Protocol == icmpv6 && (p.Type == 128 || p.Type == 129)
}

// opens reports whether the packet asks for a new TCP connection.
func (p *Packet) opens() bool { return p.Protocol == tcp && p.Flags&(syn|ack) == syn }

// answers are the ICMP messages that answer another one, with the type of that (RFC 792, RFC 4443).
var answers = map[uint8]map[uint8]uint8{icmp: {0: 8, 14: 13, 18: 17}, icmpv6: {129: 128}}

// asked is the type of the ICMP query that the packet belongs to, and whether it is its answer.
func (p *Packet) asked() (query uint8, answer bool) {
	if q, ok := answers[p.Protocol][p.Type]; ok {
		return q, true
	}
	return p.Type, false
}

// Answer is what the receiver sends back, without TCP flags.
func (p *Packet) Answer() Packet {
	a := Packet{Protocol: p.Protocol, Src: p.Dst, Dst: p.Src, SrcPort: p.DstPort, DstPort: p.SrcPort, Type: p.Type, ID: p.ID, Size: p.Size, TTL: 64}
	for answer, query := range answers[p.Protocol] {
		if p.Type == query {
			a.Type = answer
		} else if p.Type == answer {
			a.Type = query
		}
	}
	return a
}

// String reads "tcp SA 10.0.0.5:999 > 10.0.1.9:443".
func (p *Packet) String() string {
	extra := ""
	if p.TTL != 64 {
		extra += fmt.Sprintf(" ttl %d", p.TTL)
	}
	if p.Size > 200 {
		extra += fmt.Sprintf(" size %d", p.Size)
		if p.MayFragment {
			extra += " may be cut"
		}
	}
	if p.Quote != nil {
		extra += fmt.Sprintf(" about (%v)", p.Quote)
	}
	switch {
	case p.Protocol == tcp:
		flags := ""
		for i, f := range "FSRPA" {
			if p.Flags&(1<<i) != 0 {
				flags += string(f)
			}
		}
		return fmt.Sprintf("tcp %s %v:%d > %v:%d%s", flags, p.Src, p.SrcPort, p.Dst, p.DstPort, extra)
	case p.Protocol == udp:
		return fmt.Sprintf("udp %v:%d > %v:%d%s", p.Src, p.SrcPort, p.Dst, p.DstPort, extra)
	case p.icmp():
		return fmt.Sprintf("icmp(%d) type %d code %d id %d %v > %v%s", p.Protocol, p.Type, p.Code, p.ID, p.Src, p.Dst, extra)
	}
	return fmt.Sprintf("protocol %d %v > %v%s", p.Protocol, p.Src, p.Dst, extra)
}
