package scenario

import (
	"net/netip"
	"time"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

// Scenario is one parsed and validated file.
type Scenario struct {
	File  string
	Name  string
	About string
	Clock Clock
	Model *vpc.Model // complete: addresses allocated, IDs set
	Steps []Step
}

// Clock is how lab time starts and runs.
type Clock struct {
	Start time.Time // zero: now
	Rate  float64   // 1 is real time; 0 moves only by `advance`
}

// Step is a check or a step between checks: one of Check, Change and Advance is set.
type Step struct {
	Line    int
	Check   *Check
	Change  *vpc.Model    // the whole model as it is after the step
	Zone    Zone          // what changed, if it was an availability zone
	Advance time.Duration // > 0
}

// Zone is an availability zone that a step takes down or brings up again; without a Name the step does neither.
type Zone struct {
	Name string // us-east-1b
	Down bool
}

// Check is one entry of `checks` with a `do`.
type Check struct {
	Name    string
	From    Node
	Do      Do
	Expect  Expect
	Because string // a reason's code; "" if not asserted
	At      string // a hop; "" if not asserted
	SeenAs  netip.Addr
	Keep    string        // hold the connection open under this name
	Wait    time.Duration // longest wait in real time; 0 means the default of 5 s
	// Logs and NoLogs are flow-log records of the check's traffic that must exist, and that must not.
	Logs, NoLogs []Record
}

// Node names who acts: an instance of a VPC, or an internet host when VPC is empty.
type Node struct{ VPC, Name string }

// String is the node's unambiguous reference: "app/web", or the host's name.
func (n Node) String() string {
	if n.VPC == "" {
		return n.Name
	}
	return n.VPC + "/" + n.Name
}

// Verb is a check's first word.
type Verb string

// The verbs that this version carries out.
const (
	Ping  Verb = "ping"
	Ping6 Verb = "ping6"
	TCP   Verb = "tcp"
	UDP   Verb = "udp"
	HTTP  Verb = "http"
	Exec  Verb = "exec"
	Send  Verb = "send"
	Say   Verb = "say"
	Close Verb = "close"

	DNS      Verb = "dns"
	S3       Verb = "s3"
	DynamoDB Verb = "dynamodb"
)

// Do is what a check does.
type Do struct {
	Text string // as written: "tcp 80 to web"
	Verb Verb
	// Addr is the destination of ping, tcp, udp and http. It is resolved when the model is complete, again after each change. It is
	// invalid if Name says the destination instead: a DNS name that the one who acts has to look up.
	Addr     netip.Addr
	Name     string
	Port     uint16 // tcp, udp, http
	URL      string // http: with a literal address in place of HOST, unless that is a DNS name
	TLS      bool   // http: the URL is an https one
	Argv     []string
	Held     string // say, close: the connection's name
	Send     Packet // send
	DNS      Query
	S3       S3Do
	DynamoDB DynamoDBDo
}

// Query is what `dns` asks.
type Query struct {
	Name string // without the last dot; for an address that was written, its reverse name
	Type string // A, AAAA, CNAME, PTR, TXT, MX, SRV, NS, SOA
}

// What checks do with a service. List is S3's alone.
const (
	Put  = "put"
	Get  = "get"
	List = "list"
)

// S3Do is one request to S3.
type S3Do struct {
	Op     string // Put, Get, List
	Bucket string
	Key    string // of list the prefix, which may be empty
	Text   string // put: the object
	Region string // whose S3 is asked
	// By is the interface endpoint whose own DNS name is asked in place of the service's; the zero value: none.
	By vpc.EndpointRef
}

// DynamoDBDo is one request to DynamoDB.
type DynamoDBDo struct {
	Op     string // Put, Get
	Table  string
	Item   string // a JSON object of plain values: put: the item; get: the key's attributes
	Region string // whose DynamoDB is asked
	// By is as in S3Do.
	By vpc.EndpointRef
}

// Packet is one crafted packet of `send`.
type Packet struct {
	Protocol         uint8
	Src, Dst         netip.Addr // Src is the sender's own address unless `from` says otherwise
	SrcPort, DstPort uint16     // tcp, udp
	ICMPType         uint8
	ICMPCode         uint8
	TCPFlags         uint8 // as in the header; SYN by default
	Size             int   // bytes of payload
	Fragment         bool  // the packet is a first fragment with more to follow
	DontFragment     bool
	TTL              uint8 // 64 by default
	// FragmentSize splits the packet into fragments of this many bytes of IP payload, a multiple of 8; 0: it is not split.
	FragmentSize int
	// Pieces are what is sent of the packet, each a fragment, in this order: they may overlap, repeat, or leave a part out.
	Pieces []Piece
}

// Piece is a part of a packet's IP payload: the bytes from From, a multiple of 8, up to and without To.
type Piece struct{ From, To int }

// Cut returns the fragments of a packet with length bytes of IP payload, in the order in which they are sent, or nil if it is sent as
// it is. The header of a piece says that more fragments follow unless the piece ends where the payload does.
func (out *Packet) Cut(length int) []Piece {
	if out.FragmentSize == 0 {
		return out.Pieces
	}
	var pieces []Piece
	for at := 0; at < length; at += out.FragmentSize {
		pieces = append(pieces, Piece{at, min(at+out.FragmentSize, length)})
	}
	return pieces
}

// Outcome is how a check ended.
type Outcome string

// The outcomes.
const (
	OK          Outcome = "ok"
	Timeout     Outcome = "timeout"
	Refused     Outcome = "refused"
	Reset       Outcome = "reset"
	Unreachable Outcome = "unreachable"
	Denied      Outcome = "denied"   // s3, dynamodb: the service answered that the caller may not (403)
	NXDomain    Outcome = "nxdomain" // the name does not exist
)

// Expect is what a check expects.
type Expect struct {
	Outcome Outcome
	Status  int     // http: exact status; 0 means any 2xx or 3xx for ok
	Body    *string // http: exact body
	MTU     int     // unreachable: the MTU in the ICMP error; 0 is not asserted
	Exit    *int    // exec: exit status; nil means 0 for ok
	// Answers are all records that dns gets of the type it asks for, in any order, in the notation of zone files without last dots; nil
	// is not asserted, and empty says that there are none.
	Answers []string
}
