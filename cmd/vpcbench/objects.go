package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/vpclab/vpclab/cmd/vpcbench/internal/load"
	"github.com/vpclab/vpclab/ctrl/hostnet/baseline"
	"github.com/vpclab/vpclab/ctrl/lab"
	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/service/suite"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// objectsFile is a client and a bucket that is for those alone who come by the gateway endpoint. Requests are signed with the keys of an
// internet host: these are long-term ones, which whoever runs a lab is told.
const objectsFile = `
name: %s
vpcs:
  bench:
    cidr: 10.0.0.0/16
    subnets: {client: {cidr: 10.0.1.0/24, az: a, route_table: client}}
    route_tables: {client: {}}
    security_groups: {client: {egress: [tcp 80 to pl.s3]}}
    instances: {client: {subnet: client, sg: [client]}}
    endpoints: {s3: {type: gateway, service: s3, route_tables: [client]}}
internet: {hosts: {operator: {ip: 203.0.113.10}}}
services:
  s3:
    buckets:
      bench:
        policy:
          Version: "2012-10-17"
          Statement: [{Effect: Deny, Principal: "*", Action: "s3:*", Resource: "*", Condition: {StringNotEquals: {"aws:SourceVpce": "${endpoint.s3}"}}}]
`

const (
	bucketName = "bench"
	operator   = "operator"
	s3         = "s3"
)

// parts are what objectsFile declares.
type parts struct {
	*scenario.Scenario
	vpc     *vpc.VPC
	service vpc.Service
}

func parseObjects(name string) (p parts, err error) {
	p.Scenario, err = scenario.Parse(vpclabS3+".yaml", fmt.Appendf(nil, objectsFile, name))
	if err != nil {
		return parts{}, err
	}
	p.vpc = p.Model.VPCs[0]
	p.service, _ = vpc.FindService(s3)
	return p, nil
}

// bucket is the bucket at an address, with the keys given.
func (p parts) bucket(at netip.Addr, key, secret string) load.Bucket {
	return load.Bucket{
		Addr: netip.AddrPortFrom(at, 80), Host: bucketName + "." + p.service.HostName(p.vpc.Region), Region: p.vpc.Region,
		AccessKeyID: key, SecretAccessKey: secret,
	}
}

// labStore is a running lab's S3, asked through the gateway endpoint.
type labStore struct {
	*lab.Lab
	client scenario.Node
	bucket load.Bucket
}

func newLabStore(ctx context.Context, name string) (Bed, error) {
	p, err := parseObjects(name)
	if err != nil {
		return nil, err
	}
	l, err := lab.Start(ctx, p.Scenario, lab.Options{Offload: true})
	if err != nil {
		return nil, fmt.Errorf("build bed %s: %w", vpclabS3, err)
	}
	keys, _ := l.Credentials(scenario.Node{Name: operator})
	return &labStore{
		Lab: l, client: scenario.Node{VPC: p.vpc.Name, Name: p.vpc.Instances[0].Name},
		bucket: p.bucket(p.service.Addr(p.vpc.Region), keys.AccessKeyID, keys.SecretAccessKey),
	}, nil
}

func (b *labStore) Name() string { return vpclabS3 }
func (b *labStore) About() string {
	return "an instance, a gateway endpoint and the lab's S3, offload on"
}
func (b *labStore) Bucket() load.Bucket           { return b.bucket }
func (b *labStore) InClient(f func() error) error { return b.Do(b.client, f) }

// bareStore is the same services at the end of a bare veth pair. They are told that the client is the instance and comes through the
// endpoint, so that they do for it what they do in the lab.
type bareStore struct {
	*baseline.Bed
	suite  *suite.Suite
	dir    string
	bucket load.Bucket
}

// newBareStore keeps objects where a lab does, below /run. What a killed run left there is removed.
func newBareStore(name string) (Bed, error) {
	pair, err := baseline.NewVeth()
	if err != nil {
		return nil, err
	}
	b := &bareStore{Bed: pair, dir: filepath.Join("/run", name)}
	if err := b.start(name); err != nil {
		return nil, fmt.Errorf("build bed %s: %w", vethS3, errors.Join(err, b.Close()))
	}
	return b, nil
}

func (b *bareStore) start(name string) error {
	p, err := parseObjects(name)
	if err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(b.dir), os.Mkdir(b.dir, 0o700)); err != nil {
		return err
	}
	b.suite, err = suite.Start(suite.Config{
		Lab: name, Dir: b.dir, Open: b.InServer, Directory: onlyCaller(p.caller()), Now: time.Now, Wall: time.Now,
		MAC:    func(*vpc.ENI) string { return "" },
		Denied: func(service.Caller, *service.Denied) {}, // the client is told, and ends the load
		Broken: func(error) {},                           // the next request ends the load
	}, p.Model)
	if err != nil {
		return err
	}
	keys := b.suite.User(p.Model.Account, operator)
	b.bucket = p.bucket(b.ServerAddr(), keys.AccessKeyID, keys.SecretAccessKey)
	return nil
}

func (b *bareStore) Name() string { return vethS3 }
func (b *bareStore) About() string {
	return "one bare veth pair, and the same S3 at its end"
}
func (b *bareStore) Bucket() load.Bucket { return b.bucket }

func (b *bareStore) Close() error {
	var errs []error
	if b.suite != nil {
		errs = append(errs, b.suite.Close())
	}
	return errors.Join(append(errs, b.Bed.Close(), os.RemoveAll(b.dir))...)
}

// caller is the instance, as the lab's directory knows it when it comes through the endpoint.
func (p parts) caller() service.Caller {
	i := p.vpc.Instances[0]
	return service.Caller{
		Via: service.ByGateway, Service: s3, Region: p.vpc.Region, VPC: p.vpc, Endpoint: p.vpc.Endpoint(s3),
		Addr: i.Interfaces[0].IP, Asked: p.service.Addr(p.vpc.Region), Instance: i, ENI: i.Interfaces[0],
	}
}

// onlyCaller is a suite.Directory that knows one caller.
type onlyCaller service.Caller

func (c onlyCaller) Caller(local, remote netip.Addr) (service.Caller, bool) {
	return service.Caller(c), true
}

func (c onlyCaller) Target(string, netip.Addr) (netip.Addr, bool) { return netip.Addr{}, false }

func (c onlyCaller) Balancer(vpc.ServiceRef, string) (netip.Addr, bool) { return netip.Addr{}, false }
