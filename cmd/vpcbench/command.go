package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/vpclab/vpclab/cmd/vpcbench/internal/load"
)

// The exit statuses.
const (
	statusHold   = 0 // every target that was judged holds
	statusMissed = 1
	statusUsage  = 2
	statusCannot = 3 // this machine cannot run it, or it was interrupted
)

// errMissed says that a target was missed; the table has said which.
var errMissed = errors.New("a target was missed")

// usageError is a command line that means nothing.
type usageError struct{ error }

// options are the command line's.
type options struct {
	pairs    int
	seconds  float64
	quick    bool
	json     string
	only     []string
	compared []string
}

// execute runs the command line and returns the exit status.
func execute(ctx context.Context, open opener, args []string, stdout, stderr io.Writer) int {
	cmd := command(open)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return statusHold
	case errors.Is(err, errMissed):
		return statusMissed
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "vpcbench: %v\nSee vpcbench --help.\n", err)
		return statusUsage
	}
	fmt.Fprintf(stderr, "vpcbench: %v\n", err)
	return statusCannot
}

func command(open opener) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:           "vpcbench",
		Short:         "Measure vpclab against a bare veth pair and against kernel forwarding",
		Long:          help(),
		Example:       "  sudo vpcbench\n  sudo vpcbench --only tcp,rr --compare vpclab/veth\n  sudo vpcbench --quick --json -",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("argument %q: vpcbench takes flags only", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.quick && (cmd.Flags().Changed("pairs") || cmd.Flags().Changed("seconds")) {
				return usageError{errors.New("--quick: chooses the pairs and seconds itself; leave out --pairs and --seconds")}
			}
			p, err := o.plan()
			if err != nil {
				return usageError{err}
			}
			return bench(cmd.Context(), p, open, o.json, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	f := cmd.Flags()
	f.SortFlags = false
	f.IntVar(&o.pairs, "pairs", targetPairs, "pairs of runs for each ratio")
	f.Float64Var(&o.seconds, "seconds", targetEach.Seconds(), "length of one run")
	f.BoolVar(&o.quick, "quick", false, "2 pairs of 0.2 s: shows that everything runs, measures nothing, judges no target")
	f.StringVar(&o.json, "json", "",
		"write the report, with every single run, to this file; - for standard output, with the table on standard error")
	f.StringSliceVar(&o.only, "only", loadNames(), "loads to run")
	f.StringSliceVar(&o.compared, "compare", []string{"vpclab/veth", "vpclab/kernel", "vpclab-nat/veth", "vpclab-off/veth", "vpclab-log/vpclab", "vpclab-peering/wireguard", "vpclab-joined/veth", "vpclab-s3/veth-s3", "vpclab-dns/veth-dns"},
		"beds to compare, as subject/base")
	f.Lookup("compare").DefValue = "those of the targets, vpclab/kernel and vpclab-dns/veth-dns"
	return cmd
}

// help is the long help: what each figure means.
func help() string {
	var b strings.Builder
	b.WriteString(`vpcbench puts the same loads on several networks of this machine and prints how they compare.

A bed is a network with a client and a server:
  vpclab          two subnets of a VPC in a running lab; eBPF forwards
  vpclab-off      the same with --offload=off; the engine forwards every packet
  vpclab-nat      a NAT gateway between the subnets; eBPF forwards
  vpclab-log      the same as vpclab, with a flow log of everything
  vpclab-peering  two VPCs in two regions, peered over an encrypted link; the engine and WireGuard forward
  vpclab-joined   two VPCs of a region, peered without encryption; eBPF forwards
  kernel          a router namespace between them: kernel forwarding, with an nftables filter if nft is installed
  wireguard       two bare wireguard-go devices back to back: the most that an encrypted link can reach
  veth            one bare veth pair: the most that any network of namespaces can reach
  vpclab-s3       an instance that asks the lab's S3 through a gateway endpoint; eBPF forwards
  veth-s3         the same S3 at the end of a bare veth pair: what its own work leaves
  vpclab-dns      64 instances that ask their VPC's resolver; the engine forwards every packet
  veth-dns        as many sockets that ask a bare miekg/dns server at the end of a veth pair

The loads:
`)
	for _, l := range load.All() {
		fmt.Fprintf(&b, "  %-10s  %s\n", l.Name, strings.ReplaceAll(l.About, "\n", "\n              "))
	}
	b.WriteString(`
A ratio is taken from pairs of runs, one on each bed right after the other; the bed that goes first alternates. Printed are
the median of the pairs' ratios and an interval that holds the true median with at least 95 % probability, whatever the
distribution (order statistics). Rates are medians over the runs of that line. Compare ratios, not rates, between machines
and days; and leave the machine alone meanwhile.

Targets, judged from at least `)
	fmt.Fprintf(&b, "%d pairs of %v s; one holds if the interval reaches it:\n", targetPairs, targetEach.Seconds())
	for _, t := range targets {
		fmt.Fprintf(&b, "  %-8s %-24s at least %.2f\n", t.load, t.versus, t.ratio)
	}
	b.WriteString(`
Exit status: 0 every judged target holds, 1 one was missed, 2 the command line is wrong, 3 the run could not be made or finished.`)
	return b.String()
}

func loadNames() []string {
	var names []string
	for _, l := range load.All() {
		names = append(names, l.Name)
	}
	return names
}

// plan checks the options.
func (o options) plan() (plan, error) {
	p := plan{pairs: o.pairs, each: time.Duration(o.seconds * float64(time.Second))}
	if o.quick {
		p.pairs, p.each = 2, 200*time.Millisecond
	}
	if p.pairs < 1 || p.pairs > 1000 {
		return plan{}, fmt.Errorf("--pairs %d: must be from 1 to 1000", p.pairs)
	}
	if !(o.seconds >= 0.1 && o.seconds <= 600) {
		return plan{}, fmt.Errorf("--seconds %v: must be from 0.1 to 600", o.seconds)
	}
	var loads []load.Load
	for _, l := range load.All() {
		if slices.Contains(o.only, l.Name) {
			loads = append(loads, l)
		}
	}
	for _, name := range o.only {
		if !slices.Contains(loadNames(), name) {
			return plan{}, fmt.Errorf("--only %s: no such load; loads are %s", name, strings.Join(loadNames(), ", "))
		}
	}
	if len(loads) == 0 {
		return plan{}, fmt.Errorf("--only: names no load; loads are %s", strings.Join(loadNames(), ", "))
	}
	var compared []versus
	for _, text := range o.compared {
		subject, base, _ := strings.Cut(text, "/")
		if !slices.Contains(bedNames, subject) || !slices.Contains(bedNames, base) {
			return plan{}, fmt.Errorf("--compare %s: must be two beds, as vpclab/veth; beds are %s", text, strings.Join(bedNames, ", "))
		}
		if farEnd(subject) != farEnd(base) {
			return plan{}, fmt.Errorf("--compare %s: no load runs on both; %s compares with %s, and %s with %s", text, vpclabS3, vethS3, vpclabDNS, vethDNS)
		}
		if v := (versus{subject, base}); !slices.Contains(compared, v) {
			compared = append(compared, v)
		}
	}
	if len(compared) == 0 {
		return plan{}, errors.New("--compare: names no beds, as vpclab/veth")
	}
	p.lines = linesOf(loads, compared)
	if len(p.lines) == 0 {
		return plan{}, fmt.Errorf("--only %s: no such load runs on %s", strings.Join(o.only, ","), strings.Join(o.compared, ","))
	}
	return p, nil
}

// bench measures and reports. If the measurement breaks off it reports the comparisons that were finished.
func bench(ctx context.Context, p plan, open opener, jsonFile string, stdout, stderr io.Writer) error {
	out, err := openOutput(jsonFile, stdout, stderr)
	if err != nil {
		return usageError{err}
	}
	beds, err := p.openAll(ctx, open)
	if err != nil {
		return errors.Join(err, out.close())
	}
	r := report{Machine: thisMachine(), Started: time.Now().UTC(), Pairs: p.pairs, Seconds: p.each.Seconds(), Judged: p.judges()}
	for _, name := range p.beds() {
		r.Beds = append(r.Beds, bedAbout{name, beds[name].About()})
	}
	fmt.Fprintf(stderr, "%d beds are up; measuring takes about %v\n", len(beds), p.takes().Round(time.Second))
	tell, finish := newProgress(stderr)
	outcomes, err := p.measure(ctx, beds, tell)
	finish()
	err = errors.Join(err, closeAll(beds))
	if err != nil {
		r.Error = err.Error()
	}
	for _, o := range outcomes {
		r.Comparisons = append(r.Comparisons, judge(o, targets, p.judges()))
	}
	if err := errors.Join(err, out.write(r), out.close()); err != nil {
		return err
	}
	return r.err()
}

// output is where a report goes.
type output struct {
	table    io.Writer
	document io.Writer // nil without --json
	file     *os.File  // the document's, unless it is standard output
}

// openOutput creates the file now: a run of a quarter of an hour must not end with a file that cannot be written.
func openOutput(jsonFile string, stdout, stderr io.Writer) (output, error) {
	switch jsonFile {
	case "":
		return output{table: stdout}, nil
	case "-":
		return output{table: stderr, document: stdout}, nil
	}
	f, err := os.Create(jsonFile)
	if err != nil {
		return output{}, fmt.Errorf("--json: %w", err)
	}
	return output{stdout, f, f}, nil
}

func (o output) write(r report) error {
	var errs []error
	if len(r.Comparisons) > 0 {
		errs = append(errs, r.writeTable(o.table))
	}
	if o.document != nil {
		errs = append(errs, r.writeJSON(o.document))
	}
	return errors.Join(errs...)
}

func (o output) close() error {
	if o.file == nil {
		return nil
	}
	return o.file.Close()
}

// progress is told of each pair before it begins.
type progress func(l line, pair, pairs int)

// newProgress keeps one line up to date on a terminal, and elsewhere writes a line for each comparison; finish clears it.
func newProgress(w io.Writer) (tell progress, finish func()) {
	f, isFile := w.(*os.File)
	if isFile && term.IsTerminal(int(f.Fd())) {
		return func(l line, i, of int) {
			fmt.Fprintf(w, "\r\033[K%s %s: pair %d of %d", l.load.Title, l.versus, i+1, of)
		}, func() { fmt.Fprint(w, "\r\033[K") }
	}
	return func(l line, i, _ int) {
		if i == 0 {
			fmt.Fprintf(w, "measuring %s %s\n", l.load.Title, l.versus)
		}
	}, func() {}
}
