package main

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/check"
	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/ctrl/vpc"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// shop is a report with a bit of everything.
func shop(t *testing.T) *report {
	t.Helper()
	source := "name: shop\nchecks:\n" +
		"  - {name: web reaches db}\n" + // line 3
		"  - {name: the internet sees web's public address}\n" +
		"  - change:                          # the default route goes\n" +
		"      vpcs: {app: {route_tables:\n" +
		"        {main: {routes: {\"0.0.0.0/0\": null}}}}}\n" +
		"  - {name: nobody on the internet reaches db}\n" + // line 8
		"  - advance: 350s\n" +
		"  - {name: a page}\n"
	file := filepath.Join(t.TempDir(), "shop.yaml")
	if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	web := scenario.Node{VPC: "app", Name: "web"}
	checks := []*scenario.Check{
		{Name: "web reaches db", From: web, Do: scenario.Do{Text: "tcp 5432 to db"}, Expect: scenario.Expect{Outcome: scenario.OK}},
		{Name: "the internet sees web's public address", From: web, Do: scenario.Do{Text: "http http://203.0.113.80/"},
			Expect: scenario.Expect{Outcome: scenario.OK}, SeenAs: netip.MustParseAddr("198.18.0.1")},
		{Name: "nobody on the internet reaches db", From: scenario.Node{Name: "example"}, Do: scenario.Do{Text: "tcp 5432 to db.public"},
			Expect: scenario.Expect{Outcome: scenario.Timeout}, Because: "IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS"},
		{Name: "a page", From: web, Do: scenario.Do{Text: "http http://10.0.1.5/"}, Expect: scenario.Expect{Outcome: scenario.OK}},
	}
	return &report{
		File: file,
		Scenario: &scenario.Scenario{File: file, Name: "shop", About: "Two tiers and an internet.", Model: &vpc.Model{
			VPCs:  []*vpc.VPC{{Name: "app", Instances: []*vpc.Instance{{Name: "web"}, {Name: "db"}}}},
			Hosts: []*vpc.Host{{Name: "example"}},
		}},
		Steps: []scenario.Step{{Line: 3, Check: checks[0]}, {Line: 4, Check: checks[1]}, {Line: 5, Change: &vpc.Model{}},
			{Line: 8, Check: checks[2]}, {Line: 9, Advance: 350 * time.Second}, {Line: 10, Check: checks[3]}},
		Checks: checks,
		Results: []check.Result{
			{Check: checks[0], Pass: true, Got: scenario.OK, MS: 1.234},
			{Check: checks[1], Pass: true, Got: scenario.OK, MS: 12.7, SeenAs: "198.18.0.1", Detail: "status 200"},
			{Check: checks[2], Pass: true, Got: scenario.Timeout, MS: 512.3, Reason: flow.IGWNoPrivateIPIngress, At: "igw",
				Drops: []check.Drop{{Reason: flow.IGWNoPrivateIPIngress, At: "igw"}}},
			{Check: checks[3], Got: scenario.Timeout, MS: 5003, Detail: "expected ok, got timeout: no answer within 5 s",
				Reason: flow.SGRulesMismatch, At: "db/sg-in", Drops: []check.Drop{aDrop, aDrop, aDrop}},
		},
		Up: 83 * time.Millisecond, Down: 41 * time.Millisecond, Built: true,
	}
}

// tell prints reports as a run does.
func tell(c *console, several bool, reports ...*report) {
	h := &humanReporter{console: c, several: several}
	for _, r := range reports {
		h.built(r)
		next := 0
		for _, s := range r.Steps {
			if s.Check == nil {
				h.step(r, s)
				continue
			}
			if next < len(r.Results) {
				h.checked(r, r.Results[next])
				next++
			}
		}
		h.removed(r)
	}
	h.total(reports)
}

// withoutDir takes the folder that a test made out of its output.
func withoutDir(out string, r *report) string {
	return strings.ReplaceAll(out, filepath.Dir(r.File)+string(filepath.Separator), "")
}

func TestPlainResults(t *testing.T) {
	var out, errs buffer
	r := shop(t)
	tell(plainConsole(&out, &errs), false, r)
	golden(t, "plain.txt", withoutDir(out.String(), r))
}

func TestResultsOnATerminal(t *testing.T) {
	for name, width := range map[string]int{"terminal-80.txt": 80, "terminal-120.txt": 120} {
		var out, errs buffer
		c := &console{out: &out, err: &errs, size: func() int { return width }, outStyle: style{symbols: true}}
		r := shop(t)
		r.File = filepath.Join(filepath.Dir(r.File), "shop.yaml")
		tell(c, false, r)
		text := withoutDir(out.String(), r)
		golden(t, name, text)
		for _, l := range strings.Split(text, "\n") {
			if columns(l) > width && strings.HasPrefix(l, "  ✓") {
				t.Errorf("%d columns on a terminal of %d: %s", columns(l), width, l)
			}
		}
	}
}

// services is a report of checks of names and services.
func services(t *testing.T) *report {
	t.Helper()
	r := shop(t)
	web := scenario.Node{VPC: "app", Name: "web"}
	row := func(name, do string, verb scenario.Verb, expect scenario.Outcome) *scenario.Check {
		return &scenario.Check{Name: name, From: web, Do: scenario.Do{Text: do, Verb: verb}, Expect: scenario.Expect{Outcome: expect}}
	}
	why := []string{"endpoint app/s3: no statement of its policy allows s3:PutObject on arn:aws:s3:::logs/a"}
	r.Results = []check.Result{
		{Check: row("db has two addresses", "dns db.corp", scenario.DNS, scenario.OK), Pass: true, Got: scenario.OK, MS: 2,
			Answers: []string{"10.0.1.5", "10.0.1.6"}},
		{Check: row("and none of IPv6", "dns db.corp AAAA", scenario.DNS, scenario.OK), Pass: true, Got: scenario.OK, MS: 2, Answers: []string{}},
		{Check: row("nobody is called so", "dns gone.corp", scenario.DNS, scenario.NXDomain), Pass: true, Got: scenario.NXDomain, MS: 2},
		{Check: row("web may not write", "s3 put logs/a x", scenario.S3, scenario.Denied), Pass: true, Got: scenario.Denied, MS: 9,
			Detail: "AccessDenied: Access Denied", Denials: why},
		{Check: row("web may write", "s3 put logs/a x", scenario.S3, scenario.OK), Got: scenario.Denied, MS: 9,
			Detail: "expected ok, got denied: AccessDenied: Access Denied", Denials: why},
		{Check: row("web finds it", "s3 get logs/b", scenario.S3, scenario.OK), Got: check.Failed, MS: 9,
			Detail: "expected ok, got failed: NoSuchKey: The specified key does not exist."},
		{Check: row("web reaches the shop", "tcp 80 to endpoint.shop", scenario.TCP, scenario.OK), Got: scenario.Reset, MS: 1,
			Detail: "expected ok, got reset: RST on the established connection", Denials: []string{"endpoint service data/shop: no target is healthy"}},
	}
	r.Steps, r.Checks = nil, nil
	for i, result := range r.Results {
		r.Checks = append(r.Checks, result.Check)
		r.Steps = append(r.Steps, scenario.Step{Line: i + 3, Check: result.Check})
	}
	return r
}

func TestResultsOfServices(t *testing.T) {
	for name, width := range map[string]int{"services.txt": 0, "services-60.txt": 60} {
		var out, errs buffer
		r := services(t)
		tell(&console{out: &out, err: &errs, size: func() int { return width }}, false, r)
		golden(t, name, withoutDir(out.String(), r))
	}
}

func TestColoursOnATerminal(t *testing.T) {
	var out, errs buffer
	c := &console{out: &out, err: &errs, size: func() int { return 100 }, outStyle: style{symbols: true, colour: true}}
	r := shop(t)
	tell(c, false, r)
	for _, want := range []string{"\x1b[32m✓\x1b[0m", "\x1b[31m✗\x1b[0m", "\x1b[31m3 passed, 1 failed\x1b[0m\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %q:\n%s", want, out.String())
		}
	}
}

func TestSeveralFilesEndWithASummary(t *testing.T) {
	var out, errs buffer
	first, second := shop(t), shop(t)
	second.File = filepath.Join(filepath.Dir(first.File), "second.yaml")
	second.Results, second.Err = second.Results[:1], errors.New("line 5: change: out of cheese")
	third := &report{File: filepath.Join(filepath.Dir(first.File), "third.yaml"), Scenario: first.Scenario, NotRun: true}
	c := plainConsole(&out, &errs)
	h := &humanReporter{console: c, several: true}
	for _, r := range []*report{first, second} {
		h.removed(r)
	}
	h.total([]*report{first, second, third})
	golden(t, "summary.txt", withoutDir(out.String(), first))
}

func TestTextFromFilesCannotDriveTheTerminal(t *testing.T) {
	c := &scenario.Check{Name: "a\x1b[2Jb\nc", Do: scenario.Do{Text: "exec \x07"}, Expect: scenario.Expect{Outcome: scenario.OK}}
	r := check.Result{Check: c, Got: scenario.Timeout, Detail: "it said \x1b]0;title\x07\nand more", Drops: []check.Drop{
		{Reason: flow.NoRoute, At: "x\x1b", Hops: []string{"x\x1b: y"}, Advice: "do\x1b z"}}}
	text := layout([]*scenario.Check{c}, 0).row(r, style{}) + explain(r, style{})
	if strings.ContainsAny(text, "\x1b\x07") {
		t.Errorf("a control character gets through: %q", text)
	}
	if !strings.Contains(text, "a[2Jb c") || !strings.Contains(text, "\n                and more\n") {
		t.Errorf("lines are lost or not indented:\n%s", text)
	}
}

func TestStepsAreQuotedFromTheFile(t *testing.T) {
	change := scenario.Step{Line: 1, Change: &vpc.Model{}}
	for _, row := range []struct {
		about, source string
		step          scenario.Step
		want          string
	}{
		{"on one line", "  - change: {vpcs: null}\n  - advance: 1s\n", change, "change {vpcs: null}"},
		{"a comment is left out", "- change: {a: \"#1\"}   # why\n", change, `change {a: "#1"}`},
		{"as a block", "- change:\n    vpcs:\n\n      app: {cidr: 1}\n- x: 1\n", change, "change vpcs: app: {cidr: 1}"},
		{"a zone that goes down", "- az_down: us-east-1b\n", scenario.Step{Line: 1, Change: &vpc.Model{}, Zone: scenario.Zone{Name: "us-east-1b", Down: true}},
			"az_down us-east-1b"},
		{"a zone that comes up", "- az_up: us-east-1b\n", scenario.Step{Line: 1, Change: &vpc.Model{}, Zone: scenario.Zone{Name: "us-east-1b"}}, "az_up us-east-1b"},
		{"an advance", "- advance: 350s\n", scenario.Step{Line: 1, Advance: 350 * time.Second}, "advance 350s"},
		{"another key stands there", "- advance: 1s\n", change, "change (line 1)"},
		{"the file is gone", "", change, "change (line 1)"},
		{"beyond the end of the file", "x", scenario.Step{Line: 7, Advance: 1}, "advance (line 7)"},
	} {
		if got := stepText([]byte(row.source), row.step); got != row.want {
			t.Errorf("%s: %q, want %q", row.about, got, row.want)
		}
	}
}
