package dns

import (
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// control reads and writes the control messages by which a socket of a wildcard address learns which address a datagram came to, and says
// which one an answer goes out from (ip(7), IP_PKTINFO; RFC 3542, IPV6_PKTINFO).
type control struct{ v6 bool }

// controlSize has room for the control messages of one datagram.
const controlSize = 128

// newControl turns the messages on. A socket of both families has those of IPv6, with IPv4-mapped addresses.
func newControl(conn *net.UDPConn) (control, error) {
	c := control{v6: addrOf(conn.LocalAddr()).Is6()}
	var err error
	if c.v6 {
		err = ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst, true)
	} else {
		err = ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst, true)
	}
	if err != nil {
		return c, fmt.Errorf("ask udp %s for packet information: %w", conn.LocalAddr(), err)
	}
	return c, nil
}

// asked is the address that a datagram with these control messages came to.
func (c control) asked(oob []byte) (netip.Addr, bool) {
	var dst net.IP
	if c.v6 {
		var m ipv6.ControlMessage
		if m.Parse(oob) == nil {
			dst = m.Dst
		}
	} else {
		var m ipv4.ControlMessage
		if m.Parse(oob) == nil {
			dst = m.Dst
		}
	}
	a, ok := netip.AddrFromSlice(dst)
	return a.Unmap(), ok
}

// from are the control messages of a datagram that goes out from a.
func (c control) from(a netip.Addr) []byte {
	if a.Is4() { // also over a socket of both families
		return (&ipv4.ControlMessage{Src: a.AsSlice()}).Marshal()
	}
	return (&ipv6.ControlMessage{Src: a.AsSlice()}).Marshal()
}

// addrOf is the address of one end of a socket; it is invalid for what is no IP socket.
func addrOf(end net.Addr) netip.Addr {
	a, _ := netip.ParseAddrPort(end.String())
	return a.Addr()
}
