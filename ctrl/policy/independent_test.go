package policy

import (
	"bufio"
	"encoding/json"
	"flag"
	"os"
	"testing"
)

var (
	casesFile   = flag.String("cases", "", "write the random cases to this file, for scripts/policy-check.sh")
	seed        = flag.Uint64("seed", 6, "of the random cases")
	answersFile = flag.String("answers", "", "compare with the answers in this file, one a line: Allowed, ImplicitlyDenied or ExplicitlyDenied")
)

const independentCases = 5000

// Random cases are of all kinds, and where scripts/policy-check.sh has asked an independent implementation, it says the same.
func TestAgainstIndependent(t *testing.T) {
	cases := randomCases(*seed, independentCases)
	ours := map[string]int{}
	var answers []string
	for i := range cases {
		answer := decideCase(t, &cases[i])
		answers = append(answers, answer)
		ours[answer]++
	}
	for _, answer := range []string{allowed, noAllow, explicit} {
		if ours[answer] < independentCases/10 {
			t.Errorf("%d of %d cases are %s: the generator does not ask enough", ours[answer], independentCases, answer)
		}
	}
	for _, d := range knownDifferences {
		cases = append(cases, d.c)
		answers = append(answers, d.theirs)
		if got := decideCase(t, &d.c); got != d.ours {
			t.Errorf("%s: %s, not %s", d.c.Identity, got, d.ours)
		}
	}
	if *casesFile != "" {
		writeCases(t, cases)
	}
	if *answersFile != "" {
		compare(t, cases, answers)
	}
}

func decideCase(t *testing.T, c *randomCase) string {
	t.Helper()
	p := Policies{ResourceAccount: c.Account}
	for _, d := range []struct {
		text json.RawMessage
		kind Kind
		to   **Document
	}{{c.Identity, Identity, &p.Identity}, {c.Endpoint, Endpoint, &p.Endpoint}, {c.Bucket, Resource, &p.Resource}} {
		if d.text == nil {
			continue
		}
		doc, err := Parse(string(d.text))
		if err != nil {
			t.Fatalf("%s: %v", d.text, err)
		}
		if err := doc.Validate(d.kind); err != nil {
			t.Fatalf("%s: %v", d.text, err)
		}
		*d.to = doc
	}
	switch d := Decide(p, &Request{Principal: c.who, Action: c.Action, Resource: c.Resource, Keys: c.Keys}); {
	case d.Allowed:
		return allowed
	case d.Explicit:
		return explicit
	}
	return noAllow
}

func writeCases(t *testing.T, cases []randomCase) {
	t.Helper()
	f, err := os.Create(*casesFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := json.NewEncoder(f)
	for i := range cases {
		if err := w.Encode(&cases[i]); err != nil {
			t.Fatal(err)
		}
	}
}

// compare reports where the answers are not those expected: ours, or theirs where the difference is known.
func compare(t *testing.T, cases []randomCase, expected []string) {
	t.Helper()
	f, err := os.Open(*answersFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var theirs []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		theirs = append(theirs, lines.Text())
	}
	if len(theirs) != len(cases) {
		t.Fatalf("%d answers to %d cases", len(theirs), len(cases))
	}
	for i := range cases {
		if expected[i] != theirs[i] {
			text, _ := json.Marshal(&cases[i])
			t.Errorf("case %d: expected %s, the other says %s: %s", i, expected[i], theirs[i], text)
		}
	}
}
