package compile

import (
	"net/netip"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/ctrl/vpc"
	"github.com/vpclab/vpclab/dataplane/fabric"
)

// FlowLog is a flow log's subscription under the name that the file gives it.
type FlowLog struct {
	Name string
	flowlog.Subscription
}

var logTraffic = map[vpc.LogTraffic]flowlog.Traffic{vpc.LogAll: flowlog.All, vpc.LogAccept: flowlog.Accept, vpc.LogReject: flowlog.Reject}

// flowLogs compiles the flow logs that have a resource. Their formats and destinations were read before.
func (c *compiler) flowLogs() {
	for _, l := range c.model.FlowLogs {
		var format flowlog.Format // AWS's default
		var formatErr error
		if l.Format != "" {
			format, formatErr = flowlog.ParseFormat(l.Format)
		}
		destination, destinationErr := flowlog.ParseDestination(l.Destination)
		if l.Ended || formatErr != nil || destinationErr != nil {
			continue
		}
		destination.Parquet, destination.Hive, destination.Hourly = l.FileFormat == vpc.ParquetFiles, l.Hive, l.PerHour
		c.plan.FlowLogs = append(c.plan.FlowLogs, FlowLog{l.Name, flowlog.Subscription{
			ID: string(l.ID), Account: l.Account, Region: l.Region, Resource: l.ResourceID, Traffic: logTraffic[l.Traffic], Interval: l.Interval,
			Format: format, Destination: destination,
		}})
	}
}

// logged notes what records say of an interface; instance is empty for one that AWS made.
func (c *compiler) logged(v *vpc.VPC, subnet string, instance vpc.InstanceID, e *fabric.ENI) {
	s := v.Subnet(subnet)
	i := flowlog.Interface{
		ID: e.ID, Account: v.Account, VPC: string(v.ID), Subnet: string(s.ID), Instance: string(instance), AZ: vpc.ZoneID(s.AZ), Region: v.Region,
		Addrs: e.Addrs, Managed: instance == "",
	}
	if len(e.Addrs) > 0 && e.Addrs[0].Is4() {
		i.Primary = e.Addrs[0]
	}
	c.plan.Interfaces[e.Attachment] = i
}

// publicServices are the public addresses of AWS's services: those of the lab, those that AWS's own examples show, and the lab's own public
// addresses, which are EC2's.
func (c *compiler) publicServices() *flowlog.Services {
	prefixes := []flowlog.ServicePrefix{
		{Prefix: netip.MustParsePrefix("52.95.128.0/21"), Service: "S3"},
		{Prefix: vpc.PublicPool, Service: "EC2"},
	}
	for _, s := range vpc.ServiceCatalog() {
		prefixes = append(prefixes, flowlog.ServicePrefix{Prefix: s.Space(), Service: s.Log})
	}
	for _, a := range c.model.Elastic {
		prefixes = append(prefixes, flowlog.ServicePrefix{Prefix: netip.PrefixFrom(a, a.BitLen()), Service: "EC2"})
	}
	return flowlog.NewServices(prefixes)
}
