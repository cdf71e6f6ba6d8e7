package compile

import (
	"fmt"
	"net/netip"

	"github.com/vpclab/vpclab/ctrl/vpc"
	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
)

func (c *compiler) securityGroups(v *vpc.VPC) map[string]*fabric.SecurityGroup {
	groups := map[string]*fabric.SecurityGroup{}
	for _, g := range v.SecurityGroups {
		groups[g.Name] = &fabric.SecurityGroup{ID: c.groupID(vpc.GroupRef{VPC: v.Name, Name: g.Name}), Name: g.Name}
	}
	for _, g := range v.SecurityGroups {
		groups[g.Name].Ingress = c.sgRules(v, g.Name, g.Ingress)
		groups[g.Name].Egress = c.sgRules(v, g.Name, g.Egress)
	}
	return groups
}

func (c *compiler) groupID(ref vpc.GroupRef) fabric.GroupID {
	id, ok := c.groups[ref]
	if !ok {
		id = fabric.GroupID(len(c.groups))
		c.groups[ref] = id
	}
	return id
}

// sgRules compiles a group's rules of one direction; a rule that matches nothing is left out.
func (c *compiler) sgRules(v *vpc.VPC, group string, rules []vpc.SGRule) []fabric.SGRule {
	var out []fabric.SGRule
	for _, r := range rules {
		if r.MatchesNothing() {
			continue
		}
		rule := fabric.SGRule{Traffic: traffic(r.Traffic), Text: fmt.Sprintf("sg %s, %s", group, r.Text)}
		switch {
		case r.CIDR.IsValid():
			rule.Prefixes = []netip.Prefix{r.CIDR}
		case r.PrefixList != "":
			list := v.PrefixList(r.PrefixList)
			if list == nil {
				continue
			}
			rule.Prefixes = list.Entries
		default:
			ref := r.Group
			if ref.VPC == "" {
				ref.VPC = v.Name
			}
			owner := c.model.VPC(ref.VPC)
			if owner == nil || owner.SecurityGroup(ref.Name) == nil {
				continue
			}
			rule.ByGroup, rule.Group = true, c.groupID(ref)
		}
		out = append(out, rule)
	}
	return out
}

func compileACL(a *vpc.ACL) *fabric.ACL {
	return &fabric.ACL{Name: a.Name, Ingress: aclEntries(a.Ingress), Egress: aclEntries(a.Egress)}
}

func aclEntries(entries []vpc.ACLEntry) []fabric.ACLEntry {
	out := make([]fabric.ACLEntry, 0, len(entries))
	for _, e := range entries {
		entry := fabric.ACLEntry{Traffic: traffic(e.Traffic), Allow: e.Allow, Prefix: e.CIDR, Text: e.Text}
		if e.Protocol == flow.ICMPv6 && e.CIDR.Addr().Is4() {
			// ICMPv6 with an IPv4 CIDR stands for all ICMP (EC2 API, CreateNetworkAclEntry).
			entry.Traffic = fabric.Traffic{Protocol: flow.ICMP, ICMPType: vpc.AnyICMP, ICMPCode: vpc.AnyICMP}
		}
		out = append(out, entry)
	}
	return out
}

func traffic(t vpc.Traffic) fabric.Traffic {
	return fabric.Traffic{
		Protocol: int16(t.Protocol), FromPort: t.FromPort, ToPort: t.ToPort, ICMPType: int16(t.ICMPType), ICMPCode: int16(t.ICMPCode),
	}
}
