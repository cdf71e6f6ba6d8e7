package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/vpclab/vpclab/ctrl/hostnet"
)

func downCommand(m machine, c *console) *cobra.Command {
	return &cobra.Command{
		Use:   "down [LAB]",
		Short: "Remove a lab, or what dead processes left",
		Long: `Remove the lab of that name: what a dead process left of it, or, when it is
running, by asking its process to end, which removes it.

Without a name, remove every lab whose process is dead, and the running one if
there is only one. Only what carries vpclab's stamp is touched. Finding nothing
to remove is no error.`,
		Example: `  sudo vpclab down
  sudo vpclab down shop`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("takes one lab's name, got %d", len(args))
			}
			return nil
		},
		RunE: act(func(ctx context.Context, args []string) error {
			ctx, stop := watchSignals(ctx, func(syscall.Signal, int) {})
			defer stop()
			return down(ctx, m, c, strings.Join(args, ""))
		}),
	}
}

// down is `vpclab down`; an empty name is none.
func down(ctx context.Context, m machine, c *console, name string) error {
	labs, err := m.Labs()
	var problems []error
	if err != nil {
		problems = append(problems, fmt.Errorf("down: %w", err)) // labs that can be read about are removed all the same
	}
	doomed, spared := toRemove(labs, name)
	for _, l := range doomed {
		if err := removeLab(ctx, m, c, l); err != nil {
			problems = append(problems, fmt.Errorf("down %s: %w", l.Lab, err))
		}
	}
	for _, l := range spared {
		c.print(fmt.Sprintf("%s: running (process %d of %s); to end it: vpclab down %s\n", l.Lab, l.PID, line(l.User), l.Lab))
	}
	if len(doomed)+len(spared) == 0 && err == nil {
		c.print(nothingToRemove(labs, name))
	}
	return errors.Join(problems...)
}

// toRemove decides which labs go: the one of that name, or without a name all dead ones and the living one if it is the only one.
// Spared are the living ones among which the user has to choose.
func toRemove(labs []hostnet.Leftover, name string) (doomed, spared []hostnet.Leftover) {
	if name != "" {
		if i := slices.IndexFunc(labs, func(l hostnet.Leftover) bool { return l.Lab == name }); i >= 0 {
			return labs[i : i+1], nil
		}
		return nil, nil
	}
	for _, l := range labs {
		if l.Alive {
			spared = append(spared, l)
		} else {
			doomed = append(doomed, l)
		}
	}
	if len(spared) == 1 {
		return append(doomed, spared...), nil
	}
	return doomed, spared
}

// removeLab removes one lab and says so.
func removeLab(ctx context.Context, m machine, c *console, l hostnet.Leftover) error {
	defer c.quiet()
	c.progress(l.Lab, "removing", "")
	if l.Alive {
		if err := m.Stop(ctx, l); err != nil {
			return err
		}
	}
	// A process that was stopped has removed its lab; this makes sure of it.
	if err := m.Remove(l.Lab); err != nil {
		return err
	}
	whose := "its process was dead"
	if l.Alive {
		whose = fmt.Sprintf("process %d has ended", l.PID)
	}
	c.print(fmt.Sprintf("%s: removed (%s)\n", l.Lab, whose))
	return nil
}

// nothingToRemove says that there is no lab, or none of that name but others.
func nothingToRemove(labs []hostnet.Leftover, name string) string {
	if name == "" {
		return "no lab on this machine\n"
	}
	var names []string
	for _, l := range labs {
		names = append(names, l.Lab)
	}
	text := fmt.Sprintf("no lab %s on this machine", name)
	if len(names) > 0 {
		text += "; there is " + strings.Join(names, ", ")
	}
	return text + "\n"
}
