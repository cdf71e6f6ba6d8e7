package reference

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// Model is a lab and what its places remember.
type Model struct {
	lab          *Lab
	now          time.Duration // lab time
	connections  []*connection
	translations []*translation
	unseen       int // the last stand-in given for a port that nobody has seen
}

// New is a model of a lab in which nothing has happened.
func New(l *Lab) *Model { return &Model{lab: l, unseen: 1 << 16} }

// Outcome is what becomes of a packet: it arrives, changed, at an attachment, or is dropped for a reason.
type Outcome struct {
	To     uint32
	Packet Packet
	Cut    bool // it arrives in pieces
	Reason flow.Reason
	Reset  uint32 // who receives the RST of a NAT gateway that has dropped it
	Fault  string // what a NAT gateway must not choose
}

// String reads "to #3: tcp A 10.0.0.5:999 > 10.0.1.9:443".
func (o Outcome) String() string {
	switch {
	case o.Reset != noAttachment:
		return fmt.Sprintf("%v, RST to #%d", o.Reason, o.Reset)
	case o.Reason != flow.None:
		return o.Reason.String()
	case o.Cut:
		return fmt.Sprintf("in pieces to #%d: %v", o.To, &o.Packet)
	}
	return fmt.Sprintf("to #%d: %v", o.To, &o.Packet)
}

// Pass lets real time pass.
func (m *Model) Pass(d time.Duration) { m.Advance(d * time.Duration(m.lab.Rate)) }

// Advance moves the lab's clock.
func (m *Model) Advance(d time.Duration) { m.now += d }

// Change puts another description of the lab into force. Connections that AWS does not track are judged anew: where the rules no longer
// leave them untracked, they are tracked from now on.
func (m *Model) Change(l *Lab) {
	m.lab = l
	m.connections = slices.DeleteFunc(m.connections, func(c *connection) bool { return !m.alive(c) || !l.exists(c.place) })
	m.translations = slices.DeleteFunc(m.translations, func(t *translation) bool { return !m.alive(&t.connection) || !l.exists(t.place) })
	for _, c := range m.connections {
		_, n := l.nic(c.place)
		if c.tracked || n == nil {
			continue
		}
		w := &walk{m: m, p: c.began}
		w.vpc, w.sender = l.nic(c.sender)
		if w.admitted(n, c.first) && !w.openBothWays(n, c.first) {
			c.tracked = true
		}
	}
}

func (l *Lab) exists(place uint32) bool {
	for _, v := range l.VPCs {
		if v.EIGW == place {
			return true
		}
	}
	_, n := l.nic(place)
	return n != nil
}

// alive reports whether a connection has not been idle for too long.
func (m *Model) alive(c *connection) bool { return m.now-c.last <= c.limit() }

// find is what a place remembers of the connection of a packet that passes it.
func (m *Model) find(place uint32, d direction, p *Packet) *connection {
	e := endsOf(p, d)
	for _, c := range m.connections {
		if c.place == place && c.ends == e && m.alive(c) {
			return c
		}
	}
	return nil
}

// known is the same, unless the packet begins another connection on the same addresses and ports: a SYN belongs to a connection only while
// that opens (also to one that both sides open at once, RFC 9293).
func (m *Model) known(place uint32, d direction, p *Packet) *connection {
	c := m.find(place, d, p)
	if c != nil && p.opens() && c.state() != opening {
		return nil
	}
	return c
}

// begin remembers a connection from its first packet on.
func (m *Model) begin(place uint32, d direction, p *Packet, tracked bool) *connection {
	c := &connection{place: place, ends: endsOf(p, d), first: d, tracked: tracked, began: *p, limits: groupLimits(p.Protocol)}
	m.connections = slices.DeleteFunc(m.connections, func(old *connection) bool { return old.place == place && old.ends == c.ends })
	m.connections = append(m.connections, c)
	return c
}

// Send is one packet's way from the attachment that sends it. chosen is the port, or the echo identifier, that a NAT gateway may have given it:
// that is the gateway's own choice, to be seen where the packet arrives; 0 if it does not arrive.
func (m *Model) Send(from uint32, p Packet, chosen int) Outcome {
	w := &walk{m: m, p: p, sent: p, chosen: chosen}
	if h := m.lab.host(from); h != nil {
		w.leaveHost(h)
	} else if w.vpc, w.sender = m.lab.nic(from); w.sender != nil {
		w.leave(w.sender)
	} else {
		w.drop(flow.UnknownDestination)
	}
	if w.out.Reason != flow.None {
		// A translation that no packet got through begins when one does.
		m.translations = slices.DeleteFunc(m.translations, func(t *translation) bool { return slices.Contains(w.translated, t) })
	}
	return w.out
}

// walk is one packet on its way. A stage either ends it or calls the next.
type walk struct {
	m          *Model
	p, sent    Packet         // as it is by now, and as it was
	vpc        *VPC           // where it is
	sender     *NIC           // who really sent it; nil for a host, and behind a gateway
	mtu        int            // below the packet's size: it arrives in pieces
	passed     int            // NAT gateways
	latest     *connection    // of the groups that the packet passed last, if it went the way of the connection's first one
	translated []*translation // begun
	chosen     int
	out        Outcome
}

func (w *walk) drop(r flow.Reason) { w.out = Outcome{Reason: r} }

func (w *walk) deliver(to uint32) {
	w.out = Outcome{To: to, Packet: w.p, Cut: w.mtu > 0 && w.p.Size > w.mtu, Fault: w.out.Fault}
}

var (
	linkLocal4 = netip.MustParsePrefix("169.254.0.0/16")
	linkLocal6 = netip.MustParsePrefix("fe80::/10")
	services6  = netip.MustParsePrefix("fd00:ec2::/32")
	shared     = netip.MustParsePrefix("100.64.0.0/10")
)

// leave is a packet that goes out of an instance's interface.
func (w *walk) leave(n *NIC) {
	switch s := w.vpc.Subnets[n.Subnet]; {
	case w.service(s):
		w.drop(flow.ServiceUnavailable)
	case n.Check && !n.owns(w.p.Src):
		w.drop(flow.SourceDestCheck)
	case !w.groups(n, egress):
	default:
		w.depart(n)
	}
}

// service reports whether the VPC itself answers the destination: link-local services, the resolver, the router.
func (w *walk) service(s *Subnet) bool {
	d := w.p.Dst
	return linkLocal4.Contains(d) || linkLocal6.Contains(d) || services6.Contains(d) || d == s.V4.Addr().Next() ||
		d == w.vpc.CIDRs[0].Addr().Next().Next()
}

// depart is a packet that its interface let go: at layer 2 within the subnet, else past the ACL to the subnet's router.
func (w *walk) depart(n *NIC) {
	s := w.vpc.Subnets[n.Subnet]
	if s.contains(w.p.Dst) {
		w.toOwner(n)
		return
	}
	if !w.acl(w.vpc.ACLs[s.ACL].Egress, w.p.Dst) {
		w.drop(flow.ACLRestriction)
		return
	}
	w.route(n, s)
}

// toOwner delivers to whom the VPC's private destination belongs.
func (w *walk) toOwner(from *NIC) {
	to := w.vpc.byAddr(w.p.Dst)
	if to == nil {
		w.drop(flow.UnknownDestination)
		return
	}
	w.arrive(to, from == nil || from.Subnet != to.Subnet)
}

// route asks the subnet's route table.
func (w *walk) route(n *NIC, s *Subnet) {
	r, ok := longest(s.Routes, w.p.Dst)
	if !ok {
		w.drop(flow.NoRoute)
		return
	}
	switch r.Kind {
	case Local:
		w.toOwner(n)
	case ToIGW:
		w.leaveByIGW(n)
	case ToEIGW:
		w.track()
		w.leaveByEIGW()
	case ToBlackhole:
		w.drop(flow.BlackholeRoute)
	case ToNIC:
		_, to := w.m.lab.nic(r.NIC)
		w.arrive(to, to.Subnet != n.Subnet)
	case ToNAT:
		w.track()
		_, gateway := w.m.lab.nic(r.NIC)
		if gateway.Subnet != n.Subnet && !w.acl(w.vpc.ACLs[w.vpc.Subnets[gateway.Subnet].ACL].Ingress, w.p.Src) {
			w.drop(flow.ACLRestriction)
			return
		}
		w.translate(gateway)
	}
}

// arrive is a packet that reaches an interface.
func (w *walk) arrive(n *NIC, crossed bool) {
	switch {
	case crossed && !w.acl(w.vpc.ACLs[w.vpc.Subnets[n.Subnet].ACL].Ingress, w.p.Src):
		w.drop(flow.ACLRestriction)
	case n.NAT:
		w.restore(n)
	case n.Check && !n.owns(w.p.Dst):
		w.drop(flow.SourceDestCheck)
	case w.groups(n, ingress):
		w.deliver(n.ID)
	}
}

// acl is a network ACL in one direction: the first entry that matches decides.
func (w *walk) acl(entries []Entry, far netip.Addr) bool {
	for _, e := range entries {
		if e.Peer.Contains(far) && e.Traffic.matches(&w.p) {
			return e.Allow
		}
	}
	return false
}

func (t Traffic) matches(p *Packet) bool {
	switch {
	case t.Protocol == -1:
		return true
	case t.Protocol != int(p.Protocol):
		return false
	case p.ports():
		port := p.DstPort
		if port > 65535 {
			port = 65535 // a gateway's choice is one of the high ports; labs here have no rule that divides those
		}
		return t.From <= port && port <= t.To
	case p.icmp():
		return (t.Type == -1 || t.Type == int(p.Type)) && (t.Code == -1 || t.Code == int(p.Code))
	}
	return true
}

// groups is an interface's security groups.
func (w *walk) groups(n *NIC, d direction) bool {
	w.latest = nil
	if w.p.Quote != nil {
		// An error belongs to the connection that it quotes, of which the quoted packet went the other way.
		if w.m.find(n.ID, d.opposite(), w.p.Quote) != nil {
			return true
		}
		if !w.admitted(n, d) {
			w.drop(flow.SGRulesMismatch)
			return false
		}
		return true
	}
	c := w.m.known(n.ID, d, &w.p)
	if c == nil || !c.tracked {
		if !w.admitted(n, d) {
			w.drop(flow.SGRulesMismatch)
			return false
		}
	}
	if c == nil {
		tracked := !w.openBothWays(n, d)
		if tracked && w.p.Protocol == tcp && !w.p.opens() {
			w.drop(flow.NoTrackedConnection)
			return false
		}
		c = w.m.begin(n.ID, d, &w.p, tracked)
		if w.sender != nil {
			c.sender = w.sender.ID
		}
	}
	c.see(&w.p, d, w.m.now)
	if d == c.first {
		w.latest = c
	}
	return true
}

// rules are those of all groups of an interface in one direction.
func (w *walk) rules(n *NIC, d direction) []Rule {
	var rules []Rule
	v, _ := w.m.lab.nic(n.ID)
	for _, g := range n.Groups {
		if d == egress {
			rules = append(rules, v.Groups[g].Egress...)
		} else {
			rules = append(rules, v.Groups[g].Ingress...)
		}
	}
	return rules
}

// admitted reports whether a rule of the interface's groups lets the packet pass.
func (w *walk) admitted(n *NIC, d direction) bool {
	far := w.p.Dst
	if d == ingress {
		far = w.p.Src
	}
	for _, r := range w.rules(n, d) {
		if !r.Traffic.matches(&w.p) {
			continue
		}
		if r.Peer.IsValid() {
			if r.Peer.Contains(far) {
				return true
			}
			continue
		}
		// A reference stands for the private addresses of the group's interfaces. A packet that comes in must have been sent by one
		// of them: behind appliances and gateways nobody knows who it was.
		peer := w.sender
		if d == egress {
			peer = w.vpc.byAddr(far)
		}
		if peer != nil && peer.owns(far) && slices.Contains(peer.Groups, r.Group) {
			return true
		}
	}
	return false
}

// openBothWays reports whether AWS would not track the packet's connection: TCP or UDP that a rule lets everybody begin, where another
// lets all ports flow back to everybody.
func (w *walk) openBothWays(n *NIC, d direction) bool {
	if !w.p.ports() {
		return false
	}
	everybody := everybody4
	if w.p.Src.Is6() {
		everybody = everybody6
	}
	all := netip.MustParsePrefix(everybody)
	forward := func(r Rule) bool { return r.Peer == all && r.Traffic.matches(&w.p) }
	back := func(r Rule) bool {
		t := r.Traffic
		return r.Peer == all && (t.Protocol == -1 || t.Protocol == int(w.p.Protocol) && t.From == 0 && t.To == 65535)
	}
	return slices.ContainsFunc(w.rules(n, d), forward) && slices.ContainsFunc(w.rules(n, d.opposite()), back)
}
