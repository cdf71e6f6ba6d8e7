package fabric

import (
	"net/netip"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// maxGateways bounds how many gateways a packet passes: more is a circle.
const maxGateways = 4

// routed is a gateway that counts as a hop: it lowers the TTL, so that traceroute shows it, and it may be passed only so often.
func (w *walk) routed(g *ENI, hop Hop) bool {
	w.passed++
	switch {
	case w.passed > maxGateways:
		w.drop(hop, flow.RouteLoop)
	case w.packet.TTL <= 1:
		w.path.Gateway = g
		w.drop(hop, flow.TTLExpired)
	default:
		w.packet.TTL--
		return true
	}
	return false
}

// natMSS is the largest TCP payload of a packet that crosses a NAT gateway, which lowers the MSS of SYNs to it.
const natMSS = NATGatewayMTU - 20 - 20

// clampMSS lowers the MSS of the packet's connection to mss bytes, if nobody did so further.
func (w *walk) clampMSS(mss int) {
	if w.packet.Tuple.Protocol == flow.TCP && (w.path.MSS == 0 || mss < int(w.path.MSS)) {
		w.path.MSS = uint16(mss)
	}
}

// translate is a NAT gateway for what comes from inside: into its subnet, another source, and out again under its own subnet's ACL
// and route table (VPC user guide, NAT gateways).
func (w *walk) translate(g *ENI, crossed bool) {
	if crossed && !w.acl(g, Ingress) {
		w.tap(g, Ingress, false, NothingNew)
		return
	}
	hop := Hop{Kind: HopNAT, Where: g.Name}
	if !w.routed(g, hop) {
		w.tap(g, Ingress, true, NothingNew).Passed = false // it came in, and is no packet of the connection
		return
	}
	reason := w.admit(g)
	var to netip.AddrPort
	if reason == flow.None {
		to, reason = w.state.Translate(g, &w.packet)
	}
	if reason != flow.None {
		w.tap(g, Ingress, true, NothingNew)
		w.path.Gateway = g
		w.drop(hop, reason)
		return
	}
	w.tap(g, Ingress, true, w.begun())
	w.clampMSS(natMSS)
	if w.packet.Tuple.Family == 6 {
		w.toIPv4()
	}
	if w.packet.Error {
		w.packet.Tuple.Src = to.Addr().As16()
		setDestination(&w.packet.Quoted, to)
	} else {
		setSource(&w.packet.Tuple, to)
	}
	if w.fits(hop, NATGatewayMTU) {
		w.hop(hop)
		w.sender = g
		w.depart(g, NothingNew)
	}
}

// setSource gives a packet another sending end; an ICMP echo's identifier is its sender's port, whichever way it goes.
func setSource(t *flow.Tuple, to netip.AddrPort) {
	t.Src, t.SrcPort = to.Addr().As16(), to.Port()
}

func setDestination(t *flow.Tuple, to netip.AddrPort) {
	t.Dst = to.Addr().As16()
	if t.Protocol == flow.ICMP || t.Protocol == flow.ICMPv6 {
		t.SrcPort = to.Port()
		return
	}
	t.DstPort = to.Port()
}

// begun is what a gateway notes of a packet that it lets out: an ICMP error begins nothing.
func (w *walk) begun() Note {
	if w.packet.Error {
		return NothingNew
	}
	return BeginTracked
}

// admit is what a NAT gateway carries: TCP, UDP, and ICMP echo and errors, from interfaces of its VPC.
func (w *walk) admit(g *ENI) flow.Reason {
	t := &w.packet.Tuple
	switch {
	case w.packet.Fragment && t.Protocol != flow.UDP:
		return flow.NATFragment
	case w.sender == nil || w.sender.Subnet.VPC != g.Subnet.VPC || g.Subnet.VPC.ENIs[w.src()] == nil:
		return flow.NATSourceNotInVPC
	case t.Family == 6 && !NAT64Prefix.Contains(w.dst()):
		return flow.NATProtocol
	case t.Protocol == flow.TCP, t.Protocol == flow.UDP, w.packet.Error, t.ICMPEcho():
		return flow.None
	}
	return flow.NATProtocol
}

// restore is a NAT gateway for what came to its own address: only answers find their way in.
func (w *walk) restore(g *ENI) {
	w.tap(g, Ingress, true, NothingNew)
	hop := Hop{Kind: HopNAT, Where: g.Name}
	if !w.routed(g, hop) {
		return
	}
	to, ok := w.state.Restore(g, &w.packet)
	switch {
	case !ok:
		w.drop(hop, flow.NATInbound)
		return
	case w.packet.Fragment && w.packet.Tuple.Protocol != flow.UDP:
		w.drop(hop, flow.NATFragment)
		return
	}
	w.clampMSS(natMSS)
	if to.Addr().Is6() {
		w.toIPv6()
	}
	if w.packet.Error {
		w.packet.Tuple.Dst = to.Addr().As16()
		setSource(&w.packet.Quoted, to)
	} else {
		setDestination(&w.packet.Tuple, to)
	}
	if w.fits(hop, NATGatewayMTU) {
		w.hop(hop)
		w.sender = g
		w.depart(g, NothingNew)
	}
}
