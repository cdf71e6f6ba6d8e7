package engine

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// SetNetwork puts a new revision into force. Live flows of what changed are walked again, those that began a connection first,
// before the fast path learns the new generations: connections keep what they may keep, and what is no longer allowed is cut at once.
func (e *Engine) SetNetwork(now int64, net *fabric.Network) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now = now
	e.net = net
	e.reviewUntracked()
	var forward, answers []*record
	for _, r := range e.records.members {
		switch {
		case e.upToDate(r.entry.Domains) && r.entry.Verdict != 0:
		case r.slot&1 == 0:
			forward = append(forward, r)
		default:
			answers = append(answers, r)
		}
	}
	reviewed := append(forward, answers...)
	quiesced := e.withdrawMoved(reviewed)
	for _, r := range reviewed {
		e.review(r)
	}
	for _, t := range append([]*track(nil), e.tracking.members...) {
		if !e.exists(t.key.attachment) {
			e.untrack(t)
		}
	}
	return errors.Join(quiesced, e.publishGenerations())
}

// SetTimeouts sets the idle limits of the connections that begin from now on.
func (e *Engine) SetTimeouts(timeouts func(protocol uint8) flow.Timeouts) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.timeouts = timeouts
}

// reviewUntracked tracks the connections that the new rules no longer leave untracked: they are judged by their first packet.
func (e *Engine) reviewUntracked() {
	for _, t := range e.tracking.members {
		at := e.attachment(t.key.attachment)
		if t.tracked || at == nil || at.ENI == nil {
			continue
		}
		var sender *fabric.ENI
		if from := e.attachment(t.sender); from != nil {
			sender = from.ENI
		}
		p := t.key.packet(t.origin)
		t.tracked = e.net.Tracks(at.ENI, t.origin, &p, sender)
	}
}

// exists reports whether the network still has an interface, or an egress-only gateway, that remembers connections. The latter has an index
// and no attachment.
func (e *Engine) exists(attachment uint32) bool {
	return e.attachment(attachment) != nil || slices.ContainsFunc(e.net.VPCs, func(v *fabric.VPC) bool {
		return v != nil && v.EgressOnly != nil && v.EgressOnly.Attachment == attachment
	})
}

// review walks a live flow again after a change. A flow that is refused now keeps no decision: its next packet is walked, and told.
func (e *Engine) review(r *record) {
	from := e.attachment(r.key.Attachment)
	if from == nil || r.entry.Verdict == flow.Drop {
		e.forget(r)
		return
	}
	if r.entry.Verdict == 0 {
		return
	}
	held := r.installed != 0
	p := r.packet()
	if e.over(r) || !e.rehearse(from, &p) {
		e.evict(r)
		r.entry.Domains = [2]flow.Domain{}
		return
	}
	e.decideRecord(r, &p)
	if held {
		e.install(r)
	}
}

// Advance moves lab time forward by d and ends at once whatever has been idle for too long.
func (e *Engine) Advance(now int64, d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now = now
	e.advanced += d
	e.sweepFragments()
	for _, t := range append([]*track(nil), e.tracking.members...) {
		t.state(e.mem, now, e.rate)
		t.idle.jumped += d
		e.alive(t)
	}
	for _, r := range append([]*record(nil), e.records.members...) {
		e.expired(r, now)
		r.idle.jumped += d
		r.checked = 0
		e.evict(r)
	}
	e.sweepRecords(len(e.records.members), len(e.records.members))
}

// sweepPiece is how many flows a sweep looks at while it holds the lock.
const sweepPiece = 4096

// Sweep ends what has been idle for too long and frees slots. It is to be called about once a second.
func (e *Engine) Sweep(now int64) {
	e.mu.Lock()
	e.now = now
	records, tracks := len(e.records.members), len(e.tracking.members)
	e.harvest()
	e.sweepFragments()
	joints := len(e.joints)
	e.mu.Unlock()
	for ; joints > 0; joints -= sweepPiece {
		e.mu.Lock()
		e.sweepJoints(sweepPiece)
		e.mu.Unlock()
	}
	for records > 0 || tracks > 0 {
		e.mu.Lock()
		records = e.sweepRecords(records, sweepPiece)
		tracks = e.tracking.backwards(tracks, sweepPiece, func(t *track) { e.alive(t) })
		e.mu.Unlock()
	}
}

// sweepRecords forgets flows below position from that ended, and returns the position where the next piece begins.
func (e *Engine) sweepRecords(from, n int) int {
	return e.records.backwards(from, n, func(r *record) {
		if e.ended(r) {
			e.forget(r)
		}
	})
}

// ended reports whether nobody needs the flow's record any more.
func (e *Engine) ended(r *record) bool {
	if r.entry.Verdict == flow.Drop {
		return e.now > r.entry.Expires
	}
	for _, t := range r.tracks {
		if e.alive(t) {
			return false
		}
	}
	return e.expired(r, e.now)
}

// Stats are the engine's totals.
type Stats struct {
	Flows, Tracks   int
	Delivered       map[uint32]Count  // by the attachment that sent
	Emerged         map[uint32]uint64 // packets that came out of links, by end
	Held            int               // fragments that wait for their first one
	OffloadFailures uint64
}

// Stats reads the totals, offloaded packets included.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := Stats{Flows: len(e.flows), Tracks: len(e.tracks), Delivered: map[uint32]Count{}, Emerged: maps.Clone(e.emerged), OffloadFailures: e.offloadFailures}
	s.Held, _ = e.fragments.Held()
	add := func(sender uint32, c Count) {
		t := s.Delivered[sender]
		s.Delivered[sender] = Count{t.Packets + c.Packets, t.Bytes + c.Bytes}
	}
	for sender, c := range e.delivered {
		add(sender, c)
	}
	slot := func(sender, slot uint32, v flow.Verdict) {
		if v == flow.Deliver {
			c := e.mem.Slots[slot].Read()
			add(sender, Count{c.Packets, c.Bytes})
		}
	}
	for _, r := range e.records.members {
		slot(r.key.Attachment, r.slot, r.entry.Verdict)
	}
	for pair, h := range e.halves {
		slot(h.sender, 2*pair+h.side, h.verdict)
	}
	for _, rest := range e.pairs.resting {
		for side := range rest.sender {
			slot(rest.sender[side], 2*rest.pair+uint32(side), rest.verdict[side])
		}
	}
	return s
}
