package policy

import (
	"strings"
	"testing"
)

var (
	reader    = role(home, "reader")
	stranger  = role(abroad, "reader")
	bob       = Principal{ARN: "arn:aws:iam::" + home + ":user/team/bob", Account: home, UserID: "AIDABOB"}
	root      = Principal{ARN: "arn:aws:iam::" + home + ":root", Account: home, UserID: home}
	anonymous = Principal{}
)

func role(account, name string) Principal {
	return Principal{ARN: "arn:aws:iam::" + account + ":role/" + name, Session: "arn:aws:sts::" + account + ":assumed-role/" + name + "/i-1",
		Account: account, UserID: "AROA" + strings.ToUpper(name) + ":i-1"}
}

// get is a request to read an object of the bucket logs, with keys given as name, value, name, value.
func get(who Principal, given ...string) *Request {
	r := &Request{Principal: who, Action: "s3:GetObject", Resource: "arn:aws:s3:::logs/a", Keys: map[string][]string{}}
	for i := 0; i < len(given); i += 2 {
		r.Keys[given[i]] = []string{given[i+1]}
	}
	return r
}

const (
	allow = `"Effect": "Allow", "Action": "*", "Resource": "*"`
	deny  = `"Effect": "Deny", "Action": "*", "Resource": "*"`
)

// statements is a document of several statements; "" is none.
func statements(t *testing.T, list ...string) *Document {
	t.Helper()
	if list[0] == "" {
		return nil
	}
	return parse(t, `{"Version": "2012-10-17", "Statement": [{`+strings.Join(list, "}, {")+`}]}`)
}

func aws(principal string) string { return allow + `, "Principal": {"AWS": "` + principal + `"}` }

func TestCombination(t *testing.T) {
	const (
		everyone = allow + `, "Principal": "*"`
		nobody   = deny + `, "Principal": "*"`
		writes   = `"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"`
		none     = ""
	)
	for _, row := range []struct {
		name                         string
		who                          Principal
		identity, endpoint, resource string
		want                         string
	}{
		{"identity alone", reader, allow, none, none, `allowed by statement 1 of the identity policy`},
		{"nothing at all", reader, none, none, none, `there is no identity policy that allows s3:GetObject on arn:aws:s3:::logs/a`},
		{"identity for another action", reader, writes, none, none, `no statement of the identity policy allows s3:GetObject on arn:aws:s3:::logs/a`},
		{"neither", reader, writes, none, writes + `, "Principal": "*"`, `no statement of the identity policy or the bucket policy allows s3:GetObject on arn:aws:s3:::logs/a`},
		{"resource for everyone", reader, none, none, everyone, `allowed by statement 1 of the bucket policy`},
		{"resource for the role", reader, writes, none, aws(reader.ARN), `allowed by statement 1 of the bucket policy`},
		{"resource for the session", reader, writes, none, aws(reader.Session), `allowed by statement 1 of the bucket policy`},
		{"resource for another role", reader, writes, none, aws(role(home, "writer").ARN), `no statement of the identity policy or the bucket policy allows s3:GetObject on arn:aws:s3:::logs/a`},
		{"resource for the account delegates", reader, allow, none, aws(home), `allowed by statement 1 of the identity policy`},
		{"and grants nothing by itself", reader, none, none, aws(home), `no statement of the bucket policy allows s3:GetObject on arn:aws:s3:::logs/a by itself, and there is no identity policy`},
		{"but to its root user", root, none, none, aws("arn:aws:iam::" + home + ":root"), `allowed by statement 1 of the bucket policy`},
		{"resource for a user", bob, none, none, aws(bob.ARN), `allowed by statement 1 of the bucket policy`},

		{"explicit deny of the identity", reader, deny, everyone, everyone, `explicit deny by statement 1 of the identity policy`},
		{"of the endpoint", reader, allow, nobody, everyone, `explicit deny by statement 1 of the endpoint policy`},
		{"of the resource", reader, allow, everyone, nobody, `explicit deny by statement 1 of the bucket policy`},
		{"of the account", reader, allow, none, strings.Replace(aws(home), "Allow", "Deny", 1), `explicit deny by statement 1 of the bucket policy`},
		{"of everybody but the role", reader, allow, none, deny + `, "NotPrincipal": {"AWS": "` + reader.ARN + `"}`, `allowed by statement 1 of the identity policy`},
		{"of everybody but another", reader, allow, none, deny + `, "NotPrincipal": {"AWS": "` + bob.ARN + `"}`, `explicit deny by statement 1 of the bucket policy`},

		{"endpoint too", reader, allow, everyone, none, `allowed by statement 1 of the identity policy`},
		{"endpoint does not grant", reader, none, everyone, none, `there is no identity policy that allows s3:GetObject on arn:aws:s3:::logs/a`},
		{"endpoint must allow", reader, allow, writes + `, "Principal": "*"`, everyone, `no statement of the endpoint policy allows s3:GetObject on arn:aws:s3:::logs/a`},
		{"endpoint for the role", reader, allow, aws(reader.ARN), none, `allowed by statement 1 of the identity policy`},
		{"endpoint for the account", reader, allow, aws(home), none, `allowed by statement 1 of the identity policy`},

		{"across accounts: both", stranger, allow, none, aws(abroad), `allowed by statement 1 of the bucket policy`},
		{"across accounts: both, by role", stranger, allow, none, aws(stranger.ARN), `allowed by statement 1 of the bucket policy`},
		{"across accounts: identity only", stranger, allow, none, none, `there is no bucket policy that allows s3:GetObject on arn:aws:s3:::logs/a to arn:aws:iam::222222222222:role/reader`},
		{"across accounts: for others", stranger, allow, none, aws(home), `no statement of the bucket policy allows s3:GetObject on arn:aws:s3:::logs/a to arn:aws:iam::222222222222:role/reader`},
		{"across accounts: resource only", stranger, none, none, everyone, `there is no identity policy that allows s3:GetObject on arn:aws:s3:::logs/a`},

		{"anonymous", anonymous, none, none, everyone, `allowed by statement 1 of the bucket policy`},
		{"anonymous, and {AWS: *} is everyone", anonymous, none, none, aws("*"), `allowed by statement 1 of the bucket policy`},
		{"anonymous, no policy", anonymous, allow, none, none, `there is no bucket policy that allows s3:GetObject on arn:aws:s3:::logs/a to anonymous requests`},
		{"anonymous, for an account", anonymous, allow, none, aws(home), `no statement of the bucket policy allows s3:GetObject on arn:aws:s3:::logs/a to anonymous requests`},
		{"anonymous, through an endpoint", anonymous, none, writes + `, "Principal": "*"`, everyone, `no statement of the endpoint policy allows s3:GetObject on arn:aws:s3:::logs/a`},
	} {
		p := Policies{Identity: statements(t, row.identity), Endpoint: statements(t, row.endpoint), Resource: statements(t, row.resource), ResourceAccount: home}
		d := Decide(p, get(row.who))
		if got := d.String(); got != row.want {
			t.Errorf("%s:\n got %s\nwant %s", row.name, got, row.want)
		}
		if d.Allowed != strings.HasPrefix(row.want, "allowed") || d.Explicit != strings.HasPrefix(row.want, "explicit") {
			t.Errorf("%s: %+v", row.name, d)
		}
	}
}

func TestAccountAtAGatewayEndpointIsItsRootUser(t *testing.T) {
	p := Policies{Identity: statements(t, allow), Endpoint: statements(t, aws(home)), ResourceAccount: home}
	for _, row := range []struct {
		gateway bool
		who     Principal
		want    bool
	}{{false, reader, true}, {true, reader, false}, {true, root, true}} {
		p.Gateway = row.gateway
		if d := Decide(p, get(row.who)); d.Allowed != row.want {
			t.Errorf("gateway %v, %s: %s", row.gateway, row.who, d)
		}
	}
}

func TestNobodysResource(t *testing.T) {
	p := Policies{Identity: statements(t, allow)}
	if d := Decide(p, get(Principal{ARN: reader.ARN})); d.Allowed {
		t.Errorf("an account that is unknown on both sides counts as the same: %s", d)
	}
}

func TestDecisionNamesTheStatement(t *testing.T) {
	p := Policies{Identity: statements(t, allow), ResourceAccount: home, Resource: statements(t,
		`"Sid": "Reads", `+allow+`, "Principal": "*"`,
		`"Sid": "OnlyVpce", `+deny+`, "Principal": "*", "Condition": {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}`)}
	d := Decide(p, get(reader, "aws:SourceVpce", "vpce-2"))
	if d.Kind != Resource || !d.Explicit || d.Statement != 1 || d.Sid != "OnlyVpce" {
		t.Errorf("%+v", d)
	}
	want := `explicit deny by statement 2 ("OnlyVpce") of the bucket policy (StringNotEquals aws:SourceVpce holds: the request has vpce-2)`
	if d.String() != want {
		t.Errorf("got %s", d)
	}
	if d := Decide(p, get(reader, "aws:SourceVpce", "vpce-1")); !d.Allowed || d.Kind != Identity || d.Statement != 0 {
		t.Errorf("%+v", d)
	}
	for resource, want := range map[string]string{"arn:aws:dynamodb:eu-west-1:1:table/a": "table policy", "arn:aws:sqs:eu-west-1:1:a": "queue policy",
		"arn:aws:sns:eu-west-1:1:a": "topic policy", "arn:aws:kms:eu-west-1:1:a": "resource policy", "a": "resource policy"} {
		if got := (Decision{resource: resource}).policy(Resource); got != want {
			t.Errorf("%s has a %s", resource, got)
		}
	}
}

// aws-semantics section 9, and surprise 17.
func TestEndpointConditions(t *testing.T) {
	var (
		endpoint1 = []string{"aws:SourceVpce", "vpce-1", "aws:SourceVpc", "vpc-1", "aws:VpcSourceIp", "10.0.1.5"}
		endpoint2 = []string{"aws:SourceVpce", "vpce-2", "aws:SourceVpc", "vpc-2", "aws:VpcSourceIp", "172.31.7.7"}
		nat       = []string{"aws:SourceIp", "198.51.100.7"}
		internet  = []string{"aws:SourceIp", "192.0.2.1"}
	)
	for _, row := range []struct {
		condition   string // of a statement of the bucket policy that denies
		can, cannot [][]string
		why         string // of the last that cannot
	}{
		{`{"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}`, [][]string{endpoint1}, [][]string{endpoint2, nat, internet},
			"StringNotEquals aws:SourceVpce holds: the request has none"},
		{`{"StringNotEquals": {"aws:SourceVpc": "vpc-1"}}`, [][]string{endpoint1}, [][]string{nat, endpoint2},
			"StringNotEquals aws:SourceVpc holds: the request has vpc-2"},
		{`{"NotIpAddress": {"aws:VpcSourceIp": "172.31.0.0/16"}}`, [][]string{endpoint2}, [][]string{nat, endpoint1},
			"NotIpAddress aws:VpcSourceIp holds: the request has 10.0.1.5"},
		// The address of the NAT gateway is inside, yet an endpoint's requests have no aws:SourceIp.
		{`{"NotIpAddress": {"aws:SourceIp": "198.51.100.0/24"}}`, [][]string{nat}, [][]string{internet, endpoint1},
			"NotIpAddress aws:SourceIp holds: the request has none"},
		{`{"NotIpAddress": {"aws:VpcSourceIp": "10.0.1.0/24"}}`, [][]string{endpoint1}, [][]string{endpoint2},
			"NotIpAddress aws:VpcSourceIp holds: the request has 172.31.7.7"},
		{`{"Null": {"aws:SourceVpce": "true"}}`, [][]string{endpoint1, endpoint2}, [][]string{internet, nat},
			"Null aws:SourceVpce holds: the request has none"},
		{`{"Bool": {"aws:SecureTransport": "false"}}`, [][]string{append(nat, "aws:SecureTransport", "true")}, [][]string{append(nat, "aws:SecureTransport", "false")},
			"Bool aws:SecureTransport holds: the request has false"},
		{`{"StringNotEquals": {"aws:PrincipalAccount": "` + abroad + `"}, "Null": {"aws:SourceVpce": "false"}}`, [][]string{nat}, [][]string{endpoint1},
			"StringNotEquals aws:PrincipalAccount holds: the request has " + home},
		{`{"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/reader"}}`, [][]string{nat, endpoint1}, nil, ""},
		{`{"StringNotLike": {"s3:prefix": "home/*"}}`, [][]string{{"s3:prefix", "home/a"}}, [][]string{{"s3:prefix", ""}},
			`StringNotLike s3:prefix holds: the request has ""`},
		{`{"StringLike": {"aws:userid": "*:i-1"}}`, nil, [][]string{nat}, "StringLike aws:userid holds: the request has AROAREADER:i-1"},
	} {
		p := Policies{Identity: statements(t, allow), ResourceAccount: home, Resource: statements(t, deny+`, "Principal": "*", "Condition": `+row.condition)}
		for _, keys := range row.can {
			if d := Decide(p, get(reader, keys...)); !d.Allowed {
				t.Errorf("%s: %v: %s", row.condition, keys, d)
			}
		}
		for i, keys := range row.cannot {
			d := Decide(p, get(reader, keys...))
			if !d.Explicit || i == len(row.cannot)-1 && d.Because != row.why {
				t.Errorf("%s: %v: %+v", row.condition, keys, d)
			}
		}
	}
}

// A statement that would allow but for a condition is named.
func TestNearMiss(t *testing.T) {
	onlyVpce := `"Sid": "Private", ` + allow + `, "Principal": "*", "Condition": {"StringEquals": {"aws:SourceVpce": "vpce-1"}}`
	lists := `"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*", "Condition": {"StringLike": {"s3:prefix": "home/*"}}`
	identity := `"Effect": "Allow", "Action": "s3:Put*", "Resource": "*"`
	p := Policies{Identity: statements(t, identity), Resource: statements(t, onlyVpce), ResourceAccount: home}
	want := `no statement of the identity policy or the bucket policy allows s3:GetObject on arn:aws:s3:::logs/a; ` +
		`statement 1 ("Private") of the bucket policy would, but StringEquals aws:SourceVpce does not hold: the request has vpce-2`
	if got := Decide(p, get(reader, "aws:SourceVpce", "vpce-2")).String(); got != want {
		t.Errorf("got %s", got)
	}
	if d := Decide(p, get(reader, "aws:SourceVpce", "vpce-1")); !d.Allowed || d.Kind != Resource || d.Sid != "Private" {
		t.Errorf("%+v", d)
	}
	list := &Request{Principal: reader, Action: "s3:ListBucket", Resource: "arn:aws:s3:::logs", Keys: map[string][]string{"s3:prefix": {"root/"}}}
	p = Policies{Identity: statements(t, identity, lists), ResourceAccount: home}
	want = `no statement of the identity policy allows s3:ListBucket on arn:aws:s3:::logs; statement 2 of the identity policy would, but StringLike s3:prefix does not hold: the request has root/`
	if got := Decide(p, list).String(); got != want {
		t.Errorf("got %s", got)
	}
	list.Keys["s3:prefix"] = []string{"home/a"}
	if d := Decide(p, list); !d.Allowed {
		t.Errorf("%s", d)
	}
}

func TestActionsAndResources(t *testing.T) {
	for _, row := range []struct{ element, action, resource, cannotAction, cannotResource string }{
		{`"Action": "S3:getobject"`, "s3:GetObject", "arn:aws:s3:::a/b", "s3:GetObjectAcl", ""},
		{`"Action": ["s3:Get*", "s3:List?????t"]`, "s3:ListBucket", "arn:aws:s3:::a", "s3:ListBuckets", ""},
		{`"NotAction": "s3:*"`, "dynamodb:GetItem", "arn:aws:dynamodb:us-east-1:1:table/a", "s3:GetObject", ""},
		{`"Resource": "arn:aws:s3:::logs/*"`, "s3:GetObject", "arn:aws:s3:::logs/a/b:c", "", "arn:aws:s3:::logs"},
		{`"Resource": "arn:aws:s3:::l?gs/*.txt"`, "s3:GetObject", "arn:aws:s3:::logs/a/b.txt", "", "arn:aws:s3:::lgs/b.txt"},
		{`"Resource": "arn:aws:dynamodb:*:*:table/orders"`, "dynamodb:GetItem", "arn:aws:dynamodb:eu-west-1:1:table/orders", "", "arn:aws:dynamodb:eu-west-1:1:table/orders2"},
		// * in the middle of a segment stays in it, at its end it does not.
		{`"Resource": "arn:aws:sqs:eu-*1:1:q"`, "sqs:SendMessage", "arn:aws:sqs:eu-west-1:1:q", "", "arn:aws:sqs:eu-west:1:1:q"},
		{`"Resource": "arn:aws:sqs:*:q"`, "sqs:SendMessage", "arn:aws:sqs:eu-west-1:1:q", "", "arn:aws:sqs:eu-west-1:1:p"},
		{`"Resource": "arn:aws:sqs:eu?west-1:1:q"`, "sqs:SendMessage", "arn:aws:sqs:eu-west-1:1:q", "", "arn:aws:sqs:eu:west-1:1:q"},
		{`"NotResource": ["arn:aws:s3:::logs", "arn:aws:s3:::logs/*"]`, "s3:GetObject", "arn:aws:s3:::other/a", "", "arn:aws:s3:::logs/a"},
		{`"Resource": "arn:aws:s3:::home/${aws:PrincipalAccount}/*"`, "s3:GetObject", "arn:aws:s3:::home/" + home + "/a", "", "arn:aws:s3:::home/" + abroad + "/a"},
		{`"Resource": "arn:aws:s3:::home/${aws:username, 'nobody'}"`, "s3:GetObject", "arn:aws:s3:::home/nobody", "", "arn:aws:s3:::home/"},
	} {
		p := Policies{Identity: parse(t, with(row.element)), ResourceAccount: home}
		try := func(action, resource string) bool {
			return Decide(p, &Request{Principal: reader, Action: action, Resource: resource}).Allowed
		}
		if !try(row.action, row.resource) {
			t.Errorf("%s does not allow %s on %s", row.element, row.action, row.resource)
		}
		if row.cannotAction != "" && try(row.cannotAction, row.resource) {
			t.Errorf("%s allows %s", row.element, row.cannotAction)
		}
		if row.cannotResource != "" && try(row.action, row.cannotResource) {
			t.Errorf("%s allows %s", row.element, row.cannotResource)
		}
	}
}

// What follows from the principal cannot be said otherwise.
func TestKeysOfThePrincipal(t *testing.T) {
	forged := []string{"AWS:principalarn", "arn:aws:iam::" + home + ":role/admin", "aws:PrincipalAccount", abroad}
	for _, row := range []struct {
		who                             Principal
		arn, account, kind, id, nameKey string
	}{
		{reader, reader.ARN, home, "AssumedRole", "AROAREADER:i-1", ""},
		{bob, bob.ARN, home, "User", "AIDABOB", "bob"},
		{root, root.ARN, home, "Account", home, ""},
		{anonymous, "", "", "Anonymous", "", ""},
	} {
		k := get(row.who, forged...).keys()
		for name, want := range map[string]string{"aws:principalarn": row.arn, "aws:principalaccount": row.account, "aws:principaltype": row.kind,
			"aws:userid": row.id, "aws:username": row.nameKey} {
			if got := strings.Join(k[name], ","); got != want {
				t.Errorf("%s: %s is %q, not %q", row.who, name, got, want)
			}
		}
	}
}

// A pattern of many wildcards takes no more time than its length times the text's.
func TestManyWildcards(t *testing.T) {
	text := strings.Repeat("a", 4000)
	d := parse(t, with(`"Resource": "arn:aws:s3:::`+strings.Repeat("a*", 1000)+`b"`))
	r := Request{Principal: reader, Action: "s3:GetObject", Resource: "arn:aws:s3:::" + text}
	if d := Decide(Policies{Identity: d, ResourceAccount: home}, &r); d.Allowed {
		t.Error("allowed without the b")
	}
	r.Resource += "b"
	if d := Decide(Policies{Identity: d, ResourceAccount: home}, &r); !d.Allowed {
		t.Error("not allowed with the b")
	}
}
