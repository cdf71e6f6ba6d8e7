package engine

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/fabric/fabrictest"
	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/packet"
)

// bed is an engine on the test network, with a clock of its own.
type bed struct {
	*fabrictest.Bed
	t      *testing.T
	engine *Engine
	mem    flow.Memory
	now    int64
}

func newBed(t *testing.T, change func(*fabrictest.Bed)) *bed { return newBedWith(t, change, nil, 1024) }

func newBedWith(t *testing.T, change func(*fabrictest.Bed), off Offloader, slots int) *bed {
	t.Helper()
	b := &bed{Bed: fabrictest.New(), t: t, mem: flow.NewMemory(slots, 64), now: int64(time.Hour)}
	if change != nil {
		change(b.Bed)
	}
	e, err := New(Config{Network: b.Network, Memory: b.mem, Offload: off, Rate: 1})
	if err != nil {
		t.Fatal(err)
	}
	b.engine = e
	return b
}

// wait lets real time pass.
func (b *bed) wait(d time.Duration) { b.now += int64(d) }

// send hands the engine one packet and returns who got it ("" if dropped) and the packet as it then is.
func (b *bed) send(from *fabric.ENI, raw []byte) (string, []byte) {
	return b.sendFrom(from.Attachment, raw)
}

func (b *bed) sendFrom(from uint32, raw []byte) (string, []byte) {
	b.wait(time.Microsecond)
	out := []uint32{0}
	b.engine.Handle(b.now, from, [][]byte{raw}, out)
	if out[0] == 0 {
		return "", raw
	}
	return b.Attachments[out[0]].Name(), raw
}

func (b *bed) expect(what string, from *fabric.ENI, raw []byte, want string) {
	b.t.Helper()
	if got, _ := b.send(from, raw); got != want {
		b.t.Errorf("%s: delivered to %q, want %q", what, got, want)
	}
}

// reasons are the reasons of the drops of a connection, oldest first.
func (b *bed) reasons(t flow.Tuple) []flow.Reason {
	var rs []flow.Reason
	for _, d := range b.engine.Drops(0, t) {
		rs = append(rs, d.Path.Reason)
	}
	return rs
}

// change puts a new revision into force, of which the test has edited the parts.
func (b *bed) change(edit func(*fabrictest.Bed)) {
	b.t.Helper()
	edit(b.Bed)
	b.App.Generation++
	net := *b.Network
	if err := b.engine.SetNetwork(b.now, &net); err != nil {
		b.t.Fatal(err)
	}
}

const (
	syn    = flow.SYN
	synAck = flow.SYN | flow.ACK
	ack    = flow.ACK
	finAck = flow.FIN | flow.ACK
	rst    = flow.RST
)

func build(t testing.TB, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func ip(src, dst string, proto layers.IPProtocol) gopacket.NetworkLayer {
	s, d := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	if s.Is4() {
		return &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: s.AsSlice(), DstIP: d.AsSlice()}
	}
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: s.AsSlice(), DstIP: d.AsSlice()}
}

func (b *bed) tcp(src string, sport uint16, dst string, dport uint16, flags uint8) []byte {
	return b.tcpSized(src, sport, dst, dport, flags, 7)
}

func (b *bed) tcpSized(src string, sport uint16, dst string, dport uint16, flags uint8, size int) []byte {
	network := ip(src, dst, layers.IPProtocolTCP)
	l := &layers.TCP{
		SrcPort: layers.TCPPort(sport), DstPort: layers.TCPPort(dport), Window: 1000,
		SYN: flags&flow.SYN != 0, ACK: flags&flow.ACK != 0, FIN: flags&flow.FIN != 0, RST: flags&flow.RST != 0,
	}
	if err := l.SetNetworkLayerForChecksum(network); err != nil {
		b.t.Fatal(err)
	}
	return build(b.t, network.(gopacket.SerializableLayer), l, gopacket.Payload(make([]byte, size)))
}

func (b *bed) udp(src string, sport uint16, dst string, dport uint16) []byte {
	return b.udpSized(src, sport, dst, dport, 7)
}

// udpSized has a payload of that many bytes.
func (b *bed) udpSized(src string, sport uint16, dst string, dport uint16, size int) []byte {
	network := ip(src, dst, layers.IPProtocolUDP)
	l := &layers.UDP{SrcPort: layers.UDPPort(sport), DstPort: layers.UDPPort(dport)}
	if err := l.SetNetworkLayerForChecksum(network); err != nil {
		b.t.Fatal(err)
	}
	return build(b.t, network.(gopacket.SerializableLayer), l, gopacket.Payload(make([]byte, size)))
}

func (b *bed) echo(src, dst string, typ uint8, id uint16) []byte {
	l := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(typ, 0), Id: id}
	return build(b.t, ip(src, dst, layers.IPProtocolICMPv4).(gopacket.SerializableLayer), l, gopacket.Payload("payload"))
}

// unreachable is an ICMP port unreachable that quotes a packet.
func (b *bed) unreachable(src, dst string, quoted []byte) []byte {
	l := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 3)}
	return build(b.t, ip(src, dst, layers.IPProtocolICMPv4).(gopacket.SerializableLayer), l, gopacket.Payload(quoted))
}

func tupleOf(t testing.TB, raw []byte) flow.Tuple {
	t.Helper()
	var info packet.Info
	if !packet.Decode(raw, &info) {
		t.Fatalf("malformed: %x", raw)
	}
	return info.Tuple
}
