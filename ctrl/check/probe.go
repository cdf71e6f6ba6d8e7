package check

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// probe is one check under way: who does it, its connections, and its time.
type probe struct {
	ctx    context.Context
	lab    Lab
	now    func() time.Time
	node   scenario.Node
	target netip.Addr // whom the check is for; invalid until its name is resolved
	trail
	limit time.Duration
	watch watch

	polled time.Time
}

func newProbe(ctx context.Context, r *Runner, c *scenario.Check) *probe {
	limit := limitOf(c)
	return &probe{
		ctx: ctx, lab: r.lab, now: r.now, node: c.From, target: c.Do.Addr,
		trail: trail{mark: r.lab.Mark()}, limit: limit, watch: watch{deadline: r.now().Add(limit)},
	}
}

// begin makes conn the connection that is waited for. What is dropped of earlier ones from now on is told of, but ends nothing.
func (p *probe) begin(conn flow.Tuple) {
	p.trail.begin(conn)
	p.watch.restart()
}

// limitOf is how long a check may wait.
func limitOf(c *scenario.Check) time.Duration {
	if c.Wait <= 0 {
		return defaultWait
	}
	return c.Wait
}

// poll ends the check by an error: its outcome is a timeout, or the run was given up.
func (p *probe) poll() error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	now := p.now()
	if now.Sub(p.polled) >= tick {
		p.polled = now
		p.look(now)
	}
	if p.watch.over(now) {
		return p.timeout()
	}
	return nil
}

// look asks the lab for the drops of the connections.
func (p *probe) look(now time.Time) {
	if p.tuple == (flow.Tuple{}) {
		return
	}
	p.trail.look(p.lab)
	p.watch.observe(now, p.current())
}

// arrived notes that the other side was heard.
func (p *probe) arrived() { p.watch.arrived() }

// connected notes that the other side took the connection.
func (p *probe) connected() { p.watch.connected() }

func (p *probe) timeout() error {
	if drops := p.current(); len(drops) > 0 {
		return &end{outcome: scenario.Timeout, detail: "dropped at " + drops[0].At + " for " + drops[0].Reason.String()}
	}
	return &end{outcome: scenario.Timeout, detail: fmt.Sprintf("no answer within %v", p.limit)}
}

// settle looks for drops a last time. A check that asserts one waits for it a little, because the lab's journal is written beside the
// packets and not before them.
func (p *probe) settle(wanted bool) error {
	give := p.now().Add(quiet)
	beat := time.NewTicker(tick)
	defer beat.Stop()
	for {
		p.look(p.now())
		if !wanted || len(p.drops) > 0 || p.tuple == (flow.Tuple{}) || !p.now().Before(give) {
			return nil
		}
		select {
		case <-p.ctx.Done():
			return p.ctx.Err()
		case <-beat.C:
		}
	}
}
