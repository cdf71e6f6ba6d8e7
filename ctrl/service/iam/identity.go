package iam

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"net/http"
	"time"

	"github.com/vpclab/vpclab/ctrl/policy"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// Identity is who signed a request.
type Identity struct {
	Principal policy.Principal // zero if nobody did
	Name      string           // for the person: "role reader"
	Policy    string           // what it may do, a policy document in JSON; empty: everything
	// Keys are the condition keys that come with its credentials.
	Keys map[string][]string
}

// Anonymous is who did not sign.
func Anonymous() Identity { return Identity{Name: "nobody"} }

// RoleName is the name of an instance's role: as the file says, or the instance's own. It is empty if the instance has none.
func RoleName(i *vpc.Instance) string {
	if i.Role.Name != "" || i.Role.None {
		return i.Role.Name
	}
	return i.Name
}

// ProfileID is the unique ID of the instance profile that has a role: AIPA and 17 characters.
func ProfileID(account, role string) string { return uniqueID("AIPA", account, role) }

// uniqueID is of IAM's form, and the same at every run (IAM user guide, unique identifiers).
func uniqueID(prefix, account, name string) string {
	sum := sha256.Sum256([]byte(prefix + "/" + account + "/" + name))
	return prefix + base32.StdEncoding.EncodeToString(sum[:])[:17]
}

func roleIdentity(v *vpc.VPC, i *vpc.Instance, issued time.Time) Identity {
	name, session := RoleName(i), string(i.ID)
	id := Identity{
		Principal: policy.Principal{
			ARN: "arn:aws:iam::" + v.Account + ":role/" + name, Session: "arn:aws:sts::" + v.Account + ":assumed-role/" + name + "/" + session,
			Account: v.Account, UserID: uniqueID("AROA", v.Account, name) + ":" + session,
		},
		Name: "role " + name, Policy: i.Role.Policy,
		Keys: map[string][]string{
			"aws:TokenIssueTime":       {issued.UTC().Format(time.RFC3339)},
			"aws:Ec2InstanceSourceVpc": {string(v.ID)},
			"ec2:SourceInstanceARN":    {"arn:aws:ec2:" + v.Region + ":" + v.Account + ":instance/" + session},
		},
	}
	if len(i.Interfaces) > 0 && i.Interfaces[0].IP.IsValid() {
		id.Keys["aws:Ec2InstanceSourcePrivateIPv4"] = []string{i.Interfaces[0].IP.String()}
	}
	return id
}

func userIdentity(account, name string) Identity {
	return Identity{
		Principal: policy.Principal{ARN: "arn:aws:iam::" + account + ":user/" + name, Account: account, UserID: uniqueID("AIDA", account, name)},
		Name:      "user " + name,
	}
}

// request is what Authenticate found out about a request, for the decision.
type request struct {
	identity       Identity
	secure         bool
	agent, referer string
}

type requestKey struct{}

func with(r *http.Request, id Identity) *http.Request {
	known := request{identity: id, secure: r.TLS != nil, agent: r.UserAgent(), referer: r.Referer()}
	return r.WithContext(context.WithValue(r.Context(), requestKey{}, known))
}

func requestOf(ctx context.Context) request {
	if known, ok := ctx.Value(requestKey{}).(request); ok {
		return known
	}
	return request{identity: Anonymous()}
}

// From is who signed the request of the context, as Authenticate found; Anonymous if it did not look.
func From(ctx context.Context) Identity { return requestOf(ctx).identity }
