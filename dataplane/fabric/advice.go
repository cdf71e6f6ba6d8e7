package fabric

import (
	"fmt"
	"net/netip"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// Advice says what change would let a dropped packet pass the hop that stopped it; "" when there is none to give.
func (p *Path) Advice() string {
	if p.Verdict != flow.Drop || p.numHops == 0 {
		return ""
	}
	h := &p.hops[p.numHops-1]
	switch h.Reason {
	case flow.SGRulesMismatch:
		return fmt.Sprintf("add %q to the %s rules of one of the security groups of %s", ruleFor(h), directionOf(h), h.Where)
	case flow.ACLRestriction:
		number := "a number"
		if h.ACL != nil {
			number = "a lower number than that of this entry"
		}
		return fmt.Sprintf("add \"allow %s\" with %s to the %s entries of acl %s", ruleFor(h), number, directionOf(h), h.Subnet.ACL.Name)
	case flow.NoRoute:
		return fmt.Sprintf("add a route for %s to route table %s", single(h.Tuple.DstAddr()), h.Subnet.Routes.Name)
	case flow.BlackholeRoute:
		return fmt.Sprintf("give the route %s of route table %s a target that exists, or remove it", h.Route.Prefix, h.Subnet.Routes.Name)
	case flow.SourceDestCheck:
		return fmt.Sprintf("set source_dest_check: false on %s if it is meant to carry other hosts' packets", h.Where)
	case flow.IGWNoPublicIPEgress:
		return fmt.Sprintf("give the interface that has %s a public address (eip: auto)", h.Tuple.SrcAddr())
	case flow.IGWNoPrivateIPIngress:
		return fmt.Sprintf("give an instance eip: %s", h.Tuple.DstAddr())
	case flow.IGWDestinationRFC1918, flow.IGWDestinationRFC6598:
		return fmt.Sprintf("route %s to something else than the internet gateway", h.Tuple.DstAddr())
	case flow.PCXAddressNotInVPC:
		return "a peering connection carries packets between addresses of its two VPCs only: peer the VPC that has the other address itself"
	case flow.LinkQueueFull:
		return "send less at a time, or give the peering's link a higher rate"
	case flow.LinkLoss:
		return "take `loss` out of the peering's link"
	case flow.NoTrackedConnection:
		return "open a new connection"
	case flow.UnknownDestination:
		return fmt.Sprintf("nothing has the address %s; check the destination", h.Tuple.DstAddr())
	case flow.MTUExceeded:
		return fmt.Sprintf("send packets of at most %d bytes", p.MTU)
	}
	return ""
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
	if directionOf(h) == Egress {
		peer = "to " + single(t.DstAddr()).String()
	}
	switch t.Protocol {
	case flow.TCP:
		return fmt.Sprintf("tcp %d %s", t.DstPort, peer)
	case flow.UDP:
		return fmt.Sprintf("udp %d %s", t.DstPort, peer)
	case flow.ICMP:
		return "icmp " + peer
	case flow.ICMPv6:
		return "icmpv6 " + peer
	}
	return fmt.Sprintf("%d %s", t.Protocol, peer)
}

func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
