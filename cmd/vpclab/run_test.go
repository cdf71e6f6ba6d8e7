package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// lastLine is the last line of a stream.
func lastLine(s string) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return lines[len(lines)-1]
}

func TestRunEndsWithTheWorstStatus(t *testing.T) {
	passes, fails := tcpCheck("passes"), tcpCheck("fails")
	for _, row := range []struct {
		about  string
		labs   map[string][]string
		status int
		last   string // of standard output
		err    string // part of standard error
	}{
		{"all passed", map[string][]string{"a": {passes}, "b": {passes, passes}}, statusPassed, "3 passed, 0 failed", ""},
		{"one failed", map[string][]string{"a": {passes, fails}, "b": {passes}}, statusFailed, "2 passed, 1 failed", ""},
		{"no checks at all", map[string][]string{"a": nil}, statusPassed, "0 passed, 0 failed", ""},
		{"the name is taken, the next file is run", map[string][]string{"taken": {passes}, "z": {fails}}, statusMachine,
			"0 passed, 1 failed", "lab taken is in use by process 4711 of ada (vpclab run taken.yaml); to end it: vpclab down taken\n"},
		{"no root, the next file cannot be run either", map[string][]string{"rootless": {passes}, "z": {passes}}, statusMachine,
			"0 passed, 0 failed", "needs root; for what is missing and how to get it: vpclab doctor\n"},
		{"a full disk, for which the doctor has no cure", map[string][]string{"crammed": {passes}}, statusMachine, "0 passed, 0 failed",
			"services: write x: no space left on device (free space on the file system of /run)\n"},
		{"vpclab's own failure is worse than a failed check", map[string][]string{"broken": {passes}, "a": {fails}}, statusBroken,
			"0 passed, 1 failed", "out of cheese"},
		{"a lab that is not removed cleanly", map[string][]string{"sticky": {passes}}, statusBroken, "1 passed, 0 failed",
			"remove lab sticky: remove namespace"},
		{"flow logs that were not delivered, the next file is run", map[string][]string{"full": {passes}, "z": {passes}}, statusMachine,
			"2 passed, 0 failed", "full.yaml: flow log web: 2 records were not delivered; Unknown error: write out/web.log: no space left on device; " +
				"they wait in out/.spool-full/fl-1 for the next run with this --out\n"},
		{"flow logs that were lost", map[string][]string{"full": {fails}}, statusMachine, "0 passed, 1 failed",
			"full.yaml: flow log all: 1 record was not delivered; Access error: open /logs/all: permission denied; they went with the lab\n"},
		{"what the spool had no room for", map[string][]string{"full": {passes}}, statusMachine, "1 passed, 0 failed",
			"full.yaml: flow log all: 3 records were lost (9 packets, 900 bytes): the spool had no room; Access error"},
		{"a check that could not be carried out", map[string][]string{"a": {tcpCheck("crashes")}}, statusBroken, "0 passed, 1 failed", ""},
		{"a program of the file's own that ends is told once", map[string][]string{"mortal": {fails, fails}}, statusFailed, "0 passed, 2 failed",
			"mortal.yaml: the program of app/db has ended: exit status 2; output: no such file\n"},
		{"a lab that breaks by itself", map[string][]string{"a": {passes, tcpCheck("breaks the lab"), passes}}, statusBroken,
			"1 passed, 0 failed", "a.yaml: the lab broke: attachment 2: read"},
		{"a step that could not be done", map[string][]string{
			"stubborn": {passes, "change: {vpcs: {app: {instances: {web: {forward: true}}}}}", passes}}, statusBroken,
			"1 passed, 0 failed", "stubborn.yaml: line 10: change: apply revision 2: eni web"},
	} {
		t.Run(row.about, func(t *testing.T) {
			dir := t.TempDir()
			for lab, checks := range row.labs {
				scenarioFile(t, dir, lab, checks...)
			}
			m := newTwin(filepath.Join(t.TempDir(), "labs"))
			s := invoke(m, "run", dir)
			if s.status != row.status {
				t.Errorf("status %d, want %d", s.status, row.status)
			}
			if got := lastLine(s.out); got != row.last {
				t.Errorf("last line %q, want %q", got, row.last)
			}
			if !strings.Contains(s.err, row.err) {
				t.Errorf("standard error lacks %q:\n%s", row.err, s.err)
			}
			if left := m.leftIn(t); len(left) > 0 {
				t.Errorf("labs left: %v", left)
			}
		})
	}
}

func TestRunStopsAtAMachineThatCannot(t *testing.T) {
	dir := t.TempDir()
	for _, lab := range []string{"a", "rootless", "x", "y"} {
		scenarioFile(t, dir, lab, tcpCheck("passes"))
	}
	m := newTwin(t.TempDir())
	s := invoke(m, "run", dir)
	if want := "start a offload on\ncheck passes\nclose a"; m.history() != want {
		t.Errorf("did\n%s\nwant\n%s", m.history(), want)
	}
	if !strings.Contains(s.err, "2 files were not run") {
		t.Errorf("standard error does not say what was left:\n%s", s.err)
	}
	for _, file := range []string{"rootless.yaml", "x.yaml", "y.yaml"} {
		if !strings.Contains(s.out, file+": not run") {
			t.Errorf("the summary lacks %s:\n%s", file, s.out)
		}
	}
}

func TestRunReportsAllWrongFilesBeforeItBuilds(t *testing.T) {
	dir := t.TempDir()
	scenarioFile(t, dir, "fine", tcpCheck("passes"))
	for _, name := range []string{"bad", "worse"} {
		file := filepath.Join(dir, name+".yaml")
		if err := os.WriteFile(file, []byte("name: "+name+"\nvpcs:\n  app:\n    cidr: 10.0.0.0/16\n    subnt: {}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m := newTwin(t.TempDir())
	report := filepath.Join(t.TempDir(), "report.xml")
	s := invoke(m, "run", "--junit", report, dir)
	if s.status != statusUsage || s.out != "" || m.history() != "" {
		t.Errorf("status %d, printed %q, did %q; want status 2 and nothing else", s.status, s.out, m.history())
	}
	for _, want := range []string{"bad.yaml:5:", "worse.yaml:5:", "did you mean"} {
		if !strings.Contains(s.err, want) {
			t.Errorf("standard error lacks %q:\n%s", want, s.err)
		}
	}
	suites := readJUnit(t, report)
	if suites.Errors != 2 || len(suites.Suites) != 2 || suites.Suites[0].Cases[0].Error.Type != "wrong file" {
		t.Errorf("junit report %+v, want one error for each wrong file", suites)
	}
}

func TestRunDoesTheStepsInOrder(t *testing.T) {
	dir := t.TempDir()
	file := scenarioFile(t, dir, "shop", tcpCheck("first"), "change: {vpcs: {app: {instances: {db: {serve: [tcp 80]}}}}}",
		tcpCheck("second"), "advance: 350s", tcpCheck("third"))
	for _, row := range []struct {
		flags []string
		want  []string
	}{
		{nil, []string{"start shop offload on", "check first", "apply", "check second", "advance 5m50s", "check third", "close shop"}},
		{[]string{"--offload=off"}, []string{
			"start shop offload off", "check first", "apply", "check second", "advance 5m50s", "check third", "close shop"}},
		{[]string{"--only", "third"}, []string{"start shop offload on", "apply", "advance 5m50s", "check third", "close shop"}},
		{[]string{"--only", "third", "--only=first"}, []string{
			"start shop offload on", "check first", "apply", "advance 5m50s", "check third", "close shop"}},
	} {
		m := newTwin(t.TempDir())
		s := invoke(m, append([]string{"run", file}, row.flags...)...)
		if s.status != statusPassed || m.history() != strings.Join(row.want, "\n") {
			t.Errorf("%v: status %d, did\n%s", row.flags, s.status, m.history())
		}
		if want := "shop: building\nshop: running checks\nshop: removing\n"; s.err != want {
			t.Errorf("%v: progress\n%swant\n%s", row.flags, s.err, want)
		}
		if !strings.Contains(s.out, "advance 350s") ||
			!strings.Contains(s.out, "change {vpcs: {app: {instances: {db: {serve: [tcp 80]}}}}}") {
			t.Errorf("%v: the steps are not shown:\n%s", row.flags, s.out)
		}
	}
}

func TestOnlySkipsFilesWithoutTheCheck(t *testing.T) {
	dir := t.TempDir()
	scenarioFile(t, dir, "a", tcpCheck("web answers"))
	scenarioFile(t, dir, "b", tcpCheck("db answers"))
	m := newTwin(t.TempDir())
	s := invoke(m, "run", dir, "--only", "db answers")
	if want := "start b offload on\ncheck db answers\nclose b"; m.history() != want || lastLine(s.out) != "1 passed, 0 failed" {
		t.Errorf("did\n%s\nprinted\n%s", m.history(), s.out)
	}
	for name, want := range map[string]string{
		"db answer": `--only "db answer": no check has this name; did you mean db answers?`,
		"answers":   `--only "answers": no check has this name; the whole name is needed: "web answers", "db answers"`,
		"zebra":     `--only "zebra": no check has this name; write the whole name as in the file`,
	} {
		m := newTwin(t.TempDir())
		s := invoke(m, "run", dir, "--only", name)
		if s.status != statusUsage || strings.TrimSpace(s.err) != want || m.history() != "" {
			t.Errorf("status %d, did %q, said\n%swant\n%s", s.status, m.history(), s.err, want)
		}
	}
}

func TestJSONIsAllOfStandardOutput(t *testing.T) {
	dir := t.TempDir()
	scenarioFile(t, dir, "a", tcpCheck("passes"), tcpCheck("fails"))
	scenarioFile(t, dir, "broken", tcpCheck("passes"))
	s := invoke(newTwin(t.TempDir()), "run", "--json", dir)
	lines := strings.Split(strings.TrimSuffix(s.out, "\n"), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines, want one a file:\n%s", len(lines), s.out)
	}
	for i, want := range []string{"a", "broken"} {
		var doc map[string]any
		if err := json.Unmarshal([]byte(lines[i]), &doc); err != nil {
			t.Fatal(err)
		}
		if doc["lab"] != want {
			t.Errorf("document %d is of lab %v, want %s", i, doc["lab"], want)
		}
		if _, told := doc["error"]; told != (want == "broken") {
			t.Errorf("document of %s: error told is %v", want, told)
		}
	}
	if got := lastLine(s.err); got != "1 passed, 1 failed" {
		t.Errorf("last line of standard error %q", got)
	}
	for _, want := range []string{"to pass", "add `tcp 5432 from sg.web`", "out of cheese"} {
		if !strings.Contains(s.err, want) {
			t.Errorf("standard error does not explain %q:\n%s", want, s.err)
		}
	}
}

// What the machine could not do is told once, before the checks, and never among the results.
func TestNotesAreToldBesideTheResults(t *testing.T) {
	file := scenarioFile(t, t.TempDir(), "contained", tcpCheck("passes"), tcpCheck("passes too"))
	for _, flags := range [][]string{nil, {"--json"}} {
		s := invoke(newTwin(t.TempDir()), append([]string{"run", file}, flags...)...)
		told := "contained: building\n" + file + ": mkdir /etc/netns: read-only file system\n" + file + ": a name[2J that draws\ncontained: running checks\n"
		if s.status != statusPassed || !strings.HasPrefix(s.err, told) || strings.Count(s.err, "read-only") != 1 {
			t.Errorf("%v: status %d, said\n%swant\n%s", flags, s.status, s.err, told)
		}
		if strings.Contains(s.out, "read-only") {
			t.Errorf("%v: a note among the results:\n%s", flags, s.out)
		}
		if lines := strings.Split(s.out, "\n"); flags != nil && (len(lines) != 2 || !json.Valid([]byte(lines[0]))) {
			t.Errorf("standard output is more than a document:\n%s", s.out)
		}
	}
}

func TestKeepHoldsTheLabUntilASignal(t *testing.T) {
	dir := t.TempDir()
	file := scenarioFile(t, dir, "shop", tcpCheck("passes"))
	m := newTwin(t.TempDir())
	var out, errs buffer
	done := make(chan int)
	go func() { done <- execute([]string{"run", "--keep", file}, m, plainConsole(&out, &errs)) }()
	if !eventually(func() bool { return strings.Contains(errs.String(), "stays up until Ctrl-C") }) {
		t.Fatalf("the lab is not kept:\n%s", errs.String())
	}
	if left := m.leftIn(t); !slices.Equal(left, []string{"shop"}) {
		t.Errorf("labs that are up: %v", left)
	}
	if want := "sudo ip netns exec vpclab-shop.app.web bash"; !strings.Contains(errs.String(), want) {
		t.Errorf("does not say how to enter, %q:\n%s", want, errs.String())
	}
	raise(t, syscall.SIGTERM)
	if status := <-done; status != statusPassed {
		t.Errorf("status %d: the signal is the normal end", status)
	}
	if left := m.leftIn(t); len(left) > 0 {
		t.Errorf("labs left: %v", left)
	}
	if got := lastLine(out.String()); got != "1 passed, 0 failed" {
		t.Errorf("last line %q", got)
	}

	scenarioFile(t, dir, "other", tcpCheck("passes"))
	s := invoke(newTwin(t.TempDir()), "run", "--keep", dir)
	if want := "--keep keeps one lab and these are 2 files; name one file\n"; s.status != statusUsage || s.err != want {
		t.Errorf("status %d, said %q, want %q", s.status, s.err, want)
	}
}

// raise sends this process a signal, which a running command has asked for.
func raise(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), s); err != nil {
		t.Fatal(err)
	}
}

func TestSignalsRemoveTheLab(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if signal.Ignored(sig) {
			continue // by nohup, or by the shell that runs the tests in its background; vpclab leaves it so
		}
		t.Run(sig.String(), func(t *testing.T) {
			dir := t.TempDir()
			scenarioFile(t, dir, "a", tcpCheck("passes"), tcpCheck("hangs"), tcpCheck("never run"))
			scenarioFile(t, dir, "b", tcpCheck("never run either"))
			m := newTwin(t.TempDir())
			report := filepath.Join(t.TempDir(), "report.xml")
			var out, errs buffer
			done := make(chan int)
			go func() { done <- execute([]string{"run", "--junit", report, dir}, m, plainConsole(&out, &errs)) }()
			if !eventually(func() bool { _, err := os.Stat(m.file("hanging")); return err == nil }) {
				t.Fatal("the check did not begin")
			}
			raise(t, sig)
			if status, want := <-done, 128+int(sig); status != want {
				t.Errorf("status %d, want %d", status, want)
			}
			if left := m.leftIn(t); len(left) > 0 {
				t.Errorf("labs left: %v", left)
			}
			if want := "start a offload on\ncheck passes\ncheck hangs\nclose a"; m.history() != want {
				t.Errorf("did\n%s\nwant\n%s", m.history(), want)
			}
			if got := lastLine(out.String()); got != "1 passed, 0 failed" {
				t.Errorf("last line %q: a check that was cut short counts as neither", got)
			}
			for _, want := range []string{unix.SignalName(sig) + ": stopping and removing the lab",
				"a.yaml: interrupted after 1 of 3 checks", "1 file was not run"} {
				if !strings.Contains(errs.String(), want) {
					t.Errorf("standard error lacks %q:\n%s", want, errs.String())
				}
			}
			suites := readJUnit(t, report)
			if suites.Skipped != 3 || suites.Tests != 6 {
				t.Errorf("junit report: %d of %d skipped, want 3 of 6", suites.Skipped, suites.Tests)
			}
		})
	}
}

func TestASignalWhileBuildingHidesNoError(t *testing.T) {
	m := newTwin(t.TempDir())
	var out, errs buffer
	done := make(chan int)
	file := scenarioFile(t, t.TempDir(), "endless", tcpCheck("never run"))
	go func() { done <- execute([]string{"run", file}, m, plainConsole(&out, &errs)) }()
	if !eventually(func() bool { _, err := os.Stat(m.file("hanging")); return err == nil }) {
		t.Fatal("building did not begin")
	}
	raise(t, syscall.SIGTERM)
	if status := <-done; status != 143 {
		t.Errorf("status %d, want 143", status)
	}
	want := "endless.yaml: interrupted by SIGTERM: add veth e7: context canceled\nremove lab endless: device busy\n"
	if !strings.Contains(errs.String(), want) {
		t.Errorf("standard error lacks %q:\n%s", want, errs.String())
	}
}

func TestAPanicRemovesTheLab(t *testing.T) {
	m := newTwin(t.TempDir())
	s := invoke(m, "run", scenarioFile(t, t.TempDir(), "shop", tcpCheck("panics")))
	if s.status != statusBroken || !strings.Contains(s.err, "a defect of vpclab") || !strings.Contains(s.err, "index out of range") {
		t.Errorf("status %d, said\n%s", s.status, s.err)
	}
	if left := m.leftIn(t); len(left) > 0 {
		t.Errorf("labs left: %v", left)
	}
}

func TestResultsThatCannotBeWrittenAreNotPassed(t *testing.T) {
	file := scenarioFile(t, t.TempDir(), "shop", tcpCheck("passes"))
	var errs buffer
	c := &console{out: fullDisk{}, err: &errs, size: func() int { return 0 }}
	m := newTwin(t.TempDir())
	if status := execute([]string{"run", file}, m, c); status != statusBroken {
		t.Errorf("status %d, want %d", status, statusBroken)
	}
	if want := "write results: no space left on device"; !strings.Contains(errs.String(), want) {
		t.Errorf("standard error lacks %q:\n%s", want, errs.String())
	}
	if left := m.leftIn(t); len(left) > 0 {
		t.Errorf("labs left: %v", left)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestJUnitFileIsTriedBeforeTheLab(t *testing.T) {
	file := scenarioFile(t, t.TempDir(), "shop", tcpCheck("passes"))
	m := newTwin(t.TempDir())
	report := filepath.Join(t.TempDir(), "no", "such", "folder.xml")
	s := invoke(m, "run", file, "--junit", report)
	want := fmt.Sprintf("--junit %s: no such file or directory\n", report)
	if s.status != statusUsage || s.err != want || m.history() != "" {
		t.Errorf("status %d, did %q, said %q; want %q", s.status, m.history(), s.err, want)
	}
}

func TestAJUnitReportThatCannotBeWrittenIsNotPassed(t *testing.T) {
	s := invoke(newTwin(t.TempDir()), "run", "--junit", "/dev/full", scenarioFile(t, t.TempDir(), "shop", tcpCheck("passes")))
	if s.status != statusBroken || lastLine(s.err) != "--junit /dev/full: no space left on device" {
		t.Errorf("status %d, said\n%s", s.status, s.err)
	}
}

// readJUnit parses a report.
func readJUnit(t *testing.T, file string) junitSuites {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var suites junitSuites
	if err := xml.Unmarshal(text, &suites); err != nil {
		t.Fatal(err)
	}
	return suites
}
