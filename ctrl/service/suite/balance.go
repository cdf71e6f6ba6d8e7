package suite

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

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

// dial connects to a target from the load balancer's address in the consumer's availability zone.
func (s *Suite) dial(ctx context.Context, c service.Caller, t privatelink.Target) (*net.TCPConn, error) {
	from, ok := s.config.Directory.Balancer(t.Service, zoneOf(c))
	to, known := s.config.Directory.Target(t.Service.VPC, t.Addr.Addr())
	if !ok || !known {
		return nil, fmt.Errorf("endpoint service %s has no way to %s", t.Service, t.Addr)
	}
	var conn net.Conn
	err := s.config.Open(func() (err error) {
		dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
		conn, err = dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(to, t.Addr.Port()).String())
		return err
	})
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
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
