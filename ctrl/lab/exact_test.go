package lab

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// exactLab has instances that talk within a VPC, through a NAT gateway and by an internet gateway, in both families, and changes that
// concern their traffic. Ten minutes of its time are twelve seconds.
const exactLab = `
name: labtest-exact
clock: {start: 2026-01-01T00:00:00Z, rate: 50}
vpcs:
  a:
    cidr: 10.0.0.0/16
    ipv6: 2600:1f18:aa00::/56
    internet_gateway: true
    subnets:
      p: {cidr: 10.0.0.0/24, ipv6: 2600:1f18:aa00::/64, az: a, routes: {0.0.0.0/0: igw, "::/0": igw}}
      q: {cidr: 10.0.1.0/24, ipv6: "2600:1f18:aa00:1::/64", az: b, routes: {0.0.0.0/0: nat.out}}
    nat_gateways: {out: {subnet: p, ip: 10.0.0.220, eip: 198.51.100.9}}
    security_groups:
      open: {ingress: [tcp 9000-9999 from 0.0.0.0/0, "tcp 9000-9999 from ::/0", udp 9000-9999 from 10.0.0.0/16, icmp from 10.0.0.0/16]}
    instances:
      web: {subnet: p, ip: 10.0.0.10, ipv6: "2600:1f18:aa00::10", eip: 198.51.100.7, sg: [open]}
      app: {subnet: q, ip: 10.0.1.10, ipv6: "2600:1f18:aa00:1::10", sg: [open]}
internet:
  hosts: {customer: {ip: [203.0.113.80, "2001:db8:cafe::80"]}}
flow_logs:
  all:
    resource: vpc.a
    traffic: all
    interval: 60s
    destination: file:DIR/all.log
    format: "${interface-id} ${flow-direction} ${protocol} ${packets} ${bytes} ${action} ${log-status}"
checks:
  - change: {vpcs: {a: {security_groups: {open: {ingress: [tcp 9000-9999 from 0.0.0.0/0, "tcp 9000-9999 from ::/0", udp 9000-9999 from 10.0.0.0/16, icmp from 10.0.0.0/16, tcp 1 from 10.0.0.0/16]}}}}}
  - change: {vpcs: {a: {subnets: {q: {routes: {192.0.2.0/24: blackhole}}}}}}
  - change: {vpcs: {a: {subnets: {q: {routes: {192.0.2.0/24: null}}}}}}
`

// wire counts what passes a guest's interface, as a tap in the guest sees it: a packet that is to be segmented counts as its segments.
type wire struct {
	fd      int
	stop    atomic.Bool
	done    sync.WaitGroup
	ingress engineCount
	egress  engineCount
	// unlogged are the frames that flow logs do not tell of, with their Ethernet headers: into the guest and out of it.
	unloggedIn, unloggedOut engineCount
}

// listen begins to count at a guest's eth0. Frames that flow logs do not tell of are left out: ARP, neighbour and router discovery, MLD.
func (b bed) listen(n scenario.Node) *wire {
	b.t.Helper()
	w := &wire{fd: -1}
	b.do(n, func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		if w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		const heads = 128
		picks := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: heads}}
		program := unix.SockFprog{Len: uint16(len(picks)), Filter: &picks[0]}
		return errors.Join(
			unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 256<<20),
			unix.SetsockoptInt(w.fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
			unix.SetsockoptTimeval(w.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}),
			unix.SetsockoptSockFprog(w.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program),
			unix.Bind(w.fd, &unix.SockaddrLinklayer{Protocol: 0x0300, Ifindex: ifi.Index}), // ETH_P_ALL in network order
		)
	})
	w.done.Go(w.run)
	return w
}

func (w *wire) run() {
	buf := make([]byte, 256)
	for {
		n, from, err := unix.Recvfrom(w.fd, buf, 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			if w.stop.Load() {
				return
			}
			continue
		}
		if err != nil {
			return
		}
		const virtio = 10
		c := wireCountOf(buf[virtio:n], binary.NativeEndian.Uint16(buf[4:]))
		to, unlogged := &w.ingress, &w.unloggedIn
		if link, ok := from.(*unix.SockaddrLinklayer); ok && link.Pkttype == unix.PACKET_OUTGOING {
			to, unlogged = &w.egress, &w.unloggedOut
		}
		if c.Packets == 0 {
			to, c = unlogged, engineCount{1, uint64(n - virtio)} // none of them is longer than what is read
		}
		*to = engineCount{to.Packets + c.Packets, to.Bytes + c.Bytes}
	}
}

// end stops counting and says how many frames were missed.
func (w *wire) end() (missed uint32, err error) {
	w.stop.Store(true)
	w.done.Wait()
	stats, err := unix.GetsockoptTpacketStats(w.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	unix.Close(w.fd)
	if err != nil {
		return 0, err
	}
	return stats.Drops, nil
}

// wireCountOf counts a frame of which the headers are given: its packets on the wire and their IP bytes. segment is the size of the payload
// of each, if it is to be segmented.
func wireCountOf(frame []byte, segment uint16) engineCount {
	var size, headers int
	var proto uint8
	ip := frame[14:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case 0x0800:
		headers, size, proto = int(ip[0]&15)*4, int(binary.BigEndian.Uint16(ip[2:])), ip[9]
	case 0x86dd:
		headers, size, proto = 40, 40+int(binary.BigEndian.Uint16(ip[4:])), ip[6]
		if proto == 0 || proto == flow.ICMPv6 && ip[40] >= 130 && ip[40] <= 143 {
			return engineCount{}
		}
	default:
		return engineCount{}
	}
	if segment == 0 {
		return engineCount{1, uint64(size)}
	}
	headers += map[uint8]int{flow.TCP: int(ip[headers+12] >> 4 * 4), flow.UDP: 8}[proto]
	n := (size - headers + int(segment) - 1) / int(segment)
	return engineCount{uint64(n), uint64(size + (n-1)*headers)}
}

// TestLogsAreExact: after ten minutes of lab time and all sorts of traffic, while the flow cache is wiped and VPCs change, the sums in the
// flow log are what taps in the guests counted, to the packet and to the byte. Where the guests segment by themselves, so are their
// interfaces' counters, less 14 bytes of each frame and less the frames that are not logged.
func TestLogsAreExact(t *testing.T) {
	needRoot(t)
	both(t, func(t *testing.T, offload bool) { logsAreExact(t, offload, false) })
	t.Run("without segmentation offload", func(t *testing.T) { logsAreExact(t, true, true) })
}

func logsAreExact(t *testing.T, offload, segmented bool) {
	out := filepath.Join(t.TempDir(), "all.log")
	s := parse(t, strings.Replace(exactLab, "DIR/all.log", out, 1))
	l, err := Start(context.Background(), s, Options{Offload: offload})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b := bed{l, t}
	before, counters := map[scenario.Node]uint64{}, map[scenario.Node]engineCount{}
	wires := map[scenario.Node]*wire{}
	for _, n := range []scenario.Node{webNode, appNode} {
		before[n] = b.tallyOf(n).dropped[flow.UpcallQueueFull].Packets
		if segmented {
			b.segmentInGuest(n)
		}
		counters[n] = b.transmitted(n)
		wires[n] = b.listen(n)
	}
	connections := b.mixedTraffic(s, 12*time.Second)

	if err := b.Advance(2 * time.Minute); err != nil {
		t.Fatal(err)
	}
	sums := map[string]engineCount{}
	for n, w := range wires {
		missed, err := w.end()
		if err != nil || missed != 0 {
			t.Fatalf("the tap of %s missed %d frames: %v", n, missed, err)
		}
		if full := b.tallyOf(n).dropped[flow.UpcallQueueFull].Packets - before[n]; full != 0 {
			t.Fatalf("%d packets of %s found the engine's queue full: no log can tell of them", full, n)
		}
		if now := b.transmitted(n); segmented {
			got := engineCount{now.Packets - counters[n].Packets - w.unloggedOut.Packets, now.Bytes - counters[n].Bytes - w.unloggedOut.Bytes}
			if got.Bytes -= 14 * got.Packets; got != w.egress {
				t.Errorf("%s: the interface sent %+v, less %+v that are not logged, and the tap has %+v", n, got, w.unloggedOut, w.egress)
			}
		}
		id := b.interfaceID(n)
		sums[id+" egress"], sums[id+" ingress"] = w.egress, w.ingress
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	logged, records := sumsOf(t, out)
	for what, want := range sums {
		if got := logged[what]; got != want || want.Packets < 1000 {
			t.Errorf("%s: the log has %d packets of %d bytes, and the tap %d of %d", what, got.Packets, got.Bytes, want.Packets, want.Bytes)
		}
	}
	t.Logf("%d short connections, %d records, %v", connections, records, sums)
}

// segmentInGuest switches segmentation offload off at a guest's eth0: what its interface counts then is what the wire carries.
func (b bed) segmentInGuest(n scenario.Node) {
	b.t.Helper()
	const setTSO, setGSO = 0x1f, 0x24 // ETHTOOL_STSO, ETHTOOL_SGSO of linux/ethtool.h
	b.do(n, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for _, command := range []uint32{setTSO, setGSO} {
			value := struct{ command, on uint32 }{command, 0}
			request := struct {
				name [unix.IFNAMSIZ]byte
				data unsafe.Pointer
				_    [16]byte
			}{data: unsafe.Pointer(&value)}
			copy(request.name[:], "eth0")
			if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
				return fmt.Errorf("ethtool command %#x: %w", command, errno)
			}
		}
		return nil
	})
}

// transmitted is what a guest's eth0 has sent by its own count: frames and their bytes.
func (b bed) transmitted(n scenario.Node) (c engineCount) {
	b.t.Helper()
	b.do(n, func() error {
		table, err := os.ReadFile("/proc/thread-self/net/dev")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(table)) {
			if fields := strings.Fields(line); len(fields) > 10 && fields[0] == "eth0:" {
				_, err := fmt.Sscan(fields[9]+" "+fields[10], &c.Bytes, &c.Packets)
				return err
			}
		}
		return errors.New("/proc/net/dev has no eth0")
	})
	return c
}

// interfaceID is the ENI of a node's eth0.
func (b bed) interfaceID(n scenario.Node) string {
	return b.plan.Interfaces[b.attachmentOf(n).Index].ID
}

// sumsOf adds up a delivered log's records, accepted ones and refusals on the way out: what a tap in the guest sees.
func sumsOf(t *testing.T, path string) (sums map[string]engineCount, records int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sums = map[string]engineCount{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var id, direction, packets, bytes, action, status string
		var proto string
		if _, err := fmt.Sscan(lines.Text(), &id, &direction, &proto, &packets, &bytes, &action, &status); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		if status != flowlog.OK.String() || direction == "ingress" && action == "REJECT" {
			continue
		}
		var p, by uint64
		if _, err := fmt.Sscan(packets+" "+bytes, &p, &by); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		c := sums[id+" "+direction]
		sums[id+" "+direction] = engineCount{c.Packets + p, c.Bytes + by}
		records++
	}
	return sums, records
}

// mixedTraffic sends all sorts of packets for some real time, while the lab changes every second and the cache is wiped three times, and
// returns how many short connections there were.
func (b bed) mixedTraffic(s *scenario.Scenario, d time.Duration) int64 {
	b.t.Helper()
	const connections = 10000
	deadline, latest := time.Now().Add(d), time.Now().Add(d+time.Minute)
	var all sync.WaitGroup
	var short atomic.Int64
	until := func() bool {
		now := time.Now()
		return now.Before(deadline) || short.Load() < connections && now.Before(latest)
	}

	for i, path := range []struct {
		from, to scenario.Node
		addr     string
	}{{webNode, appNode, "10.0.1.10"}, {appNode, webNode, "2600:1f18:aa00::10"}, {appNode, customerNode, "203.0.113.80"}, {customerNode, webNode, "198.51.100.7"}} {
		x := &transfer{bed: b, from: path.from, to: path.to, forTime: d / 2, addr: netip.AddrPortFrom(netip.MustParseAddr(path.addr), uint16(9000+i))}
		x.open()
		all.Go(x.run)
	}
	listener := b.listenTCP(appNode, 9100)
	defer listener.Close()
	go answerAll(listener)
	for range 4 {
		all.Go(func() {
			for until() {
				if b.shortConnection(webNode, "10.0.1.10:9100") == nil {
					short.Add(1)
				}
			}
		})
	}
	refused, from := b.udp(webNode, 9200), b.udp(appNode, 9200)
	for _, c := range []*net.UDPConn{refused, from} {
		if err := c.SetDeadline(latest.Add(patience)); err != nil {
			b.t.Fatal(err)
		}
	}
	all.Go(func() {
		to := netip.MustParseAddrPort("10.0.0.10:9200")
		beat := time.NewTicker(2 * time.Millisecond)
		defer beat.Stop()
		for port := uint16(0); until(); <-beat.C {
			port++
			_, a := from.WriteToUDPAddrPort(make([]byte, 300), to)
			_, c := from.WriteToUDPAddrPort(make([]byte, 100), netip.AddrPortFrom(to.Addr(), 1+port%500)) // no rule lets it in
			if err := errors.Join(a, c); err != nil {
				b.t.Error(err)
				return
			}
		}
	})
	change := during(time.Second, func(n int) error {
		var wiped error
		if n%4 == 3 {
			wiped = b.fast.Wipe()
		}
		return errors.Join(wiped, b.Apply(context.Background(), s.Steps[n%len(s.Steps)].Change))
	})
	all.Wait()
	if n, err := change.stop(); err != nil || n < 8 {
		b.t.Errorf("%d changes: %v", n, err)
	}
	if n := short.Load(); n < connections {
		b.t.Errorf("only %d short connections in %v", n, d+time.Minute)
	}
	return short.Load()
}

func (b bed) listenTCP(n scenario.Node, port int) (l net.Listener) {
	b.t.Helper()
	b.do(n, func() (err error) {
		l, err = net.Listen("tcp", fmt.Sprintf(":%d", port))
		return err
	})
	return l
}

// answerAll reads a byte of each connection, answers and closes.
func answerAll(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			if _, err := io.ReadFull(c, make([]byte, 1)); err == nil {
				c.Write([]byte{1}) // its client says if that fails
			}
		}()
	}
}

// shortConnection connects, exchanges a byte and closes.
func (b bed) shortConnection(n scenario.Node, to string) error {
	var c net.Conn
	if err := b.Do(n, func() (err error) {
		c, err = net.DialTimeout("tcp", to, patience)
		return err
	}); err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := c.Write([]byte{1}); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}
