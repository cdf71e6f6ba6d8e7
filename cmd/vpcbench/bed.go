package main

import (
	"context"
	"fmt"

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
)

var bedNames = []string{vpclab, vpclabOff, kernel, veth}

// openBeds builds beds by name. Its labs are called lab, and lab-off without offload.
func openBeds(lab string) opener {
	return func(ctx context.Context, name string) (Bed, error) {
		switch name {
		case veth:
			return orNil(baseline.NewVeth())
		case kernel:
			return orNil(baseline.NewKernel(load.Port))
		case vpclab:
			return NewLab(ctx, lab, true)
		case vpclabOff:
			return NewLab(ctx, lab+"-off", false)
		}
		return nil, fmt.Errorf("no bed %q", name)
	}
}

// orNil keeps a nil *baseline.Bed from becoming a Bed that is not nil.
func orNil(b *baseline.Bed, err error) (Bed, error) {
	if err != nil {
		return nil, err
	}
	return b, nil
}
