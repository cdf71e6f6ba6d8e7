package compile

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"

	"github.com/gaissmai/bart"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/ctrl/hostnet"
	"github.com/vpclab/vpclab/ctrl/vpc"
	"github.com/vpclab/vpclab/dataplane/fabric"
)

// Plan is one compiled revision of a lab.
type Plan struct {
	Model   *vpc.Model
	Network *fabric.Network
	Desired hostnet.Desired
	// Neighbors are the addresses that ARP and neighbour discovery answer for, with the attachment that owns each, and Scopes where
	// each attachment asks.
	Neighbors map[Neighbor]uint32
	Scopes    map[uint32]uint32
	Links     []Link // in the model's order
	// Interfaces are what flow logs say of the interfaces, by attachment, and Services whose public addresses are.
	Interfaces map[uint32]flowlog.Interface
	Services   *flowlog.Services
	FlowLogs   []FlowLog // in the model's order
	// Portals are the addresses inside the services' namespace, with what they stand for.
	Portals map[netip.Addr]Portal

	numbers numbers
}

// Neighbor is an address in a scope: one subnet's, or one internet host's link.
type Neighbor struct {
	Scope uint32
	Addr  netip.Addr
}

// Router is the owner of a router's address among the neighbours. Every other owner is an attachment.
const Router = 0

const (
	guestMTU = fabric.VPCMTU
	hostMTU  = fabric.InternetGatewayMTU
	// firstTable is the routing table number of a guest's eth1, which answers under its own addresses.
	firstTable = 10001
)

var (
	routerLinkLocal = eui64(hostnet.RouterMAC)
	hostRouter4     = netip.MustParseAddr("169.254.0.1")
)

// Compile makes the plan of a complete, valid model. prev is the lab's plan so far, or nil: what stays keeps its indices, and
// indices of what is gone are not used again. A VPC gets a new generation if anything changed that its packets can meet.
func Compile(m *vpc.Model, prev *Plan) *Plan {
	c := &compiler{
		model: m,
		plan: &Plan{
			Model:     m,
			Network:   &fabric.Network{},
			Desired:   hostnet.Desired{Lab: m.Name},
			Neighbors: map[Neighbor]uint32{},
			Scopes:    map[uint32]uint32{},

			Interfaces: map[uint32]flowlog.Interface{},
			Portals:    map[netip.Addr]Portal{},
			numbers:    newNumbers(),
		},
		groups: map[vpc.GroupRef]fabric.GroupID{},
	}
	if prev != nil {
		c.plan.numbers = prev.numbers.next()
	}
	c.internet()
	c.services()
	for _, v := range m.VPCs {
		c.number(v)
	}
	c.peerings()
	for _, v := range m.VPCs {
		c.vpc(v)
	}
	c.callers()
	c.flowLogs()
	c.plan.Services = c.publicServices()
	c.generations(prev)
	c.plan.numbers.prune()
	return c.plan
}

type compiler struct {
	model  *vpc.Model
	plan   *Plan
	groups map[vpc.GroupRef]fabric.GroupID
}

// generations gives a new one to each VPC that changed; a change that others can see through the internet is one for all.
func (c *compiler) generations(prev *Plan) {
	net := c.plan.Network
	all := prev == nil || !reflect.DeepEqual(prev.Model.Hosts, c.model.Hosts) || !samePublic(prev.Network, net)
	numbers := &c.plan.numbers
	if all {
		numbers.internet++
	}
	net.Internet.Generation = numbers.internet
	for _, v := range c.model.VPCs {
		i := numbers.vpcs.of(v.Name)
		if all || changed(prev.Model, c.model, v) {
			numbers.generation[i]++
		}
		net.VPCs[i-1].Generation = numbers.generation[i]
	}
}

// mapping is one public address as the internet sees it.
type mapping struct {
	private    netip.Addr
	attachment uint32
}

// public is what the internet knows of the lab: whose each public address is, and which IPv6 space is reachable.
func public(n *fabric.Network) (map[netip.Addr]mapping, map[netip.Prefix]uint32) {
	mappings := map[netip.Addr]mapping{}
	for a, p := range n.Internet.Public {
		mappings[a] = mapping{p.Private, p.ENI.Attachment}
	}
	spaces := map[netip.Prefix]uint32{}
	for p, v := range n.Internet.IPv6.All() {
		spaces[p] = v.Index
	}
	return mappings, spaces
}

// samePublic reports whether the internet sees no difference between two networks.
func samePublic(a, b *fabric.Network) bool {
	mappingsA, spacesA := public(a)
	mappingsB, spacesB := public(b)
	return maps.Equal(mappingsA, mappingsB) && maps.Equal(spacesA, spacesB)
}

func (c *compiler) internet() {
	net := c.plan.Network
	net.Internet = fabric.Internet{
		Hosts:   map[netip.Addr]*fabric.Host{},
		Public:  map[netip.Addr]fabric.PublicAddress{},
		IPv6:    new(bart.Table[*fabric.VPC]),
		Elastic: map[netip.Addr]bool{},
		Portals: map[netip.Addr]*fabric.Portal{},
		Pool:    vpc.PublicPool,
	}
	for _, a := range c.model.Elastic {
		net.Internet.Elastic[a] = true
	}
	for _, h := range c.model.Hosts {
		c.host(h)
	}
}

func (c *compiler) host(h *vpc.Host) {
	index := c.plan.numbers.attachments.of("internet/" + h.Name)
	host := &fabric.Host{Attachment: index, Name: h.Name, Addrs: h.Addrs}
	c.attach(&fabric.Attachment{Index: index, Host: host})
	namespace := hostnet.GuestNamespace(c.model.Name, "internet", h.Name)
	a := hostnet.Attachment{
		Index: index, Namespace: namespace, Device: "eth0", MAC: mac("internet/" + h.Name), MTU: hostMTU, Default: true,
	}
	scope := c.scope(index, "internet/"+h.Name)
	for _, addr := range h.Addrs {
		c.plan.Network.Internet.Hosts[addr] = host
		a.Addrs = append(a.Addrs, netip.PrefixFrom(addr, addr.BitLen()))
		c.neighbor(scope, addr, index)
		if addr.Is4() {
			a.Router4 = hostRouter4
		} else {
			a.Router6 = routerLinkLocal
		}
	}
	c.routers(scope, a)
	guest := hostnet.Guest{Namespace: namespace, Hostname: h.Name}
	if a.Router4.IsValid() {
		guest.Resolver = []netip.Addr{vpc.PublicResolver}
	}
	c.plan.Desired.Guests = append(c.plan.Desired.Guests, guest)
	c.plan.Desired.Attachments = append(c.plan.Desired.Attachments, a)
}

func (c *compiler) attach(a *fabric.Attachment) {
	net := c.plan.Network
	for len(net.Attachments) <= int(a.Index) {
		net.Attachments = append(net.Attachments, nil)
	}
	net.Attachments[a.Index] = a
}

func (c *compiler) neighbor(scope uint32, addr netip.Addr, owner uint32) {
	c.plan.Neighbors[Neighbor{scope, addr}] = owner
}

func (c *compiler) scope(attachment uint32, name string) uint32 {
	scope := c.plan.numbers.scopes.of(name)
	c.plan.Scopes[attachment] = scope
	return scope
}

func (c *compiler) routers(scope uint32, a hostnet.Attachment) {
	for _, router := range []netip.Addr{a.Router4, a.Router6} {
		if router.IsValid() {
			c.neighbor(scope, router, Router)
		}
	}
}

// number makes a place for a VPC.
func (c *compiler) number(v *vpc.VPC) {
	net := c.plan.Network
	index := c.plan.numbers.vpcs.of(v.Name)
	for len(net.VPCs) < int(index) {
		net.VPCs = append(net.VPCs, nil)
	}
	net.VPCs[index-1] = &fabric.VPC{
		Index: index, Name: v.Name, Region: v.Region, CIDRs: append(append([]netip.Prefix(nil), v.CIDRs...), v.IPv6...),
		Resolver: v.Resolver(), HasIGW: v.InternetGateway, ENIs: map[netip.Addr]*fabric.ENI{},
	}
}

// vpc compiles one VPC: tables that lead to interfaces need the interfaces first.
func (c *compiler) vpc(v *vpc.VPC) {
	net := c.plan.Network
	out := net.VPCs[c.plan.numbers.vpcs.of(v.Name)-1]
	if v.EgressOnlyGateway {
		out.EgressOnly = &fabric.ENI{Name: string(vpc.TargetEgressOnly), Attachment: c.plan.numbers.attachments.of(v.Name + "/eigw")}
	}
	if v.InternetGateway || v.EgressOnlyGateway {
		for _, p := range v.IPv6 {
			net.Internet.IPv6.Insert(p, out)
		}
	}
	acls := map[string]*fabric.ACL{}
	for _, a := range v.ACLs {
		acls[a.Name] = compileACL(a)
	}
	subnets := map[string]*fabric.Subnet{}
	for _, s := range v.Subnets {
		subnets[s.Name] = &fabric.Subnet{
			VPC: out, Name: s.Name, CIDR: s.CIDR, IPv6: s.IPv6, Router4: s.Router4(), Router6: routerLinkLocal, ACL: acls[s.ACL],
			Down: slices.Contains(c.model.DownZones, s.AZ),
		}
	}
	for _, s := range v.Subnets {
		// The resolver is at home in the subnet that has its address.
		if resolver := v.Resolver(); s.CIDR.Contains(resolver) {
			c.neighbor(c.plan.numbers.scopes.of(v.Name+"/"+s.Name), resolver, Router)
		}
	}
	groups := c.securityGroups(v)
	enis := map[vpc.Target]*fabric.ENI{}
	for _, i := range v.Instances {
		namespace := hostnet.GuestNamespace(c.model.Name, v.Name, i.Name)
		c.plan.Desired.Guests = append(c.plan.Desired.Guests, hostnet.Guest{
			Namespace: namespace, Hostname: i.Name, Forward: i.Forward, Resolver: resolver(v, i.Interfaces[0]), Search: searchDomain(v.Region),
		})
		for n, e := range i.Interfaces {
			eni := c.eni(v, e, n, subnets[e.Subnet], groups, namespace)
			c.logged(v, e.Subnet, i.ID, eni)
			enis[vpc.Target{Kind: vpc.TargetENI, Name: e.Name}] = eni
			if n == 0 {
				enis[vpc.Target{Kind: vpc.TargetInstance, Name: i.Name}] = eni
			}
		}
	}
	for _, g := range v.NATGateways {
		enis[vpc.Target{Kind: vpc.TargetNATGateway, Name: g.Name}] = c.natGateway(v, g, subnets[g.Subnet])
	}
	c.directServices(v, out)
	c.interfaceEndpoints(v, subnets, groups)
	to := targets{enis: enis, endpoints: c.gatewayEndpoints(v, out)}
	if v.EdgeRoutes != nil {
		out.EdgeRoutes = c.table("edge", v.EffectiveEdgeRoutes(), to)
	}
	to.peerings = out.Peerings
	tables := map[string]*fabric.RouteTable{}
	for _, t := range v.RouteTables {
		tables[t.Name] = c.table(t.Name, v.EffectiveRoutes(t), to)
	}
	for _, s := range v.Subnets {
		subnets[s.Name].Routes = tables[s.RouteTable]
	}
}

// eni compiles the n-th interface of an instance and its attachment.
func (c *compiler) eni(v *vpc.VPC, e *vpc.ENI, n int, s *fabric.Subnet, groups map[string]*fabric.SecurityGroup, namespace string) *fabric.ENI {
	// In another subnet it is another interface, as an interface cannot move.
	index := c.plan.numbers.attachments.of(v.Name + "/" + s.Name + "/" + e.Name)
	out := &fabric.ENI{
		Attachment: index, Name: e.Name, ID: string(e.ID), Subnet: s, SourceDestCheck: e.SourceDestCheck, Public: map[netip.Addr]netip.Addr{},
	}
	c.attach(&fabric.Attachment{Index: index, ENI: out})
	a := hostnet.Attachment{
		Index: index, Namespace: namespace, Device: e.Device, MAC: MAC(e), MTU: guestMTU, Default: n == 0,
	}
	scope := c.scope(index, v.Name+"/"+s.Name)
	if !a.Default {
		a.Table = firstTable + n - 1
	}
	for _, addr := range append([]netip.Addr{e.IP}, append(e.Secondary, e.IPv6)...) {
		if !addr.IsValid() {
			continue
		}
		bits := s.CIDR.Bits()
		a.Router4 = s.Router4
		if addr.Is6() {
			bits, a.Router6 = s.IPv6.Bits(), s.Router6
		}
		out.Addrs = append(out.Addrs, addr)
		s.VPC.ENIs[addr] = out
		a.Addrs = append(a.Addrs, netip.PrefixFrom(addr, bits))
		c.neighbor(scope, addr, index)
	}
	c.routers(scope, a)
	if e.Public.IsValid() {
		out.Public[e.IP] = e.Public
		c.plan.Network.Internet.Public[e.Public] = fabric.PublicAddress{ENI: out, Private: e.IP}
	}
	for _, ref := range e.Groups {
		if g := groups[ref.Name]; g != nil {
			out.Groups = append(out.Groups, g)
		}
	}
	c.plan.Desired.Attachments = append(c.plan.Desired.Attachments, a)
	return out
}

// natGateway compiles a NAT gateway's interface. Nothing sends from it but the engine, so it has an index and no devices.
func (c *compiler) natGateway(v *vpc.VPC, g *vpc.NATGateway, s *fabric.Subnet) *fabric.ENI {
	name := string(vpc.TargetNATGateway) + "." + g.Name
	index := c.plan.numbers.attachments.of(v.Name + "/" + s.Name + "/" + name)
	out := &fabric.ENI{
		Attachment: index, Name: name, ID: string(g.ENIID), Subnet: s, Public: map[netip.Addr]netip.Addr{}, NAT: &fabric.NAT{Private: g.Private},
	}
	c.attach(&fabric.Attachment{Index: index, ENI: out})
	scope := c.plan.numbers.scopes.of(v.Name + "/" + s.Name)
	for _, a := range g.Addresses {
		out.Addrs = append(out.Addrs, a.IP)
		s.VPC.ENIs[a.IP] = out
		c.neighbor(scope, a.IP, index)
		if a.Public.IsValid() {
			out.Public[a.IP] = a.Public
			c.plan.Network.Internet.Public[a.Public] = fabric.PublicAddress{ENI: out, Private: a.IP}
		}
	}
	out.NAT.Addrs = out.Addrs
	c.logged(v, g.Subnet, "", out)
	return out
}

// targets are what a VPC's routes may lead to.
type targets struct {
	enis      map[vpc.Target]*fabric.ENI
	peerings  []*fabric.PeeringEnd
	endpoints map[string]*fabric.GatewayEndpoint
}

func (c *compiler) table(name string, routes []vpc.Route, to targets) *fabric.RouteTable {
	out := &fabric.RouteTable{Name: name, Routes: new(bart.Table[*fabric.Route])}
	for _, r := range routes {
		route := &fabric.Route{Prefix: r.Destination, Text: fmt.Sprintf("%s -> %s", r.Destination, targetText(r))}
		switch {
		case r.Blackhole:
			route.Kind = fabric.ToBlackhole
			if r.Target.Kind == vpc.TargetPeering {
				route.Mend = mendPeering(r.Target, c.model.Peering(r.Target.Name))
			}
		case r.Target.Kind == vpc.TargetLocal:
			route.Kind = fabric.ToLocal
		case r.Target.Kind == vpc.TargetInternetGateway:
			route.Kind = fabric.ToInternetGateway
		case r.Target.Kind == vpc.TargetEgressOnly:
			route.Kind = fabric.ToEgressOnly
		case r.Target.Kind == vpc.TargetPeering:
			route.Kind = fabric.ToBlackhole
			if i := slices.IndexFunc(to.peerings, func(p *fabric.PeeringEnd) bool { return p.Name == r.Target.String() }); i >= 0 {
				route.Kind, route.Peering = fabric.ToPeering, to.peerings[i]
			}
		case r.Target.Kind == vpc.TargetEndpoint:
			route.Kind, route.Endpoint = fabric.ToEndpoint, to.endpoints[r.Target.Name]
		case to.enis[r.Target] == nil:
			route.Kind = fabric.ToBlackhole
		case r.Target.Kind == vpc.TargetNATGateway:
			route.Kind, route.ENI = fabric.ToNATGateway, to.enis[r.Target]
		default:
			route.Kind, route.ENI = fabric.ToENI, to.enis[r.Target]
		}
		out.Routes.Insert(r.Destination, route)
	}
	return out
}

func targetText(r vpc.Route) string {
	text := r.Target.String()
	if r.Blackhole && r.Target.Kind != vpc.TargetBlackhole {
		text += " (blackhole)"
	}
	return text
}
