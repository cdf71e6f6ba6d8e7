package vpc

import "net/netip"

// Endpoint is a VPC endpoint: a private way from a VPC to a service (AWS PrivateLink guide).
type Endpoint struct {
	Name string
	ID   EndpointID
	Type EndpointType
	// Service is what it leads to: an AWS service by its code, or an endpoint service of some VPC.
	Service ServiceRef
	// RouteTables are those that a gateway endpoint has its row in.
	RouteTables []string
	// Interfaces are an interface endpoint's, one a subnet and at most one an availability zone.
	Interfaces []*EndpointInterface
	Groups     []GroupRef // of its interfaces
	PrivateDNS bool       // the service's public name resolves to the interfaces' addresses in the whole VPC
	DualStack  bool       // its interfaces have IPv6 addresses, too
	Policy     string     // a policy document in JSON; empty: full access
	// State is worked out by Complete; ExpectState is what the file says it is, empty if it does not say.
	State, ExpectState EndpointState
}

// EndpointType is the kind of a VPC endpoint.
type EndpointType string

// The types.
const (
	GatewayEndpoint   EndpointType = "gateway"
	InterfaceEndpoint EndpointType = "interface"
)

// EndpointState is a VPC endpoint's state, as the EC2 API writes it.
type EndpointState string

// The states.
const (
	EndpointAvailable         EndpointState = "available"
	EndpointPendingAcceptance EndpointState = "pendingAcceptance"
	EndpointRejected          EndpointState = "rejected"
	EndpointFailed            EndpointState = "failed" // the service it led to was deleted
)

// ServiceRef names a service: an AWS service by its code ("s3") in the VPC's region, or the endpoint service Name of VPC.
type ServiceRef struct {
	VPC  string // of the provider; empty for an AWS service
	Name string
}

// String is the reference as the scenario language writes it: "s3", "data/orders".
func (r ServiceRef) String() string {
	if r.VPC == "" {
		return r.Name
	}
	return r.VPC + "/" + r.Name
}

// EndpointInterface is a requester-managed interface of an interface endpoint, or one of the load balancer of an endpoint service.
type EndpointInterface struct {
	ID     ENIID
	Subnet string
	IP     netip.Addr // Complete fills it in when the file names none
	IPv6   netip.Addr // of a dual-stack endpoint in a subnet with IPv6
}

// EndpointService is a service of one's own, offered to other VPCs: instances behind a load balancer (PrivateLink guide, share your
// services).
type EndpointService struct {
	Name  string
	ID    EndpointServiceID
	Ports []uint16 // TCP; targets are asked at the same port
	// Targets are instances of the VPC, asked in turn. One that a change removed may still be named.
	Targets []string
	// Interfaces are the load balancer's, one an availability zone; Complete makes them in the targets' subnets when the file names
	// none. Its targets see these addresses as source.
	Interfaces []*EndpointInterface
	// Acceptance says that each endpoint waits until it is in Accepted; Rejected ones never get there.
	Acceptance         bool
	Accepted, Rejected []EndpointRef
	// Principals may make endpoints: "*", accounts, or ARNs. The owner's account always may.
	Principals    []string
	ProxyProtocol bool // targets get a PROXY protocol v2 header with the consumer's address and the endpoint's ID
}

// EndpointRef names an endpoint of a VPC.
type EndpointRef struct{ VPC, Name string }

// Services are the AWS services of the lab with what is in them.
type Services struct {
	Buckets []*Bucket
	Tables  []*Table
	// S3Backend and DynamoDBBackend are URLs of services that do the work in place of the built-in ones; our policies stand before them.
	S3Backend, DynamoDBBackend string
}

// Bucket is an S3 bucket that exists from the start.
type Bucket struct {
	Name, Region, Account string
	Policy                string // JSON; empty: none
}

// Table is a DynamoDB table that exists from the start.
type Table struct {
	Name, Region, Account string
	Key                   KeyAttribute
	Sort                  KeyAttribute // no Name: it has none
	Policy                string       // JSON; empty: none
}

// KeyAttribute is an attribute of a table's primary key; its type is S, N or B.
type KeyAttribute struct{ Name, Type string }

// PrivateZone is a Route 53 private hosted zone.
type PrivateZone struct {
	Name    string   // without the last dot
	VPCs    []string // for which it answers
	Records []ZoneRecord
}

// ZoneRecord is one record set of a private hosted zone.
type ZoneRecord struct {
	Name   string // whole, without the last dot
	Type   string // A, AAAA, CNAME, TXT, MX, SRV, NS, PTR
	TTL    uint32 // seconds
	Values []string
}

// Role is what an instance's programs may do (IAM role of its instance profile).
type Role struct {
	None   bool   // it has no instance profile
	Name   string // the instance's unless the file says otherwise; empty if there is none
	Policy string // JSON; empty: everything
}

// Metadata is how an instance's metadata service answers (EC2 user guide, instance metadata options).
type Metadata struct {
	Disabled       bool
	TokensRequired bool // IMDSv2 only
	HopLimit       int  // of answers to token requests, 1 to 64; Complete makes 1 of 0
	IPv6           bool // it answers at fd00:ec2::254, too
}
