package check

import (
	"context"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// Lab is what checks need of a running lab.
type Lab interface {
	// Do runs f on a locked OS thread inside the namespace of an instance or internet host. Sockets that f opens stay in that
	// namespace and may be used anywhere afterwards; a process that f starts lives in it. An f may take as long as a program
	// lives, so calls of Do must not wait for each other.
	Do(node scenario.Node, f func() error) error
	// Home is what the node's programs find there beside its network.
	Home(node scenario.Node) Home
	// Mark is a position in the lab's journal of dropped packets.
	Mark() uint64
	// Drops lists the packets dropped since mark that belong to the connection that conn began as its sender sees it: in either
	// direction, before and after address translation, and behind appliances. Oldest first.
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

// Drop is one dropped packet as a check tells of it.
type Drop struct {
	Reason flow.Reason
	At     string   // the hop: "web/sg-in", "igw"
	Hops   []string // the way the packet took, one line a hop, the last being where it was dropped
	Advice string   // what change would let it pass; may be empty
}

// Failed is the outcome of a check that came to an end which no other outcome describes: a program's or a server's exit or HTTP status
// is not the expected one. No file can expect it.
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
	Logs   []Logged     // records of the check's traffic in the flow logs that it speaks of
	Wrong  *WrongRecord // why the check failed, if a record is why
	MS     float64      // real time in milliseconds
	// Err says that the check could not be carried out at all; Got is then empty and Detail repeats it.
	Err error
}
