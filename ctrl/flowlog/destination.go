package flowlog

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// DestinationKind is the sort of place that records go to.
type DestinationKind uint8

// The kinds of destination.
const (
	S3 DestinationKind = iota
	CloudWatch
	File
)

// Destination is where a subscription's records go. Of Bucket, Prefix, Group and Path those of its kind are set.
type Destination struct {
	Kind   DestinationKind
	Bucket string
	Prefix string // of keys, without slashes around it; may be empty
	Group  string // log group
	Path   string // of a local file

	// How files in S3 are written (EC2 API, DestinationOptionsRequest).
	Parquet bool // instead of gzipped text
	Hive    bool // Hive-compatible prefixes: year=2026/month=10/day=05
	Hourly  bool // a prefix for each hour
}

// destinationForms are the notations that ParseDestination takes.
const destinationForms = "write s3://bucket/prefix, cloudwatch:/group or file:PATH"

// ParseDestination reads `s3://bucket/prefix`, `cloudwatch:/group` or `file:PATH`. The options of S3 are set afterwards.
func ParseDestination(text string) (Destination, error) {
	scheme, rest, _ := strings.Cut(text, ":")
	switch scheme {
	case "s3":
		return parseS3(rest)
	case "cloudwatch":
		if !validGroup(rest) {
			return Destination{}, fmt.Errorf("log group %q: 1 to 512 letters, digits and characters of _-/.#", rest)
		}
		return Destination{Kind: CloudWatch, Group: rest}, nil
	case "file":
		if rest == "" || strings.HasSuffix(rest, "/") {
			return Destination{}, fmt.Errorf("file %q: give the path of a file", rest)
		}
		return Destination{Kind: File, Path: rest}, nil
	}
	return Destination{}, fmt.Errorf("destination %s: %s", quoted(text), destinationForms)
}

func parseS3(rest string) (Destination, error) {
	where, ok := strings.CutPrefix(rest, "//")
	if !ok {
		return Destination{}, fmt.Errorf("destination %s: %s", quoted("s3:"+rest), destinationForms)
	}
	bucket, prefix, _ := strings.Cut(where, "/")
	if !validBucket(bucket) {
		return Destination{}, fmt.Errorf("bucket %q: 3 to 63 lower-case letters, digits, dots and hyphens", bucket)
	}
	prefix = strings.Trim(prefix, "/")
	parts := strings.Split(prefix, "/")
	if slices.Contains(parts, "AWSLogs") {
		return Destination{}, fmt.Errorf("prefix %q: AWSLogs is what AWS itself adds to it", prefix)
	}
	if prefix != "" && path.Clean(prefix) != prefix || parts[0] == ".." {
		return Destination{}, fmt.Errorf("prefix %q: it has an empty part, . or .. in it", prefix)
	}
	return Destination{Kind: S3, Bucket: bucket, Prefix: prefix}, nil
}

// validBucket follows the S3 user guide, bucket naming rules.
func validBucket(s string) bool {
	return len(s) >= 3 && len(s) <= 63 && !strings.Contains(s, "..") && strings.Trim(s, ".-") == s && only(s, "-.", false)
}

// validGroup follows the CloudWatch Logs API, CreateLogGroup; a group has a place below a folder, too, so it names none above.
func validGroup(s string) bool {
	return s != "" && len(s) <= 512 && only(s, "_-/.#", true) && !slices.Contains(strings.Split(s, "/"), "..") && strings.Trim(s, "/") != ""
}

// only reports whether s has nothing but lower-case letters, digits, some others, and perhaps capitals.
func only(s, others string, capitals bool) bool {
	return strings.IndexFunc(s, func(c rune) bool {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', strings.ContainsRune(others, c), capitals && 'A' <= c && c <= 'Z':
			return false
		}
		return true
	}) < 0
}

// String is the destination as ParseDestination reads it.
func (d Destination) String() string {
	switch d.Kind {
	case CloudWatch:
		return "cloudwatch:" + d.Group
	case File:
		return "file:" + d.Path
	}
	if d.Prefix == "" {
		return "s3://" + d.Bucket
	}
	return "s3://" + d.Bucket + "/" + d.Prefix
}
