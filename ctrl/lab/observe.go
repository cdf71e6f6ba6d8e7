package lab

import (
	"fmt"

	"github.com/vpclab/vpclab/ctrl/check"
	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

var _ check.Lab = (*Lab)(nil)

// Do implements check.Lab.
func (l *Lab) Do(node scenario.Node, f func() error) error {
	if err := l.host.InGuest(l.namespace(node), f); err != nil {
		return fmt.Errorf("%s: %w", node, err)
	}
	return nil
}

// Mark implements check.Lab. It is a monotonic time, so that what was dropped before is left out.
func (l *Lab) Mark() uint64 { return uint64(l.engine.Mark(monotonic())) }

// Drops implements check.Lab.
func (l *Lab) Drops(mark uint64, conn flow.Tuple) []check.Drop {
	var drops []check.Drop
	for _, d := range l.engine.Drops(int64(mark), conn) {
		drops = append(drops, check.Drop{Reason: d.Path.Reason, At: d.Path.At(), Hops: d.Path.Lines(), Advice: d.Path.Advice()})
	}
	return drops
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
