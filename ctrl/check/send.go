package check

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// answerTime is how long a delivered packet's answer may take: an RST or ICMP error that comes later is not waited for, and the
// packet counts as delivered. Who expects such an answer waits for it as long as the check may.
const answerTime = 200 * time.Millisecond

// send puts one crafted packet, or its fragments, on the guest's way out: its routes and its neighbour resolution apply, its source
// may be forged. It is `ok` when the lab delivered it, `refused` when an RST or ICMP port unreachable came back, `unreachable` for
// another ICMP error or when the guest has no route, and `timeout` when it was dropped or nothing is known of it. Of a packet in
// fragments nothing may be left out, and nothing but a repetition dropped, or its receiver cannot put it together.
func (r *Runner) send(p *probe, c *scenario.Check) seen {
	packet := c.Do.Send
	if !packet.Src.IsValid() {
		own, err := sourceFor(p, packet.Dst)
		if err != nil {
			return seenOf(err)
		}
		packet.Src = own
	}
	id := r.nextEcho()
	out, err := craft(packet, id)
	if err != nil {
		return seen{err: err}
	}
	ear, err := listen(p, packet.Dst)
	if err != nil {
		return seen{err: err}
	}
	defer ear.close()
	if c.Expect.Outcome == scenario.Refused || c.Expect.Outcome == scenario.Unreachable {
		ear.patience = p.limit
	}
	p.begin(tupleOf(packet, id))
	if err := inject(p, packet, out.packets); err != nil {
		return seenOf(err)
	}
	answered, err := ear.await()
	if err != nil {
		return seenOf(err)
	}
	p.look(p.now())
	switch {
	case answered:
	case out.incomplete:
		return seen{outcome: scenario.Timeout, detail: "delivered as far as it was sent: the fragments leave out a part"}
	case len(out.packets) > 1 && len(p.drops) > out.repetitions():
		return seenOf(p.timeout())
	}
	return seen{outcome: scenario.OK, detail: "delivered"}
}

// sourceFor asks the guest's routing which of its addresses it would use: connecting a UDP socket sends nothing.
func sourceFor(p *probe, to netip.Addr) (netip.Addr, error) {
	const discard = 9 // any port does
	s, err := dial(p, flow.UDP, netip.AddrPortFrom(to, discard))
	if err != nil {
		return netip.Addr{}, err
	}
	s.close()
	p.tuple = flow.Tuple{}
	return s.own, nil
}

// inject sends whole IP packets by a raw socket.
func inject(p *probe, packet scenario.Packet, packets [][]byte) error {
	fd, err := open(p, domainOf(packet.Dst), unix.SOCK_RAW, unix.IPPROTO_RAW)
	if err != nil {
		return err
	}
	s := &socket{fd: fd, probe: p, own: packet.Src, remote: packet.Dst}
	defer s.close()
	// A further interface has a routing table of its own, selected by source. A forged source is no address of ours, so this fails,
	// and the main table decides.
	if err := unix.Bind(fd, sockaddr(packet.Src, 0)); err != nil && err != unix.EADDRNOTAVAIL {
		return fmt.Errorf("bind to %s: %w", packet.Src, err)
	}
	for _, b := range packets {
		switch err := unix.Sendto(fd, b, 0, sockaddr(packet.Dst, 0)); err {
		case nil:
		case unix.EMSGSIZE:
			detail := fmt.Sprintf("a packet of %d bytes is larger than the MTU of %s itself", len(b), p.node)
			return &end{outcome: scenario.Unreachable, detail: detail}
		default:
			return s.connectFailed(err)
		}
	}
	return nil
}

// ear hears every packet of one IP version that reaches the guest.
type ear struct {
	*socket
	delivered time.Time // when the lab said so; zero before
	patience  time.Duration
}

func listen(p *probe, to netip.Addr) (*ear, error) {
	ethertype := uint16(unix.ETH_P_IP)
	if !to.Is4() {
		ethertype = unix.ETH_P_IPV6
	}
	var network [2]byte
	binary.BigEndian.PutUint16(network[:], ethertype)
	fd, err := open(p, unix.AF_PACKET, unix.SOCK_DGRAM, int(binary.NativeEndian.Uint16(network[:])))
	if err != nil {
		return nil, err
	}
	return &ear{socket: &socket{fd: fd, probe: p, remote: to}, patience: answerTime}, nil
}

// await returns without an error when the packet arrived, and whether its receiver said so.
func (e *ear) await() (answered bool, err error) {
	buf := make([]byte, 1<<16)
	for !e.wasDelivered() {
		if _, err := e.step(unix.POLLIN); err != nil {
			if stop, ok := ended(err); ok && stop.outcome == scenario.Timeout && !e.delivered.IsZero() {
				return false, nil // delivered, and an answer would have been too late
			}
			return false, err
		}
		n, from, err := unix.Recvfrom(e.fd, buf, 0)
		switch err {
		case nil:
			if outgoing(from) {
				continue
			}
			if arrived, err := e.hear(buf[:n]); arrived || err != nil {
				return arrived, err
			}
		case unix.EAGAIN, unix.EINTR, unix.ENETDOWN:
		default:
			return false, fmt.Errorf("capture in %s: %w", e.probe.node, err)
		}
	}
	return false, nil
}

// wasDelivered reports whether the lab delivered the packet and its answer has had its time.
func (e *ear) wasDelivered() bool {
	now := e.probe.now()
	if e.delivered.IsZero() && e.probe.lab.Delivered(e.probe.mark, e.probe.tuple) {
		e.delivered = now
	}
	return !e.delivered.IsZero() && now.Sub(e.delivered) >= e.patience
}

// hear is told of a packet that reached the guest. Any answer but an error proves that the packet arrived.
func (e *ear) hear(b []byte) (arrived bool, err error) {
	c, ok := dissect(b)
	if !ok {
		return false, nil
	}
	sent := e.probe.tuple
	if icmp, ok := c.icmpErrorAbout(sent); ok {
		return false, icmp.end(sent.SrcAddr(), sent.DstAddr())
	}
	if sent.Protocol != flow.TCP && sent.Protocol != flow.UDP && !sent.ICMPEcho() || c.tuple != sent.Reply() {
		return false, nil
	}
	const flagsAt = 13
	if sent.Protocol == flow.TCP && len(c.upper) > flagsAt && c.upper[flagsAt]&flow.RST != 0 {
		return false, &end{outcome: scenario.Refused, detail: "RST in answer"}
	}
	return true, nil
}

// outgoing reports whether a captured packet was sent by the guest itself.
func outgoing(from unix.Sockaddr) bool {
	link, ok := from.(*unix.SockaddrLinklayer)
	return ok && link.Pkttype == unix.PACKET_OUTGOING
}
