package link

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/vpclab/vpclab/dataplane/flow"
)

const (
	// maxBacklog is how many packets wait for their transmission, the one under transmission included, or for the link's end to take
	// them if nothing delays them.
	maxBacklog = 256

	// maxLineBytes bounds the memory of the packets of one direction.
	maxLineBytes = 64 << 20

	// never is a time that does not come.
	never = time.Duration(math.MaxInt64)
)

// line is one direction of a link's shape. A packet passes, in this order:
//
//	loss     a coin
//	rate     a transmitter that sends one packet at a time, and the backlog in front of it
//	delay    the way to the other end; all packets take the same time, so they stay in order, also when that time changes
//	ready    it is through and waits to be taken
//
// They are one queue: the first `ready` of it are through, those up to `left` are under way, and the rest is the backlog. Times are
// monotonic, since any instant, and never run backwards. It is pure: it decides, and whoever has it waits, takes and tells.
type line struct {
	store
	shape Shape
	coin  *rand.Rand

	ready int
	left  int // of the transmitter, in all

	// The transmitter's present packet, the first of the backlog.
	began time.Duration
	done  uint64 // work for it before that, at another rate
}

// push takes a packet, or says why it is lost.
func (l *line) push(now time.Duration, sender uint32, packet []byte) flow.Reason {
	l.advance(now)
	switch {
	case l.lose():
		return flow.LinkLoss
	case l.full(len(packet)):
		return flow.LinkQueueFull
	}
	if l.left == l.n {
		l.began, l.done = now, 0
	}
	l.store.push(sender, packet)
	l.advance(now)
	return flow.None
}

// lose tosses the coin for one packet.
func (l *line) lose() bool { return l.shape.Loss > 0 && l.coin.Float64() < l.shape.Loss }

// clear says that a packet without a delay or a rate could pass at once, before none that waits.
func (l *line) clear() bool { return l.n == 0 && l.shape.Rate == 0 && l.shape.Delay == 0 }

// full says that there is no room for one more packet.
func (l *line) full(length int) bool {
	return l.n-l.left >= maxBacklog ||
		l.ready >= maxBacklog && l.shape.Delay == 0 || // with a delay the packets that come through together may be many
		l.bytes+length+parcelCost > maxLineBytes
}

// advance moves the packets to where they are now.
func (l *line) advance(now time.Duration) {
	for l.left < l.n {
		p := l.at(l.left)
		end := l.transmitted(p)
		if end > now {
			break
		}
		p.at = end
		l.began, l.done = end, 0
		l.left++
	}
	for l.ready < l.left && l.at(l.ready).at+l.shape.Delay <= now {
		l.ready++
	}
}

// transmitted is when the transmitter's present packet will be sent.
func (l *line) transmitted(p *parcel) time.Duration {
	return l.began + l.shape.airtime(work(p.length())-l.done)
}

// next is when the first packet is through.
func (l *line) next() time.Duration {
	switch {
	case l.n == 0:
		return never
	case l.ready > 0:
		return 0
	case l.left > 0:
		return l.at(0).at + l.shape.Delay
	}
	return l.transmitted(l.at(0)) + l.shape.Delay
}

// take forgets the first packet that is through.
func (l *line) take() {
	l.pop()
	l.ready--
	l.left--
}

// reshape gives the line another shape. Packets under way arrive as if it had always had the new delay; of the packet under transmission
// the rest is sent at the new rate.
func (l *line) reshape(now time.Duration, s Shape) {
	l.advance(now)
	if l.left < l.n {
		l.done += l.shape.done(now - l.began)
		l.began = now
	}
	l.shape = s
	l.advance(now)
}
