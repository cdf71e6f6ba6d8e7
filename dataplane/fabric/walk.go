package fabric

import (
	"net/netip"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// The largest IP packets, in bytes, within a VPC and across its gateways (EC2 user guide, network MTU; VPC user guide, NAT gateways).
const (
	VPCMTU             = 9001
	NATGatewayMTU      = 8500
	InternetGatewayMTU = 1500
)

// Walk carries one packet through the network as AWS would and writes what happened to path. It starts at the attachment that
// sent the packet and ends where the packet is delivered or dropped.
func (n *Network) Walk(p Packet, from *Attachment, state State, path *Path) {
	w := n.begin(p, state, path)
	w.sender = from.ENI
	w.hop(Hop{Kind: HopSend, Where: from.Name()})
	switch {
	case from.Host != nil:
		w.domain(InternetDomain, n.Internet.Generation)
		w.leaveHost(from.Host)
	case p.Length > VPCMTU:
		w.drop(Hop{Kind: HopSend, Where: from.Name()}, flow.MTUExceeded)
	default:
		w.domain(from.ENI.Subnet.VPC.Index, from.ENI.Subnet.VPC.Generation)
		w.leave(from.ENI)
	}
	w.finish(&p)
}

// begin makes a path ready for a walk.
func (n *Network) begin(p Packet, state State, path *Path) *walk {
	path.numHops, path.numTaps = 0, 0
	path.Verdict, path.Reason, path.Out, path.MTU, path.MSS, path.Family = 0, flow.None, 0, VPCMTU, 0, 0
	path.Domains, path.Gateway = [2]flow.Domain{}, nil
	path.walk = walk{net: n, packet: p, state: state, path: path}
	return &path.walk
}

// finish writes what became of the packet.
func (w *walk) finish(sent *Packet) {
	path := w.path
	path.Tuple = w.packet.Tuple
	path.Rewrite = rewriteBetween(sent.Tuple, w.packet.Tuple)
	path.Rewrite.Hops = sent.TTL - w.packet.TTL
	path.Quote = rewriteBetween(sent.Quoted, w.packet.Quoted)
	*w = walk{}
}

// WalkFromRouter carries a packet that the VPC's router itself sends to an interface: an ICMP error about what the interface sent.
// The subnet's ACL and the interface's groups judge it.
func (n *Network) WalkFromRouter(p Packet, to *ENI, state State, path *Path) {
	w := n.begin(p, state, path)
	w.hop(Hop{Kind: HopSend, Where: "router"})
	w.domain(to.Subnet.VPC.Index, to.Subnet.VPC.Generation)
	w.arrive(to, true)
	w.finish(&p)
}

// Refuse writes the path of a packet that is dropped where it was sent, before any rule.
func (n *Network) Refuse(t flow.Tuple, from *Attachment, r flow.Reason, path *Path) {
	*path = Path{Tuple: t}
	w := walk{net: n, packet: Packet{Tuple: t}, path: path}
	w.drop(Hop{Kind: HopSend, Where: from.Name()}, r)
}

// walk is one packet on its way. Its stages either end the path or call the next stage.
type walk struct {
	net    *Network
	packet Packet // as it is now, after the translations so far
	state  State
	path   *Path
	sender *ENI // who really sent it; nil for an internet host
	passed int  // gateways
	grown  int  // bytes that the packet is longer than it was sent: NAT64 exchanges its IP header
}

func (w *walk) src() netip.Addr { return w.packet.Tuple.SrcAddr() }
func (w *walk) dst() netip.Addr { return w.packet.Tuple.DstAddr() }

func (w *walk) hop(h Hop) {
	if w.path.numHops == maxHops {
		return
	}
	h.Tuple = w.packet.Tuple
	w.path.hops[w.path.numHops] = h
	w.path.numHops++
}

// drop ends the path at a hop.
func (w *walk) drop(h Hop, r flow.Reason) {
	h.Reason = r
	w.hop(h)
	w.path.Verdict, w.path.Reason = flow.Drop, r
}

func (w *walk) deliver(where string, attachment uint32) {
	w.hop(Hop{Kind: HopDeliver, Where: where})
	w.path.Verdict, w.path.Out = flow.Deliver, attachment
}

func (w *walk) tap(e *ENI, d Direction, accept bool, note Note) *Tap {
	if w.path.numTaps == maxTaps {
		return &Tap{}
	}
	t := &w.path.taps[w.path.numTaps]
	*t = Tap{ENI: e, Direction: d, Tuple: w.packet.Tuple, Accept: accept, Note: note}
	w.path.numTaps++
	return t
}

// domain remembers on whose revision the path depends: that of the VPC where it began and that of the one where it ended.
func (w *walk) domain(index, generation uint32) {
	d := flow.Domain{Index: index, Generation: generation}
	if w.path.numHops <= 1 {
		w.path.Domains = [2]flow.Domain{d, d}
		return
	}
	w.path.Domains[1] = d
}

// leave is a packet that goes out of an interface: services, source check, groups, then its own subnet or the router.
func (w *walk) leave(e *ENI) {
	if e.NAT != nil {
		w.depart(e, NothingNew)
		return
	}
	if w.toService(e.Subnet) {
		w.drop(Hop{Kind: HopService, Where: e.Name}, flow.ServiceUnavailable)
		return
	}
	if !validSource(w.src()) {
		w.drop(Hop{Kind: HopSourceCheck, Where: e.Name}, flow.InvalidSource)
		return
	}
	if e.SourceDestCheck && !e.Owns(w.src()) {
		w.drop(Hop{Kind: HopSourceCheck, Where: e.Name}, flow.SourceDestCheck)
		return
	}
	note, ok := w.groups(e, Egress)
	if !ok {
		w.tap(e, Egress, false, NothingNew)
		return
	}
	w.depart(e, note)
}

// depart is a packet that its interface let go: its own subnet at layer 2, or the ACL and the router. A NAT gateway departs here,
// too.
func (w *walk) depart(e *ENI, note Note) {
	if e.Subnet.Contains(w.dst()) {
		w.tap(e, Egress, true, note).TrafficPath = PathSameVPC
		w.sameSubnet(e)
		return
	}
	ok := w.acl(e, Egress)
	tap := w.tap(e, Egress, ok, note)
	if ok {
		w.route(e, tap)
	}
}

// toService reports whether the destination is answered by the VPC itself: link-local services, the resolver, the router.
func (w *walk) toService(s *Subnet) bool {
	dst := w.dst()
	return dst.IsLinkLocalUnicast() || vpcServices6.Contains(dst) || dst == s.VPC.Resolver || dst == s.Router4
}

// vpcServices6 is the IPv6 space of the instance metadata, time and DNS services; no route reaches into it (VPC user guide,
// subnet route tables).
var vpcServices6 = netip.MustParsePrefix("fd00:ec2::/32")

func validSource(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// sameSubnet delivers at layer 2: no ACL, no route table.
func (w *walk) sameSubnet(e *ENI) {
	d := e.Subnet.VPC.ENIs[w.dst()]
	if d == nil {
		w.drop(Hop{Kind: HopRoute, Where: e.Name, Subnet: e.Subnet}, flow.UnknownDestination)
		return
	}
	w.arrive(d, false)
}

// route asks the subnet's route table; tap is the packet's departure.
func (w *walk) route(e *ENI, tap *Tap) {
	s := e.Subnet
	hop := Hop{Kind: HopRoute, Where: e.Name, Subnet: s}
	r, ok := s.Routes.Routes.Lookup(w.dst())
	if !ok {
		w.drop(hop, flow.NoRoute)
		return
	}
	hop.Route = r
	switch r.Kind {
	case ToLocal:
		tap.TrafficPath = PathSameVPC
		d := s.VPC.ENIs[w.dst()]
		if d == nil {
			w.drop(hop, flow.UnknownDestination)
			return
		}
		w.hop(hop)
		w.arrive(d, d.Subnet != s)
	case ToENI:
		tap.TrafficPath = PathSameVPC
		w.hop(hop)
		w.arrive(r.ENI, r.ENI.Subnet != s)
	case ToNATGateway:
		tap.TrafficPath = PathSameVPC
		tap.track()
		w.hop(hop)
		w.translate(r.ENI, r.ENI.Subnet != s)
	case ToEgressOnly:
		tap.TrafficPath = PathInternetGateway
		tap.track()
		w.hop(hop)
		w.egressOnly(s.VPC)
	case ToInternetGateway:
		tap.TrafficPath = PathInternetGateway
		w.hop(hop)
		w.leaveVPC(s.VPC)
	default:
		w.drop(hop, flow.BlackholeRoute)
	}
}

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

// translate is a NAT gateway for what comes from inside: into its subnet, another source, and out again under its own subnet's ACL
// and route table (VPC user guide, NAT gateways).
func (w *walk) translate(g *ENI, crossed bool) {
	if crossed && !w.acl(g, Ingress) {
		w.tap(g, Ingress, false, NothingNew)
		return
	}
	hop := Hop{Kind: HopNAT, Where: g.Name}
	if !w.routed(g, hop) {
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
	w.path.MSS = natMSS
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
	w.path.MSS = natMSS
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
		w.depart(g, NothingNew)
	}
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

// arrive is a packet that reaches an interface: the ACL if it crossed into the subnet, destination check, groups, delivery.
func (w *walk) arrive(e *ENI, crossed bool) {
	if crossed && !w.acl(e, Ingress) {
		w.tap(e, Ingress, false, NothingNew)
		return
	}
	if e.NAT != nil {
		w.restore(e)
		return
	}
	if e.SourceDestCheck && !e.Owns(w.dst()) {
		w.drop(Hop{Kind: HopDestCheck, Where: e.Name}, flow.SourceDestCheck)
		return
	}
	note, ok := w.groups(e, Ingress)
	w.tap(e, Ingress, ok, note)
	if ok {
		w.deliver(e.Name, e.Attachment)
	}
}

func rewriteBetween(before, after flow.Tuple) flow.Rewrite {
	var r flow.Rewrite
	if before.Family != after.Family {
		return flow.Rewrite{Src: after.SrcAddr(), Dst: after.DstAddr(), SrcPort: after.SrcPort, DstPort: after.DstPort}
	}
	if before.Src != after.Src {
		r.Src = after.SrcAddr()
	}
	if before.Dst != after.Dst {
		r.Dst = after.DstAddr()
	}
	if before.SrcPort != after.SrcPort {
		r.SrcPort = after.SrcPort
	}
	if before.DstPort != after.DstPort {
		r.DstPort = after.DstPort
	}
	return r
}
