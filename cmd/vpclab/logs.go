package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/ctrl/flowlog/catalog"
	"github.com/vpclab/vpclab/ctrl/hostnet"
)

// logsOptions are the flags of `logs`.
type logsOptions struct {
	follow, verbose bool
	format          notation
	lab, dir        string
}

// notation is a flag that reads table, raw or json.
type notation struct{ flowlog.Notation }

func (n *notation) String() string { return string(n.Notation) }
func (n *notation) Type() string   { return "table|raw|json" }

func (n *notation) Set(s string) error {
	parsed, err := flowlog.ParseNotation(s)
	if err != nil {
		return errors.New("neither table, raw nor json")
	}
	n.Notation = parsed
	return nil
}

const logsHelp = `Show what the flow log NAME has delivered: of the lab that runs (--lab says
which, if there are several), or with --dir of the folder that a run was given
by --out. Only records are shown that have all the values given by FIELD=VALUE;
fields have AWS's names.

Records are made when a window is over and delivered later, as in AWS, both in
lab time: a window takes 60 or 600 seconds; then S3 takes about 10 minutes,
CloudWatch Logs 5, and a file no time.

What waits for delivery is not shown. How delivery goes is told on standard
error when there is something to tell, and always with --verbose.`

const logsExamples = `  sudo vpclab logs web
  sudo vpclab logs web action=REJECT dstport=22 --follow
  vpclab logs web --dir ./out --format json | jq .bytes`

func logsCommand(m machine, c *console) *cobra.Command {
	o := logsOptions{format: notation{flowlog.Table}}
	cmd := &cobra.Command{
		Use:     "logs NAME [FIELD=VALUE...]",
		Short:   "Show what a flow log has delivered",
		Long:    logsHelp,
		Example: logsExamples,
		Args:    atLeastOne("a flow log", "vpclab logs web action=REJECT"),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return completeLogs(m, o, len(args)), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		},
		RunE: act(func(ctx context.Context, args []string) error {
			ctx, stop := watchSignals(ctx, func(syscall.Signal, int) {})
			defer stop()
			return logs(ctx, m, c, o, args)
		}),
	}
	f := cmd.Flags()
	f.BoolVarP(&o.follow, "follow", "f", false, "show new ones too, until Ctrl-C or the lab's end")
	f.Var(&o.format, "format", "how records are shown")
	f.StringVar(&o.lab, "lab", "", "`LAB` that has the flow log, if several have")
	f.StringVar(&o.dir, "dir", "", "read `DIR`, which a run was given by --out")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "tell how delivery goes")
	notations := cobra.FixedCompletions([]string{"table", "raw", "json"}, cobra.ShellCompDirectiveNoFileComp)
	if err := errors.Join(cmd.MarkFlagDirname("dir"), cmd.RegisterFlagCompletionFunc("format", notations)); err != nil {
		panic(err) // the flags are defined above
	}
	return cmd
}

// completeLogs proposes the names of flow logs and then fields, for a shell.
func completeLogs(m machine, o logsOptions, given int) (words []string) {
	if given > 0 {
		for _, f := range flowlog.Fields() {
			words = append(words, f.String()+"=")
		}
		return words
	}
	s, err := findLogs(m, o)
	if err != nil {
		return nil
	}
	return s.catalog.Names()
}

// logs is `vpclab logs`.
func logs(ctx context.Context, m machine, c *console, o logsOptions, args []string) error {
	var filter flowlog.Filter
	for _, text := range args[1:] {
		condition, err := flowlog.ParseCondition(text)
		if err != nil {
			return wrong("%v", err)
		}
		filter = append(filter, condition)
	}
	s, err := findLogs(m, o)
	if err != nil {
		return err
	}
	log := s.catalog.Find(args[0])
	if log == nil {
		return noLog(s.catalog, args[0])
	}
	reader, err := s.catalog.Reader(log)
	if err != nil {
		return err
	}
	if missing := filter.Missing(reader.Format()); len(missing) > 0 {
		return wrong("flow log %s has no field %s; its fields are %s", log.Name, missing[0], reader.Format().Header())
	}
	if o.follow {
		defer s.hold()()
	}
	v := &logView{console: c, reader: reader, filter: filter, name: log.Name, id: log.ID}
	v.printer = flowlog.NewPrinter(v, o.format.Notation)
	if o.follow {
		err = v.follow(ctx, s)
	} else {
		err = v.show()
	}
	v.conclude(s, o)
	return err
}

// noLog is the error of a flow log that does not exist.
func noLog(cat *catalog.Catalog, name string) error {
	names := cat.Names()
	if len(names) == 0 {
		return wrong("lab %s has no flow log", cat.Lab)
	}
	return wrong("lab %s has no flow log %s%s; it has %s", cat.Lab, line(name), didYouMean(name, names), strings.Join(names, ", "))
}

// logSource is a lab's flow logs, where they were found.
type logSource struct {
	machine machine
	folder  string // of the catalog
	state   bool   // it is the folder of the lab's state, which goes with the lab
	catalog *catalog.Catalog
}

// findLogs finds the catalog that the flags mean.
func findLogs(m machine, o logsOptions) (*logSource, error) {
	if o.dir != "" {
		return logsIn(m, o.dir, o.lab)
	}
	lab, err := runningLabOf(m, o.lab)
	if err != nil {
		return nil, err
	}
	s := &logSource{machine: m, folder: m.Folder(lab), state: true}
	if err := s.read(lab); errors.Is(err, fs.ErrNotExist) {
		return nil, wrong("lab %s is not up yet, or not any more", lab)
	} else if err != nil {
		return nil, blame(err)
	}
	return s, nil
}

// runningLabOf is the lab that a name means, or without one the only one that runs.
func runningLabOf(m machine, name string) (string, error) {
	labs, err := m.Labs()
	var alive, all []string
	for _, l := range labs {
		all = append(all, l.Lab)
		if l.Alive {
			alive = append(alive, l.Lab)
		}
	}
	switch {
	case name != "" && slices.Contains(all, name): // what a dead one left can be read, too
		return name, nil
	case name == "" && len(alive) == 1:
		return alive[0], nil
	case name == "" && len(alive) > 1:
		return "", wrong("%d labs run; name one, as in --lab %s: %s", len(alive), alive[0], strings.Join(alive, ", "))
	case err != nil:
		return "", fmt.Errorf("logs: %w", err)
	case len(alive) == 0:
		return "", wrong("no lab runs; for what a run has left in its --out folder: --dir DIR")
	}
	return "", wrong("no lab %s runs%s; there is %s", line(name), didYouMean(name, alive), strings.Join(alive, ", "))
}

// logsIn finds the catalog in a folder that a run was given by --out.
func logsIn(m machine, dir, lab string) (*logSource, error) {
	labs, err := catalog.Labs(dir)
	switch {
	case err != nil:
		return nil, outside("--dir", dir, err)
	case len(labs) == 0:
		return nil, wrong("--dir %s: no run has delivered flow logs there; name the folder that \"vpclab run --out\" was given", line(dir))
	case lab == "" && len(labs) > 1:
		return nil, wrong("--dir %s has flow logs of %d labs; name one, as in --lab %s: %s", line(dir), len(labs), labs[0], strings.Join(labs, ", "))
	case lab != "" && !slices.Contains(labs, lab):
		return nil, wrong("--dir %s has no flow logs of lab %s%s; there is %s", line(dir), line(lab), didYouMean(lab, labs), strings.Join(labs, ", "))
	case lab == "":
		lab = labs[0]
	}
	s := &logSource{machine: m, folder: dir}
	if err := s.read(lab); err != nil {
		return nil, outside("--dir", dir, err)
	}
	return s, nil
}

// outside is the error of a folder that a flag names. A disk that is full or read-only is the machine's fault, all else the name's.
func outside(flag, dir string, err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EROFS) || errors.Is(err, unix.EDQUOT) {
		return &failure{statusMachine, fmt.Errorf("%s %s: %w", flag, line(dir), cause(err))}
	}
	return wrong("%s %s: %w", flag, line(dir), cause(err))
}

func (s *logSource) read(lab string) error {
	cat, err := catalog.Read(s.folder, lab)
	if err == nil {
		s.catalog = cat
	}
	return err
}

// over reads the catalog anew and reports whether the lab has ended. What it delivered by then can be read afterwards.
func (s *logSource) over() bool {
	if err := s.read(s.catalog.Lab); err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	if s.catalog.Over {
		return true
	}
	labs, err := s.machine.Labs()
	if err != nil { // without root nobody can tell
		return false
	}
	return !slices.ContainsFunc(labs, func(l hostnet.Leftover) bool { return l.Lab == s.catalog.Lab && l.Alive })
}

// hold asks a lab to wait when it ends until its last records are read; the function that it returns lets it go.
func (s *logSource) hold() (release func()) {
	if !s.state {
		return func() {}
	}
	f, err := os.OpenFile(catalog.FollowersPath(s.folder), os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil { // it ends already
		return func() {}
	}
	_ = unix.Flock(int(f.Fd()), unix.LOCK_SH) // else the last records are missed
	return func() { f.Close() }
}

// logView shows the records of a flow log.
type logView struct {
	*console
	reader   *catalog.Reader
	filter   flowlog.Filter
	printer  *flowlog.Printer
	name, id string
	read     int // records, those that the filter left out included
}

// Write is where the printer writes to.
func (v *logView) Write(p []byte) (int, error) {
	text := string(p)
	if v.size() > 0 { // a terminal obeys what may stand in a file
		text = printable(text)
	}
	v.print(text)
	return len(p), v.written()
}

// printedAtOnce is how many rows get their columns together.
const printedAtOnce = 5000

// show prints the records that were delivered since the last time. A file that cannot be read is left out, and told.
func (v *logView) show() error {
	var rows []flowlog.Row
	var problems []error
	for row, err := range v.reader.Rows() {
		if err != nil {
			problems = append(problems, fmt.Errorf("flow log %s: %w", v.name, err))
			continue
		}
		v.read++
		if !v.filter.Match(row) {
			continue
		}
		if rows = append(rows, row); len(rows) == printedAtOnce {
			if err := v.printer.Print(rows); err != nil {
				return err
			}
			rows = rows[:0]
		}
	}
	if len(rows) > 0 {
		if err := v.printer.Print(rows); err != nil {
			return err
		}
	}
	return blame(errors.Join(problems...))
}

// follow prints records as they are delivered, until a signal or the lab's end.
func (v *logView) follow(ctx context.Context, s *logSource) error {
	beat := time.NewTicker(100 * time.Millisecond)
	defer beat.Stop()
	for {
		over := s.over()
		if err := v.show(); err != nil || over {
			return err
		}
		select {
		case <-ctx.Done():
			return v.written()
		case <-beat.C:
		}
	}
}

// conclude tells how the delivery of the flow log goes: always if asked to, else where it is not all that there is.
func (v *logView) conclude(s *logSource, o logsOptions) {
	_ = s.over() // as it is now, if it can be read
	i := slices.IndexFunc(s.catalog.Logs, func(l catalog.Log) bool { return l.ID == v.id })
	if i < 0 {
		return
	}
	for _, text := range deliveryOf(&s.catalog.Logs[i], s.catalog, v.read > 0, o.verbose) {
		v.note("flow log %s: %s", v.name, line(text))
	}
	if n := v.reader.Foreign(); n > 0 {
		v.note("flow log %s: %s there %s of another format, and not shown", v.name, count(n, "line"), isAre(n))
	}
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// deliveryOf says in words how a delivery goes, a line each.
func deliveryOf(l *catalog.Log, c *catalog.Catalog, some, verbose bool) (lines []string) {
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	s := l.State
	wait := ""
	if s.Waiting.Records > 0 {
		wait = fmt.Sprintf("; %s for delivery", counted(s.Waiting.Records, "record waits", "records wait"))
	}
	switch {
	case s.Status == "FAILED":
		say("delivery FAILED: %s: %s%s", s.Cause, s.Detail, wait)
	case some && (verbose || wait != ""):
		say("delivery %s%s%s", s.Status, wait, whenDue(l, c))
	case l.Endpoint != "":
		say("its records are in %s at %s: read them there%s", l.Destination, l.Endpoint, wait)
	case !some:
		say("nothing delivered yet%s%s", wait, whenDue(l, c))
	}
	if verbose {
		say("%s delivered in this run to %s", counted(s.Delivered.Records, "record", "records"), l.Destination)
	}
	if n := s.Skipped; n.Records > 0 {
		say("%s skipped (%d packets, %d bytes), for which the spool had no room", counted(n.Records, "record was", "records were"), n.Packets, n.Bytes)
	}
	if n := c.Skipped; n.Flows > 0 {
		say("%s skipped in this lab (%d packets, %d bytes), for which a window had no room", counted(n.Flows, "flow was", "flows were"), n.Packets, n.Bytes)
	}
	return lines
}

func counted(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// whenDue says when the next delivery is due.
func whenDue(l *catalog.Log, c *catalog.Catalog) string {
	const clock = "2006-01-02 15:04:05"
	switch {
	case c.Over:
		return "; the lab has ended"
	case l.Ended && l.Due.IsZero():
		return "; the flow log was removed"
	case l.Due.IsZero():
		return "; the next delivery is due at once"
	}
	return fmt.Sprintf("; the next delivery is due at %s lab time (it is %s)", l.Due.UTC().Format(clock), c.Time(time.Now()).UTC().Format(clock))
}

// checkOut refuses a folder for flow logs in which nothing can be written, before anything is built.
func checkOut(dir string) error {
	if dir == "" {
		return nil
	}
	const block = 4096 // a full disk may still have room for a name
	probe := filepath.Join(dir, ".vpclab-out")
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = errors.Join(os.WriteFile(probe, make([]byte, block), 0o600), os.Remove(probe))
	}
	if err != nil {
		return outside("--out", dir, firstOf(err))
	}
	return nil
}

// firstOf is the first of joined errors: the one that the others follow from.
func firstOf(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()[0]
	}
	return err
}
