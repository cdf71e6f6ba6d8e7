package lab

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/lab/labtest"
)

// Whatever a guest sends, the process lives and each packet is counted once: noise of every length, and packets of the table
// with some bits or bytes changed, cut off or repeated.
func TestNoiseIsCounted(t *testing.T) {
	both(t, func(t *testing.T, offload bool) {
		w := newWires(t, offload)
		w.do(w.nodes["web"], setLink(unix.SIOCSIFMTU, func(r *unix.Ifreq) { r.SetUint32(65535) }))
		const packets, seed = 6000, 1
		random := rand.New(rand.NewPCG(seed, 0))
		tap := w.taps["web"]
		valid := validFrames(tap)
		before := w.fate("web")
		for sent := uint64(1); sent <= packets; sent++ {
			frame := noise(random, tap, valid)
			if err := tap.Send(frame); err != nil {
				t.Fatalf("send %x: %v", frame, err)
			}
			// Waiting now and then keeps the queue from filling, and tells which packet was not counted once.
			if sent%100 == 0 && !eventually(func() bool {
				w.engine.Sweep(monotonic()) // it counts what waits for it
				return w.fate("web").since(before).total()+uint64(w.engine.Stats().Held) == sent
			}) {
				t.Fatalf("%d packets sent, counted as %v, %d held; the last was %x", sent, w.fate("web").since(before),
					w.engine.Stats().Held, frame)
			}
		}
		w.forget() // fragments that wait in vain
		if n := w.fate("web").since(before).total(); n != packets {
			t.Errorf("%d packets sent, %d counted in the end", packets, n)
		}
		f := w.fate("web").since(before)
		if f[delivered] == 0 || len(f) < 10 {
			t.Errorf("%d packets have only the fates %v", packets, f)
		}
		// What is left of the lab works. One packet behind all the noise: when it has arrived, everything has.
		last := labtest.UDP(web, 1001, near, 53).Bytes()
		w.send("web", tap.Frame(last))
		w.hears(w.taps["near"], last)
		w.drain()
		w.run(t, passes("after the noise", "web", labtest.UDP(web, 1000, near, 53), "near"))
	})
}

// validFrames are the frames of the table that web sends.
func validFrames(tap *labtest.Tap) [][]byte {
	var frames [][]byte
	for _, r := range table() {
		if r.from == "web" && r.frame == nil {
			frames = append(frames, tap.Frame(r.packet.Bytes()))
		}
	}
	return frames
}

// noise makes one frame: random bytes behind a valid Ethernet header, or a valid frame with something wrong behind that header.
func noise(random *rand.Rand, tap *labtest.Tap, valid [][]byte) []byte {
	const ethernet, longest = 14, 9000
	if random.IntN(4) == 0 {
		b := make([]byte, random.IntN(longest+1))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		if len(b) > 0 && random.IntN(2) == 0 {
			b[0] = []byte{0x45, 0x60}[random.IntN(2)] // so that it gets beyond the first look
		}
		return tap.Frame(b)
	}
	b := slices.Clone(valid[random.IntN(len(valid))])
	for range 1 + random.IntN(3) {
		switch at := ethernet + random.IntN(max(1, len(b)-ethernet)); {
		case at >= len(b):
		case random.IntN(8) == 0:
			b = b[:at]
		case random.IntN(8) == 0:
			b = append(b, b[at:]...)
		case random.IntN(4) == 0 && at+2 <= len(b):
			binary.BigEndian.PutUint16(b[at:], []uint16{0, 1, 0x7fff, 0x8000, 0xffff}[random.IntN(5)])
		default:
			b[at] ^= 1 << random.IntN(8)
		}
	}
	return b
}
