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
	if from.Peering == nil {
		w.hop(Hop{Kind: HopSend, Where: from.Name()})
	}
	switch {
	case from.Peering != nil:
		w.leaveLink(from.Peering)
	case from.Services != nil:
		w.leaveServices(from.Services)
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
	path.Domains, path.Gateway, path.NoPMTUD = [2]flow.Domain{}, nil, false
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
	sender *ENI // who really sent it, or the NAT gateway that did in its name; nil for an internet host
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

// drop ends the path at a hop, which knows who was asked or has it found out.
func (w *walk) drop(h Hop, r flow.Reason) {
	h.Reason = r
	if h.Asked == nil {
		h.Asked = w.asked(h.Subnet)
	}
	if h.Kind == HopSend {
		w.path.numHops = 0 // one station, told once
	}
	w.hop(h)
	w.path.Verdict, w.path.Reason = flow.Drop, r
}

// asked is the service that the packet is for: by an interface endpoint of the subnet's VPC, or at a public address; nil if there is none.
func (w *walk) asked(s *Subnet) *Portal {
	if s != nil {
		if e := s.VPC.ENIs[w.dst()]; e != nil && e.Portals[w.dst()] != nil && e.Portals[w.dst()].Kind == InterfacePortal {
			return e.Portals[w.dst()]
		}
	}
	return w.net.Internet.Portals[w.dst()]
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
	*t = Tap{ENI: e, Direction: d, Tuple: w.packet.Tuple, Accept: accept, Passed: accept, Note: note}
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
	switch {
	case e.NAT != nil:
		w.depart(e, NothingNew)
		return
	case e.Portals != nil: // the engine sends in its name
		w.depart(e, NothingNew)
		return
	case e.Subnet.Down:
		w.drop(Hop{Kind: HopSend, Where: e.Name}, flow.AZDown)
		return
	case w.toService(e.Subnet):
		w.askVPC(e)
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
	tap.Passed = true
	if ok {
		w.route(e, tap)
	}
}

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
	case ToPeering:
		tap.TrafficPath = r.Peering.trafficPath()
		w.hop(hop)
		w.crossPeering(r.Peering)
	case ToEndpoint:
		tap.TrafficPath = PathGatewayEndpoint
		if r.Endpoint.Tracked {
			tap.track()
		}
		w.hop(hop)
		w.askByGateway(r.Endpoint, s.VPC)
	case ToInternetGateway:
		tap.TrafficPath = PathInternetGateway
		w.hop(hop)
		w.leaveVPC(s.VPC)
	default:
		w.drop(hop, flow.BlackholeRoute)
	}
}

// arrive is a packet that reaches an interface: the ACL if it crossed into the subnet, destination check, groups, delivery.
func (w *walk) arrive(e *ENI, crossed bool) {
	if crossed && !w.acl(e, Ingress) {
		w.tap(e, Ingress, false, NothingNew)
		return
	}
	switch {
	case e.Subnet.Down:
		w.drop(Hop{Kind: HopDeliver, Where: e.Name}, flow.AZDown)
		return
	case e.NAT != nil:
		w.restore(e)
		return
	case e.Portals != nil:
		w.askByInterface(e)
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
