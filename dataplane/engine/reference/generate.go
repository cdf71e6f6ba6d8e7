package reference

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
)

// generator draws labs, rules and packets, with what makes packets meet: few addresses, few ports, rules that are mostly open.
type generator struct{ *rand.Rand }

func (g generator) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g generator, from ...T) T { return from[g.IntN(len(from))] }

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// GenerateLab draws a small lab: one or two VPCs, perhaps of one CIDR, with two or three subnets and two to five interfaces each, the
// gateways, and two hosts of the internet.
func GenerateLab(random *rand.Rand) *Lab {
	g := generator{random}
	l := &Lab{Rate: pick(g, 1, 1, 1, 10), Unmapped: []netip.Addr{netip.MustParseAddr("198.51.100.99")}}
	next := uint32(1)
	attachment := func() uint32 { next++; return next - 1 }
	for i := range 1 + g.IntN(2) {
		second := 0
		if g.chance(50) {
			second = i
		}
		v := &VPC{Name: fmt.Sprint("v", i), CIDRs: []netip.Prefix{prefix(fmt.Sprintf("10.%d.0.0/16", second)), prefix(fmt.Sprintf("2001:db8:%x::/56", 10+i))}}
		v.IGW = g.chance(85)
		if g.chance(40) {
			v.EIGW = attachment()
		}
		l.VPCs = append(l.VPCs, v)
		for range 3 {
			v.Groups = append(v.Groups, &Group{Number: uint32(i*3 + len(v.Groups) + 1)})
			v.ACLs = append(v.ACLs, &ACL{})
		}
		for j := range 2 + g.IntN(2) {
			s := &Subnet{V4: prefix(fmt.Sprintf("10.%d.%d.0/24", second, j)), ACL: g.IntN(3)}
			if g.chance(80) {
				s.V6 = prefix(fmt.Sprintf("2001:db8:%x:%x::/64", 10+i, j))
			}
			v.Subnets = append(v.Subnets, s)
		}
		for j := range 2 + g.IntN(4) {
			g.addNIC(v, attachment(), j)
		}
		for j := range g.IntN(3) {
			g.addNAT(v, attachment(), i, j)
		}
		g.givePublic(v)
		for _, group := range v.Groups {
			group.Ingress, group.Egress = g.rules(v, 40), g.rules(v, 75)
		}
		for _, a := range v.ACLs {
			a.Ingress, a.Egress = g.entries(v), g.entries(v)
		}
		for s := range v.Subnets {
			v.Subnets[s].Routes = g.routes(v)
		}
		if v.IGW && g.chance(15) {
			v.Edge = g.edge(v)
		}
	}
	for i := range 2 {
		l.Hosts = append(l.Hosts, &Host{ID: attachment(), Addrs: []netip.Addr{
			netip.MustParseAddr(fmt.Sprintf("203.0.113.%d", 5+i)), netip.MustParseAddr(fmt.Sprintf("2001:db8:cafe::%d", 5+i)),
		}})
	}
	return l
}

func (g generator) addNIC(v *VPC, id uint32, number int) {
	subnet := g.IntN(len(v.Subnets))
	s := v.Subnets[subnet]
	n := &NIC{ID: id, Subnet: subnet, Public: map[netip.Addr]netip.Addr{}, Check: g.chance(75), Groups: []int{g.IntN(3)}}
	base := s.V4.Addr().As4()
	n.Addrs = append(n.Addrs, netip.AddrFrom4([4]byte{base[0], base[1], base[2], byte(10 + number)}))
	if g.chance(20) {
		n.Addrs = append(n.Addrs, netip.AddrFrom4([4]byte{base[0], base[1], base[2], byte(30 + number)}))
	}
	if s.V6.IsValid() && g.chance(80) {
		six := s.V6.Addr().As16()
		six[15] = byte(10 + number)
		n.Addrs = append(n.Addrs, netip.AddrFrom16(six))
	}
	if second := g.IntN(3); g.chance(30) && second != n.Groups[0] {
		n.Groups = append(n.Groups, second)
	}
	v.NICs = append(v.NICs, n)
}

func (g generator) addNAT(v *VPC, id uint32, vpc, number int) {
	subnet := g.IntN(len(v.Subnets))
	base := v.Subnets[subnet].V4.Addr().As4()
	n := &NIC{ID: id, Subnet: subnet, Public: map[netip.Addr]netip.Addr{}, NAT: true, Private: !v.IGW || g.chance(20)}
	n.Addrs = []netip.Addr{netip.AddrFrom4([4]byte{base[0], base[1], base[2], byte(220 + number)})}
	if !n.Private {
		n.Public[n.Addrs[0]] = netip.AddrFrom4([4]byte{198, 51, 100, byte(200 + 10*vpc + number)})
	}
	v.NICs = append(v.NICs, n)
}

// givePublic maps public addresses to instances' interfaces.
func (g generator) givePublic(v *VPC) {
	for _, n := range v.NICs {
		if n.NAT {
			continue
		}
		clear(n.Public)
		for i, a := range n.Addrs {
			if a.Is4() && v.IGW && g.chance(50) {
				n.Public[a] = netip.AddrFrom4([4]byte{198, 51, 100, byte(2*n.ID) + byte(i)})
			}
		}
	}
}

// traffic is mostly what the packets here are.
func (g generator) traffic(six bool) Traffic {
	all := Traffic{Protocol: -1, Type: -1, Code: -1}
	message := func(types ...int) Traffic {
		if six {
			return Traffic{Protocol: icmpv6, Type: pick(g, -1, 128, 129, 1), Code: -1}
		}
		return Traffic{Protocol: icmp, Type: pick(g, types...), Code: -1}
	}
	switch g.IntN(10) {
	case 0:
		return Traffic{Protocol: tcp, To: 65535}
	case 1:
		return Traffic{Protocol: udp, To: 65535}
	case 2:
		return Traffic{Protocol: pick(g, tcp, udp), From: 1024, To: 65535}
	case 3:
		port := pick(g, 22, 53, 80)
		return Traffic{Protocol: pick(g, tcp, udp), From: port, To: port}
	case 4:
		return message(-1, 8, 0, 3)
	case 5:
		return Traffic{Protocol: 47}
	}
	return all
}

// peer is a prefix that rules name.
func (g generator) peer(v *VPC) netip.Prefix {
	switch g.IntN(9) {
	case 0:
		return v.CIDRs[0]
	case 1:
		return v.CIDRs[1]
	case 2:
		return pick(g, v.Subnets...).V4
	case 3:
		a := pick(g, pick(g, v.NICs...).Addrs...)
		return netip.PrefixFrom(a, a.BitLen())
	case 4:
		return prefix("203.0.113.5/32")
	case 5:
		return prefix(pick(g, "198.51.100.0/24", "203.0.113.0/24", "2001:db8:cafe::/64"))
	case 6:
		return prefix(everybody6)
	}
	return prefix(everybody4)
}

// rules are one direction of a group; open is the chance that everybody and everything may pass.
func (g generator) rules(v *VPC, open int) []Rule {
	var rules []Rule
	if g.chance(open) {
		everything := Traffic{Protocol: -1, Type: -1, Code: -1}
		return []Rule{{Traffic: everything, Peer: prefix(everybody4)}, {Traffic: everything, Peer: prefix(everybody6)}}
	}
	for range g.IntN(4) {
		r := Rule{Peer: g.peer(v)}
		if g.chance(25) {
			r.Peer, r.Group = netip.Prefix{}, g.IntN(len(v.Groups))
		}
		r.Traffic = g.traffic(r.Peer.IsValid() && r.Peer.Addr().Is6())
		rules = append(rules, r)
	}
	return rules
}

// entries are one direction of an ACL.
func (g generator) entries(v *VPC) []Entry {
	var entries []Entry
	if g.chance(35) {
		for range 1 + g.IntN(3) {
			e := Entry{Allow: g.chance(50), Peer: g.peer(v)}
			e.Traffic = g.traffic(e.Peer.Addr().Is6())
			entries = append(entries, e)
		}
	}
	if g.chance(92) {
		everything := Traffic{Protocol: -1, Type: -1, Code: -1}
		entries = append(entries, Entry{true, everything, prefix(everybody4)}, Entry{true, everything, prefix(everybody6)})
	}
	return entries
}

// nics are the interfaces of NAT gateways, or those of instances.
func (v *VPC) nics(nat bool) []*NIC {
	var found []*NIC
	for _, n := range v.NICs {
		if n.NAT == nat {
			found = append(found, n)
		}
	}
	return found
}

// routes are a subnet's route table.
func (g generator) routes(v *VPC) []Route {
	var routes []Route
	add := func(to netip.Prefix, kinds ...Kind) {
		if slices.ContainsFunc(routes, func(r Route) bool { return r.To == to }) {
			return
		}
		r := Route{To: to, Kind: pick(g, kinds...)}
		switch {
		case r.Kind == ToIGW && !v.IGW, r.Kind == ToEIGW && v.EIGW == noAttachment:
			r.Kind = ToBlackhole
		case r.Kind == ToNAT && len(v.nics(true)) > 0:
			r.NIC = pick(g, v.nics(true)...).ID
		case r.Kind == ToNAT:
			r.Kind = ToBlackhole
		case r.Kind == ToNIC:
			r.NIC = pick(g, v.nics(false)...).ID
		}
		routes = append(routes, r)
	}
	if g.chance(8) {
		add(v.CIDRs[0], ToNIC, ToNAT)
	}
	if g.chance(5) {
		add(v.CIDRs[1], ToNIC)
	}
	for _, c := range v.CIDRs {
		add(c, Local)
	}
	for range g.IntN(2) {
		if s := pick(g, v.Subnets...); g.chance(70) {
			add(s.V4, ToNIC, ToNIC, ToNAT)
		} else if s.V6.IsValid() {
			add(s.V6, ToNIC)
		}
	}
	if g.chance(85) {
		add(prefix(everybody4), ToIGW, ToIGW, ToIGW, ToNAT, ToNAT, ToNAT, ToNIC)
	}
	if g.chance(80) {
		add(prefix(everybody6), ToIGW, ToIGW, ToEIGW, ToEIGW, ToNIC)
	}
	for range g.IntN(3) {
		if g.chance(50) {
			add(prefix(pick(g, "203.0.113.5/32", "203.0.113.0/24", "198.51.100.0/24")), ToIGW, ToNAT, ToBlackhole, ToNIC)
		} else {
			add(prefix(pick(g, "2001:db8:cafe::5/128", "2001:db8:cafe::/64")), ToIGW, ToEIGW, ToBlackhole)
		}
	}
	return routes
}

// remove takes an interface away. Routes to it become black holes.
func (v *VPC) remove(n *NIC) string {
	v.NICs = slices.DeleteFunc(v.NICs, func(other *NIC) bool { return other == n })
	v.Edge = slices.DeleteFunc(v.Edge, func(r Route) bool { return r.NIC == n.ID })
	for _, s := range v.Subnets {
		for i := range s.Routes {
			if r := &s.Routes[i]; r.NIC == n.ID {
				r.Kind, r.NIC = ToBlackhole, noAttachment
			}
		}
	}
	return fmt.Sprintf("#%d is removed", n.ID)
}

// edge is an internet gateway's own route table.
func (g generator) edge(v *VPC) []Route {
	to := pick(g, v.Subnets...)
	routes := []Route{{To: to.V4, Kind: ToNIC, NIC: pick(g, v.nics(false)...).ID}}
	if to.V6.IsValid() && g.chance(50) {
		routes = append(routes, Route{To: to.V6, Kind: ToNIC, NIC: pick(g, v.nics(false)...).ID})
	}
	for _, c := range v.CIDRs {
		routes = append(routes, Route{To: c, Kind: Local})
	}
	return routes
}

// Edit changes one thing of a lab, which is its argument's to change, and says which VPC it was in and whether the internet can see the
// difference.
func (l *Lab) Edit(seed uint64) (what string, vpc int, public bool) {
	g := generator{rand.New(rand.NewPCG(seed, 1))}
	vpc = g.IntN(len(l.VPCs))
	v := l.VPCs[vpc]
	switch g.IntN(16) {
	case 0, 1, 2:
		group := g.IntN(len(v.Groups))
		v.Groups[group].Ingress = g.rules(v, 30)
		what = fmt.Sprintf("group %d lets in %v", group, v.Groups[group].Ingress)
	case 3, 4:
		group := g.IntN(len(v.Groups))
		v.Groups[group].Egress = g.rules(v, 60)
		what = fmt.Sprintf("group %d lets out %v", group, v.Groups[group].Egress)
	case 5:
		a := g.IntN(len(v.ACLs))
		v.ACLs[a].Ingress = g.entries(v)
		what = fmt.Sprintf("acl %d lets in %v", a, v.ACLs[a].Ingress)
	case 6:
		a := g.IntN(len(v.ACLs))
		v.ACLs[a].Egress = g.entries(v)
		what = fmt.Sprintf("acl %d lets out %v", a, v.ACLs[a].Egress)
	case 7, 8:
		s := g.IntN(len(v.Subnets))
		v.Subnets[s].Routes = g.routes(v)
		what = fmt.Sprintf("subnet %d has routes %v", s, v.Subnets[s].Routes)
	case 9:
		n := pick(g, v.nics(false)...)
		n.Groups = []int{g.IntN(len(v.Groups))}
		what = fmt.Sprintf("#%d is in group %v", n.ID, n.Groups)
	case 10:
		g.givePublic(v)
		public, what = true, "public addresses"
		for _, n := range v.NICs {
			what += fmt.Sprintf(", #%d %v", n.ID, n.Public)
		}
	case 11:
		n := pick(g, v.nics(false)...)
		n.Check = !n.Check
		what = fmt.Sprintf("#%d checks source and destination: %v", n.ID, n.Check)
	case 12:
		s := g.IntN(len(v.Subnets))
		v.Subnets[s].ACL = g.IntN(len(v.ACLs))
		what = fmt.Sprintf("subnet %d has acl %d", s, v.Subnets[s].ACL)
	case 13:
		v.Edge = nil
		if v.IGW && g.chance(50) {
			v.Edge = g.edge(v)
		}
		what = fmt.Sprintf("edge routes %v", v.Edge)
	case 14:
		what = "nothing"
		if n := v.nics(true); len(n) > 0 {
			what, public = v.remove(pick(g, n...)), true
		}
	case 15:
		what = "nothing"
		if n := v.nics(false); len(n) > 2 {
			what, public = v.remove(pick(g, n...)), true
		}
	}
	return fmt.Sprintf("vpc %s: %s", v.Name, what), vpc, public
}
