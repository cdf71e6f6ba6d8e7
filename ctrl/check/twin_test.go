package check

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/ctrl/vpc"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// twin is a lab of one machine: every node is this process's own namespace, and the journal says what the test wrote into it.
type twin struct {
	mu        sync.Mutex
	journal   []Drop
	delivered bool
	asked     []flow.Tuple // the connections that were asked about
	logs      map[string]Records
	home      Home
	read      []string          // the flow logs that were read, a word a time
	toPort    map[uint16][]Drop // what was dropped of connections to a port, beside the journal

	resolver     netip.AddrPort // invalid: there is none
	roots        *x509.CertPool
	keys         Credentials // of a host; zero: none
	endpointHost string      // of each interface endpoint; "": none
	denied       []string
}

func (l *twin) Do(_ scenario.Node, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return f()
}

func (l *twin) Home(scenario.Node) Home { return l.home }

func (l *twin) Mark() uint64 { return 7 }

func (l *twin) Drops(mark uint64, conn flow.Tuple) []Drop {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, conn)
	if mark != l.Mark() {
		return nil
	}
	return slices.Concat(l.journal, l.toPort[conn.DstPort])
}

func (l *twin) Delivered(uint64, flow.Tuple) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.delivered
}

func (l *twin) Records(ctx context.Context, mark uint64, conn flow.Tuple, logs []string) (map[string]Records, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, conn)
	l.read = append(l.read, strings.Join(logs, ","))
	if mark != l.Mark() {
		return nil, ctx.Err()
	}
	return l.logs, ctx.Err()
}

func (l *twin) Resolver(scenario.Node) (netip.AddrPort, bool) {
	return l.resolver, l.resolver.IsValid()
}

func (l *twin) Roots() *x509.CertPool { return l.roots }

func (l *twin) Credentials(scenario.Node) (Credentials, bool) {
	return l.keys, l.keys != (Credentials{})
}

func (l *twin) EndpointHost(vpc.EndpointRef) (string, bool) {
	return l.endpointHost, l.endpointHost != ""
}

func (l *twin) Denials(mark uint64, node scenario.Node) []string {
	if mark != l.Mark() {
		return nil
	}
	var of []string
	for _, d := range l.denied {
		of = append(of, node.String()+": "+d)
	}
	return of
}

func (l *twin) dropTo(port uint16, d Drop) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.toPort == nil {
		l.toPort = map[uint16][]Drop{}
	}
	l.toPort[port] = append(l.toPort[port], d)
}

func (l *twin) drop(d Drop) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.journal = append(l.journal, d)
}

var (
	client = scenario.Node{VPC: "app", Name: "web"}
	local4 = netip.MustParseAddr("127.0.0.1")
	local6 = netip.MustParseAddr("::1")

	droppedBySG = Drop{Reason: flow.SGRulesMismatch, At: "web/sg-in"}
)

// start returns a runner on lab that is closed with the test.
func start(t *testing.T, lab Lab) *Runner {
	r := NewRunner(lab)
	t.Cleanup(r.Close)
	return r
}

// serve starts one built-in listener on a free port.
func serve(t *testing.T, kind string) uint16 {
	t.Helper()
	port := freePort(t, kind)
	s, err := Serve(t.Context(), &twin{}, client, []vpc.Listener{{Kind: kind, Port: port}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return port
}

// freePort is a port nobody listens on. It is below those the kernel gives of itself, to sockets that ask for none and to connections, so that
// it stays free until the test takes it.
func freePort(t *testing.T, kind string) uint16 {
	t.Helper()
	for {
		port := uint16(10000 + rand.IntN(20000))
		at := fmt.Sprintf(":%d", port)
		var l io.Closer
		var err error
		if kind == "udp" {
			l, err = net.ListenPacket("udp", at)
		} else {
			l, err = net.Listen("tcp", at)
		}
		if errors.Is(err, unix.EADDRINUSE) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		return port
	}
}

// foreign starts a TCP listener that treats each connection as talk says.
func foreign(t *testing.T, talk func(*net.TCPConn)) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var conns []net.Conn
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				break
			}
			conns = append(conns, conn)
			wg.Go(func() {
				defer conn.Close()
				talk(conn.(*net.TCPConn))
			})
		}
		for _, c := range conns {
			c.Close()
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// readLine takes what the check sends, so that a later close is a FIN and not an RST.
func readLine(c net.Conn) {
	b := make([]byte, maxLine)
	c.Read(b)
}

// untilClosed reads until the check gives up.
func untilClosed(c net.Conn) {
	b := make([]byte, maxLine)
	for {
		if _, err := c.Read(b); err != nil {
			return
		}
	}
}

// closedPort is a port that refuses for as long as the test runs: it is taken by a socket that does not listen, or to another peer.
func closedPort(t *testing.T, kind int) uint16 {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, sockaddr(local4, 0)); err != nil {
		t.Fatal(err)
	}
	if kind == unix.SOCK_DGRAM {
		if err := unix.Connect(fd, sockaddr(netip.MustParseAddr("127.0.0.9"), 9)); err != nil {
			t.Fatal(err)
		}
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return addrPort(name).Port()
}

// eventually polls until ok, and fails the test after 5 s.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	beat := time.NewTicker(5 * time.Millisecond)
	defer beat.Stop()
	deadline := time.After(5 * time.Second)
	for !ok() {
		select {
		case <-beat.C:
		case <-deadline:
			t.Fatalf("%s: not within 5 s", what)
		}
	}
}
