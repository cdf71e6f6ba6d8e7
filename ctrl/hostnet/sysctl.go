package hostnet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// sysctl is one value below /proc/sys, in the calling thread's namespace.
type sysctl struct{ name, value string }

// guestSysctls are all values on which a guest's behaviour depends: a new namespace may have been given the host's. They come before
// the guest's interfaces, which take over the defaults as they are then.
func guestSysctls(g Guest, ipv6 bool) []sysctl {
	on, nonlocal := "0", "0"
	if g.Forward {
		on = "1"
	}
	if len(g.Local) > 0 {
		nonlocal = "1" // IPv6 lets a socket have an address by a local route alone only if it may have any; IPv4 needs no leave
	}
	// ip_forward first: to change it resets others.
	list := []sysctl{
		{"net.ipv4.ip_forward", on},
		// As systemd has it, so that ping needs no raw socket.
		{"net.ipv4.ping_group_range", "0\t2147483647"},
	}
	list = append(list, perDevice("ipv4", []sysctl{
		{"rp_filter", "0"},
		// A source that the guest has itself is forged; one that it merely routes elsewhere is not.
		{"accept_local", "0"},
		// An appliance that forwards out by the interface a packet came in by must not tell the sender of a shorter way.
		{"send_redirects", "0"},
		{"accept_redirects", "0"},
		{"accept_source_route", "0"},
		// Removing the first address of a subnet must not take the others along.
		{"promote_secondaries", "1"},
	})...)
	if !ipv6 {
		return list
	}
	list = append(list, sysctl{"net.ipv6.ip_nonlocal_bind", nonlocal})
	return append(list, perDevice("ipv6", []sysctl{
		{"forwarding", on}, // first, as it resets others
		{"disable_ipv6", "0"},
		// The scenario says what the addresses and routes are; the fabric sends no router advertisements.
		{"accept_ra", "0"},
		{"autoconf", "0"},
		{"accept_redirects", "0"},
		// Nobody else can have an address, and duplicate detection would keep it from use for a second.
		{"accept_dad", "0"},
	})...)
}

// fabricSysctls keep the kernel's own stack out of the fabric: only the eBPF programs forward there.
func fabricSysctls(ipv6 bool) []sysctl {
	list := append([]sysctl{{"net.ipv4.ip_forward", "0"}}, perDevice("ipv4", []sysctl{
		{"arp_ignore", "8"}, // never answer
		{"accept_redirects", "0"},
		{"send_redirects", "0"},
	})...)
	if !ipv6 {
		return list
	}
	return append(list, perDevice("ipv6", []sysctl{{"disable_ipv6", "1"}})...)
}

// perDevice asks for values of all devices, present and to come.
func perDevice(family string, values []sysctl) []sysctl {
	var list []sysctl
	for _, v := range values {
		for _, who := range []string{"all", "default", "*"} {
			list = append(list, sysctl{"net." + family + ".conf." + who + "." + v.name, v.value})
		}
	}
	return list
}

// setSysctls writes the values that differ, and counts them. A * stands for each device that there is, but lo.
func setSysctls(list []sysctl) (changes int, err error) {
	devices := map[string][]string{}
	for _, s := range list {
		before, after, each := strings.Cut(s.name, ".*.")
		if !each {
			n, err := setSysctl(sysctlPath(s.name), s.value)
			changes += n
			if err != nil {
				return changes, err
			}
			continue
		}
		folder := sysctlPath(before)
		if _, ok := devices[folder]; !ok {
			if devices[folder], err = devicesIn(folder); err != nil {
				return changes, err
			}
		}
		for _, d := range devices[folder] {
			n, err := setSysctl(folder+"/"+d+"/"+after, s.value)
			changes += n
			// The device may have gone, which is the workload's right.
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return changes, err
			}
		}
	}
	return changes, nil
}

func devicesIn(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		switch e.Name() {
		case "all", "default", "lo":
		default:
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func setSysctl(path, value string) (changes int, err error) {
	have, err := os.ReadFile(path)
	if err == nil && strings.TrimSpace(string(have)) == value {
		return 0, nil
	}
	if err == nil {
		err = os.WriteFile(path, []byte(value), 0)
	}
	if err != nil {
		return 0, fmt.Errorf("set sysctl: %w", hint(err, "needs root"))
	}
	return 1, nil
}

// systemHasIPv6 reports whether the kernel speaks IPv6 at all.
func systemHasIPv6() bool {
	_, err := os.Stat("/proc/sys/net/ipv6")
	return err == nil
}

// sysctlPath turns net.ipv4.ip_forward into its file. No name that goes through here holds a device's name.
func sysctlPath(name string) string {
	return filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
}
