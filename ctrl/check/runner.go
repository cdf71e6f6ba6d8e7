package check

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// Runner runs the checks of one lab, one at a time, and holds the connections that checks keep open.
type Runner struct {
	// Dir is where `exec` programs start and what their relative paths are relative to; "" is this process's directory.
	Dir string
	// Starting reports whether a program of the file's own runs at an address. It may not listen yet, so a check that is refused there
	// although it expects ok is tried again, for as long as it may wait. nil: there are no programs.
	Starting func(netip.Addr) bool

	lab  Lab
	now  func() time.Time
	held map[string]*held
	echo uint16 // identifier of the last ICMP echo
}

// held is a connection that `keep` left open.
type held struct {
	socket *socket
	tuple  flow.Tuple
	ours   bool // one of our listeners is at the other end
}

// NewRunner returns a runner for the lab.
func NewRunner(lab Lab) *Runner {
	return &Runner{lab: lab, now: time.Now, held: map[string]*held{}, echo: uint16(rand.Uint32())}
}

// Run carries out one check and judges it.
func (r *Runner) Run(ctx context.Context, c *scenario.Check) Result {
	start := r.now()
	again := time.NewTicker(patience)
	defer again.Stop()
	for {
		p := newProbe(ctx, r, c)
		result := r.try(p, c)
		result.MS = float64(r.now().Sub(start)) / float64(time.Millisecond)
		if !r.tooEarly(p, result, r.now().Sub(start)) {
			r.readLogs(ctx, p, &result)
			return result
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return result
		}
	}
}

// patience is the time between two tries.
const patience = 50 * time.Millisecond

// tooEarly reports whether a check failed only because a program does not listen yet.
func (r *Runner) tooEarly(p *probe, result Result, since time.Duration) bool {
	c := result.Check
	return !result.Pass && result.Got == scenario.Refused && (c.Expect.Outcome == "" || c.Expect.Outcome == scenario.OK) &&
		since < limitOf(c) && r.Starting != nil && p.target.IsValid() && r.Starting(p.target)
}

func (r *Runner) try(p *probe, c *scenario.Check) Result {
	s := r.do(p, c)
	if s.err == nil {
		s.err = p.settle(assertsDrop(c))
	}
	result := judge(c, s, p.drops)
	if result.Got == scenario.Denied || result.Got == scenario.Reset {
		result.Denials = r.lab.Denials(p.mark, p.node)
	}
	return result
}

// Close ends the connections that are still held, with FIN.
func (r *Runner) Close() {
	for name, h := range r.held {
		h.socket.finish()
		delete(r.held, name)
	}
}

func (r *Runner) do(p *probe, c *scenario.Check) seen {
	switch c.Do.Verb {
	case scenario.Ping, scenario.Ping6:
		return r.ping(p, c)
	case scenario.TCP:
		return r.line(p, c, flow.TCP)
	case scenario.UDP:
		return r.line(p, c, flow.UDP)
	case scenario.HTTP:
		return get(p, c)
	case scenario.DNS:
		return query(p, c)
	case scenario.S3:
		return askS3(p, c.Do.S3)
	case scenario.DynamoDB:
		return askDynamoDB(p, c.Do.DynamoDB)
	case scenario.Exec:
		return r.exec(p, c)
	case scenario.Send:
		return r.send(p, c)
	case scenario.Say:
		return r.say(p, c)
	case scenario.Close:
		return r.hangUp(p, c)
	}
	return seen{err: fmt.Errorf("run check %q: verb %q is not supported", c.Name, c.Do.Verb)}
}

// nextEcho draws an identifier for one check's ICMP echo messages. Zero is left out: it means "no identifier" in a rewrite.
func (r *Runner) nextEcho() uint16 {
	r.echo++
	if r.echo == 0 {
		r.echo++
	}
	return r.echo
}
