package vpc

import (
	"fmt"
	"slices"
)

// zones judges the private hosted zones (Route 53 developer guide, working with private hosted zones).
func (c *completion) zones() {
	type domain struct{ vpc, name string }
	held := map[domain]bool{}
	for _, z := range c.model.Zones {
		at := path{"private_zones", z.Name, "vpcs"}
		if len(z.VPCs) == 0 {
			c.report(at, fmt.Sprintf("private zone '%s' is associated with no VPC", z.Name), "name at least one: it answers nowhere else")
		}
		for i, name := range z.VPCs {
			at := at.element(i, len(z.VPCs))
			v := c.model.VPC(name)
			switch {
			case v == nil:
				c.report(at, fmt.Sprintf("the VPC '%s' does not exist", name), declareOr("vpcs", name, vpcNames(c.model)))
			case slices.Contains(z.VPCs[:i], name):
				c.report(at, fmt.Sprintf("the VPC '%s' is named twice", name), "remove one of the two")
			case held[domain{name, z.Name}]:
				c.report(at, fmt.Sprintf("the VPC %s in region %s has already been associated with the hosted zone with the same domain name",
					name, v.Region), "make one zone of the two")
			}
			held[domain{name, z.Name}] = true
		}
	}
}
