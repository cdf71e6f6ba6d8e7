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

// labs are the beds that are labs.
var labs = map[string]struct {
	file, suffix, about string
	offload             bool
}{
	vpclab:    {labFile, "", "two subnets of a VPC, offload on: eBPF forwards all but a connection's first packets", true},
	vpclabOff: {labFile, "-off", "two subnets of a VPC, offload off: the engine forwards every packet in userspace", false},
	vpclabNAT: {natFile, "-nat", "two subnets of a VPC with a NAT gateway between them, offload on", true},
}

var (
	labClient = scenario.Node{VPC: "bench", Name: "client"}
	labServer = scenario.Node{VPC: "bench", Name: "server"}
)

// labBed is two instances of a running lab.
type labBed struct {
	*lab.Lab
	name, about string
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
	return &labBed{l, bed, kind.about}, nil
}

func (b *labBed) Name() string                  { return b.name }
func (b *labBed) About() string                 { return b.about }
func (b *labBed) ServerAddr() netip.Addr        { return netip.AddrFrom4([4]byte{10, 0, 2, 10}) }
func (b *labBed) InClient(f func() error) error { return b.Do(labClient, f) }
func (b *labBed) InServer(f func() error) error { return b.Do(labServer, f) }
