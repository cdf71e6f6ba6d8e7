package policy

import "encoding/json"

// knownDifference is a case in which we and the independent implementation do not agree, and why we stay with ours.
type knownDifference struct {
	why          string
	c            randomCase
	ours, theirs string
}

const (
	allowed  = "Allowed"
	noAllow  = "ImplicitlyDenied"
	explicit = "ExplicitlyDenied"
)

// knownDifferences are of version 0.1.173. "The guide" is the IAM User Guide.
var knownDifferences = []knownDifference{
	{"the guide: a resource with a variable that has no value matches no resource, so NotResource is everything",
		reads(`"NotResource": "arn:aws:s3:::other/${aws:username}"`, nil), allowed, noAllow},
	{"the guide: a negated operator holds against a variable that has no value",
		reads(when("StringNotEquals", "aws:PrincipalAccount", "${aws:username}"), nil), allowed, noAllow},
	{"the guide: with IfExists, a key that the request lacks makes the condition hold, whatever the operator",
		reads(when("ForAnyValue:StringEqualsIfExists", "aws:CalledVia", "athena"), nil), allowed, noAllow},
	{"the guide: ForAllValues counts an empty string as no value",
		reads(when("ForAllValues:StringEquals", "aws:CalledVia", "athena"), keyed("aws:CalledVia", "")), allowed, noAllow},
	{"the guide: ForAnyValue counts an empty string as no value",
		reads(when("ForAnyValue:StringEquals", "aws:CalledVia", ""), keyed("aws:CalledVia", "")), noAllow, allowed},
	{"0.0.0.0/0 holds every IPv4 address",
		reads(when("IpAddress", "aws:SourceIp", "0.0.0.0/0"), keyed("aws:SourceIp", "10.0.0.1")), allowed, noAllow},
	{"an IPv6 address is not 10.0.0.1",
		reads(when("NotIpAddress", "aws:SourceIp", "10.0.0.1"), keyed("aws:SourceIp", "2001:db8::1")), allowed, noAllow},
	{"1767225600 seconds after 1970 is the beginning of 2026",
		reads(when("DateEquals", "aws:CurrentTime", "1767225600"), keyed("aws:CurrentTime", "2026-01-01T00:00:00Z")), allowed, noAllow},
	{"the guide: before version 2012-10-17, a variable is plain text",
		old(reads(when("StringEquals", "aws:UserAgent", "${aws:PrincipalAccount}"), keyed("aws:UserAgent", "${aws:PrincipalAccount}"))), allowed, noAllow},
	{"the guide: ${*} is an asterisk; the operator does not matter",
		reads(when("StringEquals", "aws:UserAgent", "a${*}"), keyed("aws:UserAgent", "a*")), allowed, noAllow},
	{"the colon within a variable does not part an ARN",
		reads(when("ArnLike", "aws:PrincipalArn", "arn:aws:iam::${aws:PrincipalAccount}:role/reader"), nil), allowed, noAllow},
	{"what is no ARN is like no ARN, so the negation holds; the guide does not say",
		reads(when("ArnNotLike", "aws:PrincipalArn", "*"), nil), allowed, noAllow},
	{"the guide: * at the end of a segment reaches over colons, so this is all of DynamoDB and nothing else",
		reads(`"NotResource": "arn:aws:dynamodb:*"`, nil), allowed, noAllow},
	{"the guide: * at the end of a segment reaches over colons, wherever the segment is",
		reads(`"Resource": "arn:aws:s*:logs/*"`, nil), allowed, noAllow},
}

// reads is the request of a role to read an object, with an identity policy of one statement.
func reads(element string, keys map[string][]string) randomCase {
	who := Principal{ARN: "arn:aws:iam::" + home + ":role/reader", Session: "arn:aws:sts::" + home + ":assumed-role/reader/i-1", Account: home}
	c := randomCase{who: who, Principal: who.Session, Action: "s3:GetObject", Resource: "arn:aws:s3:::logs/a", Account: home, Keys: map[string][]string{
		"aws:PrincipalArn": {who.ARN}, "aws:PrincipalAccount": {home}}}
	for name, values := range keys {
		c.Keys[name] = values
	}
	c.Identity = json.RawMessage(`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", ` + element + `}}`)
	return c
}

func when(operator, key, value string) string {
	return `"Resource": "*", "Condition": {"` + operator + `": {"` + key + `": "` + value + `"}}`
}

func keyed(name string, values ...string) map[string][]string {
	return map[string][]string{name: values}
}

func old(c randomCase) randomCase {
	c.Identity = json.RawMessage(`{"Version": "` + oldVersion + `"` + string(c.Identity[len(`{"Version": "2012-10-17"`):]))
	return c
}
