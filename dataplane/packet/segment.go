package packet

import (
	"encoding/binary"
	"iter"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// ClampMSS lowers the maximum segment size that a SYN announces to mss bytes, if it announces more, keeps the checksum right, and
// reports whether it did. p is b's Info. Options behind a malformed one, which a host does not read either, are left alone, and a SYN
// without the option stays without.
func ClampMSS(b []byte, p *Info, mss uint16) bool {
	if p.upper() != flow.TCP || p.TCPFlags&flow.SYN == 0 {
		return false
	}
	h := b[p.L4:p.Length]
	size := min(int(h[12]>>4)*4, len(h)) // a first fragment may end among its options
	const maxSegmentSize = 2
	clamped := false
	for at, option := range options(h[:size], tcpHeader) {
		if option[0] != maxSegmentSize || len(option) != 4 || binary.BigEndian.Uint16(option[2:]) <= mss {
			continue
		}
		c := setWord(option[2:], mss)
		if at%2 != 0 {
			c = c.swapped()
		}
		c.apply(h[16:])
		clamped = true
	}
	return clamped
}

// options goes over the options of a TCP or IPv4 header from byte at on, each with its place in the header, its type and its length;
// it leaves out no-operations and ends at the end of the list or at a malformed option (RFC 9293, RFC 791: both have the same form).
func options(header []byte, at int) iter.Seq2[int, []byte] {
	const endOfList, noOperation = 0, 1
	return func(yield func(int, []byte) bool) {
		for at < len(header) && header[at] != endOfList {
			if header[at] == noOperation {
				at++
				continue
			}
			if at+2 > len(header) {
				return
			}
			size := int(header[at+1])
			if size < 2 || at+size > len(header) || !yield(at, header[at:at+size]) {
				return
			}
			at += size
		}
	}
}

// Fragment cuts an IPv4 packet that may be fragmented into fragments of at most mtu bytes, in new memory and in the packet's order (RFC
// 791): identification and flags stay, offsets count on from the packet's own, which may be a fragment itself, and options that are
// not to be copied stay in the first. A wrong header checksum stays as wrong as it was. p is b's Info.
//
// A packet that fits is returned as it is. The result is nil if the packet may not be fragmented (IPv4's DF, IPv6), if mtu leaves no
// room for 8 bytes of data, and for a fragment that reaches beyond the largest packet.
func Fragment(b []byte, p *Info, mtu int) [][]byte {
	if p.Length <= mtu {
		return [][]byte{b[:p.Length]}
	}
	if p.DontFragment {
		return nil
	}
	header, data := b[:p.L4], b[p.L4:p.Length]
	var space [maxIPv4Header]byte
	later := laterHeader(space[:0], header)
	firstRoom, laterRoom := (mtu-len(header))&^7, (mtu-len(later))&^7
	if firstRoom < 8 || p.FragmentOffset+len(data) > 0xffff {
		return nil
	}

	n := 2 + (len(data)-firstRoom)/laterRoom // at most one too many
	fragments := make([][]byte, 0, n)
	memory := make([]byte, 0, len(data)+len(header)+n*len(later))
	offset := p.FragmentOffset
	for len(data) > 0 {
		size := len(data)
		if len(header)+size > mtu {
			size = firstRoom
		}
		start := len(memory)
		memory = append(append(memory, header...), data[:size]...)
		f := memory[start:len(memory):len(memory)]
		renumber(f, len(header), offset, size < len(data) || p.MoreFragments)
		fragments = append(fragments, f)
		data, offset = data[size:], offset+size
		header, firstRoom = later, laterRoom
	}
	return fragments
}

// maxIPv4Header is the largest IPv4 header in bytes.
const maxIPv4Header = 60

// laterHeader appends the header that later fragments have: of the options only those with the copied flag, filled up to whole words.
// The checksum is that of header until renumber corrects it, so it is as wrong as header's.
func laterHeader(to, header []byte) []byte {
	const copied = 0x80
	h := append(to, header[:ipv4Header]...)
	for _, option := range options(header, ipv4Header) {
		if option[0]&copied != 0 {
			h = append(h, option...)
		}
	}
	for len(h)%4 != 0 {
		h = append(h, 0)
	}
	h[0] = 4<<4 | byte(len(h)/4)
	replaced(sum(header), sum(h)).apply(h[10:])
	return h
}

// renumber writes a fragment's length, offset and flag into its header.
func renumber(f []byte, header, offset int, more bool) {
	word := binary.BigEndian.Uint16(f[6:])&^(flagMF|offsetMask) | uint16(offset/8)
	if more {
		word |= flagMF
	}
	c := setWord(f[2:], uint16(len(f))) + setWord(f[6:], word)
	c.apply(f[10:header])
}
