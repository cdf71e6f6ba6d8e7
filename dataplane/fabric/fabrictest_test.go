package fabric

import (
	"net/netip"
	"testing"

	"github.com/gaissmai/bart"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// The tests' network, an instance and its subnet in each VPC row:
//
//	vpc app 10.0.0.0/16, 2001:db8:a::/56, internet gateway
//	  public  10.0.0.0/24 2001:db8:a::/64    web 10.0.0.10 (198.51.100.10), x 10.0.0.11 (198.51.100.11), v 10.0.0.12
//	  private 10.0.1.0/24                    client 10.0.1.5
//	  middle  10.0.2.0/24                    firewall 10.0.2.9, no source/dest check
//	internet  example 203.0.113.5, 2001:db8:cafe::5
type testbed struct {
	*Network
	app                          *VPC
	public, private, middle      *Subnet
	web, x, v, client, firewall  *ENI
	webGroup, clientGroup, other *SecurityGroup
	example                      *Host
}

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

var anyTraffic = Traffic{Protocol: -1, ICMPType: -1, ICMPCode: -1}

func port(proto int16, p uint16) Traffic { return Traffic{Protocol: proto, FromPort: p, ToPort: p} }

func from(t Traffic, cidr string) SGRule {
	return SGRule{Traffic: t, Prefixes: []netip.Prefix{prefix(cidr)}, Text: cidr}
}

func fromGroup(t Traffic, g *SecurityGroup) SGRule {
	return SGRule{Traffic: t, ByGroup: true, Group: g.ID, Text: "from " + g.Name}
}

func entry(allow bool, t Traffic, cidr string) ACLEntry {
	return ACLEntry{Traffic: t, Allow: allow, Prefix: prefix(cidr), Text: cidr}
}

func openACL(name string) *ACL {
	all := []ACLEntry{entry(true, anyTraffic, "0.0.0.0/0"), entry(true, anyTraffic, "::/0")}
	return &ACL{Name: name, Ingress: all, Egress: all}
}

func newTestbed() *testbed {
	b := &testbed{Network: &Network{Attachments: make([]*Attachment, 1)}}
	everything := []SGRule{from(anyTraffic, "0.0.0.0/0"), from(anyTraffic, "::/0")}
	b.webGroup = &SecurityGroup{ID: 1, Name: "web", Egress: everything}
	b.clientGroup = &SecurityGroup{ID: 2, Name: "client", Egress: everything}
	b.other = &SecurityGroup{ID: 3, Name: "other", Ingress: everything, Egress: everything}
	b.app = &VPC{Index: 1, Generation: 1, Name: "app", Resolver: addr("10.0.0.2"), HasIGW: true, ENIs: map[netip.Addr]*ENI{}}
	b.VPCs = []*VPC{b.app}
	b.public = b.subnet("public", "10.0.0.0/24", "2001:db8:a::/64")
	b.private = b.subnet("private", "10.0.1.0/24", "")
	b.middle = b.subnet("middle", "10.0.2.0/24", "")
	b.route(b.public, "0.0.0.0/0", ToInternetGateway, nil)
	b.route(b.public, "::/0", ToInternetGateway, nil)
	b.Internet = Internet{
		Generation: 1, Hosts: map[netip.Addr]*Host{}, Public: map[netip.Addr]PublicAddress{}, IPv6: new(bart.Table[*VPC]),
		Elastic: map[netip.Addr]bool{addr("198.51.100.99"): true}, Pool: prefix("198.18.0.0/16"),
	}
	b.Internet.IPv6.Insert(prefix("2001:db8:a::/56"), b.app)
	b.web = b.eni("web", b.public, b.webGroup, "198.51.100.10", "10.0.0.10", "2001:db8:a::10")
	b.x = b.eni("x", b.public, b.other, "198.51.100.11", "10.0.0.11", "2001:db8:a::11")
	b.v = b.eni("v", b.public, b.other, "", "10.0.0.12")
	b.client = b.eni("client", b.private, b.clientGroup, "", "10.0.1.5")
	b.firewall = b.eni("firewall", b.middle, b.other, "", "10.0.2.9")
	b.firewall.SourceDestCheck = false
	b.example = &Host{Attachment: b.next(), Name: "example", Addrs: []netip.Addr{addr("203.0.113.5"), addr("2001:db8:cafe::5")}}
	b.Attachments = append(b.Attachments, &Attachment{Index: b.example.Attachment, Host: b.example})
	for _, a := range b.example.Addrs {
		b.Internet.Hosts[a] = b.example
	}
	return b
}

func (b *testbed) next() uint32 { return uint32(len(b.Attachments)) }

func (b *testbed) subnet(name, cidr, cidr6 string) *Subnet {
	s := &Subnet{VPC: b.app, Name: name, CIDR: prefix(cidr), Router4: prefix(cidr).Addr().Next(), ACL: openACL("default")}
	if cidr6 != "" {
		s.IPv6 = prefix(cidr6)
	}
	s.Routes = &RouteTable{Name: name, Routes: new(bart.Table[*Route])}
	b.route(s, "10.0.0.0/16", ToLocal, nil)
	b.route(s, "2001:db8:a::/56", ToLocal, nil)
	return s
}

func (b *testbed) route(s *Subnet, to string, kind TargetKind, e *ENI) {
	s.Routes.Routes.Insert(prefix(to), &Route{Prefix: prefix(to), Kind: kind, ENI: e, Text: to})
}

func (b *testbed) eni(name string, s *Subnet, g *SecurityGroup, public string, addrs ...string) *ENI {
	e := &ENI{
		Attachment: b.next(), Name: name, Subnet: s, Groups: []*SecurityGroup{g}, SourceDestCheck: true, Public: map[netip.Addr]netip.Addr{},
	}
	for _, a := range addrs {
		e.Addrs = append(e.Addrs, addr(a))
		b.app.ENIs[addr(a)] = e
	}
	if public != "" {
		e.Public[e.Addrs[0]] = addr(public)
		b.Internet.Public[addr(public)] = PublicAddress{ENI: e, Private: e.Addrs[0]}
	}
	b.Attachments = append(b.Attachments, &Attachment{Index: e.Attachment, ENI: e})
	return e
}

func tcp(src string, sport uint16, dst string, dport uint16) Packet {
	return Packet{Tuple: flow.MakeTuple(flow.TCP, addr(src), sport, addr(dst), dport), Length: 60, TCPFlags: flow.SYN}
}

func udp(src string, sport uint16, dst string, dport uint16) Packet {
	return Packet{Tuple: flow.MakeTuple(flow.UDP, addr(src), sport, addr(dst), dport), Length: 60}
}

func ping(src, dst string) Packet {
	proto, typ := uint8(flow.ICMP), uint16(8)
	if addr(src).Is6() {
		proto, typ = flow.ICMPv6, 128
	}
	return Packet{Tuple: flow.MakeTuple(proto, addr(src), 7, addr(dst), typ), Length: 84, ICMPType: uint8(typ)}
}

// midstream is a packet of an established TCP connection.
func midstream(p Packet) Packet {
	p.TCPFlags = flow.ACK
	return p
}

func sized(p Packet, n int) Packet {
	p.Length = n
	return p
}

// recollections is a Tracker with fixed answers by interface name.
type recollections map[string]Memory

func (r recollections) Recall(e *ENI, _ Direction, _ *Packet) Memory { return r[e.Name] }

func (b *testbed) walk(t *testing.T, p Packet, from uint32, tracker Tracker) *Path {
	t.Helper()
	path := new(Path)
	b.Walk(p, b.Attachments[from], tracker, path)
	return path
}
