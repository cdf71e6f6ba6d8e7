package check

import "time"

// How long a check waits, in real time (LANGUAGE.md, checks).
const (
	defaultWait = 5 * time.Second        // unless the check says `wait`
	quiet       = 500 * time.Millisecond // silence after a drop that ends a check
	tick        = 20 * time.Millisecond  // between two looks at the lab's drops
)

// watch decides when a check has waited long enough: at its deadline, or as soon as its packets are known to be dropped and nothing
// has come for a while. It is a value that is told the time.
type watch struct {
	deadline time.Time
	quietFor time.Time // since when nothing has come although a packet was dropped; zero: no drop stands
	known    int       // drops that the connection was made after: of these only a load balancer's decide anything
	answered int       // drops that something arrived after, and that therefore decide nothing
	drops    int       // drops seen so far
}

// observe is told of all drops that are known of by now.
func (w *watch) observe(now time.Time, drops []Drop) {
	w.drops = len(drops)
	for i, d := range drops {
		if d.Reason.Transient() || i < w.answered || i < w.known && !d.Carried {
			continue
		}
		if w.quietFor.IsZero() {
			w.quietFor = now
		}
		return
	}
	w.quietFor = time.Time{} // a load balancer has found another target
}

// arrived is told that something came from the other side, so that the drops until now were not the end.
func (w *watch) arrived() {
	w.connected()
	w.answered = w.drops
}

// connected is told that the connection is made. A load balancer makes it by itself, so that what is dropped on the way to its target stands.
func (w *watch) connected() {
	w.known, w.quietFor = w.drops, time.Time{}
}

// restart is told that another connection is waited for: nothing is known of it yet.
func (w *watch) restart() { *w = watch{deadline: w.deadline} }

// over reports whether waiting longer is of no use.
func (w *watch) over(now time.Time) bool {
	return !now.Before(w.deadline) || !w.quietFor.IsZero() && now.Sub(w.quietFor) >= quiet
}
