package main

import (
	"encoding/xml"
	"errors"
	"strings"
	"syscall"
	"testing"
)

func TestJSONDocument(t *testing.T) {
	text, err := encodeReport(shop(t))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), "\n") != 1 || text[len(text)-1] != '\n' {
		t.Errorf("a document is one line, got:\n%s", text)
	}
	golden(t, "report.json", string(text))
}

func TestJSONOfServices(t *testing.T) {
	text, err := encodeReport(services(t))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "services.json", string(text))
}

func TestJUnitReport(t *testing.T) {
	r := shop(t)
	var b strings.Builder
	if err := writeJUnit(&b, []*report{r}); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.xml", withoutDir(b.String(), r))

	broken := shop(t)
	broken.Results, broken.Err = broken.Results[:2], interrupted{syscall.SIGINT}
	b.Reset()
	if err := writeJUnit(&b, []*report{r, broken}); err != nil {
		t.Fatal(err)
	}
	var all junitSuites
	if err := xml.Unmarshal([]byte(b.String()), &all); err != nil {
		t.Fatal(err)
	}
	want := junitCounts{Tests: 9, Failures: 1, Errors: 1, Skipped: 2, Time: "5.791"}
	if all.junitCounts != want {
		t.Errorf("counts %+v, want %+v", all.junitCounts, want)
	}
	last := all.Suites[1].Cases[4]
	if last.Name != "lab" || last.Error == nil || last.Error.Type != "interrupted" ||
		last.Error.Message != "interrupted after 2 of 4 checks" {
		t.Errorf("the error's case is %+v", last)
	}
	if err := writeJUnit(fullDisk{}, []*report{r}); err != error(syscall.ENOSPC) {
		t.Errorf("error %v", err)
	}
}

func TestErrorTypes(t *testing.T) {
	for err, want := range map[error]string{
		wrong("x"):                               "wrong file",
		&failure{statusMachine, errors.New("x")}: "machine",
		errors.New("x"):                          "vpclab",
		interrupted{syscall.SIGTERM}:             "interrupted",
	} {
		if got := errorType(statusOf(err)); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
}
