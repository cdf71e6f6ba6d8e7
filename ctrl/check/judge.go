package check

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vpclab/vpclab/ctrl/scenario"
)

// seen is what a check observed, before anybody says whether that is right.
type seen struct {
	outcome scenario.Outcome
	detail  string
	source  netip.Addr // as the listener reported it
	mtu     int        // of an ICMP error, in bytes
	status  int        // of an HTTP answer; 0: there is none
	body    *string    // of an HTTP answer, an S3 object, or a DynamoDB item in JSON
	answers []string   // of a DNS query, or an S3 listing
	exit    *int
	err     error // the check could not be carried out
}

// seenOf is what a failed operation means.
func seenOf(err error) seen {
	if e, ok := ended(err); ok {
		return seen{outcome: e.outcome, detail: e.detail, mtu: e.mtu}
	}
	return seen{err: err}
}

// judge compares what was seen, and the drops of the check's connection, with what the check expects.
func judge(c *scenario.Check, s seen, drops []Drop) Result {
	r := Result{Check: c, Drops: drops}
	if len(drops) > 0 {
		r.Reason, r.At = drops[0].Reason, drops[0].At
	}
	if s.err != nil {
		r.Err, r.Detail = s.err, s.err.Error()
		return r
	}
	if s.source.IsValid() {
		r.SeenAs = s.source.String()
	}
	s = concluded(c.Expect, s)
	r.Got, r.Detail, r.Answers = s.outcome, s.detail, s.answers
	if complaint := firstComplaint(c, s, drops); complaint != "" {
		r.Detail = complaint
		return r
	}
	r.Pass = true
	return r
}

// concluded turns a status that is not the wanted one into the outcome `failed`.
func concluded(want scenario.Expect, s seen) seen {
	if s.outcome != scenario.OK {
		return s
	}
	if s.status != 0 {
		s.detail = fmt.Sprintf("status %d", s.status)
		if !statusWanted(want.Status, s.status) {
			s.outcome = Failed
		}
	}
	if s.exit != nil && *s.exit != wantedExit(want) {
		s.outcome = Failed
	}
	return s
}

func statusWanted(want, got int) bool {
	if want != 0 {
		return got == want
	}
	return got >= 200 && got < 400
}

func wantedExit(want scenario.Expect) int {
	if want.Exit == nil {
		return 0
	}
	return *want.Exit
}

// firstComplaint is a sentence about the first thing that is not as expected, or "".
func firstComplaint(c *scenario.Check, s seen, drops []Drop) string {
	for _, complain := range []func() string{
		func() string { return outcomeComplaint(c.Expect, s) },
		func() string { return bodyComplaint(c, s) },
		func() string { return answersComplaint(c, s) },
		func() string { return mtuComplaint(c.Expect, s) },
		func() string { return dropComplaint(c, drops) },
		func() string { return sourceComplaint(c.SeenAs, s.source) },
	} {
		if text := complain(); text != "" {
			return text
		}
	}
	return ""
}

func outcomeComplaint(want scenario.Expect, s seen) string {
	expected := want.Outcome
	if expected == "" {
		expected = scenario.OK
	}
	if s.outcome == expected {
		return ""
	}
	text := "expected " + string(expected)
	switch {
	case s.outcome == Failed && s.status != 0 && want.Status != 0:
		text = fmt.Sprintf("expected status %d", want.Status)
	case s.outcome == Failed && s.exit != nil && want.Exit != nil:
		text = fmt.Sprintf("expected exit status %d", *want.Exit)
	}
	text += ", got " + string(s.outcome)
	if s.detail != "" {
		text += ": " + s.detail
	}
	return text
}

func bodyComplaint(c *scenario.Check, s seen) string {
	if c.Expect.Body == nil || s.body == nil {
		return ""
	}
	want := *c.Expect.Body
	if c.Do.Verb == scenario.DynamoDB {
		want = canonicalJSON(want)
	}
	if *s.body == want {
		return ""
	}
	return fmt.Sprintf("expected body %q, got %q", clip(want), clip(*s.body))
}

// answersComplaint compares answers as sets.
func answersComplaint(c *scenario.Check, s seen) string {
	if c.Expect.Answers == nil || s.answers == nil {
		return ""
	}
	want := slices.Clone(c.Expect.Answers)
	if c.Do.Verb == scenario.DNS && c.Do.DNS.Type != "TXT" {
		for i, a := range want {
			want[i] = canonicalRecord(a)
		}
	}
	slices.Sort(want)
	if want = slices.Compact(want); slices.Equal(want, s.answers) {
		return ""
	}
	return fmt.Sprintf("expected answers %s, got %s", listed(want), listed(s.answers))
}

func listed(answers []string) string {
	if len(answers) == 0 {
		return "none"
	}
	return clip(strings.Join(answers, ", "))
}

func mtuComplaint(want scenario.Expect, s seen) string {
	if want.MTU == 0 || want.MTU == s.mtu {
		return ""
	}
	if s.mtu == 0 {
		return fmt.Sprintf("expected an ICMP error with MTU %d, got %s", want.MTU, s.detail)
	}
	return fmt.Sprintf("expected MTU %d, got %d", want.MTU, s.mtu)
}

func dropComplaint(c *scenario.Check, drops []Drop) string {
	if c.Because == "" && c.At == "" {
		return ""
	}
	if len(drops) == 0 {
		return fmt.Sprintf("expected a packet dropped %s, but none was", place(c.Because, c.At))
	}
	first := drops[0]
	if c.Because != "" && first.Reason.String() != c.Because || c.At != "" && !atMatches(first.At, c.At) {
		return fmt.Sprintf("expected a packet dropped %s, got one %s", place(c.Because, c.At), place(first.Reason.String(), first.At))
	}
	return ""
}

func place(reason, at string) string {
	switch {
	case at == "":
		return "for " + reason
	case reason == "":
		return "at " + at
	}
	return "for " + reason + " at " + at
}

// atMatches compares a hop with how the check writes it: in full ("web/sg-in"), or without its name ("sg-in").
func atMatches(hop, wanted string) bool {
	return hop == wanted || strings.HasSuffix(hop, "/"+wanted)
}

func sourceComplaint(want, got netip.Addr) string {
	switch {
	case !want.IsValid() || want.Unmap() == got.Unmap():
		return ""
	case !got.IsValid():
		return fmt.Sprintf("expected the listener to see %s, but it did not say whom it saw", want)
	}
	return fmt.Sprintf("expected the listener to see %s, but it saw %s", want, got)
}

// clip keeps a message readable.
func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

// assertsDrop reports whether the check asserts a drop.
func assertsDrop(c *scenario.Check) bool { return c.Because != "" || c.At != "" }
