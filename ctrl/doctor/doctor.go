package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/hostnet"
)

// Finding is the answer to one question about the machine.
type Finding struct {
	Name   string // what was looked for: "kernel"
	OK     bool   // labs can run as far as this goes
	Detail string // what was found
	Fix    string // how to get what is missing, or better; may be empty
}

// Examine answers all questions. Without root it answers those that it can, and says so for the others.
func Examine(ctx context.Context) []Finding { return thisMachine().examine(ctx) }

// machine is where answers come from; a test makes a feature unavailable by replacing one.
type machine struct {
	euid     int
	release  func() (string, error) // of the kernel: 6.18.44-generic
	readFile func(path string) ([]byte, error)
	open     func(path string) error // opens for reading and writing, and closes
	// files is the hard limit of open files.
	files func() (uint64, error)
	// try builds a small lab and sends a packet through it.
	try func(ctx context.Context) trial
}

// trial is how far the throw-away lab came. Each step is nil or what stopped it; steps behind a failed one are errNotReached.
type trial struct {
	Devices error // namespaces, veth pairs and TUN devices
	Load    error // an eBPF program
	Attach  error // to tcx ingress
	Packet  error // delivered by bpf_redirect_peer
	// TCP and UDP are segmentation offloads of a TUN.
	TCP, UDP error
}

var errNotReached = errors.New("not tried, because an earlier step failed")

func (m machine) examine(ctx context.Context) []Finding {
	missing, permitted := m.capabilities()
	found := []Finding{m.kernel(), permitted, m.tun(), m.jit(), m.btf(), m.ipv6(), m.openFiles(), m.memory(), m.propagation()}
	if len(missing) > 0 {
		return append(found, m.lockdown(nil), Finding{
			Name: "trial lab", Detail: "whether devices, tcx and a peer redirect work is not known without root",
			Fix: "run: sudo vpclab doctor",
		})
	}
	t := m.try(ctx)
	found = append(found, m.lockdown(&t))
	return append(found, t.findings()...)
}

// minimum is the first kernel with tcx (BPF_TCX_INGRESS, Linux 6.6).
var minimum = [2]int{6, 6}

func (m machine) kernel() Finding {
	f := Finding{Name: "kernel"}
	release, err := m.release()
	if err != nil {
		return f.no(fmt.Sprintf("its version cannot be read: %v", err), "")
	}
	have, ok := version(release)
	if !ok {
		return f.no(fmt.Sprintf("Linux %s is no version that vpclab understands", release), "use Linux 6.6 or later")
	}
	if slices.Compare(have[:], minimum[:]) < 0 {
		return f.no(fmt.Sprintf("Linux %s; vpclab needs 6.6 or later, for eBPF at a device's door (tcx)", release),
			"install a newer kernel: Ubuntu 24.04, Debian 13, Fedora 40, Amazon Linux 2023 with its 6.12 kernel, or later")
	}
	return f.yes("Linux " + release)
}

func version(release string) (v [2]int, ok bool) {
	major, rest, _ := strings.Cut(release, ".")
	minor := rest
	if i := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		minor = rest[:i]
	}
	var majorErr, minorErr error
	v[0], majorErr = strconv.Atoi(major)
	v[1], minorErr = strconv.Atoi(minor)
	return v, majorErr == nil && minorErr == nil
}

// capability numbers of capabilities(7).
var needed = []struct {
	name   string
	bit    uint
	or     uint // this one will do as well
	forUID bool // needed only by users other than root
}{
	{"CAP_NET_ADMIN", unix.CAP_NET_ADMIN, unix.CAP_NET_ADMIN, false},
	{"CAP_NET_RAW", unix.CAP_NET_RAW, unix.CAP_NET_RAW, false},
	{"CAP_SYS_ADMIN", unix.CAP_SYS_ADMIN, unix.CAP_SYS_ADMIN, false},
	{"CAP_BPF", unix.CAP_BPF, unix.CAP_SYS_ADMIN, false},
	{"CAP_DAC_OVERRIDE", unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_OVERRIDE, true},
	{"CAP_KILL", unix.CAP_KILL, unix.CAP_KILL, true},
	{"CAP_SYS_PTRACE", unix.CAP_SYS_PTRACE, unix.CAP_SYS_PTRACE, true},
}

func (m machine) capabilities() (missing []string, f Finding) {
	f.Name = "capabilities"
	status, err := m.readFile("/proc/self/status")
	if err != nil {
		return []string{"unknown"}, f.no(fmt.Sprintf("they cannot be read: %v", err), "mount /proc")
	}
	set, err := strconv.ParseUint(field(string(status), "CapEff"), 16, 64)
	if err != nil {
		return []string{"unknown"}, f.no("the kernel does not tell them", "mount /proc")
	}
	for _, c := range needed {
		if set&(1<<c.bit|1<<c.or) == 0 && (m.euid != 0 || !c.forUID) {
			missing = append(missing, c.name)
		}
	}
	switch {
	case len(missing) == 0:
		return nil, f.yes("all that vpclab needs")
	case m.euid != 0:
		return missing, f.no("this is not root: "+strings.Join(missing, ", ")+" missing", "run it as root: sudo vpclab …")
	}
	return missing, f.no("root without "+strings.Join(missing, ", "),
		"in a container: run it with --privileged, or --cap-add each of them")
}

// field is the value behind "name:" in a file of such lines.
func field(text, name string) string {
	for _, line := range strings.Split(text, "\n") {
		if key, value, ok := strings.Cut(line, ":"); ok && key == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func (m machine) tun() Finding {
	f := Finding{Name: "TUN"}
	err := m.open("/dev/net/tun")
	switch {
	case err == nil:
		return f.yes("/dev/net/tun")
	case errors.Is(err, fs.ErrPermission):
		return f.no("/dev/net/tun may not be opened", "run it as root; in a container: --device /dev/net/tun")
	}
	return f.no(fmt.Sprintf("/dev/net/tun is missing (%v)", err), "modprobe tun; in a container: --device /dev/net/tun")
}

func (m machine) jit() Finding {
	f := Finding{Name: "eBPF compiler"}
	value, err := m.readFile("/proc/sys/net/core/bpf_jit_enable")
	switch text := strings.TrimSpace(string(value)); {
	case errors.Is(err, fs.ErrPermission):
		return f.yes("whether it is on can be read by root alone")
	case err != nil:
		return f.yes("this kernel interprets eBPF: everything works, slowly")
	case text == "0":
		return f.yes("off: everything works, slowly; to switch it on: sysctl -w net.core.bpf_jit_enable=1")
	}
	return f.yes("on")
}

func (m machine) btf() Finding {
	f := Finding{Name: "kernel types"}
	if err := m.exists("/sys/kernel/btf/vmlinux"); err != nil {
		return f.yes("the kernel does not describe its types (CONFIG_DEBUG_INFO_BTF); vpclab can do without")
	}
	return f.yes("BTF in /sys/kernel/btf")
}

func (m machine) exists(path string) error {
	_, err := m.readFile(path)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}

func (m machine) ipv6() Finding {
	f := Finding{Name: "IPv6"}
	if _, err := m.readFile("/proc/sys/net/ipv6/conf/all/disable_ipv6"); errors.Is(err, fs.ErrNotExist) {
		return f.no("switched off in the kernel: scenarios with IPv6 cannot run",
			"remove ipv6.disable=1 from the kernel's command line and boot again")
	}
	return f.yes("there")
}

// fewAttachments is what the scenarios that come with vpclab need at most.
const fewAttachments = 50

func (m machine) openFiles() Finding {
	f := Finding{Name: "open files"}
	limit, err := m.files()
	if err != nil {
		return f.no(fmt.Sprintf("the limit cannot be read: %v", err), "")
	}
	if least := hostnet.FilesFor(fewAttachments); limit < least {
		return f.no(fmt.Sprintf("%d at most; a lab of %d interfaces needs %d", limit, fewAttachments, least),
			fmt.Sprintf("raise the hard limit: ulimit -Hn %d, or LimitNOFILE= of the service", least))
	}
	most := 0
	for step := 1 << 20; step > 0; step /= 2 {
		if hostnet.FilesFor(most+step) <= limit {
			most += step
		}
	}
	return f.yes(fmt.Sprintf("%d, enough for a lab of %d interfaces", limit, most))
}

// leastMemory is in MiB: the flow cache, the engine's buffers and a small lab.
const leastMemory = 256

func (m machine) memory() Finding {
	f := Finding{Name: "memory"}
	info, err := m.readFile("/proc/meminfo")
	if err != nil {
		return f.no(fmt.Sprintf("what is free cannot be read: %v", err), "mount /proc")
	}
	kib, err := strconv.ParseUint(strings.TrimSuffix(field(string(info), "MemAvailable"), " kB"), 10, 64)
	if err != nil {
		return f.no("the kernel does not tell what is free", "")
	}
	detail := fmt.Sprintf("%d MiB available", kib/1024)
	if kib/1024 < leastMemory {
		return f.no(detail+fmt.Sprintf("; a lab needs %d MiB", leastMemory), "end other programs, or give the machine more memory")
	}
	return f.yes(detail)
}

// propagation tells whether the names of namespaces are seen from other mount namespaces, such as those of services.
func (m machine) propagation() Finding {
	f := Finding{Name: "/run/netns"}
	info, err := m.readFile("/proc/self/mountinfo")
	if err != nil {
		return f.no(fmt.Sprintf("mounts cannot be read: %v", err), "mount /proc")
	}
	mount, ok := mountOf(string(info), "/run/netns")
	switch {
	case !ok:
		return f.no("nothing is mounted there", "mount the root file system")
	case mount.readOnly:
		return f.no(fmt.Sprintf("the file system of %s is read-only", mount.point), "make /run writable: mount -t tmpfs tmpfs /run")
	case !mount.shared:
		return f.yes(fmt.Sprintf("%s is mounted private: `ip netns exec` sees a lab's namespaces only from where vpclab was started",
			mount.point))
	}
	return f.yes("names of namespaces are seen everywhere")
}

type mount struct {
	point            string
	shared, readOnly bool
}

// mountOf finds the mount that holds path in the text of /proc/PID/mountinfo (proc_pid_mountinfo(5)): of the longest mount points
// the last one, which hides those before it.
func mountOf(info, path string) (best mount, ok bool) {
	for _, line := range strings.Split(info, "\n") {
		fields := strings.Fields(line)
		if len(fields) < 7 {
			continue
		}
		point, options := fields[4], strings.Split(fields[5], ",")
		if point != "/" && point != path && !strings.HasPrefix(path, point+"/") || len(point) < len(best.point) {
			continue
		}
		best, ok = mount{point: point, readOnly: slices.Contains(options, "ro")}, true
		for _, tag := range fields[6:] {
			if tag == "-" {
				break
			}
			best.shared = best.shared || strings.HasPrefix(tag, "shared:")
		}
	}
	return best, ok
}

// lockdown only hinders where it is at its strictest, and then the trial shows whether it does. Without a trial it is nil.
func (m machine) lockdown(t *trial) Finding {
	f := Finding{Name: "lockdown"}
	text, err := m.readFile("/sys/kernel/security/lockdown")
	switch {
	case errors.Is(err, fs.ErrPermission):
		return f.yes("whether the kernel is locked down can be read by root alone")
	case err != nil || strings.Contains(string(text), "[none]"):
		return f.yes("the kernel is not locked down")
	case !strings.Contains(string(text), "[confidentiality]"):
		return f.yes("integrity, which vpclab does not mind")
	case t != nil && (t.Load != nil && !errors.Is(t.Load, errNotReached)):
		return f.no("confidentiality: the kernel refuses eBPF programs", "boot with lockdown=integrity or without lockdown")
	}
	return f.yes("confidentiality; eBPF programs for packets do not suffer from it")
}

func (t trial) findings() []Finding {
	list := []Finding{
		step("namespaces and devices", t.Devices, "made and removed",
			"modprobe veth tun; in a container: run it with --privileged --device /dev/net/tun"),
		step("eBPF programs", t.Load, "one was loaded",
			"build the kernel with CONFIG_BPF_SYSCALL; in a container: run it with --privileged (its seccomp profile may forbid bpf)"),
		step("tcx", t.Attach, "a program was attached", attachFix(t.Attach)),
		step("peer redirect", t.Packet, "one packet went from namespace to namespace through eBPF",
			"check that no other eBPF program or firewall handles packets of new devices: bpftool net"),
	}
	return append(list, t.offloads())
}

func attachFix(err error) string {
	if errors.Is(err, ebpf.ErrNotSupported) {
		return "use Linux 6.6 or later, built with CONFIG_NET_XGRESS (CONFIG_NET_CLS_ACT or CONFIG_NET_INGRESS select it)"
	}
	return "in a container: run it with --privileged"
}

func step(name string, err error, well, fix string) Finding {
	f := Finding{Name: name}
	switch {
	case err == nil:
		return f.yes(well)
	case errors.Is(err, errNotReached):
		return f.no(err.Error(), "")
	}
	return f.no(err.Error(), fix)
}

// offloads make the userspace path fast; vpclab's TUN driver asks for those of TCP and takes those of UDP if they are there.
func (t trial) offloads() Finding {
	f := Finding{Name: "TUN offloads"}
	switch {
	case errors.Is(t.TCP, errNotReached):
		return f.no(t.TCP.Error(), "")
	case t.TCP != nil:
		return f.no(fmt.Sprintf("no segmentation offload: %v", t.TCP), "use a kernel whose TUN driver has TCP segmentation offload")
	case t.UDP != nil:
		return f.yes("TCP segmentation; that of UDP, which is faster, needs Linux 6.2 or later")
	}
	return f.yes("TCP and UDP segmentation")
}

func (f Finding) yes(detail string) Finding {
	f.OK, f.Detail = true, detail
	return f
}

func (f Finding) no(detail, fix string) Finding {
	f.OK, f.Detail, f.Fix = false, detail, fix
	return f
}
