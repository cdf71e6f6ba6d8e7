package suite

import (
	"net/http"
	"net/netip"
	"sync"
)

// memory is how many bytes the bodies of one caller's requests may take at once. Further requests wait for their turn, and nobody else
// does: an instance that sends a thousand large ones together would have the memory of all otherwise.
const memory = 64 << 20

// What bodies take at most, in bytes.
const (
	wholeBody  = 16 << 20  // of a service that reads all of it before it does anything (DynamoDB's limit)
	objectBody = 256 << 10 // of an object, which goes to a file by a buffer
)

// memoryOf is how much the body of a request to a service takes.
func memoryOf(service string, r *http.Request) int64 {
	most := int64(wholeBody)
	if service == "s3" && r.Method == http.MethodPut {
		most = objectBody
	}
	if r.ContentLength < 0 {
		return most
	}
	return min(r.ContentLength, most)
}

// budget gives each caller its memory.
type budget struct {
	mu      sync.Mutex
	callers map[netip.Addr]*share
}

// share is what one caller has, and who waits for more of it.
type share struct {
	taken   int64
	waiting []waiter // whose turn is next, first
}

type waiter struct {
	size int64
	turn chan struct{}
}

// fits says whether there is room. Whatever its size, a request fits where there is no other.
func (s *share) fits(size int64) bool { return s.taken == 0 || s.taken+size <= memory }

// take waits until a caller may have so much more. What is taken is given back.
func (b *budget) take(caller netip.Addr, size int64) {
	if turn := b.ask(caller, size); turn != nil {
		<-turn
	}
}

// ask is when the caller may: nil is now.
func (b *budget) ask(caller netip.Addr, size int64) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.callers[caller]
	if s == nil {
		s = &share{}
		b.callers[caller] = s
	}
	if len(s.waiting) == 0 && s.fits(size) {
		s.taken += size
		return nil
	}
	w := waiter{size, make(chan struct{})}
	s.waiting = append(s.waiting, w)
	return w.turn
}

func (b *budget) give(caller netip.Addr, size int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.callers[caller]
	s.taken -= size
	for len(s.waiting) > 0 && s.fits(s.waiting[0].size) {
		s.taken += s.waiting[0].size
		close(s.waiting[0].turn)
		s.waiting = s.waiting[1:]
	}
	if s.taken == 0 {
		delete(b.callers, caller)
	}
}
