package rules

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vpclab/vpclab/ctrl/scenario"
)

// unpaired judges a scenario: a lab that never came up must not pass it, and whoever reads it must learn what it shows.
func unpaired(s *scenario.Scenario) (findings []string) {
	if s.About == "" {
		findings = append(findings, "has no `about`: say the behaviour in a sentence")
	}
	arrives := false
	for _, step := range s.Steps {
		if step.Check == nil {
			continue
		}
		switch step.Check.Expect.Outcome {
		case scenario.OK, scenario.Refused, scenario.Reset: // the other end has answered
			arrives = true
		}
		if step.Check.Expect.Outcome == scenario.Timeout && step.Check.Because == "" {
			findings = append(findings, fmt.Sprintf("line %d: a check that must not arrive says `because`", step.Line))
		}
	}
	if !arrives {
		findings = append(findings, "nothing arrives in it: pair each cannot with a can")
	}
	return findings
}

func TestScenariosPairEachCannotWithACan(t *testing.T) {
	named := map[string]string{}
	for _, name := range committed(t) {
		if !below(name, "scenarios") || filepath.Ext(name) != ".yaml" {
			continue
		}
		s, err := scenario.Load(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, f := range unpaired(s) {
			t.Errorf("%s: %s", name, f)
		}
		if other, taken := named[s.Name]; taken { // labs of one name cannot run side by side
			t.Errorf("%s has the name of %s: %s", name, other, s.Name)
		}
		named[s.Name] = name
	}
	if len(named) < 10 {
		t.Errorf("only %d scenarios found", len(named))
	}
}

func TestScenarioRulesBite(t *testing.T) {
	const lab = "name: x\nvpcs: {a: {cidr: 10.0.0.0/16, subnets: {s: {cidr: 10.0.0.0/24, az: a}}, instances: {i: {subnet: s}, j: {subnet: s}}}}\n"
	for _, row := range []struct{ checks, want string }{
		{"checks: [{from: i, do: ping j}]", "has no `about`"},
		{"about: y\nchecks: [{from: i, do: ping j, expect: timeout}, {from: j, do: ping i}]", "line 4: a check that must not arrive says `because`"},
		{"about: y\nchecks: [{from: i, do: ping j, expect: timeout, because: NO_ROUTE_TO_DESTINATION}]", "nothing arrives in it"},
		{"about: y\nchecks: [{from: i, do: ping j}]", ""},
	} {
		s, err := scenario.Parse("x.yaml", []byte(lab+row.checks+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(unpaired(s), "\n")
		if !strings.Contains(got, row.want) || row.want == "" && got != "" {
			t.Errorf("%q: got %q, want %q", row.checks, got, row.want)
		}
	}
}
