package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vpclab/vpclab/ctrl/scenario"
)

// selectSteps keeps the checks whose names are in only, all steps between checks, and the checks without which a selected one could
// not run: `say` and `close` need the check that keeps their connection. Without names all steps stay; without a check of that name
// nothing does.
func selectSteps(steps []scenario.Step, only []string) []scenario.Step {
	if len(only) == 0 {
		return steps
	}
	wanted := make([]bool, len(steps))
	found := false
	for i, step := range steps {
		if step.Check == nil {
			wanted[i] = true
			continue
		}
		if !slices.Contains(only, step.Check.Name) {
			continue
		}
		wanted[i], found = true, true
		if k := keeper(steps[:i], step.Check.Do.Held); k >= 0 {
			wanted[k] = true
		}
	}
	if !found {
		return nil
	}
	var kept []scenario.Step
	for i, step := range steps {
		if wanted[i] {
			kept = append(kept, step)
		}
	}
	return kept
}

// keeper is the index of the last check that keeps a connection under that name, or -1.
func keeper(steps []scenario.Step, held string) int {
	if held == "" {
		return -1
	}
	for i, step := range slices.Backward(steps) {
		if step.Check != nil && step.Check.Keep == held {
			return i
		}
	}
	return -1
}

// checksOf lists the checks among steps.
func checksOf(steps []scenario.Step) []*scenario.Check {
	var checks []*scenario.Check
	for _, step := range steps {
		if step.Check != nil {
			checks = append(checks, step.Check)
		}
	}
	return checks
}

// checkNames refuses names of --only that no check of any file has.
func checkNames(scenarios []*scenario.Scenario, only []string) error {
	var names []string
	for _, s := range scenarios {
		for _, c := range checksOf(s.Steps) {
			names = append(names, c.Name)
		}
	}
	for _, name := range only {
		if slices.Contains(names, name) {
			continue
		}
		hint := didYouMean(name, names)
		if hint == "" {
			hint = containing(name, names)
		}
		return wrong("--only %q: no check has this name%s", name, hint)
	}
	return nil
}

// containing proposes the names of which the word is a part, three at most.
func containing(word string, names []string) string {
	var found []string
	for _, n := range names {
		if strings.Contains(strings.ToLower(n), strings.ToLower(word)) && len(found) < 3 {
			found = append(found, fmt.Sprintf("%q", n))
		}
	}
	if len(found) == 0 {
		return "; write the whole name as in the file"
	}
	return "; the whole name is needed: " + strings.Join(found, ", ")
}
