package check

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/scenario"
)

func shell(script string) scenario.Do {
	return scenario.Do{Verb: scenario.Exec, Argv: []string{"sh", "-c", script}}
}

func TestExec(t *testing.T) {
	r := start(t, &twin{})
	seven := 7
	rows := []struct {
		name   string
		check  scenario.Check
		pass   bool
		got    scenario.Outcome
		detail string
	}{
		{"status 0", scenario.Check{Do: shell("true")}, true, scenario.OK, "exit status 0"},
		{"status 3", scenario.Check{Do: shell("echo a; echo b >&2; exit 3")}, false, Failed, "expected ok, got failed: exit status 3; output: a | b"},
		{"the wanted status", scenario.Check{Do: shell("exit 7"), Expect: scenario.Expect{Exit: &seven}}, true, scenario.OK, "exit status 7"},
		{"not the wanted status", scenario.Check{Do: shell("true"), Expect: scenario.Expect{Exit: &seven}}, false, Failed,
			"expected exit status 7, got failed: exit status 0"},
		{"killed by itself", scenario.Check{Do: shell("kill -9 $$")}, false, Failed, "signal: killed"},
		{"no such program", scenario.Check{Do: scenario.Do{Verb: scenario.Exec, Argv: []string{"vpclab-has-no-such-program"}}}, false, Failed,
			"start vpclab-has-no-such-program in app/web"},
		{"too slow", scenario.Check{Do: shell("echo here; sleep 60"), Wait: 200 * time.Millisecond, Expect: scenario.Expect{Outcome: scenario.Timeout}},
			true, scenario.Timeout, "still running after 200ms; output: here"},
		{"its environment", scenario.Check{Do: shell(`test "$VPCLAB_NODE $VPCLAB_VPC $VPCLAB_NAME" = "app/web app web"`)}, true, scenario.OK, ""},
		{"because has nothing to go by", scenario.Check{Do: shell("true"), Because: "ENI_SG_RULES_MISMATCH"}, false, "",
			"a program has none that is known"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) { want(t, run(t, r, row.check), row.pass, row.got, row.detail) })
	}
}

func TestExecStartsInTheScenariosDirectory(t *testing.T) {
	r := start(t, &twin{})
	r.Dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(r.Dir, "probe.sh"), []byte("#!/bin/sh\nexit 5\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	five := 5
	c := scenario.Check{Do: scenario.Do{Verb: scenario.Exec, Argv: []string{"./probe.sh"}}, Expect: scenario.Expect{Exit: &five}}
	want(t, run(t, r, c), true, scenario.OK, "exit status 5")
}

func TestAProgramSaysHowItEnded(t *testing.T) {
	p, err := StartProgram(&twin{}, client, []string{"sh", "-c", "read line; echo no such file >&2; exit 2"}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	eventually(t, "its end", func() bool { return p.Ended() != "" })
	if got := p.Ended(); got != "exit status 2; output: no such file" {
		t.Errorf("ended with %q", got)
	}
	running, err := StartProgram(&twin{}, client, []string{"sleep", "63"}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer running.Close()
	if got := running.Ended(); got != "" {
		t.Errorf("a program that runs ended with %q", got)
	}
}

func TestAProgramHasItsNodesHome(t *testing.T) {
	entered := 0
	lab := &twin{home: Home{Env: []string{"SSL_CERT_FILE=/lab/ca.pem", "VPCLAB_NAME=other"}, Enter: func() error { entered++; return nil }}}
	r := start(t, lab)
	script := `test "$SSL_CERT_FILE $VPCLAB_NAME $VPCLAB_VPC" = "/lab/ca.pem other app" && test -n "$PATH"`
	want(t, run(t, r, scenario.Check{Do: shell(script)}), true, scenario.OK, "")
	if entered != 1 {
		t.Errorf("the home was entered %d times", entered)
	}
	want(t, run(t, start(t, &twin{}), scenario.Check{Do: shell(`test -z "$SSL_CERT_FILE"`)}), true, scenario.OK, "")

	lab.home.Enter = func() error { return errors.New("show resolv.conf: no room") }
	want(t, run(t, r, scenario.Check{Do: shell("true")}), false, Failed, "start sh in app/web: show resolv.conf: no room")
}

// A home may give the thread what no other thread has; what a program sees is its own, and its end is as that of any other.
func TestAProgramSeesWhatItsThreadSees(t *testing.T) {
	needRoot(t)
	own := filepath.Join(t.TempDir(), "resolv.conf")
	machines, err := os.ReadFile("/etc/resolv.conf")
	if err == nil {
		err = os.WriteFile(own, []byte("nameserver 10.0.0.2\n"), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	lab := &apart{}
	lab.home.Enter = func() error {
		runtime.LockOSThread()
		return errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "none", unix.MS_SLAVE|unix.MS_REC, ""),
			unix.Mount(own, "/etc/resolv.conf", "", unix.MS_BIND, ""))
	}
	p, err := StartProgram(lab, client, []string{"sh", "-c", "cat /etc/resolv.conf; sleep 66 & echo $!; wait"}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	eventually(t, "two lines", func() bool { return strings.Count(p.Output(), "\n") == 2 })
	lines := strings.Split(p.Output(), "\n")
	if lines[0] != "nameserver 10.0.0.2" {
		t.Errorf("the program sees %q", lines[0])
	}
	if now, err := os.ReadFile("/etc/resolv.conf"); err != nil || !bytes.Equal(now, machines) {
		t.Errorf("everybody else sees %q, %v", now, err)
	}
	child, err := strconv.Atoi(lines[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the child's end", func() bool { return gone(child) })
	if p.Status() != "signal: killed" {
		t.Errorf("the program ended by %s", p.Status())
	}
}

// apart is a twin that runs each call on a thread of its own.
type apart struct{ twin }

func (l *apart) Do(_ scenario.Node, f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		result <- f()
	}()
	return <-result
}

// gone reports whether the process has ended; a zombie that init has not collected yet counts as ended.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, state, _ := bytes.Cut(stat, []byte(") "))
	return len(state) > 0 && state[0] == 'Z'
}

func TestCloseEndsTheWholeProcessGroup(t *testing.T) {
	for _, row := range []struct{ name, script string }{
		{"with its leader", "sleep 61 & echo $!; wait"},
		{"without its leader", "sleep 62 & echo $!"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p, err := StartProgram(&twin{}, client, []string{"sh", "-c", row.script}, "")
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			eventually(t, "the child's number", func() bool { return strings.HasSuffix(p.Output(), "\n") })
			child, err := strconv.Atoi(strings.TrimSpace(p.Output()))
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the child's end", func() bool { return gone(child) })
			if err := p.Close(); err != nil {
				t.Errorf("closing twice: %v", err)
			}
		})
	}
}

// parentOf makes the test's own binary start a program, say its number and wait to be killed.
const parentOf = "VPCLAB_CHECK_TEST_PARENT_OF"

func TestMain(m *testing.M) {
	seconds := os.Getenv(parentOf)
	if seconds == "" {
		os.Exit(m.Run())
	}
	p, err := StartProgram(&twin{}, client, []string{"sleep", seconds}, "")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(p.cmd.Process.Pid)
	<-p.Done()
}

func TestProgramsDieWithTheProcess(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentOf+"=65")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer parent.Wait()
	defer parent.Process.Kill()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if gone(child) {
		t.Fatal("the program ended by itself")
	}
	if err := parent.Process.Kill(); err != nil { // SIGKILL: no code of ours runs
		t.Fatal(err)
	}
	eventually(t, "the program's end", func() bool { return gone(child) })
}

func TestAProgramHasAProcessGroupOfItsOwn(t *testing.T) {
	p, err := StartProgram(&twin{}, client, []string{"sleep", "63"}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	pgid, err := unix.Getpgid(p.cmd.Process.Pid)
	if err != nil || pgid != p.cmd.Process.Pid {
		t.Errorf("process group %d, %v; want one of its own", pgid, err)
	}
}

func TestOutputIsBounded(t *testing.T) {
	p, err := StartProgram(&twin{}, client, []string{"sh", "-c", "yes | head -c 100000; echo the end"}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	<-p.Done()
	if out := p.Output(); len(out) != keptOutput || !strings.HasSuffix(out, "y\nthe end\n") || p.Exit() != 0 {
		t.Errorf("%d bytes, ending in %q, %s", len(out), out[max(0, len(out)-20):], p.Status())
	}
}

func TestNoProgramIsNamed(t *testing.T) {
	if _, err := StartProgram(&twin{}, client, nil, ""); err == nil || err.Error() != "start program in app/web: no program is named" {
		t.Errorf("got %v", err)
	}
}
