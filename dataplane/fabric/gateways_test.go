package fabric_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vpclab/vpclab/dataplane/fabric"
	. "github.com/vpclab/vpclab/dataplane/fabric/fabrictest"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// TestGateways reads like TestWalk, for NAT gateways, egress-only gateways and the internet gateway's own route table.
func TestGateways(t *testing.T) {
	nat := func(b *Bed) { b.ThroughNAT() }
	tests := []struct {
		name   string
		change func(*Bed)
		packet fabric.Packet
		from   func(*Bed) uint32
		memory fabric.State
		want   string
		sees   string
	}{
		{"a NAT gateway translates twice", nat, TCP("10.0.1.5", 999, "203.0.113.5", 80), client, nil, "delivered example", "tcp 198.51.100.7:1024 > 203.0.113.5:80"},
		{"a ping, too", nat, Ping("10.0.1.5", "203.0.113.5"), client, nil, "delivered example", "icmp type 8 id 1024 198.51.100.7 > 203.0.113.5"},
		{"its subnet's ACL is met on the way in", func(b *Bed) { b.ThroughNAT(); b.Public.ACL = &fabric.ACL{Name: "deny"} },
			TCP("10.0.1.5", 999, "203.0.113.5", 80), client, nil, "nat.out/acl-in SUBNET_ACL_RESTRICTION", ""},
		{"and on the way out", func(b *Bed) {
			b.ThroughNAT()
			b.Public.ACL = &fabric.ACL{Name: "in only", Ingress: b.Private.ACL.Ingress}
		}, TCP("10.0.1.5", 999, "203.0.113.5", 80), client, nil, "nat.out/acl-out SUBNET_ACL_RESTRICTION", ""},
		{"its subnet's route table is asked", func(b *Bed) { b.ThroughNAT(); b.Route(b.Public, "203.0.113.0/24", fabric.ToBlackhole, nil) },
			TCP("10.0.1.5", 999, "203.0.113.5", 80), client, nil, "nat.out/route BAD_STATE_ROUTE", ""},
		{"GRE is not carried", nat, fabric.Packet{Tuple: flow.MakeTuple(47, Addr("10.0.1.5"), 0, Addr("203.0.113.5"), 0), Length: 60, TTL: 64}, client, nil, "nat.out PROTOCOL_RESTRICTION", ""},
		{"nor are other ICMP queries", nat, fabric.Packet{Tuple: flow.MakeTuple(flow.ICMP, Addr("10.0.1.5"), 0, Addr("203.0.113.5"), 13), Length: 60, TTL: 64, ICMPType: 13}, client, nil,
			"nat.out PROTOCOL_RESTRICTION", ""},
		{"nor are fragments of TCP", nat, fragment(TCP("10.0.1.5", 999, "203.0.113.5", 80)), client, nil, "nat.out NAT_FRAGMENT_UNSUPPORTED", ""},
		{"fragments of UDP are", nat, fragment(UDP("10.0.1.5", 999, "203.0.113.5", 80)), client, nil, "delivered example", "udp 198.51.100.7:1024 > 203.0.113.5:80"},
		{"8501 bytes are too big", func(b *Bed) { b.Route(b.Private, "10.0.0.0/24", fabric.ToNATGateway, b.ThroughNAT()) }, Sized(UDP("10.0.1.5", 999, "10.0.0.11", 80), 8501), client, nil,
			"nat.out MTU_EXCEEDED", ""},
		{"8500 bytes are not", func(b *Bed) { b.Route(b.Private, "10.0.0.0/24", fabric.ToNATGateway, b.ThroughNAT()) }, Sized(UDP("10.0.1.5", 999, "10.0.0.11", 80), 8500), client, nil,
			"delivered x", "udp 10.0.0.220:1024 > 10.0.0.11:80"},
		{"a packet that may be cut is not too big", nat, mayFragment(Sized(UDP("10.0.1.5", 999, "203.0.113.5", 80), 9001)), client, nil, "delivered example", "udp 198.51.100.7:1024 > 203.0.113.5:80"},
		{"what comes in unasked is refused", nat, TCP("203.0.113.5", 999, "198.51.100.7", 1024), host, nil, "nat.out NAT_INBOUND", ""},
		{"also from inside", nat, Ping("10.0.1.5", "10.0.0.220"), client, nil, "nat.out NAT_INBOUND", ""},
		{"an answer finds its way", nat, Midstream(TCP("203.0.113.5", 80, "198.51.100.7", 1024)), host, answering{"10.0.1.5:999", recollections{"client": fabric.Tracked}},
			"delivered client", "tcp 203.0.113.5:80 > 10.0.1.5:999"},
		{"an answer meets both subnets' ACLs", func(b *Bed) { b.ThroughNAT(); b.Private.ACL = &fabric.ACL{Name: "deny"} }, Midstream(TCP("203.0.113.5", 80, "198.51.100.7", 1024)), host,
			answering{"10.0.1.5:999", recollections{"client": fabric.Tracked}}, "client/acl-in SUBNET_ACL_RESTRICTION", ""},
		{"a private gateway cannot reach the internet", func(b *Bed) {
			b.Route(b.Private, "0.0.0.0/0", fabric.ToNATGateway, b.NATGateway("inner", b.Public, [2]string{"10.0.0.221", ""}))
		}, TCP("10.0.1.5", 999, "203.0.113.5", 80), client, nil, "igw IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS", ""},
		{"an elastic address of the same VPC is reached through NAT", func(b *Bed) { b.ThroughNAT(); b.WebGroup.Ingress = []fabric.SGRule{From(Anything, "198.51.100.7/32")} },
			TCP("10.0.1.5", 999, "198.51.100.10", 80), client, nil, "delivered web", "tcp 198.51.100.7:1024 > 10.0.0.10:80"},
		{"NAT loses a group reference", func(b *Bed) { b.ThroughNAT(); b.WebGroup.Ingress = []fabric.SGRule{FromGroup(Anything, b.ClientGroup)} },
			TCP("10.0.1.5", 999, "198.51.100.10", 80), client, nil, "web/sg-in ENI_SG_RULES_MISMATCH", ""},
		{"it counts as a hop", nat, expiring(TCP("10.0.1.5", 999, "203.0.113.5", 80)), client, nil, "nat.out TTL_EXPIRED", ""},
		{"a gateway that routes to itself is a circle", func(b *Bed) { b.Route(b.Public, "0.0.0.0/0", fabric.ToNATGateway, b.ThroughNAT()) },
			TCP("10.0.1.5", 999, "203.0.113.5", 80), client, nil, "nat.out ROUTE_LOOP", ""},
		{"who is not of the VPC is not served", func(b *Bed) { b.Route(b.Middle, "0.0.0.0/0", fabric.ToNATGateway, b.ThroughNAT()) }, TCP("10.0.9.9", 999, "203.0.113.5", 80), sender("firewall"), nil, "nat.out NGW_REQUIRES_SOURCE_IN_VPC", ""},

		{"an egress-only gateway lets IPv6 out", (*Bed).EgressOnly, TCP("2001:db8:a::11", 999, "2001:db8:cafe::5", 80), sender("x"), nil, "delivered example", "tcp [2001:db8:a::11]:999 > [2001:db8:cafe::5]:80"},
		{"and nothing in", (*Bed).EgressOnly, TCP("2001:db8:cafe::5", 999, "2001:db8:a::11", 80), host, nil, "eigw EIGW_INBOUND", ""},
		{"but answers", (*Bed).EgressOnly, Midstream(TCP("2001:db8:cafe::5", 80, "2001:db8:a::11", 999)), host, recollections{"eigw": fabric.Tracked, "x": fabric.Tracked},
			"delivered x", "tcp [2001:db8:cafe::5]:80 > [2001:db8:a::11]:999"},
		{"it carries no IPv4", func(b *Bed) { b.EgressOnly(); b.Route(b.Public, "0.0.0.0/0", fabric.ToEgressOnly, nil) }, TCP("10.0.0.11", 999, "203.0.113.5", 80), sender("x"), nil,
			"eigw EIGW_IPV4_UNSUPPORTED", ""},
		{"beside an internet gateway the route back decides", func(b *Bed) { b.EgressOnly(); b.Route(b.Public, "2001:db8:cafe::/48", fabric.ToInternetGateway, nil) },
			TCP("2001:db8:cafe::5", 999, "2001:db8:a::11", 80), host, nil, "delivered x", "tcp [2001:db8:cafe::5]:999 > [2001:db8:a::11]:80"},
		{"without an internet gateway nothing unasked comes in, whatever the route", func(b *Bed) {
			b.EgressOnly()
			b.App.HasIGW = false
			b.Route(b.Public, "2001:db8:cafe::/48", fabric.ToBlackhole, nil)
		}, TCP("2001:db8:cafe::5", 999, "2001:db8:a::11", 80), host, nil, "eigw EIGW_INBOUND", ""},
		{"1501 bytes do not cross it", (*Bed).EgressOnly, Sized(UDP("2001:db8:a::11", 999, "2001:db8:cafe::5", 80), 1501), sender("x"), nil, "eigw MTU_EXCEEDED", ""},

		{"an edge route leads to an appliance first", func(b *Bed) { b.Edge("10.0.0.0/24", b.X) }, TCP("203.0.113.5", 999, "198.51.100.10", 80), host, nil, "x/dest-check ENI_SOURCE_DEST_CHECK_RESTRICTION", ""},
		{"which must forward", func(b *Bed) { b.Edge("10.0.0.0/24", b.X); b.X.SourceDestCheck = false }, TCP("203.0.113.5", 999, "198.51.100.10", 80), host, nil,
			"delivered x", "tcp 203.0.113.5:999 > 10.0.0.10:80"},
		{"and have a public address", func(b *Bed) { b.Edge("10.0.0.0/24", b.Firewall) }, TCP("203.0.113.5", 999, "198.51.100.10", 80), host, nil, "igw INGRESS_RTB_NO_PUBLIC_IP", ""},
		{"what is redirected may not leave directly", func(b *Bed) { b.Edge("10.0.0.0/24", b.X) }, TCP("10.0.0.10", 999, "203.0.113.5", 80), sender("web"), nil, "igw INGRESS_RTB_TRAFFIC_REDIRECTION", ""},
		{"but by the appliance", func(b *Bed) { b.Edge("10.0.0.0/24", b.X); b.X.SourceDestCheck = false }, TCP("10.0.0.10", 999, "203.0.113.5", 80), sender("x"), nil,
			"delivered example", "tcp 198.51.100.10:999 > 203.0.113.5:80"},
		{"other destinations are as before", func(b *Bed) { b.Edge("10.0.1.0/24", b.X) }, TCP("203.0.113.5", 999, "198.51.100.11", 80), host, nil, "delivered x", "tcp 203.0.113.5:999 > 10.0.0.11:80"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := New()
			test.change(b)
			if test.memory == nil {
				test.memory = fabric.Forgetful{}
			}
			path := walk(b, test.packet, test.from(b), test.memory)
			if got := end(b, path); got != test.want {
				t.Fatalf("got %s, want %s\n%s", got, test.want, strings.Join(path.Lines(), "\n"))
			}
			if test.sees != "" && path.Tuple.String() != test.sees {
				t.Errorf("the receiver sees %s, want %s", path.Tuple, test.sees)
			}
		})
	}
}

// answering is a State whose NAT gateways hand every packet from outside to one end inside.
type answering struct {
	inside string
	recollections
}

func (a answering) Restore(*fabric.ENI, *fabric.Packet) (netip.AddrPort, bool) {
	return netip.MustParseAddrPort(a.inside), true
}

func fragment(p fabric.Packet) fabric.Packet {
	p.Fragment = true
	return p
}

func expiring(p fabric.Packet) fabric.Packet {
	p.TTL = 1
	return p
}

func mayFragment(p fabric.Packet) fabric.Packet {
	p.MayFragment = true
	return p
}

// TestNATGatewayTaps: its interface logs each packet twice, once as it came and once as it left.
func TestNATGatewayTaps(t *testing.T) {
	b := New()
	b.ThroughNAT()
	lines := func(p *fabric.Path) []string {
		var got []string
		for _, tap := range p.Taps() {
			got = append(got, tap.ENI.Name+" "+tap.Direction.String()+" "+tap.Tuple.String())
		}
		return got
	}
	out := lines(walk(b, TCP("10.0.1.5", 999, "203.0.113.5", 443), b.Client.Attachment, fabric.Forgetful{}))
	if want := []string{
		"client egress tcp 10.0.1.5:999 > 203.0.113.5:443",
		"nat.out ingress tcp 10.0.1.5:999 > 203.0.113.5:443",
		"nat.out egress tcp 10.0.0.220:1024 > 203.0.113.5:443",
	}; !slices.Equal(out, want) {
		t.Errorf("out: %q", out)
	}
	in := lines(walk(b, Midstream(TCP("203.0.113.5", 443, "198.51.100.7", 1024)), b.Example.Attachment,
		answering{"10.0.1.5:999", recollections{"client": fabric.Tracked}}))
	if want := []string{
		"nat.out ingress tcp 203.0.113.5:443 > 10.0.0.220:1024",
		"nat.out egress tcp 203.0.113.5:443 > 10.0.1.5:999",
		"client ingress tcp 203.0.113.5:443 > 10.0.1.5:999",
	}; !slices.Equal(in, want) {
		t.Errorf("in: %q", in)
	}
}

// TestAutomaticallyTracked: through a NAT or egress-only gateway a connection is tracked even where its rules are open both ways.
func TestAutomaticallyTracked(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Bed)
		packet fabric.Packet
		from   func(*Bed) uint32
		want   fabric.Note
	}{
		{"to the internet gateway", func(*Bed) {}, TCP("10.0.0.11", 9, "203.0.113.5", 80), sender("x"), fabric.BeginUntracked},
		{"to a NAT gateway", func(b *Bed) {
			b.Route(b.Public, "0.0.0.0/0", fabric.ToNATGateway, b.NATGateway("m", b.Middle, [2]string{"10.0.2.220", ""}))
		},
			TCP("10.0.0.11", 9, "203.0.113.5", 80), sender("x"), fabric.BeginTracked},
		{"to an egress-only gateway", (*Bed).EgressOnly, TCP("2001:db8:a::11", 9, "2001:db8:cafe::5", 80), sender("x"), fabric.BeginTracked},
	} {
		b := New()
		test.change(b)
		path := walk(b, test.packet, test.from(b), fabric.Forgetful{})
		if got := path.Taps()[0].Note; got != test.want {
			t.Errorf("%s: note %v, want %v", test.name, got, test.want)
		}
	}
}

// TestICMPErrorThroughNAT: the error and its quotation are translated together, both ways.
func TestICMPErrorThroughNAT(t *testing.T) {
	b := New()
	b.ThroughNAT()
	in := fabric.Packet{
		Tuple: flow.MakeTuple(flow.ICMP, Addr("203.0.113.5"), 0, Addr("198.51.100.7"), 3), Length: 56, TTL: 64, ICMPType: 3, ICMPCode: 3, Error: true,
		Quoted: flow.MakeTuple(flow.UDP, Addr("198.51.100.7"), 1024, Addr("203.0.113.5"), 53),
	}
	path := walk(b, in, b.Example.Attachment, answering{"10.0.1.5:999", recollections{"client": fabric.Tracked}})
	if want := (flow.Rewrite{Src: Addr("10.0.1.5"), SrcPort: 999}); path.Verdict != flow.Deliver || path.Quote != want || path.Rewrite != (flow.Rewrite{Dst: Addr("10.0.1.5"), Hops: 1}) {
		t.Errorf("inward: %v, quote %v, rewrite %v", path.Lines(), path.Quote, path.Rewrite)
	}
	out := fabric.Packet{
		Tuple: flow.MakeTuple(flow.ICMP, Addr("10.0.1.5"), 0, Addr("203.0.113.5"), 3), Length: 56, TTL: 64, ICMPType: 3, ICMPCode: 3, Error: true,
		Quoted: flow.MakeTuple(flow.UDP, Addr("203.0.113.5"), 53, Addr("10.0.1.5"), 999),
	}
	path = walk(b, out, b.Client.Attachment, recollections{"client": fabric.Tracked})
	if want := (flow.Rewrite{Dst: Addr("198.51.100.7"), DstPort: 1024}); path.Verdict != flow.Deliver || path.Quote != want {
		t.Errorf("outward: %v, quote %v", path.Lines(), path.Quote)
	}
}
