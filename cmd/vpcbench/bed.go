package main

import (
	"context"

	"github.com/vpclab/vpclab/cmd/vpcbench/internal/load"
	"github.com/vpclab/vpclab/ctrl/hostnet/baseline"
)

// Bed is a network under load: a client, a server, and what lies between them.
type Bed interface {
	load.Ends
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
)

var bedNames = []string{vpclab, vpclabOff, vpclabNAT, vpclabLog, vpclabPeering, vpclabJoined, kernel, wireGuard, veth}

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
