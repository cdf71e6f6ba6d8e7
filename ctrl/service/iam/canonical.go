package iam

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// canonical is the canonical request of Signature Version 4 with the given payload hash (IAM user guide, create a signed request). S3's
// path is encoded once, that of all others twice. Dot segments stay in it: the services besides S3 are all asked at "/".
func canonical(r *http.Request, s *signature, payload string) string {
	path := encodeOnce(r.URL.EscapedPath())
	if s.service != "s3" {
		path = encode(path, true)
	}
	return strings.Join([]string{
		r.Method, path, canonicalQuery(r.URL.RawQuery), canonicalHeaders(r, s.headers), strings.Join(s.headers, ";"), payload,
	}, "\n")
}

// encodeOnce brings a path as it was sent into the one form of encoding that is signed.
func encodeOnce(sent string) string {
	segments := strings.Split(sent, "/")
	for n, segment := range segments {
		segments[n] = encode(decode(segment, url.PathUnescape), false)
	}
	if path := strings.Join(segments, "/"); path != "" {
		return path
	}
	return "/"
}

// canonicalQuery are the parameters, each encoded, in order, without the signature.
func canonicalQuery(raw string) string {
	var all []string
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if pair == "" || name == "X-Amz-Signature" {
			continue
		}
		all = append(all, encode(decode(name, url.QueryUnescape), false)+"\x00"+encode(decode(value, url.QueryUnescape), false))
	}
	slices.Sort(all)
	return strings.ReplaceAll(strings.Join(all, "&"), "\x00", "=")
}

// decode leaves what is no encoding as it is: whoever signed it so meant it so.
func decode(text string, how func(string) (string, error)) string {
	if decoded, err := how(text); err == nil {
		return decoded
	}
	return text
}

// encode is AWS's URI encoding: all but letters, digits and -._~ becomes %XX; slashes stay on demand.
func encode(text string, slashes bool) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		switch {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', strings.IndexByte("-._~", c) >= 0, c == '/' && slashes:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

// canonicalHeaders are the signed headers, a line each.
func canonicalHeaders(r *http.Request, names []string) string {
	var b strings.Builder
	for _, name := range names {
		b.WriteString(name + ":" + headerValue(r, name) + "\n")
	}
	return b.String()
}

// headerValue is what was sent; net/http keeps some headers elsewhere.
func headerValue(r *http.Request, name string) string {
	values := r.Header[textproto.CanonicalMIMEHeaderKey(name)]
	switch {
	case name == "host":
		return r.Host
	case name == "content-length" && len(values) == 0:
		return strconv.FormatInt(r.ContentLength, 10)
	case name == "transfer-encoding":
		return strings.Join(r.TransferEncoding, ",")
	}
	folded := make([]string, len(values))
	for n, v := range values {
		folded[n] = strings.Join(strings.Fields(v), " ")
	}
	return strings.Join(folded, ",")
}

// signing is what signs everything of one request: its key of the day, and what all its strings to sign have in common.
type signing struct {
	key   []byte
	about string // time and scope, a line each
}

func newSigning(secret string, s *signature) *signing {
	key := []byte("AWS4" + secret)
	for _, part := range []string{s.date, s.region, s.service, "aws4_request"} {
		key = sign(key, part)
	}
	return &signing{key: key, about: s.at.UTC().Format(dateForm) + "\n" + s.scope()}
}

// sum signs a string of one kind: its lines follow time and scope.
func (s *signing) sum(kind string, lines ...string) []byte {
	return sign(s.key, kind+"\n"+s.about+"\n"+strings.Join(lines, "\n"))
}

func hashText(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
