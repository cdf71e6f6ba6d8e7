package flow

import (
	"net/netip"
	"time"
)

// Verdict is what becomes of a flow's packets.
type Verdict uint8

// The verdicts of a cached entry. A packet without an entry is an upcall.
const (
	Deliver Verdict = 1 + iota
	Drop
)

// Rewrite is the change made to each packet of a flow. Fields that are equal to the packet's own are left alone.
type Rewrite struct {
	Src, Dst         netip.Addr // invalid: unchanged
	SrcPort, DstPort uint16     // 0: unchanged; the ICMP echo identifier is SrcPort
	// Hops is by how much the TTL or hop limit falls. A packet that has no more than that is no hit.
	Hops uint8
}

// Zero reports whether nothing is rewritten.
func (r Rewrite) Zero() bool {
	return !r.Src.IsValid() && !r.Dst.IsValid() && r.SrcPort == 0 && r.DstPort == 0
}

// Domain is one VPC's revision, as an entry remembers it: the entry is stale as soon as the VPC has another generation.
type Domain struct{ Index, Generation uint32 }

// Entry is the cached decision for one flow. It holds no counter: those live in the slot.
type Entry struct {
	Verdict Verdict
	Reason  Reason // of a Drop
	Out     uint32 // attachment that receives a Deliver
	Slot    uint32 // the flow's counters; the opposite direction's are at Slot^1
	MTU     uint16 // largest IP packet in bytes; 0 means no limit below the interface's
	Domains [2]Domain
	Rewrite Rewrite
	// LowersMSS says that somebody on the way lowers the MSS of SYNs, which the engine does: they are no hits.
	LowersMSS bool

	// Idle limits of a delivering entry, in monotonic time, by State. A limit of 0 means never.
	Idle Timeouts
	// Expires is the monotonic time, in nanoseconds, after which a dropping entry is a miss.
	Expires int64
}

// State is how far a connection has come; it selects the idle limit.
type State uint8

// The states: opening (TCP before both sides have acknowledged; UDP one-way or a single exchange), established (TCP; UDP with two
// packets each way; other protocols once answered), closing (TCP after RST, or FIN from both sides).
const (
	Opening State = iota
	Established
	Closing
	numStates
)

// Timeouts are idle limits by State.
type Timeouts [numStates]time.Duration

// TCP flag bits as they stand in the header's 14th byte (RFC 9293).
const (
	FIN = 0x01
	SYN = 0x02
	RST = 0x04
	ACK = 0x10
)

// StateOf derives a connection's state from the counters of its two directions. The eBPF program's flow_state follows the same
// table, which a test holds together.
func StateOf(proto uint8, own, peer Counters) State {
	switch proto {
	case TCP:
		switch {
		case (own.Flags|peer.Flags)&RST != 0, own.Flags&peer.Flags&FIN != 0:
			return Closing
		case own.Flags&peer.Flags&ACK != 0:
			return Established
		}
		return Opening
	case UDP:
		if own.Packets >= 2 && peer.Packets >= 2 {
			return Established
		}
	}
	return Opening
}

// DefaultTimeouts are AWS's security group tracking timeouts (EC2 user guide, security group connection tracking): TCP half-open
// 60 s, established 432000 s, closing 10 s; UDP 30 s, as a stream 180 s; ICMP 30 s; every other protocol 600 s.
func DefaultTimeouts(proto uint8) Timeouts {
	const s = time.Second
	switch proto {
	case TCP:
		return Timeouts{60 * s, 432000 * s, 10 * s}
	case UDP:
		return Timeouts{30 * s, 180 * s, 30 * s}
	case ICMP, ICMPv6:
		return Timeouts{30 * s, 30 * s, 30 * s}
	}
	return Timeouts{600 * s, 600 * s, 600 * s}
}
