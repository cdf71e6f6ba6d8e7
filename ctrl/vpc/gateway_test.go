package vpc

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// expectNAT writes a NAT gateway's addresses as "PRIVATE PUBLIC, PRIVATE PUBLIC".
func expectNAT(t *testing.T, m *Model, vpc, name, want string) {
	t.Helper()
	g := m.VPC(vpc).NATGateway(name)
	if g == nil {
		t.Fatalf("no NAT gateway %s in VPC %s", name, vpc)
	}
	var texts []string
	for _, a := range g.Addresses {
		public := "-"
		if a.Public.IsValid() {
			public = a.Public.String()
		}
		texts = append(texts, a.IP.String()+" "+public)
	}
	if got := strings.Join(texts, ", "); got != want {
		t.Errorf("%s/%s has %s, want %s", vpc, name, got, want)
	}
}

// TestNATGatewayAddresses hands out what the file leaves open: private addresses after all instances', public ones after those of the
// VPC's instances.
func TestNATGatewayAddresses(t *testing.T) {
	m := complete(t, lab(
		network("app", "10.0.0.0/16", igw, subnet("open", "10.0.0.0/24"), subnet("web", "10.0.1.0/24"),
			nat("out", "open", "eip=auto", "+eip=198.51.100.8", "+eip=auto"), nat("named", "open", "ip=10.0.0.4", "eip=198.18.0.1"),
			nat("inner", "web", "private", "+ip=10.0.1.9"), instance("a", "open"), instance("b", "open", "eip=auto")),
		network("data", "10.0.0.0/16", igw, subnet("open", "10.0.0.0/24", "public"), instance("a", "open"),
			nat("out", "open", "eip=auto"))), nil)
	expectAddrs(t, m, "a", "10.0.0.5 - -")
	expectAddrs(t, m, "b", "10.0.0.6 - 198.18.0.2")
	expectNAT(t, m, "app", "out", "10.0.0.7 198.18.0.3, 10.0.0.8 198.51.100.8, 10.0.0.9 198.18.0.4")
	expectNAT(t, m, "app", "named", "10.0.0.4 198.18.0.1")
	expectNAT(t, m, "app", "inner", "10.0.1.4 -, 10.0.1.9 -")
	expectNAT(t, m, "data", "out", "10.0.0.5 198.18.0.6")
	expectElastic(t, m, "198.18.0.2", "198.18.0.3", "198.51.100.8", "198.18.0.4", "198.18.0.1", "198.18.0.5", "198.18.0.6")

	drawn := m.VPC("app").NATGateway("out").Addresses
	if !drawn[0].PublicDrawn || drawn[1].PublicDrawn || !drawn[2].PublicDrawn {
		t.Errorf("drawn, named, drawn are %+v", drawn)
	}
	out := m.VPC("app").NATGateway("out")
	if want := NewID("nat", "123456789012", "us-east-1", "app", "nat_gateway", "out"); string(out.ID) != want {
		t.Errorf("ID %s, want %s", out.ID, want)
	}
	if want := NewID("eni", "123456789012", "us-east-1", "app", "nat_gateway", "out"); string(out.ENIID) != want {
		t.Errorf("ENI %s, want %s", out.ENIID, want)
	}
}

// TestChangeKeepsNATAddresses takes secondary addresses and instances away around those that stay.
func TestChangeKeepsNATAddresses(t *testing.T) {
	shop := func(parts ...part) *Model {
		return lab(network("app", "10.0.0.0/16",
			append([]part{igw, subnet("open", "10.0.0.0/24"), subnet("web", "10.0.1.0/24")}, parts...)...))
	}
	first := complete(t, shop(instance("a", "open"), nat("out", "open", "eip=auto", "+eip=auto", "+eip=198.51.100.8", "+eip=auto")), nil)
	expectNAT(t, first, "app", "out", "10.0.0.5 198.18.0.1, 10.0.0.6 198.18.0.2, 10.0.0.7 198.51.100.8, 10.0.0.8 198.18.0.3")

	second := complete(t, shop(instance("b", "open"), nat("new", "open", "eip=auto"),
		nat("out", "open", "eip=auto", "+eip=198.51.100.8", "+eip=auto", "+eip=198.51.100.9", "+eip=auto")), first)
	expectAddrs(t, second, "b", "10.0.0.4 - -") // a's address is free again
	expectNAT(t, second, "app", "out",
		"10.0.0.5 198.18.0.1, 10.0.0.7 198.51.100.8, 10.0.0.6 198.18.0.2, 10.0.0.10 198.51.100.9, 10.0.0.8 198.18.0.3")
	expectNAT(t, second, "app", "new", "10.0.0.9 198.18.0.4")

	third := complete(t, shop(nat("out", "open", "private")), second)
	expectNAT(t, third, "app", "out", "10.0.0.4 -") // another type is another gateway
	fourth := complete(t, shop(nat("out", "web", "eip=auto")), second)
	expectNAT(t, fourth, "app", "out", "10.0.1.4 198.18.0.5") // so is another subnet
	if got := first.VPC("app").NATGateway("out").Addresses[0].IP.String(); got != "10.0.0.5" {
		t.Errorf("a change wrote %s into the model before it", got)
	}
}

func TestWrongNATGateways(t *testing.T) {
	in := func(parts ...part) *Model {
		return lab(network("app", "10.0.0.0/16", append([]part{igw, ipv6("2600:1f18::/56"), subnet("open", "10.0.0.0/28"),
			subnet("six", "2600:1f18::/64"), instance("a", "open", "ip=10.0.0.9", "eip=198.51.100.9")}, parts...)...))
	}
	const at = "vpcs.app.nat_gateways.out"
	const usable = "; subnet open has 10.0.0.4 to 10.0.0.14"
	const remedy = "; a public NAT gateway needs one: give it `eip: auto` or an address, or make it `type: private`"
	seven := slices.Repeat([]string{"+eip=auto"}, 7)
	judge(t, []wrong{
		{"public and private ones are fine", in(nat("out", "open", "eip=198.51.100.7"), nat("inner", "open", "private")), nil},
		{"a subnet exists", in(nat("out", "opne", "eip=auto")), []string{
			at + ".subnet: the subnet 'opne' does not exist; declare it in `subnets` or use one of open, six"}},
		{"a subnet has IPv4", in(nat("out", "six", "eip=auto")), []string{
			at + ".subnet: subnet 'six' has no IPv4 addresses for NAT gateway 'out'; use a subnet with a `cidr`; for IPv6 alone there is " +
				"`egress_only_gateway`"}},
		{"a public one has an elastic address", in(nat("out", "open")), []string{
			at + ".eip: NAT gateway 'out' has no elastic IP address for its primary address" + remedy}},
		{"for each of its addresses", in(nat("out", "open", "eip=auto", "+eip=auto", "+ip=10.0.0.7")), []string{
			at + ".secondary.1: NAT gateway 'out' has no elastic IP address for secondary address 2" + remedy}},
		{"a private one has none", in(nat("out", "open", "private", "eip=198.51.100.7")), []string{
			at + ".eip: NAT gateway 'out' is private and has no elastic IP addresses; remove it, or `type: private`; secondary addresses " +
				"of a private NAT gateway are addresses of its subnet"}},
		{"nor a secondary one", in(nat("out", "open", "private", "+eip=auto")), []string{
			at + ".secondary: NAT gateway 'out' is private and has no elastic IP addresses; remove it, or `type: private`; secondary " +
				"addresses of a private NAT gateway are addresses of its subnet"}},
		{"an elastic address is public", in(nat("out", "open", "eip=10.0.0.5")), []string{
			at + ".eip: 10.0.0.5 is not a public address; 10.0.0.0/8 is private (RFC 1918); use one such as 203.0.113.80 or 2001:db8::80"}},
		{"an elastic address is IPv4", in(nat("out", "open", "eip=2001:db8::9")), []string{
			at + ".eip: 2001:db8::9 is not an IPv4 address; an elastic IP address is a public IPv4 one, such as 198.51.100.7, or `auto`"}},
		{"an elastic address is not an instance's", in(nat("out", "open", "eip=198.51.100.9")), []string{
			at + ".eip: address 198.51.100.9 is in use by instance a; public addresses are unique in a lab"}},
		{"nor another gateway's", in(nat("out", "open", "eip=auto", "+eip=198.51.100.7"), nat("b", "open", "eip=198.51.100.7")), []string{
			"vpcs.app.nat_gateways.b.eip: address 198.51.100.7 is in use by NAT gateway out; public addresses are unique in a lab"}},
		{"an address is in the subnet", in(nat("out", "open", "private", "ip=10.0.1.9")), []string{
			at + ".ip: address 10.0.1.9 does not fall within the subnet's address range" + usable}},
		{"so is a secondary one", in(nat("out", "open", "private", "+ip=10.0.1.9")), []string{
			at + ".secondary: address 10.0.1.9 does not fall within the subnet's address range" + usable}},
		{"an address is not reserved", in(nat("out", "open", "private", "ip=10.0.0.1")), []string{
			at + ".ip: address 10.0.0.1 is in subnet open's reserved address range; the first four addresses and the last are AWS's" + usable}},
		{"an address is IPv4", in(nat("out", "open", "private", "ip=2600:1f18::9")), []string{
			at + ".ip: 2600:1f18::9 is not an IPv4 address; IPv6 addresses belong in `ipv6`"}},
		{"an address is not an instance's", in(nat("out", "open", "private", "ip=10.0.0.9")), []string{
			at + ".ip: address 10.0.0.9 is in use by instance a; leave it out to get the lowest free address"}},
		{"a subnet can be full", in(
			instance("b", "open", "secondary=10.0.0.7,10.0.0.8,10.0.0.10,10.0.0.11,10.0.0.12,10.0.0.13,10.0.0.14"),
			instance("c", "open"), nat("out", "open", "eip=auto", "+eip=auto")), []string{
			at + ".subnet: subnet open has no free address in 10.0.0.0/28 for NAT gateway out; use another subnet"}},
		{"eight addresses fit", in(nat("out", "open", append([]string{"eip=auto"}, seven...)...)), nil},
		{"nine do not", in(nat("out", "open", append([]string{"eip=auto", "+eip=auto"}, seven...)...)), []string{
			at + ".secondary: the maximum number of addresses per NAT gateway has been reached; there are 9 and a NAT gateway has at most " +
				"8: the primary and seven secondary ones"}},
		{"names are unique", in(nat("out", "open", "private"), nat("out", "open", "private")), []string{
			at + ": the NAT gateway 'out' already exists; give one of the two another name"}},
		{"a public one needs the internet gateway",
			lab(network("app", "10.0.0.0/16", subnet("open", "10.0.0.0/28"), nat("out", "open", "eip=auto"),
				nat("in", "open", "private"))),
			[]string{at + ": network app has no Internet gateway attached; a public NAT gateway needs one: set `internet_gateway: true` in " +
				"VPC app, or make it `type: private`"}},
	})
}

// TestNATGatewayQuota puts five gateways into a zone, over two VPCs, and one more.
func TestNATGatewayQuota(t *testing.T) {
	gateways := func(n int, in string) part {
		return func(v *VPC) {
			for i := range n {
				nat(fmt.Sprintf("%s%d", in, i), in, "private")(v)
			}
		}
	}
	build := func(inData int) *Model {
		return lab(network("app", "10.0.0.0/16", subnet("a", "10.0.0.0/24"), subnet("b", "10.0.1.0/24", "az=b"), gateways(3, "a"),
			gateways(5, "b")),
			network("data", "10.0.0.0/16", subnet("a", "10.0.0.0/24"), gateways(inData, "a")))
	}
	foreign := build(3)
	foreign.VPCs[1].Account = "210987654321"
	judge(t, []wrong{
		{"five in each zone fit", build(2), nil},
		{"the sixth does not", build(3), []string{"vpcs.data.nat_gateways.a2: performing this operation would exceed the limit of 5 NAT " +
			"gateways; account 123456789012 has as many in us-east-1a already: use a subnet of another zone"}},
		{"another account has its own", foreign, nil},
	})
}

func TestWrongGatewayRoutes(t *testing.T) {
	in := func(parts ...part) *Model {
		return lab(network("app", "10.0.0.0/16", append([]part{igw, ipv6("2600:1f18::/56"),
			subnet("web", "10.0.0.0/24", "2600:1f18::/64"), nat("out", "web", "private")}, parts...)...))
	}
	at := func(destination string) string { return "vpcs.app.route_tables.main.routes." + destination + ": " }
	const ipv6Only = "an egress-only internet gateway carries IPv6 traffic only: route ::/0 or a narrower block to it, and IPv4 to nat.NAME"
	const nat64Only = "a NAT gateway carries IPv6 to 64:ff9b::/96 only (NAT64): route other IPv6 to eigw or igw"
	judge(t, []wrong{
		{"a NAT gateway exists", in(table("main", "0.0.0.0/0 nat.owt")), []string{
			at("0.0.0.0/0") + "the NAT gateway 'owt' does not exist; did you mean out?"}},
		{"an egress-only gateway exists", in(table("main", "::/0 eigw")), []string{
			at("::/0") + "the egress-only internet gateway of VPC 'app' does not exist; set `egress_only_gateway: true` in VPC app"}},
		{"IPv6 goes to it, also less of it", in(eigw, table("main", "::/0 eigw", "2001:db8::/32 eigw")), nil},
		{"IPv4 does not", in(eigw, table("main", "0.0.0.0/0 eigw")), []string{
			at("0.0.0.0/0") + "value (0.0.0.0/0) for parameter destinationCidrBlock is invalid; " + ipv6Only}},
		{"nor by a prefix list", in(eigw, prefixList("corp", "172.16.0.0/12"), table("main", "pl.corp eigw")), []string{
			at("pl.corp") + "value (172.16.0.0/12) for parameter destinationCidrBlock is invalid; " + ipv6Only}},
		{"a NAT gateway takes IPv4 and NAT64", in(table("main",
			"0.0.0.0/0 nat.out", "64:ff9b::/96 nat.out", "64:ff9b::c633:6400/120 nat.out")), nil},
		{"no other IPv6", in(table("main", "::/0 nat.out")), []string{
			at("::/0") + "value (::/0) for parameter destinationIpv6CidrBlock is invalid; " + nat64Only}},
		{"nor the VPC's own", in(table("main", "2600:1f18::/64 nat.out")), []string{
			at("2600:1f18::/64") + "value (2600:1f18::/64) for parameter destinationIpv6CidrBlock is invalid; " + nat64Only}},
		{"a subnet's CIDR may go through a NAT gateway, and so may the VPC's", in(table("main",
			"10.0.0.0/24 nat.out", "10.0.0.0/16 nat.out")), nil},
		{"but not through an egress-only one", in(eigw, table("main", "2600:1f18::/64 eigw")), []string{
			at("2600:1f18::/64") + "the destination CIDR block 2600:1f18::/64 is equal to or more specific than one of this VPC's CIDR " +
				"blocks; this route can target only an interface, an instance or a NAT gateway"}},
		{"an egress-only gateway needs IPv6",
			lab(network("app", "10.0.0.0/16", eigw)), []string{"vpcs.app.egress_only_gateway: VPC 'app' has no IPv6 CIDR block; an " +
				"egress-only internet gateway carries IPv6 only: give the VPC an `ipv6`, or route IPv4 to a NAT gateway"}},
	})
}

func TestWrongEdgeRoutes(t *testing.T) {
	in := func(parts ...part) *Model {
		return lab(network("app", "10.0.0.0/16 10.1.0.0/20", append([]part{ipv6("2600:1f18::/56"),
			subnet("web", "10.0.0.0/24", "2600:1f18::/64"), subnet("db", "10.0.1.0/24"), nat("out", "web", "private"),
			instance("fw", "web", "+eth1=db")}, parts...)...))
	}
	at := func(destination string) string { return "vpcs.app.internet_gateway.routes." + destination + ": " }
	const targets = "; its targets are local, instance.NAME and eni.NAME"
	const whole4 = "; the internet gateway's route table is for what comes in to a whole CIDR block of the VPC or of a subnet: " +
		"10.0.0.0/16, 10.1.0.0/20, 10.0.0.0/24, 10.0.1.0/24"
	const whole6 = "; the internet gateway's route table is for what comes in to a whole CIDR block of the VPC or of a subnet: " +
		"2600:1f18::/56, 2600:1f18::/64"
	judge(t, []wrong{
		{"an empty table is fine", in(edge()), nil},
		{"subnets and the VPC, both families, all targets", in(edge("10.0.1.0/24 instance.fw", "10.0.0.0/16 eni.fw.eth1",
			"10.0.0.0/24 local", "2600:1f18::/64 eni.fw", "2600:1f18::/56 local")), nil},
		{"the internet gateway is no target", in(edge("10.0.1.0/24 igw")), []string{
			at("10.0.1.0/24") + "the internet gateway's route table cannot have igw as a target" + targets}},
		{"nor a NAT gateway", in(edge("10.0.1.0/24 nat.out")), []string{
			at("10.0.1.0/24") + "the internet gateway's route table cannot have nat.out as a target" + targets}},
		{"nor an egress-only one", in(eigw, edge("2600:1f18::/64 eigw")), []string{
			at("2600:1f18::/64") + "the internet gateway's route table cannot have eigw as a target" + targets}},
		{"nor what never was one", in(edge("10.0.1.0/24 blackhole")), []string{
			at("10.0.1.0/24") + "the internet gateway's route table cannot have blackhole as a target" + targets}},
		{"an instance exists", in(edge("10.0.1.0/24 instance.fv")), []string{
			at("10.0.1.0/24") + "the instance 'fv' does not exist; declare it in `instances` or use one of fw"}},
		{"a prefix list is no destination", in(prefixList("db", "10.0.1.0/24"), edge("pl.db instance.fw")), []string{
			at("pl.db") + "the internet gateway's route table cannot have a route for a prefix list; write its CIDR blocks out"}},
		{"propagation is off", in(edge("10.0.1.0/24 instance.fw vpn-bgp")), []string{
			at("10.0.1.0/24") + "the internet gateway's route table cannot have propagated routes; turn route propagation off"}},
		{"a destination is in the VPC", in(edge("172.16.0.0/12 instance.fw")), []string{
			at("172.16.0.0/12") + "the destination CIDR block 172.16.0.0/12 is outside this VPC's CIDR blocks" + whole4}},
		{"nor larger than it", in(edge("0.0.0.0/0 instance.fw")), []string{
			at("0.0.0.0/0") + "the destination CIDR block 0.0.0.0/0 is outside this VPC's CIDR blocks" + whole4}},
		{"a destination is a whole subnet", in(edge("10.0.1.0/25 instance.fw")), []string{
			at("10.0.1.0/25") + "the destination CIDR block 10.0.1.0/25 is not the whole of one of this VPC's CIDR blocks or subnets" + whole4}},
		{"also in IPv6", in(edge("2600:1f18:0:1::/64 instance.fw")), []string{at("2600:1f18:0:1::/64") +
			"the destination CIDR block 2600:1f18:0:1::/64 is not the whole of one of this VPC's CIDR blocks or subnets" + whole6}},
		{"a destination is there once, canonically", in(edge("10.0.1.1/24 instance.fw", "10.0.1.2/24 local")), []string{
			at("10.0.1.2/24") + "the route identified by 10.0.1.0/24 already exists; remove one of the two"}},
		{"a table needs its gateway", in(func(v *VPC) { v.EdgeRoutes = []Route{route("10.0.1.0/24 instance.fw")} }), []string{
			"vpcs.app.internet_gateway.routes: the internet gateway of VPC 'app' does not exist; set `internet_gateway: true` in VPC app"}},
	})
}

// TestEffectiveEdgeRoutes says where packets from the internet go once they are inside.
func TestEffectiveEdgeRoutes(t *testing.T) {
	shop := func(gateway part) *VPC {
		v := network("app", "10.0.0.0/16 10.1.0.0/20", ipv6("2600:1f18::/56"), subnet("web", "10.0.0.0/24"),
			subnet("db", "10.0.1.0/24"), instance("fw", "web"), gateway)
		complete(t, lab(v), nil)
		return v
	}
	if got := shop(igw).EffectiveEdgeRoutes(); got != nil {
		t.Errorf("without a table there are routes: %v", got)
	}
	for _, row := range []struct {
		gateway part
		want    map[string]string
	}{
		{edge(), map[string]string{"10.0.1.9": "local", "10.1.0.9": "local", "2600:1f18::9": "local", "8.8.8.8": "no route"}},
		{edge("10.0.1.0/24 instance.fw"), map[string]string{"10.0.1.9": "instance.fw", "10.0.0.9": "local"}},
		{edge("10.0.0.0/16 eni.fw", "10.0.0.0/24 local"),
			map[string]string{"10.0.1.9": "eni.fw", "10.0.0.9": "local", "10.1.0.9": "local"}},
		{edge("2600:1f18::/56 instance.fw"), map[string]string{"2600:1f18::9": "instance.fw", "10.0.0.9": "local"}},
	} {
		routes := shop(row.gateway).EffectiveEdgeRoutes()
		for addr, want := range row.want {
			if got := lookup(routes, addr); got != want {
				t.Errorf("%v: %s goes to %s, want %s", routes, addr, got, want)
			}
		}
	}
}

// TestRemovedGatewaysLeaveBlackholes follows routes whose gateways go and come back.
func TestRemovedGatewaysLeaveBlackholes(t *testing.T) {
	app := func(gateways ...part) *Model {
		return lab(network("app", "10.0.0.0/16", append(gateways, ipv6("2600:1f18::/56"), subnet("web", "10.0.0.0/24"),
			subnet("db", "10.0.1.0/24"), table("main", "0.0.0.0/0 nat.out", "::/0 eigw", "64:ff9b::/96 nat.out",
				"10.0.1.0/24 nat.out", "172.16.0.0/12 blackhole"))...))
	}
	blackholes := func(m *Model) (all []bool) {
		for _, r := range m.VPC("app").RouteTable(Main).Routes {
			all = append(all, r.Blackhole)
		}
		return all
	}
	here, gone := []bool{false, false, false, false, true}, []bool{true, true, true, true, true}
	first := complete(t, app(eigw, nat("out", "web", "private")), nil)
	second := complete(t, app(), first)
	third := complete(t, app(), second)
	fourth := complete(t, app(eigw, nat("out", "web", "private")), third)
	for i, step := range []struct {
		m    *Model
		want []bool
	}{{first, here}, {second, gone}, {third, gone}, {fourth, here}} {
		if got := blackholes(step.m); !slices.Equal(got, step.want) {
			t.Errorf("step %d: blackholes %v, want %v", i+1, got, step.want)
		}
	}
	if want := []string{"app/eigw", "app/nat.out"}; !slices.Equal(third.Removed, want) {
		t.Errorf("removed %v, want %v", third.Removed, want)
	}
	if len(fourth.Removed) != 0 {
		t.Errorf("removed although all came back: %v", fourth.Removed)
	}
}

// TestRemovedEdgeTargetIsABlackhole takes the appliance away that an edge route leads to.
func TestRemovedEdgeTargetIsABlackhole(t *testing.T) {
	app := func(parts ...part) *Model {
		return lab(network("app", "10.0.0.0/16", append(parts, subnet("web", "10.0.0.0/24"), edge("10.0.0.0/24 instance.fw"))...))
	}
	second := complete(t, app(), complete(t, app(instance("fw", "web")), nil))
	if got := lookup(second.VPC("app").EffectiveEdgeRoutes(), "10.0.0.9"); got != "instance.fw (blackhole)" {
		t.Errorf("the route leads to %s", got)
	}
}

// TestGatewayStaysWhileNATIsMapped is what only a change can do wrong to a NAT gateway.
func TestGatewayStaysWhileNATIsMapped(t *testing.T) {
	app := func(parts ...part) *Model {
		return lab(network("app", "10.0.0.0/16", append([]part{subnet("web", "10.0.0.0/24")}, parts...)...))
	}
	public := nat("out", "web", "eip=198.51.100.7")
	a, b := instance("a", "web", "eip=198.51.100.9"), instance("b", "web", "ip=10.0.0.4")
	drawn, inner := nat("out", "web", "eip=auto"), nat("out", "web", "private")
	same(t, app(public, a).Complete(complete(t, app(igw, public, a), nil)), []string{
		"vpcs.app.internet_gateway: network app has some mapped public address(es); please unmap those public address(es) before " +
			"detaching the gateway: take eip 198.51.100.9 from a; remove NAT gateway out, which has 198.51.100.7"})
	complete(t, app(), complete(t, app(igw, public), nil))
	same(t, app(inner, b).Complete(complete(t, app(inner), nil)), []string{
		"vpcs.app.instances.b.ip: address 10.0.0.4 is in use by NAT gateway out; NAT gateway out has had it since before this " +
			"change; choose another address"})
	same(t, app(igw, drawn, nat("b", "web", "eip=198.18.0.1")).Complete(complete(t, app(igw, drawn), nil)), []string{
		"vpcs.app.nat_gateways.b.eip: address 198.18.0.1 is in use by NAT gateway out; NAT gateway out has had it since before this " +
			"change; choose another address"})
}

func TestTrackingTimeouts(t *testing.T) {
	with := func(tcp, stream, udp time.Duration) *Model { return &Model{Tracking: Tracking{tcp, stream, udp}} }
	const s = time.Second
	judge(t, []wrong{
		{"zero means the defaults", with(0, 0, 0), nil},
		{"the least fit", with(60*s, 60*s, 30*s), nil},
		{"the most fit", with(432000*s, 180*s, 60*s), nil},
		{"less does not", with(59*s, 59*s, 29*s), []string{
			"tracking.tcp_established: value (59s) for parameter TcpEstablishedTimeout is invalid; it is from 60s to 432000s, in whole seconds",
			"tracking.udp_stream: value (59s) for parameter UdpStreamTimeout is invalid; it is from 60s to 180s, in whole seconds",
			"tracking.udp: value (29s) for parameter UdpTimeout is invalid; it is from 30s to 60s, in whole seconds"}},
		{"more does not", with(432001*s, 181*s, 61*s), []string{
			"tracking.tcp_established: value (432001s) for parameter TcpEstablishedTimeout is invalid; it is from 60s to 432000s, in whole seconds",
			"tracking.udp_stream: value (181s) for parameter UdpStreamTimeout is invalid; it is from 60s to 180s, in whole seconds",
			"tracking.udp: value (61s) for parameter UdpTimeout is invalid; it is from 30s to 60s, in whole seconds"}},
		{"nor does half a second", with(0, 0, 30500*time.Millisecond), []string{
			"tracking.udp: value (30.5s) for parameter UdpTimeout is invalid; it is from 30s to 60s, in whole seconds"}},
		{"nor a negative time", with(-s, 0, 0), []string{
			"tracking.tcp_established: value (-1s) for parameter TcpEstablishedTimeout is invalid; it is from 60s to 432000s, in whole seconds"}},
	})
}
