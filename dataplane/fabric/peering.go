package fabric

import (
	"net/netip"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// PeeringMTU and InterRegionMTU are the largest IP packets, in bytes, across a peering connection within a region and between two of
// them (VPC peering guide; EC2 user guide, network MTU).
const (
	PeeringMTU     = 9001
	InterRegionMTU = 8500
)

// PeeringEnd is one end of an active peering connection, as the VPC at that end has it. Between two ends lies a link, which carries
// packets by itself and takes its time, or nothing.
type PeeringEnd struct {
	// Attachment is who receives what is for the link, and who sends what comes out of it here.
	Attachment  uint32
	Name        string // "peering.app-data"
	VPC         *VPC
	Far         *PeeringEnd
	InterRegion bool
	// Joined says that nothing lies between the ends: a packet goes on at the far one in the same walk.
	Joined bool
}

// mtu is that of the connection.
func (p *PeeringEnd) mtu() uint16 {
	if p.InterRegion {
		return InterRegionMTU
	}
	return PeeringMTU
}

// trafficPath is the flow-log field for packets that leave by the connection.
func (p *PeeringEnd) trafficPath() uint8 {
	if p.InterRegion {
		return PathInterRegionPeering
	}
	return PathPeering
}

// Contains reports whether addr lies in one of the VPC's CIDR blocks.
func (v *VPC) Contains(addr netip.Addr) bool {
	for _, p := range v.CIDRs {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// peerWith finds a CIDR block with addr in it among those of the VPC's peers, and the VPC's end of the connection there; nil if no peer
// has addr.
func (v *VPC) peerWith(addr netip.Addr) (netip.Prefix, *PeeringEnd) {
	for _, end := range v.Peerings {
		for _, p := range end.Far.VPC.CIDRs {
			if p.Contains(addr) {
				return p, end
			}
		}
	}
	return netip.Prefix{}, nil
}

// crossPeering is a packet that leaves its VPC by a peering connection, which carries what comes from an address of the VPC and
// nothing from behind it.
func (w *walk) crossPeering(p *PeeringEnd) {
	hop := Hop{Kind: HopPeering, Where: p.Name, VPC: p.VPC}
	if !p.VPC.Contains(w.src()) {
		hop.Alien = w.src()
		w.drop(hop, flow.PCXAddressNotInVPC)
		return
	}
	if !w.fits(hop, p.mtu()) {
		return
	}
	if p.Joined {
		w.emerge(p.Far)
		return
	}
	w.hop(hop)
	w.path.Verdict, w.path.Out = flow.Deliver, p.Attachment
}

// emerge is a packet that comes out of a peering connection: it must be for an address of this VPC. No gateway, no other connection
// and no route is asked, so that peering is never transitive (VPC peering guide, limitations).
func (w *walk) emerge(p *PeeringEnd) {
	w.domain(p.VPC.Index, p.VPC.Generation)
	hop := Hop{Kind: HopPeering, Where: p.Name, VPC: p.VPC}
	if !p.VPC.Contains(w.dst()) {
		hop.Alien = w.dst()
		w.drop(hop, flow.PCXAddressNotInVPC)
		return
	}
	d := p.VPC.ENIs[w.dst()]
	if d == nil {
		w.drop(hop, flow.UnknownDestination)
		return
	}
	w.hop(hop)
	w.arrive(d, true)
}

// leaveLink is a packet that a link brought. Between regions nobody knows the groups of who sent it (VPC peering guide, security
// groups).
func (w *walk) leaveLink(p *PeeringEnd) {
	w.sender = nil
	if sender := int(w.packet.Sender); !p.InterRegion && sender < len(w.net.Attachments) && w.net.Attachments[sender] != nil {
		w.sender = w.net.Attachments[sender].ENI
	}
	w.path.MTU = p.mtu()
	w.emerge(p)
}

// RefuseByLink writes the path of a packet that the link behind a peering connection's end lost.
func (n *Network) RefuseByLink(t flow.Tuple, at *PeeringEnd, r flow.Reason, path *Path) {
	*path = Path{Tuple: t}
	w := walk{net: n, packet: Packet{Tuple: t}, path: path}
	w.drop(Hop{Kind: HopPeering, Where: at.Name}, r)
}

// memberAt reports whether the interface with a private address is a member of a group that the VPC's own rules may refer to: its own
// groups, and those of VPCs that are peered within the region.
func (v *VPC) memberAt(addr netip.Addr, group GroupID) bool {
	if e := v.ENIs[addr]; e != nil {
		return e.InGroup(group)
	}
	for _, p := range v.Peerings {
		if e := p.Far.VPC.ENIs[addr]; e != nil && !p.InterRegion && e.InGroup(group) {
			return true
		}
	}
	return false
}
