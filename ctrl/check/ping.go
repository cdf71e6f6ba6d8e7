package check

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// resend is the time between two echo requests, as in ping(8).
const resend = time.Second

// pinger is one check's echo exchange on a raw socket. A raw socket and not a ping socket: net.ipv4.ping_group_range admits nobody in a
// new namespace.
type pinger struct {
	*socket
	id      uint16
	payload []byte
}

func (r *Runner) ping(p *probe, c *scenario.Check) seen {
	to, err := p.destination(c.Do)
	if err != nil {
		return seenOf(err)
	}
	g, err := newPinger(p, to, r.nextEcho())
	if err != nil {
		return seenOf(err)
	}
	defer g.close()
	start := p.now()
	if err := g.run(); err != nil {
		return seenOf(err)
	}
	return seen{outcome: scenario.OK, detail: fmt.Sprintf("echo reply after %v", p.now().Sub(start).Round(10*time.Microsecond))}
}

func newPinger(p *probe, to netip.Addr, id uint16) (*pinger, error) {
	proto := uint8(flow.ICMP)
	if !to.Is4() {
		proto = flow.ICMPv6
	}
	fd, err := open(p, domainOf(to), unix.SOCK_RAW, int(proto))
	if err != nil {
		return nil, err
	}
	g := &pinger{socket: &socket{fd: fd, proto: proto, probe: p, remote: to}, id: id, payload: []byte(greeting + newToken())}
	g.quotes = g.isRequest
	if err := g.connect(); err != nil {
		g.close()
		return nil, err
	}
	return g, nil
}

func (g *pinger) connect() error {
	if err := g.reportErrors(true); err != nil {
		return err
	}
	if err := unix.Connect(g.fd, sockaddr(g.remote, 0)); err != nil {
		return g.connectFailed(err)
	}
	name, err := unix.Getsockname(g.fd)
	if err != nil {
		return fmt.Errorf("getsockname: %w", err)
	}
	g.own = addrPort(name).Addr()
	g.probe.begin(flow.MakeTuple(g.proto, g.own, g.id, g.remote, uint16(g.requestType())))
	return nil
}

func (g *pinger) requestType() uint8 {
	if g.proto == flow.ICMP {
		return layers.ICMPv4TypeEchoRequest
	}
	return layers.ICMPv6TypeEchoRequest
}

func (g *pinger) replyType() uint8 {
	if g.proto == flow.ICMP {
		return layers.ICMPv4TypeEchoReply
	}
	return layers.ICMPv6TypeEchoReply
}

// run sends an echo request, again each second, until the reply or the end of the check.
func (g *pinger) run() error {
	buf := make([]byte, 2048)
	var next time.Time
	for seq := uint16(1); ; {
		if now := g.probe.now(); !now.Before(next) {
			if err := g.request(seq); err != nil {
				return err
			}
			seq, next = seq+1, now.Add(resend)
		}
		// One step and not receive, which would wait beyond the next request.
		if _, err := g.step(unix.POLLIN); err != nil {
			return err
		}
		n, err := unix.Read(g.fd, buf)
		switch {
		case err == nil && g.isReply(buf[:n]):
			g.probe.arrived()
			return nil
		case err == nil, err == unix.EAGAIN, err == unix.EINTR:
		default:
			if err := g.failure(err); err != nil {
				return err
			}
		}
	}
}

// request sends one echo request. What keeps the kernel from sending it is reported like an answer to it.
func (g *pinger) request(seq uint16) error {
	message, err := echoMessage(g.proto, g.id, seq, g.payload)
	if err != nil {
		return err
	}
	_, err = unix.Write(g.fd, message)
	if err == nil || err == unix.EAGAIN || err == unix.EINTR {
		return nil
	}
	return g.failure(err)
}

// echoMessage is an ICMP echo request with its checksum, or an ICMPv6 one without: there the kernel fills it in (RFC 3542 section 3.1).
func echoMessage(proto uint8, id, seq uint16, payload []byte) ([]byte, error) {
	parts := []gopacket.SerializableLayer{
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: id, Seq: seq},
		gopacket.Payload(payload),
	}
	checksums := true
	if proto == flow.ICMPv6 {
		checksums = false
		parts = []gopacket.SerializableLayer{
			&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoRequest, 0)},
			&layers.ICMPv6Echo{Identifier: id, SeqNumber: seq},
			gopacket.Payload(payload),
		}
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{ComputeChecksums: checksums}, parts...); err != nil {
		return nil, fmt.Errorf("build echo request: %w", err)
	}
	return buf.Bytes(), nil
}

// isReply reports whether what a raw socket read is the reply to this check. An IPv4 raw socket reads the IP header too.
func (g *pinger) isReply(b []byte) bool {
	if g.proto == flow.ICMP {
		if len(b) < 20 || len(b) < int(b[0]&0xf)*4 {
			return false
		}
		b = b[int(b[0]&0xf)*4:]
	}
	return len(b) >= 8 && b[0] == g.replyType() && binary.BigEndian.Uint16(b[4:]) == g.id && bytes.Equal(b[8:], g.payload)
}

// isRequest reports whether an ICMP error quotes this check's request.
func (g *pinger) isRequest(quoted []byte) bool {
	return len(quoted) >= 6 && quoted[0] == g.requestType() && binary.BigEndian.Uint16(quoted[4:]) == g.id
}
