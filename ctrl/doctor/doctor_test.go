package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/hostnet"
)

const allCapabilities = "Name:\tvpclab\nCapEff:\t000001ffffffffff\n"

// fit is a machine on which everything is well.
func fit() (machine, map[string]string) {
	files := map[string]string{
		"/proc/self/status":                        allCapabilities,
		"/proc/sys/net/core/bpf_jit_enable":        "1\n",
		"/sys/kernel/btf/vmlinux":                  "\x9f\xeb",
		"/proc/sys/net/ipv6/conf/all/disable_ipv6": "0\n",
		"/proc/meminfo":                            "MemTotal: 4000000 kB\nMemAvailable:    2097152 kB\n",
		"/proc/self/mountinfo": "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n" +
			"25 21 0:24 / /run rw,nosuid shared:5 - tmpfs tmpfs rw\n",
		"/sys/kernel/security/lockdown": "[none] integrity confidentiality\n",
	}
	return machine{
		release: func() (string, error) { return "6.8.0-41-generic", nil },
		readFile: func(path string) ([]byte, error) {
			text, ok := files[path]
			if !ok {
				return nil, &fs.PathError{Op: "open", Path: path, Err: unix.ENOENT}
			}
			return []byte(text), nil
		},
		open:  func(string) error { return nil },
		files: func() (uint64, error) { return 524288, nil },
		try:   func(context.Context) trial { return trial{} },
	}, files
}

func TestAFitMachineIsFoundFit(t *testing.T) {
	m, _ := fit()
	found := m.examine(context.Background())
	for _, f := range found {
		if !f.OK || f.Fix != "" || f.Detail == "" {
			t.Errorf("%+v", f)
		}
	}
	if len(found) != 15 {
		t.Errorf("%d findings, want 15", len(found))
	}
}

func TestWhatIsMissingIsSaidWithItsFix(t *testing.T) {
	opened := func(err error) func(string) error {
		return func(path string) error { return &fs.PathError{Op: "open", Path: path, Err: err} }
	}
	tried := func(t trial) func(context.Context) trial { return func(context.Context) trial { return t } }
	after := errNotReached
	for name, row := range map[string]struct {
		change  func(*machine, map[string]string)
		finding string
		detail  string
		fix     string
	}{
		"an old kernel": {
			func(m *machine, _ map[string]string) {
				m.release = func() (string, error) { return "5.15.0-119-generic", nil }
			},
			"kernel", "Linux 5.15.0-119-generic; vpclab needs 6.6 or later", "install a newer kernel",
		},
		"a kernel just too old": {
			func(m *machine, _ map[string]string) { m.release = func() (string, error) { return "6.5", nil } },
			"kernel", "Linux 6.5; vpclab needs 6.6 or later", "install a newer kernel",
		},
		"a kernel of no version": {
			func(m *machine, _ map[string]string) { m.release = func() (string, error) { return "next", nil } },
			"kernel", "Linux next is no version", "use Linux 6.6 or later",
		},
		"a container without capabilities": {
			func(_ *machine, f map[string]string) { f["/proc/self/status"] = "CapEff:\t00000000a80425fb\n" },
			"capabilities", "root without CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_BPF", "--privileged",
		},
		"no TUN": {
			func(m *machine, _ map[string]string) { m.open = opened(unix.ENOENT) },
			"TUN", "/dev/net/tun is missing (open /dev/net/tun: no such file or directory)", "modprobe tun",
		},
		"a forbidden TUN": {
			func(m *machine, _ map[string]string) { m.open = opened(unix.EPERM) },
			"TUN", "/dev/net/tun may not be opened", "--device /dev/net/tun",
		},
		"no IPv6": {
			func(_ *machine, f map[string]string) { delete(f, "/proc/sys/net/ipv6/conf/all/disable_ipv6") },
			"IPv6", "scenarios with IPv6 cannot run", "remove ipv6.disable=1",
		},
		"few open files": {
			func(m *machine, _ map[string]string) { m.files = func() (uint64, error) { return 256, nil } },
			"open files", "256 at most; a lab of 50 interfaces needs 264", "ulimit -Hn 264",
		},
		"little memory": {
			func(_ *machine, f map[string]string) { f["/proc/meminfo"] = "MemAvailable:  102400 kB\n" },
			"memory", "100 MiB available; a lab needs 256 MiB", "end other programs",
		},
		"a read-only /run": {
			func(_ *machine, f map[string]string) {
				f["/proc/self/mountinfo"] = "21 1 8:1 / / ro,relatime - ext4 /dev/vda1 ro\n"
			},
			"/run/netns", "the file system of / is read-only", "mount -t tmpfs tmpfs /run",
		},
		"no veth": {
			func(m *machine, _ map[string]string) {
				err := errors.New("attachment 1 (x eth0): add veth e1: operation not supported")
				m.try = tried(trial{err, after, after, after, after, after})
			},
			"namespaces and devices", "add veth e1: operation not supported", "modprobe veth tun",
		},
		"a seccomp profile without bpf": {
			func(m *machine, _ map[string]string) {
				m.try = tried(trial{nil, unix.EPERM, after, after, nil, nil})
			},
			"eBPF programs", "operation not permitted", "its seccomp profile may forbid bpf",
		},
		"a kernel locked down": {
			func(m *machine, f map[string]string) {
				f["/sys/kernel/security/lockdown"] = "none integrity [confidentiality]\n"
				m.try = tried(trial{nil, unix.EPERM, after, after, nil, nil})
			},
			"lockdown", "the kernel refuses eBPF programs", "boot with lockdown=integrity",
		},
		"no tcx": {
			func(m *machine, _ map[string]string) {
				err := fmt.Errorf("tcx: %w", ebpf.ErrNotSupported)
				m.try = tried(trial{nil, nil, err, after, nil, nil})
			},
			"tcx", "tcx: not supported", "CONFIG_NET_XGRESS",
		},
		"an attach that is not permitted": {
			func(m *machine, _ map[string]string) { m.try = tried(trial{nil, nil, unix.EPERM, after, nil, nil}) },
			"tcx", "operation not permitted", "--privileged",
		},
		"a packet that is lost": {
			func(m *machine, _ map[string]string) {
				m.try = tried(trial{nil, nil, nil, errors.New("the packet did not come within 2000 ms"), nil, nil})
			},
			"peer redirect", "the packet did not come", "bpftool net",
		},
		"a TUN without offloads": {
			func(m *machine, _ map[string]string) { m.try = tried(trial{nil, nil, nil, nil, unix.EINVAL, after}) },
			"TUN offloads", "no segmentation offload: invalid argument", "TCP segmentation offload",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, files := fit()
			row.change(&m, files)
			f := find(t, m.examine(context.Background()), row.finding)
			if f.OK || !strings.Contains(f.Detail, row.detail) || !strings.Contains(f.Fix, row.fix) {
				t.Errorf("%+v\nwant detail %q and fix %q", f, row.detail, row.fix)
			}
		})
	}
}

func find(t *testing.T, found []Finding, name string) Finding {
	t.Helper()
	i := slices.IndexFunc(found, func(f Finding) bool { return f.Name == name })
	if i < 0 {
		t.Fatalf("no finding %q among %+v", name, found)
	}
	return found[i]
}

// Steps behind a failed one are not well either, but nothing of their own is wrong.
func TestStepsBehindAFailedOneAreNotBlamed(t *testing.T) {
	m, _ := fit()
	after := errNotReached
	m.try = func(context.Context) trial { return trial{errors.New("no"), after, after, after, after, after} }
	found := m.examine(context.Background())
	for _, name := range []string{"eBPF programs", "tcx", "peer redirect", "TUN offloads"} {
		if f := find(t, found, name); f.OK || f.Detail != "not tried, because an earlier step failed" || f.Fix != "" {
			t.Errorf("%+v", f)
		}
	}
}

func TestWhatMerelyCostsSpeedIsNoObstacle(t *testing.T) {
	file := func(path, text string) func(*machine, map[string]string) {
		return func(_ *machine, files map[string]string) { files[path] = text }
	}
	without := func(path string) func(*machine, map[string]string) {
		return func(_ *machine, files map[string]string) { delete(files, path) }
	}
	noUSO := func(m *machine, _ map[string]string) {
		m.try = func(context.Context) trial { return trial{UDP: unix.EINVAL} }
	}
	const jit, lockdown = "/proc/sys/net/core/bpf_jit_enable", "/sys/kernel/security/lockdown"
	for name, row := range map[string]struct {
		change  func(*machine, map[string]string)
		finding string
		detail  string
	}{
		"the JIT is off":       {file(jit, "0\n"), "eBPF compiler", "sysctl -w net.core.bpf_jit_enable=1"},
		"there is no JIT":      {without(jit), "eBPF compiler", "interprets eBPF"},
		"there is no BTF":      {without("/sys/kernel/btf/vmlinux"), "kernel types", "can do without"},
		"lockdown: integrity":  {file(lockdown, "none [integrity] confidentiality"), "lockdown", "integrity"},
		"lockdown: strict":     {file(lockdown, "none integrity [confidentiality]"), "lockdown", "do not suffer"},
		"no UDP segmentation":  {noUSO, "TUN offloads", "needs Linux 6.2"},
		"/run mounted private": {file("/proc/self/mountinfo", "21 1 8:1 / / rw - ext4 d rw\n"), "/run/netns", "/ is mounted private"},
	} {
		t.Run(name, func(t *testing.T) {
			m, files := fit()
			row.change(&m, files)
			if f := find(t, m.examine(context.Background()), row.finding); !f.OK || !strings.Contains(f.Detail, row.detail) {
				t.Errorf("%+v, want detail %q", f, row.detail)
			}
		})
	}
}

func TestWithoutRootTheRestIsSaidToBeUnknown(t *testing.T) {
	m, files := fit()
	m.euid = 1000
	files["/proc/self/status"] = "CapEff:\t0000000000000000\n"
	m.try = func(context.Context) trial { t.Error("the trial ran without root"); return trial{} }
	found := m.examine(context.Background())
	f := find(t, found, "capabilities")
	const all = "CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN, CAP_BPF, CAP_DAC_OVERRIDE, CAP_KILL, CAP_SYS_PTRACE"
	if f.OK || f.Detail != "this is not root: "+all+" missing" || f.Fix != "run it as root: sudo vpclab …" {
		t.Errorf("%+v", f)
	}
	f = find(t, found, "trial lab")
	if f.OK || !strings.Contains(f.Detail, "not known without root") || f.Fix != "run: sudo vpclab doctor" {
		t.Errorf("%+v", f)
	}
}

// What the machine says of itself cannot crash the doctor.
func TestUnreadableMachine(t *testing.T) {
	broken := errors.New("broken")
	m := machine{
		release:  func() (string, error) { return "", broken },
		readFile: func(string) ([]byte, error) { return nil, broken },
		open:     func(string) error { return broken },
		files:    func() (uint64, error) { return 0, broken },
		try:      func(context.Context) trial { return trial{} },
	}
	found := m.examine(context.Background())
	for _, name := range []string{"kernel", "capabilities", "TUN", "open files", "memory", "/run/netns"} {
		if f := find(t, found, name); f.OK || !strings.Contains(f.Detail, "broken") {
			t.Errorf("%+v", f)
		}
	}
}

func TestMountOf(t *testing.T) {
	const info = "21 1 8:1 / / rw shared:1 - ext4 d rw\n" +
		"25 21 0:24 / /run rw shared:5 - tmpfs t rw\n" +
		"26 25 0:25 / /run/net rw - tmpfs t rw\n" +
		"27 25 0:24 /netns /run/netns rw,nosuid master:2 - tmpfs t rw\n" +
		"28 27 0:24 /netns /run/netns ro shared:7 - tmpfs t rw\n" +
		"29 28 0:4 net:[1] /run/netns/x rw - nsfs n rw\n"
	for path, want := range map[string]mount{
		"/run/netns": {"/run/netns", true, true}, "/run": {"/run", true, false}, "/run/nets": {"/run", true, false},
		"/run/net/a": {"/run/net", false, false}, "/home": {"/", true, false},
	} {
		if got, ok := mountOf(info, path); !ok || got != want {
			t.Errorf("mount of %s is %+v, want %+v", path, got, want)
		}
	}
	if got, ok := mountOf("", "/run"); ok {
		t.Errorf("mount in nothing is %+v", got)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("REQUIRE_ROOT") == "1" {
		t.Fatal("REQUIRE_ROOT=1, and this is not root")
	}
	t.Skip("needs root")
}

// The machine that runs the tests runs labs, so the doctor must say yes, and leave nothing.
func TestExamineThisMachine(t *testing.T) {
	needRoot(t)
	for _, f := range Examine(context.Background()) {
		if !f.OK {
			t.Errorf("%+v", f)
		}
	}
	own := fmt.Sprintf("*doctor-%d*", os.Getpid())
	for _, folder := range []string{"/run/netns", "/run/vpclab"} {
		if left, err := filepath.Glob(filepath.Join(folder, own)); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}

func TestACancelledTrialReachesNothing(t *testing.T) {
	needRoot(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	got := try(ctx)
	if !errors.Is(got.Devices, context.Canceled) || !errors.Is(got.Packet, errNotReached) {
		t.Errorf("a cancelled trial is %+v", got)
	}
}

// Without a program at the door the packet does not arrive, so a machine whose kernel ignores the program cannot pass.
func TestThePacketNeedsTheProgram(t *testing.T) {
	needRoot(t)
	lab := fmt.Sprintf("doctortest-%d", os.Getpid())
	host, err := hostnet.Open(lab)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := host.Close(); err != nil {
			t.Error(err)
		}
	})
	d := twoGuests(lab)
	if err := host.Apply(context.Background(), d); err != nil {
		t.Fatal(err)
	}
	err = sendThrough(host, d.Attachments[0], d.Attachments[1])
	if err == nil || err.Error() != "the packet did not come within 2000 ms" {
		t.Errorf("a packet without the program: %v", err)
	}
}
