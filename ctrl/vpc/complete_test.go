package vpc

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestEveryVPCHas tells what a bare VPC contains (VPC user guide: what a new VPC has).
func TestEveryVPCHas(t *testing.T) {
	m := complete(t, lab(network("old", "10.0.0.0/16", subnet("s", "10.0.0.0/24"), instance("i", "s")),
		network("new", "10.0.0.0/16", ipv6("2600:1f18::/56"))), nil)
	if m.Region != "us-east-1" || m.Account != "123456789012" || m.VPCs[0].Region != m.Region || m.VPCs[0].Account != m.Account {
		t.Errorf("owner %s %s", m.Region, m.Account)
	}
	texts := func(v *VPC) []string {
		var all []string
		g, a := v.SecurityGroup(Default), v.ACL(Default)
		for _, r := range append(slices.Clone(g.Ingress), g.Egress...) {
			all = append(all, r.Text)
		}
		for _, e := range append(slices.Clone(a.Ingress), a.Egress...) {
			all = append(all, e.Text)
		}
		return all
	}
	wantOld := []string{"all from sg.default", "all to 0.0.0.0/0", "100 allow all from 0.0.0.0/0", "100 allow all to 0.0.0.0/0"}
	wantNew := []string{"all from sg.default", "all to 0.0.0.0/0", "all to ::/0", "100 allow all from 0.0.0.0/0",
		"101 allow all from ::/0",
		"100 allow all to 0.0.0.0/0", "101 allow all to ::/0"}
	if got := texts(m.VPC("old")); !slices.Equal(got, wantOld) {
		t.Errorf("old has %q", got)
	}
	if got := texts(m.VPC("new")); !slices.Equal(got, wantNew) {
		t.Errorf("new has %q", got)
	}
	s, e := m.VPC("old").Subnet("s"), eni(t, m, "old", "i")
	if s.AZ != "us-east-1a" || s.RouteTable != Main || s.ACL != Default {
		t.Errorf("subnet %+v", s)
	}
	if e.Device != "eth0" || !slices.Equal(e.Groups, []GroupRef{{Name: Default}}) {
		t.Errorf("interface %+v", e)
	}
}

// TestDeclaredDefaults redefines what exists without being declared, wherever in the file that is.
func TestDeclaredDefaults(t *testing.T) {
	v := network("app", "10.0.0.0/16", table("private"), table("main", "172.16.0.0/12 blackhole"), group("web"), group("default"),
		acl("strict"), acl("default", entry(200, tcp(80, 80), "10.0.0.9/8"), entry(100, tcp(81, 81), "10.0.0.0/8")))
	v.SecurityGroup("web").Egress = []SGRule{} // `egress: []`
	complete(t, lab(v), nil)
	if v.RouteTables[0].Name != Main || len(v.RouteTables[0].Routes) != 1 || len(v.RouteTables) != 2 {
		t.Errorf("route tables %v", v.RouteTables)
	}
	if g := v.SecurityGroups[0]; g.Name != Default || len(g.Ingress) != 0 || len(g.Egress) != 1 || len(v.SecurityGroups) != 2 {
		t.Errorf("default group %+v", g)
	}
	if g := v.SecurityGroup("web"); len(g.Egress) != 0 {
		t.Errorf("a group with `egress: []` lets out %v", g.Egress)
	}
	if a := v.ACLs[0]; a.Name != Default || a.Ingress[0].Number != 100 || a.Ingress[1].Number != 200 || len(a.Egress) != 0 {
		t.Errorf("default ACL %+v", a)
	}
}

// TestCanonical masks what AWS masks.
func TestCanonical(t *testing.T) {
	v := network("app", "10.0.0.5/16", ipv6("2600:1f18::1/56"), subnet("web", "10.0.0.9/24", "2600:1f18::9/64"),
		prefixList("corp", "10.50.1.1/16"), table("main", "172.16.3.4/12 blackhole"),
		group("web", allow(tcp(80, 80), "100.68.0.18/18")),
		acl("strict", entry(100, icmp(-1, 7), "10.1.1.1/8")))
	complete(t, lab(v), nil)
	got := []any{v.CIDRs[0], v.IPv6[0], v.Subnets[0].CIDR, v.Subnets[0].IPv6, v.PrefixLists[0].Entries[0],
		v.RouteTables[0].Routes[0].Destination,
		v.SecurityGroup("web").Ingress[0].CIDR, v.ACL("strict").Ingress[0].CIDR, v.ACL("strict").Ingress[0].ICMPCode}
	const want = "[10.0.0.0/16 2600:1f18::/56 10.0.0.0/24 2600:1f18::/64 10.50.0.0/16 172.16.0.0/12 100.68.0.0/18 10.0.0.0/8 -1]"
	if fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
}

// TestIDs are what they were in the first release, and tell resources apart.
func TestIDs(t *testing.T) {
	m := complete(t, lab(network("app", "10.0.0.0/16", subnet("web", "10.0.0.0/24"), prefixList("corp", "10.50.0.0/16"),
		instance("web", "web", "+eth1=web"))), nil)
	v := m.VPC("app")
	ids := []string{string(v.ID), string(v.Subnets[0].ID), string(v.RouteTables[0].ID), string(v.PrefixLists[0].ID),
		string(v.SecurityGroups[0].ID),
		string(v.ACLs[0].ID), string(v.Instances[0].ID), string(v.Instances[0].Interfaces[0].ID),
		string(v.Instances[0].Interfaces[1].ID)}
	owners := []string{"vpc app vpc", "web subnet subnet", "main rtb route_table", "corp pl prefix_list",
		"default sg security_group",
		"default acl acl", "web i instance", "web eni eni", "web.eth1 eni eni"}
	want := []string{NewID("vpc", "123456789012", "us-east-1", "app", "vpc", "app")}
	for _, o := range owners[1:] {
		f := strings.Fields(o)
		want = append(want, NewID(f[1], "123456789012", "us-east-1", "app", f[2], f[0]))
	}
	if !slices.Equal(ids, want) {
		t.Errorf("ids %v, want %v", ids, want)
	}
	for _, id := range ids {
		if _, hex, ok := strings.Cut(id, "-"); !ok || len(hex) != 17 || strings.Trim(hex, "0123456789abcdef") != "" {
			t.Errorf("%s has not AWS's form", id)
		}
	}
}

// TestAddressesInFileOrder hands out addresses as LANGUAGE says: what the file names first, then the lowest free ones in file order.
func TestAddressesInFileOrder(t *testing.T) {
	m := complete(t, lab(
		network("app", "10.0.0.0/16", igw, ipv6("2600:1f18::/56"), subnet("open", "10.0.0.0/24", "2600:1f18::/64", "public"),
			subnet("web", "10.0.1.0/24"),
			subnet("six", "2600:1f18:0:1::/64"),
			instance("a", "open"), instance("b", "open", "ip=10.0.0.4", "secondary=10.0.0.6", "ipv6=2600:1f18::5"),
			instance("c", "open", "ipv6=none"),
			instance("d", "open", "+eth1=open"), instance("e", "open", "eip=198.18.0.2"), instance("f", "web", "eip=auto"),
			instance("g", "web"),
			instance("h", "six")),
		network("data", "10.0.0.0/16", igw, subnet("open", "10.0.0.0/24", "public"), instance("a", "open")),
	).with(host("h", "198.18.0.4")), nil)
	expectAddrs(t, m, "a", "10.0.0.5 2600:1f18::4 198.18.0.1")
	expectAddrs(t, m, "b", "10.0.0.4 2600:1f18::5 198.18.0.3") // .2 is named, .4 a host's
	expectAddrs(t, m, "c", "10.0.0.7 - 198.18.0.5")
	expectAddrs(t, m, "d", "10.0.0.8 2600:1f18::6 198.18.0.6")
	expectAddrs(t, m, "d.eth1", "10.0.0.9 2600:1f18::7 -") // public_ip is for the primary interface
	expectAddrs(t, m, "e", "10.0.0.10 2600:1f18::8 198.18.0.2")
	expectAddrs(t, m, "f", "10.0.1.4 - 198.18.0.7")
	expectAddrs(t, m, "g", "10.0.1.5 - -")
	expectAddrs(t, m, "h", "- 2600:1f18:0:1::4 -")
	if e := eni(t, m, "data", "a"); e.IP.String() != "10.0.0.4" || e.Public.String() != "198.18.0.8" {
		t.Errorf("data/a has %s %s", e.IP, e.Public)
	}
	expectElastic(t, m, "198.18.0.1", "198.18.0.3", "198.18.0.5", "198.18.0.6", "198.18.0.2", "198.18.0.7", "198.18.0.8")
}

// TestPublicPoolRunsOut draws the whole pool: 198.18.0.1 to 198.18.255.254.
func TestPublicPoolRunsOut(t *testing.T) {
	m := lab(network("app", "10.0.0.0/16", igw, subnet("web", "10.0.0.0/24"), instance("a", "web", "eip=auto"),
		instance("b", "web", "eip=auto")))
	prev := &Model{}
	for a := PublicPool.Addr().Next(); a != netip.MustParseAddr("198.18.255.254"); a = a.Next() {
		prev.Elastic = append(prev.Elastic, a)
	}
	same(t, m.Complete(prev), []string{"vpcs.app.instances.b.eip: no public address is left for instance b; 198.18.0.0/16 has " +
		"been used up; name an address"})
	if a := eni(t, m, "app", "a").Public.String(); a != "198.18.255.254" {
		t.Errorf("the last address is %s", a)
	}
}

// TestAllocationHoldsItsPromises completes random labs and random changes to them, and checks every address that was handed out.
func TestAllocationHoldsItsPromises(t *testing.T) {
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 1))
		var prev *Model
		for range 4 {
			m := randomLab(r)
			problems := m.Complete(prev)
			for _, p := range problems {
				if !strings.Contains(p.What, "no free address") && !strings.Contains(p.What, "is in use by") {
					t.Fatalf("seed %d: %v", seed, p)
				}
			}
			promises(t, seed, m, prev, len(problems) == 0)
			prev = m
		}
	}
}

// randomLab has two VPCs of equal CIDRs with crowded subnets and some explicit addresses, which may be in use.
func randomLab(r *rand.Rand) *Model {
	var vpcs []*VPC
	for n, name := range []string{"app", "data"} {
		v := network(name, "10.0.0.0/16", igw, ipv6(fmt.Sprintf("2600:1f18:%d::/56", n)),
			subnet("small", "10.0.0.0/28", fmt.Sprintf("2600:1f18:%d::/64", n), "public"), subnet("wide", "10.0.1.0/26"))
		for i := range r.IntN(14) {
			if r.IntN(5) == 0 {
				continue // so that names come and go between changes
			}
			instance(fmt.Sprintf("i%d", i), []string{"small", "wide"}[r.IntN(2)], randomWords(r)...)(v)
		}
		for i := range r.IntN(3) {
			secondary := slices.Repeat([]string{"+eip=auto"}, r.IntN(4))
			nat(fmt.Sprintf("n%d", i), []string{"small", "wide"}[r.IntN(2)], append([]string{"eip=auto"}, secondary...)...)(v)
		}
		for i := range r.IntN(3) {
			endpoint(fmt.Sprintf("e%d", i), "sqs", []string{"in=small", "in=wide"}[r.IntN(2)])(v)
			offer(fmt.Sprintf("o%d", i), "", []string{"in=small", "in=wide"}[r.IntN(2)])(v)
		}
		vpcs = append(vpcs, v)
	}
	return lab(vpcs...).with(host("h", fmt.Sprintf("198.18.0.%d", 1+r.IntN(20))))
}

func randomWords(r *rand.Rand) []string {
	words := []string{}
	if r.IntN(4) == 0 {
		words = append(words, "eip=auto")
	}
	if r.IntN(6) == 0 {
		words = append(words, "ipv6=none")
	}
	if r.IntN(3) == 0 {
		words = append(words, "+eth1=wide", fmt.Sprintf("secondary=10.0.1.%d", 4+r.IntN(50)))
	}
	return words
}

// promises checks one completed lab. Whatever is wrong with it, no address is reserved or, unless a problem says so, held twice.
func promises(t *testing.T, seed uint64, m, prev *Model, right bool) {
	t.Helper()
	public := map[netip.Addr]bool{m.Hosts[0].Addrs[0]: true}
	for _, v := range m.VPCs {
		private := map[netip.Addr]bool{}
		for _, e := range v.InstanceENIs() {
			s := v.Subnet(e.Subnet)
			for _, a := range append([]netip.Addr{e.IP, e.IPv6}, e.Secondary...) {
				if !a.IsValid() {
					continue
				}
				if s.Reserved(a) || !s.prefix(a).Contains(a) {
					t.Fatalf("seed %d: %s/%s has %s, which subnet %s cannot give", seed, v.Name, e.Name, a, s.Name)
				}
				if private[a] && right {
					t.Fatalf("seed %d: %s/%s has %s, which is taken", seed, v.Name, e.Name, a)
				}
				private[a] = true
			}
			if right && !e.IP.IsValid() {
				t.Fatalf("seed %d: %s/%s has no address and nobody says why", seed, v.Name, e.Name)
			}
			if e.Public.IsValid() && (public[e.Public] && right || !PublicPool.Contains(e.Public) || e.Device != "eth0" && !e.AutoPublic) {
				t.Fatalf("seed %d: %s/%s has public address %s", seed, v.Name, e.Name, e.Public)
			}
			public[e.Public] = true
			keeps(t, seed, v, e, prev, right)
		}
		for _, g := range v.NATGateways {
			s := v.Subnet(g.Subnet)
			for _, a := range g.Addresses {
				if right && (!s.usable(a.IP) || private[a.IP] || !PublicPool.Contains(a.Public) || public[a.Public]) {
					t.Fatalf("seed %d: %s/%s has %s and %s", seed, v.Name, g.Name, a.IP, a.Public)
				}
				private[a.IP], public[a.Public] = true, true
			}
			keepsNAT(t, seed, v, g, prev, right)
		}
		for _, in := range managedOf(v) {
			if right && (!v.Subnet(in.Subnet).usable(in.IP) || private[in.IP]) {
				t.Fatalf("seed %d: an endpoint of %s has %s", seed, v.Name, in.IP)
			}
			private[in.IP] = true
			if prev == nil || !right {
				continue
			}
			for _, old := range managedOf(prev.VPC(v.Name)) {
				if old.ID == in.ID && old.IP.IsValid() && old.IP != in.IP {
					t.Fatalf("seed %d: an endpoint of %s had %s and has %s", seed, v.Name, old.IP, in.IP)
				}
			}
		}
	}
}

// managedOf are the interfaces of a VPC's endpoints and load balancers.
func managedOf(v *VPC) []*EndpointInterface {
	var all []*EndpointInterface
	for _, e := range v.Endpoints {
		all = append(all, e.Interfaces...)
	}
	for _, s := range v.EndpointServices {
		all = append(all, s.Interfaces...)
	}
	return all
}

// keeps checks that an interface that was there before a change has what it had.
func keeps(t *testing.T, seed uint64, v *VPC, e *ENI, prev *Model, right bool) {
	t.Helper()
	if prev == nil || !right {
		return
	}
	old := prev.VPC(v.Name).ENI(e.Name)
	if old == nil || old.Subnet != e.Subnet || !old.IP.IsValid() {
		return
	}
	if old.IP != e.IP || old.AutoPublic == e.AutoPublic && old.Public != e.Public {
		t.Fatalf("seed %d: %s/%s had %s %s and has %s %s", seed, v.Name, e.Name, old.IP, old.Public, e.IP, e.Public)
	}
}

// keepsNAT checks that a NAT gateway that was there before a change has what it had: here all its addresses are drawn.
func keepsNAT(t *testing.T, seed uint64, v *VPC, g *NATGateway, prev *Model, right bool) {
	t.Helper()
	if prev == nil || !right {
		return
	}
	old := prev.VPC(v.Name).NATGateway(g.Name)
	if old == nil || old.Subnet != g.Subnet {
		return
	}
	for n := range min(len(old.Addresses), len(g.Addresses)) {
		if was, is := old.Addresses[n], g.Addresses[n]; was.IP.IsValid() && was != is {
			t.Fatalf("seed %d: %s/%s had %v and has %v", seed, v.Name, g.Name, was, is)
		}
	}
}

// TestCompleteTwice gives the same model, and leaves prev alone.
func TestCompleteTwice(t *testing.T) {
	build := func() *Model { return randomLab(rand.New(rand.NewPCG(7, 7))) }
	first := build()
	want := first.Complete(nil)
	if second := build(); !reflect.DeepEqual(second.Complete(nil), want) || !reflect.DeepEqual(first, second) {
		t.Error("two completions of one file differ")
	}
	again := build()
	again.Complete(nil)
	build().Complete(again)
	if !reflect.DeepEqual(first, again) {
		t.Error("a change wrote into the model before it")
	}
}

// TestHostileModels completes models that no parser should hand over. They are wrong, not a crash.
func TestHostileModels(t *testing.T) {
	zero := netip.Prefix{}
	mapped := netip.MustParsePrefix("::ffff:10.0.0.0/100")
	for _, p := range []netip.Prefix{zero, mapped, anywhere4, anywhere6, netip.MustParsePrefix("255.255.255.255/32"),
		netip.MustParsePrefix("ffff::/128")} {
		v := &VPC{CIDRs: []netip.Prefix{p, p}, IPv6: []netip.Prefix{p}, InternetGateway: true,
			Subnets: []*Subnet{{CIDR: p, IPv6: p, PublicIP: true}, {Name: "s", CIDR: p}},
			RouteTables: []*RouteTable{{Routes: []Route{{}, {Destination: p, Target: Target{Kind: TargetLocal}},
				{PrefixList: "x"}}}},
			ACLs:        []*ACL{{Ingress: []ACLEntry{{CIDR: p}}}},
			PrefixLists: []*PrefixList{{Name: "x", Entries: []netip.Prefix{p}}},
			SecurityGroups: []*SecurityGroup{{Ingress: []SGRule{{}, {CIDR: p}, {PrefixList: "x"},
				{Group: GroupRef{VPC: "?", Name: "?"}}}}},
			Instances: []*Instance{{}, {Interfaces: []*ENI{{}, {Subnet: "s", IP: p.Addr(), IPv6: p.Addr(), Public: p.Addr(),
				Secondary: []netip.Addr{{}, p.Addr()}}}}},
			NATGateways: []*NATGateway{{}, {Subnet: "s", Addresses: []NATAddress{{IP: p.Addr(), Public: p.Addr()}, {}}}},
			EdgeRoutes:  []Route{{}, {Destination: p, Target: Target{Kind: TargetLocal}}, {PrefixList: "x"}},
			Endpoints: []*Endpoint{{}, {Type: GatewayEndpoint, Service: ServiceRef{"", "s3"}, RouteTables: []string{"", "?"}},
				{Type: InterfaceEndpoint, Service: ServiceRef{"?", "?"}, DualStack: true,
					Interfaces: []*EndpointInterface{{}, {Subnet: "s", IP: p.Addr(), IPv6: p.Addr()}}}},
			EndpointServices: []*EndpointService{{Targets: []string{"", "?"}}, {Name: "?", Interfaces: []*EndpointInterface{{Subnet: "s"}},
				Accepted: []EndpointRef{{}, {"?", "?"}}}}}
		m := &Model{VPCs: []*VPC{v}, Hosts: []*Host{{Addrs: []netip.Addr{p.Addr()}}}, Zones: []*PrivateZone{{}, {VPCs: []string{"?", ""}}},
			Services: Services{Buckets: []*Bucket{{}}, Tables: []*Table{{}}}}
		if len(m.Complete(nil)) == 0 || len(m.Complete(m)) == 0 {
			t.Errorf("%s: no problem", p)
		}
		for _, table := range v.RouteTables {
			v.EffectiveRoutes(table)
		}
		v.EffectiveEdgeRoutes()
		v.Resolver()
		v.Subnets[0].Router4()
	}
	empty := &VPC{}
	if empty.Resolver().IsValid() || len(empty.EffectiveRoutes(&RouteTable{Routes: []Route{{PrefixList: "gone"}}})) != 0 {
		t.Error("an empty VPC has a resolver or routes")
	}
}

// TestHugeFile has thousands of mistakes that could each list thousands of things.
func TestHugeFile(t *testing.T) {
	const n = 3000
	v := network("app", strings.Repeat("10.0.0.0/16 ", n))
	for i := range n {
		subnet(fmt.Sprintf("s%d", i), "172.16.0.0/24")(v)
		instance(fmt.Sprintf("i%d", i), strings.Repeat("x", 100))(v)
	}
	text := 0
	for _, p := range lab(v).Complete(nil) {
		text += len(p.Error())
	}
	if text < n || text > n*1000 {
		t.Errorf("%d bytes of messages", text)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"web", "private", "firewall", "db"}
	for _, row := range []struct{ name, want string }{
		{"privat", "private"}, {"privaet", "private"}, {"firewal", "firewall"}, {"wep", "web"}, {"bd", ""}, {"web2", "web"},
		{"x", ""}, {"", ""},
	} {
		if got := nearest(row.name, known); got != row.want {
			t.Errorf("%q is near %q, want %q", row.name, got, row.want)
		}
	}
}
