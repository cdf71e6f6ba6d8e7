package compile

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/vpclab/vpclab/ctrl/hostnet"
	"github.com/vpclab/vpclab/ctrl/vpc"
	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// Portal is one address inside the services' namespace, with what it stands for.
type Portal struct {
	Inside, Outside netip.Addr
	Kind            fabric.PortalKind
	Service         string // DNS, Metadata, Time, or an AWS service's code; empty for an endpoint service
	Region          string
	VPC             string // whose it is; empty for a public one
	Endpoint        string // of VPC: a gateway or interface endpoint
	EndpointService string // of VPC: of a load balancer
	Subnet          string // of an interface
}

// The services that each VPC has by itself.
const (
	DNS      = "dns"
	Metadata = "imds"
	Time     = "time"
)

// The address space of the services' namespace.
var (
	callerSpace4 = netip.MustParsePrefix("100.64.0.0/11")
	portalSpace4 = netip.MustParsePrefix("100.96.0.0/11")
	callerSpace6 = netip.MustParsePrefix("fd76:7063:6c61:1::/64")
	portalSpace6 = netip.MustParsePrefix("fd76:7063:6c61:2::/64")
)

// servicesHome is the address of the namespace's interface, from which no service speaks.
var servicesHome = []netip.Prefix{netip.MustParsePrefix("100.64.0.0/32"), netip.MustParsePrefix("fd76:7063:6c61:1::/128")}

// direct are the services of each VPC, by what they are asked at. The resolver has the VPC's own address beside these.
var direct = []struct {
	service  string
	addrs    []netip.Addr
	protocol uint8
	port     uint16
}{
	{DNS, []netip.Addr{netip.MustParseAddr("169.254.169.253"), netip.MustParseAddr("fd00:ec2::253")}, 0, 53},
	{Metadata, []netip.Addr{netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("fd00:ec2::254")}, flow.TCP, 80},
	{Time, []netip.Addr{netip.MustParseAddr("169.254.169.123"), netip.MustParseAddr("fd00:ec2::123")}, flow.UDP, 123},
}

// webPorts are those of AWS's services.
var webPorts = []uint16{80, 443}

// services makes the place where services listen, and the portals that belong to no VPC.
func (c *compiler) services() {
	index := c.plan.numbers.attachments.of("services")
	s := &fabric.Services{
		Attachment: index, Portals: map[netip.Addr]*fabric.Portal{}, Callers: map[netip.Addr]fabric.Caller{}, Inside: map[fabric.Caller]netip.Addr{},
	}
	c.plan.Network.Services = s
	c.attach(&fabric.Attachment{Index: index, Services: s})
	namespace := hostnet.ServicesNamespace(c.model.Name)
	a := hostnet.Attachment{
		Index: index, Namespace: namespace, Device: "eth0", MAC: mac("services"), MTU: guestMTU, Default: true, Addrs: servicesHome,
		Router4: hostRouter4, Router6: routerLinkLocal,
	}
	c.routers(c.scope(index, "services"), a)
	c.plan.Desired.Guests = append(c.plan.Desired.Guests, hostnet.Guest{
		Namespace: namespace, Hostname: "services", Local: []netip.Prefix{portalSpace4, portalSpace6},
	})
	c.plan.Desired.Attachments = append(c.plan.Desired.Attachments, a)
	c.portal(&fabric.Portal{Kind: fabric.PublicPortal, Service: DNS, Outside: vpc.PublicResolver, Ports: []uint16{53}}, Portal{Service: DNS})
	for _, region := range c.regions() {
		for _, service := range vpc.ServiceCatalog() {
			p := fabric.Portal{Kind: fabric.PublicPortal, Service: service.Code, Region: region, Outside: service.Addr(region), Protocol: flow.TCP, Ports: webPorts}
			if service.Gateway {
				p.PrefixList = "pl." + service.Code
			}
			c.portal(&p, Portal{Service: service.Code, Region: region})
		}
	}
}

// regions are those in which services are: AWS's, and the lab's own if it invents one.
func (c *compiler) regions() []string {
	all := vpc.Regions()
	for _, v := range c.model.VPCs {
		if !slices.Contains(all, v.Region) {
			all = append(all, v.Region)
		}
	}
	return all
}

// portal gives a portal its address inside and remembers what it stands for.
func (c *compiler) portal(p *fabric.Portal, info Portal) *fabric.Portal {
	if p.VPC != nil {
		info.VPC = p.VPC.Name
	}
	name := fmt.Sprintf("%d/%s/%s/%s", p.Kind, info.VPC, p.Name, p.Outside)
	p.Inside = inside(portalSpace4, portalSpace6, p.Outside, c.plan.numbers.portals.of(name))
	info.Inside, info.Outside, info.Kind = p.Inside, p.Outside, p.Kind
	c.plan.Network.Services.Portals[p.Inside] = p
	c.plan.Portals[p.Inside] = info
	if p.Kind == fabric.PublicPortal {
		c.plan.Network.Internet.Portals[p.Outside] = p
	}
	return p
}

// inside is the n-th address of the space of outside's family.
func inside(space4, space6 netip.Prefix, outside netip.Addr, n uint32) netip.Addr {
	if outside.Is4() {
		b := space4.Addr().As4()
		binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+n)
		return netip.AddrFrom4(b)
	}
	b := space6.Addr().As16()
	binary.BigEndian.PutUint32(b[12:], n)
	return netip.AddrFrom16(b)
}

// resolver is what a guest's resolv.conf says: the VPC's own resolver, as DHCP hands it out, at an address of a family that the guest has.
func resolver(v *vpc.VPC, e *vpc.ENI) []netip.Addr {
	if !e.IP.IsValid() {
		return []netip.Addr{direct[0].addrs[1]}
	}
	return []netip.Addr{v.Resolver()}
}

// searchDomain is that of a VPC's DHCP options (VPC user guide, AmazonProvidedDNS).
func searchDomain(region string) string {
	if region == "us-east-1" {
		return "ec2.internal"
	}
	return region + ".compute.internal"
}

// directServices are what a VPC answers itself. Without DNS support nothing is there where its resolver would be.
func (c *compiler) directServices(v *vpc.VPC, out *fabric.VPC) {
	out.Direct = map[netip.Addr]*fabric.Portal{}
	for _, d := range direct {
		if d.service == DNS && !v.DNSSupport {
			continue
		}
		addrs := d.addrs
		if d.service == DNS {
			addrs = append([]netip.Addr{out.Resolver}, addrs...)
		}
		for _, addr := range addrs {
			out.Direct[addr] = c.portal(&fabric.Portal{
				Kind: fabric.Direct, Service: d.service, VPC: out, Outside: addr, Protocol: d.protocol, Ports: []uint16{d.port},
			}, Portal{Service: d.service, Region: v.Region})
		}
	}
}

// gatewayEndpoints are a VPC's, by name.
func (c *compiler) gatewayEndpoints(v *vpc.VPC, out *fabric.VPC) map[string]*fabric.GatewayEndpoint {
	gateways := map[string]*fabric.GatewayEndpoint{}
	for _, e := range v.Endpoints {
		service, ok := vpc.FindService(e.Service.Name)
		if e.Type != vpc.GatewayEndpoint || !ok {
			continue
		}
		name := vpc.Target{Kind: vpc.TargetEndpoint, Name: e.Name}.String()
		p := c.portal(&fabric.Portal{
			Kind: fabric.GatewayPortal, Name: name, Service: service.Code, VPC: out, Outside: service.Addr(v.Region), Protocol: flow.TCP, Ports: webPorts,
		}, Portal{Service: service.Code, Region: v.Region, Endpoint: e.Name})
		gateways[e.Name] = &fabric.GatewayEndpoint{
			Name: name, Tracked: service.Code == "dynamodb", Portals: map[netip.Addr]*fabric.Portal{p.Outside: p},
		}
	}
	return gateways
}

// unready notes what would make an endpoint available, by the addresses that it has all the same.
func (c *compiler) unready(v *vpc.VPC, e *vpc.Endpoint, subnets map[string]*fabric.Subnet) {
	target := vpc.Target{Kind: vpc.TargetEndpoint, Name: e.Name}
	var mend string
	switch e.State {
	case vpc.EndpointPendingAcceptance:
		mend = fmt.Sprintf("%s waits for acceptance: add %s/%s to `accepted` of endpoint service %s", target, v.Name, target, e.Service)
	case vpc.EndpointRejected:
		mend = fmt.Sprintf("%s was rejected: name %s/%s in `accepted` of endpoint service %s, and not in `rejected`", target, v.Name, target, e.Service)
	default:
		mend = fmt.Sprintf("%s has failed: endpoint service %s does not exist any more", target, e.Service)
	}
	for _, i := range e.Interfaces {
		out := subnets[i.Subnet].VPC
		if out.Unready == nil {
			out.Unready = map[netip.Addr]string{}
		}
		for _, addr := range []netip.Addr{i.IP, i.IPv6} {
			if addr.IsValid() {
				out.Unready[addr] = mend
			}
		}
	}
}

// interfaceEndpoints are a VPC's, and the load balancers of its endpoint services.
func (c *compiler) interfaceEndpoints(v *vpc.VPC, subnets map[string]*fabric.Subnet, groups map[string]*fabric.SecurityGroup) {
	for _, e := range v.Endpoints {
		if e.Type != vpc.InterfaceEndpoint {
			continue
		}
		if e.State != vpc.EndpointAvailable {
			c.unready(v, e, subnets)
			continue
		}
		portal := fabric.Portal{Kind: fabric.InterfacePortal, Service: e.Service.Name, Protocol: flow.TCP, Ports: webPorts}
		info := Portal{Service: e.Service.Name, Region: v.Region, Endpoint: e.Name}
		if e.Service.VPC != "" {
			portal.Service, info.Service = e.Service.String(), ""
			portal.Ports = c.model.VPC(e.Service.VPC).EndpointService(e.Service.Name).Ports
		}
		for _, i := range e.Interfaces {
			eni := c.managed(v, vpc.Target{Kind: vpc.TargetEndpoint, Name: e.Name}.String(), i, subnets[i.Subnet], portal, info)
			for _, ref := range e.Groups {
				if g := groups[ref.Name]; g != nil {
					eni.Groups = append(eni.Groups, g)
				}
			}
		}
	}
	for _, s := range v.EndpointServices {
		for _, i := range s.Interfaces {
			portal := fabric.Portal{Kind: fabric.BalancerPortal, Service: s.Name}
			c.managed(v, "endpoint_service."+s.Name, i, subnets[i.Subnet], portal, Portal{Region: v.Region, EndpointService: s.Name})
		}
	}
}

// managed compiles an interface that AWS makes for an endpoint or a load balancer. Like a NAT gateway's it has an index and no devices.
func (c *compiler) managed(v *vpc.VPC, name string, i *vpc.EndpointInterface, s *fabric.Subnet, portal fabric.Portal, info Portal) *fabric.ENI {
	index := c.plan.numbers.attachments.of(v.Name + "/" + s.Name + "/" + name)
	out := &fabric.ENI{
		Attachment: index, Name: name, ID: string(i.ID), Subnet: s, SourceDestCheck: true, Public: map[netip.Addr]netip.Addr{},
		Portals: map[netip.Addr]*fabric.Portal{},
	}
	c.attach(&fabric.Attachment{Index: index, ENI: out})
	scope := c.plan.numbers.scopes.of(v.Name + "/" + s.Name)
	info.Subnet = s.Name
	for _, addr := range []netip.Addr{i.IP, i.IPv6} {
		if !addr.IsValid() {
			continue
		}
		p := portal
		p.Name, p.VPC, p.ENI, p.Outside = name, s.VPC, out, addr
		out.Addrs = append(out.Addrs, addr)
		out.Portals[addr] = c.portal(&p, info)
		s.VPC.ENIs[addr] = out
		c.neighbor(scope, addr, index)
	}
	c.logged(v, s.Name, "", out)
	return out
}

// callers gives each address that may ask a service, or be asked by a load balancer, its own inside the services' namespace.
func (c *compiler) callers() {
	net := c.plan.Network
	for _, v := range net.VPCs {
		if v == nil {
			continue
		}
		callersAt(c, v.Index, v.ENIs)
		for _, end := range v.Peerings {
			callersAt(c, v.Index, end.Far.VPC.ENIs)
		}
	}
	callersAt(c, fabric.InternetDomain, net.Internet.Public)
	callersAt(c, fabric.InternetDomain, net.Internet.Hosts)
}

// callersAt are the keys of a map, in order, so that each lab numbers them alike.
func callersAt[V any](c *compiler, domain uint32, at map[netip.Addr]V) {
	for _, addr := range slices.SortedFunc(maps.Keys(at), netip.Addr.Compare) {
		c.caller(domain, addr)
	}
}

func (c *compiler) caller(domain uint32, addr netip.Addr) {
	s := c.plan.Network.Services
	who := fabric.Caller{VPC: domain, Addr: addr}
	in := inside(callerSpace4, callerSpace6, addr, c.plan.numbers.callers.of(fmt.Sprintf("%d/%s", domain, addr)))
	s.Inside[who], s.Callers[in] = in, who
}
