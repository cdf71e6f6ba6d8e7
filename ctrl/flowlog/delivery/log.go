package delivery

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/vpclab/vpclab/ctrl/flowlog"
)

// Limits are the sizes and times of one subscription's delivery. A field that is 0 means its default, but for Delay.
type Limits struct {
	Spool int64 // bytes on disk that wait for delivery; 1 GiB. More is skipped and counted
	File  int64 // bytes of text in one batch; 75 MB for S3 (VPC user guide, flow log files), else 1 MB
	// Delay is how long a batch waits, in lab time, from the end of its window or, for S3, its five minutes. 0 is not at all;
	// UsualDelay is what AWS takes.
	Delay              time.Duration
	RetryMin, RetryMax time.Duration // between attempts, doubling; 10 s and 10 min
}

// filePeriod is how often S3 gets a file; it holds the records whose end lies in its five minutes (VPC user guide, flow log files).
const filePeriod = 300

// UsualDelay is how much longer it typically takes in AWS: about 5 minutes to CloudWatch Logs, and about 10 to S3 with the 5 minutes of
// its files.
func UsualDelay(k flowlog.DestinationKind) time.Duration {
	if k == flowlog.File {
		return 0
	}
	return 5 * time.Minute
}

// DueOf is when what comes last in a window that ends at some lab time is delivered.
func DueOf(k flowlog.DestinationKind, end time.Time, delay time.Duration) time.Time {
	if k == flowlog.S3 {
		end = time.Unix(filePeriodOf(end.Unix()-1)+filePeriod, 0)
	}
	return end.Add(delay)
}

// filePeriodOf is the begin of the five minutes in which a Unix second lies.
func filePeriodOf(second int64) int64 { return second - (second%filePeriod+filePeriod)%filePeriod }

func (l Limits) orDefault(k flowlog.DestinationKind) Limits {
	l.Spool = cmp.Or(l.Spool, 1<<30)
	if k == flowlog.S3 {
		l.File = cmp.Or(l.File, 75_000_000)
	}
	l.File = cmp.Or(l.File, 1_000_000)
	l.RetryMin = cmp.Or(l.RetryMin, 10*time.Second)
	l.RetryMax = cmp.Or(l.RetryMax, 10*time.Minute)
	return l
}

// Log is one subscription's delivery. It is safe for use by several goroutines: one may write while another delivers.
type Log struct {
	subscription *flowlog.Subscription
	destination  Destination
	limits       Limits
	dir          string
	create       func(path string) (file, error)

	delivering sync.Mutex // held by whoever talks to the destination

	mu      sync.Mutex
	open    map[int64]*segment // that are written to, by period
	waiting []*segment         // that are sealed, by when they are due
	number  int                // of the next segment
	used    int64              // bytes of all segments
	line    []byte             // that is being made
	state   State
	fault   error                         // of the spool, when last written
	faces   map[string]*flowlog.Interface // by stream
	missed  map[string]span               // of streams, for which there was no room
	retired bool                          // its spool has another owner
}

// span is from the first to the last Unix second of something.
type span struct{ first, last int64 }

// State says how a subscription's delivery goes.
type State struct {
	Cause    Cause     // "" while it goes well
	Detail   string    // what happened, in the destination's words or the spool's
	Failures int       // in a row
	Next     time.Time // lab time of the next attempt after a failure
	Due      time.Time // lab time from which the first of what waits may be delivered; zero if nothing waits, or it is late

	Delivered Counts // by this process
	Waiting   Counts // in the spool
	Skipped   Counts // for which the spool had no room
}

// Status is AWS's word (EC2 API, FlowLog, DeliverLogsStatus).
func (s State) Status() string {
	if s.Cause != "" {
		return "FAILED"
	}
	return "SUCCESS"
}

// Open begins a subscription's delivery with a spool in a folder of its own, which is made if need be. What is found there of an earlier
// life is delivered first, without delay.
func Open(dir string, s *flowlog.Subscription, d Destination, limits Limits) (*Log, error) {
	l := &Log{
		subscription: s, destination: d, limits: limits.orDefault(s.Destination.Kind), dir: dir, create: createFile,
		open: map[int64]*segment{}, faces: map[string]*flowlog.Interface{}, missed: map[string]span{},
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("flow log %s: %w", s.ID, err)
	}
	if err := l.recover(); err != nil {
		return nil, fmt.Errorf("flow log %s: %w", s.ID, err)
	}
	return l, nil
}

// recover takes over the segments of an earlier life.
func (l *Log) recover() error {
	paths, err := filepath.Glob(filepath.Join(l.dir, "*"+segmentEnding))
	if err != nil {
		return err
	}
	for _, path := range paths {
		s, err := recoverSegment(path)
		if err != nil {
			return err
		}
		l.number = max(l.number, s.number+1)
		if s.counts.Records == 0 {
			if err := os.Remove(path); err != nil {
				return err
			}
			continue
		}
		s.due = math.MinInt64
		l.used += s.size
		l.state.Waiting.add(s.counts)
		l.waiting = append(l.waiting, s)
	}
	l.order()
	return nil
}

// order sorts what waits by when it is due.
func (l *Log) order() {
	slices.SortStableFunc(l.waiting, func(a, b *segment) int { return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.period, b.period)) })
}

// Write spools a record of a window that was closed at some lab time, or skips it if there is no room.
func (l *Log) Write(r *flowlog.Record, closed time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.missed) > 0 && l.used < l.limits.Spool-l.limits.Spool/8 { // there is room again, and not only for a line
		l.tellMissed(closed.Unix())
	}
	l.faces[r.Of.Stream()] = r.Of
	l.write(r, closed.Unix())
}

// tellMissed spools a SKIPDATA record for each interface of which records were skipped.
func (l *Log) tellMissed(closed int64) {
	for _, stream := range slices.Sorted(maps.Keys(l.missed)) {
		m := l.missed[stream]
		delete(l.missed, stream)
		l.write(&flowlog.Record{Of: l.faces[stream], Status: flowlog.SkipData, Start: m.first, End: m.last}, closed)
	}
}

func (l *Log) write(r *flowlog.Record, closed int64) {
	format := l.subscription.Format
	l.line = appendEntry(l.line[:0], format, r)
	e, err := parseEntry(l.line[:len(l.line)-1])
	if err != nil { // an interface with an empty name would be a way
		l.fault = fmt.Errorf("record %q: %w", l.line, err)
		return
	}
	if l.used+int64(len(l.line)) > l.limits.Spool {
		l.skip(&e)
		return
	}
	s, err := l.segment(r, closed, int64(len(e.Line)+1))
	if err != nil {
		l.fault = err
		l.skip(&e)
		return
	}
	s.add(l.line, e.counts(), len(e.Line)+1)
	l.used += int64(len(l.line))
	l.state.Waiting.add(e.counts())
	if len(s.pending) >= writeSize {
		l.flush(s)
	}
}

// segment is the one for a record's line, of some bytes. One that would grow too big is sealed, and due early.
func (l *Log) segment(r *flowlog.Record, closed, bytes int64) (*segment, error) {
	period, due := closed, closed
	if l.subscription.Destination.Kind == flowlog.S3 {
		period = filePeriodOf(r.End)
		due = max(closed, period+filePeriod)
	}
	delay := int64(l.limits.Delay / time.Second)
	s := l.open[period]
	if s != nil && s.body+bytes > l.limits.File {
		s.due = min(s.due, closed+delay)
		l.seal(s)
		s = nil
	}
	if s != nil && s.file == nil { // the disk took half a line and kept it
		l.seal(s)
		s = nil
	}
	if s == nil {
		s = &segment{
			path: segmentPath(l.dir, period, l.number), number: l.number, period: period, due: due + delay, format: l.subscription.Format,
		}
		if err := s.begin(l.create); err != nil {
			return nil, err
		}
		l.number++
		l.used += int64(len(s.pending))
		l.open[period] = s
	}
	return s, nil
}

// skip counts a record for which there is no room. One that tells of no packets is no loss of its own.
func (l *Log) skip(e *Entry) {
	if e.Packets > 0 {
		l.state.Skipped.add(e.counts())
	}
	m, ok := l.missed[e.Stream]
	if !ok {
		m = span{e.Start, e.End}
	}
	l.missed[e.Stream] = span{min(m.first, e.Start), max(m.last, e.End)}
}

// flush brings a segment's pending lines to the disk. Lines that it does not take are skipped.
func (l *Log) flush(s *segment) {
	lost, err := s.write()
	l.fault = err
	l.used -= int64(len(lost))
	for line := range bytes.Lines(lost) {
		if e, err := parseEntry(bytes.TrimSuffix(line, []byte{'\n'})); err == nil {
			l.state.Waiting.subtract(e.counts())
			s.counts.subtract(e.counts())
			l.skip(&e)
		}
	}
}

// seal ends a segment, which waits from now on, or is forgotten if it is empty.
func (l *Log) seal(s *segment) {
	l.flush(s)
	delete(l.open, s.period)
	if err := s.seal(); err != nil {
		l.fault = err
	}
	if s.counts.Records == 0 {
		l.discard(s)
		return
	}
	l.waiting = append(l.waiting, s)
	l.order()
}

// discard removes a segment's file. If that fails, its records will come again after a crash: at least once is what was promised.
func (l *Log) discard(s *segment) {
	l.used -= s.size + int64(len(s.pending))
	if err := os.Remove(s.path); err != nil {
		l.fault = err
	}
}

// Flush makes durable what was written. Whoever writes the records of a window calls it behind the last one.
func (l *Log) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.open {
		l.flush(s)
		if s.file != nil {
			l.fault = cmp.Or(l.fault, s.file.Sync())
		}
	}
}

// Deliver hands over what is due at a lab time, the oldest first, until the destination fails; then it leaves it alone for a while. The
// error, if any, is also in the state.
func (l *Log) Deliver(ctx context.Context, now time.Time) error {
	return l.deliver(ctx, now, now.Unix())
}

// Drain hands over all there is, whether it is due or not.
func (l *Log) Drain(ctx context.Context, now time.Time) error {
	l.mu.Lock()
	l.state.Next = time.Time{}
	l.mu.Unlock()
	return l.deliver(ctx, now, math.MaxInt64)
}

func (l *Log) deliver(ctx context.Context, now time.Time, until int64) error {
	l.delivering.Lock()
	defer l.delivering.Unlock()
	for {
		s := l.next(now, until)
		if s == nil {
			return nil
		}
		err := l.destination.Deliver(ctx, &Batch{
			Subscription: l.subscription, Format: s.format, Period: time.Unix(s.period, 0).UTC(), Number: s.number, Entries: s.entries(),
		})
		if ctx.Err() != nil && err != nil { // whoever wanted it does not any more
			return fmt.Errorf("flow log %s: %w", l.subscription.ID, err)
		}
		l.settle(s, now, err)
		if err != nil {
			return fmt.Errorf("flow log %s: %w", l.subscription.ID, err)
		}
	}
}

// next is the segment to deliver now, if there is one.
func (l *Log) next(now time.Time, until int64) *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, period := range slices.Sorted(maps.Keys(l.open)) {
		if s := l.open[period]; s.due <= until {
			l.seal(s)
		}
	}
	if l.retired || len(l.waiting) == 0 || l.waiting[0].due > until || now.Before(l.state.Next) {
		return nil
	}
	return l.waiting[0]
}

// settle notes how an attempt went.
func (l *Log) settle(s *segment, now time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		pause := l.limits.RetryMin << min(l.state.Failures, 20)
		l.state.Failures++
		l.state.Cause, l.state.Detail = causeOf(err), err.Error()
		l.state.Next = now.Add(min(pause, l.limits.RetryMax))
		return
	}
	l.state.Failures, l.state.Cause, l.state.Detail, l.state.Next = 0, "", "", time.Time{}
	l.state.Delivered.add(s.counts)
	l.state.Waiting.subtract(s.counts)
	l.waiting = slices.DeleteFunc(l.waiting, func(o *segment) bool { return o == s })
	l.discard(s)
}

// State says how delivery goes. A spool that could not be written is a failure, too.
func (l *Log) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.state
	if l.fault != nil && s.Cause == "" {
		s.Cause, s.Detail = UnknownError, "spool: "+l.fault.Error()
	}
	due := int64(math.MaxInt64)
	if len(l.waiting) > 0 {
		due = l.waiting[0].due
	}
	for _, open := range l.open {
		due = min(due, open.due)
	}
	if due != math.MinInt64 && due != math.MaxInt64 {
		s.Due = time.Unix(due, 0).UTC()
	}
	return s
}

// Waiting are the spooled records that have not been delivered, the oldest first.
func (l *Log) Waiting() iter.Seq2[flowlog.Row, error] {
	return func(yield func(flowlog.Row, error) bool) {
		l.mu.Lock()
		segments := slices.Clone(l.waiting)
		for _, period := range slices.Sorted(maps.Keys(l.open)) {
			s := *l.open[period] // as it is now; it grows
			segments = append(segments, &s)
		}
		l.mu.Unlock()
		for _, s := range segments {
			for e, err := range s.entries() {
				if errors.Is(err, os.ErrNotExist) { // delivered meanwhile
					break
				}
				var row flowlog.Row
				if err == nil {
					row, err = s.format.Parse(string(e.Line))
				}
				if !yield(row, err) || err != nil {
					return
				}
			}
		}
	}
}

// Close lets go of the files. What waits is found again by the next Open.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, period := range slices.Sorted(maps.Keys(l.open)) {
		l.seal(l.open[period])
	}
	if l.fault != nil {
		return fmt.Errorf("flow log %s: spool: %w", l.subscription.ID, l.fault)
	}
	return nil
}

// retire leaves the spool to somebody else, as soon as no delivery is under way.
func (l *Log) retire() {
	l.delivering.Lock()
	defer l.delivering.Unlock()
	_ = l.Close() // whoever opens the spool sees what is wrong with it
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retired = true
}
