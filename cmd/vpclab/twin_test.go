package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/check"
	"github.com/vpclab/vpclab/ctrl/doctor"
	"github.com/vpclab/vpclab/ctrl/flowlog/delivery"
	"github.com/vpclab/vpclab/ctrl/hostnet"
	"github.com/vpclab/vpclab/ctrl/lab"
	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/ctrl/vpc"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// twin is a machine that only pretends. A lab is a file in dir while it is up. What goes wrong is in the names: the lab is called
// taken, rootless, crammed, broken, endless, sticky, mortal, stubborn, full or contained, and a check's name has the words fails, crashes, panics, hangs
// or breaks the lab.
type twin struct {
	dir      string
	labs     []hostnet.Leftover
	findings []doctor.Finding

	mu  sync.Mutex
	did []string // what was asked of the machine, in order
}

func newTwin(dir string) *twin { return &twin{dir: dir} }

func (m *twin) record(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.did = append(m.did, what)
}

// history is what was asked of the machine so far.
func (m *twin) history() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.did, "\n")
}

func (m *twin) file(lab string) string { return filepath.Join(m.dir, lab) }

func (m *twin) Start(ctx context.Context, s *scenario.Scenario, o startOptions) (runningLab, error) {
	switch s.Name {
	case "taken":
		return nil, &failure{statusMachine, &hostnet.InUseError{Lab: "taken", PID: 4711, User: "ada", Command: "vpclab run taken.yaml"}}
	case "rootless":
		return nil, &failure{statusMachine, errors.New("start lab rootless: needs root")}
	case "crammed":
		return nil, &failure{statusMachine, fmt.Errorf("services: write x: %w (free space on the file system of /run)", unix.ENOSPC)}
	case "broken":
		return nil, errors.New("start lab broken: load fast path: out of cheese")
	}
	if s.Name == "endless" {
		if err := os.WriteFile(m.file("hanging"), nil, 0o644); err != nil {
			return nil, err
		}
		<-ctx.Done()
		return nil, errors.Join(fmt.Errorf("add veth e7: %w", ctx.Err()), errors.New("remove lab endless: device busy"))
	}
	for i := range 3 {
		o.progress("building attachments", i+1, 3)
	}
	m.record("start " + s.Name + " offload " + (*onOff)(&o.offload).String())
	if err := os.MkdirAll(m.dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(m.file(s.Name), nil, 0o644); err != nil {
		return nil, err
	}
	return &twinLab{machine: m, name: s.Name, broken: make(chan error, 1), progress: o.progress}, nil
}

func (m *twin) Labs() ([]hostnet.Leftover, error) { return m.labs, nil }

func (m *twin) Remove(lab string) error {
	m.record("remove " + lab)
	return nil
}

func (m *twin) Stop(_ context.Context, l hostnet.Leftover) error {
	m.record("stop " + l.Lab)
	return nil
}

func (m *twin) Folder(string) string { return m.dir }

func (m *twin) Examine(context.Context) []doctor.Finding { return m.findings }

// twinLab is a lab of the twin.
type twinLab struct {
	machine *twin
	name    string
	broken  chan error
	buried  bool // the end of a mortal lab's program was told

	progress func(stage string, done, total int)
}

func (l *twinLab) Check(ctx context.Context, c *scenario.Check) check.Result {
	l.machine.record("check " + c.Name)
	r := check.Result{Check: c, Pass: true, Got: c.Expect.Outcome, MS: 1.25}
	if r.Got == "" {
		r.Got = scenario.OK
	}
	if reason, ok := flow.ParseReason(c.Because); ok {
		r.Reason, r.At = reason, "db/sg-in"
	}
	switch {
	case strings.Contains(c.Name, "fails"):
		r.Pass, r.Got, r.Detail = false, scenario.Timeout, "expected ok, got timeout: no answer within 5 s"
		r.Reason, r.At = flow.SGRulesMismatch, "db/sg-in"
		r.Drops = []check.Drop{aDrop}
	case strings.Contains(c.Name, "crashes"):
		r.Pass, r.Got, r.Err = false, "", errors.New("open socket: too many open files")
		r.Detail = r.Err.Error()
	case strings.Contains(c.Name, "panics"):
		panic("index out of range")
	case strings.Contains(c.Name, "breaks the lab"):
		l.broken <- errors.New("attachment 2: read: file descriptor in bad state")
	case strings.Contains(c.Name, "hangs"):
		if err := os.WriteFile(l.machine.file("hanging"), nil, 0o644); err != nil {
			panic(err)
		}
		<-ctx.Done()
	}
	return r
}

func (l *twinLab) Apply(context.Context, *vpc.Model) error {
	l.machine.record("apply")
	l.progress("connect", 1, 3)
	if l.name == "stubborn" {
		return errors.New("apply revision 2: eni web: add veth e7: operation not permitted")
	}
	return nil
}

func (l *twinLab) Advance(d time.Duration) error {
	l.machine.record("advance " + d.String())
	return nil
}

func (l *twinLab) Ended() []string {
	if l.name != "mortal" || l.buried {
		return nil
	}
	l.buried = true
	return []string{"the program of app/db has ended: exit status 2; output: no such file"}
}

func (l *twinLab) Broken() <-chan error { return l.broken }

// Notes: the machine is a container.
func (l *twinLab) Notes() []string {
	if l.name != "contained" {
		return nil
	}
	return []string{"mkdir /etc/netns: read-only file system", "a name\x1b[2J that draws"}
}

func (l *twinLab) Close() error {
	l.machine.record("close " + l.name)
	if err := os.Remove(l.machine.file(l.name)); err != nil {
		return err
	}
	if l.name == "sticky" {
		return errors.New("remove namespace vpclab-sticky.app.web: device or resource busy")
	}
	return nil
}

// Undelivered: the disk was full.
func (l *twinLab) Undelivered() error {
	if l.name != "full" {
		return nil
	}
	return &lab.UndeliveredError{Logs: []lab.Undelivered{
		{Name: "web", ID: "fl-1", Waiting: delivery.Counts{Records: 2}, Spool: "out/.spool-full/fl-1", Cause: delivery.UnknownError,
			Detail: "write out/web.log: no space left on device"},
		{Name: "all", ID: "fl-2", Waiting: delivery.Counts{Records: 1}, Skipped: delivery.Counts{Records: 3, Packets: 9, Bytes: 900},
			Cause: delivery.AccessError, Detail: "open /logs/all: permission denied"},
	}}
}

// aDrop is a dropped packet with all that can be told of it.
var aDrop = check.Drop{
	Reason: flow.SGRulesMismatch,
	At:     "db/sg-in",
	Hops: []string{
		"web/send: tcp 10.0.1.4:40000 > 10.0.1.5:5432",
		"web/sg-out: all to 0.0.0.0/0",
		"web/route: table main, 10.0.0.0/16 local",
		"db/sg-in: no rule matches -- ENI_SG_RULES_MISMATCH",
	},
	Advice: "add `tcp 5432 from sg.web` to the ingress of a security group of db",
}

// session is one command line carried out in this process.
type session struct {
	status   int
	out, err string
}

// invoke carries out a command line on a machine; both streams are buffers, hence plain.
func invoke(m machine, args ...string) session {
	var out, err buffer
	c := plainConsole(&out, &err)
	status := execute(args, m, c)
	return session{status: status, out: out.String(), err: err.String()}
}

func plainConsole(out, err *buffer) *console {
	return &console{out: out, err: err, size: func() int { return 0 }}
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// scenarioFile writes a scenario of that name with these items under checks, and returns its path.
func scenarioFile(t *testing.T, dir, name string, checks ...string) string {
	t.Helper()
	text := "name: " + name + "\nabout: A pair.\nvpcs:\n  app:\n    cidr: 10.0.0.0/16\n    subnets: {one: {cidr: 10.0.1.0/24, az: a}}\n" +
		"    instances: {web: {subnet: one}, db: {subnet: one, serve: [tcp 5432]}}\n"
	if len(checks) > 0 {
		text += "checks:\n"
	}
	for _, c := range checks {
		text += "  - " + c + "\n"
	}
	file := filepath.Join(dir, name+".yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// tcpCheck is an item of checks.
func tcpCheck(name string) string {
	return "{name: " + name + ", from: web, do: tcp 5432 to db, expect: ok}"
}

// leftIn lists the labs that are still up.
func (m *twin) leftIn(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(m.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var labs []string
	for _, e := range entries {
		if e.Name() != "hanging" {
			labs = append(labs, e.Name())
		}
	}
	return labs
}
