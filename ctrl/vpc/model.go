package vpc

import (
	"net/netip"
	"time"
)

// Model is everything one lab declares. References between resources are names; Complete checks that each leads somewhere.
type Model struct {
	Name     string // the lab's
	Region   string
	Account  string // 12 digits
	VPCs     []*VPC // in file order, as all lists here
	Peerings []*Peering
	FlowLogs []*FlowLog
	Hosts    []*Host
	Services Services
	Zones    []*PrivateZone
	Tracking Tracking
	// DownZones are the availability zones that are down at present: us-east-1b.
	DownZones []string
	// Elapsed is the lab time that `advance` has let pass before this model.
	Elapsed time.Duration
	// Elastic are the public IPv4 addresses allocated to the account, in use or not.
	Elastic []netip.Addr
	// Removed are the resources that changes have taken away, as references from the lab: "app", "app/igw", "app/instance.web",
	// "app/eni.web.eth1", "app/nat.out", "app/eigw", "app/sg.web". A peering connection has two at each of its ends: "app/peering.app-data" for
	// routes, and "app/peer.data" for rules with groups of VPC data. A route to one of them is a blackhole and a rule with one is
	// stale, not an error. "app/endpoint.s3" may still stand in policies, and an endpoint of a service "data/endpoint_service.shop" has
	// failed.
	Removed []string
}

// VPC is one virtual private cloud.
type VPC struct {
	Name            string
	ID              VPCID
	Region, Account string
	CIDRs           []netip.Prefix // IPv4, the primary first
	IPv6            []netip.Prefix
	DNSSupport      bool
	DNSHostnames    bool
	InternetGateway bool
	// EdgeRoutes is the route table associated with the internet gateway; nil without one.
	EdgeRoutes        []Route
	EgressOnlyGateway bool
	NATGateways       []*NATGateway
	Subnets           []*Subnet
	RouteTables       []*RouteTable // the main table first
	ACLs              []*ACL        // the default ACL first
	PrefixLists       []*PrefixList
	SecurityGroups    []*SecurityGroup // the default group first
	Instances         []*Instance
	Endpoints         []*Endpoint
	EndpointServices  []*EndpointService
}

// Subnet is one subnet; it lies in one availability zone and has one route table and one ACL.
type Subnet struct {
	Name       string
	ID         SubnetID
	CIDR       netip.Prefix // IPv4; invalid in an IPv6-only subnet
	IPv6       netip.Prefix // invalid without IPv6
	AZ         string       // us-east-1a
	PublicIP   bool         // instances get a public IPv4 address at launch
	RouteTable string       // the name of its table; "main" unless associated
	ACL        string       // "default" unless associated
}

// RouteTable holds the routes beside the implied local ones.
type RouteTable struct {
	Name   string
	ID     RouteTableID
	Routes []Route
	Inline bool // written as `routes` of the subnet of the same name
}

// Main is the name of a VPC's main route table, and Default that of its default security group and default network ACL.
const (
	Main    = "main"
	Default = "default"
)

// Route is one row of a route table. Its destination is either a prefix or a prefix list of the same VPC.
type Route struct {
	Destination netip.Prefix
	PrefixList  string // a list's name; of a gateway endpoint's row the code of its service
	Target      Target
	Origin      RouteOrigin
	// Blackhole is the state of a route whose target is gone, or is a peering connection that is not active; it still takes part in
	// longest-prefix match.
	Blackhole bool
}

// RouteOrigin says how a route came into its table, in AWS's order of priority among equal prefixes.
type RouteOrigin uint8

// The origins, most preferred first (VPC user guide, route priority).
const (
	CreateRouteTable     RouteOrigin = iota // local routes
	CreateRoute                             // static
	PropagatedDX                            // Direct Connect BGP
	PropagatedVPNStatic                     // Site-to-Site VPN, static
	PropagatedVPNDynamic                    // Site-to-Site VPN, BGP
)

// TargetKind is what a route leads to.
type TargetKind string

// Route targets. The names are those of the scenario language.
const (
	TargetLocal           TargetKind = "local"
	TargetInternetGateway TargetKind = "igw"
	TargetInstance        TargetKind = "instance" // its primary interface
	TargetENI             TargetKind = "eni"
	TargetNATGateway      TargetKind = "nat"
	TargetEgressOnly      TargetKind = "eigw"
	TargetPeering         TargetKind = "peering"
	TargetEndpoint        TargetKind = "endpoint"  // a gateway endpoint; never written by hand
	TargetBlackhole       TargetKind = "blackhole" // a route whose target was deleted
)

// Target is a route's target; Name is empty for igw, eigw, local and blackhole, an instance for TargetInstance, an ENI's Name for
// TargetENI, a NAT gateway for TargetNATGateway, a peering connection for TargetPeering, and a gateway endpoint for TargetEndpoint.
type Target struct {
	Kind TargetKind
	Name string
}

// String is the target as the scenario language writes it: "nat.out", "igw".
func (t Target) String() string {
	if t.Name == "" {
		return string(t.Kind)
	}
	return string(t.Kind) + "." + t.Name
}

// PrefixList is a customer-managed prefix list.
type PrefixList struct {
	Name    string
	ID      PrefixListID
	Entries []netip.Prefix
}

// SecurityGroup is one group of allow rules.
type SecurityGroup struct {
	Name            string
	ID              SecurityGroupID
	Ingress, Egress []SGRule
}

// Traffic is the protocol part that security group rules and ACL entries share.
type Traffic struct {
	Protocol int // IANA number; AllProtocols for all
	// FromPort and ToPort bound the destination port of TCP and UDP, both inclusive.
	FromPort, ToPort uint16
	// ICMPType and ICMPCode narrow ICMP and ICMPv6; AnyICMP matches all. A type of AnyICMP forces the code to AnyICMP.
	ICMPType, ICMPCode int
}

// AllProtocols is the protocol "-1" and AnyICMP the ICMP type or code "-1" of the EC2 API.
const (
	AllProtocols = -1
	AnyICMP      = -1
)

// SGRule is one allow rule. Exactly one of CIDR, Group and PrefixList is set; VPC.PrefixList finds the list, AWS's own included.
type SGRule struct {
	Traffic
	CIDR       netip.Prefix
	Group      GroupRef
	PrefixList string
	// Stale: a change removed Group, or the peering connection to its VPC (EC2 API, DescribeStaleSecurityGroups).
	Stale bool
	// Unpeered: the peering connection to Group's VPC is there, and not active.
	Unpeered bool
	Text     string // as written, for people: "tcp 80 from sg.web"
}

// MatchesNothing reports whether the rule stays in its group without any effect.
func (r *SGRule) MatchesNothing() bool { return r.Stale || r.Unpeered }

// GroupRef names a security group of this VPC, or of another when VPC is set.
type GroupRef struct{ VPC, Name string }

// ACL is a network ACL. The final deny of each direction is implied.
type ACL struct {
	Name            string
	ID              ACLID
	Ingress, Egress []ACLEntry // ascending by Number
}

// ACLEntry is one numbered entry of a network ACL.
type ACLEntry struct {
	Number int // 1-32766
	Allow  bool
	Traffic
	CIDR netip.Prefix
	Text string // as written: "100 allow tcp 80 from 0.0.0.0/0"
}

// Instance is a virtual machine: a network namespace with one or more interfaces.
type Instance struct {
	Name       string
	ID         InstanceID
	Interfaces []*ENI // eth0 first
	Forward    bool   // the guest forwards packets (an appliance)
	Serve      []Listener
	Run        []string // a program and its arguments; empty: none
	Role       Role
	Metadata   Metadata
}

// ENI is an elastic network interface of an instance.
type ENI struct {
	// Name is the instance's name for eth0, and INSTANCE.DEVICE (firewall.eth1) for the others.
	Name            string
	ID              ENIID
	Device          string // eth0, eth1 …: its name in the guest
	Subnet          string
	IP              netip.Addr   // primary private IPv4; Complete fills it in when the file names none
	Secondary       []netip.Addr // further private IPv4 addresses
	IPv6            netip.Addr
	NoIPv6          bool       // the file says `ipv6: none`
	Public          netip.Addr // the public IPv4 address mapped to IP
	AutoPublic      bool       // `eip: auto`: Complete draws Public; a subnet's PublicIP does so too
	PublicAtLaunch  bool       // the subnet had PublicIP when the instance was launched; set by Complete
	PublicDrawn     bool       // Public was drawn, not named by the file; set by Complete
	Groups          []GroupRef
	SourceDestCheck bool
}

// NATGateway is a zonal NAT gateway: an interface of its subnet without security groups.
type NATGateway struct {
	Name   string
	ID     NATGatewayID
	ENIID  ENIID
	Subnet string
	// Private: it has no public addresses, and what it sends keeps its private address.
	Private bool
	// Addresses has the primary first, and up to seven secondary ones (VPC user guide, NAT gateway basics).
	Addresses []NATAddress
}

// NATAddress is a private IPv4 address of a NAT gateway, with the elastic address that the internet gateway gives it.
type NATAddress struct {
	IP          netip.Addr // Complete fills it in when the file names none
	Public      netip.Addr // invalid for a private gateway
	AutoPublic  bool       // `eip: auto`
	PublicDrawn bool       // Public was drawn, not named by the file; set by Complete
}

// Tracking is how long idle connections are tracked; zero fields mean AWS's defaults (EC2 user guide, idle connection tracking timeout).
type Tracking struct {
	TCPEstablished time.Duration // 60 s to 432000 s
	UDPStream      time.Duration // 60 s to 180 s
	UDP            time.Duration // 30 s to 60 s
}

// Listener is one built-in listener of an instance or host.
type Listener struct {
	Kind string // tcp, udp, http
	Port uint16
}

// Host is a host on the lab's internet.
type Host struct {
	Name  string
	Addrs []netip.Addr
	Names []string // DNS names
	Serve []Listener
	Run   []string
}
