package reference

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// The largest packets, in bytes, that cross gateways (EC2 user guide, network MTU; VPC user guide, NAT gateways).
const (
	internetMTU = 1500
	natMTU      = 8500
)

// fits drops a packet that is larger than a gateway's MTU and may not be cut.
func (w *walk) fits(mtu int) bool {
	if w.mtu == 0 || mtu < w.mtu {
		w.mtu = mtu
	}
	if w.p.Size > mtu && !w.p.MayFragment {
		w.drop(flow.MTUExceeded)
		return false
	}
	return true
}

// leaveByIGW is the internet gateway on the way out.
func (w *walk) leaveByIGW(n *NIC) {
	_, public := w.vpc.public(w.p.Src)
	r, ok := longest(w.vpc.Edge, w.p.Src)
	switch four := w.p.Src.Is4(); {
	case ok && r.Kind == ToNIC && r.NIC != n.ID:
		w.drop(flow.IngressRedirection)
		return
	case !four && w.vpc.byAddr(w.p.Src) == nil:
		w.drop(flow.GatewaySpoofed)
		return
	case four && !public:
		w.drop(flow.IGWNoPublicIPEgress)
		return
	case four && w.p.Dst.IsPrivate():
		w.drop(flow.IGWDestinationRFC1918)
		return
	case four && shared.Contains(w.p.Dst):
		w.drop(flow.IGWDestinationRFC6598)
		return
	}
	if !w.fits(internetMTU) {
		return
	}
	if w.p.Src.Is4() {
		w.p.Src, _ = w.vpc.public(w.p.Src)
		if q := w.quote(); q != nil {
			if public, ok := w.vpc.public(q.Dst); ok {
				q.Dst = public
			}
		}
	}
	w.sender = nil
	w.internet()
}

// quote is the packet that an ICMP error quotes, in a copy to be changed.
func (w *walk) quote() *Packet {
	if w.p.Quote == nil {
		return nil
	}
	q := *w.p.Quote
	w.p.Quote = &q
	return &q
}

// leaveHost is a packet of a host of the internet.
func (w *walk) leaveHost(h *Host) {
	switch {
	case w.p.Src.Is4() && w.p.Src.IsPrivate():
		w.drop(flow.IGWSourceRFC1918)
	case shared.Contains(w.p.Src):
		w.drop(flow.IGWSourceRFC6598)
	case !slices.Contains(h.Addrs, w.p.Src):
		w.drop(flow.GatewaySpoofed)
	default:
		w.internet()
	}
}

// internet finds who has the public destination.
func (w *walk) internet() {
	for _, h := range w.m.lab.Hosts {
		if slices.Contains(h.Addrs, w.p.Dst) {
			w.deliver(h.ID)
			return
		}
	}
	if v, _, private := w.m.lab.byPublic(w.p.Dst); v != nil {
		w.vpc = v
		public := w.p.Dst
		w.p.Dst = private
		if q := w.quote(); q != nil && q.Src == public {
			q.Src = private
		}
		w.enter()
		return
	}
	if slices.Contains(w.m.lab.Unmapped, w.p.Dst) {
		w.drop(flow.IGWNoPrivateIPIngress)
		return
	}
	for _, v := range w.m.lab.VPCs {
		for _, c := range v.CIDRs {
			if c.Addr().Is6() && c.Contains(w.p.Dst) && (v.IGW || v.EIGW != noAttachment) {
				w.vpc = v
				w.enter()
				return
			}
		}
	}
	w.drop(flow.UnknownDestination)
}

// enter is the way in by a VPC's gateway, under the private destination.
func (w *walk) enter() {
	to := w.vpc.byAddr(w.p.Dst)
	if to == nil {
		w.drop(flow.UnknownDestination)
		return
	}
	if w.p.Dst.Is6() && w.byEIGW(to) {
		w.enterByEIGW(to)
		return
	}
	if !w.fits(internetMTU) {
		return
	}
	if r, ok := longest(w.vpc.Edge, w.p.Dst); ok && r.Kind == ToNIC {
		_, appliance := w.m.lab.nic(r.NIC)
		if w.p.Dst.Is4() && len(appliance.Public) == 0 {
			w.drop(flow.IngressNoPublicIP)
			return
		}
		w.arrive(appliance, true)
		return
	}
	w.arrive(to, true)
}

// byEIGW reports whether a packet from the internet meets the egress-only gateway: the subnet's route back leads there, or there is no
// other gateway.
func (w *walk) byEIGW(to *NIC) bool {
	if w.vpc.EIGW == noAttachment {
		return false
	}
	back, ok := longest(w.vpc.Subnets[to.Subnet].Routes, w.p.Src)
	return !w.vpc.IGW || ok && back.Kind == ToEIGW
}

// leaveByEIGW is the egress-only internet gateway on the way out.
func (w *walk) leaveByEIGW() {
	if w.p.Src.Is4() {
		w.drop(flow.EIGWFamily)
		return
	}
	if w.vpc.byAddr(w.p.Src) == nil {
		w.drop(flow.GatewaySpoofed)
		return
	}
	if !w.fits(internetMTU) {
		return
	}
	if w.p.Quote == nil {
		c := w.m.known(w.vpc.EIGW, egress, &w.p)
		if c == nil {
			c = w.m.begin(w.vpc.EIGW, egress, &w.p, true)
		}
		c.see(&w.p, egress, w.m.now)
	}
	w.sender = nil
	w.internet()
}

// enterByEIGW lets in what answers.
func (w *walk) enterByEIGW(to *NIC) {
	var c *connection
	if w.p.Quote != nil {
		c = w.m.find(w.vpc.EIGW, egress, w.p.Quote)
	} else {
		c = w.m.known(w.vpc.EIGW, ingress, &w.p)
	}
	if c == nil {
		w.drop(flow.EIGWInbound)
		return
	}
	if !w.fits(internetMTU) {
		return
	}
	if w.p.Quote == nil {
		c.see(&w.p, ingress, w.m.now)
	}
	w.arrive(to, true)
}

// track makes the packet's connection a tracked one where it leaves, whatever the rules: it is on its way to a gateway that remembers
// connections itself (EC2 user guide, automatically tracked connections). So is one that had been on another way before.
func (w *walk) track() {
	if w.latest != nil {
		w.latest.tracked = true
	}
}

// translation is a connection through a NAT gateway, as its inside knows it, with the end that its outside sees.
type translation struct {
	connection
	outside end
}

// sharesPort reports whether answers to two connections could not be told apart.
func (t *translation) sharesPort(o *translation) bool {
	return t.outside == o.outside && t.ends.protocol == o.ends.protocol && t.ends.remote == o.ends.remote && t.ends.destPort == o.ends.destPort
}

// end is an address with a port or an echo's identifier.
type end struct {
	addr netip.Addr
	port int
}

// local is the sending end of a packet, and remote the other; an echo has one identifier for both.
func (p *Packet) localEnd() end {
	if p.icmp() {
		return end{p.Src, p.ID}
	}
	return end{p.Src, p.SrcPort}
}

func (p *Packet) remoteEnd() end {
	if p.icmp() {
		return end{p.Dst, p.ID}
	}
	return end{p.Dst, p.DstPort}
}

func (p *Packet) setLocal(e end) {
	p.Src = e.addr
	if p.icmp() {
		p.ID = e.port
	} else {
		p.SrcPort = e.port
	}
}

func (p *Packet) setRemote(e end) {
	p.Dst = e.addr
	if p.icmp() {
		p.ID = e.port
	} else {
		p.DstPort = e.port
	}
}

// maxGateways is more than any way leads through that is no circle.
const maxGateways = 4

// hop is a NAT gateway as a router.
func (w *walk) hop() bool {
	if w.passed++; w.passed > maxGateways {
		w.drop(flow.RouteLoop)
		return false
	}
	if w.p.TTL <= 1 {
		w.drop(flow.TTLExpired)
		return false
	}
	w.p.TTL--
	return true
}

// translate is a NAT gateway for what comes from inside.
func (w *walk) translate(gateway *NIC) {
	if !w.hop() {
		return
	}
	switch {
	case w.vpc.byAddr(w.p.Src) == nil:
		w.drop(flow.NATSourceNotInVPC)
		return
	case !w.p.ports() && !w.p.Echo() && w.p.Quote == nil:
		w.drop(flow.NATProtocol)
		return
	}
	if q := w.quote(); q != nil {
		// The quoted packet had come in.
		t := w.translation(gateway, q, ingress)
		if t == nil {
			w.drop(flow.NATIdle)
			return
		}
		q.setRemote(t.outside)
		w.p.Src = t.outside.addr
	} else {
		t := w.translation(gateway, &w.p, egress)
		if t != nil && w.p.opens() && t.state() != opening {
			t = nil
		}
		if t == nil {
			if _, answer := w.p.asked(); answer || w.p.Protocol == tcp && !w.p.opens() {
				w.drop(flow.NATIdle)
				w.reset(gateway)
				return
			}
			t = w.beginTranslation(gateway, &w.p)
			w.translated = append(w.translated, t)
		}
		t.see(&w.p, egress, w.m.now)
		w.p.setLocal(t.outside)
	}
	w.sender = nil
	if w.fits(natMTU) {
		w.depart(gateway)
	}
}

// reset answers a packet of a TCP connection that the gateway has forgotten, as its sender knows it, under the gateway's own subnet's ACL and
// route table. A SYN-ACK answers what the gateway has never seen.
func (w *walk) reset(gateway *NIC) {
	if w.p.Protocol != tcp || w.p.Flags&(rst|syn) != 0 {
		return
	}
	p := w.sent.Answer()
	p.Flags, p.Size = rst, 40
	back := walk{m: w.m, p: p, sent: p, vpc: w.vpc, sender: gateway}
	back.depart(gateway)
	w.out.Reset = back.out.To
}

// translation finds the one that a packet belongs to, as the gateway's inside sees it pass.
func (w *walk) translation(gateway *NIC, p *Packet, d direction) *translation {
	e := endsOf(p, d)
	for _, t := range w.m.translations {
		if t.place == gateway.ID && t.ends == e && w.m.alive(&t.connection) {
			return t
		}
	}
	return nil
}

// beginTranslation gives the packet's connection a port: the one that the real gateway chose, which must be one of a NAT gateway's and in no
// other hands towards this destination, or a stand-in where nobody has seen it.
func (w *walk) beginTranslation(gateway *NIC, p *Packet) *translation {
	m := w.m
	for _, hidden := range w.translated {
		// The port that was seen is that of the last gateway on the way.
		m.unseen++
		hidden.outside.port = m.unseen
		p.setLocal(hidden.outside)
	}
	t := &translation{outside: end{gateway.Addrs[0], w.chosen}}
	t.connection = connection{place: gateway.ID, ends: endsOf(p, egress), tracked: true, began: *p, limits: natLimits}
	if w.chosen == 0 {
		m.unseen++
		t.outside.port = m.unseen
	} else if w.chosen < 1024 {
		w.out.Fault = fmt.Sprintf("NAT gateway #%d chose port %d", t.place, w.chosen)
	}
	m.translations = slices.DeleteFunc(m.translations, func(old *translation) bool {
		// Of a connection with a hidden end nobody can say that it is another one: the gateway in front may have used its port again.
		return old.place == t.place && old.ends == t.ends || old.sharesPort(t) && old.ends.localPort > 65535
	})
	for _, other := range m.translations {
		if other.sharesPort(t) && m.alive(&other.connection) {
			w.out.Fault = fmt.Sprintf("NAT gateway #%d has port %d towards %v in two hands", t.place, w.chosen, t.ends.remote)
		}
	}
	m.translations = append(m.translations, t)
	return t
}

// restore is a NAT gateway for what came to its own address: answers find their way in, and nothing else.
func (w *walk) restore(gateway *NIC) {
	if !w.hop() {
		return
	}
	for _, t := range w.m.translations {
		if t.place != gateway.ID || !w.m.alive(&t.connection) {
			continue
		}
		inside := end{t.ends.local, t.ends.localPort}
		if q := w.p.Quote; q != nil {
			if q.Protocol != t.ends.protocol || q.localEnd() != t.outside || q.Dst != t.ends.remote || q.ports() && q.DstPort != t.ends.destPort {
				continue
			}
			w.quote().setLocal(inside)
			w.p.Dst = inside.addr
		} else {
			seen := w.p
			seen.setRemote(inside)
			if w.p.remoteEnd() != t.outside || endsOf(&seen, ingress) != t.ends || w.p.opens() && t.state() != opening {
				continue
			}
			w.p = seen
			t.see(&w.p, ingress, w.m.now)
		}
		if !w.fits(natMTU) {
			return
		}
		w.sender = nil
		w.depart(gateway)
		return
	}
	w.drop(flow.NATInbound)
}

// Reveal tells the model the port behind a stand-in, which has come to light where a packet arrived on another way than through its gateway.
func (m *Model) Reveal(standIn, port int) {
	rename := func(p *int) {
		if *p == standIn {
			*p = port
		}
	}
	for _, t := range m.translations {
		rename(&t.outside.port)
		rename(&t.ends.localPort)
	}
	for _, c := range m.connections {
		rename(&c.ends.localPort)
		rename(&c.ends.destPort)
		rename(&c.began.SrcPort)
		rename(&c.began.DstPort)
		rename(&c.began.ID)
	}
}
