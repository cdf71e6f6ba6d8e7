package compile

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/ctrl/vpc"
	"github.com/vpclab/vpclab/dataplane/fabric"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const shop = `
name: shop
vpcs:
  app:
    cidr: [10.0.0.0/16, 10.1.0.0/16]
    ipv6: 2600:1f18:aa00::/56
    internet_gateway: true
    prefix_lists: {corp: [10.50.0.0/16, 10.51.0.0/16]}
    subnets:
      public: {cidr: 10.0.0.0/24, ipv6: "2600:1f18:aa00::/64", az: a, public_ip: true, routes: {0.0.0.0/0: igw, "::/0": igw}}
      private: {cidr: 10.0.1.0/24, az: a, acl: strict, route_table: private}
    route_tables: {private: {routes: {10.0.0.0/24: instance.firewall, pl.corp: eni.firewall.eth1, 192.168.0.0/16: blackhole}}}
    acls: {strict: {ingress: [100 allow tcp 22 from 10.0.0.0/24, 90 deny icmpv6 from 0.0.0.0/0]}}
    security_groups:
      web: {ingress: [tcp 80 from 0.0.0.0/0, tcp 22 from pl.corp, all from sg.web]}
    instances:
      web: {subnet: public, sg: [web]}
      app: {subnet: private, secondary: [10.0.1.20]}
      firewall: {subnet: public, source_dest_check: false, forward: true, interfaces: {eth1: {subnet: private, source_dest_check: false}}}
  other:
    cidr: 10.0.0.0/16
    subnets: {s: {cidr: 10.0.0.0/24, az: a}}
    instances: {web: {subnet: s}}
internet:
  hosts: {example: {ip: [203.0.113.80, "2001:db8:cafe::80"]}}
checks: []
`

func parse(t *testing.T, text string) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestGolden: what a scenario compiles to, in words.
func TestGolden(t *testing.T) {
	got := describe(Compile(parse(t, shop).Model, nil))
	golden := filepath.Join("testdata", "shop.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s", got)
	}
}

func describe(p *Plan) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, a := range p.Desired.Attachments {
		line("attachment %d %s %s %s mtu %d addrs %v routers %v %v default %v table %d", a.Index, a.Namespace, a.Device, a.MAC, a.MTU, a.Addrs,
			a.Router4, a.Router6, a.Default, a.Table)
		if e := p.Network.Attachments[a.Index].ENI; e != nil {
			line("  eni %s in %s/%s check %v public %v", e.Name, e.Subnet.VPC.Name, e.Subnet.Name, e.SourceDestCheck, e.Public)
			for _, g := range e.Groups {
				for _, r := range g.Ingress {
					line("  in  %s %v", r.Text, r.Prefixes)
				}
				for _, r := range g.Egress {
					line("  out %s %v", r.Text, r.Prefixes)
				}
			}
			line("  table %s", e.Subnet.Routes.Name)
			for _, r := range e.Subnet.Routes.Routes.AllSorted() {
				line("    %s", r.Text)
			}
			for _, entry := range e.Subnet.ACL.Ingress {
				line("  acl %s in %s, protocol %d", e.Subnet.ACL.Name, entry.Text, entry.Protocol)
			}
		}
	}
	for _, g := range p.Desired.Guests {
		line("guest %s forward %v", g.Namespace, g.Forward)
	}
	var neighbors []string
	for n, owner := range p.Neighbors {
		neighbors = append(neighbors, fmt.Sprintf("neighbor %d %s owner %d", n.Scope, n.Addr, owner))
	}
	slices.Sort(neighbors)
	line("%s", strings.Join(neighbors, "\n"))
	for _, v := range p.Network.VPCs {
		line("vpc %d %s generation %d resolver %s igw %v", v.Index, v.Name, v.Generation, v.Resolver, v.HasIGW)
	}
	return b.String()
}

// change is a scenario with one step, and the plans before and after it.
func change(t *testing.T, patch string) (before, after *Plan) {
	t.Helper()
	s := parse(t, strings.Replace(shop, "checks: []", "checks:\n  - change: "+patch, 1))
	before = Compile(s.Model, nil)
	return before, Compile(s.Steps[0].Change, before)
}

func generations(p *Plan) map[string]uint32 {
	g := map[string]uint32{"internet": p.Network.Internet.Generation}
	for _, v := range p.Network.VPCs {
		if v != nil {
			g[v.Name] = v.Generation
		}
	}
	return g
}

func TestGenerations(t *testing.T) {
	tests := []struct {
		name, patch string
		want        map[string]uint32
	}{
		{"nothing", "{}", map[string]uint32{"internet": 1, "app": 1, "other": 1}},
		{"a group's rules concern their VPC", "{vpcs: {app: {security_groups: {web: {ingress: []}}}}}", map[string]uint32{"internet": 1, "app": 2, "other": 1}},
		{"an instance without public address concerns its VPC", "{vpcs: {other: {instances: {new: {subnet: s}}}}}", map[string]uint32{"internet": 1, "app": 1, "other": 2}},
		{"a public address concerns everybody", "{vpcs: {app: {instances: {app: {eip: 198.51.100.1}}}}}", map[string]uint32{"internet": 2, "app": 2, "other": 2}},
		{"a host concerns everybody", "{internet: {hosts: {more: {ip: 192.0.2.1}}}}", map[string]uint32{"internet": 2, "app": 2, "other": 2}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, after := change(t, test.patch); !reflect.DeepEqual(generations(after), test.want) {
				t.Errorf("generations %v, want %v", generations(after), test.want)
			}
		})
	}
}

// TestIndices: what stays keeps its index, and the index of what is gone is not used again.
func TestIndices(t *testing.T) {
	before, after := change(t, "{vpcs: {app: {instances: {web: null, next: {subnet: public}}}}}")
	index := func(p *Plan, name string) uint32 {
		for _, a := range p.Network.Attachments {
			if a != nil && a.ENI != nil && a.ENI.Subnet.VPC.Name == "app" && a.Name() == name {
				return a.Index
			}
		}
		return 0
	}
	if index(before, "app") == 0 || index(before, "app") != index(after, "app") {
		t.Errorf("app had index %d and has %d", index(before, "app"), index(after, "app"))
	}
	if index(after, "web") != 0 || index(after, "next") <= uint32(len(before.Network.Attachments)-1) {
		t.Errorf("web has index %d, next %d; %d were given before", index(after, "web"), index(after, "next"), len(before.Network.Attachments)-1)
	}
}

// TestMovedInstance: what keeps its name in another subnet has another attachment, and asks for neighbours there.
func TestMovedInstance(t *testing.T) {
	before, after := change(t, "{vpcs: {app: {instances: {web: {subnet: private}}}}}")
	find := func(p *Plan) uint32 {
		for _, a := range p.Desired.Attachments {
			if a.Namespace == "vpclab-shop.app.web" {
				return a.Index
			}
		}
		return 0
	}
	if find(before) == find(after) || before.Scopes[find(before)] == after.Scopes[find(after)] {
		t.Errorf("attachment %d in scope %d, then %d in scope %d", find(before), before.Scopes[find(before)], find(after), after.Scopes[find(after)])
	}
}

func TestCompileIsPure(t *testing.T) {
	m := parse(t, shop).Model
	if a, b := describe(Compile(m, nil)), describe(Compile(m, nil)); a != b {
		t.Error("two compilations differ")
	}
}

// TestStaleRulesMatchNothing: a reference to a removed group must not become a reference to everybody.
func TestStaleRulesMatchNothing(t *testing.T) {
	c := compiler{model: &vpc.Model{}, groups: map[vpc.GroupRef]fabric.GroupID{}}
	v := &vpc.VPC{Name: "app"}
	rules := []vpc.SGRule{{Group: vpc.GroupRef{Name: "gone"}, Stale: true}, {PrefixList: "gone"}, {CIDR: netip.MustParsePrefix("10.0.0.0/8")}}
	if got := c.sgRules(v, "g", rules); len(got) != 1 || got[0].ByGroup {
		t.Errorf("compiled to %+v", got)
	}
}
