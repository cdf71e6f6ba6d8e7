package vpc

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

// lookup is longest-prefix match over effective routes: the whole rule, as a packet meets it.
func lookup(routes []Route, addr string) string {
	best := -1
	for i, r := range routes {
		if r.Destination.Contains(netip.MustParseAddr(addr)) && (best < 0 || r.Destination.Bits() > routes[best].Destination.Bits()) {
			best = i
		}
	}
	if best < 0 {
		return "no route"
	}
	return says(routes[best])
}

func says(r Route) string {
	text := string(r.Target.Kind)
	if r.Target.Name != "" {
		text += "." + r.Target.Name
	}
	if r.Blackhole && r.Target.Kind != TargetBlackhole {
		text += " (blackhole)"
	}
	return text
}

func TestRoutePriority(t *testing.T) {
	rows := []struct {
		name   string
		routes []string
		want   map[string]string // where packets to these addresses go
	}{
		{"local routes are implied, for every CIDR", nil,
			map[string]string{"10.0.9.9": "local", "10.1.9.9": "local", "2600:1f18::9": "local", "8.8.8.8": "no route",
				"2001:db8::9": "no route"}},
		{"a default route takes the rest, a family at a time", []string{"0.0.0.0/0 igw"},
			map[string]string{"8.8.8.8": "igw", "10.0.9.9": "local", "2001:db8::9": "no route"}},
		{"surprise 12: among equal prefixes static wins", []string{"172.31.0.0/24 instance.a vpn-bgp", "172.31.0.0/24 igw"},
			map[string]string{"172.31.0.5": "igw", "172.31.0.200": "igw"}},
		{"surprise 12: the longest prefix beats everything",
			[]string{"172.31.0.0/24 igw", "172.31.0.0/24 instance.a vpn-bgp", "172.31.0.0/25 instance.a vpn-bgp"},
			map[string]string{"172.31.0.5": "instance.a", "172.31.0.127": "instance.a", "172.31.0.128": "igw"}},
		{"static beats prefix list beats propagated",
			[]string{"pl.corp instance.b", "10.50.0.0/16 instance.c dx", "10.51.0.0/16 instance.a", "10.51.0.0/16 instance.c dx"},
			map[string]string{"10.50.1.1": "instance.b", "10.51.1.1": "instance.a"}},
		{"of two prefix lists the first stays", []string{"pl.corp instance.b", "pl.home instance.c"},
			map[string]string{"10.50.1.1": "instance.b", "10.52.1.1": "instance.c"}},
		{"Direct Connect beats static VPN beats BGP VPN",
			[]string{"10.60.0.0/16 instance.c vpn-bgp", "10.60.0.0/16 instance.b vpn-static", "10.61.0.0/16 instance.b vpn-static",
				"10.61.0.0/16 instance.a dx"}, map[string]string{"10.60.1.1": "instance.b", "10.61.1.1": "instance.a"}},
		{"a more specific prefix list beats a static route", []string{"10.48.0.0/12 igw", "pl.corp instance.b"},
			map[string]string{"10.50.1.1": "instance.b", "10.53.1.1": "igw"}},
		{"a subnet may be reached through an instance", []string{"10.0.1.0/24 instance.a"},
			map[string]string{"10.0.1.9": "instance.a", "10.0.2.9": "local"}},
		{"an interface may take the place of local", []string{"10.0.0.0/16 eni.a"},
			map[string]string{"10.0.1.9": "eni.a", "10.1.1.9": "local"}},
		{"a NAT gateway may take the place of local, or of a subnet", []string{"10.0.0.0/16 nat.out", "10.1.0.0/20 local"},
			map[string]string{"10.0.1.9": "nat.out", "10.1.1.9": "local"}},
		{"a subnet may be reached through a NAT gateway", []string{"10.0.1.0/24 nat.out"},
			map[string]string{"10.0.1.9": "nat.out", "10.0.2.9": "local"}},
		{"surprise 13: NAT beside the internet gateway, a family and a prefix at a time",
			[]string{"0.0.0.0/0 igw", "203.0.113.0/24 nat.out", "::/0 eigw", "64:ff9b::/96 nat.out"},
			map[string]string{"203.0.113.5": "nat.out", "8.8.8.8": "igw", "2001:db8::9": "eigw", "64:ff9b::808:808": "nat.out"}},
		{"a propagated route may not", []string{"10.0.0.0/16 eni.a dx"}, map[string]string{"10.0.1.9": "local"}},
		{"local may be written", []string{"10.0.0.0/16 local"}, map[string]string{"10.0.1.9": "local"}},
		{"a blackhole does not fall back", []string{"0.0.0.0/0 igw", "203.0.113.0/24 blackhole"},
			map[string]string{"203.0.113.5": "blackhole", "8.8.8.8": "igw"}},
		{"a gateway endpoint's row beats what is shorter", []string{"0.0.0.0/0 igw", "52.216.0.0/15 igw"},
			map[string]string{"52.216.0.1": "endpoint.s3", "52.217.1.1": "igw", "52.94.0.1": "igw"}},
		{"and loses to the same prefix, and to longer ones", []string{"52.216.0.0/16 igw", "0.0.0.0/0 nat.out"},
			map[string]string{"52.216.0.1": "igw", "52.94.0.1": "nat.out"}},
		{"to longer ones only where they match", []string{"52.216.7.0/24 nat.out", "0.0.0.0/0 igw"},
			map[string]string{"52.216.0.1": "endpoint.s3", "52.216.7.1": "nat.out"}},
		{"a propagated route of its prefix loses to it", []string{"52.216.0.0/16 instance.a dx"}, map[string]string{"52.216.0.1": "endpoint.s3"}},
		{"surprise 14: a route around link-local is a route like any other", []string{"0.0.0.0/0 igw", "169.254.0.0/16 instance.a"},
			map[string]string{"169.254.1.1": "instance.a", "169.254.169.254": "instance.a"}}, // services are asked before any table
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			m := complete(t, lab(network("app", "10.0.0.0/16 10.1.0.0/20", igw, ipv6("2600:1f18::/56"),
				subnet("web", "10.0.1.0/24"),
				prefixList("corp", "10.50.0.0/16 10.51.0.0/16"), prefixList("home", "10.50.0.0/16 10.52.0.0/16"),
				table(Main, row.routes...), table("other"), eigw, nat("out", "web", "private"),
				endpoint("s3", "s3", "tables=main"), endpoint("dynamodb", "dynamodb", "tables=other"),
				instance("a", "web"), instance("b", "web"), instance("c", "web"))), nil)
			v := m.VPC("app")
			routes := v.EffectiveRoutes(v.RouteTable(Main))
			for addr, want := range row.want {
				if got := lookup(routes, addr); got != want {
					t.Errorf("%s goes to %s, want %s", addr, got, want)
				}
			}
			seen := map[netip.Prefix]bool{}
			for _, r := range routes {
				if seen[r.Destination] {
					t.Errorf("two routes for %s", r.Destination)
				}
				seen[r.Destination] = true
			}
		})
	}
}

// TestRemovedTargetDoesNotFallBack is surprise 13 with an instance in place of a NAT gateway.
func TestRemovedTargetDoesNotFallBack(t *testing.T) {
	app := func(parts ...part) *Model {
		return lab(network("app", "10.0.0.0/16", append(parts, igw, subnet("web", "10.0.0.0/24"),
			table(Main, "0.0.0.0/0 igw", "203.0.113.0/24 instance.fw", "10.0.0.0/24 instance.fw"))...))
	}
	before := complete(t, app(instance("fw", "web")), nil)
	after := complete(t, app(), before)
	for _, row := range []struct {
		m                 *Model
		special, fallback string
	}{{before, "instance.fw", "igw"}, {after, "instance.fw (blackhole)", "igw"}} {
		v := row.m.VPC("app")
		routes := v.EffectiveRoutes(v.RouteTables[0])
		for addr, want := range map[string]string{"203.0.113.5": row.special, "10.0.0.9": row.special, "8.8.8.8": row.fallback,
			"10.0.1.9": "local"} {
			if got := lookup(routes, addr); got != want {
				t.Errorf("%s goes to %s, want %s", addr, got, want)
			}
		}
	}
}

// TestEffectiveRoutesAreInOrder lists them as people do: local ones first, then the table's.
func TestEffectiveRoutesAreInOrder(t *testing.T) {
	m := complete(t, lab(network("app", "10.0.0.0/16", igw, ipv6("2600:1f18::/56"), prefixList("corp", "10.50.0.0/16 10.51.0.0/16"),
		table(Main, "pl.corp igw", "0.0.0.0/0 igw"))), nil)
	v := m.VPC("app")
	var got []string
	for _, r := range v.EffectiveRoutes(v.RouteTable(Main)) {
		got = append(got, fmt.Sprintf("%s %s %d", r.Destination, says(r), r.Origin))
	}
	want := []string{"10.0.0.0/16 local 0", "2600:1f18::/56 local 0", "10.50.0.0/16 igw 1", "10.51.0.0/16 igw 1", "0.0.0.0/0 igw 1"}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestLookups(t *testing.T) {
	m := complete(t, lab(network("app", "10.0.0.0/16 10.1.0.0/16", ipv6("2600:1f18::/56"),
		subnet("web", "10.1.1.0/24", "2600:1f18::/64"),
		subnet("six", "2600:1f18:0:1::/64"), table("private"), acl("strict"), prefixList("corp", "10.50.0.0/16"), group("web"),
		instance("a", "web"), instance("fw", "web", "+eth1=web"))).with(host("h", "203.0.113.80")), nil)
	v := m.VPC("app")
	if v.Subnet("web") == nil || v.RouteTable("private") == nil || v.ACL("strict") == nil || v.PrefixList("corp") == nil ||
		v.SecurityGroup("web") == nil || v.Instance("fw") == nil || v.ENI("fw") == nil || m.Host("h") == nil {
		t.Error("something that is there was not found")
	}
	if m.VPC("x") != nil || m.Host("x") != nil || v.Subnet("x") != nil || v.RouteTable("x") != nil || v.ACL("x") != nil ||
		v.PrefixList("x") != nil ||
		v.SecurityGroup("x") != nil || v.Instance("x") != nil || v.ENI("fw.eth2") != nil {
		t.Error("something that is not there was found")
	}
	if got := v.ENI("fw.eth1").Device; got != "eth1" {
		t.Errorf("fw.eth1 is %s", got)
	}
	if got := v.Resolver().String(); got != "10.0.0.2" {
		t.Errorf("the resolver is %s", got)
	}
	if got := v.Subnet("web").Router4().String(); got != "10.1.1.1" {
		t.Errorf("the router is %s", got)
	}
	if v.Subnet("six").Router4().IsValid() {
		t.Error("an IPv6-only subnet has an IPv4 router")
	}
	var names []string
	for i, e := range v.InstanceENIs() {
		names = append(names, i.Name+"/"+e.Name)
		if e.Name == "fw" {
			break
		}
	}
	if !slices.Equal(names, []string{"a/a", "fw/fw"}) {
		t.Errorf("interfaces %v", names)
	}
}

// TestReserved counts what is left of a subnet: a /28 has eleven usable addresses.
func TestReserved(t *testing.T) {
	s := &Subnet{CIDR: netip.MustParsePrefix("10.0.0.16/28"), IPv6: netip.MustParsePrefix("2600:1f18::/64")}
	usable := 0
	for a := s.CIDR.Addr(); s.CIDR.Contains(a); a = a.Next() {
		if !s.Reserved(a) {
			usable++
		}
	}
	if usable != 11 {
		t.Errorf("%d usable addresses", usable)
	}
	for addr, want := range map[string]bool{"10.0.0.15": false, "10.0.0.16": true, "10.0.0.19": true, "10.0.0.20": false,
		"10.0.0.30": false, "10.0.0.31": true,
		"10.0.0.32": false, "2600:1f18::": true, "2600:1f18::3": true, "2600:1f18::4": false,
		"2600:1f18::ffff:ffff:ffff:ffff": true} {
		if got := s.Reserved(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s reserved: %v, want %v", addr, got, want)
		}
	}
}
