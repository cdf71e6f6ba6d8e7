package delivery

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// twin is a destination in memory: it keeps batches by what is in them, so that one that comes twice is there once, as in S3.
type twin struct {
	mu      sync.Mutex
	batches map[string]stored
	order   []string
	// answer decides about an attempt, by its number from 0: whether the batch is kept, and the error.
	answer func(attempt int) (kept bool, err error)
	calls  int
}

type stored struct {
	period int64
	lines  []string
	counts Counts
}

func newTwin() *twin { return &twin{batches: map[string]stored{}} }

func (w *twin) Deliver(_ context.Context, b *Batch) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	kept, answer := true, error(nil)
	if w.answer != nil {
		kept, answer = w.answer(w.calls)
	}
	w.calls++
	s := stored{period: b.Period.Unix()}
	for e, err := range b.Entries {
		if err != nil {
			return err
		}
		s.lines = append(s.lines, string(e.Line))
		s.counts.add(e.counts())
	}
	if kept {
		digest := sha256.Sum256(fmt.Append(nil, s.period, s.lines))
		if _, again := w.batches[string(digest[:])]; !again {
			w.order = append(w.order, string(digest[:]))
		}
		w.batches[string(digest[:])] = s
	}
	return answer
}

// sum is what the destination holds.
func (w *twin) sum() (c Counts) {
	for _, b := range w.batches {
		c.add(b.counts)
	}
	return c
}

// files are its batches, a line each, in the order in which they came first: "PERIOD: line | line".
func (w *twin) files() (files []string) {
	for _, digest := range w.order {
		b := w.batches[digest]
		files = append(files, fmt.Sprintf("%d: %s", b.period, strings.Join(b.lines, " | ")))
	}
	return files
}

func unix(s int64) time.Time { return time.Unix(s, 0).UTC() }

var eni = &flowlog.Interface{ID: "eni-1", Account: "123456789012", VPC: "vpc-1"}

// record is one of a flow whose source port is n, of n packets of 100 bytes, which ended at a Unix second.
func record(n uint16, end int64) *flowlog.Record {
	return &flowlog.Record{
		Of: eni, Direction: fabric.Egress, Accept: true, Packets: uint64(n), Bytes: 100 * uint64(n), Start: end - 1, End: end,
		Tuple: flow.MakeTuple(flow.TCP, netip.MustParseAddr("10.0.0.1"), n, netip.MustParseAddr("10.0.0.2"), 443),
	}
}

// countsOf are the totals of records of flows.
func countsOf(flows ...uint64) (c Counts) {
	for _, n := range flows {
		c.add(Counts{1, n, 100 * n})
	}
	return c
}

func subscription(t *testing.T, kind flowlog.DestinationKind) *flowlog.Subscription {
	t.Helper()
	f, err := flowlog.ParseFormat("${srcport} ${end} ${log-status}")
	if err != nil {
		t.Fatal(err)
	}
	return &flowlog.Subscription{ID: "fl-1", Account: "123456789012", Region: "us-east-1", Resource: "vpc-1", Interval: time.Minute,
		Format: f, Destination: flowlog.Destination{Kind: kind, Bucket: "logs"}}
}

func open(t *testing.T, dir string, s *flowlog.Subscription, d Destination, limits Limits) *Log {
	t.Helper()
	l, err := Open(dir, s, d, limits)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func wants(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// wantsState compares a state without its times.
func wantsState(t *testing.T, got State, status string, delivered, waiting, skipped Counts) {
	t.Helper()
	if got.Status() != status || got.Delivered != delivered || got.Waiting != waiting || got.Skipped != skipped {
		t.Errorf("state is %s %+v\nwant %s, delivered %v, waiting %v, skipped %v", got.Status(), got, status, delivered, waiting, skipped)
	}
}

// segments are the names of the spool's files.
func segments(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

var errDown = errors.New("connection refused")

// fullDisk is a file on a disk that has room for some bytes, which all its files share. Like a real one, it takes what fits of a write.
type fullDisk struct {
	*os.File
	room *int
}

func (f fullDisk) Write(b []byte) (int, error) {
	n, err := f.File.Write(b[:min(len(b), *f.room)])
	*f.room -= n
	if err == nil && n < len(b) {
		err = &os.PathError{Op: "write", Path: f.Name(), Err: errors.New("no space left on device")}
	}
	return n, err
}

func (f fullDisk) Truncate(size int64) error {
	before, err := f.Stat()
	if err != nil {
		return err
	}
	*f.room += int(before.Size() - size)
	return f.File.Truncate(size)
}

// onDiskOf makes a log's spool end after some bytes.
func onDiskOf(l *Log, room *int) {
	l.create = func(path string) (file, error) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_APPEND|os.O_RDWR, 0o600)
		return fullDisk{f, room}, err
	}
}

// tear ends a segment within a line, as a process that dies does.
func tear(t *testing.T, dir, name, text string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}
