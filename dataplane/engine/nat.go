package engine

import (
	"net/netip"
	"slices"

	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// A NAT gateway's figures (VPC user guide, NAT gateway basics).
const (
	natPorts          = 65536 - fabric.FirstNATPort
	natConnections    = 55000 // at a time, for each address and destination
	natIdleSeconds    = 350
	natClosingSeconds = 10
)

// translation is one connection through a NAT gateway. Its track says how long it lives.
type translation struct {
	key     trackKey // as the gateway knows the connection from inside
	inside  netip.AddrPort
	outside netip.AddrPort // the gateway's address and port
	pool    poolKey
}

// answerKey is how answers find a translation: from whom to which of the gateway's ends.
type answerKey struct {
	pool poolKey
	port uint16
}

// poolKey is what a port is unique in: one address of a gateway towards one destination. ICMP has no destination port.
type poolKey struct {
	gateway     uint32
	addr        netip.Addr
	destination netip.AddrPort
	protocol    uint8
}

// translations is the NAT state of all gateways.
type translations struct {
	inside  map[trackKey]*translation
	answers map[answerKey]*translation
	pools   map[poolKey]*portPool
	// fresh began during the walk in progress; if that ends in a drop, they end with it.
	fresh []*translation
}

func newTranslations() translations {
	return translations{inside: map[trackKey]*translation{}, answers: map[answerKey]*translation{}, pools: map[poolKey]*portPool{}}
}

// portPool hands out the ports of one address towards one destination, each step in constant time: first those that were never used,
// then the one that was given back longest ago.
type portPool struct {
	used   int
	unused uint32 // offset of the next port never used
	back   []uint16
	head   int // of back
}

func (p *portPool) take() (uint16, bool) {
	switch {
	case p.used == natConnections:
		return 0, false
	case p.unused < natPorts:
		p.unused++
		p.used++
		return uint16(fabric.FirstNATPort + p.unused - 1), true
	}
	port := p.back[p.head]
	p.head++
	if p.head > len(p.back)/2 {
		p.back = append(p.back[:0], p.back[p.head:]...)
		p.head = 0
	}
	p.used++
	return port, true
}

func (p *portPool) giveBack(port uint16) {
	p.used--
	p.back = append(p.back, port)
}

// Translate implements fabric.State.
func (e *Engine) Translate(gateway *fabric.ENI, p *fabric.Packet) (netip.AddrPort, flow.Reason) {
	if p.Error {
		// The quoted packet went in.
		if tr := e.nat.inside[trackKeyOf(gateway, fabric.Egress, p.Quoted)]; tr != nil && e.translates(tr) {
			return tr.outside, flow.None
		}
		return netip.AddrPort{}, flow.NATIdle
	}
	key := trackKeyOf(gateway, fabric.Ingress, p.Tuple)
	if tr := e.nat.inside[key]; tr != nil && e.translates(tr) {
		if t := e.tracks[key]; t == nil || !e.begins(t, p) {
			return tr.outside, flow.None
		}
	}
	if p.Tuple.Protocol == flow.TCP && p.TCPFlags&(flow.SYN|flow.ACK) != flow.SYN || isICMP(p.Tuple.Protocol) && isAnswer(p.Tuple) {
		return netip.AddrPort{}, flow.NATIdle
	}
	if t := e.tracks[key]; t != nil {
		e.untrack(t) // with it ends the translation before this one
	}
	tr := e.nat.begin(gateway, key, p.Tuple)
	if tr == nil {
		return netip.AddrPort{}, flow.NATPortExhausted
	}
	return tr.outside, flow.None
}

// translates reports whether a translation still stands. One that this very walk began has no track yet.
func (e *Engine) translates(tr *translation) bool {
	t := e.tracks[tr.key]
	return t == nil || e.alive(t)
}

// begin allocates a port on the first of the gateway's addresses that has one for the destination; nil if none has.
func (n *translations) begin(gateway *fabric.ENI, key trackKey, t flow.Tuple) *translation {
	pool := poolKey{gateway: gateway.Attachment, destination: netip.AddrPortFrom(t.DstAddr(), t.DstPort), protocol: t.Protocol}
	if t.Family == 6 { // NAT64
		pool.destination = netip.AddrPortFrom(fabric.Extract(t.DstAddr()), t.DstPort)
	}
	if t.Protocol == flow.ICMP || t.Protocol == flow.ICMPv6 {
		pool.destination, pool.protocol = netip.AddrPortFrom(pool.destination.Addr(), 0), flow.ICMP
	}
	for _, pool.addr = range gateway.NAT.Addrs {
		ports := n.pools[pool]
		if ports == nil {
			ports = new(portPool)
			n.pools[pool] = ports
		}
		port, ok := ports.take()
		if !ok {
			continue
		}
		tr := &translation{
			key: key, inside: netip.AddrPortFrom(t.SrcAddr(), t.SrcPort), outside: netip.AddrPortFrom(pool.addr, port), pool: pool,
		}
		n.inside[key] = tr
		n.answers[answerKey{pool, port}] = tr
		n.fresh = append(n.fresh, tr)
		return tr
	}
	return nil
}

// end gives the port of a connection back, if it has one.
func (n *translations) end(key trackKey) {
	tr := n.inside[key]
	if tr == nil {
		return
	}
	delete(n.inside, key)
	delete(n.answers, answerKey{tr.pool, tr.outside.Port()})
	ports := n.pools[tr.pool]
	ports.giveBack(tr.outside.Port())
	if ports.used == 0 {
		delete(n.pools, tr.pool)
	}
}

// keepFresh says what becomes of the translations that the last walk began.
func (e *Engine) keepFresh(keep bool) {
	for _, tr := range e.nat.fresh {
		if keep {
			e.wake(tr.outsideKey())
		} else {
			e.nat.end(tr.key)
		}
	}
	e.nat.fresh = e.nat.fresh[:0]
}

// outsideKey is the connection as the gateway's outside would know it.
func (tr *translation) outsideKey() trackKey {
	k := trackKey{
		attachment: tr.pool.gateway, protocol: tr.pool.protocol, local: tr.outside.Addr().As16(), remote: tr.pool.destination.Addr().As16(),
		localPort: tr.outside.Port(), remotePort: tr.pool.destination.Port(),
	}
	if k.protocol == flow.ICMP {
		k.remotePort, k.localAsks = 8, true
	}
	return k
}

// Restore implements fabric.State. Only the destination of a connection answers it, and no answer asks for a connection.
func (e *Engine) Restore(gateway *fabric.ENI, p *fabric.Packet) (netip.AddrPort, bool) {
	t := p.Tuple
	e.asked = asked{key: trackKeyOf(gateway, fabric.Ingress, t)}
	switch {
	case p.Error:
		t = p.Quoted.Reply()
	case t.Protocol == flow.ICMP && !isAnswer(t):
		return netip.AddrPort{}, false
	}
	key := answerKey{poolKey{gateway.Attachment, t.DstAddr(), netip.AddrPortFrom(t.SrcAddr(), t.SrcPort), t.Protocol}, t.DstPort}
	if t.Protocol == flow.ICMP {
		key.pool.destination, key.port = netip.AddrPortFrom(t.SrcAddr(), 0), t.SrcPort
	}
	tr := e.nat.answers[key]
	if tr == nil || !e.translates(tr) || slices.Contains(e.nat.fresh, tr) { // a packet does not answer itself
		return netip.AddrPort{}, false
	}
	if t := e.tracks[tr.key]; t != nil && e.begins(t, p) {
		e.asked.replaced = true
		return netip.AddrPort{}, false
	}
	return tr.inside, true
}
