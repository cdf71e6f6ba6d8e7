package destination_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/ctrl/flowlog/delivery"
	"github.com/vpclab/vpclab/ctrl/flowlog/destination"
)

// The keys and the name of the user guide's page on files in S3.
func TestKeys(t *testing.T) {
	const file = "/123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20180620T1620Z_fe123456.log"
	at := time.Date(2018, 6, 20, 16, 20, 0, 0, time.UTC)
	for _, row := range []struct {
		to                    string
		hive, hourly, parquet bool
		want                  string
	}{
		{"s3://logs", false, false, false, "AWSLogs/123456789012/vpcflowlogs/us-east-1/2018/06/20" + file + ".gz"},
		{"s3://logs/my/prefix", false, false, true, "my/prefix/AWSLogs/123456789012/vpcflowlogs/us-east-1/2018/06/20" + file + ".parquet"},
		{"s3://logs", false, true, false, "AWSLogs/123456789012/vpcflowlogs/us-east-1/2018/06/20/16" + file + ".gz"},
		{"s3://logs/p", true, true, false, "p/AWSLogs/aws-account-id=123456789012/aws-service=vpcflowlogs/aws-region=us-east-1/" +
			"year=2018/month=06/day=20/hour=16" + file + ".gz"},
		{"s3://logs", true, false, true, "AWSLogs/aws-account-id=123456789012/aws-service=vpcflowlogs/aws-region=us-east-1/" +
			"year=2018/month=06/day=20" + file + ".parquet"},
	} {
		s := subscription(t, row.to)
		s.Destination.Hive, s.Destination.Hourly, s.Destination.Parquet = row.hive, row.hourly, row.parquet
		if got := destination.Key(s, at.In(time.FixedZone("", 7200)), "fe123456"); got != row.want {
			t.Errorf("%+v:\n%s\nwant\n%s", s.Destination, got, row.want)
		}
	}
}

const key = "AWSLogs/123456789012/vpcflowlogs/us-east-1/2018/06/20/123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20180620T1620Z_*.log.gz"

// A bucket and a folder get the same file under the same key. A batch that comes again is the
// same file, another batch is another, even of equal records.
func TestS3(t *testing.T) {
	twin, endpoint := serveBucket(t)
	dir := t.TempDir()
	s := subscription(t, "s3://logs/p")
	for _, places := range []destination.Places{{S3: endpoint}, {Dir: dir}} {
		for range 2 {
			if err := deliver(t, places, batch(s, "eni-1 443 60", "eni-2 80 -")); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := map[string]string{}
	for name, body := range twin.objects {
		got[name] = unzipped(t, body)
	}
	want := map[string]string{"logs/p/" + key: "srcport bytes\n443 60\n80 -\n"}
	wants(t, got, want)
	wants(t, files(t, dir), want)
	another := batch(s, "eni-1 443 60", "eni-2 80 -")
	another.Number = 1
	for n, b := range []*delivery.Batch{batch(s, "eni-1 443 61"), another} {
		if err := deliver(t, destination.Places{Dir: dir}, b); err != nil || len(files(t, dir)) != 2+n {
			t.Errorf("another batch: %v, %v", err, files(t, dir))
		}
	}
	s.Destination.Parquet = true
	if err := deliver(t, destination.Places{S3: endpoint}, batch(s, "eni-1 443 61")); err != nil {
		t.Fatal(err)
	}
	parquet := 0
	for name, body := range twin.objects {
		if strings.HasSuffix(name, ".log.parquet") && strings.HasPrefix(body, "PAR1") {
			parquet++
		}
	}
	if parquet != 1 {
		t.Errorf("%d Parquet files", parquet)
	}
}

// Who else has buckets gets the folder's objects, after the folder, and the batch comes again if he cannot take them. What goes to a
// service is not told him.
func TestBucketsGetTheFoldersObjects(t *testing.T) {
	_, endpoint := serveBucket(t)
	dir, got := t.TempDir(), map[string]string{}
	full := errors.New("no room")
	var fails error
	keep := func(_ context.Context, bucket, key string, body []byte) error {
		if len(files(t, dir)) == 0 {
			t.Error("the folder has nothing yet")
		}
		got[bucket+"/"+key] = unzipped(t, string(body))
		return fails
	}
	b := batch(subscription(t, "s3://logs/p"), "eni-1 443 60")
	if err := deliver(t, destination.Places{S3: endpoint, Buckets: keep}, b); err != nil || len(got) > 0 {
		t.Errorf("to a service: %v, %v", err, got)
	}
	for _, fails = range []error{full, nil} {
		if err := deliver(t, destination.Places{Dir: dir, Buckets: keep}, b); err != fails {
			t.Errorf("got %v, want %v", err, fails)
		}
	}
	want := map[string]string{"logs/p/" + key: "srcport bytes\n443 60\n"}
	wants(t, got, want)
	wants(t, files(t, dir), want)
}

// What went wrong is said in AWS's words.
func TestCauses(t *testing.T) {
	bucket, s3 := serveBucket(t)
	group, logs := serveGroups(t)
	down := &destination.Endpoint{URL: "http://127.0.0.1:1", AccessKey: "a", SecretKey: "s"}
	for _, row := range []struct {
		status int
		code   string
		want   delivery.Cause
	}{
		{403, "AccessDenied", delivery.AccessError},
		{404, "NoSuchBucket", delivery.AccessError},
		{503, "SlowDown", delivery.RateLimited},
		{500, "InternalError", delivery.UnknownError},
	} {
		bucket.refuse = func(w http.ResponseWriter) bool { return s3Error(w, row.status, row.code) }
		err := deliver(t, destination.Places{S3: s3}, batch(subscription(t, "s3://logs"), "eni-1 443 60"))
		wantsCause(t, err, row.want, row.code)
	}
	for code, want := range map[string]delivery.Cause{
		"AccessDeniedException": delivery.AccessError, "ThrottlingException": delivery.RateLimited,
		"ServiceUnavailableException": delivery.UnknownError,
	} {
		group.refuse = func(w http.ResponseWriter, _ string) bool { logsError(w, code); return true }
		wantsCause(t, deliver(t, destination.Places{Logs: logs}, batch(subscription(t, "cloudwatch:/vpc"), "eni-1 443 60")), want, code)
	}
	for _, to := range []string{"s3://logs", "cloudwatch:/x"} {
		err := deliver(t, destination.Places{S3: down, Logs: down}, batch(subscription(t, to), "eni-1 443 60"))
		wantsCause(t, err, delivery.UnknownError, "connection refused")
	}
}

func wantsCause(t *testing.T, err error, want delivery.Cause, text string) {
	t.Helper()
	cause := delivery.UnknownError
	if f, ok := errors.AsType[*delivery.Failure](err); ok {
		cause = f.Cause
	}
	if err == nil || cause != want || !strings.Contains(err.Error(), text) {
		t.Errorf("%v is %s, want %s with %s", err, cause, want, text)
	}
}

// A group gets a stream for each interface, made when its first record comes; an event's time is its record's start.
func TestCloudWatch(t *testing.T) {
	twin, endpoint := serveGroups(t)
	dir := t.TempDir()
	s := subscription(t, "cloudwatch:/vpc/web")
	s.Traffic = flowlog.Reject
	for _, places := range []destination.Places{{Logs: endpoint}, {Dir: dir}} {
		for _, lines := range [][]string{{"eni-1 443 60", "eni-1 444 61", "eni-2 80 -"}, {"eni-1 445 62"}} {
			if err := deliver(t, places, batch(s, lines...)); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := fmt.Sprint(twin.streams)
	if want := "map[/vpc/web eni-1-reject:[{1529511699000 444 61} {1529511700000 443 60} {1529511700000 445 62}] " +
		"/vpc/web eni-2-reject:[{1529511698000 80 -}]]"; got != want {
		t.Errorf("streams are\n%s\nwant\n%s", got, want)
	}
	wants(t, files(t, dir), map[string]string{"vpc/web/eni-1-reject": "443 60\n444 61\n445 62\n", "vpc/web/eni-2-reject": "80 -\n"})
}

// Flow logs that share a group share its streams, and deliver side by side.
func TestStreamsAreShared(t *testing.T) {
	dir := t.TempDir()
	s := subscription(t, "cloudwatch:/vpc")
	var all sync.WaitGroup
	var want []string
	for i := range 8 {
		line := fmt.Sprint(i, strings.Repeat(" 6", 50_000))
		want = append(want, line)
		all.Go(func() {
			if err := deliver(t, destination.Places{Dir: dir}, batch(s, "eni-1 "+line)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	got := strings.Split(strings.TrimSuffix(files(t, dir)["vpc/eni-1-all"], "\n"), "\n")
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%d lines, some of them torn or lost", len(got))
	}
}

// PutLogEvents takes 10,000 events and 1 MiB at once.
func TestCloudWatchLimits(t *testing.T) {
	twin, endpoint := serveGroups(t)
	lines := make([]string, 10_001)
	for i := range lines {
		lines[i] = fmt.Sprintf("eni-1 %d 60", i)
	}
	for i := range 3 {
		lines = append(lines, fmt.Sprintf("eni-2 %d ", i)+strings.Repeat("6", 500_000))
	}
	if err := deliver(t, destination.Places{Logs: endpoint}, batch(subscription(t, "cloudwatch:x"), lines...)); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(twin.calls); got != "[10000 1 2 1]" {
		t.Errorf("puts of %s events", got)
	}
	twin.refuse = func(w http.ResponseWriter, call string) bool {
		fmt.Fprint(w, `{"rejectedLogEventsInfo":{"tooOldLogEventEndIndex":1}}`)
		return true
	}
	err := deliver(t, destination.Places{Logs: endpoint}, batch(subscription(t, "cloudwatch:x"), "eni-1 443 60"))
	wantsCause(t, err, delivery.UnknownError, "events of 2018-06-20 16:21:40 to 2018-06-20 16:21:40 are too old or too new")
}

// A file has its header once, whole lines only, and nothing of others.
func TestFile(t *testing.T) {
	dir := t.TempDir()
	places := destination.Places{Dir: dir}
	s := subscription(t, "file:out/flows.log")
	path := filepath.Join(dir, "out/flows.log")
	add := func(text string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := deliver(t, places, batch(s, "eni-1 443 60")); err != nil {
		t.Fatal(err)
	}
	add("444 6") // somebody died here
	if err := deliver(t, places, batch(s, "eni-1 444 61")); err != nil {
		t.Fatal(err)
	}
	wants(t, files(t, dir), map[string]string{"out/flows.log": "srcport bytes\n443 60\n444 61\n"})

	for name, text := range map[string]string{"the header was not written to its end": "srcpo", "nothing was": ""} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := deliver(t, places, batch(s, "eni-1 443 60")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		wants(t, files(t, dir), map[string]string{"out/flows.log": "srcport bytes\n443 60\n"})
	}

	const diary = "dear diary, today"
	if err := os.WriteFile(path, []byte(diary), 0o644); err != nil {
		t.Fatal(err)
	}
	err := deliver(t, places, batch(s, "eni-1 443 60"))
	wantsCause(t, err, delivery.UnknownError, `is no flow log of this format: its first line is not "srcport bytes"`)
	wants(t, files(t, dir), map[string]string{"out/flows.log": diary})

	// A device that is full says so; an absolute path is where it says.
	wantsCause(t, deliver(t, places, batch(subscription(t, "file:/dev/full"), "eni-1 443 60")), delivery.UnknownError, "no space left on device")
}

// A batch that cannot be read is not stored, not even in part.
func TestBrokenBatch(t *testing.T) {
	dir := t.TempDir()
	damaged := errors.New("input/output error")
	bucket, s3 := serveBucket(t)
	group, logs := serveGroups(t)
	for to, places := range map[string]destination.Places{
		"s3://logs": {Dir: dir}, "cloudwatch:/x": {Dir: dir}, "file:x": {Dir: dir}, "s3://api": {S3: s3}, "cloudwatch:/api": {Logs: logs},
	} {
		if err := deliver(t, places, broken(subscription(t, to), damaged)); !errors.Is(err, damaged) {
			t.Errorf("%s: %v", to, err)
		}
	}
	if len(files(t, dir))+len(bucket.objects)+len(group.calls) != 0 {
		t.Errorf("stored: %v, %v, %v", files(t, dir), bucket.objects, group.calls)
	}
}

// A folder that cannot be made is told.
func TestFolderInTheWay(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "logs"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"s3://logs", "cloudwatch:logs/x", "file:logs/x"} {
		err := deliver(t, destination.Places{Dir: dir}, batch(subscription(t, to), "eni-1 443 60"))
		if err == nil || !strings.Contains(err.Error(), "not a directory") {
			t.Errorf("%s: %v", to, err)
		}
	}
	if _, err := (destination.Places{}).Of(&flowlog.Subscription{Destination: flowlog.Destination{Kind: 9}}); err == nil {
		t.Error("a destination of no kind")
	}
}
