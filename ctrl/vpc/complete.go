package vpc

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
)

// The defaults of a lab.
const (
	DefaultRegion  = "us-east-1"
	DefaultAccount = "123456789012"
)

// Complete turns what a file declares into the whole model, in place, and reports every rule of AWS that it breaks. It masks prefixes
// (10.0.0.5/16 becomes 10.0.0.0/16, as AWS does), adds what every VPC has (main route table, default security group, default ACL),
// sets IDs and allocates addresses.
//
// prev is the model before a change, or nil. It decides what a change cannot do and what it leaves behind:
//   - An instance of the same VPC, name and subnet is the same instance. Its interfaces keep the private addresses they had and the
//     public ones that were drawn, and a public_ip that is switched on or off concerns later launches only (EC2 user guide, instance
//     addressing). So is a NAT gateway of the same VPC, name, subnet and type.
//   - A route whose target was removed becomes a blackhole, and a rule whose group was removed stale. A name that comes back is the
//     same resource again.
//   - A flow log ends with its resource, for good; nothing else of it changes.
//   - An endpoint of the same VPC, name, type and service is the same endpoint: it keeps its addresses, and once accepted it stays so
//     unless it is rejected. When the service that it led to is removed it has failed, for good.
//   - Primary CIDRs, and a subnet's IPv4 CIDR and zone, cannot change (VPC user guide, VPC CIDR blocks and subnet sizing).
//
// The parts of the model that are right are complete even if there are problems. prev is not modified.
func (m *Model) Complete(prev *Model) []Problem {
	c := &completion{model: m, prev: prev, written: map[*Route]string{}, public: newBook(), old: map[string]*ENI{},
		natGateways: map[string]int{}, gatewayEndpoints: map[string]int{}}
	if prev == nil {
		c.prev = &Model{}
	}
	for _, v := range c.prev.VPCs {
		for _, e := range v.InstanceENIs() {
			c.old[v.Name+"/"+e.Name] = e
		}
	}
	c.defaults()
	c.remember()
	c.lab()
	c.peerings()
	c.flowLogs()
	c.zones()
	for _, v := range m.VPCs {
		c.vpc(v)
	}
	c.allocatePublic()
	for _, v := range m.VPCs {
		c.gateway(v)
	}
	return c.problems
}

// completion is one run of Complete.
type completion struct {
	model, prev *Model
	removed     map[string]bool   // as Model.Removed
	written     map[*Route]string // each route's destination as the file has it, before masking
	public      book              // the lab's public addresses
	old         map[string]*ENI   // prev's interfaces by VPC/NAME
	natGateways map[string]int    // how many there are so far, by account/zone
	// gatewayEndpoints is how many there are so far, by account/region.
	gatewayEndpoints map[string]int
	problems         []Problem
}

func (c *completion) report(at path, what, hint string) {
	c.problems = append(c.problems, Problem{Path: at, What: what, Hint: hint})
}

// before is the VPC as it was before the change; an empty one if it is new.
func (c *completion) before(v *VPC) *VPC {
	if p := c.prev.VPC(v.Name); p != nil {
		return p
	}
	return &VPC{}
}

// path leads to a value of the file; see Problem.Path.
type path []string

func (p path) at(names ...string) path { return append(slices.Clip(p), names...) }

// element is an element of the list that p leads to; a list of one has no index, since it may be written without the brackets.
func (p path) element(i, length int) path {
	if length == 1 {
		return p
	}
	return p.at(strconv.Itoa(i))
}

func pathOf(v *VPC) path { return path{"vpcs", v.Name} }

func subnetPath(v *VPC, s *Subnet) path { return pathOf(v).at("subnets", s.Name) }

func eniPath(v *VPC, i *Instance, e *ENI) path {
	p := pathOf(v).at("instances", i.Name)
	if e == i.Interfaces[0] {
		return p
	}
	return p.at("interfaces", e.Device)
}

func routesPath(v *VPC, t *RouteTable) path {
	if t.Inline {
		return pathOf(v).at("subnets", t.Name, "routes")
	}
	return pathOf(v).at("route_tables", t.Name, "routes")
}

func edgePath(v *VPC) path { return pathOf(v).at("internet_gateway", "routes") }

func endpointPath(v *VPC, e *Endpoint) path { return pathOf(v).at("endpoints", e.Name) }

func servicePath(v *VPC, s *EndpointService) path { return pathOf(v).at("endpoint_services", s.Name) }

func natPath(v *VPC, g *NATGateway) path { return pathOf(v).at("nat_gateways", g.Name) }

// defaults fills in all that does not depend on addresses.
func (c *completion) defaults() {
	m := c.model
	m.Region = cmp.Or(m.Region, DefaultRegion)
	m.Account = cmp.Or(m.Account, DefaultAccount)
	for _, v := range m.VPCs {
		v.Region = cmp.Or(v.Region, m.Region)
		v.Account = cmp.Or(v.Account, m.Account)
		v.RouteTables = mainFirst(v.RouteTables, Main, func(t *RouteTable) string { return t.Name }, &RouteTable{Name: Main})
		v.SecurityGroups = mainFirst(v.SecurityGroups, Default, func(g *SecurityGroup) string { return g.Name }, defaultGroup(v))
		v.ACLs = mainFirst(v.ACLs, Default, func(a *ACL) string { return a.Name }, defaultACL(v))
		c.mask(v)
		for _, s := range v.Subnets {
			s.RouteTable = cmp.Or(s.RouteTable, Main)
			s.ACL = cmp.Or(s.ACL, Default)
			s.AZ = zone(v.Region, s.AZ)
		}
		for _, g := range v.SecurityGroups {
			if g.Egress == nil {
				g.Egress = defaultEgress(v)
			}
		}
		for _, i := range v.Instances {
			for n, e := range i.Interfaces {
				launchDefaults(i, n, e)
				for k, g := range e.Groups {
					e.Groups[k] = g.within(v)
				}
			}
		}
		for _, g := range v.NATGateways {
			if len(g.Addresses) == 0 {
				g.Addresses = make([]NATAddress, 1)
			}
		}
		c.endpointDefaults(v)
		identify(v)
	}
	m.serviceDefaults()
	for _, p := range m.Peerings {
		p.Encryption = cmp.Or(p.Encryption, WireGuard)
		p.Life = Life{}
		if v := m.VPC(p.Requester); v != nil {
			p.ID = PeeringID(NewID("pcx", v.Account, v.Region, v.Name, "peering", p.Name))
		}
	}
	for _, l := range m.FlowLogs {
		l.Interval = cmp.Or(l.Interval, LongInterval)
		l.FileFormat = cmp.Or(l.FileFormat, TextFiles)
		l.Subscription = Subscription{}
	}
}

// zone expands a zone's letter; without one AWS picks, and we pick a.
func zone(region, az string) string {
	switch len(az) {
	case 0:
		return region + "a"
	case 1:
		return region + az
	default:
		return az
	}
}

func launchDefaults(i *Instance, n int, e *ENI) {
	if e.Device == "" {
		e.Device = "eth" + strconv.Itoa(n)
	}
	if e.Name == "" {
		e.Name = i.Name
		if n > 0 {
			e.Name += "." + e.Device
		}
	}
	if e.Groups == nil {
		e.Groups = []GroupRef{{Name: Default}}
	}
}

// endpointDefaults fills in what the VPC's endpoints and endpoint services leave out, and its instances say of themselves.
func (c *completion) endpointDefaults(v *VPC) {
	for _, i := range v.Instances {
		if !i.Role.None {
			i.Role.Name = cmp.Or(i.Role.Name, i.Name)
		}
		i.Metadata.HopLimit = cmp.Or(i.Metadata.HopLimit, 1)
	}
	for _, e := range v.Endpoints {
		e.State = ""
		if e.Groups == nil && e.Type == InterfaceEndpoint {
			e.Groups = []GroupRef{{Name: Default}}
		}
		for k, g := range e.Groups {
			e.Groups[k] = g.within(v)
		}
	}
	for _, s := range v.EndpointServices {
		if len(s.Interfaces) == 0 {
			s.Interfaces = c.besideTargets(v, s)
		}
		for _, refs := range [][]EndpointRef{s.Accepted, s.Rejected} {
			for k := range refs {
				refs[k].VPC = cmp.Or(refs[k].VPC, v.Name)
			}
		}
	}
}

// besideTargets are interfaces in the subnets of the service's targets, the first of each availability zone. Where a change has removed
// the targets, the load balancer stays where it was.
func (c *completion) besideTargets(v *VPC, s *EndpointService) []*EndpointInterface {
	var all []*EndpointInterface
	zones := map[string]bool{}
	for _, name := range s.Targets {
		i := v.Instance(name)
		if i == nil || len(i.Interfaces) == 0 {
			continue
		}
		if in := v.Subnet(i.Interfaces[0].Subnet); in != nil && !zones[in.AZ] {
			zones[in.AZ] = true
			all = append(all, &EndpointInterface{Subnet: in.Name})
		}
	}
	if old := c.before(v).EndpointService(s.Name); len(all) == 0 && old != nil {
		for _, i := range old.Interfaces {
			all = append(all, &EndpointInterface{Subnet: i.Subnet})
		}
	}
	return all
}

// serviceDefaults gives buckets and tables the lab's region and account where they have none.
func (m *Model) serviceDefaults() {
	for _, b := range m.Services.Buckets {
		b.Region, b.Account = cmp.Or(b.Region, m.Region), cmp.Or(b.Account, m.Account)
	}
	for _, t := range m.Services.Tables {
		t.Region, t.Account = cmp.Or(t.Region, m.Region), cmp.Or(t.Account, m.Account)
	}
}

// mainFirst returns all with the one called name in front, or with the given default there if none is.
func mainFirst[T any](all []*T, name string, nameOf func(*T) string, otherwise *T) []*T {
	first := otherwise
	rest := make([]*T, 0, len(all))
	found := false
	for _, x := range all {
		if nameOf(x) == name && !found {
			first, found = x, true
			continue
		}
		rest = append(rest, x)
	}
	return append([]*T{first}, rest...)
}

var (
	anywhere4 = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	anywhere6 = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
)

// everything is the traffic that "all" selects.
var everything = Traffic{Protocol: AllProtocols, ToPort: 65535, ICMPType: AnyICMP, ICMPCode: AnyICMP}

// defaultGroup admits all from its own members and lets all out (VPC user guide, default security groups).
func defaultGroup(v *VPC) *SecurityGroup {
	return &SecurityGroup{
		Name:    Default,
		Ingress: []SGRule{{Traffic: everything, Group: GroupRef{Name: Default}, Text: "all from sg." + Default}},
		Egress:  defaultEgress(v),
	}
}

// defaultEgress is what a group gets whose egress is left out: all IPv4, and all IPv6 if the VPC has any.
func defaultEgress(v *VPC) []SGRule {
	rules := []SGRule{{Traffic: everything, CIDR: anywhere4, Text: "all to 0.0.0.0/0"}}
	if len(v.IPv6) > 0 {
		rules = append(rules, SGRule{Traffic: everything, CIDR: anywhere6, Text: "all to ::/0"})
	}
	return rules
}

// defaultACL allows everything both ways (VPC user guide, default network ACL).
func defaultACL(v *VPC) *ACL {
	allow := func(number int, word string, cidr netip.Prefix) ACLEntry {
		text := fmt.Sprintf("%d allow all %s %s", number, word, cidr)
		return ACLEntry{Number: number, Allow: true, Traffic: everything, CIDR: cidr, Text: text}
	}
	entries := func(word string) []ACLEntry {
		all := []ACLEntry{allow(100, word, anywhere4)}
		if len(v.IPv6) > 0 {
			all = append(all, allow(101, word, anywhere6))
		}
		return all
	}
	return &ACL{Name: Default, Ingress: entries("from"), Egress: entries("to")}
}

// mask makes every prefix of the VPC canonical, and notes first how the file writes the destinations of routes.
func (c *completion) mask(v *VPC) {
	maskAll(v.CIDRs)
	maskAll(v.IPv6)
	for _, s := range v.Subnets {
		s.CIDR, s.IPv6 = s.CIDR.Masked(), s.IPv6.Masked()
	}
	for _, l := range v.PrefixLists {
		maskAll(l.Entries)
	}
	for _, t := range v.RouteTables {
		c.maskRoutes(t.Routes)
	}
	c.maskRoutes(v.EdgeRoutes)
	for _, g := range v.SecurityGroups {
		for _, rules := range [][]SGRule{g.Ingress, g.Egress} {
			for i := range rules {
				rules[i].CIDR = rules[i].CIDR.Masked()
				rules[i].Traffic = rules[i].canonical()
				rules[i].Group = rules[i].Group.within(v)
				rules[i].Stale, rules[i].Unpeered = false, false
			}
		}
	}
	for _, a := range v.ACLs {
		for _, entries := range [][]ACLEntry{a.Ingress, a.Egress} {
			for i := range entries {
				entries[i].CIDR = entries[i].CIDR.Masked()
				entries[i].Traffic = entries[i].canonical()
			}
		}
	}
}

func (c *completion) maskRoutes(routes []Route) {
	for i := range routes {
		r := &routes[i]
		c.written[r] = destinationText(r)
		r.Destination = r.Destination.Masked()
		if r.Origin == CreateRouteTable && r.Target.Kind != TargetLocal {
			r.Origin = CreateRoute
		}
		r.Blackhole = r.Target.Kind == TargetBlackhole
	}
}

func maskAll(prefixes []netip.Prefix) {
	for i, p := range prefixes {
		prefixes[i] = p.Masked()
	}
}

// within is g as v itself writes it: without a VPC for a group of its own.
func (g GroupRef) within(v *VPC) GroupRef {
	if g.VPC == v.Name {
		g.VPC = ""
	}
	return g
}

// canonical is t with an ICMP code that its type of AnyICMP forces (EC2 API, IpPermission).
func (t Traffic) canonical() Traffic {
	if t.ICMPType == AnyICMP {
		t.ICMPCode = AnyICMP
	}
	return t
}

// identify sets the IDs of the VPC and all in it.
func identify(v *VPC) {
	id := func(prefix, kind, name string) string { return NewID(prefix, v.Account, v.Region, v.Name, kind, name) }
	v.ID = VPCID(id("vpc", "vpc", v.Name))
	for _, s := range v.Subnets {
		s.ID = SubnetID(id("subnet", "subnet", s.Name))
	}
	for _, t := range v.RouteTables {
		t.ID = RouteTableID(id("rtb", "route_table", t.Name))
	}
	for _, l := range v.PrefixLists {
		l.ID = PrefixListID(id("pl", "prefix_list", l.Name))
	}
	for _, g := range v.SecurityGroups {
		g.ID = SecurityGroupID(id("sg", "security_group", g.Name))
	}
	for _, a := range v.ACLs {
		a.ID = ACLID(id("acl", "acl", a.Name))
	}
	for _, i := range v.Instances {
		i.ID = InstanceID(id("i", "instance", i.Name))
		for _, e := range i.Interfaces {
			e.ID = ENIID(id("eni", "eni", e.Name))
		}
	}
	for _, e := range v.Endpoints {
		e.ID = EndpointID(id("vpce", "endpoint", e.Name))
		for _, i := range e.Interfaces {
			i.ID = ENIID(id("eni", "endpoint", e.Name+"."+i.Subnet))
		}
	}
	for _, s := range v.EndpointServices {
		s.ID = EndpointServiceID(id("vpce-svc", "endpoint_service", s.Name))
		for _, i := range s.Interfaces {
			i.ID = ENIID(id("eni", "endpoint_service", s.Name+"."+i.Subnet))
		}
	}
	for _, g := range v.NATGateways {
		g.ID = NATGatewayID(id("nat", "nat_gateway", g.Name))
		g.ENIID = ENIID(id("eni", "nat_gateway", g.Name))
	}
}

// remember works out what changes have removed so far.
func (c *completion) remember() {
	c.removed = map[string]bool{}
	for _, ref := range c.prev.Removed {
		c.removed[ref] = true
	}
	for ref := range references(c.prev) {
		c.removed[ref] = true
	}
	for ref := range references(c.model) {
		delete(c.removed, ref)
	}
	c.model.Removed = slices.Sorted(maps.Keys(c.removed))
}

// references are all resources that a route or rule may lead to, as in Model.Removed.
func references(m *Model) map[string]bool {
	refs := map[string]bool{}
	for _, v := range m.VPCs {
		refs[v.Name] = true
		if v.InternetGateway {
			refs[v.Name+"/igw"] = true
		}
		if v.EgressOnlyGateway {
			refs[v.Name+"/eigw"] = true
		}
		for _, g := range v.NATGateways {
			refs[v.Name+"/nat."+g.Name] = true
		}
		for _, g := range v.SecurityGroups {
			refs[v.Name+"/sg."+g.Name] = true
		}
		for i, e := range v.InstanceENIs() {
			refs[v.Name+"/instance."+i.Name] = true
			refs[v.Name+"/eni."+e.Name] = true
		}
		for _, e := range v.Endpoints {
			refs[v.Name+"/endpoint."+e.Name] = true
		}
		for _, s := range v.EndpointServices {
			refs[v.Name+"/endpoint_service."+s.Name] = true
		}
	}
	for _, p := range m.Peerings {
		for _, end := range []string{p.Requester, p.Accepter} {
			refs[end+"/peering."+p.Name] = true
			refs[end+"/peer."+p.Peer(end)] = true
		}
	}
	return refs
}
