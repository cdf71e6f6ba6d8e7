package service

import (
	"net"
	"net/netip"
	"testing"
)

func TestAddrPort(t *testing.T) {
	for _, row := range []struct {
		addr net.Addr
		want netip.AddrPort
	}{
		{&net.TCPAddr{IP: net.ParseIP("::ffff:10.0.0.5"), Port: 80}, netip.MustParseAddrPort("10.0.0.5:80")},
		{&net.TCPAddr{IP: net.ParseIP("2001:db8::5"), Port: 443}, netip.MustParseAddrPort("[2001:db8::5]:443")},
		{&net.UDPAddr{IP: net.ParseIP("10.0.0.5"), Port: 53}, netip.AddrPort{}},
	} {
		if got := AddrPort(row.addr); got != row.want {
			t.Errorf("%v: got %v, want %v", row.addr, got, row.want)
		}
	}
}
