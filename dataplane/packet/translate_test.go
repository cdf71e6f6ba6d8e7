package packet_test

import (
	"bytes"
	"encoding/binary"
	"math/rand"
	"net/netip"
	"testing"

	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/packet"
)

// translated is what the packet has to be in the other family; nil if it is to be dropped. In the quote of an error a checksum that is not there
// stays away.
func (d datagram) translated(r flow.Rewrite, quoted bool) *datagram {
	fragmented := d.cut > 0 || d.skip > 0
	udp := d.proto == flow.UDP
	switch {
	case d.proto == flow.TCP, udp:
	case !d.isEcho(), fragmented:
		return nil
	}
	if !d.v6() && udp && d.noChecksum && d.skip == 0 && !quoted {
		if fragmented {
			return nil
		}
		d.noChecksum = false
	}
	n := d.rewritten(r)
	size := len(d.payload) + map[uint8]int{flow.TCP: 20 + len(d.tcpOptions), flow.UDP: 8, flow.ICMP: 8, flow.ICMPv6: 8}[d.proto]
	n.proto = map[uint8]uint8{flow.TCP: flow.TCP, flow.UDP: flow.UDP, flow.ICMP: flow.ICMPv6, flow.ICMPv6: flow.ICMP}[d.proto]
	if d.isEcho() {
		n.kind = map[uint8]uint8{8: 128, 0: 129, 128: 8, 129: 0}[d.kind]
	}
	n.options, n.chain, n.frag = nil, nil, 0
	if !d.v6() {
		if fragmented {
			more := byte(d.frag >> 13 & 1)
			n.chain, n.options = []uint8{44}, ext(d.proto, 0, byte(d.skip>>8), byte(d.skip)|more, 0, 0, 0, 7)
		}
		return &n
	}
	switch {
	case d.cut > 0:
		n.frag = 0x2000
	case d.skip > 0:
		n.frag = uint16(d.skip / 8)
	case bytes.IndexByte(d.chain, 44) < 0 && 20+size > 1260:
		n.frag = 0x4000
	}
	return &n
}

// identified writes an identification whose low 16 bits are those of IPv4 packets here into the fragment header, if there is one.
func (d datagram) identified() datagram {
	d.options = bytes.Clone(d.options)
	for i, kind := range d.chain {
		if kind == 44 {
			binary.BigEndian.PutUint32(d.options[8*i+4:], 7)
		}
	}
	return d
}

func translate(b []byte, p *packet.Info, t packet.Translation) ([]byte, bool) {
	if p.Tuple.Family == 6 {
		return packet.Translate64([]byte("head"), b, p, t)
	}
	return packet.Translate46([]byte("head"), b, p, t)
}

// TestTranslate compares thousands of random packets in the other family, byte by byte, with those that gopacket builds of the same
// description in that family.
func TestTranslate(t *testing.T) {
	rng := rand.New(rand.NewSource(5))
	done := map[uint8]int{}
	for n := range 6000 {
		d := randomDatagram(rng).identified()
		d.class = uint8(rng.Intn(256))
		if rng.Intn(4) == 0 {
			d.payload = append(d.payload, make([]byte, rng.Intn(1400))...)
		}
		r := randomRewrite(rng, !d.v6())
		r.Src, r.Dst = randomAddr(rng, !d.v6()), randomAddr(rng, !d.v6())
		b := d.bytes(t)
		before := bytes.Clone(b)
		p := decoded(t, b)
		info := p
		got, ok := translate(append(b, 1, 2, 3), &p, packet.Translation{Rewrite: r, ID: 7})
		want := d.translated(r, false)
		switch {
		case ok != (want != nil):
			t.Fatalf("%d: %+v: translated: %v", n, d, ok)
		case !bytes.Equal(b, before) || p != info:
			t.Fatalf("%d: the packet itself changed", n)
		case !ok && string(got) != "head":
			t.Fatalf("%d: dropped, and left % x", n, got)
		case !ok:
			continue
		}
		done[p.Tuple.Family]++
		if wanted := append([]byte("head"), want.bytes(t)...); !bytes.Equal(got, wanted) {
			t.Fatalf("%d: %+v\nby %+v\n got % x\nwant % x", n, d, r, got, wanted)
		}
		if q := decoded(t, got[4:]); q.Tuple != want.tuple() {
			t.Fatalf("%d: tuple %v, want %v", n, q.Tuple, want.tuple())
		}
	}
	if done[4] < 1000 || done[6] < 1000 {
		t.Errorf("translated %v by family: most were dropped", done)
	}
}

// TestTranslateQuoted does the same with errors that quote random packets.
func TestTranslateQuoted(t *testing.T) {
	rng := rand.New(rand.NewSource(6))
	done := map[uint8]int{}
	for n := range 6000 {
		inner := randomDatagram(rng).identified()
		if rng.Intn(3) == 0 {
			inner.payload = append(inner.payload, make([]byte, rng.Intn(3000))...)
		}
		v6 := inner.v6()
		outer := icmp(web4, app4, 3, 1)
		want := icmp(web6, app6, 1, 0)
		if v6 {
			outer, want = icmp(web6, app6, 1, 0), outer
		}
		outer.class, outer.rest, outer.ttl = uint8(rng.Intn(256)), make([]byte, 4), uint8(1+rng.Intn(255))
		whole := inner.bytes(t)
		upper := len(inner.bytesUpper(t))
		quoted := min(upper, 8+rng.Intn(1400))
		if inner.proto == flow.TCP && inner.skip == 0 && quoted == 17 {
			quoted-- // half a checksum cannot be updated, and stays
		}
		r, q := flow.Rewrite{Src: randomAddr(rng, !v6), Dst: randomAddr(rng, !v6)}, randomRewrite(rng, !v6)
		q.Src, q.Dst = randomAddr(rng, !v6), randomAddr(rng, !v6)

		b := outer.with(whole[:len(whole)-upper+quoted]).bytes(t)
		p := decoded(t, b)
		got, ok := translate(b, &p, packet.Translation{Rewrite: r, Quote: q, ID: 7})
		translated := inner.translated(q, true)
		if ok != (translated != nil) {
			t.Fatalf("%d: %+v in %+v: translated: %v", n, inner, outer, ok)
		}
		if !ok {
			continue
		}
		done[p.Tuple.Family]++
		newWhole := translated.bytes(t)
		if len(translated.options) == 0 && !v6 || v6 && translated.frag&^0x4000 == 0 && bytes.IndexByte(inner.chain, 44) < 0 {
			newWhole = renumbered(newWhole) // nobody generates an identification for a quote
		}
		quote := newWhole[:len(newWhole)-upper+quoted]
		if !v6 && len(quote) > 1280-48 {
			quote = quote[:1280-48]
		}
		want.src, want.dst = netip.AddrPortFrom(r.Src, 0), netip.AddrPortFrom(r.Dst, 0)
		want.class, want.ttl, want.rest = outer.class, outer.ttl, make([]byte, 4)
		want = want.with(quote)
		if v6 && 28+len(quote) > 1260 {
			want.frag = 0x4000
		}
		if wanted := append([]byte("head"), want.bytes(t)...); !bytes.Equal(got, wanted) {
			t.Fatalf("%d: %+v, %d bytes of it\nby %+v\n got % x\nwant % x", n, inner, quoted, q, got, wanted)
		}
		var o, i packet.Info
		o = decoded(t, got[4:])
		if !packet.Quoted(got[4:], &o, &i) || i.Tuple != translated.tuple() {
			t.Fatalf("%d: quotes %v, want %v", n, i.Tuple, translated.tuple())
		}
	}
	if done[4] < 1000 || done[6] < 1000 {
		t.Errorf("translated %v by family: most were dropped", done)
	}
}

// renumbered sets the identification of an IPv4 packet to zero.
func renumbered(b []byte) []byte {
	if b[0]>>4 == 4 {
		b[4], b[5], b[10], b[11] = 0, 0, 0, 0
		binary.BigEndian.PutUint16(b[10:], ^sum(b[:int(b[0]&15)*4]))
	}
	return b
}

// TestTranslateErrors goes through the tables of RFC 7915, sections 4.2 and 5.2.
func TestTranslateErrors(t *testing.T) {
	type message struct {
		kind, code uint8
		rest       uint32
	}
	dropped := message{}
	pointer := func(at uint32) message { return message{12, 0, at << 24} }
	pointer6 := func(at uint32) message { return message{4, 0, at} }
	small4, small6 := tcp4, tcp6
	huge4, huge6 := tcp4.with(make([]byte, 2000)), tcp6.with(make([]byte, 2000))
	for _, row := range []struct {
		name  string
		quote datagram // its family is that of the error
		from  message
		want  message
	}{
		{"no route", small6, message{1, 0, 0}, message{3, 1, 0}},
		{"administratively prohibited", small6, message{1, 1, 0}, message{3, 10, 0}},
		{"beyond scope", small6, message{1, 2, 0}, message{3, 1, 0}},
		{"address unreachable", small6, message{1, 3, 0}, message{3, 1, 0}},
		{"port unreachable", small6, message{1, 4, 0}, message{3, 3, 0}},
		{"failed policy", small6, message{1, 5, 0}, dropped},
		{"what was unused stays so", small6, message{1, 4, 0x0000ffff}, message{3, 3, 0}},
		{"packet too big", huge6, message{2, 0, 1500}, message{3, 4, 1480}},
		{"packet too big, about a fragment", tcp6.with(make([]byte, 2000)).behind(44), message{2, 0, 1500}, message{3, 4, 1472}},
		{"packet too big, of a size that IPv4 cannot say", huge6, message{2, 0, 1 << 31}, message{3, 4, 0xffff}},
		{"packet too big, of no size at all", huge6, message{2, 0, 0}, message{3, 4, 68}},
		{"hop limit exceeded", small6, message{3, 0, 0}, message{11, 0, 0}},
		{"reassembly time exceeded", small6, message{3, 1, 0}, message{11, 1, 0}},
		{"next header unknown", small6, message{4, 1, 6}, message{3, 2, 0}},
		{"option unknown", small6, message{4, 2, 40}, dropped},
		{"pointer at the version", small6, pointer6(0), pointer(0)},
		{"pointer at the traffic class", small6, pointer6(1), pointer(1)},
		{"pointer at the flow label", small6, pointer6(2), dropped},
		{"pointer at the flow label's end", small6, pointer6(3), dropped},
		{"pointer at the payload length", small6, pointer6(4), pointer(2)},
		{"pointer at the payload length's end", small6, pointer6(5), pointer(2)},
		{"pointer at the next header", small6, pointer6(6), pointer(9)},
		{"pointer at the hop limit", small6, pointer6(7), pointer(8)},
		{"pointer at the source", small6, pointer6(8), pointer(12)},
		{"pointer at the source's end", small6, pointer6(23), pointer(12)},
		{"pointer at the destination", small6, pointer6(24), pointer(16)},
		{"pointer at the destination's end", small6, pointer6(39), pointer(16)},
		{"pointer behind the header", small6, pointer6(40), dropped},
		{"pointer far behind the header", small6, pointer6(256), dropped},

		{"net unreachable", small4, message{3, 0, 0}, message{1, 0, 0}},
		{"host unreachable", small4, message{3, 1, 0}, message{1, 0, 0}},
		{"protocol unreachable", small4, message{3, 2, 0}, message{4, 1, 6}},
		{"port unreachable in IPv4", small4, message{3, 3, 0}, message{1, 4, 0}},
		{"fragmentation needed", huge4, message{3, 4, 1500}, message{2, 0, 1520}},
		{"fragmentation needed, and the unused half is not", huge4, message{3, 4, 0xff0005dc}, message{2, 0, 1520}},
		{"fragmentation needed, below IPv6's smallest MTU", huge4, message{3, 4, 576}, message{2, 0, 1280}},
		{"fragmentation needed, by a router that does not say how much", huge4, message{3, 4, 0}, message{2, 0, 2002 + 20}},
		{"fragmentation needed of little, by a router that does not say how much", small4, message{3, 4, 0}, message{2, 0, 1280}},
		{"source route failed", small4, message{3, 5, 0}, message{1, 0, 0}},
		{"net unknown", small4, message{3, 6, 0}, message{1, 0, 0}},
		{"host unknown", small4, message{3, 7, 0}, message{1, 0, 0}},
		{"source isolated", small4, message{3, 8, 0}, message{1, 0, 0}},
		{"net prohibited", small4, message{3, 9, 0}, message{1, 1, 0}},
		{"host prohibited", small4, message{3, 10, 0}, message{1, 1, 0}},
		{"net unreachable for the service", small4, message{3, 11, 0}, message{1, 0, 0}},
		{"host unreachable for the service", small4, message{3, 12, 0}, message{1, 0, 0}},
		{"communication prohibited", small4, message{3, 13, 0}, message{1, 1, 0}},
		{"host precedence violation", small4, message{3, 14, 0}, dropped},
		{"precedence cutoff", small4, message{3, 15, 0}, message{1, 1, 0}},
		{"a code nobody has defined", small4, message{3, 16, 0}, dropped},
		{"source quench", small4, message{4, 0, 0}, dropped},
		{"redirect", small4, message{5, 1, 0x0a000101}, dropped},
		{"time to live exceeded", small4, message{11, 0, 0}, message{3, 0, 0}},
		{"reassembly time exceeded in IPv4", small4, message{11, 1, 0}, message{3, 1, 0}},
		{"a required option is missing", small4, message{12, 1, 0}, dropped},
		{"bad length", small4, message{12, 2, 2 << 24}, pointer6(4)},
		{"pointer at IPv4's version", small4, pointer(0), pointer6(0)},
		{"pointer at the type of service", small4, pointer(1), pointer6(1)},
		{"pointer at the total length", small4, pointer(2), pointer6(4)},
		{"pointer at the total length's end", small4, pointer(3), pointer6(4)},
		{"pointer at the identification", small4, pointer(4), dropped},
		{"pointer at the flags", small4, pointer(6), dropped},
		{"pointer at the offset", small4, pointer(7), dropped},
		{"pointer at the time to live", small4, pointer(8), pointer6(7)},
		{"pointer at the protocol", small4, pointer(9), pointer6(6)},
		{"pointer at the checksum", small4, pointer(10), dropped},
		{"pointer at IPv4's source", small4, pointer(12), pointer6(8)},
		{"pointer at IPv4's source's end", small4, pointer(15), pointer6(8)},
		{"pointer at IPv4's destination", small4, pointer(16), pointer6(24)},
		{"pointer at IPv4's destination's end", small4, pointer(19), pointer6(24)},
		{"pointer at the options", small4, pointer(20), dropped},

		{"an error about an error", icmp(web4, app4, 3, 1).with(tcp4.bytes(t)), message{11, 0, 0}, dropped},
		{"an error about an error over ipv6", icmp(web6, app6, 1, 1).with(tcp6.bytes(t)), message{3, 0, 0}, dropped},
		{"an error about a protocol that is not translated", other(50, web4, app4).with(make([]byte, 40)), message{3, 2, 0}, dropped},
	} {
		t.Run(row.name, func(t *testing.T) {
			v6 := row.quote.v6()
			e := icmp(app4, web4, row.from.kind, row.from.code)
			r := flow.Rewrite{Src: netip.MustParseAddr("64:ff9b::a00:209"), Dst: netip.MustParseAddr("2001:db8::5")}
			if v6 {
				e = icmp(app6, web6, row.from.kind, row.from.code)
				r = flow.Rewrite{Src: netip.MustParseAddr("198.51.100.9"), Dst: netip.MustParseAddr("203.0.113.5")}
			}
			e.rest = binary.BigEndian.AppendUint32(nil, row.from.rest)
			b := e.with(row.quote.bytes(t)).bytes(t)
			p := decoded(t, b)
			got, ok := translate(b, &p, packet.Translation{Rewrite: r, Quote: flow.Rewrite{Src: r.Dst, Dst: r.Src}})
			if ok != (row.want != dropped) {
				t.Fatalf("translated: %v: % x", ok, got)
			}
			if !ok {
				return
			}
			o := decoded(t, got[4:])
			h := got[4+o.L4:]
			if m := (message{h[0], h[1], binary.BigEndian.Uint32(h[4:])}); m != row.want {
				t.Errorf("%+v, want %+v", m, row.want)
			}
			if !checksumsRight(got[4:], &o) {
				t.Errorf("wrong checksums in % x", got[4:])
			}
		})
	}
}

func TestTranslateOf(t *testing.T) {
	to4 := packet.Translation{Rewrite: flow.Rewrite{Src: netip.MustParseAddr("10.0.3.4"), Dst: netip.MustParseAddr("198.51.100.9"), SrcPort: 1024}, ID: 7}
	to6 := packet.Translation{Rewrite: flow.Rewrite{Src: netip.MustParseAddr("64:ff9b::a00:209"), Dst: netip.MustParseAddr(web6), DstPort: 999}}
	to4.Quote, to6.Quote = flow.Rewrite{Src: to4.Dst, Dst: to4.Src}, flow.Rewrite{Src: to6.Dst, Dst: to6.Src}
	of := func(b []byte) ([]byte, bool) {
		p := decoded(t, b)
		if p.Tuple.Family == 6 {
			return packet.Translate64(nil, b, &p, to4)
		}
		return packet.Translate46(nil, b, &p, to6)
	}
	with := func(d datagram, change func(*datagram)) datagram { change(&d); return d }
	extended := func(d datagram, at int, length byte) []byte {
		d.rest = make([]byte, 4)
		d.rest[at] = length
		return d.bytes(t)
	}

	sourceRoute := []byte{131, 7, 4, 10, 0, 0, 9, 0}
	stops := tcp6.behind(43)
	stops.options[3] = 1
	for _, row := range []struct {
		name string
		b    []byte
	}{
		{"a packet that has stops to come", stops.bytes(t)},
		{"a source route that is not at its end", with(tcp4, func(d *datagram) { d.options = sourceRoute }).bytes(t)},
		{"a fragment header before another extension header", udp6.behind(44, 60).bytes(t)},
		{"a first fragment of udp without a checksum", with(udp4.with(make([]byte, 64)), func(d *datagram) { d.frag, d.cut, d.noChecksum = 0x2000, 32, true }).bytes(t)},
		{"a first fragment of an echo", with(echo(web4, app4, 8, 1).with(make([]byte, 64)), func(d *datagram) { d.frag, d.cut = 0x2000, 32 }).bytes(t)},
		{"a later fragment of an echo", with(echo(web4, app4, 8, 1).with(make([]byte, 64)), func(d *datagram) { d.frag, d.skip = 4, 32 }).bytes(t)},
		{"a packet with more data than fits in IPv4", tcp6.with(make([]byte, 65500)).bytes(t)},
		{"a neighbour solicitation", icmp(web6, app6, 135, 0).with(make([]byte, 16)).bytes(t)},
		{"a timestamp request", icmp(web4, app4, 13, 0).with(make([]byte, 12)).bytes(t)},
		{"icmp inside ipv6", other(1, web6, app6).with(make([]byte, 8)).bytes(t)},
		{"icmpv6 inside ipv4", other(58, web4, app4).with(make([]byte, 8)).bytes(t)},
		{"gre", other(47, web4, app4).with(make([]byte, 8)).bytes(t)},
		{"an error that quotes nothing", icmp(web4, app4, 3, 1).bytes(t)},
		{"an error that quotes the other family", icmp(web4, app4, 3, 1).with(tcp6.bytes(t)).bytes(t)},
		{"an error that quotes less than ports", icmp(web4, app4, 3, 1).with(tcp4.bytes(t)[:27]).bytes(t)},
		{"an error that says that it quotes less than ports", extended(icmp(web4, app4, 3, 1).with(tcp4.bytes(t)), 1, 6)},
		{"a fragment of an error", with(icmp(web4, app4, 3, 1).with(tcp4.bytes(t)), func(d *datagram) { d.frag = 0x2000 }).bytes(t)},
	} {
		t.Run("not "+row.name, func(t *testing.T) {
			if got, ok := of(row.b); ok || got != nil {
				t.Errorf("% x", got)
			}
		})
	}

	t.Run("a source route at its end is an option like others", func(t *testing.T) {
		d := tcp4
		d.options = bytes.Clone(sourceRoute)
		d.options[2] = 8
		got, ok := of(d.bytes(t))
		if want := d.translated(to6.Rewrite, false).bytes(t); !ok || !bytes.Equal(got, want) {
			t.Errorf("\n got % x\nwant % x", got, want)
		}
	})
	t.Run("addresses of the packet's own family", func(t *testing.T) {
		for _, d := range []datagram{tcp4, tcp6, icmp(web4, app4, 3, 1).with(tcp4.bytes(t)), icmp(web6, app6, 1, 0).with(tcp6.bytes(t))} {
			b := d.bytes(t)
			p := decoded(t, b)
			wrong, half := to4, to4
			if !d.v6() {
				half = to6
			}
			if d.v6() {
				wrong = to6
			}
			half.Dst = wrong.Dst
			for _, tr := range []packet.Translation{wrong, half, {}} {
				if got, ok := translate(b, &p, tr); ok {
					t.Errorf("%+v by %+v: % x", d, tr, got)
				}
			}
		}
	})
	t.Run("the wrong direction", func(t *testing.T) {
		b, b6 := tcp4.bytes(t), tcp6.bytes(t)
		p, p6 := decoded(t, b), decoded(t, b6)
		if got, ok := packet.Translate64(nil, b, &p, to4); ok {
			t.Errorf("% x", got)
		}
		if got, ok := packet.Translate46(nil, b6, &p6, to6); ok {
			t.Errorf("% x", got)
		}
	})
	t.Run("what follows the quote falls away", func(t *testing.T) {
		quoted := udp4.with(make([]byte, 100)) // 128 bytes: 32 words
		objects := bytes.Repeat([]byte{0x20}, 24)
		got, ok := of(extended(icmp(app4, web4, 3, 3).with(append(quoted.bytes(t), objects...)), 1, 32))
		want := with(icmp("64:ff9b::a00:209", web6, 1, 4), func(d *datagram) { d.rest = make([]byte, 4) }).with(quoted.translated(to6.Quote, true).bytes(t)).bytes(t)
		if !ok || !bytes.Equal(got, want) {
			t.Errorf("\n got % x\nwant % x", got, want)
		}
		quoted = udp6.with(make([]byte, 80)) // 128 bytes: 16 words of eight
		got, ok = of(extended(icmp(app6, web6, 1, 4).with(append(quoted.bytes(t), objects...)), 0, 16))
		back := quoted.translated(to4.Quote, true)
		want = with(icmp("10.0.3.4", "198.51.100.9", 3, 3), func(d *datagram) { d.rest = make([]byte, 4) }).with(renumbered(back.bytes(t))).bytes(t)
		if !ok || !bytes.Equal(got, want) {
			t.Errorf("\n got % x\nwant % x", got, want)
		}
	})
	t.Run("hops", func(t *testing.T) {
		to4, to6 := to4, to6
		to4.Hops, to6.Hops, to4.Quote.Hops, to6.Quote.Hops = 2, 2, 2, 2
		for _, d := range []datagram{tcp4, tcp6, icmp(web4, app4, 3, 1).with(tcp4.bytes(t)), icmp(web6, app6, 1, 0).with(tcp6.bytes(t))} {
			tr := to6
			if d.v6() {
				tr = to4
			}
			for _, row := range []struct {
				ttl uint8
				ok  bool
			}{{64, true}, {3, true}, {2, false}, {0, false}} {
				d.ttl = row.ttl
				b := d.bytes(t)
				p := decoded(t, b)
				got, ok := translate(b, &p, tr)
				if ok != row.ok {
					t.Fatalf("%+v: translated: %v", d, ok)
				}
				if !ok {
					continue
				}
				o := decoded(t, got[4:])
				var q packet.Info
				if p.ICMPError && (!packet.Quoted(got[4:], &o, &q) || q.TTL != 64) {
					t.Errorf("quotes a TTL of %d, which was 64", q.TTL)
				}
				if o.TTL != row.ttl-2 || !checksumsRight(got[4:], &o) {
					t.Errorf("%+v became % x", d, got[4:])
				}
			}
		}
	})
	t.Run("a quote is no longer than the packet was", func(t *testing.T) {
		got, ok := of(icmp(app4, web4, 3, 3).with(append(udp4.bytes(t), 1, 2, 3)).bytes(t))
		if !ok || len(got) != 48+48 {
			t.Errorf("%d bytes: % x", len(got), got)
		}
	})
	t.Run("a wrong checksum stays wrong", func(t *testing.T) {
		for _, d := range []datagram{tcp4, tcp6, udp4, udp6, echo(web4, app4, 8, 1), echo(web6, app6, 128, 1),
			icmp(web4, app4, 3, 1).with(tcp4.bytes(t)), icmp(web6, app6, 1, 0).with(tcp6.bytes(t))} {
			b := d.bytes(t)
			p := decoded(t, b)
			at := map[uint8]int{flow.TCP: 16, flow.UDP: 6, flow.ICMP: 2, flow.ICMPv6: 2}[d.proto]
			for _, broken := range []bool{false, true} {
				if broken {
					b[p.L4+at] ^= 0x40
				}
				got, ok := of(b)
				if !ok {
					t.Fatalf("%+v was dropped", d)
				}
				if q := decoded(t, got); checksumsRight(got, &q) == broken {
					t.Errorf("%+v, broken %v: % x", d, broken, got)
				}
			}
		}
	})
	t.Run("udp whose checksum would be zero says so with 0xffff", func(t *testing.T) {
		d := udp4
		d.noChecksum = true
		// A payload word that makes the whole sum 0xffff.
		d.payload = []byte{0, 0}
		d6 := d.translated(to6.Rewrite, false)
		upper := d6.upper(t)
		copy(d.payload, upper[6:8])
		got, ok := of(d.bytes(t))
		if !ok || binary.BigEndian.Uint16(got[46:]) != 0xffff {
			t.Errorf("% x", got)
		}
	})
}

// TestQuotesOfNAT: what a NAT gateway changes in a connection's packets, it changes back in the errors about them, ports and echo identifiers included.
func TestQuotesOfNAT(t *testing.T) {
	gateway := netip.MustParseAddr("10.0.9.9")
	for _, row := range []struct {
		name string
		sent datagram // by the instance
	}{
		{"tcp", tcp4.with(make([]byte, 64))},
		{"udp", udp4.with(make([]byte, 64))},
		{"echo", echo(web4, app4, 8, 77).with(make([]byte, 64))},
		{"tcp over ipv6", tcp6.with(make([]byte, 64))},
		{"echo over ipv6", echo(web6, app6, 128, 77).with(make([]byte, 64))},
	} {
		router, outside := "192.0.2.1", gateway
		kind := uint8(11)
		if row.sent.v6() {
			router, outside, kind = "2001:db8:99::1", netip.MustParseAddr("2001:db8:9::9"), 3
		}
		out := flow.Rewrite{Src: outside, SrcPort: 50000}
		left := row.sent.rewritten(out)
		for _, keep := range []int{8, 30, 1 << 16} {
			t.Run(row.name, func(t *testing.T) {
				cut := func(d datagram) []byte {
					b := d.bytes(t)
					return b[:min(len(b), len(b)-len(d.bytesUpper(t))+keep)]
				}
				e := icmp(router, outside.String(), kind, 0)
				b := e.with(cut(left)).bytes(t)
				p := decoded(t, b)
				var q packet.Info
				if !packet.Quoted(b, &p, &q) || q.Tuple != left.tuple() {
					t.Fatalf("quotes %v, want %v", q.Tuple, left.tuple())
				}
				back := flow.Rewrite{Src: row.sent.src.Addr(), SrcPort: row.sent.src.Port()}
				packet.RewriteQuoted(b, &p, &q, back)
				packet.Rewrite(b, &p, flow.Rewrite{Dst: row.sent.src.Addr()})
				want := icmp(router, row.sent.src.Addr().String(), kind, 0).with(cut(row.sent)).bytes(t)
				if !bytes.Equal(b, want) || q.Tuple != row.sent.tuple() {
					t.Errorf("%v\n got % x\nwant % x", q.Tuple, b, want)
				}
			})
		}
	}
}

func TestNoAllocationInAnswers(t *testing.T) {
	room := make([]byte, 0, 4096)
	b, b6 := tcp4.with(make([]byte, 100)).bytes(t), tcp6.with(make([]byte, 100)).bytes(t)
	d := tcp4
	d.tcpOptions = make([]byte, 4)
	syn := d.bytes(t)
	e := icmp(web4, app4, 3, 4).with(b).bytes(t)
	p, p6, pe, ps := decoded(t, b), decoded(t, b6), decoded(t, e), decoded(t, syn)
	r4 := flow.Rewrite{Src: netip.MustParseAddr("203.0.113.7"), Dst: netip.MustParseAddr("198.51.100.9"), SrcPort: 7}
	r6 := flow.Rewrite{Src: netip.MustParseAddr("64:ff9b::1"), Dst: netip.MustParseAddr("2001:db8::9"), DstPort: 8}
	for name, f := range map[string]func() bool{
		"too big":       func() bool { return packet.AppendTooBig(room, b, &p, router4, 1500) != nil },
		"time exceeded": func() bool { return packet.AppendTimeExceeded(room, b6, &p6, router6) != nil },
		"reset":         func() bool { return packet.AppendRST(room, b, &p) != nil },
		"clamp":         func() bool { copy(syn[40:], "\x02\x04\x23\x28"); return packet.ClampMSS(syn, &ps, 1460) },
		"to ipv4":       func() bool { _, ok := packet.Translate64(room, b6, &p6, packet.Translation{Rewrite: r4}); return ok },
		"to ipv6":       func() bool { _, ok := packet.Translate46(room, b, &p, packet.Translation{Rewrite: r6}); return ok },
		"an error's turn": func() bool {
			_, ok := packet.Translate46(room, e, &pe, packet.Translation{Rewrite: r6, Quote: r6})
			return ok
		},
	} {
		if allocs := testing.AllocsPerRun(100, func() {
			if !f() {
				t.Fatal(name)
			}
		}); allocs != 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}

func BenchmarkTranslate(b *testing.B) {
	r4 := flow.Rewrite{Src: netip.MustParseAddr("203.0.113.7"), Dst: netip.MustParseAddr("198.51.100.9"), SrcPort: 7}
	r6 := flow.Rewrite{Src: netip.MustParseAddr("64:ff9b::1"), Dst: netip.MustParseAddr("2001:db8::9"), DstPort: 8}
	room := make([]byte, 0, 4096)
	b.Run("to ipv4", func(b *testing.B) {
		raw := tcp6.with(make([]byte, 1000)).bytes(b)
		p := decoded(b, raw)
		for b.Loop() {
			packet.Translate64(room, raw, &p, packet.Translation{Rewrite: r4})
		}
	})
	b.Run("to ipv6", func(b *testing.B) {
		raw := tcp4.with(make([]byte, 1000)).bytes(b)
		p := decoded(b, raw)
		for b.Loop() {
			packet.Translate46(room, raw, &p, packet.Translation{Rewrite: r6})
		}
	})
}
