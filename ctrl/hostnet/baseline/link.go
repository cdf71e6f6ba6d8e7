package baseline

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
)

// mtu of every interface in bytes, as inside a VPC (EC2 user guide, network MTU), so that all beds cut their data alike.
const mtu = 9001

// end is one end of a veth pair.
type end struct {
	ns     *namespace
	device string
	addr   netip.Prefix
}

// join connects two ends by a veth pair and brings both up.
func join(a, b end) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = a.device, mtu
	pair := netlink.NewVeth(attrs)
	pair.PeerName, pair.PeerMTU, pair.PeerNamespace = b.device, mtu, netlink.NsFd(b.ns.file.Fd())
	if err := a.ns.links.LinkAdd(pair); err != nil {
		return fmt.Errorf("add veth %s: %w", a.device, err)
	}
	for _, e := range []end{a, b} {
		if err := e.bringUp(); err != nil {
			return fmt.Errorf("bring up %s: %w", e.device, err)
		}
	}
	for _, e := range []end{a, b} {
		if err := e.awaitUp(); err != nil {
			return fmt.Errorf("bring up %s: %w", e.device, err)
		}
	}
	return nil
}

func (e end) bringUp() error {
	link, err := e.ns.links.LinkByName(e.device)
	if err != nil {
		return err
	}
	if err := e.ns.links.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{
		IP:   e.addr.Addr().AsSlice(),
		Mask: net.CIDRMask(e.addr.Bits(), e.addr.Addr().BitLen()),
	}}); err != nil {
		return fmt.Errorf("add address %s: %w", e.addr, err)
	}
	return e.ns.links.LinkSetUp(link)
}

// upWithin bounds the wait for a link to carry packets. The kernel needs milliseconds, or a second if many links change.
const upWithin = 10 * time.Second

// awaitUp waits until the link carries packets. The kernel learns of the carrier in a work queue of its own, and until then drops
// what is sent; a lost SYN would be sent again only after a second, in the middle of the first measurement.
func (e end) awaitUp() error {
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(upWithin); ; <-poll.C {
		link, err := e.ns.links.LinkByName(e.device)
		if err != nil {
			return err
		}
		if state := link.Attrs().OperState; state == netlink.OperUp {
			return nil
		} else if time.Now().After(deadline) {
			return fmt.Errorf("link is still %s after %v", state, upWithin)
		}
	}
}

func (ns *namespace) defaultRoute(via netip.Addr) error {
	if err := ns.links.RouteAdd(&netlink.Route{Gw: via.AsSlice()}); err != nil {
		return fmt.Errorf("add default route via %s: %w", via, err)
	}
	return nil
}
