package privatelink

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// bed is a load balancer on loopback addresses, which stand for what the engine translates to:
//
//	consumer 127.0.2.5 ── 127.0.1.1 endpoint of shop ── balancer ── dial ── 127.0.0.1, the target 10.1.0.N
//	                      127.0.1.2 endpoint of a service that is not there
//	                      127.0.1.3 nobody knows
type bed struct {
	*Balancer
	t        testing.TB
	listener *net.TCPListener
	port     uint16 // at which the service is asked

	mu      sync.Mutex
	now     time.Time
	ill     map[netip.Addr]bool
	targets map[netip.Addr]*net.TCPListener // those that listen
	dialed  []netip.Addr
	silent  map[netip.Addr]bool // targets that do not answer
	askedBy []Ends
	refused []Refusal
}

var (
	shop = vpc.ServiceRef{VPC: "data", Name: "shop"}
	gone = vpc.ServiceRef{VPC: "data", Name: "gone"}
	one  = netip.MustParseAddr("10.1.0.1")
	two  = netip.MustParseAddr("10.1.0.2")
	slow = 10 * time.Second
)

const (
	ofShop, ofGone, ofNobody = "127.0.1.1", "127.0.1.2", "127.0.1.3"
	endpointID               = "vpce-0a1b2c3d4e5f60718"
)

// newBed starts the balancer with the service shop of some targets, each of which listens and echoes.
func newBed(t testing.TB, targets ...netip.Addr) *bed {
	t.Helper()
	l, err := net.ListenTCP("tcp", nil) // a wildcard socket of both families
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{
		t: t, listener: l, port: service.AddrPort(l.Addr()).Port(), now: time.Unix(1_700_000_000, 0),
		ill: map[netip.Addr]bool{}, silent: map[netip.Addr]bool{}, targets: map[netip.Addr]*net.TCPListener{},
	}
	b.Balancer = New(Config{Directory: b, Healthy: b.healthy, Dial: b.dial, Refused: b.refuse, Now: b.time})
	for _, a := range targets {
		b.listen(a, echo)
	}
	b.Update([]Service{b.shop(targets...)})
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.AcceptTCP()
			if err != nil {
				return // the bed is taken down
			}
			serving.Go(func() { b.Handle(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		b.Close()
		serving.Wait()
		if s := b.Stats(); s.Open != 0 || len(b.load) != 0 {
			t.Errorf("after the close: %+v, load %v", s, b.load)
		}
	})
	return b
}

func (b *bed) shop(targets ...netip.Addr) Service {
	return Service{Ref: shop, Ports: []uint16{b.port}, Targets: targets}
}

// Caller implements service.Directory.
func (b *bed) Caller(local, remote netip.Addr) (service.Caller, bool) {
	c := service.Caller{
		Via: service.ByInterface, Endpoint: &vpc.Endpoint{ID: endpointID, Service: shop},
		Addr: netip.MustParseAddr("10.0.1.5"), Asked: netip.MustParseAddr("10.0.2.9"),
	}
	switch local.String() {
	case ofGone:
		c.Endpoint.Service = gone
	case ofNobody:
		return service.Caller{}, false
	case "127.0.1.4":
		c.Via = service.ByGateway
	}
	return c, true
}

func (b *bed) healthy(t Target) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.ill[t.Addr.Addr()]
}

func (b *bed) fallIll(targets ...netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range targets {
		b.ill[a] = true
	}
}

// fallSilent makes targets that do not answer.
func (b *bed) fallSilent(targets ...netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range targets {
		b.silent[a] = true
	}
}

func (b *bed) refuse(c service.Caller, why Refusal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.Addr.IsValid() {
		b.refused = append(b.refused, why)
	}
}

// told are the refusals that were told of.
func (b *bed) told() []Refusal {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.refused)
}

// asked are the targets that were dialed so far, in turn.
func (b *bed) asked() []netip.Addr {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.dialed)
}

func (b *bed) dial(ctx context.Context, consumer Ends, _ service.Caller, t Target) (*net.TCPConn, error) {
	b.mu.Lock()
	b.dialed, b.askedBy = append(b.dialed, t.Addr.Addr()), append(b.askedBy, consumer)
	l, silent := b.targets[t.Addr.Addr()], b.silent[t.Addr.Addr()]
	b.mu.Unlock()
	if silent {
		return nil, context.DeadlineExceeded
	}
	if t.Service != shop || t.Addr.Port() != b.port || l == nil {
		return nil, unix.ECONNREFUSED
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

func (b *bed) time() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bed) advance(d time.Duration) {
	b.mu.Lock()
	b.now = b.now.Add(d)
	b.mu.Unlock()
	b.Expire()
}

// listen makes a target that serves each of its connections.
func (b *bed) listen(target netip.Addr, serve func(*net.TCPConn)) {
	b.t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { l.Close() })
	b.mu.Lock()
	b.targets[target] = l
	b.mu.Unlock()
	go func() {
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
}

func (b *bed) unlisten(target netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.targets, target)
}

// echo returns what comes, and its own FIN after the consumer's.
func echo(c *net.TCPConn) {
	defer c.Close()
	_, _ = io.Copy(c, c)
}

// ask connects to an endpoint as the consumer.
func (b *bed) ask(endpoint string) *net.TCPConn {
	b.t.Helper()
	c, err := b.tryAsk(endpoint)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func (b *bed) tryAsk(endpoint string) (*net.TCPConn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 2, 5)}, Timeout: slow}
	c, err := d.Dial("tcp", netip.AddrPortFrom(netip.MustParseAddr(endpoint), b.port).String())
	if err != nil {
		return nil, err
	}
	b.t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn), c.SetDeadline(time.Now().Add(slow))
}

// exchange sends a line and wants it back.
func (b *bed) exchange(c *net.TCPConn) {
	b.t.Helper()
	buf := make([]byte, 5)
	if _, err := c.Write([]byte("hello")); err != nil {
		b.t.Fatal(err)
	}
	if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "hello" {
		b.t.Fatalf("got %q, %v", buf, err)
	}
}

// wantReset wants an RST from the other side.
func wantReset(t *testing.T, c *net.TCPConn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the connection ended with %v, want an RST", err)
	}
}

// eventually waits for what happens on another goroutine.
func eventually(t *testing.T, what string, ready func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(slow); !ready(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s did not come", what)
		}
	}
}
