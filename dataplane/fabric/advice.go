package fabric

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// Advice says what change would let a dropped packet pass the hop that stopped it; "" when there is none to give.
func (p *Path) Advice() string {
	if p.Verdict != flow.Drop || p.numHops == 0 {
		return ""
	}
	h := &p.hops[p.numHops-1]
	if h.vain() {
		return h.Asked.use()
	}
	switch h.Reason {
	case flow.SGRulesMismatch:
		if h.Midway {
			return fmt.Sprintf("%s knows no connection that has this packet in it: open a new one, or look at the route that brought it here", h.Where)
		}
		return fmt.Sprintf("add %q to the %s rules of one of the security groups of %s", ruleFor(h), directionOf(h), h.Where)
	case flow.ACLRestriction:
		number := "a number"
		if h.ACL != nil {
			number = "a lower number than that of this entry"
		}
		advice := fmt.Sprintf("add \"allow %s\" with %s to the %s entries of acl %s", ruleFor(h), number, directionOf(h), h.Subnet.ACL.Name)
		if h.isAnswer() {
			advice += ": it keeps no state, and answers go to the port from which a client asked"
		}
		return advice
	case flow.NoRoute:
		if prefix, peering := h.Subnet.VPC.peerWith(h.Tuple.DstAddr()); peering != nil {
			return fmt.Sprintf("add the route \"%s: %s\" to route table %s", prefix, peering.Name, h.Subnet.Routes.Name)
		}
		if h.Asked != nil {
			return serviceRoute(h)
		}
		return fmt.Sprintf("add a route for %s to route table %s", single(h.Tuple.DstAddr()), h.Subnet.Routes.Name)
	case flow.BlackholeRoute:
		if h.Route.Mend != "" {
			return h.Route.Mend
		}
		return fmt.Sprintf("give the route %s of route table %s a target that exists, or remove it", h.Route.Prefix, h.Subnet.Routes.Name)
	case flow.SourceDestCheck:
		if h.Kind == HopService {
			return fmt.Sprintf("send from an address of %s: it is answered under its own alone", h.Where)
		}
		if h.Endpoint {
			return fmt.Sprintf("%s passes nothing on: send to an address of its own, or give the route that brought the packet here another target", h.Where)
		}
		return fmt.Sprintf("set source_dest_check: false on %s if it is meant to carry other hosts' packets", h.Where)
	case flow.IGWNoPublicIPEgress:
		return fmt.Sprintf("give the interface that has %s a public address (eip: auto)", h.Tuple.SrcAddr())
	case flow.IGWNoPrivateIPIngress:
		return fmt.Sprintf("give an instance eip: %s", h.Tuple.DstAddr())
	case flow.IGWDestinationRFC1918, flow.IGWDestinationRFC6598:
		return fmt.Sprintf("route %s to something else than the internet gateway", h.Tuple.DstAddr())
	case flow.PCXAddressNotInVPC:
		if h.Alien == h.Tuple.SrcAddr() {
			return fmt.Sprintf("send from an address of VPC %s, or peer the VPC that has %s", h.VPC.Name, h.Alien)
		}
		return fmt.Sprintf("peering is not transitive: route %s to a gateway of the sender's VPC, or to a connection with the VPC that has it", single(h.Alien))
	case flow.LinkQueueFull:
		return fmt.Sprintf("send less at a time, or give the link of %s a higher rate", h.Where)
	case flow.LinkLoss:
		return fmt.Sprintf("take `loss` out of the link of %s", h.Where)
	case flow.NATIdle:
		return fmt.Sprintf("open a new connection: %s has forgotten this one, or never knew it since another way led there when it began", h.Where)
	case flow.NoTrackedConnection:
		return "open a new connection"
	case flow.ServiceSourceUnknown:
		if h.Where == ServicesName {
			return "open a new connection: the service still answers by an endpoint that is gone, or to an address that nobody has"
		}
	case flow.UnknownDestination:
		if mend := h.unready(); mend != "" {
			return mend
		}
		return fmt.Sprintf("nothing has the address %s; check the destination", h.Tuple.DstAddr())
	case flow.ServiceUnavailable:
		return "check the destination and its port: nothing answers there"
	case flow.VPCEGatewayProtocol, flow.VPCEInterfaceProtocol:
		return fmt.Sprintf("use TCP to reach the service behind %s", h.Where)
	case flow.VPCESourceNotInVPC:
		return fmt.Sprintf("send from an address of the VPC of %s", h.Where)
	case flow.NLBInbound:
		return "make an interface endpoint of the service, and connect to that"
	case flow.LinkLocalAllowance:
		return "send fewer packets a second to the VPC's resolver, instance metadata and time; cache the answers"
	case flow.AZDown:
		return fmt.Sprintf("use an interface in another availability zone than that of %s", h.Where)
	case flow.MTUExceeded:
		return fmt.Sprintf("send packets of at most %d bytes", p.MTU)
	}
	return ""
}

// unready is what would make the endpoint available that has the destination; "" if none has.
func (h *Hop) unready() string {
	v := h.VPC
	if h.Subnet != nil {
		v = h.Subnet.VPC
	}
	if v == nil {
		return ""
	}
	return v.Unready[h.Tuple.DstAddr()]
}

// vain reports whether the packet was stopped on its way to a service that would not answer it: no rule or route would help.
func (h *Hop) vain() bool {
	if h.Asked == nil || h.Asked.answers(&h.Tuple) || h.Midway {
		return false
	}
	if icmp := h.Tuple.Protocol == flow.ICMP || h.Tuple.Protocol == flow.ICMPv6; icmp && (!h.Tuple.ICMPEcho() || h.Asked.Kind == PublicPortal) {
		return false // an error, or a ping that a public address answers
	}
	switch h.Reason {
	case flow.SGRulesMismatch, flow.ACLRestriction, flow.NoRoute, flow.ServiceUnavailable:
		return true
	}
	return false
}

// use says how a service wants to be asked.
func (p *Portal) use() string {
	name, protocol, ports := p.Name, "TCP", make([]string, len(p.Ports))
	switch {
	case p.Kind == Direct:
		name = p.Outside.String()
	case name == "":
		name = p.Service
	}
	if p.Protocol == 0 {
		protocol = "TCP or UDP"
	}
	for i, port := range p.Ports {
		ports[i] = fmt.Sprint(port)
	}
	return fmt.Sprintf("use %s to port %s: %s answers nothing else, whatever rules and routes allow", protocol, strings.Join(ports, " or "), name)
}

// serviceRoute says how to reach an AWS service from a subnet without a way to it. Endpoints lead to services of their own region.
func serviceRoute(h *Hop) string {
	route := fmt.Sprintf("a route for %s to a NAT gateway", single(h.Tuple.DstAddr()))
	if h.Asked.Region != h.Subnet.VPC.Region {
		return fmt.Sprintf("add %s to route table %s", route, h.Subnet.Routes.Name)
	}
	endpoint := fmt.Sprintf("an interface endpoint of %s, with private_dns", h.Asked.Service)
	if h.Asked.PrefixList != "" {
		endpoint = fmt.Sprintf("a gateway endpoint of %s to route table %s", h.Asked.Service, h.Subnet.Routes.Name)
	} else if name := h.Subnet.VPC.endpointOf(h.Asked.Service); name != "" {
		return fmt.Sprintf("give %s private_dns: true and use the service's name, or add %s", name, route)
	}
	return fmt.Sprintf("add %s, or %s", endpoint, route)
}

// isAnswer reports whether an ACL refused what looks like an answer: it goes from a server's port to one that a client drew, another one each
// time (VPC user guide, ephemeral ports).
func (h *Hop) isAnswer() bool {
	t := &h.Tuple
	const registered, drawn = 1024, 32768 // where ports of NAT gateways begin, and where those of guests do
	return (h.Kind == HopACLIn || h.Kind == HopACLOut) && (t.Protocol == flow.TCP || t.Protocol == flow.UDP) &&
		(t.SrcPort < registered && t.DstPort >= registered || t.SrcPort < drawn && t.DstPort >= drawn)
}

// endpointOf is the first name of the VPC's interface endpoints that lead to a service; "" if none does.
func (v *VPC) endpointOf(service string) string {
	first := ""
	for _, e := range v.ENIs {
		for _, p := range e.Portals {
			if p.Kind == InterfacePortal && p.Service == service && (first == "" || p.Name < first) {
				first = p.Name
			}
		}
	}
	return first
}

// listed reports whether the refused packet is for an address of a prefix list of the VPC's own region.
func (h *Hop) listed() bool {
	return h.Asked != nil && h.Asked.PrefixList != "" && h.Asked.Region == h.Subnet.VPC.Region
}

func directionOf(h *Hop) Direction {
	if h.Kind == HopSGOut || h.Kind == HopACLOut {
		return Egress
	}
	return Ingress
}

// ruleFor is the narrowest rule, in the scenario language, that matches the packet at a hop.
func ruleFor(h *Hop) string {
	t := &h.Tuple
	peer := "from " + single(t.SrcAddr()).String()
	switch {
	case directionOf(h) == Egress && h.Kind == HopSGOut && h.listed():
		peer = "to " + h.Asked.PrefixList
	case directionOf(h) == Egress:
		peer = "to " + single(t.DstAddr()).String()
	}
	port := fmt.Sprint(t.DstPort)
	if h.isAnswer() {
		port = "1024-65535"
	}
	switch t.Protocol {
	case flow.TCP:
		return fmt.Sprintf("tcp %s %s", port, peer)
	case flow.UDP:
		return fmt.Sprintf("udp %s %s", port, peer)
	case flow.ICMP:
		return "icmp " + peer
	case flow.ICMPv6:
		return "icmpv6 " + peer
	}
	return fmt.Sprintf("%d %s", t.Protocol, peer)
}

func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
