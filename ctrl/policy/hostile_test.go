package policy

import (
	"errors"
	"strings"
	"testing"
)

// Documents that are made to break what reads them are refused, with the place.
func TestDocumentsThatAreNoPolicies(t *testing.T) {
	for what, text := range map[string]string{
		"lists within lists":         strings.Repeat("[", 100_000),
		"lists that end":             `{"Statement": ` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`,
		"objects within objects":     strings.Repeat(`{"Statement":`, 100_000) + "1" + strings.Repeat("}", 100_000),
		"conditions in conditions":   `{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": ` + strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000) + `}]}`,
		"a string without an end":    `{"Statement": "` + strings.Repeat("a", 1_000_000),
		"a number of many digits":    `{"Statement": ` + strings.Repeat("9", 1_000_000) + `}`,
		"variables without an end":   `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::` + strings.Repeat("${", 10_000) + `"}]}`,
		"characters that are none":   "{\"Statement\": \"\xff\x00\"}",
		"nothing":                    "",
		"quotes that open and close": `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::${a:b, '` + strings.Repeat("'", 10_001) + `"}]}`,
	} {
		_, err := Parse(text)
		if syntax, ok := errors.AsType[*SyntaxError](err); !ok || syntax.Line == 0 || syntax.Col == 0 {
			t.Errorf("%s: got %.200v", what, err)
		}
	}
}

// The largest policy with the worst patterns decides about the longest values in the product of both lengths, not in the number of ways in
// which wildcards could match.
func TestWildcardsTakeNoTime(t *testing.T) {
	long := strings.Repeat("a", 1000)
	for _, row := range []struct {
		pattern, value string
		want           bool
	}{
		{strings.Repeat("a*", 500), long, true},
		{strings.Repeat("a*", 500) + "b", long, false},
		{strings.Repeat("*a", 500) + "*b", long, false},
		{strings.Repeat("*?", 1000), long, true},
		{strings.Repeat("*?", 1001), long, false},
		{strings.Repeat("*", 10_000), long, true},
		{strings.Repeat("*", 10_000) + "b", long, false},
		{"*" + long + "b", strings.Repeat("a", 10_000), false},
	} {
		element := `{"StringLike": {"aws:Referer": "` + row.pattern + `"}}`
		if got := holds(t, element, "aws:Referer", row.value); got != row.want {
			t.Errorf("%.20s: %v", row.pattern, got)
		}
	}
}

// A value that a pattern repeats may be long, and the pattern is then longer than all that it could match.
func TestVariablesThatGrow(t *testing.T) {
	many := strings.Repeat("${aws:UserAgent}", 1000)
	agent, once := strings.Repeat("a", 16<<10), strings.Repeat("a", 1000)
	for _, operator := range []string{"StringLike", "StringEquals", "ArnLike"} {
		element := `{"` + operator + `": {"aws:Referer": "` + many + `"}}`
		if holds(t, element, "aws:UserAgent", agent, "aws:Referer", agent) {
			t.Errorf("%s holds for sixteen million characters", operator)
		}
		if got := holds(t, element, "aws:UserAgent", "a", "aws:Referer", once); got != (operator != "ArnLike") {
			t.Errorf("%s: %v for a thousand characters", operator, got)
		}
	}
	p := pattern{variables: make([]variable, 1000)}
	for i := range p.variables {
		p.variables[i] = variable{key: "aws:useragent"}
	}
	if glyphs, ok := p.resolve(keys{"aws:useragent": {agent}}); ok {
		t.Errorf("a pattern of %d characters", len(glyphs))
	}
}
