package hostnet

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
)

// check refuses what could not be made, before anything is touched.
func (d Desired) check(lab string, ipv6 bool) error {
	if d.Lab != lab {
		return fmt.Errorf("desired state is of lab %q, not %q", d.Lab, lab)
	}
	var errs []error
	guests := map[string]bool{}
	for _, g := range d.Guests {
		if guests[g.Namespace] {
			errs = append(errs, fmt.Errorf("guest %s: declared twice", g.Namespace))
		}
		guests[g.Namespace] = true
		if err := errors.Join(g.check(lab), g.checkLocal(ipv6), g.checkResolver()); err != nil {
			errs = append(errs, fmt.Errorf("guest %s: %w", g.Namespace, err))
		}
	}
	indices, devices := map[uint32]bool{}, map[string]bool{}
	for _, a := range d.Attachments {
		device := a.Namespace + "/" + a.Device
		switch {
		case indices[a.Index]:
			errs = append(errs, a.error(errors.New("its index is used twice")))
		case devices[device]:
			errs = append(errs, a.error(errors.New("its device is used twice")))
		case !guests[a.Namespace]:
			errs = append(errs, a.error(errors.New("its namespace is no guest's")))
		default:
			errs = append(errs, a.error(a.check(ipv6)))
		}
		indices[a.Index], devices[device] = true, true
	}
	return errors.Join(errs...)
}

func (g Guest) check(lab string) error {
	rest, ok := strings.CutPrefix(g.Namespace, stampOf(lab))
	switch {
	case !ok:
		return fmt.Errorf("name does not begin with %s", stampOf(lab))
	case rest == "" || strings.HasPrefix(rest, "_") && g.Namespace != BackboneNamespace(lab) && g.Namespace != ServicesNamespace(lab):
		return errors.New("name is reserved")
	case len(g.Namespace) > 255 || strings.ContainsAny(rest, "/\x00"):
		return errors.New("name is no file name")
	}
	return nil
}

func (g Guest) checkLocal(ipv6 bool) error {
	for _, p := range g.Local {
		switch {
		case !p.IsValid() || p.Addr().Is4In6() || p != p.Masked():
			return fmt.Errorf("local prefix %s is not valid", p)
		case p.Addr().Is6() && !ipv6:
			return fmt.Errorf("local prefix %s: IPv6 is disabled on this machine (boot without ipv6.disable=1)", p)
		}
	}
	return nil
}

func (g Guest) checkResolver() error {
	const most = 3 // MAXNS of resolv.conf(5)
	if len(g.Resolver) > most {
		return fmt.Errorf("%d name servers: resolv.conf has room for %d", len(g.Resolver), most)
	}
	for _, a := range g.Resolver {
		if !a.IsValid() || a.Is4In6() || a.Zone() != "" {
			return fmt.Errorf("name server %s is not a plain address", a)
		}
	}
	if strings.ContainsFunc(g.Search, unicode.IsControl) {
		return fmt.Errorf("search domains %q: want one line", g.Search)
	}
	return nil
}

// error tells what went wrong with which attachment: "attachment 7 (vpclab-x.app.web eth0): add veth e7: operation not permitted".
func (a Attachment) error(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("attachment %d (%s %s): %w", a.Index, a.Namespace, a.Device, err)
}

func (a Attachment) check(ipv6 bool) error {
	const minIPv4, minIPv6, maxMTU = 68, 1280, 65535 // RFC 791, RFC 8200
	least := minIPv4
	for _, p := range a.Addrs {
		switch {
		case !p.IsValid() || p.Addr().Zone() != "" || p.Addr().Is4In6():
			return fmt.Errorf("address %s is not valid", p)
		case p.Addr().Is6() && !ipv6:
			return fmt.Errorf("address %s: IPv6 is disabled on this machine (boot without ipv6.disable=1)", p)
		case p.Addr().Is6():
			least = minIPv6
		}
	}
	switch {
	case a.Device == "" || a.Device == "lo" || len(a.Device) > 15 || strings.ContainsAny(a.Device, "/: \t\n\x00%") || a.Device[0] == '.':
		return fmt.Errorf("device name %q: want 1 to 15 characters, not lo, and no slash, colon, space or percent sign", a.Device)
	case a.MAC == MAC{} || a.MAC[0]&1 != 0:
		return fmt.Errorf("MAC address %s is not a unicast address", a.MAC)
	case a.MTU < least || a.MTU > maxMTU:
		return fmt.Errorf("MTU %d: want %d to %d bytes", a.MTU, least, maxMTU)
	case !a.Default && a.Table == 0 && (a.Router4.IsValid() || a.Router6.IsValid()):
		return errors.New("an interface without default routes needs a routing table of its own")
	case a.Router4.IsValid() && !a.Router4.Is4():
		return fmt.Errorf("IPv4 router %s is not an IPv4 address", a.Router4)
	case a.Router6.IsValid() && (!a.Router6.Is6() || a.Router6.Is4In6()):
		return fmt.Errorf("IPv6 router %s is not an IPv6 address", a.Router6)
	}
	return nil
}

// has reports whether the attachment has an address of the router's family: without one, a route by the router could not be used.
func (a Attachment) has(router netip.Addr) bool {
	for _, p := range a.Addrs {
		if router.IsValid() && p.Addr().Is4() == router.Is4() {
			return true
		}
	}
	return false
}

// onLink reports whether addr lies outside all prefixes of the interface, so that a route by it must say that it is a neighbour.
func (a Attachment) onLink(addr netip.Addr) bool {
	if addr.IsLinkLocalUnicast() && addr.Is6() {
		return false
	}
	for _, p := range a.Addrs {
		if p.Contains(addr) {
			return false
		}
	}
	return true
}
