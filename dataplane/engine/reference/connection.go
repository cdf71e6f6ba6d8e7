package reference

import (
	"net/netip"
	"time"
)

// direction is seen from an interface.
type direction int

const (
	egress direction = iota
	ingress
)

func (d direction) opposite() direction { return 1 - d }

// ends name a connection where it is remembered: the same for both directions.
type ends struct {
	protocol            uint8
	local, remote       netip.Addr
	localPort, destPort int  // of an ICMP query the identifier and its type
	localAsks           bool // an ICMP query
}

// endsOf names the connection of a packet that passes a place.
func endsOf(p *Packet, d direction) ends {
	e := ends{protocol: p.Protocol, local: p.Src, remote: p.Dst, localPort: p.SrcPort, destPort: p.DstPort}
	if d == ingress {
		e.local, e.remote, e.localPort, e.destPort = p.Dst, p.Src, p.DstPort, p.SrcPort
	}
	if p.icmp() {
		query, answer := p.asked()
		e.localPort, e.destPort = p.ID, int(query)
		e.localAsks = (d == egress) != answer
	}
	return e
}

// connection is what one place remembers of a connection: the security groups of an interface, an egress-only internet gateway, or a
// NAT gateway on its inside.
type connection struct {
	place   uint32
	ends    ends
	first   direction // of the packet that began it
	tracked bool
	began   Packet // the packet that began it, as this place saw it
	sender  uint32 // who really sent that
	packets [2]int // by direction
	flags   [2]uint8
	last    time.Duration // when a packet of it last passed, in lab time
	limits  limits
}

// limits are for how long a connection is remembered without a packet.
type limits struct{ opening, established, closing time.Duration }

// The idle timeouts of security groups (EC2 user guide, security group connection tracking) and of NAT gateways (VPC user guide, NAT
// gateway basics).
func groupLimits(protocol uint8) limits {
	switch protocol {
	case tcp:
		return limits{60 * time.Second, 432000 * time.Second, 10 * time.Second}
	case udp:
		return limits{30 * time.Second, 180 * time.Second, 30 * time.Second}
	case icmp, icmpv6:
		return limits{30 * time.Second, 30 * time.Second, 30 * time.Second}
	}
	return limits{600 * time.Second, 600 * time.Second, 600 * time.Second}
}

var natLimits = limits{350 * time.Second, 350 * time.Second, 10 * time.Second}

// state is how far the connection has come.
type state int

const (
	opening state = iota
	established
	closing
)

// state follows the documents: TCP is established when both sides have acknowledged, and closing after a RST or both sides' FIN; UDP is
// a stream from the second packet each way.
func (c *connection) state() state {
	both, any := c.flags[0]&c.flags[1], c.flags[0]|c.flags[1]
	switch {
	case c.ends.protocol == tcp && (any&rst != 0 || both&fin != 0):
		return closing
	case c.ends.protocol == tcp && both&ack != 0, c.ends.protocol == udp && c.packets[0] >= 2 && c.packets[1] >= 2:
		return established
	}
	return opening
}

func (c *connection) limit() time.Duration {
	return [...]time.Duration{c.limits.opening, c.limits.established, c.limits.closing}[c.state()]
}

// see counts a packet of the connection.
func (c *connection) see(p *Packet, d direction, now time.Duration) {
	c.packets[d]++
	if p.Protocol == tcp {
		c.flags[d] |= p.Flags
	}
	c.last = now
}
