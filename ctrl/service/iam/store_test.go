package iam

import (
	"strings"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

func TestRoleCredentialsStayForAPeriodAndAreRenewedInTime(t *testing.T) {
	b := newBed(t)
	b.clock = b.clock.Truncate(period)
	first := b.store.Role(b.app, b.web)
	if !strings.HasPrefix(first.AccessKeyID, "ASIA") || len(first.AccessKeyID) != 20 || len(first.SecretAccessKey) != 40 || first.SessionToken == "" {
		t.Errorf("got %+v, which is not of AWS's form", first)
	}
	if got := first.Expiration.Sub(b.clock); got != 6*time.Hour {
		t.Errorf("new credentials are valid for %v, want 6h", got)
	}
	for b.clock = b.clock.Add(time.Minute); b.clock.Before(first.Expiration); b.clock = b.clock.Add(time.Minute) {
		now := b.store.Role(b.app, b.web)
		if left := now.Expiration.Sub(b.clock); left < 15*time.Minute {
			t.Fatalf("at %v the instance is told credentials with %v left", b.clock, left)
		}
		if now != first && b.clock.Before(first.Issued.Add(period)) {
			t.Fatalf("at %v the instance is told other credentials than before", b.clock)
		}
	}
}

func TestCredentialsAreOfOneInstanceAndOneLab(t *testing.T) {
	b := newBed(t)
	other := b.newStore(2)
	all := map[string]string{}
	for who, c := range map[string]Credentials{
		"web": b.store.Role(b.app, b.web), "db": b.store.Role(b.app, b.db), "web elsewhere": other.Role(b.app, b.web),
		"laptop": b.store.User(account, "laptop"), "laptop elsewhere": other.User(account, "laptop"), "phone": b.store.User(account, "phone"),
	} {
		for _, part := range []string{c.AccessKeyID, c.SecretAccessKey} {
			if prev := all[part]; prev != "" {
				t.Errorf("%s and %s share %s", who, prev, part)
			}
			all[part] = who
		}
	}
}

func TestWhoseCredentialsTheyAre(t *testing.T) {
	b := newBed(t)
	b.db.Role = vpc.Role{Name: "reader", Policy: "{}"}
	for _, row := range []struct {
		name              string
		given             Credentials
		arn, session, who string
		policy            string
	}{
		{"an instance whose role has its name", b.store.Role(b.app, b.web),
			"arn:aws:iam::123456789012:role/web", "arn:aws:sts::123456789012:assumed-role/web/i-0web", "role web", ""},
		{"an instance whose role has a name and a policy", b.store.Role(b.app, b.db),
			"arn:aws:iam::123456789012:role/reader", "arn:aws:sts::123456789012:assumed-role/reader/i-0db", "role reader", "{}"},
		{"an internet host", b.store.User(account, "laptop"), "arn:aws:iam::123456789012:user/laptop", "", "user laptop", ""},
	} {
		id, secret, denied := b.store.find(row.given.AccessKeyID, row.given.SessionToken)
		if denied != nil || secret != row.given.SecretAccessKey {
			t.Errorf("%s: not known again: %v", row.name, denied)
			continue
		}
		p := id.Principal
		if p.ARN != row.arn || p.Session != row.session || p.Account != account || id.Name != row.who || id.Policy != row.policy {
			t.Errorf("%s: got %+v", row.name, id)
		}
	}
	id, _, _ := b.store.find(b.store.Role(b.app, b.web).AccessKeyID, b.store.Role(b.app, b.web).SessionToken)
	if !strings.HasPrefix(id.Principal.UserID, "AROA") || !strings.HasSuffix(id.Principal.UserID, ":i-0web") {
		t.Errorf("the role's user ID is %s", id.Principal.UserID)
	}
	if got := id.Keys["aws:Ec2InstanceSourcePrivateIPv4"]; len(got) != 1 || got[0] != "10.0.0.10" {
		t.Errorf("the credentials were delivered to %v", got)
	}
}

func TestWhoseCredentialsAreNot(t *testing.T) {
	b := newBed(t)
	web, db := b.store.Role(b.app, b.web), b.store.Role(b.app, b.db)
	elsewhere := b.newStore(2).Role(b.app, b.web)
	gone := b.store.Role(&vpc.VPC{ID: "vpc-0gone"}, b.web)
	b.db.Role.None = true
	for _, row := range []struct{ name, key, token, code, why string }{
		{"a key that nobody has", "AKIAIOSFODNN7EXAMPLE", "", "InvalidAccessKeyId", "nobody in the lab has the access key AKIAIOSFODNN7EXAMPLE"},
		{"a temporary key without its token", web.AccessKeyID, "", "InvalidAccessKeyId", "or it needs a session token"},
		{"a host that there is not", b.store.User(account, "phone").AccessKeyID, "", "InvalidAccessKeyId", "nobody in the lab"},
		{"another's token", web.AccessKeyID, db.SessionToken, "InvalidAccessKeyId", "belongs to another access key"},
		{"another lab's token", elsewhere.AccessKeyID, elsewhere.SessionToken, "InvalidToken", "not of this lab"},
		{"no token at all", web.AccessKeyID, "nonsense", "InvalidToken", "not of this lab"},
		{"an instance that is gone", gone.AccessKeyID, gone.SessionToken, "InvalidAccessKeyId", "is gone"},
		{"an instance that has no role any more", db.AccessKeyID, db.SessionToken, "InvalidAccessKeyId", "instance db, which got " + db.AccessKeyID + ", has no role"},
	} {
		_, _, denied := b.store.find(row.key, row.token)
		if denied == nil || denied.Code != row.code || !strings.Contains(denied.Why, row.why) {
			t.Errorf("%s: got %+v, want %s because %s", row.name, denied, row.code, row.why)
		}
	}
	b.clock = web.Expiration.Add(-time.Second)
	if _, _, denied := b.store.find(web.AccessKeyID, web.SessionToken); denied != nil {
		t.Errorf("a second before the end: %v", denied)
	}
	b.clock = web.Expiration
	if _, _, denied := b.store.find(web.AccessKeyID, web.SessionToken); denied == nil || denied.Code != "ExpiredToken" {
		t.Errorf("at the end: got %v, want ExpiredToken", denied)
	}
}
