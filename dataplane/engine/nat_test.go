package engine

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/fabric/fabrictest"
	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/netdev"
	"github.com/vpclab/vpclab/dataplane/packet"
)

func throughNAT(b *fabrictest.Bed) { b.ThroughNAT() }

// fromHost sends a packet from the internet host.
func (b *bed) fromHost(what string, raw []byte, want string) []byte {
	b.t.Helper()
	got, raw := b.sendFrom(b.Example.Attachment, raw)
	if got != want {
		b.t.Errorf("%s: delivered to %q, want %q", what, got, want)
	}
	return raw
}

func TestNATCarriesAConnection(t *testing.T) {
	b := newBed(t, throughNAT)
	_, out := b.send(b.Client, b.tcp("10.0.1.5", 40000, "203.0.113.5", 80, syn))
	if want := "tcp 198.51.100.7:1024 > 203.0.113.5:80"; tupleOf(t, out).String() != want {
		t.Fatalf("the host received %v, want %v", tupleOf(t, out), want)
	}
	in := b.fromHost("SYN-ACK", b.tcp("203.0.113.5", 80, "198.51.100.7", 1024, synAck), "client")
	if want := "tcp 203.0.113.5:80 > 10.0.1.5:40000"; tupleOf(t, in).String() != want {
		t.Errorf("the client received %v, want %v", tupleOf(t, in), want)
	}
	b.expect("ACK", b.Client, b.tcp("10.0.1.5", 40000, "203.0.113.5", 80, ack), "example")
	b.fromHost("another port of the same host", b.tcp("203.0.113.5", 81, "198.51.100.7", 1024, synAck), "")
	b.fromHost("a SYN to the port in use", b.tcp("203.0.113.5", 80, "198.51.100.7", 1024, syn), "")
}

func TestNATForgetsAfter350Seconds(t *testing.T) {
	b := newBed(t, throughNAT)
	open := func() {
		b.expect("SYN", b.Client, b.tcp("10.0.1.5", 40000, "203.0.113.5", 80, syn), "example")
		b.fromHost("SYN-ACK", b.tcp("203.0.113.5", 80, "198.51.100.7", 1024, synAck), "client")
		b.expect("ACK", b.Client, b.tcp("10.0.1.5", 40000, "203.0.113.5", 80, ack), "example")
	}
	open()
	b.engine.Advance(b.now, 349*time.Second)
	b.expect("data after 349 s", b.Client, b.tcp("10.0.1.5", 40000, "203.0.113.5", 80, ack), "example")
	b.engine.Advance(b.now, 351*time.Second)
	data := b.tcp("10.0.1.5", 40000, "203.0.113.5", 80, ack)
	binary.BigEndian.PutUint32(data[28:], 777) // its acknowledgment number
	out := []uint32{0}
	emitted := b.engine.Handle(b.now, b.Client.Attachment, [][]byte{data}, out)
	if out[0] != 0 || len(emitted) != 1 || emitted[0].Out != b.Client.Attachment {
		t.Fatalf("delivered to %d, emitted %+v", out[0], emitted)
	}
	reset := emitted[0].Frame[netdev.Headroom:]
	var info packet.Info
	if !packet.Decode(reset, &info) || info.TCPFlags&flow.RST == 0 || info.Tuple.String() != "tcp 203.0.113.5:80 > 10.0.1.5:40000" ||
		binary.BigEndian.Uint32(reset[24:]) != 777 {
		t.Errorf("the client receives %v flags %x, sequence number %d", info.Tuple, info.TCPFlags, binary.BigEndian.Uint32(reset[24:]))
	}
	if got := b.reasons(tupleOf(t, b.tcp("10.0.1.5", 40000, "203.0.113.5", 80, ack))); len(got) == 0 || got[len(got)-1] != flow.NATIdle {
		t.Errorf("reasons %v", got)
	}
}

func TestNATBeginsAnewForUDP(t *testing.T) {
	b := newBed(t, throughNAT)
	send := func(want uint16) {
		t.Helper()
		got, raw := b.send(b.Client, b.udp("10.0.1.5", 5000, "203.0.113.5", 53))
		if port := tupleOf(t, raw).SrcPort; got != "example" || port != want {
			t.Errorf("delivered to %q from port %d, want %d", got, port, want)
		}
	}
	send(1024)
	b.engine.Advance(b.now, 351*time.Second)
	send(1024) // of this destination no port is in use
	if n := len(b.engine.nat.inside); n != 1 {
		t.Errorf("%d translations", n)
	}
}

func TestNATPingsDoNotMix(t *testing.T) {
	b := newBed(t, func(b *fabrictest.Bed) {
		b.ThroughNAT()
		b.Route(b.Middle, "0.0.0.0/0", fabric.ToNATGateway, b.App.ENIs[fabrictest.Addr("10.0.0.220")])
	})
	ids := map[string]uint16{}
	for _, from := range []*fabric.ENI{b.Client, b.Firewall} {
		got, raw := b.send(from, b.echo(from.Addrs[0].String(), "203.0.113.5", 8, 7))
		if got != "example" {
			t.Fatalf("%s: delivered to %q", from.Name, got)
		}
		ids[from.Name] = tupleOf(t, raw).SrcPort
	}
	if ids["client"] == ids["firewall"] {
		t.Fatalf("both pings have the identifier %d outside", ids["client"])
	}
	for name, id := range ids {
		raw := b.fromHost("echo reply for "+name, b.echo("203.0.113.5", "198.51.100.7", 0, id), name)
		if got := tupleOf(t, raw).SrcPort; got != 7 {
			t.Errorf("%s: identifier %d, want 7", name, got)
		}
	}
}

// TestNATPortExhaustion: 55,000 connections for each address, destination and protocol; the next is refused, and others are not.
func TestNATPortExhaustion(t *testing.T) {
	b := newBedWith(t, throughNAT, nil, 1<<18)
	seen := map[uint16]bool{}
	open := func(i int, dst string, dport uint16) string {
		src := fmt.Sprintf("10.0.1.%d", 5)
		got, raw := b.send(b.Client, b.tcp(src, uint16(1024+i), dst, dport, syn))
		if got != "" && dport == 443 && dst == "203.0.113.5" {
			port := tupleOf(t, raw).SrcPort
			if seen[port] || port < fabric.FirstNATPort {
				t.Fatalf("connection %d has port %d", i, port)
			}
			seen[port] = true
		}
		return got
	}
	for i := range natConnections {
		if got := open(i, "203.0.113.5", 443); got != "example" {
			t.Fatalf("connection %d: delivered to %q", i+1, got)
		}
	}
	if got := open(natConnections, "203.0.113.5", 443); got != "" {
		t.Errorf("connection %d: delivered to %q", natConnections+1, got)
	}
	if got := b.mem.Drop(b.Client.Attachment, flow.NATPortExhausted).Read().Packets; got != 1 {
		t.Errorf("%d drops counted as NAT_PORT_EXHAUSTED, want 1", got)
	}
	if got := open(0, "203.0.113.5", 80); got != "example" {
		t.Errorf("another port of the host: delivered to %q", got)
	}
	b.expect("another protocol", b.Client, b.udp("10.0.1.5", 5000, "203.0.113.5", 443), "example")
	b.fromHost("RST to one", b.tcp("203.0.113.5", 443, "198.51.100.7", 1024, rst), "client")
	b.engine.Advance(b.now, 11*time.Second)
	clear(seen)
	if got := open(natConnections+1, "203.0.113.5", 443); got != "example" {
		t.Errorf("after one connection ended: delivered to %q", got)
	}
}

func TestNATUsesItsSecondaryAddresses(t *testing.T) {
	b := newBedWith(t, func(b *fabrictest.Bed) {
		b.Route(b.Private, "0.0.0.0/0", fabric.ToNATGateway,
			b.NATGateway("two", b.Public, [2]string{"10.0.0.220", "198.51.100.7"}, [2]string{"10.0.0.221", "198.51.100.8"}))
	}, nil, 1<<18)
	e := b.engine
	gateway := b.App.ENIs[fabrictest.Addr("10.0.0.220")]
	for i := range natConnections {
		p := fabrictest.TCP("10.0.1.5", uint16(i), "203.0.113.5", 443)
		if to, reason := e.Translate(gateway, &p); reason != flow.None || to.Addr() != gateway.NAT.Addrs[0] {
			t.Fatalf("connection %d: %v %v", i, to, reason)
		}
	}
	p := fabrictest.TCP("10.0.1.6", 1, "203.0.113.5", 443)
	if to, reason := e.Translate(gateway, &p); reason != flow.None || to.Addr() != gateway.NAT.Addrs[1] {
		t.Errorf("connection %d: %v %v", natConnections+1, to, reason)
	}
}

// TestPortPool: ports are never in two hands, and the one that rested longest comes back first.
func TestPortPool(t *testing.T) {
	var p portPool
	used := map[uint16]bool{}
	for range natConnections {
		port, ok := p.take()
		if !ok || used[port] {
			t.Fatalf("port %d, %v", port, ok)
		}
		used[port] = true
	}
	if _, ok := p.take(); ok {
		t.Error("more ports than connections are allowed")
	}
	for _, port := range []uint16{2000, 3000, 4000} {
		p.giveBack(port)
		delete(used, port)
	}
	var got []uint16
	for range 3 {
		port, ok := p.take()
		if !ok || used[port] {
			t.Fatalf("port %d, %v", port, ok)
		}
		got = append(got, port)
		used[port] = true
	}
	for i := range 200_000 {
		victim := uint16(fabric.FirstNATPort + i%natPorts)
		if !used[victim] {
			continue
		}
		p.giveBack(victim)
		delete(used, victim)
		port, ok := p.take()
		if !ok || used[port] {
			t.Fatalf("step %d: port %d, %v", i, port, ok)
		}
		used[port] = true
	}
	if len(p.back) > 2*natPorts {
		t.Errorf("the queue of returned ports has grown to %d", len(p.back))
	}
	_ = got
}

func TestDroppedConnectionKeepsNoPort(t *testing.T) {
	b := newBed(t, func(b *fabrictest.Bed) {
		b.ThroughNAT()
		b.Public.ACL = &fabric.ACL{Name: "in only", Ingress: b.Private.ACL.Ingress}
	})
	for i := range uint16(100) {
		b.expect("refused behind the gateway", b.Client, b.tcp("10.0.1.5", i, "203.0.113.5", 80, syn), "")
	}
	if n := len(b.engine.nat.inside) + len(b.engine.nat.answers) + len(b.engine.nat.pools); n != 0 {
		t.Errorf("%d pieces of NAT state are left", n)
	}
}

func TestRemovedGatewayGivesItsPortsBack(t *testing.T) {
	b := newBed(t, throughNAT)
	b.expect("SYN", b.Client, b.tcp("10.0.1.5", 40000, "203.0.113.5", 80, syn), "example")
	gateway := b.App.ENIs[fabrictest.Addr("10.0.0.220")]
	b.change(func(b *fabrictest.Bed) {
		b.Attachments[gateway.Attachment] = nil
		delete(b.App.ENIs, fabrictest.Addr("10.0.0.220"))
		delete(b.Internet.Public, fabrictest.Addr("198.51.100.7"))
		b.Route(b.Private, "0.0.0.0/0", fabric.ToBlackhole, nil)
		b.Internet.Generation++
	})
	b.expect("through the hole", b.Client, b.tcp("10.0.1.5", 40000, "203.0.113.5", 80, ack), "")
	if n := len(b.engine.nat.inside); n != 0 {
		t.Errorf("%d translations are left", n)
	}
}

func TestICMPErrorsFindTheirConnectionThroughNAT(t *testing.T) {
	b := newBed(t, throughNAT)
	_, seen := b.send(b.Client, b.udp("10.0.1.5", 5000, "203.0.113.5", 53))
	raw := b.fromHost("port unreachable", b.unreachable("203.0.113.5", "198.51.100.7", seen), "client")
	if want := "udp 10.0.1.5:5000 > 203.0.113.5:53"; tupleOf(t, raw[28:]).String() != want {
		t.Errorf("the error quotes %v, want %v", tupleOf(t, raw[28:]), want)
	}
	b.fromHost("an error about nothing", b.unreachable("203.0.113.5", "198.51.100.7", b.udp("198.51.100.7", 9999, "203.0.113.5", 53)), "")
}

// TestNAT64: IPv6 inside and IPv4 outside are one connection.
func TestNAT64(t *testing.T) {
	b := newBed(t, func(b *fabrictest.Bed) {
		b.Route(b.Public, "64:ff9b::/96", fabric.ToNATGateway, b.NATGateway("out", b.Middle, [2]string{"10.0.2.220", "198.51.100.7"}))
		b.Route(b.Middle, "0.0.0.0/0", fabric.ToInternetGateway, nil)
	})
	const inside, embedded = "2001:db8:a::11", "64:ff9b::cb00:7105" // 203.0.113.5
	pass := func(what string, from uint32, raw []byte, to, want string) []byte {
		t.Helper()
		out := []uint32{0}
		b.wait(time.Second)
		emitted := b.engine.Handle(b.now, from, [][]byte{raw}, out)
		if out[0] != 0 || len(emitted) != 1 || b.Attachments[emitted[0].Out].Name() != to {
			t.Fatalf("%s: delivered to %d, emitted %d packets: %v", what, out[0], len(emitted), b.reasons(tupleOf(t, raw)))
		}
		made := emitted[0].Frame[netdev.Headroom:]
		if got := tupleOf(t, made).String(); got != want {
			t.Errorf("%s: %s received %s, want %s", what, to, got, want)
		}
		return made
	}
	x, host := b.X.Attachment, b.Example.Attachment
	pass("SYN", x, b.tcp(inside, 40000, embedded, 80, syn), "example", "tcp 198.51.100.7:1024 > 203.0.113.5:80")
	pass("SYN-ACK", host, b.tcp("203.0.113.5", 80, "198.51.100.7", 1024, synAck), "x", "tcp ["+embedded+"]:80 > ["+inside+"]:40000")
	pass("ACK", x, b.tcp(inside, 40000, embedded, 80, ack), "example", "tcp 198.51.100.7:1024 > 203.0.113.5:80")
	seen := pass("UDP", x, b.udp(inside, 5000, embedded, 53), "example", "udp 198.51.100.7:1024 > 203.0.113.5:53")
	failed := pass("its port unreachable", host, b.unreachable("203.0.113.5", "198.51.100.7", seen), "x", "icmpv6 type 1 "+embedded+" > "+inside)
	var info, quoted packet.Info
	if !packet.Decode(failed, &info) || !packet.Quoted(failed, &info, &quoted) || quoted.Tuple.String() != "udp ["+inside+"]:5000 > ["+embedded+"]:53" {
		t.Errorf("the error quotes %v", quoted.Tuple)
	}
}

// TestTracerouteShowsTheGateway: a NAT gateway counts as a hop, and says so itself; neither router nor internet gateway do.
func TestTracerouteShowsTheGateway(t *testing.T) {
	b := newBed(t, throughNAT)
	probe := func(ttl uint8) (delivered uint32, raw []byte, emitted []Emission) {
		raw = b.udp("10.0.1.5", 5000, "203.0.113.5", 33434)
		raw[8] = ttl
		fixIPv4Checksum(raw)
		out := []uint32{0}
		b.wait(time.Second)
		emitted = b.engine.Handle(b.now, b.Client.Attachment, [][]byte{raw}, out)
		return out[0], raw, emitted
	}
	var info, quoted packet.Info
	for range 2 { // the second packet knows the flow
		delivered, _, emitted := probe(1)
		if delivered != 0 || len(emitted) != 1 || emitted[0].Out != b.Client.Attachment {
			t.Fatalf("TTL 1: delivered to %d, emitted %d packets", delivered, len(emitted))
		}
		exceeded := emitted[0].Frame[netdev.Headroom:]
		if !packet.Decode(exceeded, &info) || info.ICMPType != 11 || info.Tuple.SrcAddr() != fabrictest.Addr("10.0.0.220") ||
			!packet.Quoted(exceeded, &info, &quoted) || quoted.Tuple.String() != "udp 10.0.1.5:5000 > 203.0.113.5:33434" {
			t.Errorf("the client receives %v type %d about %v", info.Tuple, info.ICMPType, quoted.Tuple)
		}
		delivered, raw, _ := probe(2)
		if delivered != b.Example.Attachment || raw[8] != 1 {
			t.Errorf("TTL 2: delivered to %d with TTL %d, want 1", delivered, raw[8])
		}
	}
}

// TestTooBigIsAnswered: who may not be cut hears what would fit; who may be cut is.
// Some packets whose TTL is too small at once, as traceroute sends them, are all answered; a flood of them is not.
func TestErrorsAreLimited(t *testing.T) {
	b := newBed(t, throughNAT)
	answers := func(packets int) int {
		told := 0
		for port := range uint16(packets) {
			probe := b.udp("10.0.1.5", 40000+port, "203.0.113.5", 33434)
			probe[8] = 1
			fixIPv4Checksum(probe)
			told += len(b.engine.Handle(b.now, b.Client.Attachment, [][]byte{probe}, []uint32{0}))
		}
		return told
	}
	if got := answers(errorBurst); got != errorBurst {
		t.Errorf("%d of %d packets at once are answered", got, errorBurst)
	}
	if got := answers(1000); got != 0 {
		t.Errorf("%d packets of a flood are answered", got)
	}
	b.wait(10 * errorInterval)
	if got := answers(1000); got != 10 {
		t.Errorf("%d are answered after %v, want 10", got, 10*errorInterval)
	}
}

func TestTooBigIsAnswered(t *testing.T) {
	b := newBed(t, nil)
	whole := b.udpSized("10.0.0.11", 999, "203.0.113.5", 53, 3000)
	tuple := tupleOf(t, whole)
	whole[6] |= 0x40 // don't fragment
	fixIPv4Checksum(whole)
	out := []uint32{0}
	emitted := b.engine.Handle(b.now, b.X.Attachment, [][]byte{slices.Clone(whole)}, out)
	if out[0] != 0 || len(emitted) != 1 || emitted[0].Out != b.X.Attachment {
		t.Fatalf("delivered to %d, emitted %d packets", out[0], len(emitted))
	}
	var info, quoted packet.Info
	tooBig := emitted[0].Frame[netdev.Headroom:]
	if !packet.Decode(tooBig, &info) || info.ICMPType != 3 || info.ICMPCode != 4 || binary.BigEndian.Uint16(tooBig[26:]) != 1500 ||
		!packet.Quoted(tooBig, &info, &quoted) || quoted.Tuple != tuple || info.Tuple.SrcAddr() != b.Public.Router4 {
		t.Errorf("the sender receives %v type %d code %d about %v", info.Tuple, info.ICMPType, info.ICMPCode, quoted.Tuple)
	}
	whole[6] &^= 0x40
	fixIPv4Checksum(whole)
	b.wait(time.Second)
	b.engine.Mark(b.now)
	emitted = b.engine.Handle(b.now, b.X.Attachment, [][]byte{whole}, out)
	if out[0] != 0 || len(emitted) != 3 {
		t.Fatalf("delivered to %d, emitted %d packets, want 3", out[0], len(emitted))
	}
	total := 0
	for _, x := range emitted {
		piece := x.Frame[netdev.Headroom:]
		if !packet.Decode(piece, &info) || len(piece) > 1500 || !info.Fragment || x.Out != b.Example.Attachment || info.Tuple.SrcAddr() != fabrictest.Addr("198.51.100.11") {
			t.Errorf("a piece of %d bytes: %+v to %d", len(piece), info, x.Out)
		}
		total += len(piece) - 20
	}
	if total != 3008 {
		t.Errorf("the pieces carry %d bytes, want 3008", total)
	}
}

func TestACLStopsTooBig(t *testing.T) {
	b := newBed(t, func(b *fabrictest.Bed) {
		noICMP := fabrictest.Entry(false, fabric.Traffic{Protocol: flow.ICMP, ICMPType: -1, ICMPCode: -1}, "0.0.0.0/0")
		b.Public.ACL = &fabric.ACL{Name: "no icmp", Ingress: append([]fabric.ACLEntry{noICMP}, b.Public.ACL.Ingress...), Egress: b.Public.ACL.Egress}
	})
	whole := b.udpSized("10.0.0.11", 999, "203.0.113.5", 53, 3000)
	whole[6] |= 0x40
	fixIPv4Checksum(whole)
	out := []uint32{0}
	if emitted := b.engine.Handle(b.now, b.X.Attachment, [][]byte{whole}, out); out[0] != 0 || len(emitted) != 0 {
		t.Errorf("delivered to %d, emitted %d packets", out[0], len(emitted))
	}
	if got := b.reasons(tupleOf(t, whole)); !slices.Equal(got, []flow.Reason{flow.MTUExceeded, flow.ACLRestriction}) {
		t.Errorf("reasons %v", got)
	}
}

func fixIPv4Checksum(b []byte) {
	b[10], b[11] = 0, 0
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum))
}

// BenchmarkPortPool: the search for a port costs the same at 1 % and at 99 % full.
func BenchmarkPortPool(bench *testing.B) {
	for _, full := range []int{1, 99} {
		bench.Run(fmt.Sprintf("%d%%", full), func(bench *testing.B) {
			var p portPool
			var held []uint16
			for range natPorts { // all ports have been used once
				if p.used == natConnections {
					p.giveBack(held[0])
					held = held[1:]
				}
				port, _ := p.take()
				held = append(held, port)
			}
			for p.used > natConnections*full/100 {
				p.giveBack(held[0])
				held = held[1:]
			}
			for bench.Loop() {
				port, ok := p.take()
				if !ok {
					bench.Fatal("no port")
				}
				p.giveBack(port)
			}
		})
	}
}

// TestTrackedOnceThroughNAT: a connection that was not tracked on its way before is tracked once it goes through a gateway, and outlives its
// rule from then on.
func TestTrackedOnceThroughNAT(t *testing.T) {
	b := newBed(t, func(b *fabrictest.Bed) { b.Route(b.Middle, "0.0.0.0/0", fabric.ToBlackhole, nil) })
	datagram := func() []byte { return b.udp("10.0.2.9", 999, "203.0.113.5", 53) }
	b.expect("before there is a gateway", b.Firewall, datagram(), "")
	b.change(func(b *fabrictest.Bed) { b.Route(b.Middle, "0.0.0.0/0", fabric.ToNATGateway, b.ThroughNAT()) })
	b.expect("through the gateway", b.Firewall, datagram(), "example")
	b.change(func(b *fabrictest.Bed) { b.Other.Egress = nil })
	b.expect("without the rule", b.Firewall, datagram(), "example")
	b.expect("another connection", b.Firewall, b.udp("10.0.2.9", 1000, "203.0.113.5", 53), "")
}
