package iam

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// question is one access: who asks, by which way, for what.
type question struct {
	by     Identity
	from   service.Caller
	access service.Access
	change func(*http.Request)
}

// ask is what the gate answers.
func (b *bed) ask(q question) *service.Denied {
	r := httptest.NewRequest("GET", "http://logs.s3.us-east-1.amazonaws.com/a", nil)
	if q.change != nil {
		q.change(r)
	}
	r = with(r.WithContext(service.With(context.Background(), q.from)), q.by)
	err := b.gate.Authorize(r.Context(), q.access)
	if err == nil {
		return nil
	}
	denied, ok := errors.AsType[*service.Denied](err)
	if !ok {
		b.t.Fatalf("%v is no denial", err)
	}
	return denied
}

func (b *bed) role(i *vpc.Instance, policy string) Identity {
	i.Role.Policy = policy
	return roleIdentity(b.app, i, b.clock)
}

func (b *bed) internet() service.Caller {
	return service.Caller{Via: service.Public, Service: "s3", Region: "us-east-1", Addr: netip.MustParseAddr("198.51.100.7")}
}

// endpoint is the way by a gateway endpoint that has a policy, from web.
func (b *bed) endpoint(policy string) service.Caller {
	e := &vpc.Endpoint{Name: "s3", ID: "vpce-1", Type: vpc.GatewayEndpoint, Policy: policy}
	return service.Caller{Via: service.ByGateway, Service: "s3", Region: "us-east-1", VPC: b.app, Endpoint: e, Addr: netip.MustParseAddr("10.0.0.10"), Instance: b.web}
}

func get(policy string) service.Access {
	return service.Access{Action: "s3:GetObject", Resource: "arn:aws:s3:::logs/a", Account: account, Policy: policy}
}

func elsewhere(a service.Access) service.Access {
	a.Account = "999999999999"
	return a
}

func allBuckets() service.Access {
	return service.Access{Action: "s3:ListAllMyBuckets", Resource: "arn:aws:s3:::*", Account: account}
}

func ofNobody(a service.Access) service.Access {
	a.Account = ""
	return a
}

func item() service.Access {
	return service.Access{Action: "dynamodb:GetItem", Resource: "arn:aws:dynamodb:us-east-1:123456789012:table/orders", Account: account}
}

const (
	onlyPut    = `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}}`
	noGet      = `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}, {"Sid": "NoGet", "Effect": "Deny", "Action": ["s3:GetObject", "dynamodb:*"], "Resource": "*"}]}`
	publicRead = `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}}`
	mayNotGet  = `User: arn:aws:sts::123456789012:assumed-role/web/i-0web is not authorized to perform: s3:GetObject on resource: "arn:aws:s3:::logs/a" `
	publicPut  = `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:PutObject", "Resource": "*"}}`
)

// onlyIf is a bucket's policy that denies what does not meet a condition.
func onlyIf(condition string) string {
	return `{"Version": "2012-10-17", "Statement": {"Sid": "Only", "Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*", "Condition": ` + condition + `}}`
}

func TestWhatThePoliciesAllow(t *testing.T) {
	b := newBed(t)
	web := b.role(b.web, "")
	for _, row := range []struct {
		name string
		q    question
		// An empty code is yes.
		code, message, why string
	}{
		{"a role without a policy may everything", question{by: web, from: b.internet(), access: get("")}, "", "", ""},
		{"a role that may only put", question{by: b.role(b.web, onlyPut), from: b.internet(), access: get("")},
			"AccessDenied", mayNotGet + "because no identity-based policy allows the s3:GetObject action", "no statement of the identity policy allows s3:GetObject on arn:aws:s3:::logs/a; it was asked by role web from 198.51.100.7 over the internet"},
		{"a role that may not get", question{by: b.role(b.web, noGet), from: b.internet(), access: get("")},
			"AccessDenied", mayNotGet + "with an explicit deny in an identity-based policy", `explicit deny by statement 2 ("NoGet") of the identity policy`},
		{"a role that may only put, a bucket that everyone reads", question{by: b.role(b.web, onlyPut), from: b.internet(), access: get(publicRead)}, "", "", ""},
		{"an endpoint without a policy", question{by: web, from: b.endpoint(""), access: get("")}, "", "", ""},
		{"an endpoint for putting", question{by: web, from: b.endpoint(publicPut), access: get("")},
			"AccessDenied", mayNotGet + "because no VPC endpoint policy allows the s3:GetObject action", "no statement of the endpoint policy allows s3:GetObject on arn:aws:s3:::logs/a; it was asked by role web from 10.0.0.10 by endpoint app/endpoint.s3 (vpce-1)"},
		{"an endpoint for getting", question{by: web, from: b.endpoint(publicRead), access: get("")}, "", "", ""},
		{"nobody, a bucket that everyone reads", question{by: Anonymous(), from: b.internet(), access: get(publicRead)}, "", "", ""},
		{"nobody, a bucket without a policy", question{by: Anonymous(), from: b.internet(), access: get("")}, "AccessDenied", "Access Denied", "by nobody"},
		{"another account's bucket that everyone reads", question{by: web, from: b.internet(), access: elsewhere(get(publicRead))}, "", "", ""},
		{"another account's bucket without a policy", question{by: web, from: b.internet(), access: elsewhere(get(""))},
			"AccessDenied", "Access Denied", "there is no bucket policy that allows s3:GetObject"},
		{"a list of all buckets", question{by: b.role(b.web, onlyPut), from: b.internet(), access: allBuckets()},
			"AccessDenied", "is not authorized to perform: s3:ListAllMyBuckets because no identity-based policy allows the s3:ListAllMyBuckets action", "arn:aws:s3:::*"},
		{"a list of all buckets, for nobody", question{by: Anonymous(), from: b.internet(), access: ofNobody(allBuckets())}, "AccessDenied", "Access Denied", "by nobody"},
		{"a bucket that denies", question{by: web, from: b.internet(), access: get(onlyIf(`{"Bool": {"aws:SecureTransport": "false"}}`))},
			"AccessDenied", mayNotGet + "with an explicit deny in a resource-based policy", "Only"},
		{"an item", question{by: web, from: b.internet(), access: item()}, "", "", ""},
		{"an item that the role may not get", question{by: b.role(b.web, noGet), from: b.internet(), access: item()},
			"AccessDenied", "User: arn:aws:sts::123456789012:assumed-role/web/i-0web is not authorized to perform: dynamodb:GetItem on resource: " +
				"arn:aws:dynamodb:us-east-1:123456789012:table/orders with an explicit deny in an identity-based policy", "NoGet"},
		{"an item that no policy names", question{by: b.role(b.web, onlyPut), from: b.internet(), access: item()},
			"AccessDenied", "because no identity-based policy allows the dynamodb:GetItem action", "no statement of the identity policy"},
		{"an item through an endpoint for putting", question{by: web, from: b.endpoint(publicPut), access: item()},
			"AccessDenied", "because no VPC endpoint policy allows the dynamodb:GetItem action", "no statement of the endpoint policy"},
		{"an item for nobody", question{by: Anonymous(), from: b.internet(), access: item()},
			"MissingAuthenticationToken", "Request is missing Authentication Token", "the request is not signed"},
		{"a role whose policy cannot be read", question{by: b.role(b.web, `{"Statement": 7}`), from: b.internet(), access: get("")},
			"AccessDenied", mayNotGet + "because a policy cannot be read", "the policy of role web cannot be read: 1:"},
		{"a bucket whose policy cannot be read", question{by: web, from: b.internet(), access: get("{")},
			"AccessDenied", mayNotGet + "because a policy cannot be read", "the policy of arn:aws:s3:::logs/a cannot be read: 1:"},
	} {
		denied := b.ask(row.q)
		switch {
		case row.code == "" && denied != nil:
			t.Errorf("%s: denied: %s", row.name, denied.Why)
		case row.code != "" && denied == nil:
			t.Errorf("%s: allowed", row.name)
		case denied != nil && (denied.Code != row.code || !strings.Contains(denied.Message, row.message) || !strings.Contains(denied.Why, row.why)):
			t.Errorf("%s: got %s: %q because %q", row.name, denied.Code, denied.Message, denied.Why)
		}
	}
}

// What a bucket may ask of a request, each with a request that has it and one that has not.
func TestConditionKeys(t *testing.T) {
	b := newBed(t)
	web := b.role(b.web, "")
	peer := b.endpoint("")
	peer.Via, peer.Addr, peer.Instance = service.ByInterface, netip.MustParseAddr("10.9.0.4"), nil
	other := b.endpoint("")
	other.Endpoint = &vpc.Endpoint{Name: "other", ID: "vpce-2"}
	abroad := b.internet()
	abroad.Region = "eu-west-1"
	encrypted := func(r *http.Request) { r.TLS = &tls.ConnectionState{} }
	agent := func(r *http.Request) {
		r.Header.Set("User-Agent", "aws-cli/2.31")
		r.Header.Set("Referer", "http://page/")
	}
	listing := get("")
	listing.Keys = map[string][]string{"s3:prefix": {"home/"}}
	for _, row := range []struct {
		deny    string // unless
		can     question
		cannot  question
		because string
	}{
		{`{"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}`, question{by: web, from: b.endpoint("")}, question{by: web, from: other}, "vpce-2"},
		{`{"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}`, question{by: web, from: peer}, question{by: web, from: b.internet()}, "aws:SourceVpce"},
		{`{"StringNotEquals": {"aws:SourceVpc": "vpc-0a"}}`, question{by: web, from: b.endpoint("")}, question{by: web, from: b.internet()}, "aws:SourceVpc"},
		{`{"NotIpAddress": {"aws:VpcSourceIp": "10.0.0.0/24"}}`, question{by: web, from: b.endpoint("")}, question{by: web, from: peer}, "10.9.0.4"},
		{`{"NotIpAddress": {"aws:SourceIp": "198.51.100.0/24"}}`, question{by: web, from: b.internet()}, question{by: web, from: b.endpoint("")}, "aws:SourceIp"},
		{`{"Bool": {"aws:SecureTransport": "false"}}`, question{by: web, from: b.internet(), change: encrypted}, question{by: web, from: b.internet()}, "aws:SecureTransport"},
		{`{"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/web"}}`, question{by: web, from: b.internet()},
			question{by: b.role(b.db, ""), from: b.internet()}, "role/db"},
		{`{"StringNotEquals": {"aws:PrincipalType": "AssumedRole"}}`, question{by: web, from: b.internet()},
			question{by: userIdentity(account, "laptop"), from: b.internet()}, "User"},
		{`{"StringNotEquals": {"aws:RequestedRegion": "us-east-1"}}`, question{by: web, from: b.internet()}, question{by: web, from: abroad}, "eu-west-1"},
		{`{"StringNotLike": {"aws:UserAgent": "aws-cli/*"}}`, question{by: web, from: b.internet(), change: agent}, question{by: web, from: b.internet()}, "aws:UserAgent"},
		{`{"StringNotLike": {"aws:Referer": "http://page/*"}}`, question{by: web, from: b.internet(), change: agent}, question{by: web, from: b.internet()}, "aws:Referer"},
		{`{"StringNotEquals": {"s3:prefix": "home/"}}`, question{by: web, from: b.internet(), access: listing}, question{by: web, from: b.internet()}, "s3:prefix"},
		{`{"StringNotEquals": {"aws:Ec2InstanceSourcePrivateIPv4": "10.0.0.10"}}`, question{by: web, from: b.internet()},
			question{by: b.role(b.db, ""), from: b.internet()}, "10.0.1.5"},
	} {
		can, cannot := row.can, row.cannot
		for _, q := range []*question{&can, &cannot} {
			keys := q.access.Keys
			q.access = get(onlyIf(row.deny))
			q.access.Keys = keys
		}
		if denied := b.ask(can); denied != nil {
			t.Errorf("%s: denied: %s", row.deny, denied.Why)
		}
		denied := b.ask(cannot)
		if denied == nil {
			t.Errorf("%s: allowed what it should not", row.deny)
			continue
		}
		if !strings.Contains(denied.Why, row.because) || !strings.Contains(denied.Why, `explicit deny by statement 1 ("Only") of the bucket policy`) {
			t.Errorf("%s: denied because %q, which does not name %s", row.deny, denied.Why, row.because)
		}
		if what := "s3:GetObject on arn:aws:s3:::logs/a"; strings.Count(denied.Why, what) != 1 || !strings.HasPrefix(denied.Why, what+": ") {
			t.Errorf("%s: %q does not begin with %s", row.deny, denied.Why, what)
		}
	}
}

func TestTheLabsTimeDecides(t *testing.T) {
	b := newBed(t)
	access := get(onlyIf(`{"DateGreaterThan": {"aws:CurrentTime": "2026-03-01T12:30:00Z"}}`))
	epoch := get(onlyIf(`{"NumericGreaterThan": {"aws:EpochTime": "1772368200"}}`))
	for _, a := range []service.Access{access, epoch} {
		b.clock = b.clock.Truncate(24 * time.Hour).Add(12 * time.Hour)
		if denied := b.ask(question{by: b.role(b.web, ""), from: b.internet(), access: a}); denied != nil {
			t.Errorf("at noon: denied: %s", denied.Why)
		}
		b.clock = b.clock.Add(time.Hour)
		if denied := b.ask(question{by: b.role(b.web, ""), from: b.internet(), access: a}); denied == nil {
			t.Error("an hour later: allowed")
		}
	}
}

func TestDenialsAreToldToTheLab(t *testing.T) {
	b := newBed(t)
	if denied := b.ask(question{by: b.role(b.web, onlyPut), from: b.internet(), access: get("")}); len(b.observed) != 1 || b.observed[0] != denied {
		t.Errorf("the lab was told %v of %v", b.observed, denied)
	}
	b.ask(question{by: b.role(b.web, ""), from: b.internet(), access: get("")})
	if len(b.observed) != 1 {
		t.Errorf("what was allowed is told, too: %v", b.observed)
	}
	if err := NewGate(b.store, func() time.Time { return b.clock }, nil).Authorize(context.Background(), get("")); err == nil {
		t.Error("a request that nobody authenticated was allowed")
	}
}

func TestPoliciesThatComeAndGoAreForgotten(t *testing.T) {
	var d documents
	first, err := d.read(publicRead)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := d.read(publicRead); again != first {
		t.Error("the same text was parsed twice")
	}
	for n := range 2 * maxDocuments {
		if _, err := d.read(publicRead + strings.Repeat(" ", n)); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.all) > maxDocuments {
		t.Errorf("%d policies are kept", len(d.all))
	}
}
