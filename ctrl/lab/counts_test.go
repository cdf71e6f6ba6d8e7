package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/lab/labtest"
	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// countLab has two subnets and the internet, and changes that concern its traffic: a rule comes and goes, an instance comes and
// goes.
const countLab = `
name: labtest-count
vpcs:
  a:
    cidr: 10.0.0.0/16
    ipv6: 2600:1f18:aa00::/56
    internet_gateway: true
    subnets:
      public: {cidr: 10.0.0.0/24, ipv6: 2600:1f18:aa00::/64, az: a, routes: {0.0.0.0/0: igw, "::/0": igw}}
      private: {cidr: 10.0.1.0/24, ipv6: "2600:1f18:aa00:1::/64", az: a}
    security_groups:
      web: {ingress: [all from 0.0.0.0/0, "all from ::/0"], egress: [all to 0.0.0.0/0, "all to ::/0"]}
      app: {ingress: [tcp 9000-9999 from sg.web, udp 9000-9999 from sg.web, icmp from sg.web]}
    instances:
      web: {subnet: public, ip: 10.0.0.10, ipv6: "2600:1f18:aa00::10", eip: 198.51.100.7, sg: [web]}
      app: {subnet: private, ip: 10.0.1.10, ipv6: "2600:1f18:aa00:1::10", sg: [app]}
internet:
  hosts: {customer: {ip: [203.0.113.80, "2001:db8:cafe::80"]}}
checks:
  - change: {vpcs: {a: {security_groups: {app: {ingress: [tcp 9000-9999 from sg.web]}}}}}
  - change: {vpcs: {a: {instances: {late: {subnet: private}}}}}
  - change: {vpcs: {a: {instances: {late: null}, subnets: {public: {routes: {192.0.2.0/24: blackhole}}}}}}
  - change: {vpcs: {a: {security_groups: {app: {ingress: []}}}}}
`

var (
	webNode      = node("a", "web")
	appNode      = node("a", "app")
	customerNode = node("", "customer")
)

// plain takes away what would make the size of a TCP header hard to predict.
func (b bed) plain(nodes ...scenario.Node) {
	b.t.Helper()
	for _, n := range nodes {
		b.sysctl(n, "ipv4/tcp_sack", "0")
	}
}

// balance waits until the lab has counted for both ends of a connection exactly what their kernels sent since before. A packet
// that was lost at a full queue is one of them.
func (x *transfer) balance(client, server tally) {
	x.t.Helper()
	for _, side := range []struct {
		node   scenario.Node
		before tally
		sent   func() packetsSent
	}{{x.from, client, x.clientSent}, {x.to, server, x.serverSent}} {
		var sent packetsSent
		var counted engineCount
		var lost uint64
		if !eventually(func() bool {
			now := x.tallyOf(side.node)
			sent = side.sent()
			resets := now.resets - side.before.resets
			sent = packetsSent{sent.Packets + resets, sent.Bytes + resets*(x.headers()-tcpHeaders+20)}
			counted = engineCount{now.delivered.Packets - side.before.delivered.Packets, now.delivered.Bytes - side.before.delivered.Bytes}
			lost = now.lost() - side.before.lost()
			// The bytes of a packet that the queue had no room for are not known.
			return counted.Packets+lost == sent.Packets && (counted.Bytes == sent.Bytes || lost > 0)
		}) {
			x.t.Errorf("%s sent %d packets of %d bytes; counted are %d of %d, and %d lost", side.node, sent.Packets, sent.Bytes, counted.Packets,
				counted.Bytes, lost)
		}
	}
}

// meddling calls a function again and again while something else is under way.
type meddling struct {
	calls   atomic.Int64
	cancel  context.CancelFunc
	done    sync.WaitGroup
	failure error
}

// during begins to meddle; f is told how often it was called before.
func during(pause time.Duration, f func(n int) error) *meddling {
	ctx, cancel := context.WithCancel(context.Background())
	m := &meddling{cancel: cancel}
	m.done.Go(func() {
		beat := time.NewTicker(pause)
		defer beat.Stop()
		for {
			if m.failure = f(int(m.calls.Load())); m.failure != nil {
				return
			}
			m.calls.Add(1)
			select {
			case <-ctx.Done():
				return
			case <-beat.C:
			}
		}
	})
	return m
}

// enough reports whether it was called a few times.
func (m *meddling) enough() bool { return m.calls.Load() >= 3 }

// stop ends it and returns how often it was called.
func (m *meddling) stop() (int, error) {
	m.cancel()
	m.done.Wait()
	return int(m.calls.Load()), m.failure
}

// What the kernels of sender and receiver say that they sent is what the lab counted, to the packet and to the byte, in every
// situation.
func TestTCPCounts(t *testing.T) {
	s := scenarioOnce(t, countLab)
	for _, situation := range []struct {
		name    string
		offload bool
		meddle  func(b bed, n int) error // every 30 ms
	}{
		{"offload=on", true, nil},
		{"offload=off", false, nil},
		{"wiped", true, func(b bed, _ int) error { return b.fast.Wipe() }},
		{"changed", true, func(b bed, n int) error { return b.Apply(context.Background(), s.Steps[n%len(s.Steps)].Change) }},
		{"changed with offload=off", false, func(b bed, n int) error { return b.Apply(context.Background(), s.Steps[n%len(s.Steps)].Change) }},
		{"swept", true, func(b bed, _ int) error {
			b.engine.Sweep(monotonic())
			return nil
		}},
	} {
		t.Run(situation.name, func(t *testing.T) {
			b := start(t, s, situation.offload)
			b.plain(webNode, appNode, customerNode)
			for i, path := range []struct {
				from, to scenario.Node
				addr     string
			}{
				{webNode, appNode, "10.0.1.10"},
				{customerNode, webNode, "198.51.100.7"},
				{webNode, customerNode, "203.0.113.80"},
				{customerNode, webNode, "2600:1f18:aa00::10"},
			} {
				// A rule that comes and goes does not concern a connection that stands, but one that begins.
				x := transfer{bed: b, from: path.from, to: path.to, forTime: 200 * time.Millisecond,
					addr: netip.AddrPortFrom(netip.MustParseAddr(path.addr), uint16(9000+i))}
				if err := b.Apply(context.Background(), s.Model); err != nil {
					t.Fatal(err)
				}
				client, server := b.tallyOf(path.from), b.tallyOf(path.to)
				x.open()
				if situation.meddle == nil {
					x.run()
				} else {
					m := during(30*time.Millisecond, func(n int) error { return situation.meddle(b, n) })
					x.enough = m.enough
					x.run()
					if _, err := m.stop(); err != nil {
						t.Error(err)
					}
				}
				x.balance(client, server)
			}
		})
	}
}

func scenarioOnce(t testing.TB, yaml string) *scenario.Scenario {
	t.Helper()
	needRoot(t)
	return parse(t, yaml)
}

// A transfer of seconds survives that the flow cache is wiped again and again: it never stalls for long, and the counts are right.
func TestWipe(t *testing.T) {
	b := build(t, countLab, true)
	b.plain(webNode, appNode, customerNode)
	transfers := []*transfer{
		{bed: b, from: webNode, to: appNode, addr: netip.MustParseAddrPort("10.0.1.10:9000"), forTime: 2 * time.Second},
		{bed: b, from: customerNode, to: webNode, addr: netip.MustParseAddrPort("198.51.100.7:9001"), forTime: 2 * time.Second},
	}
	before := map[scenario.Node]tally{}
	for _, n := range []scenario.Node{webNode, appNode, customerNode} {
		before[n] = b.tallyOf(n)
	}
	for _, x := range transfers {
		x.open()
	}
	found := 0
	wiping := during(50*time.Millisecond, func(int) error {
		n, err := b.fast.Flows()
		if n > 0 {
			found++
		}
		return errors.Join(err, b.fast.Wipe())
	})
	var all sync.WaitGroup
	for _, x := range transfers {
		all.Go(x.run)
	}
	all.Wait()
	calls, err := wiping.stop()
	if err != nil {
		t.Fatal(err)
	}
	if found < 10 {
		t.Errorf("of %d wipes %d had something to wipe", calls, found)
	}
	for _, x := range transfers {
		if x.stall > time.Second {
			t.Errorf("nothing arrived from %s at %s for %v", x.from, x.to, x.stall)
		}
	}
	// web has two connections, so that its counts are those of both.
	inner, outer := transfers[0], transfers[1]
	for n, sent := range map[scenario.Node]func() uint64{
		webNode:      func() uint64 { return inner.clientSent().Packets + outer.serverSent().Packets },
		appNode:      func() uint64 { return inner.serverSent().Packets },
		customerNode: func() uint64 { return outer.clientSent().Packets },
	} {
		var counted, want uint64
		if !eventually(func() bool {
			now := b.tallyOf(n)
			counted = now.delivered.Packets - before[n].delivered.Packets + now.lost() - before[n].lost()
			want = sent() + now.resets - before[n].resets
			return counted == want
		}) {
			t.Errorf("%s sent %d packets, counted are %d", n, want, counted)
		}
	}
}

// Datagrams, segmented by the kernel or not, and pings count once in each direction.
func TestDatagramCounts(t *testing.T) {
	both(t, func(t *testing.T, offload bool) {
		b := build(t, countLab, offload)
		const datagrams, size, segments = 300, 1000, 20
		server := b.udp(appNode, 9000)
		client := b.udp(webNode, 0)
		to := netip.MustParseAddrPort("10.0.1.10:9000")
		before, beforeApp := b.tallyOf(webNode), b.tallyOf(appNode)
		payload := make([]byte, size)
		for range datagrams {
			b.exchange(client, server, to, payload)
		}
		if err := setSegment(client, size); err != nil {
			t.Fatal(err)
		}
		if _, err := client.WriteToUDPAddrPort(make([]byte, segments*size), to); err != nil {
			t.Fatal(err)
		}
		for range segments {
			if _, _, err := server.ReadFromUDPAddrPort(payload); err != nil {
				t.Fatal(err)
			}
		}
		const ip = 28
		b.counts(webNode, before, engineCount{datagrams + segments, (datagrams + segments) * (size + ip)})
		b.counts(appNode, beforeApp, engineCount{datagrams, datagrams * (size + ip)})

		// The answers to pings come from the kernel of app.
		before, beforeApp = b.tallyOf(webNode), b.tallyOf(appNode)
		tap := b.tap(webNode)
		const pings = 100
		for id := range uint16(pings) {
			ping := labtest.ICMP("10.0.0.10", "10.0.1.10", 8, 0, id+1)
			if err := tap.Send(tap.Frame(ping.Bytes())); err != nil {
				t.Fatal(err)
			}
			b.hears(tap, labtest.ICMP("10.0.1.10", "10.0.0.10", 0, 0, id+1).Bytes())
		}
		length := uint64(len(labtest.ICMP("10.0.0.10", "10.0.1.10", 8, 0, 1).Bytes()))
		b.counts(webNode, before, engineCount{pings, pings * length})
		b.counts(appNode, beforeApp, engineCount{pings, pings * length})
	})
}

// hears waits for an IP packet whose addresses, protocol and ports are those of want.
func (b bed) hears(tap *labtest.Tap, want []byte) {
	b.t.Helper()
	for {
		frame, err := tap.Await(patience)
		if err != nil || frame == nil {
			b.t.Fatalf("does not hear %x: %v", want, err)
		}
		got := frame[14:]
		// An answering kernel chooses IP identifier and flags, TTL and header checksum itself.
		if len(got) == len(want) && string(got[12:]) == string(want[12:]) {
			return
		}
	}
}

// counts waits until exactly that much has been delivered since before, and nothing was lost.
func (b bed) counts(n scenario.Node, before tally, want engineCount) {
	b.t.Helper()
	var got engineCount
	var lost uint64
	if !eventually(func() bool {
		now := b.tallyOf(n)
		got = engineCount{now.delivered.Packets - before.delivered.Packets, now.delivered.Bytes - before.delivered.Bytes}
		lost = now.lost() - before.lost()
		return got == want
	}) || lost != 0 {
		b.t.Errorf("%s sent %+v, counted are %+v and %d lost", n, want, got, lost)
	}
}

func (b bed) udp(n scenario.Node, port int) *net.UDPConn {
	b.t.Helper()
	var c *net.UDPConn
	b.do(n, func() (err error) {
		c, err = net.ListenUDP("udp4", &net.UDPAddr{Port: port})
		return err
	})
	b.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		b.t.Fatal(err)
	}
	return c
}

// exchange sends a datagram there and back.
func (b bed) exchange(client, server *net.UDPConn, to netip.AddrPort, payload []byte) {
	b.t.Helper()
	_, err := client.WriteToUDPAddrPort(payload, to)
	if err != nil {
		b.t.Fatal(err)
	}
	n, from, err := server.ReadFromUDPAddrPort(payload)
	if err == nil {
		_, err = server.WriteToUDPAddrPort(payload[:n], from)
	}
	if err == nil {
		_, _, err = client.ReadFromUDPAddrPort(payload)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// setSegment lets the kernel cut what is written into datagrams of a size.
func setSegment(c *net.UDPConn, size int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var optErr error
	err = raw.Control(func(fd uintptr) { optErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, size) })
	return errors.Join(err, optErr)
}

// A guest that opens flows faster than the engine can decide fills its queue: what finds no room has a name, and every packet is
// counted once.
func TestFloodIsCounted(t *testing.T) {
	both(t, func(t *testing.T, offload bool) {
		b := build(t, countLab, offload)
		b.silence(webNode)
		b.silence(appNode)
		tap := b.tap(webNode)
		index := b.attachmentOf(webNode).Index
		memory := b.fast.Memory()
		var sent uint64
		before := fateOf(memory, b.engine.Stats(), index)
		counted := func() fate {
			if _, err := b.Stats(); err != nil { // counts what queues dropped
				t.Fatal(err)
			}
			return fateOf(memory, b.engine.Stats(), index).since(before)
		}
		const burst = 10000
		full := flow.UpcallQueueFull.String()
		until(t, "the queue is full", func() bool {
			for i := range burst {
				// Half of them are allowed. Ports are never used twice, but for some hundred thousand packets.
				n := sent + uint64(i)
				p := labtest.UDP("10.0.0.10", uint16(n), "10.0.1.10", uint16(8500+n%2*500+n>>16%500))
				if err := tap.Send(tap.Frame(p.Bytes())); err != nil {
					t.Fatal(err)
				}
			}
			sent += burst
			return counted()[full] > 0
		})
		if !eventually(func() bool { return counted().total() == sent }) {
			t.Errorf("%d packets sent, %d counted: %v", sent, counted().total(), counted())
		}
		f := counted()
		t.Logf("%d packets sent, counted as %v", sent, f)
		if f[delivered] == 0 || f[flow.SGRulesMismatch.String()] == 0 {
			t.Errorf("%d packets sent, counted as %v", sent, f)
		}
		if n := b.deviceCounter(fmt.Sprintf("e%d", index), receivedDropped); n != 0 {
			t.Errorf("the kernel lost %d packets before the guest's door", n)
		}
	})
}
