package vpc

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// wrong is one mistake and every problem that must be reported for it.
type wrong struct {
	name  string
	model *Model
	want  []string
}

func judge(t *testing.T, rows []wrong) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) { same(t, row.model.Complete(nil), row.want) })
	}
}

func same(t *testing.T, got []Problem, want []string) {
	t.Helper()
	texts := make([]string, len(got))
	for i, p := range got {
		texts[i] = p.Error()
	}
	if !slices.Equal(texts, want) {
		t.Errorf("problems:\n\t%s\nwant:\n\t%s", strings.Join(texts, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestWrongVPCCIDRs(t *testing.T) {
	app := func(cidrs string) *Model { return lab(network("app", cidrs)) }
	judge(t, []wrong{
		{"a VPC has an IPv4 CIDR", app(""),
			[]string{"vpcs.app.cidr: VPC 'app' has no IPv4 CIDR block; every VPC needs one, such as 10.0.0.0/16"}},
		{"a VPC is not larger than /16", app("10.0.0.0/15"),
			[]string{"vpcs.app.cidr: the CIDR '10.0.0.0/15' is invalid; a VPC's prefix length is from /16 to /28"}},
		{"a VPC is not smaller than /28", app("10.0.0.0/29"),
			[]string{"vpcs.app.cidr: the CIDR '10.0.0.0/29' is invalid; a VPC's prefix length is from /16 to /28"}},
		{"an IPv6 block is no IPv4 CIDR", app("2600:1f18::/56"), []string{"vpcs.app.cidr: value (2600:1f18::/56) for parameter " +
			"cidrBlock is invalid; give an IPv4 CIDR block such as 10.0.0.0/16; IPv6 blocks belong in `ipv6`"}},
		{"a VPC is not in this network", app("0.1.0.0/16"), []string{"vpcs.app.cidr: the CIDR '0.1.0.0/16' is invalid; " +
			"0.0.0.0/8 cannot be used in a VPC; take a private range such as 10.0.0.0/16"}},
		{"a VPC is not loopback", app("127.0.0.0/16"), []string{"vpcs.app.cidr: the CIDR '127.0.0.0/16' is invalid; " +
			"127.0.0.0/8 cannot be used in a VPC; take a private range such as 10.0.0.0/16"}},
		{"a VPC is not link-local", app("169.254.1.0/24"), []string{"vpcs.app.cidr: the CIDR '169.254.1.0/24' is invalid; " +
			"169.254.0.0/16 cannot be used in a VPC; take a private range such as 10.0.0.0/16"}},
		{"a VPC is not multicast", app("239.0.0.0/16"), []string{"vpcs.app.cidr: the CIDR '239.0.0.0/16' is invalid; " +
			"224.0.0.0/4 cannot be used in a VPC; take a private range such as 10.0.0.0/16"}},
		{"CIDRs of a VPC do not overlap", app("10.2.0.0/16 10.2.128.0/20"),
			[]string{"vpcs.app.cidr.1: the CIDR '10.2.128.0/20' conflicts with 10.2.0.0/16; the CIDRs of a VPC must not overlap"}},
		{"a VPC has at most five CIDRs", app("10.2.0.0/16 10.3.0.0/16 10.4.0.0/16 10.5.0.0/16 10.6.0.0/16 10.7.0.0/16"), []string{
			"vpcs.app.cidr.5: this network 'app' has met its maximum number of allowed CIDRs: 5; remove the others"}},
	})
}

// TestSecondaryCIDRs is the table of restricted associations of the VPC user guide.
func TestSecondaryCIDRs(t *testing.T) {
	const allowed = ""
	rows := []struct{ primary, secondary, restricted string }{
		{"10.2.0.0/16", "10.3.0.0/16", allowed},
		{"10.2.0.0/16", "100.64.0.0/16", allowed},
		{"10.2.0.0/16", "203.0.113.0/24", allowed},
		{"10.2.0.0/16", "172.16.0.0/16", "172.16.0.0/12"},
		{"10.2.0.0/16", "192.168.0.0/16", "192.168.0.0/16"},
		{"10.2.0.0/16", "198.19.0.0/16", "198.19.0.0/16"},
		{"172.16.0.0/16", "172.17.0.0/16", allowed},
		{"172.16.0.0/16", "100.64.0.0/16", allowed},
		{"172.16.0.0/16", "10.2.0.0/16", "10.0.0.0/8"},
		{"172.16.0.0/16", "192.168.0.0/16", "192.168.0.0/16"},
		{"172.16.0.0/16", "172.31.0.0/16", "172.31.0.0/16"},
		{"172.16.0.0/16", "198.19.0.0/16", "198.19.0.0/16"},
		{"192.168.0.0/24", "192.168.1.0/24", allowed},
		{"192.168.0.0/24", "10.2.0.0/16", "10.0.0.0/8"},
		{"192.168.0.0/24", "172.16.0.0/16", "172.16.0.0/12"},
		{"192.168.0.0/24", "198.19.0.0/16", "198.19.0.0/16"},
		{"198.19.0.0/24", "100.64.0.0/16", allowed},
		{"198.19.0.0/24", "203.0.113.0/24", allowed},
		{"198.19.0.0/24", "10.2.0.0/16", "10.0.0.0/8"},
		{"198.19.0.0/24", "172.16.0.0/16", "172.16.0.0/12"},
		{"198.19.0.0/24", "192.168.0.0/16", "192.168.0.0/16"},
		{"203.0.113.0/24", "100.64.0.0/16", allowed},
		{"203.0.113.0/24", "10.2.0.0/16", "10.0.0.0/8"},
		{"100.64.0.0/16", "203.0.113.0/24", allowed},
		{"100.64.0.0/16", "192.168.0.0/16", "192.168.0.0/16"},
		{"100.64.0.0/16", "198.19.0.0/16", "198.19.0.0/16"},
	}
	kinds := map[string]string{"10.2.0.0/16": "in 10.0.0.0/8", "172.16.0.0/16": "in 172.16.0.0/12",
		"192.168.0.0/24": "in 192.168.0.0/16",
		"198.19.0.0/24":  "in 198.19.0.0/16"}
	for _, row := range rows {
		t.Run(row.primary+" and "+row.secondary, func(t *testing.T) {
			var want []string
			if row.restricted != allowed {
				kind := kinds[row.primary]
				if kind == "" {
					kind = "outside the private ranges"
				}
				want = []string{fmt.Sprintf("vpcs.app.cidr.1: the CIDR '%s' is restricted; a VPC with a primary CIDR %s "+
					"cannot add one "+
					"in %s; publicly routable blocks and 100.64.0.0/10 are allowed", row.secondary, kind, row.restricted)}
			}
			same(t, lab(network("app", row.primary+" "+row.secondary)).Complete(nil), want)
		})
	}
	t.Run("10.0.0.0/16 is closed once 10.0.0.0/15 is in use", func(t *testing.T) {
		same(t, lab(network("app", "10.1.0.0/16 10.0.0.0/17")).Complete(nil),
			[]string{"vpcs.app.cidr.1: the CIDR '10.0.0.0/17' is restricted; " +
				"a VPC with a CIDR in 10.0.0.0/15 cannot add one in 10.0.0.0/16; take another block of 10.0.0.0/8"})
		same(t, lab(network("app", "10.0.0.0/16 10.1.0.0/16")).Complete(nil), nil)
	})
	t.Run("what came between does not close the primary's own range", func(t *testing.T) {
		same(t, lab(network("app", "10.2.0.0/16 100.64.0.0/16 10.3.0.0/16")).Complete(nil), nil)
	})
}

func TestWrongIPv6CIDRs(t *testing.T) {
	app := func(cidrs string) *Model { return lab(network("app", "10.0.0.0/16", ipv6(cidrs))) }
	const length = "a VPC's IPv6 prefix length is /44, /48, /52, /56 or /60"
	const space = "take a block of 2000::/3, or of fd00::/8 outside fd00:ec2::/32"
	judge(t, []wrong{
		{"a /56 is what Amazon gives", app("2600:1f18::/56"), nil},
		{"a /44 and a /60 come from an address plan", app("2600:1f10::/44 fd00:1::/60"), nil},
		{"a VPC is not a /64", app("2600:1f18::/64"), []string{"vpcs.app.ipv6: the IPv6 CIDR '2600:1f18::/64' is " +
			"invalid; " + length}},
		{"a VPC is not a /40", app("2600:1f00::/40"), []string{"vpcs.app.ipv6: the IPv6 CIDR '2600:1f00::/40' is " +
			"invalid; " + length}},
		{"lengths come in steps of four", app("2600:1f18::/58"), []string{"vpcs.app.ipv6: the IPv6 CIDR '2600:1f18::/58' is " +
			"invalid; " + length}},
		{"an IPv4 block is no IPv6 CIDR", app("10.1.0.0/16"), []string{"vpcs.app.ipv6: value (10.1.0.0/16) for parameter " +
			"ipv6CidrBlock is invalid; give an IPv6 CIDR block such as 2600:1f18:aa00::/56"}},
		{"link-local is no VPC's", app("fe80::/56"), []string{"vpcs.app.ipv6: the IPv6 CIDR 'fe80::/56' is invalid; " + space}},
		{"the services' block is no VPC's", app("fd00:ec2::/56"), []string{"vpcs.app.ipv6: the IPv6 CIDR 'fd00:ec2::/56' is " +
			"invalid; " + space}},
		{"blocks of a VPC do not overlap", app("2600:1f18::/56 2600:1f18::/60"), []string{
			"vpcs.app.ipv6.1: the IPv6 CIDR '2600:1f18::/60' conflicts with 2600:1f18::/56; the CIDRs of a VPC must not overlap"}},
		{"a VPC has at most five", app("2600:1::/56 2600:2::/56 2600:3::/56 2600:4::/56 2600:5::/56 2600:6::/56"), []string{
			"vpcs.app.ipv6.5: this network 'app' has met its maximum number of allowed IPv6 CIDRs: 5; remove the others"}},
		{"global blocks are unique in the lab",
			lab(network("app", "10.0.0.0/16", ipv6("2600:1f18::/56")), network("data", "10.0.0.0/16", ipv6("2600:1f18::/52"))),
			[]string{"vpcs.data.ipv6: the IPv6 CIDR '2600:1f18::/52' conflicts with 2600:1f18::/56 of VPC app; " +
				"global IPv6 addresses are unique: take another block, or one of fd00::/8"}},
		{"private blocks and IPv4 need not be",
			lab(network("app", "10.0.0.0/16", ipv6("fd00:1::/56")), network("data", "10.0.0.0/16", ipv6("fd00:1::/56"))), nil},
	})
}

func TestWrongSubnets(t *testing.T) {
	in := func(parts ...part) *Model {
		return lab(network("app", "10.0.0.0/16 10.9.0.0/24", append([]part{ipv6("2600:1f18::/56")}, parts...)...))
	}
	judge(t, []wrong{
		{"a subnet has a block", in(subnet("web")), []string{
			"vpcs.app.subnets.web.cidr: subnet 'web' has no CIDR block; give it a `cidr` inside the VPC's, an `ipv6`, or both"}},
		{"an IPv6-only subnet is fine", in(subnet("web", "2600:1f18::/64")), nil},
		{"a subnet may be the whole VPC", in(subnet("web", "10.0.0.0/16")), nil},
		{"a subnet may be in a secondary CIDR", in(subnet("web", "10.9.0.0/28")), nil},
		{"a subnet is not smaller than /28", in(subnet("web", "10.0.0.0/29")), []string{
			"vpcs.app.subnets.web.cidr: the CIDR '10.0.0.0/29' is invalid; a subnet's prefix length is from /16 to /28"}},
		{"a subnet is not larger than /16", in(subnet("web", "10.0.0.0/15")), []string{
			"vpcs.app.subnets.web.cidr: the CIDR '10.0.0.0/15' is invalid; a subnet's prefix length is from /16 to /28"}},
		{"a subnet lies inside one CIDR", in(subnet("web", "10.1.0.0/24")), []string{"vpcs.app.subnets.web.cidr: the CIDR " +
			"'10.1.0.0/24' is invalid; it must lie inside one of the VPC's CIDRs: 10.0.0.0/16, 10.9.0.0/24"}},
		{"a hint is no inventory", lab(network("app", "10.0.0.0/16", func(v *VPC) {
			for i := range 10 {
				subnet(fmt.Sprintf("s%d", i), fmt.Sprintf("10.0.%d.0/24", i))(v)
			}
		}, table("main", "10.0.9.0/25 blackhole"))), []string{"vpcs.app.route_tables.main.routes.10.0.9.0/25: the destination CIDR block " +
			"10.0.9.0/25 is equal to or more specific than one of this VPC's CIDR blocks; this route must be for the whole CIDR block " +
			"of a subnet: 10.0.0.0/24, 10.0.1.0/24, 10.0.2.0/24, 10.0.3.0/24, 10.0.4.0/24, 10.0.5.0/24, 10.0.6.0/24, 10.0.7.0/24, and 2 more"}},
		{"a subnet is not larger than its CIDR", in(subnet("web", "10.9.0.0/23")), []string{"vpcs.app.subnets.web.cidr: the CIDR " +
			"'10.9.0.0/23' is invalid; it must lie inside one of the VPC's CIDRs: 10.0.0.0/16, 10.9.0.0/24"}},
		{"subnets do not overlap", in(subnet("web", "10.0.0.0/24"), subnet("db", "10.0.0.128/25")), []string{
			"vpcs.app.subnets.db.cidr: the CIDR '10.0.0.128/25' conflicts with another subnet; " +
				"subnet web has 10.0.0.0/24; the subnets of a VPC must not overlap"}},
		{"an IPv6 subnet has its length", in(subnet("web", "10.0.0.0/24", "2600:1f18::/62")), []string{
			"vpcs.app.subnets.web.ipv6: the IPv6 CIDR '2600:1f18::/62' is invalid; " +
				"a subnet's IPv6 prefix length is /44 to /64 in steps of 4, /64 as a rule"}},
		{"an IPv6 subnet lies inside the VPC", in(subnet("web", "10.0.0.0/24", "2600:1f19::/64")), []string{
			"vpcs.app.subnets.web.ipv6: the IPv6 CIDR '2600:1f19::/64' is invalid; it must lie inside one of the VPC's IPv6 " +
				"CIDRs: 2600:1f18::/56"}},
		{"IPv6 subnets do not overlap", in(subnet("web", "10.0.0.0/24", "2600:1f18::/64"),
			subnet("db", "10.0.1.0/24", "2600:1f18::/60")), []string{
			"vpcs.app.subnets.db.ipv6: the IPv6 CIDR '2600:1f18::/60' conflicts with another subnet; " +
				"subnet web has 2600:1f18::/64; the subnets of a VPC must not overlap"}},
		{"an IPv6 subnet needs an IPv6 VPC", lab(network("old", "10.0.0.0/16", subnet("web", "10.0.0.0/24", "2600:1f18::/64"))),
			[]string{
				"vpcs.old.subnets.web.ipv6: the IPv6 CIDR '2600:1f18::/64' is invalid; VPC 'old' has no IPv6 CIDR block; give it " +
					"an `ipv6`"}},
		{"a zone exists", in(subnet("web", "10.0.0.0/24", "az=g")), []string{"vpcs.app.subnets.web.az: value (us-east-1g) for " +
			"parameter availabilityZone is invalid; subnets can currently only be created in the following availability zones: " +
			"us-east-1a, us-east-1b, us-east-1c, us-east-1d, us-east-1e, us-east-1f"}},
		{"a zone is of the VPC's region", in(subnet("web", "10.0.0.0/24", "az=eu-west-1a")), []string{"vpcs.app.subnets.web.az: " +
			"value (eu-west-1a) for parameter availabilityZone is invalid; subnets can currently only be created in the " +
			"following availability zones: us-east-1a, us-east-1b, us-east-1c, us-east-1d, us-east-1e, us-east-1f"}},
		{"an IPv6-only subnet has no public IPv4", in(subnet("web", "2600:1f18::/64", "public")),
			[]string{"vpcs.app.subnets.web.public_ip: " +
				"subnet 'web' has no IPv4 addresses that a public one could map to; remove `public_ip`, or give the subnet a `cidr`"}},
		{"a route table exists", in(table("private"), subnet("web", "10.0.0.0/24", "table=privat")), []string{
			"vpcs.app.subnets.web.route_table: the route table 'privat' does not exist; did you mean private?"}},
		{"an ACL exists", in(subnet("web", "10.0.0.0/24", "acl=strict")), []string{
			"vpcs.app.subnets.web.acl: the network ACL 'strict' does not exist; declare it in `acls` or use one of default"}},
	})
}

func TestWrongRoutes(t *testing.T) {
	in := func(parts ...part) *Model {
		return lab(network("app", "10.0.0.0/16", append([]part{subnet("web", "10.0.0.0/24"), subnet("db", "10.0.1.0/24"),
			instance("fw", "web", "+eth1=db")}, parts...)...))
	}
	const more = "the destination CIDR block %s is equal to or more specific than one of this VPC's CIDR blocks; "
	const services = "169.254.168.0/22 and fd00:ec2::/32 belong to every VPC's services; a larger block is allowed and does " +
		"not reach them"
	at := func(destination string) string { return "vpcs.app.route_tables.main.routes." + destination + ": " }
	judge(t, []wrong{
		{"an igw route needs the igw", in(table("main", "0.0.0.0/0 igw")), []string{
			at("0.0.0.0/0") + "the internet gateway of VPC 'app' does not exist; set `internet_gateway: true` in VPC app"}},
		{"with it, it is fine", in(igw, table("main", "0.0.0.0/0 igw", "::/0 igw")), nil},
		{"an instance exists", in(table("main", "172.16.0.0/12 instance.fv")), []string{
			at("172.16.0.0/12") + "the instance 'fv' does not exist; declare it in `instances` or use one of fw"}},
		{"an interface exists", in(table("main", "172.16.0.0/12 eni.fw.eth2")), []string{
			at("172.16.0.0/12") + "the network interface 'fw.eth2' does not exist; did you mean fw.eth1?"}},
		{"instances, interfaces and blackholes are fine", in(table("main",
			"172.16.0.0/12 instance.fw", "172.20.0.0/16 eni.fw.eth1", "172.21.0.0/16 eni.fw", "172.22.0.0/16 blackhole")), nil},
		{"a target is of a kind that is known", in(table("main", "172.16.0.0/12 tgw.hub")), []string{
			at("172.16.0.0/12") + "'tgw' is not a route target; use igw, eigw, nat.NAME, peering.NAME, instance.NAME, eni.NAME, local or blackhole"}},
		{"a prefix list exists", in(table("main", "pl.corp instance.fw")), []string{
			at("pl.corp") + "the prefix list 'corp' does not exist; declare it in `prefix_lists`"}},
		{"a destination is there once, canonically", in(table("main", "172.16.0.1/12 instance.fw", "172.16.0.2/12 eni.fw.eth1")),
			[]string{
				at("172.16.0.2/12") + "the route identified by 172.16.0.0/12 already exists; remove one of the two"}},
		{"a static and a propagated route may be equal", in(table("main", "172.16.0.0/12 instance.fw", "172.16.0.0/12 "+
			"eni.fw.eth1 vpn-bgp")), nil},
		{"a prefix list is there once", in(prefixList("corp", "172.16.0.0/12"),
			table("main", "pl.corp instance.fw", "pl.corp eni.fw.eth1")), []string{
			at("pl.corp") + "the route identified by pl.corp already exists; remove one of the two"}},
		{"no route is inside the services' block", in(table("main", "169.254.169.0/24 instance.fw")), []string{
			at("169.254.169.0/24") + "the destination CIDR block 169.254.169.0/24 is not allowed; " + services}},
		{"no route is equal to it", in(table("main", "169.254.168.0/22 instance.fw")), []string{
			at("169.254.168.0/22") + "the destination CIDR block 169.254.168.0/22 is not allowed; " + services}},
		{"nor inside the IPv6 one", in(table("main", "fd00:ec2::254/128 instance.fw")), []string{
			at("fd00:ec2::254/128") + "the destination CIDR block fd00:ec2::254/128 is not allowed; " + services}},
		{"nor through a prefix list", in(prefixList("meta", "169.254.169.254/32"), table("main", "pl.meta instance.fw")), []string{
			at("pl.meta") + "the destination CIDR block 169.254.169.254/32 is not allowed; " + services}},
		{"a block that covers it is accepted", in(table("main", "169.254.0.0/16 instance.fw", "fd00::/8 instance.fw")), nil},
		{"a subnet's whole CIDR may go through an interface", in(table("main", "10.0.1.0/24 instance.fw")), nil},
		{"so may the VPC's", in(table("main", "10.0.0.0/16 eni.fw.eth1")), nil},
		{"part of a subnet may not", in(table("main", "10.0.1.0/25 instance.fw")), []string{at("10.0.1.0/25") +
			fmt.Sprintf(more, "10.0.1.0/25") + "this route must be for the whole CIDR block of a subnet: 10.0.0.0/24, " +
			"10.0.1.0/24"}},
		{"a subnet may not go to the igw", in(igw, table("main", "10.0.1.0/24 igw")), []string{
			at("10.0.1.0/24") + fmt.Sprintf(more, "10.0.1.0/24") + "this route can target only an interface, an instance or a NAT gateway"}},
		{"nor the VPC", in(igw, table("main", "10.0.0.0/16 igw")), []string{
			at("10.0.0.0/16") + fmt.Sprintf(more, "10.0.0.0/16") + "this route can target only an interface, an instance or a NAT gateway"}},
		{"a prefix list may not stand for the VPC", in(prefixList("all", "10.0.0.0/16"), table("main", "pl.all instance.fw")),
			[]string{at("pl.all") +
				fmt.Sprintf(more, "10.0.0.0/16") + "this route must be for the whole CIDR block of a subnet: 10.0.0.0/24, " +
				"10.0.1.0/24"}},
		{"a larger block is fine", in(table("main", "10.0.0.0/8 instance.fw")), nil},
		{"local is for the VPC's own", in(table("main", "10.0.0.0/16 local", "10.1.0.0/16 local")), []string{
			at("10.1.0.0/16") + "the destination CIDR block 10.1.0.0/16 is not one of this VPC's CIDR blocks; " +
				"`local` stands for the VPC's own CIDR blocks only: 10.0.0.0/16"}},
		{"a destination is a CIDR", in(func(v *VPC) {
			v.RouteTables = []*RouteTable{{Name: Main, Routes: []Route{{Target: Target{Kind: TargetBlackhole}}}}}
		}), []string{at("invalid Prefix") + "'invalid Prefix' is not a destination CIDR block; write it like 10.50.0.0/16 or " +
			"::/0"}},
		{"a table has at most 500 routes of a family", in(table("main", manyRoutes(501)...), table("full", manyRoutes(500)...)),
			[]string{
				"vpcs.app.route_tables.main.routes: the maximum number of routes has been reached; " +
					"there are 501 IPv4 routes and a route table has at most 500; a prefix list counts as its entries"}},
		{"a subnet's own table points into the subnet", in(func(v *VPC) {
			v.RouteTables = []*RouteTable{{Name: "web", Inline: true, Routes: []Route{route("0.0.0.0/0 igw")}}}
		}), []string{"vpcs.app.subnets.web.routes.0.0.0.0/0: the internet gateway of VPC 'app' does not exist; " +
			"set `internet_gateway: true` in VPC app"}},
		{"a subnet's own table is not the main one", in(subnet("main", "10.0.2.0/24"), func(v *VPC) {
			v.RouteTables = []*RouteTable{{Name: Main, Inline: true}}
		}), []string{"vpcs.app.subnets.main.routes: the route table 'main' already exists; rename the subnet, whose own table " +
			"would be called main too, or declare the routes in route_tables.main"}},
	})
}

func manyRoutes(n int) []string {
	routes := make([]string, n)
	for i := range routes {
		routes[i] = fmt.Sprintf("172.%d.%d.0/24 instance.fw", 16+i/256, i%256)
	}
	return routes
}

func TestWrongPrefixLists(t *testing.T) {
	in := func(cidrs string) *Model { return lab(network("app", "10.0.0.0/16", prefixList("corp", cidrs))) }
	judge(t, []wrong{
		{"an entry is there once, canonically", in("10.50.0.1/16 10.50.0.2/16"), []string{
			"vpcs.app.prefix_lists.corp.1: the prefix list already has an entry 10.50.0.0/16; remove one of the two"}},
		{"a list has one family", in("10.50.0.0/16 2600::/32"), []string{"vpcs.app.prefix_lists.corp.1: 2600::/32 is not of " +
			"the address family of 10.50.0.0/16; a prefix list holds IPv4 or IPv6 blocks, not both: make two lists"}},
		{"a mapped block is neither", in("::ffff:10.0.0.0/112"), []string{
			"vpcs.app.prefix_lists.corp: ::ffff:10.0.0.0/112 is not a CIDR block; write it like 10.50.0.0/16"}},
		{"a list has at most 1000 entries", in(manyPrefixes(1001)), []string{"vpcs.app.prefix_lists.corp: the maximum number " +
			"of entries has been reached; there are 1001 and a prefix list has at most 1000"}},
	})
}

func manyPrefixes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "172.%d.%d.0/24 ", 16+i/256, i%256)
	}
	return b.String()
}

func TestWrongSecurityGroups(t *testing.T) {
	in := func(rules ...SGRule) *Model {
		return lab(network("app", "10.0.0.0/16", prefixList("corp", "10.50.0.0/16 10.51.0.0/16"), group("web", rules...)),
			network("data", "10.9.0.0/16")).peered("app-data app data")
	}
	const at = "vpcs.app.security_groups.web.ingress: "
	const at1 = "vpcs.app.security_groups.web.ingress.1: "
	judge(t, []wrong{
		{"all kinds of peers", in(allow(tcp(80, 80), "0.0.0.0/0"), allow(tcp(80, 80), "::/0"), allow(icmp(8, 0), "sg.web"),
			allow(protocol(AllProtocols), "pl.corp"), allow(protocol(50), "data/sg.default")), nil},
		{"a rule has a peer", in(allow(tcp(80, 80), "")), []string{at + "a rule has exactly one peer, not 0; give it one CIDR " +
			"block, sg.NAME or pl.NAME"}},
		{"a rule has one peer", in(SGRule{Traffic: tcp(80, 80), CIDR: netip.MustParsePrefix("10.0.0.0/8"), PrefixList: "corp"}),
			[]string{
				at + "a rule has exactly one peer, not 2; give it one CIDR block, sg.NAME or pl.NAME"}},
		{"a peer is not a mapped block", in(allow(tcp(80, 80), "::ffff:10.0.0.0/112")), []string{
			at + "CIDR block ::ffff:10.0.0.0/112 is malformed; write it like 10.0.0.0/16 or ::/0"}},
		{"a group exists", in(allow(tcp(80, 80), "sg.wep")), []string{at + "the security group 'wep' does not exist; did you " +
			"mean web?"}},
		{"a group of another VPC exists", in(allow(tcp(80, 80), "data/sg.db")), []string{
			at + "the security group 'db' does not exist; declare it in `security_groups` or use one of default"}},
		{"the other VPC exists", in(allow(tcp(80, 80), "date/sg.db")), []string{at + "the VPC 'date' does not exist; did you " +
			"mean data?"}},
		{"a prefix list exists", in(allow(tcp(80, 80), "pl.home")), []string{
			at + "the prefix list 'home' does not exist; declare it in `prefix_lists` or use one of corp, s3, dynamodb"}},
		{"a rule is there once, canonically", in(allow(tcp(22, 22), "100.68.0.18/18"), allow(tcp(22, 22), "100.68.0.0/18")),
			[]string{
				at1 + `the specified rule "peer: 100.68.0.0/18, TCP, from port: 22, to port: 22, ALLOW" already exists; remove one of the two`}},
		{"a group's own VPC may be written", in(allow(icmp(8, -1), "sg.web"), allow(icmp(8, -1), "app/sg.web")), []string{
			at1 + `the specified rule "peer: sg.web, ICMP, type: 8, code: -1, ALLOW" already exists; remove one of the two`}},
		{"ports do not tell other protocols apart",
			in(allow(protocol(50), "10.0.0.0/8"), allow(Traffic{Protocol: 50, ToPort: 80}, "10.0.0.0/8")), []string{
				at1 + `the specified rule "peer: 10.0.0.0/8, protocol: 50, ALLOW" already exists; remove one of the two`}},
		{"all codes follow from all types", in(allow(icmp(-1, -1), "pl.corp"), allow(icmp(-1, 3), "pl.corp")), []string{
			at1 + `the specified rule "peer: pl.corp, ICMP, type: -1, code: -1, ALLOW" already exists; remove one of the two`}},
		{"ports ascend", in(allow(tcp(90, 80), "10.0.0.0/8")), []string{at + "invalid TCP/UDP port range (90:80); write the " +
			"lower port first"}},
		{"a protocol is a byte", in(allow(protocol(256), "10.0.0.0/8")), []string{
			at + "invalid value '256' for IP protocol; use tcp, udp, icmp, icmpv6, all or a number from 0 to 255"}},
		{"an ICMP type is a byte", in(allow(icmp(256, 0), "10.0.0.0/8")), []string{
			at + "invalid ICMP type or code (256/0); types and codes are numbers from 0 to 255"}},
		{"an ICMP code is a byte", in(allow(icmp(3, -2), "10.0.0.0/8")), []string{
			at + "invalid ICMP type or code (3/-2); types and codes are numbers from 0 to 255"}},
		{"sixty rules of each family fit", in(append(manyRules(60, "10.0.0.0/8"), manyRules(60, "2600::/16")...)...), nil},
		{"sixty-one of one do not", in(manyRules(61, "10.0.0.0/8")...), []string{at + "the maximum number of rules per " +
			"security group has been reached; there are 61 ingress rules for IPv4 and a group has at most 60; " +
			"a prefix list counts as its entries"}},
		{"a group counts for both families", in(manyRules(61, "sg.web")...), []string{
			at + "the maximum number of rules per security group has been reached; " +
				"there are 61 ingress rules for IPv4 and a group has at most 60; a prefix list counts as its entries",
			at + "the maximum number of rules per security group has been reached; " +
				"there are 61 ingress rules for IPv6 and a group has at most 60; a prefix list counts as its entries"}},
		{"a prefix list counts as its entries", in(manyRules(31, "pl.corp")...),
			[]string{at + "the maximum number of rules per security group has " +
				"been reached; there are 62 ingress rules for IPv4 and a group has at most 60; a prefix list counts as its entries"}},
		{"egress is judged as well", lab(network("app", "10.0.0.0/16", func(v *VPC) {
			v.SecurityGroups = []*SecurityGroup{{Name: "web", Egress: []SGRule{allow(tcp(9, 8), "10.0.0.0/8")}}}
		})), []string{"vpcs.app.security_groups.web.egress: invalid TCP/UDP port range (9:8); write the lower port first"}},
		{"a group is not called sg-", lab(network("app", "10.0.0.0/16", group("sg-web"))), []string{
			"vpcs.app.security_groups.sg-web: invalid security group name 'sg-web'; group names may not begin with sg-"}},
	})
}

func manyRules(n int, peer string) []SGRule {
	rules := make([]SGRule, n)
	for i := range rules {
		rules[i] = allow(tcp(uint16(i), uint16(i)), peer)
	}
	return rules
}

func TestWrongACLs(t *testing.T) {
	in := func(entries ...ACLEntry) *Model { return lab(network("app", "10.0.0.0/16", acl("strict", entries...))) }
	many := func(n int) []ACLEntry {
		var all []ACLEntry
		for i := range n {
			all = append(all, entry(i+1, tcp(80, 80), "10.0.0.0/8"))
		}
		return all
	}
	const at = "vpcs.app.acls.strict.ingress: "
	judge(t, []wrong{
		{"numbers go from 1 to 32766", in(entry(1, tcp(80, 80), "10.0.0.0/8"), entry(32766, tcp(80, 80), "10.0.0.0/8")), nil},
		{"not 0", in(entry(0, tcp(80, 80), "10.0.0.0/8")), []string{at + "invalid value '0' for rule number; rule numbers are " +
			"from 1 to 32766"}},
		{"not 32767", in(entry(32767, tcp(80, 80), "10.0.0.0/8")), []string{
			at + "invalid value '32767' for rule number; rule numbers are from 1 to 32766"}},
		{"a number is there once", in(entry(100, tcp(80, 80), "10.0.0.0/8"), entry(100, tcp(81, 81), "10.0.0.0/8")), []string{
			"vpcs.app.acls.strict.ingress.1: the network ACL entry identified by 100 already exists; " +
				"numbers are unique in a direction; give it another one"}},
		{"an entry has a CIDR", in(entry(100, tcp(80, 80), "")), []string{at + "CIDR block none is malformed; write it like " +
			"10.0.0.0/16 or ::/0"}},
		{"traffic is judged as in groups", in(entry(100, tcp(81, 80), "10.0.0.0/8")), []string{
			at + "invalid TCP/UDP port range (81:80); write the lower port first"}},
		{"forty entries fit", in(many(40)...), nil},
		{"forty-one do not", in(many(41)...), []string{at + "the maximum number of rules per network ACL has been reached; " +
			"there are 41 ingress rules and an ACL has at most 40"}},
		{"egress is judged as well", lab(network("app", "10.0.0.0/16", func(v *VPC) {
			v.ACLs = []*ACL{{Name: "strict", Egress: []ACLEntry{entry(0, tcp(80, 80), "10.0.0.0/8")}}}
		})), []string{"vpcs.app.acls.strict.egress: invalid value '0' for rule number; rule numbers are from 1 to 32766"}},
	})
}

func TestWrongInstances(t *testing.T) {
	in := func(parts ...part) *Model {
		return lab(network("app", "10.0.0.0/16", append([]part{ipv6("2600:1f18::/56"),
			subnet("web", "10.0.0.0/28", "2600:1f18::/64"),
			subnet("far", "10.0.1.0/24", "az=b"), subnet("six", "2600:1f18:0:1::/64"), group("web")}, parts...)...))
	}
	const usable = "subnet web has 10.0.0.4 to 10.0.0.14"
	const reserved = " is in subnet web's reserved address range; the first four addresses and the last are AWS's; "
	at := func(key string) string { return "vpcs.app.instances.a." + key + ": " }
	judge(t, []wrong{
		{"an instance has an interface", lab(network("app", "10.0.0.0/16",
			func(v *VPC) { v.Instances = []*Instance{{Name: "a"}} })), []string{
			"vpcs.app.instances.a: instance 'a' has no network interface; give it a `subnet`"}},
		{"a subnet exists", in(instance("a", "webb")), []string{at("subnet") + "the subnet 'webb' does not exist; did you " +
			"mean web?"}},
		{"the first interface is eth0", in(func(v *VPC) {
			v.Instances = []*Instance{{Name: "a", Interfaces: []*ENI{{Device: "eth1", Subnet: "web"}}}}
		}), []string{"vpcs.app.instances.a: 'eth1' is not an interface; an instance's own is eth0, and those in `interfaces` " +
			"are eth1, eth2 and so on"}},
		{"interfaces are called ethN", in(instance("a", "web", "+lo=web")), []string{"vpcs.app.instances.a.interfaces.lo: " +
			"'lo' is not an interface; " +
			"an instance's own is eth0, and those in `interfaces` are eth1, eth2 and so on"}},
		{"an interface is there once", in(instance("a", "web", "+eth0=web")), []string{
			"vpcs.app.instances.a.interfaces.eth0: interface eth0 already exists; an instance's own is eth0; give it another " +
				"number"}},
		{"interfaces are in one zone", in(instance("a", "web", "+eth1=far")),
			[]string{"vpcs.app.instances.a.interfaces.eth1.subnet: subnet 'far' is in " +
				"us-east-1b but instance 'a' is in us-east-1a; all interfaces of an instance are in one availability zone"}},
		{"an address is in the subnet", in(instance("a", "web", "ip=10.0.0.16")), []string{
			at("ip") + "address 10.0.0.16 does not fall within the subnet's address range; " + usable}},
		{"not its base", in(instance("a", "web", "ip=10.0.0.0")), []string{at("ip") + "address 10.0.0.0" + reserved + usable}},
		{"not the fourth", in(instance("a", "web", "ip=10.0.0.3")), []string{at("ip") + "address 10.0.0.3" + reserved + usable}},
		{"not the last", in(instance("a", "web", "ip=10.0.0.15")), []string{at("ip") + "address 10.0.0.15" + reserved + usable}},
		{"the first and last usable are fine", in(instance("a", "web", "ip=10.0.0.4", "secondary=10.0.0.14")), nil},
		{"a secondary is in the subnet", in(instance("a", "web", "secondary=10.0.1.9")), []string{
			at("secondary") + "address 10.0.1.9 does not fall within the subnet's address range; " + usable}},
		{"an address is there once", in(instance("b", "web", "ip=10.0.0.5"),
			instance("a", "web", "secondary=10.0.0.6,10.0.0.5")), []string{
			at("secondary.1") + "address 10.0.0.5 is in use by instance b; leave it out to get the lowest free address"}},
		{"also within an instance", in(instance("a", "web", "ip=10.0.0.5", "+eth1=web", "ip=10.0.0.5")), []string{
			at("interfaces.eth1.ip") + "address 10.0.0.5 is in use by instance a; leave it out to get the lowest free address"}},
		{"an ip is IPv4", in(instance("a", "web", "ip=2600:1f18::9")), []string{at("ip") + "2600:1f18::9 is not an IPv4 " +
			"address; IPv6 addresses belong in `ipv6`"}},
		{"an ipv6 is IPv6", in(instance("a", "web", "ipv6=10.0.0.9")), []string{at("ipv6") + "10.0.0.9 is not an IPv6 " +
			"address; IPv4 addresses belong in `ip`"}},
		{"an ip needs an IPv4 subnet", in(instance("a", "six", "ip=10.0.0.9")), []string{
			at("ip") + "address 10.0.0.9 does not fall within the subnet's address range; subnet six has no IPv4 CIDR block"}},
		{"an ipv6 needs an IPv6 subnet", in(instance("a", "far", "ipv6=2600:1f18::9")), []string{
			at("ipv6") + "address 2600:1f18::9 does not fall within the subnet's address range; subnet far has no IPv6 CIDR " +
				"block"}},
		{"an ipv6 has no zone", in(instance("a", "web", "ipv6=2600:1f18::9%eth0")),
			[]string{at("ipv6") + "address 2600:1f18::9%eth0 does not fall " +
				"within the subnet's address range; subnet web has 2600:1f18::4 to 2600:1f18::ffff:ffff:ffff:fffe"}},
		{"an ipv6 is in the subnet", in(instance("a", "web", "ipv6=2600:1f18:0:1::9")),
			[]string{at("ipv6") + "address 2600:1f18:0:1::9 does not fall " +
				"within the subnet's address range; subnet web has 2600:1f18::4 to 2600:1f18::ffff:ffff:ffff:fffe"}},
		{"the first four IPv6 addresses are reserved", in(instance("a", "web", "ipv6=2600:1f18::3")), []string{
			at("ipv6") + "address 2600:1f18::3" + reserved + "subnet web has 2600:1f18::4 to 2600:1f18::ffff:ffff:ffff:fffe"}},
		{"a subnet can be full", in(manyInstances(11), instance("a", "web")), []string{
			at("subnet") + "subnet web has no free address in 10.0.0.0/28 for instance a; use another subnet"}},
		{"five groups fit", in(manyGroups(5), instance("a", "web", "sg=g0,g1,g2,g3,g4")), nil},
		{"six do not", in(manyGroups(6), instance("a", "web", "sg=g0,g1,g2,g3,g4,g5")), []string{
			at("sg") + "the maximum number of security groups per interface has been reached; there are 6 and an interface " +
				"has at most 5"}},
		{"an interface has a group", in(instance("a", "web", "sg=")), []string{
			at("sg") + "interface 'a' has no security group; name one, or leave `sg` out for the default group"}},
		{"a group exists", in(instance("a", "web", "sg=web,dp")), []string{
			at("sg.1") + "the security group 'dp' does not exist; declare it in `security_groups` or use one of default, web"}},
		{"a group is named once", in(instance("a", "web", "sg=web,app/web")),
			[]string{at("sg.1") + "the security group 'web' is named twice; remove one of the two"}},
		{"a group is of the same VPC", in(instance("a", "web", "sg=data/db")), []string{
			at("sg") + "security group data/db and subnet web belong to different networks; an interface's groups are of its " +
				"own VPC"}},
		{"a port is listened on once", in(instance("a", "web", "serve=http:80", "serve=udp:80", "serve=tcp:80")), []string{
			at("serve.2") + "tcp 80 listens where http 80 does; give it another port; http listens on TCP"}},
		{"port 0 is none", in(instance("a", "web", "serve=tcp:0")), []string{at("serve") + "tcp 0 is not a port to listen on; " +
			"ports are from 1 to 65535"}},
	})
}

func manyInstances(n int) part {
	return func(v *VPC) {
		for i := range n {
			instance(fmt.Sprintf("full%d", i), "web")(v)
		}
	}
}

func manyGroups(n int) part {
	return func(v *VPC) {
		for i := range n {
			group(fmt.Sprintf("g%d", i))(v)
		}
	}
}

func TestWrongPublicAddresses(t *testing.T) {
	in := func(parts ...part) *Model {
		return lab(network("app", "10.0.0.0/16", append([]part{ipv6("2600:1f18::/56"), subnet("web", "10.0.0.0/24"),
			subnet("six", "2600:1f18:0:1::/64")}, parts...)...))
	}
	const open = "; use one such as 203.0.113.80 or 2001:db8::80"
	not := func(addr, why string) wrong {
		return wrong{addr + " is not public", in().with(host("h", addr)), []string{
			"internet.hosts.h.ip: " + addr + " is not a public address; " + why + open}}
	}
	const none = "network app is not attached to any internet gateway; a public address needs one: set `internet_gateway: " +
		"true` in VPC app"
	judge(t, []wrong{
		not("10.1.2.3", "10.0.0.0/8 is private (RFC 1918)"),
		not("172.31.0.1", "172.16.0.0/12 is private (RFC 1918)"),
		not("192.168.0.1", "192.168.0.0/16 is private (RFC 1918)"),
		not("100.64.0.1", "100.64.0.0/10 is shared address space (RFC 6598)"),
		not("169.254.169.254", "169.254.0.0/16 is link-local (RFC 3927)"),
		not("127.0.0.1", "127.0.0.0/8 is loopback (RFC 1122)"),
		not("0.0.0.0", "0.0.0.0/8 is this network (RFC 1122)"),
		not("224.0.0.1", "224.0.0.0/4 is multicast (RFC 5771)"),
		not("255.255.255.255", "240.0.0.0/4 is reserved (RFC 1112)"),
		not("52.216.0.1", "52.216.0.0/15 is the lab's S3"),
		not("52.94.0.1", "52.94.0.0/22 is the lab's DynamoDB"),
		not("52.119.0.1", "52.119.0.0/16 is the lab's other services"),
		not("fe80::1", "global IPv6 addresses are those of 2000::/3"),
		not("fd00::1", "global IPv6 addresses are those of 2000::/3"),
		not("ff02::1", "global IPv6 addresses are those of 2000::/3"),
		not("2001:db8::80%eth0", "global IPv6 addresses are those of 2000::/3"),
		not("::ffff:203.0.113.5", "global IPv6 addresses are those of 2000::/3"),
		{"a host has an address", in().with(host("h")), []string{
			"internet.hosts.h.ip: host 'h' has no address; give it a public one, such as 203.0.113.80"}},
		{"an empty address is none", in().with(&Host{Name: "h", Addrs: []netip.Addr{{}}}), []string{
			"internet.hosts.h.ip: invalid IP is not a public address; it is empty" + open}},
		{"hosts have both families", in().with(host("h", "203.0.113.80", "2001:db8::80")), nil},
		{"hosts share no address", in().with(host("g", "203.0.113.80"), host("h", "203.0.113.81", "203.0.113.80")), []string{
			"internet.hosts.h.ip.1: address 203.0.113.80 is in use by host g; public addresses are unique in a lab"}},
		{"a host is not inside a VPC", in().with(host("h", "2600:1f18::80")),
			[]string{"internet.hosts.h.ip: address 2600:1f18::80 belongs " +
				"to VPC app, which has 2600:1f18::/56; take another address for the host"}},
		{"ports of a host are there once", in().with(&Host{Name: "h", Addrs: []netip.Addr{netip.MustParseAddr("203.0.113.80")},
			Serve: []Listener{{"udp", 53}, {"udp", 53}}}), []string{
			"internet.hosts.h.serve.1: udp 53 listens where udp 53 does; give it another port; http listens on TCP"}},
		{"an eip is public", in(igw, instance("a", "web", "eip=10.0.0.9")), []string{
			"vpcs.app.instances.a.eip: 10.0.0.9 is not a public address; 10.0.0.0/8 is private (RFC 1918)" + open}},
		{"an eip is IPv4", in(igw, instance("a", "web", "eip=2001:db8::9")), []string{"vpcs.app.instances.a.eip: 2001:db8::9 " +
			"is not an IPv4 address; an elastic IP address is a public IPv4 one, such as 198.51.100.7, or `auto`"}},
		{"an eip is not a host's", in(igw, instance("a", "web", "eip=203.0.113.80")).with(host("h", "203.0.113.80")), []string{
			"vpcs.app.instances.a.eip: address 203.0.113.80 is in use by host h; public addresses are unique in a lab"}},
		{"an eip is one interface's", in(igw, instance("a", "web", "eip=198.51.100.7", "+eth1=web", "eip=198.51.100.7")), []string{
			"vpcs.app.instances.a.interfaces.eth1.eip: address 198.51.100.7 is in use by instance a; public addresses are " +
				"unique in a lab"}},
		{"an eip needs the gateway", in(instance("a", "web", "eip=198.51.100.7")), []string{"vpcs.app.instances.a.eip: " + none}},
		{"so does one that is drawn", in(instance("a", "web", "eip=auto")), []string{"vpcs.app.instances.a.eip: " + none}},
		{"so does a public subnet, which is told once",
			in(subnet("open", "10.0.2.0/24", "public"), instance("a", "open"), instance("b", "open")), []string{
				"vpcs.app.subnets.open.public_ip: " + none}},
		{"an empty public subnet needs none", in(subnet("open", "10.0.2.0/24", "public")), nil},
		{"an eip maps to an IPv4 address", in(igw, instance("a", "six", "eip=auto")),
			[]string{"vpcs.app.instances.a.eip: interface 'a' has no IPv4 " +
				"address that a public one could map to; subnet six is IPv6-only; remove `eip`"}},
	})
}

func TestWrongNames(t *testing.T) {
	app := func() *VPC { return network("app", "10.0.0.0/16") }
	const form = "a name has 1 to 31 lower-case letters, digits and hyphens and starts with a letter"
	twice := func(kind, section string, p part) wrong {
		return wrong{kind + " names are unique", lab(network("app", "10.0.0.0/16", p)), []string{
			"vpcs.app." + section + ".x: the " + kind + " 'x' already exists; give one of the two another name"}}
	}
	both := func(a, b part) part { return func(v *VPC) { a(v); b(v) } }
	judge(t, []wrong{
		{"VPC names are unique", lab(app(), app()), []string{"vpcs.app: the VPC 'app' already exists; give one of the two " +
			"another name"}},
		{"host names are unique", lab().with(host("h", "203.0.113.80"), host("h", "203.0.113.81")), []string{
			"internet.hosts.h: the host 'h' already exists; give one of the two another name"}},
		{"names are lower case", lab(network("App", "10.0.0.0/16")), []string{"vpcs.App: 'App' is not a name for a VPC; " + form}},
		{"names are not empty", lab(network("", "10.0.0.0/16")), []string{"vpcs.: '' is not a name for a VPC; " + form}},
		{"names start with a letter", lab().with(host("1h", "203.0.113.80")),
			[]string{"internet.hosts.1h: '1h' is not a name for a host; " + form}},
		{"31 characters fit", lab(network("a234567890123456789012345678901", "10.0.0.0/16")), nil},
		{"32 do not", lab(network("a2345678901234567890123456789012", "10.0.0.0/16")), []string{
			"vpcs.a2345678901234567890123456789012: 'a2345678901234567890123456789012' is not a name for a VPC; " + form}},
		twice("subnet", "subnets", both(subnet("x", "10.0.0.0/24"), subnet("x", "10.0.1.0/24"))),
		twice("route table", "route_tables", both(table("x"), table("x"))),
		twice("network ACL", "acls", both(acl("x"), acl("x"))),
		twice("prefix list", "prefix_lists", both(prefixList("x", ""), prefixList("x", ""))),
		twice("security group", "security_groups", both(group("x"), group("x"))),
		twice("instance", "instances", both(subnet("s", "10.0.0.0/24"), both(instance("x", "s"), instance("x", "s")))),
	})
}

func TestWrongOwners(t *testing.T) {
	own := func(region, account string) *VPC {
		v := network("app", "10.0.0.0/16")
		v.Region, v.Account = region, account
		return v
	}
	judge(t, []wrong{
		{"a lab's region has the form", &Model{Region: "virginia", VPCs: []*VPC{network("app", "10.0.0.0/16")}}, []string{
			"region: 'virginia' is not a region; write it like us-east-1"}},
		{"a lab's account has 12 digits", &Model{Account: "42", VPCs: []*VPC{network("app", "10.0.0.0/16")}}, []string{
			`account: '42' is not an account; an account has 12 digits, like "123456789012"`}},
		{"a VPC's region has the form", lab(own("eu", "")), []string{"vpcs.app.region: 'eu' is not a region; write it like " +
			"us-east-1"}},
		{"a VPC's account has 12 digits", lab(own("", "x")), []string{
			`vpcs.app.account: 'x' is not an account; an account has 12 digits, like "123456789012"`}},
		{"regions of all continents are", lab(own("us-gov-west-1", "012345678901")), nil},
	})
}

func TestQuotas(t *testing.T) {
	many := func(n int, make func(i int) part) part {
		return func(v *VPC) {
			for i := range n {
				make(i)(v)
			}
		}
	}
	subnets := func(i int) part { return subnet(fmt.Sprintf("s%d", i), fmt.Sprintf("10.0.%d.0/28", i)) }
	tables := func(i int) part { return table(fmt.Sprintf("t%d", i)) }
	acls := func(i int) part { return acl(fmt.Sprintf("a%d", i)) }
	judge(t, []wrong{
		{"200 subnets and tables fit, main included",
			lab(network("app", "10.0.0.0/16", many(200, subnets), many(199, tables), many(199, acls))), nil},
		{"201 do not", lab(network("app", "10.0.0.0/16", many(201, subnets), many(200, tables), many(200, acls))), []string{
			"vpcs.app.subnets: the maximum number of subnets has been reached; there are 201 and a VPC has at most 200",
			"vpcs.app.route_tables: the maximum number of route tables has been reached; there are 201 and a VPC has at most 200",
			"vpcs.app.acls: the maximum number of network ACLs has been reached; there are 201 and a VPC has at most 200"}},
	})
}

// TestAllProblemsAtOnce has one mistake in each part of the file.
func TestAllProblemsAtOnce(t *testing.T) {
	m := lab(network("app", "10.0.0.0/8", subnet("web", "10.0.0.0/30"), table("main", "0.0.0.0/0 igw"),
		group("web", allow(tcp(80, 80), "sg.none")), acl("strict", entry(0, tcp(1, 1), "10.0.0.0/8")),
		instance("a", "none", "sg=nil"),
	)).with(host("h", "10.0.0.1"))
	var paths []string
	for _, p := range m.Complete(nil) {
		paths = append(paths, strings.Join(p.Path, "."))
	}
	want := []string{"vpcs.app.cidr", "vpcs.app.subnets.web.cidr", "vpcs.app.route_tables.main.routes.0.0.0.0/0",
		"vpcs.app.security_groups.web.ingress", "vpcs.app.acls.strict.ingress", "vpcs.app.instances.a.subnet",
		"vpcs.app.instances.a.sg",
		"internet.hosts.h.ip"}
	if !slices.Equal(paths, want) {
		t.Errorf("paths %v, want %v", paths, want)
	}
}
