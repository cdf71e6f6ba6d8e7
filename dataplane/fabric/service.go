package fabric

import (
	"net/netip"
	"slices"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// EndpointMTU is the largest IP packet, in bytes, that an interface endpoint takes. It drops what is larger and tells nobody (AWS
// PrivateLink guide, quotas).
const EndpointMTU = 8500

// Services is where the lab's services listen: one attachment with address space of its own, in which each of their portals and
// each of their callers has an address. VPCs overlap; these addresses do not.
//
//	10.0.1.5 -> 52.216.0.1, by endpoint.s3 of VPC app        outside
//	100.64.0.7 -> 100.96.0.12                                inside: caller -> portal
type Services struct {
	Attachment uint32
	Portals    map[netip.Addr]*Portal // by the address inside
	Callers    map[netip.Addr]Caller  // by the address inside
	Inside     map[Caller]netip.Addr
}

// Caller is who a service talks with: an address of a VPC, or of the internet if the VPC is 0.
type Caller struct {
	VPC  uint32
	Addr netip.Addr
}

// PortalKind is the way by which a portal leads to a service.
type PortalKind uint8

// The ways.
const (
	Direct       PortalKind = 1 + iota // an address of the VPC itself: its resolver, instance metadata, time
	PublicPortal                       // a public address
	GatewayPortal
	InterfacePortal
	// BalancerPortal is the load balancer of an endpoint service towards its targets: nobody calls it, it calls.
	BalancerPortal
)

// Portal is one address at which a service is asked, in one way.
type Portal struct {
	Kind    PortalKind
	Name    string // for hops: "endpoint.s3"; empty for a direct or public one
	Service string
	Region  string     // of a public one: the service's; empty if it has none
	VPC     *VPC       // whose it is; nil for a public one
	ENI     *ENI       // of an interface endpoint or a load balancer
	Outside netip.Addr // as callers write it
	Inside  netip.Addr // where the service listens
	// PrefixList names a public one's addresses in its region, for rules ("pl.s3"); empty if the service has no gateway endpoints.
	PrefixList string
	// Protocol and Ports are what it answers; ICMP echo is answered in addition by public and gateway portals.
	Protocol uint8 // 0: TCP and UDP
	Ports    []uint16
}

// GatewayEndpoint is a gateway endpoint, to which a route of its service's prefix list leads.
type GatewayEndpoint struct {
	Name string
	// Tracked says that connections through it are tracked whatever the rules (EC2 user guide, automatically tracked connections).
	Tracked bool
	Portals map[netip.Addr]*Portal // by the service's public address
}

// Outside is the tuple, in the VPC of a portal, of what a service sends from it; the zero tuple if nobody is at its ends.
func (s *Services) Outside(t flow.Tuple) flow.Tuple {
	p, caller := s.Portals[t.SrcAddr()], s.Callers[t.DstAddr()]
	if p == nil || !caller.Addr.IsValid() {
		return flow.Tuple{}
	}
	t.Src, t.Dst = p.Outside.As16(), caller.Addr.As16()
	return t
}

// answers reports whether a service listens at the portal for the packet's protocol and port.
func (p *Portal) answers(t *flow.Tuple) bool {
	if t.Protocol != flow.TCP && t.Protocol != flow.UDP || p.Protocol != 0 && p.Protocol != t.Protocol {
		return false
	}
	return slices.Contains(p.Ports, t.DstPort)
}

// Direct reports whether a packet is to or from a service of the VPC itself. Such packets are neither filtered nor remembered.
func (n *Network) Direct(from *Attachment, t *flow.Tuple) bool {
	switch {
	case from.ENI != nil:
		return from.ENI.Subnet.VPC.Direct[t.DstAddr()] != nil
	case from.Services != nil:
		p := from.Services.Portals[t.SrcAddr()]
		return p != nil && p.Kind == Direct
	}
	return false
}

// toService reports whether the destination is answered by the VPC itself: link-local services, the resolver, the router.
func (w *walk) toService(s *Subnet) bool {
	dst := w.dst()
	return dst.IsLinkLocalUnicast() || vpcServices6.Contains(dst) || dst == s.VPC.Resolver || dst == s.Router4
}

// vpcServices6 is the IPv6 space of the instance metadata, time and DNS services; no route reaches into it (VPC user guide,
// subnet route tables).
var vpcServices6 = netip.MustParsePrefix("fd00:ec2::/32")

// askVPC is a packet for what the VPC itself answers: no group, ACL or route is asked, and no flow log hears of it.
func (w *walk) askVPC(e *ENI) {
	hop := Hop{Kind: HopService, Where: e.Name}
	p := e.Subnet.VPC.Direct[w.dst()]
	switch {
	case p == nil || !p.answers(&w.packet.Tuple):
		hop.Asked = p
		w.drop(hop, flow.ServiceUnavailable)
	case !e.Owns(w.src()):
		w.drop(hop, flow.SourceDestCheck)
	default:
		w.enterServices(p, hop)
	}
}

// enterServices hands a packet to the services. From here on it has the addresses that they know.
func (w *walk) enterServices(p *Portal, hop Hop) {
	s := w.net.Services
	caller := Caller{Addr: w.src()}
	if p.VPC != nil {
		caller.VPC = p.VPC.Index
	}
	from, ok := s.Inside[caller]
	if !ok {
		w.drop(hop, flow.ServiceSourceUnknown)
		return
	}
	w.hop(hop)
	w.deliver(p.Service, s.Attachment) // told with the addresses that the caller wrote
	w.packet.Tuple.Src, w.packet.Tuple.Dst = from.As16(), p.Inside.As16()
	if w.packet.Error {
		w.packet.Quoted.Src, w.packet.Quoted.Dst = w.packet.Tuple.Dst, w.packet.Tuple.Src
	}
}

// askPublic is a packet for a service's public address.
func (w *walk) askPublic(p *Portal) {
	w.domain(InternetDomain, w.net.Internet.Generation)
	hop := Hop{Kind: HopInternet}
	if !p.answers(&w.packet.Tuple) && !w.pings() && !w.packet.Error {
		w.drop(hop, flow.ServiceUnavailable)
		return
	}
	w.clampMSS(w.payload(InternetGatewayMTU))
	w.enterServices(p, hop)
}

// pings reports whether the packet is an ICMP echo.
func (w *walk) pings() bool { return w.packet.Tuple.ICMPEcho() }

// askByGateway is a packet that a route leads to a gateway endpoint: TCP and ICMP echo only, from an interface of its own VPC, whose
// address the service sees (AWS PrivateLink guide, gateway endpoints).
func (w *walk) askByGateway(g *GatewayEndpoint, v *VPC) {
	hop := Hop{Kind: HopEndpoint, Where: g.Name}
	p := g.Portals[w.dst()]
	switch t := &w.packet.Tuple; {
	case t.Protocol != flow.TCP && !w.pings():
		w.drop(hop, flow.VPCEGatewayProtocol)
	case v.ENIs[w.src()] == nil:
		w.drop(hop, flow.VPCESourceNotInVPC)
	case p == nil || !p.answers(t) && !w.pings():
		w.drop(hop, flow.ServiceUnavailable)
	default:
		w.enterServices(p, hop)
	}
}

// askByInterface is a packet that reaches an interface endpoint, or an answer that reaches a load balancer.
func (w *walk) askByInterface(e *ENI) {
	p := e.Portals[w.dst()]
	switch {
	case p == nil:
		w.drop(Hop{Kind: HopDestCheck, Where: e.Name, Endpoint: true}, flow.SourceDestCheck)
		return
	case p.Kind == BalancerPortal:
		w.answerBalancer(e, p)
		return
	}
	note, ok := w.groups(e, Ingress)
	if !ok {
		if w.path.Reason == flow.NoTrackedConnection {
			w.path.Gateway = e // it tells the sender so (Network Load Balancer guide, connection idle timeout)
		}
		w.tap(e, Ingress, false, NothingNew)
		return
	}
	w.tap(e, Ingress, true, note)
	hop := Hop{Kind: HopEndpoint, Where: e.Name, Subnet: e.Subnet}
	switch t := &w.packet.Tuple; {
	case t.Protocol != flow.TCP && !w.packet.Error:
		w.drop(hop, flow.VPCEInterfaceProtocol)
	case !w.packet.Error && !p.answers(t):
		w.drop(hop, flow.ServiceUnavailable)
	case w.fitsEndpoint(hop):
		w.enterServices(p, hop)
	}
}

// answerBalancer is a packet to a load balancer's interface. Only answers of its targets come in.
func (w *walk) answerBalancer(e *ENI, p *Portal) {
	hop := Hop{Kind: HopEndpoint, Where: e.Name}
	known := w.state.Recall(e, Ingress, &w.packet) != Unknown
	w.tap(e, Ingress, known, NothingNew)
	switch {
	case !known:
		w.drop(hop, flow.NLBInbound)
	case w.fitsEndpoint(hop):
		w.enterServices(p, hop)
	}
}

// fitsEndpoint drops what is larger than an endpoint takes, without a word, whether or not it might be cut.
func (w *walk) fitsEndpoint(hop Hop) bool {
	w.path.MTU, w.path.NoPMTUD = min(w.path.MTU, EndpointMTU), true
	if w.packet.Length > EndpointMTU {
		w.drop(hop, flow.MTUExceeded)
		return false
	}
	w.clampMSS(w.payload(EndpointMTU))
	return true
}

// payload is how many bytes of TCP fit into an IP packet of mtu bytes without options.
func (w *walk) payload(mtu int) int {
	if w.packet.Tuple.Family == 6 {
		return mtu - 40 - 20
	}
	return mtu - 20 - 20
}

// leaveServices is a packet that a service sends: it gets the addresses that its caller knows, and goes the way by which it was called.
func (w *walk) leaveServices(s *Services) {
	hop := Hop{Kind: HopService, Where: ServicesName}
	p, caller := s.Portals[w.src()], s.Callers[w.dst()]
	if p == nil || !caller.Addr.IsValid() || p.VPC == nil != (caller.VPC == 0) || p.VPC != nil && p.VPC.Index != caller.VPC {
		w.domain(InternetDomain, w.net.Internet.Generation)
		w.path.hops[0].Tuple = flow.Tuple{} // nobody knows these addresses
		w.drop(hop, flow.ServiceSourceUnknown)
		return
	}
	if p.VPC == nil {
		w.domain(InternetDomain, w.net.Internet.Generation)
	} else {
		w.domain(p.VPC.Index, p.VPC.Generation)
	}
	w.packet.Tuple = s.Outside(w.packet.Tuple)
	w.path.hops[0].Tuple = w.packet.Tuple // people know these addresses
	if w.packet.Error {
		w.packet.Quoted.Src, w.packet.Quoted.Dst = w.packet.Tuple.Dst, w.packet.Tuple.Src
	}
	w.hop(hop)
	switch p.Kind {
	case Direct:
		w.answerDirect(p, caller.Addr)
	case PublicPortal:
		w.clampMSS(w.payload(InternetGatewayMTU)) // as hosts on the internet have it
		w.internet(false)
	case GatewayPortal:
		w.answerByGateway(p, caller.Addr)
	case InterfacePortal, BalancerPortal:
		w.callByInterface(p)
	}
}

func (w *walk) answerDirect(p *Portal, to netip.Addr) {
	e := p.VPC.ENIs[to]
	if e == nil {
		w.drop(Hop{Kind: HopService, Where: ServicesName}, flow.UnknownDestination)
		return
	}
	w.reach(e)
}

// reach delivers to an interface, if its availability zone is up.
func (w *walk) reach(e *ENI) {
	if e.Subnet.Down {
		w.drop(Hop{Kind: HopDeliver, Where: e.Name}, flow.AZDown)
		return
	}
	w.deliver(e.Name, e.Attachment)
}

// answerByGateway is what comes back through a gateway endpoint.
func (w *walk) answerByGateway(p *Portal, to netip.Addr) {
	hop := Hop{Kind: HopEndpoint, Where: p.Name}
	e := p.VPC.ENIs[to]
	switch {
	case w.packet.Tuple.Protocol != flow.TCP && !w.pings():
		w.drop(hop, flow.VPCEGatewayProtocol)
	case e == nil:
		w.drop(hop, flow.UnknownDestination)
	default:
		w.hop(hop)
		w.arrive(e, true)
	}
}

// callByInterface is what an interface endpoint answers, and what a load balancer sends to its targets.
func (w *walk) callByInterface(p *Portal) {
	e := p.ENI
	hop := Hop{Kind: HopEndpoint, Where: e.Name}
	if e.Subnet.Down {
		w.drop(hop, flow.AZDown)
		return
	}
	w.sender = e
	if !w.fitsEndpoint(hop) {
		return
	}
	if p.Kind == BalancerPortal {
		w.hop(hop)
		w.depart(e, w.begun())
		return
	}
	note, ok := w.groups(e, Egress)
	if !ok {
		w.tap(e, Egress, false, NothingNew)
		return
	}
	w.hop(hop)
	w.depart(e, note)
}

// ServicesName is how hops call the services as senders.
const ServicesName = "services"
