package scenario

import (
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

// directory finds instances and internet hosts of one model by what checks call them.
type directory struct {
	model     *vpc.Model
	instances map[string][]resident // by name; several VPCs may have one of the name
	hosts     map[string]*vpc.Host
	vpcs      map[string]*vpc.VPC
	gateways  map[string][]translator // NAT gateways by name
	domains   map[string]bool         // the DNS names of internet hosts, in lower case
	names     []string                // everything a NAME can be, in file order
	hops      []string                // interfaceNames, once it was asked for
	byID      map[vpc.ENIID]nic       // nics, once it was asked for
	complete  bool                    // the model is: addresses are allocated
}

// resident is an instance with its VPC.
type resident struct {
	vpc      *vpc.VPC
	instance *vpc.Instance
}

// translator is a NAT gateway with its VPC.
type translator struct {
	vpc     *vpc.VPC
	gateway *vpc.NATGateway
}

func newDirectory(m *vpc.Model, complete bool) *directory {
	d := &directory{model: m, instances: map[string][]resident{}, hosts: map[string]*vpc.Host{}, vpcs: map[string]*vpc.VPC{},
		domains: map[string]bool{}, gateways: map[string][]translator{}, complete: complete}
	for _, v := range m.VPCs {
		d.vpcs[v.Name] = v
		for _, i := range v.Instances {
			if len(d.instances[i.Name]) == 0 {
				d.names = append(d.names, i.Name)
			}
			d.instances[i.Name] = append(d.instances[i.Name], resident{v, i})
		}
		for _, g := range v.NATGateways {
			d.gateways[g.Name] = append(d.gateways[g.Name], translator{v, g})
		}
	}
	for _, h := range m.Hosts {
		d.hosts[h.Name] = h
		d.names = append(d.names, h.Name)
		for _, name := range h.Names {
			d.domains[strings.ToLower(name)] = true
		}
	}
	return d
}

// node finds who acts: NAME or VPC/NAME.
func (d *directory) node(s string) (Node, *fault) {
	r, h, f := d.find(s)
	switch {
	case f != nil:
		return Node{}, f
	case h != nil:
		return Node{Name: h.Name}, nil
	}
	return Node{VPC: r.vpc.Name, Name: r.instance.Name}, nil
}

// find looks up NAME or VPC/NAME: exactly one of the results is set.
func (d *directory) find(s string) (resident, *vpc.Host, *fault) {
	owner, name, foreign := strings.Cut(s, "/")
	if !foreign {
		return d.findName(s)
	}
	v := d.vpcs[owner]
	if v == nil {
		known := make([]string, 0, len(d.vpcs))
		for name := range d.vpcs {
			known = append(known, name)
		}
		slices.Sort(known)
		return resident{}, nil, faultf(0, didYouMean(owner, known, "the VPCs are"), "there is no VPC %s", quote(owner))
	}
	var names []string
	for _, i := range v.Instances {
		if i.Name == name {
			return resident{v, i}, nil, nil
		}
		names = append(names, i.Name)
	}
	return resident{}, nil, faultf(utf8.RuneCountInString(owner)+1, didYouMean(name, names, "its instances are"),
		"VPC %s has no instance %s", quote(owner), quote(name))
}

func (d *directory) findName(name string) (resident, *vpc.Host, *fault) {
	if h := d.hosts[name]; h != nil {
		return resident{}, h, nil
	}
	switch found := d.instances[name]; {
	case len(found) == 1:
		return found[0], nil, nil
	case len(found) > 1:
		var candidates []string
		for _, r := range found {
			candidates = append(candidates, r.vpc.Name+"/"+name)
		}
		return resident{}, nil, faultf(0, "write "+choices(candidates), "%s is an instance of several VPCs", quote(name))
	}
	return resident{}, nil, faultf(0, didYouMean(name, d.names, "the instances and internet hosts are"),
		"%s is neither an instance nor an internet host", quote(name))
}

// family is which kind of address a HOST has to have.
type family uint8

const (
	anyFamily family = iota
	ipv4
	ipv6
)

// address resolves a HOST: an address; an instance or internet host, which stands for its private IPv4 address (its IPv6 address
// where IPv6 is asked for); NAME.public and NAME.ipv6; NAME.ethN for a further interface, also NAME.ethN.public and NAME.ethN.ipv6;
// nat.NAME and nat.NAME.public for the primary addresses of a NAT gateway; endpoint.NAME for the interface of an endpoint, and
// endpoint_service.NAME for that of a load balancer, with .SUBNET where there are several; all of them also behind VPC/. The address is
// invalid without a fault when the model is not complete.
func (d *directory) address(s string, want family) (netip.Addr, *fault) {
	if s == "" {
		return netip.Addr{}, faultf(0, "name an address, an instance or an internet host", "the host is missing")
	}
	if a, err := netip.ParseAddr(s); err == nil {
		if _, f := parseAddr(s); f != nil {
			return netip.Addr{}, f
		}
		return d.fits(a, s, want)
	}
	if g, at, f := d.translator(s); f != nil || g != nil {
		if f != nil {
			return netip.Addr{}, f
		}
		a, f := d.gatewayAddress(g, s[at:], want)
		return a, f.shift(at)
	}
	if i, at, f := d.managed(s); f != nil || i != nil {
		if f != nil {
			return netip.Addr{}, f
		}
		a, f := d.managedAddress(i, s[at:], want)
		return a, f.shift(at)
	}
	whole, variant, _ := strings.Cut(s, ".")
	r, h, f := d.find(whole)
	if f != nil {
		if !strings.Contains(s, "/") && !strings.HasPrefix(f.what, quote(whole)+" is an instance of several") {
			f.what = quote(s) + " is neither an address, an instance nor an internet host"
			f.hint = ""
			if meant := near(whole, d.names); meant != "" {
				f.hint = "did you mean " + quote(meant+strings.TrimPrefix(s, whole)) + "?"
			}
		}
		return netip.Addr{}, f
	}
	at := utf8.RuneCountInString(whole) + 1
	if h != nil {
		a, f := d.hostAddress(h, variant, want)
		return a, f.shift(at)
	}
	device, form, _ := strings.Cut(variant, ".")
	if !strings.HasPrefix(device, "eth") {
		device, form = "eth0", variant
	}
	for _, eni := range r.instance.Interfaces {
		if eni.Device == device {
			a, f := d.interfaceAddress(eni, whole, form, want)
			return a, f.shift(at)
		}
	}
	return netip.Addr{}, faultf(at, "its interfaces are "+choices(devices(r.instance)),
		"instance %s has no interface %s", quote(whole), quote(device))
}

// translator finds the NAT gateway of nat.NAME or VPC/nat.NAME; what stands behind that begins at offset at. It is nil without a fault
// where something else is meant.
func (d *directory) translator(s string) (g *vpc.NATGateway, at int, f *fault) {
	owner, rest, foreign := strings.Cut(s, "/")
	if !foreign {
		owner, rest = "", s
	}
	rest, ok := strings.CutPrefix(rest, "nat.")
	if !ok || foreign && d.vpcs[owner] == nil {
		return nil, 0, nil
	}
	name, form, further := strings.Cut(rest, ".")
	at = len(s) - len(rest)
	var found []translator
	for _, t := range d.gateways[name] {
		if !foreign || t.vpc.Name == owner {
			found = append(found, t)
		}
	}
	// nat.public, nat.ipv6 and nat.eth1 are also what an instance or host called nat has.
	namesake := (name == "public" || name == "ipv6" || name == "eth0" || device.matches(name)) &&
		(d.hosts["nat"] != nil || len(d.instances["nat"]) > 0)
	switch {
	case len(found) == 0 && namesake:
		return nil, 0, nil
	case len(found) == 0:
		return nil, 0, faultf(at, didYouMean(name, d.gatewayNames(owner), "there are"), "no NAT gateway is called %s", quote(name))
	case len(found) > 1:
		var candidates []string
		for _, t := range found {
			candidates = append(candidates, t.vpc.Name+"/nat."+name)
		}
		return nil, 0, faultf(0, "write "+choices(candidates), "%s is a NAT gateway of several VPCs", quote("nat."+name))
	case namesake:
		return nil, 0, faultf(at, "rename one of them", "%s may mean NAT gateway %s or what is called `nat`", quote(s), quote(name))
	}
	if further {
		return found[0].gateway, len(s) - len(form), nil
	}
	return found[0].gateway, len(s), nil
}

// gatewayNames are the NAT gateways of a VPC, or of all.
func (d *directory) gatewayNames(owner string) []string {
	var names []string
	for name, found := range d.gateways {
		if owner == "" || slices.ContainsFunc(found, func(t translator) bool { return t.vpc.Name == owner }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (d *directory) gatewayAddress(g *vpc.NATGateway, form string, want family) (netip.Addr, *fault) {
	a := g.Addresses[0]
	if f := wrongFamily(false, want); f != nil {
		return netip.Addr{}, f
	}
	switch {
	case form == "":
		return a.IP, nil
	case form != "public":
		hint := "write " + quote("nat."+g.Name) + " or " + quote("nat."+g.Name+".public")
		return netip.Addr{}, faultf(0, hint, "a NAT gateway has no %s", quote(form))
	case g.Private:
		return netip.Addr{}, faultf(0, "write "+quote("nat."+g.Name), "NAT gateway %s is private and has no public address", quote(g.Name))
	}
	return a.Public, nil
}

func devices(i *vpc.Instance) []string {
	var names []string
	for _, eni := range i.Interfaces {
		names = append(names, eni.Device)
	}
	return names
}

// fits checks the family of an address.
func (d *directory) fits(a netip.Addr, s string, want family) (netip.Addr, *fault) {
	switch {
	case want == ipv4 && !a.Is4():
		return netip.Addr{}, faultf(0, "use `ping6`", "%s is an IPv6 address", quote(s))
	case want == ipv6 && a.Is4():
		return netip.Addr{}, faultf(0, "use `ping`", "%s is an IPv4 address", quote(s))
	}
	return a, nil
}

const hostForms = "write the name alone, or with `.public` or `.ipv6` behind it"

func (d *directory) hostAddress(h *vpc.Host, form string, want family) (netip.Addr, *fault) {
	v6 := want == ipv6
	switch form {
	case "":
	case "public":
		v6 = false
	case "ipv6":
		v6 = true
	default:
		return netip.Addr{}, faultf(0, hostForms, "an internet host has no %s", quote(form))
	}
	if f := wrongFamily(v6, want); f != nil {
		return netip.Addr{}, f
	}
	for _, a := range h.Addrs {
		if a.Is6() == v6 {
			return a, nil
		}
	}
	switch {
	case !d.complete:
		return netip.Addr{}, nil
	case v6:
		return netip.Addr{}, faultf(0, "give it one under `ip`", "internet host %s has no IPv6 address", quote(h.Name))
	}
	return netip.Addr{}, faultf(0, "write "+quote(h.Name+".ipv6"), "internet host %s has no IPv4 address", quote(h.Name))
}

// wrongFamily says that NAME.ipv6 or NAME.public does not go with ping or ping6.
func wrongFamily(v6 bool, want family) *fault {
	switch {
	case v6 && want == ipv4:
		return faultf(0, "use `ping6`", "this is an IPv6 address")
	case !v6 && want == ipv6:
		return faultf(0, "use `ping`", "this is an IPv4 address")
	}
	return nil
}

func (d *directory) interfaceAddress(eni *vpc.ENI, whole, form string, want family) (netip.Addr, *fault) {
	var a netip.Addr
	missing := ""
	v6 := want == ipv6
	switch form {
	case "":
		a, missing = eni.IP, "private IPv4 address"
		if v6 {
			a, missing = eni.IPv6, "IPv6 address"
		}
	case "public":
		a, missing, v6 = eni.Public, "public IPv4 address", false
	case "ipv6":
		a, missing, v6 = eni.IPv6, "IPv6 address", true
	default:
		return a, faultf(0, hostForms, "an instance has no %s", quote(form))
	}
	if f := wrongFamily(v6, want); f != nil {
		return netip.Addr{}, f
	}
	if !a.IsValid() && d.complete {
		hint := map[string]string{
			"private IPv4 address": "write " + quote(whole+".ipv6"),
			"public IPv4 address":  "give it `eip: auto`, or its subnet `public_ip: true`",
			"IPv6 address":         "give its subnet `ipv6`",
		}[missing]
		return a, faultf(0, hint, "instance %s has no %s", quote(whole), missing)
	}
	return a, nil
}

// interfaceNames are the names by which hops call interfaces, internet hosts, NAT gateways and endpoints: web, firewall.eth1, nat.out.
func (d *directory) interfaceNames() []string {
	if d.hops != nil {
		return d.hops
	}
	for _, found := range d.instances {
		for _, r := range found {
			for _, eni := range r.instance.Interfaces {
				d.hops = append(d.hops, eni.Name)
			}
		}
	}
	for name := range d.hosts {
		d.hops = append(d.hops, name)
	}
	for name := range d.gateways {
		d.hops = append(d.hops, "nat."+name)
	}
	for _, name := range d.managedNames("endpoint", "") {
		d.hops = append(d.hops, "endpoint."+name)
	}
	for _, name := range d.managedNames(serviceKind, "") {
		d.hops = append(d.hops, serviceKind+"."+name)
	}
	slices.Sort(d.hops)
	return d.hops
}
