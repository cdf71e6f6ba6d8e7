package vpc

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

var (
	namePattern    = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)
	regionPattern  = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[1-9][0-9]?$`)
	accountPattern = regexp.MustCompile(`^[0-9]{12}$`)
)

// The quotas that AWS gives every account (VPC user guide, quotas).
const (
	maxSubnets     = 200 // per VPC
	maxRouteTables = 200 // per VPC
	maxACLs        = 200 // per VPC
)

// lab judges what is the lab's own and what must be unique across it.
func (c *completion) lab() {
	m := c.model
	c.region(nil, m.Region)
	c.account(nil, m.Account)
	c.tracking(m.Tracking)
	var vpcs, hosts []string
	for _, v := range m.VPCs {
		vpcs = append(vpcs, v.Name)
		c.vpcOwner(v)
	}
	for _, h := range m.Hosts {
		hosts = append(hosts, h.Name)
		c.listeners(path{"internet", "hosts", h.Name}, h.Serve)
	}
	c.names(path{"vpcs"}, "VPC", vpcs)
	c.names(path{"internet", "hosts"}, "host", hosts)
}

// vpcOwner judges a region and account that the VPC has for itself.
func (c *completion) vpcOwner(v *VPC) {
	if v.Region != c.model.Region {
		c.region(pathOf(v), v.Region)
	}
	if v.Account != c.model.Account {
		c.account(pathOf(v), v.Account)
	}
}

// tracking judges the idle timeouts of tracked connections, which are whole seconds (EC2 API,
// ConnectionTrackingSpecificationRequest).
func (c *completion) tracking(t Tracking) {
	for _, timeout := range []struct {
		key, parameter string
		is             time.Duration
		least, most    time.Duration
	}{
		{"tcp_established", "TcpEstablishedTimeout", t.TCPEstablished, 60 * time.Second, 432000 * time.Second},
		{"udp_stream", "UdpStreamTimeout", t.UDPStream, 60 * time.Second, 180 * time.Second},
		{"udp", "UdpTimeout", t.UDP, 30 * time.Second, 60 * time.Second},
	} {
		whole := timeout.is%time.Second == 0
		if timeout.is == 0 || whole && timeout.is >= timeout.least && timeout.is <= timeout.most {
			continue
		}
		c.report(path{"tracking", timeout.key},
			fmt.Sprintf("value (%s) for parameter %s is invalid", seconds(timeout.is), timeout.parameter),
			fmt.Sprintf("it is from %s to %s, in whole seconds", seconds(timeout.least), seconds(timeout.most)))
	}
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s" }

func (c *completion) region(at path, region string) {
	if !regionPattern.MatchString(region) {
		c.report(at.at("region"), fmt.Sprintf("'%s' is not a region", region), "write it like us-east-1")
	}
}

func (c *completion) account(at path, account string) {
	if !accountPattern.MatchString(account) {
		c.report(at.at("account"), fmt.Sprintf("'%s' is not an account", account), `an account has 12 digits, like "123456789012"`)
	}
}

// names judges the names of the resources of one kind, which must be well formed and unique.
func (c *completion) names(at path, kind string, names []string) {
	seen := map[string]bool{}
	for _, name := range names {
		if !namePattern.MatchString(name) {
			c.report(at.at(name), fmt.Sprintf("'%s' is not a name for a %s", name, kind),
				"a name has 1 to 31 lower-case letters, digits and hyphens and starts with a letter")
		}
		if seen[name] {
			c.report(at.at(name), fmt.Sprintf("the %s '%s' already exists", kind, name), "give one of the two another name")
		}
		seen[name] = true
	}
}

// vpc judges one VPC and allocates its private addresses.
func (c *completion) vpc(v *VPC) {
	at := pathOf(v)
	var subnets, tables, acls, lists, groups, instances, gateways []string
	for _, s := range v.Subnets {
		subnets = append(subnets, s.Name)
	}
	for _, t := range v.RouteTables {
		tables = append(tables, t.Name)
	}
	for _, a := range v.ACLs {
		acls = append(acls, a.Name)
	}
	for _, l := range v.PrefixLists {
		lists = append(lists, l.Name)
	}
	for _, g := range v.SecurityGroups {
		groups = append(groups, g.Name)
	}
	for _, i := range v.Instances {
		instances = append(instances, i.Name)
	}
	for _, g := range v.NATGateways {
		gateways = append(gateways, g.Name)
	}
	c.names(at.at("subnets"), "subnet", subnets)
	c.names(at.at("route_tables"), "route table", tables)
	c.names(at.at("acls"), "network ACL", acls)
	c.names(at.at("prefix_lists"), "prefix list", lists)
	c.names(at.at("security_groups"), "security group", groups)
	c.names(at.at("instances"), "instance", instances)
	c.names(at.at("nat_gateways"), "NAT gateway", gateways)
	c.quota(at.at("subnets"), "subnets", len(subnets), maxSubnets)
	c.quota(at.at("route_tables"), "route tables", len(tables), maxRouteTables)
	c.quota(at.at("acls"), "network ACLs", len(acls), maxACLs)

	c.cidrs(v)
	c.cidrs6(v)
	for i, s := range v.Subnets {
		c.subnet(v, s, v.Subnets[:min(i, maxSubnets)]) // more are an error by themselves
	}
	for _, l := range v.PrefixLists {
		c.prefixList(v, l)
	}
	for _, t := range v.RouteTables {
		c.routeTable(v, t)
	}
	c.edgeRoutes(v)
	c.egressOnly(v)
	for _, g := range v.SecurityGroups {
		c.securityGroup(v, g)
	}
	for _, a := range v.ACLs {
		c.acl(v, a)
	}
	for _, i := range v.Instances {
		c.instance(v, i)
	}
	for _, g := range v.NATGateways {
		c.natGateway(v, g)
	}
	c.endpoints(v)
	c.endpointServices(v)
	c.allocatePrivate(v)
}

func (c *completion) quota(at path, kind string, n, most int) {
	if n > most {
		c.report(at, fmt.Sprintf("the maximum number of %s has been reached", kind),
			"there are "+strconv.Itoa(n)+" and a VPC has at most "+strconv.Itoa(most))
	}
}
