package engine

import (
	"slices"
	"testing"
	"time"

	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/fabric/fabrictest"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// admitSSH lets one network reach web's port 22, tracked, and nothing out.
func admitSSH(b *fabrictest.Bed) {
	b.WebGroup.Ingress = []fabric.SGRule{fabrictest.From(fabrictest.Port(flow.TCP, 22), "10.0.1.0/24")}
	b.WebGroup.Egress = nil
}

// openSSH lets everybody reach web's port 22 and everything out, so that AWS does not track it.
func openSSH(b *fabrictest.Bed) {
	b.WebGroup.Ingress = []fabric.SGRule{fabrictest.From(fabrictest.Port(flow.TCP, 22), "0.0.0.0/0")}
}

// handshake opens a connection from client to web's port 22.
func (b *bed) handshake(sport uint16) {
	b.t.Helper()
	b.expect("SYN", b.Client, b.tcp("10.0.1.5", sport, "10.0.0.10", 22, syn), "web")
	b.expect("SYN-ACK", b.Web, b.tcp("10.0.0.10", 22, "10.0.1.5", sport, synAck), "client")
	b.expect("ACK", b.Client, b.tcp("10.0.1.5", sport, "10.0.0.10", 22, ack), "web")
}

func TestTrackedConnectionOutlivesItsRule(t *testing.T) {
	b := newBed(t, admitSSH)
	b.handshake(40000)
	b.change(func(b *fabrictest.Bed) { b.WebGroup.Ingress = nil })
	b.expect("data after the rule is gone", b.Client, b.tcp("10.0.1.5", 40000, "10.0.0.10", 22, ack), "web")
	b.expect("its answer", b.Web, b.tcp("10.0.0.10", 22, "10.0.1.5", 40000, ack), "client")
	fresh := b.tcp("10.0.1.5", 40001, "10.0.0.10", 22, syn)
	b.expect("a new connection", b.Client, fresh, "")
	if got := b.reasons(tupleOf(t, fresh)); !slices.Equal(got, []flow.Reason{flow.SGRulesMismatch}) {
		t.Errorf("reasons %v", got)
	}
}

func TestUntrackedConnectionIsCutWithItsRule(t *testing.T) {
	b := newBed(t, openSSH)
	b.handshake(40000)
	b.change(func(b *fabrictest.Bed) { b.WebGroup.Ingress = nil })
	data := b.tcp("10.0.1.5", 40000, "10.0.0.10", 22, ack)
	b.expect("data after the rule is gone", b.Client, data, "")
	if got := b.reasons(tupleOf(t, data)); !slices.Equal(got, []flow.Reason{flow.SGRulesMismatch}) {
		t.Errorf("reasons %v", got)
	}
}

func TestUntrackedConnectionBecomesTracked(t *testing.T) {
	b := newBed(t, openSSH)
	b.handshake(40000)
	b.change(func(b *fabrictest.Bed) { b.WebGroup.Egress = nil })
	b.expect("an answer without an egress rule", b.Web, b.tcp("10.0.0.10", 22, "10.0.1.5", 40000, ack), "client")
	b.expect("a new connection outwards", b.Web, b.tcp("10.0.0.10", 40000, "10.0.1.5", 22, syn), "")
	b.change(func(b *fabrictest.Bed) { b.WebGroup.Ingress = nil })
	b.expect("data, now tracked, without any rule", b.Client, b.tcp("10.0.1.5", 40000, "10.0.0.10", 22, ack), "web")
}

func TestACLCutsATrackedConnection(t *testing.T) {
	b := newBed(t, admitSSH)
	b.handshake(40000)
	b.change(func(b *fabrictest.Bed) { b.Public.ACL = &fabric.ACL{Name: "deny"} })
	data := b.tcp("10.0.1.5", 40000, "10.0.0.10", 22, ack)
	b.expect("data", b.Client, data, "")
	if got := b.reasons(tupleOf(t, data)); !slices.Equal(got, []flow.Reason{flow.ACLRestriction}) {
		t.Errorf("reasons %v", got)
	}
	b.change(func(b *fabrictest.Bed) { b.Public.ACL = b.Private.ACL })
	b.expect("data when the ACL allows it again", b.Client, b.tcp("10.0.1.5", 40000, "10.0.0.10", 22, ack), "web")
}

func TestIdleConnectionEnds(t *testing.T) {
	tests := []struct {
		name  string
		setup func(*bed)
		data  func(*bed) []byte
		limit time.Duration
		want  flow.Reason
	}{
		{"established TCP", func(b *bed) { b.handshake(40000) }, func(b *bed) []byte { return b.tcp("10.0.1.5", 40000, "10.0.0.10", 22, ack) },
			432000 * time.Second, flow.NoTrackedConnection},
		{"TCP after RST", func(b *bed) {
			b.handshake(40000)
			b.expect("RST", b.Web, b.tcp("10.0.0.10", 22, "10.0.1.5", 40000, rst), "client")
		}, func(b *bed) []byte { return b.tcp("10.0.1.5", 40000, "10.0.0.10", 22, ack) }, 10 * time.Second, flow.NoTrackedConnection},
		{"TCP after both sides' FIN", func(b *bed) {
			b.handshake(40000)
			b.expect("FIN", b.Web, b.tcp("10.0.0.10", 22, "10.0.1.5", 40000, finAck), "client")
			b.expect("FIN", b.Client, b.tcp("10.0.1.5", 40000, "10.0.0.10", 22, finAck), "web")
		}, func(b *bed) []byte { return b.tcp("10.0.1.5", 40000, "10.0.0.10", 22, ack) }, 10 * time.Second, flow.NoTrackedConnection},
		{"half-open TCP", func(b *bed) {
			b.expect("SYN", b.Client, b.tcp("10.0.1.5", 40000, "10.0.0.10", 22, syn), "web")
		}, func(b *bed) []byte { return b.tcp("10.0.1.5", 40000, "10.0.0.10", 22, ack) }, 60 * time.Second, flow.NoTrackedConnection},
	}
	for _, test := range tests {
		for _, way := range []struct {
			name string
			pass func(*bed, time.Duration)
		}{
			{"by advance", func(b *bed, d time.Duration) { b.engine.Advance(b.now, d) }},
			{"by real time", func(b *bed, d time.Duration) { b.wait(d) }},
			{"by real time with sweeps", func(b *bed, d time.Duration) { b.wait(d); b.engine.Sweep(b.now) }},
		} {
			t.Run(test.name+" "+way.name, func(t *testing.T) {
				b := newBed(t, admitSSH)
				test.setup(b)
				way.pass(b, test.limit-time.Second)
				b.expect("just before the limit", b.Client, test.data(b), "web")
				way.pass(b, test.limit+time.Second)
				data := test.data(b)
				b.expect("after the limit", b.Client, data, "")
				if got := b.reasons(tupleOf(t, data)); len(got) == 0 || got[0] != test.want {
					t.Errorf("reasons %v, want %v", got, test.want)
				}
			})
		}
	}
}

func TestUDPStreamLivesLongerThanASingleExchange(t *testing.T) {
	b := newBed(t, func(b *fabrictest.Bed) { b.ClientGroup.Ingress = nil })
	ask := func() { b.expect("question", b.Client, b.udp("10.0.1.5", 5000, "10.0.0.11", 53), "x") }
	answer := func(want string) {
		b.t.Helper()
		b.expect("answer", b.X, b.udp("10.0.0.11", 53, "10.0.1.5", 5000), want)
	}
	ask()
	answer("client")
	b.engine.Advance(b.now, 31*time.Second)
	answer("")
	b.engine.Mark(b.now)
	for range 2 {
		ask()
		answer("client")
	}
	b.engine.Advance(b.now, 170*time.Second)
	answer("client")
	b.engine.Advance(b.now, 181*time.Second)
	answer("")
}

func TestSYNReusesThePortsOfAnEndedConnection(t *testing.T) {
	b := newBed(t, admitSSH)
	b.handshake(40000)
	b.expect("RST", b.Client, b.tcp("10.0.1.5", 40000, "10.0.0.10", 22, rst), "web")
	b.handshake(40000)
	b.change(func(b *fabrictest.Bed) { b.WebGroup.Ingress = nil })
	b.expect("data of the second connection", b.Client, b.tcp("10.0.1.5", 40000, "10.0.0.10", 22, ack), "web")
	b.expect("a third, that no rule admits", b.Client, b.tcp("10.0.1.5", 40000, "10.0.0.10", 22, syn), "")
}

func TestRepeatedSYNBelongsToItsConnection(t *testing.T) {
	b := newBed(t, admitSSH)
	for range 3 {
		b.expect("SYN", b.Client, b.tcp("10.0.1.5", 40000, "10.0.0.10", 22, syn), "web")
	}
	if s := b.engine.Stats(); s.Flows != 2 || s.Tracks != 2 {
		t.Errorf("%d flows and %d tracks, want 2 and 2", s.Flows, s.Tracks)
	}
}

func TestCrossingPingsDoNotShare(t *testing.T) {
	b := newBed(t, func(b *fabrictest.Bed) {
		b.ClientGroup.Ingress = []fabric.SGRule{fabrictest.From(fabrictest.Anything, "10.0.0.0/16")}
	})
	b.expect("x pings client", b.X, b.echo("10.0.0.11", "10.0.1.5", 8, 7), "client")
	b.expect("client pings x with the same id", b.Client, b.echo("10.0.1.5", "10.0.0.11", 8, 7), "x")
	if s := b.engine.Stats(); s.Flows != 4 || s.Tracks != 4 {
		t.Errorf("%d flows and %d tracks, want 4 and 4", s.Flows, s.Tracks)
	}
}

// TestOneWayThroughAnAppliance: the appliance sees one direction; the far ends still know the connection by its addresses and ports.
func TestOneWayThroughAnAppliance(t *testing.T) {
	b := newBed(t, func(b *fabrictest.Bed) {
		b.Route(b.Private, "10.0.0.0/24", fabric.ToENI, b.Firewall)
		b.ClientGroup.Ingress = nil
	})
	request := b.tcp("10.0.1.5", 40000, "10.0.0.11", 80, syn)
	b.expect("SYN to the appliance", b.Client, slices.Clone(request), "firewall")
	b.expect("SYN from the appliance", b.Firewall, slices.Clone(request), "x")
	b.expect("SYN-ACK, directly", b.X, b.tcp("10.0.0.11", 80, "10.0.1.5", 40000, synAck), "client")
	b.engine.Advance(b.now, 59*time.Second)
	b.expect("ACK to the appliance", b.Client, b.tcp("10.0.1.5", 40000, "10.0.0.11", 80, ack), "firewall")
	b.expect("ACK from the appliance", b.Firewall, b.tcp("10.0.1.5", 40000, "10.0.0.11", 80, ack), "x")
}

func TestDropsFollowAConnectionBehindAnAppliance(t *testing.T) {
	b := newBed(t, func(b *fabrictest.Bed) { b.Route(b.Private, "10.0.0.0/24", fabric.ToENI, b.Firewall) })
	request := b.tcp("10.0.1.5", 40000, "10.0.0.10", 80, syn)
	tuple := tupleOf(t, request)
	b.expect("SYN to the appliance", b.Client, slices.Clone(request), "firewall")
	if b.engine.Delivered(0, tuple) {
		t.Error("a packet that only reached the appliance counts as delivered")
	}
	b.expect("SYN from the appliance", b.Firewall, slices.Clone(request), "")
	if got := b.reasons(tuple); !slices.Equal(got, []flow.Reason{flow.SGRulesMismatch}) {
		t.Errorf("reasons %v", got)
	}
}

func TestDropsFollowAConnectionThroughTheGateway(t *testing.T) {
	b := newBed(t, func(b *fabrictest.Bed) {
		b.WebGroup.Ingress = []fabric.SGRule{fabrictest.From(fabrictest.Anything, "0.0.0.0/0")}
		b.Public.ACL = &fabric.ACL{Name: "in only", Ingress: b.Private.ACL.Ingress}
	})
	request := b.echo("203.0.113.5", "198.51.100.10", 8, 7)
	tuple := tupleOf(t, request)
	if got, _ := b.sendFrom(b.Example.Attachment, request); got != "web" {
		t.Fatalf("request delivered to %q", got)
	}
	if !b.engine.Delivered(0, tuple) {
		t.Error("a packet that reached its destination does not count as delivered")
	}
	b.expect("the answer", b.Web, b.echo("10.0.0.10", "203.0.113.5", 0, 7), "")
	if got := b.reasons(tuple); !slices.Equal(got, []flow.Reason{flow.ACLRestriction}) {
		t.Errorf("reasons %v", got)
	}
}

func TestGatewayTranslates(t *testing.T) {
	b := newBed(t, nil)
	got, raw := b.send(b.X, b.udp("10.0.0.11", 999, "203.0.113.5", 53))
	if want := "udp 198.51.100.11:999 > 203.0.113.5:53"; got != "example" || tupleOf(t, raw).String() != want {
		t.Fatalf("%q received %v, want %v", got, tupleOf(t, raw), want)
	}
	got, raw = b.sendFrom(b.Example.Attachment, b.unreachable("203.0.113.5", "198.51.100.11", raw))
	if got != "x" {
		t.Fatalf("the error went to %q", got)
	}
	if want := "udp 10.0.0.11:999 > 203.0.113.5:53"; tupleOf(t, raw[28:]).String() != want {
		t.Errorf("the error quotes %v, want %v", tupleOf(t, raw[28:]), want)
	}
}

func TestDroppedBeforeTheWalk(t *testing.T) {
	b := newBed(t, nil)
	expired := b.udp("10.0.0.11", 999, "10.0.0.12", 53)
	expired[8] = 0
	tests := []struct {
		name string
		raw  []byte
		want flow.Reason
	}{
		{"no TTL left", expired, flow.TTLExpired},
		{"garbage", []byte{0x45, 0}, flow.MalformedPacket},
		{"an empty packet", nil, flow.MalformedPacket},
		{"an ICMP error that quotes nothing", b.unreachable("10.0.0.11", "10.0.0.12", []byte{1, 2, 3}), flow.MalformedPacket},
	}
	for _, test := range tests {
		before := b.mem.Drop(b.X.Attachment, test.want).Read()
		b.expect(test.name, b.X, test.raw, "")
		if after := b.mem.Drop(b.X.Attachment, test.want).Read(); after.Packets != before.Packets+1 {
			t.Errorf("%s: not counted as %v", test.name, test.want)
		}
	}
}

// TestRefusalsDoNotKeepConnectionsOut: a flood of refused packets takes no slot that a wanted connection needs.
func TestRefusalsDoNotKeepConnectionsOut(t *testing.T) {
	b := newBedWith(t, admitSSH, nil, 64)
	for i := range uint16(1000) {
		b.expect("refused", b.Client, b.tcp("10.0.1.5", i, "10.0.0.10", 81, syn), "")
	}
	b.handshake(40000)
	if got := b.mem.Drop(b.Client.Attachment, flow.SGRulesMismatch).Read().Packets; got != 1000 {
		t.Errorf("%d drops counted, want 1000", got)
	}
}

// TestOversizedPacketDoesNotRefuseItsFlow: what depends on one packet is not remembered.
func TestOversizedPacketDoesNotRefuseItsFlow(t *testing.T) {
	b := newBed(t, nil)
	sized := func(payload int) []byte {
		raw := b.udpSized("10.0.0.11", 999, "203.0.113.5", 53, payload)
		raw[6] |= 0x40 // don't fragment
		fixIPv4Checksum(raw)
		return raw
	}
	large := sized(1473)
	b.expect("1501 bytes", b.X, large, "")
	if got := b.reasons(tupleOf(t, large)); !slices.Equal(got, []flow.Reason{flow.MTUExceeded}) {
		t.Errorf("reasons %v", got)
	}
	b.expect("1500 bytes", b.X, sized(1472), "example")
	b.expect("1501 bytes of a known flow", b.X, sized(1473), "")
}

func TestSYNDoesNotRideTheRefusalOfAStrayPacket(t *testing.T) {
	b := newBed(t, admitSSH)
	stray := b.tcp("10.0.1.5", 40000, "10.0.0.10", 22, ack)
	b.expect("a packet of no connection", b.Client, stray, "")
	if got := b.reasons(tupleOf(t, stray)); !slices.Equal(got, []flow.Reason{flow.NoTrackedConnection}) {
		t.Errorf("reasons %v", got)
	}
	b.handshake(40000)
}

// TestICMPCodeIsAsked: the code is no part of a flow, so each such message is judged by itself.
func TestICMPCodeIsAsked(t *testing.T) {
	b := newBed(t, func(b *fabrictest.Bed) {
		b.WebGroup.Ingress = []fabric.SGRule{fabrictest.From(fabric.Traffic{Protocol: flow.ICMP, ICMPType: 8, ICMPCode: 0}, "0.0.0.0/0")}
	})
	odd := b.echo("10.0.1.5", "10.0.0.10", 8, 9)
	odd[21], odd[23] = 5, odd[23]-5
	b.expect("code 0", b.Client, b.echo("10.0.1.5", "10.0.0.10", 8, 7), "web")
	b.expect("code 5", b.Client, odd, "")
}

// TestFloodDoesNotFillTheTracks: refused connections are remembered by the sender's interface only while there is room.
func TestFloodDoesNotFillTheTracks(t *testing.T) {
	b := newBedWith(t, admitSSH, nil, 64)
	for i := range uint16(1000) {
		b.expect("refused", b.Client, b.tcp("10.0.1.5", i, "10.0.0.10", 81, syn), "")
	}
	if s := b.engine.Stats(); s.Tracks > 64*3/4+1 {
		t.Errorf("%d tracks for 64 slots", s.Tracks)
	}
	b.handshake(40000)
}

func TestFullTableRefusesNewConnections(t *testing.T) {
	b := newBedWith(t, admitSSH, nil, 16)
	refused := 0
	for i := range uint16(20) {
		if got, _ := b.send(b.Client, b.tcp("10.0.1.5", i, "10.0.0.10", 22, syn)); got == "" {
			refused++
		}
	}
	if got := b.mem.Drop(b.Client.Attachment, flow.FlowTableFull).Read().Packets; refused != 13 || got != 13 {
		t.Errorf("%d refused, %d counted as FLOW_TABLE_FULL, want 13", refused, got)
	}
	b.engine.Advance(b.now, 61*time.Second)
	for range 4 {
		b.engine.Sweep(b.now)
	}
	b.handshake(40000)
}

// TestCountsBalance: every packet is in one count, delivered or dropped, also after its flow is gone.
func TestCountsBalance(t *testing.T) {
	b := newBed(t, admitSSH)
	sent := uint64(0)
	check := func(when string) {
		t.Helper()
		s := b.engine.Stats()
		total := s.Delivered[b.Client.Attachment].Packets
		for _, info := range flow.Reasons() {
			total += b.mem.Drop(b.Client.Attachment, info.Reason).Read().Packets
		}
		if total != sent {
			t.Errorf("%s: %d packets counted, %d sent", when, total, sent)
		}
	}
	for i := range uint16(50) {
		for _, port := range []uint16{22, 81} {
			b.send(b.Client, b.tcp("10.0.1.5", i, "10.0.0.10", port, syn))
			b.send(b.Client, b.tcp("10.0.1.5", i, "10.0.0.10", port, syn))
			sent += 2
		}
	}
	b.send(b.Client, []byte{1})
	sent++
	check("at once")
	b.engine.undelivered(b.Client.Attachment, []int{47})
	check("after a delivery failed")
	b.engine.Advance(b.now, 61*time.Second)
	for range 5 {
		b.wait(2 * time.Second)
		b.engine.Sweep(b.now)
		check("while flows end")
	}
	if s := b.engine.Stats(); s.Flows != 0 || s.Tracks != 0 {
		t.Errorf("%d flows and %d tracks are left", s.Flows, s.Tracks)
	}
}

func TestHandleDoesNotAllocateForKnownFlows(t *testing.T) {
	b := newBed(t, admitSSH)
	b.handshake(40000)
	raw := [][]byte{b.tcp("10.0.1.5", 40000, "10.0.0.10", 22, ack)}
	out := []uint32{0}
	if n := testing.AllocsPerRun(100, func() { b.engine.Handle(b.now, b.Client.Attachment, raw, out) }); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}

func BenchmarkHandleKnownFlow(bench *testing.B) {
	b := newBed(&testing.T{}, admitSSH)
	b.handshake(40000)
	raw := [][]byte{b.tcp("10.0.1.5", 40000, "10.0.0.10", 22, ack)}
	out := []uint32{0}
	for bench.Loop() {
		b.engine.Handle(b.now, b.Client.Attachment, raw, out)
	}
}

func BenchmarkHandleNewConnection(bench *testing.B) {
	b := newBedWith(&testing.T{}, admitSSH, nil, 1<<20)
	raw := b.tcp("10.0.1.5", 0, "10.0.0.10", 22, syn)
	out := []uint32{0}
	n := 0
	for bench.Loop() {
		raw[20], raw[21], raw[22] = byte(n>>8), byte(n), 0
		if n++; n%60000 == 0 {
			b.engine.Advance(b.now, time.Hour)
			for range 4 {
				b.engine.Sweep(b.now)
			}
		}
		b.engine.Handle(b.now, b.Client.Attachment, [][]byte{raw}, out)
	}
}
