package fabric_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vpclab/vpclab/dataplane/fabric"
	. "github.com/vpclab/vpclab/dataplane/fabric/fabrictest"
)

// TestServices reads like TestWalk, for the lab's services and the ways that lead to them. services is the sender of their answers.
func TestServices(t *testing.T) {
	services := func(b *Bed) uint32 { return b.Network.Services.Attachment }
	closed := func(b *Bed) { b.ClientGroup.Egress, b.Private.ACL = nil, &fabric.ACL{Name: "deny"} }
	tests := []struct {
		name   string
		change func(*Bed, *Services)
		packet fabric.Packet
		from   func(*Bed) uint32
		memory fabric.State
		want   string
		sees   string
		taps   string // of the interfaces that see it: NAME DIRECTION PATH
	}{
		{"the resolver is asked whatever group and ACL say", func(b *Bed, _ *Services) { closed(b) }, UDP("10.0.1.5", 999, "10.0.0.2", 53), client, nil,
			"delivered services", "udp 100.64.0.1:999 > 100.96.0.1:53", ""},
		{"and answers so", func(b *Bed, _ *Services) { closed(b) }, UDP("100.96.0.1", 53, "100.64.0.1", 999), services, nil,
			"delivered client", "udp 10.0.0.2:53 > 10.0.1.5:999", ""},
		{"it has no other port", nil, UDP("10.0.1.5", 999, "10.0.0.2", 54), client, nil, "client/service VPC_SERVICE_UNAVAILABLE", "", ""},
		{"instance metadata is TCP", nil, TCP("10.0.1.5", 999, "169.254.169.254", 80), client, nil, "delivered services", "tcp 100.64.0.1:999 > 100.96.0.2:80", ""},
		{"and not UDP", nil, UDP("10.0.1.5", 999, "169.254.169.254", 80), client, nil, "client/service VPC_SERVICE_UNAVAILABLE", "", ""},
		{"a route to link-local addresses is swallowed", func(b *Bed, _ *Services) { b.Route(b.Private, "169.254.0.0/16", fabric.ToENI, b.X) },
			TCP("10.0.1.5", 999, "169.254.169.254", 80), client, nil, "delivered services", "tcp 100.64.0.1:999 > 100.96.0.2:80", ""},
		{"nobody asks under another's address", func(b *Bed, _ *Services) { b.Client.SourceDestCheck = false }, UDP("10.0.0.10", 999, "10.0.0.2", 53), client, nil,
			"client/service ENI_SOURCE_DEST_CHECK_RESTRICTION", "", ""},

		{"a service is reached by an internet gateway under the public address", nil, TCP("10.0.0.10", 999, "52.216.0.1", 443), sender("web"), nil,
			"delivered services", "tcp 100.64.0.4:999 > 100.96.0.3:443", "web egress 8"},
		{"and answers there", nil, TCP("100.96.0.3", 443, "100.64.0.4", 999), services, recollections{"web": fabric.Tracked},
			"delivered web", "tcp 52.216.0.1:443 > 10.0.0.10:999", "web ingress 0"},
		{"it answers ping", nil, Ping("10.0.0.10", "52.216.0.1"), sender("web"), nil, "delivered services", "icmp type 8 id 7 100.64.0.4 > 100.96.0.3", "web egress 8"},
		{"and no other port", nil, TCP("10.0.0.10", 999, "52.216.0.1", 22), sender("web"), nil, "internet VPC_SERVICE_UNAVAILABLE", "", "web egress 8"},
		{"the rest of its prefix is nobody's", nil, TCP("10.0.0.10", 999, "52.216.0.9", 443), sender("web"), nil, "internet UNKNOWN_DESTINATION", "", "web egress 8"},

		{"a gateway endpoint leads there under the private address", nil, TCP("10.0.1.5", 999, "52.216.0.1", 443), client, nil,
			"delivered services", "tcp 100.64.0.1:999 > 100.96.0.4:443", "client egress 7"},
		{"and back", nil, TCP("100.96.0.4", 443, "100.64.0.1", 999), services, recollections{"client": fabric.Tracked},
			"delivered client", "tcp 52.216.0.1:443 > 10.0.1.5:999", "client ingress 0"},
		{"what nobody asked for meets the group", nil, TCP("100.96.0.4", 443, "100.64.0.1", 999), services, nil, "client/sg-in ENI_SG_RULES_MISMATCH", "", "client ingress 0"},
		{"and the ACL", func(b *Bed, _ *Services) { b.Private.ACL = &fabric.ACL{Name: "deny"} }, TCP("100.96.0.4", 443, "100.64.0.1", 999), services,
			recollections{"client": fabric.Tracked}, "client/acl-in SUBNET_ACL_RESTRICTION", "", "client ingress 0"},
		{"it carries ping", nil, Ping("10.0.1.5", "52.216.0.1"), client, nil, "delivered services", "icmp type 8 id 7 100.64.0.1 > 100.96.0.4", "client egress 7"},
		{"and no UDP", nil, UDP("10.0.1.5", 999, "52.216.0.1", 443), client, nil, "endpoint.s3 VPCE_GATEWAY_PROTOCOL_RESTRICTION", "", "client egress 7"},
		{"a longer prefix is preferred to it", func(b *Bed, _ *Services) { b.Route(b.Private, "52.216.0.0/24", fabric.ToBlackhole, nil) },
			TCP("10.0.1.5", 999, "52.216.0.1", 443), client, nil, "client/route BAD_STATE_ROUTE", "", "client egress 0"},
		{"it serves nobody from elsewhere", func(b *Bed, _ *Services) { b.Middle.Routes = b.Private.Routes }, TCP("172.16.0.1", 999, "52.216.0.1", 443), sender("firewall"), nil,
			"endpoint.s3 VPCE_REQUIRES_SOURCE_IN_VPC", "", "firewall egress 7"},
		{"a group must let the service through", func(b *Bed, _ *Services) { b.ClientGroup.Egress = []fabric.SGRule{From(Anything, "10.0.0.0/8")} },
			TCP("10.0.1.5", 999, "52.216.0.1", 443), client, nil, "client/sg-out ENI_SG_RULES_MISMATCH", "", "client egress 0"},

		{"an interface endpoint is an interface", nil, TCP("10.0.0.10", 999, "10.0.1.9", 443), sender("web"), nil,
			"delivered services", "tcp 100.64.0.2:999 > 100.96.0.5:443", "web egress 1, endpoint.sqs ingress 0"},
		{"its group is asked", func(b *Bed, s *Services) { s.SQSGroup.Ingress = nil }, TCP("10.0.0.10", 999, "10.0.1.9", 443), sender("web"), nil,
			"endpoint.sqs/sg-in ENI_SG_RULES_MISMATCH", "", "web egress 1, endpoint.sqs ingress 0"},
		{"its answers pass as tracked", nil, TCP("100.96.0.5", 443, "100.64.0.2", 999), services, recollections{"endpoint.sqs": fabric.Tracked, "web": fabric.Tracked},
			"delivered web", "tcp 10.0.1.9:443 > 10.0.0.10:999", "endpoint.sqs egress 1, web ingress 0"},
		{"it begins nothing", nil, TCP("100.96.0.5", 443, "100.64.0.2", 999), services, nil, "endpoint.sqs/sg-out ENI_SG_RULES_MISMATCH", "", "endpoint.sqs egress 0"},
		{"it does not answer ping", func(b *Bed, s *Services) { s.SQSGroup.Ingress = []fabric.SGRule{From(Anything, "0.0.0.0/0")} }, Ping("10.0.0.10", "10.0.1.9"), sender("web"), nil,
			"endpoint.sqs VPCE_INTERFACE_PROTOCOL_RESTRICTION", "", "web egress 1, endpoint.sqs ingress 0"},
		{"8501 bytes are too big for it, even if they may be cut", nil, mayFragment(Sized(TCP("10.0.0.10", 999, "10.0.1.9", 443), 8501)), sender("web"), nil,
			"endpoint.sqs MTU_EXCEEDED", "", "web egress 1, endpoint.sqs ingress 0"},
		{"8500 are not", nil, Sized(TCP("10.0.0.10", 999, "10.0.1.9", 443), 8500), sender("web"), nil,
			"delivered services", "tcp 100.64.0.2:999 > 100.96.0.5:443", "web egress 1, endpoint.sqs ingress 0"},
		{"with its zone down it is gone", func(b *Bed, _ *Services) { b.Private.Down = true }, TCP("10.0.0.10", 999, "10.0.1.9", 443), sender("web"), nil,
			"endpoint.sqs/deliver AVAILABILITY_ZONE_DOWN", "", "web egress 1"},
		{"and does not answer", func(b *Bed, _ *Services) { b.Private.Down = true }, TCP("100.96.0.5", 443, "100.64.0.2", 999), services, recollections{"endpoint.sqs": fabric.Tracked},
			"endpoint.sqs AVAILABILITY_ZONE_DOWN", "", ""},
		{"nor do instances there send", func(b *Bed, _ *Services) { b.Private.Down = true }, TCP("10.0.1.5", 999, "52.216.0.1", 443), client, nil,
			"client/send AVAILABILITY_ZONE_DOWN", "", ""},

		{"a load balancer calls its targets under its own address", nil, TCP("100.96.0.6", 999, "100.64.0.5", 80), services, nil,
			"delivered x", "tcp 10.0.2.8:999 > 10.0.0.11:80", "endpoint_service.shop egress 1, x ingress 0"},
		{"whose answers find it", nil, Midstream(TCP("10.0.0.11", 80, "10.0.2.8", 999)), sender("x"), recollections{"endpoint_service.shop": fabric.Tracked, "x": fabric.Tracked},
			"delivered services", "tcp 100.64.0.5:80 > 100.96.0.6:999", "x egress 1, endpoint_service.shop ingress 0"},
		{"nobody calls it", nil, TCP("10.0.0.11", 999, "10.0.2.8", 80), sender("x"), nil, "endpoint_service.shop NLB_INBOUND", "", "x egress 1, endpoint_service.shop ingress 0"},
		{"its own zone down", func(b *Bed, _ *Services) { b.Middle.Down = true }, TCP("100.96.0.6", 999, "100.64.0.5", 80), services, nil,
			"endpoint_service.shop AVAILABILITY_ZONE_DOWN", "", ""},

		{"a dual-stack endpoint answers IPv6", dualStack, TCP("2001:db8:a::11", 999, "2001:db8:a:1::9", 443), sender("x"), nil,
			"delivered services", "tcp [fd76:7063:6c61:1::1]:999 > [fd76:7063:6c61:2::1]:443", "x egress 1, endpoint.sqs ingress 0"},
		{"an internet gateway does not lead to it", dualStack, TCP("2001:db8:cafe::5", 999, "2001:db8:a:1::9", 443), host, nil,
			"igw VPCE_DENIES_IGW_TRAFFIC", "", ""},
		{"an endpoint has the ports of its service", nil, TCP("10.0.0.10", 999, "10.0.1.9", 22), sender("web"), nil,
			"endpoint.sqs VPC_SERVICE_UNAVAILABLE", "", "web egress 1, endpoint.sqs ingress 0"},
		{"what a route brings to it is not for it", func(b *Bed, s *Services) { b.Route(b.Public, "192.0.2.0/24", fabric.ToENI, s.SQS) },
			TCP("10.0.0.10", 999, "192.0.2.1", 443), sender("web"), nil, "endpoint.sqs/dest-check ENI_SOURCE_DEST_CHECK_RESTRICTION", "", "web egress 1"},
		{"an address that asks and that nobody has", func(b *Bed, _ *Services) { b.Web.SourceDestCheck = false }, TCP("10.0.0.99", 999, "10.0.1.9", 443), sender("web"), nil,
			"endpoint.sqs SERVICE_SOURCE_UNKNOWN", "", "web egress 1, endpoint.sqs ingress 0"},
		{"a lost connection is told to the client", nil, Midstream(TCP("10.0.0.10", 999, "10.0.1.9", 443)), sender("web"), recollections{"web": fabric.Tracked},
			"endpoint.sqs/sg-in NO_TRACKED_CONNECTION", "", "web egress 1, endpoint.sqs ingress 0"},
		{"a gateway endpoint has the ports of its service", nil, TCP("10.0.1.5", 999, "52.216.0.1", 22), client, nil,
			"endpoint.s3 VPC_SERVICE_UNAVAILABLE", "", "client egress 7"},
		{"and lets nothing else back", nil, UDP("100.96.0.4", 443, "100.64.0.1", 999), services, recollections{"client": fabric.Tracked},
			"endpoint.s3 VPCE_GATEWAY_PROTOCOL_RESTRICTION", "", ""},
		{"nor to an interface that is gone", func(b *Bed, _ *Services) { delete(b.App.ENIs, Addr("10.0.1.5")) }, TCP("100.96.0.4", 443, "100.64.0.1", 999), services, nil,
			"endpoint.s3 UNKNOWN_DESTINATION", "", ""},
		{"the resolver's answer to one that is gone", func(b *Bed, _ *Services) { delete(b.App.ENIs, Addr("10.0.1.5")) }, UDP("100.96.0.1", 53, "100.64.0.1", 999), services, nil,
			"services/service UNKNOWN_DESTINATION", "", ""},
		{"and to one whose zone is down", func(b *Bed, _ *Services) { b.Private.Down = true }, UDP("100.96.0.1", 53, "100.64.0.1", 999), services, nil,
			"client/deliver AVAILABILITY_ZONE_DOWN", "", ""},

		{"services do not speak from other addresses", nil, UDP("100.64.0.9", 53, "100.64.0.1", 999), services, nil, "services/service SERVICE_SOURCE_UNKNOWN", "", ""},
		{"nor to nobody", nil, UDP("100.96.0.1", 53, "100.64.9.9", 999), services, nil, "services/service SERVICE_SOURCE_UNKNOWN", "", ""},
		{"nor by the portal of one VPC to the internet", nil, UDP("100.96.0.1", 53, "100.64.0.4", 999), services, nil, "services/service SERVICE_SOURCE_UNKNOWN", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := New()
			s := b.AddServices()
			if test.change != nil {
				test.change(b, s)
			}
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
			if taps := tapsOf(path); taps != test.taps {
				t.Errorf("seen by %q, want %q", taps, test.taps)
			}
		})
	}
}

// dualStack gives the endpoint of SQS an IPv6 address, at which x may ask.
func dualStack(b *Bed, s *Services) {
	portal := *s.SQS.Portals[Addr("10.0.1.9")]
	portal.Outside, portal.Inside = Addr("2001:db8:a:1::9"), Addr("fd76:7063:6c61:2::1")
	s.Portals[portal.Inside] = &portal
	s.SQS.Addrs = append(s.SQS.Addrs, portal.Outside)
	s.SQS.Portals[portal.Outside], b.App.ENIs[portal.Outside] = &portal, s.SQS
	s.SQSGroup.Ingress = []fabric.SGRule{From(Anything, "::/0")}
	who := fabric.Caller{VPC: b.App.Index, Addr: Addr("2001:db8:a::11")}
	s.Inside[who], s.Callers[Addr("fd76:7063:6c61:1::1")] = Addr("fd76:7063:6c61:1::1"), who
}

// Direct is what is neither filtered nor remembered: packets to and from what the VPC itself answers.
func TestDirect(t *testing.T) {
	b := New()
	services := b.Attachments[b.AddServices().Attachment]
	for _, row := range []struct {
		name   string
		from   *fabric.Attachment
		packet fabric.Packet
		want   bool
	}{
		{"to the resolver", b.Attachments[b.Client.Attachment], UDP("10.0.1.5", 999, "10.0.0.2", 53), true},
		{"from it", services, UDP("100.96.0.1", 53, "100.64.0.1", 999), true},
		{"to an endpoint", b.Attachments[b.Client.Attachment], TCP("10.0.1.5", 999, "10.0.1.9", 443), false},
		{"from it", services, TCP("100.96.0.5", 443, "100.64.0.1", 999), false},
		{"from nowhere", services, UDP("100.64.0.9", 53, "100.64.0.1", 999), false},
		{"of a host", b.Attachments[host(b)], UDP("203.0.113.5", 999, "10.0.0.2", 53), false},
	} {
		if got := b.Network.Direct(row.from, &row.packet.Tuple); got != row.want {
			t.Errorf("%s: %v", row.name, got)
		}
	}
}

func tapsOf(path *fabric.Path) string {
	var taps []string
	for _, tap := range path.Taps() {
		d := "egress"
		if tap.Direction == fabric.Ingress {
			d = "ingress"
		}
		taps = append(taps, tap.ENI.Name+" "+d+" "+string('0'+rune(tap.TrafficPath)))
	}
	return strings.Join(taps, ", ")
}

// No rule lets a packet reach a service that would not answer it: what is told is how to ask.
func TestAdviceToAskServices(t *testing.T) {
	const endpoint, bucket = "use TCP to port 80 or 443: endpoint.sqs answers nothing else, whatever rules and routes allow",
		"use TCP to port 80 or 443: s3 answers nothing else, whatever rules and routes allow"
	closed := func(b *Bed, s *Services) { s.SQSGroup.Ingress = nil }
	silent := func(b *Bed, _ *Services) { b.WebGroup.Egress = nil }
	denied := func(b *Bed, _ *Services) { b.Private.ACL = &fabric.ACL{Name: "deny"} }
	tests := []struct {
		name   string
		change func(*Bed, *Services)
		packet fabric.Packet
		want   string
	}{
		{"ping that the endpoint's group denies", closed, Ping("10.0.0.10", "10.0.1.9"), endpoint},
		{"UDP", closed, UDP("10.0.0.10", 999, "10.0.1.9", 443), endpoint},
		{"a port that the service has not", closed, TCP("10.0.0.10", 999, "10.0.1.9", 22), endpoint},
		{"one that it has", closed, TCP("10.0.0.10", 999, "10.0.1.9", 443), `add "tcp 443 from 10.0.0.10/32" to the ingress rules of one of the security groups of endpoint.sqs`},
		{"a port that the groups allow", nil, TCP("10.0.0.10", 999, "10.0.1.9", 22), endpoint},
		{"ping that the sender's own group denies", silent, Ping("10.0.0.10", "10.0.1.9"), endpoint},
		{"one port that it has", silent, TCP("10.0.0.10", 999, "10.0.1.9", 80), `add "tcp 80 to 10.0.1.9/32" to the egress rules of one of the security groups of web`},
		{"UDP that the endpoint's ACL denies", denied, UDP("10.0.0.10", 999, "10.0.1.9", 443), endpoint},
		{"TCP", denied, TCP("10.0.0.10", 999, "10.0.1.9", 443), `add "allow tcp 443 from 10.0.0.10/32" with a number to the ingress entries of acl deny`},
		{"what a route leads to it", func(b *Bed, s *Services) { b.Route(b.Public, "192.0.2.0/24", fabric.ToENI, s.SQS) }, TCP("10.0.0.10", 999, "192.0.2.1", 443),
			"endpoint.sqs passes nothing on: send to an address of its own, or give the route that brought the packet here another target"},
		{"an endpoint that is not available", func(b *Bed, _ *Services) { b.App.Unready = map[netip.Addr]string{Addr("10.0.1.77"): "accept it"} },
			TCP("10.0.0.10", 999, "10.0.1.77", 443), "accept it"},
		{"its neighbour, whom nobody has", func(b *Bed, _ *Services) { b.App.Unready = map[netip.Addr]string{Addr("10.0.1.77"): "accept it"} },
			TCP("10.0.0.10", 999, "10.0.1.78", 443), "nothing has the address 10.0.1.78; check the destination"},
		{"ping to the resolver", nil, Ping("10.0.0.10", "10.0.0.2"), "use TCP or UDP to port 53: 10.0.0.2 answers nothing else, whatever rules and routes allow"},
		{"the middle of a connection", closed, Midstream(TCP("10.0.0.10", 999, "10.0.1.9", 22)), "open a new connection"},
		{"UDP to S3", silent, UDP("10.0.0.10", 999, "52.216.0.1", 443), bucket},
		{"ping to S3, which it answers", silent, Ping("10.0.0.10", "52.216.0.1"), `add "icmp to pl.s3" to the egress rules of one of the security groups of web`},
		{"ping to an instance", silent, Ping("10.0.0.10", "10.0.0.11"), `add "icmp to 10.0.0.11/32" to the egress rules of one of the security groups of web`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := New()
			s := b.AddServices()
			if test.change != nil {
				test.change(b, s)
			}
			if got := walk(b, test.packet, b.Web.Attachment, fabric.Forgetful{}).Advice(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// A refused packet to a service's public address is told what a person would do about it.
func TestAdviceToReachServices(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Bed)
		want   string
	}{
		{"no route", func(b *Bed) {}, "add a gateway endpoint of s3 to route table middle, or a route for 52.216.0.1/32 to a NAT gateway"},
		{"an endpoint without private DNS", func(b *Bed) {
			b.Internet.Portals[Addr("52.216.0.1")].PrefixList, b.Internet.Portals[Addr("52.216.0.1")].Service = "", "sqs"
		},
			"give endpoint.sqs private_dns: true and use the service's name, or add a route for 52.216.0.1/32 to a NAT gateway"},
		{"no rule", func(b *Bed) { b.Other.Egress = nil }, `add "tcp 443 to pl.s3" to the egress rules of one of the security groups of firewall`},
		{"no route to another region", func(b *Bed) { b.App.Region = "eu-west-1" }, "add a route for 52.216.0.1/32 to a NAT gateway to route table middle"},
		{"no rule for another region", func(b *Bed) { b.App.Region, b.Other.Egress = "eu-west-1", nil },
			`add "tcp 443 to 52.216.0.1/32" to the egress rules of one of the security groups of firewall`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := New()
			b.AddServices()
			test.change(b)
			path := walk(b, TCP("10.0.2.9", 999, "52.216.0.1", 443), b.Firewall.Attachment, fabric.Forgetful{})
			if got := path.Advice(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// People read the addresses that a guest knows, at every station of a packet to a service and of its answer.
func TestServicesAreToldByTheirOutsideAddresses(t *testing.T) {
	b := New()
	s := b.AddServices()
	asked, answer := "tcp 10.0.1.5:999 > 52.216.0.1:443", "tcp 52.216.0.1:443 > 10.0.1.5:999"
	for _, row := range []struct {
		packet fabric.Packet
		from   uint32
		want   []string
	}{
		{TCP("10.0.1.5", 999, "52.216.0.1", 443), b.Client.Attachment, []string{"client/send: " + asked, "endpoint.s3: " + asked, "s3/deliver: " + asked}},
		{TCP("100.96.0.4", 443, "100.64.0.1", 999), s.Attachment, []string{"services/send: " + answer, "services/service: " + answer, "endpoint.s3: " + answer,
			"client/deliver: " + answer}},
	} {
		path := walk(b, row.packet, row.from, recollections{"client": fabric.Tracked})
		got := slices.DeleteFunc(path.Lines(), func(line string) bool { return !strings.Contains(line, " > ") })
		if !slices.Equal(got, row.want) {
			t.Errorf("got  %q\nwant %q", got, row.want)
		}
	}
}

// What a service still sends by an endpoint that is gone is told without the services' own addresses.
func TestAnswersByAWayThatIsGone(t *testing.T) {
	b := New()
	s := b.AddServices()
	delete(s.Portals, Addr("100.96.0.4"))
	path := walk(b, TCP("100.96.0.4", 443, "100.64.0.1", 999), s.Attachment, fabric.Forgetful{})
	want := "services/service: nobody asks by this way any more: an endpoint or an address is gone -- SERVICE_SOURCE_UNKNOWN"
	if lines := path.Lines(); !slices.Equal(lines, []string{"services/send: what a service answers", want}) {
		t.Errorf("got  %q\nwant the sending, and %s", lines, want)
	}
	if want := "open a new connection: the service still answers by an endpoint that is gone, or to an address that nobody has"; path.Advice() != want {
		t.Errorf("advice %q", path.Advice())
	}
}
