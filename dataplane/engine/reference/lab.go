package reference

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Lab is everything that packets meet, as a person would describe it.
type Lab struct {
	VPCs  []*VPC
	Hosts []*Host
	// Rate is how many times as fast as real time its clock goes.
	Rate int
	// Unmapped are public addresses of the lab that belong to nobody.
	Unmapped []netip.Addr
}

// VPC is one VPC. Subnets, groups and ACLs are named by their index.
type VPC struct {
	Name    string
	CIDRs   []netip.Prefix
	IGW     bool
	EIGW    uint32  // the attachment that stands for its egress-only internet gateway; 0: it has none
	Edge    []Route // the internet gateway's own route table; empty: it has none
	Subnets []*Subnet
	Groups  []*Group
	ACLs    []*ACL
	NICs    []*NIC
}

// Subnet is one subnet.
type Subnet struct {
	V4, V6 netip.Prefix
	ACL    int
	Routes []Route
}

func (s *Subnet) contains(a netip.Addr) bool {
	return s.V4.Contains(a) || s.V6.IsValid() && s.V6.Contains(a)
}

// Kind is what a route leads to.
type Kind string

// The targets of routes.
const (
	Local        Kind = "local"
	ToIGW        Kind = "igw"
	ToEIGW       Kind = "eigw"
	ToNAT        Kind = "nat"
	ToNIC        Kind = "eni"
	ToBlackhole  Kind = "blackhole"
	everybody4        = "0.0.0.0/0"
	everybody6        = "::/0"
	noAttachment      = 0
)

// Route is one route.
type Route struct {
	To   netip.Prefix
	Kind Kind
	NIC  uint32 // the attachment of ToNAT and ToNIC
}

// NIC is a network interface, of an instance or of a NAT gateway.
type NIC struct {
	ID      uint32 // its attachment
	Subnet  int
	Addrs   []netip.Addr // the primary one first
	Public  map[netip.Addr]netip.Addr
	Groups  []int // none of a NAT gateway's
	Check   bool  // source/destination check
	NAT     bool
	Private bool // a NAT gateway without public addresses
}

func (n *NIC) owns(a netip.Addr) bool { return slices.Contains(n.Addrs, a) }

// Group is a security group. Its number is unique in the lab.
type Group struct {
	Number          uint32
	Ingress, Egress []Rule
}

// Rule lets traffic pass from or to a prefix, or the members of a group.
type Rule struct {
	Traffic Traffic
	Peer    netip.Prefix // invalid: the members of Group
	Group   int
}

// Traffic selects packets. Bounds are inclusive.
type Traffic struct {
	Protocol   int // -1: all
	From, To   int // destination ports of TCP and UDP
	Type, Code int // of ICMP; -1: any
}

// ACL is a network ACL, its entries in their order; what none matches is denied.
type ACL struct{ Ingress, Egress []Entry }

// Entry allows or denies traffic from a prefix, or to one.
type Entry struct {
	Allow   bool
	Traffic Traffic
	Peer    netip.Prefix
}

// Host is a host of the internet.
type Host struct {
	ID    uint32
	Addrs []netip.Addr
}

// nic finds an interface and its VPC.
func (l *Lab) nic(id uint32) (*VPC, *NIC) {
	for _, v := range l.VPCs {
		for _, n := range v.NICs {
			if n.ID == id {
				return v, n
			}
		}
	}
	return nil, nil
}

// Attachments are all that can send packets, in the order of their numbers.
func (l *Lab) Attachments() []uint32 {
	var ids []uint32
	for _, v := range l.VPCs {
		for _, n := range v.NICs {
			if !n.NAT {
				ids = append(ids, n.ID)
			}
		}
	}
	for _, h := range l.Hosts {
		ids = append(ids, h.ID)
	}
	slices.Sort(ids)
	return ids
}

// Addrs are the addresses of an attachment; nil if it is gone.
func (l *Lab) Addrs(id uint32) []netip.Addr {
	if h := l.host(id); h != nil {
		return h.Addrs
	}
	if _, n := l.nic(id); n != nil {
		return n.Addrs
	}
	return nil
}

func (l *Lab) host(id uint32) *Host {
	for _, h := range l.Hosts {
		if h.ID == id {
			return h
		}
	}
	return nil
}

// byAddr finds the interface of a VPC that has a private address.
func (v *VPC) byAddr(a netip.Addr) *NIC {
	for _, n := range v.NICs {
		if n.owns(a) {
			return n
		}
	}
	return nil
}

// byPublic finds who has a public IPv4 address, and the private one that it stands for.
func (l *Lab) byPublic(public netip.Addr) (*VPC, *NIC, netip.Addr) {
	for _, v := range l.VPCs {
		for _, n := range v.NICs {
			for private, a := range n.Public {
				if a == public {
					return v, n, private
				}
			}
		}
	}
	return nil, nil, netip.Addr{}
}

// public is the public address that a private one of the VPC has.
func (v *VPC) public(private netip.Addr) (netip.Addr, bool) {
	for _, n := range v.NICs {
		if a, ok := n.Public[private]; ok {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// longest finds the route with the longest prefix that holds an address.
func longest(routes []Route, a netip.Addr) (Route, bool) {
	var best Route
	found := false
	for _, r := range routes {
		if r.To.Contains(a) && (!found || r.To.Bits() > best.To.Bits()) {
			best, found = r, true
		}
	}
	return best, found
}

// Clone is a copy that shares nothing that can be changed.
func (l *Lab) Clone() *Lab {
	c := &Lab{Hosts: l.Hosts, Rate: l.Rate, Unmapped: slices.Clone(l.Unmapped)}
	for _, v := range l.VPCs {
		w := *v
		w.Edge, w.Subnets, w.Groups, w.ACLs, w.NICs = slices.Clone(v.Edge), nil, nil, nil, nil
		for _, s := range v.Subnets {
			t := *s
			t.Routes = slices.Clone(s.Routes)
			w.Subnets = append(w.Subnets, &t)
		}
		for _, g := range v.Groups {
			w.Groups = append(w.Groups, &Group{g.Number, slices.Clone(g.Ingress), slices.Clone(g.Egress)})
		}
		for _, a := range v.ACLs {
			w.ACLs = append(w.ACLs, &ACL{slices.Clone(a.Ingress), slices.Clone(a.Egress)})
		}
		for _, n := range v.NICs {
			m := *n
			m.Addrs, m.Groups, m.Public = slices.Clone(n.Addrs), slices.Clone(n.Groups), maps.Clone(n.Public)
			w.NICs = append(w.NICs, &m)
		}
		c.VPCs = append(c.VPCs, &w)
	}
	return c
}

// String describes the lab for people who read a difference.
func (l *Lab) String() string {
	var b strings.Builder
	if l.Rate != 1 {
		fmt.Fprintf(&b, "rate %d\n", l.Rate)
	}
	for _, v := range l.VPCs {
		fmt.Fprintf(&b, "vpc %s %v igw %v eigw %v edge %v\n", v.Name, v.CIDRs, v.IGW, v.EIGW, v.Edge)
		for i, s := range v.Subnets {
			fmt.Fprintf(&b, "  subnet %d %v %v acl %d routes %v\n", i, s.V4, s.V6, s.ACL, s.Routes)
		}
		for i, a := range v.ACLs {
			fmt.Fprintf(&b, "  acl %d\n    in  %v\n    out %v\n", i, a.Ingress, a.Egress)
		}
		for i, g := range v.Groups {
			fmt.Fprintf(&b, "  group %d\n    in  %v\n    out %v\n", i, g.Ingress, g.Egress)
		}
		for _, n := range v.NICs {
			kind := "nic"
			switch {
			case n.NAT && n.Private:
				kind = "private nat"
			case n.NAT:
				kind = "nat"
			}
			fmt.Fprintf(&b, "  %s #%d subnet %d %v public %v groups %v check %v\n", kind, n.ID, n.Subnet, n.Addrs, n.Public, n.Groups, n.Check)
		}
	}
	for _, h := range l.Hosts {
		fmt.Fprintf(&b, "host #%d %v\n", h.ID, h.Addrs)
	}
	return b.String()
}

// String reads "10.0.0.0/16 -> local".
func (r Route) String() string {
	if r.NIC != noAttachment {
		return fmt.Sprintf("%v -> %s #%d", r.To, r.Kind, r.NIC)
	}
	return fmt.Sprintf("%v -> %s", r.To, r.Kind)
}

// String reads "6 22-22".
func (t Traffic) String() string {
	switch t.Protocol {
	case -1:
		return "all"
	case tcp, udp:
		return fmt.Sprintf("%d %d-%d", t.Protocol, t.From, t.To)
	case icmp, icmpv6:
		return fmt.Sprintf("%d type %d code %d", t.Protocol, t.Type, t.Code)
	}
	return fmt.Sprint(t.Protocol)
}

// String reads "6 22-22 10.0.0.0/16".
func (r Rule) String() string {
	if !r.Peer.IsValid() {
		return fmt.Sprintf("%v group %d", r.Traffic, r.Group)
	}
	return fmt.Sprintf("%v %v", r.Traffic, r.Peer)
}

// String reads "allow 6 22-22 10.0.0.0/16".
func (e Entry) String() string {
	if e.Allow {
		return fmt.Sprintf("allow %v %v", e.Traffic, e.Peer)
	}
	return fmt.Sprintf("deny %v %v", e.Traffic, e.Peer)
}
