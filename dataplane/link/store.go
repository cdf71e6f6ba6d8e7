package link

import (
	"time"

	"github.com/vpclab/vpclab/dataplane/netdev"
)

// parcel is a packet that waits.
type parcel struct {
	frame  []byte // netdev.Headroom bytes, then the packet
	at     time.Duration
	sender uint32
	opens  bool // it is the first in its chunk
}

func (p *parcel) length() int { return len(p.frame) - netdev.Headroom }

const (
	chunkSize    = 256 << 10 // bytes; 29 of the largest packets
	spareChunks  = 4
	smallestRing = 512 // parcels: a backlog and a batch, and some
	largestIdle  = 8192

	// parcelCost is the memory, in bytes, that a parcel takes beside its packet: its place in the ring, which may be half empty.
	parcelCost = 2*40 + netdev.Headroom
)

// store is a queue of packets. They lie one behind the other in chunks of memory, so that a small packet takes no more than it needs, and
// as they leave in the order in which they came, a chunk is free when its last packet has left. In steady state it allocates nothing.
type store struct {
	ring   []parcel // a power of two of them
	head   int
	n      int
	bytes  int // of the packets and their parcels
	chunks [][]byte
	used   int // of the last chunk
	spare  [][]byte
}

// at is the i-th parcel from the front.
func (s *store) at(i int) *parcel { return &s.ring[(s.head+i)&(len(s.ring)-1)] }

// push copies a packet to the end of the queue.
func (s *store) push(sender uint32, packet []byte) {
	if s.n == len(s.ring) {
		s.grow()
	}
	size := netdev.Headroom + len(packet)
	opens := s.room(size)
	chunk := s.chunks[len(s.chunks)-1]
	frame := chunk[s.used : s.used+size : s.used+size]
	s.used += size
	copy(frame[netdev.Headroom:], packet)
	s.n++
	*s.at(s.n - 1) = parcel{frame: frame, sender: sender, opens: opens}
	s.bytes += len(packet) + parcelCost
}

// pop forgets the first parcel, and its memory may be used again.
func (s *store) pop() {
	p := s.at(0)
	s.bytes -= p.length() + parcelCost
	*p = parcel{}
	s.head++
	s.n--
	switch {
	case s.n == 0:
		s.rewind()
	case s.at(0).opens:
		s.recycle(s.chunks[0])
		s.chunks = s.chunks[:copy(s.chunks, s.chunks[1:])]
	}
}

// room makes sure that a frame fits into the last chunk, and says whether it is the first there.
func (s *store) room(size int) (opens bool) {
	if len(s.chunks) > 0 && s.used+size <= chunkSize {
		return s.n == 0
	}
	var chunk []byte
	if last := len(s.spare) - 1; last >= 0 {
		chunk, s.spare = s.spare[last], s.spare[:last]
	} else {
		chunk = make([]byte, chunkSize)
	}
	s.chunks = append(s.chunks, chunk)
	s.used = 0
	return true
}

// rewind makes an empty queue begin where it began last time: that memory is in the processor's cache.
func (s *store) rewind() {
	for _, chunk := range s.chunks[1:] {
		s.recycle(chunk)
	}
	s.chunks = s.chunks[:1]
	s.used = 0
	if len(s.ring) > largestIdle {
		s.ring = nil
	}
}

func (s *store) recycle(chunk []byte) {
	if len(s.spare) < spareChunks {
		s.spare = append(s.spare, chunk)
	}
}

func (s *store) grow() {
	ring := make([]parcel, max(smallestRing, 2*len(s.ring)))
	for i := range s.n {
		ring[i] = *s.at(i)
	}
	s.ring, s.head = ring, 0
}
