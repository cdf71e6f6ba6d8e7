package lab

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// mtuLab has two jumbo instances that reach each other through two internet gateways, and a change that keeps ICMP out of the sender's subnet.
const mtuLab = `
name: labtest-mtu
vpcs:
  a:
    cidr: 10.0.0.0/16
    ipv6: 2600:1f18:aa00::/56
    internet_gateway: true
    subnets: {p: {cidr: 10.0.0.0/24, ipv6: "2600:1f18:aa00::/64", az: a, routes: {0.0.0.0/0: igw, "::/0": igw}}}
    instances: {w: {subnet: p, ip: 10.0.0.10, ipv6: "2600:1f18:aa00::10", eip: 198.51.100.10}}
  b:
    cidr: 10.0.0.0/16
    ipv6: 2600:1f18:bb00::/56
    internet_gateway: true
    subnets: {p: {cidr: 10.0.0.0/24, ipv6: "2600:1f18:bb00::/64", az: a, routes: {0.0.0.0/0: igw, "::/0": igw}}}
    security_groups: {open: {ingress: [tcp 9000 from 0.0.0.0/0, udp 9000 from 0.0.0.0/0, "tcp 9000 from ::/0", "udp 9000 from ::/0"]}}
    instances: {c: {subnet: p, ip: 10.0.0.10, ipv6: "2600:1f18:bb00::10", eip: 198.51.100.20, sg: [open]}}
checks:
  - change:
      vpcs:
        a:
          acls:
            default:
              ingress: [10 deny icmp from 0.0.0.0/0, "20 deny icmpv6 from ::/0", 100 allow all from 0.0.0.0/0, "110 allow all from ::/0"]
              egress: [100 allow all to 0.0.0.0/0, "110 allow all to ::/0"]
`

var (
	mtuFrom  = node("a", "w")
	mtuTo    = node("b", "c")
	mtuPaths = []struct {
		name     string
		from, to string
		headers  uint32 // of IP and TCP without options
	}{
		{"IPv4", "10.0.0.10", "198.51.100.20", 40},
		{"IPv6", "2600:1f18:aa00::10", "2600:1f18:bb00::10", 60},
	}
)

func mtuTransfer(b bed, to string) *transfer {
	return &transfer{bed: b, from: mtuFrom, to: mtuTo, forTime: 300 * time.Millisecond, addr: netip.AddrPortFrom(netip.MustParseAddr(to), 9000)}
}

// A connection whose ends agreed on jumbo segments finds out that 1500 bytes fit through an internet gateway, though its kernel hands over
// packets of up to 64 KB, and goes on from there (EC2 user guide, network MTU; RFC 1191, RFC 8201).
func TestPathMTUDiscovery(t *testing.T) {
	s := scenarioOnce(t, mtuLab)
	both(t, func(t *testing.T, offload bool) {
		for _, path := range mtuPaths {
			t.Run(path.name, func(t *testing.T) {
				b := start(t, s, offload)
				x := mtuTransfer(b, path.to)
				x.open()
				if info := tcpInfo(t, x.client); info.Pmtu != 9001 || info.Snd_mss < 8900 {
					t.Errorf("it begins with MTU %d and segments of %d bytes", info.Pmtu, info.Snd_mss)
				}
				index := b.attachmentOf(mtuFrom).Index
				handed := b.deviceCounter(fmt.Sprintf("e%d", index), received)
				x.run()
				info := tcpInfo(t, x.client)
				if most := 1500 - path.headers; info.Pmtu != 1500 || info.Snd_mss > most {
					t.Errorf("it ends with MTU %d and segments of %d bytes, want 1500 and at most %d", info.Pmtu, info.Snd_mss, most)
				}
				handed = b.deviceCounter(fmt.Sprintf("e%d", index), received) - handed
				if segments := uint64(info.Segs_out); handed > segments/2 {
					t.Errorf("%d packets for %d segments: the kernel cut them itself", handed, segments)
				}
				if b.dropped(flow.MTUExceeded, mtuFrom) == 0 {
					t.Error("nothing was too large")
				}
			})
		}
	})
}

// Where an ACL keeps ICMP out, the sender never hears of it, and the connection stands still; when the ACL lets it in, it goes on.
func TestPathMTUBlackhole(t *testing.T) {
	s := scenarioOnce(t, mtuLab)
	both(t, func(t *testing.T, offload bool) {
		b := start(t, s, offload)
		if err := b.Apply(context.Background(), s.Steps[0].Change); err != nil {
			t.Fatal(err)
		}
		mark := b.Mark()
		var stuck []*transfer
		for _, path := range mtuPaths {
			x := mtuTransfer(b, path.to)
			x.open()
			if _, err := x.client.Write(make([]byte, 1<<15)); err != nil {
				t.Fatal(err)
			}
			stuck = append(stuck, x)
		}
		for i, x := range stuck {
			until(t, "the sender has tried again", func() bool { return tcpInfo(t, x.client).Total_retrans >= 2 })
			if info := tcpInfo(t, x.server); info.Bytes_received != 0 {
				t.Errorf("%s: %d bytes arrived", mtuPaths[i].name, info.Bytes_received)
			}
			conn := flow.MakeTuple(flow.TCP, netip.MustParseAddr(mtuPaths[i].from), uint16(x.client.LocalAddr().(*net.TCPAddr).Port), x.addr.Addr(), 9000)
			told := map[string]bool{}
			for _, d := range b.Drops(mark, conn) {
				told[d.Reason.String()+" at "+d.At] = true
			}
			if !told["MTU_EXCEEDED at igw"] || !told["SUBNET_ACL_RESTRICTION at w/acl-in"] {
				t.Errorf("%s: dropped were %v", mtuPaths[i].name, told)
			}
		}
		if err := b.Apply(context.Background(), s.Model); err != nil {
			t.Fatal(err)
		}
		for _, x := range stuck {
			until(t, "everything has arrived", func() bool { return tcpInfo(t, x.server).Bytes_received == 1<<15 })
		}
	})
}

// Datagrams that are too large for an internet gateway cross it in fragments, there and back, once each end has heard what fits; through a
// NAT gateway, too (VPC user guide, NAT device comparison).
func TestLargeDatagrams(t *testing.T) {
	for _, row := range []struct {
		name, lab string
		from, to  scenario.Node
		addr      string
	}{
		{"IPv4", mtuLab, mtuFrom, mtuTo, mtuPaths[0].to},
		{"IPv6", mtuLab, mtuFrom, mtuTo, mtuPaths[1].to},
		{"NAT", natLab, natClients[0], natHostNode, natHost},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := start(t, scenarioOnce(t, row.lab), true)
			server := b.datagrams(row.to, 9000)
			var serving sync.WaitGroup
			serving.Go(func() { echo(server) })
			defer serving.Wait()
			defer server.Close()
			client := b.datagrams(row.from, 0)
			to := netip.AddrPortFrom(netip.MustParseAddr(row.addr), 9000)
			rng := rand.New(rand.NewPCG(1, 2))
			sent, got := make([]byte, 6000), make([]byte, 9000)
			asked, answered := uint32(0), 0
			until(t, "ten datagrams have come back", func() bool {
				asked++
				for i := range sent {
					sent[i] = byte(rng.Uint32())
				}
				binary.BigEndian.PutUint32(sent, asked)
				if _, err := client.WriteToUDPAddrPort(sent, to); err != nil && !errors.Is(err, unix.EMSGSIZE) {
					t.Fatal(err)
				}
				if err := client.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
					t.Fatal(err)
				}
				n, err := client.Read(got)
				switch {
				case err != nil || binary.BigEndian.Uint32(got) != asked: // lost, or late
				case !bytes.Equal(got[:n], sent):
					t.Fatalf("%d bytes came back, and not those that were sent", n)
				default:
					answered++
				}
				return answered == 10
			})
			if s, err := b.Stats(); err != nil || s.Delivered[b.attachmentOf(row.from).Index].Packets < 10*5-4 {
				t.Errorf("%d packets were delivered for ten datagrams of five fragments: %v", s.Delivered[b.attachmentOf(row.from).Index].Packets, err)
			}
		})
	}
}

func (b bed) datagrams(n scenario.Node, port int) *net.UDPConn {
	b.t.Helper()
	var c *net.UDPConn
	b.do(n, func() (err error) {
		c, err = net.ListenUDP("udp", &net.UDPAddr{Port: port})
		return err
	})
	b.t.Cleanup(func() { c.Close() })
	return c
}

// echo sends back what comes until its socket is closed.
func echo(c *net.UDPConn) {
	buf := make([]byte, 9000)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			_, _ = c.WriteToUDPAddrPort(buf[:n], from) // too large at first: the next one is cut
		}
	}
}
