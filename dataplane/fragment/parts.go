package fragment

import (
	"cmp"
	"slices"

	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/packet"
)

// part is the place of one fragment's data in its datagram: bytes from start up to end, from 0 to 65535.
type part struct {
	start, end uint16
	last       bool // no more fragments
}

// largest is the size of the largest datagram in bytes: IPv4 counts the header in its 65535, IPv6 does not.
const largest = 0xffff

// partOf is the part that a fragment has, or the reason why it can have none.
func partOf(p *packet.Info) (part, flow.Reason) {
	begin := p.FragmentData
	size := p.Length - begin
	end := p.FragmentOffset + size
	beyond := end > largest
	if p.Tuple.Family == 4 {
		beyond = begin+end > largest
	}
	switch {
	case beyond:
		return part{}, flow.FragmentOverlap
	case size <= 0, p.MoreFragments && size%8 != 0:
		return part{}, flow.MalformedPacket
	}
	return part{start: uint16(p.FragmentOffset), end: uint16(end), last: !p.MoreFragments}, flow.None
}

// parts are the places of a datagram that have come, in their order and without an overlap.
type parts struct {
	all  []part
	size int // bytes of all
}

// fit is how a part goes with those that came before.
type fit uint8

const (
	fits     fit = iota
	again        // it has come before
	overlaps     // it overlaps another, or contradicts where the datagram ends
	tooMany
)

// add adds a part if it fits.
func (s *parts) add(p part, limit int) fit {
	at, _ := slices.BinarySearchFunc(s.all, p, func(a, b part) int { return cmp.Compare(a.start, b.start) })
	n := len(s.all)
	switch {
	case at < n && s.all[at] == p:
		return again
	case at > 0 && (s.all[at-1].end > p.start || s.all[at-1].last):
		return overlaps
	case at < n && (s.all[at].start < p.end || p.last):
		return overlaps
	case n >= limit:
		return tooMany
	}
	s.all = slices.Insert(s.all, at, p)
	s.size += int(p.end - p.start)
	return fits
}

// complete reports whether nothing is missing.
func (s *parts) complete() bool {
	last := s.all[len(s.all)-1]
	return last.last && s.size == int(last.end)
}

// reset forgets all parts and keeps their memory.
func (s *parts) reset() { s.all, s.size = s.all[:0], 0 }
