package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

// siegeLab has two instances that may ask the same services.
const siegeLab = `
name: labtest-siege
vpcs:
  a:
    cidr: 10.0.0.0/16
    subnets: {p: {cidr: 10.0.0.0/24, az: a, route_table: private}}
    route_tables: {private: {}}
    instances:
      enemy: {subnet: p, ip: 10.0.0.66}
      friend: {subnet: p, ip: 10.0.0.10}
    endpoints: {s3: {type: gateway, service: s3, route_tables: [private]}}
internet: {hosts: {h: {ip: 203.0.113.80, names: [example.com]}}}
services:
  s3:
    buckets:
      open: {policy: {Version: "2012-10-17", Statement: [{Effect: Allow, Principal: "*", Action: "s3:*", Resource: "*"}]}}
`

var (
	enemyNode  = node("a", "enemy")
	friendNode = node("a", "friend")
)

// TestServicesUnderSiege: whatever an instance does to the services' sockets, it gets an end or an error, the lab has memory and files left,
// and another instance is served.
func TestServicesUnderSiege(t *testing.T) {
	b := build(t, siegeLab, true)
	service, _ := vpc.FindService("s3")
	s3 := service.Addr(vpc.DefaultRegion).String()
	before := heap()
	for _, row := range []struct{ what, to, send, want string }{
		{"a head of a megabyte", s3 + ":80", "GET /open/x HTTP/1.1\r\nHost: s3.amazonaws.com\r\nX-Long: " + strings.Repeat("x", 1<<20), "HTTP/1.1 431 "},
		{"a million headers", s3 + ":80", "GET /open/x HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", 1_000_000), "HTTP/1.1 431 "},
		{"HTTP/2", s3 + ":80", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 "},
		{"no HTTP", s3 + ":80", "\x00\x01\x02\r\n\r\n", "HTTP/1.1 400 "},
		{"a header without a name", s3 + ":80", "GET / HTTP/1.1\r\nHost: s3.amazonaws.com\r\n: x\r\n\r\n", "HTTP/1.1 400 "},
		{"two lengths", s3 + ":80", "PUT /open/x HTTP/1.1\r\nHost: s3.amazonaws.com\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "HTTP/1.1 400 "},
		{"a length below zero", s3 + ":80", "PUT /open/x HTTP/1.1\r\nHost: s3.amazonaws.com\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 400 "},
		{"a length and chunks", s3 + ":80", "PUT /open/x HTTP/1.1\r\nHost: s3.amazonaws.com\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", "HTTP/1.1 4"},
		{"a path above", s3 + ":80", "GET /../../etc/passwd HTTP/1.1\r\nHost: s3.amazonaws.com\r\n\r\n", "HTTP/1.1 403 "},
		{"no TLS", s3 + ":443", "GET / HTTP/1.1\r\n\r\n", "HTTP/1.0 400 "},
		{"garbage for TLS", s3 + ":443", "\x16\x03\x01\xff\xff" + strings.Repeat("\xff", 1<<16), "\x15\x03"},
		{"metadata by another method", "169.254.169.254:80", "BREW / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 405 "},
		{"a query that is none", "10.0.0.2:53", "\x00\x0c" + strings.Repeat("\xff", 12), ""},
		{"a query of 65,535 bytes", "10.0.0.2:53", "\xff\xff", ""},
	} {
		if got := b.provoke(row.to, row.send); !strings.HasPrefix(got, row.want) || row.want == "" && got != "" {
			t.Errorf("%s: %.300q, want %q", row.what, got, row.want)
		}
	}

	hold := func(what, to, send string, n int) {
		t.Helper()
		for range n {
			if _, err := b.besiege(to, send); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
	hold("heads that do not end", s3+":80", "GET /open/x HTTP/1.1\r\nHost: s3.amazonaws.com\r\nX-Slow: ", 200)
	hold("handshakes that do not end", s3+":443", "\x16\x03\x01\x02\x00\x01", 200)
	hold("bodies that do not come", s3+":80", "PUT /open/x HTTP/1.1\r\nHost: s3.amazonaws.com\r\nContent-Length: 4294967296\r\n\r\nx", 400)
	hold("half a length", "10.0.0.2:53", "\x00", 60)
	refused := 0
	for range 2000 {
		if _, err := b.besiege(s3+":80", ""); errors.Is(err, syscall.ECONNRESET) {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if refused == 0 {
		t.Error("one instance may have as many connections as it likes")
	}
	t.Logf("of 2000 idle connections %d were reset at once; the heap grew from %d to %d MB", refused, before>>20, heap()>>20)

	for range 3 {
		b.served(s3)
	}
	if now := heap(); now > before+256<<20 {
		t.Errorf("the heap grew from %d to %d MB", before>>20, now>>20)
	}
}

// heap is how many bytes this process, in which the services run, has allocated.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// besiege connects as the enemy, sends something, and leaves the connection open.
func (b bed) besiege(to, send string) (conn net.Conn, err error) {
	b.t.Helper()
	err = b.Do(enemyNode, func() (err error) {
		conn, err = net.DialTimeout("tcp", to, patience)
		return err
	})
	if err != nil {
		return nil, err
	}
	b.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	_, err = io.WriteString(conn, send)
	return conn, err
}

// provoke is what comes back until the connection ends or nothing comes. Who sends on to an end may lose the answer to a reset, and
// reads what came before.
func (b bed) provoke(to, send string) string {
	b.t.Helper()
	conn, err := b.besiege(to, "")
	if err != nil {
		b.t.Fatal(err)
	}
	go io.WriteString(conn, send) // the other end may have had enough
	buf := make([]byte, 1024)
	n, err := io.ReadAtLeast(conn, buf, 1)
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		b.t.Errorf("nothing came from %s, and no end", to)
	}
	conn.Close()
	return string(buf[:n])
}

// served checks that the friend has an answer of every service.
func (b bed) served(s3 string) {
	b.t.Helper()
	for _, network := range []string{"udp", "tcp"} {
		var answer *dns.Msg
		b.do(friendNode, func() (err error) {
			c := dns.Client{Net: network, Timeout: patience}
			answer, _, err = c.Exchange(new(dns.Msg).SetQuestion("example.com.", dns.TypeA), "10.0.0.2:53")
			return err
		})
		if len(answer.Answer) != 1 {
			b.t.Errorf("the resolver answers over %s: %v", network, answer)
		}
	}
	for url, want := range map[string]int{"http://169.254.169.254/latest/meta-data/instance-id": 200, "http://" + s3 + "/open/none": 404} {
		b.do(friendNode, func() error {
			conn, err := net.DialTimeout("tcp", strings.Split(url, "/")[2]+":80", patience)
			if err != nil {
				return err
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
				return err
			}
			request, err := http.NewRequest(http.MethodGet, url, nil)
			if err != nil {
				return err
			}
			if err := request.Write(conn); err != nil {
				return err
			}
			answer, err := http.ReadResponse(bufio.NewReader(conn), request)
			if err != nil {
				return err
			}
			if answer.StatusCode != want {
				return fmt.Errorf("%s: %s", url, answer.Status)
			}
			return nil
		})
	}
}
