package flow

import "fmt"

// Reason says why a packet was dropped. Zero is "not dropped". Its numbers are shared with eBPF (ebpf/bpf/lib/reasons.h is
// generated from the table below), so they are part of no file format and may change from build to build.
type Reason uint8

// The drop reasons. The text and the source of each are in its row of reasons.
const (
	None Reason = iota

	// The guest's door: what no VPC carries.
	VLANTagged
	UnsupportedEthertype
	SourceMACMismatch
	Broadcast
	Multicast
	DuplicateAddressDetection
	UnknownNeighbor
	MalformedFrame

	// Packets the engine cannot treat as a flow.
	MalformedPacket
	InvalidSource
	FragmentUnsupported
	FragmentIncomplete
	FragmentOverlap
	MTUExceeded
	TTLExpired

	// The elastic network interface.
	SourceDestCheck
	SGRulesMismatch
	NoTrackedConnection
	ACLRestriction

	// Routing.
	NoRoute
	BlackholeRoute
	UnknownDestination
	ServiceUnavailable
	RouteLoop

	// The internet gateway and the internet.
	IGWNoPublicIPEgress
	IGWNoPrivateIPIngress
	IGWDestinationRFC1918
	IGWDestinationRFC6598
	IGWSourceRFC1918
	IGWSourceRFC6598
	GatewaySpoofed
	IngressRedirection
	IngressNoPublicIP

	// The NAT gateway and the egress-only internet gateway.
	NATSourceNotInVPC
	NATProtocol
	NATFragment
	NATPortExhausted
	NATIdle
	NATInbound
	EIGWInbound
	EIGWFamily

	// The peering connection, and the link that carries its packets.
	PCXAddressNotInVPC
	LinkQueueFull
	LinkLoss
	LinkBroken

	// Services, endpoints and availability zones.
	ServiceSourceUnknown
	VPCEGatewayProtocol
	VPCEInterfaceProtocol
	VPCESourceNotInVPC
	NLBInbound
	VPCEDeniesIGW
	LinkLocalAllowance
	AZDown

	// vpclab's own limits.
	UpcallQueueFull
	FlowTableFull
	DeliveryFailed

	numReasons
)

// ReasonStride is the number of reason counters kept for each attachment: a power of two that leaves room for new reasons.
const ReasonStride = 64

// ReasonInfo is a reason's row in the table.
type ReasonInfo struct {
	Reason Reason
	Code   string // as printed and as written after `because:`
	About  string // one sentence for people
	Source string // where the code or the behaviour comes from
}

const (
	reachabilityAnalyzer = "Reachability Analyzer explanation code"
	ours                 = "vpclab"
)

var reasons = [...]ReasonInfo{
	{None, "NONE", "The packet was not dropped.", ours},

	{VLANTagged, "VLAN_TAGGED", "The frame carries a VLAN tag; a VPC carries none.", ours},
	{UnsupportedEthertype, "UNSUPPORTED_ETHERTYPE", "The frame is neither IPv4, IPv6 nor ARP.", ours},
	{SourceMACMismatch, "SOURCE_MAC_MISMATCH", "The frame's source MAC address is not that of the interface that sent it.", ours},
	{Broadcast, "BROADCAST_UNSUPPORTED", "A VPC does not carry IPv4 broadcast.", "VPC user guide, subnet sizing"},
	{Multicast, "MULTICAST_UNSUPPORTED", "A VPC does not carry multicast outside a transit gateway.", "VPC user guide, subnet sizing"},
	{DuplicateAddressDetection, "DUPLICATE_ADDRESS_DETECTION", "The guest asks whether somebody else has its own address; nobody answers, so it may use it.", "RFC 4862, RFC 5227"},
	{UnknownNeighbor, "UNKNOWN_NEIGHBOR", "The guest asks for an address that no interface of its subnet has; nobody answers.", ours},
	{MalformedFrame, "MALFORMED_FRAME", "The frame is too short for the header that it announces.", ours},

	{MalformedPacket, "MALFORMED_PACKET", "A header of the packet contradicts its length or its version, or an ICMP error quotes no readable packet.", ours},
	{InvalidSource, "INVALID_SOURCE_ADDRESS", "The source is unspecified, loopback, multicast or broadcast.", "RFC 1122 section 3.2.1.3, RFC 4291"},
	{FragmentUnsupported, "FRAGMENT_UNSUPPORTED", "ICMP errors are not carried in fragments.", ours},
	{FragmentIncomplete, "FRAGMENT_INCOMPLETE", "The fragment's first fragment did not come in time, or too many fragments were waiting.", ours},
	{FragmentOverlap, "FRAGMENT_OVERLAP", "The fragment overlaps another one of its packet, or lies beyond the largest packet.", "RFC 5722, RFC 1858"},
	{MTUExceeded, "MTU_EXCEEDED", "The packet is larger than the path's MTU: 9001 bytes within a VPC, 8500 at a NAT gateway and between regions, 1500 at an internet gateway.", "EC2 user guide, network MTU"},
	{TTLExpired, "TTL_EXPIRED", "The packet's TTL or hop limit is zero.", "RFC 791, RFC 8200"},

	{SourceDestCheck, "ENI_SOURCE_DEST_CHECK_RESTRICTION", "Source/destination check: the packet is neither from nor for an address of this interface.", reachabilityAnalyzer},
	{SGRulesMismatch, "ENI_SG_RULES_MISMATCH", "No rule of the interface's security groups allows the packet.", reachabilityAnalyzer},
	{NoTrackedConnection, "NO_TRACKED_CONNECTION", "A TCP packet without SYN belongs to no tracked connection: it is closed, idle for too long, or never began.", "VPC user guide, flow log records (REJECT after the connection was closed)"},
	{ACLRestriction, "SUBNET_ACL_RESTRICTION", "A rule of the subnet's network ACL denies the packet.", reachabilityAnalyzer},

	{NoRoute, "NO_ROUTE_TO_DESTINATION", "The route table has no route for the destination.", reachabilityAnalyzer},
	{BlackholeRoute, "BAD_STATE_ROUTE", "The most specific route's target is gone (state blackhole); no shorter route is tried.", reachabilityAnalyzer},
	{UnknownDestination, "UNKNOWN_DESTINATION", "No network interface has the destination address.", reachabilityAnalyzer},
	{ServiceUnavailable, "VPC_SERVICE_UNAVAILABLE", "The destination is an address of a service or a router, and nothing answers there, at that port.", ours},
	{RouteLoop, "ROUTE_LOOP", "The packet passed too many gateways: routes lead in a circle.", ours},

	{IGWNoPublicIPEgress, "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS", "The source has no public IPv4 address, so the internet gateway cannot send the packet.", reachabilityAnalyzer},
	{IGWNoPrivateIPIngress, "IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS", "The public address is mapped to no private address.", reachabilityAnalyzer},
	{IGWDestinationRFC1918, "IGW_DESTINATION_ADDRESS_NOT_IN_RFC1918_EGRESS", "An internet gateway does not carry packets to private (RFC 1918) addresses.", reachabilityAnalyzer},
	{IGWDestinationRFC6598, "IGW_DESTINATION_ADDRESS_NOT_IN_RFC6598_EGRESS", "An internet gateway does not carry packets to 100.64.0.0/10.", reachabilityAnalyzer},
	{IGWSourceRFC1918, "IGW_SOURCE_ADDRESS_NOT_IN_RFC1918_INGRESS", "An internet gateway does not accept packets from private (RFC 1918) addresses.", reachabilityAnalyzer},
	{IGWSourceRFC6598, "IGW_SOURCE_ADDRESS_NOT_IN_RFC6598_INGRESS", "An internet gateway does not accept packets from 100.64.0.0/10.", reachabilityAnalyzer},
	{GatewaySpoofed, "GATEWAY_REJECTS_SPOOFED_TRAFFIC", "The source address does not belong to who sent the packet.", reachabilityAnalyzer},
	{IngressRedirection, "INGRESS_RTB_TRAFFIC_REDIRECTION", "The internet gateway's route table redirects what comes back, so the packet cannot leave by the gateway directly.", reachabilityAnalyzer},
	{IngressNoPublicIP, "INGRESS_RTB_NO_PUBLIC_IP", "The internet gateway's route table leads to an interface without a public address.", reachabilityAnalyzer},

	{NATSourceNotInVPC, "NGW_REQUIRES_SOURCE_IN_VPC", "A NAT gateway serves interfaces of its own VPC only.", reachabilityAnalyzer},
	{NATProtocol, "PROTOCOL_RESTRICTION", "A NAT gateway carries TCP, UDP and ICMP only.", reachabilityAnalyzer},
	{NATFragment, "NAT_FRAGMENT_UNSUPPORTED", "A NAT gateway carries fragments of UDP only.", "VPC user guide, NAT device comparison"},
	{NATPortExhausted, "NAT_PORT_EXHAUSTED", "All 55,000 ports of each of the NAT gateway's addresses are in use for this destination (ErrorPortAllocation).", "VPC user guide, NAT gateways"},
	{NATIdle, "NAT_IDLE_TIMEOUT", "The NAT gateway knows no connection that the packet belongs to, and answers TCP with RST: it has forgotten it after 350 s without a packet, or the connection began by another way, such as an endpoint.", "VPC user guide, NAT gateways"},
	{NATInbound, "NAT_INBOUND", "A NAT gateway accepts no connections from outside.", ours},
	{EIGWInbound, "EIGW_INBOUND", "An egress-only internet gateway lets nothing in but answers.", ours},
	{EIGWFamily, "EIGW_IPV4_UNSUPPORTED", "An egress-only internet gateway carries IPv6 only.", "VPC user guide, egress-only internet gateways"},

	{PCXAddressNotInVPC, "PCX_REQUIRES_ADDRESS_IN_VPC_CIDR", "A peering connection carries packets from an address of the one VPC to an address of the other: nothing behind either of them.", reachabilityAnalyzer},
	{LinkQueueFull, "LINK_QUEUE_FULL", "The link's queue was full: packets came faster than it carries them.", ours},
	{LinkLoss, "LINK_LOSS", "The link lost the packet, as its `loss` says.", ours},
	{LinkBroken, "LINK_BROKEN", "The packet did not come out at the other end of the encrypted link as it went in: it was lost or changed on the way.", ours},

	{ServiceSourceUnknown, "SERVICE_SOURCE_UNKNOWN", "The packet is to or from an address that no interface has, so that the service could not answer it.", ours},
	{VPCEGatewayProtocol, "VPCE_GATEWAY_PROTOCOL_RESTRICTION", "A gateway endpoint carries TCP and ICMP echo only.", reachabilityAnalyzer},
	{VPCEInterfaceProtocol, "VPCE_INTERFACE_PROTOCOL_RESTRICTION", "An interface endpoint carries TCP only; it does not answer ping.", "PrivateLink guide, interface endpoints"},
	{VPCESourceNotInVPC, "VPCE_REQUIRES_SOURCE_IN_VPC", "A gateway endpoint serves interfaces of its own VPC only.", "PrivateLink guide, gateway endpoints"},
	{NLBInbound, "NLB_INBOUND", "The load balancer of an endpoint service takes no connections from its own VPC: its endpoints lead to it.", ours},
	{VPCEDeniesIGW, "VPCE_DENIES_IGW_TRAFFIC", "An internet gateway leads nobody to the interface of an endpoint.", "EC2 API, denyAllIgwTraffic"},
	{LinkLocalAllowance, "LINKLOCAL_ALLOWANCE_EXCEEDED", "The interface sent more than 1024 packets a second to the resolver, the instance metadata and the time service.", "EC2 user guide, linklocal_allowance_exceeded"},
	{AZDown, "AVAILABILITY_ZONE_DOWN", "The availability zone of the interface is down.", ours},

	{UpcallQueueFull, "UPCALL_QUEUE_FULL", "The queue to the engine was full.", ours},
	{FlowTableFull, "FLOW_TABLE_FULL", "The engine tracks as many flows as it may.", "EC2 user guide, conntrack_allowance_exceeded"},
	{DeliveryFailed, "DELIVERY_FAILED", "The kernel refused the packet on its way to the guest.", ours},
}

// Reasons returns the table of all reasons, in the order of their numbers.
func Reasons() []ReasonInfo { return reasons[:] }

// Info returns the reason's row; an unknown number has the code REASON_n.
func (r Reason) Info() ReasonInfo {
	if int(r) < len(reasons) {
		return reasons[r]
	}
	return ReasonInfo{Reason: r, Code: fmt.Sprintf("REASON_%d", r), About: "unknown reason"}
}

// String returns the reason's code.
func (r Reason) String() string { return r.Info().Code }

// Transient reports whether the packet's next copy may well pass: the drop says how busy the machine or the sender was, not what the VPC
// decided.
func (r Reason) Transient() bool {
	return r == UpcallQueueFull || r == DeliveryFailed || r == LinkLocalAllowance
}

// ParseReason finds a reason by its code.
func ParseReason(code string) (Reason, bool) {
	for _, info := range reasons {
		if info.Code == code && info.Reason != None {
			return info.Reason, true
		}
	}
	return None, false
}
