package link

import (
	"fmt"
	"time"
)

// Shape is what a link does to the packets of each direction. The zero value is a link without limits.
type Shape struct {
	Delay time.Duration // of each packet, after its transmission: 0 to 10 s
	Loss  float64       // of packets, at random and independently: 0 to 1
	Rate  uint64        // bit/s of IP packets, without any header below them; at most 1 Tbit/s, and 0 is unlimited
}

// The largest values of a Shape.
const (
	maxDelay = 10 * time.Second
	maxRate  = 1e12
)

// check says what is wrong with a shape.
func (s Shape) check() error {
	switch {
	case s.Delay < 0 || s.Delay > maxDelay:
		return fmt.Errorf("delay %v: not between 0 and %v", s.Delay, maxDelay)
	case !(s.Loss >= 0 && s.Loss <= 1): // NaN is neither
		return fmt.Errorf("loss %v: not between 0 and 1", s.Loss)
	case s.Rate > maxRate:
		return fmt.Errorf("rate %d bit/s: above %d", s.Rate, uint64(maxRate))
	}
	return nil
}

// work is what there is to do for the transmission of a packet, in bit nanoseconds per second: a transmitter does Rate of it each
// nanosecond.
func work(length int) uint64 { return 8 * uint64(length) * uint64(time.Second) }

// airtime is how long a transmitter takes for some work, rounded up.
func (s Shape) airtime(work uint64) time.Duration {
	if s.Rate == 0 {
		return 0
	}
	return time.Duration((work + s.Rate - 1) / s.Rate)
}

// done is the work of a transmitter in a time, which is not longer than one packet takes.
func (s Shape) done(d time.Duration) uint64 { return uint64(d) * s.Rate }
