package engine

import (
	"slices"
	"testing"
	"time"

	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/fabric/fabrictest"
	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/netdev"
	"github.com/vpclab/vpclab/dataplane/packet"
)

// pieces cuts a packet as its sender's kernel would.
func pieces(t *testing.T, raw []byte, mtu int) [][]byte {
	t.Helper()
	var info packet.Info
	if !packet.Decode(raw, &info) {
		t.Fatal("malformed")
	}
	var cut [][]byte
	for _, piece := range packet.Fragment(raw, &info, mtu) {
		cut = append(cut, slices.Clone(piece))
	}
	return cut
}

// give hands the engine packets of one sender and lists who got something, with where it came from, in order.
func (b *bed) give(from *fabric.ENI, raws ...[]byte) []string {
	b.t.Helper()
	var got []string
	note := func(out uint32, raw []byte) {
		if out != 0 {
			got = append(got, b.Attachments[out].Name()+" from "+tupleOf(b.t, raw).SrcAddr().String())
		}
	}
	for _, raw := range raws {
		b.wait(time.Microsecond)
		out := []uint32{0}
		raw = slices.Clone(raw)
		emitted := b.engine.Handle(b.now, from.Attachment, [][]byte{raw}, out)
		note(out[0], raw)
		for _, x := range emitted {
			note(x.Out, x.Frame[netdev.Headroom:])
		}
	}
	return got
}

func TestFragments(t *testing.T) {
	web := func(b *fabrictest.Bed) {
		b.WebGroup.Ingress = []fabric.SGRule{fabrictest.From(fabrictest.Port(flow.UDP, 53), "10.0.1.0/24")}
	}
	toWeb, toNAT := "web from 10.0.1.5", "example from 198.51.100.7"
	tests := []struct {
		name   string
		change func(*fabrictest.Bed)
		packet func(*bed) []byte
		order  []int // of the pieces; three in all
		want   []string
		reason flow.Reason
		drops  uint64
	}{
		{"in order", web, func(b *bed) []byte { return b.udpSized("10.0.1.5", 999, "10.0.0.10", 53, 3000) }, []int{0, 1, 2}, []string{toWeb, toWeb, toWeb}, flow.None, 0},
		{"the first one last", web, func(b *bed) []byte { return b.udpSized("10.0.1.5", 999, "10.0.0.10", 53, 3000) }, []int{2, 1, 0}, []string{toWeb, toWeb, toWeb}, flow.None, 0},
		{"judged by the first one's port", web, func(b *bed) []byte { return b.udpSized("10.0.1.5", 999, "10.0.0.10", 54, 3000) }, []int{1, 0, 2}, nil, flow.SGRulesMismatch, 3},
		{"one twice", web, func(b *bed) []byte { return b.udpSized("10.0.1.5", 999, "10.0.0.10", 53, 3000) }, []int{0, 1, 1, 2}, []string{toWeb, toWeb, toWeb}, flow.FragmentOverlap, 1},
		{"UDP through NAT", throughNAT, func(b *bed) []byte { return b.udpSized("10.0.1.5", 999, "203.0.113.5", 53, 3000) }, []int{1, 0, 2}, []string{toNAT, toNAT, toNAT}, flow.None, 0},
		{"TCP through NAT", throughNAT, func(b *bed) []byte { return b.tcpSized("10.0.1.5", 999, "203.0.113.5", 53, syn, 3000) }, []int{1, 0, 2}, nil, flow.NATFragment, 3},
		{"TCP inside", func(b *fabrictest.Bed) {}, func(b *bed) []byte { return b.tcpSized("10.0.1.5", 999, "10.0.0.11", 53, syn, 3000) }, []int{0, 2, 1},
			[]string{"x from 10.0.1.5", "x from 10.0.1.5", "x from 10.0.1.5"}, flow.None, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBed(t, test.change)
			all := pieces(t, test.packet(b), 1500)
			if len(all) != 3 {
				t.Fatalf("%d pieces", len(all))
			}
			var raws [][]byte
			for _, i := range test.order {
				raws = append(raws, all[i])
			}
			if got := b.give(b.Client, raws...); !slices.Equal(got, test.want) {
				t.Errorf("delivered %q, want %q", got, test.want)
			}
			if got := b.mem.Drop(b.Client.Attachment, test.reason).Read().Packets; got != test.drops {
				t.Errorf("%d drops as %v, want %d", got, test.reason, test.drops)
			}
		})
	}
}

func TestFragmentsWithoutAFirstAreCounted(t *testing.T) {
	b := newBed(t, nil)
	all := pieces(t, b.udpSized("10.0.0.11", 999, "10.0.0.12", 53, 3000), 1500)
	if got := b.give(b.X, all[1], all[2]); got != nil {
		t.Errorf("delivered %q", got)
	}
	b.engine.Advance(b.now, 31*time.Second)
	if got := b.mem.Drop(b.X.Attachment, flow.FragmentIncomplete).Read(); got.Packets != 2 || got.Bytes != uint64(len(all[1])+len(all[2])) {
		t.Errorf("counted %+v", got)
	}
}

func TestFragmentsAreTranslatedAlike(t *testing.T) {
	b := newBed(t, throughNAT)
	all := pieces(t, b.udpSized("10.0.1.5", 999, "203.0.113.5", 53, 3000), 1500)
	out := []uint32{0}
	for i, raw := range all {
		b.engine.Handle(b.now, b.Client.Attachment, [][]byte{raw}, out)
		var info packet.Info
		if !packet.Decode(raw, &info) || out[0] != b.Example.Attachment || info.Tuple.SrcAddr() != fabrictest.Addr("198.51.100.7") || info.TTL != 63 {
			t.Errorf("piece %d: to %d, %v, TTL %d", i, out[0], info.Tuple, info.TTL)
		}
		if i == 0 && info.Tuple.SrcPort != fabric.FirstNATPort {
			t.Errorf("source port %d", info.Tuple.SrcPort)
		}
	}
}
