package suite

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/service/privatelink"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// offers are the endpoint services of a model, as their load balancer sees them.
func offers(m *vpc.Model) []privatelink.Service {
	var all []privatelink.Service
	for _, v := range m.VPCs {
		for _, s := range v.EndpointServices {
			offer := privatelink.Service{Ref: vpc.ServiceRef{VPC: v.Name, Name: s.Name}, Ports: s.Ports, ProxyProtocol: s.ProxyProtocol}
			for _, name := range s.Targets {
				if i := v.Instance(name); i != nil && i.Interfaces[0].IP.IsValid() {
					offer.Targets = append(offer.Targets, i.Interfaces[0].IP)
				}
			}
			all = append(all, offer)
		}
	}
	return all
}

// healthy reports whether a target's availability zone is up.
func (s *Suite) healthy(t privatelink.Target) bool {
	m := s.model.Load()
	v := m.VPC(t.Service.VPC)
	if v == nil {
		return false
	}
	for i, e := range v.InstanceENIs() {
		if e.IP == t.Addr.Addr() {
			return !slices.Contains(m.DownZones, v.Subnet(i.Interfaces[0].Subnet).AZ)
		}
	}
	return false
}

// dial connects to a target from the load balancer's address in the consumer's availability zone. It gives up as soon as the network has
// dropped a packet of the handshake, as nothing tells the socket.
func (s *Suite) dial(ctx context.Context, consumer privatelink.Ends, c service.Caller, t privatelink.Target) (*net.TCPConn, error) {
	from, ok := s.config.Directory.Balancer(t.Service, zoneOf(c))
	to, known := s.config.Directory.Target(t.Service.VPC, t.Addr.Addr())
	if !ok || !known {
		return nil, fmt.Errorf("endpoint service %s has no way to %s", t.Service, t.Addr)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel(nil)
	call := privatelink.Ends{To: netip.AddrPortFrom(to, t.Addr.Port())}
	dialer := net.Dialer{ControlContext: func(ctx context.Context, _, _ string, socket syscall.RawConn) (err error) {
		if call.From, err = bind(socket, from); err == nil {
			refused := s.config.Join(consumer, call)
			watching.Go(func() { runWatch(ctx, refused, cancel) })
		}
		return err
	}}
	var conn net.Conn
	err := s.config.Open(func() (err error) {
		conn, err = dialer.DialContext(ctx, "tcp", call.To.String())
		return err
	})
	switch {
	case err == nil:
		return conn.(*net.TCPConn), nil
	case context.Cause(ctx) == errRefused:
		return nil, fmt.Errorf("%s at %s: %w", t.Service, t.Addr, errRefused)
	}
	return nil, err
}

var errRefused = errors.New("the network drops what is sent there, or its answers")

// runWatch cancels a call that the network refuses.
func runWatch(ctx context.Context, refused func() bool, cancel context.CancelCauseFunc) {
	const often = 5 * time.Millisecond
	beat := time.NewTicker(often)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			if refused() {
				cancel(errRefused)
				return
			}
		}
	}
}

// bind gives a socket an address and a free port, before it connects.
func bind(socket syscall.RawConn, addr netip.Addr) (bound netip.AddrPort, err error) {
	controlErr := socket.Control(func(fd uintptr) {
		if err = syscall.Bind(int(fd), &syscall.SockaddrInet4{Addr: addr.As4()}); err != nil {
			return
		}
		var name syscall.Sockaddr
		if name, err = syscall.Getsockname(int(fd)); err == nil {
			bound = netip.AddrPortFrom(addr, uint16(name.(*syscall.SockaddrInet4).Port))
		}
	})
	return bound, errors.Join(controlErr, err)
}

// zoneOf is the availability zone of the endpoint's interface by which a request came.
func zoneOf(c service.Caller) string {
	if c.Endpoint == nil {
		return ""
	}
	for _, i := range c.Endpoint.Interfaces {
		if i.IP == c.Asked || i.IPv6 == c.Asked {
			return c.VPC.Subnet(i.Subnet).AZ
		}
	}
	return ""
}
