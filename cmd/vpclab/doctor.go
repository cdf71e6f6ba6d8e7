package main

import (
	"context"
	"fmt"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/vpclab/vpclab/ctrl/doctor"
)

func doctorCommand(m machine, c *console) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Say whether this machine can run vpclab, and what is missing",
		Long: `Try out, in throw-away namespaces, what a lab needs of this machine: kernel,
capabilities, eBPF, TUN devices, limits. For what is missing, say how to get it.

Exit status: 0 this machine can run vpclab, 3 something is missing.`,
		Example: `  sudo vpclab doctor`,
		Args:    noArguments,
		RunE: act(func(ctx context.Context, _ []string) error {
			ctx, stop := watchSignals(ctx, func(syscall.Signal, int) {})
			defer stop()
			c.progress("doctor", "examining this machine", "")
			findings := m.Examine(ctx)
			c.quiet()
			if err := interruption(ctx); err != nil {
				return err
			}
			c.print(diagnosis(findings, c.outStyle))
			if len(missing(findings)) > 0 {
				return &failure{statusMachine, errTold}
			}
			return nil
		}),
	}
}

// missing names the findings that are not well.
func missing(findings []doctor.Finding) []string {
	var names []string
	for _, f := range findings {
		if !f.OK {
			names = append(names, f.Name)
		}
	}
	return names
}

// diagnosis is the table of findings, how to get what is missing, and a verdict as its last line.
func diagnosis(findings []doctor.Finding, st style) string {
	width := 0
	for _, f := range findings {
		width = max(width, columns(f.Name))
	}
	var b strings.Builder
	for _, f := range findings {
		answer := st.green("yes")
		if !f.OK {
			answer = st.red("NO ")
		}
		fmt.Fprintf(&b, "%s  %s  %s\n", answer, pad(f.Name, width), line(f.Detail))
		if !f.OK && f.Fix != "" {
			fmt.Fprintf(&b, "     %s %s\n", st.bold("fix:"), strings.ReplaceAll(printable(f.Fix), "\n", "\n          "))
		}
	}
	verdict := st.green("This machine can run vpclab.")
	if absent := missing(findings); len(absent) > 0 {
		verdict = st.red("This machine cannot run vpclab yet; missing: " + strings.Join(absent, ", ") + ".")
	}
	return b.String() + "\n" + verdict + "\n"
}
