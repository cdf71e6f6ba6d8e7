package vpc

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Quotas and numbers of filters (VPC user guide, quotas; network ACLs).
const (
	maxGroupRules = 60 // per group, direction and family
	maxENIGroups  = 5  // groups of an ENI
	maxACLEntry   = 32766
	maxACLEntries = 40 // per direction; AWS gives 20 and raises it to 40 on request
)

// IANA protocol numbers.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
	maxProtocol = 255
	maxICMP     = 255 // type or code
)

// securityGroup judges one security group.
func (c *completion) securityGroup(v *VPC, g *SecurityGroup) {
	at := pathOf(v).at("security_groups", g.Name)
	if strings.HasPrefix(g.Name, "sg-") {
		c.report(at, fmt.Sprintf("invalid security group name '%s'", g.Name), "group names may not begin with sg-")
	}
	c.groupRules(at.at("ingress"), v, g.Ingress, "ingress")
	c.groupRules(at.at("egress"), v, g.Egress, "egress")
}

func (c *completion) groupRules(at path, v *VPC, rules []SGRule, direction string) {
	seen := map[string]bool{}
	var rules4, rules6 int
	for i := range rules {
		r := &rules[i]
		at := at.element(i, len(rules))
		c.traffic(at, r.Traffic)
		if !c.peer(at, v, r) {
			continue
		}
		id := ruleText(r)
		if seen[id] {
			c.report(at, fmt.Sprintf(`the specified rule "%s" already exists`, id), "remove one of the two")
		}
		seen[id] = true
		n4, n6 := ruleWeight(v, r)
		rules4, rules6 = rules4+n4, rules6+n6
	}
	c.quotaRules(at, rules4, "IPv4", direction)
	c.quotaRules(at, rules6, "IPv6", direction)
}

func (c *completion) quotaRules(at path, n int, family, direction string) {
	if n > maxGroupRules {
		c.report(at, "the maximum number of rules per security group has been reached", fmt.Sprintf(
			"there are %d %s rules for %s and a group has at most %d; a prefix list counts as its entries",
			n, direction, family, maxGroupRules))
	}
}

// peer judges the other side of a group rule. A group that a change removed makes the rule stale; one that never existed is an error.
func (c *completion) peer(at path, v *VPC, r *SGRule) bool {
	set := 0
	for _, is := range []bool{r.CIDR.IsValid(), r.Group.Name != "", r.PrefixList != ""} {
		if is {
			set++
		}
	}
	if set != 1 {
		c.report(at, fmt.Sprintf("a rule has exactly one peer, not %d", set), "give it one CIDR block, sg.NAME or pl.NAME")
		return false
	}
	switch {
	case r.PrefixList != "":
		return c.peerList(at, v, r.PrefixList)
	case r.Group.Name != "":
		return c.peerGroup(at, v, r)
	default:
		return c.peerCIDR(at, r.CIDR)
	}
}

func (c *completion) peerCIDR(at path, cidr netip.Prefix) bool {
	if isIPv4(cidr) || isIPv6(cidr) {
		return true
	}
	c.report(at, fmt.Sprintf("CIDR block %s is malformed", blockText(cidr)), "write it like 10.0.0.0/16 or ::/0")
	return false
}

func (c *completion) peerList(at path, v *VPC, name string) bool {
	if v.PrefixList(name) != nil {
		return true
	}
	names := namesOf(v.PrefixLists, func(l *PrefixList) string { return l.Name })
	for _, s := range catalog {
		if s.Gateway && !slices.Contains(names, s.Code) {
			names = append(names, s.Code)
		}
	}
	c.report(at, fmt.Sprintf("the prefix list '%s' does not exist", name), declareOr("prefix_lists", name, names))
	return false
}

func (c *completion) peerGroup(at path, v *VPC, r *SGRule) bool {
	owner := cmp.Or(r.Group.VPC, v.Name)
	other := c.model.VPC(owner)
	if other != nil && other.SecurityGroup(r.Group.Name) != nil {
		return owner == v.Name || c.peeredGroup(at, v, other, r)
	}
	if c.removed[owner+"/sg."+r.Group.Name] {
		r.Stale = true
		return true
	}
	if other == nil {
		c.report(at, fmt.Sprintf("the VPC '%s' does not exist", owner),
			declareOr("vpcs", owner, namesOf(c.model.VPCs, func(v *VPC) string { return v.Name })))
		return false
	}
	c.noGroup(at, other, r.Group.Name)
	return false
}

func (c *completion) noGroup(at path, v *VPC, name string) {
	c.report(at, fmt.Sprintf("the security group '%s' does not exist", name),
		declareOr("security_groups", name, namesOf(v.SecurityGroups, func(g *SecurityGroup) string { return g.Name })))
}

// ruleWeight is what a rule counts in the quotas of the two families: a CIDR one in its own, a group one in both, and a prefix list
// its entries in its own.
func ruleWeight(v *VPC, r *SGRule) (n4, n6 int) {
	prefixes := []netip.Prefix{r.CIDR}
	switch {
	case r.Group.Name != "":
		return 1, 1
	case r.PrefixList != "":
		prefixes = v.PrefixList(r.PrefixList).Entries
	}
	for _, p := range prefixes {
		if p.Addr().Is4() {
			n4++
		} else {
			n6++
		}
	}
	return n4, n6
}

// traffic judges the protocol part of a rule.
func (c *completion) traffic(at path, t Traffic) {
	switch {
	case t.Protocol < AllProtocols || t.Protocol > maxProtocol:
		c.report(at, fmt.Sprintf("invalid value '%d' for IP protocol", t.Protocol),
			"use tcp, udp, icmp, icmpv6, all or a number from 0 to 255")
	case t.hasPorts() && t.FromPort > t.ToPort:
		c.report(at, fmt.Sprintf("invalid TCP/UDP port range (%d:%d)", t.FromPort, t.ToPort), "write the lower port first")
	case t.isICMP() && (!inICMP(t.ICMPType) || !inICMP(t.ICMPCode)):
		c.report(at, fmt.Sprintf("invalid ICMP type or code (%d/%d)", t.ICMPType, t.ICMPCode),
			"types and codes are numbers from 0 to 255")
	}
}

func inICMP(n int) bool { return n >= AnyICMP && n <= maxICMP }

func (t Traffic) hasPorts() bool { return t.Protocol == protoTCP || t.Protocol == protoUDP }

func (t Traffic) isICMP() bool { return t.Protocol == protoICMP || t.Protocol == protoICMPv6 }

// ruleText tells a rule as AWS's messages do, and is equal for equal rules: parts that the protocol does not use are left out.
func ruleText(r *SGRule) string {
	peer := r.CIDR.String()
	switch {
	case r.Group.Name != "":
		peer = "sg." + r.Group.Name
		if r.Group.VPC != "" {
			peer = r.Group.VPC + "/" + peer
		}
	case r.PrefixList != "":
		peer = "pl." + r.PrefixList
	}
	return "peer: " + peer + ", " + r.describe() + ", ALLOW"
}

func (t Traffic) describe() string {
	names := map[int]string{AllProtocols: "ALL", protoICMP: "ICMP", protoTCP: "TCP", protoUDP: "UDP", protoICMPv6: "ICMPV6"}
	name := cmp.Or(names[t.Protocol], fmt.Sprintf("protocol: %d", t.Protocol))
	switch {
	case t.hasPorts():
		return fmt.Sprintf("%s, from port: %d, to port: %d", name, t.FromPort, t.ToPort)
	case t.isICMP():
		return fmt.Sprintf("%s, type: %d, code: %d", name, t.ICMPType, t.ICMPCode)
	default:
		return name
	}
}

// acl judges one network ACL and puts its entries in order.
func (c *completion) acl(v *VPC, a *ACL) {
	at := pathOf(v).at("acls", a.Name)
	c.aclEntries(at.at("ingress"), a.Ingress, "ingress")
	c.aclEntries(at.at("egress"), a.Egress, "egress")
}

func (c *completion) aclEntries(at path, entries []ACLEntry, direction string) {
	seen := map[int]bool{}
	for i, e := range entries {
		at := at.element(i, len(entries))
		if e.Number < 1 || e.Number > maxACLEntry {
			c.report(at, fmt.Sprintf("invalid value '%d' for rule number", e.Number),
				fmt.Sprintf("rule numbers are from 1 to %d", maxACLEntry))
		}
		if seen[e.Number] {
			c.report(at, fmt.Sprintf("the network ACL entry identified by %d already exists", e.Number),
				"numbers are unique in a direction; give it another one")
		}
		seen[e.Number] = true
		c.traffic(at, e.Traffic)
		c.peerCIDR(at, e.CIDR)
	}
	if len(entries) > maxACLEntries {
		c.report(at, "the maximum number of rules per network ACL has been reached",
			fmt.Sprintf("there are %d %s rules and an ACL has at most %d", len(entries), direction, maxACLEntries))
	}
	slices.SortStableFunc(entries, func(a, b ACLEntry) int { return cmp.Compare(a.Number, b.Number) })
}
