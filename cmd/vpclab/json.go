package main

import (
	"bytes"
	"encoding/json"
	"math"
	"time"

	"github.com/vpclab/vpclab/ctrl/check"
	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// jsonReporter prints one document a file on a line each and nothing else on standard output. What people would miss, the
// explanations of failed checks and the last line, goes to standard error.
type jsonReporter struct{ *console }

// fileJSON is one file's document. Its fields are a contract.
type fileJSON struct {
	Lab    string      `json:"lab"`
	Passed int         `json:"passed"`
	Failed int         `json:"failed"`
	UpMS   float64     `json:"up_ms"`           // building the lab
	DownMS float64     `json:"down_ms"`         // removing it
	Checks []checkJSON `json:"checks"`          // those that were run
	Error  string      `json:"error,omitempty"` // only when the file was not run to its end: why
}

// checkJSON is one check. Fields that do not apply are empty; because and at are what was seen, not what was expected.
type checkJSON struct {
	Name    string  `json:"name"`
	From    string  `json:"from"`
	Do      string  `json:"do"`
	Expect  string  `json:"expect"`
	Got     string  `json:"got"`
	Because string  `json:"because"`
	At      string  `json:"at"`
	SeenAs  string  `json:"seen_as"`
	Status  string  `json:"status"` // pass or fail
	MS      float64 `json:"ms"`
	// Logs are the records of the check's traffic in the flow logs that it speaks of.
	Logs []loggedJSON `json:"logs"`
	// Answers are the records of a DNS answer, or the keys of an S3 listing; Denials say why policies denied a request, or a service reset
	// a connection. Only checks that have them have these fields.
	Answers *[]string `json:"answers,omitempty"`
	Denials []string  `json:"denials,omitempty"`
}

func (j *jsonReporter) built(*report)               {}
func (j *jsonReporter) step(*report, scenario.Step) {}

func (j *jsonReporter) checked(r *report, result check.Result) {
	if !result.Pass {
		j.note("%s: %s\n%s", r.File, line(result.Check.Name), explain(result, j.errStyle))
	}
}

func (j *jsonReporter) removed(r *report) {
	text, err := encodeReport(r)
	if err != nil {
		panic(err) // strings and finite numbers always encode
	}
	j.print(string(text))
}

func (j *jsonReporter) total(reports []*report) {
	j.note("%s", totals(reports))
}

// encodeReport is a report's document and the newline after it.
func encodeReport(r *report) ([]byte, error) {
	t := r.tally()
	doc := fileJSON{
		Lab: r.Scenario.Name, Passed: t.passed, Failed: t.failed,
		UpMS: inMS(r.Up), DownMS: inMS(r.Down), Checks: []checkJSON{},
	}
	doc.Error = r.problem()
	for _, result := range r.Results {
		doc.Checks = append(doc.Checks, encodeResult(result))
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(doc)
	return b.Bytes(), err
}

func encodeResult(r check.Result) checkJSON {
	doc := checkJSON{
		Name: r.Check.Name, From: r.Check.From.String(), Do: r.Check.Do.Text, Expect: string(r.Check.Expect.Outcome), Got: outcome(r),
		At: r.At, SeenAs: r.SeenAs, Status: "fail", MS: inMS(milliseconds(r.MS)), Logs: encodeLogs(r.Logs),
		Denials: r.Denials,
	}
	if r.Pass {
		doc.Status = "pass"
	}
	if r.Answers != nil {
		doc.Answers = &r.Answers
	}
	if r.Reason != flow.None {
		doc.Because = r.Reason.String()
	}
	return doc
}

// inMS is a duration in milliseconds, to the microsecond.
func inMS(d time.Duration) float64 { return math.Round(float64(d)/1e3) / 1e3 }
