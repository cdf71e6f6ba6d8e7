package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/vpclab/vpclab/ctrl/check"
)

// The elements of a JUnit report as CI servers read them: one suite a file, one case a check. A file that was not run to its end has
// one case more, named "lab", with the error, and its remaining checks are skipped.
type (
	junitSuites struct {
		XMLName xml.Name `xml:"testsuites"`
		junitCounts
		Suites []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name string `xml:"name,attr"`
		File string `xml:"file,attr"`
		junitCounts
		Cases []junitCase `xml:"testcase"`
	}
	junitCounts struct {
		Tests    int    `xml:"tests,attr"`
		Failures int    `xml:"failures,attr"`
		Errors   int    `xml:"errors,attr"`
		Skipped  int    `xml:"skipped,attr"`
		Time     string `xml:"time,attr"` // seconds
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitProblem `xml:"failure"`
		Error   *junitProblem `xml:"error"`
		Skipped *struct{}     `xml:"skipped"`
	}
	junitProblem struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",cdata"`
	}
)

// writeJUnit writes the reports of a run.
func writeJUnit(w io.Writer, reports []*report) error {
	var all junitSuites
	total := 0.0
	for _, r := range reports {
		suite, seconds := suiteOf(r)
		all.Suites = append(all.Suites, suite)
		all.Tests += suite.Tests
		all.Failures += suite.Failures
		all.Errors += suite.Errors
		all.Skipped += suite.Skipped
		total += seconds
	}
	all.Time = inSeconds(total)
	text, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("junit report: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, text)
	return err
}

func suiteOf(r *report) (junitSuite, float64) {
	name := r.File
	if r.Scenario != nil {
		name = r.Scenario.Name
	}
	suite := junitSuite{Name: name, File: r.File}
	seconds := r.Up.Seconds() + r.Down.Seconds()
	for _, result := range r.Results {
		seconds += result.MS / 1000
		suite.Cases = append(suite.Cases, caseOf(name, result))
		if !result.Pass {
			suite.Failures++
		}
	}
	for _, left := range r.Checks[len(r.Results):] {
		suite.Cases = append(suite.Cases, junitCase{Name: left.Name, Class: name, Time: inSeconds(0), Skipped: &struct{}{}})
		suite.Skipped++
	}
	if text := r.problem(); text != "" {
		suite.Cases = append(suite.Cases, junitCase{Name: "lab", Class: name, Time: inSeconds(0),
			Error: &junitProblem{Message: firstLine(text), Type: errorType(r.status()), Text: text}})
		suite.Errors++
	}
	suite.Tests = len(suite.Cases)
	suite.Time = inSeconds(seconds)
	return suite, seconds
}

func caseOf(class string, r check.Result) junitCase {
	c := junitCase{Name: r.Check.Name, Class: class, Time: inSeconds(r.MS / 1000)}
	if !r.Pass {
		c.Failure = &junitProblem{Message: line(why(r)), Type: outcome(r), Text: "\n" + explain(r, style{})}
	}
	return c
}

// errorType names an exit status for a report.
func errorType(status int) string {
	switch status {
	case statusUsage:
		return "wrong file"
	case statusMachine:
		return "machine"
	case statusBroken:
		return "vpclab"
	}
	return "interrupted"
}

func inSeconds(s float64) string { return fmt.Sprintf("%.3f", s) }

func firstLine(s string) string {
	first, _, _ := strings.Cut(s, "\n")
	return first
}
