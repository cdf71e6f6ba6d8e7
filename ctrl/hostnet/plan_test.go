package hostnet

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, prefix(s))
	}
	return out
}

func TestDiffNIC(t *testing.T) {
	def := func(via string) route { return route{prefix("0.0.0.0/0"), netip.MustParseAddr(via), mainTable} }
	from := func(addr string) rule { return rule{netip.MustParseAddr(addr), 10001} }
	for name, row := range map[string]struct {
		have, want, before nic
		diff               nicDiff
	}{
		"all is there": {
			have: nic{Addrs: prefixes("10.0.0.5/24"), Routes: []route{def("10.0.0.1")}},
			want: nic{Addrs: prefixes("10.0.0.5/24"), Routes: []route{def("10.0.0.1")}},
		},
		"all is missing": {
			want: nic{Addrs: prefixes("10.0.0.5/24"), Routes: []route{def("10.0.0.1")}, Rules: []rule{from("10.0.0.5")}},
			diff: nicDiff{AddAddrs: prefixes("10.0.0.5/24"), AddRoutes: []route{def("10.0.0.1")}, AddRules: []rule{from("10.0.0.5")}},
		},
		"one address for another": {
			have:   nic{Addrs: prefixes("10.0.0.5/24")},
			want:   nic{Addrs: prefixes("10.0.0.6/24")},
			before: nic{Addrs: prefixes("10.0.0.5/24")},
			diff:   nicDiff{AddAddrs: prefixes("10.0.0.6/24"), DelAddrs: prefixes("10.0.0.5/24")},
		},
		"what the guest added stays": {
			have: nic{Addrs: prefixes("10.0.0.5/24", "192.0.2.1/32"), Routes: []route{def("192.0.2.9")}, Rules: []rule{from("192.0.2.1")}},
			want: nic{Addrs: prefixes("10.0.0.5/24")},
		},
		"what the guest removed is not removed again": {
			want:   nic{Addrs: prefixes("10.0.0.6/24")},
			before: nic{Addrs: prefixes("10.0.0.5/24"), Rules: []rule{from("10.0.0.5")}},
			diff:   nicDiff{AddAddrs: prefixes("10.0.0.6/24")},
		},
		"another prefix length is another address": {
			have:   nic{Addrs: prefixes("10.0.0.5/24")},
			want:   nic{Addrs: prefixes("10.0.0.5/20")},
			before: nic{Addrs: prefixes("10.0.0.5/24")},
			diff:   nicDiff{AddAddrs: prefixes("10.0.0.5/20"), DelAddrs: prefixes("10.0.0.5/24")},
		},
		"a router for another": {
			have:   nic{Routes: []route{def("10.0.0.1")}},
			want:   nic{Routes: []route{def("10.0.0.2")}},
			before: nic{Routes: []route{def("10.0.0.1")}},
			diff:   nicDiff{AddRoutes: []route{def("10.0.0.2")}, DelRoutes: []route{def("10.0.0.1")}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := diffNIC(row.have, row.want, row.before); !reflect.DeepEqual(got, row.diff) {
				t.Errorf("got %+v\nwant %+v", got, row.diff)
			}
		})
	}
}

func TestNICOf(t *testing.T) {
	v4, v6 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fe80::1")
	all4, all6 := prefix("0.0.0.0/0"), prefix("::/0")
	for name, row := range map[string]struct {
		a      Attachment
		routes []route
		rules  []rule
	}{
		"a first interface has default routes": {
			a:      Attachment{Default: true, Addrs: prefixes("10.0.0.5/24", "2600::5/64"), Router4: v4, Router6: v6},
			routes: []route{{all4, v4, mainTable}, {all6, v6, mainTable}},
		},
		"there is no route without an address of its family": {
			a:      Attachment{Default: true, Addrs: prefixes("10.0.0.5/24"), Router4: v4, Router6: v6},
			routes: []route{{all4, v4, mainTable}},
		},
		"a further interface has a table of its own": {
			a: Attachment{Table: 10001, Addrs: prefixes("10.0.0.5/24", "10.0.0.6/24", "2600::5/64"), Router4: v4, Router6: v6},
			routes: []route{
				{prefix("2600::/64"), netip.Addr{}, 10001}, {prefix("10.0.0.0/24"), netip.Addr{}, 10001}, {all4, v4, 10001}, {all6, v6, 10001},
			},
			rules: []rule{
				{netip.MustParseAddr("10.0.0.5"), 10001}, {netip.MustParseAddr("10.0.0.6"), 10001}, {netip.MustParseAddr("2600::5"), 10001},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := nicOf(row.a, "")
			if !reflect.DeepEqual(n.Routes, row.routes) || !reflect.DeepEqual(n.Rules, row.rules) {
				t.Errorf("got %v and %v\nwant %v and %v", n.Routes, n.Rules, row.routes, row.rules)
			}
		})
	}
}

func TestWhatIsLackingIsSaid(t *testing.T) {
	d := nicDiff{
		AddAddrs: prefixes("10.0.0.5/24"), DelAddrs: prefixes("10.0.0.6/24"),
		AddRoutes: []route{{prefix("0.0.0.0/0"), netip.MustParseAddr("10.0.0.1"), 254}},
		DelRoutes: []route{{prefix("10.0.0.0/24"), netip.Addr{}, 10001}},
		AddRules:  []rule{{netip.MustParseAddr("10.0.0.5"), 10001}}, DelRules: []rule{{netip.MustParseAddr("10.0.0.6"), 10001}},
	}
	want := "address 10.0.0.5/24 is missing; address 10.0.0.6/24 is still there; " +
		"route 0.0.0.0/0 via 10.0.0.1, table 254 is missing; route 10.0.0.0/24 on-link, table 10001 is still there; " +
		"rule from 10.0.0.5 lookup 10001 is missing; rule from 10.0.0.6 lookup 10001 is still there"
	if got := strings.Join(d.lacks(), "; "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	have := device{MTU: 1500, MAC: MAC{2, 0, 0, 0, 0, 1}, Alias: "x", Group: 1, TxQueueLen: 500, GSOMaxSegs: 65535}
	wanted := device{Up: true, MTU: 9001, MAC: MAC{2, 0, 0, 0, 0, 2}, Alias: "y", Group: 2, TxQueueLen: 4096, GSOMaxSegs: 64}
	want = "up is false, not true; MTU is 1500, not 9001; MAC address is 02:00:00:00:00:01, not 02:00:00:00:00:02; " +
		"alias is \"x\", not \"y\"; link group is 1, not 2; transmit queue is 500, not 4096; largest segment count is 65535, not 64"
	if got := strings.Join(have.lacks(wanted), "; "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := wanted.lacks(wanted); got != nil {
		t.Errorf("a device lacks of itself %v", got)
	}
}

func TestDesiredIsRefusedBeforeAnythingIsTouched(t *testing.T) {
	const lab = "shop"
	a := func(change func(*Attachment)) Desired {
		d := desired(lab, 2)
		change(&d.Attachments[1])
		return d
	}
	second := "attachment 2 (vpclab-shop.app.g1 eth0): "
	for want, d := range map[string]Desired{
		`desired state is of lab "other", not "shop"`: {Lab: "other"},
		"guest vpclab-shop.app.g0: declared twice": {
			Lab: lab, Guests: append(desired(lab, 1).Guests, desired(lab, 1).Guests...),
		},
		"guest host: name does not begin with vpclab-shop.":         {Lab: lab, Guests: []Guest{{Namespace: "host"}}},
		"guest vpclab-shop._fabric: name is reserved":               {Lab: lab, Guests: []Guest{{Namespace: "vpclab-shop._fabric"}}},
		"guest vpclab-shop._else: name is reserved":                 {Lab: lab, Guests: []Guest{{Namespace: "vpclab-shop._else"}}},
		"guest vpclab-shop.: name is reserved":                      {Lab: lab, Guests: []Guest{{Namespace: "vpclab-shop."}}},
		"guest vpclab-shop.a/../../x: name is no file name":         {Lab: lab, Guests: []Guest{{Namespace: "vpclab-shop.a/../../x"}}},
		"attachment 1 (vpclab-shop.app.g1 eth0): its index is used": a(func(a *Attachment) { a.Index = 1 }),
		"attachment 2 (vpclab-shop.app.g0 eth0): its device is used twice": a(func(a *Attachment) {
			a.Namespace = "vpclab-shop.app.g0"
		}),
		"attachment 2 (vpclab-shop.app.x eth0): its namespace is no guest's": a(func(a *Attachment) {
			a.Namespace = "vpclab-shop.app.x"
		}),
		`attachment 2 (vpclab-shop.app.g1 lo): device name "lo"`:             a(func(a *Attachment) { a.Device = "lo" }),
		`device name "sixteen-letters-"`:                                     a(func(a *Attachment) { a.Device = "sixteen-letters-" }),
		`device name "e%d"`:                                                  a(func(a *Attachment) { a.Device = "e%d" }),
		second + "MAC address 00:00:00:00:00:00 is not a unicast address":    a(func(a *Attachment) { a.MAC = MAC{} }),
		second + "MAC address 01:00:5e:00:00:01 is not a unicast address":    a(func(a *Attachment) { a.MAC = MAC{1, 0, 0x5e, 0, 0, 1} }),
		second + "MTU 1200: want 1280 to 65535 bytes":                        a(func(a *Attachment) { a.MTU = 1200 }),
		second + "MTU 70000: want 1280 to 65535 bytes":                       a(func(a *Attachment) { a.MTU = 70000 }),
		second + "address invalid Prefix is not valid":                       a(func(a *Attachment) { a.Addrs = []netip.Prefix{{}} }),
		second + "an interface without default routes needs a routing table": a(func(a *Attachment) { a.Default = false }),
		second + "IPv4 router fe80::1 is not an IPv4 address":                a(func(a *Attachment) { a.Router4 = a.Router6 }),
		second + "IPv6 router 10.0.0.1 is not an IPv6 address":               a(func(a *Attachment) { a.Router6 = a.Router4 }),
	} {
		if err := d.check(lab, true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	g := func(change func(*Guest)) Desired {
		d := desired(lab, 1)
		change(&d.Guests[0])
		return d
	}
	first := "guest vpclab-shop.app.g0: "
	for want, d := range map[string]Desired{
		first + "local prefix 100.64.0.1/10 is not valid":    g(func(g *Guest) { g.Local = prefixes("100.64.0.1/10") }),
		first + "local prefix invalid Prefix is not valid":   g(func(g *Guest) { g.Local = []netip.Prefix{{}} }),
		first + "4 name servers: resolv.conf has room for 3": g(func(g *Guest) { g.Resolver = make([]netip.Addr, 4) }),
		first + "name server fe80::1%eth0 is not a plain address": g(func(g *Guest) {
			g.Resolver = []netip.Addr{netip.MustParseAddr("fe80::1%eth0")}
		}),
		first + `search domains "a\nnameserver 8.8.8.8": want one line`: g(func(g *Guest) { g.Search = "a\nnameserver 8.8.8.8" }),
	} {
		if err := d.check(lab, true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	good := g(func(g *Guest) {
		g.Local, g.Search = prefixes("100.64.0.0/10", "fd00:ec2::/32"), "a.internal b.internal"
	})
	good.Guests = append(good.Guests, Guest{Namespace: ServicesNamespace(lab)}, Guest{Namespace: BackboneNamespace(lab)})
	if err := good.check(lab, true); err != nil {
		t.Errorf("local prefixes and two search domains: %v", err)
	}
	d := desired(lab, 2)
	if err := d.check(lab, true); err != nil {
		t.Errorf("a good one: %v", err)
	}
	want := "local prefix fd00:ec2::/32: IPv6 is disabled on this machine"
	if err := good.check(lab, false); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("without IPv6: %v, want %s", err, want)
	}
	want = "address 2600:1f18:0:1::b/64: IPv6 is disabled on this machine (boot without ipv6.disable=1)"
	if err := d.check(lab, false); err == nil || !strings.Contains(err.Error(), second+want) {
		t.Errorf("without IPv6: %v, want %s", err, want)
	}
	d.Attachments[0].Addrs, d.Attachments[1].Addrs = prefixes("10.0.0.5/24"), prefixes("10.0.0.6/24")
	if err := d.check(lab, false); err != nil {
		t.Errorf("IPv4 alone on a machine without IPv6: %v", err)
	}
}

func TestLabNames(t *testing.T) {
	for _, bad := range []string{"", "Shop", "1x", "a.b", "a/b", "..", strings.Repeat("a", 32)} {
		if _, err := Open(bad); err == nil || !strings.Contains(err.Error(), "want a lower-case letter and up to 30") {
			t.Errorf("open %q: %v", bad, err)
		}
		if err := Down(bad); err == nil || !strings.Contains(err.Error(), "want a lower-case letter") {
			t.Errorf("down %q: %v", bad, err)
		}
	}
	for namespace, want := range map[string]string{
		"vpclab-shop.app.web": "shop", "vpclab-shop._fabric": "shop", "vpclab-a-b.x.y": "a-b",
		"vpclab-shop": "", "docker": "", "vpclab-.x": "",
	} {
		if lab, ok := labOf(namespace); ok != (want != "") || ok && lab != want {
			t.Errorf("%s is of lab %q, %v", namespace, lab, ok)
		}
	}
}

func TestFileLimit(t *testing.T) {
	want := "this lab needs 2064 open files, and the limit is 1024: raise it (ulimit -Hn 2064, or LimitNOFILE= of the service)"
	if err := checkFileLimit(FilesFor(500), 1024); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := checkFileLimit(FilesFor(500), 2064); err != nil {
		t.Error(err)
	}
	var before, low, raised unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	low = unix.Rlimit{Cur: before.Max - 1, Max: before.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Setrlimit(unix.RLIMIT_NOFILE, &before) })
	if err := raiseFileLimit(before.Max); err != nil {
		t.Fatal(err)
	}
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &raised); err != nil || raised.Cur != before.Max {
		t.Errorf("the limit was raised to %d, %v, want %d", raised.Cur, err, before.Max)
	}
}

// A lab that has begun needs files to be removed again. Another process plays this: root without CAP_SYS_RESOURCE cannot undo the limit.
func TestNothingBeginsWithTooFewFiles(t *testing.T) {
	const lab = "hostnettest-few"
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HOSTNET_TEST_CHILD="+lab, "HOSTNET_TEST_FILES=63")
	out, _ := cmd.Output() // it ends with an error, which it tells
	want := "open lab " + lab + ": this lab needs 64 open files, and the limit is 63: raise it"
	if !strings.HasPrefix(string(out), want) {
		t.Errorf("got %s\nwant %s", out, want)
	}
	if _, err := os.Stat(store{root: stateRoot}.dir(lab)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
}

func TestHints(t *testing.T) {
	path := func(err error) error { return &os.PathError{Op: "write", Path: "/run/vpclab/x/index.new", Err: err} }
	for want, err := range map[string]error{
		"operation not permitted (needs CAP_NET_ADMIN; run as root)":          hint(unix.EPERM, "needs CAP_NET_ADMIN"),
		"too many open files (raise the limit: ulimit -n)":                    hint(unix.EMFILE, ""),
		"too many open files in system (raise the limit: sysctl fs.file-max)": hint(unix.ENFILE, ""),
		"read-only file system (in a container: run it privileged)":           hint(unix.EROFS, ""),
		"no such device": hint(unix.ENODEV, "needs CAP_NET_ADMIN"),
		"no space left on device (free space on the file system of /run/vpclab/x)": StateError(path(unix.ENOSPC)),
		"not a directory (a file is in the way of vpclab's folder: remove it)":     StateError(path(unix.ENOTDIR)),
		"permission denied (needs write access to /run; run as root)":              StateError(path(unix.EACCES)),
	} {
		if !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if hint(nil, "x") != nil || StateError(nil) != nil {
		t.Error("no error got a hint")
	}
	if !errors.Is(hint(unix.EPERM, "x"), os.ErrPermission) {
		t.Error("the hint hides the cause")
	}
}

func TestParseStat(t *testing.T) {
	const line = "77 (a) b (c) Z 1 77 77 0 -1 4227084 91 0 0 0 0 0 0 0 20 0 1 0 123456 0 0"
	got, err := parseStat([]byte(line))
	if want := (procStat{'Z', 4227084, 123456}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", "77 (x) R 1 2", strings.Replace(line, "123456", "soon", 1)} {
		if got, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q gave %+v", bad, got)
		}
	}
}

func TestKillPending(t *testing.T) {
	for status, want := range map[string]bool{
		"SigPnd:\t0000000000000100\nShdPnd:\t0\n": true, "SigPnd:\t0\nShdPnd:\t0000000000000101\n": true,
		"SigPnd:\t0000000000000200\nShdPnd:\t0\n": false, "SigBlk:\t0000000000000100\n": false, "SigPnd:\tx\n": false, "": false,
	} {
		if got := killPending([]byte(status)); got != want {
			t.Errorf("%q: %v", status, got)
		}
	}
}
