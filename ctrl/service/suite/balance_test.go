package suite

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/service/privatelink"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// oneBalancer speaks from an address of the loopback, and its targets are there.
type oneBalancer struct{ *oneCaller }

var speaks = netip.MustParseAddr("127.0.3.3")

func (oneBalancer) Balancer(vpc.ServiceRef, string) (netip.Addr, bool) { return speaks, true }

func (oneBalancer) Target(_ string, addr netip.Addr) (netip.Addr, bool) {
	return addr, addr.IsLoopback()
}

// TestDial: the network is told of both connections before the first packet, and a call that it refuses ends at once, and not when TCP has
// had enough. A listener whose queue is full is one that does not answer.
func TestDial(t *testing.T) {
	consumer := privatelink.Ends{From: netip.MustParseAddrPort("100.64.0.1:40000"), To: netip.MustParseAddrPort("100.96.0.1:80")}
	listener, deaf := listen(t), fullListener(t)
	for _, row := range []struct {
		name    string
		to      netip.AddrPort
		refused bool
		want    error
	}{
		{"a target that answers", listener, false, nil},
		{"one that does not", deaf, true, errRefused},
		{"one where nobody listens", netip.AddrPortFrom(deaf.Addr(), 1), false, unix.ECONNREFUSED},
		{"one that the provider's VPC has not", netip.MustParseAddrPort("10.0.0.1:80"), false, errAny},
	} {
		t.Run(row.name, func(t *testing.T) {
			var joined []privatelink.Ends
			s := &Suite{config: Config{
				Directory: oneBalancer{&oneCaller{}}, Open: func(f func() error) error { return f() },
				Join: func(c, target privatelink.Ends) func() bool {
					joined = append(joined, c, target)
					return func() bool { return row.refused }
				},
			}}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			begun := time.Now()
			conn, err := s.dial(ctx, consumer, service.Caller{}, privatelink.Target{Addr: row.to})
			if !errors.Is(err, row.want) && (row.want != errAny || err == nil) {
				t.Fatalf("got %v, want %v", err, row.want)
			}
			if spent := time.Since(begun); spent > 5*time.Second {
				t.Errorf("it took %v", spent)
			}
			if row.want == errAny {
				return
			}
			if len(joined) != 2 || joined[0] != consumer || joined[1].From.Addr() != speaks || joined[1].From.Port() == 0 || joined[1].To != row.to {
				t.Errorf("the network is told of %v", joined)
			}
			if err != nil {
				return
			}
			if got := conn.LocalAddr().(*net.TCPAddr).AddrPort(); got != joined[1].From {
				t.Errorf("the connection is from %v, and told of is %v", got, joined[1].From)
			}
			conn.Close()
		})
	}
}

// errAny is any error.
var errAny = errors.New("any")

func listen(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// fullListener accepts nobody and has no room for more to wait, so that the kernel drops their SYNs.
func fullListener(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		t.Cleanup(func() { unix.Close(fd) })
		err = errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0))
	}
	if err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(name.(*unix.SockaddrInet4).Port))
	conn, err := net.Dial("tcp4", at.String()) // a queue of 0 holds one
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return at
}
