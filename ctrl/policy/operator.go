package policy

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// matcher says that a request's value matches one value of a condition.
type matcher func(value string, k keys) bool

// operator is a condition operator without ForAllValues, ForAnyValue and IfExists.
type operator struct {
	name    string
	negated bool
	null    bool // it asks whether the key exists
	compile func(n *node, variables bool) (matcher, error)
}

// operators are all that there are. ArnEquals and ArnLike are the same, as the guide says.
var operators = []operator{
	{name: "StringEquals", compile: equals},
	{name: "StringNotEquals", compile: equals, negated: true},
	{name: "StringEqualsIgnoreCase", compile: equalsIgnoreCase},
	{name: "StringNotEqualsIgnoreCase", compile: equalsIgnoreCase, negated: true},
	{name: "StringLike", compile: like},
	{name: "StringNotLike", compile: like, negated: true},
	{name: "NumericEquals", compile: numeric(isEqual)},
	{name: "NumericNotEquals", compile: numeric(isEqual), negated: true},
	{name: "NumericLessThan", compile: numeric(isLess)},
	{name: "NumericLessThanEquals", compile: numeric(isLess, isEqual)},
	{name: "NumericGreaterThan", compile: numeric(isGreater)},
	{name: "NumericGreaterThanEquals", compile: numeric(isGreater, isEqual)},
	{name: "DateEquals", compile: date(isEqual)},
	{name: "DateNotEquals", compile: date(isEqual), negated: true},
	{name: "DateLessThan", compile: date(isLess)},
	{name: "DateLessThanEquals", compile: date(isLess, isEqual)},
	{name: "DateGreaterThan", compile: date(isGreater)},
	{name: "DateGreaterThanEquals", compile: date(isGreater, isEqual)},
	{name: "Bool", compile: boolEquals},
	{name: "BinaryEquals", compile: binaryEquals},
	{name: "IpAddress", compile: inPrefix},
	{name: "NotIpAddress", compile: inPrefix, negated: true},
	{name: "ArnEquals", compile: arnLike},
	{name: "ArnLike", compile: arnLike},
	{name: "ArnNotEquals", compile: arnLike, negated: true},
	{name: "ArnNotLike", compile: arnLike, negated: true},
	{name: "Null", compile: boolEquals, null: true},
}

func equals(n *node, variables bool) (matcher, error) {
	return textual(n, variables, func(a, b string) bool { return a == b })
}

func equalsIgnoreCase(n *node, variables bool) (matcher, error) {
	return textual(n, variables, strings.EqualFold)
}

func textual(n *node, variables bool, same func(a, b string) bool) (matcher, error) {
	p, err := compilePattern(n, variables, false)
	return func(value string, k keys) bool {
		glyphs, ok := p.resolve(k)
		return ok && same(spell(glyphs), value)
	}, err
}

func spell(glyphs []glyph) string {
	var b strings.Builder
	for _, g := range glyphs {
		b.WriteRune(g.r)
	}
	return b.String()
}

func like(n *node, variables bool) (matcher, error) {
	p, err := compilePattern(n, variables, true)
	return func(value string, k keys) bool {
		glyphs, ok := p.resolve(k)
		return ok && match(glyphs, value)
	}, err
}

// arnLike compares the six parts of an ARN one by one: no wildcard reaches into the next part.
func arnLike(n *node, variables bool) (matcher, error) {
	p, err := compilePattern(n, variables, true)
	return func(value string, k keys) bool {
		glyphs, ok := p.resolve(k)
		return ok && colons(glyphs) >= arnColons && match(inSegments(glyphs, false), value)
	}, err
}

// order is what comparing a request's value with a condition's may give.
type order int

const (
	isLess    order = -1
	isEqual   order = 0
	isGreater order = 1
)

func (o order) among(wanted []order) bool {
	for _, w := range wanted {
		if o == w {
			return true
		}
	}
	return false
}

func numeric(wanted ...order) func(*node, bool) (matcher, error) {
	return func(n *node, _ bool) (matcher, error) {
		bound, ok := parseNumber(n.text)
		if !ok {
			return nil, n.fault(fmt.Sprintf("%q is no number", n.text), "it is an integer or a decimal number")
		}
		return func(value string, _ keys) bool {
			v, ok := parseNumber(value)
			switch {
			case !ok:
				return false
			case v < bound:
				return isLess.among(wanted)
			case v > bound:
				return isGreater.among(wanted)
			}
			return isEqual.among(wanted)
		}, nil
	}
}

func parseNumber(s string) (float64, bool) {
	if strings.Trim(s, "+-.0123456789eE") != "" { // no NaN, no hexadecimals
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

func date(wanted ...order) func(*node, bool) (matcher, error) {
	return func(n *node, _ bool) (matcher, error) {
		bound, ok := parseDate(n.text)
		if !ok {
			return nil, n.fault(fmt.Sprintf("%q is no date", n.text), "it is ISO 8601, such as 2026-01-31T23:59:59Z, or seconds since 1970")
		}
		return func(value string, _ keys) bool {
			v, ok := parseDate(value)
			return ok && order(v.Compare(bound)).among(wanted)
		}, nil
	}
}

// dateForms are those of W3C's NOTE-datetime; time.Parse takes a fraction of a second with each that has seconds.
var dateForms = []string{"2006", "2006-01", "2006-01-02", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z07:00"}

func parseDate(s string) (time.Time, bool) {
	for _, form := range dateForms {
		if t, err := time.Parse(form, s); err == nil {
			return t, true
		}
	}
	seconds, err := strconv.ParseInt(s, 10, 64)
	return time.Unix(seconds, 0), err == nil
}

func boolEquals(n *node, _ bool) (matcher, error) {
	if !strings.EqualFold(n.text, "true") && !strings.EqualFold(n.text, "false") {
		return nil, n.fault(fmt.Sprintf("%q is no truth value", n.text), "it is true or false")
	}
	return func(value string, _ keys) bool { return strings.EqualFold(value, n.text) }, nil
}

func binaryEquals(n *node, _ bool) (matcher, error) {
	want, err := base64.StdEncoding.DecodeString(n.text)
	if err != nil {
		return nil, n.fault(fmt.Sprintf("%q is no base64", n.text), "it is the bytes in base64, with padding")
	}
	return func(value string, _ keys) bool {
		got, err := base64.StdEncoding.DecodeString(value)
		return err == nil && string(got) == string(want)
	}, nil
}

func inPrefix(n *node, _ bool) (matcher, error) {
	prefix, ok := parsePrefix(n.text)
	if !ok {
		return nil, n.fault(fmt.Sprintf("%q is no address", n.text), "it is an address or a prefix, such as 203.0.113.0/24 or 2001:db8::/32")
	}
	return func(value string, _ keys) bool {
		addr, err := netip.ParseAddr(value)
		return err == nil && prefix.Contains(addr.Unmap())
	}, nil
}

// parsePrefix takes an address as the prefix that holds it alone.
func parsePrefix(s string) (netip.Prefix, bool) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), addr.Zone() == ""
	}
	prefix, err := netip.ParsePrefix(s)
	return prefix.Masked(), err == nil
}
