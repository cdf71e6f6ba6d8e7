package packet_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/packet"
)

var (
	router4 = netip.MustParseAddr("10.0.1.1")
	router6 = netip.MustParseAddr("fe80::1")
)

func decoded(t testing.TB, b []byte) packet.Info {
	t.Helper()
	var p packet.Info
	if !packet.Decode(b, &p) {
		t.Fatalf("malformed: % x", b)
	}
	return p
}

// rebuilt is what gopacket makes of the packet that it reads in b: lengths and checksums are its own.
func rebuilt(t *testing.T, b []byte) ([]byte, gopacket.Packet) {
	t.Helper()
	first := layers.LayerTypeIPv4
	if b[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	pkt := gopacket.NewPacket(b, first, gopacket.DecodeOptions{})
	var out []gopacket.SerializableLayer
	for _, l := range pkt.Layers()[:2] {
		switch l := l.(type) {
		case *layers.TCP:
			must(t, l.SetNetworkLayerForChecksum(pkt.NetworkLayer()))
		case *layers.ICMPv6:
			must(t, l.SetNetworkLayerForChecksum(pkt.NetworkLayer()))
		}
		out = append(out, l.(gopacket.SerializableLayer))
	}
	return serialize(t, append(out, gopacket.Payload(pkt.Layers()[1].LayerPayload()))...), pkt
}

func TestErrorsOfRouters(t *testing.T) {
	long := make([]byte, 8000)
	fill(long)
	tooBig := func(b []byte, p *packet.Info) []byte {
		if p.Tuple.Family == 6 {
			return packet.AppendTooBig(nil, b, p, router6, 1500)
		}
		return packet.AppendTooBig(nil, b, p, router4, 1500)
	}
	exceeded := func(b []byte, p *packet.Info) []byte {
		if p.Tuple.Family == 6 {
			return packet.AppendTimeExceeded(nil, b, p, router6)
		}
		return packet.AppendTimeExceeded(nil, b, p, router4)
	}
	fragment := func(d datagram, skip int) datagram {
		d = d.with(long[:128])
		d.cut, d.skip = 64+skip, skip
		d.frag = uint16(0x2000 | skip/8)
		if d.v6() {
			d.chain, d.options = []uint8{44}, ext(d.proto, 0, byte(skip>>8), byte(skip|1))
		}
		return d
	}
	for _, row := range []struct {
		name       string
		about      datagram
		make       func([]byte, *packet.Info) []byte
		kind, code uint8
		second     uint32
		size       int // of the error
	}{
		{"tcp that is too big quotes as much as 576 bytes hold", tcp4.with(long), tooBig, 3, 4, 1500, 576},
		{"tcp that is too big over ipv6 quotes as much as 1280 bytes hold", tcp6.with(long), tooBig, 2, 0, 1500, 1280},
		{"a short packet is quoted whole", udp4.with(long[:9]), exceeded, 11, 0, 0, 28 + 37},
		{"a short packet over ipv6 is quoted whole", udp6.with(long[:9]), exceeded, 3, 0, 0, 48 + 57},
		{"an echo", echo(web4, app4, 8, 7).with(long), tooBig, 3, 4, 1500, 576},
		{"an echo over ipv6", echo(web6, app6, 128, 7).with(long), exceeded, 3, 0, 0, 1280},
		{"a protocol without ports", other(47, web4, app4).with(long), tooBig, 3, 4, 1500, 576},
		{"a first fragment", fragment(udp4, 0), tooBig, 3, 4, 1500, 28 + 84},
		{"a first fragment over ipv6", fragment(udp6, 0), tooBig, 2, 0, 1500, 48 + 112},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := row.about.bytes(t)
			before := bytes.Clone(b)
			p := decoded(t, b)
			got := row.make(append(b, 1, 2, 3), &p) // bytes behind the packet are not quoted
			if len(got) != row.size {
				t.Fatalf("%d bytes, want %d: % x", len(got), row.size, got)
			}
			again, pkt := rebuilt(t, got)
			if !bytes.Equal(got, again) {
				t.Errorf("\n got % x\ngopacket builds\n     % x", got, again)
			}
			if !bytes.Equal(b, before) {
				t.Error("the packet itself changed")
			}
			e, router, headers := decoded(t, got), router4, 28
			if row.about.v6() {
				router, headers = router6, 48
			}
			if e.Tuple.SrcAddr() != router || e.Tuple.DstAddr() != row.about.src.Addr() || e.TTL != 64 ||
				e.ICMPType != row.kind || e.ICMPCode != row.code || binary.BigEndian.Uint32(got[headers-4:]) != row.second {
				t.Errorf("%+v\n%v", e, pkt)
			}
			if quoted := got[headers:]; !bytes.Equal(quoted, b[:len(quoted)]) {
				t.Errorf("quotes % x\nof % x", quoted, b)
			}
			var q packet.Info
			if !packet.Quoted(got, &e, &q) || q.Tuple != p.Tuple {
				t.Errorf("quotes %v, want %v", q.Tuple, p.Tuple)
			}
		})
	}

	for _, row := range []struct {
		name  string
		about datagram
	}{
		{"an ICMP error", icmp(app4, web4, 3, 4).with(tcp4.bytes(t))},
		{"an ICMP redirect", icmp(app4, web4, 5, 1).with(tcp4.bytes(t))},
		{"an ICMPv6 error", icmp(app6, web6, 2, 0).with(tcp6.bytes(t))},
		{"an ICMPv6 redirect", icmp(app6, web6, 137, 0).with(long[:32])},
		{"a later fragment", fragment(udp4, 64)},
		{"a later fragment over ipv6", fragment(udp6, 64)},
		{"a multicast", udp("10.0.1.5:1", "224.0.0.1:2")},
		{"a multicast over ipv6", udp("[2001:db8::1]:1", "[ff02::1]:2")},
		{"a broadcast", udp("10.0.1.5:1", "255.255.255.255:2")},
		{"a packet from nowhere", udp("0.0.0.0:1", "10.0.1.5:2")},
		{"a packet from nowhere over ipv6", udp("[::]:1", "[2001:db8::1]:2")},
		{"a packet from loopback", udp("127.0.0.1:1", "10.0.1.5:2")},
		{"a packet from loopback over ipv6", udp("[::1]:1", "[2001:db8::1]:2")},
		{"a packet from a group", udp("239.1.1.1:1", "10.0.1.5:2")},
		{"a packet from a group over ipv6", udp("[ff05::1]:1", "[2001:db8::1]:2")},
		{"a packet from class E", udp("240.0.0.1:1", "10.0.1.5:2")},
		{"a packet from everybody", udp("255.255.255.255:1", "10.0.1.5:2")},
	} {
		t.Run("no error about "+row.name, func(t *testing.T) {
			b := row.about.bytes(t)
			p := decoded(t, b)
			if got := tooBig(b, &p); got != nil {
				t.Errorf("% x", got)
			}
			if got := exceeded(b, &p); got != nil {
				t.Errorf("% x", got)
			}
		})
	}
	t.Run("a router of the other family says nothing", func(t *testing.T) {
		b := tcp4.bytes(t)
		p := decoded(t, b)
		if got := packet.AppendTooBig(nil, b, &p, router6, 1500); got != nil {
			t.Errorf("% x", got)
		}
	})
	t.Run("an mtu that ICMP has no room for", func(t *testing.T) {
		b := tcp4.bytes(t)
		p := decoded(t, b)
		if got := packet.AppendTooBig(nil, b, &p, router4, 70000); binary.BigEndian.Uint32(got[24:]) != 0xffff {
			t.Errorf("% x", got)
		}
	})
	t.Run("what is in dst stays", func(t *testing.T) {
		b := tcp6.bytes(t)
		p := decoded(t, b)
		alone := packet.AppendTooBig(nil, b, &p, router6, 1500)
		if got := packet.AppendTooBig([]byte("head"), b, &p, router6, 1500); string(got) != "head"+string(alone) {
			t.Errorf("% x", got)
		}
	})
}

func TestReset(t *testing.T) {
	with := func(d datagram, flags uint8, data int) datagram {
		d.flags, d.payload = flags, make([]byte, data)
		return d
	}
	for _, row := range []struct {
		name     string
		to       datagram // has sequence number 1 and, like all of gopacket's here, acknowledges 0 until changed
		ack      uint32   // its acknowledgement
		flags    uint8
		seq, own uint32 // the reset's
	}{
		{"data with ACK: the reset takes its number", with(tcp4, flow.ACK, 100), 777, flow.RST, 777, 0},
		{"a late FIN", with(tcp6, flow.ACK|flow.FIN, 0), 5000, flow.RST, 5000, 0},
		{"a SYN-ACK", with(tcp4, flow.SYN|flow.ACK, 0), 9, flow.RST, 9, 0},
		{"a SYN is acknowledged", with(tcp4, flow.SYN, 0), 0, flow.RST | flow.ACK, 0, 2},
		{"a SYN with data", with(tcp6, flow.SYN, 10), 0, flow.RST | flow.ACK, 0, 12},
		{"a FIN without ACK", with(tcp4, flow.FIN, 5), 0, flow.RST | flow.ACK, 0, 7},
		{"no flags at all", with(tcp4, 0, 5), 0, flow.RST | flow.ACK, 0, 6},
		{"options are no data", func() datagram { d := with(tcp6, flow.SYN, 1); d.tcpOptions = make([]byte, 8); return d }(), 0, flow.RST | flow.ACK, 0, 3},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := row.to.bytes(t)
			p := decoded(t, b)
			binary.BigEndian.PutUint32(b[p.L4+8:], row.ack)
			b = append(b, 1, 2, 3) // padding is no data
			got := packet.AppendRST(nil, b, &p)
			if got == nil {
				t.Fatal("no reset")
			}
			again, pkt := rebuilt(t, got)
			if !bytes.Equal(got, again) {
				t.Errorf("\n got % x\ngopacket builds\n     % x", got, again)
			}
			r := decoded(t, got)
			if r.Tuple != p.Tuple.Reply() || r.TCPFlags != row.flags || r.TTL != 64 {
				t.Errorf("%+v", r)
			}
			if h := pkt.Layers()[1].(*layers.TCP); h.Seq != row.seq || h.Ack != row.own || h.Window != 0 || len(h.Payload) > 0 {
				t.Errorf("%+v", h)
			}
		})
	}

	stops := tcp6.behind(43)
	stops.options[3] = 1
	cut := with(tcp4, flow.ACK, 100)
	cut.frag, cut.cut = 0x2000, 64
	for _, row := range []struct {
		name string
		to   datagram
	}{
		{"a reset", with(tcp4, flow.RST|flow.ACK, 0)},
		{"udp", udp4},
		{"a broadcast", tcp("10.0.0.1:1", "255.255.255.255:2")},
		{"a packet from nowhere", tcp("0.0.0.0:1", "10.0.0.1:2")},
		{"a packet that is not there yet", stops},
		{"a fragment", cut},
	} {
		t.Run("no reset for "+row.name, func(t *testing.T) {
			b := row.to.bytes(t)
			p := decoded(t, b)
			if got := packet.AppendRST(nil, b, &p); got != nil {
				t.Errorf("% x", got)
			}
		})
	}
}

// fill writes bytes that tell where they stand.
func fill(b []byte) {
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
}
