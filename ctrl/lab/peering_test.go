package lab

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/hostnet"
	"github.com/vpclab/vpclab/ctrl/lab/labtest"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// peeredLab has an encrypted connection between two regions; %s is more of it.
const peeredLab = `
name: labtest-peered
vpcs:
  a:
    cidr: 10.0.0.0/16
    ipv6: 2600:1f18:aa00::/56
    subnets:
      p: {cidr: 10.0.0.0/24, ipv6: 2600:1f18:aa00::/64, az: a, routes: {10.9.0.0/16: peering.ab, "2600:1f18:bb00::/56": peering.ab}}
    security_groups: {open: {ingress: [all from 0.0.0.0/0, "all from ::/0"]}}
    instances: {web: {subnet: p, ip: 10.0.0.10, ipv6: "2600:1f18:aa00::10", sg: [open]}}
  b:
    cidr: 10.9.0.0/16
    ipv6: 2600:1f18:bb00::/56
    region: %s
    subnets:
      q: {cidr: 10.9.0.0/24, ipv6: 2600:1f18:bb00::/64, az: a, routes: {10.0.0.0/16: peering.ab, "2600:1f18:aa00::/56": peering.ab}}
    security_groups: {open: {ingress: [all from 10.0.0.0/16, "all from 2600:1f18:aa00::/56"]}}
    instances: {db: {subnet: q, ip: 10.9.0.10, ipv6: "2600:1f18:bb00::10", sg: [open]}}
peerings:
  ab: {requester: a, accepter: b%s}
`

var dbNode = node("b", "db")

func encrypted() string { return fmt.Sprintf(peeredLab, "eu-west-1", "") }

// peeredWithin is the lab with an unencrypted connection within a region, and a link of a shape; "" joins its ends.
func peeredWithin(shape string) string {
	more := ", encryption: none"
	if shape != "" {
		more += ", link: " + shape
	}
	return fmt.Sprintf(peeredLab, "us-east-1", more)
}

// capture records all frames at a namespace's device, in both directions.
type capture struct {
	t  *testing.T
	fd int
}

func record(t *testing.T, inside func(func() error) error, device string) *capture {
	t.Helper()
	c := &capture{t, -1}
	if err := inside(func() error {
		ifi, err := net.InterfaceByName(device)
		if err != nil {
			return err
		}
		if c.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 256<<20); err != nil {
			return err
		}
		return unix.Bind(c.fd, &unix.SockaddrLinklayer{Protocol: 0x0300, Ifindex: ifi.Index}) // ETH_P_ALL in network order
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(c.fd) })
	return c
}

// frames takes what was recorded so far.
func (c *capture) frames() (frames [][]byte) {
	c.t.Helper()
	buf := make([]byte, 1<<17)
	for {
		n, _, err := unix.Recvfrom(c.fd, buf, 0)
		if err == unix.EAGAIN {
			return frames
		}
		if err != nil {
			c.t.Fatal(err)
		}
		frames = append(frames, slices.Clone(buf[:n]))
	}
}

func containing(frames [][]byte, what string) (n int) {
	for _, f := range frames {
		if bytes.Contains(f, []byte(what)) {
			n++
		}
	}
	return n
}

func (b bed) inBackbone(f func() error) error {
	return b.host.InGuest(hostnet.BackboneNamespace(b.name), f)
}

// TestBackboneShowsWireGuardOnly: what two VPCs tell each other is to be read at their ends and nowhere between.
func TestBackboneShowsWireGuardOnly(t *testing.T) {
	b := build(t, encrypted(), true)
	const secret = "the-secret-that-only-the-ends-may-read/"
	var listener net.Listener
	b.do(dbNode, func() (err error) {
		listener, err = net.Listen("tcp", ":80")
		return err
	})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.Repeat(secret, 10000))
	})}
	go server.Serve(listener)
	defer server.Close()

	backbone := record(t, b.inBackbone, "lo")
	ends := []*capture{record(t, b.inside(webNode), "eth0"), record(t, b.inside(dbNode), "eth0")}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(_ context.Context, network, addr string) (c net.Conn, err error) {
			err = b.Do(webNode, func() (err error) {
				c, err = net.DialTimeout(network, addr, patience)
				return err
			})
			return c, err
		},
	}}
	for _, url := range []string{"http://10.9.0.10/" + secret, "http://[2600:1f18:bb00::10]/" + secret} {
		answer, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || len(body) != 10000*len(secret) {
			t.Fatalf("%s: %d bytes, %v", url, len(body), err)
		}
	}
	for i, end := range ends {
		if containing(end.frames(), secret) == 0 {
			t.Errorf("the capture at end %d does not contain the plaintext, so that its absence elsewhere proves nothing", i)
		}
	}
	frames, carried := backbone.frames(), 0
	for _, f := range frames {
		const udp, wireGuard = 14 + 20, 14 + 20 + 8
		if len(f) < wireGuard+4 || binary.BigEndian.Uint16(f[12:]) != labtest.IPv4 || f[14+9] != flow.UDP {
			t.Fatalf("on the backbone, not UDP: %x", f[:min(len(f), 64)])
		}
		if kind := binary.LittleEndian.Uint32(f[wireGuard:]); kind < 1 || kind > 4 {
			t.Fatalf("on the backbone, no WireGuard message: %x", f[udp:min(len(f), 96)])
		}
		carried += len(f) - wireGuard
	}
	if n := containing(frames, secret[:16]); n != 0 {
		t.Errorf("%d of %d frames on the backbone contain plaintext", n, len(frames))
	}
	if carried < 2*10000*len(secret) {
		t.Errorf("only %d bytes crossed the backbone", carried)
	}
}

// spoil changes one bit of each large packet on the backbone until it is told to stop.
func (b bed) spoil() (stop func()) {
	b.t.Helper()
	const large, at = 400, 14 + 20 + 8 + 16 + 100 // behind WireGuard's header
	spoiler, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "spoil", Type: ebpf.SchedCLS, License: "MIT",
		Instructions: asm.Instructions{
			asm.Mov.Reg(asm.R6, asm.R1),
			asm.LoadMem(asm.R2, asm.R6, 0, asm.Word), // its length
			asm.JLT.Imm(asm.R2, large, "next"),
			asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, at), asm.Mov.Reg(asm.R3, asm.RFP), asm.Add.Imm(asm.R3, -8), asm.Mov.Imm(asm.R4, 1),
			asm.FnSkbLoadBytes.Call(),
			asm.JNE.Imm(asm.R0, 0, "next"),
			asm.LoadMem(asm.R2, asm.RFP, -8, asm.Byte), asm.Xor.Imm(asm.R2, 1), asm.StoreMem(asm.RFP, -8, asm.R2, asm.Byte),
			asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, at), asm.Mov.Reg(asm.R3, asm.RFP), asm.Add.Imm(asm.R3, -8), asm.Mov.Imm(asm.R4, 1),
			asm.Mov.Imm(asm.R5, 0), asm.FnSkbStoreBytes.Call(),
			asm.Mov.Imm(asm.R0, -1).WithSymbol("next"), // TCX_NEXT
			asm.Return(),
		},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	defer spoiler.Close()
	var attached link.Link
	if err := b.inBackbone(func() (err error) {
		attached, err = link.AttachTCX(link.TCXOptions{Program: spoiler, Interface: 1, Attach: ebpf.AttachTCXEgress})
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
	return func() { attached.Close() }
}

// TestSpoiledOnTheWire: a packet that was changed on the way is dropped, told, and harms no other.
func TestSpoiledOnTheWire(t *testing.T) {
	b := build(t, encrypted(), true)
	client, server := b.udp(webNode, 9000), b.udp(dbNode, 9000)
	to := netip.MustParseAddrPort("10.9.0.10:9000")
	b.exchange(client, server, to, make([]byte, 1000))
	before := b.tallyOf(webNode)

	stop := b.spoil()
	for n := range uint64(3) { // one by one: of packets that the kernel carries as one, only the first is changed
		if _, err := client.WriteToUDPAddrPort(make([]byte, 1000), to); err != nil {
			t.Fatal(err)
		}
		until(t, "the spoiled packet is counted", func() bool {
			return b.tallyOf(webNode).dropped[flow.LinkBroken].Packets-before.dropped[flow.LinkBroken].Packets == n+1
		})
	}
	b.exchange(client, server, to, []byte("small enough")) // what comes next is the first that arrives
	stop()
	b.exchange(client, server, to, make([]byte, 1000))

	now := b.tallyOf(webNode)
	if got := now.dropped[flow.LinkBroken]; got.Packets != 3 || got.Bytes != 3*1028 {
		t.Errorf("lost on the wire: %+v, want 3 packets of 1028 bytes", got)
	}
	if got := now.delivered.Packets - before.delivered.Packets; got != 2 {
		t.Errorf("delivered %d packets, want those of the two exchanges", got)
	}
}

// TestCountsAcrossALink: the packets that kernels sent are those that the lab counted, also when a link carries them or its ends are joined,
// and while the connection changes.
func TestCountsAcrossALink(t *testing.T) {
	for name, yaml := range map[string]string{"encrypted": encrypted(), "joined": peeredWithin(""), "shaped": peeredWithin("{delay: 2ms, rate: 400Mbit}")} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, offload bool) {
				b := build(t, yaml, offload)
				b.plain(webNode, dbNode)
				for _, addr := range []string{"10.9.0.10:9000", "[2600:1f18:bb00::10]:9000"} {
					client, server := b.tallyOf(webNode), b.tallyOf(dbNode)
					x := transfer{bed: b, from: webNode, to: dbNode, addr: netip.MustParseAddrPort(addr), forTime: 200 * time.Millisecond}
					x.open()
					x.run()
					x.balance(client, server)
				}
			})
		})
	}
}

// TestShape measures a link of which everything is set: the round trip, the part that is lost, and the rate.
func TestShape(t *testing.T) {
	b := build(t, peeredWithin("{delay: 30ms, loss: 1%, rate: 100Mbit}"), true)
	client, server := b.udp(webNode, 9000), b.udp(dbNode, 9000)
	to := netip.MustParseAddrPort("10.9.0.10:9000")
	for _, c := range []*net.UDPConn{client, server} {
		if err := c.SetDeadline(time.Time{}); err != nil { // each part has its own patience
			t.Fatal(err)
		}
	}

	t.Run("round trip", func(t *testing.T) {
		go mirror(server)
		var trips []time.Duration
		buf := make([]byte, 64)
		for n := byte(0); len(trips) < 21; n++ {
			sent := time.Now()
			if _, err := client.WriteToUDPAddrPort([]byte{n}, to); err != nil {
				t.Fatal(err)
			}
			if err := client.SetReadDeadline(sent.Add(time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, _, err := client.ReadFromUDPAddrPort(buf); err == nil && buf[0] == n { // 1 % never comes back
				trips = append(trips, time.Since(sent))
			}
		}
		// The fastest is the link's own doing; what others take longer, they waited for a processor.
		slices.Sort(trips)
		t.Logf("round trips take %v to %v, %v in the middle", trips[0], trips[len(trips)-1], trips[len(trips)/2])
		if trips[0] < 60*time.Millisecond || trips[0] > 63*time.Millisecond {
			t.Errorf("the fastest round trip takes %v, want 60 ms within 5 %%", trips[0])
		}
	})
	t.Run("loss", func(t *testing.T) {
		const packets, loss = 20000, 0.01
		before := b.tallyOf(webNode)
		for range packets / 100 {
			sent := b.tallyOf(webNode).delivered.Packets
			for range 100 {
				if _, err := client.WriteToUDPAddrPort([]byte("x"), to); err != nil {
					t.Fatal(err)
				}
			}
			// Not faster than the link transmits, so that no queue fills.
			until(t, "the link has taken them", func() bool {
				now := b.tallyOf(webNode)
				return now.delivered.Packets+now.dropped[flow.LinkLoss].Packets >= sent+100
			})
		}
		now := b.tallyOf(webNode)
		lost := float64(now.dropped[flow.LinkLoss].Packets - before.dropped[flow.LinkLoss].Packets)
		mean, deviation := packets*loss, math.Sqrt(packets*loss*(1-loss))
		if math.Abs(lost-mean) > 5*deviation {
			t.Errorf("%v of %d packets were lost, want %v within %.0f", lost, packets, mean, 5*deviation)
		}
		if full := now.dropped[flow.LinkQueueFull].Packets - before.dropped[flow.LinkQueueFull].Packets; full != 0 {
			t.Errorf("%d were dropped because a queue was full", full)
		}
	})
	t.Run("rate", func(t *testing.T) {
		const rate = 100e6
		end := b.plan.Links[0].Ends[1]
		came := func() (uint64, time.Time) {
			s, err := b.Stats()
			if err != nil {
				t.Fatal(err)
			}
			return s.Delivered[end].Bytes + s.Dropped[end][flow.SGRulesMismatch].Bytes, time.Now()
		}
		// Of large packets the link's queue holds what it sends in 180 ms, in which a busy machine comes to send more.
		load := during(time.Millisecond, func(int) error {
			for range 64 {
				if _, err := client.WriteToUDPAddrPort(make([]byte, 8900), to); err != nil {
					return err
				}
			}
			return nil
		})
		before := b.tallyOf(webNode).dropped[flow.LinkQueueFull].Packets
		until(t, "the link is full", func() bool { return b.tallyOf(webNode).dropped[flow.LinkQueueFull].Packets > before+1000 })
		// On a busy machine packets come late and then all at once: of some periods of two seconds, one without that must come.
		var measured []float64
		within := func(r float64) bool { return math.Abs(r-rate) <= rate/20 }
		for len(measured) < 8 && !slices.ContainsFunc(measured, within) {
			bytes0, began := came()
			until(t, "two seconds are over", func() bool { return time.Since(began) > 2*time.Second })
			bytes1, ended := came()
			measured = append(measured, 8*float64(bytes1-bytes0)/ended.Sub(began).Seconds())
		}
		if _, err := load.stop(); err != nil {
			t.Fatal(err)
		}
		t.Logf("came through, in bit/s: %.4g", measured)
		if !slices.ContainsFunc(measured, within) {
			t.Errorf("came through, in bit/s: %.4g; want %.4g within 5 %%", measured, rate)
		}
	})
}

// mirror sends datagrams back until the socket is closed.
func mirror(c *net.UDPConn) {
	buf := make([]byte, 2048)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		c.WriteToUDPAddrPort(buf[:n], from)
	}
}

// TestPeeredLabsLeaveNothing: ten labs with links, one after another, and what they had open.
func TestPeeredLabsLeaveNothing(t *testing.T) {
	warm(t)
	yaml := strings.Replace(encrypted(), "labtest-peered", "labtest-gone", 1)
	round := func(t *testing.T) {
		l, err := Start(context.Background(), parse(t, yaml), Options{Offload: true})
		if err != nil {
			t.Fatal(err)
		}
		b := bed{l, t}
		client, server := b.udp(webNode, 9000), b.udp(dbNode, 9000)
		b.exchange(client, server, netip.MustParseAddrPort("10.9.0.10:9000"), []byte("hello"))
		client.Close()
		server.Close()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	round(t)
	leavesNothing(t, func(t *testing.T) {
		for range 10 {
			round(t)
		}
	})
}

// TestLinksComeAndGo: while a lab runs, a connection is made, shaped, reshaped and removed; what its link held open goes with it.
func TestLinksComeAndGo(t *testing.T) {
	s := parse(t, strings.Replace(encrypted(), "accepter: b", "accepter: b, accept: false", 1)+`
checks:
  - change: {peerings: {ab: {accept: true}}}
  - change: {peerings: {ab: {link: {delay: 20ms}}}}
  - change: {peerings: {ab: {link: null}}}
  - change: {peerings: {ab: null}}
`)
	needRoot(t)
	b := start(t, s, true)
	client, server := b.udp(webNode, 9000), b.udp(dbNode, 9000)
	to := netip.MustParseAddrPort("10.9.0.10:9000")
	apply := func(step int) {
		t.Helper()
		if err := b.Apply(context.Background(), s.Steps[step].Change); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(what string) {
		t.Helper()
		before := b.tallyOf(webNode).dropped[flow.BlackholeRoute].Packets
		if _, err := client.WriteToUDPAddrPort([]byte("x"), to); err != nil {
			t.Fatal(err)
		}
		until(t, what+": the packet is dropped", func() bool { return b.tallyOf(webNode).dropped[flow.BlackholeRoute].Packets == before+1 })
	}
	hasBackbone := func() bool { return b.inBackbone(func() error { return nil }) == nil }

	refused("not accepted")
	if hasBackbone() {
		t.Error("there is a backbone, and nothing to carry on it")
	}
	apply(0)
	b.exchange(client, server, to, []byte("accepted"))
	apply(1)
	began := time.Now()
	b.exchange(client, server, to, []byte("delayed"))
	if took := time.Since(began); took < 40*time.Millisecond {
		t.Errorf("there and back took %v, with a delay of 20 ms each way", took)
	}
	apply(2)
	b.exchange(client, server, to, []byte("at once"))
	apply(3)
	refused("removed")
	if hasBackbone() {
		t.Error("the backbone outlives its last link")
	}
	if ends := b.links.ends(); len(ends) != 0 {
		t.Errorf("ends %v are left", ends)
	}
}
