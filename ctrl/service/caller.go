// Package service is what the services inside a lab have in common: who asks, by which way, and whether they may. It opens no socket
// and decides nothing about packets.
package service

import (
	"context"
	"net/netip"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

// Via is the way by which a request came.
type Via uint8

// The ways.
const (
	Direct      Via = iota // of the VPC itself: resolver, instance metadata, time
	Public                 // over the internet, by an internet or NAT gateway, or from an internet host
	ByGateway              // by a gateway endpoint
	ByInterface            // by an interface endpoint
)

// Caller is who sent a request and how it came. A service knows it from its socket alone.
type Caller struct {
	Via     Via
	Service string // what was asked: "dns", "imds", "time", or an AWS service's code
	Region  string // of the service
	// VPC is that of the asking interface (Direct) or of the endpoint (ByGateway, ByInterface); nil for Public.
	VPC      *vpc.VPC
	Endpoint *vpc.Endpoint // ByGateway and ByInterface
	Addr     netip.Addr    // the source: a private address, or the public one of Public
	Asked    netip.Addr    // the address that was asked, as the caller wrote it
	// Instance and ENI are who has Addr in VPC; nil if that is nobody's there: a peer's, or that of Public.
	Instance *vpc.Instance
	ENI      *vpc.ENI
}

// Directory finds out who asks from the two ends of a socket in the services' namespace: its own address, and the far one. false: nobody
// known; such a request is not answered.
type Directory interface {
	Caller(local, remote netip.Addr) (Caller, bool)
}

type callerKey struct{}

// With is a context that knows who asks.
func With(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// From is who asks; the zero Caller if the context does not know.
func From(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
