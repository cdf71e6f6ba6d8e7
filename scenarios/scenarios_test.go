// Package scenarios holds the project's scenarios and the test that runs every one of them. It has no code of its own.
package scenarios

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/check"
	"github.com/vpclab/vpclab/ctrl/lab"
	"github.com/vpclab/vpclab/ctrl/scenario"
)

// TestMain lets labs run side by side: checks mostly wait for packets that do not come. Inside an instance the test is a program.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == asProgram {
		if err := use(os.Args[2]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("done")
		os.Exit(0)
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// TestScenarios runs each file with the fast path on and off: the results must be the same.
func TestScenarios(t *testing.T) {
	needRoot(t)
	for _, file := range files(t) {
		for _, offload := range []bool{true, false} {
			name := strings.TrimSuffix(file, ".yaml") + "/offload=off"
			if offload {
				name = strings.TrimSuffix(file, ".yaml") + "/offload=on"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				run(t, file, offload)
			})
		}
	}
}

// needRoot skips a test that builds labs, unless REQUIRE_ROOT=1 says that it must run.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("REQUIRE_ROOT") == "1" {
		t.Fatal("building labs needs root")
	}
	t.Skip("building labs needs root")
}

// files are the scenarios, but for those that other tests have for themselves.
func files(t *testing.T) []string {
	var found []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "testdata" {
			return filepath.SkipDir
		}
		if err == nil && !d.IsDir() && filepath.Ext(path) == ".yaml" {
			found = append(found, path)
		}
		return err
	})
	if err != nil || len(found) < 10 {
		t.Fatalf("found %d scenarios: %v", len(found), err)
	}
	return found
}

// labs numbers the labs of this run.
var labs atomic.Int64

func run(t *testing.T, file string, offload bool) {
	ctx := t.Context()
	s, err := scenario.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	rename(s, fmt.Sprintf("test-%d-%d", os.Getpid(), labs.Add(1)))
	l, err := lab.Start(ctx, s, lab.Options{Offload: offload})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	before, _ := unaccounted(t, l, 100*time.Millisecond)
	runner := check.NewRunner(l)
	runner.Dir = filepath.Dir(file)
	defer runner.Close()
	for _, step := range s.Steps {
		runStep(ctx, t, l, runner, step)
	}
	runner.Close()
	balance(t, l, before)
}

// unaccounted is how many frames each guest interface sent that are neither delivered, dropped for a reason, nor answered by the fabric. The
// counts are read one after another, so it waits until nothing moved for a while.
func unaccounted(t *testing.T, l *lab.Lab, quiet time.Duration) (by map[uint32]uint64, held int) {
	t.Helper()
	var last lab.Stats
	since := time.Now()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		stats, err := l.Stats()
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(stats, last) {
			last, since = stats, time.Now()
		}
		if time.Since(since) > quiet {
			break
		}
	}
	by = map[uint32]uint64{}
	for attachment, n := range last.Sent {
		n -= last.Delivered[attachment].Packets + last.Answered[attachment]
		for _, c := range last.Dropped[attachment] {
			n -= c.Packets
		}
		by[attachment] = n
	}
	return by, last.Held
}

// balance checks that every packet sent since the lab came up is accounted for, or is a fragment that still waits. Before, interfaces
// said a word or two to a door that was not there. On a busy machine a packet may be under way for longer than nothing seems to move.
// A frame that is to be segmented was sent once and delivered in pieces, so that less than nothing may be missing.
func balance(t *testing.T, l *lab.Lab, before map[uint32]uint64) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		now, held := unaccounted(t, l, 20*time.Millisecond)
		missing := 0
		for attachment, n := range now {
			if was, ok := before[attachment]; ok {
				missing += int(n - was)
			}
		}
		if missing == held || held == 0 && missing < 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%d packets are not accounted for, %d fragments are held; before the first step %v, now %v", missing, held, before, now)
			return
		}
	}
}

// rename gives the lab a name that no other run on this machine has.
func rename(s *scenario.Scenario, name string) {
	s.Name, s.Model.Name = name, name
	for _, step := range s.Steps {
		if step.Change != nil {
			step.Change.Name = name
		}
	}
}

func runStep(ctx context.Context, t *testing.T, l *lab.Lab, runner *check.Runner, step scenario.Step) {
	t.Helper()
	switch {
	case step.Change != nil:
		if err := l.Apply(ctx, step.Change); err != nil {
			t.Fatalf("line %d: change: %v", step.Line, err)
		}
	case step.Advance > 0:
		if err := l.Advance(step.Advance); err != nil {
			t.Fatalf("line %d: advance: %v", step.Line, err)
		}
	default:
		r := runner.Run(ctx, step.Check)
		if !r.Pass {
			t.Errorf("line %d: %s: got %s %s at %q: %s", step.Line, step.Check.Name, r.Got, r.Reason, r.At, r.Detail)
		}
		for _, d := range r.Drops {
			if !r.Pass {
				t.Log(strings.Join(d.Hops, "\n"))
			}
		}
	}
}
