package check

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// Fragments: the protocol number of IPv6's fragment header (RFC 8200), and the unit in bytes of which every offset is a multiple, and the
// length of every fragment but the last (RFC 791).
const (
	ipv6Fragment  = 44
	fragmentUnit  = 8
	moreFragments = 1 // in IPv6's fragment header, beside the offset in bytes
)

// maxPayload leaves room for every header before it in a packet of 65535 bytes.
const maxPayload = 65535 - 60 - 20

// whole asks gopacket for right lengths and checksums.
var whole = gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}

// craft builds what a `send` puts on the wire, from the IP header on, with right checksums: the packet, or its fragments in the order
// in which they are sent. id is the identifier of an ICMP echo and of fragments, and the initial sequence number of TCP.
func craft(p scenario.Packet, id uint16) (crafted, error) {
	body, err := craftBody(p, id)
	if err != nil {
		return crafted{}, fmt.Errorf("craft packet: %w", err)
	}
	pieces := p.Cut(len(body))
	switch {
	case p.Fragment:
		b, err := addIP(p, id, body, &fragmentHeader{more: true})
		return crafted{packets: [][]byte{b}}, err
	case pieces == nil:
		b, err := addIP(p, id, body, nil)
		return crafted{packets: [][]byte{b}}, err
	}
	out := crafted{incomplete: incomplete(pieces, len(body))}
	for _, piece := range pieces {
		if piece.From < 0 || piece.From%fragmentUnit != 0 || piece.From >= piece.To || piece.To > len(body) {
			return crafted{}, fmt.Errorf("craft packet: bytes %d to %d are no fragment of %d bytes", piece.From, piece.To, len(body))
		}
		at := &fragmentHeader{offset: piece.From, more: piece.To < len(body)}
		b, err := addIP(p, id, body[piece.From:piece.To], at)
		if err != nil {
			return crafted{}, err
		}
		out.packets = append(out.packets, b)
	}
	return out, nil
}

// crafted is what a `send` puts on the wire.
type crafted struct {
	packets    [][]byte
	incomplete bool // they are fragments that leave out a part of their packet
}

// repetitions counts the packets that are sent a second time.
func (c crafted) repetitions() int {
	sent := map[string]bool{}
	for _, b := range c.packets {
		sent[string(b)] = true
	}
	return len(c.packets) - len(sent)
}

// incomplete reports whether the pieces leave out a part of length bytes.
func incomplete(pieces []scenario.Piece, length int) bool {
	pieces = slices.Clone(pieces)
	slices.SortFunc(pieces, func(a, b scenario.Piece) int { return a.From - b.From })
	end := 0
	for _, piece := range pieces {
		if piece.From > end {
			return true
		}
		end = max(end, piece.To)
	}
	return end < length
}

// craftBody is the packet's IP payload. One that is to be a first fragment is filled up to where the next fragment can begin.
func craftBody(p scenario.Packet, id uint16) ([]byte, error) {
	if p.Src.Is4() != p.Dst.Is4() {
		return nil, fmt.Errorf("%s and %s are of different families", p.Src, p.Dst)
	}
	if p.Size < 0 || p.Size > maxPayload {
		return nil, fmt.Errorf("%d bytes of payload do not fit into an IP packet; use 0 to %d", p.Size, maxPayload)
	}
	upper, err := upperLayers(p, id)
	if err != nil {
		return nil, err
	}
	buf := gopacket.NewSerializeBuffer()
	payload := bytes.Repeat([]byte{'v'}, p.Size)
	if err := gopacket.SerializeLayers(buf, whole, append(upper, gopacket.Payload(payload))...); err != nil {
		return nil, err
	}
	body := buf.Bytes()
	if p.Fragment {
		body = append(body, make([]byte, -len(body)&(fragmentUnit-1))...)
	}
	return body, nil
}

// upperLayers are the layers above IP; none for a protocol that has no header of its own here.
func upperLayers(p scenario.Packet, id uint16) ([]gopacket.SerializableLayer, error) {
	ip := pseudoHeader(p)
	switch p.Protocol {
	case flow.TCP:
		f := p.TCPFlags
		tcp := &layers.TCP{
			SrcPort: layers.TCPPort(p.SrcPort), DstPort: layers.TCPPort(p.DstPort), Seq: uint32(id), Window: 64240,
			FIN: f&0x01 != 0, SYN: f&0x02 != 0, RST: f&0x04 != 0, PSH: f&0x08 != 0,
			ACK: f&0x10 != 0, URG: f&0x20 != 0, ECE: f&0x40 != 0, CWR: f&0x80 != 0,
		}
		return []gopacket.SerializableLayer{tcp}, tcp.SetNetworkLayerForChecksum(ip)
	case flow.UDP:
		udp := &layers.UDP{SrcPort: layers.UDPPort(p.SrcPort), DstPort: layers.UDPPort(p.DstPort)}
		return []gopacket.SerializableLayer{udp}, udp.SetNetworkLayerForChecksum(ip)
	case flow.ICMP:
		icmp := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(p.ICMPType, p.ICMPCode)}
		if isEcho(p) {
			icmp.Id = id
		}
		return []gopacket.SerializableLayer{icmp}, nil
	case flow.ICMPv6:
		icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(p.ICMPType, p.ICMPCode)}
		rest := make(gopacket.Payload, 4) // the identifier and sequence number of an echo
		if isEcho(p) {
			binary.BigEndian.PutUint16(rest, id)
		}
		return []gopacket.SerializableLayer{icmp, rest}, icmp.SetNetworkLayerForChecksum(ip)
	}
	return nil, nil
}

func pseudoHeader(p scenario.Packet) gopacket.NetworkLayer {
	if p.Src.Is4() {
		return &layers.IPv4{SrcIP: p.Src.AsSlice(), DstIP: p.Dst.AsSlice(), Protocol: layers.IPProtocol(p.Protocol)}
	}
	return &layers.IPv6{SrcIP: p.Src.AsSlice(), DstIP: p.Dst.AsSlice(), NextHeader: layers.IPProtocol(p.Protocol)}
}

// fragmentHeader says where a fragment belongs: its offset in bytes, a multiple of 8, and whether more follow it.
type fragmentHeader struct {
	offset int
	more   bool
}

// addIP puts the IP header before body, and for IPv6 the fragment header. at is nil for a packet that is no fragment.
func addIP(p scenario.Packet, id uint16, body []byte, at *fragmentHeader) ([]byte, error) {
	var header []gopacket.SerializableLayer
	if p.Src.Is4() {
		ip := &layers.IPv4{
			Version: 4, IHL: 5, Id: id, TTL: p.TTL, Protocol: layers.IPProtocol(p.Protocol),
			SrcIP: p.Src.AsSlice(), DstIP: p.Dst.AsSlice(),
		}
		if at != nil {
			ip.FragOffset = uint16(at.offset / fragmentUnit)
			if at.more {
				ip.Flags |= layers.IPv4MoreFragments
			}
		}
		if p.DontFragment {
			ip.Flags |= layers.IPv4DontFragment
		}
		header = append(header, ip)
	} else {
		ip := &layers.IPv6{
			Version: 6, HopLimit: p.TTL, NextHeader: layers.IPProtocol(p.Protocol), SrcIP: p.Src.AsSlice(), DstIP: p.Dst.AsSlice(),
		}
		header = append(header, ip)
		if at != nil {
			ip.NextHeader = ipv6Fragment
			place := uint16(at.offset) // its last three bits are flags
			if at.more {
				place |= moreFragments
			}
			fragment := []byte{p.Protocol, 0, byte(place >> 8), byte(place), 0, 0, byte(id >> 8), byte(id)}
			header = append(header, gopacket.Payload(fragment))
		}
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, whole, append(header, gopacket.Payload(body))...); err != nil {
		return nil, fmt.Errorf("craft packet: %w", err)
	}
	return buf.Bytes(), nil
}

func isEcho(p scenario.Packet) bool { return tupleOf(p, 0).ICMPEcho() }

// tupleOf is the crafted packet's tuple.
func tupleOf(p scenario.Packet, id uint16) flow.Tuple {
	switch p.Protocol {
	case flow.TCP, flow.UDP:
		return flow.MakeTuple(p.Protocol, p.Src, p.SrcPort, p.Dst, p.DstPort)
	case flow.ICMP, flow.ICMPv6:
		t := flow.MakeTuple(p.Protocol, p.Src, 0, p.Dst, uint16(p.ICMPType))
		if t.ICMPEcho() {
			t.SrcPort = id
		}
		return t
	}
	return flow.MakeTuple(p.Protocol, p.Src, 0, p.Dst, 0)
}

// captured is an IP packet taken apart just far enough to recognise it.
type captured struct {
	tuple flow.Tuple
	upper []byte // from the header after IP on
}

// dissect takes an IP packet apart, or as much of one as an ICMP error quotes: the IP header and 8 bytes (RFC 792).
func dissect(b []byte) (captured, bool) {
	if len(b) == 0 {
		return captured{}, false
	}
	var (
		proto    uint8
		src, dst netip.Addr
		upper    []byte
	)
	switch b[0] >> 4 {
	case 4:
		var ip layers.IPv4
		if ip.DecodeFromBytes(b, gopacket.NilDecodeFeedback) != nil {
			return captured{}, false
		}
		if ip.FragOffset != 0 {
			return captured{}, false // the ports are in the first fragment
		}
		src, _ = netip.AddrFromSlice(ip.SrcIP)
		dst, _ = netip.AddrFromSlice(ip.DstIP)
		proto, upper = uint8(ip.Protocol), ip.Payload
	case 6:
		const header = 40 // RFC 8200; gopacket's decoder wants the whole payload, which a quotation lacks
		if len(b) < header {
			return captured{}, false
		}
		src, dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		proto, upper = b[6], b[header:]
		if proto == ipv6Fragment && len(upper) >= fragmentUnit {
			if binary.BigEndian.Uint16(upper[2:])&^(fragmentUnit-1) != 0 {
				return captured{}, false
			}
			proto, upper = upper[0], upper[fragmentUnit:]
		}
	default:
		return captured{}, false
	}
	t, ok := tupleAbove(proto, src, dst, upper)
	return captured{tuple: t, upper: upper}, ok
}

func tupleAbove(proto uint8, src, dst netip.Addr, upper []byte) (flow.Tuple, bool) {
	const quoted = 8
	switch proto {
	case flow.TCP, flow.UDP, flow.ICMP, flow.ICMPv6:
		if len(upper) < quoted {
			return flow.Tuple{}, false
		}
	}
	switch proto {
	case flow.TCP, flow.UDP:
		return flow.MakeTuple(proto, src, binary.BigEndian.Uint16(upper), dst, binary.BigEndian.Uint16(upper[2:])), true
	case flow.ICMP, flow.ICMPv6:
		t := flow.MakeTuple(proto, src, 0, dst, uint16(upper[0]))
		if t.ICMPEcho() {
			t.SrcPort = binary.BigEndian.Uint16(upper[4:])
		}
		return t, true
	}
	return flow.MakeTuple(proto, src, 0, dst, 0), true
}

// icmpErrorAbout reads the packet as an ICMP error that quotes a packet of tuple t.
func (c captured) icmpErrorAbout(t flow.Tuple) (icmpError, bool) {
	const header = 8
	if c.tuple.Protocol != flow.ICMP && c.tuple.Protocol != flow.ICMPv6 || len(c.upper) < header {
		return icmpError{}, false
	}
	e := icmpError{proto: c.tuple.Protocol, kind: c.upper[0], code: c.upper[1], from: c.tuple.SrcAddr()}
	if !e.isError() {
		return icmpError{}, false
	}
	switch {
	case e.proto == flow.ICMP && e.kind == icmpUnreachable && e.code == icmpFragNeeded: // RFC 1191
		e.mtu = int(binary.BigEndian.Uint16(c.upper[6:]))
	case e.proto == flow.ICMPv6 && e.kind == icmp6TooBig: // RFC 4443 section 3.2
		e.mtu = int(binary.BigEndian.Uint32(c.upper[4:]))
	}
	quoted, ok := dissect(c.upper[header:])
	return e, ok && quoted.tuple == t
}
