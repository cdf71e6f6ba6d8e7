package main

import (
	"fmt"
	"strings"

	"github.com/vpclab/vpclab/ctrl/check"
	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// table is the widths of a file's lines of checks, in columns; width is the terminal's, or 0 when lines may be as long as they like.
type table struct{ name, outcome, width int }

const (
	timeColumns = 7 // "999 ms", "59.99 s"
	// rowSpace is what a row takes beside name, outcome, time and reason: indent, mark, and the space between the columns.
	rowSpace = 4 + 3*2
	// leastName is how many columns of a name are shown on the narrowest terminal.
	leastName = 24
)

// layout makes the columns wide enough for these checks; on a terminal that is too narrow for all, names give way to the reasons
// that are expected.
func layout(checks []*scenario.Check, width int) table {
	t := table{width: width, outcome: len(scenario.Timeout)}
	reason := 0
	for _, c := range checks {
		t.name = max(t.name, columns(line(c.Name)))
		t.outcome = max(t.outcome, len(c.Expect.Outcome))
		reason = max(reason, len(c.Because))
	}
	if width > 0 {
		t.name = min(t.name, max(leastName, width-rowSpace-t.outcome-timeColumns-reason))
	}
	return t
}

// row is a check's line: mark, name, outcome, time, reason.
func (t table) row(r check.Result, st style) string {
	mark := st.green(st.symbol("✓", "pass"))
	if !r.Pass {
		mark = st.red(st.symbol("✗", "FAIL"))
	}
	name := line(r.Check.Name)
	if t.width > 0 {
		name = shorten(name, t.name)
	}
	name = pad(name, t.name)
	if !r.Pass {
		name = st.bold(name)
	}
	text := fmt.Sprintf("  %s %s  %s  %*s", mark, name, pad(outcome(r), t.outcome), timeColumns, span(milliseconds(r.MS)))
	if reason := t.reason(r); reason != "" {
		text += "  " + st.dim(reason)
	}
	return text + "\n"
}

// reason is a row's last column, as much of it as has room: the drop reason and its hop, else why a service refused, the source
// address that was seen, or the answers.
func (t table) reason(r check.Result) string {
	room := t.width - rowSpace - t.name - t.outcome - timeColumns
	fits := func(s string) bool { return t.width <= 0 || columns(s) <= room }
	switch {
	case r.Reason != flow.None && fits(dropped(r.Reason, r.At)):
		return dropped(r.Reason, r.At)
	case r.Reason != flow.None && t.width > 0:
		return shorten(r.Reason.String(), max(1, room))
	case len(r.Denials) > 0:
		return t.cut(line(r.Denials[0]), room)
	case r.Check.SeenAs.IsValid() && r.SeenAs != "" && fits("seen as "+r.SeenAs):
		return "seen as " + r.SeenAs
	case r.Pass && r.Answers != nil:
		return t.cut(answered(r), room)
	}
	return ""
}

// cut is as much of a text as has room; nothing where that would say nothing.
func (t table) cut(text string, room int) string {
	const least = 12
	switch {
	case t.width <= 0:
		return text
	case room < least:
		return ""
	}
	return shorten(text, room)
}

// answered lists what a check found: records or keys.
func answered(r check.Result) string {
	if len(r.Answers) == 0 {
		return "no answers"
	}
	return line(strings.Join(r.Answers, ", "))
}

// dropped reads "REASON at HOP".
func dropped(reason flow.Reason, at string) string {
	if at == "" {
		return reason.String()
	}
	return reason.String() + " at " + line(at)
}
