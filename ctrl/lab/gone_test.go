package lab

import (
	"bufio"
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/hostnet"
	"github.com/vpclab/vpclab/ctrl/lab/labtest"
	"github.com/vpclab/vpclab/ctrl/scenario"
)

// goneLab has something of everything that can be left behind: interfaces, listeners, programs.
const goneLab = `
name: labtest-gone
vpcs:
  a:
    cidr: 10.0.0.0/16
    internet_gateway: true
    subnets:
      p: {cidr: 10.0.0.0/24, az: a, routes: {0.0.0.0/0: igw}}
      q: {cidr: 10.0.1.0/24, az: a}
    security_groups: {open: {ingress: [all from 0.0.0.0/0]}}
    instances:
      web: {subnet: p, eip: auto, sg: [open], serve: [http 80, udp 53], interfaces: {eth1: {subnet: q, sg: [open]}}}
      app: {subnet: q, ip: 10.0.1.10, sg: [open], run: [sleep, "86397"]}
internet:
  hosts: {customer: {ip: 203.0.113.80, serve: [tcp 80]}}
`

// goneName and goneProgram are the lab's name and the program that it runs; both are nobody else's.
var (
	goneName    = "labtest" + run + "-gone"
	goneProgram = "sleep 86397." + run
)

// childVariable makes this test binary a process that holds goneLab, of the run that it names, until it is killed.
const childVariable = "VPCLAB_LABTEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		hold()
	}
	os.Exit(m.Run())
}

// hold says what it does and does not end by itself.
func hold() {
	say := func(line string) {
		if _, err := os.Stdout.WriteString(line + "\n"); err != nil {
			os.Exit(1)
		}
	}
	s, err := scenario.Parse("test.yaml", []byte(ours(goneLab)))
	if err == nil {
		say("start")
		_, err = Start(context.Background(), s, Options{Offload: true})
	}
	if err != nil {
		say(err.Error())
		os.Exit(1)
	}
	say("up")
	select {}
}

// leavesNothing compares the machine and this process before and after.
func leavesNothing(t *testing.T, act func(t *testing.T)) {
	t.Helper()
	traces := func() []string {
		list, err := labtest.Traces(goneName, goneProgram)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	before, goroutines := traces(), runtime.NumGoroutine()
	act(t)
	if after := traces(); !eventually(func() bool { after = traces(); return slices.Equal(before, after) }) {
		t.Errorf("before:\n%s\nafter:\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	if !eventually(func() bool { return runtime.NumGoroutine() <= goroutines }) {
		stacks := make([]byte, 1<<20)
		t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), goroutines, stacks[:runtime.Stack(stacks, true)])
	}
}

// warm makes what the Go runtime and the libraries keep for good, so that it is no difference.
func warm(t *testing.T) {
	t.Helper()
	needRoot(t)
	l, err := Start(context.Background(), parse(t, goneLab), Options{Offload: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	warm(t)
	both(t, func(t *testing.T, offload bool) {
		leavesNothing(t, func(t *testing.T) {
			l, err := Start(context.Background(), parse(t, goneLab), Options{Offload: offload})
			if err != nil {
				t.Fatal(err)
			}
			if list, err := labtest.Traces(goneName, goneProgram); err != nil || !slices.ContainsFunc(list, func(s string) bool {
				return strings.HasSuffix(s, " "+goneProgram)
			}) || !slices.Contains(list, "file /run/netns/vpclab-"+goneName+"._fabric") {
				t.Errorf("a running lab has the traces\n%s\n%v", strings.Join(list, "\n"), err)
			}
			b := bed{l, t}
			x := transfer{bed: b, from: node("a", "web"), to: node("a", "app"), addr: netip.MustParseAddrPort("10.0.1.10:9000"),
				forTime: 50 * time.Millisecond}
			x.open()
			x.run()
			x.client.Close()
			x.server.Close()
			for range 2 {
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	})
}

// Start is given up at random moments, and leaves as little.
func TestCancelledStartLeavesNothing(t *testing.T) {
	warm(t)
	begun := time.Now()
	warm(t)
	whole := time.Since(begun)
	given := 0
	for range 12 {
		leavesNothing(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			moment := rand.N(whole)
			defer time.AfterFunc(moment, cancel).Stop()
			l, err := Start(ctx, parse(t, goneLab), Options{Offload: true})
			switch {
			case err == nil:
				if err := l.Close(); err != nil {
					t.Errorf("cancelled after %v: %v", moment, err)
				}
			case errors.Is(err, context.Canceled):
				given++
			default:
				t.Errorf("cancelled after %v: %v", moment, err)
			}
		})
	}
	leavesNothing(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := Start(ctx, parse(t, goneLab), Options{}); !errors.Is(err, context.Canceled) {
			t.Errorf("started although cancelled: %v", err)
		}
	})
	t.Logf("given up %d times of 12", given)
}

func TestFailedStartLeavesNothing(t *testing.T) {
	warm(t)
	missing := strings.Replace(goneLab, `[sleep, "86397"]`, "[/no/such/program]", 1)
	leavesNothing(t, func(t *testing.T) {
		_, err := Start(context.Background(), parse(t, missing), Options{Offload: true})
		if err == nil || !strings.HasPrefix(err.Error(), "start /no/such/program in a/app: ") {
			t.Errorf("error %v", err)
		}
	})
	leavesNothing(t, func(t *testing.T) {
		l, err := Start(context.Background(), parse(t, goneLab), Options{Offload: true})
		if err != nil {
			t.Fatal(err)
		}
		_, err = Start(context.Background(), parse(t, goneLab), Options{Offload: true})
		var taken *hostnet.InUseError
		if !errors.As(err, &taken) || taken.PID != os.Getpid() {
			t.Errorf("a second lab of one name: %v", err)
		}
		// The first one did not notice.
		b := bed{l, t}
		x := transfer{bed: b, from: node("a", "web"), to: node("a", "app"), addr: netip.MustParseAddrPort("10.0.1.10:9000"),
			forTime: 10 * time.Millisecond}
		x.open()
		x.run()
		x.client.Close()
		x.server.Close()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A process that holds a lab is killed, when the lab is up and at random moments before; Down removes what it left.
func TestDownAfterKillLeavesNothing(t *testing.T) {
	warm(t)
	begun := time.Now()
	warm(t)
	whole := time.Since(begun)
	for n := range 7 {
		moment := rand.N(whole)
		if n == 0 {
			moment = -1 // when it is up
		}
		leavesNothing(t, func(t *testing.T) {
			killChild(t, moment)
			if err := hostnet.Down(goneName); err != nil {
				t.Errorf("killed after %v: %v", moment, err)
			}
		})
	}
}

// killChild runs the child, and kills it some time after it has begun to start the lab, or, if that time is negative, when it
// is up.
func killChild(t *testing.T, moment time.Duration) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childVariable+"="+run)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		switch line := lines.Text(); line {
		case "start":
			if moment >= 0 {
				defer time.AfterFunc(moment, func() { child.Process.Kill() }).Stop()
			}
		case "up":
			child.Process.Kill()
		default:
			t.Errorf("the child failed: %s", line)
		}
	}
	if err := child.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the child ended with %v", err)
	}
}
