package packet

import "encoding/binary"

// defaultTTL is the TTL or hop limit of packets that a router sends itself (IANA, IP time to live parameter: 64).
const defaultTTL = 64

// ipv4 is what putIPv4 writes beside lengths and checksum. Addresses are in their mapped form.
type ipv4 struct {
	tos, ttl, proto uint8
	id, frag        uint16 // frag is the word of flags and offset
	src, dst        [16]byte
}

// Bits of the IPv4 word of flags and offset (RFC 791).
const (
	flagDF     = 0x4000
	flagMF     = 0x2000
	offsetMask = 0x1fff
)

// putIPv4 writes a header without options over the first 20 bytes of b, which is the whole packet.
func putIPv4(b []byte, f ipv4) {
	h := b[:ipv4Header]
	h[0], h[1] = 0x45, f.tos
	binary.BigEndian.PutUint16(h[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(h[4:], f.id)
	binary.BigEndian.PutUint16(h[6:], f.frag)
	h[8], h[9] = f.ttl, f.proto
	h[10], h[11] = 0, 0
	copy(h[12:], f.src[12:])
	copy(h[16:], f.dst[12:])
	binary.BigEndian.PutUint16(h[10:], ^fold(sum(h)))
}

// ipv6 is what putIPv6 writes beside the length. The flow label is zero, which says that there is none (RFC 6437).
type ipv6 struct {
	class, next, hops uint8
	src, dst          [16]byte
}

// putIPv6 writes a header over the first 40 bytes of b; the packet is length bytes long, of which b may hold the beginning.
func putIPv6(b []byte, length int, f ipv6) {
	h := b[:ipv6Header]
	binary.BigEndian.PutUint32(h, 6<<28|uint32(f.class)<<20)
	binary.BigEndian.PutUint16(h[4:], uint16(length-ipv6Header))
	h[6], h[7] = f.next, f.hops
	copy(h[8:], f.src[:])
	copy(h[24:], f.dst[:])
}

// room appends n bytes of any content to b.
func room(b []byte, n int) []byte {
	return append(b, make([]byte, n)...)
}

// sum adds up the 16-bit words of b, an odd last byte with a zero behind it (RFC 1071). A packet has too few words to overflow it.
func sum(b []byte) uint64 {
	var s uint64
	for ; len(b) >= 2; b = b[2:] {
		s += uint64(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		s += uint64(b[0]) << 8
	}
	return s
}

// fold makes a one's-complement sum of 16 bits of s.
func fold(s uint64) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// pseudo is the sum of the pseudo header of an upper layer of length bytes (RFC 9293, RFC 768, RFC 8200): the same words, whichever the
// family, but for the size of the addresses. Addresses in their mapped form count as what they map.
func pseudo(family, proto uint8, src, dst *[16]byte, length int) uint64 {
	return addresses(family, src, dst) + uint64(proto) + uint64(length)>>16 + uint64(length)&0xffff
}

func addresses(family uint8, src, dst *[16]byte) uint64 {
	from := 0
	if family == 4 {
		from = 12
	}
	return sum(src[from:]) + sum(dst[from:])
}

// replaced is the change of a sum from one to another.
func replaced(from, to uint64) change {
	return change(^fold(from)) + change(to)
}
