package engine

import (
	"slices"
	"testing"
	"time"

	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/fabric/fabrictest"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// These are differences that TestEngineEqualsReference found, one by one.

func TestRefusalEndsWithAConnection(t *testing.T) {
	b := newBed(t, func(b *fabrictest.Bed) { b.ClientGroup.Ingress = nil })
	answer := func() []byte { return b.udp("10.0.0.11", 53, "10.0.1.5", 5000) }
	b.expect("what nobody asked for", b.X, answer(), "")
	b.expect("the question", b.Client, b.udp("10.0.1.5", 5000, "10.0.0.11", 53), "x")
	b.expect("the answer, at once", b.X, answer(), "client")
}

func TestNATRefusalEndsWithATranslation(t *testing.T) {
	b := newBed(t, throughNAT)
	b.fromHost("what nobody asked for", b.udp("203.0.113.5", 53, "198.51.100.7", 1024), "")
	b.expect("the question", b.Client, b.udp("10.0.1.5", 5000, "203.0.113.5", 53), "example")
	b.fromHost("the answer, at once", b.udp("203.0.113.5", 53, "198.51.100.7", 1024), "client")
}

func TestRefusedSYNLeavesTheOldConnection(t *testing.T) {
	b := newBed(t, admitSSH)
	b.handshake(40000)
	b.change(func(b *fabrictest.Bed) { b.WebGroup.Ingress = nil })
	b.expect("a SYN on its ports, that no rule admits", b.Client, b.tcp("10.0.1.5", 40000, "10.0.0.10", 22, syn), "")
	b.expect("data of the old connection", b.Client, b.tcp("10.0.1.5", 40000, "10.0.0.10", 22, ack), "web")
}

// TestSimultaneousOpen: a SYN that crosses a SYN belongs to its connection (RFC 9293, section 3.5).
func TestSimultaneousOpen(t *testing.T) {
	b := newBed(t, func(b *fabrictest.Bed) { b.ClientGroup.Ingress = nil })
	b.expect("SYN, that web's group refuses", b.Client, b.tcp("10.0.1.5", 40000, "10.0.0.10", 80, syn), "")
	b.expect("SYN the other way", b.Web, b.tcp("10.0.0.10", 80, "10.0.1.5", 40000, syn), "client")
}

func TestUDPBeginsAnewAfterItsEnd(t *testing.T) {
	b := newBed(t, func(b *fabrictest.Bed) { b.ClientGroup.Ingress = nil })
	exchange := func() {
		b.t.Helper()
		b.expect("question", b.Client, b.udp("10.0.1.5", 5000, "10.0.0.11", 53), "x")
		b.expect("answer", b.X, b.udp("10.0.0.11", 53, "10.0.1.5", 5000), "client")
	}
	exchange()
	exchange()
	b.wait(181 * time.Second)
	exchange()
	b.wait(31 * time.Second)
	b.expect("an answer after 31 s, since one exchange is no stream", b.X, b.udp("10.0.0.11", 53, "10.0.1.5", 5000), "")
}

// TestOddPingIsRemembered: a message whose code keeps it out of the flows is part of a connection like any other.
func TestOddPingIsRemembered(t *testing.T) {
	b := newBed(t, func(b *fabrictest.Bed) { b.ClientGroup.Ingress = nil })
	odd := b.echo("10.0.1.5", "10.0.0.11", 8, 9)
	odd[21], odd[23] = 5, odd[23]-5
	b.expect("echo request with code 5", b.Client, odd, "x")
	b.expect("its reply", b.X, b.echo("10.0.0.11", "10.0.1.5", 0, 9), "client")
}

func TestEgressOnlyGatewayRemembersAcrossChanges(t *testing.T) {
	b := newBed(t, (*fabrictest.Bed).EgressOnly)
	b.expect("SYN", b.X, b.tcp("2001:db8:a::11", 40000, "2001:db8:cafe::5", 80, syn), "example")
	b.change(func(b *fabrictest.Bed) { b.ClientGroup.Ingress = nil })
	b.fromHost("SYN-ACK after a change elsewhere", b.tcp("2001:db8:cafe::5", 80, "2001:db8:a::11", 40000, synAck), "x")
}

func TestEgressOnlyGatewayForgetsInRealTime(t *testing.T) {
	b := newBed(t, (*fabrictest.Bed).EgressOnly)
	for range 2 { // the second time the gateway finds a connection that ended
		b.expect("SYN", b.X, b.tcp("2001:db8:a::11", 40000, "2001:db8:cafe::5", 80, syn), "example")
		b.fromHost("SYN-ACK", b.tcp("2001:db8:cafe::5", 80, "2001:db8:a::11", 40000, synAck), "x")
		b.wait(61 * time.Second)
	}
}

// TestPredictionBeginsNothing: the way of an answer that nobody has sent takes no port and no place in a gateway.
func TestPredictionBeginsNothing(t *testing.T) {
	b := newBed(t, func(b *fabrictest.Bed) {
		b.Route(b.Public, "10.0.1.0/24", fabric.ToNATGateway, b.NATGateway("m", b.Middle, [2]string{"10.0.2.220", ""}))
		b.ClientGroup.Ingress = []fabric.SGRule{fabrictest.From(fabrictest.Anything, "10.0.0.0/16")}
	})
	b.expect("UDP whose answer would pass a NAT gateway", b.Client, b.udp("10.0.1.5", 5000, "10.0.0.11", 53), "x")
	if n := len(b.engine.nat.inside); n != 0 {
		t.Errorf("%d translations", n)
	}
}

func TestNATPacketDoesNotAnswerItself(t *testing.T) {
	b := newBed(t, throughNAT)
	own := b.udp("10.0.1.5", 5000, "198.51.100.7", 1024)
	b.expect("to the gateway's own address, and the very port that it is given", b.Client, own, "")
	if got := b.reasons(tupleOf(t, b.udp("10.0.1.5", 5000, "198.51.100.7", 1024))); !slices.Equal(got, []flow.Reason{flow.NATInbound}) {
		t.Errorf("reasons %v", got)
	}
}

// TestGroupsRememberWhatTheACLRefuses: groups come first, and know the connection.
func TestGroupsRememberWhatTheACLRefuses(t *testing.T) {
	b := newBed(t, func(b *fabrictest.Bed) { b.Private.ACL = &fabric.ACL{Name: "deny"}; b.ClientGroup.Ingress = nil })
	b.expect("SYN", b.Client, b.tcp("10.0.1.5", 40000, "10.0.0.11", 80, syn), "")
	b.engine.Mark(b.now)
	data := b.tcp("10.0.1.5", 40000, "10.0.0.11", 80, ack)
	b.expect("data", b.Client, data, "")
	if got := b.reasons(tupleOf(t, data)); got[len(got)-1] != flow.ACLRestriction {
		t.Errorf("reasons %v", got)
	}
}

// TestFastPathNeedsTheWholeConnection: a flow whose pair of slots does not tell its connection's state stays with the engine.
func TestFastPathNeedsTheWholeConnection(t *testing.T) {
	for _, test := range []struct {
		name      string
		change    func(*fabrictest.Bed)
		offloaded bool
	}{
		{"both directions directly", func(*fabrictest.Bed) {}, true},
		{"one direction by an appliance", func(b *fabrictest.Bed) { b.Route(b.Private, "10.0.0.0/24", fabric.ToENI, b.Firewall) }, false},
	} {
		fast := &cache{entries: map[flow.Key]flow.Entry{}, generations: map[uint32]uint32{}}
		b := newBedWith(t, test.change, fast, 1024)
		request, answer := b.tcp("10.0.1.5", 40000, "10.0.0.11", 80, syn), b.tcp("10.0.0.11", 80, "10.0.1.5", 40000, synAck)
		if !test.offloaded {
			b.expect("SYN to the appliance", b.Client, slices.Clone(request), "firewall")
			b.expect("SYN from it", b.Firewall, slices.Clone(request), "x")
		} else {
			b.expect("SYN", b.Client, slices.Clone(request), "x")
		}
		b.expect("SYN-ACK", b.X, slices.Clone(answer), "client")
		if _, held := fast.entries[flow.Key{Attachment: b.X.Attachment, Tuple: tupleOf(t, answer)}]; held != test.offloaded {
			t.Errorf("%s: the fast path holds the answer: %v", test.name, held)
		}
	}
}

// TestFastPathDoesNotCountARefusedAnswer: the slot of an answer that was refused, and whose record is gone since, says nothing of the
// connection.
func TestFastPathDoesNotCountARefusedAnswer(t *testing.T) {
	fast := &cache{entries: map[flow.Key]flow.Entry{}, generations: map[uint32]uint32{}}
	b := newBedWith(t, func(b *fabrictest.Bed) {
		b.Public.ACL = &fabric.ACL{Name: "out only", Egress: b.Public.ACL.Egress}
		b.Other.Ingress = nil
	}, fast, 1024)
	request := b.tcp("10.0.0.11", 40000, "203.0.113.5", 80, syn)
	key := flow.Key{Attachment: b.X.Attachment, Tuple: tupleOf(t, request)}
	b.expect("SYN", b.X, request, "example")
	b.fromHost("SYN-ACK", b.tcp("203.0.113.5", 80, "198.51.100.11", 40000, synAck), "")
	b.wait(2 * dropTTL)
	b.engine.Sweep(b.now)
	b.expect("ACK", b.X, b.tcp("10.0.0.11", 40000, "203.0.113.5", 80, ack), "example")
	if _, held := fast.entries[key]; held {
		t.Error("the fast path holds a flow whose state it would take for established")
	}
	b.wait(61 * time.Second)
	b.expect("data after a half-open connection's limit", b.X, b.tcp("10.0.0.11", 40000, "203.0.113.5", 80, ack), "")
}
