package check

import (
	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// Lab is what checks need of a running lab.
type Lab interface {
	// Do runs f on a locked OS thread inside the namespace of an instance or internet host. Sockets that f opens stay in that
	// namespace and may be used anywhere afterwards; a process that f starts lives in it.
	Do(node scenario.Node, f func() error) error
	// Mark is a position in the lab's journal of dropped packets.
	Mark() uint64
	// Drops lists the packets dropped since mark that belong to the connection that conn began as its sender sees it: in either
	// direction, before and after address translation, and behind appliances. Oldest first.
	Drops(mark uint64, conn flow.Tuple) []Drop
}

// Drop is one dropped packet as a check tells of it.
type Drop struct {
	Reason flow.Reason
	At     string   // the hop: "web/sg-in", "igw"
	Hops   []string // the way the packet took, one line a hop, the last being where it was dropped
	Advice string   // what change would let it pass; may be empty
}

// Result is how one check ended.
type Result struct {
	Check  *scenario.Check
	Pass   bool
	Got    scenario.Outcome
	Detail string // what was seen beside the outcome: "status 404", "no answer within 5 s"; why a check failed
	Reason flow.Reason
	At     string
	SeenAs string
	Drops  []Drop
	MS     float64 // real time in milliseconds
}
