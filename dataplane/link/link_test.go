package link

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/netdev"
)

// each runs a test for a plain and an encrypted link.
func each(t *testing.T, test func(t *testing.T, encrypted bool)) {
	t.Helper()
	t.Run("plain", func(t *testing.T) { test(t, false) })
	t.Run("encrypted", func(t *testing.T) { test(t, true) })
}

// Packets of all sizes, both versions and many senders, both ways at once, through every combination of shapes.
func TestPacketsArriveOnceInOrderAsTheyWere(t *testing.T) {
	each(t, func(t *testing.T, encrypted bool) {
		for _, shape := range []Shape{
			{}, {Delay: 3 * ms}, {Rate: 400 * mbit}, {Delay: 3 * ms, Rate: 400 * mbit},
			{Loss: 0.1}, {Loss: 0.1, Delay: 3 * ms}, {Loss: 0.1, Rate: 400 * mbit}, {Loss: 0.1, Delay: 3 * ms, Rate: 400 * mbit},
		} {
			t.Run(fmt.Sprintf("%v %v %v", shape.Delay, shape.Loss, shape.Rate), func(t *testing.T) {
				b := newBed(t, options{shape: shape, encrypted: encrypted})
				var senders sync.WaitGroup
				for end := range 2 {
					senders.Go(func() {
						dice := rand.New(rand.NewPCG(uint64(end), 5))
						for b.sentBy(end) < 3000 {
							b.send(end, sizes(dice, 1+dice.IntN(60))...)
							eventually(t, "the queue has room", func() bool { return b.under(end) < maxBacklog-batchSize-60 })
						}
					})
				}
				senders.Wait()
				b.settle()
				for end := range 2 {
					want := map[flow.Reason]int{flow.LinkLoss: b.lost[end][flow.LinkLoss]}
					b.wantLost(end, want)
					if got := want[flow.LinkLoss]; (got > 0) != (shape.Loss > 0) {
						t.Errorf("end %d: %d packets lost with a loss of %v", end, got, shape.Loss)
					}
				}
			})
		}
	})
}

// sizes are n sizes of packets, from the smallest to the largest.
func sizes(dice *rand.Rand, n int) []int {
	all := make([]int, n)
	for i := range all {
		switch dice.IntN(4) {
		case 0:
			all[i] = 20 + dice.IntN(100)
		case 1:
			all[i] = maxPacket - dice.IntN(3)
		default:
			all[i] = 20 + dice.IntN(maxPacket-20+1)
		}
	}
	return all
}

// repeat is n times the same size.
func repeat(n, size int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = size
	}
	return all
}

func TestWhatIsNoPacketOfAVPCIsLostByName(t *testing.T) {
	each(t, func(t *testing.T, encrypted bool) {
		b := newBed(t, options{encrypted: encrypted})
		b.link.Send(0, 1, [][]byte{make([]byte, netdev.Headroom), make([]byte, netdev.Headroom+maxPacket+1)})
		b.send(0, maxPacket) // and the largest that is one arrives
		eventually(t, "the largest packet arrives", func() bool { return b.arrivedFrom(0) == 1 })
		b.mu.Lock()
		defer b.mu.Unlock()
		if got := b.lost[0]; got[flow.MalformedPacket] != 1 || got[flow.MTUExceeded] != 1 || len(got) != 2 || b.lostLens[0] != maxPacket+1 {
			t.Errorf("lost %v, %d bytes; want one for each, %d bytes", got, b.lostLens[0], maxPacket+1)
		}
	})
}

// While nobody takes what arrives, ten times more is sent than fits; then it is taken, and everything is accounted for.
func TestOverloadIsBoundedAndTold(t *testing.T) {
	for _, row := range []struct {
		about     string
		shape     Shape
		encrypted bool
		holds     int // packets, at most: in the hands of Arrive, in the window, in front
	}{
		{"plain", Shape{}, false, maxBacklog},
		{"plain, with a delay", Shape{Delay: ms}, false, maxLineBytes / 1400},
		{"encrypted", Shape{}, true, batchSize + windowSize + maxBacklog},
		{"encrypted, with a rate", Shape{Rate: 10 * mbit}, true, batchSize + windowSize + 2*maxBacklog},
	} {
		t.Run(row.about, func(t *testing.T) {
			gate := make(chan struct{})
			var once sync.Once
			b := newBed(t, options{shape: row.shape, encrypted: row.encrypted, hold: func(int) { <-gate }})
			open := func() { once.Do(func() { close(gate) }) }
			t.Cleanup(open) // before the link is closed, which waits for Arrive
			sent := min(10*row.holds, 60000)
			for b.sentBy(0) < sent {
				b.send(0, repeat(100, 1400)...)
			}
			if held := b.under(0); held > row.holds {
				t.Errorf("the link holds %d packets, more than %d", held, row.holds)
			}
			open()
			b.settle()
			full := b.lostFrom(0, flow.LinkQueueFull)
			if sent > row.holds && full < sent-row.holds {
				t.Errorf("%d of %d packets lost for %v, and at most %d fit", full, sent, flow.LinkQueueFull, row.holds)
			}
			b.send(0, repeat(10, 1400)...) // it is as good as new
			b.settle()
			b.wantLost(0, map[flow.Reason]int{flow.LinkQueueFull: full})
		})
	}
}

func TestReshapeWhilePacketsFlow(t *testing.T) {
	each(t, func(t *testing.T, encrypted bool) {
		b := newBed(t, options{encrypted: encrypted})
		dice := rand.New(rand.NewPCG(1, 5))
		shapes := []Shape{{}, {Delay: 2 * ms}, {Rate: 200 * mbit}, {Delay: ms, Rate: 500 * mbit}, {Loss: 0.2}}
		for round := range 100 {
			must(t, b.link.Reshape(shapes[round%len(shapes)]))
			for end := range 2 {
				b.send(end, sizes(dice, 50)...)
				eventually(t, "the queue has room", func() bool { return b.under(end) < maxBacklog-batchSize-50 })
			}
		}
		b.settle()
		for end := range 2 {
			b.wantLost(end, map[flow.Reason]int{flow.LinkLoss: b.lost[end][flow.LinkLoss]})
		}
		if err := b.link.Reshape(Shape{Loss: 2}); err == nil {
			t.Error("a loss of 2 is accepted")
		}
	})
}

// A packet takes as long as the shape says in real time, too. How much longer it takes is the machine's.
func TestDelayIsReal(t *testing.T) {
	each(t, func(t *testing.T, encrypted bool) {
		b := newBed(t, options{shape: Shape{Delay: 100 * ms}, encrypted: encrypted})
		begun := time.Now()
		b.send(0, 1400)
		b.settle()
		if took := time.Since(begun); took < 100*ms {
			t.Errorf("a packet with a delay of 100 ms took %v", took)
		}
	})
}

// goroutines counts what runs code of this package or of WireGuard.
func goroutines() int {
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	n := 0
	for _, s := range strings.Split(string(stacks), "\n\n") {
		if strings.Contains(s, "link.(*") || strings.Contains(s, "wireguard") {
			n++
		}
	}
	return n
}

// sockets counts the process's open ones.
func sockets(t testing.TB) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// Close while both ends send, packets arrive, are lost and wait.
func TestCloseLeavesNothing(t *testing.T) {
	each(t, func(t *testing.T, encrypted bool) {
		before := sockets(t)
		for range 5 {
			b := newBed(t, options{encrypted: encrypted, shape: Shape{Loss: 0.01}})
			stop := make(chan struct{})
			var senders sync.WaitGroup
			for end := range 2 {
				senders.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
							b.send(end, repeat(20, 1400)...)
						}
					}
				})
			}
			eventually(t, "packets flow and are lost", func() bool {
				b.mu.Lock()
				defer b.mu.Unlock()
				return b.arrived[0] > 100 && b.arrived[1] > 100 && len(b.lost[0]) > 0
			})
			must(t, b.link.Close())
			b.mu.Lock()
			arrived, lost := b.arrived, b.lostLens
			b.mu.Unlock()
			b.send(0, 1400)
			close(stop)
			senders.Wait()
			must(t, b.link.Close())
			b.mu.Lock()
			if b.arrived != arrived || b.lostLens != lost {
				t.Errorf("after Close %v arrived, then %v; lost %v bytes, then %v", arrived, b.arrived, lost, b.lostLens)
			}
			b.mu.Unlock()
		}
		eventually(t, "no goroutine is left", func() bool { return goroutines() == 0 })
		if after := sockets(t); after != before {
			t.Errorf("%d sockets before, %d after", before, after)
		}
	})
}

func TestAPlainLinkAllocatesNothing(t *testing.T) {
	var arrived atomic.Int64
	l, err := New(Config{
		Name:   "test",
		Arrive: func(_ int, frames [][]byte, _ []uint32) { arrived.Add(int64(len(frames))) },
		Lost:   func(_ int, _ uint32, why flow.Reason, _ int, _ []byte) { t.Errorf("lost: %v", why) },
	})
	must(t, err)
	defer l.Close()
	frames := batchOf(1400)
	round := func() {
		want := arrived.Load() + int64(len(frames))
		for l.Send(0, 1, frames); arrived.Load() < want; {
			runtime.Gosched()
		}
	}
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%v allocations for %d packets", n, len(frames))
	}
}

func TestTwentyLinksUpAndDown(t *testing.T) {
	var beds []*bed
	for range 20 {
		b := newBed(t, options{encrypted: true})
		b.send(0, 20, 9001)
		b.send(1, 9001, 20)
		beds = append(beds, b)
	}
	for _, b := range beds {
		b.settle()
		b.wantLost(0, nil)
		b.wantLost(1, nil)
		must(t, b.link.Close())
	}
	eventually(t, "no goroutine is left", func() bool { return goroutines() == 0 })
}

func TestALinkThatCannotBeMadeSaysWhy(t *testing.T) {
	nothing := func(func() error) error { return errors.New("no such namespace") }
	for _, row := range []struct {
		config Config
		want   string
	}{
		{Config{Name: "pcx-1", Shape: Shape{Loss: 2}}, "make link pcx-1: loss 2: not between 0 and 1"},
		{Config{Name: "pcx-1", Encrypted: true, Open: nothing}, "make link pcx-1: open socket of end 0: no such namespace"},
	} {
		if _, err := New(row.config); err == nil || err.Error() != row.want {
			t.Errorf("got %v, want %s", err, row.want)
		}
	}
	eventually(t, "no goroutine is left", func() bool { return goroutines() == 0 })
}
