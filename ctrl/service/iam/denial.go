package iam

import (
	"cmp"
	"strings"
	"time"

	"github.com/vpclab/vpclab/ctrl/policy"
	"github.com/vpclab/vpclab/ctrl/service"
)

func deny(code, message, why string) *service.Denied {
	return &service.Denied{Code: code, Message: message, Why: why}
}

// denial is what the policies say no with.
func denial(c service.Caller, id Identity, a service.Access, d policy.Decision) *service.Denied {
	why := d.String() + "; it was asked by " + id.Name + " " + way(c)
	if id.Principal.Anonymous() && !isS3(a) {
		return deny("MissingAuthenticationToken", "Request is missing Authentication Token", "the request is not signed; "+why)
	}
	return deny("AccessDenied", message(id, a, reason(a, d)), why)
}

func isS3(a service.Access) bool { return strings.HasPrefix(a.Action, "s3:") }

// message is AWS's sentence for the client (IAM user guide, troubleshoot access denied error messages). S3 says no more than it must to
// whoever is not of the resource's account, quotes resources, and names none for a list of all buckets (S3 user guide, troubleshoot
// access denied errors).
func message(id Identity, a service.Access, reason string) string {
	on := " on resource: " + a.Resource
	switch {
	case isS3(a) && (id.Principal.Anonymous() || id.Principal.Account != a.Account):
		return "Access Denied"
	case a.Resource == "arn:aws:s3:::*":
		on = ""
	case isS3(a):
		on = ` on resource: "` + a.Resource + `"`
	}
	who := cmp.Or(id.Principal.Session, id.Principal.ARN)
	return "User: " + who + " is not authorized to perform: " + a.Action + on + " " + reason
}

func reason(a service.Access, d policy.Decision) string {
	name := map[policy.Kind]string{policy.Identity: "identity-based", policy.Endpoint: "VPC endpoint", policy.Resource: "resource-based"}[d.Kind]
	switch {
	case d.Explicit && d.Kind == policy.Identity:
		return "with an explicit deny in an " + name + " policy"
	case d.Explicit:
		return "with an explicit deny in a " + name + " policy"
	}
	return "because no " + name + " policy allows the " + a.Action + " action"
}

func endpoint(c service.Caller) string {
	if c.Endpoint == nil {
		return "no endpoint"
	}
	return "endpoint " + c.VPC.Name + "/endpoint." + c.Endpoint.Name + " (" + string(c.Endpoint.ID) + ")"
}

// way is how a request came.
func way(c service.Caller) string {
	switch {
	case c.Endpoint != nil:
		return "from " + c.Addr.String() + " by " + endpoint(c)
	case c.Via == service.Public:
		return "from " + c.Addr.String() + " over the internet"
	}
	return "from " + c.Addr.String()
}

// stamp is a time as AWS's messages write it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
