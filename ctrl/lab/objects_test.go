package lab

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/hostnet"
	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// objectsLab has a bucket that everybody may use, and a gateway endpoint to it.
const objectsLab = `
name: labtest-objects
clock: {start: 2026-01-01T00:00:00Z, rate: 0}
vpcs:
  a:
    cidr: 10.0.0.0/16
    subnets: {p: {cidr: 10.0.0.0/24, az: a, route_table: private}}
    route_tables: {private: {}}
    security_groups: {web: {egress: [tcp 80 to pl.s3]}}
    instances: {web: {subnet: p, ip: 10.0.0.10, sg: [web]}}
    endpoints: {s3: {type: gateway, service: s3, route_tables: [private]}}
services:
  s3:
    buckets:
      open: {policy: {Version: "2012-10-17", Statement: [{Effect: Allow, Principal: "*", Action: "s3:*", Resource: "*"}]}}
flow_logs:
  all:
    resource: vpc.a
    traffic: all
    interval: 60s
    destination: s3://unused
    format: "${srcaddr} ${dstaddr} ${srcport} ${dstport} ${packets} ${bytes} ${action} ${flow-direction} ${traffic-path} ${pkt-src-aws-service} ${pkt-dst-aws-service}"
`

// TestObjectsThroughGatewayEndpoint: of an object that an instance gets through a gateway endpoint, eBPF forwards nearly all, and the flow
// log tells what the instance's kernel sent and received, to the packet and to the byte, with the fast path and without.
func TestObjectsThroughGatewayEndpoint(t *testing.T) {
	both(t, func(t *testing.T, offload bool) {
		b := build(t, objectsLab, offload)
		b.plain(webNode)
		const size = 32 << 20
		put := b.asks(webNode, fmt.Sprintf("PUT /open/x HTTP/1.1\r\nHost: s3.amazonaws.com\r\nContent-Length: %d\r\n\r\n", size), zeros(size))
		put.end(0)
		client, services := b.attachmentOf(webNode), b.servicesAttachment()
		doors := []string{fmt.Sprint("t", client.Index), fmt.Sprint("t", services.Index)}
		before, up := b.deliveredBy(client, services), b.onDevices(doors...)

		get := b.asks(webNode, "GET /open/x HTTP/1.1\r\nHost: s3.amazonaws.com\r\n\r\n", nil)
		get.end(size)
		var sent packetsSent
		var received uint64
		var counted [2]engineCount
		if !eventually(func() bool {
			sent = get.clientSent()
			now := b.deliveredBy(client, services)
			for i := range now {
				counted[i] = engineCount{now[i].Packets - before[i].Packets, now[i].Bytes - before[i].Bytes}
			}
			received = get.clientReceived(counted[1].Packets)
			// What was sent again was received once.
			return counted[0] == engineCount(sent) && (counted[1].Bytes == received || counted[1].Bytes > received && b.sentAgain() > 0)
		}) {
			t.Errorf("the instance sent %+v, counted are %+v; it received %d bytes, counted are %+v", sent, counted[0], received, counted[1])
		}
		came := b.onDevices(doors...)
		came.Packets, came.Bytes = came.Packets-up.Packets, came.Bytes-up.Bytes
		all := engineCount{counted[0].Packets + counted[1].Packets, counted[0].Bytes + counted[1].Bytes}
		if offload && (came.Packets > all.Packets/100 || came.Bytes > all.Bytes/100) {
			t.Errorf("of %+v the engine forwarded %+v, want 1 %% at most", all, came)
		}
		if !offload && came.Packets < all.Packets/100 {
			t.Errorf("of %+v the engine forwarded %+v: that is not offload off", all, came)
		}

		if err := b.Advance(time.Minute); err != nil {
			t.Fatal(err)
		}
		port := get.client.LocalAddr().(*net.TCPAddr).Port
		want := []string{
			fmt.Sprintf("10.0.0.10 %s %d 80 %d %d ACCEPT egress 7 - S3", get.addr.Addr(), port, counted[0].Packets, counted[0].Bytes),
			fmt.Sprintf("%s 10.0.0.10 80 %d %d %d ACCEPT ingress - S3 -", get.addr.Addr(), port, counted[1].Packets, counted[1].Bytes),
		}
		var got []string
		for _, line := range b.told(0) {
			if slices.Contains(strings.Fields(line)[2:4], fmt.Sprint(port)) {
				got = append(got, line)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// zeros is that many bytes.
func zeros(n int64) io.Reader { return io.LimitReader(zero{}, n) }

type zero struct{}

func (zero) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// asks sends a request to S3 in the default region, on a connection of its own.
func (b bed) asks(n scenario.Node, head string, body io.Reader) *transfer {
	b.t.Helper()
	s3, _ := vpc.FindService("s3")
	x := &transfer{bed: b, from: n, addr: netip.AddrPortFrom(s3.Addr(vpc.DefaultRegion), 80)}
	b.do(n, func() (err error) {
		x.client, err = net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(x.addr))
		return err
	})
	b.t.Cleanup(func() { x.client.Close() })
	if err := x.client.SetDeadline(time.Now().Add(patience)); err != nil {
		b.t.Fatal(err)
	}
	if _, err := io.WriteString(x.client, head); err != nil {
		b.t.Fatal(err)
	}
	if body != nil {
		if _, err := io.Copy(x.client, body); err != nil {
			b.t.Fatal(err)
		}
	}
	return x
}

// end reads the whole answer, which has that many bytes, and closes both ways.
func (x *transfer) end(size int64) {
	x.t.Helper()
	in := bufio.NewReaderSize(x.client, 1<<18)
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		x.t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, answer.Body); err != nil || n != size || answer.StatusCode != http.StatusOK {
		x.t.Fatalf("%s, and %d bytes of %d: %v", answer.Status, n, size, err)
	}
	if err := x.client.CloseWrite(); err != nil {
		x.t.Fatal(err)
	}
	if _, err := in.ReadByte(); err != io.EOF {
		x.t.Fatalf("after the answer: %v", err)
	}
}

// clientReceived is how many bytes the client has if they came in so many packets. The kernel's own count of segments is short where the
// engine hands it many as one. The SYN-ACK has longer options, and a FIN is a byte of Bytes_received.
func (x *transfer) clientReceived(packets uint64) uint64 {
	const synHeaders = 40
	return tcpInfo(x.t, x.client).Bytes_received - 1 + packets*x.headers() + synHeaders - tcpHeaders
}

// servicesAttachment is that of the lab's services.
func (b bed) servicesAttachment() hostnet.Attachment {
	b.t.Helper()
	for _, a := range b.plan.Desired.Attachments {
		if a.Namespace == hostnet.ServicesNamespace(b.name) {
			return a
		}
	}
	b.t.Fatal("the lab has no services")
	return hostnet.Attachment{}
}

// deliveredBy is what of each attachment's packets was delivered.
func (b bed) deliveredBy(attachments ...hostnet.Attachment) (counts [2]engineCount) {
	b.t.Helper()
	s, err := b.Stats()
	if err != nil {
		b.t.Fatal(err)
	}
	for i, a := range attachments {
		counts[i] = engineCount(s.Delivered[a.Index])
	}
	return counts
}

// onDevices is what the kernel gave to devices of the fabric, a packet that is to be segmented counting once.
func (b bed) onDevices(names ...string) (n engineCount) {
	b.t.Helper()
	for _, name := range names {
		n.Packets += b.deviceCounter(name, transmitted)
		n.Bytes += b.deviceCounter(name, transmittedBytes)
	}
	return n
}

// sentAgain is how many segments the services' kernel sent again.
func (b bed) sentAgain() (n uint64) {
	b.t.Helper()
	if err := b.host.InGuest(hostnet.ServicesNamespace(b.name), func() (err error) {
		n, err = tcpCounter("RetransSegs")
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
	return n
}
