package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/ctrl/flowlog/catalog"
	"github.com/vpclab/vpclab/ctrl/flowlog/delivery"
)

// register is what is told of a lab's flow logs to whoever looks from outside: all that there were, in the order in which they came, those
// of earlier runs with the same folder first. It is written to the lab's folder, and to the one where flow logs are delivered.
type register struct {
	writing sync.Mutex // held from before the state is read until it is written: a later one is never overwritten

	mu      sync.Mutex
	read    bool // what earlier runs left
	entries []*listed
}

// listed is a flow log and its delivery, which is nil if an earlier run had it.
type listed struct {
	catalog.Log
	to       flowlog.DestinationKind
	delivery *delivery.Log
}

// registerLocked makes the register know the flow logs that there are now.
func (f *flowLogs) registerLocked() error {
	r := &f.register
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.recall(f.lab.options.Out, f.lab.name); err != nil {
		return err
	}
	for _, e := range r.entries {
		_, there := f.logs[e.ID]
		e.Ended = !there
	}
	places, _ := f.places()
	for id, l := range f.logs {
		now := listed{Log: catalog.LogOf(l.Name, &l.Subscription), to: l.Destination.Kind, delivery: f.publisher.Log(id)}
		now.Endpoint = places.EndpointOf(&l.Subscription)
		if i := slices.IndexFunc(r.entries, func(e *listed) bool { return e.ID == id }); i >= 0 {
			*r.entries[i] = now
		} else {
			r.entries = append(r.entries, &now)
		}
	}
	slices.SortStableFunc(r.entries, func(a, b *listed) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// recall reads once what earlier runs left in the folder: their records are still there.
func (r *register) recall(out, lab string) error {
	if r.read || out == "" {
		return nil
	}
	past, err := catalog.Read(out, lab)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("flow logs of earlier runs: %w", err)
	default:
		for _, l := range past.Logs {
			l.Due = time.Time{}
			r.entries = append(r.entries, &listed{Log: l})
		}
	}
	r.read = true
	return nil
}

// publish tells how the flow logs are now; over says that the lab has ended.
func (f *flowLogs) publish(over bool) error {
	f.register.writing.Lock()
	defer f.register.writing.Unlock()
	c, known := f.catalog(over)
	if !known {
		return nil
	}
	err := c.Write(f.lab.host.Dir())
	if over && f.lab.plan == nil {
		err = nil // the folder goes, and why the lab did not start is told: often the same full disk
	}
	if f.lab.options.Out != "" && len(c.Logs) > 0 {
		c.Dir = "" // the folder may be moved
		err = errors.Join(err, c.Write(f.lab.options.Out))
	}
	if err != nil {
		return fmt.Errorf("tell of flow logs: %w", err)
	}
	return nil
}

// catalog is how the flow logs are now; false before there is anything to know.
func (f *flowLogs) catalog(over bool) (*catalog.Catalog, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.publisher == nil {
		return nil, false
	}
	places, _ := f.places()
	dir, err := filepath.Abs(places.Dir)
	if err != nil { // the working directory is gone
		dir = places.Dir
	}
	now := f.lab.Now()
	c := &catalog.Catalog{
		Lab: f.lab.name, Dir: dir, Rate: f.lab.clock.rate, Now: now.UTC(), Written: time.Now().UTC(), Over: over,
		Skipped: catalog.Skipped(f.publisher.Skipped()), Logs: []catalog.Log{},
	}
	f.register.mu.Lock()
	defer f.register.mu.Unlock()
	for _, e := range f.register.entries {
		e.look(f.lab.clock.start, now, over)
		c.Logs = append(c.Logs, e.Log)
	}
	return c, true
}

// look brings an entry up to date.
func (e *listed) look(start, now time.Time, over bool) {
	if e.delivery == nil {
		return
	}
	state := e.delivery.State()
	e.State, e.Due = catalog.StateOf(state), time.Time{}
	switch {
	case over:
	case !state.Due.IsZero():
		e.Due = state.Due
	case !e.Ended:
		interval := time.Duration(e.Interval) * time.Second
		end := start.Add((now.Sub(start)/interval + 1) * interval)
		e.Due = delivery.DueOf(e.to, end, delivery.UsualDelay(e.to)).UTC()
	}
}

// Undelivered is what of a flow log's records did not get to its destination.
type Undelivered struct {
	Name, ID string
	Waiting  delivery.Counts // in Spool
	Spool    string          // the folder; empty if it went with the lab
	Skipped  delivery.Counts // lost, for want of room in the spool
	Cause    delivery.Cause
	Detail   string
}

// UndeliveredError says that a lab ended with records that its destinations did not take. The lab itself is removed.
type UndeliveredError struct{ Logs []Undelivered }

// Error has a line for each flow log.
func (e *UndeliveredError) Error() string {
	var lines []string
	for _, u := range e.Logs {
		lines = append(lines, u.tell()...)
	}
	return strings.Join(lines, "\n")
}

func (u *Undelivered) tell() (lines []string) {
	why := ""
	if u.Cause != "" {
		why = fmt.Sprintf("; %s: %s", u.Cause, u.Detail)
	}
	if u.Waiting.Records > 0 {
		fate := "they went with the lab"
		if u.Spool != "" {
			fate = "they wait in " + u.Spool + " for the next run with this --out"
		}
		lines = append(lines, fmt.Sprintf("flow log %s: %s not delivered%s; %s", u.Name, records(u.Waiting.Records), why, fate))
	}
	if u.Skipped.Records > 0 {
		lines = append(lines, fmt.Sprintf("flow log %s: %s lost (%d packets, %d bytes): the spool had no room%s", u.Name,
			records(u.Skipped.Records), u.Skipped.Packets, u.Skipped.Bytes, why))
	}
	return lines
}

func records(n uint64) string {
	if n == 1 {
		return "1 record was"
	}
	return fmt.Sprintf("%d records were", n)
}

// undelivered is what the flow logs that this lab had did not get delivered, nil if all was.
func (f *flowLogs) undelivered() error {
	f.register.mu.Lock()
	defer f.register.mu.Unlock()
	_, spool := f.places()
	var left []Undelivered
	for _, e := range f.register.entries {
		if e.delivery == nil {
			continue
		}
		s := e.delivery.State()
		if s.Waiting.Records == 0 && s.Skipped.Records == 0 {
			continue
		}
		u := Undelivered{Name: e.Name, ID: e.ID, Waiting: s.Waiting, Skipped: s.Skipped, Cause: s.Cause, Detail: s.Detail}
		if f.lab.options.Out != "" {
			u.Spool = filepath.Join(spool, e.ID)
		}
		left = append(left, u)
	}
	if left == nil {
		return nil
	}
	return &UndeliveredError{left}
}

// farewell is how long a lab that ends waits for those who follow its flow logs, whose last records go with it.
const farewell = 2 * time.Second

// letFollowersRead waits until nobody holds the followers' lock.
func (f *flowLogs) letFollowersRead() {
	file, err := os.Open(catalog.FollowersPath(f.lab.host.Dir()))
	if err != nil { // nobody ever followed
		return
	}
	defer file.Close()
	beat := time.NewTicker(5 * time.Millisecond)
	defer beat.Stop()
	for deadline := time.Now().Add(farewell); time.Now().Before(deadline); <-beat.C {
		if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			return
		}
	}
}
