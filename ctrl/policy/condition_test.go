package policy

import (
	"fmt"
	"testing"
)

// holds decides a Condition element against keys given as name, value, name, value; a name may come several times.
func holds(t *testing.T, element string, given ...string) bool {
	t.Helper()
	r := Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::logs/a", Keys: map[string][]string{}}
	for i := 0; i < len(given); i += 2 {
		r.Keys[given[i]] = append(r.Keys[given[i]], given[i+1])
	}
	d := parse(t, with(`"Principal": "*", "Condition": `+element))
	return Decide(Policies{Resource: d}, &r).Allowed
}

func TestOperators(t *testing.T) {
	for _, row := range []struct {
		operator, value string // the value in JSON
		can, cannot     string // values of the request
		absent          bool   // what a request without the key gets
	}{
		{"StringEquals", `"vpce-1"`, "vpce-1", "VPCE-1", false},
		{"StringEquals", `["vpce-1", "vpce-2"]`, "vpce-2", "vpce-3", false},
		{"StringEquals", `"vpce-*"`, "vpce-*", "vpce-1", false},
		{"StringNotEquals", `"vpce-1"`, "vpce-2", "vpce-1", true},
		{"StringNotEquals", `["vpce-1", "vpce-2"]`, "vpce-3", "vpce-2", true},
		{"StringEqualsIgnoreCase", `"vpce-1"`, "VPCE-1", "vpce-2", false},
		{"StringNotEqualsIgnoreCase", `"vpce-1"`, "vpce-2", "VPCE-1", true},
		{"StringLike", `"home/*/a?"`, "home/x/y/ab", "home/x/a", false},
		{"StringLike", `"*"`, "", "", false}, // an empty string is like *
		{"StringLike", `"${*}.?"`, "*.a", "a.a", false},
		{"StringNotLike", `"home/*"`, "root/x", "home/x", true},
		{"StringEqualsIfExists", `"vpce-1"`, "vpce-1", "vpce-2", true},
		{"NumericEquals", `"10"`, "10.0", "11", false},
		{"NumericEquals", `10`, "10", "ten", false},
		{"NumericNotEquals", `"10"`, "11", "10.0", true},
		{"NumericLessThan", `"10"`, "9.99", "10", false},
		{"NumericLessThanEquals", `"10"`, "10", "10.1", false},
		{"NumericGreaterThan", `"-1"`, "-0.5", "-1", false},
		{"NumericGreaterThanEquals", `"1e3"`, "1000", "999", false},
		{"DateEquals", `"2026-01-01"`, "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", false},
		{"DateEquals", `"1767225600"`, "2026-01-01T01:00:00+01:00", "1767225601", false},
		{"DateEquals", `"2026"`, "2026-01", "2026-02", false},
		{"DateNotEquals", `"2026-01-01T00:00Z"`, "2026-01-01T00:00:00.5Z", "1767225600", true},
		{"DateLessThan", `"2026-01-01T12:00:00Z"`, "2026-01-01T12:30:00+01:00", "2026-01-01T12:00:00Z", false},
		{"DateLessThanEquals", `"2026-01-01"`, "2026-01-01", "2026-01-02", false},
		{"DateGreaterThan", `"2026-01-01"`, "2026-01-02", "2026-01-01", false},
		{"DateGreaterThanEquals", `"2026-01-01"`, "2026-01-01", "2025-12-31", false},
		{"Bool", `"true"`, "True", "false", false},
		{"Bool", `false`, "false", "true", false},
		{"BinaryEquals", `"QQ=="`, "QQ==", "QUE=", false},
		{"BinaryEquals", `"QQ=="`, "QQ==", "A", false},
		{"IpAddress", `"10.0.0.0/8"`, "10.255.0.1", "11.0.0.1", false},
		{"IpAddress", `["203.0.113.9", "2001:DB8::/32"]`, "2001:db8::1", "203.0.113.8", false},
		{"IpAddress", `"10.0.0.1/8"`, "10.9.9.9", "2001:db8::1", false},
		{"IpAddress", `"10.0.0.0/8"`, "::ffff:10.0.0.1", "no address", false},
		{"NotIpAddress", `"10.0.0.0/8"`, "11.0.0.1", "10.0.0.1", true},
		{"ArnEquals", `"arn:aws:iam::*:role/re*r"`, "arn:aws:iam::1:role/reader", "arn:aws:iam::1:x:role/reader", false},
		{"ArnLike", `"arn:aws:*:*:*:topic?"`, "arn:aws:sns:eu-west-1:1:topic1", "arn:aws:sns:eu-west-1:1:x:topic1", false},
		{"ArnLike", `"arn:aws:iam::1:*"`, "arn:aws:iam::1:role:a/b", "arn:aws:iam::2:role", false},
		{"ArnNotEquals", `"arn:aws:iam::1:role/*"`, "arn:aws:iam::1:user/a", "arn:aws:iam::1:role/a", true},
		{"ArnNotLike", `"arn:aws:iam::1:role/*"`, "arn:aws:iam::2:role/a", "arn:aws:iam::1:role/a", true},
		{"ArnLikeIfExists", `"arn:aws:iam::1:*"`, "arn:aws:iam::1:a", "arn:aws:iam::2:a", true},
	} {
		element := fmt.Sprintf(`{%q: {"aws:UserAgent": %s}}`, row.operator, row.value)
		if !holds(t, element, "aws:useragent", row.can) {
			t.Errorf("%s does not hold of %q", element, row.can)
		}
		if row.cannot != row.can && holds(t, element, "AWS:UserAgent", row.cannot) {
			t.Errorf("%s holds of %q", element, row.cannot)
		}
		if got := holds(t, element); got != row.absent {
			t.Errorf("%s without the key: %v", element, got)
		}
	}
}

// Each operator has a row above: one that can, one that cannot, and the absent key.
func TestEveryOperatorIsTried(t *testing.T) {
	if len(operators) != 27 {
		t.Errorf("there are %d operators: give TestOperators rows for new ones", len(operators))
	}
}

func TestNull(t *testing.T) {
	for _, row := range []struct {
		value         string
		absent, given bool
	}{{"true", true, false}, {"false", false, true}} {
		element := `{"Null": {"aws:SourceVpce": "` + row.value + `"}}`
		if got := holds(t, element); got != row.absent {
			t.Errorf("%s without the key: %v", element, got)
		}
		if got := holds(t, element, "aws:SourceVpce", "vpce-1"); got != row.given {
			t.Errorf("%s with the key: %v", element, got)
		}
	}
}

func TestSets(t *testing.T) {
	const a, b = "athena", "kms"
	for _, row := range []struct {
		operator string
		values   []string // of the request
		want     bool
	}{
		{"ForAllValues:StringEquals", []string{a, a}, true},
		{"ForAllValues:StringEquals", []string{a, b}, false},
		{"ForAllValues:StringEquals", nil, true},
		{"ForAllValues:StringEquals", []string{""}, true},
		{"ForAllValues:StringNotEquals", []string{b, b}, true},
		{"ForAllValues:StringNotEquals", []string{a, b}, false},
		{"ForAllValues:StringNotEquals", nil, true},
		{"ForAnyValue:StringEquals", []string{a, b}, true},
		{"ForAnyValue:StringEquals", []string{b, b}, false},
		{"ForAnyValue:StringEquals", nil, false},
		{"ForAnyValue:StringNotEquals", []string{a, b}, true},
		{"ForAnyValue:StringNotEquals", []string{a, a}, false},
		{"ForAnyValue:StringNotEquals", nil, false},
		{"ForAnyValue:StringEqualsIfExists", nil, true},
		{"ForAnyValue:StringEqualsIfExists", []string{b}, false},
		{"StringEquals", []string{a, b}, true},
		{"StringNotEquals", []string{a, b}, false}, // none may match
		{"StringNotEquals", []string{b, b}, true},
	} {
		var given []string
		for _, v := range row.values {
			given = append(given, "aws:CalledVia", v)
		}
		if got := holds(t, `{"`+row.operator+`": {"aws:CalledVia": "athena"}}`, given...); got != row.want {
			t.Errorf("%s of %q: %v", row.operator, row.values, got)
		}
	}
}

// All operators, and all keys of one, must hold.
func TestConditionsAreAnd(t *testing.T) {
	const element = `{"StringEquals": {"aws:SourceVpce": "vpce-1", "aws:SourceVpc": "vpc-1"}, "Bool": {"aws:SecureTransport": "true"}}`
	all := []string{"aws:SourceVpce", "vpce-1", "aws:SourceVpc", "vpc-1", "aws:SecureTransport", "true"}
	if !holds(t, element, all...) {
		t.Error("all conditions hold, yet not allowed")
	}
	for i := 0; i < len(all); i += 2 {
		other := append(append([]string{}, all[:i]...), all[i+2:]...)
		if holds(t, element, other...) {
			t.Errorf("allowed without %s", all[i])
		}
	}
}

func TestVariables(t *testing.T) {
	for _, row := range []struct {
		pattern, key, value string // of s3:prefix
		can, cannot         string
	}{
		{"home/${aws:PrincipalTag/user}/*", "AWS:PrincipalTag/User", "bob", "home/bob/x", "home/carol/x"},
		{"home/${aws:PrincipalTag/user}", "aws:PrincipalTag/user", "*", "home/*", "home/carol"}, // a value's wildcards are plain
		{"home/${aws:PrincipalTag/user, 'guest'}", "s3:other", "", "home/guest", "home/"},
		{"home/${aws:PrincipalTag/user, 'guest'}", "aws:PrincipalTag/user", "bob", "home/bob", "home/guest"},
		{"home/${ aws:PrincipalTag/user ,'a}b' }", "s3:other", "", "home/a}b", "home/a"},
		{"${aws:PrincipalTag/my team}", "aws:PrincipalTag/My Team", "red", "red", "blue"},
		{"${$}{x}${?}${*}", "s3:other", "", "${x}?*", "${x}a*"},
		{"$a{b}", "s3:other", "", "$a{b}", "a"},
	} {
		element := fmt.Sprintf(`{"StringLike": {"s3:prefix": %q}}`, row.pattern)
		if !holds(t, element, row.key, row.value, "s3:prefix", row.can) {
			t.Errorf("%s does not hold of %q", element, row.can)
		}
		if holds(t, element, row.key, row.value, "s3:prefix", row.cannot) {
			t.Errorf("%s holds of %q", element, row.cannot)
		}
	}
	if holds(t, `{"StringLike": {"s3:prefix": "*${aws:CalledVia}*"}}`, "aws:CalledVia", "a", "aws:CalledVia", "b", "s3:prefix", "a") {
		t.Error("a key with two values was put in")
	}
}
