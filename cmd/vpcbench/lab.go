package main

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/vpclab/vpclab/cmd/vpcbench/internal/load"
	"github.com/vpclab/vpclab/ctrl/lab"
	"github.com/vpclab/vpclab/ctrl/scenario"
)

// labFile is a VPC whose client and server lie in two subnets and zones, so that every packet meets both ends' security groups, both
// subnets' ACLs and a route table; the server's group refers to the client's, as groups mostly do.
const labFile = `
name: %s
vpcs:
  bench:
    cidr: 10.0.0.0/16
    subnets:
      client: {cidr: 10.0.1.0/24, az: a}
      server: {cidr: 10.0.2.0/24, az: b}
    security_groups:
      client: {}
      server: {ingress: [tcp %[2]d from sg.client, udp %[2]d from sg.client]}
    instances:
      client: {subnet: client, sg: [client]}
      server: {subnet: server, ip: 10.0.2.10, sg: [server]}
`

// logFile is labFile with a flow log of everything.
const logFile = labFile + `
flow_logs:
  all: {resource: vpc.bench, traffic: all, interval: 60s, destination: "s3://bench"}
`

// natFile has a private NAT gateway between client and server: what the server sees is the gateway's address and ports.
const natFile = `
name: %s
vpcs:
  bench:
    cidr: 10.0.0.0/16
    subnets:
      client: {cidr: 10.0.1.0/24, az: a, routes: {10.0.2.0/24: nat.inner}}
      middle: {cidr: 10.0.3.0/24, az: a}
      server: {cidr: 10.0.2.0/24, az: b}
    nat_gateways: {inner: {subnet: middle, type: private, ip: 10.0.3.10}}
    security_groups:
      client: {}
      server: {ingress: [tcp %[2]d from 10.0.3.10/32, udp %[2]d from 10.0.3.10/32]}
    instances:
      client: {subnet: client, sg: [client]}
      server: {subnet: server, ip: 10.0.2.10, sg: [server]}
`

// peeringFile has a peering connection between client and server, whose VPCs are in the regions given.
const peeringFile = `
name: %%s
vpcs:
  bench:
    cidr: 10.0.0.0/16
    subnets: {client: {cidr: 10.0.1.0/24, az: a, routes: {10.1.0.0/16: peering.both}}}
    security_groups: {client: {}}
    instances: {client: {subnet: client, sg: [client]}}
  far:
    cidr: 10.1.0.0/16
    region: %s
    subnets: {server: {cidr: 10.1.2.0/24, az: a, routes: {10.0.0.0/16: peering.both}}}
    security_groups: {server: {ingress: ["tcp %%[2]d from 10.0.0.0/16", "udp %%[2]d from 10.0.0.0/16"]}}
    instances: {server: {subnet: server, ip: 10.1.2.10, sg: [server]}}
peerings:
  both: {requester: bench, accepter: far, encryption: %s}
`

// labs are the beds that are labs.
var labs = map[string]struct {
	file, suffix, about string
	offload             bool
}{
	vpclab:    {labFile, "", "two subnets of a VPC, offload on: eBPF forwards all but a connection's first packets", true},
	vpclabOff: {labFile, "-off", "two subnets of a VPC, offload off: the engine forwards every packet in userspace", false},
	vpclabLog: {logFile, "-log", "two subnets of a VPC, offload on, and a flow log of everything", true},
	vpclabNAT: {natFile, "-nat", "two subnets of a VPC with a NAT gateway between them, offload on", true},
	vpclabPeering: {fmt.Sprintf(peeringFile, "eu-west-1", "wireguard"), "-peering",
		"two VPCs in two regions, peered over an encrypted link, offload on", true},
	vpclabJoined: {fmt.Sprintf(peeringFile, "us-east-1", "none"), "-joined",
		"two VPCs of a region, peered without encryption, offload on", true},
}

// labBed is two instances of a running lab.
type labBed struct {
	*lab.Lab
	name, about    string
	client, server scenario.Node
	serverAddr     netip.Addr
}

// NewLab starts a lab, called name and the bed's suffix, and returns it as the bed of that name.
func NewLab(ctx context.Context, bed, name string) (Bed, error) {
	kind, ok := labs[bed]
	if !ok {
		return nil, fmt.Errorf("no bed %q", bed)
	}
	s, err := scenario.Parse(bed+".yaml", fmt.Appendf(nil, kind.file, name+kind.suffix, load.Port))
	if err != nil {
		return nil, err
	}
	l, err := lab.Start(ctx, s, lab.Options{Offload: kind.offload})
	if err != nil {
		return nil, fmt.Errorf("build bed %s: %w", bed, err)
	}
	b := &labBed{Lab: l, name: bed, about: kind.about}
	for _, v := range s.Model.VPCs {
		for _, i := range v.Instances {
			node := scenario.Node{VPC: v.Name, Name: i.Name}
			if i.Name == "client" {
				b.client = node
			} else {
				b.server, b.serverAddr = node, i.Interfaces[0].IP
			}
		}
	}
	return b, nil
}

func (b *labBed) Name() string                  { return b.name }
func (b *labBed) About() string                 { return b.about }
func (b *labBed) ServerAddr() netip.Addr        { return b.serverAddr }
func (b *labBed) InClient(f func() error) error { return b.Do(b.client, f) }
func (b *labBed) InServer(f func() error) error { return b.Do(b.server, f) }
