package hostnet

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// device is what we set of a link, as wanted or as observed.
type device struct {
	Up         bool
	MTU        int // bytes
	MAC        MAC // zero: has none (a TUN)
	Alias      string
	Group      uint32
	TxQueueLen int    // packets; 0: as it is
	GSOMaxSegs uint32 // 0: as it is
}

func deviceOf(l netlink.Link, want device) device {
	a := l.Attrs()
	have := device{
		Up: a.Flags&net.FlagUp != 0, MTU: a.MTU, Alias: a.Alias, Group: a.Group,
		TxQueueLen: a.TxQLen, GSOMaxSegs: a.GSOMaxSegs,
	}
	if len(a.HardwareAddr) == len(have.MAC) {
		have.MAC = MAC(a.HardwareAddr)
	}
	if want.TxQueueLen == 0 {
		have.TxQueueLen = 0
	}
	if want.GSOMaxSegs == 0 {
		have.GSOMaxSegs = 0
	}
	return have
}

// route is a route by one of our interfaces, without the interface.
type route struct {
	To    netip.Prefix
	Via   netip.Addr // invalid: on-link
	Table int
}

func (r route) String() string {
	if !r.Via.IsValid() {
		return fmt.Sprintf("%s on-link, table %d", r.To, r.Table)
	}
	return fmt.Sprintf("%s via %s, table %d", r.To, r.Via, r.Table)
}

// rule selects a routing table by source.
type rule struct {
	From  netip.Addr
	Table int
}

func (r rule) String() string { return fmt.Sprintf("from %s lookup %d", r.From, r.Table) }

// nic is a guest's interface, as wanted or as observed.
type nic struct {
	Device device
	Addrs  []netip.Prefix
	Routes []route
	Rules  []rule
}

const mainTable = unix.RT_TABLE_MAIN

// nicOf is what a guest's interface should look like. The route of each subnet comes with its address; an interface without default
// routes has both kinds in its own table, where its source addresses lead.
func nicOf(a Attachment, alias string) nic {
	n := nic{Device: device{Up: true, MTU: a.MTU, MAC: a.MAC, Alias: alias}, Addrs: a.Addrs}
	table := mainTable
	if !a.Default {
		table = a.Table
	}
	for _, r := range []netip.Addr{a.Router4, a.Router6} {
		if a.has(r) {
			n.Routes = append(n.Routes, route{netip.PrefixFrom(zero(r), 0), r, table})
		}
	}
	if a.Default || table == 0 {
		return n
	}
	for _, p := range a.Addrs {
		n.Rules = append(n.Rules, rule{p.Addr(), table})
		if subnet := (route{p.Masked(), netip.Addr{}, table}); !p.IsSingleIP() && !slices.Contains(n.Routes, subnet) {
			// Before the default routes, whose router must be a neighbour when they are added.
			n.Routes = slices.Insert(n.Routes, 0, subnet)
		}
	}
	return n
}

func zero(family netip.Addr) netip.Addr {
	if family.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// nicDiff is what must change. Removed are only things that were ours before: what the guest itself adds is its own affair.
type nicDiff struct {
	AddAddrs, DelAddrs   []netip.Prefix
	AddRoutes, DelRoutes []route
	AddRules, DelRules   []rule
}

func diffNIC(have, want, before nic) nicDiff {
	return nicDiff{
		AddAddrs: missing(want.Addrs, have.Addrs), DelAddrs: obsolete(before.Addrs, want.Addrs, have.Addrs),
		AddRoutes: missing(want.Routes, have.Routes), DelRoutes: obsolete(before.Routes, want.Routes, have.Routes),
		AddRules: missing(want.Rules, have.Rules), DelRules: obsolete(before.Rules, want.Rules, have.Rules),
	}
}

// missing lists what is wanted and not there.
func missing[T comparable](want, have []T) []T {
	var list []T
	for _, w := range want {
		if !slices.Contains(have, w) {
			list = append(list, w)
		}
	}
	return list
}

// obsolete lists what we once made, do not want any more and still find.
func obsolete[T comparable](before, want, have []T) []T {
	var list []T
	for _, b := range before {
		if !slices.Contains(want, b) && slices.Contains(have, b) {
			list = append(list, b)
		}
	}
	return list
}

// lacks says in words how what was made differs from what is wanted.
func (d nicDiff) lacks() []string {
	var list []string
	list = appendEach(list, "address %v is missing", d.AddAddrs)
	list = appendEach(list, "address %v is still there", d.DelAddrs)
	list = appendEach(list, "route %v is missing", d.AddRoutes)
	list = appendEach(list, "route %v is still there", d.DelRoutes)
	list = appendEach(list, "rule %v is missing", d.AddRules)
	return appendEach(list, "rule %v is still there", d.DelRules)
}

func appendEach[T any](list []string, format string, values []T) []string {
	for _, v := range values {
		list = append(list, fmt.Sprintf(format, v))
	}
	return list
}

// lacks says in words how a device differs from the wanted one.
func (have device) lacks(want device) []string {
	var list []string
	differ := func(what string, differs bool, h, w any) {
		if differs {
			list = append(list, fmt.Sprintf("%s is %v, not %v", what, h, w))
		}
	}
	differ("up", have.Up != want.Up, have.Up, want.Up)
	differ("MTU", have.MTU != want.MTU, have.MTU, want.MTU)
	differ("MAC address", have.MAC != want.MAC, have.MAC, want.MAC)
	differ("alias", have.Alias != want.Alias, fmt.Sprintf("%q", have.Alias), fmt.Sprintf("%q", want.Alias))
	differ("link group", have.Group != want.Group, have.Group, want.Group)
	differ("transmit queue", have.TxQueueLen != want.TxQueueLen, have.TxQueueLen, want.TxQueueLen)
	differ("largest segment count", have.GSOMaxSegs != want.GSOMaxSegs, have.GSOMaxSegs, want.GSOMaxSegs)
	return list
}

// setDevice changes what differs, one property at a time, and counts the changes.
func setDevice(h *netlink.Handle, l netlink.Link, want device) (changes int, err error) {
	have := deviceOf(l, want)
	name := l.Attrs().Name
	set := func(what string, differs bool, f func() error) {
		if !differs || err != nil {
			return
		}
		if e := f(); e != nil {
			err = fmt.Errorf("set %s of %s: %w", what, name, hint(e, "needs CAP_NET_ADMIN"))
			return
		}
		changes++
	}
	set("MTU", have.MTU != want.MTU, func() error { return h.LinkSetMTU(l, want.MTU) })
	set("MAC address", have.MAC != want.MAC, func() error { return h.LinkSetHardwareAddr(l, want.MAC[:]) })
	set("alias", have.Alias != want.Alias, func() error { return h.LinkSetAlias(l, want.Alias) })
	set("link group", have.Group != want.Group, func() error { return h.LinkSetGroup(l, int(want.Group)) })
	set("transmit queue", have.TxQueueLen != want.TxQueueLen, func() error { return h.LinkSetTxQLen(l, want.TxQueueLen) })
	set("largest segment count", have.GSOMaxSegs != want.GSOMaxSegs, func() error {
		return h.LinkSetGSOMaxSegs(l, int(want.GSOMaxSegs))
	})
	set("state", have.Up != want.Up, func() error { return h.LinkSetUp(l) })
	return changes, err
}

// verifyDevice looks at a link that was made or changed.
func verifyDevice(h *netlink.Handle, name string, want device) (netlink.Link, error) {
	l, err := h.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("verify %s: %w", name, err)
	}
	if lacks := deviceOf(l, want).lacks(want); len(lacks) > 0 {
		return nil, fmt.Errorf("verify %s: %s", name, strings.Join(lacks, "; "))
	}
	return l, nil
}

// applyNIC makes one interface of the guest whose namespace h is in. The veth is there already.
func applyNIC(h *netlink.Handle, name string, want, before nic) (changes int, err error) {
	l, err := h.LinkByName(name)
	if err != nil {
		return 0, fmt.Errorf("find %s: %w", name, err)
	}
	have, err := observeAddrs(h, l)
	if err != nil {
		return 0, err
	}
	// Addresses before the interface comes up, so that it never speaks without one; routes need it up.
	d := diffNIC(have, want, before)
	for _, p := range d.AddAddrs {
		if err := h.AddrAdd(l, addrOf(p)); err != nil {
			return changes, fmt.Errorf("add address %s: %w", p, hint(err, "needs CAP_NET_ADMIN"))
		}
		changes++
	}
	n, err := setDevice(h, l, want.Device)
	changes += n
	if err != nil {
		return changes, err
	}
	for _, p := range d.DelAddrs {
		if err := h.AddrDel(l, addrOf(p)); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return changes, fmt.Errorf("remove address %s: %w", p, err)
		}
		changes++
	}
	n, err = applyRoutes(h, l, want, before)
	changes += n
	if err != nil || changes == 0 {
		return changes, err
	}
	return changes, verifyNIC(h, name, want, before)
}

// applyRoutes comes after the addresses: to remove one may have removed routes.
func applyRoutes(h *netlink.Handle, l netlink.Link, want, before nic) (changes int, err error) {
	have := nic{}
	if have.Routes, err = observeRoutes(h, l); err != nil {
		return 0, err
	}
	if len(want.Rules)+len(before.Rules) > 0 {
		if have.Rules, err = observeRules(h); err != nil {
			return 0, err
		}
	}
	d := diffNIC(have, nic{Routes: want.Routes, Rules: want.Rules}, nic{Routes: before.Routes, Rules: before.Rules})
	for _, r := range d.AddRoutes {
		if err := h.RouteAppend(netlinkRoute(r, l, want)); err != nil {
			return changes, fmt.Errorf("add route %s: %w", r, err)
		}
		changes++
	}
	for _, r := range d.AddRules {
		if err := h.RuleAdd(netlinkRule(r)); err != nil {
			return changes, fmt.Errorf("add rule %s: %w", r, err)
		}
		changes++
	}
	for _, r := range d.DelRules {
		if err := h.RuleDel(netlinkRule(r)); err != nil && !errors.Is(err, unix.ENOENT) {
			return changes, fmt.Errorf("remove rule %s: %w", r, err)
		}
		changes++
	}
	for _, r := range d.DelRoutes {
		if err := h.RouteDel(netlinkRoute(r, l, want)); err != nil && !errors.Is(err, unix.ESRCH) {
			return changes, fmt.Errorf("remove route %s: %w", r, err)
		}
		changes++
	}
	return changes, nil
}

func verifyNIC(h *netlink.Handle, name string, want, before nic) error {
	l, err := verifyDevice(h, name, want.Device)
	if err != nil {
		return err
	}
	have, err := observeAddrs(h, l)
	if err != nil {
		return err
	}
	if have.Routes, err = observeRoutes(h, l); err != nil {
		return err
	}
	if len(want.Rules)+len(before.Rules) > 0 {
		if have.Rules, err = observeRules(h); err != nil {
			return err
		}
	}
	if lacks := diffNIC(have, want, before).lacks(); len(lacks) > 0 {
		return fmt.Errorf("verify %s: %s", name, strings.Join(lacks, "; "))
	}
	return nil
}

// observeAddrs lists the usable addresses of a link. A tentative one cannot be used yet and counts as missing.
func observeAddrs(h *netlink.Handle, l netlink.Link) (nic, error) {
	list, err := h.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return nic{}, fmt.Errorf("list addresses of %s: %w", l.Attrs().Name, err)
	}
	var n nic
	for _, a := range list {
		if p, ok := prefixOf(a.IPNet); ok && a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0 {
			n.Addrs = append(n.Addrs, p)
		}
	}
	return n, nil
}

func observeRoutes(h *netlink.Handle, l netlink.Link) ([]route, error) {
	var routes []route
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		// Table 0 with its filter bit means every table, and not the main one alone.
		list, err := h.RouteListFiltered(family, &netlink.Route{}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return nil, fmt.Errorf("list routes of %s: %w", l.Attrs().Name, err)
		}
		for _, r := range list {
			to, ok := prefixOf(r.Dst)
			if !ok {
				continue
			}
			// IPv6 shows routes of equal prefix and metric as one route of several next hops.
			hops := append(r.MultiPath, &netlink.NexthopInfo{LinkIndex: r.LinkIndex, Gw: r.Gw})
			for _, hop := range hops {
				if hop.LinkIndex == l.Attrs().Index {
					via, _ := netip.AddrFromSlice(hop.Gw)
					routes = append(routes, route{to.Masked(), via.Unmap(), r.Table})
				}
			}
		}
	}
	return routes, nil
}

func observeRules(h *netlink.Handle) ([]rule, error) {
	list, err := h.RuleList(netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list rules: %w", err)
	}
	rules := map[rule]bool{}
	for _, r := range list {
		if p, ok := prefixOf(r.Src); ok && p.IsSingleIP() && r.Priority == rulePriority {
			rules[rule{p.Addr(), r.Table}] = true
		}
	}
	return slices.Collect(maps.Keys(rules)), nil
}

func addrOf(p netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		// Nobody else has the address, and a tentative one could not be used for a second.
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}

func netlinkRoute(r route, l netlink.Link, n nic) *netlink.Route {
	nr := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(r.To), Table: r.Table, Protocol: unix.RTPROT_STATIC}
	if !r.Via.IsValid() {
		nr.Scope = netlink.SCOPE_LINK
		return nr
	}
	nr.Gw = r.Via.AsSlice()
	if (Attachment{Addrs: n.Addrs}).onLink(r.Via) {
		nr.Flags = unix.RTNH_F_ONLINK
	}
	return nr
}

// rulePriority puts our rules before the main table's (32766).
const rulePriority = 10000

func netlinkRule(r rule) *netlink.Rule {
	nr := netlink.NewRule()
	nr.Priority, nr.Table = rulePriority, r.Table
	nr.Src = ipNet(netip.PrefixFrom(r.From, r.From.BitLen()))
	return nr
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	ones, bits := n.Mask.Size()
	if !ok || bits == 0 {
		return netip.Prefix{}, false
	}
	if addr = addr.Unmap(); addr.BitLen() != bits {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(addr, ones), true
}
