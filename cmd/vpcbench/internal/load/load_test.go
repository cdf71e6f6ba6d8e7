package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/hostnet/baseline"
)

// loopback is both ends in the test's own namespace, at an address of its own.
type loopback struct{ addr netip.Addr }

func (l loopback) InClient(f func() error) error { return f() }
func (l loopback) InServer(f func() error) error { return f() }
func (l loopback) ServerAddr() netip.Addr        { return l.addr }

func newLoopback() loopback {
	pid := os.Getpid()
	return loopback{netip.AddrFrom4([4]byte{127, 77, byte(pid >> 8), byte(pid)})}
}

const short = 200 * time.Millisecond

func TestEveryLoadMovesSomething(t *testing.T) {
	for _, l := range All() {
		t.Run(l.Name, func(t *testing.T) {
			r, err := l.Run(t.Context(), networkFor(t, l), short)
			if err != nil {
				t.Fatal(err)
			}
			// A machine that does other things too may do little; but a load never reports nothing as a figure.
			if r.Rate <= 0 || r.Took <= 0 {
				t.Errorf("rate is %v a second, over %v", r.Rate, r.Took)
			}
			if l.Name != "rr" && l.Name != "s3-small" {
				if r.P50 != 0 || r.P99 != 0 {
					t.Errorf("round trips of %v and %v in a load that has none", r.P50, r.P99)
				}
				return
			}
			if r.P50 <= 0 || r.P99 < r.P50 || r.P99 > r.Took {
				t.Errorf("median %v and 99th percentile %v of trips over %v", r.P50, r.P99, r.Took)
			}
		})
	}
}

func TestLoadsLeaveNoDescriptorsAndTheirPort(t *testing.T) {
	e := newLoopback()
	newShelf(t).Close() // the runtime's own descriptors of sockets stay
	before := descriptors(t)
	s, d := newShelf(t), newDesk(t, echoed)
	for range 2 { // the second round binds the first one's port again
		for _, l := range All() {
			n := Network(e)
			switch l.Far {
			case Objects:
				n = s
			case Resolver:
				n = d
			}
			if _, err := l.Run(t.Context(), n, 20*time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.Close()
	d.server.Close()
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestCancelledLoadEndsEarly(t *testing.T) {
	for _, l := range All() {
		t.Run(l.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			start := time.Now()
			r, err := l.Run(ctx, networkFor(t, l), time.Minute)
			if !errors.Is(err, context.DeadlineExceeded) || r != (Result{}) {
				t.Errorf("got %v, %v", r, err)
			}
			if took := time.Since(start); took > 2*stall {
				t.Errorf("ended after %v", took)
			}
		})
	}
}

// deaf is a loopback on which one end cannot be entered.
type deaf struct {
	loopback
	client, server error
}

func (d deaf) InClient(f func() error) error {
	if d.client != nil {
		return d.client
	}
	return f()
}

func (d deaf) InServer(f func() error) error {
	if d.server != nil {
		return d.server
	}
	return f()
}

func TestErrorsSayWhichLoadAndWhy(t *testing.T) {
	gone := errors.New("enter network namespace: no such process")
	before := descriptors(t)
	for _, l := range All() {
		if l.Far != Ours {
			continue
		}
		for _, e := range []deaf{{newLoopback(), gone, nil}, {newLoopback(), nil, gone}} {
			_, err := l.Run(t.Context(), e, short)
			if want := l.Name + ": " + gone.Error(); err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		}
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before the failures, %d after", before, after)
	}
}

func TestSocketErrorsSayWhere(t *testing.T) {
	at := netip.AddrPortFrom(newLoopback().addr, 1)
	_, err := dial(at, unix.SOCK_STREAM)
	if want := fmt.Sprintf("connect to %s: connection refused", at); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	fd, err := listen(at, unix.SOCK_STREAM)
	if os.Geteuid() == 0 {
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		_, err = listen(at, unix.SOCK_STREAM)
		if want := fmt.Sprintf("listen at %s: address already in use", at); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		return
	}
	if want := fmt.Sprintf("listen at %s: permission denied", at); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// elsewhere is a loopback whose load listens at one address while its client is led to another, where the test listens.
type elsewhere struct {
	loopback
	asked bool // the server has been told its address; whoever asks next is the client
}

func (e *elsewhere) ServerAddr() netip.Addr {
	if e.asked {
		return e.addr.Next()
	}
	e.asked = true
	return e.addr
}

func TestResetConnectionsAreAnErrorWhenTheyAreMany(t *testing.T) {
	e := &elsewhere{loopback: newLoopback()}
	l, err := listen(netip.AddrPortFrom(e.addr.Next(), Port), unix.SOCK_STREAM)
	if err != nil {
		t.Fatal(err)
	}
	refusing := make(chan struct{})
	go func() {
		defer close(refusing)
		for {
			s, err := accept(l)
			if err == errStalled {
				continue
			}
			if err != nil {
				return
			}
			read(s, make([]byte, 1))
			unix.Close(s) // with RST, before any answer
		}
	}()
	_, err = named(t, "crr").Run(t.Context(), e, short)
	if err == nil || !strings.HasPrefix(err.Error(), "crr: ") || !strings.HasSuffix(err.Error(), " connections were reset, 0 finished") {
		t.Errorf("got %v", err)
	}
	unix.Shutdown(l, unix.SHUT_RD)
	<-refusing
	unix.Close(l)
}

func TestFewResetsAreNotMany(t *testing.T) {
	for _, x := range []struct {
		reset, made int
		many        bool
	}{{0, 0, true}, {1, 0, true}, {0, 1, false}, {1, 55, false}, {2, 55, true}, {3, 300, false}, {4, 300, true}} {
		if tooMany(x.reset, x.made) != x.many {
			t.Errorf("%d reset, %d finished: too many is %v", x.reset, x.made, !x.many)
		}
	}
}

func TestSilentEndIsAStall(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	soon := unix.NsecToTimeval((10 * time.Millisecond).Nanoseconds())
	if err := unix.SetsockoptTimeval(pair[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &soon); err != nil {
		t.Fatal(err)
	}
	err = ask(pair[0])
	if want := "receive: no progress for 3s"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	unix.Shutdown(pair[1], unix.SHUT_WR)
	err = ask(pair[0])
	if want := "receive: the connection was closed"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// What the loads report is held against the server's interface counters, which they do not read.
func TestFiguresAgreeWithTheInterface(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("REQUIRE_ROOT") == "1" {
			t.Fatal("REQUIRE_ROOT=1, but the tests do not run as root")
		}
		t.Skip("needs root")
	}
	b, err := baseline.NewVeth()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	// What ran before and after the counted time only adds to the counter; the lower bounds leave room for it.
	for _, row := range []struct {
		load     string
		per      float64 // units of the load in one unit of the counter
		bytes    bool
		low, max float64 // the load's count as a share of the counter's
	}{
		{load: "tcp", per: 8, bytes: true, low: 0.3, max: 1},
		{load: "rr", per: 1, low: 0.3, max: 1.02},   // a segment a trip, and at times an acknowledgment
		{load: "crr", per: 1, low: 0.08, max: 0.26}, // SYN, acknowledgment, byte, RST
		{load: "pps", per: 1, low: 0, max: 1},       // the interface also sees what the receiver is too slow for
	} {
		before := arrived(t, b, row.bytes)
		r, err := named(t, row.load).Run(t.Context(), b, short)
		if err != nil {
			t.Fatal(err)
		}
		reported := r.Rate * r.Took.Seconds()
		counted := float64(arrived(t, b, row.bytes)-before) * row.per
		if share := reported / counted; share < row.low || share > row.max {
			t.Errorf("%s: reported %.4g, the interface saw %.4g: %.2f, want %.2f to %.2f", row.load, reported, counted, share, row.low, row.max)
		}
	}
}

func named(t *testing.T, name string) Load {
	t.Helper()
	for _, l := range All() {
		if l.Name == name {
			return l
		}
	}
	t.Fatalf("no load %q", name)
	return Load{}
}

// arrived is what the server's interface has received, in bytes or packets.
func arrived(t *testing.T, b *baseline.Bed, wantBytes bool) (n uint64) {
	t.Helper()
	if err := b.InServer(func() error {
		table, err := os.ReadFile("/proc/thread-self/net/dev")
		if err != nil {
			return err
		}
		_, row, found := bytes.Cut(table, []byte("eth0:"))
		if !found {
			return errors.New("no eth0")
		}
		var octets, pkts uint64
		if _, err := fmt.Sscan(string(row), &octets, &pkts); err != nil {
			return err
		}
		if n = pkts; wantBytes {
			n = octets
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
