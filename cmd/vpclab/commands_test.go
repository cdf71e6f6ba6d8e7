package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"

	"github.com/vpclab/vpclab/ctrl/check"
	"github.com/vpclab/vpclab/ctrl/doctor"
	"github.com/vpclab/vpclab/ctrl/hostnet"
	"github.com/vpclab/vpclab/ctrl/scenario"
)

func TestStatusOf(t *testing.T) {
	for _, row := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{wrong("x"), 2},
		{fmt.Errorf("up: %w", &failure{statusMachine, errors.New("no root")}), 3},
		{errors.New("x"), 4},
		{interrupted{syscall.SIGINT}, 130},
		{errors.Join(interrupted{syscall.SIGTERM}, errors.New("x")), 143},
		{fmt.Errorf("write results: %w", syscall.EPIPE), 141},
	} {
		if got := statusOf(row.err); got != row.want {
			t.Errorf("%v: %d, want %d", row.err, got, row.want)
		}
	}
	ping, exec := scenario.Check{Do: scenario.Do{Verb: scenario.Ping}}, scenario.Check{Do: scenario.Do{Verb: scenario.Exec}}
	for _, row := range []struct {
		result check.Result
		want   int
	}{
		{check.Result{Check: &ping, Pass: true}, 0}, {check.Result{Check: &ping}, 1},
		{check.Result{Check: &ping, Err: errors.New("open socket: x")}, 4},
		{check.Result{Check: &exec, Err: errors.New("no such program")}, 1},
	} {
		if got := checkStatus(row.result); got != row.want {
			t.Errorf("%+v: %d, want %d", row.result, got, row.want)
		}
	}
}

func TestDown(t *testing.T) {
	dead1, dead2 := hostnet.Leftover{Lab: "old", PID: 10}, hostnet.Leftover{Lab: "older"}
	alive := hostnet.Leftover{Lab: "shop", Alive: true, PID: 11, User: "ada"}
	other := hostnet.Leftover{Lab: "web", Alive: true, PID: 12, User: "bob"}
	for _, row := range []struct {
		about string
		labs  []hostnet.Leftover
		args  []string
		did   string
		out   string
	}{
		{"nothing there", nil, nil, "", "no lab on this machine\n"},
		{"the dead ones", []hostnet.Leftover{dead1, dead2}, nil, "remove old\nremove older",
			"old: removed (its process was dead)\nolder: removed (its process was dead)\n"},
		{"the dead and the only living one", []hostnet.Leftover{dead1, alive}, nil, "remove old\nstop shop\nremove shop",
			"old: removed (its process was dead)\nshop: removed (process 11 has ended)\n"},
		{"of several living ones none", []hostnet.Leftover{alive, dead1, other}, nil, "remove old",
			"old: removed (its process was dead)\nshop: running (process 11 of ada); to end it: vpclab down shop\n" +
				"web: running (process 12 of bob); to end it: vpclab down web\n"},
		{"one by its name", []hostnet.Leftover{alive, dead1, other}, []string{"web"}, "stop web\nremove web",
			"web: removed (process 12 has ended)\n"},
		{"a dead one by its name", []hostnet.Leftover{alive, dead1}, []string{"old"}, "remove old",
			"old: removed (its process was dead)\n"},
		{"a name that is not there", []hostnet.Leftover{alive, dead1}, []string{"shp"}, "",
			"no lab shp on this machine; there is shop, old\n"},
	} {
		m := newTwin(t.TempDir())
		m.labs = row.labs
		s := invoke(m, append([]string{"down"}, row.args...)...)
		if s.status != 0 || s.out != row.out || m.history() != row.did {
			t.Errorf("%s: status %d, did %q, printed\n%swant %q and\n%s", row.about, s.status, m.history(), s.out, row.did, row.out)
		}
	}
}

// unremovable is a machine on which removal fails, and which can say of one lab only that something is there.
type unremovable struct{ *twin }

func (unremovable) Labs() ([]hostnet.Leftover, error) {
	return []hostnet.Leftover{{Lab: "old"}}, &failure{statusMachine, errors.New("lab secret: readable by root alone")}
}

func (unremovable) Remove(string) error { return &failure{statusMachine, errors.New("needs root")} }

func TestDownSaysWhatItCannot(t *testing.T) {
	s := invoke(unremovable{newTwin(t.TempDir())}, "down")
	want := "old: removing\ndown: lab secret: readable by root alone\ndown old: needs root\n"
	if s.status != statusMachine || s.err != want || s.out != "" {
		t.Errorf("status %d, said\n%swant\n%s", s.status, s.err, want)
	}
}

func TestDoctor(t *testing.T) {
	well := []doctor.Finding{{Name: "kernel", OK: true, Detail: "6.18.0 (6.6 or later)"}, {Name: "IPv6", OK: true, Detail: "available"}}
	ill := append(well, doctor.Finding{Name: "root", Detail: "you are user 1000", Fix: "run it with sudo"})
	worse := append(ill, doctor.Finding{Name: "TUN device", Detail: "/dev/net/tun is not there",
		Fix: "modprobe tun\nmknod /dev/net/tun c 10 200"})
	for _, row := range []struct {
		golden   string
		findings []doctor.Finding
		status   int
	}{
		{"doctor-yes.txt", well, statusPassed}, {"doctor-one.txt", ill, statusMachine}, {"doctor-two.txt", worse, statusMachine},
	} {
		m := newTwin(t.TempDir())
		m.findings = row.findings
		s := invoke(m, "doctor")
		golden(t, row.golden, s.out)
		if s.status != row.status || s.err != "doctor: examining this machine\n" {
			t.Errorf("%s: status %d, said %q; want status %d", row.golden, s.status, s.err, row.status)
		}
	}
}

func TestDescribeBuild(t *testing.T) {
	vcs := func(modified string) []debug.BuildSetting {
		return []debug.BuildSetting{{Key: "vcs.revision", Value: "38a195d71c02aaaa"}, {Key: "vcs.time", Value: "2026-11-22T09:25:17Z"},
			{Key: "vcs.modified", Value: modified}}
	}
	for _, row := range []struct {
		info debug.BuildInfo
		want string
	}{
		{debug.BuildInfo{Main: debug.Module{Version: "v0.3.0"}}, "v0.3.0"},
		{debug.BuildInfo{Main: debug.Module{Version: "v0.3.0"}, Settings: vcs("false")}, "v0.3.0 (38a195d71c02, 2026-11-22)"},
		{debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: vcs("false")}, "devel (38a195d71c02, 2026-11-22)"},
		{debug.BuildInfo{Settings: vcs("true")}, "devel (38a195d71c02, 2026-11-22, modified)"},
		{debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "devel"},
	} {
		if got := describeBuild(&row.info); got != row.want {
			t.Errorf("%+v: %q, want %q", row.info, got, row.want)
		}
	}
}

func TestTheFirstSignalEndsTheContextAndAllAreTold(t *testing.T) {
	told := make(chan string, 8)
	ctx, stop := watchSignals(context.Background(), func(s syscall.Signal, count int) { told <- fmt.Sprint(count, " ", s) })
	defer stop()
	if err := interruption(ctx); err != nil {
		t.Fatalf("interrupted before any signal: %v", err)
	}
	for _, want := range []string{"1 terminated", "2 terminated"} {
		raise(t, syscall.SIGTERM)
		if got := <-told; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	if got := interruption(ctx); got != (interrupted{syscall.SIGTERM}) {
		t.Errorf("interruption %v, want SIGTERM", got)
	}
}

func TestTellSignal(t *testing.T) {
	var out, errs buffer
	c := plainConsole(&out, &errs)
	tellSignal(c, syscall.SIGINT, 1)
	tellSignal(c, syscall.SIGINT, 2)
	tellSignal(c, syscall.SIGPIPE, 3)
	want := "SIGINT: stopping and removing the lab\nSIGINT: still removing the lab, please wait\n"
	if errs.String() != want {
		t.Errorf("said\n%swant\n%s", errs.String(), want)
	}
}

func TestHelpFitsATerminal(t *testing.T) {
	for _, name := range []string{"", "run", "validate", "logs", "down", "doctor", "schema", "completion", "version"} {
		s := invoke(newTwin(t.TempDir()), strings.Fields("help "+name)...)
		if s.status != statusPassed || !strings.Contains(s.out, "vpclab "+name) {
			t.Errorf("help %s: status %d, printed\n%s", name, s.status, s.out)
		}
		for _, l := range strings.Split(s.out, "\n") {
			if columns(l) > 80 {
				t.Errorf("help %s: %d columns: %s", name, columns(l), l)
			}
		}
	}
}
