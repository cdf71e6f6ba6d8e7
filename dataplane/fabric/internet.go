package fabric

import (
	"net/netip"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// leaveVPC is the internet gateway on the way out: IPv4 sources become public, one to one; IPv6 passes as it is (VPC user guide,
// internet gateways).
func (w *walk) leaveVPC(v *VPC) {
	hop := Hop{Kind: HopIGWOut}
	if w.redirected(v, w.src()) {
		w.drop(hop, flow.IngressRedirection)
		return
	}
	owner := v.ENIs[w.src()]
	if w.packet.Tuple.Family == 6 {
		if owner == nil {
			w.drop(hop, flow.GatewaySpoofed)
			return
		}
	} else {
		var public netip.Addr
		if owner != nil {
			public = owner.Public[w.src()]
		}
		dst := w.dst()
		switch {
		case !public.IsValid():
			w.drop(hop, flow.IGWNoPublicIPEgress)
			return
		case privateRFC1918(dst):
			w.drop(hop, flow.IGWDestinationRFC1918)
			return
		case rfc6598.Contains(dst):
			w.drop(hop, flow.IGWDestinationRFC6598)
			return
		}
		w.publish(v, public)
	}
	if !w.fits(hop, InternetGatewayMTU) {
		return
	}
	w.hop(hop)
	w.internet(true)
}

// redirected reports whether the internet gateway's route table sends what comes for an address to another interface than the one that
// sends the packet: then connections would pass the appliance one way only, which AWS refuses.
func (w *walk) redirected(v *VPC, a netip.Addr) bool {
	if v.EdgeRoutes == nil {
		return false
	}
	r, ok := v.EdgeRoutes.Routes.Lookup(a)
	return ok && r.Kind == ToENI && r.ENI != w.sender
}

// fits notes a gateway's MTU, for the packet as it was sent, and drops what is larger and may not be cut.
func (w *walk) fits(hop Hop, mtu uint16) bool {
	limit := uint16(int(mtu) - w.grown)
	w.path.MTU = min(w.path.MTU, limit)
	if w.packet.Length > int(limit) && !w.packet.MayFragment {
		w.drop(hop, flow.MTUExceeded)
		return false
	}
	return true
}

// egressOnly is the egress-only internet gateway on the way out: it remembers the connection and changes nothing.
func (w *walk) egressOnly(v *VPC) {
	hop := Hop{Kind: HopEIGW}
	switch {
	case w.packet.Tuple.Family != 6:
		w.drop(hop, flow.EIGWFamily)
		return
	case v.ENIs[w.src()] == nil:
		w.drop(hop, flow.GatewaySpoofed)
		return
	}
	if !w.fits(hop, InternetGatewayMTU) {
		return
	}
	w.tap(v.EgressOnly, Egress, true, w.begun())
	w.hop(hop)
	w.internet(true)
}

// publish gives the packet its public source. An ICMP error quotes a packet that went the other way, whose destination becomes public too.
func (w *walk) publish(v *VPC, public netip.Addr) {
	w.packet.Tuple.Src = public.As16()
	if !w.packet.Error {
		return
	}
	target := w.packet.Quoted.DstAddr()
	if owner := v.ENIs[target]; owner != nil && owner.Public[target].IsValid() {
		w.packet.Quoted.Dst = owner.Public[target].As16()
	}
}

// unpublish gives the packet its private destination, and the packet quoted by an ICMP error its private source.
func (w *walk) unpublish(v *VPC, private netip.Addr) {
	w.packet.Tuple.Dst = private.As16()
	if !w.packet.Error {
		return
	}
	if origin, ok := w.net.Internet.Public[w.packet.Quoted.SrcAddr()]; ok && origin.ENI.Subnet.VPC == v {
		w.packet.Quoted.Src = origin.Private.As16()
	}
}

// internet finds who has the packet's public destination: a host, or an interface behind an internet gateway.
func (w *walk) internet(fromVPC bool) {
	net := &w.net.Internet
	dst := w.dst()
	if host := net.Hosts[dst]; host != nil {
		w.domain(InternetDomain, net.Generation)
		w.deliver(host.Name, host.Attachment)
		return
	}
	if public, ok := net.Public[dst]; ok {
		w.enterVPC(public.ENI, public.Private)
		return
	}
	if v, ok := net.IPv6.Lookup(dst); ok {
		if e := v.ENIs[dst]; e != nil {
			w.enterVPC(e, dst)
			return
		}
	}
	if p := net.Portals[dst]; p != nil {
		w.askPublic(p)
		return
	}
	reason := flow.UnknownDestination
	if net.Elastic[dst] || net.Pool.Contains(dst) {
		reason = flow.IGWNoPrivateIPIngress
	}
	if fromVPC || reason == flow.UnknownDestination {
		w.drop(Hop{Kind: HopInternet}, reason)
		return
	}
	w.drop(Hop{Kind: HopIGWIn}, reason)
}

// enterVPC is the gateway on the way in: the internet gateway needs no route, only the mapping; an egress-only gateway lets answers in.
func (w *walk) enterVPC(e *ENI, private netip.Addr) {
	v := e.Subnet.VPC
	w.domain(v.Index, v.Generation)
	hop := Hop{Kind: HopIGWIn}
	switch src := w.src(); {
	case privateRFC1918(src):
		w.drop(hop, flow.IGWSourceRFC1918)
		return
	case rfc6598.Contains(src):
		w.drop(hop, flow.IGWSourceRFC6598)
		return
	case e.Portals != nil:
		w.drop(hop, flow.VPCEDeniesIGW)
		return
	case w.packet.Tuple.Family == 6 && w.backByEgressOnly(e):
		w.answered(e)
		return
	}
	if !w.fits(hop, InternetGatewayMTU) {
		return
	}
	w.hop(hop)
	if w.dst() != private {
		w.unpublish(v, private)
	}
	w.edge(e)
}

// backByEgressOnly reports whether an IPv6 packet from the internet meets the egress-only gateway: that is where the subnet's route back
// to its source leads, or the VPC has no other gateway. AWS does not document a subnet with both; this is the choice that
// makes the route table decide.
func (w *walk) backByEgressOnly(e *ENI) bool {
	v := e.Subnet.VPC
	if v.EgressOnly == nil || !v.HasIGW {
		return v.EgressOnly != nil
	}
	r, ok := e.Subnet.Routes.Routes.Lookup(w.src())
	return ok && r.Kind == ToEgressOnly
}

// answered is the egress-only gateway on the way in.
func (w *walk) answered(e *ENI) {
	hop := Hop{Kind: HopEIGW}
	gateway := e.Subnet.VPC.EgressOnly
	if w.state.Recall(gateway, Ingress, &w.packet) == Unknown {
		w.drop(hop, flow.EIGWInbound)
		return
	}
	if !w.fits(hop, InternetGatewayMTU) {
		return
	}
	w.tap(gateway, Ingress, true, NothingNew)
	w.hop(hop)
	w.arrive(e, true)
}

// edge is the internet gateway's own route table: it may lead to an appliance first (VPC user guide, gateway route tables).
func (w *walk) edge(e *ENI) {
	table := e.Subnet.VPC.EdgeRoutes
	if table == nil {
		w.arrive(e, true)
		return
	}
	r, ok := table.Routes.Lookup(w.dst())
	if !ok || r.Kind != ToENI {
		w.arrive(e, true)
		return
	}
	hop := Hop{Kind: HopIGWIn, Route: r}
	if w.packet.Tuple.Family == 4 && len(r.ENI.Public) == 0 {
		w.drop(hop, flow.IngressNoPublicIP)
		return
	}
	w.hop(hop)
	w.arrive(r.ENI, true)
}

// leaveHost is a packet of an internet host. Providers filter forged sources (RFC 2827).
func (w *walk) leaveHost(h *Host) {
	for _, a := range h.Addrs {
		if a == w.src() {
			w.internet(false)
			return
		}
	}
	hop := Hop{Kind: HopSourceCheck, Where: h.Name}
	switch src := w.src(); {
	case !validSource(src):
		w.drop(hop, flow.InvalidSource)
	case privateRFC1918(src):
		w.drop(Hop{Kind: HopIGWIn}, flow.IGWSourceRFC1918)
	case rfc6598.Contains(src):
		w.drop(Hop{Kind: HopIGWIn}, flow.IGWSourceRFC6598)
	default:
		w.drop(hop, flow.GatewaySpoofed)
	}
}
