package vpc

import (
	"fmt"
	"net/netip"
)

// addressPath leads to the nth address of a NAT gateway: to what key says of the primary, else to the element of `secondary`.
func addressPath(v *VPC, g *NATGateway, n int, key string) path {
	if n == 0 {
		return natPath(v, g).at(key)
	}
	return natPath(v, g).at("secondary").element(n-1, len(g.Addresses)-1)
}

func (g *NATGateway) holder(at path) holder { return holder{"NAT gateway " + g.Name, at} }

// eachNATSubnet walks the VPC's NAT gateways that have a subnet.
func (c *completion) eachNATSubnet(v *VPC, f func(*Subnet, *NATGateway)) {
	for _, g := range v.NATGateways {
		if s := v.Subnet(g.Subnet); s != nil {
			f(s, g)
		}
	}
}

// namedNAT judges and enters the private addresses that the file names for a NAT gateway.
func (c *completion) namedNAT(taken book, v *VPC, s *Subnet, g *NATGateway) {
	for n, a := range g.Addresses {
		if a.IP.IsValid() {
			c.private(taken, s, a.IP, g.holder(addressPath(v, g, n, "ip")))
		}
	}
}

// keptNAT gives a NAT gateway the private addresses that it had before a change.
func (c *completion) keptNAT(taken book, v *VPC, s *Subnet, g *NATGateway) {
	for n := range g.Addresses {
		a, old := &g.Addresses[n], c.sameAddress(v, g, n)
		if old != nil && !a.IP.IsValid() && s.usable(old.IP) && c.keep(taken, old.IP, g.holder(natPath(v, g))) {
			a.IP = old.IP
		}
	}
}

// freeNAT gives a NAT gateway the lowest free addresses of its subnet where it has none yet.
func (c *completion) freeNAT(taken book, v *VPC, s *Subnet, g *NATGateway) {
	if !isIPv4(s.CIDR) {
		return
	}
	for n := range g.Addresses {
		a := &g.Addresses[n]
		if a.IP.IsValid() {
			continue
		}
		if a.IP = c.lowest(taken, s, s.CIDR, g.holder(natPath(v, g))); !a.IP.IsValid() {
			return
		}
	}
}

// sameAddress is what the nth address of a NAT gateway was before the change, or nil if it is a new one: the primary is the primary,
// a secondary one is known by its elastic address, and the kth that is drawn is the kth that was.
func (c *completion) sameAddress(v *VPC, g *NATGateway, n int) *NATAddress {
	old := c.before(v).NATGateway(g.Name)
	if old == nil || old.Subnet != g.Subnet || old.Private != g.Private {
		return nil
	}
	if n == 0 {
		return &old.Addresses[0]
	}
	a := g.Addresses[n]
	drawnBefore := 0
	for _, other := range g.Addresses[1:n] {
		if other.AutoPublic {
			drawnBefore++
		}
	}
	for i := range old.Addresses[1:] {
		was := &old.Addresses[1+i]
		switch {
		case !a.AutoPublic && a.Public.IsValid() && a.Public == was.Public:
			return was
		case !a.AutoPublic || !was.AutoPublic:
		case drawnBefore == 0:
			return was
		default:
			drawnBefore--
		}
	}
	return nil
}

func (c *completion) eachNAT(f func(*VPC, *NATGateway)) {
	for _, v := range c.model.VPCs {
		for _, g := range v.NATGateways {
			f(v, g)
		}
	}
}

// namedElastic judges and enters the elastic addresses that the file names for a NAT gateway: a public one has one for each of its
// private addresses, and a private one has none.
func (c *completion) namedElastic(v *VPC, g *NATGateway) {
	for n := range g.Addresses {
		a := &g.Addresses[n]
		a.PublicDrawn = false
		at := addressPath(v, g, n, "eip")
		switch {
		case g.Private && (a.Public.IsValid() || a.AutoPublic):
			c.report(at, fmt.Sprintf("NAT gateway '%s' is private and has no elastic IP addresses", g.Name),
				"remove it, or `type: private`; secondary addresses of a private NAT gateway are addresses of its subnet")
			a.Public, a.AutoPublic = netip.Addr{}, false
		case a.Public.IsValid():
			c.namedEIP(a.Public, g.holder(at))
		case !g.Private && !a.AutoPublic:
			c.report(at, fmt.Sprintf("NAT gateway '%s' has no elastic IP address for %s", g.Name, ordinal(n)),
				"a public NAT gateway needs one: give it `eip: auto` or an address, or make it `type: private`")
		}
	}
}

func ordinal(n int) string {
	if n == 0 {
		return "its primary address"
	}
	return fmt.Sprintf("secondary address %d", n)
}

// keptElastic gives a NAT gateway the elastic addresses that were drawn for it before.
func (c *completion) keptElastic(v *VPC, g *NATGateway) {
	for n := range g.Addresses {
		a, old := &g.Addresses[n], c.sameAddress(v, g, n)
		if !a.AutoPublic || a.Public.IsValid() || old == nil || !old.PublicDrawn {
			continue
		}
		if c.keep(c.public, old.Public, g.holder(addressPath(v, g, n, "eip"))) {
			a.Public, a.PublicDrawn = old.Public, true
		}
	}
}

// drawElastic draws the elastic addresses of a NAT gateway that are still open.
func (c *completion) drawElastic(next func() netip.Addr, v *VPC, g *NATGateway) {
	for n := range g.Addresses {
		a := &g.Addresses[n]
		if a.AutoPublic && !a.Public.IsValid() {
			a.Public = c.draw(next, g.holder(addressPath(v, g, n, "eip")))
			a.PublicDrawn = a.Public.IsValid()
		}
	}
}
