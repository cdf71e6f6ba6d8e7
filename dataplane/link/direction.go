package link

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/netdev"
)

const (
	// batchSize is how many packets are handed on at a time: as many as WireGuard takes (conn.IdealBatchSize).
	batchSize = 128

	// maxPacket is the largest packet, in bytes: the MTU of a VPC.
	maxPacket = 9001
)

// direction is what runs one direction's line, and its window if it has one. Any goroutine may send; one takes what is through.
type direction struct {
	end    int // where packets go in
	arrive func(end int, frames [][]byte, senders []uint32)
	lost   func(end int, sender uint32, why flow.Reason, length int, packet []byte)
	clock  clock

	mu      sync.Mutex
	line    line
	window  *window // nil: it is not encrypted
	bench   bench
	closed  bool
	resting bool          // the taker waits
	until   time.Duration // that it waits for
	telling int           // calls of lost by senders
	told    sync.Cond
	greet   bool          // a hello is to be sent
	greeted chan struct{} // closed when it has come out

	// The taker's.
	wake     chan struct{}
	alarm    alarm
	template [headerLen]byte

	// Of whoever calls arrive.
	frames  [][]byte
	senders []uint32
}

// loss is a packet that is to be told as lost.
type loss struct {
	why    flow.Reason
	sender uint32
	length int
	packet []byte // nil if it is not known
}

func newDirection(end int, c *Config, seed uint64) *direction {
	clock := newClock()
	d := &direction{
		end: end, arrive: c.Arrive, lost: c.Lost, clock: clock,
		line:    line{shape: c.Shape, coin: rand.New(rand.NewPCG(seed, uint64(end)))},
		greeted: make(chan struct{}),
		wake:    make(chan struct{}, 1), alarm: newAlarm(clock),
		frames: make([][]byte, 0, batchSize), senders: make([]uint32, 0, batchSize),
		template: template(end),
	}
	d.told.L = &d.mu
	if c.Encrypted {
		d.window = newWindow()
	}
	return d
}

// send takes at most batchSize packets.
func (d *direction) send(sender uint32, frames [][]byte) {
	var losses [batchSize]loss
	n := 0
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return
	}
	now := d.clock.now()
	for _, f := range frames {
		if why := d.admitLocked(now, sender, f); why != flow.None {
			packet := f[min(netdev.Headroom, len(f)):]
			losses[n] = loss{why, sender, len(packet), packet}
			n++
		}
	}
	d.rouseLocked()
	if n == 0 {
		d.mu.Unlock()
		return
	}
	d.telling++
	d.mu.Unlock()
	d.tell(losses[:n])
	d.mu.Lock()
	d.telling--
	d.told.Broadcast()
	d.mu.Unlock()
}

// admitLocked takes one packet, or says why it is lost.
func (d *direction) admitLocked(now time.Duration, sender uint32, frame []byte) flow.Reason {
	switch {
	case len(frame) <= netdev.Headroom:
		return flow.MalformedPacket
	case len(frame) > netdev.Headroom+maxPacket:
		return flow.MTUExceeded
	}
	packet := frame[netdev.Headroom:]
	if d.bench.room() && d.line.clear() && d.window.open > 0 {
		if d.line.lose() {
			return flow.LinkLoss
		}
		d.seatLocked(now, sender, packet)
		return flow.None
	}
	return d.line.push(now, sender, packet)
}

// rouseLocked wakes the taker if there is something to take before it would wake by itself.
func (d *direction) rouseLocked() {
	if !d.resting {
		return
	}
	if d.bench.n > 0 || d.dueLocked() < d.until {
		d.wakeLocked()
	}
}

// dueLocked is when the taker has something to do with the line: a full window holds what is through.
func (d *direction) dueLocked() time.Duration {
	if d.window != nil && d.window.open == 0 {
		return never
	}
	return d.line.next()
}

func (d *direction) wakeLocked() {
	d.resting = false
	select {
	case d.wake <- struct{}{}:
	default: // it has been woken and does not know yet
	}
}

// restLocked lets go of the lock until there may be something to do.
func (d *direction) restLocked() {
	until := d.dueLocked()
	if d.window != nil {
		until = min(until, d.window.next())
	}
	d.resting, d.until = true, until
	d.mu.Unlock()
	d.alarm.wait(until, d.wake)
	d.mu.Lock()
	d.resting = false
}

// tell reports lost packets, without the lock.
func (d *direction) tell(losses []loss) {
	for _, l := range losses {
		d.lost(d.end, l.sender, l.why, l.length, l.packet)
	}
}

func (d *direction) reshape(s Shape) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.line.reshape(d.clock.now(), s)
	d.wakeLocked()
}

// close ends the direction: what it holds is forgotten. Senders do not call back after it has returned.
func (d *direction) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.wakeLocked()
	for d.telling > 0 {
		d.told.Wait()
	}
}

// runPlain hands what is through straight to the other end, until the direction is closed.
func (d *direction) runPlain() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for !d.closed {
		d.line.advance(d.clock.now())
		n := min(d.line.ready, batchSize)
		if n == 0 {
			d.restLocked()
			continue
		}
		d.frames, d.senders = d.frames[:0], d.senders[:0]
		for i := range n {
			p := d.line.at(i)
			d.frames, d.senders = append(d.frames, p.frame), append(d.senders, p.sender)
		}
		d.mu.Unlock()
		d.arrive(1-d.end, d.frames, d.senders)
		d.mu.Lock()
		for range n {
			d.line.take()
		}
	}
}
