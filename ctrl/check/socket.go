package check

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// socket is one non-blocking socket of a check. It is made by hand, and not with package net, because a check must know which ICMP
// error ended it and which address the error came from.
type socket struct {
	fd     int
	proto  uint8
	probe  *probe
	own    netip.Addr
	remote netip.Addr
	// quotes reports whether the message that an ICMP error quotes is this socket's; nil if the kernel has seen to that (TCP, UDP).
	quotes func(message []byte) bool
	// abandoned are the tokens of lines that were given up: their answers may still come.
	abandoned []string
}

// open makes a socket inside the namespace of the probe's node.
func open(p *probe, domain, kind, proto int) (int, error) {
	fd := -1
	err := p.lab.Do(p.node, func() (err error) {
		fd, err = unix.Socket(domain, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto)
		return os.NewSyscallError("socket", err)
	})
	if err != nil {
		return -1, fmt.Errorf("open socket in %s: %w", p.node, err)
	}
	// That a VPC carries no broadcast is for the fabric to say, not for the guest's kernel.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("setsockopt SO_BROADCAST: %w", err)
	}
	return fd, nil
}

func domainOf(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func sockaddr(a netip.Addr, port uint16) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4(), Port: int(port)}
	}
	return &unix.SockaddrInet6{Addr: a.As16(), Port: int(port)}
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

func unspecified(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// dial connects to remote by TCP or UDP from an ephemeral port. From the first packet on the probe knows the connection's tuple.
func dial(p *probe, proto uint8, remote netip.AddrPort) (*socket, error) {
	kind := unix.SOCK_STREAM
	if proto == flow.UDP {
		kind = unix.SOCK_DGRAM
	}
	fd, err := open(p, domainOf(remote.Addr()), kind, int(proto))
	if err != nil {
		return nil, err
	}
	s := &socket{fd: fd, proto: proto, probe: p, remote: remote.Addr()}
	if err := s.connect(remote); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *socket) connect(remote netip.AddrPort) error {
	if err := s.reportErrors(true); err != nil {
		return err
	}
	// Port 0 draws from net.ipv4.ip_local_port_range, in a new namespace 32768-60999.
	if err := unix.Bind(s.fd, sockaddr(unspecified(remote.Addr()), 0)); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	err := unix.Connect(s.fd, sockaddr(remote.Addr(), remote.Port()))
	if err != nil && err != unix.EINPROGRESS {
		return s.connectFailed(err)
	}
	if err := s.learnTuple(remote.Port()); err != nil {
		return err
	}
	if s.proto != flow.TCP {
		return nil
	}
	// A TLS client's last message of the handshake and its request would wait for each other's acknowledgement.
	if err := unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("setsockopt TCP_NODELAY: %w", err)
	}
	if err := s.await(unix.POLLOUT); err != nil {
		return err
	}
	soError, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return fmt.Errorf("getsockopt SO_ERROR: %w", err)
	}
	if soError != 0 {
		return s.failure(unix.Errno(soError))
	}
	s.probe.connected()
	// An ICMP error must not end an established connection (RFC 1122 section 4.2.3.9), but with error reports on Linux lets it.
	return s.reportErrors(false)
}

// connectFailed tells what it means that the kernel refused to begin.
func (s *socket) connectFailed(err error) error {
	switch err {
	case unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EADDRNOTAVAIL, unix.EACCES, unix.EINVAL:
		return &end{outcome: scenario.Unreachable, detail: fmt.Sprintf("%s has no route to %s", s.probe.node, s.remote)}
	case unix.ECONNREFUSED:
		return s.failure(err)
	}
	return fmt.Errorf("connect to %s: %w", s.remote, err)
}

func (s *socket) learnTuple(remotePort uint16) error {
	name, err := unix.Getsockname(s.fd)
	if err != nil {
		return fmt.Errorf("getsockname: %w", err)
	}
	local := addrPort(name)
	s.own = local.Addr()
	s.probe.begin(flow.MakeTuple(s.proto, local.Addr(), local.Port(), s.remote, remotePort))
	return nil
}

// reportErrors turns the error queue on or off.
func (s *socket) reportErrors(on bool) error {
	value := 0
	if on {
		value = 1
	}
	level, option := unix.SOL_IP, unix.IP_RECVERR
	if !s.remote.Is4() {
		level, option = unix.SOL_IPV6, unix.IPV6_RECVERR
	}
	if err := unix.SetsockoptInt(s.fd, level, option, value); err != nil {
		return fmt.Errorf("setsockopt IP_RECVERR: %w", err)
	}
	return nil
}

// step waits at most one tick for events, and ends with an error when the check's time is over or an ICMP error came.
func (s *socket) step(events int16) (ready bool, err error) {
	if err := s.probe.poll(); err != nil {
		return false, err
	}
	fds := []unix.PollFd{{Fd: int32(s.fd), Events: events}}
	n, err := unix.Poll(fds, int(tick.Milliseconds()))
	if err == unix.EINTR {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("poll: %w", err)
	}
	if n > 0 && fds[0].Revents&unix.POLLERR != 0 {
		if e, ok := s.icmpError(); ok {
			return false, e.end(s.own, s.remote)
		}
	}
	return n > 0, nil
}

// await waits until events, or an error that the next call on the socket returns.
func (s *socket) await(events int16) error {
	for {
		if ready, err := s.step(events); ready || err != nil {
			return err
		}
	}
}

// icmpError takes the socket's next own error off its error queue.
func (s *socket) icmpError() (icmpError, bool) {
	message, oob := make([]byte, 256), make([]byte, 512)
	for {
		n, oobn, _, _, err := unix.Recvmsg(s.fd, message, oob, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return icmpError{}, false
		}
		e, ok := queuedError(oob[:oobn])
		if ok && (s.quotes == nil || s.quotes(message[:n])) {
			return e, true
		}
	}
}

// failure turns the errno of a call into the check's end. It is nil when the error was another socket's.
func (s *socket) failure(errno error) error {
	if e, ok := s.icmpError(); ok {
		return e.end(s.own, s.remote)
	}
	if s.quotes != nil {
		return nil
	}
	switch errno {
	case unix.ECONNREFUSED:
		return &end{outcome: scenario.Refused, detail: "RST in answer to the SYN"}
	case unix.ECONNRESET:
		return &end{outcome: scenario.Reset, detail: "RST on the established connection"}
	case unix.ETIMEDOUT:
		return &end{outcome: scenario.Timeout, detail: "TCP gave up"}
	case unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EACCES, unix.EPROTO, unix.ENOPROTOOPT, unix.EMSGSIZE:
		return &end{outcome: scenario.Unreachable, detail: fmt.Sprintf("%v on the way to %s", errno, s.remote)}
	}
	return fmt.Errorf("%s: %w", s.remote, errno)
}

// receive waits for bytes or a datagram; 0 bytes of TCP are a FIN.
func (s *socket) receive(b []byte) (int, error) {
	for {
		n, err := unix.Read(s.fd, b)
		if err == nil {
			s.probe.arrived()
			return n, nil
		}
		if err := s.retry(err, unix.POLLIN); err != nil {
			return 0, err
		}
	}
}

// skip takes away what has come already; closed is whether it ended with a FIN.
func (s *socket) skip() (closed bool, err error) {
	b := make([]byte, 4096)
	for {
		n, err := unix.Read(s.fd, b)
		switch {
		case err == unix.EAGAIN:
			return false, nil
		case err == unix.EINTR:
		case err != nil:
			return false, s.failure(err)
		case n == 0 && s.proto == flow.TCP:
			return true, nil
		}
	}
}

// send writes all of b, for UDP in one datagram. It is no error if the other side has closed: reading tells of its FIN.
func (s *socket) send(b []byte) error {
	for len(b) > 0 {
		n, err := unix.SendmsgN(s.fd, b, nil, nil, unix.MSG_NOSIGNAL)
		switch err {
		case nil:
			b = b[n:]
			continue
		case unix.EPIPE: // a FIN and then an RST; an RST alone would be ECONNRESET
			return nil
		}
		if err := s.retry(err, unix.POLLOUT); err != nil {
			return err
		}
	}
	return nil
}

// retry returns nil if the call that returned err is to be tried again.
func (s *socket) retry(err error, events int16) error {
	switch err {
	case unix.EINTR:
		return nil
	case unix.EAGAIN:
		return s.await(events)
	}
	return s.failure(err)
}

func (s *socket) close() { unix.Close(s.fd) }

// lingering bounds how long a connection waits for the other side's FIN.
const lingering = 200 * time.Millisecond

// finish closes a connection with FIN. It reads what still comes until the other side has closed too: unread bytes would turn the FIN
// into an RST, and the next check must not find this connection half closed.
func (s *socket) finish() {
	defer s.close()
	if s.proto != flow.TCP || unix.Shutdown(s.fd, unix.SHUT_WR) != nil {
		return
	}
	rest := make([]byte, 4096)
	for until := s.probe.now().Add(lingering); s.probe.now().Before(until); {
		n, err := unix.Read(s.fd, rest)
		switch {
		case err == unix.EAGAIN:
			fds := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}
			_, err = unix.Poll(fds, int(tick.Milliseconds()))
			if err != nil && err != unix.EINTR {
				return
			}
		case err == unix.EINTR:
		case err != nil || n == 0:
			return
		}
	}
}
