package load

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	batch    = 64 // datagrams a system call
	datagram = 18 // bytes of payload: with the headers, the smallest Ethernet frame
	// queue is the receiver's socket buffer in bytes: enough for the bursts of a receiver that shares its CPU, too little to hide
	// for long that it is slower than the sender.
	queue = 4 << 20
)

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// messages are batch headers over buffers of their own. Everything that the kernel is given a pointer to lies on the heap, which
// does not move.
func messages(size int) []mmsghdr {
	msgs := make([]mmsghdr, batch)
	for i := range msgs {
		buf := make([]byte, size)
		vec := &unix.Iovec{Base: &buf[0]}
		vec.SetLen(size)
		msgs[i].hdr.Iov = vec
		msgs[i].hdr.SetIovlen(1)
	}
	return msgs
}

func mmsg(trap uintptr, fd int, msgs []mmsghdr, flags uintptr) (int, error) {
	n, err := again(func() (uintptr, error) {
		n, _, errno := unix.Syscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(&msgs[0])), uintptr(len(msgs)), flags, 0, 0)
		if errno != 0 {
			return 0, errno
		}
		return n, nil
	})
	runtime.KeepAlive(msgs)
	return int(n), err
}

// packets sends datagrams as fast as one thread can and counts those that are received, from the first batch on.
func packets(ctx context.Context, e Ends, d time.Duration) (Result, error) {
	on, err := apart()
	if err != nil {
		return Result{}, err
	}
	s, err := serve(e, unix.SOCK_DGRAM)
	if err != nil {
		return Result{}, err
	}
	// The forced size needs CAP_NET_ADMIN; without it the machine's limit applies, to all beds alike.
	if unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, queue) != nil {
		err = unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUF, queue)
	}
	if err != nil {
		unix.Close(s)
		return Result{}, fmt.Errorf("set socket options: %w", err)
	}
	c, err := client(e, unix.SOCK_DGRAM)
	if err != nil {
		unix.Close(s)
		return Result{}, err
	}
	over, release := newBell(ctx)
	defer release()

	var received int
	var took time.Duration
	counted := onThread(on.server, func() error {
		defer over.ring()
		msgs := messages(2 * datagram)
		if _, err := mmsg(unix.SYS_RECVMMSG, s, msgs, unix.MSG_WAITFORONE); err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		over.start(d)
		start := time.Now()
		defer func() { took = time.Since(start) }()
		for !over.Rung() {
			n, err := mmsg(unix.SYS_RECVMMSG, s, msgs, unix.MSG_WAITFORONE)
			if err != nil {
				return unless(over, fmt.Errorf("receive: %w", err))
			}
			received += n
		}
		return nil
	}, s)
	sent := onThread(on.client, func() error {
		msgs := messages(datagram)
		// At least one batch, for which the receiver waits.
		for ended := false; !ended; ended = over.Rung() {
			// A full queue on the way is loss, which the receiver's count shows.
			if _, err := mmsg(unix.SYS_SENDMMSG, c, msgs, 0); err != nil && err != unix.ENOBUFS {
				return unless(over, fmt.Errorf("send: %w", err))
			}
		}
		return nil
	}, c)
	if err := errors.Join(<-sent, <-counted); err != nil {
		return Result{}, err
	}
	if received == 0 {
		return Result{}, errors.New("no packet was received")
	}
	return Result{Rate: float64(received) / took.Seconds(), Took: took}, nil
}
