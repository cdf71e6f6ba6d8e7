package link

import "time"

const (
	// windowSize is how many packets are inside the encryption at a time. WireGuard keeps whatever it is given (thousands of buffers of
	// 64 KiB), and under overload its sockets lose it silently.
	windowSize = 256

	// patience is how long a packet may be inside the encryption.
	patience = time.Second
)

// place is one packet inside the encryption.
type place struct {
	since      time.Duration
	id         uint64
	sender     uint32
	length     uint16
	next, prev uint16 // by time of entry, in a ring through windowSize
}

// window holds the packets that went into the encryption and have not come out. Each has a place, and an ID that is used once: what comes
// out after it was given up, or twice, is nobody's.
type window struct {
	places [windowSize + 1]place // the last begins and ends the ring of those that are taken
	free   [windowSize]uint8     // places, the next one to take at the end
	open   int                   // how many are free
	issued uint64
}

func newWindow() *window {
	w := &window{open: windowSize}
	for i := range w.free {
		w.free[i] = uint8(i)
	}
	ends := &w.places[windowSize]
	ends.next, ends.prev = windowSize, windowSize
	return w
}

// enter gives a packet a place, of which one must be free, and returns its ID, which is never zero.
func (w *window) enter(now time.Duration, sender uint32, length int) uint64 {
	w.open--
	at := uint16(w.free[w.open])
	w.issued++
	id := w.issued*windowSize + uint64(at)

	ends := &w.places[windowSize]
	w.places[at] = place{since: now, id: id, sender: sender, length: uint16(length), next: windowSize, prev: ends.prev}
	w.places[ends.prev].next = at
	ends.prev = at
	return id
}

// leave frees the place of the packet with this ID, and says whether it had one.
func (w *window) leave(id uint64) bool {
	at := id % windowSize
	p := w.places[at]
	if p.id != id || id == 0 {
		return false
	}
	w.places[p.prev].next = p.next
	w.places[p.next].prev = p.prev
	w.places[at].id = 0
	w.free[w.open] = uint8(at)
	w.open++
	return true
}

// next is when the oldest packet is given up.
func (w *window) next() time.Duration {
	if w.open == windowSize {
		return never
	}
	return w.places[w.places[windowSize].next].since + patience
}

// giveUp frees the place of the oldest packet if it is too old, and returns what it was.
func (w *window) giveUp(now time.Duration) (place, bool) {
	if w.next() > now {
		return place{}, false
	}
	p := w.places[w.places[windowSize].next]
	w.leave(p.id)
	return p, true
}
