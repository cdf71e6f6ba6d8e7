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
		beats  int // that it has been in
		sender uint32
	}
	for seed := range uint64(50) {
		dice := rand.New(rand.NewPCG(seed, 3))
		w, ref := newWindow(), map[uint64]*entry{}
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
						ref[id] = &entry{0, sender}
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
				if w.next() > now {
					break
				}
				if w.busy = dice.IntN(3) == 0; !w.busy {
					for _, e := range ref {
						e.beats++
					}
				}
				w.tick(now)
				for p, old := w.giveUp(); old; p, old = w.giveUp() {
					if e := ref[p.id]; e == nil || e.sender != p.sender || e.beats != patience+1 {
						t.Fatalf("seed %d, at %v: gave up %+v, which is %+v", seed, now, p, e)
					}
					delete(ref, p.id)
					if w.leave(p.id) {
						t.Fatalf("seed %d: a packet that was given up leaves", seed)
					}
				}
				for id, e := range ref {
					if e.beats > patience {
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

func TestAPacketIsGivenUpAfterASecond(t *testing.T) {
	w := newWindow()
	begun := 3 * time.Second
	w.enter(begun, 1, 100)
	for {
		now := w.next()
		w.tick(now)
		if _, old := w.giveUp(); old {
			if took := now - begun; took < time.Second || took > 5*time.Second/4 {
				t.Errorf("given up after %v", took)
			}
			break
		}
	}
	if w.next() != never {
		t.Error("an empty window has something to wait for")
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
