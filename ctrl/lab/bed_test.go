package lab

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/hostnet"
	"github.com/vpclab/vpclab/ctrl/lab/labtest"
	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// needRoot skips a test that builds labs, unless REQUIRE_ROOT=1 says that it must run.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("REQUIRE_ROOT") == "1" {
		t.Fatal("REQUIRE_ROOT=1, and this is not root")
	}
	t.Skip("building labs needs root")
}

// patience is how long a test waits for what it is sure to see.
const patience = 10 * time.Second

// until polls until done, and fails the test if that takes too long.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	if !eventually(done) {
		t.Fatalf("waited %v in vain until %s", patience, what)
	}
}

func eventually(done func() bool) bool { return within(patience, done) }

func within(patience time.Duration, done func() bool) bool {
	beat := time.NewTicker(time.Millisecond)
	defer beat.Stop()
	for deadline := time.Now().Add(patience); !done(); <-beat.C {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// run is what tells this run of the tests from another one on the machine: its process, which children inherit.
var run = cmp.Or(os.Getenv(childVariable), strconv.Itoa(os.Getpid()))

// ours gives a lab, and the program that goneLab runs, names that no other run of the tests uses.
func ours(yaml string) string {
	yaml = strings.Replace(yaml, "\nname: labtest-", "\nname: labtest"+run+"-", 1)
	return strings.Replace(yaml, `[sleep, "86397"]`, `[sleep, "86397.`+run+`"]`, 1)
}

func parse(t testing.TB, yaml string) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse("test.yaml", []byte(ours(yaml)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bed is a running lab and its test.
type bed struct {
	*Lab
	t testing.TB
}

// build starts a scenario's lab, which ends with the test.
func build(t testing.TB, yaml string, offload bool) bed {
	t.Helper()
	needRoot(t)
	return start(t, parse(t, yaml), offload)
}

func start(t testing.TB, s *scenario.Scenario, offload bool) bed {
	t.Helper()
	l, err := Start(context.Background(), s, Options{Offload: offload})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		select {
		case err := <-l.Broken():
			t.Errorf("the lab broke: %v", err)
		default:
		}
	})
	return bed{l, t}
}

// both runs a test with the fast path and without: the results must be the same.
func both(t *testing.T, test func(t *testing.T, offload bool)) {
	t.Run("offload=on", func(t *testing.T) { test(t, true) })
	t.Run("offload=off", func(t *testing.T) { test(t, false) })
}

func node(vpc, name string) scenario.Node { return scenario.Node{VPC: vpc, Name: name} }

// attachmentOf is the first interface of an instance or host.
func (b bed) attachmentOf(n scenario.Node) hostnet.Attachment {
	b.t.Helper()
	return b.attachmentIn(b.namespace(n))
}

func (b bed) attachmentIn(namespace string) hostnet.Attachment {
	b.t.Helper()
	for _, a := range b.plan.Desired.Attachments {
		if a.Namespace == namespace && a.Device == "eth0" {
			return a
		}
	}
	b.t.Fatalf("no attachment in %s", namespace)
	return hostnet.Attachment{}
}

func (b bed) inside(n scenario.Node) labtest.Inside {
	return func(f func() error) error { return b.Do(n, f) }
}

// tap opens an Ethernet tap in a guest.
func (b bed) tap(n scenario.Node) *labtest.Tap {
	b.t.Helper()
	return openTap(b.t, b.inside(n), b.attachmentOf(n))
}

func openTap(t testing.TB, inside labtest.Inside, a hostnet.Attachment) *labtest.Tap {
	t.Helper()
	tap, err := labtest.Open(inside, a.Device, a.MAC, hostnet.RouterMAC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tap.Close)
	return tap
}

// do runs f inside a guest and fails the test if it fails.
func (b bed) do(n scenario.Node, f func() error) {
	b.t.Helper()
	if err := b.Do(n, f); err != nil {
		b.t.Fatal(err)
	}
}

// sysctl sets a network setting of a guest.
func (b bed) sysctl(n scenario.Node, name, value string) {
	b.t.Helper()
	b.do(n, func() error { return os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0) })
}

// silence takes the addresses away from a guest, so that its kernel neither speaks nor answers: what is on the wire is the test's.
func (b bed) silence(n scenario.Node) {
	b.t.Helper()
	if err := silence(b.inside(n)); err != nil {
		b.t.Fatal(err)
	}
}

// silence takes those of eth0 away and, with lo, the prefixes that are local as a whole.
func silence(inside labtest.Inside) error {
	return inside(func() error {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0); err != nil {
			return err
		}
		if err := setDown("lo"); err != nil {
			return err
		}
		for {
			if err := setAddress("eth0", [4]byte{}); err != nil {
				return err
			}
			// A secondary address takes the place of the first one.
			if has, err := hasAddress("eth0"); !has {
				return err
			}
		}
	})
}

// setDown is SIOCSIFFLAGS without IFF_UP.
func setDown(device string) error {
	req, err := unix.NewIfreq(device)
	if err != nil {
		return err
	}
	req.SetUint16(0)
	return ioctl(unix.SIOCSIFFLAGS, req)
}

// hasAddress is SIOCGIFADDR: whether a device has an IPv4 address.
func hasAddress(device string) (bool, error) {
	req, err := unix.NewIfreq(device)
	if err != nil {
		return false, err
	}
	err = ioctl(unix.SIOCGIFADDR, req)
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		return false, nil
	}
	return err == nil, err
}

// setAddress is SIOCSIFADDR; 0.0.0.0 removes the device's address.
func setAddress(device string, addr [4]byte) error {
	req, err := unix.NewIfreq(device)
	if err != nil {
		return err
	}
	if err := req.SetInet4Addr(addr[:]); err != nil {
		return err
	}
	return ioctl(unix.SIOCSIFADDR, req)
}

func ioctl(request uint, req *unix.Ifreq) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.IoctlIfreq(fd, request, req)
}

// tally is what has become of one attachment's packets.
type tally struct {
	delivered engineCount
	dropped   map[flow.Reason]flow.DropCounter
	resets    uint64 // RSTs that the guest's kernel sent for no connection, as for the second answer to a FIN that it had sent twice
}

// engineCount is a number of wire packets and their IP bytes.
type engineCount struct{ Packets, Bytes uint64 }

// tallyOf reads it, queue drops included.
func (b bed) tallyOf(n scenario.Node) tally {
	b.t.Helper()
	s, err := b.Stats()
	if err != nil {
		b.t.Fatal(err)
	}
	index := b.attachmentOf(n).Index
	return tally{delivered: engineCount(s.Delivered[index]), dropped: s.Dropped[index], resets: b.resetsOf(n)}
}

// resetsOf reads the kernel's OutRsts in a guest.
func (b bed) resetsOf(n scenario.Node) (resets uint64) {
	b.t.Helper()
	b.do(n, func() (err error) {
		resets, err = tcpCounter("OutRsts")
		return err
	})
	return resets
}

// tcpCounter reads one of the kernel's counters of TCP in the namespace of the calling thread.
func tcpCounter(name string) (uint64, error) {
	table, err := os.ReadFile("/proc/thread-self/net/snmp")
	if err != nil {
		return 0, err
	}
	var names []string
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		switch {
		case fields[0] != "Tcp:":
		case names == nil:
			names = fields
		default:
			return strconv.ParseUint(fields[slices.Index(names, name)], 10, 64)
		}
	}
	return 0, errors.New("/proc/net/snmp tells nothing of TCP")
}

// lost counts the packets that were dropped for any of the reasons that a guest's own neighbour discovery does not cause.
func (t tally) lost() uint64 {
	var n uint64
	for reason, c := range t.dropped {
		switch reason {
		case flow.DuplicateAddressDetection, flow.Multicast, flow.UnknownNeighbor:
		default:
			n += c.Packets
		}
	}
	return n
}
