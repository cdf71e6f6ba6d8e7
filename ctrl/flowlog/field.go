package flowlog

import (
	"net/netip"
	"strconv"

	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// Field is one field of a flow-log record, in the order of AWS's table (VPC user guide, flow log records).
type Field uint8

// The fields.
const (
	Version Field = iota
	AccountID
	InterfaceID
	SrcAddr
	DstAddr
	SrcPort
	DstPort
	Protocol
	Packets
	Bytes
	Start
	End
	Action
	LogStatus
	VPCID
	SubnetID
	InstanceID
	TCPFlags
	Type
	PktSrcAddr
	PktDstAddr
	Region
	AZID
	SublocationType
	SublocationID
	PktSrcAWSService
	PktDstAWSService
	FlowDirection
	TrafficPath
	ECSClusterARN
	ECSClusterName
	ECSContainerInstanceARN
	ECSContainerInstanceID
	ECSContainerID
	ECSSecondContainerID
	ECSServiceName
	ECSTaskDefinitionARN
	ECSTaskARN
	ECSTaskID
	RejectReason
	ResourceID
	EncryptionStatus
	numFields
)

// Kind is a field's type in Parquet; in text everything is text.
type Kind uint8

// The kinds.
const (
	String Kind = iota
	Int32
	Int64
)

// fieldInfo is a field's row in the table.
type fieldInfo struct {
	name    string
	version int // of flow logs, that introduced it
	kind    Kind
	idle    bool // set in NODATA and SKIPDATA records, too
	about   string
	// text appends what the field says of a record; nil: nothing in this lab has the field, and it is "-".
	text func(b []byte, r *Record) []byte
}

// fields is the table. A version's own value depends on the format (Format.Append).
var fields = [numFields]fieldInfo{
	Version:     {"version", 2, Int32, true, "the highest version among the format's fields", nil},
	AccountID:   {"account-id", 2, String, true, "owner of the interface", func(b []byte, r *Record) []byte { return word(b, r.Of.Account) }},
	InterfaceID: {"interface-id", 2, String, true, "the interface", func(b []byte, r *Record) []byte { return word(b, r.Of.ID) }},
	SrcAddr: {"srcaddr", 2, String, false, "source; on egress an address of the interface",
		func(b []byte, r *Record) []byte { return r.srcAddr().AppendTo(b) }},
	DstAddr: {"dstaddr", 2, String, false, "destination; on ingress an address of the interface",
		func(b []byte, r *Record) []byte { return r.dstAddr().AppendTo(b) }},
	SrcPort: {"srcport", 2, Int32, false, "source port, 0 without ports",
		func(b []byte, r *Record) []byte { return number(b, r.Tuple.SrcPort) }},
	DstPort: {"dstport", 2, Int32, false, "destination port, 0 without ports",
		func(b []byte, r *Record) []byte { return number(b, r.Tuple.DstPort) }},
	Protocol: {"protocol", 2, Int32, false, "IANA number", func(b []byte, r *Record) []byte { return number(b, r.Tuple.Protocol) }},
	Packets:  {"packets", 2, Int64, false, "packets in the interval", func(b []byte, r *Record) []byte { return number(b, r.Packets) }},
	Bytes: {"bytes", 2, Int64, false, "bytes of IP packets in the interval",
		func(b []byte, r *Record) []byte { return number(b, r.Bytes) }},
	Start: {"start", 2, Int64, true, "Unix second of the first packet", func(b []byte, r *Record) []byte { return number(b, r.Start) }},
	End:   {"end", 2, Int64, true, "Unix second of the last packet", func(b []byte, r *Record) []byte { return number(b, r.End) }},
	Action: {"action", 2, String, false, "ACCEPT or REJECT",
		func(b []byte, r *Record) []byte { return append(b, actionWord(r.Accept)...) }},
	LogStatus: {"log-status", 2, String, true, "OK, NODATA or SKIPDATA",
		func(b []byte, r *Record) []byte { return append(b, r.Status.String()...) }},

	VPCID:    {"vpc-id", 3, String, false, "VPC of the interface", func(b []byte, r *Record) []byte { return word(b, r.Of.VPC) }},
	SubnetID: {"subnet-id", 3, String, false, "subnet of the interface", func(b []byte, r *Record) []byte { return word(b, r.Of.Subnet) }},
	InstanceID: {"instance-id", 3, String, false, "instance of the interface, unless a service owns it",
		func(b []byte, r *Record) []byte { return word(b, r.Of.instance()) }},
	TCPFlags: {"tcp-flags", 3, Int32, false, "FIN 1, SYN 2, RST 4, SYN-ACK 18, OR-ed over the interval",
		func(b []byte, r *Record) []byte { return number(b, r.TCPFlags) }},
	Type: {"type", 3, String, false, "IPv4 or IPv6",
		func(b []byte, r *Record) []byte { return append(b, "IPv"+string('0'+rune(r.Tuple.Family))...) }},
	PktSrcAddr: {"pkt-srcaddr", 3, String, false, "source as the packet has it",
		func(b []byte, r *Record) []byte { return r.Tuple.SrcAddr().AppendTo(b) }},
	PktDstAddr: {"pkt-dstaddr", 3, String, false, "destination as the packet has it",
		func(b []byte, r *Record) []byte { return r.Tuple.DstAddr().AppendTo(b) }},

	Region:          {"region", 4, String, false, "region of the interface", func(b []byte, r *Record) []byte { return word(b, r.Of.Region) }},
	AZID:            {"az-id", 4, String, false, "availability zone's ID", func(b []byte, r *Record) []byte { return word(b, r.Of.AZ) }},
	SublocationType: {"sublocation-type", 4, String, false, "wavelength, outpost or localzone", nil},
	SublocationID:   {"sublocation-id", 4, String, false, "the sublocation", nil},

	PktSrcAWSService: {"pkt-src-aws-service", 5, String, false, "service that pkt-srcaddr belongs to",
		func(b []byte, r *Record) []byte { return word(b, r.Services.Of(r.Tuple.SrcAddr())) }},
	PktDstAWSService: {"pkt-dst-aws-service", 5, String, false, "service that pkt-dstaddr belongs to",
		func(b []byte, r *Record) []byte { return word(b, r.Services.Of(r.Tuple.DstAddr())) }},
	FlowDirection: {"flow-direction", 5, String, false, "ingress or egress, seen from the interface",
		func(b []byte, r *Record) []byte { return append(b, r.Direction.String()...) }},
	TrafficPath: {"traffic-path", 5, Int32, false, "way out of an egress flow: 1 same VPC, 2 internet gateway, 3 virtual private gateway, " +
		"4 peering, 5 peering between regions, 6 local zone, 7 gateway endpoint, 8 internet gateway (Nitro)", trafficPath},

	ECSClusterARN:           {"ecs-cluster-arn", 7, String, false, "ECS cluster", nil},
	ECSClusterName:          {"ecs-cluster-name", 7, String, false, "ECS cluster", nil},
	ECSContainerInstanceARN: {"ecs-container-instance-arn", 7, String, false, "ECS container instance", nil},
	ECSContainerInstanceID:  {"ecs-container-instance-id", 7, String, false, "ECS container instance", nil},
	ECSContainerID:          {"ecs-container-id", 7, String, false, "first container of the task", nil},
	ECSSecondContainerID:    {"ecs-second-container-id", 7, String, false, "second container of the task", nil},
	ECSServiceName:          {"ecs-service-name", 7, String, false, "ECS service", nil},
	ECSTaskDefinitionARN:    {"ecs-task-definition-arn", 7, String, false, "ECS task definition", nil},
	ECSTaskARN:              {"ecs-task-arn", 7, String, false, "ECS task", nil},
	ECSTaskID:               {"ecs-task-id", 7, String, false, "ECS task", nil},

	RejectReason: {"reject-reason", 8, String, false, "BPA or EC; not for security groups and ACLs", nil},
	ResourceID: {"resource-id", 9, String, false, "regional NAT gateway",
		func(b []byte, r *Record) []byte { return word(b, r.Of.Resource) }},
	EncryptionStatus: {"encryption-status", 10, Int32, false, "0 none, 1 Nitro, 2 application, 3 both; not without encryption controls", nil},
}

// fieldsByName finds a field by what formats call it.
var fieldsByName = func() map[string]Field {
	all := make(map[string]Field, numFields)
	for f := range numFields {
		all[fields[f].name] = f
	}
	return all
}()

// Fields are all fields, in AWS's order.
func Fields() []Field {
	all := make([]Field, numFields)
	for i := range all {
		all[i] = Field(i)
	}
	return all
}

// FieldOf finds a field by its name in formats: "pkt-srcaddr".
func FieldOf(name string) (Field, bool) {
	f, ok := fieldsByName[name]
	return f, ok
}

// String is the field's name in formats and headers.
func (f Field) String() string { return fields[f].name }

// Version is the version of flow logs that introduced the field.
func (f Field) Version() int { return fields[f].version }

// Kind is the field's type in Parquet.
func (f Field) Kind() Kind { return fields[f].kind }

// About says what the field means.
func (f Field) About() string { return fields[f].about }

// append writes what the field says of a record, or "-".
func (f Field) append(b []byte, r *Record) []byte {
	info := &fields[f]
	if info.text == nil || r.Status != OK && !info.idle {
		return append(b, '-')
	}
	return info.text(b, r)
}

func word(b []byte, s string) []byte {
	if s == "" {
		return append(b, '-')
	}
	return append(b, s...)
}

func number[T uint8 | uint16 | uint64 | int64](b []byte, n T) []byte {
	return strconv.AppendInt(b, int64(n), 10)
}

func actionWord(accept bool) string {
	if accept {
		return "ACCEPT"
	}
	return "REJECT"
}

func trafficPath(b []byte, r *Record) []byte {
	if r.Direction != fabric.Egress || r.TrafficPath == 0 {
		return append(b, '-')
	}
	return number(b, r.TrafficPath)
}

// srcAddr is where the packets came from. A packet that leaves the interface with a source that is not the interface's own, as through a
// NAT gateway or an appliance, counts as sent by its primary address.
func (r *Record) srcAddr() netip.Addr {
	a := r.Tuple.SrcAddr()
	if r.Direction == fabric.Ingress || r.Of.has(a) {
		return a
	}
	return r.Of.primary(a)
}

// dstAddr is where the packets went. Whatever arrives over IPv4 counts as sent to the primary address, also what was sent to a secondary
// one.
func (r *Record) dstAddr() netip.Addr {
	a := r.Tuple.DstAddr()
	if r.Direction == fabric.Egress || a.Is6() && r.Of.has(a) {
		return a
	}
	return r.Of.primary(a)
}

// tcpFlags are the flags that records know: ACK only as half of SYN-ACK, and nothing of PSH, URG, ECE and CWR.
func tcpFlags(seen uint8) uint8 {
	seen &= flow.FIN | flow.SYN | flow.RST | flow.ACK
	if seen&flow.SYN == 0 {
		seen &^= flow.ACK
	}
	return seen
}
