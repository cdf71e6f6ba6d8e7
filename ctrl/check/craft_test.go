package check

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

func crafted(t testing.TB, p scenario.Packet) []byte {
	t.Helper()
	b, err := craft(p, 77)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What is crafted reads back, by a decoder that is not ours, as what was asked for.
func TestCraft(t *testing.T) {
	tcp := crafted(t, scenario.Packet{Protocol: flow.TCP, Src: guest4, Dst: peer4, SrcPort: 1000, DstPort: 80, TCPFlags: flow.SYN | flow.FIN, Size: 5, TTL: 3, DontFragment: true})
	read := gopacket.NewPacket(tcp, layers.LayerTypeIPv4, gopacket.Default)
	ip, _ := read.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	segment, _ := read.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if ip == nil || segment == nil {
		t.Fatalf("not TCP over IPv4: %v", read)
	}
	if ip.TTL != 3 || ip.Flags != layers.IPv4DontFragment || int(ip.Length) != 45 || !segment.SYN || !segment.FIN || segment.ACK || len(segment.Payload) != 5 {
		t.Errorf("%v %v", ip, segment)
	}

	fragment := crafted(t, scenario.Packet{Protocol: flow.UDP, Src: guest4, Dst: peer4, SrcPort: 1, DstPort: 2, Size: 9, TTL: 64, Fragment: true})
	ip, _ = gopacket.NewPacket(fragment, layers.LayerTypeIPv4, gopacket.Default).Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	if ip == nil || ip.Flags != layers.IPv4MoreFragments || ip.FragOffset != 0 || (ip.Length-20)%8 != 0 {
		t.Errorf("a first fragment: %v", ip)
	}
	fragment6 := crafted(t, scenario.Packet{Protocol: flow.UDP, Src: guest6, Dst: peer6, SrcPort: 1, DstPort: 2, Size: 9, TTL: 64, Fragment: true})
	header, _ := gopacket.NewPacket(fragment6, layers.LayerTypeIPv6, gopacket.Default).Layer(layers.LayerTypeIPv6Fragment).(*layers.IPv6Fragment)
	if header == nil || !header.MoreFragments || header.FragmentOffset != 0 || header.NextHeader != layers.IPProtocolUDP || len(fragment6)%8 != 0 {
		t.Errorf("a first IPv6 fragment: %v", header)
	}

	echo6 := crafted(t, scenario.Packet{Protocol: flow.ICMPv6, Src: guest6, Dst: peer6, ICMPType: 128, TTL: 64, Size: 2})
	message, _ := gopacket.NewPacket(echo6, layers.LayerTypeIPv6, gopacket.Default).Layer(layers.LayerTypeICMPv6Echo).(*layers.ICMPv6Echo)
	if message == nil || message.Identifier != 77 {
		t.Errorf("an ICMPv6 echo: %v", message)
	}
}

func TestCraftRefuses(t *testing.T) {
	for message, p := range map[string]scenario.Packet{
		"craft packet: 10.0.0.5 and 2001:db8::9 are of different families":                  {Protocol: flow.UDP, Src: guest4, Dst: peer6},
		"craft packet: 70000 bytes of payload do not fit into an IP packet; use 0 to 65455": {Protocol: flow.UDP, Src: guest4, Dst: peer4, Size: 70000},
		"craft packet: -1 bytes of payload do not fit into an IP packet; use 0 to 65455":    {Protocol: flow.UDP, Src: guest4, Dst: peer4, Size: -1},
	} {
		if _, err := craft(p, 1); err == nil || err.Error() != message {
			t.Errorf("got %v, want %s", err, message)
		}
	}
	crafted(t, scenario.Packet{Protocol: flow.TCP, Src: guest6, Dst: peer6, Size: maxPayload, Fragment: true}) // the largest
}

func TestDissectFindsTheTuple(t *testing.T) {
	for _, p := range []scenario.Packet{
		{Protocol: flow.TCP, Src: guest4, Dst: peer4, SrcPort: 1000, DstPort: 80},
		{Protocol: flow.UDP, Src: guest6, Dst: peer6, SrcPort: 1000, DstPort: 80},
		{Protocol: flow.UDP, Src: guest6, Dst: peer6, SrcPort: 1000, DstPort: 80, Fragment: true},
		{Protocol: flow.ICMP, Src: guest4, Dst: peer4, ICMPType: 8},
		{Protocol: flow.ICMP, Src: guest4, Dst: peer4, ICMPType: 13},
		{Protocol: flow.ICMPv6, Src: guest6, Dst: peer6, ICMPType: 129},
		{Protocol: 132, Src: guest4, Dst: peer4, Size: 12},
	} {
		whole := crafted(t, p)
		for _, length := range []int{len(whole), min(len(whole), len(whole)-p.Size)} {
			if c, ok := dissect(whole[:length]); !ok || c.tuple != tupleOf(p, 77) {
				t.Errorf("%d of %d bytes: %v, %v; want %v", length, len(whole), ok, c.tuple, tupleOf(p, 77))
			}
		}
	}
	later := crafted(t, scenario.Packet{Protocol: flow.UDP, Src: guest4, Dst: peer4, SrcPort: 1, DstPort: 2})
	binary.BigEndian.PutUint16(later[6:], 185)
	if c, ok := dissect(later); ok {
		t.Errorf("a later fragment has no ports, but reads as %v", c.tuple)
	}
}

func TestAnICMPErrorIsOursOnlyIfItQuotesOurs(t *testing.T) {
	ours := crafted(t, scenario.Packet{Protocol: flow.UDP, Src: guest4, Dst: peer4, SrcPort: 1, DstPort: 2})
	sent, _ := dissect(ours)
	other := sent.tuple
	other.SrcPort++
	c, ok := dissect(icmpAbout(router4, 3, 4, 1400, ours))
	if !ok {
		t.Fatal("the error does not read")
	}
	if e, ok := c.icmpErrorAbout(sent.tuple); !ok || e.mtu != 1400 || e.from != router4 || e.outcome() != scenario.Unreachable {
		t.Errorf("%v, %v", ok, e)
	}
	if e, ok := c.icmpErrorAbout(other); ok {
		t.Errorf("another packet's error is taken for ours: %v", e)
	}
}

func TestQueuedError(t *testing.T) {
	queued := func(level, kind int, origin, icmp, code uint8, info uint32, from netip.Addr) []byte {
		data := make([]byte, 16+28)
		data[4], data[5], data[6] = origin, icmp, code
		binary.NativeEndian.PutUint32(data[8:], info)
		family, at := uint16(unix.AF_INET), 16+4
		if !from.Is4() {
			family, at = unix.AF_INET6, 16+8
		}
		binary.NativeEndian.PutUint16(data[16:], family)
		copy(data[at:], from.AsSlice())
		oob := make([]byte, unix.CmsgSpace(len(data)))
		h := binary.NativeEndian
		h.PutUint64(oob, uint64(unix.CmsgLen(len(data))))
		h.PutUint32(oob[8:], uint32(level))
		h.PutUint32(oob[12:], uint32(kind))
		copy(oob[16:], data)
		return oob
	}
	e, ok := queuedError(queued(unix.SOL_IP, unix.IP_RECVERR, unix.SO_EE_ORIGIN_ICMP, 3, 4, 1400, router4))
	if expected := (icmpError{proto: flow.ICMP, kind: 3, code: 4, mtu: 1400, from: router4}); !ok || e != expected {
		t.Errorf("%v, %+v", ok, e)
	}
	e, ok = queuedError(queued(unix.SOL_IPV6, unix.IPV6_RECVERR, unix.SO_EE_ORIGIN_ICMP6, 1, 4, 99, router6))
	if expected := (icmpError{proto: flow.ICMPv6, kind: 1, code: 4, from: router6}); !ok || e != expected || e.outcome() != scenario.Refused {
		t.Errorf("%v, %+v", ok, e)
	}
	if _, ok := queuedError(queued(unix.SOL_IP, unix.IP_RECVERR, unix.SO_EE_ORIGIN_LOCAL, 3, 4, 1400, router4)); ok {
		t.Error("an error of the sender's own kernel is taken for an ICMP message")
	}
	if _, ok := queuedError([]byte{1, 2, 3}); ok {
		t.Error("three bytes are no control message")
	}
}

func FuzzDissect(f *testing.F) {
	f.Add([]byte{})
	for _, p := range []scenario.Packet{
		{Protocol: flow.TCP, Src: guest4, Dst: peer4, SrcPort: 1000, DstPort: 80},
		{Protocol: flow.UDP, Src: guest6, Dst: peer6, SrcPort: 1000, DstPort: 80, Fragment: true},
	} {
		packet := crafted(f, p)
		f.Add(packet)
		f.Add(icmpAbout(map[bool]netip.Addr{true: router4, false: router6}[p.Src.Is4()], 3, 3, 0, packet))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, ok := dissect(b)
		if !ok {
			return
		}
		if c.tuple.SrcAddr().Is4() != c.tuple.DstAddr().Is4() || len(c.upper) > len(b) {
			t.Errorf("%v with %d bytes above IP", c.tuple, len(c.upper))
		}
		c.icmpErrorAbout(c.tuple)
	})
}
