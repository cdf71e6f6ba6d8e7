package check

import (
	"context"
	"crypto/x509"
	"net/netip"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/ctrl/vpc"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// Lab is what checks need of a running lab.
type Lab interface {
	Services
	// Do runs f on a locked OS thread inside the namespace of an instance or internet host. Sockets that f opens stay in that
	// namespace and may be used anywhere afterwards; a process that f starts lives in it. An f may take as long as a program
	// lives, so calls of Do must not wait for each other.
	Do(node scenario.Node, f func() error) error
	// Home is what the node's programs find there beside its network.
	Home(node scenario.Node) Home
	// Mark is a position in the lab's journal of dropped packets.
	Mark() uint64
	// Drops lists the packets dropped since mark that belong to the connection that conn began as its sender sees it: in either
	// direction, before and after address translation, and behind appliances and load balancers. Oldest first.
	Drops(mark uint64, conn flow.Tuple) []Drop
	// Delivered reports whether a packet sent since mark with exactly the tuple conn, as its sender sees it, reached the guest that it
	// was meant for, or a service. Packets of the opposite direction do not count.
	Delivered(mark uint64, conn flow.Tuple) bool
	// Records lets lab time pass until all that the named flow logs have seen by now is delivered, and returns what each of them has
	// delivered since mark: of the connection that conn began, in either direction, before and after address translation, as with Drops;
	// and of no connection. A conn of zero has no records. It returns when the records are there, or ctx ends.
	Records(ctx context.Context, mark uint64, conn flow.Tuple, logs []string) (map[string]Records, error)
}

// Home is what programs find in a node beside its network. The zero Home is the machine's own files.
type Home struct {
	// Env are further variables of the environment, NAME=value; they take the place of those that programs have anyway.
	Env []string
	// Enter, if not nil, is called inside Do before a program starts, on the thread that starts it: whatever the thread sees, the
	// program does, too. The thread is the program's alone if Enter locks it once more than it unlocks it.
	Enter func() error
}

// Services are what checks need of what answers names and requests in a running lab.
type Services interface {
	// Resolver is where a node's DNS queries go: its VPC's resolver, or a public one for an internet host. false: it has none.
	Resolver(node scenario.Node) (netip.AddrPort, bool)
	// Roots are the authorities that a node trusts for TLS: the lab's own.
	Roots() *x509.CertPool
	// Credentials are what an internet host signs its requests with. An instance asks its metadata service instead. false: it has none.
	Credentials(node scenario.Node) (Credentials, bool)
	// EndpointHost is the host name at which a service is asked by the own name of an interface endpoint, that of its region; for S3 with
	// `bucket.` before it (S3 user guide, AWS PrivateLink for Amazon S3). false: it has none.
	EndpointHost(endpoint vpc.EndpointRef) (string, bool)
	// Denials say why services denied requests of a node, or reset its connections at once, since a mark of Lab.Mark: which statement of which
	// policy, or what none of them allows; what an endpoint service lacks. Oldest first, a line each. Each is told of before its requester
	// has the answer.
	Denials(mark uint64, node scenario.Node) []string
}

// Credentials are what requests to AWS are signed with.
type Credentials struct {
	AccessKeyID, SecretAccessKey string
	SessionToken                 string // of temporary credentials; else empty
}

// Drop is one dropped packet as a check tells of it.
type Drop struct {
	Reason flow.Reason
	At     string   // the hop: "web/sg-in", "igw"
	Hops   []string // the way the packet took, one line a hop, the last being where it was dropped
	Advice string   // what change would let it pass; may be empty
	// Carried says that the packet was not of the connection itself, but of that by which a load balancer carries it on.
	Carried bool
}

// Failed is the outcome of a check that came to an end which no other outcome describes: a program's or a server's exit or HTTP status
// is not the expected one, a resolver's or a service's answer is an error of another kind (SERVFAIL, NoSuchKey), a certificate is not
// trusted. No file can expect it; the detail says what it was.
const Failed scenario.Outcome = "failed"

// Result is how one check ended.
type Result struct {
	Check  *scenario.Check
	Pass   bool
	Got    scenario.Outcome
	Detail string // one sentence: what was seen beside the outcome ("status 404"), or why the check failed
	Reason flow.Reason
	At     string
	SeenAs string
	Drops  []Drop
	// Answers are the records of a DNS answer, or the keys of an S3 listing; nil if the check asked for neither.
	Answers []string
	Denials []string     // why a request was denied, or a connection reset by a service, a line each
	Logs    []Logged     // records of the check's traffic in the flow logs that it speaks of
	Wrong   *WrongRecord // why the check failed, if a record is why
	MS      float64      // real time in milliseconds
	// Err says that the check could not be carried out at all; Got is then empty and Detail repeats it.
	Err error
}
