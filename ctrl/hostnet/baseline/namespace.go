package baseline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/hostnet"
)

// namespace is a network namespace without a name: the kernel drops it with its last descriptor, thread and socket.
type namespace struct {
	file  *os.File // nil when closed
	links *netlink.Handle
}

// sysctls are set before a device exists, so that each device is born with them. Everything is explicit, because a new namespace may
// copy the machine's own values.
func sysctls(forward bool) [][2]string {
	ipForward := "0"
	if forward {
		ipForward = "1"
	}
	return [][2]string{
		{"net/ipv4/ip_forward", ipForward},
		{"net/ipv4/conf/all/rp_filter", "0"},
		{"net/ipv4/conf/default/rp_filter", "0"},
		{"net/ipv6/conf/all/disable_ipv6", "1"},
		{"net/ipv6/conf/default/disable_ipv6", "1"},
	}
}

// newNamespace makes an empty namespace. It needs CAP_SYS_ADMIN.
func newNamespace(forward bool) (*namespace, error) {
	own, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return nil, err
	}
	defer own.Close()
	ns := new(namespace)
	// From the process's own namespace f moves on to a new one; the way back is InNamespace's.
	err = hostnet.InNamespace(own, func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		if ns.file, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		if ns.links, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
			return err
		}
		for _, s := range sysctls(forward) {
			// A kernel without IPv6 has no IPv6 to switch off.
			if err := os.WriteFile("/proc/sys/"+s[0], []byte(s[1]), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, unix.EPERM) {
		err = fmt.Errorf("%w (needs root: CAP_SYS_ADMIN and CAP_NET_ADMIN)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("make network namespace: %w", errors.Join(err, ns.close()))
	}
	return ns, nil
}

// do runs f on a locked OS thread inside the namespace.
func (ns *namespace) do(f func() error) error { return hostnet.InNamespace(ns.file, f) }

// close removes the namespace's links, so that a socket left open pins an empty namespace, and forgets the namespace. Closing twice
// is fine.
func (ns *namespace) close() error {
	if ns.file == nil {
		return nil
	}
	var errs []error
	if ns.links != nil {
		errs = append(errs, ns.removeLinks())
		ns.links.Close()
	}
	errs = append(errs, ns.file.Close())
	ns.file = nil
	return errors.Join(errs...)
}

func (ns *namespace) removeLinks() error {
	links, err := ns.links.LinkList()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	var errs []error
	for _, l := range links {
		if l.Type() != "veth" {
			continue
		}
		// The other end's namespace may have removed the pair in the meantime.
		if err := ns.links.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) {
			errs = append(errs, fmt.Errorf("remove link %s: %w", l.Attrs().Name, err))
		}
	}
	return errors.Join(errs...)
}
