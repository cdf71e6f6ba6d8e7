package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vpclab/vpclab/ctrl/doctor"
	"github.com/vpclab/vpclab/ctrl/hostnet"
	"github.com/vpclab/vpclab/ctrl/scenario"
)

// machine is what the commands need of the machine that they run on.
type machine interface {
	// Start builds a lab. When it fails, everything is removed already.
	Start(ctx context.Context, s *scenario.Scenario, o startOptions) (runningLab, error)
	// Labs lists the labs on the machine, running or left by a dead process.
	Labs() ([]hostnet.Leftover, error)
	// Remove removes what a dead process left of a lab.
	Remove(lab string) error
	// Stop asks the process that runs a lab to remove it and waits until that process has gone.
	Stop(ctx context.Context, l hostnet.Leftover) error
	// Folder is where a running lab has its state.
	Folder(lab string) string
	// Examine proves what a lab needs of the machine.
	Examine(ctx context.Context) []doctor.Finding
}

const rootHelp = `vpclab is a VPC on one Linux machine. A scenario file describes VPCs, subnets,
route tables, security groups and instances, and what must reach what. vpclab
builds it from network namespaces, veth pairs, TUN devices and eBPF programs,
sends real packets through it, says of each check whether it holds and why, and
removes everything again.`

const rootExamples = `  vpclab doctor                          # can this machine run it?
  vpclab validate scenarios/tour.yaml    # is the file right? (no root needed)
  sudo vpclab run scenarios/tour.yaml    # build, check, remove`

// rootCommand is the whole command line.
func rootCommand(m machine, c *console) *cobra.Command {
	root := &cobra.Command{
		Use:                "vpclab",
		Short:              "A VPC on one Linux machine, with real packets",
		Long:               rootHelp,
		Example:            rootExamples,
		Version:            buildVersion(),
		SilenceErrors:      true,
		SilenceUsage:       true,
		DisableSuggestions: true, // misused has its own
	}
	root.SetVersionTemplate("vpclab {{.Version}}\n")
	root.SetOut(c)
	root.SetErr(c.err)
	root.CompletionOptions.DisableDefaultCmd = true // ours says which shells there are
	root.AddCommand(runCommand(m, c), validateCommand(c), logsCommand(m, c), downCommand(m, c), doctorCommand(m, c), schemaCommand(c),
		completionCommand(root), versionCommand(c))
	root.SetHelpCommand(helpCommand(root))
	return root
}

// helpCommand is cobra's, except that help for what does not exist is an error.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about a command",
		RunE: act(func(_ context.Context, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return noCommand(root, strings.Join(args, " "))
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		}),
	}
}

// execute carries out one command line and returns the exit status.
func execute(args []string, m machine, c *console) (status int) {
	defer func() {
		if p := recover(); p != nil {
			c.note("vpclab: this is a defect of vpclab, please report it: %v\n%s", p, debug.Stack())
			status = statusBroken
		}
	}()
	root := rootCommand(m, c)
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	a, carriedOut := errors.AsType[acted](err)
	switch {
	case carriedOut:
		err = a.error
	case err != nil && c.written() == nil:
		err = misused(root, args, err)
	}
	// Results that nobody could read are not passed.
	if unwritten := c.written(); unwritten != nil && statusOf(err) <= statusFailed {
		err = unwritten
	}
	status = statusOf(err)
	if err != nil && !errors.Is(err, errTold) && status < statusSignal {
		c.note("%s", strings.TrimRight(err.Error(), "\n"))
	}
	return status
}

// acted marks the error of a command that was understood: the command line was right.
type acted struct{ error }

// act makes cobra's function of a command from one that needs only its arguments.
func act(do func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := do(cmd.Context(), args); err != nil {
			return acted{err}
		}
		return nil
	}
}

// misused is the error of a wrong command line, with the near match and where to read on.
func misused(root *cobra.Command, args []string, err error) error {
	cmd, _, findErr := root.Find(args)
	if findErr != nil {
		for _, arg := range args {
			if !strings.HasPrefix(arg, "-") {
				return noCommand(root, arg)
			}
		}
	}
	text := err.Error()
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		text = "no flag " + dashed(unknown.GetSpecifiedName()) + didYouMean(dashed(unknown.GetSpecifiedName()), flagNames(cmd))
	}
	return wrong("%s: %s\nsee %q", cmd.CommandPath(), text, cmd.CommandPath()+" --help")
}

// noCommand is the error of a command that does not exist.
func noCommand(root *cobra.Command, word string) error {
	var names []string
	for _, cmd := range root.Commands() {
		if cmd.IsAvailableCommand() {
			names = append(names, cmd.Name())
		}
	}
	return wrong("vpclab: no command %q%s\nsee \"vpclab --help\"", word, didYouMean(word, names))
}

// dashed is a flag as it is written: -x or --name.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

func flagNames(cmd *cobra.Command) []string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	return names
}

// atLeastOne refuses a command without arguments, saying what it needs and how that looks.
func atLeastOne(what, example string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("name %s, as in %q", what, example)
		}
		return nil
	}
}

// noArguments refuses arguments.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("takes no arguments, got %q", args[0])
	}
	return nil
}

// completeYAML lets the shell propose folders and scenario files.
func completeYAML(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yaml"}, cobra.ShellCompDirectiveFilterFileExt
}
