package scenario

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

// decode turns a tree whose shape was checked into a model that is not yet complete. Values that are wrong are left at zero; the
// resources around them stay, so that references to them lead somewhere.
func (r *reader) decode(root *node) *vpc.Model {
	m := &vpc.Model{Name: textOf(root.get("name")), Region: textOf(root.get("region")), Account: textOf(root.get("account")),
		Tracking: decodeTracking(root.get("tracking"))}
	for _, e := range root.get("vpcs").all() {
		v := decodeVPC(e)
		for _, e := range e.value.get("endpoints").all() {
			v.Endpoints = append(v.Endpoints, r.decodeEndpoint(e))
		}
		m.VPCs = append(m.VPCs, v)
	}
	for _, e := range root.get("peerings").all() {
		p := decodePeering(e)
		m.Peerings = append(m.Peerings, p)
		if p.DNSRequester || p.DNSAccepter {
			namesHosts(root, m.VPC(p.Requester))
			namesHosts(root, m.VPC(p.Accepter))
		}
	}
	for _, v := range m.VPCs {
		privateNames(root, v)
	}
	m.Services = r.decodeServices(root.get("services"))
	m.Zones = r.privateZones(root.get("private_zones"))
	for _, e := range root.get("flow_logs").all() {
		m.FlowLogs = append(m.FlowLogs, decodeFlowLog(e))
		r.filesInS3(e.value)
	}
	owners := map[string]string{} // an instance's VPC
	for _, v := range m.VPCs {
		for _, i := range v.Instances {
			owners[i.Name] = v.Name
		}
	}
	for _, e := range root.get("internet").get("hosts").all() {
		m.Hosts = append(m.Hosts, decodeHost(e))
		if owner := owners[e.key]; owner != "" {
			r.report(r.keyAt(e), quote(e.key)+" is also an instance of VPC "+owner+", and a check could mean either", "rename one of them")
		}
	}
	return m
}

// decodePeering reads a peering connection; one that is rejected is not accepted unless it says so too.
func decodePeering(e entry) *vpc.Peering {
	n := e.value
	reject := boolOf(n.get("reject"), false)
	return &vpc.Peering{
		Name: e.key, Requester: textOf(n.get("requester")), Accepter: textOf(n.get("accepter")),
		Accept: boolOf(n.get("accept"), !reject), Reject: reject,
		DNSRequester: boolOf(n.get("dns").get("requester"), false), DNSAccepter: boolOf(n.get("dns").get("accepter"), false),
		Encryption: vpc.Encryption(textOf(n.get("encryption"))), Link: decodeLink(n.get("link")),
		ExpectState: vpc.PeeringState(textOf(n.get("expect_state"))),
	}
}

// namesHosts gives a VPC public host names if the file leaves that open: a peering connection's DNS options need them.
func namesHosts(root *node, v *vpc.VPC) {
	if v != nil && v.DNSSupport && !root.get("vpcs").get(v.Name).get("dns").has("hostnames") {
		v.DNSHostnames = true
	}
}

func decodeTracking(n *node) vpc.Tracking {
	timeout := func(key string) time.Duration {
		d, _ := parseDuration(textOf(n.get(key))) // checked by its shape
		return d
	}
	return vpc.Tracking{TCPEstablished: timeout("tcp_established"), UDPStream: timeout("udp_stream"), UDP: timeout("udp")}
}

// all lists the entries of a mapping whose key and value are sound enough to stand for a resource.
func (n *node) all() []entry {
	if n == nil || n.kind != mapping {
		return nil
	}
	var out []entry
	for _, e := range n.entries {
		if !e.value.null() {
			out = append(out, e)
		}
	}
	return out
}

// elements lists a list's elements, or the single value that stands for a list of one.
func (n *node) elements() []*node {
	switch {
	case n == nil || n.null():
		return nil
	case n.kind == list:
		return n.items
	case n.kind == scalar:
		return []*node{n}
	}
	return nil
}

func textOf(n *node) string {
	if n == nil || n.kind != scalar || n.bad || n.null() {
		return ""
	}
	return n.text
}

func boolOf(n *node, otherwise bool) bool {
	switch textOf(n) {
	case "true":
		return true
	case "false":
		return false
	}
	return otherwise
}

func prefixesOf(n *node) []netip.Prefix {
	var out []netip.Prefix
	for _, item := range n.elements() {
		if p := prefixOf(item); p.IsValid() {
			out = append(out, p)
		}
	}
	return out
}

func addrsOf(n *node) []netip.Addr {
	var out []netip.Addr
	for _, item := range n.elements() {
		if a := addrOf(item); a.IsValid() {
			out = append(out, a)
		}
	}
	return out
}

func textsOf(n *node) []string {
	var out []string
	for _, item := range n.elements() {
		if item.kind == scalar && !item.bad {
			out = append(out, item.text)
		}
	}
	return out
}

func decodeVPC(e entry) *vpc.VPC {
	n := e.value
	v := &vpc.VPC{
		Name:            e.key,
		Region:          textOf(n.get("region")),
		Account:         textOf(n.get("account")),
		CIDRs:           prefixesOf(n.get("cidr")),
		IPv6:            prefixesOf(n.get("ipv6")),
		DNSSupport:      boolOf(n.get("dns").get("support"), true),
		DNSHostnames:    boolOf(n.get("dns").get("hostnames"), false),
		InternetGateway: hasGateway(n.get("internet_gateway")),
		EdgeRoutes:      decodeRoutes(n.get("internet_gateway").get("routes")),

		EgressOnlyGateway: boolOf(n.get("egress_only_gateway"), false),
	}
	for _, e := range n.get("nat_gateways").all() {
		v.NATGateways = append(v.NATGateways, decodeNATGateway(e))
	}
	for _, e := range n.get("route_tables").all() {
		v.RouteTables = append(v.RouteTables, &vpc.RouteTable{Name: e.key, Routes: decodeRoutes(e.value.get("routes"))})
	}
	for _, e := range n.get("subnets").all() {
		v.Subnets = append(v.Subnets, decodeSubnet(e))
		if routes := e.value.get("routes"); routes != nil {
			v.RouteTables = append(v.RouteTables, &vpc.RouteTable{Name: e.key, Inline: true, Routes: decodeRoutes(routes)})
		}
	}
	for _, e := range n.get("prefix_lists").all() {
		v.PrefixLists = append(v.PrefixLists, &vpc.PrefixList{Name: e.key, Entries: prefixesOf(e.value)})
	}
	for _, e := range n.get("acls").all() {
		v.ACLs = append(v.ACLs, &vpc.ACL{
			Name: e.key, Ingress: decodeEntries(e.value.get("ingress"), ingress), Egress: decodeEntries(e.value.get("egress"), egress),
		})
	}
	for _, e := range n.get("security_groups").all() {
		v.SecurityGroups = append(v.SecurityGroups, &vpc.SecurityGroup{
			Name: e.key, Ingress: decodeRules(e.value.get("ingress"), ingress), Egress: decodeRules(e.value.get("egress"), egress),
		})
	}
	for _, e := range n.get("instances").all() {
		v.Instances = append(v.Instances, decodeInstance(e))
	}
	for _, e := range n.get("endpoint_services").all() {
		v.EndpointServices = append(v.EndpointServices, decodeEndpointService(e))
	}
	return v
}

// hasGateway reads `internet_gateway: true` or a mapping, which says that there is one.
func hasGateway(n *node) bool { return n != nil && n.kind == mapping || boolOf(n, false) }

// The types of NAT gateways.
const (
	natPublic  = "public"
	natPrivate = "private"
)

// decodeNATGateway reads a NAT gateway. A secondary address is an elastic one of a public gateway, and a private one of a private
// gateway.
func decodeNATGateway(e entry) *vpc.NATGateway {
	n := e.value
	g := &vpc.NATGateway{Name: e.key, Subnet: textOf(n.get("subnet")), Private: textOf(n.get("type")) == natPrivate}
	primary := vpc.NATAddress{IP: addrOf(n.get("ip")), Public: addrOf(n.get("eip")), AutoPublic: textOf(n.get("eip")) == "auto"}
	g.Addresses = append(g.Addresses, primary)
	for _, item := range n.get("secondary").elements() {
		a := vpc.NATAddress{Public: addrOf(item), AutoPublic: textOf(item) == "auto"}
		if g.Private {
			a.IP, a.Public = a.Public, a.IP
		}
		g.Addresses = append(g.Addresses, a)
	}
	return g
}

func decodeSubnet(e entry) *vpc.Subnet {
	n := e.value
	s := &vpc.Subnet{
		Name: e.key, CIDR: prefixOf(n.get("cidr")), IPv6: prefixOf(n.get("ipv6")), AZ: textOf(n.get("az")),
		PublicIP: boolOf(n.get("public_ip"), false), RouteTable: textOf(n.get("route_table")), ACL: textOf(n.get("acl")),
	}
	if n.has("routes") {
		s.RouteTable = e.key
	}
	return s
}

// decodeRoutes reads a table's routes.
func decodeRoutes(n *node) []vpc.Route {
	var routes []vpc.Route
	for _, e := range n.all() {
		route := vpc.Route{Origin: vpc.CreateRoute}
		if name, ok := strings.CutPrefix(e.key, "pl."); ok {
			route.PrefixList = name
		} else {
			p, f := parseCIDR(e.key)
			if f != nil {
				continue
			}
			route.Destination = p
		}
		if text := textOf(e.value); text != "" {
			route.Target = targetOf(text)
			routes = append(routes, route)
		}
	}
	return routes
}

// targetOf reads a target whose form was checked: eni.web and eni.web.eth0 are instance web's first interface.
func targetOf(s string) vpc.Target {
	kind, name, _ := strings.Cut(s, ".")
	if kind == string(vpc.TargetENI) {
		name = strings.TrimSuffix(name, ".eth0")
	}
	return vpc.Target{Kind: vpc.TargetKind(kind), Name: name}
}

func decodeEntries(n *node, direction string) []vpc.ACLEntry {
	var out []vpc.ACLEntry
	for _, text := range textsOf(n) {
		if entry, f := parseEntry(text, direction); f == nil {
			out = append(out, entry)
		}
	}
	return out
}

// decodeRules reads a group's rules; a list that is there and empty is not nil, since one left out means something else.
func decodeRules(n *node, direction string) []vpc.SGRule {
	if n == nil || n.kind != list {
		return nil
	}
	out := []vpc.SGRule{}
	for _, text := range textsOf(n) {
		if rule, f := parseRule(text, direction); f == nil {
			out = append(out, rule)
		}
	}
	return out
}

func decodeInstance(e entry) *vpc.Instance {
	n := e.value
	i := &vpc.Instance{
		Name: e.key, Forward: boolOf(n.get("forward"), false),
		Serve: decodeListeners(n.get("serve")), Run: textsOf(n.get("run")),
		Role: vpc.Role{None: textOf(n.get("role")) == noRole, Name: textOf(n.get("role").get("name"))}, Metadata: decodeMetadata(n.get("metadata")),
	}
	check := boolOf(n.get("source_dest_check"), true)
	i.Interfaces = append(i.Interfaces, decodeENI(n, e.key, "eth0", check))
	further := n.get("interfaces").all()
	slices.SortStableFunc(further, func(a, b entry) int { return deviceNumber(a.key) - deviceNumber(b.key) })
	for _, eth := range further {
		i.Interfaces = append(i.Interfaces, decodeENI(eth.value, e.key+"."+eth.key, eth.key, check))
	}
	return i
}

func deviceNumber(device string) int {
	n, _ := parseNumber(strings.TrimPrefix(device, "eth"), 99)
	return n
}

// decodeENI reads an interface; check is what its source/destination check is by default.
func decodeENI(n *node, name, device string, check bool) *vpc.ENI {
	eni := &vpc.ENI{
		Name: name, Device: device, Subnet: textOf(n.get("subnet")), IP: addrOf(n.get("ip")), Secondary: addrsOf(n.get("secondary")),
		IPv6: addrOf(n.get("ipv6")), NoIPv6: textOf(n.get("ipv6")) == "none",
		Public: addrOf(n.get("eip")), AutoPublic: textOf(n.get("eip")) == "auto",
		SourceDestCheck: boolOf(n.get("source_dest_check"), check), Groups: groupsOf(n.get("sg")),
	}
	return eni
}

func decodeListeners(n *node) []vpc.Listener {
	var out []vpc.Listener
	for _, text := range textsOf(n) {
		p := split(text)
		kind, port := p.take(), p.take()
		number, _ := parseNumber(port.text, 65535)
		out = append(out, vpc.Listener{Kind: kind.text, Port: uint16(number)})
	}
	return out
}

func decodeHost(e entry) *vpc.Host {
	n := e.value
	return &vpc.Host{
		Name: e.key, Addrs: addrsOf(n.get("ip")), Names: textsOf(n.get("names")),
		Serve: decodeListeners(n.get("serve")), Run: textsOf(n.get("run")),
	}
}
