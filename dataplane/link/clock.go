package link

import "time"

// clock is real, monotonic time since its start. Packets are real and so is the time they take: a lab's clock that stands still or
// jumps must neither hold them nor let them go. Everything else in this package is handed the time.
type clock struct{ start time.Time }

func newClock() clock { return clock{time.Now()} }

func (c clock) now() time.Duration { return time.Since(c.start) }

// alarm waits for a time or for somebody, for one goroutine.
type alarm struct {
	clock clock
	timer *time.Timer
}

func newAlarm(c clock) alarm {
	t := time.NewTimer(never)
	t.Stop()
	return alarm{clock: c, timer: t}
}

// grain is the shortest wait. Packets that come through within it are released together, so that a fast line costs no wake-up for each.
const grain = 100 * time.Microsecond

// wait returns when something comes from wake, or at a time, or a grain later; never is never.
func (a *alarm) wait(until time.Duration, wake <-chan struct{}) {
	if until == never {
		<-wake
		return
	}
	a.timer.Reset(max(grain, until-a.clock.now()))
	select {
	case <-wake:
		a.timer.Stop()
	case <-a.timer.C:
	}
}

// await waits for a channel to close, and says whether it did within a time.
func (clock) await(c <-chan struct{}, patience time.Duration) bool {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-c:
		return true
	case <-t.C:
		return false
	}
}
