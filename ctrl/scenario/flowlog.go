package scenario

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// watchedKinds begin references to what a flow log can watch.
var watchedKinds = []string{string(vpc.ResourceVPC), string(vpc.ResourceSubnet), string(vpc.ResourceInstance), string(vpc.ResourceENI),
	string(vpc.ResourceNAT), string(vpc.ResourceEndpoint)}

// parseWatched reads what a flow log watches: KIND.NAME, or VPC/KIND.NAME.
func parseWatched(s string) (vpc.Resource, *fault) {
	const forms = "write `vpc.NAME`, `subnet.NAME`, `instance.NAME`, `eni.NAME.ethN`, `nat.NAME` or `endpoint.NAME`, and `VPC/` before it where several VPCs have the name"
	owner, rest, foreign := strings.Cut(s, "/")
	if !foreign {
		owner, rest = "", s
	}
	at := utf8.RuneCountInString(s) - utf8.RuneCountInString(rest)
	kind, name, named := strings.Cut(rest, ".")
	r := vpc.Resource{Kind: vpc.ResourceKind(kind), VPC: owner, Name: name}
	switch {
	case foreign && !validName(owner):
		return r, faultf(0, nameHint, "%s is not a name", quote(owner))
	case !named && slices.Contains(watchedKinds, kind):
		return r, faultf(at, "write "+quote(kind+".NAME"), "%s needs a name", quote(kind))
	case !slices.Contains(watchedKinds, kind):
		hint := forms
		if meant := near(kind, watchedKinds); named && meant != "" {
			hint = "did you mean " + quote(s[:len(s)-len(rest)]+meant+"."+name) + "?"
		}
		return r, faultf(at, hint, "%s is nothing that a flow log can watch", quote(s))
	case foreign && r.Kind == vpc.ResourceVPC:
		return r, faultf(0, "write "+quote(rest), "a VPC lies in no other")
	case r.Kind == vpc.ResourceEndpoint:
		endpoint, subnet, further := strings.Cut(name, ".")
		f := checkName(endpoint)
		if f == nil && further {
			f = checkName(subnet).shift(len(endpoint) + 1)
		}
		return r, f.shift(at + len(kind) + 1)
	case r.Kind == vpc.ResourceENI:
		target := vpc.Resource{Kind: r.Kind, VPC: owner, Name: targetOf(rest).Name}
		return target, checkTarget(rest).shift(at)
	}
	return r, checkName(name).shift(at + len(kind) + 1)
}

func checkWatched(s string) *fault {
	_, f := parseWatched(s)
	return f
}

// checkFormat holds the text of a format against the fields that there are.
func checkFormat(s string) *fault {
	_, err := flowlog.ParseFormat(s)
	wrong, ok := errors.AsType[*flowlog.FormatError](err)
	if !ok {
		return nil
	}
	return faultf(utf8.RuneCountInString(s[:wrong.At]), wrong.Hint, "%s", wrong.What)
}

const destinationForms = "write `s3://BUCKET/PREFIX`, `cloudwatch:/GROUP` or `file:PATH`"

// checkDestination judges where records go, at the part of it that is wrong.
func checkDestination(s string) *fault {
	scheme, rest, colon := strings.Cut(s, ":")
	schemes := []string{"s3", "cloudwatch", "file"}
	switch {
	case scheme == "arn":
		return faultf(0, destinationForms, "a destination is no ARN here")
	case !colon || !slices.Contains(schemes, scheme):
		hint := destinationForms
		if meant := near(scheme, schemes); meant != "" && rest != "" {
			hint = "did you mean " + quote(meant+":"+rest) + "?"
		}
		return faultf(0, hint, "%s is not a destination", quote(s))
	case scheme == "s3" && !strings.HasPrefix(rest, "//"):
		return faultf(0, "write "+quote("s3://"+strings.TrimLeft(rest, "/")), "%s is not a destination", quote(s))
	}
	_, err := flowlog.ParseDestination(s)
	if err == nil {
		return nil
	}
	at := len(scheme) + 1
	if bucket, _, ok := strings.Cut(strings.TrimPrefix(rest, "//"), "/"); scheme == "s3" {
		at += len("//")
		if _, err := flowlog.ParseDestination("s3://" + bucket); ok && err == nil {
			at += len(bucket) + 1 // the bucket is right, so the prefix is not
		}
	}
	return faultf(at, "", "%v", err)
}

// decodeFlowLog reads a flow log. Its destination and format are kept in the form in which equal ones are written alike.
func decodeFlowLog(e entry) *vpc.FlowLog {
	n := e.value
	l := &vpc.FlowLog{
		Name: e.key, Traffic: vpc.LogTraffic(textOf(n.get("traffic"))), Destination: textOf(n.get("destination")),
		LogFiles: vpc.LogFiles{Hive: boolOf(n.get("hive"), false), PerHour: boolOf(n.get("per_hour"), false),
			FileFormat: vpc.FileFormat(textOf(n.get("file_format")))},
	}
	l.Resource, _ = parseWatched(textOf(n.get("resource"))) // both checked by their shapes
	l.Interval, _ = parseDuration(textOf(n.get("interval")))
	if d, err := flowlog.ParseDestination(l.Destination); err == nil {
		l.Destination = d.String()
	}
	if format := formatOf(n.get("format")); format.String() != (flowlog.Format{}).String() {
		l.Format = format.String()
	}
	return l
}

// formatOf reads a format that was checked by its shape; one left out is the default.
func formatOf(n *node) flowlog.Format {
	f, _ := flowlog.ParseFormat(textOf(n))
	return f
}

// fileOptions are the keys that say how files in S3 are written.
var fileOptions = []string{"hive", "per_hour", "file_format"}

// filesInS3 reports what a flow log says of files that it does not write (EC2 API, DestinationOptionsRequest: Amazon S3 only).
func (r *reader) filesInS3(n *node) {
	to := textOf(n.get("destination"))
	if to == "" || strings.HasPrefix(to, "s3:") {
		return
	}
	for _, key := range fileOptions {
		if e, ok := n.find(key); ok && !e.value.bad {
			r.report(r.keyAt(e), quote(key)+" is about files in S3, and this flow log writes none", "remove it, or send the records to `s3://BUCKET`")
		}
	}
}
