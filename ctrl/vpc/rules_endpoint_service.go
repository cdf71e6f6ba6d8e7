package vpc

import (
	"fmt"
	"regexp"
	"slices"
)

// maxListeners is how many ports a Network Load Balancer listens on (Elastic Load Balancing user guide, quotas).
const maxListeners = 50

var principalPattern = regexp.MustCompile(`^(\*|[0-9]{12}|arn:aws:iam::[0-9]{12}:(root|(user|role)/.+))$`)

// endpointServices judges what the VPC offers to others.
func (c *completion) endpointServices(v *VPC) {
	var names []string
	for _, s := range v.EndpointServices {
		names = append(names, s.Name)
		at := servicePath(v, s)
		c.targets(at, v, s)
		c.ports(at.at("ports"), s)
		if len(s.Interfaces) == 0 {
			c.report(at, fmt.Sprintf("endpoint service '%s' has no subnet for its load balancer", s.Name),
				"give it `subnets`, or `targets` that are in some")
		}
		c.managedSubnets(at, v, s.Interfaces, "a load balancer cannot be attached to multiple subnets in the same Availability Zone")
		for i, p := range s.Principals {
			if !principalPattern.MatchString(p) {
				c.report(at.at("principals").element(i, len(s.Principals)), fmt.Sprintf("Invalid Principal: '%s'", p),
					`write "*", an account of 12 digits, or an ARN such as arn:aws:iam::123456789012:root`)
			}
		}
		c.answers(v, s)
	}
	c.names(pathOf(v).at("endpoint_services"), "endpoint service", names)
}

func (c *completion) targets(at path, v *VPC, s *EndpointService) {
	for i, name := range s.Targets {
		at := at.at("targets").element(i, len(s.Targets))
		switch {
		case slices.Contains(s.Targets[:i], name):
			c.report(at, fmt.Sprintf("the target '%s' is named twice", name), "remove one of the two")
		case v.Instance(name) == nil && !c.removed[v.Name+"/instance."+name]:
			c.report(at, fmt.Sprintf("the instance '%s' does not exist", name),
				declareOr("instances", name, namesOf(v.Instances, func(i *Instance) string { return i.Name })))
		}
	}
}

func (c *completion) ports(at path, s *EndpointService) {
	if len(s.Ports) == 0 {
		c.report(at, fmt.Sprintf("endpoint service '%s' has no port", s.Name), "give it `ports`, such as [80]")
	}
	if len(s.Ports) > maxListeners {
		c.report(at, "the maximum number of listeners per load balancer has been reached",
			fmt.Sprintf("there are %d ports and a load balancer has at most %d", len(s.Ports), maxListeners))
	}
	for i, port := range s.Ports {
		at := at.element(i, len(s.Ports))
		switch {
		case port == 0:
			c.report(at, "0 is not a port to listen on", "ports are from 1 to 65535")
		case slices.Contains(s.Ports[:i], port):
			c.report(at, fmt.Sprintf("a listener already exists on port %d", port), "remove one of the two")
		}
	}
}

// answers judges whom the service accepts and rejects: endpoints that lead to it, each in one of the two lists.
func (c *completion) answers(v *VPC, s *EndpointService) {
	for _, answer := range []struct {
		key  string
		refs []EndpointRef
	}{{"accepted", s.Accepted}, {"rejected", s.Rejected}} {
		for i, ref := range answer.refs {
			at := servicePath(v, s).at(answer.key).element(i, len(answer.refs))
			c.connected(at, v, s, ref)
			if answer.key == "rejected" && slices.Contains(s.Accepted, ref) {
				c.report(at, fmt.Sprintf("%s/endpoint.%s cannot be both accepted and rejected", ref.VPC, ref.Name), "keep one of the two")
			}
		}
	}
}

// connected judges whether ref is an endpoint of service s.
func (c *completion) connected(at path, v *VPC, s *EndpointService, ref EndpointRef) {
	if c.removed[ref.VPC+"/endpoint."+ref.Name] {
		return
	}
	var e *Endpoint
	var names []string
	for _, consumer := range c.model.VPCs {
		for _, other := range consumer.Endpoints {
			if other.Service == (ServiceRef{v.Name, s.Name}) {
				names = append(names, consumer.Name+"/endpoint."+other.Name)
			}
		}
		if consumer.Name == ref.VPC {
			e = consumer.Endpoint(ref.Name)
		}
	}
	name := ref.VPC + "/endpoint." + ref.Name
	switch {
	case e == nil:
		c.report(at, fmt.Sprintf("the endpoint '%s' does not exist", name), declareOr("endpoints", name, names))
	case e.Service != ServiceRef{v.Name, s.Name}:
		c.report(at, fmt.Sprintf("endpoint %s is not connected to endpoint service '%s'", name, s.Name),
			fmt.Sprintf("it leads to %s", e.Service))
	}
}
