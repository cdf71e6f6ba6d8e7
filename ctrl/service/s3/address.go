package s3

import (
	"net/url"
	"regexp"
	"strings"
)

// The host names of S3 in a region, with a bucket in front (virtual-hosted style) or without (path style): the service's own, and those of
// interface endpoints (S3 user guide, virtual hosting of buckets; AWS PrivateLink for Amazon S3).
var (
	publicHost   = regexp.MustCompile(`^(?:(.+)\.)?s3(?:[.-](?:dualstack\.)?[a-z0-9-]+)?\.amazonaws\.com$`)
	endpointHost = regexp.MustCompile(`^(?:(?:(.+)\.)?bucket\.)?vpce-[a-z0-9-]+\.s3\.[a-z0-9-]+\.vpce\.amazonaws\.com$`)
)

// address is what a request is about: a key of a bucket, a bucket, or neither. A key has no slash before it that is not its own.
type address struct{ bucket, key string }

// addressOf finds the bucket in the host's name or else in the path. A host that is not S3's, or an IP address, is path style.
func addressOf(host string, u *url.URL) address {
	path := strings.TrimPrefix(u.Path, "/")
	if bucket := bucketOfHost(host); bucket != "" {
		return address{bucket, path}
	}
	bucket, key, _ := strings.Cut(path, "/")
	return address{bucket, key}
}

func bucketOfHost(host string) string {
	host = strings.ToLower(strings.TrimSuffix((&url.URL{Host: host}).Hostname(), "."))
	for _, names := range []*regexp.Regexp{endpointHost, publicHost} {
		if found := names.FindStringSubmatch(host); found != nil {
			return found[1]
		}
	}
	return ""
}

// arn is the bucket's, or the object's.
func (a address) arn() string {
	if a.key == "" {
		return "arn:aws:s3:::" + a.bucket
	}
	return "arn:aws:s3:::" + a.bucket + "/" + a.key
}

// path is path style, decoded.
func (a address) path() string {
	switch {
	case a.bucket == "":
		return "/"
	case a.key == "":
		return "/" + a.bucket
	}
	return "/" + a.bucket + "/" + a.key
}

// copySource reads the x-amz-copy-source header: bucket/key, encoded as in a query.
func copySource(header string) (address, error) {
	bucket, key, ok := strings.Cut(strings.TrimPrefix(header, "/"), "/")
	key, query, _ := strings.Cut(key, "?")
	name, err := url.QueryUnescape(key)
	if !ok || err != nil || bucket == "" || name == "" {
		return address{}, &failure{Status: 400, Code: "InvalidArgument",
			Message: "Copy Source must mention the source bucket and key: sourcebucket/sourcekey"}
	}
	if query != "" && query != "versionId=null" {
		return address{}, notImplemented("a version of the copy source")
	}
	return address{bucket, name}, nil
}
