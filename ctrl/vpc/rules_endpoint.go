package vpc

import (
	"fmt"
	"slices"
	"strings"
)

// The quotas of endpoints (AWS PrivateLink guide, quotas).
const (
	maxInterfaceEndpoints = 50  // per VPC
	maxGatewayEndpoints   = 20  // per account and region
	maxGatewaysOfVPC      = 255 // per VPC, where the one above is raised
)

// endpoints judges the VPC's endpoints and works out the state of each.
func (c *completion) endpoints(v *VPC) {
	at := pathOf(v).at("endpoints")
	var names []string
	var gateways, interfaces int
	for _, e := range v.Endpoints {
		names = append(names, e.Name)
		provider, ok := c.leadsTo(v, e)
		switch e.Type {
		case GatewayEndpoint:
			gateways++
			c.gatewayEndpoint(v, e, ok)
			c.gatewayQuota(v, e)
		case InterfaceEndpoint:
			interfaces++
			c.interfaceEndpoint(v, e, provider)
		default:
			c.report(endpointPath(v, e).at("type"), fmt.Sprintf("'%s' is not a type of endpoint", e.Type), "use gateway or interface")
		}
		if ok {
			e.State = c.endpointState(v, e, provider)
			c.expectEndpointState(v, e)
		}
	}
	c.names(at, "VPC endpoint", names)
	c.quota(at, "gateway VPC endpoints", gateways, maxGatewaysOfVPC)
	c.quota(at, "interface VPC endpoints", interfaces, maxInterfaceEndpoints)
	c.oneRowATable(v)
	c.privateNames(v)
}

// gatewayQuota reports the gateway endpoint that is one too many for its account in its region.
func (c *completion) gatewayQuota(v *VPC, e *Endpoint) {
	place := v.Account + "/" + v.Region
	if c.gatewayEndpoints[place]++; c.gatewayEndpoints[place] == maxGatewayEndpoints+1 {
		c.report(endpointPath(v, e), "VpcEndpointLimitExceeded: the maximum number of gateway VPC endpoints has been reached",
			fmt.Sprintf("account %s has %d in %s already", v.Account, maxGatewayEndpoints, v.Region))
	}
}

// leadsTo finds what an endpoint leads to: an AWS service, with which provider is nil, or an endpoint service. It is false where that
// never existed, or is not for this VPC. A service that a change removed leaves both: no provider, and no mistake.
func (c *completion) leadsTo(v *VPC, e *Endpoint) (provider *EndpointService, ok bool) {
	at := endpointPath(v, e).at("service")
	if e.Service.VPC == "" {
		return nil, c.awsService(at, v, e.Service.Name)
	}
	owner, provider := c.model.VPC(e.Service.VPC), c.model.EndpointService(e.Service)
	missing := fmt.Sprintf("the endpoint service '%s' does not exist", e.Service)
	switch {
	case provider == nil && c.removed[e.Service.VPC+"/endpoint_service."+e.Service.Name]:
		return nil, true
	case owner == nil:
		c.report(at, fmt.Sprintf("the VPC '%s' does not exist", e.Service.VPC), declareOr("vpcs", e.Service.VPC, vpcNames(c.model)))
	case provider == nil:
		names := namesOf(owner.EndpointServices, func(s *EndpointService) string { return owner.Name + "/" + s.Name })
		c.report(at, missing, declareOr("endpoint_services", e.Service.String(), names))
	case owner.Region != v.Region:
		c.report(at, missing, fmt.Sprintf("VPC %s is in %s, and an endpoint leads to services of its own region, %s", owner.Name, owner.Region,
			v.Region))
	case !provider.allows(owner.Account, v.Account) && c.sameEndpoint(v, e) == nil:
		c.report(at, missing, fmt.Sprintf("its `principals` do not allow account %s: add the account, or \"*\"", v.Account))
	default:
		return provider, true
	}
	return nil, false
}

// awsService judges the code of an AWS service.
func (c *completion) awsService(at path, v *VPC, code string) bool {
	if _, ok := FindService(code); ok {
		return true
	}
	codes := serviceCodes()
	hint := "AWS services here are " + strings.Join(codes, ", ") + "; an endpoint service is VPC/NAME"
	short := code[strings.LastIndexByte(code, '.')+1:]
	if near := nearest(short, codes); near != "" {
		hint = fmt.Sprintf("did you mean %s?", near)
	}
	for _, owner := range c.model.VPCs {
		if owner.EndpointService(code) != nil {
			hint = fmt.Sprintf("did you mean %s/%s?", owner.Name, code)
		}
	}
	name := code
	if short == code {
		name = Service{Code: code}.FullName(v.Region)
	}
	c.report(at, fmt.Sprintf("the endpoint service '%s' does not exist", name), hint)
	return false
}

func serviceCodes() []string {
	var codes []string
	for _, s := range catalog {
		codes = append(codes, s.Code)
	}
	return codes
}

// allows reports whether an account may make endpoints to a service of owner's. An ARN allows its whole account.
func (s *EndpointService) allows(owner, account string) bool {
	return account == owner || slices.ContainsFunc(s.Principals, func(p string) bool {
		return p == "*" || p == account || strings.HasPrefix(p, "arn:aws:iam::"+account+":")
	})
}

// endpointState is how far an endpoint has come (PrivateLink guide, interface endpoint states).
func (c *completion) endpointState(v *VPC, e *Endpoint, provider *EndpointService) EndpointState {
	me, old := EndpointRef{v.Name, e.Name}, c.sameEndpoint(v, e)
	switch {
	case e.Service.VPC == "":
		return EndpointAvailable
	case provider == nil, old != nil && old.State == EndpointFailed:
		return EndpointFailed
	case slices.Contains(provider.Rejected, me):
		return EndpointRejected
	case slices.Contains(provider.Accepted, me):
		return EndpointAvailable
	case old != nil && old.State != "":
		return old.State // a new `acceptance` is for later requests
	case provider.Acceptance:
		return EndpointPendingAcceptance
	default:
		return EndpointAvailable
	}
}

// expectEndpointState holds the state against what the file says it is.
func (c *completion) expectEndpointState(v *VPC, e *Endpoint) {
	if e.ExpectState != "" && e.ExpectState != e.State {
		c.report(endpointPath(v, e).at("expect_state"), fmt.Sprintf("endpoint '%s' is %s, not %s", e.Name, e.State, e.ExpectState),
			"it depends on `acceptance`, `accepted` and `rejected` of its endpoint service")
	}
}

// gatewayEndpoint judges what only a gateway endpoint has, and what it has not.
func (c *completion) gatewayEndpoint(v *VPC, e *Endpoint, known bool) {
	at := endpointPath(v, e)
	if s, _ := FindService(e.Service.Name); known && (e.Service.VPC != "" || !s.Gateway) {
		c.report(at.at("type"), "endpoint type (Gateway) does not match available service types ([Interface])",
			"only s3 and dynamodb have gateway endpoints: make it `type: interface` with `subnets`")
	}
	for _, has := range []struct {
		key string
		is  bool
	}{{"subnets", len(e.Interfaces) > 0}, {"sg", e.Groups != nil}, {"private_dns", e.PrivateDNS}, {"dualstack", e.DualStack}} {
		if has.is {
			c.report(at.at(has.key), fmt.Sprintf("a gateway endpoint has no `%s`", has.key),
				"it has no interface: packets get to it by the rows in its `route_tables`")
		}
	}
	seen := map[string]bool{}
	for i, name := range e.RouteTables {
		at := at.at("route_tables").element(i, len(e.RouteTables))
		switch {
		case v.RouteTable(name) == nil:
			c.report(at, fmt.Sprintf("the route table '%s' does not exist", name),
				declareOr("route_tables", name, namesOf(v.RouteTables, func(t *RouteTable) string { return t.Name })))
		case seen[name]:
			c.report(at, fmt.Sprintf("the route table '%s' is named twice", name), "remove one of the two")
		}
		seen[name] = true
	}
}

// oneRowATable reports a second gateway endpoint of a service in one route table.
func (c *completion) oneRowATable(v *VPC) {
	type row struct{ table, service string }
	seen := map[row]*Endpoint{}
	for _, e := range v.Endpoints {
		if e.Type != GatewayEndpoint || e.Service.VPC != "" {
			continue
		}
		for i, table := range e.RouteTables {
			key := row{table, e.Service.Name}
			other := seen[key]
			if other != nil && other != e {
				c.report(endpointPath(v, e).at("route_tables").element(i, len(e.RouteTables)), fmt.Sprintf(
					"RouteAlreadyExists: route table %s already has a route with destination-prefix-list-id pl.%s", table, e.Service.Name),
					fmt.Sprintf("it is that of endpoint %s: a route table has one gateway endpoint a service", other.Name))
				continue
			}
			seen[key] = e
		}
	}
}

// interfaceEndpoint judges what only an interface endpoint has, and what it has not.
func (c *completion) interfaceEndpoint(v *VPC, e *Endpoint, provider *EndpointService) {
	at := endpointPath(v, e)
	if len(e.RouteTables) > 0 {
		c.report(at.at("route_tables"), "an interface endpoint has no `route_tables`",
			"packets get to it by the addresses of its interfaces; a gateway endpoint has rows in route tables")
	}
	if len(e.Interfaces) == 0 {
		c.report(at, fmt.Sprintf("endpoint '%s' has no subnet", e.Name), "give it `subnets`, one an availability zone")
	}
	c.managedSubnets(at, v, e.Interfaces, "DuplicateSubnetsInSameZone: the provided subnets are in the same availability zone")
	for i, in := range e.Interfaces {
		if i == 0 {
			c.eniGroups(at.at("sg"), v, &ENI{Name: "endpoint." + e.Name, Subnet: in.Subnet, Groups: e.Groups})
		}
		c.endpointZone(at.at("subnets").element(i, len(e.Interfaces)), v, e, in, provider)
	}
	c.privateDNS(at.at("private_dns"), v, e)
}

// privateDNS judges whether an interface endpoint may answer for its service's public name.
func (c *completion) privateDNS(at path, v *VPC, e *Endpoint) {
	switch {
	case !e.PrivateDNS:
	case e.Service.VPC != "":
		c.report(at, fmt.Sprintf("private DNS can't be enabled because the service %s does not provide a private DNS name", e.Service),
			"remove it: an endpoint service is called by the endpoint's own names")
	case !v.DNSSupport || !v.DNSHostnames:
		c.report(at, fmt.Sprintf("enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true for %s",
			v.Name), "give the VPC `dns: {support: true, hostnames: true}`, or the endpoint `private_dns: false`")
	}
}

// endpointZone judges whether an endpoint's service is in the zone of one of its interfaces, and has all the addresses there that are
// asked for.
func (c *completion) endpointZone(at path, v *VPC, e *Endpoint, i *EndpointInterface, provider *EndpointService) {
	s := v.Subnet(i.Subnet)
	if s == nil {
		return
	}
	if e.DualStack && !s.IPv6.IsValid() {
		c.report(at, fmt.Sprintf("subnet '%s' has no IPv6 CIDR block for the dualstack endpoint '%s'", s.Name, e.Name),
			"give the subnet an `ipv6`, or remove `dualstack`")
	}
	if provider == nil {
		return
	}
	zones := c.model.VPC(e.Service.VPC).zonesOf(provider)
	if !slices.Contains(zones, s.AZ) {
		c.report(at, fmt.Sprintf("the VPC endpoint service %s does not support the availability zone of the subnet: %s", e.Service, s.Name),
			fmt.Sprintf("the subnet is in %s, and the service in %s", s.AZ, orNone(zones)))
	}
}

func orNone(zones []string) string {
	if len(zones) == 0 {
		return "none"
	}
	return strings.Join(zones, ", ")
}

// zonesOf are the availability zones in which a service of the VPC's has an interface.
func (v *VPC) zonesOf(s *EndpointService) []string {
	var zones []string
	for _, i := range s.Interfaces {
		if in := v.Subnet(i.Subnet); in != nil {
			zones = append(zones, in.AZ)
		}
	}
	return zones
}

// managedSubnets judges the subnets of interfaces that AWS manages: there is one an availability zone. twice is what AWS says to two.
func (c *completion) managedSubnets(at path, v *VPC, interfaces []*EndpointInterface, twice string) {
	zones := map[string]*Subnet{}
	for i, in := range interfaces {
		at := at.at("subnets").element(i, len(interfaces))
		s := v.Subnet(in.Subnet)
		switch {
		case s == nil:
			c.report(at, fmt.Sprintf("the subnet '%s' does not exist", in.Subnet),
				declareOr("subnets", in.Subnet, namesOf(v.Subnets, func(s *Subnet) string { return s.Name })))
			continue
		case zones[s.AZ] == s:
			c.report(at, fmt.Sprintf("the subnet '%s' is named twice", s.Name), "remove one of the two")
		case zones[s.AZ] != nil:
			c.report(at, twice, fmt.Sprintf("%s and %s are both in %s: keep one of them", zones[s.AZ].Name, s.Name, s.AZ))
		case !s.CIDR.IsValid():
			c.report(at, fmt.Sprintf("subnet '%s' has no IPv4 addresses", s.Name), "use a subnet with a `cidr`")
		}
		zones[s.AZ] = s
	}
}

// privateNames reports two that answer for the public name of one service in the VPC.
func (c *completion) privateNames(v *VPC) {
	held := map[string]string{}
	for _, z := range c.model.Zones {
		if slices.Contains(z.VPCs, v.Name) {
			held[z.Name] = "private zone " + z.Name
		}
	}
	for _, e := range v.Endpoints {
		s, ok := FindService(e.Service.Name)
		if !ok || e.Type != InterfaceEndpoint || !e.PrivateDNS || e.Service.VPC != "" {
			continue
		}
		name := s.HostName(v.Region)
		if other := held[name]; other != "" {
			c.report(endpointPath(v, e).at("private_dns"), fmt.Sprintf(
				"private-dns-enabled cannot be set because there is already a conflicting DNS domain for %s in the VPC %s", name, v.Name),
				fmt.Sprintf("%s answers for it: give this endpoint `private_dns: false`", other))
		}
		held[name] = "endpoint " + e.Name
	}
}
