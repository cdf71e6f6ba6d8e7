package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/check"
	"github.com/vpclab/vpclab/ctrl/doctor"
	"github.com/vpclab/vpclab/ctrl/hostnet"
	"github.com/vpclab/vpclab/ctrl/lab"
	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// thisMachine is the machine that the process runs on.
type thisMachine struct{}

func (thisMachine) Start(ctx context.Context, s *scenario.Scenario, o startOptions) (runningLab, error) {
	l, err := lab.Start(ctx, s, lab.Options{Offload: o.offload, Out: o.out, S3: o.services.s3, CloudWatch: o.services.cloudWatch, Progress: o.progress})
	if err != nil {
		return nil, blame(err)
	}
	runner := check.NewRunner(l)
	runner.Dir = filepath.Dir(s.File) // paths in a file are relative to it
	checked := &checkedLab{Lab: l, runner: runner, model: s.Model, told: map[*check.Program]bool{}}
	runner.Starting = checked.starting
	return checked, nil
}

// checkedLab is a lab and the runner of its checks.
type checkedLab struct {
	*lab.Lab
	runner *check.Runner
	model  *vpc.Model
	told   map[*check.Program]bool // programs whose end Ended has told
}

func (l *checkedLab) Apply(ctx context.Context, m *vpc.Model) error {
	l.model = m
	return blame(l.Lab.Apply(ctx, m))
}

// starting reports whether an address belongs to a program that runs. VPCs may share an address: any of them counts.
func (l *checkedLab) starting(a netip.Addr) bool {
	for node, addrs := range programs(l.model) {
		if p := l.Program(node); p != nil && p.Ended() == "" && slices.Contains(addrs, a) {
			return true
		}
	}
	return false
}

func (l *checkedLab) Ended() []string {
	var ends []string
	for node := range programs(l.model) {
		p := l.Program(node)
		if p == nil || l.told[p] {
			continue
		}
		if end := p.Ended(); end != "" && p.Exit() != 0 {
			l.told[p] = true
			ends = append(ends, fmt.Sprintf("the program of %s has ended: %s", node, end))
		}
	}
	return ends
}

// programs walks the instances and hosts that run a program, with all their addresses.
func programs(m *vpc.Model) iter.Seq2[scenario.Node, []netip.Addr] {
	return func(yield func(scenario.Node, []netip.Addr) bool) {
		for _, v := range m.VPCs {
			for _, i := range v.Instances {
				var addrs []netip.Addr
				for _, e := range i.Interfaces {
					addrs = append(append(addrs, e.IP, e.IPv6, e.Public), e.Secondary...)
				}
				if len(i.Run) > 0 && !yield(scenario.Node{VPC: v.Name, Name: i.Name}, addrs) {
					return
				}
			}
		}
		for _, h := range m.Hosts {
			if len(h.Run) > 0 && !yield(scenario.Node{Name: h.Name}, h.Addrs) {
				return
			}
		}
	}
}

func (l *checkedLab) Check(ctx context.Context, c *scenario.Check) check.Result {
	return l.runner.Run(ctx, c)
}

func (l *checkedLab) Close() error {
	l.runner.Close()
	return blame(l.Lab.Close())
}

func (thisMachine) Labs() ([]hostnet.Leftover, error) {
	labs, err := hostnet.Leftovers()
	return labs, blame(err)
}

func (thisMachine) Remove(name string) error { return blame(hostnet.Down(name)) }

func (thisMachine) Folder(name string) string { return hostnet.Dir(name) }

func (thisMachine) Examine(ctx context.Context) []doctor.Finding { return doctor.Examine(ctx) }

// Stop ends the lab's process by SIGTERM, at which it removes its lab.
func (thisMachine) Stop(ctx context.Context, l hostnet.Leftover) error {
	fd, err := unix.PidfdOpen(l.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("process %d: %w", l.PID, err)
	}
	defer unix.Close(fd)
	// The number may have gone to another process before the descriptor held on to it.
	if alive, err := stillHolds(l); err != nil || !alive {
		return err
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return blame(fmt.Errorf("end process %d: %w", l.PID, err))
	}
	return waitGone(ctx, fd)
}

// stillHolds reports whether the lab's process is the one that it was.
func stillHolds(l hostnet.Leftover) (bool, error) {
	labs, err := hostnet.Leftovers()
	if err != nil {
		return false, blame(err)
	}
	for _, now := range labs {
		if now.Lab == l.Lab {
			return now.Alive && now.PID == l.PID, nil
		}
	}
	return false, nil
}

// waitGone waits until the process of a pidfd has ended.
func waitGone(ctx context.Context, fd int) error {
	const tick = 100 // milliseconds between looks at ctx
	for ctx.Err() == nil {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, tick)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for the process: %w", err)
		}
		if n > 0 {
			return nil
		}
	}
	return interruption(ctx)
}

// blame gives an error of the layers below the exit status that it leads to: what this machine or this user may not do, what another
// process holds, and what the machine has no more of, is not vpclab's own failure.
func blame(err error) error {
	_, fewFiles := errors.AsType[*hostnet.FileLimitError](err)
	scarce := func(want error) bool { return errors.Is(err, want) }
	switch {
	case taken(err), fewFiles, errors.Is(err, lab.ErrMachine), errors.Is(err, unix.EPERM),
		errors.Is(err, unix.EACCES) && os.Geteuid() != 0,
		slices.ContainsFunc([]error{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOSPC, unix.EROFS}, scarce):
		return &failure{statusMachine, err}
	}
	if _, noProgram := errors.AsType[*check.StartError](err); noProgram {
		return &failure{statusUsage, err} // the file names what cannot be run
	}
	return err
}
