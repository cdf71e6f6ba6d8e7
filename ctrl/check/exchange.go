package check

import (
	"fmt"
	"net/netip"

	"github.com/vpclab/vpclab/ctrl/scenario"
)

// line connects by TCP or UDP and exchanges a line. With a listener that is not ours it is enough that the connection stands and a byte
// or a FIN came back.
func (r *Runner) line(p *probe, c *scenario.Check, proto uint8) seen {
	if _, taken := r.held[c.Keep]; taken {
		return seen{err: fmt.Errorf("keep %s: a connection of that name is still open; close it first", c.Keep)}
	}
	to, err := p.destination(c.Do)
	if err != nil {
		return seenOf(err)
	}
	s, err := dial(p, proto, netip.AddrPortFrom(to, c.Do.Port))
	if err != nil {
		return seenOf(err)
	}
	answer, err := s.exchange()
	if err != nil {
		s.close()
		return seenOf(err)
	}
	if c.Keep == "" {
		s.finish()
		return answer.seen()
	}
	r.held[c.Keep] = &held{socket: s, tuple: p.tuple, ours: answer.ours}
	return answer.seen()
}

func (a reply) seen() seen {
	switch {
	case a.ours:
		return seen{outcome: scenario.OK, detail: "seen as " + a.source.String(), source: a.source.Addr()}
	case a.closed:
		return seen{outcome: scenario.OK, detail: "the other side closed"}
	}
	return seen{outcome: scenario.OK, detail: "answered by a listener of another protocol"}
}

// say exchanges another line on a held connection. A connection that turns out to be gone is held no longer.
func (r *Runner) say(p *probe, c *scenario.Check) seen {
	h, err := r.take(p, c)
	if err != nil {
		return seen{err: err}
	}
	answer, err := h.sayAnother()
	if err != nil {
		s := seenOf(err)
		if s.outcome == scenario.Reset {
			r.drop(c.Do.Held)
		}
		return s
	}
	if answer.closed { // a FIN is an answer to a first line only: what is held is there to go on
		r.drop(c.Do.Held)
		return seen{outcome: scenario.Reset, detail: "the other side had closed the connection"}
	}
	return answer.seen()
}

// sayAnother exchanges a line. Of a listener that is not ours nothing tells the rest of an earlier answer from the next one, so that the rest
// is taken away first.
func (h *held) sayAnother() (reply, error) {
	if !h.ours {
		if closed, err := h.socket.skip(); closed || err != nil {
			return reply{closed: closed}, err
		}
	}
	return h.socket.exchange()
}

// hangUp ends a held connection.
func (r *Runner) hangUp(p *probe, c *scenario.Check) seen {
	h, err := r.take(p, c)
	if err != nil {
		return seen{err: err}
	}
	delete(r.held, c.Do.Held)
	h.socket.finish()
	return seen{outcome: scenario.OK}
}

// take makes the probe that of a held connection.
func (r *Runner) take(p *probe, c *scenario.Check) (*held, error) {
	h, ok := r.held[c.Do.Held]
	if !ok {
		return nil, fmt.Errorf("%s %s: no connection is held under that name", c.Do.Verb, c.Do.Held)
	}
	p.node = h.socket.probe.node
	p.begin(h.tuple)
	h.socket.probe = p
	return h, nil
}

func (r *Runner) drop(name string) {
	r.held[name].socket.close()
	delete(r.held, name)
}
