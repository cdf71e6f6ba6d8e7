package baseline

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	openPort   = 5201
	closedPort = 5202
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("REQUIRE_ROOT") == "1" {
		t.Fatal("REQUIRE_ROOT=1, but the tests do not run as root")
	}
	t.Skip("needs root")
}

// exchange sends a word from client to server over TCP, gets it back and returns the client's address as the server saw it.
func exchange(t *testing.T, b *Bed, port uint16) (netip.AddrPort, error) {
	t.Helper()
	at := netip.AddrPortFrom(b.ServerAddr(), port)
	var l *net.TCPListener
	if err := b.InServer(func() (err error) {
		l, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
		return err
	}); err != nil {
		t.Fatalf("listen: %v", err)
	}
	defer l.Close()

	var c net.Conn
	if err := b.InClient(func() (err error) {
		c, err = net.DialTimeout("tcp", at.String(), 300*time.Millisecond)
		return err
	}); err != nil {
		return netip.AddrPort{}, err
	}
	defer c.Close()
	s, err := l.AcceptTCP()
	if err != nil {
		t.Fatalf("accept: %v", err)
	}
	defer s.Close()

	deadline := time.Now().Add(2 * time.Second)
	if err := errors.Join(c.SetDeadline(deadline), s.SetDeadline(deadline)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len("word"))
	if _, err := c.Write([]byte("word")); err != nil {
		return netip.AddrPort{}, err
	}
	if _, err := io.ReadFull(s, got); err != nil {
		return netip.AddrPort{}, err
	}
	if _, err := s.Write(got); err != nil {
		return netip.AddrPort{}, err
	}
	if _, err := io.ReadFull(c, got); err != nil {
		return netip.AddrPort{}, err
	}
	if string(got) != "word" {
		t.Errorf("sent word, got back %q", got)
	}
	return s.RemoteAddr().(*net.TCPAddr).AddrPort(), nil
}

func timedOut(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// traces is what this process and the machine hold of a bed: descriptors of namespaces, threads elsewhere, links.
func traces(t *testing.T) []string {
	t.Helper()
	home, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	descriptors, _ := filepath.Glob("/proc/self/fd/*")
	for _, d := range descriptors {
		if to, err := os.Readlink(d); err == nil && strings.HasPrefix(to, "net:") {
			seen = append(seen, "descriptor of "+to)
		}
	}
	threads, _ := filepath.Glob("/proc/self/task/*/ns/net")
	for _, th := range threads {
		if in, err := os.Readlink(th); err == nil && in != home {
			seen = append(seen, "thread in "+in)
		}
	}
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		seen = append(seen, "link "+l.Attrs().Name)
	}
	slices.Sort(seen)
	return seen
}

func TestBedsCarryTCPAndLeaveNothing(t *testing.T) {
	needRoot(t)
	for name, build := range map[string]func() (*Bed, error){
		"veth":      NewVeth,
		"kernel":    func() (*Bed, error) { return NewKernel(openPort) },
		"wireguard": NewWireGuard,
	} {
		t.Run(name, func(t *testing.T) {
			before := traces(t)
			b, err := build()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { b.Close() })
			if b.Name() != name {
				t.Errorf("name is %q, want %q", b.Name(), name)
			}
			if slices.Equal(traces(t), before) {
				t.Error("a standing bed shows no trace, so the comparison after Close would prove nothing")
			}
			seen, err := exchange(t, b, openPort)
			if err != nil {
				t.Fatalf("exchange: %v", err)
			}
			if seen.Addr() != clientEnd.Addr() {
				t.Errorf("server saw %v, want the client's own address %v", seen.Addr(), clientEnd.Addr())
			}
			for range 2 {
				if err := b.Close(); err != nil {
					t.Fatalf("close: %v", err)
				}
			}
			if after := traces(t); !slices.Equal(after, before) {
				t.Errorf("left behind:\nbefore %q\nafter  %q", before, after)
			}
		})
	}
}

func TestKernelFiltersWhenNFTIsThere(t *testing.T) {
	needRoot(t)
	b, err := NewKernel(openPort)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	filters := strings.HasSuffix(b.About(), "nftables filter with connection tracking")
	if !filters && !strings.Contains(b.About(), "no filter (") {
		t.Errorf("the label does not say whether the bed filters: %q", b.About())
	}
	if _, err := exchange(t, b, openPort); err != nil {
		t.Errorf("port %d: %v", openPort, err)
	}
	_, err = exchange(t, b, closedPort)
	if filters != timedOut(err) {
		t.Errorf("port %d: got error %v from a bed with %q", closedPort, err, b.About())
	}
}

func TestKernelWithoutNFTForwardsAndSaysSo(t *testing.T) {
	needRoot(t)
	for _, row := range []struct{ nft, label string }{
		{"", "two veth pairs, kernel forwarding, no filter (nft is not installed)"},
		{"/bin/false", "two veth pairs, kernel forwarding, no filter (nft refused: exit status 1)"},
		{"/nowhere/nft", "two veth pairs, kernel forwarding, no filter (nft refused: fork/exec /nowhere/nft: no such file or directory)"},
	} {
		b, err := newKernel(openPort, row.nft)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		if b.About() != row.label {
			t.Errorf("label is %q, want %q", b.About(), row.label)
		}
		if _, err := exchange(t, b, closedPort); err != nil {
			t.Errorf("nft %q: port %d: %v", row.nft, closedPort, err)
		}
	}
}

func TestHalfBuiltBedIsRemoved(t *testing.T) {
	needRoot(t)
	before := traces(t)
	b := &Bed{name: "half"}
	_, err := b.built(func() (err error) {
		if b.client, err = newNamespace(false); err != nil {
			return err
		}
		return b.client.defaultRoute(clientRouterEnd.Addr())
	})
	const want = "build bed half: add default route via 10.77.1.1: network is unreachable"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if after := traces(t); !slices.Equal(after, before) {
		t.Errorf("left behind:\nbefore %q\nafter  %q", before, after)
	}
}

func TestDoRunsInsideTheNamespaceOnly(t *testing.T) {
	needRoot(t)
	ns, err := newNamespace(false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.close() })
	var inside, outside unix.Stat_t
	if err := ns.do(func() error { return unix.Stat("/proc/thread-self/ns/net", &inside) }); err != nil {
		t.Fatal(err)
	}
	if err := unix.Stat("/proc/self/ns/net", &outside); err != nil {
		t.Fatal(err)
	}
	if inside.Ino == outside.Ino {
		t.Error("do ran in the process's own namespace")
	}
}

func TestWithoutRootTheErrorSaysWhatIsNeeded(t *testing.T) {
	if os.Geteuid() == 0 {
		// The test runs once more as nobody.
		again := exec.Command("/proc/self/exe", "-test.v", "-test.run=^TestWithoutRootTheErrorSaysWhatIsNeeded$")
		again.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := again.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestWithoutRoot") {
			t.Errorf("as nobody: %v\n%s", err, out)
		}
		return
	}
	before := traces(t)
	_, err := NewVeth()
	if err == nil || !strings.HasSuffix(err.Error(), "operation not permitted (needs root: CAP_SYS_ADMIN and CAP_NET_ADMIN)") {
		t.Errorf("got %v", err)
	}
	if after := traces(t); !slices.Equal(after, before) {
		t.Errorf("left behind:\nbefore %q\nafter  %q", before, after)
	}
}
