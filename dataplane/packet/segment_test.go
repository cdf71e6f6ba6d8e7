package packet_test

import (
	"bytes"
	"encoding/binary"
	"math/rand"
	"slices"
	"testing"

	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/packet"
)

func TestClampMSS(t *testing.T) {
	mss := func(v uint16) []byte { return []byte{2, 4, byte(v >> 8), byte(v)} }
	join := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	sack, scale := []byte{4, 2}, []byte{3, 3, 7}
	for _, row := range []struct {
		name    string
		flags   uint8
		options []byte
		want    []byte // nil: unchanged
	}{
		{"a SYN", flow.SYN, mss(8961), mss(1460)},
		{"a SYN-ACK", flow.SYN | flow.ACK, mss(8961), mss(1460)},
		{"behind other options", flow.SYN, join(sack, scale, []byte{1, 1, 1}, mss(8961)), join(sack, scale, []byte{1, 1, 1}, mss(1460))},
		{"at an odd place", flow.SYN, join(scale, mss(8961), []byte{0}), join(scale, mss(1460), []byte{0})},
		{"at an odd place, only the low byte changes", flow.SYN, join(scale, mss(1461), []byte{0}), join(scale, mss(1460), []byte{0})},
		{"twice: hosts take the last", flow.SYN, join(mss(9000), mss(8000)), join(mss(1460), mss(1460))},
		{"before a malformed option", flow.SYN, join(mss(9000), []byte{8, 1, 2, 4}), join(mss(1460), []byte{8, 1, 2, 4})},
		{"as large as may be", flow.SYN, mss(1460), nil},
		{"smaller", flow.SYN, mss(536), nil},
		{"no SYN", flow.ACK, mss(8961), nil},
		{"no option", flow.SYN, nil, nil},
		{"behind the end of the list", flow.SYN, join([]byte{0, 0, 0, 0}, mss(8961)), nil},
		{"behind a malformed option", flow.SYN, join([]byte{8, 1, 1, 1}, mss(8961)), nil},
		{"behind an option of no length", flow.SYN, join([]byte{8, 0, 1, 1}, mss(8961)), nil},
		{"with a wrong length", flow.SYN, []byte{2, 3, 0x23, 0x28}, nil},
		{"cut off", flow.SYN, []byte{1, 1, 2, 4}, nil},
		{"nothing but its type", flow.SYN, []byte{1, 1, 1, 2}, nil},
	} {
		for _, d := range []datagram{tcp4.with([]byte{1, 2, 3}), tcp6, tcp6.behind(0, 60)} {
			t.Run(row.name, func(t *testing.T) {
				d.flags = row.flags
				build := func(options []byte) []byte {
					d.tcpOptions = make([]byte, len(options))
					b := d.bytes(t)
					p := decoded(t, b)
					copy(b[p.L4+20:], options)
					b[p.L4+16], b[p.L4+17] = 0, 0
					binary.BigEndian.PutUint16(b[p.L4+16:], ^sum(pseudoHeader(&p, len(b)-p.L4), b[p.L4:]))
					return b
				}
				b, want := build(row.options), build(row.options)
				if row.want != nil {
					want = build(row.want)
				}
				p := decoded(t, b)
				if changed := packet.ClampMSS(b, &p, 1460); changed != (row.want != nil) {
					t.Errorf("changed: %v", changed)
				}
				if !bytes.Equal(b, want) {
					t.Errorf("\n got % x\nwant % x", b, want)
				}
			})
		}
	}
	t.Run("no tcp", func(t *testing.T) {
		b := udp4.with(mss(9000)).bytes(t)
		if p := decoded(t, b); packet.ClampMSS(b, &p, 1) {
			t.Errorf("% x", b)
		}
	})
	t.Run("a first fragment that ends among the options", func(t *testing.T) {
		d := tcp4.with(make([]byte, 64))
		d.tcpOptions = make([]byte, 8)
		d.frag, d.cut = 0x2000, 24
		b := d.bytes(t)
		copy(b[40:], []byte{1, 1, 2, 4})
		want := bytes.Clone(b)
		if p := decoded(t, b); packet.ClampMSS(b, &p, 1) || !bytes.Equal(b, want) {
			t.Errorf("% x", b)
		}
	})
}

// pseudoHeader is what checksums cover beside the upper layer.
func pseudoHeader(p *packet.Info, length int) []byte {
	b := slices.Concat(p.Tuple.SrcAddr().AsSlice(), p.Tuple.DstAddr().AsSlice())
	return append(binary.BigEndian.AppendUint16(b, uint16(length)), 0, p.Tuple.Protocol)
}

// TestFragment puts random packets, cut to random sizes and cut again, together in the obvious way.
func TestFragment(t *testing.T) {
	rng := rand.New(rand.NewSource(3))
	for n := range 2000 {
		d := randomDatagram(rng)
		for d.v6() {
			d = randomDatagram(rng)
		}
		d.payload = append(d.payload, make([]byte, rng.Intn(4000))...)
		fill(d.payload)
		if d.frag == 0x2000 { // data of a first fragment comes in eights
			d.cut = 8 * (8 + rng.Intn(len(d.payload)/8-7))
		}
		if d.options != nil {
			d.options = randomOptions(rng)
		}
		b := d.bytes(t)
		before := bytes.Clone(b)
		p := decoded(t, b)
		mtu := 96 + rng.Intn(1500) // the first fragment must hold its upper-layer header to be decoded
		got := packet.Fragment(append(b, 9, 9, 9), &p, mtu)
		checkFragments(t, b, &p, got, mtu)
		if t.Failed() {
			t.Fatalf("%d: %+v in fragments of %d", n, d, mtu)
		}

		var again [][]byte
		smaller := 96 + rng.Intn(mtu-95)
		for _, f := range got {
			q := decoded(t, f)
			again = append(again, packet.Fragment(f, &q, smaller)...)
		}
		checkFragments(t, b, &p, again, smaller)
		if t.Failed() {
			t.Fatalf("%d: %+v in fragments of %d, then of %d", n, d, mtu, smaller)
		}
		if !bytes.Equal(b, before) {
			t.Fatalf("%d: the packet itself changed", n)
		}
	}
}

// checkFragments asserts that the fragments are those of whole, which may be a fragment itself, in their order and each of mtu bytes at most.
func checkFragments(t *testing.T, whole []byte, p *packet.Info, fragments [][]byte, mtu int) {
	t.Helper()
	data := make([]byte, 0, len(whole))
	for i, f := range fragments {
		var q packet.Info
		if i == 0 {
			if !packet.Decode(f, &q) {
				t.Fatalf("the first fragment is malformed: % x", f)
			}
			if len(fragments) > 1 && !bytes.Equal(f[20:q.L4], whole[20:p.L4]) {
				t.Errorf("the first fragment's options are % x, want % x", f[20:q.L4], whole[20:p.L4])
			}
		} else if !packet.Decode(f, &q) {
			t.Fatalf("fragment %d is malformed: % x", i, f)
		}
		last := i == len(fragments)-1
		switch {
		case len(f) > mtu, q.Length != len(f):
			t.Errorf("fragment %d has %d bytes and says %d, with an MTU of %d", i, len(f), q.Length, mtu)
		case sum(f[:q.L4]) != 0xffff:
			t.Errorf("fragment %d has a wrong header checksum", i)
		case q.FragmentOffset != p.FragmentOffset+len(data):
			t.Errorf("fragment %d is at %d, want %d", i, q.FragmentOffset, p.FragmentOffset+len(data))
		case q.MoreFragments != (!last || p.MoreFragments):
			t.Errorf("fragment %d of %d: more fragments %v", i, len(fragments), q.MoreFragments)
		case !last && (len(f)-q.L4)%8 != 0:
			t.Errorf("fragment %d has %d bytes of data", i, len(f)-q.L4)
		case q.ID != p.ID, q.TTL != p.TTL, q.Tuple.Protocol != p.Tuple.Protocol, q.Tuple.Src != p.Tuple.Src, q.Tuple.Dst != p.Tuple.Dst, f[1] != whole[1]:
			t.Errorf("fragment %d is another packet's: %+v, want %+v", i, q, p)
		case i > 0 && !bytes.Equal(f[20:q.L4], copied(whole[20:p.L4])):
			t.Errorf("fragment %d has options % x of % x", i, f[20:q.L4], whole[20:p.L4])
		}
		data = append(data, f[q.L4:]...)
	}
	if !bytes.Equal(data, whole[p.L4:p.Length]) {
		t.Errorf("%d fragments have %d bytes of data, the packet has %d", len(fragments), len(data), p.Length-p.L4)
	}
}

// randomOptions are whole words of security options (copied), record routes (not copied), and no-operations.
func randomOptions(rng *rand.Rand) []byte {
	var o []byte
	for len(o) < 24 && rng.Intn(5) > 0 {
		size := 3 + rng.Intn(8)
		switch rng.Intn(3) {
		case 0:
			o = append(append(o, 130, byte(size)), make([]byte, size-2)...)
		case 1:
			o = append(append(o, 7, byte(size)), make([]byte, size-2)...)
		default:
			o = append(o, 1)
		}
	}
	for len(o)%4 != 0 || len(o) == 0 {
		o = append(o, 1)
	}
	return o
}

// copied is what fragments behind the first have of options.
func copied(o []byte) []byte {
	c := []byte{}
	for len(o) > 0 && o[0] != 0 {
		if o[0] == 1 {
			o = o[1:]
			continue
		}
		if o[0] >= 128 {
			c = append(c, o[:o[1]]...)
		}
		o = o[o[1]:]
	}
	for len(c)%4 != 0 {
		c = append(c, 0)
	}
	return c
}

func TestFragmentOf(t *testing.T) {
	cut := func(d datagram, mtu int) [][]byte {
		b := d.bytes(t)
		p := decoded(t, b)
		return packet.Fragment(b, &p, mtu)
	}
	big := udp4.with(make([]byte, 8000))
	t.Run("a packet that fits stays itself", func(t *testing.T) {
		for _, d := range []datagram{udp4, udp6, func() datagram { d := tcp4; d.frag = 0x4000; return d }()} {
			b := d.bytes(t)
			p := decoded(t, b)
			if got := packet.Fragment(b, &p, len(b)); len(got) != 1 || &got[0][0] != &b[0] || len(got[0]) != len(b) {
				t.Errorf("% x", got)
			}
		}
	})
	t.Run("the fewest fragments", func(t *testing.T) {
		if got := cut(big, 1500); len(got) != 6 || len(got[0]) != 1500 || len(got[5]) != 8008-5*1480+20 {
			t.Errorf("%d fragments", len(got))
		}
	})
	t.Run("the last fragment may fill the MTU where others could not", func(t *testing.T) {
		if got := cut(udp4.with(make([]byte, 16+47-8)), 67); len(got) != 2 || len(got[0]) != 60 || len(got[1]) != 43 {
			t.Errorf("%d fragments: % x", len(got), got)
		}
	})
	for _, row := range []struct {
		name string
		d    datagram
		mtu  int
	}{
		{"DF", func() datagram { d := big; d.frag = 0x4000; return d }(), 1500},
		{"ipv6", udp6.with(make([]byte, 8000)), 1500},
		{"an MTU without room for data", big, 27},
		{"an MTU of zero", big, 0},
		{"options that fill the MTU", func() datagram { d := big; d.options = bytes.Repeat([]byte{1}, 40); return d }(), 67},
		{"a fragment that reaches beyond 65535", func() datagram { d := big; d.frag, d.skip = 8100, 8; return d }(), 1500},
	} {
		t.Run("no fragments of "+row.name, func(t *testing.T) {
			if got := cut(row.d, row.mtu); got != nil {
				t.Errorf("%d fragments", len(got))
			}
		})
	}
	t.Run("a wrong header checksum stays as wrong as it was", func(t *testing.T) {
		d := big
		d.options = randomOptions(rand.New(rand.NewSource(4)))
		b := d.bytes(t)
		b[10] ^= 0x40
		p := decoded(t, b)
		want := sum(b[:p.L4])
		for i, f := range packet.Fragment(b, &p, 1500) {
			q := decoded(t, f)
			if got := sum(f[:q.L4]); got != want {
				t.Errorf("fragment %d: sum %#04x, want %#04x", i, got, want)
			}
		}
	})
	t.Run("fragments do not share room", func(t *testing.T) {
		got := cut(big, 1500)
		want := bytes.Clone(got[1])
		_ = append(got[0], 0xff, 0xff)
		if !bytes.Equal(got[1], want) {
			t.Error("appending to one wrote over the next")
		}
	})
}
