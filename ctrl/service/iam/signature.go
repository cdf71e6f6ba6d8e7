package iam

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vpclab/vpclab/ctrl/service"
)

// algorithm is Signature Version 4's name in requests.
const algorithm = "AWS4-HMAC-SHA256"

// dateForm is how x-amz-date is written.
const dateForm = "20060102T150405Z"

// signature is what a request says of its own signature (IAM user guide, elements of a request signature).
type signature struct {
	accessKey, token      string
	date, region, service string   // the scope; the date has 8 digits
	headers               []string // signed ones, lower case
	sum                   []byte
	at                    time.Time
	presigned             bool          // it stands in the query
	valid                 time.Duration // of a presigned request, from at on
}

// scope is the credential scope as it is signed.
func (g *signature) scope() string {
	return g.date + "/" + g.region + "/" + g.service + "/aws4_request"
}

// readSignature reads it from the header or the query. nil without an error: the request is not signed.
func readSignature(r *http.Request) (*signature, *service.Denied) {
	query := r.URL.Query()
	header := r.Header.Get("Authorization")
	switch {
	case header != "" && query.Has("X-Amz-Algorithm"):
		return nil, deny("InvalidArgument", "Only one auth mechanism allowed", "the request is signed in its header and in its query")
	case header != "":
		return headerSignature(r, header)
	case query.Get("X-Amz-Algorithm") == algorithm:
		return querySignature(query)
	case query.Has("X-Amz-Algorithm"), query.Has("AWSAccessKeyId"):
		return nil, unsupported()
	}
	return nil, nil
}

func unsupported() *service.Denied {
	return deny("InvalidRequest", "The authorization mechanism you have provided is not supported. Please use "+algorithm+".",
		"the lab knows Signature Version 4 only")
}

// headerSignature reads "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…".
func headerSignature(r *http.Request, header string) (*signature, *service.Denied) {
	rest, ok := strings.CutPrefix(header, algorithm+" ")
	if !ok {
		return nil, unsupported()
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	g := &signature{token: r.Header.Get("X-Amz-Security-Token")}
	at, ok := requestTime(r)
	if !ok {
		return nil, deny("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header", "the request says no time of its own")
	}
	g.at = at
	return g, g.read(fields["Credential"], fields["SignedHeaders"], fields["Signature"])
}

// requestTime is x-amz-date or, for want of it, Date.
func requestTime(r *http.Request) (time.Time, bool) {
	text := r.Header.Get("X-Amz-Date")
	if text == "" {
		text = r.Header.Get("Date")
	}
	if at, err := time.Parse(dateForm, text); err == nil {
		return at, true
	}
	at, err := http.ParseTime(text)
	return at, err == nil
}

// querySignature reads the parameters X-Amz-… of a presigned request.
func querySignature(query url.Values) (*signature, *service.Denied) {
	g := &signature{presigned: true, token: query.Get("X-Amz-Security-Token")}
	at, err := time.Parse(dateForm, query.Get("X-Amz-Date"))
	if err != nil {
		return nil, deny("AuthorizationQueryParametersError", "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"",
			"the presigned request says no time of its own")
	}
	seconds, err := strconv.Atoi(query.Get("X-Amz-Expires"))
	if err != nil || seconds < 1 || seconds > 7*24*60*60 {
		return nil, deny("AuthorizationQueryParametersError", "X-Amz-Expires must be a number from 1 to 604800 (seconds)",
			"a presigned request is valid for a week at most")
	}
	g.at, g.valid = at, time.Duration(seconds)*time.Second
	return g, g.read(query.Get("X-Amz-Credential"), query.Get("X-Amz-SignedHeaders"), query.Get("X-Amz-Signature"))
}

// read takes apart the three fields that both forms have.
func (g *signature) read(credential, headers, sum string) *service.Denied {
	parts := strings.Split(credential, "/")
	decoded, err := hex.DecodeString(sum)
	if len(parts) != 5 || parts[4] != "aws4_request" || headers == "" || err != nil || len(decoded) != 32 {
		return deny("AuthorizationHeaderMalformed",
			"The authorization header is malformed; it needs Credential=KEY/DATE/REGION/SERVICE/aws4_request, SignedHeaders and Signature.",
			"the signature cannot be read")
	}
	g.accessKey, g.date, g.region, g.service = parts[0], parts[1], parts[2], parts[3]
	g.headers, g.sum = strings.Split(headers, ";"), decoded
	return nil
}

// covers reports whether a header is signed; the name is in lower case.
func (g *signature) covers(header string) bool { return slices.Contains(g.headers, header) }
