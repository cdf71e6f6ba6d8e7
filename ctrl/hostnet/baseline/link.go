package baseline

import (
	"fmt"
	"net"
	"net/netip"

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
	pair.PeerName, pair.PeerMTU, pair.PeerNamespace = b.device, mtu, netlink.NsFd(b.ns.fd)
	if err := a.ns.links.LinkAdd(pair); err != nil {
		return fmt.Errorf("add veth %s: %w", a.device, err)
	}
	for _, e := range []end{a, b} {
		if err := e.bringUp(); err != nil {
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

func (ns *namespace) defaultRoute(via netip.Addr) error {
	if err := ns.links.RouteAdd(&netlink.Route{Gw: via.AsSlice()}); err != nil {
		return fmt.Errorf("add default route via %s: %w", via, err)
	}
	return nil
}
