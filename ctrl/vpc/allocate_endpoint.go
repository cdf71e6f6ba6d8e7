package vpc

// managed is an interface that AWS manages for an endpoint, or for the load balancer of an endpoint service.
type managed struct {
	*EndpointInterface
	subnet *Subnet
	before *EndpointInterface // as it was before the change; nil: it is new
	dual   bool               // it has an IPv6 address, too
	holder
}

// requesterManaged lists the VPC's managed interfaces whose subnets exist: those of endpoints in file order, then those of load
// balancers in theirs.
func (c *completion) requesterManaged(v *VPC) []managed {
	var all []managed
	add := func(interfaces, before []*EndpointInterface, dual bool, h holder) {
		for _, i := range interfaces {
			if s := v.Subnet(i.Subnet); s != nil {
				all = append(all, managed{i, s, interfaceIn(before, i.Subnet), dual, h})
			}
		}
	}
	for _, e := range v.Endpoints {
		var before []*EndpointInterface
		if old := c.sameEndpoint(v, e); old != nil {
			before = old.Interfaces
		}
		add(e.Interfaces, before, e.DualStack, holder{"endpoint " + e.Name, endpointPath(v, e)})
	}
	for _, s := range v.EndpointServices {
		var before []*EndpointInterface
		if old := c.before(v).EndpointService(s.Name); old != nil {
			before = old.Interfaces
		}
		add(s.Interfaces, before, false, holder{"endpoint service " + s.Name, servicePath(v, s)})
	}
	return all
}

func interfaceIn(all []*EndpointInterface, subnet string) *EndpointInterface {
	return find(all, subnet, func(i *EndpointInterface) string { return i.Subnet })
}

// sameEndpoint is the endpoint as it was before the change, or nil if it is a new one.
func (c *completion) sameEndpoint(v *VPC, e *Endpoint) *Endpoint {
	old := c.before(v).Endpoint(e.Name)
	if old == nil || old.Type != e.Type || old.Service != e.Service {
		return nil
	}
	return old
}

// namedManaged judges and enters the address that the file names.
func (c *completion) namedManaged(taken book, m managed) {
	if m.IP.IsValid() {
		c.private(taken, m.subnet, m.IP, holder{m.name, m.at.at("ip", m.Subnet)})
	}
}

// keptManaged gives an interface the addresses that it had before a change.
func (c *completion) keptManaged(taken book, m managed) {
	if m.before == nil {
		return
	}
	if !m.IP.IsValid() && m.subnet.usable(m.before.IP) && c.keep(taken, m.before.IP, m.holder) {
		m.IP = m.before.IP
	}
	if m.dual && m.subnet.usable(m.before.IPv6) && c.keep(taken, m.before.IPv6, m.holder) {
		m.IPv6 = m.before.IPv6
	}
}

// freeManaged gives an interface the lowest free address of each family that it has none of yet.
func (c *completion) freeManaged(taken book, m managed) {
	if !m.IP.IsValid() && isIPv4(m.subnet.CIDR) {
		m.IP = c.lowest(taken, m.subnet, m.subnet.CIDR, m.holder)
	}
	if m.dual && !m.IPv6.IsValid() && isIPv6(m.subnet.IPv6) {
		m.IPv6 = c.lowest(taken, m.subnet, m.subnet.IPv6, m.holder)
	}
}
