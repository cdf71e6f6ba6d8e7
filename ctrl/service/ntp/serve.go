package ntp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/vpclab/vpclab/ctrl/service"
)

// Server answers those whom it knows.
type Server struct {
	known service.Directory
	now   func() time.Time
}

// New makes a server. Who is not known is not answered; now is lab time.
func New(known service.Directory, now func() time.Time) *Server {
	return &Server{known: known, now: now}
}

// Serve answers at a UDP socket of one family (udp4 or udp6) until it is closed, which is no error. Each answer comes from the address
// that was asked, so the socket may be bound to all addresses.
func (s *Server) Serve(conn *net.UDPConn) error {
	at, err := newSocket(conn)
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("serve time: %w", err)
	}
	b := make([]byte, 512) // a request with extensions; more of it does not matter
	for {
		n, asked, from, err := at.read(b)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("serve time: %w", err)
		}
		if answer, ok := s.answer(b[:n], asked, from.Addr()); ok {
			_ = at.write(answer, asked, from) // whoever does not hear it asks again
		}
	}
}

// answer is ready to be sent at once.
func (s *Server) answer(request []byte, asked, from netip.Addr) ([]byte, bool) {
	received := s.now()
	if _, ok := s.known.Caller(asked, from); !ok {
		return nil, false
	}
	a, ok := reply(request, received)
	if ok {
		sent(a, s.now())
	}
	return a, ok
}

// socket is one whose packets say which address of ours they were sent to, and may say it for those that we send.
type socket interface {
	read(b []byte) (n int, asked netip.Addr, from netip.AddrPort, err error)
	write(b []byte, asked netip.Addr, to netip.AddrPort) error
}

func newSocket(conn *net.UDPConn) (socket, error) {
	local, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return nil, fmt.Errorf("socket at %v: not UDP", conn.LocalAddr())
	}
	if local.IP.To4() != nil {
		p := ipv4.NewPacketConn(conn)
		return socket4{p}, p.SetControlMessage(ipv4.FlagDst, true)
	}
	p := ipv6.NewPacketConn(conn)
	return socket6{p}, p.SetControlMessage(ipv6.FlagDst, true)
}

type socket4 struct{ *ipv4.PacketConn }

func (s socket4) read(b []byte) (int, netip.Addr, netip.AddrPort, error) {
	n, m, from, err := s.ReadFrom(b)
	if err != nil || m == nil {
		return n, netip.Addr{}, netip.AddrPort{}, err
	}
	asked, far := ends(m.Dst, from)
	return n, asked, far, nil
}

func (s socket4) write(b []byte, asked netip.Addr, to netip.AddrPort) error {
	_, err := s.WriteTo(b, &ipv4.ControlMessage{Src: asked.AsSlice()}, net.UDPAddrFromAddrPort(to))
	return err
}

type socket6 struct{ *ipv6.PacketConn }

func (s socket6) read(b []byte) (int, netip.Addr, netip.AddrPort, error) {
	n, m, from, err := s.ReadFrom(b)
	if err != nil || m == nil {
		return n, netip.Addr{}, netip.AddrPort{}, err
	}
	asked, far := ends(m.Dst, from)
	return n, asked, far, nil
}

func (s socket6) write(b []byte, asked netip.Addr, to netip.AddrPort) error {
	_, err := s.WriteTo(b, &ipv6.ControlMessage{Src: asked.AsSlice()}, net.UDPAddrFromAddrPort(to))
	return err
}

// ends are a packet's addresses, those of IPv4 as such.
func ends(ours net.IP, from net.Addr) (netip.Addr, netip.AddrPort) {
	asked, _ := netip.AddrFromSlice(ours)
	far, ok := from.(*net.UDPAddr)
	if !ok {
		return asked.Unmap(), netip.AddrPort{}
	}
	to := far.AddrPort()
	return asked.Unmap(), netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
}
