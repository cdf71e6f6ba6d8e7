package vpc

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Sizes and numbers of CIDR blocks (VPC user guide, VPC CIDR blocks; subnet sizing).
const (
	maxCIDRs     = 5  // per VPC and family
	largest4     = 16 // prefix length of the largest IPv4 VPC or subnet
	smallest4    = 28
	largest6     = 44 // of the largest IPv6 VPC or subnet
	smallestVPC6 = 60
	smallest6    = 64 // of the smallest IPv6 subnet
	step6        = 4  // IPv6 lengths come in steps of
	zoneLetters  = "abcdef"
)

var (
	neverInVPC = []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"),
		netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("224.0.0.0/4"),
	}
	ten          = netip.MustParsePrefix("10.0.0.0/8")
	oneSevenTwo  = netip.MustParsePrefix("172.16.0.0/12")
	oneNineTwo   = netip.MustParsePrefix("192.168.0.0/16")
	benchmark    = netip.MustParsePrefix("198.19.0.0/16")
	sharedSpace  = netip.MustParsePrefix("100.64.0.0/10")
	globalIPv6   = netip.MustParsePrefix("2000::/3")
	privateIPv6  = netip.MustParsePrefix("fd00::/8")
	serviceIPv6  = netip.MustParsePrefix("fd00:ec2::/32")
	serviceIPv4  = netip.MustParsePrefix("169.254.168.0/22")
	anyPublic    netip.Prefix // stands for all other ranges
	restrictions = map[netip.Prefix][]netip.Prefix{
		ten:         {oneSevenTwo, oneNineTwo, benchmark},
		oneSevenTwo: {ten, oneNineTwo, benchmark, netip.MustParsePrefix("172.31.0.0/16")},
		oneNineTwo:  {ten, oneSevenTwo, benchmark},
		benchmark:   {ten, oneSevenTwo, oneNineTwo},
		anyPublic:   {ten, oneSevenTwo, oneNineTwo, benchmark},
	}
	// AWS reserves the use of 10.0.0.0/16 once any CIDR of the VPC is in 10.0.0.0/15.
	tenZeroOne = netip.MustParsePrefix("10.0.0.0/15")
	tenZero    = netip.MustParsePrefix("10.0.0.0/16")
)

// cidrs judges the VPC's IPv4 CIDRs.
func (c *completion) cidrs(v *VPC) {
	at := pathOf(v).at("cidr")
	if len(v.CIDRs) == 0 {
		c.report(at, fmt.Sprintf("VPC '%s' has no IPv4 CIDR block", v.Name), "every VPC needs one, such as 10.0.0.0/16")
	}
	if old := c.before(v).CIDRs; len(old) > 0 && len(v.CIDRs) > 0 && old[0] != v.CIDRs[0] {
		c.report(at.element(0, len(v.CIDRs)), fmt.Sprintf("the vpc CIDR block %s may not be disassociated", old[0]),
			"it is the primary IPv4 CIDR block of the VPC: keep it first")
	}
	for i, cidr := range v.CIDRs {
		at := at.element(i, len(v.CIDRs))
		if i == maxCIDRs {
			c.report(at, fmt.Sprintf("this network '%s' has met its maximum number of allowed CIDRs: %d", v.Name, maxCIDRs),
				"remove the others")
			break
		}
		if !c.cidr(at, cidr) || !c.apart(at, cidr, v.CIDRs[:i], "CIDR") || i == 0 {
			continue
		}
		c.secondary(at, v, i)
		c.besidePeers(at, v, cidr)
	}
}

// cidr judges one IPv4 CIDR of a VPC on its own.
func (c *completion) cidr(at path, cidr netip.Prefix) bool {
	if !isIPv4(cidr) {
		c.report(at, fmt.Sprintf("value (%s) for parameter cidrBlock is invalid", cidr),
			"give an IPv4 CIDR block such as 10.0.0.0/16; IPv6 blocks belong in `ipv6`")
		return false
	}
	invalid := fmt.Sprintf("the CIDR '%s' is invalid", cidr)
	if cidr.Bits() < largest4 || cidr.Bits() > smallest4 {
		c.report(at, invalid, "a VPC's prefix length is from /16 to /28")
		return false
	}
	for _, never := range neverInVPC {
		if never.Overlaps(cidr) {
			c.report(at, invalid, fmt.Sprintf("%s cannot be used in a VPC; take a private range such as 10.0.0.0/16", never))
			return false
		}
	}
	return true
}

// apart judges whether a CIDR of the VPC overlaps an earlier one; what is its kind.
func (c *completion) apart(at path, cidr netip.Prefix, earlier []netip.Prefix, what string) bool {
	for _, other := range earlier {
		if other.Overlaps(cidr) {
			c.report(at, fmt.Sprintf("the %s '%s' conflicts with %s", what, cidr, other), "the CIDRs of a VPC must not overlap")
			return false
		}
	}
	return true
}

// secondary judges a secondary CIDR by the table of restricted associations and by the routes that were there before it. The row is
// that of the primary CIDR: AWS's table speaks of "existing" CIDRs, and only so is "any other block of 10.0.0.0/8" always allowed in
// a VPC of 10.0.0.0/8.
func (c *completion) secondary(at path, v *VPC, i int) {
	cidr, primary := v.CIDRs[i], rangeOf(v.CIDRs[0])
	for _, forbidden := range restrictions[primary] {
		if !forbidden.Overlaps(cidr) {
			continue
		}
		row := "outside the private ranges"
		if primary.IsValid() {
			row = "in " + primary.String()
		}
		c.report(at, fmt.Sprintf("the CIDR '%s' is restricted", cidr), fmt.Sprintf(
			"a VPC with a primary CIDR %s cannot add one in %s; publicly routable blocks and 100.64.0.0/10 are allowed", row, forbidden))
		return
	}
	inTenZeroOne := func(p netip.Prefix) bool { return p.IsValid() && tenZeroOne.Overlaps(p) }
	if tenZero.Overlaps(cidr) && slices.ContainsFunc(v.CIDRs[:i], inTenZeroOne) {
		c.report(at, fmt.Sprintf("the CIDR '%s' is restricted", cidr),
			"a VPC with a CIDR in 10.0.0.0/15 cannot add one in 10.0.0.0/16; take another block of 10.0.0.0/8")
		return
	}
	c.routesBefore(at, v, cidr)
}

// routesBefore judges a CIDR that a change adds by the routes that it found: it must not be equal to or larger than one of them.
func (c *completion) routesBefore(at path, v *VPC, cidr netip.Prefix) {
	old := c.before(v)
	if slices.Contains(old.CIDRs, cidr) {
		return
	}
	for _, t := range old.RouteTables {
		if v.RouteTable(t.Name) == nil {
			continue
		}
		for _, d := range destinations(old, t) {
			if inside(d, cidr) && slices.Contains(destinations(v, v.RouteTable(t.Name)), d) {
				c.report(at, fmt.Sprintf("the CIDR '%s' is equal to or larger than the route %s in route table %s", cidr, d, t.Name),
					"remove the route in an earlier change, or add a smaller CIDR")
				return
			}
		}
	}
}

// destinations are the prefixes of a table's own routes, prefix lists expanded.
func destinations(v *VPC, t *RouteTable) []netip.Prefix {
	var all []netip.Prefix
	for _, r := range t.Routes {
		if r.PrefixList == "" {
			all = append(all, r.Destination)
		} else if l := v.PrefixList(r.PrefixList); l != nil {
			all = append(all, l.Entries...)
		}
	}
	return all
}

// rangeOf is the row of the table of restrictions that cidr belongs to.
func rangeOf(cidr netip.Prefix) netip.Prefix {
	for _, row := range []netip.Prefix{ten, oneSevenTwo, oneNineTwo, benchmark} {
		if inside(cidr, row) {
			return row
		}
	}
	return anyPublic
}

// cidrs6 judges the VPC's IPv6 CIDRs. Amazon's are unique in the world, so they must be unique in the lab; private ones need not be.
func (c *completion) cidrs6(v *VPC) {
	at := pathOf(v).at("ipv6")
	for i, cidr := range v.IPv6 {
		at := at.element(i, len(v.IPv6))
		if i == maxCIDRs {
			c.report(at, fmt.Sprintf("this network '%s' has met its maximum number of allowed IPv6 CIDRs: %d", v.Name, maxCIDRs),
				"remove the others")
			break
		}
		if !c.cidr6(at, cidr) || !c.apart(at, cidr, v.IPv6[:i], "IPv6 CIDR") {
			continue
		}
		c.besidePeers(at, v, cidr)
		if !inside(cidr, privateIPv6) {
			c.cidr6Unique(at, v, cidr)
		}
	}
}

func (c *completion) cidr6(at path, cidr netip.Prefix) bool {
	if !isIPv6(cidr) {
		c.report(at, fmt.Sprintf("value (%s) for parameter ipv6CidrBlock is invalid", cidr),
			"give an IPv6 CIDR block such as 2600:1f18:aa00::/56")
		return false
	}
	invalid := fmt.Sprintf("the IPv6 CIDR '%s' is invalid", cidr)
	if !length6(cidr, smallestVPC6) {
		c.report(at, invalid, "a VPC's IPv6 prefix length is /44, /48, /52, /56 or /60")
		return false
	}
	if !inside(cidr, globalIPv6) && !inside(cidr, privateIPv6) || inside(cidr, serviceIPv6) {
		c.report(at, invalid, "take a block of 2000::/3, or of fd00::/8 outside fd00:ec2::/32")
		return false
	}
	return true
}

func (c *completion) cidr6Unique(at path, v *VPC, cidr netip.Prefix) {
	for _, other := range c.model.VPCs {
		if other == v {
			return
		}
		for _, theirs := range other.IPv6 {
			if theirs.Overlaps(cidr) {
				c.report(at, fmt.Sprintf("the IPv6 CIDR '%s' conflicts with %s of VPC %s", cidr, theirs, other.Name),
					"global IPv6 addresses are unique: take another block, or one of fd00::/8")
				return
			}
		}
	}
}

// subnet judges one subnet; earlier are the subnets before it.
func (c *completion) subnet(v *VPC, s *Subnet, earlier []*Subnet) {
	at := subnetPath(v, s)
	if !s.CIDR.IsValid() && !s.IPv6.IsValid() {
		c.report(at.at("cidr"), fmt.Sprintf("subnet '%s' has no CIDR block", s.Name),
			"give it a `cidr` inside the VPC's, an `ipv6`, or both")
	}
	c.subnetCIDR(at.at("cidr"), v, s, earlier)
	c.subnetIPv6(at.at("ipv6"), v, s, earlier)
	c.subnetZone(at.at("az"), v, s)
	if old := c.before(v).Subnet(s.Name); old != nil {
		c.sameSubnet(at, s, old)
	}
	if s.PublicIP && !s.CIDR.IsValid() {
		c.report(at.at("public_ip"), fmt.Sprintf("subnet '%s' has no IPv4 addresses that a public one could map to", s.Name),
			"remove `public_ip`, or give the subnet a `cidr`")
	}
	if v.RouteTable(s.RouteTable) == nil {
		c.report(at.at("route_table"), fmt.Sprintf("the route table '%s' does not exist", s.RouteTable),
			declareOr("route_tables", s.RouteTable, namesOf(v.RouteTables, func(t *RouteTable) string { return t.Name })))
	}
	if v.ACL(s.ACL) == nil {
		c.report(at.at("acl"), fmt.Sprintf("the network ACL '%s' does not exist", s.ACL),
			declareOr("acls", s.ACL, namesOf(v.ACLs, func(a *ACL) string { return a.Name })))
	}
}

func (c *completion) subnetCIDR(at path, v *VPC, s *Subnet, earlier []*Subnet) {
	if !s.CIDR.IsValid() {
		return
	}
	if !isIPv4(s.CIDR) {
		c.report(at, fmt.Sprintf("value (%s) for parameter cidrBlock is invalid", s.CIDR),
			"give an IPv4 CIDR block; IPv6 blocks belong in `ipv6`")
		return
	}
	invalid := fmt.Sprintf("the CIDR '%s' is invalid", s.CIDR)
	if s.CIDR.Bits() < largest4 || s.CIDR.Bits() > smallest4 {
		c.report(at, invalid, "a subnet's prefix length is from /16 to /28")
		return
	}
	if !insideAny(s.CIDR, v.CIDRs) {
		c.report(at, invalid, "it must lie inside one of the VPC's CIDRs: "+list(v.CIDRs))
		return
	}
	for _, other := range earlier {
		if other.CIDR.Overlaps(s.CIDR) {
			c.report(at, fmt.Sprintf("the CIDR '%s' conflicts with another subnet", s.CIDR),
				fmt.Sprintf("subnet %s has %s; the subnets of a VPC must not overlap", other.Name, other.CIDR))
			return
		}
	}
}

func (c *completion) subnetIPv6(at path, v *VPC, s *Subnet, earlier []*Subnet) {
	if !s.IPv6.IsValid() {
		return
	}
	invalid := fmt.Sprintf("the IPv6 CIDR '%s' is invalid", s.IPv6)
	switch {
	case !isIPv6(s.IPv6) || !length6(s.IPv6, smallest6):
		c.report(at, invalid, "a subnet's IPv6 prefix length is /44 to /64 in steps of 4, /64 as a rule")
		return
	case len(v.IPv6) == 0:
		c.report(at, invalid, fmt.Sprintf("VPC '%s' has no IPv6 CIDR block; give it an `ipv6`", v.Name))
		return
	case !insideAny(s.IPv6, v.IPv6):
		c.report(at, invalid, "it must lie inside one of the VPC's IPv6 CIDRs: "+list(v.IPv6))
		return
	}
	for _, other := range earlier {
		if other.IPv6.Overlaps(s.IPv6) {
			c.report(at, fmt.Sprintf("the IPv6 CIDR '%s' conflicts with another subnet", s.IPv6),
				fmt.Sprintf("subnet %s has %s; the subnets of a VPC must not overlap", other.Name, other.IPv6))
			return
		}
	}
}

func (c *completion) subnetZone(at path, v *VPC, s *Subnet) {
	letter, ok := strings.CutPrefix(s.AZ, v.Region)
	if ok && len(letter) == 1 && strings.Contains(zoneLetters, letter) {
		return
	}
	zones := make([]string, 0, len(zoneLetters))
	for _, l := range zoneLetters {
		zones = append(zones, v.Region+string(l))
	}
	c.report(at, fmt.Sprintf("value (%s) for parameter availabilityZone is invalid", s.AZ),
		"subnets can currently only be created in the following availability zones: "+strings.Join(zones, ", "))
}

// sameSubnet judges what a change does to a subnet.
func (c *completion) sameSubnet(at path, s, old *Subnet) {
	if s.CIDR != old.CIDR {
		c.report(at.at("cidr"),
			fmt.Sprintf("the CIDR of subnet '%s' cannot be changed from %s to %s", s.Name, blockText(old.CIDR), blockText(s.CIDR)),
			"declare another subnet")
	}
	if s.AZ != old.AZ {
		c.report(at.at("az"), fmt.Sprintf("subnet '%s' cannot move from %s to %s", s.Name, old.AZ, s.AZ), "declare another subnet")
	}
}

func blockText(p netip.Prefix) string {
	if !p.IsValid() {
		return "none"
	}
	return p.String()
}

func isIPv4(p netip.Prefix) bool { return p.IsValid() && p.Addr().Is4() }

func isIPv6(p netip.Prefix) bool { return p.IsValid() && p.Addr().Is6() && !p.Addr().Is4In6() }

// length6 reports whether p has one of the lengths that AWS hands out, /44 and smaller in steps of 4 down to smallest.
func length6(p netip.Prefix, smallest int) bool {
	return p.Bits() >= largest6 && p.Bits() <= smallest && (p.Bits()-largest6)%step6 == 0
}

// inside reports whether p is equal to or more specific than q.
func inside(p, q netip.Prefix) bool {
	return p.IsValid() && q.IsValid() && p.Bits() >= q.Bits() && q.Contains(p.Addr())
}

func insideAny(p netip.Prefix, all []netip.Prefix) bool {
	return slices.ContainsFunc(all, func(q netip.Prefix) bool { return inside(p, q) })
}

// list tells prefixes to people: the first few, since a hint is no inventory.
func list(prefixes []netip.Prefix) string {
	const most = 8
	var texts []string
	for i, p := range prefixes {
		if i == most {
			texts = append(texts, fmt.Sprintf("and %d more", len(prefixes)-most))
			break
		}
		texts = append(texts, p.String())
	}
	return strings.Join(texts, ", ")
}
