package vpc

import "time"

// FlowLog is a flow log: which packets of which interfaces are recorded, and where the records go (EC2 API, CreateFlowLogs). It does
// not change once it is made.
type FlowLog struct {
	Name     string
	Resource Resource
	Traffic  LogTraffic
	Interval time.Duration // ShortInterval or LongInterval, the default
	// Destination is s3://BUCKET/PREFIX, cloudwatch:/GROUP or file:PATH, whose PATH is relative to the scenario file.
	Destination string
	Format      string // fields as in "${srcaddr} ${dstaddr}"; empty for AWS's default format
	LogFiles
	Subscription
}

// LogFiles is how a flow log's files in S3 are written (EC2 API, DestinationOptionsRequest).
type LogFiles struct {
	Hive       bool // Hive-compatible prefixes
	PerHour    bool // a prefix for each hour
	FileFormat FileFormat
}

// Subscription is what a flow log came to; Complete works it out.
type Subscription struct {
	ID              FlowLogID
	ResourceID      string // of the VPC or subnet, or of the interface: vpc-…, subnet-…, eni-…
	Account, Region string // the resource's
	// Ended says that a change removed the resource, and with it the subscription: a resource that is made anew under the old name is
	// another one to AWS, so the flow log records nothing any more, and only waits to be removed.
	Ended bool
}

// Resource names what a flow log watches.
type Resource struct {
	Kind ResourceKind
	VPC  string // may be empty in a file, where only one VPC has the name; Complete fills it in
	Name string // an ENI's Name for ResourceENI
}

// ResourceKind is the kind of a resource that can be watched.
type ResourceKind string

// The kinds. The names are those of the scenario language.
const (
	ResourceVPC      ResourceKind = "vpc"      // all interfaces in it, also later ones
	ResourceSubnet   ResourceKind = "subnet"   // all interfaces in it, also later ones
	ResourceInstance ResourceKind = "instance" // its primary interface
	ResourceENI      ResourceKind = "eni"
	ResourceNAT      ResourceKind = "nat"      // the gateway's interface
	ResourceEndpoint ResourceKind = "endpoint" // NAME: an interface endpoint's one interface; NAME.SUBNET: that of several in the subnet
)

// LogTraffic is which packets a flow log records (EC2 API, TrafficType).
type LogTraffic string

// The traffic types.
const (
	LogAll    LogTraffic = "all"
	LogAccept LogTraffic = "accept"
	LogReject LogTraffic = "reject"
)

// FileFormat is the form of files in S3.
type FileFormat string

// The file formats.
const (
	TextFiles    FileFormat = "text"
	ParquetFiles FileFormat = "parquet"
)

// The aggregation intervals that there are (EC2 API, CreateFlowLogs, MaxAggregationInterval).
const (
	ShortInterval = time.Minute
	LongInterval  = 10 * time.Minute
)

// String is the resource as the scenario language writes it: "vpc.app", "app/subnet.web", "instance.web".
func (r Resource) String() string {
	text := string(r.Kind) + "." + r.Name
	if r.VPC == "" || r.Kind == ResourceVPC {
		return text
	}
	return r.VPC + "/" + text
}

// FlowLog finds a flow log by name, or nil.
func (m *Model) FlowLog(name string) *FlowLog {
	return find(m.FlowLogs, name, func(l *FlowLog) string { return l.Name })
}

// Covers reports whether the flow log watches an interface: by itself, or by its subnet or VPC.
func (s *Subscription) Covers(vpc VPCID, subnet SubnetID, eni ENIID) bool {
	switch s.ResourceID {
	case string(vpc), string(subnet), string(eni):
		return s.ResourceID != "" && !s.Ended
	}
	return false
}
