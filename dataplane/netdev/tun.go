package netdev

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// TUN is a Device of the kernel. Segmentation offload is on both ways: what the kernel sends as one large packet is read as the
// packets that would have been on the wire, and written packets of one flow enter the kernel as one.
type TUN struct {
	name string
	dev  tun.Device
	raw  syscall.RawConn

	// poll and ready belong to the goroutine in WaitReadable; they are fields because they would be allocated for each call.
	poll  [1]unix.PollFd
	ready func(fd uintptr) bool

	closed     atomic.Bool
	tooMany    atomic.Uint64
	unreadable atomic.Uint64
}

var _ Device = (*TUN)(nil)

// NewTUN takes over a descriptor of /dev/net/tun that is attached to a device with IFF_TUN, IFF_NO_PI and IFF_VNET_HDR, and closes
// it on failure. Closing the TUN removes its device.
//
// Limit the device's gso_max_segs to at most BatchSize, or Read loses what is beyond (TooManySegments).
func NewTUN(fd int) (*TUN, error) {
	if err := checkTUN(fd); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("take over tun descriptor: %w", err)
	}
	// After the check this fails only for lack of memory or of a kernel from this century. The descriptor then belongs to a file
	// that the garbage collector closes; closing it here too could hit somebody else's.
	dev, name, err := tun.CreateUnmonitoredTUNFromFD(fd)
	if err != nil {
		return nil, fmt.Errorf("take over tun descriptor: %w", err)
	}
	raw, err := dev.File().SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("tun %s: %w", name, err), dev.Close())
	}
	t := &TUN{name: name, dev: dev, raw: raw}
	t.ready = t.pollNow
	return t, nil
}

// checkTUN finds out what wireguard's tun package would take for granted.
func checkTUN(fd int) error {
	ifr, err := unix.NewIfreq("")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.TUNGETIFF, ifr); err != nil {
		return fmt.Errorf("no device is attached: %w", err)
	}
	// IFF_NO_PI cannot be checked: Linux 6.18 reports it for every device.
	switch flags := ifr.Uint16(); {
	case flags&unix.IFF_TUN == 0:
		return fmt.Errorf("device %s carries Ethernet frames: make it with IFF_TUN", ifr.Name())
	case flags&unix.IFF_VNET_HDR == 0:
		return fmt.Errorf("device %s has no offloads: make it with IFF_VNET_HDR", ifr.Name())
	}
	return unix.SetNonblock(fd, true)
}

// Name is the device's name when it was taken over.
func (t *TUN) Name() string { return t.name }

// BatchSize is the number of buffers that Read needs to lose nothing, as long as gso_max_segs is not above it.
func (t *TUN) BatchSize() int { return t.dev.BatchSize() }

// TooManySegments counts large packets of which Read lost the segments that found no buffer.
func (t *TUN) TooManySegments() uint64 { return t.tooMany.Load() }

// Unreadable counts packets that Read lost whole: larger than the buffers, or not to be split.
func (t *TUN) Unreadable() uint64 { return t.unreadable.Load() }

// WaitReadable blocks until a packet waits, with os.ErrClosed when the device is closed or gone.
func (t *TUN) WaitReadable() error {
	err := t.raw.Read(t.ready)
	switch {
	case t.closed.Load():
		return os.ErrClosed
	case err != nil:
		// The runtime calls a descriptor that has nothing but an error to report "not pollable": ask what is wrong.
		if t.detached() {
			return os.ErrClosed
		}
		return fmt.Errorf("tun %s: wait: %w", t.name, err)
	case t.poll[0].Revents&unix.POLLIN == 0:
		return os.ErrClosed // readable only in the sense that the device is gone
	}
	return nil
}

// pollNow reports whether there is something to read or an error, without waiting.
func (t *TUN) pollNow(fd uintptr) bool {
	t.poll[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	return poll(t.poll[:]) != nil || t.poll[0].Revents != 0
}

// detached reports whether the kernel has taken the device away from the descriptor.
func (t *TUN) detached() bool {
	gone := false
	err := t.raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		gone = poll(fds) == nil && fds[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0
	})
	return err != nil || gone
}

// poll asks what fds are ready for, without waiting. Although it does not wait, a signal interrupts it, and Go's scheduler sends signals
// to threads that run for long: taken for an error, that would look like a device that is gone.
func poll(fds []unix.PollFd) error {
	for {
		if _, err := unix.Poll(fds, 0); err != unix.EINTR {
			return err
		}
	}
}

// Read is one read of the kernel: one packet, or the segments of one large packet.
func (t *TUN) Read(bufs [][]byte, sizes []int) (int, error) {
	clear(sizes)
	n, err := t.split(bufs, sizes)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, tun.ErrTooManySegments):
		t.tooMany.Add(1)
		return filled(sizes[:len(bufs)]), nil
	case errors.Is(err, os.ErrClosed), t.closed.Load():
		return 0, os.ErrClosed
	}
	if errno := kernelError(err); errno != nil {
		if t.detached() {
			return 0, os.ErrClosed
		}
		return 0, fmt.Errorf("tun %s: read: %w", t.name, errno)
	}
	t.unreadable.Add(1)
	return 0, nil
}

// errTooLarge is a segment that its buffer cannot hold.
var errTooLarge = errors.New("segment larger than its buffer")

// split reads and splits one large packet. wireguard's splitting trusts that each segment fits its buffer, but the segment size
// comes with the packet: a guest that raises its own MTU chooses it. There it is out of bounds or, where the buffers' capacity is
// larger than their length, a packet that ends in what its buffer held before; here it is a lost packet.
func (t *TUN) split(bufs [][]byte, sizes []int) (n int, err error) {
	defer func() {
		switch bug := recover().(type) {
		case nil:
		case runtime.Error:
			n, err = 0, bug
		default:
			panic(bug) // not ours to understand: only what an index or a length can cause is expected
		}
	}()
	n, err = t.dev.Read(bufs, sizes, Headroom)
	for i, b := range bufs[:n] {
		if sizes[i] > len(b)-Headroom {
			return 0, errTooLarge
		}
	}
	return n, err
}

// filled counts the leading sizes that were set: with ErrTooManySegments wireguard reports one packet less than it has written.
func filled(sizes []int) int {
	for n, size := range sizes {
		if size == 0 {
			return n
		}
	}
	return len(sizes)
}

// Write hands packets to the kernel. If it takes some and refuses others, those joined with a refused one may be counted as taken.
func (t *TUN) Write(bufs [][]byte) (int, error) {
	taken := 0
	var first error
	for len(bufs) > 0 {
		// wireguard's table of flows has room for one batch.
		part := bufs[:min(len(bufs), t.dev.BatchSize())]
		bufs = bufs[len(part):]
		n, err := t.writeBatch(part)
		taken += n
		if errors.Is(err, os.ErrClosed) {
			return taken, err
		}
		if first == nil {
			first = err
		}
	}
	return taken, first
}

func (t *TUN) writeBatch(bufs [][]byte) (int, error) {
	for i, b := range bufs {
		if len(b) <= Headroom {
			return 0, fmt.Errorf("tun %s: write: packet %d of %d is empty", t.name, i+1, len(bufs))
		}
		if cap(b) > joinCap {
			bufs[i] = b[:len(b):joinCap]
		}
	}
	total, err := t.dev.Write(bufs, Headroom)
	switch {
	case err == nil:
		return len(bufs), nil
	case t.closed.Load(), errors.Is(err, os.ErrClosed):
		return 0, os.ErrClosed
	}
	taken := 0
	if total > 0 {
		taken = len(bufs) - failures(err)
	}
	cause := kernelError(err)
	if cause == nil {
		cause = err
	}
	return taken, fmt.Errorf("tun %s: write: %d of %d packets refused: %w", t.name, len(bufs)-taken, len(bufs), cause)
}

// kernelError is the first error in err that comes from the file, or nil if none does and wireguard could not handle what was in it.
func kernelError(err error) error {
	var file *fs.PathError
	if !errors.As(err, &file) {
		return nil
	}
	return file.Err
}

// failures counts the errors that errors.Join has joined.
func failures(err error) int {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return 1
	}
	n := 0
	for _, e := range joined.Unwrap() {
		n += failures(e)
	}
	return n
}

// Close removes the device and ends what waits on it.
func (t *TUN) Close() error {
	if t.closed.Swap(true) {
		return nil
	}
	if err := t.dev.Close(); err != nil {
		return fmt.Errorf("tun %s: close: %w", t.name, err)
	}
	return nil
}
