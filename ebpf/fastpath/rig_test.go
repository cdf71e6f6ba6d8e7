package fastpath

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// needsRoot skips a test that an ordinary user cannot run. REQUIRE_ROOT=1 makes that a failure.
func needsRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("REQUIRE_ROOT") == "1" {
		t.Fatal("needs root")
	}
	t.Skip("needs root")
}

// The one attachment whose frames the programs are run with. Its veth is the loopback device, because the kernel runs a program
// on a device that exists; nothing is sent.
var (
	guest    = [6]byte{2, 0, 0, 0, 1, 3}
	router   = [6]byte{2, 0, 0, 0, 2, 3}
	receiver = Attachment{Index: 9, Veth: 900, TUN: 901, GuestMAC: [6]byte{2, 0, 0, 0, 1, 9}, RouterMAC: [6]byte{2, 0, 0, 0, 2, 9}}
	sender   = Attachment{Index: 3, Veth: 1, TUN: 902, GuestMAC: guest, RouterMAC: router, Scope: 77}
)

const slotsInTest = 64

// rig is a fast path whose programs are run by hand.
type rig struct {
	*FastPath
	t testing.TB
}

func newRig(t testing.TB) rig {
	t.Helper()
	needsRoot(t)
	f, err := Load(Config{MaxFlows: 128, MaxSlots: slotsInTest, MaxAttachments: 16, MaxDomains: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, a := range []Attachment{sender, receiver} {
		made := &attached{Attachment: a, maps: &f.objects.fabricMaps}
		if err := made.enter(); err != nil {
			t.Fatal(err)
		}
		f.attached[a.Index] = made
	}
	return rig{f, t}
}

// skBuff is struct __sk_buff, of which a test run takes the fields that have names here.
type skBuff struct {
	_        [8]byte
	Mark     uint32
	_        [20]byte
	Priority uint32
	_        [164 - 36]byte
	GSOSegs  uint32
	_        [8]byte
	GSOSize  uint32
	_        [12]byte
}

// What becomes of a frame. A drop reads "drop CODE".
const (
	upcall   = "upcall"
	deliver  = "deliver"
	answer   = "answer"
	consumed = "consumed"
)

func drop(r flow.Reason) string { return "drop " + r.String() }

// sent is one frame's fate.
type sent struct {
	outcome string
	frame   []byte // as the program left it
	skb     skBuff
	counted flow.DropCounter // what was added to the drop counter, or to the control counter
}

// send runs from_eni and checks that exactly one fate was recorded.
func (r rig) send(frame []byte) sent { return r.sendAs(frame, skBuff{}) }

func (r rig) sendAs(frame []byte, skb skBuff) sent {
	r.t.Helper()
	before := r.state()
	opts := rigRun(frame, skb)
	ret, err := r.objects.FromEni.Run(opts)
	if err != nil {
		r.t.Fatalf("run from_eni: %v", err)
	}
	result := sent{frame: opts.DataOut, skb: *opts.ContextOut.(*skBuff)}
	after := r.state()

	var fates []string
	for reason := range flow.ReasonStride {
		was, is := before.drops[reason], after.drops[reason]
		if was == is {
			continue
		}
		result.counted = flow.DropCounter{Packets: is.Packets - was.Packets, Bytes: is.Bytes - was.Bytes}
		switch {
		case reason != int(flow.None):
			fates = append(fates, drop(flow.Reason(reason)))
		case ret == redirected:
			fates = append(fates, answer)
		default:
			fates = append(fates, consumed)
		}
	}
	counted := before.slots != after.slots
	const shot = 2
	switch {
	case ret == redirected && counted && len(fates) == 0:
		fates = append(fates, deliver)
	case ret == redirected && !counted && len(fates) == 0:
		fates = append(fates, upcall)
		if !bytes.Equal(frame, result.frame) {
			r.t.Errorf("upcall of a changed frame\nwas %x\nis  %x", frame, result.frame)
		}
	case ret != redirected && ret != shot:
		r.t.Errorf("from_eni returned %d", ret)
	}
	if len(fates) != 1 {
		r.t.Fatalf("frame %x has the fates %q, want one", frame, fates)
	}
	result.outcome = fates[0]
	return result
}

// rigRun asks the kernel to run a program once on a frame.
func rigRun(frame []byte, skb skBuff) *ebpf.RunOptions {
	return &ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256), Context: skb, ContextOut: &skb, Repeat: 1}
}

// redirected is TC_ACT_REDIRECT.
const redirected = 7

type state struct {
	drops [flow.ReasonStride]flow.DropCounter
	slots [slotsInTest]flow.Counters
}

func (r rig) state() (s state) {
	for i := range s.drops {
		s.drops[i] = r.Memory().Drop(sender.Index, flow.Reason(i)).Read()
	}
	for i := range s.slots {
		s.slots[i] = r.Memory().Slots[i].Read()
	}
	return s
}

func (r rig) slot(i uint32) *flow.Counters { return &r.Memory().Slots[i] }

// expect sends a frame and wants an outcome.
func (r rig) expect(frame []byte, outcome string) sent {
	r.t.Helper()
	got := r.send(frame)
	if got.outcome != outcome {
		r.t.Errorf("outcome %q, want %q", got.outcome, outcome)
	}
	return got
}

// install puts an entry for a frame's flow.
func (r rig) install(k flow.Tuple, e flow.Entry) {
	r.t.Helper()
	if err := r.Install(flow.Key{Attachment: sender.Index, Tuple: k}, e); err != nil {
		r.t.Fatal(err)
	}
}

func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err)
	}
	return ts.Nano()
}

// toReceiver is an entry that delivers and never ends.
func toReceiver() flow.Entry { return flow.Entry{Verdict: flow.Deliver, Out: receiver.Index, Slot: 4} }

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func mac(m [6]byte) net.HardwareAddr { return m[:] }

// ether is the Ethernet header of what the guest sends to the router.
func ether(t layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: mac(guest), DstMAC: mac(router), EthernetType: t}
}

// frame serializes layers with lengths and checksums.
func frame(ls ...gopacket.SerializableLayer) []byte {
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
		panic(err)
	}
	return bytes.Clone(b.Bytes())
}

// spec describes an IP packet of the guest, in a form that can be changed and built again.
type spec struct {
	tuple   flow.Tuple
	payload int
	tcp     uint8 // flags
	ttl     uint8
	noSum   bool // UDP without a checksum
}

func tcp(src string, sport uint16, dst string, dport uint16) spec {
	return spec{tuple: flow.MakeTuple(flow.TCP, ip(src), sport, ip(dst), dport), payload: 10, tcp: flow.ACK, ttl: 64}
}

func udp(src string, sport uint16, dst string, dport uint16) spec {
	return spec{tuple: flow.MakeTuple(flow.UDP, ip(src), sport, ip(dst), dport), payload: 10, ttl: 64}
}

func echo(src, dst string, id uint16) spec {
	s := spec{tuple: flow.MakeTuple(flow.ICMP, ip(src), id, ip(dst), 8), payload: 10, ttl: 64}
	if ip(src).Is6() {
		s.tuple.Protocol, s.tuple.DstPort = flow.ICMPv6, 128
	}
	return s
}

func proto(number uint8, src, dst string) spec {
	return spec{tuple: flow.MakeTuple(number, ip(src), 0, ip(dst), 0), payload: 10, ttl: 64}
}

func (s spec) with(change func(*spec)) spec {
	change(&s)
	return s
}

func flags(f uint8) func(*spec)  { return func(s *spec) { s.tcp = f } }
func payload(n int) func(*spec)  { return func(s *spec) { s.payload = n } }
func ttl(n uint8) func(*spec)    { return func(s *spec) { s.ttl = n } }
func (s spec) bytes() []byte     { return s.frame(ether(0)) }
func (s spec) key() flow.Key     { return flow.Key{Attachment: sender.Index, Tuple: s.tuple} }
func cut(b []byte, n int) []byte { return b[:n] }

// ipBytes is the length of the IP packet, which in a short frame is padded.
func (s spec) ipBytes() uint64 {
	b := s.bytes()[14:]
	if s.tuple.Family == 4 {
		return uint64(binary.BigEndian.Uint16(b[2:]))
	}
	return 40 + uint64(binary.BigEndian.Uint16(b[4:]))
}

// patch changes bytes of a built frame.
func patch(b []byte, at int, with ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[at:], with)
	return b
}

// frame builds the packet behind an Ethernet header.
func (s spec) frame(eth *layers.Ethernet) []byte {
	var network gopacket.NetworkLayer
	var header gopacket.SerializableLayer
	src, dst := s.tuple.SrcAddr().AsSlice(), s.tuple.DstAddr().AsSlice()
	if s.tuple.Family == 4 {
		l := &layers.IPv4{Version: 4, TTL: s.ttl, Protocol: layers.IPProtocol(s.tuple.Protocol), SrcIP: src, DstIP: dst, Id: 7}
		network, header, eth.EthernetType = l, l, layers.EthernetTypeIPv4
	} else {
		l := &layers.IPv6{Version: 6, HopLimit: s.ttl, NextHeader: layers.IPProtocol(s.tuple.Protocol), SrcIP: src, DstIP: dst}
		network, header, eth.EthernetType = l, l, layers.EthernetTypeIPv6
	}
	data := make(gopacket.Payload, s.payload)
	for i := range data {
		data[i] = byte(i * 7)
	}
	all := []gopacket.SerializableLayer{eth, header}
	switch s.tuple.Protocol {
	case flow.TCP:
		l := &layers.TCP{
			SrcPort: layers.TCPPort(s.tuple.SrcPort), DstPort: layers.TCPPort(s.tuple.DstPort), Seq: 1, Ack: 2, Window: 99,
			FIN: s.tcp&flow.FIN != 0, SYN: s.tcp&flow.SYN != 0, RST: s.tcp&flow.RST != 0, ACK: s.tcp&flow.ACK != 0,
		}
		l.SetNetworkLayerForChecksum(network)
		all = append(all, l)
	case flow.UDP:
		l := &layers.UDP{SrcPort: layers.UDPPort(s.tuple.SrcPort), DstPort: layers.UDPPort(s.tuple.DstPort)}
		l.SetNetworkLayerForChecksum(network)
		all = append(all, l)
	case flow.ICMP:
		all = append(all, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(uint8(s.tuple.DstPort), 0), Id: s.tuple.SrcPort, Seq: 5})
	case flow.ICMPv6:
		l := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(uint8(s.tuple.DstPort), 0)}
		l.SetNetworkLayerForChecksum(network)
		all = append(all, l, &layers.ICMPv6Echo{Identifier: s.tuple.SrcPort, SeqNumber: 5})
	}
	b := frame(append(all, data)...)
	if s.noSum {
		at := 14 + 20 + 6
		if s.tuple.Family == 6 {
			at += 20
		}
		b = patch(b, at, 0, 0)
	}
	return b
}

// seconds makes limits by state.
func seconds(opening, established, closing int) flow.Timeouts {
	return flow.Timeouts{time.Duration(opening) * time.Second, time.Duration(established) * time.Second, time.Duration(closing) * time.Second}
}

func (s spec) String() string {
	return fmt.Sprintf("%s flags %#x payload %d", s.tuple, s.tcp, s.payload)
}
