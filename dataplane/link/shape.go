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

// The largest values of a Shape. Products of a packet's bits and nanoseconds stay within 64 bits.
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

// airtime is how long the transmission of some bits takes, rounded up.
func (s Shape) airtime(bits uint64) time.Duration {
	if s.Rate == 0 {
		return 0
	}
	return time.Duration((bits*uint64(time.Second) + s.Rate - 1) / s.Rate)
}

// sent is how many bits are transmitted in a time that is at most that of one packet.
func (s Shape) sent(d time.Duration) uint64 {
	whole, part := uint64(d/time.Second), uint64(d%time.Second)
	return whole*s.Rate + uint64(float64(part)*float64(s.Rate)/float64(time.Second))
}
