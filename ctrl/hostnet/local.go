package hostnet

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// applyLocal makes every address of some prefixes the guest's own, by routes of the kind that the kernel itself makes for an
// interface's address (ip-route(8), type local). lo must be up.
func applyLocal(h *netlink.Handle, lo netlink.Link, want, before []netip.Prefix) (changes int, err error) {
	if len(want)+len(before) == 0 {
		return 0, nil
	}
	have, err := observeLocal(h, lo)
	if err != nil {
		return 0, err
	}
	for _, p := range missing(want, have) {
		if err := h.RouteAdd(localRoute(p, lo)); err != nil {
			return changes, fmt.Errorf("add local route %s: %w", p, hint(err, "needs CAP_NET_ADMIN"))
		}
		changes++
	}
	for _, p := range obsolete(before, want, have) {
		if err := h.RouteDel(localRoute(p, lo)); err != nil && !errors.Is(err, unix.ESRCH) {
			return changes, fmt.Errorf("remove local route %s: %w", p, err)
		}
		changes++
	}
	if changes == 0 {
		return 0, nil
	}
	return changes, verifyLocal(h, lo, want, before)
}

func verifyLocal(h *netlink.Handle, lo netlink.Link, want, before []netip.Prefix) error {
	have, err := observeLocal(h, lo)
	if err != nil {
		return err
	}
	lacks := appendEach(nil, "local route %v is missing", missing(want, have))
	lacks = appendEach(lacks, "local route %v is still there", obsolete(before, want, have))
	if len(lacks) > 0 {
		return fmt.Errorf("verify lo: %s", strings.Join(lacks, "; "))
	}
	return nil
}

// observeLocal lists the prefixes that are local by lo.
func observeLocal(h *netlink.Handle, lo netlink.Link) ([]netip.Prefix, error) {
	filter := &netlink.Route{Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL, LinkIndex: lo.Attrs().Index}
	var found []netip.Prefix
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := h.RouteListFiltered(family, filter, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_TYPE|netlink.RT_FILTER_OIF)
		if err != nil {
			return nil, fmt.Errorf("list local routes: %w", err)
		}
		for _, r := range list {
			if p, ok := prefixOf(r.Dst); ok && !slices.Contains(found, p) {
				found = append(found, p)
			}
		}
	}
	return found, nil
}

func localRoute(p netip.Prefix, lo netlink.Link) *netlink.Route {
	return &netlink.Route{
		LinkIndex: lo.Attrs().Index, Dst: ipNet(p), Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL,
		Scope: netlink.SCOPE_HOST, Protocol: unix.RTPROT_STATIC,
	}
}
