package dns

import (
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

// internet has the names that everybody resolves, to the same addresses: the lab's internet is the only one there is.
func internet(m *vpc.Model) *zone {
	z := newZone(".", nil)
	for _, h := range m.Hosts {
		z.addHost(h)
	}
	for _, region := range regions(m) {
		z.addServices(region)
	}
	for _, v := range m.VPCs {
		if named(v) {
			z.addPublic(v)
		}
		for _, e := range v.Endpoints {
			z.addEndpoint(m, v, e)
		}
	}
	return z
}

func (z *zone) addHost(h *vpc.Host) {
	for _, name := range h.Names {
		z.add(addresses(name, h.Addrs...)...)
	}
	if len(h.Names) == 0 {
		return
	}
	for _, a := range h.Addrs {
		z.add(pointer(a, h.Names[0]))
	}
}

// regions are AWS's, and those of the lab.
func regions(m *vpc.Model) []string {
	all := append(vpc.Regions(), m.Region)
	for _, v := range m.VPCs {
		all = append(all, v.Region)
	}
	for _, b := range m.Services.Buckets {
		all = append(all, b.Region)
	}
	for _, t := range m.Services.Tables {
		all = append(all, t.Region)
	}
	all = slices.DeleteFunc(all, func(region string) bool { return region == "" })
	slices.Sort(all)
	return slices.Compact(all)
}

func (z *zone) addServices(region string) {
	for _, s := range vpc.ServiceCatalog() {
		names := serviceNames(s, region)
		if region == firstRegion {
			names = append(names, globalNames(s)...)
		}
		for _, name := range names {
			z.add(addresses(name, s.Addr(region))...)
		}
	}
}

// addPublic adds the VPC's public host names, as they resolve outside it.
func (z *zone) addPublic(v *vpc.VPC) {
	for _, i := range interfaces(v) {
		if i.public.IsValid() {
			name := publicName(v.Region, i.public)
			z.add(addresses(name, i.public)...)
			z.add(pointer(i.public, name))
		}
	}
}

// addEndpoint adds an endpoint's own names: public ones, which resolve to private addresses (PrivateLink guide, DNS names).
func (z *zone) addEndpoint(m *vpc.Model, v *vpc.VPC, e *vpc.Endpoint) {
	names := EndpointNames(m, v, e)
	if len(names) == 0 || e.State != vpc.EndpointAvailable {
		return
	}
	z.addEndpointName(e, names[0], healthy(m, v, e)...)
	for i := range e.Interfaces {
		z.addEndpointName(e, names[1+i], e.Interfaces[i])
	}
}

func (z *zone) addEndpointName(e *vpc.Endpoint, name string, at ...*vpc.EndpointInterface) {
	z.add(endpointAddresses(e, name, at)...)
	if e.Service == (vpc.ServiceRef{Name: "s3"}) {
		z.add(endpointAddresses(e, "*."+name, at)...)
	}
}

func endpointAddresses(e *vpc.Endpoint, name string, at []*vpc.EndpointInterface) (records []dns.RR) {
	for _, i := range at {
		records = append(records, addresses(name, i.IP)...)
		if e.DualStack {
			records = append(records, addresses(name, i.IPv6)...)
		}
	}
	return records
}

// healthy are the endpoint's interfaces in zones that are up. If there are none, all are: so Route 53 does when nothing is healthy (Route 53
// developer guide, how it chooses records when health checking is configured).
func healthy(m *vpc.Model, v *vpc.VPC, e *vpc.Endpoint) []*vpc.EndpointInterface {
	up := slices.DeleteFunc(slices.Clone(e.Interfaces), func(i *vpc.EndpointInterface) bool {
		return slices.Contains(m.DownZones, zoneOf(v, i))
	})
	if len(up) == 0 {
		return e.Interfaces
	}
	return up
}

// mapping is a private IPv4 address of an interface, and the public one in front of it if there is one.
type mapping struct{ private, public netip.Addr }

// interfaces are the IPv4 addresses of all interfaces in the VPC: of instances, NAT gateways, endpoints and load balancers.
func interfaces(v *vpc.VPC) (all []mapping) {
	for _, e := range v.InstanceENIs() {
		all = append(all, mapping{e.IP, e.Public})
		for _, a := range e.Secondary {
			all = append(all, mapping{private: a})
		}
	}
	for _, g := range v.NATGateways {
		for _, a := range g.Addresses {
			all = append(all, mapping{a.IP, a.Public})
		}
	}
	for _, e := range v.Endpoints {
		all = append(all, mappings(e.Interfaces)...)
	}
	for _, s := range v.EndpointServices {
		all = append(all, mappings(s.Interfaces)...)
	}
	return slices.DeleteFunc(all, func(i mapping) bool { return !i.private.IsValid() })
}

func mappings(of []*vpc.EndpointInterface) (all []mapping) {
	for _, i := range of {
		all = append(all, mapping{private: i.IP})
	}
	return all
}
