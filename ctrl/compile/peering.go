package compile

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/vpclab/vpclab/ctrl/hostnet"
	"github.com/vpclab/vpclab/ctrl/vpc"
	"github.com/vpclab/vpclab/dataplane/fabric"
)

// Link is what carries a peering connection's packets from one end to the other. Connections whose ends are joined have none.
type Link struct {
	Name      string    // "peering.app-data"
	Ends      [2]uint32 // attachments: the requester's and the accepter's
	Encrypted bool
	Shape     vpc.Link
}

// peerings compiles the active peering connections. Their ends know the VPCs, which are empty yet.
func (c *compiler) peerings() {
	for _, p := range c.model.Peerings {
		if p.Active() {
			c.peering(p)
		}
	}
	if slices.ContainsFunc(c.plan.Links, func(l Link) bool { return l.Encrypted }) {
		backbone := hostnet.Guest{Namespace: hostnet.BackboneNamespace(c.model.Name), Hostname: "backbone"}
		c.plan.Desired.Guests = append(c.plan.Desired.Guests, backbone)
	}
}

func (c *compiler) peering(p *vpc.Peering) {
	target := vpc.Target{Kind: vpc.TargetPeering, Name: p.Name}
	link := Link{Name: target.String(), Encrypted: p.Encryption == vpc.WireGuard, Shape: p.Link}
	joined := !link.Encrypted && link.Shape == vpc.Link{}
	var ends [2]*fabric.PeeringEnd
	for i, name := range []string{p.Requester, p.Accepter} {
		v := c.plan.Network.VPCs[c.plan.numbers.vpcs.of(name)-1]
		end := &fabric.PeeringEnd{Name: link.Name, VPC: v, InterRegion: c.model.InterRegion(p), Joined: joined}
		if !joined {
			end.Attachment = c.plan.numbers.attachments.of(link.Name + "/" + name)
			link.Ends[i] = end.Attachment
			c.attach(&fabric.Attachment{Index: end.Attachment, Peering: end})
		}
		v.Peerings = append(v.Peerings, end)
		ends[i] = end
	}
	ends[0].Far, ends[1].Far = ends[1], ends[0]
	if !joined {
		c.plan.Links = append(c.plan.Links, link)
	}
}

// mendPeering says what would make a blackhole of a route to a peering connection a way again. p is nil if there is none of the name.
func mendPeering(to vpc.Target, p *vpc.Peering) string {
	switch {
	case p == nil:
		return fmt.Sprintf("declare %s again, which was deleted, or remove the route", to)
	case p.State == vpc.PendingAcceptance:
		return fmt.Sprintf("accept %s, which is %s", to, p.State)
	case p.State == vpc.Failed:
		return fmt.Sprintf("%s failed, as the CIDR blocks of %s and %s overlap: give one of them other blocks, and declare it anew", to, p.Requester, p.Accepter)
	}
	return fmt.Sprintf("declare %s anew, which is %s", to, p.State)
}

// changed reports whether a VPC's packets may meet something else than under the model before: in the VPC, on a peering connection of
// it, or in a VPC that it is peered with, whose groups its rules may name.
func changed(before, now *vpc.Model, v *vpc.VPC) bool {
	if !reflect.DeepEqual(before.VPC(v.Name), v) || !slices.Equal(before.DownZones, now.DownZones) ||
		!reflect.DeepEqual(portsBehind(before, v), portsBehind(now, v)) {
		return true
	}
	ofVPC := func(m *vpc.Model) []*vpc.Peering {
		return slices.DeleteFunc(slices.Clone(m.Peerings), func(p *vpc.Peering) bool { return p.Peer(v.Name) == "" })
	}
	connections := ofVPC(now)
	same := func(a, b *vpc.Peering) bool { return reflect.DeepEqual(a, b) }
	return !slices.EqualFunc(ofVPC(before), connections, same) || slices.ContainsFunc(connections, func(p *vpc.Peering) bool {
		peer := p.Peer(v.Name)
		return !reflect.DeepEqual(before.VPC(peer), now.VPC(peer))
	})
}

// portsBehind are the ports of the endpoint services to which a VPC's endpoints lead.
func portsBehind(m *vpc.Model, v *vpc.VPC) [][]uint16 {
	var ports [][]uint16
	for _, e := range v.Endpoints {
		if s := m.EndpointService(e.Service); s != nil {
			ports = append(ports, s.Ports)
		}
	}
	return ports
}
