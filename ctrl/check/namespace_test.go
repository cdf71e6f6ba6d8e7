package check

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// wire is a lab of one guest, whose network is the test: the guest's NIC is a TUN (or, with ARP, a TAP) device, and the test reads what
// the guest sends and writes what it is to receive.
//
//	guest, 10.0.0.5/24 and 2001:db8::5/64 ── tun0 ── script(packet) -> packets
//
// There is no route beyond 10.0.0.0/24 and 2001:db8::/64. The namespace has no name and goes away with the test's descriptors.
type wire struct {
	twin
	ns  *os.File
	nic *os.File

	mu   sync.Mutex
	sent [][]byte
}

var (
	guest4  = netip.MustParseAddr("10.0.0.5")
	router4 = netip.MustParseAddr("10.0.0.1")
	peer4   = netip.MustParseAddr("10.0.0.9")
	guest6  = netip.MustParseAddr("2001:db8::5")
	router6 = netip.MustParseAddr("2001:db8::1")
	peer6   = netip.MustParseAddr("2001:db8::9")
)

func (l *wire) Do(_ scenario.Node, f func() error) error { return within(l.ns, f) }

// within runs f in a network namespace.
func within(ns *os.File, f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			result <- err
			return
		}
		result <- f()
	}()
	return <-result
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("REQUIRE_ROOT") == "1" {
		t.Fatal("this test needs root, and REQUIRE_ROOT=1 says that it must run")
	}
	t.Skip("needs root: it makes a network namespace")
}

// newWire makes the guest. script answers each packet that the guest sends; nil answers nothing.
func newWire(t *testing.T, kind uint16, script func(packet []byte) [][]byte) *wire {
	t.Helper()
	needRoot(t)
	l := &wire{}
	made := make(chan error)
	go func() {
		runtime.LockOSThread()
		made <- l.build(kind)
	}()
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	eventually(t, "the IPv6 address ready for use", l.settled)
	var wg sync.WaitGroup
	wg.Go(func() { l.runScript(script) })
	t.Cleanup(func() {
		l.nic.Close()
		l.ns.Close()
		wg.Wait()
	})
	return l
}

func (l *wire) build(kind uint16) (err error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if l.ns, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return err
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq("tun0")
	if err != nil {
		return err
	}
	request.SetUint16(kind | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return fmt.Errorf("TUNSETIFF: %w", err)
	}
	l.nic = os.NewFile(uintptr(fd), "/dev/net/tun") // after TUNSETIFF, or the poller finds nothing to wait for
	return configure("tun0")
}

// configure gives the NIC its addresses and brings it up.
func configure(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	fd6, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd6)
	os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/accept_dad", []byte("0"), 0)

	request, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := request.SetInet4Addr(guest4.AsSlice()); err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFADDR, request); err != nil {
		return fmt.Errorf("SIOCSIFADDR: %w", err)
	}
	if err := request.SetInet4Addr([]byte{255, 255, 255, 0}); err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFNETMASK, request); err != nil {
		return fmt.Errorf("SIOCSIFNETMASK: %w", err)
	}
	for _, device := range []string{"lo", name} {
		up, err := unix.NewIfreq(device)
		if err != nil {
			return err
		}
		up.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, up); err != nil {
			return fmt.Errorf("SIOCSIFFLAGS %s: %w", device, err)
		}
	}
	index, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, index); err != nil {
		return fmt.Errorf("SIOCGIFINDEX: %w", err)
	}
	address := struct { // struct in6_ifreq of linux/ipv6.h
		addr  [16]byte
		plen  uint32
		index int32
	}{guest6.As16(), 64, int32(index.Uint32())}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd6), unix.SIOCSIFADDR, uintptr(unsafe.Pointer(&address))); errno != 0 {
		return fmt.Errorf("SIOCSIFADDR of IPv6: %w", errno)
	}
	return nil
}

// settled reports whether the guest's IPv6 address is tentative no longer: the kernel sees to that on a work queue, even without
// duplicate address detection.
func (l *wire) settled() bool {
	const tentative = 0x40
	ready := false
	l.Do(client, func() error {
		table, err := os.ReadFile("/proc/thread-self/net/if_inet6") // address, index, prefix length, scope, flags, device
		for line := range strings.Lines(string(table)) {
			f := strings.Fields(line)
			flags, bad := strconv.ParseUint(f[4], 16, 32)
			if f[0] == hex.EncodeToString(guest6.AsSlice()) {
				ready = bad == nil && flags&tentative == 0
			}
		}
		return err
	})
	return ready
}

func (l *wire) runScript(script func([]byte) [][]byte) {
	buf := make([]byte, 1<<16)
	for {
		n, err := l.nic.Read(buf)
		if err != nil {
			return
		}
		packet := bytes.Clone(buf[:n])
		l.mu.Lock()
		l.sent = append(l.sent, packet)
		l.mu.Unlock()
		if script == nil {
			continue
		}
		for _, answer := range script(packet) {
			l.nic.Write(answer)
		}
	}
}

// has reports whether the guest sent exactly this packet.
func (l *wire) has(packet []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.sent {
		if bytes.Equal(p, packet) {
			return true
		}
	}
	return false
}

// icmpAbout is an ICMP error about a packet: rest are the four bytes after its checksum.
func icmpAbout(from netip.Addr, kind, code uint8, rest uint32, about []byte) []byte {
	about = about[:min(len(about), 548)]
	c, ok := dissect(about)
	if !ok {
		panic("the guest sent what is no packet")
	}
	p := scenario.Packet{Protocol: flow.ICMP, Src: from, Dst: c.tuple.SrcAddr(), TTL: 64}
	var word [4]byte
	binary.BigEndian.PutUint32(word[:], rest)
	payload := gopacket.Payload(append(word[:], about...))
	var icmp gopacket.SerializableLayer
	if from.Is4() {
		icmp = &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(kind, code), Id: uint16(rest >> 16), Seq: uint16(rest)}
		payload = about
	} else {
		p.Protocol = flow.ICMPv6
		v6 := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, code)}
		v6.SetNetworkLayerForChecksum(pseudoHeader(p))
		icmp = v6
	}
	return above(p, icmp, payload)
}

// above puts an IP header before layers.
func above(p scenario.Packet, parts ...gopacket.SerializableLayer) []byte {
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, parts...); err != nil {
		panic(err)
	}
	packet, err := addIP(p, 1, buf.Bytes(), nil)
	if err != nil {
		panic(err)
	}
	return packet
}

// script answers packets of one protocol and ignores the rest (router solicitations, multicast reports).
func script(proto uint8, answer func(packet []byte, c captured) []byte) func([]byte) [][]byte {
	return func(packet []byte) [][]byte {
		c, ok := dissect(packet)
		if !ok || c.tuple.Protocol != proto {
			return nil
		}
		if a := answer(packet, c); a != nil {
			return [][]byte{a}
		}
		return nil
	}
}

// errorFrom answers every packet with one ICMP error.
func errorFrom(router netip.Addr, kind, code uint8, rest uint32) func([]byte, captured) []byte {
	return func(packet []byte, _ captured) []byte { return icmpAbout(router, kind, code, rest, packet) }
}

// segment answers a TCP segment with one that acknowledges it.
func segment(c captured, sequence uint32, flags uint8, text string) []byte {
	p := scenario.Packet{Protocol: flow.TCP, Src: c.tuple.DstAddr(), Dst: c.tuple.SrcAddr(), TTL: 64}
	got := uint32(len(c.upper)) - uint32(c.upper[12]>>4)*4
	if c.upper[13]&flow.SYN != 0 {
		got++
	}
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(c.tuple.DstPort), DstPort: layers.TCPPort(c.tuple.SrcPort), SYN: flags&flow.SYN != 0, ACK: true, Window: 65535,
		Seq: sequence, Ack: binary.BigEndian.Uint32(c.upper[4:]) + got,
	}
	tcp.SetNetworkLayerForChecksum(pseudoHeader(p))
	return above(p, tcp, gopacket.Payload(text))
}

// An ICMP error about an established connection is advice (RFC 1122 section 4.2.3.9): TCP sends again, and here that succeeds.
func TestAnICMPErrorDoesNotEndAnEstablishedConnection(t *testing.T) {
	var complained atomic.Bool
	lab := newWire(t, unix.IFF_TUN, script(flow.TCP, func(packet []byte, c captured) []byte {
		data := len(c.upper) > int(c.upper[12]>>4)*4
		switch {
		case c.upper[13]&flow.SYN != 0:
			return segment(c, 1000, flow.SYN, "")
		case data && complained.CompareAndSwap(false, true):
			return icmpAbout(router4, 3, 1, 0, packet)
		case data:
			return segment(c, 1001, 0, "hello\n")
		}
		return nil
	}))
	want(t, run(t, start(t, lab), scenario.Check{Do: tcpTo(peer4, 80)}), true, scenario.OK, "another protocol")
	if !complained.Load() {
		t.Error("no ICMP error was sent")
	}
}

// reset answers a SYN with an RST.
func reset(_ []byte, c captured) []byte {
	p := scenario.Packet{Protocol: flow.TCP, Src: c.tuple.DstAddr(), Dst: c.tuple.SrcAddr(), TTL: 64}
	tcp := &layers.TCP{SrcPort: layers.TCPPort(c.tuple.DstPort), DstPort: layers.TCPPort(c.tuple.SrcPort), RST: true, ACK: true,
		Ack: binary.BigEndian.Uint32(c.upper[4:]) + 1}
	tcp.SetNetworkLayerForChecksum(pseudoHeader(p))
	return above(p, tcp)
}

// echo answers an echo request.
func echo(_ []byte, c captured) []byte {
	p := scenario.Packet{Protocol: c.tuple.Protocol, Src: c.tuple.DstAddr(), Dst: c.tuple.SrcAddr(), TTL: 64}
	if p.Protocol == flow.ICMP {
		if c.upper[0] != layers.ICMPv4TypeEchoRequest {
			return nil
		}
		return above(p, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoReply, 0),
			Id: c.tuple.SrcPort, Seq: binary.BigEndian.Uint16(c.upper[6:])}, gopacket.Payload(c.upper[8:]))
	}
	if c.upper[0] != layers.ICMPv6TypeEchoRequest {
		return nil
	}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoReply, 0)}
	icmp.SetNetworkLayerForChecksum(pseudoHeader(p))
	return above(p, icmp, gopacket.Payload(c.upper[4:]))
}

// second answers with answer from the second packet on.
func second(answer func([]byte, captured) []byte) func([]byte, captured) []byte {
	first := true
	return func(packet []byte, c captured) []byte {
		if first {
			first = false
			return nil
		}
		return answer(packet, c)
	}
}

func pingTo(a netip.Addr) scenario.Do { return scenario.Do{Verb: scenario.Ping, Addr: a} }

func sending(p scenario.Packet) scenario.Do {
	if p.TTL == 0 {
		p.TTL = 64
	}
	return scenario.Do{Verb: scenario.Send, Send: p}
}

func TestWhatComesBackFromTheNetwork(t *testing.T) {
	syn := sending(scenario.Packet{Protocol: flow.TCP, Src: guest4, Dst: peer4, SrcPort: 1000, DstPort: 80, TCPFlags: flow.SYN})
	datagram := sending(scenario.Packet{Protocol: flow.UDP, Src: guest4, Dst: peer4, SrcPort: 1000, DstPort: 53, Size: 20})
	datagram6 := sending(scenario.Packet{Protocol: flow.UDP, Src: guest6, Dst: peer6, SrcPort: 1000, DstPort: 53, Size: 20})
	request := sending(scenario.Packet{Protocol: flow.ICMP, Src: guest4, Dst: peer4, ICMPType: 8})
	request6 := sending(scenario.Packet{Protocol: flow.ICMPv6, Src: guest6, Dst: peer6, ICMPType: 128})
	far4, far6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8:9::1")

	rows := []struct {
		name   string
		do     scenario.Do
		answer func([]byte, captured) []byte
		got    scenario.Outcome
		mtu    int
		detail string
	}{
		{"tcp, host unreachable", tcpTo(peer4, 80), errorFrom(router4, 3, 1, 0), scenario.Unreachable, 0, "ICMP host unreachable from 10.0.0.1"},
		{"tcp, prohibited", tcpTo(peer4, 80), errorFrom(router4, 3, 13, 0), scenario.Unreachable, 0, "ICMP administratively prohibited from 10.0.0.1"},
		{"tcp, port unreachable", tcpTo(peer4, 80), errorFrom(peer4, 3, 3, 0), scenario.Refused, 0, "ICMP port unreachable from 10.0.0.9"},
		{"tcp, RST", tcpTo(peer4, 80), reset, scenario.Refused, 0, "RST in answer to the SYN"},
		{"tcp over IPv6, no route", tcpTo(peer6, 80), errorFrom(router6, 1, 0, 0), scenario.Unreachable, 0, "ICMPv6 no route to destination from 2001:db8::1"},
		{"tcp over IPv6, port unreachable", tcpTo(peer6, 80), errorFrom(peer6, 1, 4, 0), scenario.Refused, 0, "ICMPv6 port unreachable"},
		{"tcp, nowhere to go", tcpTo(far4, 80), nil, scenario.Unreachable, 0, "app/web has no route to 192.0.2.1"},
		{"tcp over IPv6, nowhere to go", tcpTo(far6, 80), nil, scenario.Unreachable, 0, "app/web has no route to 2001:db8:9::1"},
		{"udp, port unreachable", udpTo(peer4, 53), errorFrom(peer4, 3, 3, 0), scenario.Refused, 0, "ICMP port unreachable from 10.0.0.9"},
		{"udp, fragmentation needed", udpTo(peer4, 53), errorFrom(router4, 3, 4, 1400), scenario.Unreachable, 1400,
			"ICMP fragmentation needed from 10.0.0.1, MTU 1400"},
		{"udp over IPv6, too big", udpTo(peer6, 53), errorFrom(router6, 2, 0, 1300), scenario.Unreachable, 1300, "ICMPv6 packet too big from 2001:db8::1, MTU 1300"},
		{"udp, nowhere to go", udpTo(far4, 53), nil, scenario.Unreachable, 0, "app/web has no route to 192.0.2.1"},
		{"http, host unreachable", pageAt(peer4, 80), errorFrom(router4, 3, 1, 0), scenario.Unreachable, 0, "ICMP host unreachable from 10.0.0.1"},

		{"ping", pingTo(peer4), echo, scenario.OK, 0, "echo reply after"},
		{"ping, answered at the second try", pingTo(peer4), second(echo), scenario.OK, 0, "echo reply after 1"},
		{"ping6", scenario.Do{Verb: scenario.Ping6, Addr: peer6}, echo, scenario.OK, 0, "echo reply after"},
		{"ping, host unreachable", pingTo(peer4), errorFrom(router4, 3, 1, 0), scenario.Unreachable, 0, "ICMP host unreachable from 10.0.0.1"},
		{"ping, expired", pingTo(peer4), errorFrom(router4, 11, 0, 0), scenario.Unreachable, 0, "ICMP time to live exceeded from 10.0.0.1"},
		{"ping6, unreachable", pingTo(peer6), errorFrom(router6, 1, 3, 0), scenario.Unreachable, 0, "ICMPv6 address unreachable from 2001:db8::1"},
		{"ping, nowhere to go", pingTo(far4), nil, scenario.Unreachable, 0, "app/web has no route to 192.0.2.1"},

		{"send, RST", syn, reset, scenario.Refused, 0, "RST in answer"},
		{"send, port unreachable", datagram, errorFrom(peer4, 3, 3, 0), scenario.Refused, 0, "ICMP port unreachable from 10.0.0.9"},
		{"send, fragmentation needed", datagram, errorFrom(router4, 3, 4, 1500), scenario.Unreachable, 1500, "MTU 1500"},
		{"send over IPv6, too big", datagram6, errorFrom(router6, 2, 0, 1500), scenario.Unreachable, 1500, "MTU 1500"},
		{"send, an answer proves it arrived", request, echo, scenario.OK, 0, "delivered"},
		{"send over IPv6, an answer", request6, echo, scenario.OK, 0, "delivered"},
		{"send, nowhere to go", sending(scenario.Packet{Protocol: flow.UDP, Src: guest4, Dst: far4, DstPort: 53}), nil, scenario.Unreachable, 0,
			"app/web has no route to 192.0.2.1"},
		{"send over IPv6, nowhere to go", sending(scenario.Packet{Protocol: flow.UDP, Dst: far6, DstPort: 53}), nil, scenario.Unreachable, 0, "no route"},
		{"send, larger than the guest's NIC", sending(scenario.Packet{Protocol: flow.UDP, Src: guest4, Dst: peer4, DstPort: 53, Size: 1473}), nil,
			scenario.Unreachable, 0, "a packet of 1501 bytes is larger than the MTU of app/web itself"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			proto := map[scenario.Verb]uint8{scenario.TCP: flow.TCP, scenario.HTTP: flow.TCP, scenario.UDP: flow.UDP, scenario.Send: row.do.Send.Protocol}[row.do.Verb]
			if proto == 0 {
				proto = flow.ICMP
				if !row.do.Addr.Is4() {
					proto = flow.ICMPv6
				}
			}
			var answers func([]byte) [][]byte
			if row.answer != nil {
				answers = script(proto, row.answer)
			}
			r := start(t, newWire(t, unix.IFF_TUN, answers))
			want(t, run(t, r, scenario.Check{Do: row.do, Expect: scenario.Expect{Outcome: row.got, MTU: row.mtu}, Wait: 3 * time.Second}),
				true, row.got, row.detail)
		})
	}
}

// Another program's ping, and an error about it, are none of this check's.
func TestPingIsNotMovedByOthers(t *testing.T) {
	stranger := func(packet []byte, c captured) [][]byte {
		if c.upper[0] != layers.ICMPv4TypeEchoRequest {
			return nil
		}
		ping, err := craft(scenario.Packet{Protocol: flow.ICMP, Src: guest4, Dst: peer4, ICMPType: 8, TTL: 64}, c.tuple.SrcPort+1)
		if err != nil {
			panic(err)
		}
		other := ping.packets[0]
		foreign, _ := dissect(other)
		return [][]byte{icmpAbout(router4, 3, 1, 0, other), echo(other, foreign), echo(packet, c)}
	}
	r := start(t, newWire(t, unix.IFF_TUN, func(packet []byte) [][]byte {
		c, ok := dissect(packet)
		if !ok || c.tuple.Protocol != flow.ICMP {
			return nil
		}
		return stranger(packet, c)
	}))
	want(t, run(t, r, scenario.Check{Do: pingTo(peer4)}), true, scenario.OK, "echo reply")
}

// The packet leaves the guest as it was crafted, with a forged source too, and the lab says what became of it.
func TestSendIsJudgedByTheLab(t *testing.T) {
	forged := netip.MustParseAddr("1.2.3.4")
	forged6 := netip.MustParseAddr("2001:db8:bad::1")
	for _, p := range []scenario.Packet{
		{Protocol: flow.UDP, Src: forged, Dst: peer4, SrcPort: 1000, DstPort: 53, Size: 8, TTL: 9},
		{Protocol: flow.UDP, Src: forged6, Dst: peer6, SrcPort: 1000, DstPort: 53, Size: 8, TTL: 9},
		{Protocol: flow.UDP, Src: guest4, Dst: peer4, SrcPort: 1000, DstPort: 53, Size: 9, TTL: 64, Fragment: true},
		{Protocol: flow.UDP, Src: guest6, Dst: peer6, SrcPort: 1000, DstPort: 53, Size: 9, TTL: 64, Fragment: true},
		{Protocol: 132, Src: guest4, Dst: peer4, Size: 40, TTL: 64, DontFragment: true},
		{Protocol: flow.ICMPv6, Src: guest6, Dst: peer6, ICMPType: 128, TTL: 64, Size: 3},
		{Protocol: flow.UDP, Src: guest4, Dst: netip.MustParseAddr("10.0.0.255"), DstPort: 9, TTL: 64},
		{Protocol: flow.UDP, Src: guest4, Dst: peer4, SrcPort: 1001, DstPort: 53, Size: 1000, TTL: 64, FragmentSize: 400},
		{Protocol: flow.UDP, Src: guest6, Dst: peer6, SrcPort: 1001, DstPort: 53, Size: 1000, TTL: 64, FragmentSize: 400},
		{Protocol: flow.TCP, Src: forged, Dst: peer4, SrcPort: 1001, DstPort: 53, Size: 1000, TTL: 64,
			Pieces: []scenario.Piece{{From: 512, To: 1020}, {From: 0, To: 512}, {From: 256, To: 640}}},
	} {
		t.Run(tupleOf(p, 0).String(), func(t *testing.T) {
			t.Parallel()
			lab := newWire(t, unix.IFF_TUN, nil)
			r := start(t, lab)
			do := scenario.Do{Verb: scenario.Send, Send: p}
			lab.delivered = true
			want(t, run(t, r, scenario.Check{Do: do}), true, scenario.OK, "delivered")
			exact, err := craft(p, r.echo)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range exact.packets {
				eventually(t, "the crafted packet on the wire", func() bool { return lab.has(b) })
			}
			lab.delivered = false
			lab.drop(Drop{Reason: flow.SourceDestCheck, At: "web/src-check"})
			want(t, run(t, r, scenario.Check{Do: do, Expect: scenario.Expect{Outcome: scenario.Timeout}, Because: "ENI_SOURCE_DEST_CHECK_RESTRICTION"}),
				true, scenario.Timeout, "dropped at web/src-check")
		})
	}
}

// A packet in fragments did not arrive when one of them was dropped, though the first one was delivered; a repetition is not missed.
func TestAPacketInFragmentsArrivesWhole(t *testing.T) {
	send := func(pieces ...scenario.Piece) scenario.Do {
		return sending(scenario.Packet{Protocol: flow.UDP, Src: guest4, Dst: peer4, DstPort: 53, Size: 100, TTL: 64, Pieces: pieces})
	}
	overlap := Drop{Reason: flow.FragmentOverlap, At: "web"}
	for _, row := range []struct {
		name    string
		do      scenario.Do
		drops   []Drop
		outcome scenario.Outcome
		detail  string
	}{
		{"all", send(scenario.Piece{From: 0, To: 64}, scenario.Piece{From: 64, To: 108}), nil, scenario.OK, "delivered"},
		{"never sent", send(scenario.Piece{From: 0, To: 64}), nil, scenario.Timeout, "leave out a part"},
		{"without one", send(scenario.Piece{From: 0, To: 64}, scenario.Piece{From: 56, To: 108}), []Drop{overlap}, scenario.Timeout,
			"dropped at web for FRAGMENT_OVERLAP"},
		{"without a repetition", send(scenario.Piece{From: 0, To: 64}, scenario.Piece{From: 0, To: 64}, scenario.Piece{From: 64, To: 108}),
			[]Drop{overlap}, scenario.OK, "delivered"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			lab := newWire(t, unix.IFF_TUN, nil)
			lab.delivered, lab.journal = true, row.drops
			want(t, run(t, start(t, lab), scenario.Check{Do: row.do, Expect: scenario.Expect{Outcome: row.outcome}}), true, row.outcome, row.detail)
		})
	}
}

// An answer may be long on its way: who expects it waits for it, and who does not, does not.
func TestSendWaitsForTheAnswerThatIsExpected(t *testing.T) {
	datagram := sending(scenario.Packet{Protocol: flow.UDP, Src: guest4, Dst: peer4, SrcPort: 1000, DstPort: 53, TTL: 64})
	for outcome, detail := range map[scenario.Outcome]string{scenario.Refused: "ICMP port unreachable", scenario.OK: "delivered"} {
		t.Run(string(outcome), func(t *testing.T) {
			t.Parallel()
			lab := newWire(t, unix.IFF_TUN, script(flow.UDP, func(packet []byte, c captured) []byte {
				<-time.After(4 * answerTime)
				return errorFrom(peer4, 3, 3, 0)(packet, c)
			}))
			lab.delivered = true
			want(t, run(t, start(t, lab), scenario.Check{Do: datagram, Expect: scenario.Expect{Outcome: outcome}}), true, outcome, detail)
		})
	}
}

func TestSendFindsItsOwnSource(t *testing.T) {
	lab := newWire(t, unix.IFF_TUN, nil)
	lab.delivered = true
	r := start(t, lab)
	want(t, run(t, r, scenario.Check{Do: sending(scenario.Packet{Protocol: flow.UDP, Dst: peer4, DstPort: 53})}), true, scenario.OK, "")
	if asked := lab.asked[len(lab.asked)-1]; asked.SrcAddr() != guest4 {
		t.Errorf("the packet's source was %s, want %s", asked.SrcAddr(), guest4)
	}
}

// When nobody answers ARP or neighbour solicitations, the guest's own kernel makes up an ICMP error. That is a timeout and not an answer.
func TestFailedNeighbourResolutionIsATimeout(t *testing.T) {
	lab := newWire(t, unix.IFF_TAP, nil)
	err := lab.Do(client, func() error {
		for _, family := range []string{"ipv4", "ipv6"} {
			path := "/proc/sys/net/" + family + "/neigh/tun0/retrans_time_ms"
			if err := os.WriteFile(path, []byte("50"), 0); err != nil { // three times 1 s otherwise
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, lab)
	for _, do := range []scenario.Do{tcpTo(peer4, 80), udpTo(peer4, 53), pingTo(peer4), tcpTo(peer6, 80), udpTo(peer6, 53), pingTo(peer6)} {
		t.Run(fmt.Sprintf("%s to %s", do.Verb, do.Addr), func(t *testing.T) {
			result := run(t, r, scenario.Check{Do: do, Expect: scenario.Expect{Outcome: scenario.Timeout}})
			want(t, result, true, scenario.Timeout, "nobody on the subnet answers for "+do.Addr.String())
		})
	}
}

func TestAProgramLivesInTheNamespace(t *testing.T) {
	lab := newWire(t, unix.IFF_TUN, nil)
	r := start(t, lab)
	want(t, run(t, r, scenario.Check{Do: shell("grep -q tun0 /proc/net/dev")}), true, scenario.OK, "exit status 0")
	p, err := StartProgram(lab, client, []string{"sleep", "64"}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var own, its unix.Stat_t
	if err := unix.Fstat(int(lab.ns.Fd()), &own); err != nil {
		t.Fatal(err)
	}
	if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/net", p.cmd.Process.Pid), &its); err != nil {
		t.Fatal(err)
	}
	if own.Ino != its.Ino {
		t.Error("the program is in another namespace")
	}
}
