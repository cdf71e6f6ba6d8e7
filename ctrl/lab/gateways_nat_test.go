package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/lab/labtest"
	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/packet"
)

// natLab has two clients behind one address of a NAT gateway, and changes that take their way out away and give it back.
const natLab = `
name: labtest-nat
vpcs:
  a:
    cidr: 10.0.0.0/16
    internet_gateway: true
    subnets:
      p: {cidr: 10.0.0.0/24, az: a, routes: {0.0.0.0/0: igw}}
      q: {cidr: 10.0.1.0/24, az: a, routes: {0.0.0.0/0: nat.out}}
    nat_gateways: {out: {subnet: p, eip: 198.51.100.7}}
    security_groups: {one: {}, another: {}}
    instances:
      c: {subnet: q, ip: 10.0.1.5, sg: [one]}
      d: {subnet: q, ip: 10.0.1.6, sg: [one]}
      w: {subnet: p, ip: 10.0.0.10, eip: 198.51.100.10}
internet:
  hosts:
    h: {ip: 203.0.113.5}
    other: {ip: 203.0.113.6}
checks:
  - change: {vpcs: {a: {instances: {c: {sg: [another]}}}}}
  - change: {vpcs: {a: {subnets: {q: {routes: {0.0.0.0/0: igw}}}}}}
  - change: {vpcs: {a: {subnets: {q: {routes: {0.0.0.0/0: nat.out}}}}}}
  - change: {vpcs: {a: {nat_gateways: {out: null}}}}
  - change: {vpcs: {a: {nat_gateways: {out: {subnet: p, eip: 198.51.100.7}}}}}
  - change: {vpcs: {a: {instances: {c: {sg: [one]}}}}}
`

const (
	natAddr      = "198.51.100.7"
	natHost      = "203.0.113.5"
	natOtherHost = "203.0.113.6"
	natMost      = 55000 // connections of one address to one destination at a time
)

var (
	natClients     = [...]scenario.Node{node("a", "c"), node("a", "d")}
	natClientAddrs = [...]string{"10.0.1.5", "10.0.1.6"}
	natHostNode    = node("", "h")
	natOtherNode   = node("", "other")
)

// segment is a TCP segment whose sequence and acknowledgment numbers mean something to the test.
type segment struct {
	src, dst         string
	srcPort, dstPort uint16
	flags            uint8
	seq, ack         uint32
}

func (s segment) bytes() []byte {
	header := make([]byte, 20)
	binary.BigEndian.PutUint16(header, s.srcPort)
	binary.BigEndian.PutUint16(header[2:], s.dstPort)
	binary.BigEndian.PutUint32(header[4:], s.seq)
	binary.BigEndian.PutUint32(header[8:], s.ack)
	header[12], header[13] = 5<<4, s.flags
	binary.BigEndian.PutUint16(header[14:], 1000)
	return labtest.Raw(flow.TCP, s.src, s.dst).Upper(header).Bytes()
}

// crowd holds many TCP connections through one NAT address, as frames alone: no kernel has a socket for them.
//
//	c, d ── nat.out ── igw ── h
type crowd struct {
	bed
	clients [len(natClients)]*labtest.Tap
	host    *labtest.Tap
	ports   map[uint16]uint32 // of the gateway, and which connection has each
}

func newCrowd(b bed) *crowd {
	k := &crowd{bed: b, ports: map[uint16]uint32{}}
	for i, n := range natClients {
		b.silence(n)
		k.clients[i] = b.tap(n)
	}
	b.silence(natHostNode)
	k.host = b.tap(natHostNode)
	return k
}

// end is a connection's own end: the clients take turns, and their ports begin at 1024.
func (k *crowd) end(connection uint32) (client int, port uint16) {
	return int(connection) % len(natClients), uint16(1024 + connection/uint32(len(natClients)))
}

// sequence is by which number a connection is recognised on its way.
func sequence(connection uint32) uint32 { return connection << 4 }

// fromClient sends a segment of a connection to port 443 of the host.
func (k *crowd) fromClient(connection uint32, flags uint8) {
	k.t.Helper()
	client, port := k.end(connection)
	s := segment{natClientAddrs[client], natHost, port, 443, flags, sequence(connection), 1}
	k.put(k.clients[client], s)
}

func (k *crowd) fromHost(to uint16, flags uint8, ack uint32) {
	k.t.Helper()
	k.put(k.host, segment{natHost, natAddr, 443, to, flags, 1, ack})
}

func (k *crowd) put(tap *labtest.Tap, s segment) {
	k.t.Helper()
	if err := tap.Send(tap.Frame(s.bytes())); err != nil {
		k.t.Fatal(err)
	}
}

// take waits for the next TCP segment at a tap.
func (k *crowd) take(tap *labtest.Tap) (s segment) {
	k.t.Helper()
	for {
		frame, err := tap.Await(patience)
		if err != nil || frame == nil {
			k.t.Fatalf("no segment: %v", err)
		}
		var info packet.Info
		if !packet.Decode(frame[14:], &info) || info.Tuple.Protocol != flow.TCP {
			continue
		}
		t, header := info.Tuple, frame[14+20:]
		return segment{t.SrcAddr().String(), t.DstAddr().String(), t.SrcPort, t.DstPort, info.TCPFlags,
			binary.BigEndian.Uint32(header[4:]), binary.BigEndian.Uint32(header[8:])}
	}
}

// arrivesAtHost takes a segment and checks that the gateway sent it. It returns the gateway's port and the connection.
func (k *crowd) arrivesAtHost(flags uint8) (port uint16, connection uint32) {
	k.t.Helper()
	s := k.take(k.host)
	if s.src != natAddr || s.dst != natHost || s.dstPort != 443 || s.flags != flags || s.srcPort < 1024 {
		k.t.Fatalf("the host receives %+v", s)
	}
	return s.srcPort, s.seq >> 4
}

// arrivesAtClient takes a segment that acknowledges a connection's SYN, and checks that it reached that connection's end.
func (k *crowd) arrivesAtClient(client int, flags uint8) {
	k.t.Helper()
	s := k.take(k.clients[client])
	owner, port := k.end((s.ack - 1) >> 4)
	if owner != client || s.src != natHost || s.srcPort != 443 || s.dst != natClientAddrs[client] || s.dstPort != port || s.flags != flags {
		k.t.Fatalf("client %d receives %+v, want it at client %d port %d", client, s, owner, port)
	}
}

// syn opens a connection up to the SYN at the host, and checks that its port is nobody else's.
func (k *crowd) syn(connections ...uint32) {
	k.t.Helper()
	for _, c := range connections {
		k.fromClient(c, flow.SYN)
	}
	for range connections {
		port, connection := k.arrivesAtHost(flow.SYN)
		if other, taken := k.ports[port]; taken {
			k.t.Fatalf("connections %d and %d share port %d", other, connection, port)
		}
		k.ports[port] = connection
		k.fromHost(port, flow.SYN|flow.ACK, sequence(connection)+1)
	}
	for _, c := range connections {
		client, _ := k.end(c)
		k.arrivesAtClient(client, flow.SYN|flow.ACK)
		k.fromClient(c, flow.ACK)
	}
	for range connections {
		if port, connection := k.arrivesAtHost(flow.ACK); k.ports[port] != connection {
			k.t.Fatalf("connection %d comes from port %d, which is connection %d's", connection, port, k.ports[port])
		}
	}
}

// dropped is how many packets of guests were dropped for a reason.
func (b bed) dropped(reason flow.Reason, guests ...scenario.Node) (packets uint64) {
	b.t.Helper()
	for _, n := range guests {
		packets += b.tallyOf(n).dropped[reason].Packets
	}
	return packets
}

// exhausted is how many packets of the clients the gateway had no port for.
func (b bed) exhausted() uint64 {
	b.t.Helper()
	return b.dropped(flow.NATPortExhausted, natClients[:]...)
}

// One address carries 55,000 connections to one destination, each with a port of its own. The next one is dropped by name, while other
// destinations work; when one has closed, there is room for one again (VPC user guide, NAT gateway basics).
func TestNATPortsRunOut(t *testing.T) {
	both(t, func(t *testing.T, offload bool) {
		b := build(t, natLab, offload)
		k := newCrowd(b)
		const batch = 500 // a queue holds 4096 packets
		var connections [batch]uint32
		for first := uint32(0); first < natMost; first += batch {
			for i := range connections {
				connections[i] = first + uint32(i)
			}
			k.syn(connections[:]...)
		}
		k.refused(natMost)
		k.reach(natHostNode, natHost, 444)
		k.reach(natOtherNode, natOtherHost, 443)

		// All of them still stand.
		for port, connection := range k.ports {
			if connection%100 != 0 {
				continue
			}
			k.fromHost(port, flow.ACK, sequence(connection)+1)
			client, _ := k.end(connection)
			k.arrivesAtClient(client, flow.ACK)
		}

		const closing = 777
		k.fromClient(closing, flow.RST)
		port, _ := k.arrivesAtHost(flow.RST)
		if k.ports[port] != closing {
			t.Fatalf("the RST comes from port %d", port)
		}
		delete(k.ports, port)
		if err := b.Advance(11 * time.Second); err != nil {
			t.Fatal(err)
		}
		k.syn(natMost + 1)
		k.refused(natMost + 2)
		if s, err := b.Stats(); err != nil || s.Flows < 2*natMost {
			t.Errorf("%d flows are alive: %v", s.Flows, err)
		}
	})
}

// refused checks that a connection is dropped for want of a port, and that the host sees nothing of it.
func (k *crowd) refused(connection uint32) {
	k.t.Helper()
	client, port := k.end(connection)
	before := k.exhausted()
	mark := k.Mark()
	k.fromClient(connection, flow.SYN)
	until(k.t, "a connection is dropped for want of a port", func() bool { return k.exhausted() == before+1 })
	tuple := flow.MakeTuple(flow.TCP, netip.MustParseAddr(natClientAddrs[client]), port, netip.MustParseAddr(natHost), 443)
	if drops := k.Drops(mark, tuple); len(drops) != 1 || drops[0].Reason != flow.NATPortExhausted || drops[0].At != "nat.out" {
		k.t.Errorf("the journal says %+v", drops)
	}
	if frame, err := k.host.Receive(); frame != nil || err != nil {
		k.t.Errorf("the host receives %x: %v", frame, err)
	}
}

// reach checks that a client reaches another destination through the gateway. What arrives is the next at the host.
func (k *crowd) reach(n scenario.Node, addr string, port uint16) {
	k.t.Helper()
	tap := k.host
	if n != natHostNode {
		k.silence(n)
		tap = k.tap(n)
	}
	k.put(k.clients[0], segment{natClientAddrs[0], addr, 1024, port, flow.SYN, 5, 0})
	if s := k.take(tap); s.src != natAddr || s.dst != addr || s.dstPort != port || s.seq != 5 {
		k.t.Errorf("%s receives %+v", n, s)
	}
}

// watch counts the IPv4 packets that reach a guest from any address but one. The kernel picks them out, so that none is missed for being
// one of many.
type watch struct{ fd int }

func (b bed) watch(n scenario.Node, but netip.Addr) watch {
	b.t.Helper()
	w := watch{-1}
	address := but.As4()
	picks := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 12},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: labtest.IPv4, Jf: 2},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 14 + 12},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: binary.BigEndian.Uint32(address[:]), Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 128},
	}
	b.do(n, func() (err error) {
		if w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
			return err
		}
		program := unix.SockFprog{Len: uint16(len(picks)), Filter: &picks[0]}
		err = errors.Join(unix.SetsockoptInt(w.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
			unix.SetsockoptSockFprog(w.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program))
		if err != nil {
			return err
		}
		return unix.Bind(w.fd, &unix.SockaddrLinklayer{Protocol: 0x0300}) // ETH_P_ALL in network order, on every device
	})
	b.t.Cleanup(func() { unix.Close(w.fd) })
	return w
}

// next is the next packet that was picked, nil if none waits.
func (w watch) next(t *testing.T) []byte {
	t.Helper()
	buf := make([]byte, 128)
	n, _, err := unix.Recvfrom(w.fd, buf, 0)
	switch {
	case err == nil:
		return buf[:n]
	case errors.Is(err, unix.EAGAIN):
		return nil
	}
	t.Fatal(err)
	return nil
}

// Whatever happens, no packet of the clients reaches the internet under another address than the gateway's: not when ports have run out,
// not while routes lead elsewhere and the gateway goes and comes back, not while the cache is wiped.
func TestNothingLeavesUntranslated(t *testing.T) {
	s := scenarioOnce(t, natLab)
	for _, situation := range []struct {
		name    string
		offload bool
		full    bool // all ports towards port 53 of the host are in use
		reasons []flow.Reason
	}{
		{"offload=on", true, false, []flow.Reason{flow.IGWNoPublicIPEgress, flow.BlackholeRoute}},
		{"offload=off", false, false, []flow.Reason{flow.IGWNoPublicIPEgress, flow.BlackholeRoute}},
		{"without ports", true, true, []flow.Reason{flow.IGWNoPublicIPEgress, flow.BlackholeRoute, flow.NATPortExhausted}},
	} {
		t.Run(situation.name, func(t *testing.T) {
			b := start(t, s, situation.offload)
			b.silence(natHostNode)
			w := b.watch(natHostNode, netip.MustParseAddr(natAddr))
			public := b.tap(node("a", "w"))
			if err := public.Send(public.Frame(labtest.UDP("10.0.0.10", 1, natHost, 53).Bytes())); err != nil {
				t.Fatal(err)
			}
			until(t, "the watch sees a packet of another source", func() bool { return w.next(t) != nil })

			var all sync.WaitGroup
			var loads [len(natClients)]*spray
			for i, n := range natClients {
				b.silence(n)
				loads[i] = &spray{tap: b.tap(n), from: natClientAddrs[i], first: 1024}
				if situation.full {
					b.fill(loads[i])
				}
			}
			for _, load := range loads {
				all.Go(func() { load.run(t) })
			}
			stop := func() {
				for _, load := range loads {
					load.stop.Store(true)
				}
				all.Wait()
			}
			defer stop()
			until(t, "there is load", func() bool { return loads[0].sent.Load() > 1000 && (b.exhausted() > 0) == situation.full })
			before := b.tallyOf(natClients[0]).delivered.Packets
			for _, step := range s.Steps {
				if err := errors.Join(b.Apply(context.Background(), step.Change), b.fast.Wipe()); err != nil {
					t.Fatal(err)
				}
				sent := loads[0].sent.Load()
				until(t, "the load goes on", func() bool { return loads[0].sent.Load() > sent+1000 })
			}
			stop()
			if sent := b.tallyOf(natClients[0]).delivered.Packets - before; sent < 1000 {
				t.Errorf("only %d packets were delivered meanwhile", sent)
			}
			for _, reason := range situation.reasons {
				if b.dropped(reason, natClients[:]...) == 0 {
					t.Errorf("no packet was dropped for %s", reason)
				}
			}
			if leaked := w.next(t); leaked != nil {
				t.Errorf("the host received %x", leaked)
			}
		})
	}
}

// spray is a client that sends datagrams until it is told to stop: from 5000 ports in turn to port 53 of the host, and between them from
// a few ports, whose flows are known, to port 54.
type spray struct {
	tap   *labtest.Tap
	from  string
	first uint16 // of its ports
	stop  atomic.Bool
	sent  atomic.Uint64
}

func (s *spray) fresh(n int) []byte {
	return s.tap.Frame(labtest.UDP(s.from, s.first+uint16(n), natHost, 53).Bytes())
}

// fill opens as many flows as fall to one client, and leaves its further ports for the load.
func (b bed) fill(s *spray) {
	b.t.Helper()
	host := b.tap(natHostNode)
	defer host.Close()
	const most, batch = natMost / len(natClients), 500
	for n := range most {
		if err := s.tap.Send(s.fresh(n)); err != nil {
			b.t.Fatal(err)
		}
		if n%batch != batch-1 {
			continue
		}
		for range batch {
			if frame, err := host.Await(patience); frame == nil || err != nil {
				b.t.Fatalf("of %d datagrams not all arrive: %v", n, err)
			}
		}
	}
	s.first += uint16(most)
}

func (s *spray) run(t *testing.T) {
	var known [50][]byte
	for i := range known {
		known[i] = s.tap.Frame(labtest.UDP(s.from, uint16(2000+i), natHost, 54).Bytes())
	}
	for n := 0; !s.stop.Load(); n++ {
		for _, frame := range [][]byte{s.fresh(n % 5000), known[n%len(known)]} {
			if err := s.tap.Send(frame); err != nil && !errors.Is(err, unix.ENOBUFS) {
				t.Error(err)
				return
			}
		}
		s.sent.Add(1)
	}
}

// A connection through the gateway is counted as exactly as any other, on both sides, and with the fast path almost nothing of it comes up.
func TestCountsThroughNAT(t *testing.T) {
	s := scenarioOnce(t, natLab)
	client, server := natClients[0], natHostNode
	for _, situation := range []struct {
		name    string
		offload bool
		meddle  func(b bed, n int) error // every 30 ms
	}{
		{"offload=on", true, nil},
		{"offload=off", false, nil},
		{"wiped", true, func(b bed, _ int) error { return b.fast.Wipe() }},
		{"changed", true, func(b bed, n int) error {
			return b.Apply(context.Background(), s.Steps[n%2*5].Change)
		}},
	} {
		t.Run(situation.name, func(t *testing.T) {
			b := start(t, s, situation.offload)
			b.plain(client, server)
			door := fmt.Sprintf("t%d", b.attachmentOf(client).Index)
			x := transfer{bed: b, from: client, to: server, forTime: 300 * time.Millisecond, addr: netip.AddrPortFrom(netip.MustParseAddr(natHost), 9000)}
			clientBefore, serverBefore, upcalls := b.tallyOf(client), b.tallyOf(server), b.deviceCounter(door, transmitted)
			x.open()
			if peer := x.server.RemoteAddr().String(); peer != fmt.Sprintf("%s:%d", natAddr, 1024) {
				t.Errorf("the server sees %s", peer)
			}
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
			x.balance(clientBefore, serverBefore)
			if upcalls, sent := b.deviceCounter(door, transmitted)-upcalls, x.clientSent().Packets; situation.name == "offload=on" && upcalls > sent/20 {
				t.Errorf("of %d packets %d came up", sent, upcalls)
			}
		})
	}
}
