package fastpath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// The bits of an entry's rewrite (enum rewrite).
const (
	rewriteSource = 1 << iota
	rewriteDestination
	rewriteSourcePort
	rewriteDestinationPort
	rewriteMSS

	rewriteHopsShift = 8
)

// networkOrder returns the number that has in memory the bytes of p as they stand in a packet.
func networkOrder(p uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], p)
	return binary.NativeEndian.Uint16(b[:])
}

func encodeAddress(a [16]byte) (e fabricAddress) {
	for i := range e.Word {
		e.Word[i] = binary.NativeEndian.Uint32(a[4*i:])
	}
	return e
}

// halves reads an address as two words, in the order of the packet.
func halves(a [16]byte) [2]uint64 {
	return [2]uint64{binary.NativeEndian.Uint64(a[:8]), binary.NativeEndian.Uint64(a[8:])}
}

func encodeKey(k flow.Key) fabricFlowKey {
	return fabricFlowKey{
		Ends:        uint64(k.Attachment)<<32 | uint64(networkOrder(k.SrcPort))<<16 | uint64(networkOrder(k.DstPort)),
		Network:     uint64(k.Family)<<8 | uint64(k.Protocol),
		Source:      halves(k.Src),
		Destination: halves(k.Dst),
	}
}

// digest condenses a key to a word, as the programs' function of that name does.
func digest(k fabricFlowKey) uint64 {
	mixed := func(word uint64) uint64 { return word ^ word>>32 }
	return mixed(k.Ends)*0x9e3779b97f4a7c15 + k.Network*0xbf58476d1ce4e5b9 +
		mixed(k.Source[0])*0x94d049bb133111eb + mixed(k.Source[1])*0xff51afd7ed558ccd +
		mixed(k.Destination[0])*0xc4ceb9fe1a85ec53 + mixed(k.Destination[1])*0xd6e8feb86659fd93
}

// check refuses an entry that the programs could not follow.
func (c Config) check(e flow.Entry) error {
	switch {
	case e.Verdict != flow.Deliver && e.Verdict != flow.Drop:
		return fmt.Errorf("verdict %d is neither deliver nor drop", e.Verdict)
	case e.Verdict == flow.Drop && (e.Reason == flow.None || int(e.Reason) >= flow.ReasonStride):
		return fmt.Errorf("reason %s is none to drop for", e.Reason)
	case int(e.Slot) >= c.MaxSlots:
		return fmt.Errorf("slot %d: the fast path was loaded for %d slots", e.Slot, c.MaxSlots)
	}
	for _, d := range e.Domains {
		if int(d.Index) >= c.MaxDomains {
			return fmt.Errorf("domain %d: the fast path was loaded for %d domains", d.Index, c.MaxDomains)
		}
	}
	for state, limit := range e.Idle {
		if limit < 0 {
			return fmt.Errorf("idle limit %s of state %d is negative", limit, state)
		}
	}
	if e.Expires < 0 {
		return errors.New("expires before the clock began")
	}
	return nil
}

// never is the time that does not come, and noLimit the size that no packet has.
const (
	never   = math.MaxUint64
	noLimit = math.MaxUint32
)

// orNever returns a number of nanoseconds, of which 0 means never.
func orNever(n int64) uint64 {
	if n == 0 {
		return never
	}
	return uint64(n)
}

// encodeDrop makes the value of a dropping entry. Silence and addresses do not matter to a packet that goes nowhere; size and TTL do, as
// they may be the reason before the entry's.
func encodeDrop(k fabricFlowKey, e flow.Entry) fabricFlowEntry {
	v := fabricFlowEntry{
		Key:      k,
		Patience: never,
		Expires:  orNever(e.Expires),
		Slot:     e.Slot,
		Mtu:      noLimit,
		Decision: fabricDecision{Verdict: uint8(e.Verdict), Reason: uint8(e.Reason), Rewrite: uint16(e.Rewrite.Hops) << rewriteHopsShift},
		Idle:     [3]uint64{never, never, never},
	}
	if e.MTU != 0 {
		v.Mtu = uint32(e.MTU)
	}
	if e.LowersMSS {
		v.Decision.Rewrite |= rewriteMSS
	}
	for i, d := range e.Domains {
		v.Domains[i] = fabricDomain{Index: d.Index, Generation: d.Generation}
	}
	return v
}

// encodeDeliver makes the value of a delivering entry. A rewrite to what the packet has already is left out.
func encodeDeliver(key flow.Key, k fabricFlowKey, e flow.Entry, to Attachment) (fabricFlowEntry, error) {
	v := encodeDrop(k, e)
	for state, limit := range e.Idle {
		v.Idle[state] = orNever(int64(limit))
	}
	v.Patience = slices.Min(v.Idle[:])

	d := &v.Decision
	d.Reason = 0
	d.Out = uint32(to.Veth)
	d.Macs = fabricMacs{Receiver: to.GuestMAC, Router: to.RouterMAC}
	r := e.Rewrite
	for _, a := range []struct {
		to   netip.Addr
		from [16]byte
		into *fabricAddress
		bit  uint16
	}{
		{r.Src, key.Src, &d.Source, rewriteSource},
		{r.Dst, key.Dst, &d.Destination, rewriteDestination},
	} {
		if !a.to.IsValid() || a.to.As16() == a.from {
			continue
		}
		if a.to.Is4() != (key.Family == 4) {
			return fabricFlowEntry{}, fmt.Errorf("rewrite to %s: the flow is of IPv%d", a.to, key.Family)
		}
		*a.into = encodeAddress(a.to.As16())
		d.Rewrite |= a.bit
	}
	if r.SrcPort != 0 && r.SrcPort != key.SrcPort {
		d.SourcePort = networkOrder(r.SrcPort)
		d.Rewrite |= rewriteSourcePort
	}
	if r.DstPort != 0 && r.DstPort != key.DstPort {
		d.DestinationPort = networkOrder(r.DstPort)
		d.Rewrite |= rewriteDestinationPort
	}
	return v, nil
}
