package lab

import (
	"fmt"

	"github.com/vpclab/vpclab/ctrl/check"
	"github.com/vpclab/vpclab/ctrl/compile"
	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
)

var _ check.Lab = (*Lab)(nil)

// Do implements check.Lab. Its callers name the node in their errors.
func (l *Lab) Do(node scenario.Node, f func() error) error {
	return l.host.InGuest(l.namespace(node), f)
}

// Mark implements check.Lab. It is a monotonic time, so that what was dropped before is left out.
func (l *Lab) Mark() uint64 {
	unanswered := map[uint32]uint64{}
	mem := l.fast.Memory()
	l.mu.Lock()
	defer l.mu.Unlock()
	for attachment := range l.attached {
		unanswered[attachment] = mem.Drop(attachment, flow.UnknownNeighbor).Read().Packets
	}
	l.unanswered = unanswered
	return uint64(l.engine.Mark(monotonic()))
}

// Drops implements check.Lab.
func (l *Lab) Drops(mark uint64, conn flow.Tuple) []check.Drop {
	var drops []check.Drop
	for _, d := range l.engine.Drops(int64(mark), conn) {
		drops = append(drops, check.Drop{Reason: d.Path.Reason, At: d.Path.At(), Hops: d.Path.Lines(), Advice: d.Path.Advice()})
	}
	if len(drops) > 0 {
		return drops
	}
	return l.unansweredDrops(conn)
}

// unansweredDrops tells of a packet that never left its guest: the guest asked its subnet for the destination's neighbour address since
// the latest Mark, and nobody has it.
func (l *Lab) unansweredDrops(conn flow.Tuple) []check.Drop {
	l.mu.Lock()
	defer l.mu.Unlock()
	mem := l.fast.Memory()
	for attachment, before := range l.unanswered {
		a := l.plan.Network.Attachments[attachment]
		if a == nil || a.ENI == nil || !a.ENI.Owns(conn.SrcAddr()) || !a.ENI.Subnet.Contains(conn.DstAddr()) {
			continue
		}
		if _, known := l.plan.Neighbors[compile.Neighbor{Scope: l.plan.Scopes[attachment], Addr: conn.DstAddr()}]; known {
			continue
		}
		if mem.Drop(attachment, flow.UnknownNeighbor).Read().Packets == before {
			continue
		}
		at := a.Name() + "/" + fabric.Door
		return []check.Drop{{
			Reason: flow.UnknownNeighbor,
			At:     at,
			Hops:   []string{fmt.Sprintf("%s: who has %s? -- %s", at, conn.DstAddr(), flow.UnknownNeighbor)},
			Advice: fmt.Sprintf("nothing in subnet %s has the address %s; check the destination", a.ENI.Subnet.Name, conn.DstAddr()),
		}}
	}
	return nil
}

// Delivered implements check.Lab.
func (l *Lab) Delivered(mark uint64, conn flow.Tuple) bool {
	return l.engine.Delivered(int64(mark), conn)
}

// countQueueDrops takes over what the kernel dropped in front of the engine. It keeps no bytes of them.
func (l *Lab) countQueueDrops() error {
	dropped, err := l.host.TxDropped()
	if err != nil {
		return err
	}
	mem := l.fast.Memory()
	for attachment, packets := range dropped {
		c := mem.Drop(attachment, flow.UpcallQueueFull)
		c.Add(packets-c.Read().Packets, 0)
	}
	return nil
}
