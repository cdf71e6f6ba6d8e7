package engine

import (
	"slices"
	"testing"
	"time"

	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/fabric/fabrictest"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// linkBed is the test network with a VPC beside it that a link joins to it; the test is the link.
type linkBed struct {
	*bed
	data *fabrictest.Data
}

func newLinkBed(t *testing.T, off Offloader, change func(*fabrictest.Bed, *fabrictest.Data)) *linkBed {
	var data *fabrictest.Data
	b := newBedWith(t, func(b *fabrictest.Bed) {
		data = b.Peer(false, false)
		if change != nil {
			change(b, data)
		}
	}, off, 1024)
	return &linkBed{b, data}
}

// emerge lets a packet come out of the link at an end.
func (b *linkBed) emerge(end *fabric.PeeringEnd, sender *fabric.ENI, raw []byte) string {
	b.wait(time.Microsecond)
	out := []uint32{0}
	b.engine.HandleEmerged(b.now, end.Attachment, [][]byte{raw}, []uint32{sender.Attachment}, out)
	if out[0] == 0 {
		return ""
	}
	return b.Attachments[out[0]].Name()
}

// cross sends a packet into the link and lets it come out at the other end.
func (b *linkBed) cross(from *fabric.ENI, raw []byte) string {
	b.t.Helper()
	far := b.data.Far
	if from == b.data.DB {
		far = b.data.Near
	}
	if got, _ := b.send(from, raw); got != "peering.app-data" {
		return "not the link but " + got
	}
	return b.emerge(far, from, raw)
}

func admitClients(b *fabrictest.Bed, d *fabrictest.Data) {
	d.Group.Ingress = []fabric.SGRule{fabrictest.FromGroup(fabrictest.Anything, b.ClientGroup)}
}

// TestAcrossALink: each end decides for itself and remembers for itself; answers pass without a rule.
func TestAcrossALink(t *testing.T) {
	b := newLinkBed(t, nil, admitClients)
	for _, step := range []struct {
		what  string
		from  *fabric.ENI
		flags uint8
		want  string
	}{
		{"SYN", b.Client, syn, "db"}, {"SYN-ACK", b.data.DB, synAck, "client"}, {"ACK", b.Client, ack, "db"},
		{"data back", b.data.DB, ack, "client"}, {"and forth", b.Client, ack, "db"},
	} {
		raw := b.tcp("10.0.1.5", 999, "10.9.1.4", 5432, step.flags)
		if step.from == b.data.DB {
			raw = b.tcp("10.9.1.4", 5432, "10.0.1.5", 999, step.flags)
		}
		if got := b.cross(step.from, raw); got != step.want {
			t.Errorf("%s: came to %q, want %q", step.what, got, step.want)
		}
	}
	stats := b.engine.Stats()
	for attachment, want := range map[uint32]uint64{b.Client.Attachment: 3, b.data.DB.Attachment: 2, b.data.Far.Attachment: 3, b.data.Near.Attachment: 2} {
		if got := stats.Delivered[attachment].Packets; got != want {
			t.Errorf("%s delivered %d packets, want %d", b.Attachments[attachment].Name(), got, want)
		}
	}
	if stats.Emerged[b.data.Far.Attachment] != 3 || stats.Emerged[b.data.Near.Attachment] != 2 {
		t.Errorf("emerged %v", stats.Emerged)
	}
}

// TestSenderBesideThePacket: two senders of equal packets are told apart, whoever was first.
func TestSenderBesideThePacket(t *testing.T) {
	b := newLinkBed(t, nil, admitClients)
	raw := func() []byte { return b.udp("10.0.1.5", 999, "10.9.1.4", 53) }
	for i, step := range []struct {
		sender *fabric.ENI
		want   string
	}{{b.Firewall, ""}, {b.Client, "db"}} {
		if got := b.emerge(b.data.Far, step.sender, raw()); got != step.want {
			t.Errorf("packet %d, of %s: came to %q, want %q", i, step.sender.Name, got, step.want)
		}
	}
	if got := b.reasons(tupleOf(t, raw())); !slices.Equal(got, []flow.Reason{flow.SGRulesMismatch}) {
		t.Errorf("told %v", got)
	}
	// What is tracked passes, whoever sends it: a tracked connection is its addresses and ports.
	if got := b.emerge(b.data.Far, b.Firewall, raw()); got != "db" {
		t.Errorf("in the tracked connection: came to %q", got)
	}
}

// TestMemberBehindALinkIsReviewed: a change judges a connection by who really sends it.
func TestMemberBehindALinkIsReviewed(t *testing.T) {
	b := newLinkBed(t, nil, admitClients)
	if got := b.emerge(b.data.Far, b.Client, b.udp("10.0.1.5", 999, "10.9.1.4", 53)); got != "db" {
		t.Fatalf("came to %q", got)
	}
	b.change(func(*fabrictest.Bed) { b.data.Generation++ })
	if got := b.emerge(b.data.Far, b.Client, b.udp("10.0.1.5", 999, "10.9.1.4", 53)); got != "db" {
		t.Errorf("after a change that concerns nobody: came to %q", got)
	}
	// Its tracked connection lives on without the rule; a new one needs it.
	b.change(func(*fabrictest.Bed) { b.data.Group.Ingress = nil; b.data.Generation++ })
	if got := b.emerge(b.data.Far, b.Client, b.udp("10.0.1.5", 999, "10.9.1.4", 53)); got != "db" {
		t.Errorf("tracked: came to %q", got)
	}
	if got := b.emerge(b.data.Far, b.Client, b.udp("10.0.1.5", 1000, "10.9.1.4", 53)); got != "" {
		t.Errorf("new: came to %q", got)
	}
}

// TestLostByALink: what a link loses was not delivered, and is told where it is known.
func TestLostByALink(t *testing.T) {
	b := newLinkBed(t, nil, admitClients)
	raw := b.udp("10.0.1.5", 999, "10.9.1.4", 53)
	for range 3 {
		b.expect("into the link", b.Client, slices.Clone(raw), "peering.app-data")
	}
	b.engine.LostByLink(b.now, b.data.Near.Attachment, b.Client.Attachment, flow.LinkLoss, len(raw), raw)
	b.engine.LostByLink(b.now, b.data.Near.Attachment, b.Client.Attachment, flow.LinkBroken, len(raw), nil)
	if got := b.engine.Stats().Delivered[b.Client.Attachment]; got != (Count{1, uint64(len(raw))}) {
		t.Errorf("delivered %v, want one packet", got)
	}
	for _, reason := range []flow.Reason{flow.LinkLoss, flow.LinkBroken} {
		if got := b.mem.Drop(b.Client.Attachment, reason).Read(); got.Packets != 1 || got.Bytes != uint64(len(raw)) {
			t.Errorf("%s: counted %+v", reason, got)
		}
	}
	drops := b.engine.Drops(0, tupleOf(t, raw))
	if len(drops) != 1 || drops[0].Path.Reason != flow.LinkLoss || drops[0].Path.At() != "peering.app-data" {
		t.Errorf("told %+v", drops)
	} else if before := drops[0].Before; len(before) == 0 || before[0].At() != "client/send" || before[len(before)-1].At() != "client/route" {
		t.Errorf("the way to the link: %v", before)
	} else if before[1].Tracked || before[1].SG == nil {
		t.Errorf("told of the track that the packet left itself, and not of its rule: %+v", before[1])
	}
	if b.engine.Delivered(0, tupleOf(t, raw)) {
		t.Error("what only entered the link counts as arrived")
	}
	b.emerge(b.data.Far, b.Client, raw)
	if !b.engine.Delivered(0, tupleOf(t, raw)) {
		t.Error("what came out of the link does not count as arrived")
	}
}

// TestLinksAreNotOffloaded: eBPF knows no link, neither to nor from one.
func TestLinksAreNotOffloaded(t *testing.T) {
	off := &cache{entries: map[flow.Key]flow.Entry{}, generations: map[uint32]uint32{}}
	b := newLinkBed(t, off, admitClients)
	for range 2 {
		b.cross(b.Client, b.udp("10.0.1.5", 999, "10.9.1.4", 53))
		b.cross(b.data.DB, b.udp("10.9.1.4", 53, "10.0.1.5", 999))
		b.emerge(b.data.Far, b.Firewall, b.udp("10.0.1.5", 1000, "10.9.1.4", 53)) // refused
	}
	if len(off.entries) != 0 {
		t.Errorf("offloaded: %v", off.entries)
	}
}
