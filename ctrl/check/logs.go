package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/ctrl/scenario"
)

// Records are what a flow log has delivered since a mark.
type Records struct {
	Conn []flowlog.Row // of one connection
	Idle []flowlog.Row // of no connection: NODATA and SKIPDATA, of every interface that the flow log covers
}

// of are the records among which a check looks for one.
func (r Records) of(want scenario.Record) []flowlog.Row {
	if want.Idle() {
		return r.Idle
	}
	return r.Conn
}

// Logged is a delivered record.
type Logged struct {
	Log string // the flow log's name
	Row flowlog.Row
}

// WrongRecord is a record that a check wants and that is missing, or that must not be and is.
type WrongRecord struct {
	Want      scenario.Record
	Forbidden bool
	// Near are the records of the check's traffic in that flow log: all of them if one is missing, those that differ least first; else
	// those that must not be.
	Near []Near
}

// Near is a record, and the fields in which it is not the one that was looked for.
type Near struct {
	Row     flowlog.Row
	Differs []flowlog.Field
}

// readLogs has the flow logs delivered that a check speaks of, and judges them. That moves lab time, so that it happens once a check, also
// when the check has failed already. Of several connections the records are the last one's: what goes to the resolver and to instance
// metadata is in no flow log (VPC user guide, flow log limitations).
func (r *Runner) readLogs(ctx context.Context, p *probe, result *Result) {
	names := logsOf(result.Check)
	if len(names) == 0 || result.Err != nil {
		return
	}
	delivered, err := r.lab.Records(ctx, p.mark, p.tuple, names)
	if err != nil {
		result.Err = fmt.Errorf("read flow logs: %w", err)
		result.Pass, result.Got, result.Detail = false, "", result.Err.Error()
		return
	}
	judgeLogs(result, names, delivered)
}

// logsOf are the flow logs that a check speaks of, each once.
func logsOf(c *scenario.Check) []string {
	var names []string
	for _, want := range slices.Concat(c.Logs, c.NoLogs) {
		if !slices.Contains(names, want.Log) {
			names = append(names, want.Log)
		}
	}
	return names
}

// judgeLogs compares what was delivered with what the check asserts of it.
func judgeLogs(r *Result, names []string, delivered map[string]Records) {
	idle := slices.ContainsFunc(slices.Concat(r.Check.Logs, r.Check.NoLogs), func(want scenario.Record) bool { return want.Idle() })
	for _, name := range names {
		rows := delivered[name].Conn
		if idle {
			rows = slices.Concat(rows, delivered[name].Idle)
		}
		for _, row := range rows {
			r.Logs = append(r.Logs, Logged{name, row})
		}
	}
	if !r.Pass {
		return
	}
	r.Wrong = firstWrong(r.Check, delivered)
	if r.Wrong != nil {
		r.Pass, r.Detail = false, r.Wrong.String()
	}
}

// firstWrong is the first record that is not as expected, or nil.
func firstWrong(c *scenario.Check, delivered map[string]Records) *WrongRecord {
	for _, want := range c.Logs {
		all := nearest(want, delivered[want.Log].of(want))
		if len(all) == 0 || len(all[0].Differs) > 0 {
			return &WrongRecord{Want: want, Near: all}
		}
	}
	for _, want := range c.NoLogs {
		all := nearest(want, delivered[want.Log].of(want))
		differs := func(n Near) bool { return len(n.Differs) > 0 }
		if found := slices.DeleteFunc(all, differs); len(found) > 0 {
			return &WrongRecord{Want: want, Forbidden: true, Near: found}
		}
	}
	return nil
}

// nearest compares rows with a record, those that differ in the fewest fields first.
func nearest(want scenario.Record, rows []flowlog.Row) []Near {
	all := make([]Near, len(rows))
	for i, row := range rows {
		all[i] = Near{row, want.Differs(row)}
	}
	slices.SortStableFunc(all, func(a, b Near) int { return cmp.Compare(len(a.Differs), len(b.Differs)) })
	return all
}

// String is the sentence that tells of it.
func (w *WrongRecord) String() string {
	what, there := "a record in flow log "+w.Want.Text, "nothing of this check is in it"
	if w.Want.Idle() {
		there = "there is none"
	}
	switch n := len(w.Near); {
	case w.Forbidden && n == 1:
		return "expected no record in flow log " + w.Want.Text + ", but there is one"
	case w.Forbidden:
		return fmt.Sprintf("expected no record in flow log %s, but there are %d", w.Want.Text, n)
	case n == 1:
		there = "the one that is there differs"
	case n > 1:
		there = fmt.Sprintf("the %d that are there differ", n)
	}
	return "expected " + what + ", but " + there
}
