package check

import (
	"context"
	"fmt"
	"time"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// probe is one check under way: its connection, its time, and what the lab dropped of it.
type probe struct {
	ctx   context.Context
	lab   Lab
	now   func() time.Time
	node  scenario.Node
	mark  uint64
	tuple flow.Tuple // zero until the connection's own address and port are known
	drops []Drop
	limit time.Duration
	watch watch

	polled time.Time
}

func newProbe(ctx context.Context, lab Lab, now func() time.Time, c *scenario.Check) *probe {
	limit := limitOf(c)
	return &probe{
		ctx: ctx, lab: lab, now: now, node: c.From, mark: lab.Mark(), limit: limit,
		watch: watch{deadline: now().Add(limit)},
	}
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

// look asks the lab for the drops of the connection.
func (p *probe) look(now time.Time) {
	if p.tuple == (flow.Tuple{}) {
		return
	}
	p.drops = p.lab.Drops(p.mark, p.tuple)
	p.watch.observe(now, p.drops)
}

// arrived notes that the other side was heard.
func (p *probe) arrived() { p.watch.arrived() }

func (p *probe) timeout() error {
	if len(p.drops) > 0 {
		return &end{outcome: scenario.Timeout, detail: "dropped at " + p.drops[0].At + " for " + p.drops[0].Reason.String()}
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

// end is what an operation on the network came to, when that was not success. It is an error so that it travels up through readers
// and parsers.
type end struct {
	outcome scenario.Outcome
	detail  string
	mtu     int // of an ICMP error that carries one, in bytes
}

func (e *end) Error() string { return string(e.outcome) + ": " + e.detail }
