package baseline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// namespace is a network namespace without a name: the kernel drops it with its last descriptor, thread and socket.
type namespace struct {
	fd    int
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
	ns := &namespace{fd: -1}
	err := onOwnThread(func() error {
		err := unshare()
		if err != nil {
			return err
		}
		if ns.fd, err = openOwn(); err != nil {
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
	if err != nil {
		return nil, fmt.Errorf("make network namespace: %w", errors.Join(err, ns.close()))
	}
	return ns, nil
}

// unshare gives the calling thread a network namespace of its own.
func unshare() error {
	err := unix.Unshare(unix.CLONE_NEWNET)
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w (needs root: CAP_SYS_ADMIN and CAP_NET_ADMIN)", err)
	}
	return err
}

// do runs f on a locked OS thread inside the namespace.
func (ns *namespace) do(f func() error) error {
	return onOwnThread(func() error {
		if err := unix.Setns(ns.fd, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

// close removes the namespace's links, so that a socket left open pins an empty namespace, and forgets the namespace. Closing twice
// is fine.
func (ns *namespace) close() error {
	if ns.fd < 0 {
		return nil
	}
	var errs []error
	if ns.links != nil {
		errs = append(errs, ns.removeLinks())
		ns.links.Close()
	}
	errs = append(errs, unix.Close(ns.fd))
	ns.fd = -1
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

// onOwnThread runs f on an OS thread that f may move to another network namespace. The thread comes back to the process's own
// namespace afterwards; if that fails it ends with its goroutine, so that no other goroutine ever runs in the wrong namespace.
func onOwnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := openOwn()
		if err != nil {
			runtime.UnlockOSThread()
			done <- err
			return
		}
		err = f()
		if unix.Setns(home, unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		done <- errors.Join(err, unix.Close(home))
	}()
	return <-done
}

func openOwn() (int, error) {
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open own network namespace: %w", err)
	}
	return fd, nil
}
