package engine

import (
	"slices"
	"testing"
	"time"

	"github.com/vpclab/vpclab/dataplane/fabric/fabrictest"
	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/netdev"
	"github.com/vpclab/vpclab/dataplane/packet"
)

func withServices(b *fabrictest.Bed) { b.AddServices() }

// An interface may send 1024 packets a second to what the VPC itself answers; another interface has an allowance of its own.
func TestLinkLocalAllowance(t *testing.T) {
	b := newBed(t, withServices)
	query := func() []byte { return b.udp("10.0.1.5", 5000, "10.0.0.2", 53) }
	atOnce := func() (delivered int) {
		packets, out := make([][]byte, 2*allowanceRate), make([]uint32, 2*allowanceRate)
		for i := range packets {
			packets[i] = query()
		}
		b.engine.Handle(b.now, b.Client.Attachment, packets, out)
		for _, to := range out {
			if to == b.Network.Services.Attachment {
				delivered++
			}
		}
		return delivered
	}
	if n := atOnce(); n != allowanceRate {
		t.Errorf("%d queries are delivered", n)
	}
	if got := b.reasons(tupleOf(t, query())); len(got) == 0 || got[0] != flow.LinkLocalAllowance {
		t.Errorf("reasons %v", got)
	}
	b.expect("another interface's", b.Web, b.udp("10.0.0.10", 5000, "10.0.0.2", 53), "services")
	b.wait(time.Second)
	if n := atOnce(); n != allowanceRate {
		t.Errorf("%d queries are delivered a second later", n)
	}
	if n := len(b.engine.flows) + len(b.engine.tracks); n != 0 {
		t.Errorf("%d flows and tracks are remembered of queries", n)
	}
}

func TestDirectAnswersNeedNoAllowance(t *testing.T) {
	b := newBed(t, withServices)
	services := b.Network.Services.Attachment
	for range 3 * allowanceRate {
		if got, raw := b.sendFrom(services, b.udp("100.96.0.1", 53, "100.64.0.1", 5000)); got != "client" ||
			tupleOf(t, raw).String() != "udp 10.0.0.2:53 > 10.0.1.5:5000" {
			t.Fatalf("delivered to %q as %s", got, tupleOf(t, raw))
		}
	}
}

// An interface endpoint forgets a connection after 350 s, and says so; before, it does not.
func TestEndpointForgetsAfter350Seconds(t *testing.T) {
	b := newBed(t, withServices)
	services := b.Network.Services.Attachment
	data := func() []byte { return b.tcp("10.0.0.10", 40000, "10.0.1.9", 443, ack) }
	b.expect("SYN", b.Web, b.tcp("10.0.0.10", 40000, "10.0.1.9", 443, syn), "services")
	if got, _ := b.sendFrom(services, b.tcp("100.96.0.5", 443, "100.64.0.2", 40000, synAck)); got != "web" {
		t.Fatalf("SYN-ACK delivered to %q", got)
	}
	b.expect("ACK", b.Web, data(), "services")
	b.engine.Advance(b.now, 349*time.Second)
	b.expect("data after 349 s", b.Web, data(), "services")
	b.engine.Advance(b.now, 351*time.Second)
	out := []uint32{0}
	emitted := b.engine.Handle(b.now, b.Web.Attachment, [][]byte{data()}, out)
	if out[0] != 0 || len(emitted) != 1 || emitted[0].Out != b.Web.Attachment {
		t.Fatalf("delivered to %d, emitted %+v, reasons %v", out[0], emitted, b.reasons(tupleOf(t, data())))
	}
	var info packet.Info
	if !packet.Decode(emitted[0].Frame[netdev.Headroom:], &info) || info.TCPFlags&flow.RST == 0 || info.Tuple.String() != "tcp 10.0.1.9:443 > 10.0.0.10:40000" {
		t.Errorf("the client receives %v flags %x", info.Tuple, info.TCPFlags)
	}
	if got := b.reasons(tupleOf(t, data())); len(got) == 0 || got[len(got)-1] != flow.NoTrackedConnection {
		t.Errorf("reasons %v", got)
	}
}

// Path MTU discovery does not work through an interface endpoint, and does work through a gateway.
func TestEndpointDropsTooBigInSilence(t *testing.T) {
	b := newBed(t, withServices)
	send := func(size int) (uint32, int) {
		out := []uint32{0}
		emitted := b.engine.Handle(b.now, b.Web.Attachment, [][]byte{b.tcpSized("10.0.0.10", 40000, "10.0.1.9", 443, syn, size-40)}, out)
		return out[0], len(emitted)
	}
	if out, emitted := send(8501); out != 0 || emitted != 0 {
		t.Errorf("8501 bytes: delivered to %d, %d packets in answer", out, emitted)
	}
	if got := b.reasons(flow.MakeTuple(flow.TCP, fabrictest.Addr("10.0.0.10"), 40000, fabrictest.Addr("10.0.1.9"), 443)); len(got) != 1 || got[0] != flow.MTUExceeded {
		t.Errorf("reasons %v", got)
	}
	if out, _ := send(8500); out != b.Network.Services.Attachment {
		t.Errorf("8500 bytes: delivered to %d", out)
	}
	if out, emitted := send(8501); out != 0 || emitted != 0 {
		t.Errorf("8501 bytes of a known flow, which may be cut: delivered to %d, %d packets in answer", out, emitted)
	}
}

// The fast path lowers nobody's MSS, so that it is told to leave SYNs through an endpoint to the engine.
func TestSYNsThroughAnEndpointAreTheEngines(t *testing.T) {
	fast := &cache{entries: map[flow.Key]flow.Entry{}, generations: map[uint32]uint32{}}
	b := newBedWith(t, withServices, fast, 1024)
	services := b.Network.Services.Attachment
	for _, packet := range []struct {
		name       string
		from       uint32
		raw        []byte
		deliversTo string
	}{
		{"SYN", b.Web.Attachment, b.tcp("10.0.0.10", 40000, "10.0.1.9", 443, syn), "services"},
		{"SYN-ACK", services, b.tcp("100.96.0.5", 443, "100.64.0.2", 40000, synAck), "web"},
	} {
		if got, _ := b.sendFrom(packet.from, packet.raw); got != packet.deliversTo || len(fast.entries) != 2 {
			t.Errorf("%s is delivered to %q, then %d flows are offloaded", packet.name, got, len(fast.entries))
		}
		for key, e := range fast.entries {
			if !e.LowersMSS {
				t.Errorf("%s: the fast path may have SYNs of %v", packet.name, key)
			}
		}
	}
}

// An endpoint that goes and comes again is another one for the service: what that still sends to a client of the old one is dropped, and told
// of the client's connection, which has gone on to the new one meanwhile.
func TestAnswersThroughAnEndpointThatIsGone(t *testing.T) {
	b := newBed(t, withServices)
	services := b.Network.Services
	answer := func(flags uint8, want string) {
		t.Helper()
		if got, _ := b.sendFrom(services.Attachment, b.tcp("100.96.0.4", 443, "100.64.0.1", 40000, flags)); got != want {
			t.Errorf("the answer is delivered to %q, want %q", got, want)
		}
	}
	asked := tupleOf(t, b.tcp("10.0.1.5", 40000, "52.216.0.1", 443, syn))
	b.expect("SYN", b.Client, b.tcp("10.0.1.5", 40000, "52.216.0.1", 443, syn), "services")
	answer(synAck, "client")
	b.change(func(b *fabrictest.Bed) {
		p := services.Portals[fabrictest.Addr("100.96.0.4")]
		delete(services.Portals, p.Inside)
		p.Inside = fabrictest.Addr("100.96.0.9")
		services.Portals[p.Inside] = p
	})
	answer(ack, "")
	if got := b.reasons(asked); !slices.Equal(got, []flow.Reason{flow.ServiceSourceUnknown}) {
		t.Errorf("the client's connection: %v", got)
	}
}
