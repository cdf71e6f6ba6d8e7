package link

import (
	"encoding/binary"
	"net/netip"

	"github.com/vpclab/vpclab/dataplane/netdev"
)

// Inside the encryption a packet travels behind an IPv6 header of the link's own (RFC 2473: generic packet tunneling), whose addresses say
// beside the packet what the other end needs to know:
//
//	source       prefix of the end where it went in  (64 bits), ID in the window (64)
//	destination  prefix of the end where it comes out (64 bits), zero (32), sender (32)
//
// Nobody but the two devices of a link sees these addresses, so all links use the same.
const (
	headerLen = 40
	hopLimit  = 64
)

// The next headers in use: IANA protocol numbers.
const (
	nextIPv4  = 4
	nextIPv6  = 41
	nextHello = 59 // "no next header": nothing follows
)

// A frame that comes out has this header's memory as its headroom.
var _ [headerLen - netdev.Headroom]struct{}

// prefixes of the ends: unique local addresses (RFC 4193).
var prefixes = [2]netip.Prefix{
	netip.MustParsePrefix("fd76:7063:6c61:0::/64"),
	netip.MustParsePrefix("fd76:7063:6c61:1::/64"),
}

// header is what travels beside a packet.
type header struct {
	next   uint8
	id     uint64
	sender uint32
}

// template is the header of packets that go in at an end, without what differs between them.
func template(end int) (h [headerLen]byte) {
	src, dst := prefixes[end].Addr().As16(), prefixes[1-end].Addr().As16()
	h[0] = 6 << 4
	h[7] = hopLimit
	copy(h[8:24], src[:])
	copy(h[24:40], dst[:])
	return h
}

// wrap writes a header and a packet into b, and returns their length.
func wrap(b []byte, template *[headerLen]byte, h header, packet []byte) int {
	_ = b[headerLen-1]
	copy(b, template[:])
	binary.BigEndian.PutUint16(b[4:], uint16(len(packet)))
	b[6] = h.next
	binary.BigEndian.PutUint64(b[16:], h.id)
	binary.BigEndian.PutUint32(b[36:], h.sender)
	return headerLen + copy(b[headerLen:], packet)
}

// unwrap reads the header of a packet that came out. Its bytes are authentic, so all that could be wrong is the link itself.
func unwrap(b []byte) (h header, ok bool) {
	if len(b) < headerLen {
		return header{}, false
	}
	h = header{next: b[6], id: binary.BigEndian.Uint64(b[16:]), sender: binary.BigEndian.Uint32(b[36:])}
	return h, int(binary.BigEndian.Uint16(b[4:])) == len(b)-headerLen
}

// nextOf is the next header that names a packet's version.
func nextOf(packet []byte) uint8 {
	if packet[0]>>4 == 6 {
		return nextIPv6
	}
	return nextIPv4
}
