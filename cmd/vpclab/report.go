package main

import (
	"strings"
	"time"

	"github.com/vpclab/vpclab/ctrl/check"
	"github.com/vpclab/vpclab/ctrl/scenario"
)

// report is what became of one scenario file.
type report struct {
	File     string
	Scenario *scenario.Scenario // nil when the file is wrong
	Steps    []scenario.Step    // those that were to be done, in order
	Checks   []*scenario.Check  // the checks among them
	Results  []check.Result     // of the first len(Results) of them
	Up, Down time.Duration      // building the lab and removing it
	Built    bool               // the lab came up
	NotRun   bool               // the run ended before this file's turn
	Err      error              // why not all was run, or why the lab could not be removed cleanly

	Undelivered error // what of its flow logs could not be delivered
}

// tally counts passed and failed checks.
func (r *report) tally() tally {
	var t tally
	for _, result := range r.Results {
		t.add(result.Pass)
	}
	return t
}

// tally is how many checks passed and failed.
type tally struct{ passed, failed int }

func (t *tally) add(pass bool) {
	if pass {
		t.passed++
	} else {
		t.failed++
	}
}

// status is the exit status that this file alone would have.
func (r *report) status() int {
	if r.Undelivered != nil {
		return max(r.ran(), statusMachine)
	}
	return r.ran()
}

// ran is the exit status without what became of flow logs.
func (r *report) ran() int {
	status := statusOf(r.Err)
	for _, result := range r.Results {
		status = max(status, checkStatus(result))
	}
	return status
}

// problem says what went wrong beside checks; "" if nothing did.
func (r *report) problem() string {
	var parts []string
	if r.Err != nil {
		parts = append(parts, ending(r))
	}
	if r.Undelivered != nil {
		parts = append(parts, printable(r.Undelivered.Error()))
	}
	return strings.Join(parts, "\n")
}

// checkStatus is the exit status that one check alone would have. One that could not be carried out at all did not fail: something of
// vpclab's own did, or the machine forbids it. That a program of the user's cannot be started is the user's affair, though.
func checkStatus(r check.Result) int {
	switch {
	case r.Pass:
		return statusPassed
	case r.Err != nil && r.Check.Do.Verb != scenario.Exec:
		return statusOf(blame(r.Err))
	}
	return statusFailed
}

// reporter tells of files while they are run.
type reporter interface {
	built(r *report)                 // the lab is up, its checks are about to run
	step(r *report, s scenario.Step) // a step between checks begins
	checked(r *report, result check.Result)
	removed(r *report)       // the lab is gone, or never came up; r is complete
	total(reports []*report) // all files are done
}

func milliseconds(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }
