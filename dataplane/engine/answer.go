package engine

import (
	"time"

	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/netdev"
	"github.com/vpclab/vpclab/dataplane/packet"
)

// Emission is a packet that the engine itself sends: an ICMP error, a RST, a fragment.
type Emission struct {
	Out   uint32 // attachment
	Frame []byte // netdev.Headroom bytes, then the packet
}

// An attachment is sent an ICMP error an errorInterval of real time, and up to errorBurst of them at once: RFC 1812, section 4.3.2.8 wants
// them limited, and a traceroute or many connections that begin together are no flood.
const (
	errorInterval = time.Millisecond
	errorBurst    = 50
)

// answer tells the sender of a packet that the walk in e.path has just dropped, where AWS does.
func (e *Engine) answer(att *fabric.Attachment, b []byte, info *packet.Info) {
	switch e.path.Reason {
	case flow.MTUExceeded:
		if !e.path.NoPMTUD {
			e.answerTooBig(att, b, info, int(e.path.MTU))
		}
	case flow.NATIdle, flow.NoTrackedConnection:
		if e.path.Gateway == nil {
			return
		}
		if info.TCPFlags&flow.SYN != 0 {
			return // it answers what the gateway has never seen, and continues no connection
		}
		e.answerFrom(e.path.Gateway, packet.AppendRST(make([]byte, netdev.Headroom), b, info))
	case flow.TTLExpired:
		if g := e.path.Gateway; g != nil && e.mayTell(att) {
			e.answerFrom(g, packet.AppendTimeExceeded(make([]byte, netdev.Headroom), b, info, g.Addrs[0]))
		}
	}
}

// mayTell limits how often an attachment is sent ICMP errors.
func (e *Engine) mayTell(att *fabric.Attachment) bool {
	told := max(e.told[att.Index], e.now) + int64(errorInterval)
	if told > e.now+errorBurst*int64(errorInterval) {
		return false
	}
	e.told[att.Index] = told
	return true
}

// answerTooBig sends "fragmentation needed" or "packet too big" from the sender's router, subject to the subnet's ACL and the
// interface's groups.
func (e *Engine) answerTooBig(att *fabric.Attachment, b []byte, info *packet.Info, mtu int) {
	if att.ENI == nil || !e.mayTell(att) {
		return
	}
	s := att.ENI.Subnet
	router := s.Router4
	if info.Tuple.Family == 6 {
		router = s.Router6
	}
	// An appliance that forwards too much hears nothing: the error is for who sent the packet first.
	to := s.VPC.ENIs[info.Tuple.SrcAddr()]
	if to == nil || !router.IsValid() {
		return
	}
	frame := packet.AppendTooBig(make([]byte, netdev.Headroom), b, info, router, mtu)
	if len(frame) <= netdev.Headroom {
		return
	}
	e.emitFrom(frame, func(p fabric.Packet) { e.net.WalkFromRouter(p, to, e, &e.path) }, to.Attachment)
}

// answerFrom sends what a NAT gateway or an endpoint itself answers, under its subnet's ACL and route table.
func (e *Engine) answerFrom(gateway *fabric.ENI, frame []byte) {
	if len(frame) <= netdev.Headroom {
		return
	}
	from := e.attachment(gateway.Attachment)
	e.emitFrom(frame, func(p fabric.Packet) { e.net.Walk(p, from, e, &e.path) }, gateway.Attachment)
}

// emitFrom walks a packet of the engine's own and sends it; its counts belong to an attachment.
func (e *Engine) emitFrom(frame []byte, walk func(fabric.Packet), owner uint32) {
	b := frame[netdev.Headroom:]
	var info, quoted packet.Info
	if !packet.Decode(b, &info) {
		return
	}
	p := walked(&info)
	if info.ICMPError && packet.Quoted(b, &info, &quoted) {
		p.Error, p.Quoted = true, quoted.Tuple
	}
	walk(p)
	e.remember(owner, nil, &p)
	e.observeOnce(&p)
	if e.path.Verdict == flow.Drop {
		e.tell(flow.Key{Attachment: owner, Tuple: conversation(&p)})
		return
	}
	e.rewrite(b, &info, &quoted, &e.path)
	e.emit(e.path.Out, frame)
}

func (e *Engine) emit(out uint32, frame []byte) { e.emitted = append(e.emitted, Emission{out, frame}) }

// emitFragments cuts a packet, as its receiver would see it, to the path's MTU.
func (e *Engine) emitFragments(out uint32, b []byte, info *packet.Info, mtu int) {
	for _, piece := range packet.Fragment(b, info, mtu) {
		e.emit(out, append(make([]byte, netdev.Headroom, netdev.Headroom+len(piece)), piece...))
	}
}

// rewrite applies a walk's translations to a packet, and to the one that it quotes if it is an ICMP error.
func (e *Engine) rewrite(b []byte, info, quoted *packet.Info, path *fabric.Path) {
	if info.ICMPError {
		packet.RewriteQuoted(b, info, quoted, path.Quote)
	}
	packet.Rewrite(b, info, path.Rewrite)
}
