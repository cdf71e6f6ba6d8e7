package privatelink

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// connection is a consumer's and the one to the target that it is joined with; of a target that does not answer there is none.
type connection struct {
	offer              Service
	target             Target
	consumer, provider *net.TCPConn

	last  atomic.Int64 // lab time of the last byte, in nanoseconds since 1970
	ended sync.Once
}

// run carries both directions, each until its sender ends it, and closes both sides.
func (c *connection) run(now func() time.Time) {
	var wg sync.WaitGroup
	wg.Go(func() { c.runCarry(c.provider, c.consumer, now) })
	c.runCarry(c.consumer, c.provider, now)
	wg.Wait()
	c.ended.Do(func() {
		_, _ = c.consumer.Close(), c.provider.Close() // both have said and heard all
	})
}

// runSilent lets the consumer say what it likes, until it ends the connection.
func (c *connection) runSilent(now func() time.Time) {
	raw, err := c.consumer.SyscallConn()
	for n := 1; err == nil && n > 0; {
		if n, err = arrived(raw); err == nil {
			c.touch(now())
			_, err = io.CopyN(io.Discard, c.consumer, int64(n))
		}
	}
	if err != nil {
		c.reset()
		return
	}
	c.ended.Do(func() { _ = c.consumer.Close() })
}

// sides are the connection's sockets.
func (c *connection) sides() []*net.TCPConn {
	if c.provider == nil {
		return []*net.TCPConn{c.consumer}
	}
	return []*net.TCPConn{c.consumer, c.provider}
}

// runCarry moves what src sends to dst, its FIN last. What ends otherwise ends the connection, for both sides.
//
// It waits first and then moves what is there, so that each arrival is noticed; the kernel moves the bytes from socket to socket
// (splice(2), in net.TCPConn.ReadFrom).
func (c *connection) runCarry(dst, src *net.TCPConn, now func() time.Time) {
	raw, err := src.SyscallConn()
	for err == nil {
		var n int
		if n, err = arrived(raw); err != nil {
			break
		}
		c.touch(now())
		if n == 0 {
			if err = dst.CloseWrite(); err == nil {
				return
			}
			break
		}
		_, err = io.CopyN(dst, src, int64(n))
		c.touch(now()) // dst may have let it wait
	}
	c.reset()
}

// arrived waits for bytes and counts them; 0 is a FIN.
func arrived(raw syscall.RawConn) (n int, err error) {
	waitErr := raw.Read(func(fd uintptr) bool {
		n, err = peek(int(fd))
		return err != unix.EAGAIN
	})
	if waitErr != nil {
		return 0, waitErr
	}
	return n, err
}

// peek counts the bytes that can be read now.
func peek(fd int) (n int, err error) {
	var one [1]byte
	for {
		n, _, err = unix.Recvfrom(fd, one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil || n == 0 {
		return 0, err
	}
	all, err := unix.IoctlGetInt(fd, unix.SIOCINQ)
	return max(n, all), err
}

func (c *connection) touch(now time.Time) { c.last.Store(now.UnixNano()) }

func (c *connection) idle(now time.Time) time.Duration {
	return time.Duration(now.UnixNano() - c.last.Load())
}

// reset ends the connection with an RST to both sides, unless it has ended.
func (c *connection) reset() (first bool) {
	c.ended.Do(func() {
		first = true
		for _, conn := range c.sides() {
			reset(conn)
		}
	})
	return first
}

// reset closes with an RST.
func reset(conn *net.TCPConn) {
	_, _ = conn.SetLinger(0), conn.Close() // an error says that it is closed
}
