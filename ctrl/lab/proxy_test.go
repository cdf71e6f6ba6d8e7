package lab

import (
	"bufio"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"

	"github.com/vpclab/vpclab/ctrl/vpc"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// proxyLab is an endpoint service whose target wants to know who asks.
const proxyLab = `
name: labtest-proxy
clock: {start: 2026-01-01T00:00:00Z, rate: 0}
vpcs:
  data:
    cidr: 10.1.0.0/16
    subnets: {s: {cidr: 10.1.0.0/24, az: a}, lb: {cidr: 10.1.1.0/24, az: a}}
    security_groups: {shop: {ingress: [tcp 9000 from 10.1.1.0/24]}}
    instances: {db: {subnet: s, ip: 10.1.0.10, sg: [shop]}}
    endpoint_services: {shop: {targets: [db], ports: [9000], subnets: [lb], proxy_protocol: true}}
  app:
    cidr: 10.2.0.0/16
    subnets: {s: {cidr: 10.2.0.0/24, az: a}}
    security_groups: {open: {ingress: [tcp 9000 from 10.2.0.0/16]}}
    instances: {web: {subnet: s, ip: 10.2.0.10}}
    endpoints: {shop: {type: interface, service: data/shop, subnets: [s], sg: [open], ip: {s: 10.2.0.20}}}
flow_logs:
  all:
    resource: vpc.data
    traffic: all
    interval: 60s
    destination: s3://unused
    format: "${instance-id} ${srcaddr} ${dstaddr} ${pkt-srcaddr} ${pkt-dstaddr} ${flow-direction} ${traffic-path} ${tcp-flags} ${action}"
checks: []
`

// TestProxyProtocol: the target sees the load balancer as source, and in the header the consumer and the endpoint's ID. The provider's flow
// logs know nothing of the consumer.
func TestProxyProtocol(t *testing.T) {
	both(t, func(t *testing.T, offload bool) {
		b := build(t, proxyLab, offload)
		var listener net.Listener
		if err := b.Do(node("data", "db"), func() (err error) { listener, err = net.Listen("tcp", "10.1.0.10:9000"); return err }); err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		type arrival struct {
			source netip.AddrPort
			header *proxyproto.Header
			line   string
			err    error
		}
		arrivals := make(chan arrival, 1)
		go func() {
			var a arrival
			defer func() { arrivals <- a }()
			conn, err := listener.Accept()
			if a.err = err; err != nil {
				return
			}
			defer conn.Close()
			a.source = conn.RemoteAddr().(*net.TCPAddr).AddrPort()
			reader := bufio.NewReader(conn)
			if a.header, a.err = proxyproto.Read(reader); a.err == nil {
				a.line, a.err = reader.ReadString('\n')
			}
		}()
		var conn net.Conn
		if err := b.Do(node("app", "web"), func() (err error) { conn, err = net.DialTimeout("tcp", "10.2.0.20:9000", patience); return err }); err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("hello\n")); err != nil {
			t.Fatal(err)
		}
		var a arrival
		select {
		case a = <-arrivals:
		case <-time.After(patience):
			t.Fatal("the target hears nothing")
		}
		if a.err != nil || a.line != "hello\n" {
			t.Fatalf("the target read %q: %v", a.line, a.err)
		}
		shop := b.plan.Model.VPC("data").EndpointService("shop").Interfaces[0].IP
		if a.source.Addr() != shop {
			t.Errorf("the target sees %s, want the load balancer's %s", a.source, shop)
		}
		if from, to := a.header.SourceAddr.String(), a.header.DestinationAddr.String(); from != conn.LocalAddr().String() || to != "10.2.0.20:9000" {
			t.Errorf("the header is from %s to %s, want from %s to the endpoint", from, to, conn.LocalAddr())
		}
		tlvs, err := a.header.TLVs()
		if id := string(b.plan.Model.VPC("app").Endpoint("shop").ID); err != nil || tlvparse.FindAWSVPCEndpointID(tlvs) != id {
			t.Errorf("TLVs %v, %v, want endpoint %s", tlvs, err, id)
		}
		_ = conn.Close()
		from, _ := b.services.directory.Balancer(vpc.ServiceRef{VPC: "data", Name: "shop"}, "us-east-1a")
		to, _ := b.services.directory.Target("data", netip.MustParseAddr("10.1.0.10"))
		b.settle(t.Context(), flow.MakeTuple(flow.TCP, from, a.source.Port(), to, 9000))
		begun := monotonic()
		if err := b.Advance(time.Minute); err != nil {
			t.Fatal(err)
		}
		id := string(b.plan.Model.VPC("data").Instance("db").ID)
		provider := shop.String()
		want := []string{
			"- " + provider + " 10.1.0.10 " + provider + " 10.1.0.10 egress 1 3 ACCEPT",
			"- 10.1.0.10 " + provider + " 10.1.0.10 " + provider + " ingress - 19 ACCEPT",
			id + " 10.1.0.10 " + provider + " 10.1.0.10 " + provider + " egress 1 19 ACCEPT",
			id + " " + provider + " 10.1.0.10 " + provider + " 10.1.0.10 ingress - 3 ACCEPT",
		}
		slices.Sort(want)
		if got := b.told(begun); !slices.Equal(got, want) {
			t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}
