package link

import (
	"os"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/netdev"
)

// bench is where the encryption's reader waits: its buffers, and how many of them senders have filled meanwhile. A packet that is put
// straight into them is copied once.
type bench struct {
	bufs   [][]byte
	sizes  []int
	offset int
	n      int
}

// room says that the reader waits and has an empty buffer.
func (b *bench) room() bool { return b.n < len(b.bufs) }

// seat puts a packet behind its header into the next buffer, of which one must be empty.
func (b *bench) seat(template *[headerLen]byte, h header, packet []byte) {
	b.sizes[b.n] = wrap(b.bufs[b.n][b.offset:], template, h, packet)
	b.n++
}

// seatLocked gives a packet a place in the window, which must have one, and puts it into the reader's next buffer.
func (d *direction) seatLocked(now time.Duration, sender uint32, packet []byte) {
	d.bench.seat(&d.template, header{next: nextOf(packet), id: d.window.enter(now, sender, len(packet)), sender: sender}, packet)
}

// door is the TUN device of one end's WireGuard device, without a kernel behind it: what goes in at the end is read from it, and what
// comes out there is written to it.
type door struct {
	out, in *direction
	events  chan tun.Event // there are none
}

var _ tun.Device = (*door)(nil)

func newDoor(out, in *direction) *door { return &door{out: out, in: in, events: make(chan tun.Event)} }

// Read waits for packets that are through and for which the window has room. It also gives up those that are in the window for too long.
func (o *door) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	d := o.out
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bench = bench{bufs: bufs, sizes: sizes, offset: offset}
	for {
		n := d.fillLocked()
		switch {
		case d.closed:
			return 0, os.ErrClosed
		case n > 0:
			d.bench = bench{}
			return n, nil
		}
		d.restLocked()
	}
}

// fillLocked does what there is to do for the reader, and returns how many of its buffers are filled.
func (d *direction) fillLocked() int {
	now := d.clock.now()
	if d.window.next() <= now {
		d.window.tick(now)
		d.giveUpLocked()
	}
	if d.greet && d.bench.room() {
		d.greet = false
		d.bench.seat(&d.template, header{next: nextHello}, nil)
	}
	d.line.advance(now)
	for d.line.ready > 0 && d.bench.room() && d.window.open > 0 {
		p := d.line.at(0)
		d.seatLocked(now, p.sender, p.frame[netdev.Headroom:])
		d.line.take()
	}
	return d.bench.n
}

// giveUpLocked tells of packets that are in the window for too long. It lets go of the lock meanwhile.
func (d *direction) giveUpLocked() {
	var losses [windowSize]loss
	n := 0
	for n < len(losses) {
		p, old := d.window.giveUp()
		if !old {
			break
		}
		losses[n] = loss{why: flow.LinkBroken, sender: p.sender, length: int(p.length)}
		n++
	}
	d.mu.Unlock()
	d.tell(losses[:n])
	d.mu.Lock()
}

// Write takes the packets that came out, and hands them on in the memory where they are.
func (o *door) Write(bufs [][]byte, offset int) (int, error) {
	d := o.in
	d.frames, d.senders = d.frames[:0], d.senders[:0]
	d.mu.Lock()
	for _, b := range bufs {
		h, ok := unwrap(b[offset:])
		switch {
		case !ok:
		case h.next == nextHello:
			close(d.greeted)
		case d.window.leave(h.id):
			d.frames, d.senders = append(d.frames, b[offset+headerLen-netdev.Headroom:]), append(d.senders, h.sender)
		}
	}
	d.rouseLocked() // the window may have been full
	if d.closed || len(d.frames) == 0 {
		d.mu.Unlock()
		return len(bufs), nil
	}
	d.window.busy = true
	d.mu.Unlock()
	d.arrive(1-d.end, d.frames, d.senders)
	d.mu.Lock()
	d.window.busy = false
	d.mu.Unlock()
	return len(bufs), nil
}

// MTU is that of the packets with their headers, so that WireGuard neither pads nor refuses them.
func (o *door) MTU() (int, error) { return headerLen + maxPacket, nil }

// Name is for logs, of which there are none.
func (o *door) Name() (string, error) { return "link", nil }

// File is nil: there is no kernel.
func (o *door) File() *os.File { return nil }

// Events ends when the door is closed.
func (o *door) Events() <-chan tun.Event { return o.events }

// BatchSize is the number of packets that Read and Write take.
func (o *door) BatchSize() int { return batchSize }

// Close ends Read. The directions are closed before.
func (o *door) Close() error {
	close(o.events)
	return nil
}
