package vpc

import (
	"iter"
	"net/netip"
	"slices"
	"strings"
)

// VPC finds a VPC by name, or nil.
func (m *Model) VPC(name string) *VPC {
	return find(m.VPCs, name, func(v *VPC) string { return v.Name })
}

// Host finds a host of the internet by name, or nil.
func (m *Model) Host(name string) *Host {
	return find(m.Hosts, name, func(h *Host) string { return h.Name })
}

// Subnet finds a subnet by name, or nil.
func (v *VPC) Subnet(name string) *Subnet {
	return find(v.Subnets, name, func(s *Subnet) string { return s.Name })
}

// RouteTable finds a route table by name, or nil.
func (v *VPC) RouteTable(name string) *RouteTable {
	return find(v.RouteTables, name, func(t *RouteTable) string { return t.Name })
}

// ACL finds a network ACL by name, or nil.
func (v *VPC) ACL(name string) *ACL {
	return find(v.ACLs, name, func(a *ACL) string { return a.Name })
}

// PrefixList finds a prefix list by name, or nil: one of the VPC's, or AWS's own of a service that has gateway endpoints ("s3").
func (v *VPC) PrefixList(name string) *PrefixList {
	if l := find(v.PrefixLists, name, func(l *PrefixList) string { return l.Name }); l != nil {
		return l
	}
	return v.managedList(name)
}

// managedList is the AWS-managed prefix list of a service in the VPC's region, or nil.
func (v *VPC) managedList(code string) *PrefixList {
	s, ok := FindService(code)
	if !ok || !s.Gateway {
		return nil
	}
	id := NewID("pl", "aws", v.Region, "", "prefix_list", code)
	return &PrefixList{Name: code, ID: PrefixListID(id), Entries: []netip.Prefix{s.Prefix(v.Region)}}
}

// SecurityGroup finds a security group by name, or nil.
func (v *VPC) SecurityGroup(name string) *SecurityGroup {
	return find(v.SecurityGroups, name, func(g *SecurityGroup) string { return g.Name })
}

// Instance finds an instance by name, or nil.
func (v *VPC) Instance(name string) *Instance {
	return find(v.Instances, name, func(i *Instance) string { return i.Name })
}

// NATGateway finds a NAT gateway by name, or nil.
func (v *VPC) NATGateway(name string) *NATGateway {
	return find(v.NATGateways, name, func(g *NATGateway) string { return g.Name })
}

// Endpoint finds a VPC endpoint by name, or nil.
func (v *VPC) Endpoint(name string) *Endpoint {
	return find(v.Endpoints, name, func(e *Endpoint) string { return e.Name })
}

// EndpointInterface finds an interface of an interface endpoint by the endpoint's name if it has no other, else by NAME.SUBNET, which
// may be written always; or nil.
func (v *VPC) EndpointInterface(name string) *EndpointInterface {
	endpoint, subnet, whole := strings.Cut(name, ".")
	e := v.Endpoint(endpoint)
	switch {
	case e == nil:
		return nil
	case whole:
		return interfaceIn(e.Interfaces, subnet)
	case len(e.Interfaces) == 1:
		return e.Interfaces[0]
	}
	return nil
}

// endpointInterfaceNames are what EndpointInterface knows all interfaces of the VPC's endpoints by.
func (v *VPC) endpointInterfaceNames() []string {
	var names []string
	for _, e := range v.Endpoints {
		names = append(names, e.interfaceNames()...)
	}
	return names
}

func (e *Endpoint) interfaceNames() []string {
	if len(e.Interfaces) == 1 {
		return []string{e.Name}
	}
	return namesOf(e.Interfaces, func(i *EndpointInterface) string { return e.Name + "." + i.Subnet })
}

// EndpointService finds an endpoint service by name, or nil.
func (v *VPC) EndpointService(name string) *EndpointService {
	return find(v.EndpointServices, name, func(s *EndpointService) string { return s.Name })
}

// EndpointService finds the endpoint service of one's own that r names, or nil; of an AWS service it is nil, too.
func (m *Model) EndpointService(r ServiceRef) *EndpointService {
	if v := m.VPC(r.VPC); r.VPC != "" && v != nil {
		return v.EndpointService(r.Name)
	}
	return nil
}

// ZoneDown reports whether an availability zone is down at present.
func (m *Model) ZoneDown(zone string) bool { return slices.Contains(m.DownZones, zone) }

// ENI finds an interface by its Name ("firewall", "firewall.eth1"), or nil.
func (v *VPC) ENI(name string) *ENI {
	for _, e := range v.InstanceENIs() {
		if e.Name == name {
			return e
		}
	}
	return nil
}

// InstanceENIs walks the interfaces of all instances, in file order.
func (v *VPC) InstanceENIs() iter.Seq2[*Instance, *ENI] {
	return func(yield func(*Instance, *ENI) bool) {
		for _, i := range v.Instances {
			for _, e := range i.Interfaces {
				if !yield(i, e) {
					return
				}
			}
		}
	}
}

// Resolver is the address of the VPC's DNS server: the primary CIDR's base plus two (VPC user guide, subnet sizing).
func (v *VPC) Resolver() netip.Addr {
	if len(v.CIDRs) == 0 {
		return netip.Addr{}
	}
	return offset(v.CIDRs[0], 2)
}

// Router4 is the subnet's IPv4 router: its base plus one. It is invalid in an IPv6-only subnet.
func (s *Subnet) Router4() netip.Addr { return offset(s.CIDR, 1) }

// Reserved reports whether AWS keeps addr of this subnet for itself: of each family the first four addresses and the last (VPC
// user guide, subnet sizing).
func (s *Subnet) Reserved(addr netip.Addr) bool {
	p := s.prefix(addr)
	if !p.IsValid() || !p.Contains(addr) {
		return false
	}
	first := offset(p, firstUsable)
	return !first.IsValid() || addr.Less(first) || addr == lastAddr(p)
}

// prefix is the subnet's prefix of the family of addr; it may be invalid.
func (s *Subnet) prefix(addr netip.Addr) netip.Prefix {
	if addr.Is4() {
		return s.CIDR
	}
	return s.IPv6
}

func find[T any](all []*T, name string, nameOf func(*T) string) *T {
	for _, x := range all {
		if nameOf(x) == name {
			return x
		}
	}
	return nil
}

// firstUsable is the offset of a subnet's first address that is not reserved.
const firstUsable = 4

// offset is the n-th address of p, or the invalid address when p is invalid or the family has no address there.
func offset(p netip.Prefix, n int) netip.Addr {
	if !p.IsValid() {
		return netip.Addr{}
	}
	a := p.Masked().Addr()
	for ; n > 0 && a.IsValid(); n-- {
		a = a.Next()
	}
	return a
}

// lastAddr is the highest address of p, which must be valid.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < 8*len(b); bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
