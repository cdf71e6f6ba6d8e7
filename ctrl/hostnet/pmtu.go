package hostnet

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// FlushPathMTU makes all guests forget the path MTUs that they have learnt. The kernel keeps them for ten minutes of real time, which
// the lab's clock knows nothing of.
func (h *Host) FlushPathMTU() error {
	h.mu.RLock()
	guests := make([]*guest, 0, len(h.guests))
	for _, g := range h.guests {
		guests = append(guests, g)
	}
	closed := h.closed
	h.mu.RUnlock()
	if closed {
		return fmt.Errorf("flush path MTU: %w", errClosed)
	}
	return eachGuest(h.ctx, guests, func(g *guest) error {
		err := InNamespace(g.ns, func() error { return errors.Join(flushIPv4(), flushIPv6()) })
		if errors.Is(err, os.ErrClosed) {
			return nil // removed meanwhile, and its memory with it
		}
		if err != nil {
			return fmt.Errorf("flush path MTU of %s: %w", g.Namespace, err)
		}
		return nil
	})
}

// flushIPv4 uses the sysctl that also makes sockets look their routes up again.
func flushIPv4() error { return os.WriteFile("/proc/sys/net/ipv4/route/flush", []byte("1"), 0) }

// flushIPv6 removes the cloned routes one by one, as `ip -6 route flush cache` does: the sysctl for IPv6 removes only expired ones.
func flushIPv6() error {
	if !systemHasIPv6() {
		return nil
	}
	dump := nl.NewNetlinkRequest(unix.RTM_GETROUTE, unix.NLM_F_DUMP)
	rt := nl.NewRtMsg()
	*rt = nl.RtMsg{}
	rt.Family, rt.Flags = unix.AF_INET6, unix.RTM_F_CLONED
	dump.AddData(rt)
	routes, err := dump.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWROUTE)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return err
	}
	for _, m := range routes {
		msg := nl.DeserializeRtMsg(m)
		if msg.Family != unix.AF_INET6 || msg.Flags&unix.RTM_F_CLONED == 0 {
			continue
		}
		del := nl.NewNetlinkRequest(unix.RTM_DELROUTE, unix.NLM_F_ACK)
		del.AddRawData(m)
		if _, err := del.Execute(unix.NETLINK_ROUTE, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}
