package engine

import (
	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/fragment"
	"github.com/vpclab/vpclab/dataplane/netdev"
	"github.com/vpclab/vpclab/dataplane/packet"
)

// datagram is the verdict on a fragmented packet: the flow that its first fragment belongs to, or why it was refused without one.
type datagram struct {
	tuple   flow.Tuple
	refused flow.Reason
}

// decideFragment judges a fragment as its packet's first one, which alone has ports. Fragments never reach the fast path.
func (e *Engine) decideFragment(att *fabric.Attachment, b []byte, info *packet.Info) uint32 {
	k := fragment.KeyOf(att.Index, info)
	switch o := e.fragments.Offer(e.fragmentTime(), k, info, b); o.Step {
	case fragment.Decide:
		d := datagram{tuple: info.Tuple, refused: e.refusedFragment(att, b, info)}
		out := e.followDatagram(att, b, info, d)
		for _, held := range e.fragments.Settle(k, d) {
			e.releaseFragment(att, held, d)
		}
		return out
	case fragment.Follow:
		return e.followDatagram(att, b, info, o.Verdict)
	case fragment.Drop:
		e.refuse(att, info.Tuple, info.Length, o.Reason)
	}
	return 0
}

// fragmentTime is real time plus what lab time jumped: what waits for its first fragment gives up then, too.
func (e *Engine) fragmentTime() int64 { return e.now + int64(e.advanced) }

// refusedFragment walks a first fragment where being one matters: a NAT gateway carries fragments of UDP only. Elsewhere it is a packet
// of its flow like any other.
func (e *Engine) refusedFragment(att *fabric.Attachment, b []byte, info *packet.Info) flow.Reason {
	switch {
	case info.ICMPError:
		about := info.Tuple
		var quoted packet.Info
		if packet.Quoted(b, info, &quoted) {
			about = quoted.Tuple
		}
		e.net.Refuse(info.Tuple, att, flow.FragmentUnsupported, &e.path)
		e.tell(flow.Key{Attachment: att.Index, Tuple: about})
		return flow.FragmentUnsupported
	case info.Tuple.Protocol == flow.UDP:
		return flow.None
	}
	p := e.inProgress(info)
	p.Fragment = true
	e.net.Walk(p, att, e, &e.path)
	e.keepFresh(false)
	if e.path.Reason == flow.NATFragment {
		e.tell(flow.Key{Attachment: att.Index, Tuple: info.Tuple})
		return flow.NATFragment
	}
	return flow.None
}

// followDatagram does with a fragment what the verdict on its packet says.
func (e *Engine) followDatagram(att *fabric.Attachment, b []byte, info *packet.Info, d datagram) uint32 {
	if d.refused != flow.None {
		e.countDrop(att.Index, d.refused, info.Length)
		return 0
	}
	whole := *info
	whole.Tuple = d.tuple
	r := e.lookup(att, &whole)
	switch {
	case r == nil:
		return 0
	case r.entry.Verdict != flow.Deliver:
	case info.TTL <= r.entry.Rewrite.Hops:
		e.refuse(att, d.tuple, info.Length, flow.TTLExpired)
		return 0
	case info.Length > int(r.entry.MTU) && !mayFragment(info):
		e.refuse(att, d.tuple, info.Length, flow.MTUExceeded)
		e.answerTooBig(att, b, info, int(r.entry.MTU))
		return 0
	}
	return e.apply(r, b, info)
}

// releaseFragment sends on what had waited for its first fragment.
func (e *Engine) releaseFragment(att *fabric.Attachment, held []byte, d datagram) {
	var info packet.Info
	frame := append(make([]byte, netdev.Headroom, netdev.Headroom+len(held)), held...)
	b := frame[netdev.Headroom:]
	if !packet.Decode(b, &info) {
		e.countDrop(att.Index, flow.MalformedPacket, len(b))
		return
	}
	if out := e.followDatagram(att, b, &info, d); out != 0 {
		e.emit(out, frame)
	}
}

// sweepFragments counts the fragments that waited in vain.
func (e *Engine) sweepFragments() {
	for _, l := range e.fragments.Sweep(e.fragmentTime()) {
		e.mem.Drop(l.Attachment, l.Reason).Add(l.Packets, l.Bytes)
	}
}
