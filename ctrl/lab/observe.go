package lab

import (
	"fmt"
	"net/netip"

	"github.com/vpclab/vpclab/ctrl/check"
	"github.com/vpclab/vpclab/ctrl/compile"
	"github.com/vpclab/vpclab/ctrl/hostnet"
	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
)

var _ check.Lab = (*Lab)(nil)

// Do implements check.Lab. Its callers name the node in their errors.
func (l *Lab) Do(node scenario.Node, f func() error) error {
	return l.host.InGuest(l.namespace(node), f)
}

// doorReasons are the drops at the door that a check can ask for.
var doorReasons = []flow.Reason{flow.UnknownNeighbor, flow.Multicast, flow.Broadcast}

// Mark implements check.Lab. It is a monotonic time, so that what was dropped before is left out.
func (l *Lab) Mark() uint64 {
	atDoor := map[doorDrop]uint64{}
	mem := l.fast.Memory()
	l.mu.Lock()
	defer l.mu.Unlock()
	for attachment := range l.attached {
		for _, r := range doorReasons {
			atDoor[doorDrop{attachment, r}] = mem.Drop(attachment, r).Read().Packets
		}
	}
	l.atDoor = atDoor
	return uint64(l.engine.Mark(monotonic()))
}

// doorDrop is a reason for which an attachment's packets were dropped at the door, by the fast path.
type doorDrop struct {
	attachment uint32
	reason     flow.Reason
}

// Drops implements check.Lab.
func (l *Lab) Drops(mark uint64, conn flow.Tuple) []check.Drop {
	var drops []check.Drop
	for _, d := range l.engine.Drops(int64(mark), conn) {
		var hops []string
		for i := range d.Before {
			hops = append(hops, d.Before[i].String())
		}
		hops = append(hops, d.Path.Lines()...)
		drops = append(drops, check.Drop{Reason: d.Path.Reason, At: d.Path.At(), Hops: hops, Advice: d.Path.Advice(), Carried: d.Carried})
	}
	if len(drops) > 0 {
		return drops
	}
	return l.doorDrops(conn)
}

// doorDrops tells of a packet that never got through its guest's door since the latest Mark: it is for a group, or its guest asked the
// subnet for a neighbour that nobody is. The door counts and keeps no tuples, so that this goes by the sender and the destination.
func (l *Lab) doorDrops(conn flow.Tuple) []check.Drop {
	l.mu.Lock()
	defer l.mu.Unlock()
	mem := l.fast.Memory()
	for door, before := range l.atDoor {
		a := l.plan.Network.Attachments[door.attachment]
		if a == nil || a.ENI == nil || !a.ENI.Owns(conn.SrcAddr()) || l.doorReason(a, conn.DstAddr()) != door.reason {
			continue
		}
		if mem.Drop(door.attachment, door.reason).Read().Packets == before {
			continue
		}
		d := check.Drop{Reason: door.reason, At: a.Name() + "/" + fabric.Door}
		line := fmt.Sprintf("to %s", conn.DstAddr())
		if door.reason == flow.UnknownNeighbor {
			line = fmt.Sprintf("who has %s?", conn.DstAddr())
			d.Advice = fmt.Sprintf("nothing in subnet %s has the address %s; check the destination", a.ENI.Subnet.Name, conn.DstAddr())
		}
		d.Hops = []string{fmt.Sprintf("%s: %s -- %s", d.At, line, door.reason)}
		return []check.Drop{d}
	}
	return nil
}

// doorReason is why the door would drop what an attachment sends to an address; None if it would not.
func (l *Lab) doorReason(a *fabric.Attachment, dst netip.Addr) flow.Reason {
	_, known := l.plan.Neighbors[compile.Neighbor{Scope: l.plan.Scopes[a.Index], Addr: dst}]
	switch s := a.ENI.Subnet; {
	case dst.IsMulticast():
		return flow.Multicast
	case dst == netip.AddrFrom4([4]byte{255, 255, 255, 255}), s.CIDR.IsValid() && dst == compile.Broadcast(s.CIDR):
		return flow.Broadcast
	case s.Contains(dst) && !known:
		return flow.UnknownNeighbor
	}
	return flow.None
}

// Delivered implements check.Lab.
func (l *Lab) Delivered(mark uint64, conn flow.Tuple) bool {
	return l.engine.Delivered(int64(mark), conn)
}

// countQueueDrops takes over what the kernel dropped in front of the engine. It keeps no bytes of them.
func (l *Lab) countQueueDrops(traffic map[uint32]hostnet.Traffic) {
	mem := l.fast.Memory()
	for attachment, t := range traffic {
		c := mem.Drop(attachment, flow.UpcallQueueFull)
		c.Add(t.Dropped-c.Read().Packets, 0)
	}
}
