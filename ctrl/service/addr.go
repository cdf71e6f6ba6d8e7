package service

import (
	"net"
	"net/netip"
)

// AddrPort is one end of a TCP connection, an IPv4 one as such although a wildcard socket of IPv6 says ::ffff:a.b.c.d. It is invalid if the
// address is no TCP one.
func AddrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	end := tcp.AddrPort()
	return netip.AddrPortFrom(end.Addr().Unmap(), end.Port())
}
