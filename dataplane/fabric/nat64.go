package fabric

import (
	"net/netip"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// NAT64Prefix is where IPv6 hosts find IPv4 ones: the last four bytes are the IPv4 address (RFC 6052; VPC user guide, NAT64).
var NAT64Prefix = netip.MustParsePrefix("64:ff9b::/96")

// headerDifference is how many bytes an IPv6 header is longer than an IPv4 header.
const headerDifference = 20

// Embed is an IPv4 address as NAT64 shows it to IPv6 hosts, and Extract the way back.
func Embed(a netip.Addr) netip.Addr {
	b, four := NAT64Prefix.Addr().As16(), a.As4()
	copy(b[12:], four[:])
	return netip.AddrFrom16(b)
}

// Extract is the IPv4 address in an address of NAT64Prefix.
func Extract(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom4([4]byte(b[12:]))
}

// toIPv4 is a packet from inside that leaves its family at a NAT gateway; who sends it there is set by the translation.
func (w *walk) toIPv4() {
	w.changeFamily(4, -headerDifference, func(t flow.Tuple) flow.Tuple { return four(t) })
}

// toIPv6 is an answer that comes back to its family.
func (w *walk) toIPv6() {
	w.changeFamily(6, headerDifference, func(t flow.Tuple) flow.Tuple { return six(t) })
}

func (w *walk) changeFamily(family uint8, grows int, change func(flow.Tuple) flow.Tuple) {
	w.path.Family = family
	w.grown += grows
	w.packet.MayFragment = w.packet.MayFragment && family == 4
	w.packet.Tuple = change(w.packet.Tuple)
	if w.packet.Error {
		w.packet.Quoted = change(w.packet.Quoted)
	}
	if w.packet.Tuple.Protocol == flow.ICMP || w.packet.Tuple.Protocol == flow.ICMPv6 {
		w.packet.ICMPType = uint8(w.packet.Tuple.DstPort)
	}
}

// icmp64 pairs the ICMPv6 types that NAT64 carries with those of ICMP (RFC 7915, section 5.2).
var icmp64 = map[uint16]uint16{128: 8, 129: 0, 1: 3, 2: 3, 3: 11, 4: 12}

// icmp46 is the way back (RFC 7915, section 4.2). "Fragmentation needed" becomes "packet too big" by its code, which a tuple does not have;
// rules of a network ACL see it as "unreachable" here.
var icmp46 = map[uint16]uint16{8: 128, 0: 129, 3: 1, 11: 3, 12: 4}

// four is an IPv6 tuple in IPv4: the end in NAT64Prefix as it is, the other one still to be set.
func four(t flow.Tuple) flow.Tuple {
	unset := netip.IPv4Unspecified()
	src, dst := unset, unset
	if NAT64Prefix.Contains(t.SrcAddr()) {
		src = Extract(t.SrcAddr())
	}
	if NAT64Prefix.Contains(t.DstAddr()) {
		dst = Extract(t.DstAddr())
	}
	proto, dport := t.Protocol, t.DstPort
	if proto == flow.ICMPv6 {
		proto, dport = flow.ICMP, icmp64[dport]
	}
	return flow.MakeTuple(proto, src, t.SrcPort, dst, dport)
}

// six is an IPv4 tuple in IPv6: both ends embedded, of which the translation sets the one inside.
func six(t flow.Tuple) flow.Tuple {
	proto, dport := t.Protocol, t.DstPort
	if proto == flow.ICMP {
		proto, dport = flow.ICMPv6, icmp46[dport]
	}
	return flow.MakeTuple(proto, Embed(t.SrcAddr()), t.SrcPort, Embed(t.DstAddr()), dport)
}
