package labtest

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// Packet is an IP packet to be. Its methods return changed copies; Bytes is what goes on the wire.
type Packet struct {
	src, dst   netip.Addr
	protocol   uint8
	ttl        uint8
	id         uint16 // IPv4
	class      uint8  // type of service or traffic class
	options    []byte // IPv4
	extensions []byte // IPv6, with extension the protocol number of the first
	extension  uint8
	fragment   uint16 // IPv4: flags and offset
	upper      []byte // upper-layer header and payload, with the checksum to be filled in
	unsummed   bool
	edits      []func([]byte) []byte
}

// IPv4 flags and the unit of its fragment offset (RFC 791).
const (
	DontFragment  = 0x4000
	MoreFragments = 0x2000
)

// payload is what packets carry unless they are given a size.
const payload = "vpclab"

// Raw is a packet of any protocol whose upper layer is not looked at.
func Raw(protocol uint8, src, dst string) Packet {
	return Packet{src: netip.MustParseAddr(src), dst: netip.MustParseAddr(dst), protocol: protocol, ttl: 64, id: 0x1234, upper: []byte(payload)}
}

// TCP is a segment with the given flags.
func TCP(src string, srcPort uint16, dst string, dstPort uint16, flags uint8) Packet {
	p := Raw(flow.TCP, src, dst)
	header := make([]byte, 20)
	binary.BigEndian.PutUint16(header, srcPort)
	binary.BigEndian.PutUint16(header[2:], dstPort)
	binary.BigEndian.PutUint32(header[4:], 0x1000)
	header[12], header[13] = 5<<4, flags
	binary.BigEndian.PutUint16(header[14:], 1000)
	p.upper = append(header, payload...)
	return p
}

// MSS adds the option by which a SYN announces how large segments may be (RFC 9293, section 3.7.1).
func (p Packet) MSS(size uint16) Packet {
	const header = 20
	option := []byte{2, 4, byte(size >> 8), byte(size)}
	p.upper = slices.Concat(p.upper[:header], option, p.upper[header:])
	p.upper[12] = (header + byte(len(option))) / 4 << 4
	return p
}

// UDP is a datagram.
func UDP(src string, srcPort uint16, dst string, dstPort uint16) Packet {
	p := Raw(flow.UDP, src, dst)
	header := make([]byte, 8)
	binary.BigEndian.PutUint16(header, srcPort)
	binary.BigEndian.PutUint16(header[2:], dstPort)
	p.upper = append(header, payload...)
	return p
}

// ICMP is a message of either family's ICMP; id stands where echo messages have their identifier.
func ICMP(src, dst string, kind, code uint8, id uint16) Packet {
	p := Raw(flow.ICMP, src, dst)
	if p.src.Is6() {
		p.protocol = flow.ICMPv6
	}
	header := []byte{kind, code, 0, 0, byte(id >> 8), byte(id), 0, 1}
	p.upper = append(header, payload...)
	return p
}

// Unreachable is an ICMP port unreachable that quotes a packet whole.
func Unreachable(src, dst string, quoted Packet) Packet {
	kind, code := uint8(3), uint8(3)
	if netip.MustParseAddr(src).Is6() {
		kind, code = 1, 4
	}
	p := ICMP(src, dst, kind, code, 0)
	return p.Upper(append([]byte{kind, code, 0, 0, 0, 0, 0, 0}, quoted.Bytes()...))
}

// TooBig is what a router at src tells the sender of a packet that exceeds an MTU, in bytes: ICMP "fragmentation needed" (RFC 1191) or
// ICMPv6 "packet too big" (RFC 4443), with as much of the packet as fits in 576 and in 1280 bytes.
func TooBig(src, dst string, mtu uint16, quoted Packet) Packet {
	if netip.MustParseAddr(src).Is6() {
		return routerError(src, dst, []byte{2, 0, 0, 0, 0, 0, byte(mtu >> 8), byte(mtu)}, quoted)
	}
	return routerError(src, dst, []byte{3, 4, 0, 0, 0, 0, byte(mtu >> 8), byte(mtu)}, quoted)
}

// TimeExceeded is what a router at src tells the sender of an IPv4 packet whose TTL ended there (RFC 792).
func TimeExceeded(src, dst string, quoted Packet) Packet {
	return routerError(src, dst, []byte{11, 0, 0, 0, 0, 0, 0, 0}, quoted)
}

// routerError is of precedence 6 (RFC 1812, section 4.3.2.5) and in one piece.
func routerError(src, dst string, header []byte, quoted Packet) Packet {
	p := ICMP(src, dst, header[0], header[1], 0).ID(0).Fragment(DontFragment)
	p.class = 6 << 5
	most := 576 - 20 - 8
	if p.src.Is6() {
		most = 1280 - 40 - 8
	}
	b := quoted.Bytes()
	return p.Upper(append(header, b[:min(len(b), most)]...))
}

// Reset is a router's answer to a TCP packet with ACK, in place of whom that was for (RFC 9293, section 3.10.7.1).
func Reset(of Packet) Packet {
	p := of.ID(0).Fragment(DontFragment)
	p.src, p.dst, p.ttl = of.dst, of.src, 64
	header := make([]byte, 20)
	copy(header, of.upper[2:4])
	copy(header[2:], of.upper[:2])
	copy(header[4:], of.upper[8:12])
	header[12], header[13] = 5<<4, flow.RST
	return p.Upper(header)
}

// Upper replaces the upper layer, checksum field included.
func (p Packet) Upper(b []byte) Packet {
	p.upper = b
	return p
}

// TTL sets the TTL or hop limit.
func (p Packet) TTL(ttl uint8) Packet {
	p.ttl = ttl
	return p
}

// Options adds IPv4 options, in multiples of four bytes.
func (p Packet) Options(b ...byte) Packet {
	p.options = b
	return p
}

// Extensions puts IPv6 extension headers before the upper layer; first is the type of the first. The last must name the
// packet's protocol.
func (p Packet) Extensions(first uint8, b ...byte) Packet {
	p.extension, p.extensions = first, b
	return p
}

// Fragment sets IPv4's flags and its offset in units of eight bytes.
func (p Packet) Fragment(flagsAndOffset uint16) Packet {
	p.fragment = flagsAndOffset
	return p
}

// ID sets the identification: IPv4's, or that in an IPv6 packet's fragment header, its only extension. An IPv6 packet without one has none.
func (p Packet) ID(id uint16) Packet {
	p.id = id
	if p.extension == fragmentHeader && len(p.extensions) == 8 {
		p.extensions = binary.BigEndian.AppendUint16(slices.Clone(p.extensions[:6]), id)
	}
	return p
}

// fragmentHeader is the number of IPv6's fragment header.
const fragmentHeader = 44

// Piece is a fragment of an IPv4 packet without options: from some byte of its upper layer, a multiple of eight, up to another one, or
// to its end if that is 0.
func (p Packet) Piece(from, to int) Packet {
	return p.Edit(func(b []byte) []byte {
		const header = 20
		place := uint16(from / 8)
		end := len(b)
		if to != 0 {
			place |= MoreFragments
			end = header + to
		}
		piece := append(slices.Clone(b[:header]), b[header+from:end]...)
		binary.BigEndian.PutUint16(piece[2:], uint16(len(piece)))
		binary.BigEndian.PutUint16(piece[6:], place)
		piece[10], piece[11] = 0, 0
		binary.BigEndian.PutUint16(piece[10:], checksum(piece[:header]))
		return piece
	})
}

// Unsummed leaves the upper layer's checksum zero.
func (p Packet) Unsummed() Packet {
	p.unsummed = true
	return p
}

// Size fills the packet up to n bytes.
func (p Packet) Size(n int) Packet {
	p.upper = slices.Clone(p.upper)
	if have := len(p.Bytes()); have < n {
		p.upper = append(p.upper, bytes.Repeat([]byte{'v'}, n-have)...)
	}
	return p
}

// Edit changes the finished packet, checksums and lengths included.
func (p Packet) Edit(f func([]byte) []byte) Packet {
	p.edits = append(slices.Clone(p.edits), f)
	return p
}

// Set overwrites bytes of the finished packet.
func (p Packet) Set(at int, values ...byte) Packet {
	return p.Edit(func(b []byte) []byte {
		copy(b[at:], values)
		return b
	})
}

// Cut keeps the first n bytes of the finished packet, whatever its header says.
func (p Packet) Cut(n int) Packet {
	return p.Edit(func(b []byte) []byte { return b[:n] })
}

// Pad adds n bytes that no header knows of.
func (p Packet) Pad(n int) Packet {
	return p.Edit(func(b []byte) []byte { return append(b, make([]byte, n)...) })
}

// Bytes is the packet from its IP header on, with right lengths and checksums but for what was edited.
func (p Packet) Bytes() []byte {
	upper := slices.Clone(p.upper)
	if at := p.checksumAt(); at > 0 && len(upper) >= at+2 {
		if p.protocol == flow.UDP {
			binary.BigEndian.PutUint16(upper[4:], uint16(len(upper)))
		}
		if !p.unsummed {
			sum := checksum(p.pseudoHeader(len(upper)), upper)
			if sum == 0 && p.protocol == flow.UDP {
				sum = 0xffff // RFC 768
			}
			binary.BigEndian.PutUint16(upper[at:], sum)
		}
	}
	b := p.ipHeader(len(upper))
	b = append(append(b, p.extensions...), upper...)
	for _, edit := range p.edits {
		b = edit(b)
	}
	return b
}

func (p Packet) ipHeader(upper int) []byte {
	if p.src.Is6() {
		b := make([]byte, 40)
		b[0], b[1] = 6<<4|p.class>>4, p.class<<4
		binary.BigEndian.PutUint16(b[4:], uint16(len(p.extensions)+upper))
		b[6], b[7] = p.protocol, p.ttl
		if p.extensions != nil {
			b[6] = p.extension
		}
		copy(b[8:], p.src.AsSlice())
		copy(b[24:], p.dst.AsSlice())
		return b
	}
	b := append(make([]byte, 20), p.options...)
	b[0], b[1] = byte(4<<4|len(b)/4), p.class
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+upper))
	binary.BigEndian.PutUint16(b[4:], p.id)
	binary.BigEndian.PutUint16(b[6:], p.fragment)
	b[8], b[9] = p.ttl, p.protocol
	copy(b[12:], p.src.AsSlice())
	copy(b[16:], p.dst.AsSlice())
	binary.BigEndian.PutUint16(b[10:], checksum(b))
	return b
}

// checksumAt is where the upper layer has its checksum; 0 for one that is not looked at.
func (p Packet) checksumAt() int {
	switch {
	case p.protocol == flow.TCP:
		return 16
	case p.protocol == flow.UDP:
		return 6
	case p.protocol == flow.ICMP && p.src.Is4(), p.protocol == flow.ICMPv6 && p.src.Is6():
		return 2
	}
	return 0
}

func (p Packet) pseudoHeader(upper int) []byte {
	if p.protocol == flow.ICMP {
		return nil
	}
	b := append(p.src.AsSlice(), p.dst.AsSlice()...)
	b = binary.BigEndian.AppendUint32(b, uint32(upper))
	return append(b, 0, 0, 0, p.protocol)
}

// checksum is the Internet checksum (RFC 1071) of the parts, each of which but the last has an even length.
func checksum(parts ...[]byte) uint16 {
	var sum uint32
	for _, b := range parts {
		for i := 0; i+1 < len(b); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
		if len(b)%2 == 1 {
			sum += uint32(b[len(b)-1]) << 8
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
