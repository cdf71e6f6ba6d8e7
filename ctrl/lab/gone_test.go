package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/check"
	"github.com/vpclab/vpclab/ctrl/hostnet"
	"github.com/vpclab/vpclab/ctrl/lab/labtest"
	"github.com/vpclab/vpclab/ctrl/scenario"
)

// goneLab has something of everything that can be left behind: interfaces, listeners, programs, and all services with their data. Its checks
// leave something in each.
const goneLab = `
name: labtest-gone
vpcs:
  a:
    cidr: 10.0.0.0/16
    dns: {support: true, hostnames: true}
    internet_gateway: true
    subnets:
      p: {cidr: 10.0.0.0/24, az: a, route_table: main}
      q: {cidr: 10.0.1.0/24, az: a, route_table: main}
    route_tables: {main: {routes: {0.0.0.0/0: igw}}}
    security_groups: {open: {ingress: [all from 0.0.0.0/0]}}
    instances:
      web: {subnet: p, eip: auto, sg: [open], serve: [http 80, udp 53], interfaces: {eth1: {subnet: q, sg: [open]}}}
      app: {subnet: q, ip: 10.0.1.10, sg: [open], run: [sleep, "86397"]}
    endpoints:
      s3: {type: gateway, service: s3, route_tables: [main]}
      dynamodb: {type: interface, service: dynamodb, subnets: [q], sg: [open], private_dns: false}
      sqs: {type: interface, service: sqs, subnets: [q], sg: [open]}
      shop: {type: interface, service: b/shop, subnets: [p], sg: [open]}
  b:
    cidr: 10.1.0.0/16
    subnets: {s: {cidr: 10.1.0.0/24, az: a}}
    security_groups: {open: {ingress: [all from 10.1.0.0/16]}}
    instances: {db: {subnet: s, sg: [open], serve: [tcp 9000]}}
    endpoint_services: {shop: {targets: [db], ports: [9000]}}
internet:
  hosts: {customer: {ip: 203.0.113.80, serve: [tcp 80]}}
services:
  s3: {buckets: {logs: {}}}
  dynamodb: {tables: {orders: {key: id}}}
checks:
  - {name: the resolver is asked, from: web, do: dns sqs.us-east-1.amazonaws.com, expect: {outcome: ok, answers: [endpoint.sqs]}}
  - {name: an object, from: web, do: s3 put logs/a hello, expect: ok}
  - {name: an item, from: app, do: 'dynamodb put orders {"id": "1"} by endpoint.dynamodb', expect: ok}
  - {name: through a load balancer, from: web, do: tcp 9000 to endpoint.shop, keep: shop, expect: ok}
  - {name: a page over TLS, from: web, do: http https://sqs.us-east-1.amazonaws.com/, expect: ok}
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
		var l *Lab
		if l, err = Start(context.Background(), s, Options{Offload: true}); err == nil {
			_, err = used(l, s)
		}
	}
	if err != nil {
		say(err.Error())
		os.Exit(1)
	}
	say("up")
	select {}
}

// used carries out a scenario's checks, and returns the runner that holds what they kept open.
func used(l *Lab, s *scenario.Scenario) (*check.Runner, error) {
	r := check.NewRunner(l)
	for _, step := range s.Steps {
		if result := r.Run(context.Background(), step.Check); !result.Pass {
			r.Close()
			return nil, fmt.Errorf("%s: %s", step.Check.Name, result.Detail)
		}
	}
	return r, nil
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
	// The runtime keeps the pipes by which it splices from one connection to another until the garbage has been collected twice.
	collected := func() []string {
		for range 2 {
			runtime.GC()
		}
		return traces()
	}
	var before []string
	until(t, "nothing changes by itself", func() bool {
		now := collected()
		same := slices.Equal(before, now)
		before = now
		return same
	})
	goroutines := runtime.NumGoroutine()
	act(t)
	var after []string
	if !eventually(func() bool { after = collected(); return slices.Equal(before, after) }) {
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
	s := parse(t, goneLab)
	l, err := Start(context.Background(), s, Options{Offload: true})
	if err != nil {
		t.Fatal(err)
	}
	r, err := used(l, s)
	if err != nil {
		t.Error(err)
	} else {
		r.Close()
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	warm(t)
	both(t, func(t *testing.T, offload bool) {
		leavesNothing(t, func(t *testing.T) {
			s := parse(t, goneLab)
			l, err := Start(context.Background(), s, Options{Offload: offload})
			if err != nil {
				t.Fatal(err)
			}
			runner, err := used(l, s)
			if err != nil {
				t.Fatal(err, l.Close())
			}
			list, err := labtest.Traces(goneName, goneProgram)
			for _, trace := range []string{
				"file /run/netns/vpclab-" + goneName + "._fabric", "file /run/netns/vpclab-" + goneName + "._svc",
				"file /etc/netns/vpclab-" + goneName + ".a.web", "file /run/vpclab/" + goneName,
				"open /run/vpclab/labtestN-gone/services/dynamodb.db",
			} {
				if !slices.Contains(list, trace) {
					t.Errorf("a running lab has no trace %q", trace)
				}
			}
			if err != nil || !slices.ContainsFunc(list, func(s string) bool { return strings.HasSuffix(s, " "+goneProgram) }) {
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
			runner.Close() // the connection that it held has lost its lab
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

// What the services need is in the way when the lab's devices are there: its start fails as late as that.
func TestServicesThatDoNotStartLeaveNothing(t *testing.T) {
	warm(t)
	dir := hostnet.Dir(goneName)
	inside := func(open func() (io.Closer, error)) func() (io.Closer, error) {
		return func() (c io.Closer, err error) {
			ns, err := os.Open("/run/netns/" + hostnet.ServicesNamespace(goneName))
			if err != nil {
				return nil, err
			}
			defer ns.Close()
			err = hostnet.InNamespace(ns, func() (err error) { c, err = open(); return err })
			return c, err
		}
	}
	file := func(name string) func() (io.Closer, error) {
		return func() (io.Closer, error) {
			path := filepath.Join(dir, name)
			return io.NopCloser(nil), errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600))
		}
	}
	folder := func(name string) func() (io.Closer, error) {
		return func() (io.Closer, error) { return io.NopCloser(nil), os.MkdirAll(filepath.Join(dir, name), 0o700) }
	}
	listener := func(addr string) func() (io.Closer, error) {
		return inside(func() (io.Closer, error) { return net.Listen("tcp", addr) })
	}
	packets := func(addr string) func() (io.Closer, error) {
		return inside(func() (io.Closer, error) { return net.ListenPacket("udp", addr) })
	}
	for _, row := range []struct {
		name     string
		obstacle func() (io.Closer, error)
		want     string
	}{
		{"a file where their folder should be", file("services"), "services: mkdir " + dir + "/services: not a directory"},
		{"a file where the objects should be", file("services/s3"), "services: s3: open objects: mkdir " + dir + "/services/s3: not a directory"},
		{"a folder where the tables should be", folder("services/dynamodb.db"), "services: dynamodb: open " + dir + "/services/dynamodb.db: open"},
		{"somebody at the resolver's port", packets(":53"), "services: listen udp4 :53: bind: address already in use"},
		{"somebody at the clock's port", packets(":123"), "services: listen udp4 :123: bind: address already in use"},
		{"somebody at the web's port", listener(":80"), "services: listen tcp :80: bind: address already in use"},
		{"somebody at a load balancer's port", listener(":9000"), "services: listen tcp :9000: bind: address already in use"},
		{"a folder where the certificate should be", folder(authorityFile), "services: open " + dir + "/ca.pem: is a directory"},
	} {
		t.Run(row.name, func(t *testing.T) {
			leavesNothing(t, func(t *testing.T) {
				var once sync.Once
				var inTheWay io.Closer
				var obstacleErr error
				l, err := Start(context.Background(), parse(t, goneLab), Options{Offload: true, Progress: func(stage string, _, _ int) {
					if stage == "connect" {
						once.Do(func() { inTheWay, obstacleErr = row.obstacle() })
					}
				}})
				if obstacleErr != nil {
					t.Fatal(obstacleErr)
				}
				_ = inTheWay.Close() // in a namespace that is to go with it
				if err == nil {
					t.Fatal("started all the same", l.Close())
				}
				if !strings.HasPrefix(err.Error(), row.want) {
					t.Errorf("got  %v\nwant %s", err, row.want)
				}
			})
		})
	}
}

// A process that holds a lab is killed, when the lab is up and its services were used, and at random moments before; Down removes what it
// left, and so does the next lab of that name.
func TestDownAfterKillLeavesNothing(t *testing.T) {
	warm(t)
	begun := time.Now()
	warm(t)
	whole := time.Since(begun)
	for n := range 8 {
		moment := rand.N(whole)
		if n < 2 {
			moment = -1 // when it is up
		}
		leavesNothing(t, func(t *testing.T) {
			killChild(t, moment)
			if n%2 == 1 {
				warm(t)
				return
			}
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
