package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// stmt is a document with one statement, by its elements.
func stmt(elements ...string) string {
	return `{"Version": "2012-10-17", "Statement": {` + strings.Join(elements, ", ") + `}}`
}

// with is a statement that allows everything, with one element more or another one instead.
func with(element string) string {
	out := []string{element}
	for _, e := range []string{`"Effect": "Allow"`, `"Action": "*"`, `"Resource": "*"`} {
		name := e[:strings.Index(e, ":")]
		if !strings.Contains(element, name) && !strings.Contains(element, `"Not`+name[1:]) {
			out = append(out, e)
		}
	}
	return stmt(out...)
}

func parse(t *testing.T, text string) *Document {
	t.Helper()
	d, err := Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return d
}

func TestParseRefuses(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{``, `1:1: no valid JSON: unexpected end of JSON input: a policy document is one JSON object`},
		{"{\n  \"Version\" \"2012-10-17\"}", `2:13: no valid JSON: invalid character '"' after object key`},
		{`{} {}`, `1:4: no valid JSON: invalid character '{' after top-level value`},
		{strings.Repeat("[", 17) + strings.Repeat("]", 17), `1:17: the policy is nested too deep: 16 lists and objects`},
		{`[]`, `1:1: the policy is a list: a policy document is one JSON object`},
		{`{"Version": "2012-10-17"}`, `1:1: the policy has no Statement: it is a statement or a list of them`},
		{`{"Version": "2012-10-18", "Statement": []}`, `1:13: unknown Version "2012-10-18": it is "2012-10-17"`},
		{`{"Version": 2012, "Statement": []}`, `1:13: unknown Version (a number): it is "2012-10-17"`},
		{`{"Statment": []}`, `1:2: unknown element "Statment": did you mean Statement?`},
		{`{"statement": []}`, `1:2: unknown element "statement": did you mean Statement?`},
		{`{"Policy": []}`, `1:2: unknown element "Policy": it is one of Version, Id, Statement`},
		{`{"Id": 1, "Statement": []}`, `1:8: Id is a number: it is a string`},
		{`{"Statement": []}`, `1:15: Statement is an empty list: give at least one statement`},
		{`{"Statement": ["a"]}`, `1:16: Statement is a string: it is an object or a list of objects`},
		{`{"Statement": {"Sid": "a", "Sid": "b"}}`, `1:28: "Sid" is given twice: put both values into one list`},
		{`{"Statement": {"Sid": 1}}`, `1:23: Sid is a number: it is a string`},
		{`{"Statement": {"Action": "*", "Resource": "*"}}`, `1:15: a statement without Effect: it is Allow or Deny`},
		{`{"Statement": {"Effect": "allow"}}`, `1:26: unknown Effect "allow": it is Allow or Deny`},
		{`{"Statement": {"Effect": "Allow", "Resource": "*"}}`, `1:15: a statement without Action: give Action or NotAction`},
		{`{"Statement": {"Effect": "Allow", "Action": "*"}}`, `1:15: a statement without Resource: give Resource or NotResource`},
		{`{"Statement": {"Effect": "Allow", "Action": "*", "NotAction": "s3:Get*", "Resource": "*"}}`, `1:50: both Action and NotAction: give one of them`},
		{`{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "NotResource": "*"}}`, `1:67: both Resource and NotResource: give one of them`},
		{`{"Statement": {"Effect": "Allow", "Action": "*", "Ressource": "*"}}`, `1:50: unknown element of a statement "Ressource": did you mean Resource?`},
		{with(`"Action": []`), `1:51: Action is an empty list: give at least one`},
		{with(`"Action": ["s3:*", 1]`), `1:60: Action is a number: it is a string or a list of strings`},
		{with(`"Action": "GetObject"`), `1:51: "GetObject" is no action: it is SERVICE:ACTION, such as "s3:GetObject" or "s3:Get*", or "*"`},
		{with(`"Resource": "logs"`), `1:53: "logs" is no resource: it is an ARN of six parts`},
		{with(`"Resource": "arn:aws:s3"`), `1:53: "arn:aws:s3" is no resource`},
		{with(`"Resource": "arn:aws:s3:lo*gs"`), `1:53: "arn:aws:s3:lo*gs" is no resource`},
		{with(`"Resource": "arn:aws:s3::${aws:PrincipalAccount}:logs"`), `1:53: "arn:aws:s3::${aws:PrincipalAccount}:logs" has a variable too early: a variable may stand behind the fifth colon only`},
		{with(`"Resource": "arn:aws:s3:::${aws:username"`), `1:53: "${aws:username" opens a variable and does not close it: close it by }, or write ${$} for a $`},
		{with(`"Resource": "arn:aws:s3:::${endpoint.s3}"`), `1:53: unknown variable ${endpoint.s3}: it is ${KEY} or ${KEY, 'default'}`},
		{with(`"Principal": "123456789012"`), `1:54: unknown Principal "123456789012": it is "*", or an object such as {"AWS": "123456789012"}`},
		{with(`"Principal": {}`), `1:54: unknown Principal (an object)`},
		{with(`"Principal": {"Aws": "*"}`), `1:55: unknown type of principal "Aws": did you mean AWS?`},
		{with(`"Principal": {"AWS": "arn:aws:iam::123456789012:role/*"}`), `1:62: principal "arn:aws:iam::123456789012:role/*" has wildcards: a principal is named in full; use "*" with a condition ArnLike aws:PrincipalArn`},
		{with(`"Principal": {"AWS": "1234"}`), `1:62: unknown principal "1234": it is "*", an account of 12 digits`},
		{with(`"Principal": "*", "NotPrincipal": "*"`), `1:59: both Principal and NotPrincipal: give one of them`},
		{with(`"Condition": []`), `1:54: Condition is a list: it is an object of operators`},
		{with(`"Condition": {"StringEqual": {}}`), `1:55: unknown condition operator "StringEqual": did you mean StringEquals?`},
		{with(`"Condition": {"ForAnyValue:stringlikeIfExists": {}}`), `1:55: unknown condition operator "stringlike": did you mean StringLike?`},
		{with(`"Condition": {"Never": {}}`), `1:55: unknown condition operator "Never": it is one of StringEquals, StringNotEquals,`},
		{with(`"Condition": {"NullIfExists": {}}`), `1:55: NullIfExists does not exist: Null stands alone`},
		{with(`"Condition": {"StringEquals": "vpce-1"}`), `1:71: StringEquals has a string: it has an object of condition keys`},
		{with(`"Condition": {"StringEquals": {"SourceVpce": "vpce-1"}}`), `1:72: "SourceVpce" is no condition key: it is SERVICE:KEY`},
		{with(`"Condition": {"StringEquals": {"aws:SourceVpce": []}}`), `1:90: aws:SourceVpce has an empty list: give at least one value`},
		{with(`"Condition": {"StringEquals": {"aws:SourceVpce": null}}`), `1:90: aws:SourceVpce has null as a value: a value is a string, a number, true or false`},
		{with(`"Condition": {"NumericEquals": {"s3:max-keys": "ten"}}`), `1:88: "ten" is no number`},
		{with(`"Condition": {"NumericEquals": {"s3:max-keys": "0x10"}}`), `1:88: "0x10" is no number`},
		{with(`"Condition": {"DateLessThan": {"aws:CurrentTime": "tomorrow"}}`), `1:91: "tomorrow" is no date: it is ISO 8601`},
		{with(`"Condition": {"Bool": {"aws:SecureTransport": "yes"}}`), `1:87: "yes" is no truth value: it is true or false`},
		{with(`"Condition": {"Null": {"aws:SourceVpce": "absent"}}`), `1:82: "absent" is no truth value`},
		{with(`"Condition": {"BinaryEquals": {"aws:UserAgent": "%"}}`), `1:89: "%" is no base64`},
		{with(`"Condition": {"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "10.0.0/8"]}}`), `1:100: "10.0.0/8" is no address`},
	} {
		_, err := Parse(row.text)
		if err == nil || !strings.HasPrefix(err.Error(), row.want) {
			t.Errorf("%s:\n got %v\nwant %s", row.text, err, row.want)
		}
	}
}

func TestParseTakes(t *testing.T) {
	for _, text := range []string{
		`{"Id": "a", "Statement": [{"Effect": "Deny", "NotAction": ["s3:Get*"], "NotResource": ["arn:aws:s3:::logs/*", "arn:aws:s3:*"]}]}`,
		with(`"Condition": {}`),
		with(`"Condition": {"NumericLessThan": {"s3:max-keys": 10}, "Bool": {"aws:SecureTransport": true}}`),
		with(`"Principal": {"Service": "ec2.amazonaws.com", "Federated": ["a"], "CanonicalUser": "79a5", "AWS": ["123456789012", "*"]}`),
		with(`"Principal": {"AWS": ["arn:aws:iam::123456789012:root", "arn:aws-cn:iam::123456789012:user/a/b", "arn:aws:iam::cloudfront:user/CloudFront Origin 1"]}`),
		`{"Version": "2008-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::${no variable here"}}`,
	} {
		parse(t, text)
	}
}

// The path leads through the document in whatever language it was written.
func TestErrorsHaveAPath(t *testing.T) {
	for text, want := range map[string]string{
		`{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}, {"Effect": "No"}]}`: "Statement[1].Effect",
		with(`"Condition": {"Bool": {"aws:SecureTransport": ["true", "no"]}}`):                   "Statement.Condition.Bool.aws:SecureTransport[1]",
		`{"Statment": 1}`: "Statment",
		`7`:               "",
	} {
		_, err := Parse(text)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.Path != want {
			t.Errorf("%s: got %#v, want path %q", text, err, want)
		}
	}
}

func TestValidate(t *testing.T) {
	all := func(k ...Kind) []Kind { return k }
	twice := `{"Statement": [{"Sid": "a", "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}, {"Sid": "a", "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]}`
	for _, row := range []struct {
		text   string
		can    []Kind
		cannot Kind
		want   string
	}{
		{with(`"Sid": "a"`), all(Identity), Resource, `1:40: a statement without Principal: resource policies say who: "Principal": "*"`},
		{with(`"Sid": "a"`), all(Identity), Endpoint, `1:40: a statement without Principal: endpoint policies say who: "Principal": "*"`},
		{with(`"Principal": "*"`), all(Resource, Endpoint), Identity, `1:54: an identity policy names no principal: it is whoever has the policy; leave it out`},
		{with(`"Sid": "Only reads", "Principal": "*"`), all(Resource, Endpoint), Identity, `1:75: an identity policy names no principal`},
		{with(`"Sid": "OnlyReads"`), all(Identity), Endpoint, `1:40: a statement without Principal`},
		{with(`"NotPrincipal": {"AWS": "123456789012"}, "Effect": "Deny"`), all(Resource, Endpoint), Identity, `1:57: an identity policy names no principal`},
		{with(`"NotPrincipal": {"AWS": "123456789012"}`), nil, Resource, `1:57: NotPrincipal in a statement that allows: it would let everybody else in`},
		{with(`"Sid": "Only reads"`), nil, Identity, `1:48: Sid "Only reads" in an identity policy: it has letters A-Z, a-z and digits only`},
		{twice, nil, Resource, `1:107: Sid "a" is given twice: a Sid is unique within its policy`},
		{with(`"Principal": "*", "Sid": "` + strings.Repeat("ä", 20300) + `"`), all(Resource), Identity, `1:1: the policy has 20408 characters: identity policies have at most 10240`},
		{with(`"Principal": "*", "Sid": "` + strings.Repeat("ä", 20480) + `"`), nil, Endpoint, `1:1: the policy has 20600 characters: endpoint policies have at most 20480`},
		{strings.Repeat(" ", 10300) + with(`"Sid": "a"`), all(Identity), Resource, `1:10340: a statement without Principal`},
	} {
		d := parse(t, row.text)
		for _, k := range row.can {
			if err := d.Validate(k); err != nil {
				t.Errorf("%.120s: %s: %v", row.text, k, err)
			}
		}
		if err := d.Validate(row.cannot); err == nil || !strings.HasPrefix(err.Error(), row.want) {
			t.Errorf("%.120s:\n got %v\nwant %s", row.text, err, row.want)
		}
	}
}

func FuzzPolicy(f *testing.F) {
	for _, c := range randomCases(1, 50) {
		f.Add(string(c.Bucket), c.Resource, "aws:SourceIp", "10.0.0.1")
	}
	f.Add(with(`"Resource": "arn:aws:s3:::${aws:username, 'a}'}${*}"`), "arn:aws:s3:::a}*", "aws:username", "a")
	f.Add("{\"Statement\":\r\n[{\"Effect\":\"\xff\"}]}", "a", "b", "c")
	f.Fuzz(func(t *testing.T, text, resource, key, value string) {
		d, err := Parse(text)
		if err != nil {
			positioned(t, text, err)
			return
		}
		for _, k := range []Kind{Identity, Endpoint, Resource} {
			if err := d.Validate(k); err != nil {
				positioned(t, text, err)
			}
		}
		who := Principal{ARN: "arn:aws:iam::" + home + ":role/reader", Account: home}
		r := Request{Principal: who, Action: "s3:GetObject", Resource: resource, Keys: map[string][]string{key: {value}}}
		decision := Decide(Policies{Identity: d, Endpoint: d, Resource: d, ResourceAccount: home}, &r)
		if decision.Allowed && decision.Explicit || decision.Allowed != (decision.Statement >= 0 && !decision.Explicit) && decision.Statement >= 0 {
			t.Errorf("%s: %+v", text, decision)
		}
		if decision.String() == "" {
			t.Errorf("%s: nothing to say of %+v", text, decision)
		}
	})
}

// positioned says that an error names a place within the text, what is wrong and what would be right.
func positioned(t *testing.T, text string, err error) {
	t.Helper()
	var syntax *SyntaxError
	if !errors.As(err, &syntax) {
		t.Fatalf("%q: %T: %v", text, err, err)
	}
	lines := strings.Split(text, "\n")
	if syntax.Line < 1 || syntax.Line > len(lines) || syntax.Col < 1 || syntax.Col > len([]rune(lines[syntax.Line-1]))+1 {
		t.Errorf("%q: no such place: %v", text, err)
	}
	if syntax.Problem == "" || syntax.Hint == "" {
		t.Errorf("%q: %v", text, fmt.Sprintf("%#v", syntax))
	}
}
