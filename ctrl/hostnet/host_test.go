package hostnet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// needRoot skips a test that changes the kernel, unless REQUIRE_ROOT=1 says that it must run.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("REQUIRE_ROOT") == "1" {
		t.Fatal("REQUIRE_ROOT=1, and this is not root")
	}
	t.Skip("needs root")
}

func openLab(t testing.TB, lab string) *Host {
	t.Helper()
	needRoot(t)
	before := traces(t, lab)
	h, err := Open(lab)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if after := traces(t, lab); !slices.Equal(after, before) {
			t.Errorf("left behind:\n%s", strings.Join(after, "\n"))
		}
	})
	return h
}

func apply(t testing.TB, h *Host, d Desired) Changes {
	t.Helper()
	if err := h.Apply(context.Background(), d); err != nil {
		t.Fatal(err)
	}
	return h.Changes()
}

// traces lists everything on the machine that carries the lab's stamp: names, mounts, state, links of this namespace, processes.
func traces(t testing.TB, lab string) []string {
	t.Helper()
	var list []string
	names, err := filepath.Glob(namespaceDir + "/" + stampOf(lab) + "*")
	if err != nil {
		t.Fatal(err)
	}
	list = append(list, names...)
	files, err := filepath.Glob(netnsConf + "/" + stampOf(lab) + "*")
	if err != nil {
		t.Fatal(err)
	}
	list = append(list, files...)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(mounts), "\n") {
		if strings.Contains(line, stampOf(lab)) || strings.Contains(line, "/vpclab/"+lab) {
			list = append(list, "mount "+line)
		}
	}
	if _, err := os.Lstat(filepath.Join(stateRoot, lab)); err == nil {
		list = append(list, "state of "+lab)
	}
	links, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		t.Fatal(err)
	}
	for _, l := range links {
		if l.Attrs().Alias == aliasOf(lab) {
			list = append(list, "link "+l.Attrs().Name)
		}
	}
	return list
}

// desired is a lab of guests a, b, … with one interface each in 10.0.0.0/24 and 2600:1f18:0:1::/64.
func desired(lab string, guests int) Desired {
	d := Desired{Lab: lab}
	for i := range guests {
		d.Guests = append(d.Guests, Guest{
			Namespace: stampOf(lab) + fmt.Sprintf("app.g%d", i),
			Resolver:  []netip.Addr{netip.MustParseAddr("10.0.0.2")}, Search: "ec2.internal",
		})
		d.Attachments = append(d.Attachments, attachment(d, i, "eth0", uint32(i+1), byte(10+i)))
	}
	return d
}

func attachment(d Desired, guest int, device string, index uint32, host byte) Attachment {
	return Attachment{
		Index: index, Namespace: d.Guests[guest].Namespace, Device: device, MAC: MAC{2, 0, 0, 0, byte(index), host}, MTU: 9001,
		Addrs: []netip.Prefix{
			netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, host}), 24),
			netip.PrefixFrom(netip.AddrFrom16([16]byte{0x26, 0, 0x1f, 0x18, 0, 0, 0, 1, 15: host}), 64),
		},
		Router4: netip.MustParseAddr("10.0.0.1"), Router6: netip.MustParseAddr("fe80::1"), Default: true,
	}
}

func nicIn(t testing.TB, h *Host, namespace, device string) (n nic) {
	t.Helper()
	err := h.InGuest(namespace, func() error {
		nh, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer nh.Close()
		l, err := nh.LinkByName(device)
		if err != nil {
			return err
		}
		if n, err = observeAddrs(nh, l); err != nil {
			return err
		}
		n.Device = deviceOf(l, device0)
		if n.Rules, err = observeRules(nh); err != nil {
			return err
		}
		n.Routes, err = observeRoutes(nh, l)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var device0 = device{}

func readIn(t testing.TB, h *Host, namespace, path string) string {
	t.Helper()
	var text []byte
	err := h.InGuest(namespace, func() (err error) {
		text, err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func TestApplyBuildsWhatIsWantedAndASecondChangesNothing(t *testing.T) {
	h := openLab(t, "hostnettest-apply")
	d := desired(h.lab, 3)
	d.Guests[0].Forward = true
	second := attachment(d, 0, "eth1", 9, 99)
	second.Default, second.Table = false, 10001
	second.Addrs[0] = netip.MustParsePrefix("10.0.7.9/24")
	second.Router4 = netip.MustParseAddr("10.0.7.1")
	d.Attachments = append(d.Attachments, second)
	host := Guest{Namespace: stampOf(h.lab) + "internet.www"}
	d.Guests = append(d.Guests, host)
	d.Attachments = append(d.Attachments, Attachment{
		Index: 20, Namespace: host.Namespace, Device: "eth0", MAC: MAC{2, 0, 0, 0, 0, 20}, MTU: 1500, Default: true,
		Addrs:   []netip.Prefix{netip.MustParsePrefix("203.0.113.80/32"), netip.MustParsePrefix("2001:db8::80/128")},
		Router4: netip.MustParseAddr("169.254.0.1"), Router6: netip.MustParseAddr("fe80::1"),
	})

	if n := apply(t, h, d); n.Namespaces != 4 || n.Links != 10 || n.Files != 3 {
		t.Errorf("first apply made %+v, want 4 namespaces, 10 links and 3 files", n)
	}
	if n := apply(t, h, d); n.Total() != 0 {
		t.Errorf("second apply changed %+v", n)
	}
	if got := h.NextIndex(); got != 21 {
		t.Errorf("next index is %d, want 21", got)
	}

	app := d.Guests[0].Namespace
	if n := nicIn(t, h, app, "eth0"); n.Device.MTU != 9001 || !n.Device.Up || n.Device.MAC != d.Attachments[0].MAC ||
		!slices.Contains(n.Addrs, netip.MustParsePrefix("10.0.0.10/24")) ||
		!slices.Contains(n.Routes, route{netip.MustParsePrefix("0.0.0.0/0"), d.Attachments[0].Router4, mainTable}) ||
		!slices.Contains(n.Routes, route{netip.MustParsePrefix("10.0.0.0/24"), netip.Addr{}, mainTable}) ||
		!slices.Contains(n.Routes, route{netip.MustParsePrefix("::/0"), d.Attachments[0].Router6, mainTable}) {
		t.Errorf("eth0 of the instance is %+v", n)
	}
	n := nicIn(t, h, app, "eth1")
	for _, r := range n.Routes {
		if r.Table == mainTable && r.To.Bits() == 0 {
			t.Errorf("the second interface has a default route in the main table: %s", r)
		}
	}
	if !slices.Contains(n.Routes, route{netip.MustParsePrefix("0.0.0.0/0"), second.Router4, 10001}) ||
		!slices.Contains(n.Rules, rule{netip.MustParseAddr("10.0.7.9"), 10001}) || len(n.Rules) != 2 {
		t.Errorf("eth1 of the instance is %+v", n)
	}
	if n := nicIn(t, h, host.Namespace, "eth0"); n.Device.MTU != 1500 ||
		!slices.Contains(n.Routes, route{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("169.254.0.1"), mainTable}) {
		t.Errorf("eth0 of the internet host is %+v", n)
	}
	for path, want := range map[string]string{
		"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1", "ipv6/conf/eth0/accept_ra": "0", "ipv6/conf/eth1/accept_dad": "0",
		"ipv4/conf/eth0/rp_filter": "0", "ipv4/conf/eth0/accept_local": "0", "ipv6/ip_nonlocal_bind": "0",
		"ipv4/conf/eth0/send_redirects": "0", "ipv4/conf/all/send_redirects": "0",
	} {
		if got := readIn(t, h, app, "/proc/sys/net/"+path); got != want {
			t.Errorf("%s of the forwarding guest is %s, want %s", path, got, want)
		}
	}
	if got := readIn(t, h, d.Guests[1].Namespace, "/proc/sys/net/ipv4/ip_forward"); got != "0" {
		t.Errorf("ip_forward of a plain guest is %s", got)
	}

	ports, ok := h.Ports(20)
	if !ok {
		t.Fatal("attachment 20 has no ports")
	}
	err := h.inFabric(func(nh *netlink.Handle) error {
		veth, err := nh.LinkByIndex(int(ports.Veth))
		if err != nil {
			return err
		}
		tun, err := nh.LinkByIndex(int(ports.TUN))
		if err != nil {
			return err
		}
		if veth.Attrs().Name != "e20" || tun.Attrs().Name != "t20" || tun.Attrs().TxQLen != 4096 || tun.Attrs().GSOMaxSegs != 64 {
			t.Errorf("ports are %+v and %+v", veth.Attrs(), tun.Attrs())
		}
		qdiscs, err := nh.QdiscList(tun)
		if len(qdiscs) != 1 || qdiscs[0].Type() != "noqueue" {
			t.Errorf("the TUN queues by %v", qdiscs)
		}
		_, noIPv6 := os.Stat("/proc/sys/net/ipv6/conf/t20")
		if text, _ := os.ReadFile("/proc/sys/net/ipv6/conf/t20/disable_ipv6"); noIPv6 == nil && strings.TrimSpace(string(text)) != "1" {
			t.Error("IPv6 is on in the fabric")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestApplyFollowsChanges(t *testing.T) {
	h := openLab(t, "hostnettest-change")
	d := desired(h.lab, 3)
	apply(t, h, d)
	kept, _ := h.Ports(1)

	// One instance gets another address and MTU, one becomes an appliance, one goes, and a new one comes under the same name as none.
	changed := desired(h.lab, 4)
	changed.Guests = append(changed.Guests[:2:2], changed.Guests[3])
	changed.Attachments = append(changed.Attachments[:2:2], changed.Attachments[3])
	changed.Guests[1].Forward = true
	changed.Attachments[0].Addrs = []netip.Prefix{netip.MustParsePrefix("10.0.0.77/24"), netip.MustParsePrefix("10.0.0.78/24")}
	changed.Attachments[0].MTU = 1500
	changed.Attachments[1].Router4 = netip.MustParseAddr("10.0.0.2")
	gone, goneTUN := d.Guests[2].Namespace, 0
	if fd, err := h.TakeTUN(3); err != nil {
		t.Fatal(err)
	} else {
		goneTUN = fd
	}
	apply(t, h, changed)

	if ports, _ := h.Ports(1); ports != kept {
		t.Errorf("an attachment that stays had ports %+v and has %+v", kept, ports)
	}
	n := nicIn(t, h, d.Guests[0].Namespace, "eth0")
	v4 := slices.DeleteFunc(n.Addrs, func(p netip.Prefix) bool { return p.Addr().Is6() })
	if !slices.Equal(v4, changed.Attachments[0].Addrs) || n.Device.MTU != 1500 {
		t.Errorf("the changed interface is %+v", n)
	}
	if want := (route{netip.MustParsePrefix("0.0.0.0/0"), d.Attachments[0].Router4, mainTable}); !slices.Contains(n.Routes, want) {
		t.Errorf("the changed interface lost its default route: %+v", n)
	}
	n = nicIn(t, h, d.Guests[1].Namespace, "eth0")
	defaults := slices.DeleteFunc(n.Routes, func(r route) bool { return r.To != netip.MustParsePrefix("0.0.0.0/0") })
	if len(defaults) != 1 || defaults[0].Via != changed.Attachments[1].Router4 {
		t.Errorf("default routes by another router are %v", defaults)
	}
	if got := readIn(t, h, d.Guests[1].Namespace, "/proc/sys/net/ipv4/ip_forward"); got != "1" {
		t.Error("the appliance does not forward")
	}
	if got := readIn(t, h, d.Guests[1].Namespace, "/proc/sys/net/ipv4/conf/eth0/send_redirects"); got != "0" {
		t.Error("the appliance sends redirects")
	}
	if _, ok := h.Ports(3); ok {
		t.Error("the removed attachment still has ports")
	}
	if _, ok := h.Ports(4); !ok {
		t.Error("the new attachment has no ports")
	}
	if _, err := os.Stat(namespacePath(gone)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the removed instance's name: %v", err)
	}
	if err := h.InGuest(gone, func() error { return nil }); err == nil || !strings.Contains(err.Error(), "no such guest") {
		t.Errorf("entering a removed instance: %v", err)
	}
	// The reader of a TUN that was taken learns that it is gone.
	poll := []unix.PollFd{{Fd: int32(goneTUN), Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, 0); n != 1 || err != nil {
		t.Errorf("poll of a removed TUN: %d, %v", n, err)
	}
	if _, err := unix.Read(goneTUN, make([]byte, 2000)); !errors.Is(err, unix.EBADFD) {
		t.Errorf("read of a removed TUN: %v", err)
	}
	unix.Close(goneTUN)

	if n := apply(t, h, changed); n.Total() != 0 {
		t.Errorf("another apply changed %+v", n)
	}
	// Its index is spent.
	err := h.Apply(context.Background(), d)
	if err == nil || !strings.Contains(err.Error(), "attachment 3 ("+gone+" eth0): its index belonged to an attachment that is gone") {
		t.Errorf("reuse of an index: %v", err)
	}
}

func TestApplyReplacesADeviceUnderItsName(t *testing.T) {
	h := openLab(t, "hostnettest-replace")
	d := desired(h.lab, 1)
	apply(t, h, d)
	moved := d.Attachments[0]
	moved.Index, moved.Addrs = 2, []netip.Prefix{netip.MustParsePrefix("10.0.9.4/24")}
	moved.Router4, moved.Router6 = netip.MustParseAddr("10.0.9.1"), netip.Addr{}
	apply(t, h, Desired{Lab: h.lab, Guests: d.Guests, Attachments: []Attachment{moved}})
	if n := nicIn(t, h, moved.Namespace, "eth0"); !slices.Contains(n.Addrs, moved.Addrs[0]) {
		t.Errorf("the new interface is %+v", n)
	}
	if _, ok := h.Ports(1); ok {
		t.Error("the old interface still has ports")
	}
}

func TestApplyPutsRightWhatAGuestBroke(t *testing.T) {
	h := openLab(t, "hostnettest-repair")
	d := desired(h.lab, 2)
	apply(t, h, d)
	broken := d.Guests[0].Namespace
	own := netip.MustParsePrefix("192.0.2.1/24")
	err := h.InGuest(broken, func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return errors.Join(netlink.AddrAdd(l, addrOf(own)), netlink.AddrDel(l, addrOf(d.Attachments[0].Addrs[0])),
			os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0))
	})
	if err == nil {
		err = removeNamespace(d.Guests[1].Namespace)
	}
	if err == nil {
		err = h.inFabric(func(nh *netlink.Handle) error {
			l, err := nh.LinkByName("t2")
			if err != nil {
				return err
			}
			return nh.LinkDel(l)
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	old, _ := h.Ports(2)
	n := apply(t, h, d)
	if n.Namespaces != 1 || n.Links != 1 || n.Sysctls == 0 || n.Guests == 0 {
		t.Errorf("repair changed %+v", n)
	}
	have := nicIn(t, h, broken, "eth0")
	if !slices.Contains(have.Addrs, d.Attachments[0].Addrs[0]) || !slices.Contains(have.Addrs, own) {
		t.Errorf("after the repair the guest has %v", have.Addrs)
	}
	if _, err := os.Stat(namespacePath(d.Guests[1].Namespace)); err != nil {
		t.Error(err)
	}
	if ports, ok := h.Ports(2); !ok || ports.TUN == old.TUN || ports.FD < 0 {
		t.Errorf("the new TUN is %+v, the old one was %+v", ports, old)
	}
	if n := apply(t, h, d); n.Total() != 0 {
		t.Errorf("after the repair another apply changed %+v", n)
	}
}

// Packets leave a guest at its eN, and equal addresses in two guests do not see each other.
func TestGuestsAreIsolatedAndMayShareAddresses(t *testing.T) {
	h := openLab(t, "hostnettest-equal")
	d := desired(h.lab, 2)
	d.Attachments[1].Addrs = d.Attachments[0].Addrs
	apply(t, h, d)
	var conns [2]net.PacketConn
	for i, g := range d.Guests {
		err := h.InGuest(g.Namespace, func() (err error) {
			conns[i], err = net.ListenPacket("udp", "10.0.0.10:5000")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer conns[i].Close()
	}
	// The socket of guest 0 sends to the address that both have: it reaches itself.
	if _, err := conns[0].WriteTo([]byte("mine"), conns[0].LocalAddr()); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16)
	if err := conns[0].SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, _, err := conns[0].ReadFrom(buf); err != nil || string(buf[:n]) != "mine" {
		t.Errorf("read %q, %v", buf[:n], err)
	}
	if err := conns[1].SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, _, err := conns[1].ReadFrom(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the other guest read %q, %v", buf[:n], err)
	}
}

func TestInGuestServesManyCallersAndRestoresThreads(t *testing.T) {
	h := openLab(t, "hostnettest-threads")
	d := desired(h.lab, 2)
	apply(t, h, d)
	home, err := identityOf("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]identity{}
	for _, g := range d.Guests {
		if want[g.Namespace], err = identityOf(namespacePath(g.Namespace)); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for i := range 2000 {
		wg.Go(func() {
			ns := d.Guests[i%2].Namespace
			var got identity
			err := h.InGuest(ns, func() (err error) {
				runtime.Gosched()
				got, err = identityOf("/proc/thread-self/ns/net")
				return err
			})
			if err != nil || got != want[ns] {
				t.Errorf("in %s: %v, %v", ns, got, err)
			}
			if got, err := identityOf("/proc/thread-self/ns/net"); err != nil || got != home {
				t.Errorf("after the call: %v, %v", got, err)
			}
		})
	}
	wg.Wait()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		if got, err := identityOf("/proc/self/task/" + task.Name() + "/ns/net"); err == nil && got != home {
			t.Errorf("thread %s stayed in a namespace", task.Name())
		}
	}
	if err := h.InGuest(d.Guests[0].Namespace, func() error { runtime.Goexit(); return nil }); !errors.Is(err, errGoexit) {
		t.Errorf("a function that exits: %v", err)
	}
	cause := errors.New("cause")
	if err := h.InFabric(func() error { return cause }); !errors.Is(err, cause) {
		t.Errorf("a function that fails: %v", err)
	}
}

func TestTwoLabsAtOnce(t *testing.T) {
	one, two := openLab(t, "hostnettest-one"), openLab(t, "hostnettest-two")
	apply(t, one, desired(one.lab, 2))
	apply(t, two, desired(two.lab, 2))
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if n := apply(t, two, desired(two.lab, 2)); n.Total() != 0 {
		t.Errorf("closing one lab changed the other: %+v", n)
	}
	if err := one.Apply(context.Background(), desired(one.lab, 2)); err == nil || err.Error() != "apply: lab is closed" {
		t.Errorf("apply to a closed lab: %v", err)
	}
	if err := one.InFabric(func() error { return nil }); !errors.Is(err, errClosed) {
		t.Errorf("entering a closed lab: %v", err)
	}
}

func TestALabInUseSaysByWhom(t *testing.T) {
	h := openLab(t, "hostnettest-use")
	for what, f := range map[string]func() error{
		"open": func() error { _, err := Open(h.lab); return err },
		"down": func() error { return Down(h.lab) },
	} {
		err := f()
		var inUse *InUseError
		if !errors.As(err, &inUse) || inUse.PID != os.Getpid() || inUse.Lab != h.lab {
			t.Errorf("%s: %v", what, err)
			continue
		}
		want := fmt.Sprintf("lab hostnettest-use is in use by process %d of %s (%s", os.Getpid(), userName(), os.Args[0])
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s says %q, want %q in it", what, err, want)
		}
	}
	left, err := Leftovers()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(left, func(l Leftover) bool { return l.Lab == h.lab })
	if i < 0 || !left[i].Alive || left[i].PID != os.Getpid() {
		t.Errorf("leftovers are %+v", left)
	}
}

func TestCloseKillsProcessesOfTheLab(t *testing.T) {
	h := openLab(t, "hostnettest-kill")
	d := desired(h.lab, 1)
	apply(t, h, d)
	cmd := exec.Command("sleep", "600")
	if err := h.InGuest(d.Guests[0].Namespace, cmd.Start); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		cmd.Process.Kill()
		t.Error("the process lives on")
	}
	if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signal() != syscall.SIGKILL {
		t.Errorf("the process ended by %v", ws)
	}
}

func TestCloseDuringApply(t *testing.T) {
	h := openLab(t, "hostnettest-during")
	d := desired(h.lab, 60)
	applied := make(chan error, 1)
	go func() { applied <- h.Apply(context.Background(), d) }()
	waitFor(t, "the first guest", func() bool { return len(traces(t, h.lab)) > 6 })
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if err := <-applied; err == nil || !errors.Is(err, context.Canceled) {
		t.Errorf("the apply ended with %v", err)
	}
	if err := h.Close(); err != nil {
		t.Errorf("a second close: %v", err)
	}
}

func TestApplyEndsWithItsContext(t *testing.T) {
	h := openLab(t, "hostnettest-context")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := h.Apply(ctx, desired(h.lab, 2)); !errors.Is(err, context.Canceled) {
		t.Errorf("apply: %v", err)
	}
	// The next one goes on from there.
	apply(t, h, desired(h.lab, 2))
}

func waitFor(t testing.TB, what string, ready func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !ready() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s did not come", what)
		}
	}
}

// TestMain lets the test binary play the process that is killed.
func TestMain(m *testing.M) {
	if lab := os.Getenv("HOSTNET_TEST_NEIGHBOUR"); lab != "" {
		neighbour(lab)
	}
	if lab := os.Getenv("HOSTNET_TEST_ETC"); lab != "" {
		withoutResolvConf(lab)
	}
	if lab := os.Getenv("HOSTNET_TEST_CHILD"); lab != "" {
		child(lab)
	}
	os.Exit(m.Run())
}

// child builds a lab bit by bit, says so, and never ends by itself.
func child(lab string) {
	if files, err := strconv.ParseUint(os.Getenv("HOSTNET_TEST_FILES"), 10, 64); err == nil {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: files, Max: files}); err != nil {
			fmt.Println(err)
		}
	}
	h, err := Open(lab)
	for n := 1; err == nil; n++ {
		err = h.Apply(context.Background(), desired(lab, n))
		fmt.Println("built", n)
	}
	fmt.Println(err)
	os.Exit(1)
}

// neighbour opens a lab on a machine of its own where nobody has used `ip netns` before, does what iproute2 does for the first
// name while the lab is up, and closes the lab.
func neighbour(lab string) {
	before, err := os.ReadFile("/proc/self/mountinfo")
	if err == nil {
		err = unix.Mount("run", "/run", "tmpfs", 0, "")
	}
	if err == nil && strings.HasSuffix(lab, "-late") {
		err = errors.Join(os.Mkdir(namespaceDir, 0o755), os.WriteFile(namespacePath("other"), nil, 0o600))
	}
	var h *Host
	if err == nil {
		h, err = Open(lab)
	}
	if err == nil && !strings.HasSuffix(lab, "-late") {
		err = unix.Mount("", namespaceDir, "none", unix.MS_SHARED|unix.MS_REC, "")
		if err == unix.EINVAL {
			err = unix.Mount(namespaceDir, namespaceDir, "none", unix.MS_BIND|unix.MS_REC, "")
		}
	}
	if err == nil && strings.HasSuffix(lab, "-named") {
		err = os.WriteFile(namespacePath("other"), nil, 0o600)
	}
	if err == nil {
		err = h.Close()
	}
	mounts, readErr := os.ReadFile("/proc/self/mountinfo")
	for _, line := range strings.Split(string(mounts), "\n") {
		if strings.Contains(line, namespaceDir) && !strings.Contains(string(before), line) {
			fmt.Println("mounted:", strings.Fields(line)[4])
		}
	}
	names, _ := filepath.Glob(namespacePath("*"))
	fmt.Println("names:", names, "errors:", errors.Join(err, readErr))
	os.Exit(0)
}

// Somebody else's first `ip netns add` while a lab is up must not keep the lab from being removed.
func TestNamesOfOthersDoNotHoldALab(t *testing.T) {
	needRoot(t)
	for lab, want := range map[string]string{
		"hostnettest-beside-named": "mounted: /run/netns\nnames: [/run/netns/other] errors: <nil>\n",
		"hostnettest-beside-late":  "names: [/run/netns/other] errors: <nil>\n", // nothing is mounted over names that are there
		"hostnettest-beside":       "names: [] errors: <nil>\n",
	} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "HOSTNET_TEST_NEIGHBOUR="+lab)
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS} // which also mounts / private
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("%s: %v\n%swant\n%s", lab, err, out, want)
		}
	}
}

// killedAfter starts a child that builds, and kills it once it has built that many guests, while it builds the next.
func killedAfter(t *testing.T, lab string, guests int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HOSTNET_TEST_CHILD="+lab)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	// Not waited for before the test ends: who cleans up meets a process that is still dying.
	t.Cleanup(func() { cmd.Wait() })
	defer cmd.Process.Kill()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == fmt.Sprintf("built %d", guests) {
			return
		}
		if !strings.HasPrefix(lines.Text(), "built ") {
			t.Fatal(lines.Text())
		}
	}
	t.Fatal("the child ended early")
}

func TestDownCleansAfterKill(t *testing.T) {
	needRoot(t)
	const lab = "hostnettest-dead"
	for _, guests := range []int{1, 4, 9} {
		before := traces(t, lab)
		killedAfter(t, lab, guests)
		if len(traces(t, lab)) < guests {
			t.Fatal("the killed lab left nothing to clean")
		}
		left, err := Leftovers()
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(left, func(l Leftover) bool { return l.Lab == lab })
		if i < 0 || left[i].Alive || len(left[i].Namespaces) <= guests {
			t.Errorf("leftovers are %+v", left)
		}
		if err := Down(lab); err != nil {
			t.Error(err)
		}
		if after := traces(t, lab); !slices.Equal(before, after) {
			t.Errorf("after down:\n%s", strings.Join(after, "\n"))
		}
	}
	if err := Down(lab); err != nil {
		t.Errorf("down of a lab that is not there: %v", err)
	}
}

func TestOpenCleansAfterKill(t *testing.T) {
	needRoot(t)
	killedAfter(t, "hostnettest-again", 3)
	h := openLabAgain(t, "hostnettest-again")
	if n := apply(t, h, desired(h.lab, 2)); n.Namespaces != 2 {
		t.Errorf("the new lab made %+v", n)
	}
	if names := traces(t, h.lab); slices.ContainsFunc(names, func(s string) bool { return strings.HasSuffix(s, "app.g2") }) {
		t.Errorf("the dead lab's guest is still there: %v", names)
	}
}

func openLabAgain(t *testing.T, lab string) *Host {
	t.Helper()
	h, err := Open(lab)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if after := traces(t, lab); len(after) != 0 {
			t.Errorf("left behind:\n%s", strings.Join(after, "\n"))
		}
	})
	return h
}

// A namespace without any state, and a name without a namespace, are left over as well.
func TestDownFindsNamespacesWithoutState(t *testing.T) {
	needRoot(t)
	const lab = "hostnettest-stateless"
	t.Cleanup(func() {
		if err := Down(lab); err != nil {
			t.Error(err)
		}
	})
	ns, err := createNamespace(stampOf(lab) + "app.web")
	if err != nil {
		t.Fatal(err)
	}
	ns.Close()
	if err := os.WriteFile(namespacePath(stampOf(lab)+"app.half"), nil, 0o444); err != nil {
		t.Fatal(err)
	}
	left, err := Leftovers()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(left, func(l Leftover) bool { return l.Lab == lab })
	if i < 0 || left[i].Alive || len(left[i].Namespaces) != 2 {
		t.Errorf("leftovers are %+v", left)
	}
	if err := Down(lab); err != nil {
		t.Fatal(err)
	}
	if after := traces(t, lab); len(after) != 0 {
		t.Errorf("after down:\n%s", strings.Join(after, "\n"))
	}
}

// Somebody may mount the machine's own namespace under a stamped name: the name goes, and what lives there is not touched.
func TestDownSparesTheMachinesOwnNamespace(t *testing.T) {
	needRoot(t)
	const lab = "hostnettest-spare"
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if err := nameNamespace(own, FabricNamespace(lab)); err != nil {
		t.Fatal(err)
	}
	spaces, err := openAll([]string{FabricNamespace(lab)})
	if err != nil || len(spaces.files) != 0 || len(spaces.identities) != 0 {
		t.Fatalf("it is taken for the lab's: %+v, %v", spaces, err)
	}
	if err := Down(lab); err != nil {
		t.Fatal(err)
	}
	if after := traces(t, lab); len(after) != 0 {
		t.Errorf("after down: %v", after)
	}
}

func TestQueueDropsAreCounted(t *testing.T) {
	h := openLab(t, "hostnettest-drops")
	d := desired(h.lab, 2)
	apply(t, h, d)
	const extra = 10
	ports, _ := h.Ports(1)
	// Nobody reads t1: what exceeds its queue is dropped, and counted there.
	err := h.InFabric(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		to := &unix.SockaddrLinklayer{Ifindex: int(ports.TUN), Protocol: 0x0008}
		packet := make([]byte, 40)
		packet[0] = 0x45
		for range tunQueueLen + extra {
			if err := unix.Sendto(fd, packet, 0, to); err != nil && !errors.Is(err, unix.ENOBUFS) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	traffic, err := h.Traffic()
	if err != nil {
		t.Fatal(err)
	}
	if traffic[1].Dropped != extra || traffic[2].Dropped != 0 {
		t.Errorf("traffic %+v, want %d dropped by attachment 1", traffic, extra)
	}
}

// What another user may not read is neither dead nor alive: it is an error, and nothing is removed.
func TestWithoutRootALabCannotBeJudged(t *testing.T) {
	h := openLab(t, "hostnettest-other")
	var left []Leftover
	var leftErr, downErr error
	done := make(chan struct{})
	go func() {
		defer close(done)
		// File access as another user, on this thread alone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := unix.Setfsuid(65534); err != nil {
			t.Error(err)
			return
		}
		defer unix.Setfsuid(0)
		left, leftErr = Leftovers()
		downErr = Down(h.lab)
	}()
	<-done
	const denied = "open /run/vpclab/hostnettest-other/owner.json: permission denied (readable by root alone; run as root)"
	if leftErr == nil || !strings.Contains(leftErr.Error(), "lab hostnettest-other: "+denied) {
		t.Errorf("leftovers: %v", leftErr)
	}
	if slices.ContainsFunc(left, func(l Leftover) bool { return l.Lab == h.lab }) {
		t.Errorf("the lab is among %+v", left)
	}
	if downErr == nil || downErr.Error() != "down: "+denied {
		t.Errorf("down: %v", downErr)
	}
	if err := h.InFabric(func() error { return nil }); err != nil {
		t.Errorf("the lab is damaged: %v", err)
	}
}
