package check

import (
	"io"
	"net"
	"net/netip"
	"time"
)

// stream is a socket as package net's readers and writers know it: crypto/tls needs a net.Conn. Deadlines are the check's own, and whoever
// dialled closes the socket.
type stream struct{ *socket }

// Read reads what came; io.EOF is a FIN.
func (s *socket) Read(b []byte) (int, error) {
	n, err := s.receive(b)
	if err == nil && n == 0 && len(b) > 0 {
		return 0, io.EOF
	}
	return n, err
}

// Write sends all of b.
func (s *socket) Write(b []byte) (int, error) {
	if err := s.send(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (s stream) LocalAddr() net.Addr  { return tcpAddr(s.own) }
func (s stream) RemoteAddr() net.Addr { return tcpAddr(s.remote) }

func tcpAddr(a netip.Addr) net.Addr { return net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, 0)) }

// Close does nothing.
func (stream) Close() error { return nil }

// SetDeadline does nothing, nor do its siblings.
func (stream) SetDeadline(time.Time) error      { return nil }
func (stream) SetReadDeadline(time.Time) error  { return nil }
func (stream) SetWriteDeadline(time.Time) error { return nil }
