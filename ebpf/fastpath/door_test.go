package fastpath

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vpclab/vpclab/dataplane/flow"
)

var everyone = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

func to(m net.HardwareAddr) *layers.Ethernet {
	e := ether(0)
	e.DstMAC = m
	return e
}

// ip6 builds an IPv6 packet around raw upper-layer bytes.
func ip6(src, dst string, next uint8, upper ...byte) []byte {
	return frame(ether(layers.EthernetTypeIPv6),
		&layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocol(next), SrcIP: ip(src).AsSlice(), DstIP: ip(dst).AsSlice()},
		gopacket.Payload(upper))
}

// Frames that end within the IP header are refused by a test run; the live test sends them.
func TestDoor(t *testing.T) {
	r := newRig(t)
	plain := udp("10.0.0.5", 1, "10.0.0.6", 2)
	plain6 := udp("fd00::5", 1, "fd00::6", 2)
	foreign := to(mac(router))
	foreign.SrcMAC = net.HardwareAddr{2, 0, 0, 0, 1, 4}
	group4, group6 := net.HardwareAddr{1, 0, 0x5e, 0, 0, 5}, net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
	filler := gopacket.Payload(make([]byte, 40))
	foreignARP := arpFrame(t, func(eth *layers.Ethernet, _ *layers.ARP) { eth.SrcMAC = foreign.SrcMAC })
	ra := []byte{134, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	na := append([]byte{136, 0, 0, 0, 32, 0, 0, 0}, make([]byte, 16)...)
	mld := []byte{58, 0, 5, 2, 0, 0, 1, 0, 143, 0, 0, 0, 0, 0, 0, 0}

	for _, row := range []struct {
		name  string
		frame []byte
		want  string
	}{
		{"an IPv4 packet goes up", plain.bytes(), upcall},
		{"an IPv6 packet goes up", plain6.bytes(), upcall},
		{"a frame with a VLAN tag", frame(ether(layers.EthernetTypeDot1Q), filler), drop(flow.VLANTagged)},
		{"a frame with a service VLAN tag", frame(ether(layers.EthernetTypeQinQ), filler), drop(flow.VLANTagged)},
		{"a frame of another ethertype", frame(ether(layers.EthernetTypePPP), filler), drop(flow.UnsupportedEthertype)},
		{"an LLC frame", frame(ether(layers.EthernetType(40)), filler), drop(flow.UnsupportedEthertype)},
		{"a foreign source MAC", plain.frame(foreign), drop(flow.SourceMACMismatch)},
		{"a foreign source MAC on ARP", foreignARP, drop(flow.SourceMACMismatch)},
		{"an IPv6 packet that says IPv4", patch(plain6.bytes(), 12, 8, 0), drop(flow.MalformedPacket)},
		{"an IPv4 packet that says IPv6", patch(plain.bytes(), 12, 0x86, 0xdd), drop(flow.MalformedPacket)},
		{"IPv4 to everyone's MAC", plain.frame(to(everyone)), drop(flow.Broadcast)},
		{"IPv4 to everyone", udp("10.0.0.5", 68, "255.255.255.255", 67).bytes(), drop(flow.Broadcast)},
		{"IPv4 to a group's MAC", plain.frame(to(group4)), drop(flow.Multicast)},
		{"IPv4 to a group", udp("10.0.0.5", 1, "224.0.0.251", 5353).bytes(), drop(flow.Multicast)},
		{"IPv4 to the last group", udp("10.0.0.5", 1, "239.255.255.255", 5353).bytes(), drop(flow.Multicast)},
		{"IPv4 just below the groups goes up", udp("10.0.0.5", 1, "223.255.255.255", 5353).bytes(), upcall},
		{"IPv6 to a group", udp("fd00::5", 1, "ff02::fb", 5353).bytes(), drop(flow.Multicast)},
		{"IPv6 to a group's MAC", plain6.frame(to(group6)), drop(flow.Multicast)},
		{"a ping to all nodes", ip6("fd00::5", "ff02::1", 58, 128, 0, 0, 0, 0, 1, 0, 1), drop(flow.Multicast)},
		{"a router advertisement", ip6("fe80::5", "ff02::1", 58, ra...), drop(flow.Multicast)},
		{"a router solicitation", ip6("fe80::5", "ff02::2", 58, 133, 0, 0, 0, 0, 0, 0, 0), consumed},
		{"an unsolicited neighbour advertisement", ip6("fe80::5", "ff02::1", 58, na...), consumed},
		{"a multicast listener report", ip6("fe80::5", "ff02::16", 0, mld...), consumed},
		{"a multicast listener done", ip6("fe80::5", "ff02::2", 0, patch(mld, 8, 132)...), consumed},
		{"a ping behind a hop-by-hop header to a group", ip6("fe80::5", "ff02::1", 0, patch(mld, 8, 128)...), drop(flow.Multicast)},
		{"UDP behind a hop-by-hop header to a group", ip6("fe80::5", "ff02::1", 0, patch(mld, 0, 17)...), drop(flow.Multicast)},
		{"a hop-by-hop header to a host goes up", ip6("fd00::5", "fd00::6", 0, mld...), upcall},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := r
			r.t = t
			got := r.expect(row.frame, row.want)
			if want := (flow.DropCounter{Packets: 1, Bytes: uint64(len(row.frame) - 14)}); row.want != upcall && got.counted != want {
				t.Errorf("counted %v, want %v", got.counted, want)
			}
		})
	}
}

// arpFrame is the guest's question for 10.0.0.9, changed.
func arpFrame(t *testing.T, change func(*layers.Ethernet, *layers.ARP)) []byte {
	t.Helper()
	eth := &layers.Ethernet{SrcMAC: mac(guest), DstMAC: everyone, EthernetType: layers.EthernetTypeARP}
	arp := &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: layers.ARPRequest,
		SourceHwAddress: guest[:], SourceProtAddress: []byte{10, 0, 0, 5}, DstHwAddress: make([]byte, 6), DstProtAddress: []byte{10, 0, 0, 9},
	}
	if change != nil {
		change(eth, arp)
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{}, eth, arp, gopacket.Payload(make([]byte, 18))); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b.Bytes())
}

func (r rig) neighbor(scope uint32, addr string, owner uint32) {
	r.t.Helper()
	if err := r.SetNeighbor(scope, netip.MustParseAddr(addr), owner); err != nil {
		r.t.Fatal(err)
	}
}

func TestARP(t *testing.T) {
	r := newRig(t)
	r.neighbor(sender.Scope, "10.0.0.1", 0)
	r.neighbor(sender.Scope, "10.0.0.5", sender.Index)
	r.neighbor(sender.Scope, "10.0.0.9", receiver.Index)
	r.neighbor(sender.Scope+1, "10.0.0.7", receiver.Index)
	asks := func(source, target string) []byte {
		return arpFrame(t, func(_ *layers.Ethernet, a *layers.ARP) {
			a.SourceProtAddress, a.DstProtAddress = ip(source).AsSlice(), ip(target).AsSlice()
		})
	}
	with := func(change func(*layers.ARP)) []byte {
		return arpFrame(t, func(_ *layers.Ethernet, a *layers.ARP) { change(a) })
	}
	for _, row := range []struct {
		name  string
		frame []byte
		want  string
	}{
		{"for another instance", asks("10.0.0.5", "10.0.0.9"), answer},
		{"for the router", asks("10.0.0.5", "10.0.0.1"), answer},
		{"from an address that is not the guest's, as by a VPN inside it", asks("192.168.7.7", "10.0.0.1"), answer},
		{"for an address that nobody has", asks("10.0.0.5", "10.0.0.8"), drop(flow.UnknownNeighbor)},
		{"for an address of another subnet", asks("10.0.0.5", "10.0.0.7"), drop(flow.UnknownNeighbor)},
		{"for its own address, from another", asks("10.0.0.6", "10.0.0.5"), drop(flow.DuplicateAddressDetection)},
		{"a probe (RFC 5227)", asks("0.0.0.0", "10.0.0.9"), drop(flow.DuplicateAddressDetection)},
		{"an announcement (RFC 5227)", asks("10.0.0.9", "10.0.0.9"), drop(flow.DuplicateAddressDetection)},
		{"an unsolicited reply", with(func(a *layers.ARP) { a.Operation = layers.ARPReply }), consumed},
		{"an inverse request", with(func(a *layers.ARP) { a.Operation = 8 }), drop(flow.UnsupportedEthertype)},
		{"for another kind of network", with(func(a *layers.ARP) { a.AddrType = 6 }), drop(flow.UnsupportedEthertype)},
		{"for another protocol", with(func(a *layers.ARP) { a.Protocol = layers.EthernetTypeIPv6 }), drop(flow.UnsupportedEthertype)},
		{"with a wrong address size", patch(asks("10.0.0.5", "10.0.0.9"), 14+4, 8), drop(flow.MalformedFrame)},
		{"from a foreign MAC inside", with(func(a *layers.ARP) { a.SourceHwAddress = []byte{2, 0, 0, 0, 1, 4} }), drop(flow.SourceMACMismatch)},
		{"cut off", cut(asks("10.0.0.5", "10.0.0.9"), 14+27), drop(flow.MalformedFrame)},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := r
			r.t = t
			r.expect(row.frame, row.want)
		})
	}

	got := r.expect(asks("10.0.0.5", "10.0.0.9"), answer)
	p := gopacket.NewPacket(got.frame, layers.LayerTypeEthernet, gopacket.Default)
	eth, arp := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet), p.Layer(layers.LayerTypeARP).(*layers.ARP)
	if !bytes.Equal(eth.DstMAC, guest[:]) || !bytes.Equal(eth.SrcMAC, router[:]) || len(got.frame) != 60 {
		t.Errorf("the reply is %d bytes from %s to %s", len(got.frame), eth.SrcMAC, eth.DstMAC)
	}
	if arp.Operation != layers.ARPReply || !bytes.Equal(arp.SourceHwAddress, router[:]) || !bytes.Equal(arp.SourceProtAddress, []byte{10, 0, 0, 9}) ||
		!bytes.Equal(arp.DstHwAddress, guest[:]) || !bytes.Equal(arp.DstProtAddress, []byte{10, 0, 0, 5}) {
		t.Errorf("the reply says %+v", arp)
	}

	if err := r.RemoveNeighbor(sender.Scope, ip("10.0.0.9")); err != nil {
		t.Fatal(err)
	}
	r.expect(asks("10.0.0.5", "10.0.0.9"), drop(flow.UnknownNeighbor))
	if err := r.RemoveNeighbor(sender.Scope, ip("10.0.0.9")); err != nil {
		t.Errorf("removing a neighbor that is gone: %v", err)
	}
}

// solicit is the guest's question for an IPv6 address, with options.
func solicit(src, dst, target string, options ...byte) []byte {
	a := ip(target).As16()
	return ip6(src, dst, 58, append(append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, a[:]...), options...)...)
}

func TestNeighborSolicitation(t *testing.T) {
	r := newRig(t)
	r.neighbor(sender.Scope, "fe80::1", 0)
	r.neighbor(sender.Scope, "fd00::5", sender.Index)
	r.neighbor(sender.Scope, "fd00::9", receiver.Index)
	r.neighbor(sender.Scope+1, "fd00::7", receiver.Index)
	const group = "ff02::1:ff00:9"
	own := append([]byte{1, 1}, guest[:]...)
	nonce := []byte{14, 1, 1, 2, 3, 4, 5, 6}
	for _, row := range []struct {
		name  string
		frame []byte
		want  string
	}{
		{"for another instance", solicit("fd00::5", group, "fd00::9", own...), answer},
		{"without an option", solicit("fd00::5", group, "fd00::9"), answer},
		{"with two options", solicit("fd00::5", group, "fd00::9", append(own, nonce...)...), answer},
		{"for the router", solicit("fe80::5", "ff02::1:ff00:1", "fe80::1", own...), answer},
		{"to the neighbour itself, as a probe whether it is still there", solicit("fd00::5", "fd00::9", "fd00::9"), answer},
		{"for an address that nobody has", solicit("fd00::5", group, "fd00::8", own...), drop(flow.UnknownNeighbor)},
		{"for an address of another subnet", solicit("fd00::5", group, "fd00::7", own...), drop(flow.UnknownNeighbor)},
		{"for its own address", solicit("fe80::5", group, "fd00::5", own...), drop(flow.DuplicateAddressDetection)},
		{"from nobody (RFC 4862)", solicit("::", group, "fd00::9", nonce...), drop(flow.DuplicateAddressDetection)},
		{"from beyond the link", patch(solicit("fd00::5", group, "fd00::9", own...), 14+7, 254), drop(flow.MalformedPacket)},
		{"with a code", patch(solicit("fd00::5", group, "fd00::9", own...), 14+40+1, 1), drop(flow.MalformedPacket)},
		{"for a group", solicit("fd00::5", group, "ff02::9", own...), drop(flow.MalformedPacket)},
		{"with an empty option", solicit("fd00::5", group, "fd00::9", 1, 0, 0, 0, 0, 0, 0, 0), drop(flow.MalformedPacket)},
		{"with an option that runs over the end", solicit("fd00::5", group, "fd00::9", 1, 2, 0, 0, 0, 0, 0, 0), drop(flow.MalformedPacket)},
		{"with half an option", solicit("fd00::5", group, "fd00::9", 1, 1, 0, 0), drop(flow.MalformedPacket)},
		{"whose length says more than there is", patch(solicit("fd00::5", group, "fd00::9"), 14+4, 0, 32), drop(flow.MalformedPacket)},
		{"whose length says less than it needs", patch(solicit("fd00::5", group, "fd00::9"), 14+4, 0, 16), drop(flow.MalformedPacket)},
		{"cut off", cut(solicit("fd00::5", group, "fd00::9"), 14+40+20), drop(flow.MalformedFrame)},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := r
			r.t = t
			r.expect(row.frame, row.want)
		})
	}

	for _, row := range []struct {
		target   string
		asked    []byte
		isRouter bool
	}{
		{"fd00::9", solicit("fd00::5", group, "fd00::9", own...), false},
		{"fd00::9", solicit("fd00::5", group, "fd00::9"), false},
		{"fd00::9", solicit("fd00::5", group, "fd00::9", append(own, nonce...)...), false},
		{"fe80::1", solicit("fd00::5", group, "fe80::1", own...), true},
	} {
		got := r.expect(row.asked, answer).frame
		target := ip(row.target).As16()
		flags := byte(0x60)
		if row.isRouter {
			flags = 0xe0
		}
		// The reference is gopacket's own serialization, checksum included.
		network := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: 58, SrcIP: target[:], DstIP: ip("fd00::5").AsSlice()}
		head := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(136, 0)}
		head.SetNetworkLayerForChecksum(network)
		want := frame(&layers.Ethernet{SrcMAC: mac(router), DstMAC: mac(guest), EthernetType: layers.EthernetTypeIPv6}, network, head,
			&layers.ICMPv6NeighborAdvertisement{Flags: flags, TargetAddress: target[:],
				Options: layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: router[:]}}})
		if !bytes.Equal(got, want) {
			t.Errorf("advertisement of %s\nis   %x\nwant %x", row.target, got, want)
		}
	}
}
