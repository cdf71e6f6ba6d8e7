package fabric

import (
	"slices"
	"strings"
	"testing"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// TestWalk reads as sentences: in this network, this packet from that sender ends so.
func TestWalk(t *testing.T) {
	tcp80 := port(flow.TCP, 80)
	tests := []struct {
		name   string
		change func(*testbed)
		packet Packet
		from   func(*testbed) uint32
		memory recollections
		want   string // delivered NAME, or AT REASON
		sees   string // the tuple at the receiver, when delivered
	}{
		{"an admitted packet crosses the VPC", allowWeb(from(tcp80, "10.0.1.0/24")), tcp("10.0.1.5", 999, "10.0.0.10", 80), client, nil,
			"delivered web", "tcp 10.0.1.5:999 > 10.0.0.10:80"},
		{"another port is refused by the receiver's group", allowWeb(from(tcp80, "10.0.1.0/24")), tcp("10.0.1.5", 999, "10.0.0.10", 81), client, nil,
			"web/sg-in ENI_SG_RULES_MISMATCH", ""},
		{"a group without rules admits nothing", nil, tcp("10.0.1.5", 999, "10.0.0.10", 80), client, nil, "web/sg-in ENI_SG_RULES_MISMATCH", ""},
		{"the sender's group refuses first", func(b *testbed) { b.clientGroup.Egress = nil }, tcp("10.0.1.5", 999, "10.0.0.10", 80), client, nil,
			"client/sg-out ENI_SG_RULES_MISMATCH", ""},
		{"a group reference admits a member", func(b *testbed) { b.webGroup.Ingress = []SGRule{fromGroup(tcp80, b.clientGroup)} },
			tcp("10.0.1.5", 999, "10.0.0.10", 80), client, nil, "delivered web", "tcp 10.0.1.5:999 > 10.0.0.10:80"},
		{"a group reference does not admit another", func(b *testbed) { b.webGroup.Ingress = []SGRule{fromGroup(tcp80, b.clientGroup)} },
			tcp("10.0.0.11", 999, "10.0.0.10", 80), sender("x"), nil, "web/sg-in ENI_SG_RULES_MISMATCH", ""},
		{"a group reference is lost behind an appliance", func(b *testbed) { b.webGroup.Ingress = []SGRule{fromGroup(tcp80, b.clientGroup)} },
			tcp("10.0.1.5", 999, "10.0.0.10", 80), sender("firewall"), nil, "web/sg-in ENI_SG_RULES_MISMATCH", ""},
		{"a group reference to the appliance does not match a forwarded packet", func(b *testbed) { b.webGroup.Ingress = []SGRule{fromGroup(tcp80, b.other)} },
			tcp("10.0.1.5", 999, "10.0.0.10", 80), sender("firewall"), nil, "web/sg-in ENI_SG_RULES_MISMATCH", ""},
		{"a group reference does not match a public address", func(b *testbed) { b.webGroup.Ingress = []SGRule{fromGroup(tcp80, b.other)} },
			tcp("10.0.0.11", 999, "198.51.100.10", 80), sender("x"), nil, "web/sg-in ENI_SG_RULES_MISMATCH", ""},
		{"an egress group reference matches a member's private address", func(b *testbed) { b.clientGroup.Egress = []SGRule{fromGroup(tcp80, b.other)} },
			tcp("10.0.1.5", 999, "10.0.0.12", 80), client, nil, "delivered v", "tcp 10.0.1.5:999 > 10.0.0.12:80"},
		{"an egress group reference does not match others", func(b *testbed) { b.clientGroup.Egress = []SGRule{fromGroup(tcp80, b.other)} },
			tcp("10.0.1.5", 999, "10.0.0.10", 80), client, nil, "client/sg-out ENI_SG_RULES_MISMATCH", ""},
		{"an IPv4 rule does not match IPv6", allowWeb(from(anyTraffic, "0.0.0.0/0")), ping("2001:db8:a::11", "2001:db8:a::10"), sender("x"), nil,
			"web/sg-in ENI_SG_RULES_MISMATCH", ""},
		{"other protocols ignore ports", allowWeb(from(Traffic{Protocol: 47}, "0.0.0.0/0")), Packet{Tuple: flow.MakeTuple(47, addr("10.0.1.5"), 0, addr("10.0.0.10"), 0), Length: 60},
			client, nil, "delivered web", "protocol 47 10.0.1.5 > 10.0.0.10"},
		{"an ICMP rule for a type admits it", allowWeb(from(Traffic{Protocol: flow.ICMP, ICMPType: 8, ICMPCode: -1}, "0.0.0.0/0")), ping("10.0.1.5", "10.0.0.10"), client, nil,
			"delivered web", "icmp type 8 id 7 10.0.1.5 > 10.0.0.10"},
		{"and not another type", allowWeb(from(Traffic{Protocol: flow.ICMP, ICMPType: 0, ICMPCode: -1}, "0.0.0.0/0")), ping("10.0.1.5", "10.0.0.10"), client, nil,
			"web/sg-in ENI_SG_RULES_MISMATCH", ""},

		{"ACLs do not act inside a subnet", denyAll, tcp("10.0.0.12", 999, "10.0.0.11", 80), sender("v"), nil, "delivered x", "tcp 10.0.0.12:999 > 10.0.0.11:80"},
		{"an ACL acts on what enters the subnet", denyAll, tcp("10.0.1.5", 999, "10.0.0.11", 80), client, nil, "x/acl-in SUBNET_ACL_RESTRICTION", ""},
		{"an ACL acts on what leaves the subnet", denyAll, tcp("10.0.0.11", 999, "10.0.1.5", 80), sender("x"), nil, "x/acl-out SUBNET_ACL_RESTRICTION", ""},
		{"the first ACL entry decides, not the narrowest", func(b *testbed) {
			b.public.ACL = &ACL{Name: "ordered", Ingress: []ACLEntry{entry(false, anyTraffic, "10.0.0.0/8"), entry(true, tcp80, "10.0.1.5/32")}}
		}, tcp("10.0.1.5", 999, "10.0.0.11", 80), client, nil, "x/acl-in SUBNET_ACL_RESTRICTION", ""},
		{"an ACL is stateless: a tracked answer needs its port", func(b *testbed) {
			b.private.ACL = &ACL{Name: "narrow", Ingress: []ACLEntry{entry(true, port(flow.TCP, 443), "0.0.0.0/0")}}
		}, midstream(tcp("10.0.0.11", 443, "10.0.1.5", 51000)), sender("x"), recollections{"x": Tracked, "client": Tracked}, "client/acl-in SUBNET_ACL_RESTRICTION", ""},

		{"nobody in the subnet has the address", nil, tcp("10.0.0.11", 999, "10.0.0.77", 80), sender("x"), nil, "x/route UNKNOWN_DESTINATION", ""},
		{"nobody in the VPC has the address", nil, tcp("10.0.0.11", 999, "10.0.1.77", 80), sender("x"), nil, "x/route UNKNOWN_DESTINATION", ""},
		{"no route", nil, tcp("10.0.1.5", 999, "203.0.113.5", 80), client, nil, "client/route NO_ROUTE_TO_DESTINATION", ""},
		{"a blackhole does not fall through", func(b *testbed) { b.route(b.public, "203.0.113.0/24", ToBlackhole, nil) },
			tcp("10.0.0.11", 999, "203.0.113.5", 80), sender("x"), nil, "x/route BAD_STATE_ROUTE", ""},
		{"beside a blackhole the shorter route works", func(b *testbed) { b.route(b.public, "203.0.113.128/25", ToBlackhole, nil) },
			tcp("10.0.0.11", 999, "203.0.113.5", 80), sender("x"), nil, "delivered example", "tcp 198.51.100.11:999 > 203.0.113.5:80"},
		{"a VPC service is not routed", func(b *testbed) { b.route(b.private, "169.254.0.0/16", ToENI, b.x) }, tcp("10.0.1.5", 999, "169.254.169.254", 80), client, nil,
			"client/service VPC_SERVICE_UNAVAILABLE", ""},
		{"a VPC service is not filtered", func(b *testbed) { b.clientGroup.Egress = nil }, udp("10.0.1.5", 999, "10.0.0.2", 53), client, nil,
			"client/service VPC_SERVICE_UNAVAILABLE", ""},

		{"a route to an appliance delivers there", viaFirewall, tcp("10.0.1.5", 999, "10.0.0.11", 80), client, nil, "delivered firewall", "tcp 10.0.1.5:999 > 10.0.0.11:80"},
		{"an appliance with destination check drops", func(b *testbed) { viaFirewall(b); b.firewall.SourceDestCheck = true }, tcp("10.0.1.5", 999, "10.0.0.11", 80), client, nil,
			"firewall/dest-check ENI_SOURCE_DEST_CHECK_RESTRICTION", ""},
		{"source check", nil, tcp("10.0.1.99", 999, "10.0.0.11", 80), client, nil, "client/source-check ENI_SOURCE_DEST_CHECK_RESTRICTION", ""},
		{"an appliance may send others' packets", nil, tcp("10.0.1.5", 999, "10.0.0.11", 80), sender("firewall"), nil, "delivered x", "tcp 10.0.1.5:999 > 10.0.0.11:80"},
		{"a loopback source is never valid", nil, tcp("127.0.0.1", 999, "10.0.0.11", 80), sender("firewall"), nil, "firewall/source-check INVALID_SOURCE_ADDRESS", ""},

		{"the internet gateway gives the source its public address", nil, tcp("10.0.0.11", 999, "203.0.113.5", 80), sender("x"), nil,
			"delivered example", "tcp 198.51.100.11:999 > 203.0.113.5:80"},
		{"without a public address nothing leaves", nil, tcp("10.0.0.12", 999, "203.0.113.5", 80), sender("v"), nil, "igw IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS", ""},
		{"the gateway refuses private destinations", nil, tcp("10.0.0.11", 999, "192.168.1.1", 80), sender("x"), nil, "igw IGW_DESTINATION_ADDRESS_NOT_IN_RFC1918_EGRESS", ""},
		{"the gateway refuses shared address space", nil, tcp("10.0.0.11", 999, "100.64.0.1", 80), sender("x"), nil, "igw IGW_DESTINATION_ADDRESS_NOT_IN_RFC6598_EGRESS", ""},
		{"IPv6 leaves as it is", nil, tcp("2001:db8:a::11", 999, "2001:db8:cafe::5", 80), sender("x"), nil, "delivered example", "tcp [2001:db8:a::11]:999 > [2001:db8:cafe::5]:80"},
		{"a forged IPv6 source does not leave", func(b *testbed) { b.x.SourceDestCheck = false }, tcp("2001:db8:a::99", 999, "2001:db8:cafe::5", 80), sender("x"), nil,
			"igw GATEWAY_REJECTS_SPOOFED_TRAFFIC", ""},
		{"more than 1500 bytes do not cross the gateway", nil, sized(udp("10.0.0.11", 999, "203.0.113.5", 80), 1501), sender("x"), nil, "igw MTU_EXCEEDED", ""},
		{"1500 bytes do", nil, sized(udp("10.0.0.11", 999, "203.0.113.5", 80), 1500), sender("x"), nil, "delivered example", "udp 198.51.100.11:999 > 203.0.113.5:80"},
		{"two instances talk by public addresses", nil, tcp("10.0.0.11", 999, "198.51.100.10", 80), sender("x"), recollections{"web": Tracked},
			"delivered web", "tcp 198.51.100.11:999 > 10.0.0.10:80"},
		{"an instance talks to its own public address", nil, tcp("10.0.0.11", 999, "198.51.100.11", 80), sender("x"), nil,
			"delivered x", "tcp 198.51.100.11:999 > 10.0.0.11:80"},
		{"nobody has the destination", nil, tcp("10.0.0.11", 999, "8.8.8.8", 80), sender("x"), nil, "internet UNKNOWN_DESTINATION", ""},

		{"the internet reaches a mapped address", nil, tcp("203.0.113.5", 999, "198.51.100.11", 80), host, nil, "delivered x", "tcp 203.0.113.5:999 > 10.0.0.11:80"},
		{"its groups still decide", nil, tcp("203.0.113.5", 999, "198.51.100.10", 80), host, nil, "web/sg-in ENI_SG_RULES_MISMATCH", ""},
		{"an address that is mapped to nothing", nil, tcp("203.0.113.5", 999, "198.51.100.99", 80), host, nil, "igw IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS", ""},
		{"an address of the pool that is mapped to nothing", nil, tcp("203.0.113.5", 999, "198.18.0.9", 80), host, nil, "igw IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS", ""},
		{"IPv6 from the internet", nil, ping("2001:db8:cafe::5", "2001:db8:a::11"), host, nil, "delivered x", "icmpv6 type 128 id 7 2001:db8:cafe::5 > 2001:db8:a::11"},
		{"a private source from the internet", nil, tcp("192.168.0.1", 999, "198.51.100.11", 80), host, nil, "igw IGW_SOURCE_ADDRESS_NOT_IN_RFC1918_INGRESS", ""},
		{"a forged source from the internet", nil, tcp("203.0.113.66", 999, "198.51.100.11", 80), host, nil, "example/source-check GATEWAY_REJECTS_SPOOFED_TRAFFIC", ""},

		{"a tracked answer needs no rule", func(b *testbed) { b.webGroup.Egress = nil }, midstream(tcp("10.0.0.10", 80, "10.0.1.5", 999)), sender("web"),
			recollections{"web": Tracked, "client": Tracked}, "delivered client", "tcp 10.0.0.10:80 > 10.0.1.5:999"},
		{"an untracked answer needs a rule", func(b *testbed) { b.webGroup.Egress = nil }, midstream(tcp("10.0.0.10", 80, "10.0.1.5", 999)), sender("web"),
			recollections{"web": UntrackedReply, "client": Tracked}, "web/sg-out ENI_SG_RULES_MISMATCH", ""},
		{"the middle of an unknown connection is refused where it would be tracked", func(b *testbed) { b.clientGroup.Ingress = []SGRule{from(tcp80, "10.0.0.0/16")} },
			midstream(tcp("10.0.0.12", 999, "10.0.1.5", 80)), sender("v"), nil, "client/sg-in NO_TRACKED_CONNECTION", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newTestbed()
			if test.change != nil {
				test.change(b)
			}
			path := b.walk(t, test.packet, test.from(b), test.memory)
			got := path.At() + " " + path.Reason.String()
			if path.Verdict == flow.Deliver {
				got = "delivered " + b.Attachments[path.Out].Name()
			}
			if got != test.want {
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

func allowWeb(rules ...SGRule) func(*testbed) {
	return func(b *testbed) { b.webGroup.Ingress = rules }
}

func denyAll(b *testbed) { b.public.ACL = &ACL{Name: "deny"} }

func viaFirewall(b *testbed) { b.route(b.private, "10.0.0.0/24", ToENI, b.firewall) }

func sender(name string) func(*testbed) uint32 {
	return func(b *testbed) uint32 {
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
	everybody := from(port(flow.TCP, 443), "0.0.0.0/0")
	tests := []struct {
		name    string
		ingress []SGRule
		egress  []SGRule
		packet  Packet
		want    Note
	}{
		{"open both ways", []SGRule{everybody}, []SGRule{from(anyTraffic, "0.0.0.0/0")}, tcp("203.0.113.5", 9, "198.51.100.10", 443), BeginUntracked},
		{"open in, narrow out", []SGRule{everybody}, []SGRule{from(port(flow.TCP, 443), "0.0.0.0/0")}, tcp("203.0.113.5", 9, "198.51.100.10", 443), BeginTracked},
		{"open in, nothing out", []SGRule{everybody}, nil, tcp("203.0.113.5", 9, "198.51.100.10", 443), BeginTracked},
		{"narrow in, open out", []SGRule{from(port(flow.TCP, 443), "203.0.113.0/24")}, []SGRule{from(anyTraffic, "0.0.0.0/0")}, tcp("203.0.113.5", 9, "198.51.100.10", 443), BeginTracked},
		{"open in, all TCP ports out", []SGRule{everybody}, []SGRule{from(Traffic{Protocol: flow.TCP, ToPort: 65535}, "0.0.0.0/0")}, tcp("203.0.113.5", 9, "198.51.100.10", 443), BeginUntracked},
		{"open in, all UDP ports out", []SGRule{everybody}, []SGRule{from(Traffic{Protocol: flow.UDP, ToPort: 65535}, "0.0.0.0/0")}, tcp("203.0.113.5", 9, "198.51.100.10", 443), BeginTracked},
		{"open in, open out for IPv6 only", []SGRule{everybody}, []SGRule{from(anyTraffic, "::/0")}, tcp("203.0.113.5", 9, "198.51.100.10", 443), BeginTracked},
		{"ICMP is always tracked", []SGRule{from(anyTraffic, "0.0.0.0/0")}, []SGRule{from(anyTraffic, "0.0.0.0/0")}, ping("203.0.113.5", "198.51.100.10"), BeginTracked},
		{"so are other protocols", []SGRule{from(anyTraffic, "0.0.0.0/0")}, []SGRule{from(anyTraffic, "0.0.0.0/0")},
			Packet{Tuple: flow.MakeTuple(47, addr("203.0.113.5"), 0, addr("198.51.100.10"), 0)}, BeginTracked},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newTestbed()
			b.webGroup.Ingress, b.webGroup.Egress = test.ingress, test.egress
			path := b.walk(t, test.packet, b.example.Attachment, Forgetful{})
			taps := path.Taps()
			if path.Verdict != flow.Deliver || len(taps) != 1 || taps[0].Note != test.want {
				t.Errorf("verdict %v, taps %+v, want note %v", path.Verdict, taps, test.want)
			}
		})
	}
}

// TestTaps: one tap an interface, with the addresses that it saw, and ACCEPT unless its own groups or ACL refused.
func TestTaps(t *testing.T) {
	tests := []struct {
		name   string
		change func(*testbed)
		packet Packet
		from   func(*testbed) uint32
		want   []string
	}{
		{"two interfaces", nil, tcp("10.0.0.12", 9, "10.0.0.11", 80), sender("v"), []string{
			"v egress ACCEPT tcp 10.0.0.12:9 > 10.0.0.11:80 path 1", "x ingress ACCEPT tcp 10.0.0.12:9 > 10.0.0.11:80 path 0"}},
		{"public addresses never appear at an instance", nil, tcp("203.0.113.5", 9, "198.51.100.11", 80), host, []string{
			"x ingress ACCEPT tcp 203.0.113.5:9 > 10.0.0.11:80 path 0"}},
		{"a routing drop is accepted by the sender's interface", nil, tcp("10.0.0.12", 9, "203.0.113.5", 80), sender("v"), []string{
			"v egress ACCEPT tcp 10.0.0.12:9 > 203.0.113.5:80 path 8"}},
		{"the receiver refuses", nil, tcp("10.0.1.5", 9, "10.0.0.10", 80), client, []string{
			"client egress ACCEPT tcp 10.0.1.5:9 > 10.0.0.10:80 path 1", "web ingress REJECT tcp 10.0.1.5:9 > 10.0.0.10:80 path 0"}},
		{"the ACL refuses on the way out", denyAll, tcp("10.0.0.11", 9, "10.0.1.5", 80), sender("x"), []string{
			"x egress REJECT tcp 10.0.0.11:9 > 10.0.1.5:80 path 0"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newTestbed()
			if test.change != nil {
				test.change(b)
			}
			var got []string
			for _, tap := range b.walk(t, test.packet, test.from(b), Forgetful{}).Taps() {
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
	b := newTestbed()
	b.webGroup.Egress = nil
	unreachable := Packet{
		Tuple: flow.MakeTuple(flow.ICMP, addr("10.0.0.10"), 0, addr("203.0.113.5"), 3), Length: 56, ICMPType: 3, ICMPCode: 3,
		Error: true, Quoted: flow.MakeTuple(flow.UDP, addr("203.0.113.5"), 999, addr("10.0.0.10"), 53),
	}
	path := b.walk(t, unreachable, b.web.Attachment, Forgetful{})
	if path.Reason != flow.SGRulesMismatch {
		t.Fatalf("an error of no connection: got %v, want ENI_SG_RULES_MISMATCH", path.Reason)
	}
	path = b.walk(t, unreachable, b.web.Attachment, recollections{"web": Tracked})
	if path.Verdict != flow.Deliver {
		t.Fatalf("an error of a tracked connection: %v", path.Lines())
	}
	if want := (flow.Rewrite{Src: addr("198.51.100.10")}); path.Rewrite != want {
		t.Errorf("rewrite %v, want %v", path.Rewrite, want)
	}
	if want := (flow.Rewrite{Dst: addr("198.51.100.10")}); path.Quote != want {
		t.Errorf("quotation's rewrite %v, want %v", path.Quote, want)
	}
	fromHost := Packet{
		Tuple: flow.MakeTuple(flow.ICMP, addr("203.0.113.5"), 0, addr("198.51.100.10"), 3), Length: 56, ICMPType: 3, ICMPCode: 3,
		Error: true, Quoted: flow.MakeTuple(flow.UDP, addr("198.51.100.10"), 53, addr("203.0.113.5"), 999),
	}
	path = b.walk(t, fromHost, b.example.Attachment, recollections{"web": Tracked})
	if want := (flow.Rewrite{Src: addr("10.0.0.10")}); path.Verdict != flow.Deliver || path.Quote != want {
		t.Errorf("inward: verdict %v, quotation's rewrite %v, want %v", path.Verdict, path.Quote, want)
	}
}

// TestAdvice: what a person is told to change is a rule that would match.
func TestAdvice(t *testing.T) {
	tests := []struct {
		packet Packet
		from   func(*testbed) uint32
		want   string
	}{
		{tcp("10.0.1.5", 9, "10.0.0.10", 80), client, `add "tcp 80 from 10.0.1.5/32" to the ingress rules of one of the security groups of web`},
		{tcp("10.0.1.5", 9, "203.0.113.5", 80), client, "add a route for 203.0.113.5/32 to route table private"},
		{tcp("10.0.0.12", 9, "203.0.113.5", 80), sender("v"), "give the interface that has 10.0.0.12 a public address (eip: auto)"},
		{tcp("203.0.113.5", 9, "198.51.100.99", 80), host, "give an instance eip: 198.51.100.99"},
		{tcp("10.0.1.99", 9, "10.0.0.10", 80), client, "set source_dest_check: false on client if it is meant to carry other hosts' packets"},
		{tcp("10.0.0.12", 9, "10.0.0.11", 80), sender("v"), ""},
	}
	for _, test := range tests {
		b := newTestbed()
		if got := b.walk(t, test.packet, test.from(b), Forgetful{}).Advice(); got != test.want {
			t.Errorf("%v: got %q, want %q", test.packet.Tuple, got, test.want)
		}
	}
}

// TestDomains: an entry depends on the VPC where its path began and the one where it ended.
func TestDomains(t *testing.T) {
	b := newTestbed()
	b.app.Generation, b.Internet.Generation = 5, 9
	path := b.walk(t, tcp("10.0.0.11", 9, "203.0.113.5", 80), b.x.Attachment, Forgetful{})
	if want := [2]flow.Domain{{Index: 1, Generation: 5}, {Index: InternetDomain, Generation: 9}}; path.Domains != want {
		t.Errorf("out: %v, want %v", path.Domains, want)
	}
	path = b.walk(t, tcp("10.0.0.11", 9, "10.0.0.12", 80), b.x.Attachment, Forgetful{})
	if want := [2]flow.Domain{{Index: 1, Generation: 5}, {Index: 1, Generation: 5}}; path.Domains != want {
		t.Errorf("inside: %v, want %v", path.Domains, want)
	}
}

func TestWalkDoesNotAllocate(t *testing.T) {
	b := newTestbed()
	p, path := tcp("10.0.0.11", 9, "203.0.113.5", 80), new(Path)
	if n := testing.AllocsPerRun(100, func() { b.Walk(p, b.Attachments[b.x.Attachment], Forgetful{}, path) }); n != 0 {
		t.Errorf("%v allocations a walk", n)
	}
}

func BenchmarkWalk(bench *testing.B) {
	b := newTestbed()
	p, path := tcp("10.0.0.11", 9, "203.0.113.5", 80), new(Path)
	for bench.Loop() {
		b.Walk(p, b.Attachments[b.x.Attachment], Forgetful{}, path)
	}
}
