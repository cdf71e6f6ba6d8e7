package vpc

import (
	"net/netip"
	"slices"
	"testing"
)

// TestWrongChanges are the mistakes that only a change can make.
func TestWrongChanges(t *testing.T) {
	shop := func(parts ...part) *Model {
		return lab(network("app", "10.0.0.0/16", append([]part{subnet("web", "10.0.0.0/24"),
			subnet("open", "10.0.1.0/24", "public")}, parts...)...))
	}
	rows := []struct {
		name          string
		before, after *Model
		want          []string
	}{
		{"the gateway stays while an eip is mapped", shop(igw, instance("a", "web", "eip=198.51.100.7")),
			shop(instance("a", "web", "eip=198.51.100.7")),
			[]string{"vpcs.app.internet_gateway: network app has some mapped public address(es); please unmap those public " +
				"address(es) before detaching the gateway: take eip 198.51.100.7 from a"}},
		{"or an address from a launch", shop(igw, instance("a", "open")), shop(instance("a", "open")), []string{
			"vpcs.app.internet_gateway: network app has some mapped public address(es); please unmap those public address(es) " +
				"before detaching the gateway: remove instance a, which has had 198.18.0.1 since its launch"}},
		{"it goes when nothing is", shop(igw, instance("a", "web", "eip=198.51.100.7")), shop(instance("a", "web")), nil},
		{"the primary CIDR stays", lab(network("app", "10.0.0.0/16 10.1.0.0/16")), lab(network("app", "10.1.0.0/16")), []string{
			"vpcs.app.cidr: the vpc CIDR block 10.0.0.0/16 may not be disassociated; it is the primary IPv4 CIDR block of the " +
				"VPC: keep it first"}},
		{"a secondary one may go", lab(network("app", "10.0.0.0/16 10.1.0.0/16")), lab(network("app", "10.0.0.0/16")), nil},
		{"a subnet's CIDR stays", shop(), lab(network("app", "10.0.0.0/16", subnet("web", "10.0.9.0/24"))), []string{
			"vpcs.app.subnets.web.cidr: the CIDR of subnet 'web' cannot be changed from 10.0.0.0/24 to 10.0.9.0/24; declare " +
				"another subnet"}},
		{"a subnet stays in its zone", shop(), lab(network("app", "10.0.0.0/16", subnet("web", "10.0.0.0/24", "az=b"))), []string{
			"vpcs.app.subnets.web.az: subnet 'web' cannot move from us-east-1a to us-east-1b; declare another subnet"}},
		{"a new CIDR is not as large as a route", shop(instance("fw", "web"), table("main", "10.2.0.0/16 instance.fw")),
			lab(network("app", "10.0.0.0/16 10.2.0.0/16", subnet("web", "10.0.0.0/24"), instance("fw", "web"),
				table("main", "10.2.0.0/16 instance.fw"))),
			[]string{"vpcs.app.cidr.1: the CIDR '10.2.0.0/16' is equal to or larger than the route 10.2.0.0/16 in route table " +
				"main; remove the route in an earlier change, or add a smaller CIDR"}},
		{"a smaller one is fine", shop(instance("fw", "web"), table("main", "10.2.0.0/16 instance.fw")),
			lab(network("app", "10.0.0.0/16 10.2.0.0/17", subnet("web", "10.0.0.0/24"), instance("fw", "web"),
				table("main", "10.2.0.0/16 instance.fw"))), nil},
		{"a route that goes at the same time does not matter",
			shop(instance("fw", "web"), table("main", "10.2.0.0/16 instance.fw")),
			lab(network("app", "10.0.0.0/16 10.2.0.0/16", subnet("web", "10.0.0.0/24"), instance("fw", "web"))), nil},
		{"nor does one of a table that goes", shop(instance("fw", "web"), table("old", "10.2.0.0/16 instance.fw")),
			lab(network("app", "10.0.0.0/16 10.2.0.0/16", subnet("web", "10.0.0.0/24"), instance("fw", "web"))), nil},
		{"a CIDR that was there may have a route like it", lab(network("app", "10.0.0.0/16 10.2.0.0/16", instance("fw", "web"),
			subnet("web", "10.0.0.0/24"), table("main", "10.2.0.0/16 instance.fw"))), lab(network("app", "10.0.0.0/16 10.2.0.0/16",
			instance("fw", "web"), subnet("web", "10.0.0.0/24"), table("main", "10.2.0.0/16 instance.fw"))), nil},
		{"a running instance's address is in use", shop(instance("a", "web")),
			shop(instance("a", "web"), instance("b", "web", "ip=10.0.0.4")), []string{
				"vpcs.app.instances.b.ip: address 10.0.0.4 is in use by instance a; instance a has had it since before this " +
					"change; choose another address"}},
		{"so is its public address", shop(igw, instance("a", "open")),
			shop(igw, instance("a", "open"), instance("b", "web", "eip=198.18.0.1")), []string{
				"vpcs.app.instances.b.eip: address 198.18.0.1 is in use by instance a; instance a has had it since before this " +
					"change; choose another address"}},
		{"a group in use stays", shop(group("web"), instance("a", "web", "sg=web")), shop(instance("a", "web", "sg=web")), []string{
			"vpcs.app.instances.a.sg: the security group 'web' has a dependent object; take it away from interface a before " +
				"it is removed, or in the same change"}},
		{"a target that never was is an error", shop(), shop(table("main", "0.0.0.0/0 igw", "172.16.0.0/12 instance.fw")), []string{
			"vpcs.app.route_tables.main.routes.0.0.0.0/0: the internet gateway of VPC 'app' does not exist; set " +
				"`internet_gateway: true` in VPC app",
			"vpcs.app.route_tables.main.routes.172.16.0.0/12: the instance 'fw' does not exist; declare it in `instances`"}},
		{"a group that never was is an error", shop(), shop(group("web", allow(tcp(80, 80), "sg.old"))), []string{
			"vpcs.app.security_groups.web.ingress: the security group 'old' does not exist; declare it in `security_groups` " +
				"or use one of default, web"}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) { same(t, row.after.Complete(complete(t, row.before, nil)), row.want) })
	}
}

// TestWhatRemovalLeaves follows a lab through changes that take targets and groups away and bring one back.
func TestWhatRemovalLeaves(t *testing.T) {
	rest := []part{subnet("web", "10.0.0.0/24"),
		table("main", "0.0.0.0/0 igw", "172.16.0.0/12 instance.fw", "172.20.0.0/16 eni.fw.eth1", "172.21.0.0/16 blackhole",
			"172.22.0.0/16 instance.a"),
		group("a", allow(tcp(80, 80), "sg.b"), allow(tcp(80, 80), "data/sg.db")), instance("a", "web")}
	fw, groupB := instance("fw", "web", "+eth1=web"), group("b")
	data := network("data", "10.9.0.0/16", group("db"))
	app := func(parts ...part) *VPC { return network("app", "10.0.0.0/16", append(parts, rest...)...) }

	first := complete(t, lab(app(igw, fw, groupB), data).peered("app-data app data"), nil)
	expectState(t, first, []bool{false, false, false, true, false}, []bool{false, false})
	if len(first.Removed) != 0 {
		t.Errorf("removed before any change: %v", first.Removed)
	}

	second := complete(t, lab(app()), first)
	expectState(t, second, []bool{true, true, true, true, false}, []bool{true, true})
	want := []string{"app/eni.fw", "app/eni.fw.eth1", "app/igw", "app/instance.fw", "app/peer.data", "app/peering.app-data",
		"app/sg.b", "data", "data/peer.app", "data/peering.app-data", "data/sg.db", "data/sg.default"}
	if !slices.Equal(second.Removed, want) {
		t.Errorf("removed %v, want %v", second.Removed, want)
	}

	third := complete(t, lab(app()), second)
	expectState(t, third, []bool{true, true, true, true, false}, []bool{true, true})

	fourth := complete(t, lab(app(igw, fw, groupB), data).peered("app-data app data"), third)
	expectState(t, fourth, []bool{false, false, false, true, false}, []bool{false, false})
	if len(fourth.Removed) != 0 {
		t.Errorf("removed although all came back: %v", fourth.Removed)
	}
}

func expectState(t *testing.T, m *Model, blackholes, stale []bool) {
	t.Helper()
	var gotBlackholes, gotStale []bool
	for _, r := range m.VPC("app").RouteTable(Main).Routes {
		gotBlackholes = append(gotBlackholes, r.Blackhole)
	}
	for _, r := range m.VPC("app").SecurityGroup("a").Ingress {
		gotStale = append(gotStale, r.Stale)
	}
	if !slices.Equal(gotBlackholes, blackholes) || !slices.Equal(gotStale, stale) {
		t.Errorf("blackholes %v, stale %v; want %v, %v", gotBlackholes, gotStale, blackholes, stale)
	}
}

// TestChangeKeepsAddresses removes and adds instances around ones that stay.
func TestChangeKeepsAddresses(t *testing.T) {
	shop := func(parts ...part) *Model {
		return lab(network("app", "10.0.0.0/16", append([]part{igw, ipv6("2600:1f18::/56"),
			subnet("open", "10.0.0.0/24", "2600:1f18::/64", "public"),
			subnet("web", "10.0.1.0/24")}, parts...)...))
	}
	first := complete(t, shop(instance("a", "open"), instance("b", "open"), instance("c", "web", "eip=auto"),
		instance("d", "web", "ip=10.0.1.9")), nil)
	expectAddrs(t, first, "a", "10.0.0.4 2600:1f18::4 198.18.0.1")
	expectAddrs(t, first, "b", "10.0.0.5 2600:1f18::5 198.18.0.2")
	expectAddrs(t, first, "c", "10.0.1.4 - 198.18.0.3")

	second := complete(t, shop(instance("new", "open"), instance("c", "web", "eip=auto"), instance("b", "open"),
		instance("d", "web")), first)
	expectAddrs(t, second, "new", "10.0.0.4 2600:1f18::4 198.18.0.4") // a's private addresses are free again, its public one is not
	expectAddrs(t, second, "b", "10.0.0.5 2600:1f18::5 198.18.0.2")
	expectAddrs(t, second, "c", "10.0.1.4 - 198.18.0.3")
	expectAddrs(t, second, "d", "10.0.1.9 - -") // a primary address stays even if the file no longer names it
	expectElastic(t, second, "198.18.0.1", "198.18.0.2", "198.18.0.3", "198.18.0.4")

	third := complete(t, shop(instance("new", "open", "eip=auto", "ipv6=none"), instance("b", "web"), instance("c", "web")), second)
	expectAddrs(t, third, "new", "10.0.0.4 - 198.18.0.5") // an elastic address replaces that of the launch
	expectAddrs(t, third, "b", "10.0.1.5 - -")            // another subnet: another instance
	expectAddrs(t, third, "c", "10.0.1.4 - -")            // no longer `eip: auto`

	fourth := complete(t, shop(instance("new", "open"), instance("b", "web"), instance("c", "web")), third)
	expectAddrs(t, fourth, "new", "10.0.0.4 2600:1f18::4 198.18.0.6") // without it there is a new one
}

// TestPublicIPActsAtLaunch switches public_ip on and off under running instances.
func TestPublicIPActsAtLaunch(t *testing.T) {
	off := func(parts ...part) *Model {
		return lab(network("app", "10.0.0.0/16", append([]part{igw, subnet("web", "10.0.0.0/24")}, parts...)...))
	}
	on := func(parts ...part) *Model {
		return lab(network("app", "10.0.0.0/16", append([]part{igw, subnet("web", "10.0.0.0/24", "public")}, parts...)...))
	}
	first := complete(t, off(instance("a", "web")), nil)
	second := complete(t, on(instance("a", "web"), instance("b", "web")), first)
	expectAddrs(t, second, "a", "10.0.0.4 - -")
	expectAddrs(t, second, "b", "10.0.0.5 - 198.18.0.1")
	third := complete(t, off(instance("a", "web"), instance("b", "web"), instance("c", "web")), second)
	expectAddrs(t, third, "b", "10.0.0.5 - 198.18.0.1")
	expectAddrs(t, third, "c", "10.0.0.6 - -")
}

// expectAddrs compares an interface of VPC app: private IPv4, IPv6 and public address, "-" for none.
func expectAddrs(t *testing.T, m *Model, name, want string) {
	t.Helper()
	e := eni(t, m, "app", name)
	text := func(a netip.Addr) string {
		if !a.IsValid() {
			return "-"
		}
		return a.String()
	}
	if got := text(e.IP) + " " + text(e.IPv6) + " " + text(e.Public); got != want {
		t.Errorf("%s has %s, want %s", name, got, want)
	}
}

func expectElastic(t *testing.T, m *Model, want ...string) {
	t.Helper()
	var got []string
	for _, a := range m.Elastic {
		got = append(got, a.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("elastic %v, want %v", got, want)
	}
}
