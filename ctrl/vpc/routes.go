package vpc

import (
	"net/netip"
	"slices"
)

// Precedence among routes of one prefix (VPC user guide, route priority); the lower wins.
const (
	rankReplacesLocal = iota // a route for a whole VPC CIDR that leads to an interface or NAT gateway replaces the local one
	rankLocal
	rankStatic
	rankPrefixList
	rankPropagated // and then by origin
)

// EffectiveRoutes is what t means for a packet: the local routes of all CIDRs, the table's own, and the rows of the gateway endpoints
// that are associated with it; prefix lists expanded, and of routes with one prefix only the one that AWS prefers (static, prefix list,
// Direct Connect, VPN static, VPN BGP; among equals the first). Longest-prefix match over the result is the whole rule: a blackhole is a route like any other and drops what it matches.
func (v *VPC) EffectiveRoutes(t *RouteTable) []Route {
	var routes []Route
	at := map[netip.Prefix]int{}    // index in routes
	ranks := map[netip.Prefix]int{} // of the route that is there
	add := func(r Route, rank int) {
		i, taken := at[r.Destination]
		switch {
		case !taken:
			at[r.Destination], ranks[r.Destination] = len(routes), rank
			routes = append(routes, r)
		case rank < ranks[r.Destination]:
			routes[i], ranks[r.Destination] = r, rank
		}
	}
	for _, cidr := range v.prefixes() {
		add(Route{Destination: cidr, Target: Target{Kind: TargetLocal}, Origin: CreateRouteTable}, rankLocal)
	}
	for _, r := range t.Routes {
		if r.PrefixList == "" {
			add(r, v.rank(r))
			continue
		}
		list := v.PrefixList(r.PrefixList)
		if list == nil {
			continue
		}
		for _, entry := range list.Entries {
			r.Destination = entry
			add(r, rankPrefixList)
		}
	}
	for _, e := range v.Endpoints {
		if r, ok := e.Row(v, t.Name); ok {
			add(r, rankPrefixList)
		}
	}
	return routes
}

// Row is the route that a gateway endpoint of VPC v puts into a route table: its service's prefix list in the VPC's region leads to it.
// false: it puts none there.
func (e *Endpoint) Row(v *VPC, table string) (Route, bool) {
	s, known := FindService(e.Service.Name)
	if e.Type != GatewayEndpoint || e.Service.VPC != "" || !known || !s.Gateway || !slices.Contains(e.RouteTables, table) {
		return Route{}, false
	}
	return Route{Destination: s.Prefix(v.Region), PrefixList: s.Code, Target: Target{TargetEndpoint, e.Name}, Origin: CreateRoute}, true
}

// EffectiveEdgeRoutes is what the internet gateway's route table means for a packet that comes in: the local routes, and what it says
// itself. It is nil without such a table, when all that comes in goes straight to its interface.
func (v *VPC) EffectiveEdgeRoutes() []Route {
	if v.EdgeRoutes == nil {
		return nil
	}
	return v.EffectiveRoutes(&RouteTable{Routes: v.EdgeRoutes})
}

// rank is the precedence of a route with a prefix of its own.
func (v *VPC) rank(r Route) int {
	switch {
	case r.Target.Kind == TargetLocal:
		return rankLocal
	case r.Origin >= PropagatedDX:
		return rankPropagated + int(r.Origin-PropagatedDX)
	case v.isLocal(r.Destination):
		return rankReplacesLocal
	default:
		return rankStatic
	}
}

// prefixes are the VPC's CIDRs of both families, in the order of their local routes.
func (v *VPC) prefixes() []netip.Prefix {
	all := make([]netip.Prefix, 0, len(v.CIDRs)+len(v.IPv6))
	for _, list := range [][]netip.Prefix{v.CIDRs, v.IPv6} {
		for _, p := range list {
			if p.IsValid() {
				all = append(all, p)
			}
		}
	}
	return all
}

// isLocal reports whether p is exactly one of the VPC's CIDRs.
func (v *VPC) isLocal(p netip.Prefix) bool {
	for _, cidr := range v.prefixes() {
		if cidr == p {
			return true
		}
	}
	return false
}
