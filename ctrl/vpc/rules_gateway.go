package vpc

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
)

// Numbers of NAT gateways (VPC user guide, quotas; NAT gateway basics).
const (
	maxNATGateways  = 5 // zonal ones per account and zone
	maxNATAddresses = 8 // of one: the primary and seven secondary ones
)

// natGateway judges one NAT gateway, apart from its addresses.
func (c *completion) natGateway(v *VPC, g *NATGateway) {
	at := natPath(v, g)
	if len(g.Addresses) > maxNATAddresses {
		c.report(at.at("secondary"), "the maximum number of addresses per NAT gateway has been reached",
			fmt.Sprintf("there are %d and a NAT gateway has at most %d: the primary and seven secondary ones",
				len(g.Addresses), maxNATAddresses))
	}
	s := v.Subnet(g.Subnet)
	if s == nil {
		c.report(at.at("subnet"), fmt.Sprintf("the subnet '%s' does not exist", g.Subnet),
			declareOr("subnets", g.Subnet, namesOf(v.Subnets, func(s *Subnet) string { return s.Name })))
		return
	}
	if !s.CIDR.IsValid() {
		c.report(at.at("subnet"), fmt.Sprintf("subnet '%s' has no IPv4 addresses for NAT gateway '%s'", s.Name, g.Name),
			"use a subnet with a `cidr`; for IPv6 alone there is `egress_only_gateway`")
	}
	zone := v.Account + "/" + s.AZ
	if c.natGateways[zone]++; c.natGateways[zone] > maxNATGateways {
		c.report(at, fmt.Sprintf("performing this operation would exceed the limit of %d NAT gateways", maxNATGateways),
			fmt.Sprintf("account %s has as many in %s already: use a subnet of another zone", v.Account, s.AZ))
	}
}

// egressOnly judges whether an egress-only internet gateway has anything to carry.
func (c *completion) egressOnly(v *VPC) {
	if v.EgressOnlyGateway && len(v.IPv6) == 0 {
		c.report(pathOf(v).at("egress_only_gateway"), fmt.Sprintf("VPC '%s' has no IPv6 CIDR block", v.Name),
			"an egress-only internet gateway carries IPv6 only: give the VPC an `ipv6`, or route IPv4 to a NAT gateway")
	}
}

// edgeRoutes judges the route table of the internet gateway (VPC user guide, gateway route tables).
func (c *completion) edgeRoutes(v *VPC) {
	if len(v.EdgeRoutes) > 0 && !v.InternetGateway {
		c.report(edgePath(v), fmt.Sprintf("the internet gateway of VPC '%s' does not exist", v.Name),
			fmt.Sprintf("set `internet_gateway: true` in VPC %s", v.Name))
	}
	seen := map[netip.Prefix]bool{}
	var routes4, routes6 int
	for i := range v.EdgeRoutes {
		r := &v.EdgeRoutes[i]
		at := edgePath(v).at(c.written[r])
		if !c.edgeTarget(at, v, r) || !c.edgeDestination(at, v, r) {
			continue
		}
		if seen[r.Destination] {
			c.report(at, fmt.Sprintf("the route identified by %s already exists", r.Destination), "remove one of the two")
		}
		seen[r.Destination] = true
		if isIPv4(r.Destination) {
			routes4++
		} else {
			routes6++
		}
	}
	c.quotaRoutes(edgePath(v), routes4, "IPv4")
	c.quotaRoutes(edgePath(v), routes6, "IPv6")
}

func (c *completion) edgeTarget(at path, v *VPC, r *Route) bool {
	const whose = "the internet gateway's route table"
	switch {
	case r.PrefixList != "":
		c.report(at, whose+" cannot have a route for a prefix list", "write its CIDR blocks out")
	case r.Origin >= PropagatedDX:
		c.report(at, whose+" cannot have propagated routes", "turn route propagation off")
	case !slices.Contains([]TargetKind{TargetLocal, TargetInstance, TargetENI}, r.Target.Kind):
		c.report(at, fmt.Sprintf("%s cannot have %s as a target", whose, r.Target), "its targets are local, instance.NAME and eni.NAME")
	default:
		c.target(at, v, r)
		return true
	}
	return false
}

func (c *completion) edgeDestination(at path, v *VPC, r *Route) bool {
	d := r.Destination
	if !isIPv4(d) && !isIPv6(d) {
		c.report(at, fmt.Sprintf("'%s' is not a destination CIDR block", d), "write it like 10.0.1.0/24")
		return false
	}
	otherFamily := func(p netip.Prefix) bool { return isIPv4(p) != isIPv4(d) }
	whole := slices.DeleteFunc(append(v.prefixes(), subnetPrefixes(v, d)...), otherFamily)
	if slices.Contains(whole, d) {
		return true
	}
	what := fmt.Sprintf("the destination CIDR block %s is not the whole of one of this VPC's CIDR blocks or subnets", d)
	if !insideAny(d, v.prefixes()) {
		what = fmt.Sprintf("the destination CIDR block %s is outside this VPC's CIDR blocks", d)
	}
	hint := "the internet gateway's route table is for what comes in to a whole CIDR block of the VPC or of a subnet"
	if len(whole) > 0 {
		hint += ": " + list(whole)
	}
	c.report(at, what, hint)
	return false
}

// mapped are the VPC's public IPv4 addresses, those of instances first.
func (v *VPC) mapped() iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for _, e := range v.InstanceENIs() {
			if e.Public.IsValid() && !yield(e.Public) {
				return
			}
		}
		for _, g := range v.NATGateways {
			for _, a := range g.Addresses {
				if a.Public.IsValid() && !yield(a.Public) {
					return
				}
			}
		}
	}
}

// gateway judges whether public addresses have the internet gateway that maps them.
func (c *completion) gateway(v *VPC) {
	if v.InternetGateway {
		return
	}
	if c.before(v).InternetGateway {
		for range v.mapped() {
			c.stillMapped(v)
			return
		}
	}
	bySubnet := map[string]bool{}
	for i, e := range v.InstanceENIs() {
		if !e.Public.IsValid() {
			continue
		}
		at := eniPath(v, i, e).at("eip")
		if e.PublicDrawn && !e.AutoPublic {
			if bySubnet[e.Subnet] {
				continue
			}
			bySubnet[e.Subnet] = true
			at = pathOf(v).at("subnets", e.Subnet, "public_ip")
		}
		c.report(at, fmt.Sprintf("network %s is not attached to any internet gateway", v.Name),
			fmt.Sprintf("a public address needs one: set `internet_gateway: true` in VPC %s", v.Name))
	}
	for _, g := range v.NATGateways {
		if !g.Private {
			c.report(natPath(v, g), fmt.Sprintf("network %s has no Internet gateway attached", v.Name), fmt.Sprintf(
				"a public NAT gateway needs one: set `internet_gateway: true` in VPC %s, or make it `type: private`", v.Name))
		}
	}
}

// stillMapped reports that an internet gateway cannot be detached, and who keeps it from that.
func (c *completion) stillMapped(v *VPC) {
	hint := "please unmap those public address(es) before detaching the gateway:"
	for i, e := range v.InstanceENIs() {
		switch {
		case !e.Public.IsValid():
		case e.PublicDrawn && !e.AutoPublic:
			hint += fmt.Sprintf(" remove instance %s, which has had %s since its launch;", i.Name, e.Public)
		default:
			hint += fmt.Sprintf(" take eip %s from %s;", e.Public, e.Name)
		}
	}
	for _, g := range v.NATGateways {
		if a := g.Addresses[0].Public; a.IsValid() {
			hint += fmt.Sprintf(" remove NAT gateway %s, which has %s;", g.Name, a)
		}
	}
	c.report(pathOf(v).at("internet_gateway"), fmt.Sprintf("network %s has some mapped public address(es)", v.Name),
		hint[:len(hint)-1])
}
