package link

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/netdev"
)

const (
	ms   = time.Millisecond
	mbit = 1_000_000
)

func newLine(s Shape) *line { return &line{shape: s, coin: rand.New(rand.NewPCG(1, 2))} }

// sendAt pushes n packets of a size, and returns how many were lost for each reason.
func (l *line) sendAt(now time.Duration, n, size int) map[flow.Reason]int {
	lost := map[flow.Reason]int{}
	packet := make([]byte, size)
	for range n {
		if why := l.push(now, 1, packet); why != flow.None {
			lost[why]++
		}
	}
	return lost
}

// through takes what is through at a time, and returns how many packets that were.
func (l *line) through(now time.Duration) (n int) {
	for l.advance(now); l.ready > 0; n++ {
		l.take()
	}
	return n
}

func TestShapesOutOfBoundsAreRefused(t *testing.T) {
	for _, row := range []struct {
		shape Shape
		want  string
	}{
		{Shape{}, ""},
		{Shape{Delay: 10 * time.Second, Loss: 1, Rate: 1e12}, ""},
		{Shape{Delay: -1}, "delay -1ns: not between 0 and 10s"},
		{Shape{Delay: 11 * time.Second}, "delay 11s: not between 0 and 10s"},
		{Shape{Loss: -0.1}, "loss -0.1: not between 0 and 1"},
		{Shape{Loss: 1.5}, "loss 1.5: not between 0 and 1"},
		{Shape{Loss: math.NaN()}, "loss NaN: not between 0 and 1"},
		{Shape{Rate: 1e12 + 1}, "rate 1000000000001 bit/s: above 1000000000000"},
	} {
		got := ""
		if err := row.shape.check(); err != nil {
			got = err.Error()
		}
		if got != row.want {
			t.Errorf("%+v: got %q, want %q", row.shape, got, row.want)
		}
	}
}

// When a packet is through, to the nanosecond.
func TestWhenAPacketIsThrough(t *testing.T) {
	for _, row := range []struct {
		about string
		shape Shape
		sent  []time.Duration // packets of 1250 bytes, 10,000 bits
		want  []time.Duration
	}{
		{"no shape: at once", Shape{}, []time.Duration{0, 5 * ms}, []time.Duration{0, 5 * ms}},
		{"delay: each later by the same", Shape{Delay: 20 * ms}, []time.Duration{0, 5 * ms}, []time.Duration{20 * ms, 25 * ms}},
		{"rate: its own transmission", Shape{Rate: mbit}, []time.Duration{0}, []time.Duration{10 * ms}},
		{"rate: one after the other", Shape{Rate: mbit}, []time.Duration{0, 0, 1 * ms}, []time.Duration{10 * ms, 20 * ms, 30 * ms}},
		{"rate: an idle transmitter saves nothing up", Shape{Rate: mbit}, []time.Duration{0, 50 * ms}, []time.Duration{10 * ms, 60 * ms}},
		{"rate, then delay", Shape{Rate: mbit, Delay: 5 * ms}, []time.Duration{0, 0}, []time.Duration{15 * ms, 25 * ms}},
	} {
		l := newLine(row.shape)
		sent := row.sent
		var got []time.Duration
		for len(sent) > 0 || l.n > 0 {
			at := l.next()
			if len(sent) > 0 && sent[0] <= at {
				l.sendAt(sent[0], 1, 1250)
				sent = sent[1:]
				continue
			}
			if l.ready == 0 && l.through(at-1) != 0 {
				t.Fatalf("%s: a packet is through before %v", row.about, at)
			}
			if at == 0 { // at once: when it was sent
				at = l.at(0).at
			}
			for range l.through(at) {
				got = append(got, at)
			}
		}
		if len(got) != len(row.want) {
			t.Fatalf("%s: %v are through, want %v", row.about, got, row.want)
		}
		for i := range got {
			if got[i] != row.want[i] {
				t.Errorf("%s: packet %d is through at %v, want %v", row.about, i, got[i], row.want[i])
			}
		}
	}
}

func TestRateIsKept(t *testing.T) {
	for _, rate := range []uint64{64_000, 10 * mbit, 1000 * mbit, 25_000 * mbit} {
		for _, size := range []int{40, 1400, 9001} {
			l := newLine(Shape{Rate: rate})
			const packets = 5000
			bits := float64(8 * size * packets)
			span := time.Duration(bits / float64(rate) * float64(time.Second))
			step := max(1, span/packets)
			now, got := time.Duration(0), 0
			for ; now < span; now += step { // offer twice as much as it carries
				l.sendAt(now, 2, size)
				got += l.through(now)
			}
			if off := float64(got)/packets - 1; math.Abs(off) > 0.05 {
				t.Errorf("%d bit/s, %d bytes: carried %d of %d packets, off by %.1f%%", rate, size, got, packets, 100*off)
			}
		}
	}
}

func TestLossIsWithinItsBound(t *testing.T) {
	const packets, sigmas = 20000, 5
	for _, loss := range []float64{0, 0.001, 0.1, 0.5, 0.99, 1} {
		l := newLine(Shape{Loss: loss})
		got := 0
		for range packets {
			got += l.sendAt(0, 1, 100)[flow.LinkLoss]
			l.through(0)
		}
		want, deviation := packets*loss, math.Sqrt(packets*loss*(1-loss))
		if math.Abs(float64(got)-want) > sigmas*deviation {
			t.Errorf("loss %v: lost %d of %d, want %.0f ± %.0f", loss, got, packets, want, sigmas*deviation)
		}
	}
}

func TestQueuesAreBounded(t *testing.T) {
	for _, row := range []struct {
		about string
		shape Shape
		size  int
		want  int // packets held
	}{
		{"nobody takes", Shape{}, 1400, 256},
		{"a slow transmitter", Shape{Rate: 1}, 1400, 256},
		{"a slow transmitter and a delay", Shape{Rate: 1, Delay: ms}, 20, 256},
		{"a long way, large packets", Shape{Delay: time.Second}, 9001, (64 << 20) / (9001 + parcelCost)},
		{"a long way, small packets", Shape{Delay: time.Second}, 500, (64 << 20) / (500 + parcelCost)},
	} {
		l := newLine(row.shape)
		sent := row.want + 1000
		lost := l.sendAt(0, sent, row.size)
		if l.n != row.want || lost[flow.LinkQueueFull] != 1000 || len(lost) != 1 {
			t.Errorf("%s: holds %d packets of %d, want %d; lost %v", row.about, l.n, sent, row.want, lost)
		}
		memory := len(l.chunks)*chunkSize + len(l.ring)*40
		if limit := maxLineBytes + maxLineBytes/16; memory > limit {
			t.Errorf("%s: %d bytes of memory, more than %d", row.about, memory, limit)
		}
		if l.through(time.Hour*24*365) != row.want {
			t.Errorf("%s: not all of them came through", row.about)
		}
		if idle := (len(l.chunks) + len(l.spare)) * chunkSize; idle > (1+spareChunks)*chunkSize || len(l.ring) > largestIdle {
			t.Errorf("%s: an empty line keeps %d bytes and %d parcels", row.about, idle, len(l.ring))
		}
	}
}

func TestReshape(t *testing.T) {
	t.Run("the rest of a packet is sent at the new rate", func(t *testing.T) {
		l := newLine(Shape{Rate: mbit})
		l.sendAt(0, 2, 1250)                    // 10 ms each
		l.reshape(4*ms, Shape{Rate: mbit / 10}) // 6,000 bits are left: 60 ms
		wantThrough(t, l, 64*ms, 164*ms)
	})
	t.Run("a backlog goes at once without a rate", func(t *testing.T) {
		l := newLine(Shape{Rate: 1})
		l.sendAt(0, 3, 1250)
		l.reshape(4*ms, Shape{})
		if got := l.through(4 * ms); got != 3 {
			t.Errorf("%d are through, want 3", got)
		}
	})
	t.Run("a shorter way keeps the order", func(t *testing.T) {
		l := newLine(Shape{Delay: 100 * ms})
		l.sendAt(0, 1, 1250)
		l.sendAt(30*ms, 1, 1250)
		l.reshape(50*ms, Shape{Delay: 60 * ms})
		wantThrough(t, l, 60*ms, 90*ms)
	})
	t.Run("nothing that is under way is lost", func(t *testing.T) {
		l := newLine(Shape{Delay: 100 * ms})
		l.sendAt(0, 1000, 100)
		l.reshape(1*ms, Shape{Delay: 100 * ms, Loss: 1, Rate: 1})
		if got := l.through(100 * ms); got != 1000 {
			t.Errorf("%d are through, want 1000", got)
		}
	})
}

// wantThrough checks that one packet is through at each of the times, and not before.
func wantThrough(t *testing.T, l *line, at ...time.Duration) {
	t.Helper()
	for i, want := range at {
		if got := l.next(); got != want {
			t.Fatalf("packet %d is through at %v, want %v", i, got, want)
		}
		if before, then := l.through(want-1), l.through(want); before != 0 || then != 1 {
			t.Fatalf("packet %d: %d are through before %v, %d then; want 0 and 1", i, before, want, then)
		}
	}
	if l.n != 0 {
		t.Errorf("%d packets are left", l.n)
	}
}

// slow is what a line does, with a time for each packet in a plain list.
type slow struct {
	shape   Shape
	packets []slowPacket
}

type slowPacket struct {
	bytes  []byte
	sender uint32
	bits   float64 // that are not sent yet
	left   time.Duration
	gone   bool // from the transmitter
}

// run moves a slow line from one time to the next.
func (s *slow) run(from, to time.Duration) {
	for i := range s.packets {
		p := &s.packets[i]
		if p.gone {
			continue
		}
		need := time.Duration(0)
		if s.shape.Rate > 0 {
			need = time.Duration(math.Ceil(p.bits * 1e9 / float64(s.shape.Rate)))
		}
		if from+need > to {
			p.bits -= float64(s.shape.Rate) * float64(to-from) / 1e9
			return
		}
		from += need
		p.gone, p.left = true, from
	}
}

func (s *slow) through(now time.Duration) (n int) {
	for n < len(s.packets) && s.packets[n].gone && s.packets[n].left+s.shape.Delay <= now {
		n++
	}
	return n
}

// A line does what the slow one does, whatever happens in whatever order. Its times differ by their rounding.
func TestLineAgreesWithASlowOne(t *testing.T) {
	for seed := range uint64(100) {
		dice := rand.New(rand.NewPCG(seed, 7))
		shape := func() Shape {
			return Shape{Delay: time.Duration(dice.IntN(3)) * 5 * ms, Rate: []uint64{0, mbit, 80 * mbit}[dice.IntN(3)]}
		}
		fast, ref := newLine(shape()), &slow{}
		ref.shape = fast.shape
		now := time.Duration(0)
		for range 400 {
			last := now
			now += time.Duration(dice.IntN(3)) * time.Duration(dice.IntN(int(4*ms)))
			ref.run(last, now)
			reshape := dice.IntN(6) == 0
			if dice.IntN(2) == 0 {
				packet := packetOf(dice.Uint64(), 20+dice.IntN(maxPacket-20+1))[netdev.Headroom:]
				sender := dice.Uint32()
				if fast.push(now, sender, packet) == flow.None {
					ref.packets = append(ref.packets, slowPacket{bytes: packet, sender: sender, bits: float64(8 * len(packet))})
					ref.run(now, now)
				}
			}
			fast.advance(now)
			if early, late := ref.through(now-1000), ref.through(now+1000); fast.ready < early || fast.ready > late {
				t.Fatalf("seed %d, at %v: %d are through, want %d to %d", seed, now, fast.ready, early, late)
			}
			takes := dice.IntN(1 + fast.ready)
			if reshape { // what is through stays through, which the slow one does not know
				takes = fast.ready
			}
			for range takes {
				p := fast.at(0)
				if want := ref.packets[0]; p.sender != want.sender || !bytes.Equal(p.frame[netdev.Headroom:], want.bytes) {
					t.Fatalf("seed %d, at %v: another packet than was sent", seed, now)
				}
				fast.take()
				ref.packets = ref.packets[1:]
			}
			if reshape {
				s := shape()
				fast.reshape(now, s)
				ref.shape = s
				ref.run(now, now)
			}
		}
	}
}

func TestALineAllocatesNothing(t *testing.T) {
	for _, s := range []Shape{{}, {Delay: 10 * ms}, {Rate: 1000 * mbit}, {Delay: 10 * ms, Rate: 100 * mbit, Loss: 0.1}} {
		l := newLine(s)
		packet := make([]byte, 1400)
		now := time.Duration(0)
		step := func() {
			for range 100 {
				now += 150 * time.Microsecond
				l.push(now, 1, packet)
				l.through(now)
			}
		}
		step()
		if n := testing.AllocsPerRun(100, step); n != 0 {
			t.Errorf("%+v: %v allocations for 100 packets", s, n)
		}
	}
}
