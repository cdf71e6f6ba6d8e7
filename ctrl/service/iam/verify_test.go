package iam

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/vpclab/vpclab/ctrl/service"
)

// attempt is one request to S3 in us-east-1 as a client signs it.
type attempt struct {
	b               *bed
	credentials     Credentials
	service, region string
	payload         string
	at              time.Time
	request         *http.Request
	after           func(*http.Request) // what happens to it once it is signed
}

func (b *bed) attempt(change func(*attempt)) *attempt {
	r, err := http.NewRequest("PUT", "http://logs.s3.us-east-1.amazonaws.com/a%20b/c?tagging&x=2&a=%2F", strings.NewReader("hello"))
	if err != nil {
		b.t.Fatal(err)
	}
	a := &attempt{b: b, credentials: b.store.Role(b.app, b.web), service: "s3", region: "us-east-1", payload: hashText("hello"), at: b.clock, request: r}
	r.Header.Set("X-Amz-Meta-Note", "  two   words ")
	change(a)
	return a
}

// verdict signs with Amazon's signer, and is what S3 says.
func (a *attempt) verdict() (Identity, *service.Denied) { return a.verdictOf("s3") }

func (a *attempt) verdictOf(name string) (Identity, *service.Denied) {
	if a.payload != "" {
		a.request.Header.Set("X-Amz-Content-Sha256", a.payload)
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = a.service == "s3" })
	if err := signer.SignHTTP(context.Background(), forSDK(a.credentials), a.request, a.payload, a.service, a.region, a.at); err != nil {
		a.b.t.Fatal(err)
	}
	if a.after != nil {
		a.after(a.request)
	}
	return a.b.store.verify(a.request, name, "us-east-1")
}

func TestSignaturesThatFit(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*attempt)
	}{
		{"as it should be", func(*attempt) {}},
		{"14 minutes early", func(a *attempt) { a.at = a.at.Add(-14 * time.Minute) }},
		{"14 minutes late", func(a *attempt) { a.at = a.at.Add(14 * time.Minute) }},
		{"an unsigned payload", func(a *attempt) { a.payload = unsignedPayload }},
		{"a header that a proxy added", func(a *attempt) { a.after = func(r *http.Request) { r.Header.Set("Via", "1.1 proxy") } }},
		{"the time in Date alone", func(a *attempt) {
			a.after = func(r *http.Request) {
				g, _ := readSignature(r)
				g.headers = []string{"date", "host", "x-amz-content-sha256", "x-amz-security-token"}
				r.Header = http.Header{"Date": {g.at.Format(http.TimeFormat)}, "X-Amz-Content-Sha256": {a.payload}, "X-Amz-Security-Token": {g.token}}
				sum := newSigning(a.credentials.SecretAccessKey, g).sum(algorithm, hashText(canonical(r, g, a.payload)))
				r.Header.Set("Authorization", authorization(g, sum))
			}
		}},
	} {
		id, denied := newBed(t).attempt(row.change).verdict()
		if denied != nil || id.Name != "role web" {
			t.Errorf("%s: got %s, %+v", row.name, id.Name, denied)
		}
	}
}

func TestSignaturesThatDoNot(t *testing.T) {
	header := func(name, value string) func(*attempt) {
		return func(a *attempt) { a.after = func(r *http.Request) { r.Header.Set(name, value) } }
	}
	for _, row := range []struct {
		name      string
		change    func(*attempt)
		code, why string
	}{
		{"another path", func(a *attempt) { a.after = func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/other", "" } },
			"SignatureDoesNotMatch", "another secret key"},
		{"another query", func(a *attempt) { a.after = func(r *http.Request) { r.URL.RawQuery = "acl" } }, "SignatureDoesNotMatch", "changed on its way"},
		{"another method", func(a *attempt) { a.after = func(r *http.Request) { r.Method = "DELETE" } }, "SignatureDoesNotMatch", "(role web)"},
		{"another host", func(a *attempt) { a.after = func(r *http.Request) { r.Host = "other.s3.us-east-1.amazonaws.com" } },
			"SignatureDoesNotMatch", "changed on its way"},
		{"a signed header that was changed", header("X-Amz-Meta-Note", "three words"), "SignatureDoesNotMatch", "changed on its way"},
		{"a header of Amazon's that was added", header("X-Amz-Acl", "public-read"), "AccessDenied", "the signature does not cover x-amz-acl"},
		{"another's secret key", func(a *attempt) { a.credentials.SecretAccessKey = a.b.store.secret("x") }, "SignatureDoesNotMatch", "another secret key"},
		{"another's key", func(a *attempt) { a.credentials = a.b.newStore(2).User(account, "laptop") }, "InvalidAccessKeyId", "nobody in the lab"},
		{"an expired token", func(a *attempt) { a.b.clock = a.credentials.Expiration; a.at = a.b.clock }, "ExpiredToken", "the instance's metadata has new ones"},
		{"16 minutes early", func(a *attempt) { a.at = a.at.Add(-16 * time.Minute) }, "RequestTimeTooSkewed",
			"the request's time is 2026-03-01T11:44:00Z, the service's 2026-03-01T12:00:00Z"},
		{"16 minutes late", func(a *attempt) { a.at = a.at.Add(16 * time.Minute) }, "RequestTimeTooSkewed", "2026-03-01T12:16:00Z"},
		{"another region", func(a *attempt) { a.region = "eu-west-1" }, "AuthorizationHeaderMalformed", "signed for region eu-west-1 and sent to us-east-1"},
		{"another service", func(a *attempt) { a.service = "dynamodb" }, "AuthorizationHeaderMalformed", "signed for service dynamodb"},
		{"a payload hash that is none", func(a *attempt) { a.payload = "abc" }, "InvalidArgument", `x-amz-content-sha256 is "abc"`},
		{"no payload hash", func(a *attempt) {
			a.after = func(r *http.Request) { r.Header.Del("X-Amz-Content-Sha256") }
		}, "InvalidRequest", "says what it carries"},
		{"the host unsigned", func(a *attempt) {
			a.after = func(r *http.Request) {
				r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "host;", "", 1))
			}
		}, "AccessDenied", "does not cover host"},
		{"no time", func(a *attempt) { a.after = func(r *http.Request) { r.Header.Del("X-Amz-Date") } }, "AccessDenied", "no time of its own"},
		{"another day in the scope", func(a *attempt) {
			a.after = func(r *http.Request) { r.Header.Set("X-Amz-Date", "20260302T000000Z") }
		}, "AuthorizationHeaderMalformed", "dates differ"},
		{"Signature Version 2", header("Authorization", "AWS AKIAIOSFODNN7EXAMPLE:c2ln"), "InvalidRequest", "Signature Version 4 only"},
		{"Signature Version 4A", header("Authorization", "AWS4-ECDSA-P256-SHA256 Credential=a"), "InvalidRequest", "Signature Version 4 only"},
		{"a header that says nothing", header("Authorization", algorithm+" Credential=a"), "AuthorizationHeaderMalformed", "cannot be read"},
		{"signed twice", func(a *attempt) {
			a.after = func(r *http.Request) { r.URL.RawQuery = "X-Amz-Algorithm=" + algorithm }
		}, "InvalidArgument", "in its header and in its query"},
		{"presigned for more than a week", func(a *attempt) {
			a.after = func(r *http.Request) {
				r.Header.Del("Authorization")
				r.URL.RawQuery = "X-Amz-Algorithm=" + algorithm + "&X-Amz-Date=20260301T120000Z&X-Amz-Expires=604801"
			}
		}, "AuthorizationQueryParametersError", "a week at most"},
	} {
		_, denied := newBed(t).attempt(row.change).verdict()
		if denied == nil || denied.Code != row.code || !strings.Contains(denied.Why, row.why) {
			t.Errorf("%s: got %+v, want %s because %s", row.name, denied, row.code, row.why)
		}
	}
}

// What the other services sign: the path is encoded twice, and the body's hash is not declared.
func TestTheOtherServicesSignTheirBody(t *testing.T) {
	for _, row := range []struct{ name, signed, sent, code string }{
		{"the body that was signed", "hello", "hello", ""},
		{"another one", "hello", "hallo", "SignatureDoesNotMatch"},
		{"more than 16 MiB", "hello", strings.Repeat("x", maxBody+1), "RequestEntityTooLarge"},
	} {
		b := newBed(t)
		r, _ := http.NewRequest("POST", "http://sns.us-east-1.amazonaws.com/a%20b/", strings.NewReader(row.sent))
		err := v4.NewSigner().SignHTTP(context.Background(), forSDK(b.store.User(account, "laptop")), r, hashText(row.signed), "sns", "us-east-1", b.clock)
		if err != nil {
			t.Fatal(err)
		}
		_, denied := b.store.verify(r, "sns", "us-east-1")
		if row.code == "" && denied != nil || row.code != "" && (denied == nil || denied.Code != row.code) {
			t.Errorf("%s: got %+v, want %q", row.name, denied, row.code)
		}
	}
}

// They refuse in words of their own.
func TestTheOtherServicesRefuseInTheirWords(t *testing.T) {
	for _, row := range []struct {
		name          string
		change        func(*attempt)
		code, message string
	}{
		{"a key that nobody has", func(a *attempt) { a.credentials = a.b.newStore(2).User(account, "laptop") },
			"InvalidClientTokenId", "The security token included in the request is invalid."},
		{"another lab's token", func(a *attempt) { a.credentials = a.b.newStore(2).Role(a.b.app, a.b.web) },
			"InvalidClientTokenId", "The security token included in the request is invalid."},
		{"an expired token", func(a *attempt) { a.b.clock = a.credentials.Expiration; a.at = a.b.clock },
			"ExpiredToken", "The security token included in the request is expired"},
		{"16 minutes early", func(a *attempt) { a.at = a.at.Add(-16 * time.Minute) },
			"SignatureDoesNotMatch", "Signature expired: 20260301T114400Z is now earlier than 20260301T114500Z (20260301T120000Z - 15 min.)"},
		{"16 minutes late", func(a *attempt) { a.at = a.at.Add(16 * time.Minute) },
			"SignatureDoesNotMatch", "Signature not yet current: 20260301T121600Z is still later than 20260301T121500Z (20260301T120000Z + 15 min.)"},
		{"another region", func(a *attempt) { a.region = "eu-west-1" }, "SignatureDoesNotMatch", "Credential should be scoped to a valid region."},
		{"another service", func(a *attempt) { a.service = "sqs" }, "SignatureDoesNotMatch", "Credential should be scoped to correct service: 'dynamodb'."},
		{"a header that says nothing", func(a *attempt) {
			a.after = func(r *http.Request) { r.Header.Set("Authorization", algorithm+" Credential=a") }
		}, "IncompleteSignature", "Authorization header requires"},
	} {
		b := newBed(t)
		a := b.attempt(func(*attempt) {})
		a.service = "dynamodb"
		row.change(a)
		_, denied := a.verdictOf("dynamodb")
		if denied == nil || denied.Code != row.code || !strings.Contains(denied.Message, row.message) {
			t.Errorf("%s: got %+v, want %s: %s", row.name, denied, row.code, row.message)
		}
	}
	a := newBed(t).attempt(func(a *attempt) { a.service = "dynamodb" })
	if id, denied := a.verdictOf("dynamodb"); denied != nil || id.Name != "role web" {
		t.Errorf("as it should be: %+v", denied)
	}
}

func authorization(g *signature, sum []byte) string {
	const digits = "0123456789abcdef"
	text := ""
	for _, b := range sum {
		text += string(digits[b>>4]) + string(digits[b&15])
	}
	return algorithm + " Credential=" + g.accessKey + "/" + g.scope() + ", SignedHeaders=" + strings.Join(g.headers, ";") + ", Signature=" + text
}
