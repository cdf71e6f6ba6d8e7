package link

import (
	"maps"
	"math/rand/v2"
	"testing"
	"time"
)

// A window does what a map would, whatever goes in and comes out in whatever order.
func TestWindowAgreesWithAMap(t *testing.T) {
	type entry struct {
		since  time.Duration
		sender uint32
	}
	for seed := range uint64(50) {
		dice := rand.New(rand.NewPCG(seed, 3))
		w, ref := newWindow(), map[uint64]entry{}
		now := time.Duration(0)
		for range 5000 {
			now += time.Duration(dice.IntN(int(20 * time.Millisecond)))
			switch dice.IntN(3) {
			case 0:
				for range dice.IntN(20) {
					if w.open > 0 {
						sender := dice.Uint32()
						id := w.enter(now, sender, 100)
						if _, used := ref[id]; used || id == 0 {
							t.Fatalf("seed %d: ID %d is given twice", seed, id)
						}
						ref[id] = entry{now, sender}
					}
				}
			case 1:
				for id := range maps.Keys(ref) {
					if !w.leave(id) || w.leave(id) {
						t.Fatalf("seed %d: packet %d does not leave once", seed, id)
					}
					delete(ref, id)
					if dice.IntN(5) == 0 {
						break
					}
				}
			case 2:
				last := time.Duration(0)
				for p, old := w.giveUp(now); old; p, old = w.giveUp(now) {
					if want := ref[p.id]; want.since != p.since || want.sender != p.sender || p.since < last || now-p.since < patience {
						t.Fatalf("seed %d, at %v: gave up %+v, which went in as %+v", seed, now, p, want)
					}
					last = p.since
					delete(ref, p.id)
					if w.leave(p.id) {
						t.Fatalf("seed %d: a packet that was given up leaves", seed)
					}
				}
				for id, e := range ref {
					if now-e.since >= patience {
						t.Fatalf("seed %d: packet %d is not given up", seed, id)
					}
				}
			}
			if w.open != windowSize-len(ref) {
				t.Fatalf("seed %d: %d places are free with %d taken", seed, w.open, len(ref))
			}
		}
	}
}

func TestWindowRefusesStrangers(t *testing.T) {
	w := newWindow()
	id := w.enter(0, 1, 100)
	for _, stranger := range []uint64{0, 1, id + 1, id + windowSize, id - windowSize, 1 << 63} {
		if w.leave(stranger) {
			t.Errorf("ID %d leaves, and only %d is in", stranger, id)
		}
	}
	if !w.leave(id) {
		t.Errorf("ID %d, which is in, does not leave", id)
	}
}
