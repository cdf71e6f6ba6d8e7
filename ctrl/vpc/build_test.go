package vpc

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// The constructors below let tests be read aloud: lab(network("app", "10.0.0.0/16", subnet("public", "10.0.0.0/24"))).

type part func(*VPC)

func lab(vpcs ...*VPC) *Model { return &Model{Name: "test", VPCs: vpcs} }

// peered adds connections "NAME REQUESTER ACCEPTER WORD…"; the words say "pending", "rejected", "none" for no encryption, "dns=requester",
// "dns=accepter" and "expect=STATE".
func (m *Model) peered(connections ...string) *Model {
	for _, text := range connections {
		f := strings.Fields(text)
		p := &Peering{Name: f[0], Requester: f[1], Accepter: f[2], Accept: true}
		for _, word := range f[3:] {
			key, value, _ := strings.Cut(word, "=")
			switch key {
			case "pending":
				p.Accept = false
			case "rejected":
				p.Accept, p.Reject = false, true
			case "none":
				p.Encryption = NoEncryption
			case "dns":
				p.DNSRequester, p.DNSAccepter = p.DNSRequester || value == "requester", p.DNSAccepter || value == "accepter"
			case "expect":
				p.ExpectState = PeeringState(value)
			}
		}
		m.Peerings = append(m.Peerings, p)
	}
	return m
}

// later is the model after so much lab time.
func (m *Model) later(hours int) *Model {
	m.Elapsed = time.Duration(hours) * time.Hour
	return m
}

func (m *Model) with(hosts ...*Host) *Model {
	m.Hosts = append(m.Hosts, hosts...)
	return m
}

func host(name string, addrs ...string) *Host {
	h := &Host{Name: name}
	for _, a := range addrs {
		h.Addrs = append(h.Addrs, netip.MustParseAddr(a))
	}
	return h
}

// network is a VPC of the CIDRs, which are separated by spaces.
func network(name, cidrs string, parts ...part) *VPC {
	v := &VPC{Name: name, CIDRs: prefixes(cidrs)}
	for _, p := range parts {
		p(v)
	}
	return v
}

func prefixes(text string) []netip.Prefix {
	var all []netip.Prefix
	for _, f := range strings.Fields(text) {
		all = append(all, netip.MustParsePrefix(f))
	}
	return all
}

func igw(v *VPC) { v.InternetGateway = true }

func eigw(v *VPC) { v.EgressOnlyGateway = true }

// edge is the internet gateway, with a route table of these routes.
func edge(routes ...string) part {
	return func(v *VPC) {
		v.InternetGateway, v.EdgeRoutes = true, []Route{}
		for _, r := range routes {
			v.EdgeRoutes = append(v.EdgeRoutes, route(r))
		}
	}
}

// nat is a NAT gateway in the subnet; the words say "private", "ip=" and "eip=" (or auto) of its primary address. "+ip=" and "+eip="
// begin secondary ones.
func nat(name, in string, words ...string) part {
	return func(v *VPC) {
		g := &NATGateway{Name: name, Subnet: in, Addresses: make([]NATAddress, 1)}
		for _, word := range words {
			word, further := strings.CutPrefix(word, "+")
			if further {
				g.Addresses = append(g.Addresses, NATAddress{})
			}
			a := &g.Addresses[len(g.Addresses)-1]
			key, value, _ := strings.Cut(word, "=")
			switch {
			case key == "private":
				g.Private = true
			case key == "ip":
				a.IP = netip.MustParseAddr(value)
			case value == "auto":
				a.AutoPublic = true
			default:
				a.Public = netip.MustParseAddr(value)
			}
		}
		v.NATGateways = append(v.NATGateways, g)
	}
}

func ipv6(cidrs string) part { return func(v *VPC) { v.IPv6 = prefixes(cidrs) } }

// subnet takes IPv4 and IPv6 CIDRs, and words: "public" for public_ip, "az=b", "table=NAME", "acl=NAME".
func subnet(name string, words ...string) part {
	return func(v *VPC) {
		s := &Subnet{Name: name}
		for _, word := range words {
			key, value, _ := strings.Cut(word, "=")
			switch key {
			case "public":
				s.PublicIP = true
			case "az":
				s.AZ = value
			case "table":
				s.RouteTable = value
			case "acl":
				s.ACL = value
			default:
				if p := netip.MustParsePrefix(word); p.Addr().Is4() {
					s.CIDR = p
				} else {
					s.IPv6 = p
				}
			}
		}
		v.Subnets = append(v.Subnets, s)
	}
}

// table takes routes like "0.0.0.0/0 igw", "pl.corp instance.fw", "10.1.0.0/16 local".
func table(name string, routes ...string) part {
	return func(v *VPC) {
		t := &RouteTable{Name: name}
		for _, r := range routes {
			t.Routes = append(t.Routes, route(r))
		}
		v.RouteTables = append(v.RouteTables, t)
	}
}

// route reads "DESTINATION TARGET [ORIGIN]".
func route(text string) Route {
	f := strings.Fields(text)
	kind, name, _ := strings.Cut(f[1], ".")
	r := Route{Target: Target{Kind: TargetKind(kind), Name: name}}
	if list, ok := strings.CutPrefix(f[0], "pl."); ok {
		r.PrefixList = list
	} else {
		r.Destination = netip.MustParsePrefix(f[0])
	}
	if len(f) > 2 {
		r.Origin = map[string]RouteOrigin{
			"static": CreateRoute, "dx": PropagatedDX, "vpn-static": PropagatedVPNStatic, "vpn-bgp": PropagatedVPNDynamic,
		}[f[2]]
	}
	return r
}

func prefixList(name, cidrs string) part {
	return func(v *VPC) { v.PrefixLists = append(v.PrefixLists, &PrefixList{Name: name, Entries: prefixes(cidrs)}) }
}

// group is a security group with these ingress rules.
func group(name string, ingress ...SGRule) part {
	return func(v *VPC) {
		v.SecurityGroups = append(v.SecurityGroups, &SecurityGroup{Name: name, Ingress: ingress})
	}
}

// allow is a rule for a peer like 10.0.0.0/8, sg.web, data/sg.db or pl.corp.
func allow(t Traffic, peer string) SGRule {
	r := SGRule{Traffic: t, Text: "from " + peer}
	owner, name, other := strings.Cut(peer, "/sg.")
	switch {
	case strings.HasPrefix(peer, "sg."):
		r.Group.Name = peer[3:]
	case strings.HasPrefix(peer, "pl."):
		r.PrefixList = peer[3:]
	case other:
		r.Group = GroupRef{VPC: owner, Name: name}
	case peer != "":
		r.CIDR = netip.MustParsePrefix(peer)
	}
	return r
}

func tcp(from, to uint16) Traffic { return Traffic{Protocol: protoTCP, FromPort: from, ToPort: to} }

func icmp(typ, code int) Traffic { return Traffic{Protocol: protoICMP, ICMPType: typ, ICMPCode: code} }

func protocol(n int) Traffic { return Traffic{Protocol: n} }

// acl is a network ACL with these ingress entries.
func acl(name string, ingress ...ACLEntry) part {
	return func(v *VPC) { v.ACLs = append(v.ACLs, &ACL{Name: name, Ingress: ingress}) }
}

func entry(number int, t Traffic, cidr string) ACLEntry {
	e := ACLEntry{Number: number, Allow: true, Traffic: t}
	if cidr != "" {
		e.CIDR = netip.MustParsePrefix(cidr)
	}
	return e
}

// instance has eth0 in the subnet, and what the words say: "ip=", "secondary=A,B", "ipv6=" (or none), "eip=" (or auto), "sg=A,B",
// "serve=tcp:80". "+eth1" and a subnet begin a further interface, to which the words after it belong.
func instance(name, in string, words ...string) part {
	return func(v *VPC) {
		e := &ENI{Subnet: in, SourceDestCheck: true}
		i := &Instance{Name: name, Interfaces: []*ENI{e}}
		for _, word := range words {
			if device, ok := strings.CutPrefix(word, "+"); ok {
				device, in, _ := strings.Cut(device, "=")
				e = &ENI{Device: device, Name: name + "." + device, Subnet: in, SourceDestCheck: true}
				i.Interfaces = append(i.Interfaces, e)
				continue
			}
			key, value, _ := strings.Cut(word, "=")
			equip(v, i, e, key, value)
		}
		v.Instances = append(v.Instances, i)
	}
}

func equip(v *VPC, i *Instance, e *ENI, key, value string) {
	switch {
	case key == "ip":
		e.IP = netip.MustParseAddr(value)
	case key == "secondary":
		for _, a := range strings.Split(value, ",") {
			e.Secondary = append(e.Secondary, netip.MustParseAddr(a))
		}
	case key == "ipv6" && value == "none":
		e.NoIPv6 = true
	case key == "ipv6":
		e.IPv6 = netip.MustParseAddr(value)
	case key == "eip" && value == "auto":
		e.AutoPublic = true
	case key == "eip":
		e.Public = netip.MustParseAddr(value)
	case key == "sg":
		e.Groups = []GroupRef{}
		for _, g := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' }) {
			owner, g, other := strings.Cut(g, "/")
			if !other {
				owner, g = "", owner
			}
			e.Groups = append(e.Groups, GroupRef{VPC: owner, Name: g})
		}
	case key == "serve":
		kind, port, _ := strings.Cut(value, ":")
		var l Listener
		l.Kind = kind
		fmt.Sscan(port, &l.Port)
		i.Serve = append(i.Serve, l)
	default:
		panic(v.Name + ": " + key)
	}
}

// complete completes a model that must be right.
func complete(t *testing.T, m, prev *Model) *Model {
	t.Helper()
	for _, p := range m.Complete(prev) {
		t.Errorf("unexpected problem: %v", p)
	}
	return m
}

// eni is an interface of the lab by VPC and name, which must exist.
func eni(t *testing.T, m *Model, vpc, name string) *ENI {
	t.Helper()
	e := m.VPC(vpc).ENI(name)
	if e == nil {
		t.Fatalf("no interface %s in VPC %s", name, vpc)
	}
	return e
}

// endpoint is a VPC endpoint to the service; the words say "tables=A,B" of a gateway endpoint, and of an interface endpoint
// "in=SUBNET,SUBNET:IP", "sg=A,B", "dns" for private DNS, "dual", and "expect=STATE".
func endpoint(name, service string, words ...string) part {
	return func(v *VPC) {
		e := &Endpoint{Name: name, Type: GatewayEndpoint, Service: ServiceRef{Name: service}}
		if owner, name, own := strings.Cut(service, "/"); own {
			e.Service = ServiceRef{owner, name}
		}
		for _, word := range words {
			key, value, _ := strings.Cut(word, "=")
			switch list := strings.Split(value, ","); key {
			case "tables":
				e.RouteTables = list
			case "in":
				e.Type, e.Interfaces = InterfaceEndpoint, interfacesIn(list)
			case "sg":
				for _, g := range list {
					e.Groups = append(e.Groups, GroupRef{Name: g})
				}
			case "dns":
				e.PrivateDNS = true
			case "dual":
				e.DualStack = true
			case "expect":
				e.ExpectState = EndpointState(value)
			}
		}
		v.Endpoints = append(v.Endpoints, e)
	}
}

func interfacesIn(subnets []string) []*EndpointInterface {
	var all []*EndpointInterface
	for _, in := range subnets {
		subnet, ip, named := strings.Cut(in, ":")
		i := &EndpointInterface{Subnet: subnet}
		if named {
			i.IP = netip.MustParseAddr(ip)
		}
		all = append(all, i)
	}
	return all
}

// offer is an endpoint service at port 80 with these targets, separated by commas; the words say "in=SUBNET,SUBNET", "acceptance",
// "accepted=VPC/NAME,…", "rejected=VPC/NAME,…" and "for=PRINCIPAL,…".
func offer(name, targets string, words ...string) part {
	return func(v *VPC) {
		s := &EndpointService{Name: name, Ports: []uint16{80}, Targets: strings.FieldsFunc(targets, func(r rune) bool { return r == ',' })}
		for _, word := range words {
			key, value, _ := strings.Cut(word, "=")
			switch list := strings.Split(value, ","); key {
			case "in":
				s.Interfaces = interfacesIn(list)
			case "acceptance":
				s.Acceptance = true
			case "accepted":
				s.Accepted = endpointRefs(list)
			case "rejected":
				s.Rejected = endpointRefs(list)
			case "for":
				s.Principals = list
			}
		}
		v.EndpointServices = append(v.EndpointServices, s)
	}
}

func endpointRefs(names []string) []EndpointRef {
	var refs []EndpointRef
	for _, text := range names {
		owner, name, _ := strings.Cut(text, "/")
		refs = append(refs, EndpointRef{owner, name})
	}
	return refs
}

func in(region string) part { return func(v *VPC) { v.Region = region } }

func of(account string) part { return func(v *VPC) { v.Account = account } }
