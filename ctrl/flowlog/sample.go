package flowlog

import (
	"time"

	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// Sample is what one interface saw of one flow in one direction since the last sample of it. A sample belongs to the window in which its
// last packet lies, so whoever samples does it at the end of each window and before the lab's clock jumps.
type Sample struct {
	Interface      uint32 // attachment index: key into the lab's interface table
	Direction      fabric.Direction
	Tuple          flow.Tuple // the packet as that interface saw it
	Accept         bool
	TrafficPath    uint8 // 0: does not apply
	Packets, Bytes uint64
	First, Last    time.Time // lab time of the first and last packet
	// Flags are the TCP flags seen, OR-ed. ACK means that one packet had SYN and ACK: records tell a SYN-ACK (18) from a SYN (2)
	// and later ACKs (still 2), which an OR over all packets' ACKs cannot.
	Flags uint8
}

// key is what makes a record one: interface, direction, action and the packet's addresses, protocol and ports. It has neither a pointer
// nor a hole, so it is hashed as plain memory.
type key struct {
	iface uint32
	tuple flow.Tuple
	kind  uint16 // direction, and whether it was accepted
}

const accepted = 1 << 8

func (s *Sample) key() key {
	k := key{iface: s.Interface, tuple: s.Tuple, kind: uint16(s.Direction)}
	if s.Accept {
		k.kind |= accepted
	}
	if p := s.Tuple.Protocol; p != flow.TCP && p != flow.UDP { // the ports of an ICMP tuple are its identifier and its type
		k.tuple.SrcPort, k.tuple.DstPort = 0, 0
	}
	return k
}

func (k *key) accept() bool                { return k.kind&accepted != 0 }
func (k *key) direction() fabric.Direction { return fabric.Direction(k.kind) }
