package scenario

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

// decodeEndpoint reads a VPC endpoint, its policy left out. An address for a subnet that is not the endpoint's is a mistake, and a policy
// where the service knows none.
func (r *reader) decodeEndpoint(e entry) *vpc.Endpoint {
	n := e.value
	out := &vpc.Endpoint{
		Name: e.key, Type: vpc.EndpointType(textOf(n.get("type"))), Service: serviceRef(textOf(n.get("service"))),
		RouteTables: textsOf(n.get("route_tables")), Interfaces: decodeInterfaces(n.get("subnets")), Groups: groupsOf(n.get("sg")),
		PrivateDNS: boolOf(n.get("private_dns"), false), DualStack: boolOf(n.get("dualstack"), false),
		ExpectState: vpc.EndpointState(textOf(n.get("expect_state"))),
	}
	if e, ok := n.find("policy"); ok && out.Service.VPC != "" {
		r.report(r.keyAt(e), "the service "+quote(out.Service.String())+" does not support endpoint policies", "remove it")
	}
	for _, ip := range n.get("ip").all() {
		at := slices.IndexFunc(out.Interfaces, func(i *vpc.EndpointInterface) bool { return i.Subnet == ip.key })
		if at < 0 {
			r.report(r.keyAt(ip), quote(ip.key)+" is none of the endpoint's subnets",
				didYouMean(ip.key, textsOf(n.get("subnets")), "they are"))
			continue
		}
		out.Interfaces[at].IP = addrOf(ip.value)
	}
	return out
}

func decodeInterfaces(subnets *node) []*vpc.EndpointInterface {
	var all []*vpc.EndpointInterface
	for _, name := range textsOf(subnets) {
		all = append(all, &vpc.EndpointInterface{Subnet: name})
	}
	return all
}

// groupsOf reads security groups; nil if the key is left out.
func groupsOf(n *node) []vpc.GroupRef {
	if n == nil {
		return nil
	}
	groups := []vpc.GroupRef{}
	for _, name := range textsOf(n) {
		groups = append(groups, vpc.GroupRef{Name: name})
	}
	return groups
}

func decodeEndpointService(e entry) *vpc.EndpointService {
	n := e.value
	s := &vpc.EndpointService{
		Name: e.key, Targets: textsOf(n.get("targets")), Interfaces: decodeInterfaces(n.get("subnets")),
		Acceptance: boolOf(n.get("acceptance"), false), Accepted: endpointRefs(n.get("accepted")), Rejected: endpointRefs(n.get("rejected")),
		Principals: textsOf(n.get("principals")), ProxyProtocol: boolOf(n.get("proxy_protocol"), false),
	}
	for _, text := range textsOf(n.get("ports")) {
		port, _ := parseNumber(text, 65535) // checked by its shape
		s.Ports = append(s.Ports, uint16(port))
	}
	return s
}

func endpointRefs(n *node) []vpc.EndpointRef {
	var refs []vpc.EndpointRef
	for _, text := range textsOf(n) {
		if ref, f := parseEndpointRef(text); f == nil {
			refs = append(refs, ref)
		}
	}
	return refs
}

// privateNames gives the interface endpoints of AWS services private DNS where the file leaves that open and the VPC can have it.
func privateNames(root *node, v *vpc.VPC) {
	for _, e := range v.Endpoints {
		if e.Type == vpc.InterfaceEndpoint && e.Service.VPC == "" && v.DNSSupport && v.DNSHostnames &&
			!root.get("vpcs").get(v.Name).get("endpoints").get(e.Name).has("private_dns") {
			e.PrivateDNS = true
		}
	}
}

func decodeMetadata(n *node) vpc.Metadata {
	limit, _ := parseNumber(textOf(n.get("hop_limit")), 64) // checked by its shape
	return vpc.Metadata{
		Disabled: !boolOf(n.get("enabled"), true), TokensRequired: textOf(n.get("tokens")) == tokensRequired,
		HopLimit: limit, IPv6: boolOf(n.get("ipv6"), false),
	}
}

// decodeServices reads what is in the lab's services, policies left out.
func (r *reader) decodeServices(n *node) vpc.Services {
	s := vpc.Services{S3Backend: textOf(n.get("s3").get("backend")), DynamoDBBackend: textOf(n.get("dynamodb").get("backend"))}
	for _, e := range n.get("s3").get("buckets").all() {
		s.Buckets = append(s.Buckets,
			&vpc.Bucket{Name: e.key, Region: textOf(e.value.get("region")), Account: textOf(e.value.get("account"))})
	}
	for _, e := range n.get("dynamodb").get("tables").all() {
		t := &vpc.Table{Name: e.key, Region: textOf(e.value.get("region")), Account: textOf(e.value.get("account"))}
		t.Key, _ = parseKey(textOf(e.value.get("key"))) // both checked by their shapes
		if sort := e.value.get("sort"); textOf(sort) != "" {
			if t.Sort, _ = parseKey(sort.text); t.Sort.Name == t.Key.Name {
				r.wrong(sort, faultf(0, "name another attribute, or remove it",
					"both the Hash Key and the Range Key element in the KeySchema have the same name"))
			}
		}
		s.Tables = append(s.Tables, t)
	}
	return s
}

// serviceKind begins references to the load balancers of endpoint services: endpoint_service.shop.
const serviceKind = "endpoint_service"

// managed finds the interface of endpoint.NAME or endpoint.NAME.SUBNET, of an endpoint's interfaces, or endpoint_service.NAME likewise, of
// its load balancer's; all of them also behind VPC/. What stands behind that begins at offset at. It is nil without a fault where
// something else is meant.
func (d *directory) managed(s string) (i *vpc.EndpointInterface, at int, f *fault) {
	owner, rest, foreign := strings.Cut(s, "/")
	if !foreign {
		owner, rest = "", s
	}
	kind, rest, dotted := strings.Cut(rest, ".")
	if !dotted || kind != "endpoint" && kind != serviceKind || foreign && d.vpcs[owner] == nil || d.namesake(kind, rest) {
		return nil, 0, nil
	}
	name, form, _ := strings.Cut(rest, ".")
	at = len(s) - len(rest)
	found := d.managedNamed(kind, name)
	found = slices.DeleteFunc(found, func(t managedInterfacesOf) bool { return foreign && t.vpc.Name != owner })
	noun := strings.ReplaceAll(kind, "_", " ")
	switch {
	case len(found) == 0:
		return nil, 0, faultf(at, didYouMean(name, d.managedNames(kind, owner), "there are"), "no %s is called %s", noun, quote(name))
	case len(found) > 1:
		var candidates []string
		for _, t := range found {
			candidates = append(candidates, t.vpc.Name+"/"+kind+"."+name)
		}
		return nil, 0, faultf(0, "write "+choices(candidates), "%s is in several VPCs", quote(kind+"."+name))
	}
	i, form, f = found[0].pick(kind+"."+name, form)
	if f != nil {
		return nil, 0, f.shift(at)
	}
	return i, len(s) - len(form), nil
}

// namesake reports whether endpoint.public, endpoint.ipv6 and the like are of an instance or host that is called endpoint.
func (d *directory) namesake(kind, rest string) bool {
	form, _, _ := strings.Cut(rest, ".")
	return (form == "public" || form == "ipv6" || form == "eth0" || device.matches(form)) &&
		(d.hosts[kind] != nil || len(d.instances[kind]) > 0)
}

// managedInterfacesOf are the interfaces of one endpoint, or of one load balancer.
type managedInterfacesOf struct {
	vpc        *vpc.VPC
	interfaces []*vpc.EndpointInterface
}

// pick chooses the interface in the subnet that the form begins with, or the only one; rest is what is left of the form.
func (m managedInterfacesOf) pick(whose, form string) (i *vpc.EndpointInterface, rest string, f *fault) {
	subnet, rest, _ := strings.Cut(form, ".")
	var names []string
	for _, i := range m.interfaces {
		if i.Subnet == subnet {
			return i, rest, nil
		}
		names = append(names, whose+"."+i.Subnet)
	}
	switch {
	case len(m.interfaces) == 0:
		return nil, "", faultf(0, "a gateway endpoint has a service's public addresses: name the service's DNS name", "%s has no interface", quote(whose))
	case len(m.interfaces) > 1:
		return nil, "", faultf(0, "write "+choices(names), "%s has an interface in each of several subnets", quote(whose))
	}
	return m.interfaces[0], form, nil
}

// managedNamed are the endpoints or endpoint services of a name, one a VPC.
func (d *directory) managedNamed(kind, name string) []managedInterfacesOf {
	var found []managedInterfacesOf
	for _, v := range d.model.VPCs {
		if e := v.Endpoint(name); kind == "endpoint" && e != nil {
			found = append(found, managedInterfacesOf{v, e.Interfaces})
		}
		if s := v.EndpointService(name); kind == serviceKind && s != nil {
			found = append(found, managedInterfacesOf{v, s.Interfaces})
		}
	}
	return found
}

// managedNames are the endpoints or endpoint services of a VPC, or of all.
func (d *directory) managedNames(kind, owner string) []string {
	var names []string
	for _, v := range d.model.VPCs {
		if owner != "" && v.Name != owner {
			continue
		}
		for _, e := range v.Endpoints {
			if kind == "endpoint" {
				names = append(names, e.Name)
			}
		}
		for _, s := range v.EndpointServices {
			if kind == serviceKind {
				names = append(names, s.Name)
			}
		}
	}
	return names
}

// managedInterfaces are the interfaces of a VPC's endpoints and load balancers.
func managedInterfaces(v *vpc.VPC) []*vpc.EndpointInterface {
	var all []*vpc.EndpointInterface
	for _, e := range v.Endpoints {
		all = append(all, e.Interfaces...)
	}
	for _, s := range v.EndpointServices {
		all = append(all, s.Interfaces...)
	}
	return all
}

// managedAddress is the address of an interface that AWS manages: its IPv4 one, or that of `.ipv6`.
func (d *directory) managedAddress(i *vpc.EndpointInterface, form string, want family) (netip.Addr, *fault) {
	v6 := form == "ipv6" || form == "" && want == ipv6
	if form != "" && form != "ipv6" {
		return netip.Addr{}, faultf(0, "write the name alone, or with `.ipv6` behind it", "an endpoint's interface has no %s", quote(form))
	}
	if f := wrongFamily(v6, want); f != nil {
		return netip.Addr{}, f
	}
	if !v6 {
		return i.IP, nil
	}
	if !i.IPv6.IsValid() && d.complete {
		return netip.Addr{}, faultf(0, "give the endpoint `dualstack: true`", "the interface in subnet %s has no IPv6 address", quote(i.Subnet))
	}
	return i.IPv6, nil
}

// managedHop takes a hop of an endpoint or of a load balancer apart: endpoint.NAME, endpoint_service.NAME, and what they have, as in
// endpoint.sqs/sg-in. ok is false for another, such as that of an interface of an instance called endpoint.
func managedHop(s string) (kind, name, station string, ok bool) {
	hop, station, slashed := strings.Cut(s, "/")
	kind, name, _ = strings.Cut(hop, ".")
	isDevice := name == "eth0" || device.matches(name)
	return kind, name, station, (kind == "endpoint" || kind == serviceKind) && name != "" && !(slashed && isDevice)
}

// checkManagedHop judges the form of such a hop.
func checkManagedHop(s string) (isManaged bool, f *fault) {
	kind, name, station, ok := managedHop(s)
	if _, behind, foreign := strings.Cut(s, "/"); !ok && foreign {
		if _, _, _, ok := managedHop(behind); ok {
			return true, faultf(0, "write "+quote(behind)+" without the VPC", "%s is not a hop", quote(s))
		}
	}
	if !ok {
		return false, nil
	}
	has := stations
	if kind == serviceKind {
		has = natStations
	}
	if f := checkName(name); f != nil {
		return true, f.shift(len(kind) + 1)
	}
	if at := len(kind) + 1 + len(name) + 1; at <= len(s) && !slices.Contains(has, station) {
		return true, faultf(at, didYouMean(station, has, "there are"), "%s is not a hop of an %s", quote(station), strings.ReplaceAll(kind, "_", " "))
	}
	return true, nil
}

// managedHopExists checks that what such a hop names is in the lab; it is false for another hop.
func (st *state) managedHopExists(n *node) bool {
	kind, name, _, ok := managedHop(n.text)
	if ok && len(st.dir.managedNamed(kind, name)) == 0 {
		st.wrong(n, faultf(len(kind)+1, didYouMean(name, st.dir.managedNames(kind, ""), "there are"), "no %s is called %s",
			strings.ReplaceAll(kind, "_", " "), quote(name)))
	}
	return ok
}
