package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/vpclab/vpclab/ctrl/check"
	"github.com/vpclab/vpclab/ctrl/scenario"
)

// humanReporter prints results for people:
//
//	shop  Two tiers and an internet.
//	scenarios/shop.yaml: 1 VPC, 2 instances, up in 83 ms
//
//	  ✓ web reaches app          ok       1.2 ms
//	  · advance 350s
//	  ✗ app is closed to the world  timeout  512 ms  ENI_SG_RULES_MISMATCH at app/sg-in
//	      …
type humanReporter struct {
	*console
	several bool // more than one file: each has a tally of its own
	columns table
	source  []byte // of the file, to quote its steps
}

func (h *humanReporter) built(r *report) {
	st := h.outStyle
	h.columns = layout(r.Checks, h.size())
	h.source, _ = os.ReadFile(r.File) // without it a step is told of by its line number alone

	var b strings.Builder
	b.WriteString(st.bold(line(r.Scenario.Name)))
	if about := line(r.Scenario.About); about != "" {
		b.WriteString("  " + shorten(about, h.size()-columns(r.Scenario.Name)-2))
	}
	fmt.Fprintf(&b, "\n%s\n\n", st.dim(fmt.Sprintf("%s: %s, up in %s", line(r.File), inventory(r.Scenario), span(r.Up))))
	h.print(b.String())
}

// inventory counts what a scenario declares: "2 VPCs, 5 instances, 1 internet host".
func inventory(s *scenario.Scenario) string {
	instances := 0
	for _, v := range s.Model.VPCs {
		instances += len(v.Instances)
	}
	parts := []string{count(len(s.Model.VPCs), "VPC"), count(instances, "instance")}
	if n := len(s.Model.Hosts); n > 0 {
		parts = append(parts, count(n, "internet host"))
	}
	return strings.Join(parts, ", ")
}

func (h *humanReporter) step(_ *report, s scenario.Step) {
	text := stepText(h.source, s)
	h.print(h.outStyle.dim("  "+h.outStyle.symbol("·", "--  ")+" "+shorten(text, h.size()-4)) + "\n")
}

func (h *humanReporter) checked(_ *report, r check.Result) {
	h.print(h.columns.row(r, h.outStyle))
	if !r.Pass {
		h.print(explain(r, h.outStyle))
	}
}

func (h *humanReporter) removed(r *report) {
	if !r.Built {
		return
	}
	text := "removed in " + span(r.Down)
	if h.several {
		text = r.tally().String() + ", " + text
	}
	h.print(h.outStyle.dim("  "+text) + "\n\n")
}

func (h *humanReporter) total(reports []*report) {
	h.print(failures(reports, h.outStyle))
	all := totals(reports)
	dress := h.outStyle.green
	if all.failed > 0 {
		dress = h.outStyle.red
	}
	h.print(dress(all.String()) + "\n")
}

// String is the contract's last line.
func (t tally) String() string { return fmt.Sprintf("%d passed, %d failed", t.passed, t.failed) }

// totals adds up the files.
func totals(reports []*report) tally {
	var all tally
	for _, r := range reports {
		t := r.tally()
		all.passed += t.passed
		all.failed += t.failed
	}
	return all
}

// failures lists what failed once more when it may have scrolled away: more than one failure, or a file that was not run to its end
// among several.
func failures(reports []*report, st style) string {
	var rows []string
	for _, r := range reports {
		for _, result := range r.Results {
			if !result.Pass {
				rows = append(rows, fmt.Sprintf("  %s:%d: %s", line(r.File), lineOf(r, result.Check), line(result.Check.Name)))
			}
		}
		if (r.Err != nil || r.NotRun) && len(reports) > 1 {
			rows = append(rows, fmt.Sprintf("  %s: not run to its end", line(r.File)))
		}
	}
	if len(rows) == 0 || len(rows) == 1 && len(reports) == 1 {
		return ""
	}
	return st.bold("failed:") + "\n" + strings.Join(rows, "\n") + "\n\n"
}

// lineOf is the line of a check in its file.
func lineOf(r *report, c *scenario.Check) int {
	for _, s := range r.Steps {
		if s.Check == c {
			return s.Line
		}
	}
	return 0
}

// explain tells why a check failed: what it did, what came of it, which policies denied it, the flow-log records that it failed over, the
// way of the first dropped packet, the rule that stopped it, and what change would let it pass.
func explain(r check.Result, st style) string {
	var b strings.Builder
	b.WriteString(paragraph("check", line(from(r.Check)+r.Check.Do.Text), st))
	b.WriteString(paragraph("failed", printable(why(r)), st))
	b.WriteString(paragraph(string(r.Got), denied(r), st))
	if r.Wrong != nil { // then what was dropped was as expected
		return b.String() + paragraph("records", printable(recordsNear(r.Wrong)), st)
	}
	if len(r.Drops) == 0 {
		return b.String()
	}
	first := r.Drops[0]
	b.WriteString(paragraph("path", way(first, st), st))
	b.WriteString(paragraph("dropped", fmt.Sprintf("%s: %s", dropped(first.Reason, first.At), first.Reason.Info().About), st))
	b.WriteString(paragraph("to pass", printable(first.Advice), st))
	if n := len(r.Drops) - 1; n > 0 {
		b.WriteString(paragraph("", st.dim("("+count(n, "more packet")+" of this check dropped)"), st))
	}
	return b.String()
}

// denied is why services denied requests of the check, or reset its connection, a line each.
func denied(r check.Result) string {
	lines := make([]string, len(r.Denials))
	for i, d := range r.Denials {
		lines[i] = line(d)
	}
	return strings.Join(lines, "\n")
}

// way is a packet's hops, a line each, with what was met at each in a column of its own; at the last one the packet was dropped.
func way(d check.Drop, st style) string {
	width := 0
	for _, hop := range d.Hops {
		at, _, _ := strings.Cut(line(hop), ": ")
		width = max(width, columns(at))
	}
	lines := make([]string, len(d.Hops))
	for i, hop := range d.Hops {
		mark := st.dim(st.symbol("↓", "|"))
		if i == len(d.Hops)-1 {
			mark = st.red(st.symbol("✗", "X"))
		}
		// The reason stands below, with what it means.
		at, met, _ := strings.Cut(strings.TrimSuffix(line(hop), " -- "+d.Reason.String()), ": ")
		lines[i] = strings.TrimRight(mark+" "+pad(at, width)+"  "+met, " ")
	}
	return strings.Join(lines, "\n")
}

// paragraph is a labelled text below a failed check, further lines under the first; an empty text is nothing.
func paragraph(label, text string, st style) string {
	const hang = "\n                "
	text = strings.TrimRight(text, "\n")
	if text == "" {
		return ""
	}
	return "      " + st.dim(pad(label, 8)) + "  " + strings.ReplaceAll(text, "\n", hang) + "\n"
}

// from names who acts: "app/web: ", or nothing when the check has no sender of its own (say, close).
func from(c *scenario.Check) string {
	if c.From == (scenario.Node{}) {
		return ""
	}
	return c.From.String() + ": "
}

// why says in one sentence why a check failed.
func why(r check.Result) string {
	if r.Detail != "" {
		return r.Detail
	}
	return fmt.Sprintf("expected %s, got %s", r.Check.Expect.Outcome, outcome(r))
}

// outcome is how a check ended, in one word.
func outcome(r check.Result) string {
	if r.Err != nil {
		return "error"
	}
	return string(r.Got)
}

// symbol is the mark that this stream can show.
func (s style) symbol(drawn, plain string) string {
	if s.symbols {
		return drawn
	}
	return plain
}

// stepText quotes a step between checks from its file, on one line: the item of the list without its dash and comments. It is
// "change (line N)" when the file does not show the step there.
func stepText(source []byte, s scenario.Step) string {
	name := stepName(s)
	fallback := fmt.Sprintf("%s (line %d)", name, s.Line)
	lines := bytes.Split(source, []byte("\n"))
	if s.Line < 1 || s.Line > len(lines) {
		return fallback
	}
	first := string(lines[s.Line-1])
	text := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(withoutComment(first)), "-"))
	for _, l := range lines[s.Line:] {
		next := withoutComment(string(l))
		if strings.TrimSpace(next) == "" {
			continue
		}
		if indent(next) <= indent(first) {
			break
		}
		text += " " + strings.TrimSpace(next)
	}
	value, found := strings.CutPrefix(text, name+":")
	if !found {
		return fallback
	}
	return name + " " + line(value)
}

func indent(s string) int { return len(s) - len(strings.TrimLeft(s, " ")) }

// withoutComment cuts a YAML comment: a # at the beginning or after a space, outside quotes.
func withoutComment(s string) string {
	quote := rune(0)
	before := ' '
	for i, r := range s {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote = r
		case quote == 0 && r == '#' && before == ' ':
			return s[:i]
		}
		before = r
	}
	return s
}
