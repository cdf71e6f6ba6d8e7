package vpc

import "strings"

// Problem is one violated rule: where in the model, what is wrong and what would be right.
type Problem struct {
	// Path leads to the offending value by the names of the scenario language: "vpcs", "app", "subnets", "public", "cidr".
	// An element of a list of several is named by its index in decimal, a route by its destination as the file has it, and the
	// interfaces beside eth0 as "instances", "firewall", "interfaces", "eth1".
	Path []string
	What string // "10.0.0.0/8 is not a valid VPC CIDR"
	Hint string // "use a prefix length from /16 to /28"; may be empty
}

// Error reads "vpcs.app.cidr: what is wrong; what would be right".
func (p Problem) Error() string {
	s := strings.Join(p.Path, ".") + ": " + p.What
	if p.Hint != "" {
		s += "; " + p.Hint
	}
	return s
}
