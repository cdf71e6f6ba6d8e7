package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/check"
	"github.com/vpclab/vpclab/ctrl/hostnet"
	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// runningLab is a lab that is up, together with the runner of its checks.
type runningLab interface {
	Check(ctx context.Context, c *scenario.Check) check.Result
	Apply(ctx context.Context, m *vpc.Model) error
	Advance(d time.Duration) error
	// Broken delivers an error when a part of the lab has stopped working by itself: then no result can be trusted.
	Broken() <-chan error
	// Notes tell what could not be done on this machine though the lab works.
	Notes() []string
	// Ended says which programs of the file's own have ended badly since it was last asked, and how.
	Ended() []string
	// Close ends held connections and removes everything.
	Close() error
	// Undelivered is, once it is closed, what of its flow logs could not be delivered.
	Undelivered() error
}

// startOptions are how a lab is started.
type startOptions struct {
	offload bool
	out     string // where flow logs are delivered; empty: they go with the lab
	// services are where flow logs with such a destination are delivered instead.
	services logServices
	progress func(stage string, done, total int)
}

// runOptions are the flags of `run`.
type runOptions struct {
	keep    bool
	json    bool
	junit   string
	only    []string
	offload onOff
	out     string
	s3, cw  string // URLs

	services logServices // at them
}

const runHelp = `Build the lab of each scenario FILE, run its checks with real packets, and
remove it. A DIR stands for every *.yaml file below it. All files are read
before the first lab is built; then they run one after another in path order.

Standard output has one line a check: its name, how it ended, how long it took,
and the reason why a packet was dropped, if one was. A failed check shows the
way of that packet, the rule that stopped it and what change would let it pass.
The very last line is "N passed, N failed". Progress and errors go to standard
error. With --json, standard output has one JSON document a file, a line each,
and nothing else; the explanations of failed checks and the last line then go
to standard error.

With --only, steps between checks are still done, and so is the check that keeps
open the connection that a selected "say" or "close" is about.

Nothing of a lab is left on the machine, however the run ends: Ctrl-C, SIGTERM
and SIGHUP remove it too. (After kill -9, "vpclab down" does.)

Exit status, of several files the highest:
  0    all passed
  1    a check failed
  2    a file or the command line is wrong; nothing was built
  3    this machine cannot run it: no root, no tcx, a lab of that name runs;
       or it could not store all records of flow logs
  4    something of vpclab's own broke
  130  ended by Ctrl-C before all checks were run (SIGHUP 129, SIGPIPE 141,
       SIGTERM 143)`

const runExamples = `  sudo vpclab run scenarios/tour.yaml
  sudo vpclab run scenarios/ --junit report.xml
  sudo vpclab run shop.yaml --only "web answers" --keep
  sudo vpclab run shop.yaml --json | jq '.checks[] | select(.status == "fail")'`

func runCommand(m machine, c *console) *cobra.Command {
	o := runOptions{offload: true}
	cmd := &cobra.Command{
		Use:               "run FILE|DIR...",
		Short:             "Build a lab, check it with real packets, remove it",
		Long:              runHelp,
		Example:           runExamples,
		Args:              atLeastOne("a scenario file or a folder of them", "vpclab run scenarios/tour.yaml"),
		ValidArgsFunction: completeYAML,
		RunE: act(func(ctx context.Context, args []string) error {
			return runFiles(ctx, m, c, o, args)
		}),
	}
	f := cmd.Flags()
	f.BoolVar(&o.keep, "keep", false, "keep the lab after its checks, until Ctrl-C")
	f.BoolVar(&o.json, "json", false, "print one JSON document a file instead of text")
	f.StringVar(&o.junit, "junit", "", "also write the results to `FILE` as JUnit XML")
	f.StringArrayVar(&o.only, "only", nil, "run only the check `NAME` (repeatable)")
	f.StringVar(&o.out, "out", "", "deliver flow logs to `DIR`, else they go with the lab")
	f.StringVar(&o.s3, "s3", "", "deliver flow logs for s3:// by S3's API at `URL`")
	f.StringVar(&o.cw, "cloudwatch", "", "and those for cloudwatch: by its API at `URL`")
	f.Var(&o.offload, "offload", "forward known flows in eBPF")
	return cmd
}

// onOff is a flag that reads on or off.
type onOff bool

func (v *onOff) String() string {
	if *v {
		return "on"
	}
	return "off"
}

func (v *onOff) Type() string { return "on|off" }

func (v *onOff) Set(s string) error {
	switch s {
	case "on":
		*v = true
	case "off":
		*v = false
	default:
		return errors.New("neither on nor off")
	}
	return nil
}

// runFiles is `vpclab run`.
func runFiles(ctx context.Context, m machine, c *console, o runOptions, args []string) error {
	files, err := scenarioFiles(args)
	if err != nil {
		return err
	}
	if o.keep && len(files) > 1 {
		return wrong("--keep keeps one lab and these are %d files; name one file", len(files))
	}
	if o.junit == "" {
		_, err := runAll(ctx, m, c, o, files)
		return err
	}
	// Opened now, so that a report that cannot be written is known before the work is done.
	junit, err := os.Create(o.junit)
	if err != nil {
		return wrong("--junit %s: %v", o.junit, cause(err))
	}
	reports, err := runAll(ctx, m, c, o, files)
	if unwritten := errors.Join(writeJUnit(junit, reports), junit.Close()); unwritten != nil {
		c.note("--junit %s: %v", o.junit, cause(unwritten))
		return worse(err, statusBroken)
	}
	return err
}

// worse is err with at least that exit status.
func worse(err error, status int) error {
	switch {
	case statusOf(err) >= status:
		return err
	case err == nil:
		err = errTold
	}
	return &failure{status, err}
}

// runAll reads all files and then runs them. The error carries the worst exit status of the reports.
func runAll(ctx context.Context, m machine, c *console, o runOptions, files []string) ([]*report, error) {
	scenarios, problems := loadAll(files)
	if err := errors.Join(problems...); err != nil {
		return wrongFiles(files, problems), &failure{statusUsage, err}
	}
	if err := checkNames(scenarios, o.only); err != nil {
		return nil, err
	}
	var err error
	if o.services, err = servicesOf(o.s3, o.cw); err != nil {
		return nil, err
	}
	if err := checkOut(o.out); err != nil {
		return nil, err
	}
	var planned []*report
	for i, s := range scenarios {
		if steps := selectSteps(s.Steps, o.only); len(steps) > 0 || len(o.only) == 0 {
			planned = append(planned, &report{File: files[i], Scenario: s, Steps: steps, Checks: checksOf(steps)})
		}
	}
	ctx, stop := watchSignals(ctx, func(s syscall.Signal, count int) { tellSignal(c, s, count) })
	defer stop()
	var tell reporter = &humanReporter{console: c, several: len(planned) > 1}
	if o.json {
		tell = &jsonReporter{console: c}
	}
	for i, r := range planned {
		runFile(ctx, m, c, o, tell, r)
		tell.removed(r)
		if r.Err != nil {
			c.note("%s: %s", r.File, c.errStyle.red(ending(r)))
		}
		if r.Undelivered != nil {
			c.note("%s: %s", r.File, c.errStyle.red(printable(strings.ReplaceAll(r.Undelivered.Error(), "\n", "\n"+r.File+": "))))
		}
		rest := len(planned) - i - 1
		if stopped := interruption(ctx); rest > 0 && (stopped != nil || hopeless(r)) {
			c.note("%s not run", count(rest, "file was", "files were"))
			for _, left := range planned[i+1:] {
				left.Err = stopped
				left.NotRun = true
			}
			break
		}
	}
	tell.total(planned)
	return planned, worst(planned)
}

// wrongFiles reports the files that have a problem.
func wrongFiles(files []string, problems []error) []*report {
	var reports []*report
	for i, problem := range problems {
		if problem != nil {
			reports = append(reports, &report{File: files[i], Err: problem})
		}
	}
	return reports
}

// ending says in words why a file was not run to its end.
func ending(r *report) string {
	if i, ok := errors.AsType[interrupted](r.Err); ok && error(i) == r.Err {
		return fmt.Sprintf("interrupted after %d of %s", len(r.Results), count(len(r.Checks), "check"))
	}
	text := strings.TrimRight(printable(r.Err.Error()), "\n")
	switch {
	case taken(r.Err):
		return text + "; to end it: vpclab down " + r.Scenario.Name
	case errors.Is(r.Err, unix.ENOSPC): // which says on what file system; the doctor has no cure for it
	case r.status() == statusMachine:
		return text + "; for what is missing and how to get it: vpclab doctor"
	}
	return text
}

// taken reports whether a living process holds the lab's name.
func taken(err error) bool {
	_, held := errors.AsType[*hostnet.InUseError](err)
	return held
}

// hopeless reports whether the machine cannot run this file for a reason that holds for the next one too. That a lab's name is
// taken does not, nor that flow logs could not be delivered.
func hopeless(r *report) bool {
	return r.ran() == statusMachine && !taken(r.Err)
}

// worst is the error that carries the highest exit status of the reports; its text has been said already.
func worst(reports []*report) error {
	status := statusPassed
	for _, r := range reports {
		status = max(status, r.status())
	}
	if status == statusPassed {
		return nil
	}
	return &failure{status, errTold}
}

// errTold is the error whose text has been printed where it arose; only its exit status is left to say.
var errTold = errors.New("told already")

// tellSignal says what a signal does, once, and that a further one has been heard.
func tellSignal(c *console, s syscall.Signal, count int) {
	switch {
	case s == syscall.SIGPIPE: // nobody reads any more
	case count == 1:
		c.note("%s: stopping and removing the lab", unix.SignalName(s))
	default:
		c.note("%s: still removing the lab, please wait", unix.SignalName(s))
	}
}

// runFile builds the lab of one file, does its steps and removes the lab, whatever happens in between.
func runFile(ctx context.Context, m machine, c *console, o runOptions, tell reporter, r *report) {
	name := r.Scenario.Name
	defer c.quiet()
	c.progress(name, "building", "")
	began := time.Now()
	var up atomic.Bool // a change reports progress too, but then a check's line says more
	lab, err := m.Start(ctx, r.Scenario, startOptions{
		offload: bool(o.offload), out: o.out, services: o.services,
		progress: func(stage string, done, total int) {
			if !up.Load() {
				c.progress(name, "building", buildDetail(stage, done, total))
			}
		},
	})
	up.Store(true)
	r.Up = time.Since(began)
	if err != nil {
		r.Err = orInterruption(ctx, err)
		return
	}
	r.Built = true
	defer func() {
		c.progress(name, "removing", "")
		began := time.Now()
		if err := lab.Close(); err != nil {
			r.Err = errors.Join(r.Err, fmt.Errorf("remove lab %s: %w", name, err))
		}
		r.Undelivered = lab.Undelivered()
		r.Down = time.Since(began)
	}()
	tell.built(r)
	for _, note := range lab.Notes() {
		c.note("%s: %s", r.File, printable(note))
	}
	r.Err = runSteps(ctx, c, lab, tell, r)
	if o.keep && r.Err == nil {
		r.Err = keepLab(ctx, c, lab, r.Scenario)
	}
}

// buildDetail reads "(connect 12/40)", or just "(connect)" when that has but one part.
func buildDetail(stage string, done, total int) string {
	if total <= 1 {
		return "(" + stage + ")"
	}
	return fmt.Sprintf("(%s %d/%d)", stage, done, total)
}

// runSteps does the steps in order; it ends at the first that cannot be done and when ctx does.
func runSteps(ctx context.Context, c *console, lab runningLab, tell reporter, r *report) error {
	for _, step := range r.Steps {
		if err := interruption(ctx); err != nil {
			return err
		}
		var err error
		switch {
		case step.Check != nil:
			c.progress(r.Scenario.Name, "running checks", fmt.Sprintf("%d/%d: %s", len(r.Results)+1, len(r.Checks), line(step.Check.Name)))
			result := lab.Check(ctx, step.Check)
			if err := interruption(ctx); err != nil {
				return err // the check was cut short: its result says nothing
			}
			if err := failing(lab); err != nil {
				return err
			}
			for _, end := range lab.Ended() { // first: it may be why the check failed
				c.note("%s: %s", r.File, printable(end))
			}
			r.Results = append(r.Results, result)
			tell.checked(r, result)
		case step.Change != nil:
			tell.step(r, step)
			err = lab.Apply(ctx, step.Change)
		default:
			tell.step(r, step)
			err = lab.Advance(step.Advance)
		}
		if err != nil {
			return orInterruption(ctx, fmt.Errorf("line %d: %s: %w", step.Line, stepName(step), err))
		}
	}
	return nil
}

// orInterruption puts the signal that ended ctx before the error that it caused, which may be more than that: a lab that could not be
// removed when its building was given up.
func orInterruption(ctx context.Context, err error) error {
	if i := interruption(ctx); i != nil {
		return fmt.Errorf("%w: %w", i, err)
	}
	return err
}

// stepName is the key of a step between checks.
func stepName(s scenario.Step) string {
	switch {
	case s.Zone.Name != "" && s.Zone.Down:
		return "az_down"
	case s.Zone.Name != "":
		return "az_up"
	case s.Change != nil:
		return "change"
	}
	return "advance"
}

// failing is the error of a lab of which a part has stopped working, or nil.
func failing(lab runningLab) error {
	select {
	case err := <-lab.Broken():
		return fmt.Errorf("the lab broke: %w", err)
	default:
		return nil
	}
}

// keepLab holds the lab until a signal comes, which is then the normal end of the run.
func keepLab(ctx context.Context, c *console, lab runningLab, s *scenario.Scenario) error {
	c.quiet()
	c.note("lab %s stays up until Ctrl-C", s.Name)
	if example := enterExample(s); example != "" {
		c.note("  try: %s", example)
	}
	if flowLogs := s.Model.FlowLogs; len(flowLogs) > 0 {
		c.note("  try: sudo vpclab logs %s --lab %s --follow", flowLogs[0].Name, s.Name)
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-lab.Broken():
		return fmt.Errorf("the lab broke: %w", err)
	}
}

// enterExample is a command that opens a shell in one of the lab's instances.
func enterExample(s *scenario.Scenario) string {
	for _, v := range s.Model.VPCs {
		for _, i := range v.Instances {
			return fmt.Sprintf("sudo ip netns exec vpclab-%s.%s.%s bash", s.Name, v.Name, i.Name)
		}
	}
	return ""
}
