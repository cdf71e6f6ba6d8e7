package iam

import (
	"bytes"
	"crypto/hmac"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/vpclab/vpclab/ctrl/service"
)

// skew is how far a request's time may be from ours.
const skew = 15 * time.Minute

// maxBody is how much of a request is read to know its hash, in bytes. DynamoDB takes 16 MiB, the others less; what S3 takes is hashed
// while it is read, whatever its size.
const maxBody = 16<<20 + 1<<10

// verify finds out who sent the request to a service in a region, and puts a body in place that is checked while it is read.
func (s *Store) verify(r *http.Request, name, region string) (Identity, *service.Denied) {
	id, refused := s.check(r, name, region)
	return id, worded(name, refused)
}

func (s *Store) check(r *http.Request, name, region string) (Identity, *service.Denied) {
	g, refused := readSignature(r)
	if refused != nil {
		return Identity{}, refused
	}
	if g == nil {
		return Anonymous(), openPayload(r, name, "", nil)
	}
	if refused := g.fits(r, name, region, s.now()); refused != nil {
		return Identity{}, refused
	}
	id, secret, refused := s.find(g.accessKey, g.token)
	if refused != nil {
		return Identity{}, refused
	}
	payload, refused := payloadHash(r, g)
	if refused != nil {
		return Identity{}, refused
	}
	with := newSigning(secret, g)
	if !hmac.Equal(with.sum(algorithm, hashText(canonical(r, g, payload))), g.sum) {
		return Identity{}, forged("the request was signed with another secret key than that of " + g.accessKey + " (" + id.Name + "), or was changed on its way")
	}
	return id, openPayload(r, name, payload, &chain{signing: with, last: hex.EncodeToString(g.sum)})
}

// fits checks what a signature covers: the service, the region, the time, and the headers that must be signed.
func (g *signature) fits(r *http.Request, name, region string, now time.Time) *service.Denied {
	switch {
	case g.service != name:
		return wrongService(g.service, name)
	case g.region != region:
		return wrongRegion(name, g.region, region)
	case g.date != g.at.UTC().Format("20060102"):
		return malformed("Invalid credential date \""+g.date+"\". This date is not the same as X-Amz-Date.", "the signature's dates differ")
	case !g.covers("host"):
		return unsigned("host")
	}
	for header := range r.Header {
		if lower := strings.ToLower(header); strings.HasPrefix(lower, "x-amz-") && !g.covers(lower) {
			return unsigned(lower)
		}
	}
	return g.timely(now)
}

// timely checks the request's time against ours.
func (g *signature) timely(now time.Time) *service.Denied {
	switch {
	case !g.presigned && now.Sub(g.at).Abs() > skew:
		return skewed(g.service, g.at, now)
	case g.presigned && g.at.Sub(now) > skew:
		return deny("AccessDenied", "Request is not yet valid", times(g.at, now))
	case g.presigned && now.After(g.at.Add(g.valid)):
		return deny("AccessDenied", "Request has expired", times(g.at, now)+"; it was valid for "+g.valid.String())
	}
	return nil
}

// payloadHash is the line of the canonical request that speaks of the body. S3's clients declare it; for the other services it is the hash
// of the body, which is read for it.
func payloadHash(r *http.Request, g *signature) (string, *service.Denied) {
	if g.service != "s3" {
		return hashBody(r)
	}
	declared := r.Header.Get("X-Amz-Content-Sha256")
	if declared == "" && g.presigned {
		declared = r.URL.Query().Get("X-Amz-Content-Sha256")
		if declared == "" {
			declared = unsignedPayload
		}
	}
	if declared == "" {
		return "", deny("InvalidRequest", "Missing required header for this request: x-amz-content-sha256", "a signed request says what it carries")
	}
	return declared, nil
}

func hashBody(r *http.Request) (string, *service.Denied) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return "", deny("RequestEntityTooLarge", "Request body is too large.", "more than 16 MiB")
		}
		return "", deny("IncompleteBody", "The request body terminated unexpectedly", err.Error())
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return hashText(string(body)), nil
}
