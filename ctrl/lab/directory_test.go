package lab

import (
	"net/netip"
	"testing"

	"github.com/vpclab/vpclab/ctrl/compile"
	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/vpc"
	"github.com/vpclab/vpclab/dataplane/fabric"
)

// directoryLab has a provider in three zones, two of which its load balancer has, and a consumer with its CIDR.
const directoryLab = `
name: labtest-directory
vpcs:
  data:
    cidr: 10.0.0.0/16
    subnets: {a: {cidr: 10.0.0.0/24, az: a}, b: {cidr: 10.0.1.0/24, az: b}, c: {cidr: 10.0.2.0/24, az: c}}
    instances: {db: {subnet: c, ip: 10.0.2.10}}
    endpoint_services: {shop: {targets: [db], ports: [80], subnets: [b, a]}}
  app:
    cidr: 10.0.0.0/16
    subnets: {a: {cidr: 10.0.0.0/24, az: a, routes: {10.1.0.0/16: peering.p}}}
    instances: {web: {subnet: a, ip: 10.0.0.10}}
    endpoints: {shop: {type: interface, service: data/shop, subnets: [a], ip: {a: 10.0.0.20}}}
  peer:
    cidr: 10.1.0.0/16
    subnets: {a: {cidr: 10.1.0.0/24, az: a}}
    instances: {far: {subnet: a, ip: 10.1.0.10}}
peerings: {p: {requester: app, accepter: peer}}
checks: []
`

// directoryAt is a lab's directory with zones that are down, and its network.
func directoryAt(t *testing.T, down ...string) (*directory, *fabric.Network) {
	t.Helper()
	m := parse(t, directoryLab).Model
	m.DownZones = down
	d, plan := &directory{}, compile.Compile(m, nil)
	d.update(plan)
	return d, plan.Network
}

func TestBalancerSpeaksInTheConsumersZone(t *testing.T) {
	shop := vpc.ServiceRef{VPC: "data", Name: "shop"}
	for _, row := range []struct {
		name string
		down []string
		of   vpc.ServiceRef
		zone string
		want string // the subnet of the load balancer's interface
	}{
		{"in zone a", nil, shop, "us-east-1a", "a"},
		{"in zone b", nil, shop, "us-east-1b", "b"},
		{"in a zone where it has none", nil, shop, "us-east-1c", "any"},
		{"in a zone that is down", []string{"us-east-1a"}, shop, "us-east-1a", "b"},
		{"with both down", []string{"us-east-1a", "us-east-1b"}, shop, "us-east-1a", ""},
		{"a service that is not there", nil, vpc.ServiceRef{VPC: "data", Name: "shoe"}, "us-east-1a", ""},
		{"nor in that VPC", nil, vpc.ServiceRef{VPC: "app", Name: "shop"}, "us-east-1a", ""},
	} {
		d, _ := directoryAt(t, row.down...)
		first, ok := d.Balancer(row.of, row.zone)
		got := d.plan().Portals[first].Subnet
		if ok != (row.want != "") || row.want != "any" && got != row.want {
			t.Errorf("%s: %s, in subnet %q", row.name, first, got)
		}
		for range 20 { // whatever the order of maps
			if again, _ := d.Balancer(row.of, row.zone); again != first {
				t.Errorf("%s: first %s, then %s", row.name, first, again)
			}
		}
	}
}

func TestTargetIsOfTheProvidersVPC(t *testing.T) {
	d, network := directoryAt(t)
	for _, row := range []struct{ vpc, addr, name string }{
		{"data", "10.0.2.10", "data"}, {"app", "10.0.0.10", "app"}, {"data", "10.0.0.10", ""}, {"none", "10.0.0.10", ""},
	} {
		in, ok := d.Target(row.vpc, netip.MustParseAddr(row.addr))
		if ok != (row.name != "") {
			t.Errorf("%s of %s: %v", row.addr, row.vpc, ok)
			continue
		}
		if who := network.Services.Callers[in]; ok && (who.Addr.String() != row.addr || network.VPCs[who.VPC-1].Name != row.name) {
			t.Errorf("%s of %s is %+v", row.addr, row.vpc, who)
		}
	}
}

func TestWhoAsksByAnEndpoint(t *testing.T) {
	d, network := directoryAt(t)
	app := network.VPCs[1]
	local := app.ENIs[netip.MustParseAddr("10.0.0.20")].Portals[netip.MustParseAddr("10.0.0.20")].Inside
	from := func(addr string) netip.Addr {
		return network.Services.Inside[fabric.Caller{VPC: app.Index, Addr: netip.MustParseAddr(addr)}]
	}
	c, ok := d.Caller(local, from("10.0.0.10"))
	if !ok || c.Via != service.ByInterface || c.VPC.Name != "app" || c.Endpoint.Name != "shop" || c.Asked.String() != "10.0.0.20" ||
		c.Addr.String() != "10.0.0.10" || c.Instance == nil || c.Instance.Name != "web" {
		t.Errorf("an instance: %v %+v", ok, c)
	}
	if c, ok = d.Caller(local, from("10.1.0.10")); !ok || c.Endpoint.Name != "shop" || c.Addr.String() != "10.1.0.10" || c.Instance != nil {
		t.Errorf("a peer's: %v %+v", ok, c)
	}
	if _, ok = d.Caller(local, netip.MustParseAddr("100.64.200.200")); ok {
		t.Error("nobody has that address, and it may ask")
	}
	balancer, _ := d.Balancer(vpc.ServiceRef{VPC: "data", Name: "shop"}, "us-east-1a")
	if _, ok = d.Caller(balancer, from("10.0.0.10")); ok {
		t.Error("a load balancer is asked by nobody")
	}
}
