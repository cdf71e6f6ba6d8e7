package vpc

import (
	"fmt"
	"net/netip"
	"slices"
)

const (
	// maxRoutes is the quota of routes that are not propagated, per table and family; a prefix list counts as its entries.
	maxRoutes = 500
	// maxEntries is the quota of a prefix list.
	maxEntries = 1000
)

// prefixList judges a prefix list: one address family, no entry twice.
func (c *completion) prefixList(v *VPC, l *PrefixList) {
	at := pathOf(v).at("prefix_lists", l.Name)
	c.quotaEntries(at, l)
	if v.managedList(l.Name) != nil {
		c.report(at, fmt.Sprintf("the prefix list '%s' is managed by AWS", l.Name),
			fmt.Sprintf("pl.%s has the service's addresses in the VPC's region: give yours another name", l.Name))
	}
	seen := map[netip.Prefix]bool{}
	for i, entry := range l.Entries {
		at := at.element(i, len(l.Entries))
		switch {
		case !isIPv4(entry) && !isIPv6(entry):
			c.report(at, fmt.Sprintf("%s is not a CIDR block", entry), "write it like 10.50.0.0/16")
		case isIPv4(entry) != isIPv4(l.Entries[0]):
			c.report(at, fmt.Sprintf("%s is not of the address family of %s", entry, l.Entries[0]),
				"a prefix list holds IPv4 or IPv6 blocks, not both: make two lists")
		case seen[entry]:
			c.report(at, fmt.Sprintf("the prefix list already has an entry %s", entry), "remove one of the two")
		}
		seen[entry] = true
	}
}

func (c *completion) quotaEntries(at path, l *PrefixList) {
	if len(l.Entries) > maxEntries {
		c.report(at, "the maximum number of entries has been reached",
			fmt.Sprintf("there are %d and a prefix list has at most %d", len(l.Entries), maxEntries))
	}
}

// routeTable judges one route table.
func (c *completion) routeTable(v *VPC, t *RouteTable) {
	if t.Inline && t.Name == Main {
		c.report(pathOf(v).at("subnets", t.Name, "routes"), "the route table 'main' already exists",
			"rename the subnet, whose own table would be called main too, or declare the routes in route_tables.main")
	}
	type row struct {
		destination netip.Prefix
		list        string
		origin      RouteOrigin
	}
	seen := map[row]bool{}
	var routes4, routes6 int
	for i := range t.Routes {
		r := &t.Routes[i]
		at := routesPath(v, t).at(c.written[r])
		id := row{r.Destination, r.PrefixList, r.Origin}
		if seen[id] {
			c.report(at, fmt.Sprintf("the route identified by %s already exists", destinationText(r)), "remove one of the two")
		}
		seen[id] = true
		c.target(at, v, r)
		c.destination(at, v, r)
		for _, d := range destinations(v, &RouteTable{Routes: t.Routes[i : i+1]}) {
			switch {
			case r.Origin >= PropagatedDX:
			case d.Addr().Is4():
				routes4++
			default:
				routes6++
			}
		}
	}
	c.quotaRoutes(routesPath(v, t), routes4, "IPv4")
	c.quotaRoutes(routesPath(v, t), routes6, "IPv6")
}

func (c *completion) quotaRoutes(at path, n int, family string) {
	if n > maxRoutes {
		c.report(at, "the maximum number of routes has been reached",
			fmt.Sprintf("there are %d %s routes and a route table has at most %d; a prefix list counts as its entries", n, family, maxRoutes))
	}
}

// target judges what a route leads to. What a change removed makes it a blackhole; what never existed is an error.
func (c *completion) target(at path, v *VPC, r *Route) {
	switch r.Target.Kind {
	case TargetLocal, TargetBlackhole:
	case TargetInternetGateway:
		if v.InternetGateway {
			return
		}
		if r.Blackhole = c.removed[v.Name+"/igw"]; !r.Blackhole {
			c.report(at, fmt.Sprintf("the internet gateway of VPC '%s' does not exist", v.Name),
				fmt.Sprintf("set `internet_gateway: true` in VPC %s", v.Name))
		}
	case TargetEgressOnly:
		if v.EgressOnlyGateway {
			return
		}
		if r.Blackhole = c.removed[v.Name+"/eigw"]; !r.Blackhole {
			c.report(at, fmt.Sprintf("the egress-only internet gateway of VPC '%s' does not exist", v.Name),
				fmt.Sprintf("set `egress_only_gateway: true` in VPC %s", v.Name))
		}
	case TargetNATGateway:
		if v.NATGateway(r.Target.Name) != nil {
			return
		}
		if r.Blackhole = c.removed[v.Name+"/nat."+r.Target.Name]; !r.Blackhole {
			names := namesOf(v.NATGateways, func(g *NATGateway) string { return g.Name })
			c.report(at, fmt.Sprintf("the NAT gateway '%s' does not exist", r.Target.Name), declareOr("nat_gateways", r.Target.Name, names))
		}
	case TargetPeering:
		c.targetPeering(at, v, r)
	case TargetInstance:
		if v.Instance(r.Target.Name) != nil {
			return
		}
		if r.Blackhole = c.removed[v.Name+"/instance."+r.Target.Name]; !r.Blackhole {
			names := namesOf(v.Instances, func(i *Instance) string { return i.Name })
			c.report(at, fmt.Sprintf("the instance '%s' does not exist", r.Target.Name), declareOr("instances", r.Target.Name, names))
		}
	case TargetENI:
		if v.ENI(r.Target.Name) != nil {
			return
		}
		if r.Blackhole = c.removed[v.Name+"/eni."+r.Target.Name]; !r.Blackhole {
			var names []string
			for _, e := range v.InstanceENIs() {
				names = append(names, e.Name)
			}
			c.report(at, fmt.Sprintf("the network interface '%s' does not exist", r.Target.Name),
				declareOr("interfaces", r.Target.Name, names))
		}
	case TargetEndpoint:
		c.report(at, fmt.Sprintf("route table contains unsupported route target: %s. VPC Endpoints of this type cannot be used as route targets",
			r.Target), "name this table in a gateway endpoint's `route_tables`: its row comes and goes with that")
	default:
		c.report(at, fmt.Sprintf("'%s' is not a route target", r.Target.Kind),
			"use igw, eigw, nat.NAME, peering.NAME, instance.NAME, eni.NAME, local or blackhole")
	}
}

// destination judges where a route applies.
func (c *completion) destination(at path, v *VPC, r *Route) {
	if r.PrefixList == "" {
		c.destinationPrefix(at, v, r, r.Destination)
		return
	}
	l := v.PrefixList(r.PrefixList)
	if v.managedList(r.PrefixList) != nil {
		c.report(at, fmt.Sprintf("a route for the AWS-managed prefix list pl.%s cannot be created", r.PrefixList),
			fmt.Sprintf("a gateway endpoint of %s makes it: name this table in the endpoint's `route_tables`", r.PrefixList))
		return
	}
	if l == nil {
		c.report(at, fmt.Sprintf("the prefix list '%s' does not exist", r.PrefixList),
			declareOr("prefix_lists", r.PrefixList, namesOf(v.PrefixLists, func(l *PrefixList) string { return l.Name })))
		return
	}
	for _, entry := range l.Entries {
		if !c.destinationPrefix(at, v, r, entry) {
			return
		}
	}
}

// destinationPrefix judges one prefix that a route applies to (VPC user guide, subnet route tables).
func (c *completion) destinationPrefix(at path, v *VPC, r *Route, d netip.Prefix) bool {
	switch {
	case !isIPv4(d) && !isIPv6(d):
		c.report(at, fmt.Sprintf("'%s' is not a destination CIDR block", d), "write it like 10.50.0.0/16 or ::/0")
		return false
	case inside(d, serviceIPv4), inside(d, serviceIPv6):
		c.report(at, fmt.Sprintf("the destination CIDR block %s is not allowed", d),
			fmt.Sprintf("%s and %s belong to every VPC's services; a larger block is allowed and does not reach them",
				serviceIPv4, serviceIPv6))
		return false
	case r.Target.Kind == TargetEgressOnly && isIPv4(d):
		c.report(at, fmt.Sprintf("value (%s) for parameter destinationCidrBlock is invalid", d),
			"an egress-only internet gateway carries IPv6 traffic only: route ::/0 or a narrower block to it, and IPv4 to nat.NAME")
		return false
	case r.Target.Kind == TargetNATGateway && isIPv6(d) && !inside(d, nat64):
		c.report(at, fmt.Sprintf("value (%s) for parameter destinationIpv6CidrBlock is invalid", d),
			fmt.Sprintf("a NAT gateway carries IPv6 to %s only (NAT64): route other IPv6 to eigw or igw", nat64))
		return false
	case r.Target.Kind == TargetLocal && (r.PrefixList != "" || !v.isLocal(d)):
		c.report(at, fmt.Sprintf("the destination CIDR block %s is not one of this VPC's CIDR blocks", d),
			"`local` stands for the VPC's own CIDR blocks only: "+list(v.prefixes()))
		return false
	case r.Target.Kind != TargetLocal && insideAny(d, v.prefixes()):
		return c.insideLocal(at, v, r, d)
	}
	return true
}

// insideLocal judges a route that is equal to or more specific than a local one: it must be for a whole CIDR of the VPC or of a
// subnet, and lead to an interface or a NAT gateway. A blackhole may be what is left of such a route.
func (c *completion) insideLocal(at path, v *VPC, r *Route, d netip.Prefix) bool {
	whole := v.isLocal(d) && r.PrefixList == "" ||
		slices.ContainsFunc(v.Subnets, func(s *Subnet) bool { return s.CIDR == d || s.IPv6 == d })
	targets := []TargetKind{TargetInstance, TargetENI, TargetNATGateway, TargetBlackhole}
	what := fmt.Sprintf("the destination CIDR block %s is equal to or more specific than one of this VPC's CIDR blocks", d)
	switch {
	case !slices.Contains(targets, r.Target.Kind):
		c.report(at, what, "this route can target only an interface, an instance or a NAT gateway")
	case !whole:
		c.report(at, what, "this route must be for the whole CIDR block of a subnet: "+list(subnetPrefixes(v, d)))
	default:
		return true
	}
	return false
}

// nat64 are the IPv6 addresses that stand for IPv4 ones (RFC 6052). A NAT gateway translates what is sent to them (VPC user guide,
// DNS64 and NAT64).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// subnetPrefixes are the CIDRs of the VPC's subnets in the family of p.
func subnetPrefixes(v *VPC, p netip.Prefix) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range v.Subnets {
		if q := s.prefix(p.Addr()); q.IsValid() {
			all = append(all, q)
		}
	}
	return all
}

func destinationText(r *Route) string {
	if r.PrefixList != "" {
		return "pl." + r.PrefixList
	}
	return r.Destination.String()
}
