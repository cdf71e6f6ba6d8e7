package lab

import (
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/vpclab/vpclab/ctrl/compile"
	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/vpc"
	"github.com/vpclab/vpclab/dataplane/fabric"
)

// directory finds out who asks a service, by the plan in force. It implements service.Directory.
type directory struct{ current atomic.Pointer[entries] }

// entries are what a directory knows of one plan.
type entries struct {
	plan   *compile.Plan
	owners map[fabric.Caller]owner
}

// owner is who has a private address.
type owner struct {
	instance *vpc.Instance
	eni      *vpc.ENI
}

// update puts a plan into force.
func (d *directory) update(plan *compile.Plan) {
	e := &entries{plan: plan, owners: map[fabric.Caller]owner{}}
	for i, v := range plan.Network.VPCs {
		if v == nil {
			continue
		}
		for _, instance := range plan.Model.VPC(v.Name).Instances {
			for _, eni := range instance.Interfaces {
				for _, addr := range append([]netip.Addr{eni.IP, eni.IPv6}, eni.Secondary...) {
					e.owners[fabric.Caller{VPC: uint32(i) + 1, Addr: addr}] = owner{instance, eni}
				}
			}
		}
	}
	d.current.Store(e)
}

// plan is the one in force.
func (d *directory) plan() *compile.Plan { return d.current.Load().plan }

var ways = map[fabric.PortalKind]service.Via{
	fabric.Direct: service.Direct, fabric.PublicPortal: service.Public, fabric.GatewayPortal: service.ByGateway,
	fabric.InterfacePortal: service.ByInterface,
}

// Caller implements service.Directory.
func (d *directory) Caller(local, remote netip.Addr) (service.Caller, bool) {
	e := d.current.Load()
	portal, known := e.plan.Portals[local]
	via, asked := ways[portal.Kind]
	who, is := e.plan.Network.Services.Callers[remote]
	if !known || !asked || !is {
		return service.Caller{}, false
	}
	c := service.Caller{Via: via, Service: portal.Service, Region: portal.Region, Addr: who.Addr, Asked: portal.Outside}
	if portal.VPC == "" {
		return c, true
	}
	c.VPC = e.plan.Model.VPC(portal.VPC)
	if portal.Endpoint != "" {
		c.Endpoint = c.VPC.Endpoint(portal.Endpoint)
	}
	o := e.owners[who]
	c.Instance, c.ENI = o.instance, o.eni
	return c, true
}

// Target implements suite.Directory.
func (d *directory) Target(v string, addr netip.Addr) (netip.Addr, bool) {
	network := d.current.Load().plan.Network
	for _, compiled := range network.VPCs {
		if compiled != nil && compiled.Name == v {
			in, ok := network.Services.Inside[fabric.Caller{VPC: compiled.Index, Addr: addr}]
			return in, ok
		}
	}
	return netip.Addr{}, false
}

// Balancer implements suite.Directory. Among several zones that would do it is the one of the lowest address.
func (d *directory) Balancer(of vpc.ServiceRef, az string) (netip.Addr, bool) {
	plan := d.current.Load().plan
	var best netip.Addr
	bestAZ := ""
	for inside, p := range plan.Portals {
		if p.Kind != fabric.BalancerPortal || p.VPC != of.VPC || p.EndpointService != of.Name || !inside.Is4() {
			continue
		}
		zone := plan.Model.VPC(p.VPC).Subnet(p.Subnet).AZ
		switch {
		case slices.Contains(plan.Model.DownZones, zone):
		case !best.IsValid(), zone == az && bestAZ != az, (zone == az) == (bestAZ == az) && inside.Less(best):
			best, bestAZ = inside, zone
		}
	}
	return best, best.IsValid()
}
