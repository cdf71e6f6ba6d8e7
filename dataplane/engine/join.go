package engine

import "github.com/vpclab/vpclab/dataplane/flow"

// Join says that a load balancer carries on the connection front as the connection back, so that who asks for the one is told of the other
// as well: its drops, its records, its progress. Both are named by their first packet as the services know it: front as it reaches them,
// back as they send it. It is to be called before that. A joint lasts as long as flows of either connection are known, or until front is
// carried on otherwise: what became of a target that was passed over is nothing to the consumer.
func (e *Engine) Join(front, back flow.Tuple) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.joints[front] = back
}

// Refused reports whether a packet of the connection that the services began with tuple, or an answer to it, was dropped since mark for a
// reason that lasts. Unlike Drops it looks at one flow, whatever their number.
func (e *Engine) Refused(mark int64, tuple flow.Tuple) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	known := map[flow.Tuple]bool{tuple: true}
	if r := e.flows[e.fromServices(tuple)]; r != nil && r.entry.Verdict != 0 {
		known[r.arrives.Reply()] = true
	}
	refused := false
	e.journal.since(mark, func(d *Drop) {
		refused = refused || known[d.Key.Tuple] && !d.Path.Reason.Transient()
	})
	return refused
}

// fromServices is the flow that the services send with a tuple.
func (e *Engine) fromServices(t flow.Tuple) flow.Key {
	if e.net.Services == nil {
		return flow.Key{}
	}
	return flow.Key{Attachment: e.net.Services.Attachment, Tuple: t}
}

// sweepJoints ends those of n joints whose connections nothing is known of any more. Which n these are is up to the map, another time others.
func (e *Engine) sweepJoints(n int) {
	for front, back := range e.joints {
		if n--; n < 0 {
			return
		}
		if e.flows[e.fromServices(back)] == nil && e.flows[e.fromServices(front.Reply())] == nil {
			delete(e.joints, front)
		}
	}
}
