package fabric

import (
	"net/netip"

	"github.com/gaissmai/bart"
)

// Network is one revision of a lab, compiled for lookups. Nothing in it changes after it is built.
type Network struct {
	// Attachments by index; an index that is not in use is nil.
	Attachments []*Attachment
	// VPCs by domain index less one; a removed VPC's place is nil.
	VPCs     []*VPC
	Internet Internet
	Services *Services
}

// Attachment is anything that can send packets into the fabric: an ENI of an instance, an internet host, the end of a peering
// connection at which packets come out of its link, or the lab's services. Exactly one of ENI, Host, Peering and Services is set.
type Attachment struct {
	Index    uint32
	ENI      *ENI
	Host     *Host
	Peering  *PeeringEnd
	Services *Services
}

// Name is how hops call the attachment.
func (a *Attachment) Name() string {
	switch {
	case a.ENI != nil:
		return a.ENI.Name
	case a.Host != nil:
		return a.Host.Name
	case a.Services != nil:
		return ServicesName
	}
	return a.Peering.Name
}

// VPC is one compiled VPC.
type VPC struct {
	Index      uint32 // from 1; also its domain in the flow cache
	Generation uint32
	Name       string
	Region     string         // for advice
	CIDRs      []netip.Prefix // IPv4 and IPv6
	Resolver   netip.Addr     // the primary CIDR's base plus two
	HasIGW     bool
	// EdgeRoutes is the internet gateway's own route table; nil without one.
	EdgeRoutes *RouteTable
	// EgressOnly stands for the egress-only internet gateway where connections are remembered; nil without one.
	EgressOnly *ENI
	ENIs       map[netip.Addr]*ENI // by every private IPv4 and IPv6 address
	Peerings   []*PeeringEnd       // the VPC's ends of its active peering connections
	// Direct are the services that the VPC itself has, by the address at which they are asked.
	Direct map[netip.Addr]*Portal
	// Unready are the addresses of endpoints that are not available, with what would make them so: nobody answers there.
	Unready map[netip.Addr]string
}

// Subnet is one compiled subnet.
type Subnet struct {
	VPC     *VPC
	Name    string
	CIDR    netip.Prefix
	IPv6    netip.Prefix
	Router4 netip.Addr
	Router6 netip.Addr // link-local
	Routes  *RouteTable
	ACL     *ACL
	Down    bool // its availability zone is
}

// Contains reports whether addr is an address of the subnet.
func (s *Subnet) Contains(addr netip.Addr) bool {
	return s.CIDR.IsValid() && s.CIDR.Contains(addr) || s.IPv6.IsValid() && s.IPv6.Contains(addr)
}

// ENI is one compiled elastic network interface.
type ENI struct {
	Attachment      uint32
	Name            string
	ID              string
	Subnet          *Subnet
	Addrs           []netip.Addr // the primary private IPv4 first, then secondary ones and IPv6
	Public          map[netip.Addr]netip.Addr
	Groups          []*SecurityGroup
	SourceDestCheck bool
	NAT             *NAT // of a NAT gateway's interface, which has no groups
	// Portals are those of an interface endpoint, or of a load balancer, which has no groups, by its addresses.
	Portals map[netip.Addr]*Portal
}

// NAT is what a NAT gateway's interface translates to.
type NAT struct {
	Private bool
	Addrs   []netip.Addr // its private IPv4 addresses, the primary first
}

// Owns reports whether addr is one of the interface's private addresses.
func (e *ENI) Owns(addr netip.Addr) bool {
	for _, a := range e.Addrs {
		if a == addr {
			return true
		}
	}
	return false
}

// InGroup reports whether the interface is a member of g.
func (e *ENI) InGroup(id GroupID) bool {
	for _, g := range e.Groups {
		if g.ID == id {
			return true
		}
	}
	return false
}

// Host is one host of the internet.
type Host struct {
	Attachment uint32
	Name       string
	Addrs      []netip.Addr
}

// Internet is what lies beyond the gateways. Its domain in the flow cache is InternetDomain.
type Internet struct {
	Generation uint32

	Hosts  map[netip.Addr]*Host
	Public map[netip.Addr]PublicAddress // public IPv4 addresses in use
	IPv6   *bart.Table[*VPC]            // the IPv6 space of VPCs that have an internet or egress-only gateway
	// Elastic are the public addresses that belong to the lab's account, mapped or not.
	Elastic map[netip.Addr]bool
	Portals map[netip.Addr]*Portal // the services' public addresses
	Pool    netip.Prefix           // from which public addresses are drawn
}

// InternetDomain is the domain of flows from or to internet hosts.
const InternetDomain = 0

// PublicAddress is the private side of a public IPv4 address.
type PublicAddress struct {
	ENI     *ENI
	Private netip.Addr
}

// RouteTable is one compiled route table.
type RouteTable struct {
	Name   string
	Routes *bart.Table[*Route]
}

// TargetKind is what a compiled route leads to.
type TargetKind uint8

// The targets.
const (
	ToLocal TargetKind = 1 + iota
	ToInternetGateway
	ToENI
	ToNATGateway
	ToEgressOnly
	ToPeering
	ToEndpoint
	ToBlackhole
)

// Route is one compiled route.
type Route struct {
	Prefix netip.Prefix
	Kind   TargetKind
	ENI    *ENI // of ToENI and ToNATGateway
	// Peering is this VPC's end of the connection, of ToPeering.
	Peering  *PeeringEnd
	Endpoint *GatewayEndpoint // of ToEndpoint
	Text     string           // "10.0.0.0/16 -> local", for hops
	Mend     string           // of ToBlackhole: what would bring its target back; "" if nothing special would
}

// GroupID is a security group's dense index in the lab.
type GroupID uint32

// SecurityGroup is one compiled security group.
type SecurityGroup struct {
	ID              GroupID
	Name            string
	Ingress, Egress []SGRule
}

// Traffic selects packets by protocol and by port or ICMP type. Bounds are inclusive.
type Traffic struct {
	Protocol           int16 // -1: all
	FromPort, ToPort   uint16
	ICMPType, ICMPCode int16 // -1: any
}

// SGRule is one compiled allow rule. It matches a peer inside one of Prefixes, or, when ByGroup is set, a peer interface in Group.
type SGRule struct {
	Traffic
	Prefixes []netip.Prefix
	ByGroup  bool
	Group    GroupID
	Text     string
}

// ACL is one compiled network ACL; each direction ends in an implied deny.
type ACL struct {
	Name            string
	Ingress, Egress []ACLEntry // ascending by number
}

// ACLEntry is one entry of a compiled ACL.
type ACLEntry struct {
	Traffic
	Allow  bool
	Prefix netip.Prefix
	Text   string
}

// Generation is the revision of a domain; false if there is none of that index.
func (n *Network) Generation(domain uint32) (uint32, bool) {
	if domain == InternetDomain {
		return n.Internet.Generation, true
	}
	if i := int(domain) - 1; i < len(n.VPCs) && n.VPCs[i] != nil {
		return n.VPCs[i].Generation, true
	}
	return 0, false
}
