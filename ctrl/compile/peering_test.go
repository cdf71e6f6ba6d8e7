package compile

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vpclab/vpclab/ctrl/hostnet"
	"github.com/vpclab/vpclab/ctrl/vpc"
	"github.com/vpclab/vpclab/dataplane/fabric"
)

// peered is two VPCs and a third beside them, and one connection; %s is more of it.
const peered = `
name: shop
vpcs:
  app:
    cidr: 10.0.0.0/16
    subnets: {a: {cidr: 10.0.0.0/24, az: a, routes: {10.9.0.0/16: peering.app-data}}}
    security_groups: {web: {egress: [tcp 5432 to data/sg.db]}}
    instances: {web: {subnet: a, sg: [web]}}
  data:
    cidr: 10.9.0.0/16
    subnets: {a: {cidr: 10.9.0.0/24, az: a, routes: {10.0.0.0/16: peering.app-data}}}
    security_groups: {db: {ingress: [tcp 5432 from app/sg.web]}}
    instances: {db: {subnet: a, sg: [db]}}
  aside: {cidr: 10.5.0.0/16}
peerings:
  app-data: {requester: app, accepter: data%s}
checks: [%s]
`

func compiled(t *testing.T, more, steps string) (*Plan, []*vpc.Model) {
	t.Helper()
	s := parse(t, fmt.Sprintf(peered, more, steps))
	var changes []*vpc.Model
	for _, step := range s.Steps {
		changes = append(changes, step.Change)
	}
	return Compile(s.Model, nil), changes
}

func route(p *Plan, vpcName, to string) *fabric.Route {
	for _, a := range p.Network.Attachments {
		if a != nil && a.ENI != nil && a.ENI.Subnet.VPC.Name == vpcName {
			for _, r := range a.ENI.Subnet.Routes.Routes.All() {
				if r.Prefix.String() == to {
					return r
				}
			}
		}
	}
	return nil
}

// TestPeeringEnds: a connection becomes two ends that know each other, with a link between them or joined.
func TestPeeringEnds(t *testing.T) {
	for _, test := range []struct {
		more              string
		linked, encrypted bool
	}{
		{"", true, true},
		{", encryption: none, link: {delay: 5ms}", true, false},
		{", encryption: none", false, false},
	} {
		p, _ := compiled(t, test.more, "")
		there, back := route(p, "app", "10.9.0.0/16"), route(p, "data", "10.0.0.0/16")
		if there.Kind != fabric.ToPeering || back.Kind != fabric.ToPeering || there.Peering.Far != back.Peering || back.Peering.Far != there.Peering {
			t.Fatalf("%q: routes %+v and %+v", test.more, there, back)
		}
		near := there.Peering
		if near.VPC.Name != "app" || near.Far.VPC.Name != "data" || near.Joined == test.linked || near.InterRegion {
			t.Errorf("%q: near end %+v", test.more, near)
		}
		backbone := slices.ContainsFunc(p.Desired.Guests, func(g hostnet.Guest) bool { return g.Namespace == "vpclab-shop._backbone" })
		if backbone != test.encrypted {
			t.Errorf("%q: backbone wanted: %v", test.more, backbone)
		}
		if !test.linked {
			if len(p.Links) != 0 || near.Attachment != 0 {
				t.Errorf("%q: links %+v, attachment %d", test.more, p.Links, near.Attachment)
			}
			continue
		}
		ends := [2]uint32{near.Attachment, near.Far.Attachment}
		if len(p.Links) != 1 || p.Links[0].Ends != ends || p.Links[0].Encrypted != test.encrypted || p.Links[0].Name != "peering.app-data" {
			t.Errorf("%q: links %+v, ends %v", test.more, p.Links, ends)
		}
		for _, end := range []*fabric.PeeringEnd{near, near.Far} {
			if a := p.Network.Attachments[end.Attachment]; a.Peering != end {
				t.Errorf("%q: attachment %d is %+v", test.more, end.Attachment, a)
			}
		}
	}
}

// TestPeeringThatIsNotActive: its routes lead nowhere, and rules that name the peer's groups match nothing.
func TestPeeringThatIsNotActive(t *testing.T) {
	p, _ := compiled(t, ", accept: false", "")
	if r := route(p, "app", "10.9.0.0/16"); r.Kind != fabric.ToBlackhole || !strings.Contains(r.Text, "peering.app-data (blackhole)") {
		t.Errorf("route %+v", r)
	}
	if len(p.Links) != 0 || len(p.Network.VPCs[0].Peerings) != 0 {
		t.Errorf("links %+v, ends %v", p.Links, p.Network.VPCs[0].Peerings)
	}
	for _, a := range p.Network.Attachments {
		if a != nil && a.ENI != nil && a.ENI.Name == "db" && len(a.ENI.Groups[0].Ingress) != 0 {
			t.Errorf("rules of db: %+v", a.ENI.Groups[0].Ingress)
		}
	}
}

// TestMendPeering: a route to a connection that is not active says what would bring it back.
func TestMendPeering(t *testing.T) {
	for _, test := range []struct{ more, steps, want string }{
		{", accept: false", "", "accept peering.app-data, which is pending-acceptance"},
		{", accept: false, reject: true", "", "declare peering.app-data anew, which is rejected"},
		{"", "change: {peerings: {app-data: null}}", "declare peering.app-data again, which was deleted, or remove the route"},
		{"", "", ""},
	} {
		p, changes := compiled(t, test.more, test.steps)
		for _, m := range changes {
			p = Compile(m, p)
		}
		if got := route(p, "app", "10.9.0.0/16").Mend; got != test.want {
			t.Errorf("%q, %q: got %q, want %q", test.more, test.steps, got, test.want)
		}
	}
}

// TestPeeringGenerations: a change at one end, and one of the connection, is a new revision for both VPCs and for no third.
func TestPeeringGenerations(t *testing.T) {
	for _, change := range []string{
		"{vpcs: {app: {security_groups: {web: {egress: []}}}}}",
		"{vpcs: {data: {instances: {late: {subnet: a}}}}}",
		"{peerings: {app-data: {link: {delay: 5ms}}}}",
		"{peerings: {app-data: null}}",
	} {
		before, changes := compiled(t, "", "change: "+change)
		after := Compile(changes[0], before)
		for i, want := range []bool{true, true, false} {
			if rose := after.Network.VPCs[i].Generation > before.Network.VPCs[i].Generation; rose != want {
				t.Errorf("%s: %s has a new revision: %v", change, after.Network.VPCs[i].Name, rose)
			}
		}
	}
}

// TestPeeringIndices: an end keeps its index for as long as its connection stays, and a new connection of the name has others.
func TestPeeringIndices(t *testing.T) {
	first, changes := compiled(t, "", "change: {peerings: {app-data: {link: {delay: 5ms}}}}, change: {peerings: {app-data: null}}")
	shaped := Compile(changes[0], first)
	if first.Links[0].Ends != shaped.Links[0].Ends {
		t.Errorf("ends were %v and are %v", first.Links[0].Ends, shaped.Links[0].Ends)
	}
	gone := Compile(changes[1], shaped)
	again := Compile(shaped.Model, gone)
	for i, end := range again.Links[0].Ends {
		if slices.Contains(first.Links[0].Ends[:], end) {
			t.Errorf("end %d has an old index: %d", i, end)
		}
	}
}
