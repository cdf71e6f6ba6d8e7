package main

import (
	"context"

	"github.com/vpclab/vpclab/cmd/vpcbench/internal/load"
	"github.com/vpclab/vpclab/ctrl/hostnet/baseline"
)

// Bed is a network under load: a client, a server, and what lies between them. It is what load.Far says of the loads that it is for.
type Bed interface {
	load.Network
	Name() string  // as in --compare
	About() string // what lies between the ends, in a phrase
	Close() error
}

// The beds by name.
const (
	veth      = "veth"
	kernel    = "kernel"
	vpclab    = "vpclab"
	vpclabOff = "vpclab-off"
	vpclabNAT = "vpclab-nat"
	vpclabLog = "vpclab-log" // the same as vpclab, with a flow log
	// Of the peering connections, one is between regions and encrypted, and one within a region and neither encrypted nor shaped.
	vpclabPeering = "vpclab-peering"
	vpclabJoined  = "vpclab-joined"
	wireGuard     = "wireguard"
	// At the far end of these is an S3.
	vpclabS3 = "vpclab-s3"
	vethS3   = "veth-s3"
	// At the far end of these is a resolver.
	vpclabDNS = "vpclab-dns"
	vethDNS   = "veth-dns"
)

var bedNames = []string{vpclab, vpclabOff, vpclabNAT, vpclabLog, vpclabPeering, vpclabJoined, kernel, wireGuard, veth, vpclabS3, vethS3, vpclabDNS, vethDNS}

// farEnd is what is at the far end of the bed of that name.
func farEnd(name string) load.Far {
	switch name {
	case vpclabS3, vethS3:
		return load.Objects
	case vpclabDNS, vethDNS:
		return load.Resolver
	}
	return load.Ours
}

// openBeds builds beds by name. Its labs are called lab and the bed's suffix.
func openBeds(lab string) opener {
	return func(ctx context.Context, name string) (Bed, error) {
		switch name {
		case veth:
			return orNil(baseline.NewVeth())
		case kernel:
			return orNil(baseline.NewKernel(load.Port))
		case wireGuard:
			return orNil(baseline.NewWireGuard())
		case vpclabS3:
			return newLabStore(ctx, lab+"-s3")
		case vethS3:
			return newBareStore(lab + "-veth-s3")
		case vpclabDNS:
			return newLabResolver(ctx, lab+"-dns")
		case vethDNS:
			return newBareResolver()
		}
		return NewLab(ctx, name, lab)
	}
}

// orNil keeps a nil *baseline.Bed from becoming a Bed that is not nil.
func orNil(b *baseline.Bed, err error) (Bed, error) {
	if err != nil {
		return nil, err
	}
	return b, nil
}
