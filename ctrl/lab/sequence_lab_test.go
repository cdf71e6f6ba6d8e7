package lab

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/vpclab/vpclab/ctrl/lab/labtest"
	"github.com/vpclab/vpclab/dataplane/engine/reference"
	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/packet"
)

// object is a mapping of the scenario language, of which JSON is a part.
type object = map[string]any

// scenarioOf writes a reference lab in the scenario language, with the same endpoints in each VPC. Its attachments are called by their
// numbers: i3, nat.n4, h7.
func scenarioOf(t testing.TB, l *reference.Lab, e endpoints) string {
	t.Helper()
	vpcs, hosts := object{}, object{}
	for _, v := range l.VPCs {
		o := vpcOf(v)
		o["endpoints"] = e.of(v)
		vpcs[v.Name] = o
	}
	for _, h := range l.Hosts {
		hosts[hostName(h.ID)] = object{"ip": h.Addrs}
	}
	text := "\nname: labtest-sequence\n"
	for _, part := range []struct {
		key   string
		value object
	}{{"clock", object{"rate": l.Rate}}, {"vpcs", vpcs}, {"internet", object{"hosts": hosts}}} {
		b, err := json.Marshal(part.value)
		if err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("%s: %s\n", part.key, b)
	}
	return text
}

func instanceName(id uint32) string { return fmt.Sprint("i", id) }
func hostName(id uint32) string     { return fmt.Sprint("h", id) }
func natName(id uint32) string      { return fmt.Sprint("n", id) }
func subnetName(i int) string       { return fmt.Sprint("s", i) }
func groupName(i int) string        { return fmt.Sprint("g", i) }
func aclName(i int) string          { return fmt.Sprint("a", i) }

func vpcOf(v *reference.VPC) object {
	subnets, groups, acls, instances, gateways := object{}, object{}, object{}, object{}, object{}
	for i, s := range v.Subnets {
		subnet := object{"cidr": s.V4, "az": "a", "acl": aclName(s.ACL), "routes": routesOf(s.Routes)}
		if s.V6.IsValid() {
			subnet["ipv6"] = s.V6
		}
		subnets[subnetName(i)] = subnet
	}
	for i, g := range v.Groups {
		groups[groupName(i)] = object{"ingress": rulesOf(g.Ingress, "from"), "egress": rulesOf(g.Egress, "to")}
	}
	for i, a := range v.ACLs {
		acls[aclName(i)] = object{"ingress": entriesOf(a.Ingress, "from"), "egress": entriesOf(a.Egress, "to")}
	}
	for _, n := range v.NICs {
		if n.NAT {
			gateways[natName(n.ID)] = gatewayOf(n)
		} else {
			instances[instanceName(n.ID)] = instanceOf(n)
		}
	}
	o := object{
		"cidr": v.CIDRs[0], "ipv6": v.CIDRs[1], "internet_gateway": v.IGW, "egress_only_gateway": v.EIGW != 0, "subnets": subnets,
		"security_groups": groups, "acls": acls, "instances": instances, "nat_gateways": gateways,
	}
	if len(v.Edge) > 0 {
		o["internet_gateway"] = object{"routes": routesOf(v.Edge)}
	}
	return o
}

func gatewayOf(n *reference.NIC) object {
	o := object{"subnet": subnetName(n.Subnet), "ip": n.Addrs[0]}
	if n.Private {
		o["type"] = "private"
	} else {
		o["eip"] = n.Public[n.Addrs[0]]
	}
	return o
}

func instanceOf(n *reference.NIC) object {
	o := object{"subnet": subnetName(n.Subnet), "ip": n.Addrs[0], "ipv6": "none", "source_dest_check": n.Check}
	for _, a := range n.Addrs[1:] {
		if a.Is4() {
			o["secondary"] = []netip.Addr{a}
		} else {
			o["ipv6"] = a
		}
	}
	if public, ok := n.Public[n.Addrs[0]]; ok {
		o["eip"] = public
	}
	var groups []string
	for _, g := range n.Groups {
		groups = append(groups, groupName(g))
	}
	o["sg"] = groups
	return o
}

// tame takes away what the scenario language cannot say: a public address of a secondary one.
func tame(l *reference.Lab) {
	for _, v := range l.VPCs {
		for _, n := range v.NICs {
			maps.DeleteFunc(n.Public, func(private, _ netip.Addr) bool { return private != n.Addrs[0] })
		}
	}
}

// routesOf leaves out the local routes, which every table has.
func routesOf(routes []reference.Route) object {
	o := object{}
	for _, r := range routes {
		switch r.Kind {
		case reference.Local:
		case reference.ToNAT:
			o[r.To.String()] = "nat." + natName(r.NIC)
		case reference.ToNIC:
			o[r.To.String()] = "instance." + instanceName(r.NIC)
		default:
			o[r.To.String()] = string(r.Kind)
		}
	}
	return o
}

func trafficOf(t reference.Traffic) string {
	switch {
	case t.Protocol == -1:
		return "all"
	case t.Protocol == flow.TCP || t.Protocol == flow.UDP:
		return fmt.Sprintf("%s %d-%d", map[int]string{flow.TCP: "tcp", flow.UDP: "udp"}[t.Protocol], t.From, t.To)
	case (t.Protocol == flow.ICMP || t.Protocol == flow.ICMPv6) && t.Type != -1:
		return fmt.Sprint(t.Protocol, " ", t.Type)
	}
	return fmt.Sprint(t.Protocol)
}

func rulesOf(rules []reference.Rule, direction string) []string {
	list := []string{}
	for _, r := range rules {
		peer := "sg." + groupName(r.Group)
		if r.Peer.IsValid() {
			peer = r.Peer.String()
		}
		if text := fmt.Sprintf("%s %s %s", trafficOf(r.Traffic), direction, peer); !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return list
}

func entriesOf(entries []reference.Entry, direction string) []string {
	list := []string{}
	for i, e := range entries {
		verdict := "deny"
		if e.Allow {
			verdict = "allow"
		}
		list = append(list, fmt.Sprintf("%d %s %s %s %s", 100+i, verdict, trafficOf(e.Traffic), direction, e.Peer))
	}
	return list
}

// wired makes the packets that stand on the wire for a packet of the model: one, and sometimes several in a row or two pieces, or one
// with what the model knows nothing of. how says what was made of it.
func wired(seed uint64, p *reference.Packet) (packets [][]byte, how string) {
	random := rand.New(rand.NewPCG(seed, 4))
	made := labtestOf(p)
	plain := p.Quote == nil && p.Size <= 200
	switch n := random.IntN(100); {
	case n < 4 && plain && p.Src.Is4():
		return [][]byte{made.Options(1, 1, 1, 1).Bytes()}, " with options"
	case n < 4 && plain:
		return [][]byte{made.Extensions(60, p.Protocol, 0, 1, 4, 0, 0, 0, 0).Bytes()}, " with an extension header"
	case n < 8 && plain && p.Src.Is4():
		made = made.Fragment(0).ID(uint16(seed)) // another datagram than all others
		return [][]byte{made.Piece(0, 24).Bytes(), made.Piece(24, 0).Bytes()}, " in two pieces"
	case n < 11 && plain:
		return [][]byte{made.Pad(6).Bytes()}, " with padding"
	case n < 14 && p.Protocol == flow.UDP && p.Src.Is4():
		return [][]byte{made.Unsummed().Bytes()}, " without a checksum"
	case n < 50 && p.Size < 9000:
		times := 2 + random.IntN(3)
		for i := range times { // each larger, as equal datagrams may reach a guest as one that is to be segmented
			packets = append(packets, made.Size(p.Size+i).Bytes())
		}
		return packets, fmt.Sprintf(" %d times", times)
	}
	return [][]byte{made.Bytes()}, ""
}

// labtestOf is a packet of the model as one for the wire.
func labtestOf(p *reference.Packet) labtest.Packet {
	src, dst := p.Src.String(), p.Dst.String()
	var made labtest.Packet
	header := 20
	if p.Src.Is6() {
		header = 40
	}
	switch {
	case p.Protocol == flow.TCP:
		made = labtest.TCP(src, uint16(p.SrcPort), dst, uint16(p.DstPort), p.Flags)
		if p.Flags&flow.SYN != 0 {
			made = made.MSS(fabric.VPCMTU - 40)
		}
	case p.Protocol == flow.UDP:
		made = labtest.UDP(src, uint16(p.SrcPort), dst, uint16(p.DstPort))
	case p.Quote != nil:
		quoted := labtestOf(p.Quote).Bytes()
		quoted = quoted[:min(len(quoted), p.Size-header-8)]
		made = labtest.Raw(p.Protocol, src, dst).Upper(append([]byte{p.Type, p.Code, 0, 0, 0, 0, 0, 0}, quoted...))
	case p.Protocol == flow.ICMP || p.Protocol == flow.ICMPv6:
		made = labtest.ICMP(src, dst, p.Type, p.Code, uint16(p.ID))
	default:
		made = labtest.Raw(p.Protocol, src, dst)
	}
	if p.Src.Is4() && !p.MayFragment {
		made = made.Fragment(labtest.DontFragment)
	}
	return made.TTL(p.TTL).Size(p.Size)
}

// modelOf reads a packet as the model knows it; false if that cannot be read.
func modelOf(raw []byte) (reference.Packet, bool) {
	var info, quoted packet.Info
	if !packet.Decode(raw, &info) {
		return reference.Packet{}, false
	}
	p := modelOfInfo(&info)
	if packet.Quoted(raw, &info, &quoted) {
		q := modelOfInfo(&quoted)
		p.Quote = &q
	}
	return p, true
}

func modelOfInfo(info *packet.Info) reference.Packet {
	t := &info.Tuple
	p := reference.Packet{
		Protocol: t.Protocol, Src: t.SrcAddr(), Dst: t.DstAddr(), Flags: info.TCPFlags, Type: info.ICMPType, Code: info.ICMPCode,
		Size: info.Length, TTL: info.TTL, MayFragment: !info.DontFragment,
	}
	switch {
	case t.ICMPEcho():
		p.ID = int(t.SrcPort)
	case t.Protocol == flow.TCP, t.Protocol == flow.UDP:
		p.SrcPort, p.DstPort = int(t.SrcPort), int(t.DstPort)
	}
	return p
}
