package engine

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/fabric/fabrictest"
)

// sampled takes the samples of a bed since the last time, a line each: who saw which packets, how many of how many bytes.
func (b *bed) sampled() []string {
	var lines []string
	b.engine.Sample(b.now, func(samples []Sample) {
		for _, s := range samples {
			verdict := "REJECT"
			if s.Accept {
				verdict = "ACCEPT"
			}
			lines = append(lines, fmt.Sprintf("%s %s %s %s %d/%d flags %d path %d",
				b.Attachments[s.Attachment].Name(), s.Direction, s.Tuple, verdict, s.Packets, s.Bytes, s.Flags, s.TrafficPath))
		}
	})
	slices.Sort(lines)
	return lines
}

func (b *bed) wantSampled(what string, want ...string) {
	b.t.Helper()
	if got := b.sampled(); !slices.Equal(got, want) {
		b.t.Errorf("%s: sampled\n%q\nwant\n%q", what, got, want)
	}
}

func newSampledBed(t *testing.T, change func(*fabrictest.Bed)) *bed {
	b := newBed(t, change)
	b.engine.SetSampling(b.now, true)
	return b
}

func openWeb(b *fabrictest.Bed) {
	b.WebGroup.Ingress = []fabric.SGRule{fabrictest.From(fabrictest.Port(6, 80), "10.0.0.0/16")}
}

// TestSamples: each interface on the way sees each packet once, and each sample tells what is new.
func TestSamples(t *testing.T) {
	b := newSampledBed(t, openWeb)
	there := func(flags uint8) []byte { return b.tcp("10.0.1.5", 999, "10.0.0.10", 80, flags) }
	back := func(flags uint8) []byte { return b.tcp("10.0.0.10", 80, "10.0.1.5", 999, flags) }
	b.expect("SYN", b.Client, there(syn), "web")
	b.expect("SYN-ACK", b.Web, back(synAck), "client")
	b.expect("ACK", b.Client, there(ack), "web")
	b.wantSampled("the handshake",
		"client egress tcp 10.0.1.5:999 > 10.0.0.10:80 ACCEPT 2/94 flags 2 path 1",
		"client ingress tcp 10.0.0.10:80 > 10.0.1.5:999 ACCEPT 1/47 flags 18 path 0",
		"web egress tcp 10.0.0.10:80 > 10.0.1.5:999 ACCEPT 1/47 flags 18 path 1",
		"web ingress tcp 10.0.1.5:999 > 10.0.0.10:80 ACCEPT 2/94 flags 2 path 0",
	)
	b.wantSampled("nothing new")
	b.expect("data", b.Client, there(ack), "web")
	b.wantSampled("data",
		"client egress tcp 10.0.1.5:999 > 10.0.0.10:80 ACCEPT 1/47 flags 0 path 1",
		"web ingress tcp 10.0.1.5:999 > 10.0.0.10:80 ACCEPT 1/47 flags 0 path 0",
	)
	b.expect("FIN", b.Client, there(finAck), "web")
	b.expect("FIN back", b.Web, back(finAck), "client")
	// The flow ends, its slots rest and are read for the last time, before anybody asks.
	for range 10 {
		b.wait(5 * time.Second)
		b.engine.Sweep(b.now)
	}
	if flows := b.engine.Stats().Flows; flows != 0 {
		t.Fatalf("%d flows are left", flows)
	}
	b.wantSampled("the end",
		"client egress tcp 10.0.1.5:999 > 10.0.0.10:80 ACCEPT 1/47 flags 1 path 1",
		"client ingress tcp 10.0.0.10:80 > 10.0.1.5:999 ACCEPT 1/47 flags 1 path 0",
		"web egress tcp 10.0.0.10:80 > 10.0.1.5:999 ACCEPT 1/47 flags 1 path 1",
		"web ingress tcp 10.0.1.5:999 > 10.0.0.10:80 ACCEPT 1/47 flags 1 path 0",
	)
}

// TestSamplesOfRefusals: the interface that refuses says REJECT, and those before it ACCEPT; who drops by route says nothing.
func TestSamplesOfRefusals(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*fabrictest.Bed)
		from   string
		packet func(*bed) []byte
		want   []string
	}{
		{"by the receiver's groups", nil, "client", func(b *bed) []byte { return b.tcp("10.0.1.5", 999, "10.0.0.10", 22, syn) }, []string{
			"client egress tcp 10.0.1.5:999 > 10.0.0.10:22 ACCEPT 1/47 flags 2 path 1", "web ingress tcp 10.0.1.5:999 > 10.0.0.10:22 REJECT 1/47 flags 2 path 0",
		}},
		{"by the sender's ACL", func(b *fabrictest.Bed) { b.Private.ACL = &fabric.ACL{Name: "deny"} }, "client",
			func(b *bed) []byte { return b.tcp("10.0.1.5", 999, "10.0.0.10", 22, syn) }, []string{"client egress tcp 10.0.1.5:999 > 10.0.0.10:22 REJECT 1/47 flags 2 path 0"}},
		{"by the route table", nil, "client", func(b *bed) []byte { return b.udp("10.0.1.5", 999, "203.0.113.5", 53) },
			[]string{"client egress udp 10.0.1.5:999 > 203.0.113.5:53 ACCEPT 1/35 flags 0 path 0"}},
		{"of a service's address", nil, "client", func(b *bed) []byte { return b.udp("10.0.1.5", 999, "10.0.0.2", 53) }, nil},
		{"of a foreign source", nil, "client", func(b *bed) []byte { return b.udp("10.0.1.6", 999, "10.0.0.11", 53) }, nil},
	} {
		b := newSampledBed(t, test.change)
		if got, _ := b.send(b.named(test.from), test.packet(b)); got != "" {
			t.Errorf("%s: delivered to %s", test.name, got)
		}
		b.wantSampled(test.name, test.want...)
	}
}

func (b *bed) named(name string) *fabric.ENI {
	for _, a := range b.Attachments {
		if a != nil && a.ENI != nil && a.ENI.Name == name {
			return a.ENI
		}
	}
	b.t.Fatalf("no interface %s", name)
	return nil
}

// TestSamplesThroughNAT: the gateway's interface sees each packet twice, under two addresses.
func TestSamplesThroughNAT(t *testing.T) {
	b := newSampledBed(t, func(b *fabrictest.Bed) { b.ThroughNAT() })
	b.expect("out", b.Client, b.udp("10.0.1.5", 999, "203.0.113.5", 53), "example")
	if got, _ := b.sendFrom(b.Example.Attachment, b.udp("203.0.113.5", 53, "198.51.100.7", 1024)); got != "client" {
		t.Fatalf("the answer came to %q", got)
	}
	b.wantSampled("there and back",
		"client egress udp 10.0.1.5:999 > 203.0.113.5:53 ACCEPT 1/35 flags 0 path 1",
		"client ingress udp 203.0.113.5:53 > 10.0.1.5:999 ACCEPT 1/35 flags 0 path 0",
		"nat.out egress udp 10.0.0.220:1024 > 203.0.113.5:53 ACCEPT 1/35 flags 0 path 8",
		"nat.out egress udp 203.0.113.5:53 > 10.0.1.5:999 ACCEPT 1/35 flags 0 path 1",
		"nat.out ingress udp 10.0.1.5:999 > 203.0.113.5:53 ACCEPT 1/35 flags 0 path 0",
		"nat.out ingress udp 203.0.113.5:53 > 10.0.0.220:1024 ACCEPT 1/35 flags 0 path 0",
	)
}

// TestFamilyOfAnObservedConnection: it has the tuples that only the gateway's interface saw, and those of errors about it.
func TestFamilyOfAnObservedConnection(t *testing.T) {
	b := newSampledBed(t, func(b *fabrictest.Bed) { b.ThroughNAT() })
	b.expect("out", b.Client, b.udp("10.0.1.5", 999, "203.0.113.5", 53), "example")
	request := b.udp("198.51.100.7", 1024, "203.0.113.5", 53)
	if got, _ := b.sendFrom(b.Example.Attachment, b.unreachable("203.0.113.5", "198.51.100.7", request)); got != "client" {
		t.Fatalf("the error came to %q", got)
	}
	b.expect("another one", b.Client, b.udp("10.0.1.5", 998, "203.0.113.5", 53), "example")
	var got []string
	for tuple := range b.engine.Family(tupleOf(t, b.udp("10.0.1.5", 999, "203.0.113.5", 53))) {
		got = append(got, tuple.String())
	}
	slices.Sort(got)
	want := []string{
		"icmp type 3 203.0.113.5 > 10.0.0.220",
		"icmp type 3 203.0.113.5 > 10.0.1.5",
		"udp 10.0.0.220:1024 > 203.0.113.5:53",
		"udp 10.0.1.5:999 > 203.0.113.5:53",
		"udp 198.51.100.7:1024 > 203.0.113.5:53",
		"udp 203.0.113.5:53 > 10.0.0.220:1024",
		"udp 203.0.113.5:53 > 10.0.1.5:999",
		"udp 203.0.113.5:53 > 198.51.100.7:1024",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the family is\n%q\nwant\n%q", got, want)
	}
}

// TestFamilyOfADroppedSYN: one that is lost behind the gateway is no flow, and yet its outside belongs to it.
func TestFamilyOfADroppedSYN(t *testing.T) {
	b := newSampledBed(t, func(b *fabrictest.Bed) { b.ThroughNAT() })
	lost := b.tcp("10.0.1.5", 999, "203.0.113.99", 80, syn)
	sent := tupleOf(t, lost)
	b.expect("to nobody", b.Client, lost, "")
	outside := tupleOf(t, b.tcp("10.0.0.220", 1024, "203.0.113.99", 80, syn))
	if family := b.engine.Family(sent); !family[outside] || family[tupleOf(t, b.tcp("10.0.0.220", 1025, "203.0.113.99", 80, syn))] {
		t.Errorf("the family is %v, and %v is to be in it", family, outside)
	}
}

// TestProgress: it moves with each packet of the connection and no other, and knows when one side has closed alone.
func TestProgress(t *testing.T) {
	b := newSampledBed(t, openWeb)
	there := func(flags uint8) []byte { return b.tcp("10.0.1.5", 999, "10.0.0.10", 80, flags) }
	back := func(flags uint8) []byte { return b.tcp("10.0.0.10", 80, "10.0.1.5", 999, flags) }
	wants := func(what string, packets uint64, halfClosed bool) {
		t.Helper()
		if got, half := b.engine.Progress(tupleOf(t, there(syn))); got != packets || half != halfClosed {
			t.Errorf("%s: %d packets, half closed %t; want %d, %t", what, got, half, packets, halfClosed)
		}
	}
	wants("before", 0, false)
	b.expect("SYN", b.Client, there(syn), "web")
	b.expect("SYN-ACK", b.Web, back(synAck), "client")
	b.expect("ACK", b.Client, there(ack), "web")
	b.expect("of another connection", b.Client, b.tcp("10.0.1.5", 998, "10.0.0.10", 80, syn), "web")
	wants("open", 3, false)
	b.expect("FIN", b.Client, there(finAck), "web")
	wants("closed by one side", 4, true)
	b.expect("FIN back", b.Web, back(finAck), "client")
	wants("closed by both", 5, false)
}

// TestSamplesOfTheLastHop: a packet whose TTL ends at the gateway has come to its interface, and the gateway's error leaves by it.
func TestSamplesOfTheLastHop(t *testing.T) {
	b := newSampledBed(t, func(b *fabrictest.Bed) { b.ThroughNAT() })
	last := b.udp("10.0.1.5", 999, "203.0.113.5", 33434)
	last[8] = 1 // TTL
	out := []uint32{0}
	if emitted := b.engine.Handle(b.now, b.Client.Attachment, [][]byte{fixed(last)}, out); len(emitted) != 1 {
		t.Fatalf("%d packets are sent about one that has come too far", len(emitted))
	}
	b.wantSampled("time exceeded",
		"client egress udp 10.0.1.5:999 > 203.0.113.5:33434 ACCEPT 1/35 flags 0 path 1",
		"client ingress icmp type 11 10.0.0.220 > 10.0.1.5 ACCEPT 1/63 flags 0 path 0",
		"nat.out egress icmp type 11 10.0.0.220 > 10.0.1.5 ACCEPT 1/63 flags 0 path 1",
		"nat.out ingress udp 10.0.1.5:999 > 203.0.113.5:33434 ACCEPT 1/35 flags 0 path 0",
	)
}

// TestSamplesOfICMPErrors: an error is a packet of its own; the router's are not logged.
func TestSamplesOfICMPErrors(t *testing.T) {
	b := newSampledBed(t, openWeb)
	request := b.udp("10.0.0.10", 53, "10.0.0.11", 999)
	b.expect("a datagram", b.Web, slices.Clone(request), "x")
	b.expect("an error about it", b.X, b.unreachable("10.0.0.11", "10.0.0.10", request), "web")
	b.wantSampled("both",
		"web egress udp 10.0.0.10:53 > 10.0.0.11:999 ACCEPT 1/35 flags 0 path 1",
		"web ingress icmp type 3 10.0.0.11 > 10.0.0.10 ACCEPT 1/63 flags 0 path 0",
		"x egress icmp type 3 10.0.0.11 > 10.0.0.10 ACCEPT 1/63 flags 0 path 1",
		"x ingress udp 10.0.0.10:53 > 10.0.0.11:999 ACCEPT 1/35 flags 0 path 0",
	)
	large := b.udpSized("10.0.0.10", 53, "203.0.113.5", 999, 3000)
	large[6] |= 0x40 // don't fragment
	out := []uint32{0}
	if emitted := b.engine.Handle(b.now, b.Web.Attachment, [][]byte{fixed(large)}, out); len(emitted) != 1 {
		t.Fatalf("%d packets are sent about one that is too big", len(emitted))
	}
	b.wantSampled("too big", "web egress udp 10.0.0.10:53 > 203.0.113.5:999 ACCEPT 1/3028 flags 0 path 8")
}

// fixed gives a packet whose header was edited its checksum.
func fixed(b []byte) []byte {
	b[10], b[11] = 0, 0
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	b[10], b[11] = byte(^sum>>8), byte(^sum)
	return b
}

// TestSamplesOfAMovedFlow: what passed one way is told of that way's interfaces, and what passes another way of the other's.
func TestSamplesOfAMovedFlow(t *testing.T) {
	b := newSampledBed(t, nil)
	datagram := func() []byte { return b.udp("10.0.1.5", 999, "10.0.0.11", 53) }
	b.expect("straight", b.Client, datagram(), "x")
	b.change(func(bed *fabrictest.Bed) { bed.Route(bed.Private, "10.0.0.0/24", fabric.ToENI, bed.Firewall) })
	b.expect("by the appliance", b.Client, datagram(), "firewall")
	b.wantSampled("both ways",
		"client egress udp 10.0.1.5:999 > 10.0.0.11:53 ACCEPT 1/35 flags 0 path 1",
		"client egress udp 10.0.1.5:999 > 10.0.0.11:53 ACCEPT 1/35 flags 0 path 1",
		"firewall ingress udp 10.0.1.5:999 > 10.0.0.11:53 ACCEPT 1/35 flags 0 path 0",
		"x ingress udp 10.0.1.5:999 > 10.0.0.11:53 ACCEPT 1/35 flags 0 path 0",
	)
}

// TestSamplingBegins: what passed before is not told, and what comes after is, of flows that were there before, too.
func TestSamplingBegins(t *testing.T) {
	b := newBed(t, nil)
	datagram := func() []byte { return b.udp("10.0.1.5", 999, "10.0.0.11", 53) }
	b.expect("before", b.Client, datagram(), "x")
	b.wantSampled("before")
	b.engine.SetSampling(b.now, true)
	b.wantSampled("nothing since")
	b.expect("after", b.Client, datagram(), "x")
	b.wantSampled("since",
		"client egress udp 10.0.1.5:999 > 10.0.0.11:53 ACCEPT 1/35 flags 0 path 1",
		"x ingress udp 10.0.1.5:999 > 10.0.0.11:53 ACCEPT 1/35 flags 0 path 0",
	)
	b.engine.SetSampling(b.now, false)
	b.expect("at the end", b.Client, datagram(), "x")
	b.wantSampled("at the end")
}

// TestSamplesOfNAT64: bytes are those of the packet as each interface sees it.
func TestSamplesOfNAT64(t *testing.T) {
	if got := [3]uint64{100 + longer(4, 4), 100 + longer(6, 4), 100 + longer(4, 6)}; got != [3]uint64{100, 80, 120} {
		t.Errorf("100 bytes are %v", got)
	}
}
