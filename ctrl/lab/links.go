package lab

import (
	"errors"
	"fmt"
	"sync"

	"github.com/vpclab/vpclab/ctrl/compile"
	"github.com/vpclab/vpclab/ctrl/hostnet"
	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/link"
)

// links are the running links of peering connections, by their first end.
type links struct {
	lab *Lab

	mu      sync.Mutex
	running map[uint32]runningLink
}

type runningLink struct {
	*link.Link
	plan compile.Link
}

// update starts the links that are new in a plan and gives others their new shape.
func (l *links) update(plan *compile.Plan) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running == nil {
		l.running = map[uint32]runningLink{}
	}
	var errs []error
	for _, want := range plan.Links {
		have, ok := l.running[want.Ends[0]]
		switch {
		case !ok:
			started, err := l.start(want)
			if err != nil {
				errs = append(errs, fmt.Errorf("link of %s: %w", want.Name, err))
				continue
			}
			have.Link = started
		case have.plan.Shape != want.Shape:
			errs = append(errs, have.Reshape(shapeOf(want)))
		}
		have.plan = want
		l.running[want.Ends[0]] = have
	}
	return errors.Join(errs...)
}

func (l *links) start(want compile.Link) (*link.Link, error) {
	lab := l.lab
	started, err := link.New(link.Config{
		Name: want.Name, Shape: shapeOf(want), Encrypted: want.Encrypted,
		Open: func(f func() error) error { return lab.host.InGuest(hostnet.BackboneNamespace(lab.name), f) },
		Arrive: func(end int, frames [][]byte, senders []uint32) {
			lab.sw.Emerge(want.Ends[end], frames, senders)
		},
		Lost: func(end int, sender uint32, why flow.Reason, length int, packet []byte) {
			lab.engine.LostByLink(monotonic(), want.Ends[end], sender, why, length, packet)
		},
	})
	if err != nil {
		return nil, err
	}
	for end, attachment := range want.Ends {
		lab.sw.Join(attachment, func(sender uint32, frames [][]byte) { started.Send(end, sender, frames) })
	}
	return started, nil
}

func shapeOf(l compile.Link) link.Shape {
	return link.Shape{Delay: l.Shape.Delay, Loss: l.Shape.Loss, Rate: l.Shape.Rate}
}

// prune closes the links that a plan does not have.
func (l *links) prune(plan *compile.Plan) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	wanted := map[uint32]bool{}
	for _, w := range plan.Links {
		wanted[w.Ends[0]] = true
	}
	var errs []error
	for first, have := range l.running {
		if wanted[first] {
			continue
		}
		delete(l.running, first)
		for _, attachment := range have.plan.Ends {
			l.lab.sw.Leave(attachment)
		}
		errs = append(errs, have.Close())
	}
	return errors.Join(errs...)
}

// ends lists the attachments that are ends of running links.
func (l *links) ends() []uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ends []uint32
	for _, r := range l.running {
		ends = append(ends, r.plan.Ends[:]...)
	}
	return ends
}

func (l *links) close() error { return l.prune(&compile.Plan{}) }
