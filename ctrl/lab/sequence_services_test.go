package lab

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/vpclab/vpclab/dataplane/engine/reference"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// servicesID is the number of the lab's services among the guests of a course; attachments of the shape begin with 1.
const servicesID = 0

// endpoints are those that each VPC of a course has.
type endpoints struct{ gateway, face bool }

func (e endpoints) of(v *reference.VPC) object {
	o := object{}
	if e.gateway {
		tables := []string{}
		for i := range v.Subnets {
			tables = append(tables, subnetName(i))
		}
		o["s3"] = object{"type": "gateway", "service": "s3", "route_tables": tables}
	}
	if e.face {
		o["sqs"] = object{"type": "interface", "service": "sqs", "subnets": []string{subnetName(0)}, "sg": []string{groupName(0)}, "private_dns": false}
	}
	return o
}

// private is what a course says to the lab's services, of which its shape knows nothing.
type private struct {
	endpoints
	asked []question // the latest that reached them
}

// question is a packet that reached the services: who sent it, how, and how it came.
type question struct {
	from      uint32
	sent, got reference.Packet
}

// maxAsked is how many are kept: few, so that they are used again.
const maxAsked = 8

func (p *private) heard(from uint32, sent reference.Packet, b []byte) {
	if got, ok := modelOf(b); ok {
		p.asked = append(p.asked, question{from, sent, got})
		p.asked = p.asked[max(0, len(p.asked)-maxAsked):]
	}
}

// edit has an endpoint come or go with some changes.
func (p *private) edit(seed uint64) string {
	switch rand.New(rand.NewPCG(seed, 6)).IntN(6) {
	case 0:
		p.gateway = !p.gateway
		return fmt.Sprint(", gateway endpoints: ", p.gateway)
	case 1:
		p.face = !p.face
		return fmt.Sprint(", interface endpoints: ", p.face)
	}
	return ""
}

// divert makes of some packets that begin something one to the services, the next one of a connection to them, or their answer.
func (c *course) divert(s reference.Step, id uint32, p reference.Packet) (uint32, reference.Packet) {
	random := rand.New(rand.NewPCG(s.Seed, 5))
	n := random.IntN(100)
	switch {
	case s.Kind != reference.Send || n >= 50:
		return id, p
	case n < 15 || len(c.asked) == 0:
		return id, c.toServices(random, p)
	}
	q := c.asked[random.IntN(len(c.asked))]
	if c.guests[q.from] == nil { // it is gone
		return id, c.toServices(random, p)
	}
	if n < 30 {
		p = q.sent
		p.Flags = next(random, p.Flags)
		return q.from, p
	}
	p = q.got
	p.Src, p.Dst, p.SrcPort, p.DstPort, p.TTL = p.Dst, p.Src, p.DstPort, p.SrcPort, 64
	switch {
	case p.Protocol == flow.TCP && p.Flags == flow.SYN:
		p.Flags |= flow.ACK
	case p.Echo():
		p.Type = reply(p.Type)
	default:
		p.Flags = next(random, p.Flags)
	}
	return servicesID, p
}

// next are the flags of a later packet of a TCP connection, mostly one with data.
func next(random *rand.Rand, flags uint8) uint8 {
	if flags == 0 {
		return 0
	}
	return []uint8{flow.ACK, flow.ACK, flow.ACK, flow.ACK, flow.FIN | flow.ACK, flow.RST, flow.SYN}[random.IntN(7)]
}

// reply is the type of the answer to an ICMP echo request.
func reply(request uint8) uint8 {
	if request == 128 {
		return 129
	}
	return 0
}

// toServices sends a packet to where something answers, or is in front of it, at a port where it does.
func (c *course) toServices(random *rand.Rand, p reference.Packet) reference.Packet {
	var at []netip.Addr
	for _, portal := range c.plan.Network.Services.Portals {
		if portal.Outside.Is4() == p.Src.Is4() && (portal.Region == "" || portal.Region == "us-east-1") {
			at = append(at, portal.Outside)
		}
	}
	slices.SortFunc(at, netip.Addr.Compare)
	p.Dst = at[random.IntN(len(at))]
	if p.Protocol == flow.TCP || p.Protocol == flow.UDP {
		p.DstPort = []int{53, 80, 123, 443}[random.IntN(4)]
	}
	return p
}
