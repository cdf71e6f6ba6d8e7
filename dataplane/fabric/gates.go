package fabric

import (
	"github.com/vpclab/vpclab/dataplane/flow"
)

// groups is an interface's security groups: what they remember, else their rules. It ends the path when they refuse.
func (w *walk) groups(e *ENI, d Direction) (Note, bool) {
	hop := Hop{Kind: HopSGOut, Where: e.Name, Subnet: e.Subnet}
	if d == Ingress {
		hop.Kind = HopSGIn
	}
	memory := w.state.Recall(e, d, &w.packet)
	if memory == Tracked {
		hop.Tracked = true
		w.hop(hop)
		return NothingNew, true
	}
	hop.SG = w.matchGroups(e, d)
	if hop.SG == nil {
		hop.Midway = memory == Unknown && w.packet.Tuple.Protocol == flow.TCP && !w.packet.opensTCP()
		w.drop(hop, flow.SGRulesMismatch)
		return NothingNew, false
	}
	note := BeginTracked
	switch {
	case w.packet.Error || memory == UntrackedReply:
		note = NothingNew
	case w.untracked(e, d):
		note = BeginUntracked
	case memory == Unknown && w.packet.Tuple.Protocol == flow.TCP && !w.packet.opensTCP():
		// A tracked connection begins with a SYN. Admitting its middle would revive what was closed or idle for too long.
		hop.SG = nil
		w.drop(hop, flow.NoTrackedConnection)
		return NothingNew, false
	}
	w.hop(hop)
	return note, true
}

// matchGroups finds a rule of the interface's groups that allows the packet. All groups' rules are united.
func (w *walk) matchGroups(e *ENI, d Direction) *SGRule {
	for _, g := range e.Groups {
		rules := g.Egress
		if d == Ingress {
			rules = g.Ingress
		}
		for i := range rules {
			if rules[i].Traffic.matches(&w.packet) && w.matchPeer(&rules[i], e, d) {
				return &rules[i]
			}
		}
	}
	return nil
}

// matchPeer compares the far end of the packet with the rule's peer. A group reference stands for the private addresses of the
// group's interfaces: an incoming packet must really have been sent by one of them under its own address, so identity is lost behind an
// appliance, a NAT device or a public address (VPC user guide, security group rules).
func (w *walk) matchPeer(r *SGRule, e *ENI, d Direction) bool {
	if r.ByGroup {
		if d == Egress {
			return e.Subnet.VPC.memberAt(w.dst(), r.Group)
		}
		return w.sender != nil && w.sender.InGroup(r.Group) && w.sender.Owns(w.src())
	}
	addr := w.src()
	if d == Egress {
		addr = w.dst()
	}
	for _, p := range r.Prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// untracked reports whether AWS would not track the flow: TCP or UDP, a rule for it open to everybody, and a rule for all ports
// open to everybody in the opposite direction, both of the packet's address family (EC2 user guide, untracked connections). An endpoint tracks all.
func (w *walk) untracked(e *ENI, d Direction) bool {
	t := &w.packet.Tuple
	if t.Protocol != flow.TCP && t.Protocol != flow.UDP || e.Portals != nil {
		return false
	}
	there, back := false, false
	for _, g := range e.Groups {
		forward, reverse := g.Egress, g.Ingress
		if d == Ingress {
			forward, reverse = g.Ingress, g.Egress
		}
		for i := range forward {
			there = there || forward[i].open(t.Family) && forward[i].Traffic.matches(&w.packet)
		}
		for i := range reverse {
			back = back || reverse[i].open(t.Family) && reverse[i].Traffic.allPorts(t.Protocol)
		}
	}
	return there && back
}

// Tracks reports whether an interface's groups would let a packet of a sender pass and track its connection. sender is nil for an internet
// host.
func (n *Network) Tracks(e *ENI, d Direction, p *Packet, sender *ENI) bool {
	w := walk{net: n, packet: *p, sender: sender}
	return w.matchGroups(e, d) != nil && !w.untracked(e, d)
}

// open reports whether the rule's peer is everybody of the family.
func (r *SGRule) open(family uint8) bool {
	for _, p := range r.Prefixes {
		if p.Bits() == 0 && p.Addr().Is4() == (family == 4) {
			return true
		}
	}
	return false
}

// acl is the network ACL of the interface's subnet: the first matching entry decides. It ends the path when it denies.
func (w *walk) acl(e *ENI, d Direction) bool {
	hop := Hop{Kind: HopACLOut, Where: e.Name, Subnet: e.Subnet}
	entries, peer := e.Subnet.ACL.Egress, w.dst()
	if d == Ingress {
		hop.Kind = HopACLIn
		entries, peer = e.Subnet.ACL.Ingress, w.src()
	}
	for i := range entries {
		entry := &entries[i]
		if !entry.Prefix.Contains(peer) || !entry.Traffic.matches(&w.packet) {
			continue
		}
		hop.ACL = entry
		break
	}
	if hop.ACL == nil || !hop.ACL.Allow {
		w.drop(hop, flow.ACLRestriction)
		return false
	}
	w.hop(hop)
	return true
}

func (t *Traffic) matches(p *Packet) bool {
	if t.Protocol < 0 {
		return true
	}
	if uint8(t.Protocol) != p.Tuple.Protocol {
		return false
	}
	switch p.Tuple.Protocol {
	case flow.TCP, flow.UDP:
		return t.FromPort <= p.Tuple.DstPort && p.Tuple.DstPort <= t.ToPort
	case flow.ICMP, flow.ICMPv6:
		return (t.ICMPType < 0 || uint8(t.ICMPType) == p.ICMPType) && (t.ICMPCode < 0 || uint8(t.ICMPCode) == p.ICMPCode)
	}
	return true
}

// allPorts reports whether the rule covers every port of the protocol.
func (t *Traffic) allPorts(proto uint8) bool {
	return t.Protocol < 0 || uint8(t.Protocol) == proto && t.FromPort == 0 && t.ToPort == 65535
}
