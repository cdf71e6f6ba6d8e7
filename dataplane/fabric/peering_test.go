package fabric_test

import (
	"strings"
	"testing"

	"github.com/gaissmai/bart"

	"github.com/vpclab/vpclab/dataplane/fabric"
	. "github.com/vpclab/vpclab/dataplane/fabric/fabrictest"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// The ways in which two VPCs are peered.
var (
	joinedEnds = func(b *Bed) *Data { return b.Peer(true, false) }
	linkedEnds = func(b *Bed) *Data { return b.Peer(false, false) }
	farRegion  = func(b *Bed) *Data { return b.Peer(false, true) }
	admitAll   = func(b *Bed, d *Data) {
		d.Group.Ingress = []fabric.SGRule{From(Anything, "10.0.0.0/16"), From(Anything, "2001:db8:a::/56")}
	}
	admitGroup  = func(b *Bed, d *Data) { d.Group.Ingress = []fabric.SGRule{FromGroup(Anything, b.ClientGroup)} }
	toPeerGroup = func(b *Bed, d *Data) { b.ClientGroup.Egress = []fabric.SGRule{FromGroup(Anything, d.Group)} }
)

// emergesInData is data's end of the link, where what app sent comes out.
func emergesInData(b *Bed) uint32 { return b.VPCs[1].Peerings[0].Attachment }

func sentBy(p fabric.Packet, sender uint32) fabric.Packet {
	p.Sender = sender
	return p
}

// TestPeering: over joined ends a walk ends at the receiver; over a link at the link, and another one begins where the packet comes out.
func TestPeering(t *testing.T) {
	request, far := TCP("10.0.1.5", 999, "10.9.1.4", 5432), TCP("10.0.1.5", 999, "10.9.2.4", 5432)
	tests := []struct {
		name   string
		peered func(*Bed) *Data
		change func(*Bed, *Data)
		packet fabric.Packet
		from   func(*Bed) uint32
		want   string
	}{
		{"joined ends: to the receiver", joinedEnds, admitAll, request, client, "delivered db"},
		{"IPv6, too", joinedEnds, admitAll, TCP("2001:db8:a::11", 999, "2001:db8:d::4", 5432), sender("x"), "delivered db"},
		{"the receiver's groups decide", joinedEnds, nil, request, client, "db/sg-in ENI_SG_RULES_MISMATCH"},
		{"its subnet's ACL does", joinedEnds, func(b *Bed, d *Data) { admitAll(b, d); d.Subnet.ACL = &fabric.ACL{Name: "deny"} }, request, client, "db/acl-in SUBNET_ACL_RESTRICTION"},
		{"without a route nothing leaves", joinedEnds, func(b *Bed, d *Data) { admitAll(b, d); b.Route(b.Private, "10.9.1.0/24", fabric.ToBlackhole, nil) }, request, client, "client/route BAD_STATE_ROUTE"},
		{"nobody has the address", joinedEnds, admitAll, far, client, "peering.app-data UNKNOWN_DESTINATION"},
		{"9001 bytes cross within a region", joinedEnds, admitAll, Sized(UDP("10.0.1.5", 999, "10.9.1.4", 53), 9001), client, "delivered db"},
		{"a member of a group that the peer admits", joinedEnds, admitGroup, request, client, "delivered db"},
		{"who is no member of it", joinedEnds, admitGroup, TCP("10.0.0.11", 999, "10.9.1.4", 5432), sender("x"), "db/sg-in ENI_SG_RULES_MISMATCH"},
		{"to a member of the peer's group", joinedEnds, func(b *Bed, d *Data) { admitAll(b, d); toPeerGroup(b, d) }, request, client, "delivered db"},
		{"to somebody else than its members", joinedEnds, toPeerGroup, TCP("10.0.1.5", 999, "10.0.0.11", 80), client, "client/sg-out ENI_SG_RULES_MISMATCH"},

		{"a link takes it", linkedEnds, nil, request, client, "delivered peering.app-data"},
		{"and it comes out at the other end", linkedEnds, admitAll, request, emergesInData, "delivered db"},
		{"where the groups decide", linkedEnds, nil, request, emergesInData, "db/sg-in ENI_SG_RULES_MISMATCH"},
		{"and know who sent it", linkedEnds, admitGroup, sentBy(request, 4), emergesInData, "delivered db"},
		{"and who did not", linkedEnds, admitGroup, sentBy(request, 2), emergesInData, "db/sg-in ENI_SG_RULES_MISMATCH"},
		{"an unknown sender is in no group", linkedEnds, admitGroup, sentBy(request, 99), emergesInData, "db/sg-in ENI_SG_RULES_MISMATCH"},
		{"between regions groups are not known", farRegion, admitGroup, sentBy(request, 4), emergesInData, "db/sg-in ENI_SG_RULES_MISMATCH"},
		{"8500 bytes cross between regions", farRegion, nil, Sized(UDP("10.0.1.5", 999, "10.9.1.4", 53), 8500), client, "delivered peering.app-data"},
		{"8501 do not", farRegion, nil, Sized(UDP("10.0.1.5", 999, "10.9.1.4", 53), 8501), client, "peering.app-data MTU_EXCEEDED"},

		{"what is not for the peer goes no further", joinedEnds, func(b *Bed, d *Data) { b.RoutePeering(b.Private, "0.0.0.0/0", d.Near) }, TCP("10.0.1.5", 999, "203.0.113.5", 443), client,
			"peering.app-data PCX_REQUIRES_ADDRESS_IN_VPC_CIDR"},
		{"nor over a link", linkedEnds, nil, TCP("10.0.1.5", 999, "10.2.0.4", 443), emergesInData, "peering.app-data PCX_REQUIRES_ADDRESS_IN_VPC_CIDR"},
		{"what comes from behind the VPC does not enter", joinedEnds, func(b *Bed, d *Data) { b.RoutePeering(b.Middle, "10.9.0.0/16", d.Near) }, TCP("172.16.0.9", 999, "10.9.1.4", 443), sender("firewall"),
			"peering.app-data PCX_REQUIRES_ADDRESS_IN_VPC_CIDR"},
		{"the peer's gateways are out of reach", joinedEnds, func(b *Bed, d *Data) { b.ThroughNAT(); b.RoutePeering(d.Subnet, "0.0.0.0/0", d.Far) }, TCP("10.9.1.4", 999, "203.0.113.5", 443), sender("db"),
			"peering.app-data PCX_REQUIRES_ADDRESS_IN_VPC_CIDR"},
		{"a private NAT gateway sends over it under its own address", joinedEnds, func(b *Bed, d *Data) {
			d.Group.Ingress = []fabric.SGRule{From(Anything, "10.0.0.221/32")}
			b.Route(b.Private, "10.9.0.0/16", fabric.ToNATGateway, b.NATGateway("inner", b.Public, [2]string{"10.0.0.221", ""}))
		}, request, client, "delivered db"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := New()
			d := test.peered(b)
			if test.change != nil {
				test.change(b, d)
			}
			path := walk(b, test.packet, test.from(b), fabric.Forgetful{})
			got := path.At() + " " + path.Reason.String()
			if path.Verdict == flow.Deliver {
				got = "delivered " + b.Attachments[path.Out].Name()
			}
			if got != test.want {
				t.Errorf("got %s, want %s\n%s", got, test.want, strings.Join(path.Lines(), "\n"))
			}
		})
	}
}

// TestPeeringTaps: the flow log's traffic-path tells a peering connection within a region from one between two.
func TestPeeringTaps(t *testing.T) {
	for interRegion, want := range map[bool]uint8{false: fabric.PathPeering, true: fabric.PathInterRegionPeering} {
		b := New()
		b.Peer(false, interRegion)
		path := walk(b, TCP("10.0.1.5", 999, "10.9.1.4", 5432), b.Client.Attachment, fabric.Forgetful{})
		if taps := path.Taps(); len(taps) != 1 || taps[0].TrafficPath != want || !taps[0].Accept {
			t.Errorf("between regions %v: %+v, want traffic path %d", interRegion, taps, want)
		}
	}
}

// TestPeeringDomains: a packet over joined ends depends on both VPCs, and one that a link takes or brings on that of its end.
func TestPeeringDomains(t *testing.T) {
	b := New()
	d := b.Peer(true, false)
	admitAll(b, d)
	b.App.Generation, d.Generation = 5, 9
	request := TCP("10.0.1.5", 999, "10.9.1.4", 5432)
	if got, want := walk(b, request, b.Client.Attachment, fabric.Forgetful{}).Domains, [2]flow.Domain{{Index: 1, Generation: 5}, {Index: 2, Generation: 9}}; got != want {
		t.Errorf("joined: %v, want %v", got, want)
	}
	b = New()
	d = b.Peer(false, false)
	b.App.Generation, d.Generation = 5, 9
	if got, want := walk(b, request, b.Client.Attachment, fabric.Forgetful{}).Domains, [2]flow.Domain{{Index: 1, Generation: 5}, {Index: 1, Generation: 5}}; got != want {
		t.Errorf("into the link: %v, want %v", got, want)
	}
	if got, want := walk(b, request, d.Far.Attachment, fabric.Forgetful{}).Domains, [2]flow.Domain{{Index: 2, Generation: 9}, {Index: 2, Generation: 9}}; got != want {
		t.Errorf("out of the link: %v, want %v", got, want)
	}
}

// TestPeeringAdvice: what is said of a packet that a connection does not carry names the VPC, the address and the route that it lacks.
func TestPeeringAdvice(t *testing.T) {
	answer := TCP("10.9.1.4", 5432, "10.0.1.5", 999)
	answer.TCPFlags = flow.SYN | flow.ACK
	tests := []struct {
		name           string
		change         func(*Bed, *Data)
		packet         fabric.Packet
		from           func(*Bed) uint32
		detail, advice string
	}{
		{"for a third VPC", func(b *Bed, d *Data) { b.RoutePeering(b.Private, "10.2.0.0/16", d.Near) }, TCP("10.0.1.5", 999, "10.2.0.4", 443), client,
			"10.2.0.4 is not an address of VPC data",
			"peering is not transitive: route 10.2.0.4/32 to a gateway of the sender's VPC, or to a connection with the VPC that has it"},
		{"from behind the VPC", func(b *Bed, d *Data) { b.RoutePeering(b.Middle, "10.9.0.0/16", d.Near) }, TCP("172.16.0.9", 999, "10.9.1.4", 443), sender("firewall"),
			"172.16.0.9 is not an address of VPC app", "send from an address of VPC app, or peer the VPC that has 172.16.0.9"},
		{"for nobody", nil, TCP("10.0.1.5", 999, "10.9.2.4", 443), client,
			"nobody in VPC data has 10.9.2.4", "nothing has the address 10.9.2.4; check the destination"},
		{"without a route back", func(_ *Bed, d *Data) {
			d.Subnet.Routes = &fabric.RouteTable{Name: "side", Routes: new(bart.Table[*fabric.Route])}
		}, answer, sender("db"),
			"table side, nothing matches 10.0.1.5", `add the route "10.0.0.0/16: peering.app-data" to route table side`},
		{"an answer that nobody waits for", nil, answer, sender("db"), "no rule matches, and no such connection is tracked",
			"client knows no connection that has this packet in it: open a new one, or look at the route that brought it here"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := New()
			d := b.Peer(true, false)
			if test.change != nil {
				test.change(b, d)
			}
			path := walk(b, test.packet, test.from(b), recollections{"db": fabric.Tracked})
			lines := path.Lines()
			if last := lines[len(lines)-1]; !strings.Contains(last, ": "+test.detail+" -- ") {
				t.Errorf("got %s, want %s", last, test.detail)
			}
			if got := path.Advice(); got != test.advice {
				t.Errorf("got %q, want %q", got, test.advice)
			}
		})
	}
}
