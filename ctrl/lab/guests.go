package lab

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"reflect"
	"sync"

	"github.com/vpclab/vpclab/ctrl/check"
	"github.com/vpclab/vpclab/ctrl/hostnet"
	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// guests are the listeners and programs that run inside instances and hosts.
type guests struct {
	lab *Lab
	dir string // where programs start

	mu      sync.Mutex
	running map[scenario.Node]*guest
}

// guest is what one instance or host runs.
type guest struct {
	serve   []vpc.Listener
	run     []string
	closers []io.Closer
	program *check.Program // nil if it runs none
}

func (g *guest) close() error {
	var errs []error
	for _, c := range g.closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// desiredGuests is what a model wants to run, by node.
func desiredGuests(m *vpc.Model) map[scenario.Node]*guest {
	want := map[scenario.Node]*guest{}
	add := func(n scenario.Node, serve []vpc.Listener, run []string) {
		if len(serve) > 0 || len(run) > 0 {
			want[n] = &guest{serve: serve, run: run}
		}
	}
	for _, v := range m.VPCs {
		for _, i := range v.Instances {
			add(scenario.Node{VPC: v.Name, Name: i.Name}, i.Serve, i.Run)
		}
	}
	for _, h := range m.Hosts {
		add(scenario.Node{Name: h.Name}, h.Serve, h.Run)
	}
	return want
}

// update stops what a model no longer wants and starts what is new in it.
func (g *guests) update(ctx context.Context, m *vpc.Model) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running == nil {
		g.running = map[scenario.Node]*guest{}
	}
	want := desiredGuests(m)
	var errs []error
	for node, have := range g.running {
		if w := want[node]; w == nil || !reflect.DeepEqual(w.serve, have.serve) || !reflect.DeepEqual(w.run, have.run) {
			errs = append(errs, have.close())
			delete(g.running, node)
		}
	}
	started := 0
	for node, w := range want {
		g.lab.options.Progress("start", started, len(want))
		started++
		if g.running[node] != nil {
			continue
		}
		if err := ctx.Err(); err != nil {
			return errors.Join(append(errs, err)...)
		}
		g.running[node] = w
		if err := g.start(node, w); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (g *guests) start(node scenario.Node, w *guest) error {
	if len(w.serve) > 0 {
		// Listeners live as long as the lab, not as long as the call that starts them.
		c, err := check.Serve(context.Background(), g.lab, node, w.serve)
		if err != nil {
			return err
		}
		w.closers = append(w.closers, c)
	}
	if len(w.run) == 0 {
		return nil
	}
	program, err := check.StartProgram(g.lab, node, w.run, g.dir)
	if err != nil {
		return err
	}
	w.closers, w.program = append(w.closers, program), program
	return nil
}

// Program is the program that an instance or host runs, which may have ended; nil if it runs none.
func (l *Lab) Program(node scenario.Node) *check.Program {
	l.guests.mu.Lock()
	defer l.guests.mu.Unlock()
	if g := l.guests.running[node]; g != nil {
		return g.program
	}
	return nil
}

func (g *guests) close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var errs []error
	for node, have := range g.running {
		errs = append(errs, have.close())
		delete(g.running, node)
	}
	return errors.Join(errs...)
}

// namespace is where a node lives.
func (l *Lab) namespace(n scenario.Node) string {
	if n.VPC == "" {
		return hostnet.GuestNamespace(l.name, "internet", n.Name)
	}
	return hostnet.GuestNamespace(l.name, n.VPC, n.Name)
}

// directoryOf is where a scenario's relative paths begin.
func directoryOf(s *scenario.Scenario) string {
	if s.File == "" {
		return ""
	}
	return filepath.Dir(s.File)
}
