package iam

import (
	"time"

	"github.com/vpclab/vpclab/ctrl/service"
)

// Requests that cannot prove who sent them are refused in S3's words, and in those that the other services share (IAM user guide,
// troubleshoot Signature Version 4; common errors of each API).

// others are the code and message that the other services have for one of S3's.
var others = map[string]service.Denied{
	"InvalidAccessKeyId": {Code: "InvalidClientTokenId", Message: "The security token included in the request is invalid."},
	"InvalidToken":       {Code: "InvalidClientTokenId", Message: "The security token included in the request is invalid."},
	"ExpiredToken":       {Code: "ExpiredToken", Message: "The security token included in the request is expired"},
	"InvalidRequest":     {Code: "IncompleteSignature", Message: "Unsupported AWS 'algorithm'; use " + algorithm},
	"AuthorizationHeaderMalformed": {Code: "IncompleteSignature",
		Message: "Authorization header requires 'Credential', 'Signature' and 'SignedHeaders' parameters."},
}

// worded is a refusal in the words of the service that was asked.
func worded(name string, d *service.Denied) *service.Denied {
	if d == nil || name == "s3" {
		return d
	}
	if own, ok := others[d.Code]; ok {
		return deny(own.Code, own.Message, d.Why)
	}
	return d
}

func unknownKey(why string) *service.Denied {
	return deny("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", why)
}

func forged(why string) *service.Denied {
	return deny("SignatureDoesNotMatch",
		"The request signature we calculated does not match the signature you provided. Check your key and signing method.", why)
}

func malformed(what, why string) *service.Denied {
	return deny("AuthorizationHeaderMalformed", "The authorization header is malformed; "+what, why)
}

func unsigned(header string) *service.Denied {
	return deny("AccessDenied", "There were headers present in the request which were not signed", "the signature does not cover "+header)
}

func wrongService(signed, name string) *service.Denied {
	why := "the request was signed for service " + signed + " and sent to " + name
	if name != "s3" {
		return deny("SignatureDoesNotMatch", "Credential should be scoped to correct service: '"+name+"'.", why)
	}
	return malformed("incorrect service \""+signed+"\". This endpoint belongs to \"s3\".", why)
}

func wrongRegion(name, signed, region string) *service.Denied {
	why := "the request was signed for region " + signed + " and sent to " + region
	if name != "s3" {
		return deny("SignatureDoesNotMatch", "Credential should be scoped to a valid region.", why)
	}
	return malformed("the region '"+signed+"' is wrong; expecting '"+region+"'", why)
}

func skewed(name string, at, now time.Time) *service.Denied {
	text := func(t time.Time) string { return t.UTC().Format(dateForm) }
	switch {
	case name == "s3":
		return deny("RequestTimeTooSkewed", "The difference between the request time and the current time is too large.", times(at, now))
	case at.After(now):
		return deny("SignatureDoesNotMatch", "Signature not yet current: "+text(at)+" is still later than "+text(now.Add(skew))+" ("+text(now)+" + 15 min.)",
			times(at, now))
	}
	return deny("SignatureDoesNotMatch", "Signature expired: "+text(at)+" is now earlier than "+text(now.Add(-skew))+" ("+text(now)+" - 15 min.)", times(at, now))
}

func times(at, now time.Time) string {
	return "the request's time is " + stamp(at) + ", the service's " + stamp(now)
}
