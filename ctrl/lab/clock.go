package lab

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Clock is a lab's time: real time since its start, times a rate, plus what was advanced.
type Clock struct {
	start time.Time
	rate  float64
	begun int64

	mu       sync.Mutex
	advanced time.Duration
}

// NewClock starts a clock at a time; the zero time means now. With rate 0 it moves only by Advance.
func NewClock(start time.Time, rate float64, monotonic int64) *Clock {
	if start.IsZero() {
		start = time.Now()
	}
	return &Clock{start: start, rate: rate, begun: monotonic}
}

// At is the lab time at a monotonic time.
func (c *Clock) At(monotonic int64) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.start.Add(time.Duration(float64(monotonic-c.begun)*c.rate) + c.advanced)
}

// Advance moves the clock forward.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advanced += d
}

// monotonic is the kernel's CLOCK_MONOTONIC in nanoseconds, the time that eBPF stamps counters with.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		// The clock exists on every Linux, and the pointer is ours.
		panic("clock_gettime(CLOCK_MONOTONIC): " + err.Error())
	}
	return ts.Nano()
}
