package policy

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// randomCase is a request with the policies that it meets. Values come from small pools, so that patterns often match and often just do not.
// What knownDifferences has is left out.
type randomCase struct {
	Principal string              `json:"principal"` // as the independent implementation names it; empty: anonymous
	Action    string              `json:"action"`
	Resource  string              `json:"resource"`
	Account   string              `json:"account"` // of the resource
	Keys      map[string][]string `json:"keys"`
	Identity  json.RawMessage     `json:"identity,omitempty"`
	Endpoint  json.RawMessage     `json:"endpoint,omitempty"`
	Bucket    json.RawMessage     `json:"resourcePolicy,omitempty"`

	who Principal
}

const (
	home   = "111111111111"
	abroad = "222222222222"
)

type generator struct{ *rand.Rand }

func (g generator) one(in int) bool { return g.IntN(in) == 0 }

func pick[T any](g generator, of ...T) T { return of[g.IntN(len(of))] }

// randomCases is the same list for the same seed.
func randomCases(seed uint64, n int) (cases []randomCase) {
	g := generator{rand.New(rand.NewPCG(seed, 0))}
	for range n {
		cases = append(cases, g.next())
	}
	return cases
}

func (g generator) next() randomCase {
	c := randomCase{Account: home}
	if g.one(5) {
		c.Account = abroad
	}
	c.who = g.who()
	c.Principal = c.who.Session
	if c.Principal == "" {
		c.Principal = c.who.ARN
	}
	what := pick(g,
		[2]string{"s3:GetObject", "arn:aws:s3:::logs/2026/" + pick(g, "a.txt", "b+c", "reader", home)},
		[2]string{"s3:PutObject", "arn:aws:s3:::" + pick(g, "logs/x", "backup/2026/01:02", "logs/bob/x")},
		[2]string{"s3:ListBucket", "arn:aws:s3:::" + pick(g, "logs", "backup")},
		[2]string{"dynamodb:GetItem", "arn:aws:dynamodb:us-east-1:" + c.Account + ":table/orders"},
		[2]string{"sqs:SendMessage", "arn:aws:sqs:eu-west-1:" + c.Account + ":jobs"})
	c.Action, c.Resource = what[0], what[1]
	c.Keys = g.keys(c)
	if !g.one(8) && !c.who.Anonymous() {
		c.Identity = g.document(c, Identity)
	}
	if g.one(2) {
		c.Endpoint = g.document(c, Endpoint)
	}
	if !g.one(3) {
		c.Bucket = g.document(c, Resource)
	}
	return c
}

func (g generator) who() Principal {
	account := home
	if g.one(6) {
		account = abroad
	}
	switch g.IntN(10) {
	case 0:
		return Principal{}
	case 1, 2:
		return Principal{ARN: "arn:aws:iam::" + account + ":user/" + pick(g, "bob", "carol"), Account: account, UserID: "AIDAEXAMPLE"}
	}
	return Principal{ARN: "arn:aws:iam::" + account + ":role/reader", Session: "arn:aws:sts::" + account + ":assumed-role/reader/" + pick(g, "i-1", "i-2"),
		Account: account, UserID: "AROAEXAMPLE:i-1"}
}

// keys has what a request of that kind has; what follows from the principal both sides are told.
func (g generator) keys(c randomCase) map[string][]string {
	k := map[string][]string{
		"aws:SecureTransport": {pick(g, "true", "false")},
		"aws:CurrentTime":     {pick(g, "2026-01-01T00:00:00Z", "2026-06-01T12:30:00Z")},
		"aws:EpochTime":       {pick(g, "1767225600", "1780317000")},
	}
	if g.one(2) {
		k["aws:SourceIp"] = []string{pick(g, "198.51.100.7", "203.0.113.9", "2001:db8::7")}
	} else {
		k["aws:SourceVpce"] = []string{pick(g, "vpce-1", "vpce-2")}
		k["aws:SourceVpc"] = []string{pick(g, "vpc-1", "vpc-2")}
		k["aws:VpcSourceIp"] = []string{pick(g, "10.0.1.5", "10.0.2.5")}
	}
	if g.one(2) {
		k["aws:UserAgent"] = []string{pick(g, "", "aws-cli/2.0", "$*?")}
	}
	if g.one(2) {
		k["aws:CalledVia"] = pick(g, []string{"athena"}, []string{"athena", "cloudformation"}, []string{"kms", "athena"})
	}
	if c.Action == "s3:ListBucket" {
		if g.one(2) {
			k["s3:prefix"] = []string{pick(g, "", "home/", "home/bob/", "2026/")}
		}
		if g.one(2) {
			k["s3:max-keys"] = []string{pick(g, "10", "10.0", "1000", "-1")}
		}
	}
	who := (&Request{Principal: c.who}).keys()
	for _, name := range []string{"aws:PrincipalArn", "aws:PrincipalAccount", "aws:userid", "aws:username", "aws:PrincipalType"} {
		if values := who[strings.ToLower(name)]; !c.who.Anonymous() && len(values) > 0 {
			k[name] = values
		}
	}
	return k
}

func (g generator) document(c randomCase, kind Kind) json.RawMessage {
	doc := map[string]any{}
	if v := pick(g, version, version, version, oldVersion, ""); v != "" {
		doc["Version"] = v
	}
	var statements []any
	if kind != Resource && g.one(3) {
		everything := map[string]any{"Effect": "Allow", "Action": "*", "Resource": "*"}
		if kind == Endpoint {
			everything["Principal"] = "*"
		}
		statements = append(statements, everything)
	}
	for i := range 1 + g.IntN(3) {
		statements = append(statements, g.statement(c, kind, i, doc["Version"] == version))
	}
	doc["Statement"] = statements
	if len(statements) == 1 && g.one(2) {
		doc["Statement"] = statements[0]
	}
	text, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return text
}

func (g generator) statement(c randomCase, kind Kind, i int, variables bool) map[string]any {
	s := map[string]any{"Effect": pick(g, "Allow", "Allow", "Allow", "Deny")}
	if g.one(2) {
		s["Sid"] = fmt.Sprintf("S%d", i)
	}
	if kind != Identity {
		g.principal(s, kind)
	}
	g.put(s, "Action", func() string { return g.action(c) })
	g.put(s, "Resource", func() string { return g.resource(c, variables) })
	conditions := map[string]any{}
	for range pick(g, 0, 0, 1, 1, 2) {
		operator, key, values := g.condition(c, variables)
		conditions[operator] = map[string]any{key: values}
	}
	if len(conditions) > 0 || g.one(10) {
		s["Condition"] = conditions
	}
	return s
}

// put sets an element or its negation, to one value or to several.
func (g generator) put(s map[string]any, name string, value func() string) {
	if g.one(8) {
		name = "Not" + name
	}
	if g.one(2) {
		s[name] = value()
		return
	}
	values := []string{value()}
	for range g.IntN(2) {
		if v := value(); v != values[0] {
			values = append(values, v)
		}
	}
	s[name] = values
}

func (g generator) principal(s map[string]any, kind Kind) {
	if kind == Endpoint {
		s["Principal"] = "*" // all that the independent implementation takes there
		return
	}
	if g.one(3) {
		s["Principal"] = pick[any](g, "*", map[string]any{"AWS": "*"})
		return
	}
	account := pick(g, home, home, abroad)
	who := func() string {
		return pick(g, account, "arn:aws:iam::"+account+":root", "arn:aws:iam::"+account+":role/reader", "arn:aws:iam::"+account+":role/writer",
			"arn:aws:sts::"+account+":assumed-role/reader/i-1", "arn:aws:iam::"+account+":user/bob")
	}
	element := "Principal"
	if s["Effect"] == "Deny" && g.one(2) {
		element = "NotPrincipal"
	}
	s[element] = pick[any](g, map[string]any{"AWS": who()}, map[string]any{"AWS": []string{who(), who()}}, map[string]any{"Service": "ec2.amazonaws.com"})
}

func (g generator) action(c randomCase) string {
	service, name, _ := strings.Cut(c.Action, ":")
	return pick(g, "*", "*", c.Action, c.Action, strings.ToUpper(c.Action), service+":*", service+":"+name[:3]+"*", service+":?"+name[1:], service+":*t", "s3:Get*", "s3:*Object",
		"dynamodb:*", "s3:????ucket")
}

// resource is a pattern near the case's resource. Variables that the request has no value for are left to the known differences.
func (g generator) resource(c randomCase, variables bool) string {
	all := []string{"*", "*", c.Resource, c.Resource, c.Resource + "*", c.Resource[:len(c.Resource)-1] + "?", "arn:aws:s3:::logs/*", "arn:aws:s3:::*",
		"arn:aws:s3:::b*/2026/*:??", "arn:aws:s3:::logs", "arn:aws:dynamodb:*:*:table/orders", "arn:aws:dynamodb:us-*-1:" + home + ":table/*",
		"arn:aws:sqs:*:" + home + ":j*s", "arn:aws:*:::logs/*", "arn:aws:s3:::logs/2026/b+?"}
	if variables {
		all = append(all, "arn:aws:s3:::logs/${aws:username, 'bob'}/*", "arn:aws:s3:::logs/2026/${ AWS:principalaccount , '"+home+"'}*")
	}
	if variables && !c.who.Anonymous() {
		all = append(all, "arn:aws:s3:::logs/2026/${aws:PrincipalAccount}", "arn:aws:s3:::${*}${?}${$}/${aws:PrincipalType}")
	}
	return pick(g, all...)
}

// condition is an operator, maybe for a set and maybe with IfExists, a key, and one value or two.
func (g generator) condition(c randomCase, variables bool) (operator, key string, values any) {
	operator, key, pool := g.operation(c)
	if variables && strings.HasPrefix(operator, "Arn") {
		pool = append(pool, "arn:aws:iam::"+home+":role/${s3:nothing, 'reader'}")
	}
	if variables && strings.HasPrefix(operator, "String") {
		pool = append(pool, g.variables(c, operator)...)
	}
	if key == "aws:CalledVia" {
		operator = pick(g, "ForAllValues:", "ForAnyValue:") + operator
	}
	if operator != "Null" && !strings.HasPrefix(operator, "ForAnyValue") && g.one(5) {
		operator += "IfExists"
	}
	if operator == "Null" || g.one(2) {
		return operator, key, pick(g, pool...)
	}
	return operator, key, []string{pick(g, pool...), pick(g, pool...)}
}

func (g generator) operation(c randomCase) (operator, key string, pool []string) {
	switch g.IntN(11) {
	case 0:
		key := pick(g, "aws:SourceIp", "aws:VpcSourceIp", "AWS:sourceip")
		if strings.HasPrefix(strings.Join(c.Keys["aws:SourceIp"], ""), "2001") {
			return pick(g, "IpAddress", "NotIpAddress"), key, []string{"2001:db8::/32", "2001:db8::7", "2001:db8:0:1::/64"}
		}
		return pick(g, "IpAddress", "NotIpAddress"), key, []string{"198.51.100.0/24", "203.0.113.9", "10.0.1.0/24", "10.0.0.0/8", "128.0.0.0/1"}
	case 1:
		return g.comparison("Numeric"), "s3:max-keys", []string{"10", "10.5", "1000", "0"}
	case 2:
		return g.comparison("Date"), "aws:CurrentTime", []string{"2026-01-01T00:00:00Z", "2026-06-01T12:30:00Z", "2026-03-01", "2026-06-01T14:30:00+02:00"}
	case 3:
		return g.comparison("Date"), "aws:EpochTime", []string{"1767225600", "1780317000", "1770000000"}
	case 4:
		return "Bool", "aws:SecureTransport", []string{"true", "false", "True"}
	case 5:
		return "Null", pick(g, "aws:SourceVpce", "aws:SourceIp", "s3:prefix", "aws:username"), []string{"true", "false"}
	case 6:
		return pick(g, "ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"), "aws:PrincipalArn",
			[]string{"arn:aws:iam::" + home + ":role/reader", "arn:aws:iam::*:role/*", "arn:aws:iam::" + abroad + ":*", "arn:*:iam::111*:user/b?b", "arn:aws:iam::*:user/*"}
	case 7:
		return "BinaryEquals", "aws:UserAgent", []string{base64.StdEncoding.EncodeToString([]byte("aws-cli/2.0"))}
	case 8:
		return g.text(), "aws:CalledVia", []string{"athena", "ath*", "kms", "Athena", "cloud?ormation"}
	case 9:
		return g.text(), "s3:prefix", []string{"", "home/", "home/*", "2026/", "HOME/"}
	}
	return g.text(), pick(g, "aws:SourceVpce", "aws:sourcevpc", "aws:PrincipalAccount", "aws:UserAgent"),
		[]string{"vpce-1", "vpce-*", "VPCE-1", "vpc-?", home, "aws-cli/2.0"}
}

// variables are values with variables: with a negated operator, only those that the request has a value for.
func (g generator) variables(c randomCase, operator string) []string {
	pool := []string{"home/${aws:username, 'bob'}/*", "vpc${s3:nothing, 'e-1'}"}
	if strings.Contains(operator, "Like") {
		pool = append(pool, "${$}${*}${?}")
	}
	if !strings.Contains(operator, "Not") {
		pool = append(pool, "home/${aws:username}/", "${aws:SourceVpce}")
	}
	if !c.who.Anonymous() {
		pool = append(pool, "${aws:PrincipalAccount}")
	}
	return pool
}

func (g generator) comparison(kind string) string {
	return kind + pick(g, "Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
}

func (g generator) text() string {
	return "String" + pick(g, "Equals", "NotEquals", "EqualsIgnoreCase", "NotEqualsIgnoreCase", "Like", "NotLike")
}
