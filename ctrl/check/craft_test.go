package check

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

func craftOne(t testing.TB, p scenario.Packet) []byte {
	t.Helper()
	out := craftAll(t, p)
	if len(out.packets) != 1 {
		t.Fatalf("%d packets, want 1", len(out.packets))
	}
	return out.packets[0]
}

func craftAll(t testing.TB, p scenario.Packet) crafted {
	t.Helper()
	out, err := craft(p, 77)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What is crafted reads back, by a decoder that is not ours, as what was asked for.
func TestCraft(t *testing.T) {
	tcp := craftOne(t, scenario.Packet{Protocol: flow.TCP, Src: guest4, Dst: peer4, SrcPort: 1000, DstPort: 80, TCPFlags: flow.SYN | flow.FIN, Size: 5, TTL: 3, DontFragment: true})
	read := gopacket.NewPacket(tcp, layers.LayerTypeIPv4, gopacket.Default)
	ip, _ := read.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	segment, _ := read.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if ip == nil || segment == nil {
		t.Fatalf("not TCP over IPv4: %v", read)
	}
	if ip.TTL != 3 || ip.Flags != layers.IPv4DontFragment || int(ip.Length) != 45 || !segment.SYN || !segment.FIN || segment.ACK || len(segment.Payload) != 5 {
		t.Errorf("%v %v", ip, segment)
	}

	fragment := craftOne(t, scenario.Packet{Protocol: flow.UDP, Src: guest4, Dst: peer4, SrcPort: 1, DstPort: 2, Size: 9, TTL: 64, Fragment: true})
	ip, _ = gopacket.NewPacket(fragment, layers.LayerTypeIPv4, gopacket.Default).Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	if ip == nil || ip.Flags != layers.IPv4MoreFragments || ip.FragOffset != 0 || (ip.Length-20)%8 != 0 {
		t.Errorf("a first fragment: %v", ip)
	}
	fragment6 := craftOne(t, scenario.Packet{Protocol: flow.UDP, Src: guest6, Dst: peer6, SrcPort: 1, DstPort: 2, Size: 9, TTL: 64, Fragment: true})
	header, _ := gopacket.NewPacket(fragment6, layers.LayerTypeIPv6, gopacket.Default).Layer(layers.LayerTypeIPv6Fragment).(*layers.IPv6Fragment)
	if header == nil || !header.MoreFragments || header.FragmentOffset != 0 || header.NextHeader != layers.IPProtocolUDP || len(fragment6)%8 != 0 {
		t.Errorf("a first IPv6 fragment: %v", header)
	}

	echo6 := craftOne(t, scenario.Packet{Protocol: flow.ICMPv6, Src: guest6, Dst: peer6, ICMPType: 128, TTL: 64, Size: 2})
	message, _ := gopacket.NewPacket(echo6, layers.LayerTypeIPv6, gopacket.Default).Layer(layers.LayerTypeICMPv6Echo).(*layers.ICMPv6Echo)
	if message == nil || message.Identifier != 77 {
		t.Errorf("an ICMPv6 echo: %v", message)
	}
}

// The fragments of a packet, put together by a decoder that is not ours, are the packet. They are sent as listed: whatever the order.
func TestCraftFragments(t *testing.T) {
	for _, p := range []scenario.Packet{
		{Protocol: flow.UDP, Src: guest4, Dst: peer4, SrcPort: 1, DstPort: 2, Size: 1000, TTL: 64},
		{Protocol: flow.TCP, Src: guest4, Dst: peer4, SrcPort: 1, DstPort: 2, TCPFlags: flow.SYN, Size: 988, TTL: 64, DontFragment: true},
		{Protocol: flow.UDP, Src: guest6, Dst: peer6, SrcPort: 1, DstPort: 2, Size: 1000, TTL: 64},
		{Protocol: flow.ICMPv6, Src: guest6, Dst: peer6, ICMPType: 128, Size: 1000, TTL: 64},
	} {
		for _, cut := range []scenario.Packet{
			{FragmentSize: 304},
			{Pieces: []scenario.Piece{{From: 512, To: 1008}, {From: 0, To: 256}, {From: 256, To: 512}}},
		} {
			inPieces := p
			inPieces.FragmentSize, inPieces.Pieces = cut.FragmentSize, cut.Pieces
			fragments := craftAll(t, inPieces).packets
			if got, want := putTogether(t, p.Protocol, fragments), craftOne(t, p); !bytes.Equal(got, want[len(want)-1008:]) {
				t.Errorf("%v in pieces %v: %d bytes, not those of the packet", tupleOf(p, 77), inPieces.Cut(1008), len(got))
			}
			if len(fragments) != len(inPieces.Cut(1008)) {
				t.Errorf("%d fragments, want %d", len(fragments), len(inPieces.Cut(1008)))
			}
			first := slices.IndexFunc(inPieces.Cut(1008), func(piece scenario.Piece) bool { return piece.From == 0 })
			for i, b := range fragments {
				if c, ok := dissect(b); ok != (i == first) || ok && c.tuple != tupleOf(p, 77) {
					t.Errorf("fragment %d reads as %v, %v", i, ok, c.tuple)
				}
			}
		}
	}
}

func TestWhatIsLeftOutAndRepeated(t *testing.T) {
	for _, row := range []struct {
		pieces      []scenario.Piece
		incomplete  bool
		repetitions int
	}{
		{[]scenario.Piece{{From: 64, To: 108}, {From: 0, To: 64}}, false, 0},
		{[]scenario.Piece{{From: 0, To: 64}, {From: 0, To: 64}, {From: 56, To: 108}}, false, 1},
		{[]scenario.Piece{{From: 0, To: 64}, {From: 72, To: 108}}, true, 0},
		{[]scenario.Piece{{From: 64, To: 108}}, true, 0},
		{[]scenario.Piece{{From: 0, To: 104}}, true, 0},
	} {
		out := craftAll(t, scenario.Packet{Protocol: flow.UDP, Src: guest4, Dst: peer4, Size: 100, Pieces: row.pieces})
		if out.incomplete != row.incomplete || out.repetitions() != row.repetitions {
			t.Errorf("%v: incomplete %v, %d repetitions", row.pieces, out.incomplete, out.repetitions())
		}
	}
}

// putTogether copies fragments to where their headers say, and checks that they belong to one packet that ends once.
func putTogether(t *testing.T, protocol uint8, fragments [][]byte) []byte {
	t.Helper()
	body, ends := make([]byte, 2000), 0
	for _, b := range fragments {
		var offset, end int
		var more bool
		if b[0]>>4 == 4 {
			ip, _ := gopacket.NewPacket(b, layers.LayerTypeIPv4, gopacket.Default).Layer(layers.LayerTypeIPv4).(*layers.IPv4)
			if ip == nil || ip.Id != 77 || uint8(ip.Protocol) != protocol || int(ip.Length) != len(b) {
				t.Fatalf("a fragment is %v", ip)
			}
			offset, more = int(ip.FragOffset)*8, ip.Flags&layers.IPv4MoreFragments != 0
			end = offset + copy(body[offset:], ip.Payload)
		} else {
			ip, _ := gopacket.NewPacket(b, layers.LayerTypeIPv6, gopacket.Default).Layer(layers.LayerTypeIPv6Fragment).(*layers.IPv6Fragment)
			if ip == nil || ip.Identification != 77 || uint8(ip.NextHeader) != protocol {
				t.Fatalf("a fragment is %v", ip)
			}
			offset, more = int(ip.FragmentOffset)*8, ip.MoreFragments
			end = offset + copy(body[offset:], ip.Payload)
		}
		if !more {
			body, ends = body[:end], ends+1
		}
	}
	if ends != 1 {
		t.Fatalf("%d last fragments", ends)
	}
	return body
}

func TestCraftRefuses(t *testing.T) {
	for message, p := range map[string]scenario.Packet{
		"craft packet: 10.0.0.5 and 2001:db8::9 are of different families":                  {Protocol: flow.UDP, Src: guest4, Dst: peer6},
		"craft packet: 70000 bytes of payload do not fit into an IP packet; use 0 to 65455": {Protocol: flow.UDP, Src: guest4, Dst: peer4, Size: 70000},
		"craft packet: -1 bytes of payload do not fit into an IP packet; use 0 to 65455":    {Protocol: flow.UDP, Src: guest4, Dst: peer4, Size: -1},
		"craft packet: bytes 0 to 64 are no fragment of 58 bytes":                           {Protocol: flow.UDP, Src: guest4, Dst: peer4, Size: 50, Pieces: []scenario.Piece{{From: 0, To: 64}}},
		"craft packet: bytes 12 to 58 are no fragment of 58 bytes":                          {Protocol: flow.UDP, Src: guest4, Dst: peer4, Size: 50, Pieces: []scenario.Piece{{From: 12, To: 58}}},
	} {
		if _, err := craft(p, 1); err == nil || err.Error() != message {
			t.Errorf("got %v, want %s", err, message)
		}
	}
	craftOne(t, scenario.Packet{Protocol: flow.TCP, Src: guest6, Dst: peer6, Size: maxPayload, Fragment: true}) // the largest
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
		whole := craftOne(t, p)
		for _, length := range []int{len(whole), min(len(whole), len(whole)-p.Size)} {
			if c, ok := dissect(whole[:length]); !ok || c.tuple != tupleOf(p, 77) {
				t.Errorf("%d of %d bytes: %v, %v; want %v", length, len(whole), ok, c.tuple, tupleOf(p, 77))
			}
		}
	}
	later := craftOne(t, scenario.Packet{Protocol: flow.UDP, Src: guest4, Dst: peer4, SrcPort: 1, DstPort: 2})
	binary.BigEndian.PutUint16(later[6:], 185)
	if c, ok := dissect(later); ok {
		t.Errorf("a later fragment has no ports, but reads as %v", c.tuple)
	}
}

func TestAnICMPErrorIsOursOnlyIfItQuotesOurs(t *testing.T) {
	ours := craftOne(t, scenario.Packet{Protocol: flow.UDP, Src: guest4, Dst: peer4, SrcPort: 1, DstPort: 2})
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
		packet := craftOne(f, p)
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
