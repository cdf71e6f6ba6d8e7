package lab

import (
	"net/netip"
	"slices"

	"github.com/vpclab/vpclab/ctrl/lab/labtest"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// tableLab is the lab of the table of packets.
//
//	a: public  10.0.0.0/24  web .10 (198.51.100.7)  near .11  two .12 (198.51.100.8)  fw .13 (no source check)
//	           routes: igw, blackhole, fw, near, nat.out
//	   private 10.0.1.0/24  app .10  sealed .11   routes: peering.ac
//	           endpoint.sqs .4  load balancer of endpoint_service.shop .5   routes, as those of public: endpoint.s3
//	   vault   10.0.2.0/24  db .10   acl vault
//	   behind  10.0.3.0/24  shielded .10 (198.51.100.10)   the internet gateway's table leads to fw
//	   lost    10.0.4.0/24  lost .10 (198.51.100.11)   the internet gateway's table leads to near, which has no public address
//	   inner   10.0.5.0/24  inner .10   routes: nat.out (10.0.0.20, 198.51.100.20), IPv6: egress-only gateway, NAT64: nat.out
//	   round   10.0.6.0/24  lap .10   routes: nat.round, which stands in this subnet
//	b: public  10.0.0.0/24  other .10, the address of web
//	c: public  10.9.0.0/24  store .10   routes: peering.ac, whose ends are joined
//	internet: example 203.0.113.80
const tableLab = `
name: labtest-table
vpcs:
  a:
    cidr: 10.0.0.0/16
    ipv6: 2600:1f18:aa00::/56
    internet_gateway: {routes: {10.0.3.0/24: instance.fw, 10.0.4.0/24: instance.near}}
    egress_only_gateway: true
    nat_gateways:
      out: {subnet: public, ip: 10.0.0.20, eip: 198.51.100.20}
      round: {subnet: round, ip: 10.0.6.20, eip: 198.51.100.21}
    subnets:
      public:
        cidr: 10.0.0.0/24
        ipv6: 2600:1f18:aa00::/64
        az: a
        routes:
          0.0.0.0/0: igw
          "::/0": igw
          192.0.2.0/24: blackhole
          172.16.0.0/16: instance.fw
          172.17.0.0/16: instance.near
          172.18.0.0/16: nat.out
      private:
        cidr: 10.0.1.0/24
        ipv6: "2600:1f18:aa00:1::/64"
        az: a
        routes: {10.9.0.0/16: peering.ac, 172.30.0.0/16: peering.ac, "2600:1f18:cc00::/56": peering.ac}
      vault: {cidr: 10.0.2.0/24, ipv6: "2600:1f18:aa00:2::/64", az: a, acl: vault}
      behind: {cidr: 10.0.3.0/24, az: a, routes: {0.0.0.0/0: igw}}
      lost: {cidr: 10.0.4.0/24, az: a, routes: {0.0.0.0/0: igw}}
      inner:
        cidr: 10.0.5.0/24
        ipv6: 2600:1f18:aa00:5::/64
        az: a
        routes: {0.0.0.0/0: nat.out, "::/0": eigw, "64:ff9b::/96": nat.out}
      round: {cidr: 10.0.6.0/24, az: a, routes: {0.0.0.0/0: nat.round}}
    acls:
      vault:
        ingress: [100 deny tcp 5433 from 10.0.0.0/16, 110 allow tcp 5432-5433 from 10.0.0.0/16, 120 allow icmpv6 from ::/0]
        egress: [100 allow tcp 1024-65535 to 10.0.0.0/16]
    security_groups:
      open: {ingress: [all from 0.0.0.0/0, "all from ::/0"]}
      web: {ingress: [tcp 80 from 0.0.0.0/0, "tcp 80 from ::/0", udp 53 from sg.open]}
      app: {ingress: [tcp 8080 from sg.web, "tcp 8080 from 2600:1f18:aa00::/56"]}
      sealed: {ingress: [tcp 22 from 10.0.0.0/16], egress: [tcp 443 to 0.0.0.0/0]}
    instances:
      web: {subnet: public, ip: 10.0.0.10, ipv6: "2600:1f18:aa00::10", eip: 198.51.100.7, sg: [web]}
      near: {subnet: public, ip: 10.0.0.11, ipv6: "2600:1f18:aa00::11", sg: [open]}
      two: {subnet: public, ip: 10.0.0.12, ipv6: "2600:1f18:aa00::12", eip: 198.51.100.8, sg: [open]}
      fw: {subnet: public, ip: 10.0.0.13, ipv6: "2600:1f18:aa00::13", eip: 198.51.100.9, sg: [open], source_dest_check: false}
      app: {subnet: private, ip: 10.0.1.10, ipv6: "2600:1f18:aa00:1::10", sg: [app]}
      sealed: {subnet: private, ip: 10.0.1.11, ipv6: "2600:1f18:aa00:1::11", sg: [sealed]}
      shielded: {subnet: behind, ip: 10.0.3.10, eip: 198.51.100.10, sg: [open]}
      lost: {subnet: lost, ip: 10.0.4.10, eip: 198.51.100.11, sg: [open]}
      inner: {subnet: inner, ip: 10.0.5.10, ipv6: "2600:1f18:aa00:5::10", sg: [open]}
      lap: {subnet: round, ip: 10.0.6.10, sg: [open]}
      db: {subnet: vault, ip: 10.0.2.10, ipv6: "2600:1f18:aa00:2::10", sg: [open]}
    endpoints:
      s3: {type: gateway, service: s3, route_tables: [private, public]}
      sqs: {type: interface, service: sqs, subnets: [private], sg: [open], dualstack: true}
    endpoint_services: {shop: {targets: [db], ports: [5432], subnets: [private]}}
  b:
    cidr: 10.0.0.0/16
    subnets: {public: {cidr: 10.0.0.0/24, az: a}}
    security_groups: {open: {ingress: [all from 0.0.0.0/0]}}
    instances: {other: {subnet: public, ip: 10.0.0.10, sg: [open]}}
  c:
    cidr: 10.9.0.0/16
    ipv6: 2600:1f18:cc00::/56
    subnets:
      public:
        cidr: 10.9.0.0/24
        ipv6: 2600:1f18:cc00::/64
        az: a
        routes: {10.0.0.0/16: peering.ac, "2600:1f18:aa00::/56": peering.ac, 203.0.113.0/24: peering.ac}
    security_groups: {store: {ingress: [all from a/sg.app, "all from 2600:1f18:aa00::/56"]}}
    instances: {store: {subnet: public, ip: 10.9.0.10, ipv6: "2600:1f18:cc00::10", sg: [store]}}
peerings:
  ac: {requester: a, accepter: c, encryption: none}
internet:
  hosts: {example: {ip: [203.0.113.80, "2001:db8:cafe::80"]}}
`

// The addresses of the table's lab.
const (
	web, web6, webPublic = "10.0.0.10", "2600:1f18:aa00::10", "198.51.100.7"
	near, near6          = "10.0.0.11", "2600:1f18:aa00::11"
	two, two6, twoPublic = "10.0.0.12", "2600:1f18:aa00::12", "198.51.100.8"
	fw, fw6              = "10.0.0.13", "2600:1f18:aa00::13"
	app, app6            = "10.0.1.10", "2600:1f18:aa00:1::10"
	sealed               = "10.0.1.11"
	db, db6              = "10.0.2.10", "2600:1f18:aa00:2::10"
	shielded             = "10.0.3.10"
	shieldedPublic       = "198.51.100.10"
	lost, lostPublic     = "10.0.4.10", "198.51.100.11"
	inner, inner6        = "10.0.5.10", "2600:1f18:aa00:5::10"
	lap                  = "10.0.6.10"
	store, store6        = "10.9.0.10", "2600:1f18:cc00::10"
	nat, natPublic       = "10.0.0.20", "198.51.100.20"
	s3                   = "52.216.0.1"
	sqs, sqs6, shop      = "10.0.1.4", "2600:1f18:aa00:1::4", "10.0.1.5"
	host, host6          = "203.0.113.80", "2001:db8:cafe::80"
)

const (
	fin = flow.FIN
	syn = flow.SYN
	rst = flow.RST
	ack = flow.ACK
)

// decider is who decides a packet that is sent again and again, when there is a fast path.
type decider int

const (
	byCache      decider = iota // the engine once, then the fast path from what it remembers
	byPrediction                // the fast path at once: what came before told the engine of this flow, too
	byEngine                    // the engine each time: the fast path cannot recognise it
	byDoor                      // eBPF at the guest's door, before there is any question of a flow
)

// row is one packet and its fate.
type row struct {
	name    string
	before  []sending // what passed before, from whom
	from    string
	packet  labtest.Packet
	frame   func([]byte) []byte // changes of the Ethernet frame
	to      string              // "": dropped
	arrives []labtest.Packet    // as the receiver sees it, in one piece or more
	told    []labtest.Packet    // what the sender hears of it, for each time it is sent
	piece   bool                // it is a fragment: each time it is sent, what comes before is, too, as another datagram
	reason  flow.Reason
	at      string // the hop that dropped it; "" for what has no flow or no way to speak of
	by      decider
	answer  bool // the fabric consumes the packet and answers the sender
}

type sending struct {
	from   string
	packet labtest.Packet
}

// passes is a packet that arrives as it was sent.
func passes(name, from string, p labtest.Packet, to string) row {
	return row{name: name, from: from, packet: p, to: to, arrives: []labtest.Packet{p}}
}

// stops is a packet that ends at a hop for a reason.
func stops(name, from string, p labtest.Packet, reason flow.Reason, at string) row {
	return row{name: name, from: from, packet: p, reason: reason, at: at}
}

// breaks is a packet without a readable header: no flow, no hop.
func breaks(name string, p labtest.Packet) row {
	return row{name: name, from: "web", packet: p, reason: flow.MalformedPacket, by: byEngine}
}

// bounces is a frame that the door refuses.
func bounces(name string, p labtest.Packet, reason flow.Reason, frame func([]byte) []byte) row {
	return row{name: name, from: "web", packet: p, reason: reason, by: byDoor, frame: frame}
}

// as is a delivered packet that arrives changed, or in pieces.
func (r row) as(p ...labtest.Packet) row {
	r.arrives = p
	return r
}

// tells is a packet whose sender is told what became of it.
func (r row) tells(p ...labtest.Packet) row {
	r.told = p
	return r
}

// ofDatagram marks a fragment, which only once has its place in a datagram, after the fragments that came before it.
func (r row) ofDatagram(before ...labtest.Packet) row {
	for _, p := range before {
		r.before = append(r.before, sending{r.from, p})
	}
	r.piece = true
	return r.slowly()
}

// nth is the row as it is sent for the nth time.
func (r row) nth(n int) row {
	if !r.piece {
		return r
	}
	id := uint16(0x2000 + n)
	r.packet = r.packet.ID(id)
	r.before, r.arrives = slices.Clone(r.before), slices.Clone(r.arrives)
	for i := range r.before {
		r.before[i].packet = r.before[i].packet.ID(id)
	}
	for i := range r.arrives {
		r.arrives[i] = r.arrives[i].ID(id)
	}
	return r
}

// slowly marks a packet that the fast path never takes.
func (r row) slowly() row {
	r.by = byEngine
	return r
}

// foreseen marks a packet whose flow the fast path knows by what came before.
func (r row) foreseen() row {
	r.by = byPrediction
	return r
}

// after lets packets pass before.
func (r row) after(s ...sending) row {
	r.before = s
	return r
}

// table is the one table of packets that engine, fast path and explanation agree about.
func table() []row {
	var rows []row
	for _, topic := range []func() []row{
		withinSubnet, acrossSubnets, connections, routes, gateway, edgeTable, natGateway, egressOnly, peerings, icmpErrors, sources, toServices, headers,
		fragments, malformed, atTheDoor,
	} {
		rows = append(rows, topic()...)
	}
	return rows
}

func peerings() []row {
	return []row{
		passes("a SYN to a peered VPC", "app", labtest.TCP(app, 1030, store, 80, syn), "store"),
		passes("UDP to a peered VPC", "app", labtest.UDP(app, 1030, store, 53), "store"),
		passes("an echo request of IPv6 to a peered VPC", "app", labtest.ICMP(app6, store6, 128, 0, 30), "store"),
		passes("UDP over IPv6 to a peered VPC", "app", labtest.UDP(app6, 1030, store6, 53), "store"),
		passes("the largest packet to a peered VPC of the region", "app", labtest.UDP(app, 1031, store, 53).Size(9001), "store"),
		passes("an answer of a peered VPC", "store", labtest.UDP(store, 53, app, 1032), "app").
			after(sending{"app", labtest.UDP(app, 1032, store, 53)}).foreseen(),
		stops("from who is in no group that the peer admits", "sealed", labtest.TCP(sealed, 1030, store, 443, syn), flow.SGRulesMismatch, "store/sg-in"),
		stops("without a route to the peer", "near", labtest.UDP(near, 1030, store, 53), flow.IGWNoPublicIPEgress, "igw"),
		stops("to an address of the peer that nobody has", "app", labtest.UDP(app, 1030, "10.9.0.77", 53), flow.UnknownDestination, "peering.ac"),
		stops("UDP by a gateway endpoint", "app", labtest.UDP(app, 1030, s3, 443), flow.VPCEGatewayProtocol, "endpoint.s3"),
		stops("a foreign source by a gateway endpoint", "fw", labtest.TCP("172.20.0.9", 1030, s3, 443, syn), flow.VPCESourceNotInVPC, "endpoint.s3"),
		stops("UDP to an interface endpoint", "near", labtest.UDP(near, 1030, sqs, 443), flow.VPCEInterfaceProtocol, "endpoint.sqs"),
		stops("a source without an interface at an interface endpoint", "fw", labtest.TCP("10.0.9.9", 1030, sqs, 443, syn), flow.ServiceSourceUnknown, "endpoint.sqs"),
		stops("to a load balancer from its own VPC", "near", labtest.UDP(near, 1030, shop, 5432), flow.NLBInbound, "endpoint_service.shop"),
		stops("to a resolver's other port", "near", labtest.UDP(near, 1030, "10.0.0.2", 54), flow.ServiceUnavailable, "near/service").slowly(),
		stops("past the peer", "app", labtest.UDP(app, 1030, "172.30.0.1", 53), flow.PCXAddressNotInVPC, "peering.ac"),
		stops("to the peer's internet gateway", "store", labtest.UDP(store, 1030, host, 53), flow.PCXAddressNotInVPC, "peering.ac"),
	}
}

func withinSubnet() []row {
	return []row{
		passes("a SYN", "web", labtest.TCP(web, 1000, near, 80, syn), "near"),
		passes("UDP", "web", labtest.UDP(web, 1000, near, 53), "near"),
		passes("an echo request", "web", labtest.ICMP(web, near, 8, 0, 7), "near"),
		passes("a SYN over IPv6", "web", labtest.TCP(web6, 1000, near6, 80, syn), "near"),
		passes("UDP over IPv6", "web", labtest.UDP(web6, 1000, near6, 53), "near"),
		passes("an echo request of IPv6", "web", labtest.ICMP(web6, near6, 128, 0, 7), "near"),
		passes("GRE", "web", labtest.Raw(47, web, near), "near"),
		passes("ESP", "web", labtest.Raw(50, web, near), "near"),
		passes("SCTP", "web", labtest.Raw(132, web, near), "near"),
		passes("a protocol without a name", "web", labtest.Raw(253, web, near), "near"),
		passes("GRE over IPv6", "web", labtest.Raw(47, web6, near6), "near"),
		passes("the largest packet of a VPC", "web", labtest.UDP(web, 1001, near, 53).Size(9001), "near"),
		passes("the largest packet of a VPC, over IPv6", "web", labtest.UDP(web6, 1001, near6, 53).Size(9001), "near"),
		passes("UDP without a checksum", "web", labtest.UDP(web, 1002, near, 53).Unsummed(), "near"),
		passes("a wrong checksum is the receiver's business", "web", labtest.UDP(web, 1003, near, 53).Set(26, 0xde, 0xad), "near"),
		passes("more in the frame than the packet says", "web", labtest.UDP(web, 1004, near, 53).Pad(6), "near"),
		passes("no router counts the TTL down", "web", labtest.UDP(web, 1005, near, 53).TTL(1), "near"),
		passes("don't fragment", "web", labtest.UDP(web, 1006, near, 53).Fragment(labtest.DontFragment), "near"),
		passes("by the group that was allowed", "near", labtest.UDP(near, 1000, web, 53), "web"),
		stops("a port that no group allows", "near", labtest.UDP(near, 1000, web, 54), flow.SGRulesMismatch, "web/sg-in"),
		stops("ping, which no group allows", "near", labtest.ICMP(near, web, 8, 0, 7), flow.SGRulesMismatch, "web/sg-in"),
		stops("a protocol that no group allows", "near", labtest.Raw(47, near, web), flow.SGRulesMismatch, "web/sg-in"),
		stops("an IPv6 port that no group allows", "near", labtest.UDP(near6, 1000, web6, 54), flow.SGRulesMismatch, "web/sg-in"),
		stops("an address that nobody has", "web", labtest.UDP(web, 1000, "10.0.0.200", 53), flow.UnknownDestination, "web/route"),
		stops("an IPv6 address that nobody has", "web", labtest.UDP(web6, 1000, "2600:1f18:aa00::99", 53), flow.UnknownDestination,
			"web/route"),
		stops("the subnet's broadcast address", "web", labtest.UDP(web, 1000, "10.0.0.255", 53), flow.UnknownDestination, "web/route"),
	}
}

func acrossSubnets() []row {
	return []row{
		passes("from a group that is allowed", "web", labtest.TCP(web, 1000, app, 8080, syn), "app"),
		passes("from an IPv6 range that is allowed", "web", labtest.TCP(web6, 1000, app6, 8080, syn), "app"),
		stops("from a group that is not", "near", labtest.TCP(near, 1000, app, 8080, syn), flow.SGRulesMismatch,
			"app/sg-in"),
		stops("out of a sealed group", "sealed", labtest.UDP(sealed, 1000, web, 53), flow.SGRulesMismatch, "sealed/sg-out"),
		passes("through an ACL that allows the port", "web", labtest.TCP(web, 1000, db, 5432, syn), "db"),
		stops("into an ACL that denies it before it allows it", "web", labtest.TCP(web, 1000, db, 5433, syn), flow.ACLRestriction,
			"db/acl-in"),
		stops("into an ACL that does not name it", "web", labtest.UDP(web, 1000, db, 5432), flow.ACLRestriction,
			"db/acl-in"),
		stops("out of an ACL that does not name it", "db", labtest.TCP(db, 1000, web, 80, syn), flow.ACLRestriction, "db/acl-out"),
		stops("into an ACL with nothing for TCP over IPv6", "web", labtest.TCP(web6, 1000, db6, 5432, syn), flow.ACLRestriction,
			"db/acl-in"),
		passes("ping of IPv6 through the ACL", "web", labtest.ICMP(web6, db6, 128, 0, 7), "db"),
		stops("an address of another subnet that nobody has", "web", labtest.UDP(web, 1000, "10.0.1.200", 53), flow.UnknownDestination,
			"web/route"),
		stops("an address that only another VPC of the same CIDR could have", "other", labtest.UDP(web, 1000, app, 53),
			flow.UnknownDestination, "other/route"),
	}
}

// connections are packets in the middle of something.
func connections() []row {
	opens := sending{"web", labtest.TCP(web, 2000, app, 8080, syn)}
	accepts := sending{"app", labtest.TCP(app, 8080, web, 2000, syn|ack)}
	confirms := sending{"web", labtest.TCP(web, 2000, app, 8080, ack)}
	resets := sending{"app", labtest.TCP(app, 8080, web, 2000, rst|ack)}
	return []row{
		passes("a SYN-ACK needs no rule where the connection is tracked", "app", accepts.packet, "web").after(opens).foreseen(),
		passes("the ACK", "web", confirms.packet, "app").after(opens, accepts).foreseen(),
		passes("data from the server", "app", labtest.TCP(app, 8080, web, 2000, ack), "web").after(opens, accepts, confirms).foreseen(),
		passes("a FIN", "web", labtest.TCP(web, 2000, app, 8080, fin|ack), "app").after(opens, accepts, confirms).foreseen(),
		passes("an RST", "web", labtest.TCP(web, 2000, app, 8080, rst), "app").after(opens, accepts, confirms).foreseen(),
		passes("a SYN on the ports of a connection that was reset", "web", opens.packet, "app").after(opens, accepts, confirms, resets),
		passes("a SYN in the middle of a connection begins another", "web", labtest.TCP(web, 2000, app, 8080, syn), "app").
			after(opens, accepts, confirms),
		stops("an ACK of no connection", "web", labtest.TCP(web, 2001, app, 8080, ack), flow.NoTrackedConnection, "web/sg-out"),
		stops("a SYN-ACK that nobody asked for", "app", labtest.TCP(app, 8080, web, 2001, syn|ack), flow.NoTrackedConnection, "app/sg-out"),
		stops("an RST of no connection", "web", labtest.TCP(web, 2002, app, 8080, rst), flow.NoTrackedConnection, "web/sg-out"),
		stops("a segment without flags", "web", labtest.TCP(web, 2003, app, 8080, 0), flow.NoTrackedConnection, "web/sg-out"),
		passes("all flags at once, where nothing is tracked", "near", labtest.TCP(near, 2000, two, 80, 0xff), "two"),
		passes("an answer to UDP", "near", labtest.UDP(near, 9, web, 2000), "web").
			after(sending{"web", labtest.UDP(web, 2000, near, 9)}).foreseen(),
		stops("an answer from another than was asked", "two", labtest.UDP(two, 9, web, 2000), flow.SGRulesMismatch, "web/sg-in").
			after(sending{"web", labtest.UDP(web, 2000, near, 9)}),
		passes("an answer to a ping", "near", labtest.ICMP(near, web, 0, 0, 9), "web").
			after(sending{"web", labtest.ICMP(web, near, 8, 0, 9)}).foreseen(),
		stops("an answer to a ping of another identifier", "near", labtest.ICMP(near, web, 0, 0, 10), flow.SGRulesMismatch, "web/sg-in").
			after(sending{"web", labtest.ICMP(web, near, 8, 0, 9)}),
		passes("an answer to GRE", "near", labtest.Raw(47, near, web), "web").after(sending{"web", labtest.Raw(47, web, near)}).foreseen(),
	}
}

func routes() []row {
	return []row{
		stops("no route", "app", labtest.UDP(app, 1000, host, 53), flow.NoRoute, "app/route"),
		stops("no route for IPv6", "app", labtest.UDP(app6, 1000, host6, 53), flow.NoRoute, "app/route"),
		stops("a blackhole", "web", labtest.UDP(web, 1000, "192.0.2.1", 53), flow.BlackholeRoute, "web/route"),
		passes("a route to an appliance", "web", labtest.UDP(web, 1000, "172.16.0.1", 53), "fw"),
		stops("a route to an instance that checks destinations", "web", labtest.UDP(web, 1000, "172.17.0.1", 53), flow.SourceDestCheck,
			"near/dest-check"),
		passes("an appliance passes on what another sent", "fw", labtest.UDP("172.16.0.1", 1000, near, 53), "near"),
	}
}

func gateway() []row {
	out := func(name string, p labtest.Packet, arrives ...labtest.Packet) row {
		return passes(name, "web", p, "example").as(arrives...)
	}
	in := func(name string, p, arrives labtest.Packet) row { return passes(name, "example", p, "web").as(arrives) }
	large := func(port uint16) labtest.Packet { return labtest.UDP(web, port, host, 53).Size(1501) }
	largePublic := func(port uint16) labtest.Packet { return labtest.UDP(webPublic, port, host, 53).Size(1501) }
	whole := func(port uint16) labtest.Packet { return large(port).Fragment(labtest.DontFragment) }
	large6 := labtest.UDP(web6, 1004, host6, 53).Size(1501)
	return []row{
		out("UDP to the internet", labtest.UDP(web, 1000, host, 53), labtest.UDP(webPublic, 1000, host, 53)),
		out("a checksum of zero stays zero", labtest.UDP(web, 1001, host, 53).Unsummed(), labtest.UDP(webPublic, 1001, host, 53).Unsummed()),
		out("TCP to the internet", labtest.TCP(web, 1000, host, 80, syn), labtest.TCP(webPublic, 1000, host, 80, syn)),
		out("ping to the internet", labtest.ICMP(web, host, 8, 0, 7), labtest.ICMP(webPublic, host, 8, 0, 7)),
		out("GRE to the internet", labtest.Raw(47, web, host), labtest.Raw(47, webPublic, host)),
		out("IPv4 options to the internet", labtest.UDP(web, 1002, host, 53).Options(1, 1, 1, 1),
			labtest.UDP(webPublic, 1002, host, 53).Options(1, 1, 1, 1)).slowly(),
		out("IPv6 to the internet keeps its address", labtest.UDP(web6, 1000, host6, 53), labtest.UDP(web6, 1000, host6, 53)),
		in("TCP from the internet", labtest.TCP(host, 1000, webPublic, 80, syn), labtest.TCP(host, 1000, web, 80, syn)),
		in("TCP from the internet over IPv6", labtest.TCP(host6, 1000, web6, 80, syn), labtest.TCP(host6, 1000, web6, 80, syn)),
		in("an answer from the internet", labtest.UDP(host, 53, webPublic, 1000), labtest.UDP(host, 53, web, 1000)).
			after(sending{"web", labtest.UDP(web, 1000, host, 53)}).foreseen(),
		stops("a port that is not open to the internet", "example", labtest.TCP(host, 1000, webPublic, 22, syn), flow.SGRulesMismatch,
			"web/sg-in"),
		stops("IPv6 that is not open to the internet", "example", labtest.TCP(host6, 1000, app6, 22, syn), flow.SGRulesMismatch,
			"app/sg-in"),
		passes("by public addresses within the VPC", "web", labtest.TCP(web, 1000, twoPublic, 80, syn), "two").
			as(labtest.TCP(webPublic, 1000, two, 80, syn)),
		passes("to one's own public address", "two", labtest.TCP(two, 1000, twoPublic, 80, syn), "two").
			as(labtest.TCP(twoPublic, 1000, two, 80, syn)),
		stops("no public address", "near", labtest.UDP(near, 1000, host, 53), flow.IGWNoPublicIPEgress, "igw"),
		stops("to a private address", "web", labtest.UDP(web, 1000, "192.168.1.1", 53), flow.IGWDestinationRFC1918, "igw"),
		stops("to shared address space", "web", labtest.UDP(web, 1000, "100.64.0.1", 53), flow.IGWDestinationRFC6598, "igw"),
		stops("to an address that nobody has", "web", labtest.UDP(web, 1000, "8.8.8.8", 53), flow.UnknownDestination, "internet"),
		stops("to an endpoint's IPv6 address", "example", labtest.TCP(host6, 1000, sqs6, 443, syn), flow.VPCEDeniesIGW, "igw"),
		stops("to a public address that is mapped to nothing", "example", labtest.UDP(host, 1000, "198.18.0.77", 53),
			flow.IGWNoPrivateIPIngress, "igw"),
		stops("one host to a hole in the internet", "example", labtest.UDP(host, 1000, "8.8.8.8", 53), flow.UnknownDestination, "internet"),
		stops("an IPv6 source that is not the VPC's", "fw", labtest.UDP("2001:db8::1", 1000, host6, 53), flow.GatewaySpoofed, "igw"),
		out("1500 bytes", labtest.UDP(web, 1003, host, 53).Size(1500), labtest.UDP(webPublic, 1003, host, 53).Size(1500)),
		out("1501 bytes in two pieces", large(1004), largePublic(1004).Piece(0, 1480), largePublic(1004).Piece(1480, 0)).slowly(),
		out("1501 bytes in two pieces on a connection that has carried less", large(1005),
			largePublic(1005).Piece(0, 1480), largePublic(1005).Piece(1480, 0)).
			after(sending{"web", labtest.UDP(web, 1005, host, 53)}).slowly(),
		stops("1501 bytes that may not be cut", "web", whole(1006), flow.MTUExceeded, "igw").
			tells(labtest.TooBig("10.0.0.1", web, 1500, whole(1006))).slowly(),
		stops("1501 bytes that may not be cut on a connection that has carried less", "web", whole(1007), flow.MTUExceeded, "igw").
			tells(labtest.TooBig("10.0.0.1", web, 1500, whole(1007))).
			after(sending{"web", labtest.UDP(web, 1007, host, 53)}).slowly(),
		stops("1501 bytes over IPv6", "web", large6, flow.MTUExceeded, "igw").tells(labtest.TooBig(router6, web6, 1500, large6)).slowly(),
	}
}

// router6 is the router as IPv6 guests know it (RFC 4291, appendix A, from its MAC address).
const router6 = "fe80::76:70ff:fe63:6c01"

// edgeTable is the internet gateway's own route table.
func edgeTable() []row {
	return []row{
		passes("from the internet to an appliance first", "example", labtest.UDP(host, 1000, shieldedPublic, 53), "fw").
			as(labtest.UDP(host, 1000, shielded, 53)),
		passes("the appliance passes it on", "fw", labtest.UDP(host, 1000, shielded, 53), "shielded"),
		stops("past the appliance to the internet", "shielded", labtest.UDP(shielded, 1000, host, 53), flow.IngressRedirection, "igw"),
		stops("to an appliance without a public address", "example", labtest.UDP(host, 1000, lostPublic, 53), flow.IngressNoPublicIP, "igw"),
	}
}

// natGateway is what nat.out and nat.round carry. The first port towards a destination is 1024. The engine sees each SYN, as it may have to
// lower the MSS.
func natGateway() []row {
	asks := sending{"inner", labtest.UDP(inner, 7000, host, 53)}
	opens := sending{"inner", labtest.TCP(inner, 7000, host, 80, syn)}
	accepts := sending{"example", labtest.TCP(host, 80, natPublic, 1024, syn|ack)}
	confirms := sending{"inner", labtest.TCP(inner, 7000, host, 80, ack)}
	stray := labtest.TCP(inner, 7001, host, 80, ack)
	last := labtest.UDP(inner, 7002, host, 53).TTL(1)
	return []row{
		passes("UDP through a NAT gateway", "inner", asks.packet, "example").as(labtest.UDP(natPublic, 1024, host, 53).TTL(63)),
		passes("TCP through a NAT gateway", "inner", opens.packet, "example").as(labtest.TCP(natPublic, 1024, host, 80, syn).TTL(63)).slowly(),
		passes("a SYN that announces larger segments than a NAT gateway carries", "inner", opens.packet.MSS(8961), "example").
			as(labtest.TCP(natPublic, 1024, host, 80, syn).MSS(8460).TTL(63)).slowly(),
		passes("ping through a NAT gateway", "inner", labtest.ICMP(inner, host, 8, 0, 7), "example").
			as(labtest.ICMP(natPublic, host, 8, 0, 1024).TTL(63)),
		passes("an answer through a NAT gateway", "example", labtest.UDP(host, 53, natPublic, 1024), "inner").
			as(labtest.UDP(host, 53, inner, 7000).TTL(63)).after(asks).foreseen(),
		passes("a SYN-ACK through a NAT gateway", "example", labtest.TCP(host, 80, natPublic, 1024, syn|ack), "inner").
			as(labtest.TCP(host, 80, inner, 7000, syn|ack).TTL(63)).after(opens).slowly(),
		passes("a SYN-ACK that announces larger segments, again after the connection stands", "example",
			labtest.TCP(host, 80, natPublic, 1024, syn|ack).MSS(8961), "inner").
			as(labtest.TCP(host, 80, inner, 7000, syn|ack).MSS(8460).TTL(63)).after(opens, accepts, confirms).slowly(),
		passes("an error through a NAT gateway, translated inside and out", "example",
			labtest.Unreachable(host, natPublic, labtest.UDP(natPublic, 1024, host, 53)), "inner").
			as(labtest.Unreachable(host, inner, asks.packet).TTL(63)).after(asks).slowly(),
		stops("from the internet to a NAT gateway", "example", labtest.UDP(host, 1000, natPublic, 1024), flow.NATInbound, "nat.out"),
		stops("an answer from another port than was asked", "example", labtest.UDP(host, 54, natPublic, 1024), flow.NATInbound, "nat.out").
			after(asks),
		stops("a segment of a connection that a NAT gateway does not know", "inner", stray, flow.NATIdle, "nat.out").
			tells(labtest.Reset(stray)).slowly(),
		stops("an echo reply that a NAT gateway did not see asked for", "inner", labtest.ICMP(inner, host, 0, 0, 7), flow.NATIdle, "nat.out").
			slowly(),
		stops("GRE to a NAT gateway", "inner", labtest.Raw(47, inner, host), flow.NATProtocol, "nat.out"),
		stops("from outside of the VPC to a NAT gateway", "fw", labtest.UDP("172.16.0.1", 1000, "172.18.0.1", 53), flow.NATSourceNotInVPC,
			"nat.out"),
		stops("a fragment of TCP to a NAT gateway", "inner", labtest.TCP(inner, 7003, host, 80, syn).Size(52).Fragment(labtest.MoreFragments),
			flow.NATFragment, "nat.out").ofDatagram(),
		stops("a TTL that ends at a NAT gateway", "inner", last, flow.TTLExpired, "nat.out").tells(labtest.TimeExceeded(nat, inner, last)).
			slowly(),
		stops("a NAT gateway that leads to itself", "lap", labtest.UDP(lap, 1000, host, 53), flow.RouteLoop, "nat.round"),
	}
}

func egressOnly() []row {
	asks := sending{"inner", labtest.UDP(inner6, 7000, host6, 53)}
	return []row{
		passes("out by an egress-only gateway", "inner", asks.packet, "example"),
		passes("an answer by an egress-only gateway", "example", labtest.UDP(host6, 53, inner6, 7000), "inner").after(asks).foreseen(),
		stops("in by an egress-only gateway", "example", labtest.UDP(host6, 1000, inner6, 53), flow.EIGWInbound, "eigw"),
	}
}

func icmpErrors() []row {
	asks := sending{"web", labtest.UDP(web, 3000, host, 53)}
	asks6 := sending{"web", labtest.UDP(web6, 3000, host6, 53)}
	within := sending{"web", labtest.UDP(web, 3000, near, 53)}
	return []row{
		passes("an error about a packet to the internet, translated inside and out", "example",
			labtest.Unreachable(host, webPublic, labtest.UDP(webPublic, 3000, host, 53)), "web").
			as(labtest.Unreachable(host, web, asks.packet)).after(asks).slowly(),
		passes("an error about an IPv6 packet", "example", labtest.Unreachable(host6, web6, asks6.packet), "web").after(asks6).slowly(),
		passes("an error within the subnet", "near", labtest.Unreachable(near, web, within.packet), "web").after(within).slowly(),
		stops("an error about a packet that was never sent", "near", labtest.Unreachable(near, web, labtest.UDP(web, 3001, near, 53)),
			flow.SGRulesMismatch, "web/sg-in").slowly(),
		passes("a timestamp request", "web", labtest.ICMP(web, near, 13, 0, 0), "near").slowly(),
		passes("an echo request with a code", "web", labtest.ICMP(web, near, 8, 1, 8), "near").slowly(),
		passes("ICMP in IPv6 is a number", "web", labtest.Raw(1, web6, near6), "near").slowly(),
		passes("ICMPv6 in IPv4 is a number", "web", labtest.Raw(58, web, near), "near").slowly(),
	}
}

func sources() []row {
	from := func(src string) labtest.Packet { return labtest.UDP(src, 1000, near, 53) }
	return []row{
		stops("the source of a neighbour", "web", from(two), flow.SourceDestCheck, "web/source-check"),
		stops("the IPv6 source of a neighbour", "web", labtest.UDP(two6, 1000, near6, 53), flow.SourceDestCheck, "web/source-check"),
		stops("loopback", "web", from("127.0.0.1"), flow.InvalidSource, "web/source-check"),
		stops("the IPv6 loopback", "web", labtest.UDP("::1", 1000, near6, 53), flow.InvalidSource, "web/source-check"),
		stops("no source", "web", from("0.0.0.0"), flow.InvalidSource, "web/source-check"),
		stops("no IPv6 source", "web", labtest.UDP("::", 1000, near6, 53), flow.InvalidSource, "web/source-check"),
		stops("a multicast source", "web", from("224.0.0.1"), flow.InvalidSource, "web/source-check"),
		stops("a broadcast source", "web", from("255.255.255.255"), flow.InvalidSource, "web/source-check"),
		stops("loopback from an appliance", "fw", from("127.0.0.1"), flow.InvalidSource, "fw/source-check"),
		stops("a forged source on the internet", "example", labtest.UDP("203.0.113.81", 1000, webPublic, 53), flow.GatewaySpoofed,
			"example/source-check"),
		stops("a private source on the internet", "example", labtest.UDP("10.0.0.11", 1000, webPublic, 53), flow.IGWSourceRFC1918, "igw"),
		stops("shared address space on the internet", "example", labtest.UDP("100.64.0.1", 1000, webPublic, 53), flow.IGWSourceRFC6598,
			"igw"),
		stops("loopback on the internet", "example", labtest.UDP("127.0.0.1", 1000, webPublic, 53), flow.InvalidSource,
			"example/source-check"),
	}
}

func toServices() []row {
	to := func(name, dst string) row {
		src := web
		if dst[4] == ':' {
			src = web6
		}
		return stops(name, "web", labtest.UDP(src, 1000, dst, 53), flow.ServiceUnavailable, "web/service")
	}
	return []row{
		to("the metadata service", "169.254.169.254").slowly(),
		to("the router", "10.0.0.1"),
		to("the metadata service over IPv6", "fd00:ec2::254").slowly(),
		to("a link-local address", "fe80::1"),
	}
}

func headers() []row {
	noop := []byte{17, 0, 1, 4, 0, 0, 0, 0} // UDP follows; PadN
	return []row{
		passes("IPv4 options", "web", labtest.UDP(web, 4000, near, 53).Options(1, 1, 1, 1), "near").slowly(),
		passes("a hop-by-hop header", "web", labtest.UDP(web6, 4000, near6, 53).Extensions(0, noop...), "near").slowly(),
		passes("a destination header", "web", labtest.UDP(web6, 4001, near6, 53).Extensions(60, noop...), "near").slowly(),
		passes("a routing header", "web", labtest.UDP(web6, 4002, near6, 53).Extensions(43, 17, 0, 4, 0, 0, 0, 0, 0), "near").slowly(),
		passes("an atomic fragment", "web", labtest.UDP(web6, 4003, near6, 53).Extensions(44, 17, 0, 0, 0, 0, 0, 0, 1), "near").slowly(),
		passes("no next header", "web", labtest.Raw(59, web6, near6), "near").slowly(),
		{name: "a TTL of zero", from: "web", packet: labtest.UDP(web, 4006, near, 53).TTL(0), reason: flow.TTLExpired, by: byEngine},
		{name: "a hop limit of zero", from: "web", packet: labtest.UDP(web6, 4006, near6, 53).TTL(0), reason: flow.TTLExpired, by: byEngine},
	}
}

// fragments follow the first one of their datagram. One whose first has not come has no fate: TestFragmentsWait.
func fragments() []row {
	first := labtest.UDP(web, 4004, near, 53).Size(44).Fragment(labtest.MoreFragments)
	middle := labtest.Raw(17, web, near).Size(44).Fragment(labtest.MoreFragments | 3)
	last := labtest.Raw(17, web, near).Size(40).Fragment(6)
	piece6 := func(p labtest.Packet, offset byte) labtest.Packet {
		return p.Extensions(44, 17, 0, 0, offset, 0, 0, 0, 0)
	}
	const more = 1
	first6 := piece6(labtest.UDP(web6, 4005, near6, 53).Size(56), more)
	last6 := piece6(labtest.Raw(17, web6, near6), 16)
	large := func(src string) labtest.Packet { return labtest.UDP(src, 4007, host, 53).Size(85) }
	refused := labtest.UDP(near, 4004, web, 54).Size(44).Fragment(labtest.MoreFragments)
	return []row{
		passes("a first fragment", "web", first, "near").ofDatagram(),
		passes("a middle fragment", "web", middle, "near").ofDatagram(first),
		passes("a last fragment", "web", last, "near").ofDatagram(first, middle),
		passes("a last fragment before the middle one", "web", last, "near").ofDatagram(first),
		passes("a first IPv6 fragment", "web", first6, "near").ofDatagram(),
		passes("a last IPv6 fragment", "web", last6, "near").ofDatagram(first6),
		passes("fragments to the internet", "web", large(web).Piece(24, 0), "example").as(large(webPublic).Piece(24, 0)).
			ofDatagram(large(web).Piece(0, 24)),
		stops("a first fragment to a port that no group allows", "near", refused, flow.SGRulesMismatch, "web/sg-in").ofDatagram(),
		stops("a fragment that overlaps the first", "web", labtest.Raw(17, web, near).Size(44).Fragment(labtest.MoreFragments|2),
			flow.FragmentOverlap, "web/send").ofDatagram(first),
		stops("a fragment that comes twice", "web", middle, flow.FragmentOverlap, "web/send").ofDatagram(first, middle),
		stops("a fragment beyond the largest packet", "web", labtest.Raw(17, web, near).Size(44).Fragment(0x1fff), flow.FragmentOverlap,
			"web/send").ofDatagram(),
		stops("a fragment that ends where no other can begin", "web", labtest.UDP(web, 4008, near, 53).Size(45).
			Fragment(labtest.MoreFragments), flow.MalformedPacket, "web/send").ofDatagram(),
		{name: "a first fragment of an ICMP error", from: "web", reason: flow.FragmentUnsupported, at: "web/send", by: byEngine, piece: true,
			packet: labtest.Unreachable(web, near, labtest.UDP(near, 1, web, 53)).Size(68).Fragment(labtest.MoreFragments)},
	}
}

func malformed() []row {
	udp, udp6 := labtest.UDP(web, 5000, near, 53), labtest.UDP(web6, 5000, near6, 53)
	tcp := labtest.TCP(web, 5000, near, 80, syn)
	noop := []byte{60, 0, 1, 4, 0, 0, 0, 0} // another destination header follows
	var chain []byte
	for range 9 {
		chain = append(chain, noop...)
	}
	return []row{
		breaks("an IPv4 header cut off", udp.Cut(19)),
		breaks("an IPv4 header of four words", udp.Set(0, 0x44)),
		breaks("options beyond the packet", udp.Set(0, 0x4f)),
		breaks("a total length beyond the frame", udp.Set(2, 0x40, 0)),
		breaks("a total length below the header", udp.Set(2, 0, 19)),
		breaks("a TCP header cut off", labtest.Raw(6, web, near).Upper(make([]byte, 19))),
		breaks("a TCP data offset of four words", tcp.Set(32, 4<<4)),
		breaks("a TCP data offset beyond the packet", tcp.Set(32, 15<<4)),
		breaks("a UDP header cut off", labtest.Raw(17, web, near).Upper(make([]byte, 7))),
		breaks("a UDP length below its header", udp.Set(24, 0, 7)),
		breaks("a UDP length beyond the packet", udp.Set(24, 0x40, 0)),
		breaks("an ICMP header cut off", labtest.Raw(1, web, near).Upper(make([]byte, 7))),
		breaks("an ICMP error that quotes nothing", labtest.ICMP(web, near, 3, 3, 0).Upper(make([]byte, 8)).Set(20, 3, 3)),
		breaks("an ICMP error that quotes noise", labtest.ICMP(web, near, 3, 3, 0)),
		breaks("an IPv6 header cut off", udp6.Cut(39)),
		breaks("an IPv6 payload beyond the frame", udp6.Set(4, 0x40, 0)),
		breaks("a TCP header over IPv6 cut off", labtest.Raw(6, web6, near6).Upper(make([]byte, 19))),
		breaks("an extension header cut off", labtest.Raw(0, web6, near6).Upper(make([]byte, 7))),
		breaks("an extension header beyond the packet", udp6.Extensions(60, 17, 9, 1, 4, 0, 0, 0, 0)),
		breaks("a hop-by-hop header in the wrong place", udp6.Extensions(60, 0, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0)),
		breaks("nine extension headers", udp6.Extensions(60, chain...)),
		breaks("two fragment headers", udp6.Extensions(44, 44, 0, 0, 0, 0, 0, 0, 1, 17, 0, 0, 0, 0, 0, 0, 1)),
	}
}

// atTheDoor are frames that eBPF drops, consumes or answers before there is any question of a flow.
func atTheDoor() []row {
	udp, udp6 := labtest.UDP(web, 6000, near, 53), labtest.UDP(web6, 6000, near6, 53)
	destination := func(mac ...byte) func([]byte) []byte {
		return func(f []byte) []byte { return append(mac, f[6:]...) }
	}
	ethertype := func(t uint16) func([]byte) []byte {
		return func(f []byte) []byte {
			f[12], f[13] = byte(t>>8), byte(t)
			return f
		}
	}
	tagged := func(t uint16) func([]byte) []byte {
		return func(f []byte) []byte {
			return append(append(append([]byte{}, f[:12]...), byte(t>>8), byte(t), 0, 5), f[12:]...)
		}
	}
	consumed := func(name string, p labtest.Packet) row { return bounces(name, p, flow.None, nil) }
	return []row{
		bounces("a VLAN tag", udp, flow.VLANTagged, tagged(labtest.VLAN)),
		bounces("a provider's VLAN tag", udp, flow.VLANTagged, tagged(0x88a8)),
		bounces("LLDP", udp, flow.UnsupportedEthertype, ethertype(0x88cc)),
		bounces("a length in place of an ethertype", udp, flow.UnsupportedEthertype, ethertype(100)),
		bounces("a frame without a packet", udp, flow.MalformedFrame, func(f []byte) []byte { return f[:14] }),
		bounces("another source MAC", udp, flow.SourceMACMismatch, func(f []byte) []byte {
			f[11] ^= 1
			return f
		}),
		bounces("to all MACs", udp, flow.Broadcast, destination(255, 255, 255, 255, 255, 255)),
		bounces("to a group of MACs", udp, flow.Multicast, destination(1, 0, 0x5e, 0, 0, 1)),
		bounces("the limited broadcast", labtest.UDP(web, 6000, "255.255.255.255", 67), flow.Broadcast, nil),
		bounces("a multicast group", labtest.UDP(web, 6000, "224.0.0.251", 5353), flow.Multicast, nil),
		bounces("an IPv6 multicast group", labtest.UDP(web6, 6000, "ff02::fb", 5353), flow.Multicast, nil),
		bounces("an IPv6 packet to a group of MACs", udp6, flow.Multicast, destination(0x33, 0x33, 0, 0, 0, 1)),
		bounces("version 5", udp.Set(0, 0x55), flow.MalformedPacket, nil),
		bounces("IPv6 that calls itself IPv4", udp6, flow.MalformedPacket, ethertype(labtest.IPv4)),
		bounces("IPv4 that calls itself IPv6", udp, flow.MalformedPacket, ethertype(labtest.IPv6)),
		consumed("a router solicitation", labtest.ICMP(web6, "ff02::2", 133, 0, 0)),
		consumed("a neighbour advertisement", labtest.ICMP(web6, "ff02::1", 136, 0, 0)),
		consumed("a listener report", labtest.ICMP(web6, "ff02::16", 143, 0, 0).Extensions(0, 58, 0, 5, 2, 0, 0, 1, 0)),
		bounces("a neighbour solicitation that is cut off", labtest.ICMP(web6, near6, 135, 0, 0).TTL(255).Upper([]byte{135}),
			flow.MalformedFrame, nil),
		bounces("ARP for an address that nobody has", udp, flow.UnknownNeighbor, arp("10.0.0.200")),
		bounces("ARP for one's own address", udp, flow.DuplicateAddressDetection, arp(web)),
		bounces("ARP cut off", udp, flow.MalformedFrame, func(f []byte) []byte { return arp(near)(f)[:30] }),
		{name: "ARP for a neighbour", from: "web", packet: udp, frame: arp(near), by: byDoor, answer: true},
		{name: "ARP for the router", from: "web", packet: udp, frame: arp("10.0.0.1"), by: byDoor, answer: true},
	}
}

// arp makes a frame a request for the owner of an address.
func arp(asked string) func([]byte) []byte {
	return func(f []byte) []byte {
		mac := f[6:12]
		b := append([]byte{255, 255, 255, 255, 255, 255}, mac...)
		b = append(b, 0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0, 1)
		b = append(append(b, mac...), netip.MustParseAddr(web).AsSlice()...)
		return append(append(b, 0, 0, 0, 0, 0, 0), netip.MustParseAddr(asked).AsSlice()...)
	}
}
