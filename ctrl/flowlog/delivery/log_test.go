package delivery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/flowlog"
)

var background = context.Background()

// A file in S3 holds the records whose end lies in its five minutes, and is there when they are over and the delay is.
func TestFilesOfFiveMinutes(t *testing.T) {
	w := newTwin()
	l := open(t, t.TempDir(), subscription(t, flowlog.S3), w, Limits{Delay: 2 * time.Minute})
	for minute := int64(1); minute <= 6; minute++ {
		l.Write(record(uint16(minute), 60*minute-1), unix(60*minute))
		l.Flush()
		if err := l.Deliver(background, unix(60*minute)); err != nil {
			t.Fatal(err)
		}
	}
	l.Write(record(99, 299), unix(360)) // late
	l.Flush()
	_ = l.Deliver(background, unix(419))
	wants(t, w.files())
	_ = l.Deliver(background, unix(420))
	wants(t, w.files(), "0: 1 59 OK | 2 119 OK | 3 179 OK | 4 239 OK | 5 299 OK | 99 299 OK")
	l.Write(record(100, 298), unix(420)) // its file has gone: it gets another
	_ = l.Deliver(background, unix(540))
	_ = l.Deliver(background, unix(720))
	wants(t, w.files()[1:], "0: 100 298 OK", "300: 6 359 OK")
	wantsState(t, l.State(), "SUCCESS", countsOf(1, 2, 3, 4, 5, 6, 99, 100), Counts{}, Counts{})
}

// What AWS says to expect: about 5 minutes to CloudWatch Logs, about 10 to S3.
func TestUsualDelay(t *testing.T) {
	for kind, want := range map[flowlog.DestinationKind]string{flowlog.S3: "10m0s", flowlog.CloudWatch: "6m0s", flowlog.File: "1m0s"} {
		w := newTwin()
		l := open(t, t.TempDir(), subscription(t, kind), w, Limits{Delay: UsualDelay(kind)})
		l.Write(record(1, 1), unix(60))
		for now := int64(60); len(w.order) == 0 && now < 1200; now += 60 {
			_ = l.Deliver(background, unix(now))
			if took := (time.Duration(now) * time.Second).String(); len(w.order) > 0 && took != want {
				t.Errorf("%v took %s, want %s", kind, took, want)
			}
		}
	}
}

// Elsewhere a batch is what a window had.
func TestBatchesOfWindows(t *testing.T) {
	w := newTwin()
	dir := t.TempDir()
	l := open(t, dir, subscription(t, flowlog.CloudWatch), w, Limits{Delay: time.Minute})
	l.Write(record(1, 59), unix(60))
	l.Write(record(2, 61), unix(120))
	l.Write(record(3, 119), unix(120))
	_ = l.Deliver(background, unix(119))
	wants(t, w.files())
	_ = l.Deliver(background, unix(120))
	_ = l.Deliver(background, unix(180))
	wants(t, w.files(), "60: 1 59 OK", "120: 2 61 OK | 3 119 OK")
	wants(t, segments(t, dir))
}

// A batch that would grow too big is closed before the record that would make it so, and needs not wait for its five minutes.
func TestFilesCloseEarly(t *testing.T) {
	w := newTwin()
	const header, line = "srcport end log-status\n", "10000 59 OK\n"
	l := open(t, t.TempDir(), subscription(t, flowlog.S3), w, Limits{File: int64(len(header) + 3*len(line))})
	for n := range uint16(7) {
		l.Write(record(10_000+n, 59), unix(60))
	}
	l.Flush()
	_ = l.Deliver(background, unix(60))
	wants(t, w.files(), "0: 10000 59 OK | 10001 59 OK | 10002 59 OK", "0: 10003 59 OK | 10004 59 OK | 10005 59 OK")
	_ = l.Deliver(background, unix(300))
	wants(t, w.files()[2:], "0: 10006 59 OK")
}

// A destination that is down is left alone for longer and longer, says why, and loses nothing.
func TestDestinationIsDown(t *testing.T) {
	w := newTwin()
	w.answer = func(int) (bool, error) { return false, &Failure{AccessError, errDown} }
	l := open(t, t.TempDir(), subscription(t, flowlog.File), w, Limits{RetryMin: 10 * time.Second, RetryMax: 35 * time.Second})
	l.Write(record(1, 59), unix(60))
	l.Write(record(2, 119), unix(120))
	var tried []int64
	for now := int64(120); now < 240; now++ {
		before := w.calls
		err := l.Deliver(background, unix(now))
		if w.calls > before {
			tried = append(tried, now)
		}
		if (err != nil) != (w.calls > before) || err != nil && !errors.Is(err, errDown) {
			t.Errorf("second %d: %v", now, err)
		}
	}
	if got, want := fmt.Sprint(tried), "[120 130 150 185 220]"; got != want {
		t.Errorf("tried at %s, want %s", got, want)
	}
	s := l.State()
	wantsState(t, s, "FAILED", Counts{}, countsOf(1, 2), Counts{})
	if s.Cause != AccessError || s.Detail != "connection refused" || s.Failures != 5 || !s.Next.Equal(unix(255)) {
		t.Errorf("state %+v", s)
	}
	w.answer = func(int) (bool, error) { return false, errDown }
	_ = l.Deliver(background, unix(255))
	if s := l.State(); s.Cause != UnknownError {
		t.Errorf("state %+v", s)
	}
	w.answer = nil
	if err := l.Deliver(background, unix(290)); err != nil {
		t.Fatal(err)
	}
	wants(t, w.files(), "60: 1 59 OK", "120: 2 119 OK")
	wantsState(t, l.State(), "SUCCESS", countsOf(1, 2), Counts{}, Counts{})
}

// Who gives up waiting is no failure of the destination.
func TestGivingUp(t *testing.T) {
	w := newTwin()
	ctx, cancel := context.WithCancel(background)
	w.answer = func(int) (bool, error) { cancel(); return false, ctx.Err() }
	l := open(t, t.TempDir(), subscription(t, flowlog.File), w, Limits{})
	l.Write(record(1, 59), unix(60))
	if err := l.Deliver(ctx, unix(60)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	wantsState(t, l.State(), "SUCCESS", Counts{}, countsOf(1), Counts{})
}

// What the spool has no room for is counted, and told by SKIPDATA as soon as there is room again.
func TestSpoolIsFull(t *testing.T) {
	w := newTwin()
	w.answer = func(int) (bool, error) { return false, errDown }
	l := open(t, t.TempDir(), subscription(t, flowlog.File), w, Limits{Spool: 200})
	for n := range uint16(10) {
		l.Write(record(1+n, 59), unix(60))
	}
	_ = l.Deliver(background, unix(60))
	s := l.State()
	if s.Skipped.Records == 0 || s.Waiting.Records == 0 || s.Skipped.Records+s.Waiting.Records != 10 || s.Skipped.Packets+s.Waiting.Packets != 55 {
		t.Errorf("state %+v", s)
	}
	w.answer = nil
	if err := l.Drain(background, unix(61)); err != nil {
		t.Fatal(err)
	}
	l.Write(record(11, 119), unix(120))
	_ = l.Deliver(background, unix(120))
	files := w.files()
	wants(t, files[len(files)-1:], "120: - 59 SKIPDATA | 11 119 OK")
}

// A disk that is full takes nothing of a record or all of it.
func TestDiskIsFull(t *testing.T) {
	for room := 0; room < 400; room += 3 {
		w, left := newTwin(), room
		l := open(t, t.TempDir(), subscription(t, flowlog.S3), w, Limits{})
		onDiskOf(l, &left)
		for n := range uint16(8) {
			l.Write(record(1+n, 59), unix(60))
			l.Flush()
		}
		full := l.State()
		if full.Skipped.Records > 0 && (full.Status() != "FAILED" || !strings.Contains(full.Detail, "no space left on device")) {
			t.Fatalf("room for %d bytes: %+v", room, full)
		}
		left = 1000
		l.Write(record(9, 59), unix(60))
		l.Flush()
		if err := l.Deliver(background, unix(300)); err != nil {
			t.Fatal(err)
		}
		s := l.State()
		sum := s.Delivered
		sum.add(s.Skipped)
		if full.Skipped.Records > 0 { // SKIPDATA is delivered, and is no packet
			sum.Records--
		}
		if sum != countsOf(1, 2, 3, 4, 5, 6, 7, 8, 9) || s.Delivered != w.sum() || s.Status() != "SUCCESS" {
			t.Fatalf("room for %d bytes: %+v, delivered %v", room, s, w.files())
		}
		if told := strings.Contains(strings.Join(w.files(), ""), "- 59 SKIPDATA"); told != (full.Skipped.Records > 0) {
			t.Fatalf("room for %d bytes: %v", room, w.files())
		}
	}
}

// What a process leaves behind is delivered by the next one at once, but for the line within which it died.
func TestSpoolIsFoundAgain(t *testing.T) {
	dir, w := t.TempDir(), newTwin()
	s := subscription(t, flowlog.S3)
	l := open(t, dir, s, w, Limits{Delay: time.Hour})
	l.Write(record(1, 59), unix(60))
	l.Write(record(2, 359), unix(360))
	l.Flush()
	tear(t, dir, segments(t, dir)[1], "358 359 3 300 eni-1 3 359")
	tear(t, dir, "600-7.segment", "start en")
	tear(t, dir, "900-8.segment", "srcport end log-status\n")

	s.Format = flowlog.Format{} // what was spooled keeps its format
	l = open(t, dir, s, w, Limits{Delay: time.Hour})
	wantsState(t, l.State(), "SUCCESS", Counts{}, countsOf(1, 2), Counts{})
	var rows []string
	for row, err := range l.Waiting() {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row.Format().Header()+": "+row.String())
	}
	wants(t, rows, "srcport end log-status: 1 59 OK", "srcport end log-status: 2 359 OK")
	if err := l.Deliver(background, unix(0)); err != nil {
		t.Fatal(err)
	}
	wants(t, w.files(), "0: 1 59 OK", "300: 2 359 OK")
	wants(t, segments(t, dir))

	tear(t, dir, "mine.segment", "hello\n")
	if _, err := Open(dir, s, w, Limits{}); err == nil || !strings.Contains(err.Error(), "it is not called as a segment is") {
		t.Error(err)
	}
	_ = os.Remove(dir + "/mine.segment")
	tear(t, dir, "0-0.segment", "hello\n")
	if _, err := Open(dir, s, w, Limits{}); err == nil || !strings.Contains(err.Error(), "there is no field") {
		t.Error(err)
	}
}

// Random lives: records are written, the destination fails before or after it has stored, the process dies at any moment. What reached the
// spool is delivered, exactly; what did not is lost with the process.
func TestNothingIsLost(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 7))
		dir, w := t.TempDir(), newTwin()
		w.answer = func(int) (bool, error) {
			switch rng.IntN(3) {
			case 0:
				return false, errDown
			case 1:
				return true, errDown // it was stored, and the answer got lost
			}
			return true, nil
		}
		kinds := []flowlog.DestinationKind{flowlog.S3, flowlog.CloudWatch, flowlog.File}
		s := subscription(t, kinds[rng.IntN(3)])
		limits := Limits{File: 100 + rng.Int64N(400), Delay: time.Duration(rng.IntN(200)) * time.Second}
		l := open(t, dir, s, w, limits)
		var want Counts // of all that was written, but for what died in memory
		next, now := uint16(0), int64(0)
		for range 60 {
			switch rng.IntN(6) {
			case 0, 1:
				next++
				l.Write(record(next, now), unix(now+1))
				want.add(countsOf(uint64(next)))
			case 2:
				l.Flush()
			case 3:
				now += rng.Int64N(90)
			case 4:
				_ = l.Deliver(background, unix(now))
			case 5: // it dies
				for _, s := range l.open {
					want.subtract(countPending(s))
				}
				l = open(t, dir, s, w, limits)
			}
		}
		for l.State().Waiting.Records > 0 {
			_ = l.Drain(background, unix(now))
		}
		if got := w.sum(); got != want {
			t.Fatalf("seed %d: delivered %+v, want %+v\n%s", seed, got, want, strings.Join(w.files(), "\n"))
		}
		wants(t, segments(t, dir))
	}
}

// countPending are the totals of a segment's lines that are not in its file.
func countPending(s *segment) (c Counts) {
	for line := range strings.Lines(string(s.pending)) {
		if e, err := parseEntry([]byte(strings.TrimSuffix(line, "\n"))); err == nil {
			c.add(e.counts())
		}
	}
	return c
}
