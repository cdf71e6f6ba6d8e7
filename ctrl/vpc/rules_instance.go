package vpc

import (
	"cmp"
	"fmt"
	"regexp"
)

// devicePattern is what interfaces are called in the guest.
var devicePattern = regexp.MustCompile(`^eth(0|[1-9][0-9]?)$`)

// instance judges one instance, apart from its addresses.
func (c *completion) instance(v *VPC, i *Instance) {
	at := pathOf(v).at("instances", i.Name)
	c.listeners(at, i.Serve)
	if len(i.Interfaces) == 0 {
		c.report(at, fmt.Sprintf("instance '%s' has no network interface", i.Name), "give it a `subnet`")
		return
	}
	devices := map[string]bool{}
	for n, e := range i.Interfaces {
		at := eniPath(v, i, e)
		if n == 0 && e.Device != "eth0" || !devicePattern.MatchString(e.Device) {
			c.report(at, fmt.Sprintf("'%s' is not an interface", e.Device),
				"an instance's own is eth0, and those in `interfaces` are eth1, eth2 and so on")
		} else if devices[e.Device] {
			c.report(at, fmt.Sprintf("interface %s already exists", e.Device), "an instance's own is eth0; give it another number")
		}
		devices[e.Device] = true
		c.eniSubnet(at, v, i, e)
		c.eniGroups(at.at("sg"), v, e)
	}
}

// eniSubnet judges where an interface is: all interfaces of an instance lie in one zone.
func (c *completion) eniSubnet(at path, v *VPC, i *Instance, e *ENI) {
	s := v.Subnet(e.Subnet)
	if s == nil {
		c.report(at.at("subnet"), fmt.Sprintf("the subnet '%s' does not exist", e.Subnet),
			declareOr("subnets", e.Subnet, namesOf(v.Subnets, func(s *Subnet) string { return s.Name })))
		return
	}
	first := v.Subnet(i.Interfaces[0].Subnet)
	if first != nil && first.AZ != s.AZ {
		c.report(at.at("subnet"), fmt.Sprintf("subnet '%s' is in %s but instance '%s' is in %s", s.Name, s.AZ, i.Name, first.AZ),
			"all interfaces of an instance are in one availability zone")
	}
}

func (c *completion) eniGroups(at path, v *VPC, e *ENI) {
	if len(e.Groups) == 0 {
		c.report(at, fmt.Sprintf("interface '%s' has no security group", e.Name),
			"name one, or leave `sg` out for the default group")
	}
	if len(e.Groups) > maxENIGroups {
		c.report(at, "the maximum number of security groups per interface has been reached",
			fmt.Sprintf("there are %d and an interface has at most %d", len(e.Groups), maxENIGroups))
	}
	seen := map[string]bool{}
	for i, g := range e.Groups {
		at := at.element(i, len(e.Groups))
		switch {
		case g.VPC != "" && g.VPC != v.Name:
			c.report(at, fmt.Sprintf("security group %s/%s and subnet %s belong to different networks", g.VPC, g.Name, e.Subnet),
				"an interface's groups are of its own VPC")
		case v.SecurityGroup(g.Name) == nil && c.removed[v.Name+"/sg."+g.Name]:
			c.report(at, fmt.Sprintf("the security group '%s' has a dependent object", g.Name),
				fmt.Sprintf("take it away from interface %s before it is removed, or in the same change", e.Name))
		case v.SecurityGroup(g.Name) == nil:
			c.noGroup(at, v, g.Name)
		case seen[g.Name]:
			c.report(at, fmt.Sprintf("the security group '%s' is named twice", g.Name), "remove one of the two")
		}
		seen[g.Name] = true
	}
}

// listeners judges the built-in listeners of an instance or host: two cannot share a port of one protocol.
func (c *completion) listeners(at path, all []Listener) {
	type socket struct {
		udp  bool
		port uint16
	}
	seen := map[socket]Listener{}
	for i, l := range all {
		at := at.at("serve").element(i, len(all))
		s := socket{udp: l.Kind == "udp", port: l.Port}
		other, taken := seen[s]
		switch {
		case l.Port == 0:
			c.report(at, fmt.Sprintf("%s 0 is not a port to listen on", l.Kind), "ports are from 1 to 65535")
		case taken:
			c.report(at, fmt.Sprintf("%s %d listens where %s %d does", l.Kind, l.Port, other.Kind, other.Port),
				"give it another port; http listens on TCP")
		}
		seen[s] = cmp.Or(other, l)
	}
}
