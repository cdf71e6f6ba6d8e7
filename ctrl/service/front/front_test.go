package front

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/vpclab/vpclab/ctrl/service"
)

// everybody is a directory that knows everybody.
type everybody struct{}

func (everybody) Caller(_, _ netip.Addr) (service.Caller, bool) { return service.Caller{}, true }

// troubled is a listener that fails a few times first.
type troubled struct {
	net.Listener
	errs []error
}

func (t *troubled) Accept() (net.Conn, error) {
	if len(t.errs) > 0 {
		err := t.errs[0]
		t.errs = t.errs[1:]
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}
	}
	return t.Listener.Accept()
}

// loopback is who dials.
var loopback = netip.MustParseAddr("127.0.0.1")

// serve has a Front hand connections to a taker until the test ends; its caller has some already. dial connects to it, and says whether it
// is reset, at once or later.
func serve(t *testing.T, open int, take Taker, errs ...error) (f *Front, dial func() (reset func() bool)) {
	t.Helper()
	f = &Front{Directory: everybody{}, Route: func(service.Caller, uint16) Taker { return take }, open: map[netip.Addr]int{loopback: open}}
	return f, start(t, f, errs...)
}

func start(t *testing.T, f *Front, errs ...error) (dial func() (reset func() bool)) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- f.Serve(&troubled{l, errs}) }()
	t.Cleanup(func() {
		l.Close()
		if err := <-ended; err != nil {
			t.Errorf("a closed listener ends with %v", err)
		}
	})
	return func() func() bool {
		conn, err := net.Dial("tcp", l.Addr().String())
		if errors.Is(err, syscall.ECONNRESET) {
			return func() bool { return true }
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return func() bool {
			_, err := conn.Read(make([]byte, 1))
			return errors.Is(err, syscall.ECONNRESET)
		}
	}
}

// Too many open files, or a client that has gone before it was accepted, are no reason to stop.
func TestErrorsOfTheMomentPass(t *testing.T) {
	taken := make(chan net.Conn, 1)
	_, dial := serve(t, 0, func(c net.Conn) bool { taken <- c; return true }, syscall.EMFILE, syscall.ECONNABORTED, syscall.ENFILE)
	dial()
	(<-taken).Close()
}

func TestOtherErrorsEndIt(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := new(Front).Serve(&troubled{l, []error{syscall.EINVAL}}); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("got %v", err)
	}
}

// One caller has so many connections and no more, until it closes one.
func TestCallersHaveTheirShare(t *testing.T) {
	taken := make(chan net.Conn, 1)
	_, dial := serve(t, most-1, func(c net.Conn) bool { taken <- c; return true })
	dial()
	last := <-taken
	if reset := dial(); !reset() {
		t.Fatal("a further connection is not reset")
	}
	for range 2 { // the second time counts for nothing
		_ = last.Close()
	}
	dial()
	last = <-taken
	if reset := dial(); !reset() {
		t.Error("one was closed, and two more are taken")
	}
	last.Close()
}

// What nobody wants is reset, and counts for nothing.
func TestRefusedConnectionsDoNotCount(t *testing.T) {
	f, dial := serve(t, 5, func(net.Conn) bool { return false })
	for range 3 {
		if reset := dial(); !reset() {
			t.Fatal("it is not reset")
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open[loopback] != 5 {
		t.Errorf("%d connections count, want 5", f.open[loopback])
	}
}

// forgetful is a directory that knows everybody until it has forgotten.
type forgetful struct{ atomic.Bool }

func (d *forgetful) Caller(_, _ netip.Addr) (service.Caller, bool) {
	return service.Caller{}, !d.Load()
}

// Who serves a connection whose caller is gone does not wait for TCP to give up.
func TestConnectionsWhoseCallerIsGoneAreReset(t *testing.T) {
	taken, d := make(chan net.Conn, 1), &forgetful{}
	f := &Front{Directory: d, Route: func(service.Caller, uint16) Taker { return func(c net.Conn) bool { taken <- c; return true } }}
	dial := start(t, f)
	reset := dial()
	served := <-taken
	if gone := f.Prune(); len(gone) != 0 {
		t.Errorf("%d are reset while their caller is known", len(gone))
	}
	d.Store(true)
	if gone := f.Prune(); len(gone) != 1 || gone[0] != served {
		t.Errorf("%d are reset", len(gone))
	}
	if _, err := served.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("who serves it reads %v", err)
	}
	if !reset() {
		t.Error("the client's end is not reset")
	}
	if reset := dial(); !reset() {
		t.Error("nor is another one's")
	}
	if f.Prune(); len(f.open) != 0 || len(f.all) != 0 {
		t.Errorf("%d connections still count", len(f.all))
	}
}

// A counted connection still copies files by sendfile, which net/http looks for.
func TestConnectionsKeepTheirKernelWays(t *testing.T) {
	var c net.Conn = &Conn{}
	if _, ok := c.(io.ReaderFrom); !ok {
		t.Error("no ReadFrom")
	}
	if _, ok := c.(syscall.Conn); !ok {
		t.Error("no SyscallConn")
	}
}
