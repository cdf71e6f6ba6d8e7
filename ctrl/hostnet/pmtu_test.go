package hostnet

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Routers tell a guest of a small path MTU; after the flush it begins anew with that of its interface.
func TestFlushPathMTU(t *testing.T) {
	h := openLab(t, "hostnettest-pmtu")
	d := desired(h.lab, 1)
	apply(t, h, d)
	for _, to := range []string{"198.51.100.9", "2001:db8::9"} {
		far := netip.AddrPortFrom(netip.MustParseAddr(to), 53)
		conn := dial(t, h, d.Guests[0].Namespace, far)
		if _, err := conn.Write([]byte("too big")); err != nil {
			t.Fatal(err)
		}
		from := conn.LocalAddr().(*net.UDPAddr).AddrPort()
		inject(t, h, 1, tooBig(t, d.Attachments[0].MAC, from, far, 1400))
		mtu := func() int { return pathMTU(t, dial(t, h, d.Guests[0].Namespace, far)) }
		waitFor(t, "the path MTU of "+to, func() bool { return mtu() == 1400 })
		if err := h.FlushPathMTU(); err != nil {
			t.Fatal(err)
		}
		if got := mtu(); got != 9001 {
			t.Errorf("after the flush the path MTU to %s is %d", to, got)
		}
	}
}

func dial(t *testing.T, h *Host, namespace string, to netip.AddrPort) (conn *net.UDPConn) {
	t.Helper()
	err := h.InGuest(namespace, func() (err error) {
		conn, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func pathMTU(t *testing.T, conn *net.UDPConn) (mtu int) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	controlErr := raw.Control(func(fd uintptr) {
		level, option := unix.IPPROTO_IP, unix.IP_MTU
		if conn.RemoteAddr().(*net.UDPAddr).AddrPort().Addr().Is6() {
			level, option = unix.IPPROTO_IPV6, unix.IPV6_MTU
		}
		mtu, err = unix.GetsockoptInt(int(fd), level, option)
	})
	if controlErr != nil || err != nil {
		t.Fatal(controlErr, err)
	}
	return mtu
}

// tooBig is the error that a router sends for a datagram larger than mtu.
func tooBig(t *testing.T, guest MAC, from, to netip.AddrPort, mtu uint16) []byte {
	t.Helper()
	src, dst := net.IP(from.Addr().Unmap().AsSlice()), net.IP(to.Addr().AsSlice())
	udp := &layers.UDP{SrcPort: layers.UDPPort(from.Port()), DstPort: layers.UDPPort(to.Port())}
	ethernet := &layers.Ethernet{SrcMAC: RouterMAC[:], DstMAC: guest[:]}
	var stack []gopacket.SerializableLayer
	if to.Addr().Is4() {
		ethernet.EthernetType = layers.EthernetTypeIPv4
		inner := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: src, DstIP: dst}
		stack = []gopacket.SerializableLayer{
			ethernet,
			&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: net.IPv4(10, 0, 0, 1).To4(), DstIP: src},
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4), Seq: mtu},
			inner, udp,
		}
		udp.SetNetworkLayerForChecksum(inner)
	} else {
		ethernet.EthernetType = layers.EthernetTypeIPv6
		outer := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolICMPv6, SrcIP: net.ParseIP("fe80::1"), DstIP: src}
		inner := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP, SrcIP: src, DstIP: dst}
		icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(2, 0)}
		icmp.SetNetworkLayerForChecksum(outer)
		udp.SetNetworkLayerForChecksum(inner)
		stack = []gopacket.SerializableLayer{ethernet, outer, icmp, gopacket.Payload{0, 0, byte(mtu >> 8), byte(mtu)}, inner, udp}
	}
	buf := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, options, stack...); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// inject sends a frame out of eN, which the guest receives.
func inject(t *testing.T, h *Host, index uint32, frame []byte) {
	t.Helper()
	ports, _ := h.Ports(index)
	err := h.InFabric(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: int(ports.Veth)})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A machine without IPv6 runs labs without it, and no IPv6 setting is touched there.
func TestALabWithoutIPv6(t *testing.T) {
	h := openLab(t, "hostnettest-four")
	h.ipv6 = false
	d := desired(h.lab, 1)
	a := &d.Attachments[0]
	a.Addrs, a.Router6 = a.Addrs[:1], netip.Addr{}
	apply(t, h, d)
	if n := nicIn(t, h, a.Namespace, "eth0"); n.Addrs[0] != a.Addrs[0] {
		t.Errorf("the interface is %+v", n)
	}
	if got := readIn(t, h, a.Namespace, "/proc/sys/net/ipv6/conf/eth0/accept_dad"); got != "1" {
		t.Errorf("accept_dad is %s: the setting was touched", got)
	}
	for _, s := range append(guestSysctls(Guest{Forward: true, Local: prefixes("fd00::/48")}, false), fabricSysctls(false)...) {
		if strings.Contains(s.name, "ipv6") {
			t.Errorf("%s would be set", s.name)
		}
	}
}

// Errors name the attachment, the step and the kernel's answer; the other guests are built all the same, and the next Apply goes on.
func TestAnErrorNamesItsAttachment(t *testing.T) {
	h := openLab(t, "hostnettest-error")
	d := desired(h.lab, 2)
	apply(t, h, Desired{Lab: h.lab, Guests: d.Guests})
	inTheWay := func(f func(netlink.Link) error) {
		t.Helper()
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "eth0"
		if err := h.InGuest(d.Guests[0].Namespace, func() error { return f(&netlink.Ifb{LinkAttrs: attrs}) }); err != nil {
			t.Fatal(err)
		}
	}
	inTheWay(func(netlink.Link) error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "other"})
	})
	err := h.Apply(t.Context(), d)
	want := "apply: attachment 1 (vpclab-hostnettest-error.app.g0 eth0): add veth e1: file exists"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if _, ok := h.Ports(1); ok {
		t.Error("the attachment that failed has ports")
	}
	if _, err := h.TakeTUN(1); err == nil || err.Error() != "take TUN of attachment 1: there is no such attachment" {
		t.Errorf("taking its TUN: %v", err)
	}
	if _, ok := h.Ports(2); !ok {
		t.Error("the other attachment was not made")
	}
	inTheWay(netlink.LinkDel)
	apply(t, h, d)
	fd, err := h.TakeTUN(1)
	if err != nil {
		t.Fatal(err)
	}
	defer os.NewFile(uintptr(fd), "tun").Close()
	if _, err := h.TakeTUN(1); err == nil || err.Error() != "take TUN of attachment 1: it was taken before" {
		t.Errorf("taking its TUN twice: %v", err)
	}
}
