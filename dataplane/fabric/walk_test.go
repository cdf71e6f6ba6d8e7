package fabric_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vpclab/vpclab/dataplane/fabric"
	. "github.com/vpclab/vpclab/dataplane/fabric/fabrictest"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// TestWalk reads as sentences: in this network, this packet from that sender ends so.
func TestWalk(t *testing.T) {
	tcp80 := Port(flow.TCP, 80)
	tests := []struct {
		name   string
		change func(*Bed)
		packet fabric.Packet
		from   func(*Bed) uint32
		memory recollections
		want   string // delivered NAME, or AT REASON
		sees   string // the tuple at the receiver, when delivered
	}{
		{"an admitted packet crosses the VPC", allowWeb(From(tcp80, "10.0.1.0/24")), TCP("10.0.1.5", 999, "10.0.0.10", 80), client, nil,
			"delivered web", "tcp 10.0.1.5:999 > 10.0.0.10:80"},
		{"another port is refused by the receiver's group", allowWeb(From(tcp80, "10.0.1.0/24")), TCP("10.0.1.5", 999, "10.0.0.10", 81), client, nil,
			"web/sg-in ENI_SG_RULES_MISMATCH", ""},
		{"a group without rules admits nothing", nil, TCP("10.0.1.5", 999, "10.0.0.10", 80), client, nil, "web/sg-in ENI_SG_RULES_MISMATCH", ""},
		{"the sender's group refuses first", func(b *Bed) { b.ClientGroup.Egress = nil }, TCP("10.0.1.5", 999, "10.0.0.10", 80), client, nil,
			"client/sg-out ENI_SG_RULES_MISMATCH", ""},
		{"a group reference admits a member", func(b *Bed) { b.WebGroup.Ingress = []fabric.SGRule{FromGroup(tcp80, b.ClientGroup)} },
			TCP("10.0.1.5", 999, "10.0.0.10", 80), client, nil, "delivered web", "tcp 10.0.1.5:999 > 10.0.0.10:80"},
		{"a group reference does not admit another", func(b *Bed) { b.WebGroup.Ingress = []fabric.SGRule{FromGroup(tcp80, b.ClientGroup)} },
			TCP("10.0.0.11", 999, "10.0.0.10", 80), sender("x"), nil, "web/sg-in ENI_SG_RULES_MISMATCH", ""},
		{"a group reference is lost behind an appliance", func(b *Bed) { b.WebGroup.Ingress = []fabric.SGRule{FromGroup(tcp80, b.ClientGroup)} },
			TCP("10.0.1.5", 999, "10.0.0.10", 80), sender("firewall"), nil, "web/sg-in ENI_SG_RULES_MISMATCH", ""},
		{"a group reference to the appliance does not match a forwarded packet", func(b *Bed) { b.WebGroup.Ingress = []fabric.SGRule{FromGroup(tcp80, b.Other)} },
			TCP("10.0.1.5", 999, "10.0.0.10", 80), sender("firewall"), nil, "web/sg-in ENI_SG_RULES_MISMATCH", ""},
		{"a group reference does not match a public address", func(b *Bed) { b.WebGroup.Ingress = []fabric.SGRule{FromGroup(tcp80, b.Other)} },
			TCP("10.0.0.11", 999, "198.51.100.10", 80), sender("x"), nil, "web/sg-in ENI_SG_RULES_MISMATCH", ""},
		{"an egress group reference matches a member's private address", func(b *Bed) { b.ClientGroup.Egress = []fabric.SGRule{FromGroup(tcp80, b.Other)} },
			TCP("10.0.1.5", 999, "10.0.0.12", 80), client, nil, "delivered v", "tcp 10.0.1.5:999 > 10.0.0.12:80"},
		{"an egress group reference does not match others", func(b *Bed) { b.ClientGroup.Egress = []fabric.SGRule{FromGroup(tcp80, b.Other)} },
			TCP("10.0.1.5", 999, "10.0.0.10", 80), client, nil, "client/sg-out ENI_SG_RULES_MISMATCH", ""},
		{"an IPv4 rule does not match IPv6", allowWeb(From(Anything, "0.0.0.0/0")), Ping("2001:db8:a::11", "2001:db8:a::10"), sender("x"), nil,
			"web/sg-in ENI_SG_RULES_MISMATCH", ""},
		{"other protocols ignore ports", allowWeb(From(fabric.Traffic{Protocol: 47}, "0.0.0.0/0")), fabric.Packet{Tuple: flow.MakeTuple(47, Addr("10.0.1.5"), 0, Addr("10.0.0.10"), 0), Length: 60},
			client, nil, "delivered web", "protocol 47 10.0.1.5 > 10.0.0.10"},
		{"an ICMP rule for a type admits it", allowWeb(From(fabric.Traffic{Protocol: flow.ICMP, ICMPType: 8, ICMPCode: -1}, "0.0.0.0/0")), Ping("10.0.1.5", "10.0.0.10"), client, nil,
			"delivered web", "icmp type 8 id 7 10.0.1.5 > 10.0.0.10"},
		{"and not another type", allowWeb(From(fabric.Traffic{Protocol: flow.ICMP, ICMPType: 0, ICMPCode: -1}, "0.0.0.0/0")), Ping("10.0.1.5", "10.0.0.10"), client, nil,
			"web/sg-in ENI_SG_RULES_MISMATCH", ""},

		{"ACLs do not act inside a subnet", denyAll, TCP("10.0.0.12", 999, "10.0.0.11", 80), sender("v"), nil, "delivered x", "tcp 10.0.0.12:999 > 10.0.0.11:80"},
		{"an fabric.ACL acts on what enters the subnet", denyAll, TCP("10.0.1.5", 999, "10.0.0.11", 80), client, nil, "x/acl-in SUBNET_ACL_RESTRICTION", ""},
		{"an fabric.ACL acts on what leaves the subnet", denyAll, TCP("10.0.0.11", 999, "10.0.1.5", 80), sender("x"), nil, "x/acl-out SUBNET_ACL_RESTRICTION", ""},
		{"the first fabric.ACL entry decides, not the narrowest", func(b *Bed) {
			b.Public.ACL = &fabric.ACL{Name: "ordered", Ingress: []fabric.ACLEntry{Entry(false, Anything, "10.0.0.0/8"), Entry(true, tcp80, "10.0.1.5/32")}}
		}, TCP("10.0.1.5", 999, "10.0.0.11", 80), client, nil, "x/acl-in SUBNET_ACL_RESTRICTION", ""},
		{"an fabric.ACL is stateless: a tracked answer needs its port", func(b *Bed) {
			b.Private.ACL = &fabric.ACL{Name: "narrow", Ingress: []fabric.ACLEntry{Entry(true, Port(flow.TCP, 443), "0.0.0.0/0")}}
		}, Midstream(TCP("10.0.0.11", 443, "10.0.1.5", 51000)), sender("x"), recollections{"x": fabric.Tracked, "client": fabric.Tracked}, "client/acl-in SUBNET_ACL_RESTRICTION", ""},

		{"nobody in the subnet has the address", nil, TCP("10.0.0.11", 999, "10.0.0.77", 80), sender("x"), nil, "x/route UNKNOWN_DESTINATION", ""},
		{"nobody in the VPC has the address", nil, TCP("10.0.0.11", 999, "10.0.1.77", 80), sender("x"), nil, "x/route UNKNOWN_DESTINATION", ""},
		{"no route", nil, TCP("10.0.1.5", 999, "203.0.113.5", 80), client, nil, "client/route NO_ROUTE_TO_DESTINATION", ""},
		{"a blackhole does not fall through", func(b *Bed) { b.Route(b.Public, "203.0.113.0/24", fabric.ToBlackhole, nil) },
			TCP("10.0.0.11", 999, "203.0.113.5", 80), sender("x"), nil, "x/route BAD_STATE_ROUTE", ""},
		{"beside a blackhole the shorter route works", func(b *Bed) { b.Route(b.Public, "203.0.113.128/25", fabric.ToBlackhole, nil) },
			TCP("10.0.0.11", 999, "203.0.113.5", 80), sender("x"), nil, "delivered example", "tcp 198.51.100.11:999 > 203.0.113.5:80"},
		{"a VPC service is not routed", func(b *Bed) { b.Route(b.Private, "169.254.0.0/16", fabric.ToENI, b.X) }, TCP("10.0.1.5", 999, "169.254.169.254", 80), client, nil,
			"client/service VPC_SERVICE_UNAVAILABLE", ""},
		{"a VPC service is not filtered", func(b *Bed) { b.ClientGroup.Egress = nil }, UDP("10.0.1.5", 999, "10.0.0.2", 53), client, nil,
			"client/service VPC_SERVICE_UNAVAILABLE", ""},

		{"a route to an appliance delivers there", viaFirewall, TCP("10.0.1.5", 999, "10.0.0.11", 80), client, nil, "delivered firewall", "tcp 10.0.1.5:999 > 10.0.0.11:80"},
		{"an appliance with destination check drops", func(b *Bed) { viaFirewall(b); b.Firewall.SourceDestCheck = true }, TCP("10.0.1.5", 999, "10.0.0.11", 80), client, nil,
			"firewall/dest-check ENI_SOURCE_DEST_CHECK_RESTRICTION", ""},
		{"source check", nil, TCP("10.0.1.99", 999, "10.0.0.11", 80), client, nil, "client/source-check ENI_SOURCE_DEST_CHECK_RESTRICTION", ""},
		{"an appliance may send others' packets", nil, TCP("10.0.1.5", 999, "10.0.0.11", 80), sender("firewall"), nil, "delivered x", "tcp 10.0.1.5:999 > 10.0.0.11:80"},
		{"a loopback source is never valid", nil, TCP("127.0.0.1", 999, "10.0.0.11", 80), sender("firewall"), nil, "firewall/source-check INVALID_SOURCE_ADDRESS", ""},

		{"the internet gateway gives the source its public address", nil, TCP("10.0.0.11", 999, "203.0.113.5", 80), sender("x"), nil,
			"delivered example", "tcp 198.51.100.11:999 > 203.0.113.5:80"},
		{"without a public address nothing leaves", nil, TCP("10.0.0.12", 999, "203.0.113.5", 80), sender("v"), nil, "igw IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS", ""},
		{"the gateway refuses private destinations", nil, TCP("10.0.0.11", 999, "192.168.1.1", 80), sender("x"), nil, "igw IGW_DESTINATION_ADDRESS_NOT_IN_RFC1918_EGRESS", ""},
		{"the gateway refuses shared address space", nil, TCP("10.0.0.11", 999, "100.64.0.1", 80), sender("x"), nil, "igw IGW_DESTINATION_ADDRESS_NOT_IN_RFC6598_EGRESS", ""},
		{"IPv6 leaves as it is", nil, TCP("2001:db8:a::11", 999, "2001:db8:cafe::5", 80), sender("x"), nil, "delivered example", "tcp [2001:db8:a::11]:999 > [2001:db8:cafe::5]:80"},
		{"a forged IPv6 source does not leave", func(b *Bed) { b.X.SourceDestCheck = false }, TCP("2001:db8:a::99", 999, "2001:db8:cafe::5", 80), sender("x"), nil,
			"igw GATEWAY_REJECTS_SPOOFED_TRAFFIC", ""},
		{"more than 1500 bytes do not cross the gateway", nil, Sized(UDP("10.0.0.11", 999, "203.0.113.5", 80), 1501), sender("x"), nil, "igw MTU_EXCEEDED", ""},
		{"1500 bytes do", nil, Sized(UDP("10.0.0.11", 999, "203.0.113.5", 80), 1500), sender("x"), nil, "delivered example", "udp 198.51.100.11:999 > 203.0.113.5:80"},
		{"two instances talk by public addresses", nil, TCP("10.0.0.11", 999, "198.51.100.10", 80), sender("x"), recollections{"web": fabric.Tracked},
			"delivered web", "tcp 198.51.100.11:999 > 10.0.0.10:80"},
		{"an instance talks to its own public address", nil, TCP("10.0.0.11", 999, "198.51.100.11", 80), sender("x"), nil,
			"delivered x", "tcp 198.51.100.11:999 > 10.0.0.11:80"},
		{"nobody has the destination", nil, TCP("10.0.0.11", 999, "8.8.8.8", 80), sender("x"), nil, "internet UNKNOWN_DESTINATION", ""},

		{"the internet reaches a mapped address", nil, TCP("203.0.113.5", 999, "198.51.100.11", 80), host, nil, "delivered x", "tcp 203.0.113.5:999 > 10.0.0.11:80"},
		{"its groups still decide", nil, TCP("203.0.113.5", 999, "198.51.100.10", 80), host, nil, "web/sg-in ENI_SG_RULES_MISMATCH", ""},
		{"an address that is mapped to nothing", nil, TCP("203.0.113.5", 999, "198.51.100.99", 80), host, nil, "igw IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS", ""},
		{"an address of the pool that is mapped to nothing", nil, TCP("203.0.113.5", 999, "198.18.0.9", 80), host, nil, "igw IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS", ""},
		{"IPv6 from the internet", nil, Ping("2001:db8:cafe::5", "2001:db8:a::11"), host, nil, "delivered x", "icmpv6 type 128 id 7 2001:db8:cafe::5 > 2001:db8:a::11"},
		{"a private source from the internet", nil, TCP("192.168.0.1", 999, "198.51.100.11", 80), host, nil, "igw IGW_SOURCE_ADDRESS_NOT_IN_RFC1918_INGRESS", ""},
		{"a forged source from the internet", nil, TCP("203.0.113.66", 999, "198.51.100.11", 80), host, nil, "example/source-check GATEWAY_REJECTS_SPOOFED_TRAFFIC", ""},

		{"a tracked answer needs no rule", func(b *Bed) { b.WebGroup.Egress = nil }, Midstream(TCP("10.0.0.10", 80, "10.0.1.5", 999)), sender("web"),
			recollections{"web": fabric.Tracked, "client": fabric.Tracked}, "delivered client", "tcp 10.0.0.10:80 > 10.0.1.5:999"},
		{"an untracked answer needs a rule", func(b *Bed) { b.WebGroup.Egress = nil }, Midstream(TCP("10.0.0.10", 80, "10.0.1.5", 999)), sender("web"),
			recollections{"web": fabric.UntrackedReply, "client": fabric.Tracked}, "web/sg-out ENI_SG_RULES_MISMATCH", ""},
		{"the middle of an unknown connection is refused where it would be tracked", func(b *Bed) { b.ClientGroup.Ingress = []fabric.SGRule{From(tcp80, "10.0.0.0/16")} },
			Midstream(TCP("10.0.0.12", 999, "10.0.1.5", 80)), sender("v"), nil, "client/sg-in NO_TRACKED_CONNECTION", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := New()
			if test.change != nil {
				test.change(b)
			}
			path := walk(b, test.packet, test.from(b), test.memory)
			if got := end(b, path); got != test.want {
				t.Fatalf("got %s, want %s\n%s", got, test.want, strings.Join(path.Lines(), "\n"))
			}
			if test.sees != "" && path.Tuple.String() != test.sees {
				t.Errorf("the receiver sees %s, want %s", path.Tuple, test.sees)
			}
			if path.Verdict == flow.Drop && len(path.Lines()) == 0 {
				t.Error("a drop without hops")
			}
		})
	}
}

func allowWeb(rules ...fabric.SGRule) func(*Bed) {
	return func(b *Bed) { b.WebGroup.Ingress = rules }
}

func denyAll(b *Bed) { b.Public.ACL = &fabric.ACL{Name: "deny"} }

func viaFirewall(b *Bed) { b.Route(b.Private, "10.0.0.0/24", fabric.ToENI, b.Firewall) }

func sender(name string) func(*Bed) uint32 {
	return func(b *Bed) uint32 {
		for _, a := range b.Attachments {
			if a != nil && a.Name() == name {
				return a.Index
			}
		}
		panic("no attachment " + name)
	}
}

var (
	client = sender("client")
	host   = sender("example")
)

// TestUntracked: AWS does not track a flow that a rule open to everybody admits, if everything may flow back.
func TestUntracked(t *testing.T) {
	everybody := From(Port(flow.TCP, 443), "0.0.0.0/0")
	tests := []struct {
		name    string
		ingress []fabric.SGRule
		egress  []fabric.SGRule
		packet  fabric.Packet
		want    fabric.Note
	}{
		{"open both ways", []fabric.SGRule{everybody}, []fabric.SGRule{From(Anything, "0.0.0.0/0")}, TCP("203.0.113.5", 9, "198.51.100.10", 443), fabric.BeginUntracked},
		{"open in, narrow out", []fabric.SGRule{everybody}, []fabric.SGRule{From(Port(flow.TCP, 443), "0.0.0.0/0")}, TCP("203.0.113.5", 9, "198.51.100.10", 443), fabric.BeginTracked},
		{"open in, nothing out", []fabric.SGRule{everybody}, nil, TCP("203.0.113.5", 9, "198.51.100.10", 443), fabric.BeginTracked},
		{"narrow in, open out", []fabric.SGRule{From(Port(flow.TCP, 443), "203.0.113.0/24")}, []fabric.SGRule{From(Anything, "0.0.0.0/0")}, TCP("203.0.113.5", 9, "198.51.100.10", 443), fabric.BeginTracked},
		{"open in, all TCP ports out", []fabric.SGRule{everybody}, []fabric.SGRule{From(fabric.Traffic{Protocol: flow.TCP, ToPort: 65535}, "0.0.0.0/0")}, TCP("203.0.113.5", 9, "198.51.100.10", 443), fabric.BeginUntracked},
		{"open in, all UDP ports out", []fabric.SGRule{everybody}, []fabric.SGRule{From(fabric.Traffic{Protocol: flow.UDP, ToPort: 65535}, "0.0.0.0/0")}, TCP("203.0.113.5", 9, "198.51.100.10", 443), fabric.BeginTracked},
		{"open in, open out for IPv6 only", []fabric.SGRule{everybody}, []fabric.SGRule{From(Anything, "::/0")}, TCP("203.0.113.5", 9, "198.51.100.10", 443), fabric.BeginTracked},
		{"ICMP is always tracked", []fabric.SGRule{From(Anything, "0.0.0.0/0")}, []fabric.SGRule{From(Anything, "0.0.0.0/0")}, Ping("203.0.113.5", "198.51.100.10"), fabric.BeginTracked},
		{"so are other protocols", []fabric.SGRule{From(Anything, "0.0.0.0/0")}, []fabric.SGRule{From(Anything, "0.0.0.0/0")},
			fabric.Packet{Tuple: flow.MakeTuple(47, Addr("203.0.113.5"), 0, Addr("198.51.100.10"), 0)}, fabric.BeginTracked},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := New()
			b.WebGroup.Ingress, b.WebGroup.Egress = test.ingress, test.egress
			path := walk(b, test.packet, b.Example.Attachment, fabric.Forgetful{})
			taps := path.Taps()
			if path.Verdict != flow.Deliver || len(taps) != 1 || taps[0].Note != test.want {
				t.Errorf("verdict %v, taps %+v, want note %v", path.Verdict, taps, test.want)
			}
		})
	}
}

// TestTaps: one tap an interface, with the addresses that it saw, and ACCEPT unless its own groups or fabric.ACL refused.
func TestTaps(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Bed)
		packet fabric.Packet
		from   func(*Bed) uint32
		want   []string
	}{
		{"two interfaces", nil, TCP("10.0.0.12", 9, "10.0.0.11", 80), sender("v"), []string{
			"v egress ACCEPT tcp 10.0.0.12:9 > 10.0.0.11:80 path 1", "x ingress ACCEPT tcp 10.0.0.12:9 > 10.0.0.11:80 path 0"}},
		{"public addresses never appear at an instance", nil, TCP("203.0.113.5", 9, "198.51.100.11", 80), host, []string{
			"x ingress ACCEPT tcp 203.0.113.5:9 > 10.0.0.11:80 path 0"}},
		{"a routing drop is accepted by the sender's interface", nil, TCP("10.0.0.12", 9, "203.0.113.5", 80), sender("v"), []string{
			"v egress ACCEPT tcp 10.0.0.12:9 > 203.0.113.5:80 path 8"}},
		{"the receiver refuses", nil, TCP("10.0.1.5", 9, "10.0.0.10", 80), client, []string{
			"client egress ACCEPT tcp 10.0.1.5:9 > 10.0.0.10:80 path 1", "web ingress REJECT tcp 10.0.1.5:9 > 10.0.0.10:80 path 0"}},
		{"the fabric.ACL refuses on the way out", denyAll, TCP("10.0.0.11", 9, "10.0.1.5", 80), sender("x"), []string{
			"x egress REJECT tcp 10.0.0.11:9 > 10.0.1.5:80 path 0"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := New()
			if test.change != nil {
				test.change(b)
			}
			var got []string
			for _, tap := range walk(b, test.packet, test.from(b), fabric.Forgetful{}).Taps() {
				action := "REJECT"
				if tap.Accept {
					action = "ACCEPT"
				}
				got = append(got, strings.Join([]string{tap.ENI.Name, tap.Direction.String(), action, tap.Tuple.String(), "path", string('0' + rune(tap.TrafficPath))}, " "))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

// TestICMPErrors: an error passes the groups with the connection that it quotes, and the gateway translates the quotation.
func TestICMPErrors(t *testing.T) {
	b := New()
	b.WebGroup.Egress = nil
	unreachable := fabric.Packet{
		Tuple: flow.MakeTuple(flow.ICMP, Addr("10.0.0.10"), 0, Addr("203.0.113.5"), 3), Length: 56, ICMPType: 3, ICMPCode: 3,
		Error: true, Quoted: flow.MakeTuple(flow.UDP, Addr("203.0.113.5"), 999, Addr("10.0.0.10"), 53),
	}
	path := walk(b, unreachable, b.Web.Attachment, fabric.Forgetful{})
	if path.Reason != flow.SGRulesMismatch {
		t.Fatalf("an error of no connection: got %v, want ENI_SG_RULES_MISMATCH", path.Reason)
	}
	path = walk(b, unreachable, b.Web.Attachment, recollections{"web": fabric.Tracked})
	if path.Verdict != flow.Deliver {
		t.Fatalf("an error of a tracked connection: %v", path.Lines())
	}
	if want := (flow.Rewrite{Src: Addr("198.51.100.10")}); path.Rewrite != want {
		t.Errorf("rewrite %v, want %v", path.Rewrite, want)
	}
	if want := (flow.Rewrite{Dst: Addr("198.51.100.10")}); path.Quote != want {
		t.Errorf("quotation's rewrite %v, want %v", path.Quote, want)
	}
	fromHost := fabric.Packet{
		Tuple: flow.MakeTuple(flow.ICMP, Addr("203.0.113.5"), 0, Addr("198.51.100.10"), 3), Length: 56, ICMPType: 3, ICMPCode: 3,
		Error: true, Quoted: flow.MakeTuple(flow.UDP, Addr("198.51.100.10"), 53, Addr("203.0.113.5"), 999),
	}
	path = walk(b, fromHost, b.Example.Attachment, recollections{"web": fabric.Tracked})
	if want := (flow.Rewrite{Src: Addr("10.0.0.10")}); path.Verdict != flow.Deliver || path.Quote != want {
		t.Errorf("inward: verdict %v, quotation's rewrite %v, want %v", path.Verdict, path.Quote, want)
	}
}

// TestAdvice: what a person is told to change is a rule that would match.
func TestAdvice(t *testing.T) {
	tests := []struct {
		packet fabric.Packet
		from   func(*Bed) uint32
		want   string
	}{
		{TCP("10.0.0.10", 9, "169.254.169.254", 80), client, "send from an address of client: it is answered under its own alone"},
		{TCP("10.0.1.5", 9, "10.0.0.10", 80), client, `add "tcp 80 from 10.0.1.5/32" to the ingress rules of one of the security groups of web`},
		{TCP("10.0.1.5", 9, "203.0.113.5", 80), client, "add a route for 203.0.113.5/32 to route table private"},
		{TCP("10.0.0.12", 9, "203.0.113.5", 80), sender("v"), "give the interface that has 10.0.0.12 a public address (eip: auto)"},
		{TCP("203.0.113.5", 9, "198.51.100.99", 80), host, "give an instance eip: 198.51.100.99"},
		{TCP("10.0.1.99", 9, "10.0.0.10", 80), client, "set source_dest_check: false on client if it is meant to carry other hosts' packets"},
		{TCP("10.0.0.12", 9, "10.0.0.11", 80), sender("v"), ""},
	}
	for _, test := range tests {
		b := New()
		b.AddServices()
		if got := walk(b, test.packet, test.from(b), fabric.Forgetful{}).Advice(); got != test.want {
			t.Errorf("%v: got %q, want %q", test.packet.Tuple, got, test.want)
		}
	}
}

// An ACL keeps no state, and a client's port is another one each time: a rule for the port of one answer would not help the next.
func TestAdviceForAnswers(t *testing.T) {
	const why = ": it keeps no state, and answers go to the port from which a client asked"
	add := func(what string) string {
		return fmt.Sprintf("add \"allow %s from 10.0.1.5/32\" with a number to the ingress entries of acl strict", what)
	}
	for _, row := range []struct {
		packet fabric.Packet
		want   string
	}{
		{TCP("10.0.1.5", 443, "10.0.0.10", 40000), add("tcp 1024-65535") + why},
		{TCP("10.0.1.5", 443, "10.0.0.10", 1024), add("tcp 1024-65535") + why},
		{UDP("10.0.1.5", 9000, "10.0.0.10", 32768), add("udp 1024-65535") + why},
		{TCP("10.0.1.5", 40000, "10.0.0.10", 443), add("tcp 443")},
		{TCP("10.0.1.5", 40000, "10.0.0.10", 50000), add("tcp 50000")},
		{TCP("10.0.1.5", 443, "10.0.0.10", 443), add("tcp 443")},
		{TCP("10.0.1.5", 9000, "10.0.0.10", 8080), add("tcp 8080")},
		{Ping("10.0.1.5", "10.0.0.10"), add("icmp")},
	} {
		b := New()
		b.Public.ACL = &fabric.ACL{Name: "strict"}
		if got := walk(b, row.packet, b.Client.Attachment, fabric.Forgetful{}).Advice(); got != row.want {
			t.Errorf("%v:\ngot  %s\nwant %s", row.packet.Tuple, got, row.want)
		}
	}
}

// A packet that does not leave its sender has one station.
func TestDroppedWhereItIsSent(t *testing.T) {
	b := New()
	b.Public.Down = true
	path := walk(b, TCP("10.0.0.10", 999, "10.0.1.5", 80), b.Web.Attachment, fabric.Forgetful{})
	if want := []string{"web/send: tcp 10.0.0.10:999 > 10.0.1.5:80 -- AVAILABILITY_ZONE_DOWN"}; !slices.Equal(path.Lines(), want) {
		t.Errorf("got %q", path.Lines())
	}
}

// TestDomains: an entry depends on the VPC where its path began and the one where it ended.
func TestDomains(t *testing.T) {
	b := New()
	b.App.Generation, b.Internet.Generation = 5, 9
	path := walk(b, TCP("10.0.0.11", 9, "203.0.113.5", 80), b.X.Attachment, fabric.Forgetful{})
	if want := [2]flow.Domain{{Index: 1, Generation: 5}, {Index: fabric.InternetDomain, Generation: 9}}; path.Domains != want {
		t.Errorf("out: %v, want %v", path.Domains, want)
	}
	path = walk(b, TCP("10.0.0.11", 9, "10.0.0.12", 80), b.X.Attachment, fabric.Forgetful{})
	if want := [2]flow.Domain{{Index: 1, Generation: 5}, {Index: 1, Generation: 5}}; path.Domains != want {
		t.Errorf("inside: %v, want %v", path.Domains, want)
	}
}

func TestWalkDoesNotAllocate(t *testing.T) {
	b := New()
	p, path := TCP("10.0.0.11", 9, "203.0.113.5", 80), new(fabric.Path)
	if n := testing.AllocsPerRun(100, func() { b.Walk(p, b.Attachments[b.X.Attachment], fabric.Forgetful{}, path) }); n != 0 {
		t.Errorf("%v allocations a walk", n)
	}
}

func BenchmarkWalk(bench *testing.B) {
	b := New()
	p, path := TCP("10.0.0.11", 9, "203.0.113.5", 80), new(fabric.Path)
	for bench.Loop() {
		b.Walk(p, b.Attachments[b.X.Attachment], fabric.Forgetful{}, path)
	}
}

// recollections is a State with fixed answers by interface name.
type recollections map[string]fabric.Memory

func (r recollections) Translate(gateway *fabric.ENI, p *fabric.Packet) (netip.AddrPort, flow.Reason) {
	return fabric.Forgetful{}.Translate(gateway, p)
}

func (r recollections) Restore(*fabric.ENI, *fabric.Packet) (netip.AddrPort, bool) {
	return netip.AddrPort{}, false
}

func (r recollections) Recall(e *fabric.ENI, _ fabric.Direction, _ *fabric.Packet) fabric.Memory {
	return r[e.Name]
}

func walk(b *Bed, p fabric.Packet, from uint32, state fabric.State) *fabric.Path {
	path := new(fabric.Path)
	b.Walk(p, b.Attachments[from], state, path)
	return path
}

// end is how a path ends: "delivered NAME", or the station and the reason of a drop.
func end(b *Bed, path *fabric.Path) string {
	if path.Verdict == flow.Deliver {
		return "delivered " + b.Attachments[path.Out].Name()
	}
	return path.At() + " " + path.Reason.String()
}
