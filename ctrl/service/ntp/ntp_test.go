package ntp

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	reader "github.com/beevik/ntp"

	"github.com/vpclab/vpclab/ctrl/service"
)

// request is a packet of a client: its first byte, and the time that it sends at.
func request(first byte, transmit string) []byte {
	p := make([]byte, size)
	p[0], p[atPoll] = first, 6
	copy(p[atTransmit:], transmit)
	return p
}

func TestAnswers(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 500_000_000, time.UTC)
	a, ok := reply(request(4<<3|client, "8 bytes."), at)
	if !ok {
		t.Fatal("no answer")
	}
	sent(a, at.Add(250*time.Millisecond))
	want := strings.Join([]string{
		"240306ec", "00000000", "00000000", "a9fea97b", // no leap second, version 4, server; stratum 3, poll, precision; delay, dispersion, reference
		"ed4ea8c000000000", hex.EncodeToString([]byte("8 bytes.")), "ed4ea8c080000000", "ed4ea8c0c0000000",
	}, "")
	if got := hex.EncodeToString(a); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestTimesAfter2036BeginAnew(t *testing.T) {
	var b [8]byte
	put(b[:], time.Date(2036, 2, 7, 6, 28, 16, 0, time.UTC)) // RFC 5905, figure 4: the first second of era 1
	if b != [8]byte{} {
		t.Errorf("era 1 begins with %x", b)
	}
}

func TestWhatIsAnswered(t *testing.T) {
	for _, row := range []struct {
		name   string
		packet []byte
		answer bool
	}{
		{"a client of version 4", request(4<<3|client, ""), true},
		{"a client of version 3 that says a leap second", request(3<<6|3<<3|client, ""), true},
		{"a client of version 1", request(1<<3|client, ""), true},
		{"a client with an authenticator", append(request(4<<3|client, ""), make([]byte, 20)...), true},
		{"a client of version 5", request(5<<3|client, ""), false},
		{"a client of version 0", request(client, ""), false},
		{"a server", request(4<<3|server, ""), false},
		{"a peer", request(4<<3|1, ""), false},
		{"a control message", request(2<<3|6, ""), false},
		{"a private message", request(2<<3|7, ""), false},
		{"47 bytes", request(4<<3|client, "")[:47], false},
		{"nothing", nil, false},
	} {
		a, ok := reply(row.packet, time.Unix(0, 0))
		if ok != row.answer {
			t.Errorf("%s: answered: %v", row.name, ok)
		}
		if ok && (a[0]>>3&7 != row.packet[0]>>3&7 || a[0]>>6 != 0) {
			t.Errorf("%s: answered with version and leap %02x", row.name, a[0])
		}
	}
}

// guests knows everybody but one.
type guests struct{ stranger netip.Addr }

func (g guests) Caller(local, remote netip.Addr) (service.Caller, bool) {
	return service.Caller{Via: service.Direct, Service: "time"}, local.IsValid() && remote != g.stranger
}

// serving starts a server at all addresses of a family, whose clock is three hours ahead, and returns its port.
func serving(t *testing.T, network string, known service.Directory) int {
	conn, err := net.ListenUDP(network, nil)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- New(known, func() time.Time { return time.Now().Add(3 * time.Hour) }).Serve(conn) }()
	t.Cleanup(func() {
		conn.Close()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return conn.LocalAddr().(*net.UDPAddr).Port
}

func TestClosingTheSocketIsNoError(t *testing.T) {
	for _, network := range []string{"udp4", "udp6"} {
		conn, err := net.ListenUDP(network, nil)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if err := New(guests{}, time.Now).Serve(conn); err != nil {
			t.Errorf("%s, closed before it is served: %v", network, err)
		}
	}
}

// Another's client, which connects: it hears only the address that it asked.
func TestClientsHearTheAddressThatTheyAsk(t *testing.T) {
	for _, row := range []struct{ network, addr string }{{"udp4", "127.0.0.1"}, {"udp4", "127.0.0.123"}, {"udp6", "::1"}} {
		port := serving(t, row.network, guests{})
		answer, err := reader.QueryWithOptions(net.JoinHostPort(row.addr, fmt.Sprint(port)), reader.QueryOptions{Timeout: 5 * time.Second})
		if err != nil {
			t.Errorf("%s: %v", row.addr, err)
			continue
		}
		if err := answer.Validate(); err != nil {
			t.Errorf("%s: the answer is not valid: %v", row.addr, err)
		}
		if off := answer.ClockOffset - 3*time.Hour; off.Abs() > time.Second || answer.Stratum != 3 || answer.ReferenceString() != "169.254.169.123" {
			t.Errorf("%s: %v from three hours, stratum %d of %s", row.addr, off, answer.Stratum, answer.ReferenceString())
		}
	}
}

// A stranger's request and a malformed one are followed by a right one, so that silence is told from slowness.
func TestStrangersAndNonsenseAreNotAnswered(t *testing.T) {
	port := serving(t, "udp4", guests{stranger: netip.MustParseAddr("127.0.0.9")})
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port)))
	dial := func(from string) *net.UDPConn {
		conn, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0)), to)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	stranger, friend := dial("127.0.0.9"), dial("127.0.0.8")
	stranger.Write(request(4<<3|client, "stranger"))
	friend.Write([]byte("nonsense"))
	friend.Write(request(4<<3|client, "a friend"))

	b := make([]byte, 512)
	friend.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, err := friend.Read(b)
	if err != nil || n != size || string(b[atOriginate:atReceive]) != "a friend" {
		t.Fatalf("the friend got %q, %v", b[:n], err)
	}
	stranger.SetReadDeadline(time.Now().Add(20 * time.Millisecond)) // an answer would have been sent before the friend's
	if n, err := stranger.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the stranger got %d bytes, %v", n, err)
	}
}
