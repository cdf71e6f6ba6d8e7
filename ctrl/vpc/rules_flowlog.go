package vpc

import (
	"fmt"
	"strings"
)

// maxFlowLogs is how many flow logs a resource can have (VPC user guide, flow logs limitations).
const maxFlowLogs = 250

func flowLogPath(l *FlowLog) path { return path{"flow_logs", l.Name} }

// flowLogs judges the flow logs and subscribes them to their resources.
func (c *completion) flowLogs() {
	var names []string
	for _, l := range c.model.FlowLogs {
		names = append(names, l.Name)
		if l.Interval != ShortInterval && l.Interval != LongInterval {
			c.report(flowLogPath(l).at("interval"), fmt.Sprintf("invalid Flow Log Max Aggregation Interval: %s", seconds(l.Interval)),
				"it is 60s or 600s")
		}
		if old := c.prev.FlowLog(l.Name); old != nil {
			c.continueLog(l, old)
		} else if v := c.watched(l); v != nil {
			l.subscribe(v)
		}
	}
	c.names(path{"flow_logs"}, "flow log", names)
	c.flowLogsDiffer()
	c.flowLogQuota()
}

// continueLog goes on with a flow log that was there before the change, and ends with its resource.
func (c *completion) continueLog(l, old *FlowLog) {
	if r := old.Resource; l.Resource.VPC == "" && l.Resource.Kind == r.Kind && l.Resource.Name == r.Name {
		l.Resource.VPC = r.VPC // another VPC may have the name by now
	}
	if !c.sameFlowLog(l, old) {
		return
	}
	if v := c.model.VPC(l.Resource.VPC); v != nil && l.Resource.id(v) != "" && !old.Ended {
		l.subscribe(v)
		return
	}
	l.Subscription = old.Subscription
	l.Ended = true
}

// sameFlowLog judges what a change does to a flow log: nothing of it can be changed (VPC user guide, flow logs limitations).
func (c *completion) sameFlowLog(l, old *FlowLog) bool {
	same := true
	for _, key := range []struct{ name, was, is string }{
		{"resource", old.Resource.String(), l.Resource.String()},
		{"traffic", string(old.Traffic), string(l.Traffic)},
		{"interval", seconds(old.Interval), seconds(l.Interval)},
		{"destination", old.Destination, l.Destination},
		{"format", formatText(old), formatText(l)},
		{"hive", fmt.Sprint(old.Hive), fmt.Sprint(l.Hive)},
		{"per_hour", fmt.Sprint(old.PerHour), fmt.Sprint(l.PerHour)},
		{"file_format", string(old.FileFormat), string(l.FileFormat)},
	} {
		if key.was != key.is {
			same = false
			c.report(flowLogPath(l).at(key.name), fmt.Sprintf("`%s` of flow log '%s' cannot be changed from %s to %s", key.name, l.Name,
				key.was, key.is), "flow logs do not change: declare one of another name, or remove this one and declare it anew in the next change")
		}
	}
	return same
}

func formatText(l *FlowLog) string {
	if l.Format == "" {
		return "the default"
	}
	return l.Format
}

// watched finds the VPC that the flow log's resource is, or lies in, and reports where there is not exactly one.
func (c *completion) watched(l *FlowLog) *VPC {
	r := &l.Resource
	at := flowLogPath(l).at("resource")
	within := c.model.VPCs
	if r.VPC != "" && r.Kind != ResourceVPC {
		v := c.model.VPC(r.VPC)
		if v == nil {
			c.report(at, fmt.Sprintf("the VPC '%s' does not exist", r.VPC), declareOr("vpcs", r.VPC, vpcNames(c.model)))
			return nil
		}
		within = []*VPC{v}
	}
	var found []*VPC
	var candidates []string
	for _, v := range within {
		if r.id(v) != "" {
			found = append(found, v)
			candidates = append(candidates, Resource{r.Kind, v.Name, r.Name}.String())
		}
	}
	switch len(found) {
	case 1:
		r.VPC = found[0].Name
		return found[0]
	case 0:
		if r.Kind == ResourceEndpoint && c.whichInterface(at, within, r.Name) {
			return nil
		}
		var names []string
		for _, v := range within {
			names = append(names, r.Kind.names(v)...)
		}
		kind := resourceKinds[r.Kind]
		c.report(at, fmt.Sprintf("the %s '%s' does not exist", kind.noun, r.Name), declareOr(kind.section, r.Name, names))
	default:
		c.report(at, fmt.Sprintf("the %s '%s' is in several VPCs", resourceKinds[r.Kind].noun, r.Name),
			"write "+strings.Join(candidates, " or "))
	}
	return nil
}

// whichInterface reports an endpoint that is there, where its name alone means none of its interfaces.
func (c *completion) whichInterface(at path, within []*VPC, name string) bool {
	for _, v := range within {
		e := v.Endpoint(name)
		switch {
		case e == nil:
			continue
		case len(e.Interfaces) == 0:
			c.report(at, fmt.Sprintf("endpoint '%s' has no network interface", name), "only interface endpoints have some")
		default:
			c.report(at, fmt.Sprintf("endpoint '%s' has several network interfaces", name),
				"write endpoint."+strings.Join(e.interfaceNames(), " or endpoint."))
		}
		return true
	}
	return false
}

func vpcNames(m *Model) []string { return namesOf(m.VPCs, func(v *VPC) string { return v.Name }) }

// resourceKinds has the noun and the scenario's section of each kind.
var resourceKinds = map[ResourceKind]struct{ noun, section string }{
	ResourceVPC:      {"VPC", "vpcs"},
	ResourceSubnet:   {"subnet", "subnets"},
	ResourceInstance: {"instance", "instances"},
	ResourceENI:      {"network interface", "interfaces"},
	ResourceNAT:      {"NAT gateway", "nat_gateways"},
	ResourceEndpoint: {"endpoint", "endpoints"},
}

// names are the resources of the kind that a VPC is or has.
func (k ResourceKind) names(v *VPC) []string {
	switch k {
	case ResourceVPC:
		return []string{v.Name}
	case ResourceSubnet:
		return namesOf(v.Subnets, func(s *Subnet) string { return s.Name })
	case ResourceInstance:
		return namesOf(v.Instances, func(i *Instance) string { return i.Name })
	case ResourceEndpoint:
		return v.endpointInterfaceNames()
	case ResourceNAT:
		return namesOf(v.NATGateways, func(g *NATGateway) string { return g.Name })
	}
	var names []string
	for _, e := range v.InstanceENIs() {
		names = append(names, e.Name)
	}
	return names
}

// id is what a flow log subscribes to if v has the resource, or is it; empty if not.
func (r Resource) id(v *VPC) string {
	switch r.Kind {
	case ResourceVPC:
		if v.Name == r.Name {
			return string(v.ID)
		}
	case ResourceSubnet:
		if s := v.Subnet(r.Name); s != nil {
			return string(s.ID)
		}
	case ResourceInstance:
		if i := v.Instance(r.Name); i != nil {
			return string(i.Interfaces[0].ID)
		}
	case ResourceENI:
		if e := v.ENI(r.Name); e != nil {
			return string(e.ID)
		}
	case ResourceEndpoint:
		if i := v.EndpointInterface(r.Name); i != nil {
			return string(i.ID)
		}
	case ResourceNAT:
		if g := v.NATGateway(r.Name); g != nil {
			return string(g.ENIID)
		}
	}
	return ""
}

func (l *FlowLog) subscribe(v *VPC) {
	l.Subscription = Subscription{
		ID:         FlowLogID(NewID("fl", v.Account, v.Region, v.Name, "flow_log", l.Name)),
		ResourceID: l.Resource.id(v), Account: v.Account, Region: v.Region,
	}
}

// records reports whether the flow log has a resource that is there.
func (l *FlowLog) records() bool { return l.ResourceID != "" && !l.Ended }

// flowLogsDiffer reports a flow log that differs from another in nothing but its name (EC2 API, CreateFlowLogs).
func (c *completion) flowLogsDiffer() {
	type what struct {
		resource string
		FlowLog
	}
	seen := map[what]string{}
	for _, l := range c.model.FlowLogs {
		if !l.records() {
			continue
		}
		key := what{l.ResourceID, *l}
		key.Name, key.Resource, key.Subscription = "", Resource{}, Subscription{}
		if other, exists := seen[key]; exists {
			c.report(flowLogPath(l), "FlowLogAlreadyExists: there is an existing Flow Log with the same configuration and log destination",
				fmt.Sprintf("it is '%s': remove one of the two", other))
			continue
		}
		seen[key] = l.Name
	}
}

// flowLogQuota reports the first flow log that is one too many for its resource.
func (c *completion) flowLogQuota() {
	logs := map[string]int{}
	for _, l := range c.model.FlowLogs {
		if !l.records() {
			continue
		}
		if logs[l.ResourceID]++; logs[l.ResourceID] == maxFlowLogs+1 {
			c.report(flowLogPath(l), "FlowLogsLimitExceeded: the maximum number of flow logs per resource has been reached",
				fmt.Sprintf("%s has %d already", l.Resource, maxFlowLogs))
		}
	}
}
