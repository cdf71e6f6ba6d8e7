package vpc

import (
	"fmt"
	"net/netip"
)

// PublicPool is where public IPv4 addresses are drawn from, 198.18.0.1 first. Its base is left out, as it reads like a network.
var PublicPool = netip.MustParsePrefix("198.18.0.0/16")

// book says who holds each address.
type book struct {
	holders map[netip.Addr]holder
	last    map[netip.Prefix]netip.Addr // of each prefix, the address up to which all are taken
}

func newBook() book {
	return book{holders: map[netip.Addr]holder{}, last: map[netip.Prefix]netip.Addr{}}
}

// holder is who holds an address, and where the file says so.
type holder struct {
	name string // "instance web", "host example"
	at   path
}

// claim enters an address that the file names, or reports who has it already.
func (c *completion) claim(b book, addr netip.Addr, h holder, hint string) {
	if other, taken := b.holders[addr]; taken {
		c.report(h.at, fmt.Sprintf("address %s is in use by %s", addr, other.name), hint)
		return
	}
	b.holders[addr] = h
}

// keep enters an address that h held before a change. If the file now names it for another, that is the mistake.
func (c *completion) keep(b book, addr netip.Addr, h holder) bool {
	other, taken := b.holders[addr]
	if !taken {
		b.holders[addr] = h
		return true
	}
	c.report(other.at, fmt.Sprintf("address %s is in use by %s", addr, h.name),
		h.name+" has had it since before this change; choose another address")
	return false
}

func holderOf(i *Instance, e *ENI, at path) holder {
	if e == i.Interfaces[0] {
		return holder{"instance " + i.Name, at}
	}
	return holder{"interface " + e.Name, at}
}

// allocatePrivate gives every interface of the VPC its private addresses: first those that the file names, then those that it had
// before a change, and then the lowest that are free: to instances in file order, then to NAT gateways, endpoints and the load
// balancers of endpoint services in theirs.
func (c *completion) allocatePrivate(v *VPC) {
	taken := newBook()
	for i, e := range v.InstanceENIs() {
		if s := v.Subnet(e.Subnet); s != nil {
			c.namedPrivate(taken, v, s, i, e)
		}
	}
	c.eachNATSubnet(v, func(s *Subnet, g *NATGateway) { c.namedNAT(taken, v, s, g) })
	managed := c.requesterManaged(v)
	for _, m := range managed {
		c.namedManaged(taken, m)
	}
	for i, e := range v.InstanceENIs() {
		if s := v.Subnet(e.Subnet); s != nil {
			c.keptPrivate(taken, v, s, i, e)
		}
	}
	c.eachNATSubnet(v, func(s *Subnet, g *NATGateway) { c.keptNAT(taken, v, s, g) })
	for _, m := range managed {
		c.keptManaged(taken, m)
	}
	for i, e := range v.InstanceENIs() {
		if s := v.Subnet(e.Subnet); s != nil {
			c.freePrivate(taken, v, s, i, e)
		}
	}
	c.eachNATSubnet(v, func(s *Subnet, g *NATGateway) { c.freeNAT(taken, v, s, g) })
	for _, m := range managed {
		c.freeManaged(taken, m)
	}
}

// namedPrivate judges and enters the addresses that the file names for an interface.
func (c *completion) namedPrivate(taken book, v *VPC, s *Subnet, i *Instance, e *ENI) {
	at := eniPath(v, i, e)
	if e.IP.IsValid() {
		c.private(taken, s, e.IP, holderOf(i, e, at.at("ip")))
	}
	for n, addr := range e.Secondary {
		c.private(taken, s, addr, holderOf(i, e, at.at("secondary").element(n, len(e.Secondary))))
	}
	if e.IPv6.IsValid() {
		c.private6(taken, s, e.IPv6, holderOf(i, e, at.at("ipv6")))
	}
}

func (c *completion) private(taken book, s *Subnet, addr netip.Addr, h holder) {
	switch {
	case !addr.Is4():
		c.report(h.at, fmt.Sprintf("%s is not an IPv4 address", addr), "IPv6 addresses belong in `ipv6`")
	case !s.CIDR.IsValid():
		c.report(h.at, fmt.Sprintf("address %s does not fall within the subnet's address range", addr),
			fmt.Sprintf("subnet %s has no IPv4 CIDR block", s.Name))
	default:
		c.inSubnet(taken, s, addr, h)
	}
}

func (c *completion) private6(taken book, s *Subnet, addr netip.Addr, h holder) {
	switch {
	case !addr.Is6() || addr.Is4In6():
		c.report(h.at, fmt.Sprintf("%s is not an IPv6 address", addr), "IPv4 addresses belong in `ip`")
	case !s.IPv6.IsValid():
		c.report(h.at, fmt.Sprintf("address %s does not fall within the subnet's address range", addr),
			fmt.Sprintf("subnet %s has no IPv6 CIDR block", s.Name))
	default:
		c.inSubnet(taken, s, addr, h)
	}
}

func (c *completion) inSubnet(taken book, s *Subnet, addr netip.Addr, h holder) {
	p := s.prefix(addr)
	usable := fmt.Sprintf("subnet %s has %s to %s", s.Name, offset(p, firstUsable), lastAddr(p).Prev())
	switch {
	case !p.Contains(addr):
		c.report(h.at, fmt.Sprintf("address %s does not fall within the subnet's address range", addr), usable)
	case s.Reserved(addr):
		c.report(h.at, fmt.Sprintf("address %s is in subnet %s's reserved address range", addr, s.Name),
			"the first four addresses and the last are AWS's; "+usable)
	default:
		c.claim(taken, addr, h, "leave it out to get the lowest free address")
	}
}

// keptPrivate gives an interface what it had before a change, if it is still an address of its subnet.
func (c *completion) keptPrivate(taken book, v *VPC, s *Subnet, i *Instance, e *ENI) {
	old := c.sameENI(v, e)
	if old == nil {
		return
	}
	h := holderOf(i, e, eniPath(v, i, e))
	if !e.IP.IsValid() && s.usable(old.IP) && c.keep(taken, old.IP, h) {
		e.IP = old.IP
	}
	if !e.IPv6.IsValid() && !e.NoIPv6 && s.usable(old.IPv6) && c.keep(taken, old.IPv6, h) {
		e.IPv6 = old.IPv6
	}
}

// sameENI is the interface as it was before the change, or nil if it is a new one.
func (c *completion) sameENI(v *VPC, e *ENI) *ENI {
	old := c.old[v.Name+"/"+e.Name]
	if old == nil || old.Subnet != e.Subnet {
		return nil
	}
	return old
}

// usable reports whether addr is one that an interface in the subnet may have.
func (s *Subnet) usable(addr netip.Addr) bool {
	p := s.prefix(addr)
	return addr.IsValid() && p.IsValid() && p.Contains(addr) && !s.Reserved(addr)
}

// freePrivate gives an interface the lowest free address of each family that it has none of yet.
func (c *completion) freePrivate(taken book, v *VPC, s *Subnet, i *Instance, e *ENI) {
	h := holderOf(i, e, eniPath(v, i, e))
	if !e.IP.IsValid() && isIPv4(s.CIDR) {
		e.IP = c.lowest(taken, s, s.CIDR, h)
	}
	if !e.IPv6.IsValid() && !e.NoIPv6 && isIPv6(s.IPv6) {
		e.IPv6 = c.lowest(taken, s, s.IPv6, h)
	}
}

// lowest takes the lowest free address of p, a prefix of subnet s.
func (c *completion) lowest(taken book, s *Subnet, p netip.Prefix, h holder) netip.Addr {
	addr, started := taken.last[p] // all below it are taken
	if !started {
		addr = offset(p, firstUsable)
	}
	for ; s.usable(addr); addr = addr.Next() {
		taken.last[p] = addr
		if _, used := taken.holders[addr]; !used {
			taken.holders[addr] = h
			return addr
		}
	}
	c.report(h.at.at("subnet"), fmt.Sprintf("subnet %s has no free address in %s for %s", s.Name, p, h.name),
		"use another subnet")
	return netip.Addr{}
}

// allocatePublic judges the lab's public addresses and draws those that the file leaves open, in file order, skipping all that the
// file names and all that the account has.
func (c *completion) allocatePublic() {
	for _, h := range c.model.Hosts {
		c.hostAddrs(h)
	}
	c.eachENI(c.namedPublic)
	c.eachNAT(c.namedElastic)
	c.eachENI(c.keptPublic)
	c.eachNAT(c.keptElastic)
	next := c.pool()
	for _, v := range c.model.VPCs {
		for i, e := range v.InstanceENIs() {
			if e.wantsPublic() && !e.Public.IsValid() {
				e.Public = c.draw(next, holderOf(i, e, eniPath(v, i, e).at("eip")))
				e.PublicDrawn = e.Public.IsValid()
			}
		}
		for _, g := range v.NATGateways {
			c.drawElastic(next, v, g)
		}
	}
	c.elastic()
}

// draw takes the next address of the pool.
func (c *completion) draw(next func() netip.Addr, h holder) netip.Addr {
	addr := next()
	if !addr.IsValid() {
		c.report(h.at, fmt.Sprintf("no public address is left for %s", h.name),
			fmt.Sprintf("%s has been used up; name an address", PublicPool))
		return addr
	}
	c.public.holders[addr] = h
	return addr
}

func (c *completion) eachENI(f func(*VPC, *Instance, *ENI)) {
	for _, v := range c.model.VPCs {
		for i, e := range v.InstanceENIs() {
			f(v, i, e)
		}
	}
}

// hostAddrs judges the addresses of a host of the internet.
func (c *completion) hostAddrs(h *Host) {
	at := path{"internet", "hosts", h.Name, "ip"}
	if len(h.Addrs) == 0 {
		c.report(at, fmt.Sprintf("host '%s' has no address", h.Name), "give it a public one, such as 203.0.113.80")
	}
	for i, addr := range h.Addrs {
		at := at.element(i, len(h.Addrs))
		if c.publicAddr(at, addr) && c.outsideVPCs(at, addr) {
			c.claim(c.public, addr, holder{"host " + h.Name, at}, "public addresses are unique in a lab")
		}
	}
}

// outsideVPCs judges whether a host's IPv6 address belongs to a VPC.
func (c *completion) outsideVPCs(at path, addr netip.Addr) bool {
	for _, v := range c.model.VPCs {
		for _, p := range v.IPv6 {
			if p.Contains(addr) {
				c.report(at, fmt.Sprintf("address %s belongs to VPC %s, which has %s", addr, v.Name, p),
					"take another address for the host")
				return false
			}
		}
	}
	return true
}

// notPublic are the IPv4 ranges of which the internet has no address.
var notPublic = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "this network (RFC 1122)"},
	{ten, "private (RFC 1918)"},
	{sharedSpace, "shared address space (RFC 6598)"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback (RFC 1122)"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local (RFC 3927)"},
	{oneSevenTwo, "private (RFC 1918)"},
	{oneNineTwo, "private (RFC 1918)"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast (RFC 5771)"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved (RFC 1112)"},
	{netip.MustParsePrefix("52.216.0.0/15"), "the lab's S3"},
	{netip.MustParsePrefix("52.94.0.0/22"), "the lab's DynamoDB"},
	{netip.MustParsePrefix("52.119.0.0/16"), "the lab's other services"},
}

// publicAddr judges whether addr is an address that something on the internet can have.
func (c *completion) publicAddr(at path, addr netip.Addr) bool {
	why := ""
	switch {
	case !addr.IsValid():
		why = "it is empty"
	case addr.Is4():
		for _, r := range notPublic {
			if r.prefix.Contains(addr) {
				why = fmt.Sprintf("%s is %s", r.prefix, r.what)
			}
		}
	case !globalIPv6.Contains(addr): // nor an address with a zone
		why = "global IPv6 addresses are those of 2000::/3"
	}
	if why == "" {
		return true
	}
	c.report(at, fmt.Sprintf("%s is not a public address", addr), why+"; use one such as 203.0.113.80 or 2001:db8::80")
	return false
}

// namedPublic judges and enters the public address that the file names for an interface, and notes how the interface was launched.
func (c *completion) namedPublic(v *VPC, i *Instance, e *ENI) {
	at := eniPath(v, i, e).at("eip")
	c.launch(v, i, e)
	if (e.Public.IsValid() || e.AutoPublic) && !e.IP.IsValid() && c.ipv6Only(v, e) {
		c.report(at, fmt.Sprintf("interface '%s' has no IPv4 address that a public one could map to", e.Name),
			fmt.Sprintf("subnet %s is IPv6-only; remove `eip`", e.Subnet))
		e.Public, e.AutoPublic = netip.Addr{}, false
		return
	}
	if e.Public.IsValid() {
		c.namedEIP(e.Public, holderOf(i, e, at))
	}
}

// namedEIP judges and enters an elastic IP address that the file names.
func (c *completion) namedEIP(addr netip.Addr, h holder) {
	if !addr.Is4() {
		c.report(h.at, fmt.Sprintf("%s is not an IPv4 address", addr),
			"an elastic IP address is a public IPv4 one, such as 198.51.100.7, or `auto`")
		return
	}
	if c.publicAddr(h.at, addr) {
		c.claim(c.public, addr, h, "public addresses are unique in a lab")
	}
}

func (c *completion) ipv6Only(v *VPC, e *ENI) bool {
	s := v.Subnet(e.Subnet)
	return s != nil && !s.CIDR.IsValid()
}

// launch notes whether an interface has a public address from its launch: the primary interface of an instance, by what its subnet
// said then.
func (c *completion) launch(v *VPC, i *Instance, e *ENI) {
	e.PublicDrawn, e.PublicAtLaunch = false, false
	if e != i.Interfaces[0] {
		return
	}
	if old := c.sameENI(v, e); old != nil {
		e.PublicAtLaunch = old.PublicAtLaunch
		return
	}
	s := v.Subnet(e.Subnet)
	e.PublicAtLaunch = s != nil && s.PublicIP && s.CIDR.IsValid()
}

// wantsPublic reports whether the interface gets a public address that the file does not name.
func (e *ENI) wantsPublic() bool { return e.AutoPublic || e.PublicAtLaunch }

// keptPublic gives an interface the public address that was drawn for it before. An elastic address replaces one from the launch, and
// without it the interface gets a new one.
func (c *completion) keptPublic(v *VPC, i *Instance, e *ENI) {
	old := c.sameENI(v, e)
	if e.Public.IsValid() || !e.wantsPublic() || old == nil || !old.PublicDrawn || old.AutoPublic != e.AutoPublic {
		return
	}
	if c.keep(c.public, old.Public, holderOf(i, e, eniPath(v, i, e).at("eip"))) {
		e.Public, e.PublicDrawn = old.Public, true
	}
}

// pool returns a function that draws the next free address of PublicPool, or the invalid address.
func (c *completion) pool() func() netip.Addr {
	allocated := map[netip.Addr]bool{}
	for _, addr := range c.prev.Elastic {
		allocated[addr] = true
	}
	next := PublicPool.Addr()
	return func() netip.Addr {
		for {
			next = next.Next()
			if next == lastAddr(PublicPool) || !PublicPool.Contains(next) {
				next = lastAddr(PublicPool)
				return netip.Addr{}
			}
			if _, used := c.public.holders[next]; !used && !allocated[next] {
				return next
			}
		}
	}
}

// elastic lists what the account has: all that it had before, and what is in use now.
func (c *completion) elastic() {
	all, seen := []netip.Addr(nil), map[netip.Addr]bool{}
	add := func(addr netip.Addr) {
		if addr.IsValid() && !seen[addr] {
			seen[addr] = true
			all = append(all, addr)
		}
	}
	for _, addr := range c.prev.Elastic {
		add(addr)
	}
	for _, v := range c.model.VPCs {
		for addr := range v.mapped() {
			add(addr)
		}
	}
	c.model.Elastic = all
}
