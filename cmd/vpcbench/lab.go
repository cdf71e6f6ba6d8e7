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

var (
	labClient = scenario.Node{VPC: "bench", Name: "client"}
	labServer = scenario.Node{VPC: "bench", Name: "server"}
)

// labBed is two instances of a running lab.
type labBed struct {
	*lab.Lab
	name, about string
}

// NewLab starts a lab of that name and returns it as the bed "vpclab", or, with offload off, as "vpclab-off".
func NewLab(ctx context.Context, name string, offload bool) (Bed, error) {
	b := &labBed{name: vpclab, about: "two subnets of a VPC, offload on: eBPF forwards all but a connection's first packets"}
	if !offload {
		b.name, b.about = vpclabOff, "two subnets of a VPC, offload off: the engine forwards every packet in userspace"
	}
	s, err := scenario.Parse(b.name+".yaml", fmt.Appendf(nil, labFile, name, load.Port))
	if err != nil {
		return nil, err
	}
	if b.Lab, err = lab.Start(ctx, s, lab.Options{Offload: offload}); err != nil {
		return nil, fmt.Errorf("build bed %s: %w", b.name, err)
	}
	return b, nil
}

func (b *labBed) Name() string                  { return b.name }
func (b *labBed) About() string                 { return b.about }
func (b *labBed) ServerAddr() netip.Addr        { return netip.AddrFrom4([4]byte{10, 0, 2, 10}) }
func (b *labBed) InClient(f func() error) error { return b.Do(labClient, f) }
func (b *labBed) InServer(f func() error) error { return b.Do(labServer, f) }
