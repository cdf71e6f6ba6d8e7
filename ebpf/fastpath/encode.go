package fastpath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// The bits of an entry's rewrite (enum rewrite).
const (
	rewriteSource = 1 << iota
	rewriteDestination
	rewriteSourcePort
	rewriteDestinationPort
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

func encodeKey(k flow.Key) fabricFlowKey {
	return fabricFlowKey{
		Attachment:      k.Attachment,
		Protocol:        k.Protocol,
		Family:          k.Family,
		SourcePort:      networkOrder(k.SrcPort),
		DestinationPort: networkOrder(k.DstPort),
		Source:          encodeAddress(k.Src),
		Destination:     encodeAddress(k.Dst),
	}
}

// seal condenses a key to a word, as the programs' function of that name does.
func seal(k *fabricFlowKey) (sum uint64) {
	factors := [...]uint64{
		0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9, 0x94d049bb133111eb, 0xff51afd7ed558ccd, 0xc4ceb9fe1a85ec53, 0xd6e8feb86659fd93,
	}
	const size = len(factors) * 8
	b := (*[size]byte)(unsafe.Pointer(k))
	for i, factor := range factors {
		sum += binary.NativeEndian.Uint64(b[8*i:]) * factor
	}
	return sum
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

// encodeDrop makes the value of a dropping entry. Size, silence and addresses do not matter to a packet that goes nowhere.
func encodeDrop(k fabricFlowKey, e flow.Entry) fabricFlowEntry {
	v := fabricFlowEntry{
		Expires: uint64(e.Expires),
		Slot:    e.Slot,
		Verdict: uint8(e.Verdict),
		Reason:  uint8(e.Reason),
	}
	for i, d := range e.Domains {
		v.Domains[i] = fabricDomain{Index: d.Index, Generation: d.Generation}
	}
	v.Seal = seal(&k)
	v.EndSeal = v.Seal
	return v
}

// encodeDeliver makes the value of a delivering entry. A rewrite to what the packet has already is left out.
func encodeDeliver(key flow.Key, k fabricFlowKey, e flow.Entry, to Attachment) (fabricFlowEntry, error) {
	v := encodeDrop(k, e)
	v.Reason = 0
	v.Out = uint32(to.Veth)
	v.Mtu = e.MTU
	v.Macs = fabricMacs{Receiver: to.GuestMAC, Router: to.RouterMAC}
	for state, limit := range e.Idle {
		v.Idle[state] = uint64(limit)
	}

	r := e.Rewrite
	for _, a := range []struct {
		to   netip.Addr
		from [16]byte
		into *fabricAddress
		bit  uint16
	}{
		{r.Src, key.Src, &v.Source, rewriteSource},
		{r.Dst, key.Dst, &v.Destination, rewriteDestination},
	} {
		if !a.to.IsValid() || a.to.As16() == a.from {
			continue
		}
		if a.to.Is4() != (key.Family == 4) {
			return fabricFlowEntry{}, fmt.Errorf("rewrite to %s: the flow is of IPv%d", a.to, key.Family)
		}
		*a.into = encodeAddress(a.to.As16())
		v.Rewrite |= a.bit
	}
	if r.SrcPort != 0 && r.SrcPort != key.SrcPort {
		v.SourcePort = networkOrder(r.SrcPort)
		v.Rewrite |= rewriteSourcePort
	}
	if r.DstPort != 0 && r.DstPort != key.DstPort {
		v.DestinationPort = networkOrder(r.DstPort)
		v.Rewrite |= rewriteDestinationPort
	}
	return v, nil
}
