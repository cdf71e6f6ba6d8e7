package flowlog_test

import (
	"strings"
	"testing"

	"github.com/vpclab/vpclab/ctrl/flowlog"
)

func TestDestinations(t *testing.T) {
	for _, row := range []struct {
		text string
		want flowlog.Destination
	}{
		{"s3://logs", flowlog.Destination{Kind: flowlog.S3, Bucket: "logs"}},
		{"s3://my.logs-1/a/b/", flowlog.Destination{Kind: flowlog.S3, Bucket: "my.logs-1", Prefix: "a/b"}},
		{"cloudwatch:/vpc/web", flowlog.Destination{Kind: flowlog.CloudWatch, Group: "/vpc/web"}},
		{"file:out/flows.log", flowlog.Destination{Kind: flowlog.File, Path: "out/flows.log"}},
	} {
		got, err := flowlog.ParseDestination(row.text)
		if err != nil || got != row.want {
			t.Errorf("%s: %+v, %v", row.text, got, err)
		}
		if again, err := flowlog.ParseDestination(got.String()); err != nil || again != got {
			t.Errorf("%s prints as %s", row.text, got)
		}
	}
	for text, want := range map[string]string{
		"":                       "write s3://bucket/prefix",
		"s3:logs":                "write s3://bucket/prefix",
		"http://logs":            "write s3://bucket/prefix",
		"s3://Logs/x":            "bucket \"Logs\": 3 to 63 lower-case",
		"s3://-logs":             "bucket",
		"s3://lo":                "bucket",
		"s3://logs/x/AWSLogs/y":  "AWSLogs is what AWS itself adds",
		"s3://logs/x/../../../y": "it has an empty part, . or ..",
		"s3://logs/x//y":         "it has an empty part",
		"cloudwatch:":            "log group",
		"cloudwatch:/a b":        "log group",
		"cloudwatch:../../x":     "log group",
		"file:":                  "give the path of a file",
		"file:/tmp/":             "give the path of a file",
	} {
		if got, err := flowlog.ParseDestination(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want %q", text, got, err, want)
		}
	}
}
