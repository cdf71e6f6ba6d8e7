package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/flowlog/catalog"
	"github.com/vpclab/vpclab/ctrl/flowlog/delivery"
	"github.com/vpclab/vpclab/ctrl/hostnet"
	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

const catalogLab = `
name: labtest-catalog
clock: {start: 2026-01-01T00:00:00Z, rate: 0}
vpcs:
  a:
    cidr: 10.0.0.0/16
    subnets: {p: {cidr: 10.0.0.0/24, az: a}}
    instances: {web: {subnet: p, ip: 10.0.0.10}}
flow_logs:
  short: {resource: vpc.a, interval: 60s, destination: "s3://logs", traffic: all}
  group: {resource: vpc.a, interval: 60s, destination: "cloudwatch:/logs", traffic: all}
  file: {resource: vpc.a, interval: 600s, destination: "file:/nowhere/at/all/log", traffic: all}
checks:
  - change: {flow_logs: {short: null, late: {resource: vpc.a, interval: 60s, destination: "s3://later", traffic: reject}}}
`

// toldIn reads a lab's catalog in a folder.
func toldIn(t *testing.T, dir, lab string) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Read(dir, lab)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// logsOf is a line for each log of a catalog.
func logsOf(c *catalog.Catalog) string {
	var b strings.Builder
	for _, l := range c.Logs {
		b.WriteString(l.Name)
		if l.Ended {
			b.WriteString(" ended")
		}
		if !l.Due.IsZero() {
			b.WriteString(" due " + l.Due.Format(time.TimeOnly))
		}
		if l.State.Waiting.Records > 0 {
			b.WriteString(" waiting")
		}
		if l.State.Delivered.Records > 0 {
			b.WriteString(" delivered")
		}
		if l.State.Cause != "" {
			b.WriteString(" " + l.State.Status)
		}
		b.WriteString("; ")
	}
	return strings.TrimSuffix(b.String(), "; ")
}

// The catalog is there before any record, and true after each change, jump and delivery, both in the lab's folder and in the one where flow
// logs are delivered; there it stays, and what was not delivered is delivered by the next run.
func TestCatalogIsTrue(t *testing.T) {
	needRoot(t)
	out := filepath.Join(t.TempDir(), "out")
	blocked := filepath.Join(t.TempDir(), "blocked")
	yaml := strings.Replace(catalogLab, "/nowhere/at/all/log", filepath.Join(blocked, "log"), 1)
	if err := os.WriteFile(blocked, nil, 0o600); err != nil { // a file where the destination needs a folder
		t.Fatal(err)
	}
	s := parse(t, yaml)
	begin := func() *Lab {
		t.Helper()
		l, err := Start(context.Background(), s, Options{Out: out})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return l
	}
	l := begin()
	wants := func(want string) {
		t.Helper()
		here, there := toldIn(t, l.host.Dir(), l.name), toldIn(t, out, l.name)
		if got := logsOf(here); got != want {
			t.Errorf("the catalog says\n%s\nwant\n%s", got, want)
		}
		if logsOf(here) != logsOf(there) || here.Dir != out || there.Dir != out {
			t.Errorf("the folders differ: %q of %s, %q of %s", logsOf(here), here.Dir, logsOf(there), there.Dir)
		}
	}
	advance := func(d time.Duration) {
		t.Helper()
		if err := l.Advance(d); err != nil {
			t.Fatal(err)
		}
	}
	wants("file due 00:10:00; group due 00:06:00; short due 00:10:00")
	advance(time.Minute) // there is NODATA at least
	wants("file due 00:10:00; group due 00:06:00 waiting; short due 00:10:00 waiting")
	if err := l.Apply(context.Background(), changeOf(t, s)); err != nil {
		t.Fatal(err)
	}
	wants("file due 00:10:00; group due 00:06:00 waiting; late due 00:10:00; short ended due 00:10:00 waiting")
	advance(9 * time.Minute)
	wants("file due 00:10:00 waiting FAILED; group due 00:11:00 waiting delivered; late due 00:15:00 waiting delivered; short ended delivered")
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Errorf("close: %v", err)
	}
	u, ok := errors.AsType[*UndeliveredError](l.Undelivered())
	if !ok || len(u.Logs) != 1 || u.Logs[0].Name != "file" || u.Logs[0].Waiting.Records == 0 {
		t.Errorf("undelivered: %v", l.Undelivered())
	}
	if c := toldIn(t, out, l.name); !c.Over {
		t.Errorf("the lab is not over: %+v", c)
	}

	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	l = begin()
	if got := toldIn(t, out, l.name).Find("late"); got == nil || !got.Ended {
		t.Errorf("the earlier run's log: %+v", got)
	}
	if err := errors.Join(l.Close(), l.Undelivered()); err != nil {
		t.Errorf("close: %v", err)
	}
	c := toldIn(t, out, l.name)
	r, err := c.Reader(c.Find("file"))
	if err != nil {
		t.Fatal(err)
	}
	n := uint64(0)
	for _, err := range r.Rows() {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != c.Find("file").State.Delivered.Records || n != u.Logs[0].Waiting.Records {
		t.Errorf("%d records, of which %d had waited", n, u.Logs[0].Waiting.Records)
	}
}

// changeOf is the model that a scenario's change leads to.
func changeOf(t *testing.T, s *scenario.Scenario) *vpc.Model {
	t.Helper()
	for _, step := range s.Steps {
		if step.Change != nil {
			return step.Change
		}
	}
	t.Fatal("the scenario has no change")
	return nil
}

// A lab that did not start has one cause to tell. That its catalog cannot be written in the end, often since the same disk is full, is none: the
// folder goes.
func TestNoCatalogOfALabThatDidNotStart(t *testing.T) {
	b := build(t, catalogLab, true)
	blocked := catalog.Path(b.host.Dir(), b.name) + ".part"
	if err := os.Mkdir(blocked, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ started, over, told bool }{{true, true, true}, {false, false, true}, {false, true, false}} {
		l := &Lab{name: b.name, clock: b.clock, host: b.host}
		if row.started {
			l.plan = b.plan
		}
		l.logs.lab, l.logs.publisher = l, b.logs.publisher
		if err := l.logs.publish(row.over); (err != nil) != row.told {
			t.Errorf("%+v: %v", row, err)
		}
		if err := os.MkdirAll(blocked, 0o700); err != nil { // Write removes it
			t.Fatal(err)
		}
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
}

// Without a folder to stay in, what was not delivered goes with the lab, and that is told.
func TestUndeliveredGoesWithTheLab(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "blocked")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b := build(t, strings.Replace(catalogLab, "/nowhere/at/all/log", filepath.Join(blocked, "log"), 1), true)
	if err := b.Advance(10 * time.Minute); err != nil { // there is NODATA at least
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	text := ""
	if err := b.Undelivered(); err != nil {
		text = err.Error()
	}
	if !strings.HasPrefix(text, "flow log file: ") || !strings.HasSuffix(text, "not a directory; they went with the lab") {
		t.Errorf("told %q", text)
	}
	if _, err := os.Stat(hostnet.Dir(b.name)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the lab's folder: %v", err)
	}
}

func TestUndeliveredIsTold(t *testing.T) {
	for _, row := range []struct {
		log  Undelivered
		want string
	}{
		{Undelivered{Name: "web", Waiting: delivery.Counts{Records: 1}}, "flow log web: 1 record was not delivered; they went with the lab"},
		{Undelivered{Name: "web", Waiting: delivery.Counts{Records: 2}, Spool: "out/.spool-x/fl-1", Cause: delivery.RateLimited, Detail: "slow down"},
			"flow log web: 2 records were not delivered; Rate limited: slow down; they wait in out/.spool-x/fl-1 for the next run with this --out"},
		{Undelivered{Name: "web", Skipped: delivery.Counts{Records: 2, Packets: 3, Bytes: 4}},
			"flow log web: 2 records were lost (3 packets, 4 bytes): the spool had no room"},
	} {
		if got := (&UndeliveredError{[]Undelivered{row.log, row.log}}).Error(); got != row.want+"\n"+row.want {
			t.Errorf("told\n%s\nwant twice\n%s", got, row.want)
		}
	}
}
