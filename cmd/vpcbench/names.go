package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"github.com/vpclab/vpclab/cmd/vpcbench/internal/load"
	"github.com/vpclab/vpclab/ctrl/hostnet/baseline"
	"github.com/vpclab/vpclab/ctrl/lab"
	"github.com/vpclab/vpclab/ctrl/scenario"
)

// namesFile is a VPC with instances, and an internet host with the name that they ask for.
const namesFile = `
name: %s
vpcs:
  bench:
    cidr: 10.0.0.0/16
    subnets: {clients: {cidr: 10.0.1.0/24, az: a}}
    instances:
%sinternet: {hosts: {named: {ip: %s, names: [%s]}}}
`

// askers is how many clients ask a resolver: more than it takes to answer them all at 1024 queries a second each.
const askers = 64

var (
	namedAddr  = netip.MustParseAddr("203.0.113.80")
	resolverAt = netip.MustParseAddrPort("169.254.169.253:53")
)

// labResolver is the resolver of a running lab's VPC, and its instances.
type labResolver struct {
	*lab.Lab
	clients []scenario.Node
}

func newLabResolver(ctx context.Context, name string) (Bed, error) {
	var instances strings.Builder
	for i := range askers {
		fmt.Fprintf(&instances, "      c%d: {subnet: clients}\n", i)
	}
	s, err := scenario.Parse(vpclabDNS+".yaml", fmt.Appendf(nil, namesFile, name, instances.String(), namedAddr, load.NameAsked))
	if err != nil {
		return nil, err
	}
	l, err := lab.Start(ctx, s, lab.Options{Offload: true})
	if err != nil {
		return nil, fmt.Errorf("build bed %s: %w", vpclabDNS, err)
	}
	b := &labResolver{Lab: l}
	for _, i := range s.Model.VPCs[0].Instances {
		b.clients = append(b.clients, scenario.Node{VPC: s.Model.VPCs[0].Name, Name: i.Name})
	}
	return b, nil
}

func (b *labResolver) Name() string { return vpclabDNS }
func (b *labResolver) About() string {
	return fmt.Sprintf("%d instances and their VPC's resolver", askers)
}
func (b *labResolver) Clients() int                        { return len(b.clients) }
func (b *labResolver) Resolver() netip.AddrPort            { return resolverAt }
func (b *labResolver) InClient(f func() error) error       { return b.In(0, f) }
func (b *labResolver) In(client int, f func() error) error { return b.Do(b.clients[client], f) }

// bareResolver is a server that knows one answer, at the end of a bare veth pair.
type bareResolver struct {
	*baseline.Bed
	server  *dns.Server
	running sync.WaitGroup
	ended   error // of the server, after running
}

func newBareResolver() (Bed, error) {
	pair, err := baseline.NewVeth()
	if err != nil {
		return nil, err
	}
	b := &bareResolver{Bed: pair}
	if err := b.start(); err != nil {
		return nil, fmt.Errorf("build bed %s: %w", vethDNS, errors.Join(err, pair.Close()))
	}
	return b, nil
}

func (b *bareResolver) start() error {
	var conn *net.UDPConn
	err := b.InServer(func() (err error) {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(b.Resolver()))
		return err
	})
	if err != nil {
		return err
	}
	started := make(chan struct{})
	b.server = &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(answerOne), NotifyStartedFunc: func() { close(started) }}
	b.running.Go(func() { b.ended = b.server.ActivateAndServe() })
	<-started
	return nil
}

func answerOne(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg).SetReply(q)
	m.Answer = []dns.RR{&dns.A{
		Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: namedAddr.AsSlice(),
	}}
	_ = w.WriteMsg(m) // the client misses it, and ends the load
}

func (b *bareResolver) Name() string  { return vethDNS }
func (b *bareResolver) About() string { return "one bare veth pair, and a miekg/dns server at its end" }
func (b *bareResolver) Clients() int  { return askers }
func (b *bareResolver) Resolver() netip.AddrPort {
	return netip.AddrPortFrom(b.ServerAddr(), resolverAt.Port())
}
func (b *bareResolver) In(_ int, f func() error) error { return b.InClient(f) }

func (b *bareResolver) Close() error {
	err := b.server.Shutdown()
	b.running.Wait()
	return errors.Join(err, b.ended, b.Bed.Close())
}
