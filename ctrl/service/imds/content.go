package imds

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

// lines is what has several values; the zero ones are left out.
func lines[T comparable](values ...T) string {
	var all []string
	var zero T
	for _, v := range values {
		if v != zero {
			all = append(all, fmt.Sprint(v))
		}
	}
	return strings.Join(all, "\n")
}

// tree is what there is to know about an instance (EC2 user guide, instance metadata categories).
func (s *Service) tree(v *vpc.VPC, i *vpc.Instance) tree {
	t := tree{}
	first := i.Interfaces[0]
	t.set("meta-data/instance-id", string(i.ID))
	t.set("meta-data/instance-action", "none")
	t.set("meta-data/instance-life-cycle", "on-demand")
	t.set("meta-data/hostname", s.Names.Private(v, first))
	t.set("meta-data/local-hostname", s.Names.Private(v, first))
	t.set("meta-data/local-ipv4", lines(first.IP))
	t.set("meta-data/public-hostname", s.Names.Public(v, first))
	t.set("meta-data/public-ipv4", lines(first.Public))
	t.set("meta-data/ipv6", lines(first.IPv6))
	t.set("meta-data/mac", s.Names.MAC(first))
	t.set("meta-data/security-groups", groupNames(first))
	t.set("meta-data/services/domain", "amazonaws.com")
	t.set("meta-data/services/partition", "aws")
	zone := v.Subnet(first.Subnet).AZ
	t.set("meta-data/placement/availability-zone", zone)
	t.set("meta-data/placement/availability-zone-id", vpc.ZoneID(zone))
	t.set("meta-data/placement/region", v.Region)
	for n, e := range i.Interfaces {
		s.eni(t, v, e, n)
	}
	s.role(t, v, i)
	t.set("dynamic/instance-identity/document", identity(v, i))
	return t
}

// eni adds an interface and what it is connected to.
func (s *Service) eni(t tree, v *vpc.VPC, e *vpc.ENI, number int) {
	mac := s.Names.MAC(e)
	set := func(name, text string) { t.set("meta-data/network/interfaces/macs/"+mac+"/"+name, text) }
	subnet := v.Subnet(e.Subnet)
	set("device-number", strconv.Itoa(number))
	set("interface-id", string(e.ID))
	set("network-card-index", "0")
	set("owner-id", v.Account)
	set("mac", mac)
	set("local-hostname", s.Names.Private(v, e))
	set("local-ipv4s", lines(append([]netip.Addr{e.IP}, e.Secondary...)...))
	set("ipv6s", lines(e.IPv6))
	if e.Public.IsValid() {
		set("public-hostname", s.Names.Public(v, e))
		set("public-ipv4s", e.Public.String())
		set("ipv4-associations/"+e.Public.String(), e.IP.String())
	}
	set("security-groups", groupNames(e))
	set("security-group-ids", groupIDs(v, e))
	set("subnet-id", string(subnet.ID))
	set("subnet-ipv4-cidr-block", lines(subnet.CIDR))
	set("subnet-ipv6-cidr-blocks", lines(subnet.IPv6))
	set("vpc-id", string(v.ID))
	if len(v.CIDRs) > 0 {
		set("vpc-ipv4-cidr-block", v.CIDRs[0].String())
	}
	set("vpc-ipv4-cidr-blocks", lines(v.CIDRs...))
	set("vpc-ipv6-cidr-blocks", lines(v.IPv6...))
}

func groupNames(e *vpc.ENI) string {
	var names []string
	for _, g := range e.Groups {
		names = append(names, g.Name)
	}
	return lines(names...)
}

func groupIDs(v *vpc.VPC, e *vpc.ENI) string {
	var ids []vpc.SecurityGroupID
	for _, g := range e.Groups {
		if group := v.SecurityGroup(g.Name); group != nil {
			ids = append(ids, group.ID)
		}
	}
	return lines(ids...)
}
