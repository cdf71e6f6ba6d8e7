package load

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// stall is the longest a blocking call waits. Nothing legitimate takes that long between two namespaces of one machine.
const stall = 3 * time.Second

// errStalled is what a socket's timeout amounts to here.
var errStalled = fmt.Errorf("no progress for %v", stall)

// again calls f until no signal interrupts it: the Go runtime signals its threads to preempt goroutines, and calls on sockets with a
// timeout are not restarted by the kernel (signal(7)). It turns the timeout into errStalled.
func again[T any](f func() (T, error)) (T, error) {
	for {
		v, err := f()
		switch err {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return v, errStalled
		}
		return v, err
	}
}

func read(fd int, b []byte) (int, error) {
	return again(func() (int, error) { return unix.Read(fd, b) })
}

func write(fd int, b []byte) (int, error) {
	return again(func() (int, error) { return unix.Write(fd, b) })
}

func accept(fd int) (int, error) {
	return again(func() (int, error) {
		c, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		return c, err
	})
}

// socket opens a blocking IPv4 socket whose calls give up after stall. Accepted sockets inherit all of its options. A TCP socket
// sends at once, and closes with RST, so that no connection lingers in TIME_WAIT and what is still queued is thrown away.
func socket(kind int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open socket: %w", err)
	}
	limit := unix.NsecToTimeval(stall.Nanoseconds())
	errs := []error{
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit),
	}
	if kind == unix.SOCK_STREAM {
		errs = append(errs,
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
			unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
			unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
	}
	if err := errors.Join(errs...); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("set socket options: %w", err)
	}
	return fd, nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}

// dial opens a socket and connects it to to. It must run in the client's namespace.
func dial(to netip.AddrPort, kind int) (int, error) {
	fd, err := socket(kind)
	if err != nil {
		return -1, err
	}
	if err := connect(fd, to); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("connect to %s: %w", to, err)
	}
	return fd, nil
}

// connect is connect(2). An interrupted call goes on in the background, and calling again tells how it ended.
func connect(fd int, to netip.AddrPort) error {
	err := unix.Connect(fd, sockaddr(to))
	if err == unix.EINTR {
		_, err = again(func() (int, error) {
			return unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(stall/time.Millisecond))
		})
		if err != nil {
			return err
		}
		if err = unix.Connect(fd, sockaddr(to)); err == unix.EISCONN || err == nil {
			return nil
		}
	}
	switch err {
	case unix.EINPROGRESS, unix.EALREADY, unix.EAGAIN:
		return errStalled
	}
	return err
}

// serve opens the server's socket; a TCP socket listens.
func serve(e Ends, kind int) (fd int, err error) {
	err = e.InServer(func() (err error) {
		fd, err = listen(netip.AddrPortFrom(e.ServerAddr(), Port), kind)
		return err
	})
	return fd, err
}

func listen(at netip.AddrPort, kind int) (int, error) {
	fd, err := socket(kind)
	if err != nil {
		return -1, err
	}
	if err = unix.Bind(fd, sockaddr(at)); err == nil && kind == unix.SOCK_STREAM {
		err = unix.Listen(fd, 128)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("listen at %s: %w", at, err)
	}
	return fd, nil
}

// client opens a client's socket, connected to the server.
func client(e Ends, kind int) (fd int, err error) {
	err = e.InClient(func() (err error) {
		fd, err = dial(netip.AddrPortFrom(e.ServerAddr(), Port), kind)
		return err
	})
	return fd, err
}

// connection opens both ends of one TCP connection. The caller closes them.
func connection(e Ends) (c, s int, err error) {
	l, err := serve(e, unix.SOCK_STREAM)
	if err != nil {
		return -1, -1, err
	}
	defer unix.Close(l)
	if c, err = client(e, unix.SOCK_STREAM); err != nil {
		return -1, -1, err
	}
	if s, err = accept(l); err != nil {
		unix.Close(c)
		return -1, -1, fmt.Errorf("accept: %w", err)
	}
	return c, s, nil
}

// onThread runs f on a thread of its own on that CPU and closes the descriptors that it owns afterwards. The thread ends with f, so
// that nothing else ever runs bound to the CPU.
func onThread(cpu int, f func() error, owns ...int) <-chan error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		_, err := pin(cpu)
		if err == nil {
			err = f()
		}
		for _, fd := range owns {
			unix.Close(fd)
		}
		done <- err
	}()
	return done
}
