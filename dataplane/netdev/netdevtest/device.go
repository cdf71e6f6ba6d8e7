// Package netdevtest has a netdev.Device in memory, for tests of what stands between devices. It is no kernel: it answers nothing,
// and neither splits nor joins packets.
package netdevtest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"

	"github.com/vpclab/vpclab/dataplane/netdev"
)

// queueLength is how many packets wait in each direction before more are lost, as with the transmit queue of a lab's TUN.
const queueLength = 4096

// Device is a netdev.Device whose kernel is the test: Inject is what the kernel sends, Receive what it gets.
type Device struct {
	mu     sync.Mutex
	change sync.Cond // of waiting or closed
	closed bool

	waiting [][]byte
	written chan []byte
	lost    int
}

var _ netdev.Device = (*Device)(nil)

// New makes an open device with empty queues.
func New() *Device {
	d := &Device{written: make(chan []byte, queueLength)}
	d.change.L = &d.mu
	return d
}

// Inject queues copies of packets for Read, and returns how many found room; a closed device has none.
func (d *Device) Inject(packets ...[]byte) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return 0
	}
	n := min(len(packets), queueLength-len(d.waiting))
	for _, p := range packets[:n] {
		d.waiting = append(d.waiting, bytes.Clone(p))
	}
	d.change.Broadcast()
	return n
}

// Receive returns the next packet that was written, and waits for one until ctx is done.
func (d *Device) Receive(ctx context.Context) ([]byte, error) {
	select {
	case p := <-d.written:
		return p, nil
	default:
	}
	select {
	case p := <-d.written:
		return p, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("receive packet: %w", ctx.Err())
	}
}

// Pending is how many written packets Receive has not returned yet.
func (d *Device) Pending() int { return len(d.written) }

// Lost is how many packets Read lost because they were larger than their buffer.
func (d *Device) Lost() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lost
}

// WaitReadable blocks until a packet was injected.
func (d *Device) WaitReadable() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.waitLocked()
}

func (d *Device) waitLocked() error {
	for len(d.waiting) == 0 && !d.closed {
		d.change.Wait()
	}
	if d.closed {
		return os.ErrClosed
	}
	return nil
}

// Read takes as many injected packets as there are buffers.
func (d *Device) Read(bufs [][]byte, sizes []int) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.waitLocked(); err != nil {
		return 0, err
	}
	n := 0
	for ; n < len(bufs) && len(d.waiting) > 0; d.waiting = d.waiting[1:] {
		p := d.waiting[0]
		if len(p) > len(bufs[n])-netdev.Headroom {
			d.lost++
			continue
		}
		sizes[n] = copy(bufs[n][netdev.Headroom:], p)
		n++
	}
	return n, nil
}

// Write queues copies of the packets for Receive. Those that find no room are refused.
func (d *Device) Write(bufs [][]byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return 0, os.ErrClosed
	}
	for i, b := range bufs {
		if len(b) <= netdev.Headroom {
			return i, fmt.Errorf("test device: write: packet %d of %d is empty", i+1, len(bufs))
		}
		select {
		case d.written <- bytes.Clone(b[netdev.Headroom:]):
		default:
			return i, fmt.Errorf("test device: write: %d of %d packets refused: %w", len(bufs)-i, len(bufs), syscall.ENOBUFS)
		}
	}
	return len(bufs), nil
}

// BatchSize is that of a TUN.
func (d *Device) BatchSize() int { return 128 }

// Close ends what waits on the device. What was written can still be received.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.change.Broadcast()
	return nil
}
