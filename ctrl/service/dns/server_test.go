package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// directory knows two addresses on the loopback interface: 127.0.0.1 asks from a VPC, 127.0.0.3 too, but another service. In IPv6 there is
// ::1.
type directory struct{ m *vpc.Model }

func (d directory) Caller(local, remote netip.Addr) (service.Caller, bool) {
	c := from(d.m, "app")
	c.Asked = local
	switch remote.String() {
	case "127.0.0.1", "::1":
		return c, true
	case "127.0.0.3":
		c.Service = "time"
		return c, true
	}
	return service.Caller{}, false
}

// large has a name with 60 addresses, which are 960 bytes and more.
func large() *vpc.Model {
	m := lab(network("app", "10.0.0.0/16"))
	var addrs []string
	for n := range 60 {
		addrs = append(addrs, fmt.Sprintf("10.0.7.%d", n))
	}
	return zoned(m, "corp.internal", "app", "db.corp.internal A 10.0.1.5", "many.corp.internal A "+strings.Join(addrs, " | "))
}

// serve runs a server on a port of all addresses, over UDP and TCP, until the test ends.
func serve(t testing.TB, s *Server, family, address string) (port uint16) {
	t.Helper()
	conn, l := listen(t, family, address)
	port = netip.MustParseAddrPort(conn.LocalAddr().String()).Port()
	ended := make(chan error, 2)
	go func() { ended <- s.ServeUDP(conn) }()
	go func() { ended <- s.ServeTCP(l) }()
	t.Cleanup(func() {
		_, _ = conn.Close(), l.Close()
		for range 2 {
			if err := <-ended; err != nil {
				t.Errorf("a closed socket ends with %v", err)
			}
		}
	})
	return port
}

// listen finds a port that is free in both protocols: one that is in UDP may be a connection's of another process in TCP.
func listen(t testing.TB, family, address string) (*net.UDPConn, net.Listener) {
	t.Helper()
	for {
		conn, err := net.ListenPacket("udp"+family, net.JoinHostPort(address, "0"))
		if err != nil {
			t.Fatal(err)
		}
		port := netip.MustParseAddrPort(conn.LocalAddr().String()).Port()
		l, err := net.Listen("tcp"+family, net.JoinHostPort(address, fmt.Sprint(port)))
		if err == nil {
			return conn.(*net.UDPConn), l
		}
		conn.Close()
		if !errors.Is(err, unix.EADDRINUSE) {
			t.Fatal(err)
		}
	}
}

// dial connects from one address of the loopback interface to another. Over UDP, what comes from anywhere else is not received.
func dial(t testing.TB, network, local, remote string, port uint16) *dns.Conn {
	t.Helper()
	d := net.Dialer{Timeout: 5 * time.Second}
	if network == "tcp" {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(local), 0))
	} else {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(local), 0))
	}
	conn, err := d.DialContext(context.Background(), network, netip.AddrPortFrom(netip.MustParseAddr(remote), port).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &dns.Conn{Conn: conn}
}

func exchange(t *testing.T, c *dns.Conn, q *dns.Msg) *dns.Msg {
	t.Helper()
	if opt := q.IsEdns0(); opt != nil {
		c.UDPSize = opt.UDPSize()
	}
	if err := c.WriteMsg(q); err != nil {
		t.Fatal(err)
	}
	m, err := c.ReadMsg()
	if err != nil {
		t.Fatalf("%s from %s: %v", q.Question[0].Name, c.RemoteAddr(), err)
	}
	if m.Id != q.Id || !m.Response {
		t.Fatalf("%s: answered by %v", q.Question[0].Name, m)
	}
	return m
}

func TestServerAnswersFromTheAddressThatWasAsked(t *testing.T) {
	m := large()
	s := NewServer(directory{m}, New(m))
	four, both := serve(t, s, "4", "0.0.0.0"), serve(t, s, "", "::")
	for _, network := range []string{"udp", "tcp"} {
		for _, x := range []struct {
			local, remote string
			port          uint16
		}{
			{"127.0.0.1", "127.0.0.1", four},
			{"127.0.0.1", "127.0.0.5", four},
			{"127.0.0.1", "127.7.7.7", four},
			{"127.0.0.1", "127.0.0.5", both},
			{"::1", "::1", both},
		} {
			got := exchange(t, dial(t, network, x.local, x.remote, x.port), query("db.corp.internal A"))
			if len(got.Answer) != 1 || got.Answer[0].(*dns.A).A.String() != "10.0.1.5" {
				t.Errorf("%s %s: got %v", network, x.remote, got)
			}
		}
	}
}

func TestTruncation(t *testing.T) {
	m := large()
	port := serve(t, NewServer(directory{m}, New(m)), "4", "0.0.0.0")
	for _, x := range []struct {
		network   string
		size      uint16 // of EDNS; 0: none
		cut       bool
		atMost    int // 1472 is what an internet host takes in one piece
		atLeastAs int // records
	}{
		{"udp", 0, true, 512, 10},
		{"udp", 100, true, 512, 10},
		{"udp", 700, true, 700, 20},
		{"udp", 4096, false, 1472, 60},
		{"udp", 65535, false, 1472, 60},
		{"tcp", 0, false, 1472, 60},
		{"tcp", 512, false, 1472, 60},
	} {
		q := query("many.corp.internal A")
		if x.size > 0 {
			q.SetEdns0(x.size, false)
		}
		c := dial(t, x.network, "127.0.0.1", "127.0.0.5", port)
		c.UDPSize = 4096
		if err := c.WriteMsg(q); err != nil {
			t.Fatal(err)
		}
		raw, err := c.ReadMsgHeader(nil)
		if err != nil {
			t.Fatal(err)
		}
		got := new(dns.Msg)
		if err := got.Unpack(raw); err != nil {
			t.Fatal(err)
		}
		if got.Truncated != x.cut || len(raw) > x.atMost || len(got.Answer) < x.atLeastAs || x.cut && len(got.Answer) == 60 {
			t.Errorf("%s, EDNS %d: %d bytes, %d records, TC %v", x.network, x.size, len(raw), len(got.Answer), got.Truncated)
		}
		if (got.IsEdns0() != nil) != (x.size > 0) {
			t.Errorf("%s, EDNS %d: OPT is %v", x.network, x.size, got.IsEdns0())
		}
	}
}

func TestModelChanges(t *testing.T) {
	m := large()
	s := NewServer(directory{m}, New(m))
	c := dial(t, "tcp", "127.0.0.1", "127.0.0.1", serve(t, s, "4", "0.0.0.0"))
	if got := exchange(t, c, query("new.corp.internal A")); got.Rcode != dns.RcodeNameError {
		t.Errorf("before the change: %v", got)
	}
	changed := large()
	changed.Zones[0].Records = append(changed.Zones[0].Records, vpc.ZoneRecord{Name: "new.corp.internal", Type: "A", Values: []string{"10.0.1.6"}})
	s.Use(New(changed))
	if got := exchange(t, c, query("new.corp.internal A")); len(got.Answer) != 1 {
		t.Errorf("after the change, on the same connection: %v", got)
	}
}

// Who is not known, or asked another service, is not answered.
func TestStrangers(t *testing.T) {
	m := large()
	s := NewServer(directory{m}, New(m))
	port := serve(t, s, "4", "0.0.0.0")
	packed, err := query("db.corp.internal A").Pack()
	if err != nil {
		t.Fatal(err)
	}
	for remote, want := range map[string]bool{"127.0.0.1": true, "127.0.0.2": false, "127.0.0.3": false, "::ffff:127.0.0.1": true} {
		got := s.respond(netip.MustParseAddr("127.0.0.5"), netip.MustParseAddr(remote), packed, nil, true)
		if (got != nil) != want {
			t.Errorf("a datagram from %s: answer %v, want one: %v", remote, got, want)
		}
	}
	c := dial(t, "tcp", "127.0.0.2", "127.0.0.5", port)
	if err := c.WriteMsg(query("db.corp.internal A")); err != nil {
		t.Fatal(err)
	}
	if m, err := c.ReadMsg(); !errors.Is(err, io.EOF) {
		t.Errorf("a connection from 127.0.0.2: got %v, %v", m, err)
	}
}

// A query over TCP that is longer than any of ours ends the connection, after the answers before it and with FIN although a part of it is
// never read; a garbled one is told so.
func TestWrongMessages(t *testing.T) {
	m := large()
	port := serve(t, NewServer(directory{m}, New(m)), "4", "0.0.0.0")
	c := dial(t, "tcp", "127.0.0.1", "127.0.0.5", port)
	if got := exchange(t, c, query("db.corp.internal A")); len(got.Answer) != 1 {
		t.Errorf("before an overlong query: %v", got)
	}
	if _, err := c.Conn.Write(append(binary.BigEndian.AppendUint16(nil, maxSize+1), "of which this is all"...)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReadMsg(); !errors.Is(err, io.EOF) {
		t.Errorf("after an overlong query: %v", err)
	}
	c = dial(t, "udp", "127.0.0.1", "127.0.0.5", port)
	packed, err := query("db.corp.internal A").Pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Conn.Write(packed[:len(packed)-3]); err != nil {
		t.Fatal(err)
	}
	got, err := c.ReadMsg()
	if err != nil || got.Rcode != dns.RcodeFormatError || got.Id != binary.BigEndian.Uint16(packed) {
		t.Errorf("a query that ends early: got %v, %v", got, err)
	}
}

func TestClosingASocketIsNoError(t *testing.T) {
	m := large()
	s := NewServer(directory{m}, New(m))
	conn, l := listen(t, "4", "127.0.0.1")
	_, _ = conn.Close(), l.Close()
	if err := errors.Join(s.ServeUDP(conn), s.ServeTCP(l)); err != nil {
		t.Errorf("closed before they are served: %v", err)
	}
}

func TestClosingTheListenerEndsItsConnections(t *testing.T) {
	m := large()
	s := NewServer(directory{m}, New(m))
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.ServeTCP(l) }()
	c := dial(t, "tcp", "127.0.0.1", "127.0.0.1", netip.MustParseAddrPort(l.Addr().String()).Port())
	if got := exchange(t, c, query("db.corp.internal A")); len(got.Answer) != 1 {
		t.Fatalf("while it is open: %v", got)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("it ends with %v", err)
	}
	if _, err := c.ReadMsg(); !errors.Is(err, io.EOF) {
		t.Errorf("its connection ends with %v", err)
	}
}

// of is a connection whose far end has an address.
type of struct {
	net.Conn
	client netip.Addr
}

func (c *of) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.client, 1)) }

// A client may have so many connections, and another one its own; all of them together have a bound, too.
func TestConnectionsAreBounded(t *testing.T) {
	open := openConns{conns: map[net.Conn]bool{}, clients: map[netip.Addr]int{}}
	add := func(client netip.Addr) (net.Conn, bool) {
		near, _ := net.Pipe()
		conn := &of{near, client}
		return conn, open.add(conn)
	}
	client := netip.MustParseAddr("100.64.0.1")
	var last net.Conn
	for n := range connections {
		if n > 0 && n%each == 0 {
			if _, ok := add(client); ok {
				t.Fatalf("%d connections of one client", open.clients[client])
			}
			client = client.Next()
		}
		conn, ok := add(client)
		if !ok {
			t.Fatalf("only %d connections", len(open.conns))
		}
		last = conn
	}
	if _, ok := add(client.Next()); ok {
		t.Errorf("%d connections", len(open.conns))
	}
	open.remove(last)
	if _, ok := add(client); !ok {
		t.Error("no connection after one has ended")
	}
	for conn := range open.conns {
		open.remove(conn)
	}
	if len(open.clients) != 0 {
		t.Errorf("%v are counted when all have ended", open.clients)
	}
}

// timed is a connection that keeps the deadline it was given.
type timed struct {
	net.Conn
	deadline time.Time
}

func (c *timed) SetDeadline(at time.Time) error {
	c.deadline = at
	return nil
}

func TestConnectionsHaveAnIdleLimit(t *testing.T) {
	m := large()
	near, far := net.Pipe()
	_ = far.Close()
	conn := &timed{Conn: near}
	err := NewServer(directory{m}, New(m)).exchange(conn, netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.1"))
	if !errors.Is(err, io.EOF) {
		t.Errorf("a connection that ends: %v", err)
	}
	if left := time.Until(conn.deadline); left <= 0 || left > idle {
		t.Errorf("the connection may be idle for %v", left)
	}
}

// A query takes a bounded number of allocations, whatever the model's size.
func TestAllocations(t *testing.T) {
	m := large()
	r, c := New(m), from(m, "app")
	packed, err := query("db.corp.internal A").Pack()
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, maxSize)
	if n := testing.AllocsPerRun(100, func() { r.Respond(c, packed, buf, true) }); n > 20 {
		t.Errorf("%v allocations a query", n)
	}
}

// A model may hold what no message can: a label of 64 bytes.
func TestWhatCannotBeSaid(t *testing.T) {
	m := host(lab(network("app", "10.0.0.0/16")), strings.Repeat("a", 64)+".example", "203.0.113.5")
	host(m, strings.Repeat("a", 63)+".example", "203.0.113.6")
	for question, want := range map[string]int{
		"5.113.0.203.in-addr.arpa PTR": dns.RcodeServerFailure,
		"6.113.0.203.in-addr.arpa PTR": dns.RcodeSuccess,
	} {
		packed, err := query(question).SetEdns0(1232, false).Pack()
		if err != nil {
			t.Fatal(err)
		}
		got := new(dns.Msg)
		if err := got.Unpack(New(m).Respond(from(m, "app"), packed, nil, true)); err != nil || got.Rcode != want || len(got.Question) != 1 {
			t.Errorf("%s: got %v, %v", question, got, err)
		}
	}
}

// Queries over loopback from one client with many on the way.
func BenchmarkUDP(b *testing.B) {
	m := large()
	c := dial(b, "udp", "127.0.0.1", "127.0.0.5", serve(b, NewServer(directory{m}, New(m)), "4", "0.0.0.0"))
	packed, err := query("db.corp.internal A").Pack()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		b.Fatal(err)
	}
	answer := make([]byte, 512)
	const window = 32
	b.ReportAllocs()
	b.ResetTimer()
	for sent, heard := 0, 0; heard < b.N; {
		for ; sent < b.N && sent-heard < window; sent++ {
			if _, err := c.Conn.Write(packed); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := c.Conn.Read(answer); err != nil {
			b.Fatal(err)
		}
		heard++
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "queries/s")
}
