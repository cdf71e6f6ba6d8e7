package engine

import (
	"errors"
	"sync"
	"time"

	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/fragment"
	"github.com/vpclab/vpclab/dataplane/netdev"
	"github.com/vpclab/vpclab/dataplane/packet"
)

// Offloader is the fast path as the engine needs it. What it holds is a cache: it may lose entries at any time.
type Offloader interface {
	Install(flow.Key, flow.Entry) error
	Evict(...flow.Key) error
	SetGeneration(domain, generation uint32) error
	// Quiesce returns when no packet is under way any more that had found an entry which was evicted before.
	Quiesce() error
}

// Config is what an engine is made of.
type Config struct {
	Network *fabric.Network
	Memory  flow.Memory
	Offload Offloader // nil: every packet is decided here
	Rate    float64   // lab time per real time; 0: lab time stands still
	// Timeouts are the idle limits of tracked connections by protocol; nil means flow.DefaultTimeouts.
	Timeouts func(protocol uint8) flow.Timeouts
}

// Engine is the slow path and the owner of all connection state. Its methods may be called from any goroutine; times are monotonic
// nanoseconds and must not run backwards.
type Engine struct {
	offload  Offloader
	rate     float64
	timeouts func(protocol uint8) flow.Timeouts

	mu         sync.Mutex
	net        *fabric.Network
	mem        flow.Memory
	flows      map[flow.Key]*record
	records    roster[record]
	tracks     map[trackKey]*track
	tracking   roster[track]
	nat        translations
	pairs      slotPairs
	halves     map[uint32]half
	delivered  map[uint32]Count      // by sender, of flows that are gone and of packets that are no flow
	emerged    map[uint32]uint64     // packets that came out of links, by end
	allowances map[uint32]*allowance // by attachment, towards the VPC's own services
	sampling   bool                  // flow logs are to be told what the interfaces saw
	samples    []Sample              // that are to be told
	journal    journal
	glimpses   glimpses
	joints     map[flow.Tuple]flow.Tuple // see Join: back by front
	now        int64                     // of the call in progress
	sender     uint32                    // who really sent the packet in progress, if it came out of a link
	advanced   time.Duration             // lab time that jumped
	fragments  *fragment.Table[datagram]
	emitted    []Emission
	told       map[uint32]int64 // until when an attachment's ICMP errors, one an errorInterval, would have been enough
	path       fabric.Path
	asked      asked                  // by the walk in progress, last
	waiting    map[trackKey][]*record // refusals that a new connection at a place may end

	offloadFailures uint64
}

// Count is a number of wire packets and their IP bytes.
type Count struct{ Packets, Bytes uint64 }

// dropTTL is for how long, in real time, a refused flow is dropped without asking again.
const dropTTL = time.Second

// recheck is for how long, in real time, a flow found alive is taken to be alive.
const recheck = 50 * time.Millisecond

// reinstall is how long the engine waits before it gives the fast path an entry again that still does not hit: packets queued
// before the first installation are not a reason.
const reinstall = 10 * time.Millisecond

// New makes an engine and tells the fast path the network's generations.
func New(c Config) (*Engine, error) {
	e := &Engine{
		offload: c.Offload, rate: c.Rate, net: c.Network, mem: c.Memory,
		flows:      map[flow.Key]*record{},
		records:    roster[record]{at: func(r *record) *int { return &r.position }},
		tracks:     map[trackKey]*track{},
		tracking:   roster[track]{at: func(t *track) *int { return &t.position }},
		nat:        newTranslations(),
		pairs:      newSlotPairs(len(c.Memory.Slots)),
		halves:     map[uint32]half{},
		waiting:    map[trackKey][]*record{},
		delivered:  map[uint32]Count{},
		emerged:    map[uint32]uint64{},
		told:       map[uint32]int64{},
		joints:     map[flow.Tuple]flow.Tuple{},
		allowances: map[uint32]*allowance{},
		fragments:  fragment.New[datagram](fragment.Limits{}),
	}
	if e.timeouts = c.Timeouts; e.timeouts == nil {
		e.timeouts = flow.DefaultTimeouts
	}
	return e, e.publishGenerations()
}

// Handle decides a batch of IP packets sent by one attachment, edits them in place, and sets out[i] to the attachment that packet i
// goes to, or to 0 if it is dropped. It returns what the engine itself has to send in consequence.
func (e *Engine) Handle(now int64, from uint32, packets [][]byte, out []uint32) []Emission {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now = now
	for i, b := range packets {
		out[i] = e.decide(from, b)
	}
	return e.takeEmitted()
}

// HandleEmerged is Handle for what came out of a link at an end; senders[i] is the attachment that sent packet i into it.
func (e *Engine) HandleEmerged(now int64, end uint32, packets [][]byte, senders, out []uint32) []Emission {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now = now
	e.emerged[end] += uint64(len(packets))
	for i, b := range packets {
		e.sender = senders[i]
		out[i] = e.decide(end, b)
	}
	e.sender = 0
	return e.takeEmitted()
}

func (e *Engine) takeEmitted() []Emission {
	emitted := e.emitted
	e.emitted = nil
	return emitted
}

// decide is the life of one packet in the engine.
func (e *Engine) decide(from uint32, b []byte) uint32 {
	att := e.attachment(from)
	var info packet.Info
	switch {
	case att == nil:
		e.countDrop(from, flow.DeliveryFailed, len(b))
		return 0
	case !packet.Decode(b, &info):
		e.countDrop(from, flow.MalformedPacket, len(b))
		return 0
	case info.TTL == 0:
		e.countDrop(from, flow.TTLExpired, info.Length)
		return 0
	case info.Fragment:
		return e.decideFragment(att, b, &info)
	case info.ICMPError:
		return e.decideError(att, b, &info)
	case info.ICMPCode != 0:
		// The code is not part of a flow's key, and rules may ask for it.
		return e.decideOnce(att, b, &info, nil)
	}
	if e.net.Direct(att, &info.Tuple) {
		return e.decideDirect(att, b, &info)
	}
	r := e.lookup(att, &info)
	if r == nil {
		e.answer(att, b, &info)
		return 0
	}
	if info.Length > int(r.entry.MTU) && (r.noPMTUD || !mayFragment(&info)) || info.TTL <= r.entry.Rewrite.Hops {
		return e.decideOnce(att, b, &info, nil)
	}
	out := e.apply(r, b, &info)
	e.offloadPair(r, &info)
	return out
}

// apply does with a packet what its flow's decision says, and counts it.
func (e *Engine) apply(r *record, b []byte, info *packet.Info) uint32 {
	e.mem.Slots[r.slot].Add(1, uint64(info.Length), info.TCPFlags, e.now)
	if r.entry.Verdict == flow.Drop {
		e.mem.Drop(r.key.Attachment, r.entry.Reason).Add(1, uint64(info.Length))
		return 0
	}
	if r.mss != 0 && info.TCPFlags&flow.SYN != 0 {
		packet.ClampMSS(b, info, r.mss)
	}
	if r.family != 0 {
		return e.changeFamily(r.key.Attachment, r.entry.Out, b, info, packet.Translation{Rewrite: r.entry.Rewrite, ID: uint16(e.now)})
	}
	packet.Rewrite(b, info, r.entry.Rewrite)
	if info.Length > int(r.entry.MTU) {
		e.emitFragments(r.entry.Out, b, info, int(r.entry.MTU))
		return 0
	}
	return r.entry.Out
}

// changeFamily sends on what NAT64 makes of a packet. What cannot be translated is dropped at the gateway; that is found out only here.
func (e *Engine) changeFamily(from, out uint32, b []byte, info *packet.Info, t packet.Translation) uint32 {
	hops := t.Hops
	t.Hops = 0
	frame, ok := make([]byte, netdev.Headroom, netdev.Headroom+len(b)+64), false
	if info.Tuple.Family == 6 {
		frame, ok = packet.Translate64(frame, b, info, t)
	} else {
		frame, ok = packet.Translate46(frame, b, info, t)
	}
	var made packet.Info
	if !ok || !packet.Decode(frame[netdev.Headroom:], &made) {
		e.revoke(from, flow.NATProtocol, info.Length)
		return 0
	}
	packet.Rewrite(frame[netdev.Headroom:], &made, flow.Rewrite{Hops: hops})
	e.emit(out, frame)
	return 0
}

// mayFragment reports whether a router may cut the packet (RFC 791; IPv6 has only its sender do that).
func mayFragment(info *packet.Info) bool { return info.Tuple.Family == 4 && !info.DontFragment }

// lookup returns the packet's flow with a decision that holds now; nil if the packet was dropped without one.
func (e *Engine) lookup(att *fabric.Attachment, info *packet.Info) *record {
	key := flow.Key{Attachment: att.Index, Tuple: info.Tuple}
	r := e.flows[key]
	if r != nil && info.Tuple.Protocol == flow.TCP && info.TCPFlags&(flow.SYN|flow.ACK) == flow.SYN && e.ridesOld(r) {
		e.forgetPair(r)
		r = nil
	}
	if r != nil && r.sender == e.sender && e.current(r) {
		return r
	}
	if r != nil && e.over(r) {
		// The next connection's state does not follow from what this one counted.
		e.forgetPair(r)
		r = nil
	}
	p := e.inProgress(info)
	e.net.Walk(p, att, e, &e.path)
	return e.settle(r, key, &p)
}

// ridesOld reports whether a SYN would ride a connection that is over or established, or the refusal of a packet that belonged to none.
func (e *Engine) ridesOld(r *record) bool {
	return r.entry.Reason == flow.NoTrackedConnection || e.stateOf(r, e.now) != flow.Opening
}

// walked is what the walk looks at.
func walked(info *packet.Info) fabric.Packet {
	return fabric.Packet{
		Tuple: info.Tuple, Length: info.Length, TTL: info.TTL, TCPFlags: info.TCPFlags, ICMPType: info.ICMPType, ICMPCode: info.ICMPCode,
		MayFragment: mayFragment(info),
	}
}

// inProgress is what the walk looks at of the packet in progress.
func (e *Engine) inProgress(info *packet.Info) fabric.Packet {
	p := walked(info)
	p.Sender = e.sender
	return p
}

// current reports whether a record's decision holds: its VPCs are as they were, and every interface that tracks it still does.
func (e *Engine) current(r *record) bool {
	switch {
	case r.entry.Verdict == 0 || !e.upToDate(r.entry.Domains), r.entry.Verdict == flow.Drop && e.now >= r.entry.Expires:
		return false
	case e.now-r.checked < int64(recheck):
		return true
	case e.over(r):
		return false
	}
	r.checked = e.now
	return true
}

// over reports whether the flow's connection has ended at an interface that remembered it.
func (e *Engine) over(r *record) bool {
	for _, t := range r.tracks {
		if !e.alive(t) {
			return true
		}
	}
	return false
}

func (e *Engine) upToDate(domains [2]flow.Domain) bool {
	for _, d := range domains {
		if g, ok := e.net.Generation(d.Index); !ok || g != d.Generation {
			return false
		}
	}
	return true
}

// settle turns the walk in e.path into the flow's record: tracks what is to be tracked, caches the decision, predicts the answer.
func (e *Engine) settle(r *record, key flow.Key, p *fabric.Packet) *record {
	path := &e.path
	if path.Verdict == flow.Drop {
		e.tell(key)
	}
	keep := e.worthKeeping(path, p)
	if r != nil && e.counted(r) && e.beginsSomewhere() {
		// What a place does not know yet must not count there.
		e.forgetPair(r)
		r = nil
	}
	if r != nil && (!keep || r.entry.Verdict != 0 && (r.entry.Verdict != path.Verdict || r.entry.Reason != path.Reason)) {
		e.forget(r)
		r = nil
	}
	if r == nil && keep {
		r, _ = e.newRecord(key, e.now)
	}
	e.keepFresh(r != nil && path.Verdict == flow.Deliver)
	if r == nil {
		if path.Verdict == flow.Deliver {
			path.Verdict, path.Reason = flow.Drop, flow.FlowTableFull
			e.tell(key)
		} else {
			e.remember(key.Attachment, nil, p)
			e.observeOnce(p)
		}
		e.countDrop(key.Attachment, path.Reason, p.Length)
		return nil
	}
	e.decideRecord(r, p)
	if path.Verdict == flow.Deliver {
		e.predict(r)
	} else {
		e.wait(r)
	}
	return r
}

// worthKeeping reports whether a flow gets a record. Refusals do not when room is scarce, so that a flood of them does not keep wanted
// connections out, nor when they depend on the one packet or are answered.
func (e *Engine) worthKeeping(path *fabric.Path, p *fabric.Packet) bool {
	if path.Verdict == flow.Drop {
		// The refusal of a SYN that begins another connection says nothing of what follows in the old one, nor that of a SYN for which a
		// NAT gateway had already begun a translation.
		once := e.asked.replaced || p.Tuple.Protocol == flow.TCP && len(e.nat.fresh) > 0
		answered := path.Reason == flow.MTUExceeded || path.Reason == flow.TTLExpired || path.Reason == flow.NATIdle ||
			path.Reason == flow.NoTrackedConnection && path.Gateway != nil
		return !answered && !once && !e.pairs.scarce()
	}
	return len(e.tracks)+len(path.Taps()) <= len(e.mem.Slots)
}

// decideRecord writes the walk's result into the record and lets the interfaces on the way remember it.
func (e *Engine) decideRecord(r *record, p *fabric.Packet) {
	path := &e.path
	r.arrives = path.Tuple
	r.mss, r.family, r.noPMTUD = path.MSS, path.Family, path.NoPMTUD
	r.sender, r.linked = p.Sender, e.isLink(r.key.Attachment) || e.isLink(path.Out)
	r.checked = e.now
	r.installed = 0
	r.entry = flow.Entry{
		Verdict: path.Verdict, Reason: path.Reason, Out: path.Out, Slot: r.slot, MTU: path.MTU,
		Domains: path.Domains, Rewrite: path.Rewrite, LowersMSS: path.MSS != 0 && path.Verdict == flow.Deliver,
	}
	e.remember(r.key.Attachment, r, p)
	e.observe(r)
	if r.peer != nil && r.peer.installed != 0 && !e.tellsAll(r.peer) {
		e.evict(r.peer)
	}
	if path.Verdict == flow.Drop {
		r.entry.Expires = e.now + int64(dropTTL)
		return
	}
	for i, limit := range e.limitsOf(r) {
		if e.rate > 0 {
			r.entry.Idle[i] = time.Duration(float64(limit) / e.rate)
		}
	}
}

// limitsOf are a flow's idle limits: the shortest of those where it is tracked.
func (e *Engine) limitsOf(r *record) flow.Timeouts {
	limits := e.timeouts(r.key.Protocol)
	for _, t := range r.tracks {
		for i := range limits {
			limits[i] = min(limits[i], t.limits[i])
		}
	}
	return limits
}

// predict walks the answer to a delivered flow before it comes, so that it finds its entry. A refused answer is only noted: when it
// really comes it is walked again, and its drop is told.
func (e *Engine) predict(r *record) {
	out := e.attachment(r.entry.Out)
	if out == nil {
		return
	}
	reply := e.expect(r, out.Index, e.now)
	if out.Peering != nil {
		return // who answers is known when the answer comes out of the link
	}
	if reply == nil || e.over(reply) || reply.entry.Verdict != 0 && e.current(reply) {
		return
	}
	p := reply.packet()
	if e.rehearse(out, &p) {
		e.decideRecord(reply, &p)
	}
}

// rehearse walks a packet that nobody has sent, and reports whether it would be delivered as part of what is known already: what begins
// only with a real packet (a connection at some interface, a translation) does not begin here.
func (e *Engine) rehearse(from *fabric.Attachment, p *fabric.Packet) bool {
	e.net.Walk(*p, from, e, &e.path)
	begins := len(e.nat.fresh) > 0 || e.beginsSomewhere()
	e.keepFresh(false)
	return !begins && e.path.Verdict == flow.Deliver
}

// beginsSomewhere reports whether the walk in e.path begins a connection at a place that does not know it.
func (e *Engine) beginsSomewhere() bool {
	for i := range e.path.Taps() {
		tap := &e.path.Taps()[i]
		if tap.Note == fabric.NothingNew {
			continue
		}
		if t := e.tracks[trackKeyOf(tap.ENI, tap.Direction, tap.Tuple)]; t == nil || !e.alive(t) {
			return true
		}
	}
	return false
}

// counted reports whether the flow's pair of slots has counted anything.
func (e *Engine) counted(r *record) bool {
	return e.mem.Slots[r.slot].Read().Packets+e.mem.Slots[r.slot^1].Read().Packets > 0
}

// offloadPair gives the fast path both directions, the answer first: it may come as soon as the packet is delivered.
func (e *Engine) offloadPair(r *record, info *packet.Info) {
	if e.offload == nil || r.family != 0 || r.linked || !offloadable(info) || r.entry.Out == r.key.Attachment && r.arrives.Reply() == r.key.Tuple {
		return
	}
	if r.peer != nil && r.peer.entry.Verdict == flow.Deliver {
		e.install(r.peer)
	}
	e.install(r)
}

func (e *Engine) install(r *record) {
	if !e.tellsAll(r) {
		e.evict(r)
		return
	}
	if r.installed != 0 && e.now-r.installed < int64(reinstall) {
		return
	}
	if err := e.offload.Install(r.key, r.entry); err != nil {
		e.offloadFailures++
		return
	}
	r.installed = e.now
}

// tellsAll reports whether a connection's state follows from the flow's pair of slots, which is all that the fast path looks at: every place that
// remembers the connection has seen both directions, and nothing of it that is not counted there.
func (e *Engine) tellsAll(r *record) bool {
	both := r.peer != nil && r.peer.entry.Verdict != 0 || e.mem.Slots[r.slot^1].Read().Packets != 0
	for _, t := range r.tracks {
		seen := 0
		for d := range t.flows {
			here := flow.Counters{}
			for _, other := range t.flows[d] {
				if other != r && other != r.peer {
					return false
				}
				here = merge(here, e.mem.Slots[other.slot].Read())
				seen++
			}
			past := t.past[d]
			if past.Flags&^here.Flags != 0 || past.Packets != 0 && here.Packets < 2 {
				return false
			}
		}
		if both && seen < 2 {
			return false
		}
	}
	return true
}

func (e *Engine) evict(r *record) {
	if r.installed == 0 {
		return
	}
	r.installed = 0
	if err := e.offload.Evict(r.key); err != nil {
		e.offloadFailures++
	}
}

// offloadable reports whether the fast path can recognise the packet's flow.
func offloadable(info *packet.Info) bool {
	t := &info.Tuple
	if t.Protocol == flow.ICMP || t.Protocol == flow.ICMPv6 {
		return !info.Options && t.ICMPEcho()
	}
	return !info.Options
}

// decideError walks an ICMP error as part of the connection that it quotes.
func (e *Engine) decideError(att *fabric.Attachment, b []byte, info *packet.Info) uint32 {
	var quoted packet.Info
	if !packet.Quoted(b, info, &quoted) {
		e.countDrop(att.Index, flow.MalformedPacket, info.Length)
		return 0
	}
	return e.decideOnce(att, b, info, &quoted)
}

// decideOnce walks and applies one packet without caching the decision.
func (e *Engine) decideOnce(att *fabric.Attachment, b []byte, info, quoted *packet.Info) uint32 {
	p := e.inProgress(info)
	if quoted != nil {
		p.Error, p.Quoted = true, quoted.Tuple
	}
	e.net.Walk(p, att, e, &e.path)
	e.keepFresh(e.path.Verdict == flow.Deliver)
	e.remember(att.Index, nil, &p)
	e.observeOnce(&p)
	if e.path.Verdict == flow.Drop {
		e.tell(flow.Key{Attachment: att.Index, Tuple: conversation(&p)})
		e.countDrop(att.Index, e.path.Reason, info.Length)
		e.answer(att, b, info)
		return 0
	}
	t := e.delivered[att.Index]
	e.delivered[att.Index] = Count{t.Packets + 1, t.Bytes + uint64(info.Length)}
	if e.path.Family != 0 {
		return e.changeFamily(att.Index, e.path.Out, b, info, packet.Translation{Rewrite: e.path.Rewrite, Quote: e.path.Quote, ID: uint16(e.now)})
	}
	e.rewrite(b, info, quoted, &e.path)
	if info.Length > int(e.path.MTU) {
		e.emitFragments(e.path.Out, b, info, int(e.path.MTU))
		return 0
	}
	return e.path.Out
}

// conversation is the tuple under which people look for a packet: an ICMP error belongs to the connection that it quotes.
func conversation(p *fabric.Packet) flow.Tuple {
	if p.Error {
		return p.Quoted
	}
	return p.Tuple
}

// refuse drops a packet before the walk, at the sender's own hop.
func (e *Engine) refuse(att *fabric.Attachment, t flow.Tuple, length int, r flow.Reason) {
	e.net.Refuse(t, att, r, &e.path)
	e.tell(flow.Key{Attachment: att.Index, Tuple: t})
	e.countDrop(att.Index, r, length)
}

func (e *Engine) countDrop(attachment uint32, r flow.Reason, length int) {
	if int(attachment)*flow.ReasonStride < len(e.mem.Drops) {
		e.mem.Drop(attachment, r).Add(1, uint64(length))
	}
}

func (e *Engine) attachment(index uint32) *fabric.Attachment {
	if int(index) >= len(e.net.Attachments) {
		return nil
	}
	return e.net.Attachments[index]
}

// isLink reports whether an attachment is the end of a link. eBPF knows none.
func (e *Engine) isLink(attachment uint32) bool {
	a := e.attachment(attachment)
	return a != nil && a.Peering != nil
}

func (e *Engine) publishGenerations() error {
	if e.offload == nil {
		return nil
	}
	errs := []error{e.offload.SetGeneration(fabric.InternetDomain, e.net.Internet.Generation)}
	for _, v := range e.net.VPCs {
		if v != nil {
			errs = append(errs, e.offload.SetGeneration(v.Index, v.Generation))
		}
	}
	return errors.Join(errs...)
}
