package compile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vpclab/vpclab/ctrl/hostnet"
	"github.com/vpclab/vpclab/dataplane/fabric"
)

// offered is a consumer with endpoints of all kinds, a VPC that is peered with it and has its provider's CIDR, and that provider; %s are
// steps.
const offered = `
name: shop
vpcs:
  app:
    cidr: 10.0.0.0/16
    ipv6: 2600:1f18:aa00::/56
    subnets:
      a: {cidr: 10.0.0.0/24, ipv6: "2600:1f18:aa00::/64", az: a, routes: {10.1.0.0/16: peering.both}}
      b: {cidr: 10.0.1.0/24, az: b, routes: {}}
      six: {ipv6: "2600:1f18:aa00:6::/64", az: c}
    security_groups: {open: {ingress: [all from 0.0.0.0/0]}}
    instances: {web: {subnet: a, ip: 10.0.0.10}, six: {subnet: six}}
    endpoints:
      s3: {type: gateway, service: s3, route_tables: [a]}
      db: {type: gateway, service: dynamodb, route_tables: [a, b]}
      sqs: {type: interface, service: sqs, subnets: [a], sg: [open], dualstack: true, ip: {a: 10.0.0.20}}
      shop: {type: interface, service: data/shop, subnets: [a, b], sg: [open], ip: {a: 10.0.0.30, b: 10.0.1.30}}
      late: {type: interface, service: data/later, subnets: [a], ip: {a: 10.0.0.40}}
  peer:
    region: eu-west-1
    cidr: 10.1.0.0/16
    subnets: {a: {cidr: 10.1.0.0/24, az: a, routes: {10.0.0.0/16: peering.both}}}
    instances: {far: {subnet: a, ip: 10.1.0.10}}
  data:
    cidr: 10.1.0.0/16
    subnets: {a: {cidr: 10.1.0.0/24, az: a}, b: {cidr: 10.1.1.0/24, az: b}}
    instances: {db: {subnet: a, ip: 10.1.0.10}}
    endpoint_services:
      shop: {targets: [db], ports: [5432], subnets: [a, b]}
      later: {targets: [db], ports: [80], acceptance: true}
peerings: {both: {requester: app, accepter: peer}}
internet: {hosts: {h: {ip: 203.0.113.5}}}
checks: [%s]
`

func offeredPlan(t *testing.T, step string) (before, after *Plan) {
	t.Helper()
	s := parse(t, fmt.Sprintf(offered, step))
	before = Compile(s.Model, nil)
	if step != "" {
		after = Compile(s.Steps[0].Change, before)
	}
	return before, after
}

// portalsOf are the portals that a VPC has, but for those of what it answers itself.
func portalsOf(p *Plan, v string) []string {
	kinds := map[fabric.PortalKind]string{fabric.GatewayPortal: "gateway", fabric.InterfacePortal: "interface", fabric.BalancerPortal: "balancer"}
	var lines []string
	for inside, info := range p.Portals {
		portal := p.Network.Services.Portals[inside]
		if kind := kinds[info.Kind]; kind != "" && info.VPC == v {
			lines = append(lines, fmt.Sprintf("%s %s in %q leads %s to %q, protocol %d ports %v", kind, portal.Name, info.Subnet, portal.Outside,
				portal.Service, portal.Protocol, portal.Ports))
		}
	}
	slices.Sort(lines)
	return lines
}

func TestPortals(t *testing.T) {
	p, _ := offeredPlan(t, "")
	for v, want := range map[string]string{
		"app": `gateway endpoint.db in "" leads 52.94.0.1 to "dynamodb", protocol 6 ports [80 443]
gateway endpoint.s3 in "" leads 52.216.0.1 to "s3", protocol 6 ports [80 443]
interface endpoint.shop in "a" leads 10.0.0.30 to "data/shop", protocol 6 ports [5432]
interface endpoint.shop in "b" leads 10.0.1.30 to "data/shop", protocol 6 ports [5432]
interface endpoint.sqs in "a" leads 10.0.0.20 to "sqs", protocol 6 ports [80 443]
interface endpoint.sqs in "a" leads 2600:1f18:aa00::5 to "sqs", protocol 6 ports [80 443]`,
		"data": `balancer endpoint_service.later in "a" leads 10.1.0.5 to "later", protocol 0 ports []
balancer endpoint_service.shop in "a" leads 10.1.0.4 to "shop", protocol 0 ports []
balancer endpoint_service.shop in "b" leads 10.1.1.4 to "shop", protocol 0 ports []`,
		"peer": "",
	} {
		if got := strings.Join(portalsOf(p, v), "\n"); got != want {
			t.Errorf("%s has\n%s\nwant\n%s", v, got, want)
		}
	}
	if p.Network.VPCs[0].ENIs[netip.MustParseAddr("10.0.0.40")] != nil {
		t.Error("an endpoint that is not accepted has an interface")
	}
}

// Who asks an endpoint that is not available is told what would make it so.
func TestEndpointsThatAreNotAvailable(t *testing.T) {
	for _, row := range []struct{ step, want string }{
		{"", "endpoint.late waits for acceptance: add app/endpoint.late to `accepted` of endpoint service data/later"},
		{"{change: {vpcs: {data: {endpoint_services: {later: {accepted: [app/endpoint.late]}}}}}}", ""},
		{"{change: {vpcs: {data: {endpoint_services: {later: {rejected: [app/endpoint.late]}}}}}}",
			"endpoint.late was rejected: name app/endpoint.late in `accepted` of endpoint service data/later, and not in `rejected`"},
		{"{change: {vpcs: {data: {endpoint_services: {later: null}}}}}", "endpoint.late has failed: endpoint service data/later does not exist any more"},
	} {
		plan, after := offeredPlan(t, row.step)
		if after != nil {
			plan = after
		}
		if got := plan.Network.VPCs[0].Unready[netip.MustParseAddr("10.0.0.40")]; got != row.want {
			t.Errorf("%s:\ngot  %s\nwant %s", row.step, got, row.want)
		}
	}
}

func TestPublicPortalsAreOfTheirRegion(t *testing.T) {
	p, _ := offeredPlan(t, "")
	for _, row := range []struct{ addr, service, region, list string }{
		{"52.216.0.1", "s3", "us-east-1", "pl.s3"},
		{"52.94.0.1", "dynamodb", "us-east-1", "pl.dynamodb"},
		{"52.119.0.1", "sqs", "us-east-1", ""},
		{"52.119.138.1", "sqs", "eu-west-1", ""},
		{"52.119.0.53", DNS, "", ""},
	} {
		portal := p.Network.Internet.Portals[netip.MustParseAddr(row.addr)]
		if portal == nil {
			t.Errorf("nothing is at %s", row.addr)
			continue
		}
		if info := p.Portals[portal.Inside]; info.Service != row.service || info.Region != row.region || portal.PrefixList != row.list || portal.VPC != nil {
			t.Errorf("%s: %+v, list %q", row.addr, info, portal.PrefixList)
		}
	}
}

// TestCallers: whoever may ask has an address of its own, however many have the same one in VPCs of their own.
func TestCallers(t *testing.T) {
	p, _ := offeredPlan(t, "")
	index := map[string]uint32{"internet": fabric.InternetDomain}
	for _, v := range p.Network.VPCs {
		index[v.Name] = v.Index
	}
	inside := func(domain, addr string) netip.Addr {
		return p.Network.Services.Inside[fabric.Caller{VPC: index[domain], Addr: netip.MustParseAddr(addr)}]
	}
	seen := map[netip.Addr]string{}
	for _, who := range [][2]string{
		{"app", "10.0.0.10"}, {"data", "10.1.0.10"}, {"peer", "10.1.0.10"}, {"app", "10.1.0.10"}, {"peer", "10.0.0.10"}, {"internet", "203.0.113.5"},
	} {
		in := inside(who[0], who[1])
		if !in.IsValid() || seen[in] != "" {
			t.Errorf("%s of %s is %s inside, which is %q", who[1], who[0], in, seen[in])
		}
		seen[in] = who[1] + " of " + who[0]
		if back := p.Network.Services.Callers[in]; back.Addr.String() != who[1] {
			t.Errorf("%s inside is %v", in, back)
		}
	}
	for _, nobody := range [][2]string{{"data", "10.0.0.10"}, {"app", "10.0.0.99"}, {"internet", "10.0.0.10"}} {
		if in := inside(nobody[0], nobody[1]); in.IsValid() {
			t.Errorf("%s of %s may ask as %s", nobody[1], nobody[0], in)
		}
	}
}

func TestGatewayEndpointsHaveRows(t *testing.T) {
	p, after := offeredPlan(t, "change: {vpcs: {app: {endpoints: {db: {route_tables: [b]}}}}}")
	lookup := func(p *Plan, from, addr string) string {
		r, ok := p.Network.VPCs[0].ENIs[netip.MustParseAddr(from)].Subnet.Routes.Routes.Lookup(netip.MustParseAddr(addr))
		if !ok {
			return ""
		}
		return fmt.Sprintf("%s %s tracked %v", r.Prefix, r.Endpoint.Name, r.Endpoint.Tracked)
	}
	for _, row := range []struct {
		name             string
		plan             *Plan
		from, addr, want string
	}{
		{"s3", p, "10.0.0.10", "52.216.0.1", "52.216.0.0/16 endpoint.s3 tracked false"},
		{"all of its prefix", p, "10.0.0.10", "52.216.255.255", "52.216.0.0/16 endpoint.s3 tracked false"},
		{"not in another region", p, "10.0.0.10", "52.217.20.1", ""},
		{"not in another table", p, "10.0.1.30", "52.216.0.1", ""},
		{"dynamodb is tracked", p, "10.0.0.10", "52.94.0.1", "52.94.0.0/24 endpoint.db tracked true"},
		{"in two tables", p, "10.0.1.30", "52.94.0.1", "52.94.0.0/24 endpoint.db tracked true"},
		{"a table that it left", after, "10.0.0.10", "52.94.0.1", ""},
		{"and one that it did not", after, "10.0.1.30", "52.94.0.1", "52.94.0.0/24 endpoint.db tracked true"},
	} {
		if got := lookup(row.plan, row.from, row.addr); got != row.want {
			t.Errorf("%s: got %q, want %q", row.name, got, row.want)
		}
	}
}

func TestResolversOfGuests(t *testing.T) {
	p, _ := offeredPlan(t, "")
	for _, row := range []struct{ vpc, guest, resolver, search string }{
		{"app", "web", "[10.0.0.2]", "ec2.internal"},
		{"app", "six", "[fd00:ec2::253]", "ec2.internal"},
		{"peer", "far", "[10.1.0.2]", "eu-west-1.compute.internal"},
		{"internet", "h", "[52.119.0.53]", ""},
	} {
		namespace := hostnet.GuestNamespace("shop", row.vpc, row.guest)
		i := slices.IndexFunc(p.Desired.Guests, func(g hostnet.Guest) bool { return g.Namespace == namespace })
		if i < 0 {
			t.Errorf("there is no guest %s", namespace)
			continue
		}
		if g := p.Desired.Guests[i]; fmt.Sprint(g.Resolver) != row.resolver || g.Search != row.search {
			t.Errorf("%s: nameserver %v search %v", namespace, g.Resolver, g.Search)
		}
	}
}

// TestGenerationsOfConsumers: what a provider changes may concern its consumers' packets.
func TestGenerationsOfConsumers(t *testing.T) {
	for _, row := range []struct {
		name, patch string
		rises       bool
	}{
		{"another port", "data: {endpoint_services: {shop: {ports: [5433]}}}", true},
		{"an endpoint is accepted", "data: {endpoint_services: {later: {accepted: [app/endpoint.late]}}}", true},
		{"a service is gone", "data: {endpoint_services: {shop: null}}", true},
		{"a further instance", "data: {instances: {other: {subnet: a}}}", false},
	} {
		before, after := offeredPlan(t, "change: {vpcs: {"+row.patch+"}}")
		if got := after.Network.VPCs[0].Generation > before.Network.VPCs[0].Generation; got != row.rises {
			t.Errorf("%s: the consumer's generation rises: %v", row.name, got)
		}
	}
}
