package dns

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/vpclab/vpclab/ctrl/service"
)

// Name is what a service.Caller's Service says if the resolver was asked.
const Name = "dns"

// Server speaks for a Resolver on sockets that it is handed. It may serve several sockets at once.
type Server struct {
	directory service.Directory
	resolver  atomic.Pointer[Resolver]
}

// NewServer answers those whom the directory knows, out of r.
func NewServer(directory service.Directory, r *Resolver) *Server {
	s := &Server{directory: directory}
	s.Use(r)
	return s
}

// Use answers out of r from now on.
func (s *Server) Use(r *Resolver) { s.resolver.Store(r) }

// respond is the packed answer to a packed query between two ends of a socket, in buf if it has room, or nil.
func (s *Server) respond(local, remote netip.Addr, query, buf []byte, datagram bool) []byte {
	c, known := s.directory.Caller(local.Unmap(), remote.Unmap())
	if !known || c.Service != Name || len(query) > maxSize {
		return nil
	}
	return s.resolver.Load().Respond(c, query, buf, datagram)
}

// workers is how many queries of a UDP socket are answered at once. More wait in the socket's receive buffer, and what does not fit there
// is lost as datagrams are.
const workers = 4

// ServeUDP answers on a socket until it is closed, which is no error. It may be bound to a wildcard address: each answer goes out from
// the address that was asked. It closes the socket when it returns.
func (s *Server) ServeUDP(conn *net.UDPConn) error {
	defer func() { _ = conn.Close() }() // what was answered is on its way
	control, err := newControl(conn)
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	if err != nil {
		return err
	}
	errs := make([]error, workers)
	var running sync.WaitGroup
	for i := range errs {
		running.Go(func() {
			errs[i] = s.runUDP(conn, control)
			_ = conn.Close() // the other workers end with this one
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

func (s *Server) runUDP(conn *net.UDPConn, control control) error {
	query, answer, oob := make([]byte, maxSize+1), make([]byte, maxSize), make([]byte, controlSize)
	for {
		n, oobn, _, remote, err := conn.ReadMsgUDPAddrPort(query, oob)
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return err
		}
		local, ok := control.asked(oob[:oobn])
		if !ok {
			continue // it cannot be answered from the right address
		}
		if packed := s.respond(local, remote.Addr(), query[:n], answer, true); packed != nil {
			// What cannot be sent is lost like any datagram; the client asks again.
			_, _, _ = conn.WriteMsgUDPAddrPort(packed, control.from(local), remote)
		}
	}
}
