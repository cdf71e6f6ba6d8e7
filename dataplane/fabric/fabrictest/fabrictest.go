// Package fabrictest is a small network for the tests of the walk and of the engine, with constructors that let their tables read
// as sentences. It is not for programs.
package fabrictest

import (
	"net/netip"

	"github.com/gaissmai/bart"

	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// Bed is the network, an instance and its subnet in each row:
//
//	vpc app 10.0.0.0/16, 2001:db8:a::/56, internet gateway
//	  public  10.0.0.0/24 2001:db8:a::/64    web 10.0.0.10 (198.51.100.10), x 10.0.0.11 (198.51.100.11), v 10.0.0.12
//	  private 10.0.1.0/24                    client 10.0.1.5
//	  middle  10.0.2.0/24                    firewall 10.0.2.9, no source/dest check
//	internet  example 203.0.113.5, 2001:db8:cafe::5
//
// Only public routes to the internet gateway. web's group admits nothing, client's neither; x, v and firewall share one that admits
// everything. All groups let everything out, and the ACLs let everything through.
type Bed struct {
	*fabric.Network
	App                          *fabric.VPC
	Public, Private, Middle      *fabric.Subnet
	Web, X, V, Client, Firewall  *fabric.ENI
	WebGroup, ClientGroup, Other *fabric.SecurityGroup
	Example                      *fabric.Host
}

// Addr is an address.
func Addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// Prefix is a prefix.
func Prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// Anything is all traffic.
var Anything = fabric.Traffic{Protocol: -1, ICMPType: -1, ICMPCode: -1}

// Port is the traffic of a protocol to one port.
func Port(proto int16, p uint16) fabric.Traffic {
	return fabric.Traffic{Protocol: proto, FromPort: p, ToPort: p}
}

// From is a group's rule for traffic from, or to, a prefix.
func From(t fabric.Traffic, cidr string) fabric.SGRule {
	return fabric.SGRule{Traffic: t, Prefixes: []netip.Prefix{Prefix(cidr)}, Text: cidr}
}

// FromGroup is a group's rule for traffic from, or to, a group's members.
func FromGroup(t fabric.Traffic, g *fabric.SecurityGroup) fabric.SGRule {
	return fabric.SGRule{Traffic: t, ByGroup: true, Group: g.ID, Text: "from " + g.Name}
}

// Entry is an entry of an ACL.
func Entry(allow bool, t fabric.Traffic, cidr string) fabric.ACLEntry {
	return fabric.ACLEntry{Traffic: t, Allow: allow, Prefix: Prefix(cidr), Text: cidr}
}

func openACL(name string) *fabric.ACL {
	all := []fabric.ACLEntry{Entry(true, Anything, "0.0.0.0/0"), Entry(true, Anything, "::/0")}
	return &fabric.ACL{Name: name, Ingress: all, Egress: all}
}

// New is the network above, of which a test may change what it likes.
func New() *Bed {
	b := &Bed{Network: &fabric.Network{Attachments: make([]*fabric.Attachment, 1)}}
	everything := []fabric.SGRule{From(Anything, "0.0.0.0/0"), From(Anything, "::/0")}
	b.WebGroup = &fabric.SecurityGroup{ID: 1, Name: "web", Egress: everything}
	b.ClientGroup = &fabric.SecurityGroup{ID: 2, Name: "client", Egress: everything}
	b.Other = &fabric.SecurityGroup{ID: 3, Name: "other", Ingress: everything, Egress: everything}
	b.App = &fabric.VPC{
		Index: 1, Generation: 1, Name: "app", CIDRs: []netip.Prefix{Prefix("10.0.0.0/16"), Prefix("2001:db8:a::/56")},
		Resolver: Addr("10.0.0.2"), HasIGW: true, ENIs: map[netip.Addr]*fabric.ENI{},
	}
	b.VPCs = []*fabric.VPC{b.App}
	b.Public = b.subnet(b.App, "public", "10.0.0.0/24", "2001:db8:a::/64")
	b.Private = b.subnet(b.App, "private", "10.0.1.0/24", "")
	b.Middle = b.subnet(b.App, "middle", "10.0.2.0/24", "")
	b.Route(b.Public, "0.0.0.0/0", fabric.ToInternetGateway, nil)
	b.Route(b.Public, "::/0", fabric.ToInternetGateway, nil)
	b.Internet = fabric.Internet{
		Generation: 1, Hosts: map[netip.Addr]*fabric.Host{}, Public: map[netip.Addr]fabric.PublicAddress{}, IPv6: new(bart.Table[*fabric.VPC]),
		Elastic: map[netip.Addr]bool{Addr("198.51.100.99"): true}, Pool: Prefix("198.18.0.0/16"),
	}
	b.Internet.IPv6.Insert(Prefix("2001:db8:a::/56"), b.App)
	b.Web = b.eni("web", b.Public, b.WebGroup, "198.51.100.10", "10.0.0.10", "2001:db8:a::10")
	b.X = b.eni("x", b.Public, b.Other, "198.51.100.11", "10.0.0.11", "2001:db8:a::11")
	b.V = b.eni("v", b.Public, b.Other, "", "10.0.0.12")
	b.Client = b.eni("client", b.Private, b.ClientGroup, "", "10.0.1.5")
	b.Firewall = b.eni("firewall", b.Middle, b.Other, "", "10.0.2.9")
	b.Firewall.SourceDestCheck = false
	b.Example = &fabric.Host{Attachment: b.next(), Name: "example", Addrs: []netip.Addr{Addr("203.0.113.5"), Addr("2001:db8:cafe::5")}}
	b.Attachments = append(b.Attachments, &fabric.Attachment{Index: b.Example.Attachment, Host: b.Example})
	for _, a := range b.Example.Addrs {
		b.Internet.Hosts[a] = b.Example
	}
	return b
}

func (b *Bed) next() uint32 { return uint32(len(b.Attachments)) }

func (b *Bed) subnet(v *fabric.VPC, name, cidr, cidr6 string) *fabric.Subnet {
	s := &fabric.Subnet{VPC: v, Name: name, CIDR: Prefix(cidr), Router4: Prefix(cidr).Addr().Next(), ACL: openACL("default")}
	if cidr6 != "" {
		s.IPv6 = Prefix(cidr6)
	}
	s.Routes = &fabric.RouteTable{Name: name, Routes: new(bart.Table[*fabric.Route])}
	for _, p := range v.CIDRs {
		b.Route(s, p.String(), fabric.ToLocal, nil)
	}
	return s
}

// Route sets a subnet's route to a prefix; e is the interface that it leads to, if it leads to one.
func (b *Bed) Route(s *fabric.Subnet, to string, kind fabric.TargetKind, e *fabric.ENI) {
	s.Routes.Routes.Insert(Prefix(to), &fabric.Route{Prefix: Prefix(to), Kind: kind, ENI: e, Text: to})
}

func (b *Bed) eni(name string, s *fabric.Subnet, g *fabric.SecurityGroup, public string, addrs ...string) *fabric.ENI {
	e := &fabric.ENI{
		Attachment: b.next(), Name: name, Subnet: s, Groups: []*fabric.SecurityGroup{g}, SourceDestCheck: true, Public: map[netip.Addr]netip.Addr{},
	}
	for _, a := range addrs {
		e.Addrs = append(e.Addrs, Addr(a))
		s.VPC.ENIs[Addr(a)] = e
	}
	if public != "" {
		e.Public[e.Addrs[0]] = Addr(public)
		b.Internet.Public[Addr(public)] = fabric.PublicAddress{ENI: e, Private: e.Addrs[0]}
	}
	b.Attachments = append(b.Attachments, &fabric.Attachment{Index: e.Attachment, ENI: e})
	return e
}

// TCP is the first packet of a TCP connection.
func TCP(src string, sport uint16, dst string, dport uint16) fabric.Packet {
	return fabric.Packet{Tuple: flow.MakeTuple(flow.TCP, Addr(src), sport, Addr(dst), dport), Length: 60, TTL: 64, TCPFlags: flow.SYN}
}

// UDP is a datagram.
func UDP(src string, sport uint16, dst string, dport uint16) fabric.Packet {
	return fabric.Packet{Tuple: flow.MakeTuple(flow.UDP, Addr(src), sport, Addr(dst), dport), Length: 60, TTL: 64}
}

// Ping is an echo request of the addresses' family.
func Ping(src, dst string) fabric.Packet {
	proto, typ := uint8(flow.ICMP), uint16(8)
	if Addr(src).Is6() {
		proto, typ = flow.ICMPv6, 128
	}
	return fabric.Packet{Tuple: flow.MakeTuple(proto, Addr(src), 7, Addr(dst), typ), Length: 84, TTL: 64, ICMPType: uint8(typ)}
}

// Midstream is a packet of an established TCP connection.
func Midstream(p fabric.Packet) fabric.Packet {
	p.TCPFlags = flow.ACK
	return p
}

// Sized is the packet with a length of n bytes, from the IP header on.
func Sized(p fabric.Packet, n int) fabric.Packet {
	p.Length = n
	return p
}

// NATGateway adds a NAT gateway with pairs of a private and a public address ("" for a private gateway) to a subnet.
func (b *Bed) NATGateway(name string, s *fabric.Subnet, addrs ...[2]string) *fabric.ENI {
	e := &fabric.ENI{Attachment: b.next(), Name: "nat." + name, Subnet: s, Public: map[netip.Addr]netip.Addr{}, NAT: &fabric.NAT{}}
	for _, pair := range addrs {
		private := Addr(pair[0])
		e.Addrs = append(e.Addrs, private)
		b.App.ENIs[private] = e
		if pair[1] == "" {
			e.NAT.Private = true
			continue
		}
		e.Public[private] = Addr(pair[1])
		b.Internet.Public[Addr(pair[1])] = fabric.PublicAddress{ENI: e, Private: private}
	}
	e.NAT.Addrs = e.Addrs
	b.Attachments = append(b.Attachments, &fabric.Attachment{Index: e.Attachment, ENI: e})
	return e
}

// ThroughNAT puts the NAT gateway "out", 10.0.0.220 and 198.51.100.7, into public, and lets private route to it.
func (b *Bed) ThroughNAT() *fabric.ENI {
	e := b.NATGateway("out", b.Public, [2]string{"10.0.0.220", "198.51.100.7"})
	b.Route(b.Private, "0.0.0.0/0", fabric.ToNATGateway, e)
	return e
}

// EgressOnly adds an egress-only internet gateway, to which public routes IPv6.
func (b *Bed) EgressOnly() {
	b.App.EgressOnly = &fabric.ENI{Name: "eigw", Attachment: b.next()}
	b.Attachments = append(b.Attachments, nil)
	b.Route(b.Public, "::/0", fabric.ToEgressOnly, nil)
}

// Edge gives the internet gateway a route table with one route.
func (b *Bed) Edge(to string, e *fabric.ENI) {
	b.App.EdgeRoutes = &fabric.RouteTable{Name: "edge", Routes: new(bart.Table[*fabric.Route])}
	b.App.EdgeRoutes.Routes.Insert(Prefix(to), &fabric.Route{Prefix: Prefix(to), Kind: fabric.ToENI, ENI: e, Text: to})
}

// Data is a VPC beside app that is peered with it:
//
//	vpc data 10.9.0.0/16, 2001:db8:d::/56
//	  db 10.9.1.0/24 2001:db8:d::/64    db 10.9.1.4, 2001:db8:d::4
//
// Private, public and db have routes to the peer's CIDRs. db is in a group that admits nothing.
type Data struct {
	*fabric.VPC
	Subnet    *fabric.Subnet
	DB        *fabric.ENI
	Group     *fabric.SecurityGroup
	Near, Far *fabric.PeeringEnd // of app, and of data
}

// Peer adds data and the connection to it. Ends that are not joined are attachments.
func (b *Bed) Peer(joined, interRegion bool) *Data {
	d := &Data{VPC: &fabric.VPC{
		Index: 2, Generation: 1, Name: "data", CIDRs: []netip.Prefix{Prefix("10.9.0.0/16"), Prefix("2001:db8:d::/56")},
		Resolver: Addr("10.9.0.2"), ENIs: map[netip.Addr]*fabric.ENI{},
	}}
	b.VPCs = append(b.VPCs, d.VPC)
	d.Group = &fabric.SecurityGroup{ID: 4, Name: "db", Egress: []fabric.SGRule{From(Anything, "0.0.0.0/0"), From(Anything, "::/0")}}
	d.Subnet = b.subnet(d.VPC, "db", "10.9.1.0/24", "2001:db8:d::/64")
	d.DB = b.eni("db", d.Subnet, d.Group, "", "10.9.1.4", "2001:db8:d::4")
	end := func(v *fabric.VPC) *fabric.PeeringEnd {
		p := &fabric.PeeringEnd{Name: "peering.app-data", VPC: v, InterRegion: interRegion, Joined: joined}
		if !joined {
			p.Attachment = b.next()
			b.Attachments = append(b.Attachments, &fabric.Attachment{Index: p.Attachment, Peering: p})
		}
		v.Peerings = append(v.Peerings, p)
		return p
	}
	d.Near, d.Far = end(b.App), end(d.VPC)
	d.Near.Far, d.Far.Far = d.Far, d.Near
	for _, s := range []*fabric.Subnet{b.Private, b.Public} {
		b.RoutePeering(s, "10.9.0.0/16", d.Near)
		b.RoutePeering(s, "2001:db8:d::/56", d.Near)
	}
	b.RoutePeering(d.Subnet, "10.0.0.0/16", d.Far)
	b.RoutePeering(d.Subnet, "2001:db8:a::/56", d.Far)
	return d
}

// RoutePeering sets a subnet's route to a prefix to a peering connection.
func (b *Bed) RoutePeering(s *fabric.Subnet, to string, p *fabric.PeeringEnd) {
	s.Routes.Routes.Insert(Prefix(to), &fabric.Route{Prefix: Prefix(to), Kind: fabric.ToPeering, Peering: p, Text: to})
}
