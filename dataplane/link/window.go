package link

import "time"

const (
	// windowSize is how many packets are inside the encryption at a time. WireGuard keeps whatever it is given (thousands of buffers of
	// 64 KiB), and under overload its sockets lose it silently.
	windowSize = 256

	// A packet that has been inside the encryption for more than patience beats, which is 1 to 1.25 s, is given up.
	beat     = 250 * time.Millisecond
	patience = 4
)

// place is one packet inside the encryption.
type place struct {
	id         uint64
	since      uint64 // in beats
	sender     uint32
	length     uint16
	next, prev uint16 // by time of entry, in a ring through windowSize
}

// window holds the packets that went into the encryption and have not come out. Each has a place, and an ID that is used once: what comes
// out after it was given up, or twice, is nobody's.
//
// Its time is counted in beats by whoever takes packets, and stands still while the other end is busy with what came out. A process
// that gets no processor for seconds has therefore not lost what it had no time to look at.
type window struct {
	places [windowSize + 1]place // the last begins and ends the ring of those that are taken
	free   [windowSize]uint8     // places, the next one to take at the end
	open   int                   // how many are free
	issued uint64

	beats uint64
	last  time.Duration // when the last beat was, or the first packet went in
	busy  bool          // the other end is
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
	if w.open == windowSize {
		w.last = now
	}
	w.open--
	at := uint16(w.free[w.open])
	w.issued++
	id := w.issued*windowSize + uint64(at)

	ends := &w.places[windowSize]
	w.places[at] = place{id: id, since: w.beats, sender: sender, length: uint16(length), next: windowSize, prev: ends.prev}
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

// next is when the next beat is due: there is none without packets.
func (w *window) next() time.Duration {
	if w.open == windowSize {
		return never
	}
	return w.last + beat
}

// tick makes the beat that is due.
func (w *window) tick(now time.Duration) {
	w.last = now
	if !w.busy {
		w.beats++
	}
}

// giveUp frees the place of the oldest packet if that is too old, and returns what it was.
func (w *window) giveUp() (place, bool) {
	p := w.places[w.places[windowSize].next]
	if w.open == windowSize || w.beats-p.since <= patience {
		return place{}, false
	}
	w.leave(p.id)
	return p, true
}
