package catalog_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/ctrl/flowlog/catalog"
	"github.com/vpclab/vpclab/ctrl/flowlog/delivery"
	"github.com/vpclab/vpclab/ctrl/flowlog/destination"
)

// bed is a folder in which a subscription's records are delivered, and a reader of them.
type bed struct {
	t            *testing.T
	dir          string
	subscription *flowlog.Subscription
	reader       *catalog.Reader
	number       int
}

func newBed(t *testing.T, to string, parquet bool) *bed {
	t.Helper()
	d, err := flowlog.ParseDestination(to)
	if err != nil {
		t.Fatal(err)
	}
	d.Parquet = parquet
	b := &bed{t: t, dir: filepath.Join(t.TempDir(), "out[1]"), subscription: &flowlog.Subscription{
		ID: "fl-1", Account: "123456789012", Region: "eu-central-1", Resource: "vpc-1", Interval: time.Minute, Destination: d,
		Format: flowlog.FormatOf(flowlog.InterfaceID, flowlog.Start, flowlog.Action),
	}}
	c := &catalog.Catalog{Dir: b.dir}
	l := catalog.LogOf("web", b.subscription)
	if b.reader, err = c.Reader(&l); err != nil {
		t.Fatal(err)
	}
	return b
}

// deliver brings records, INTERFACE START ACTION, to the destination, as those of some five minutes.
func (b *bed) deliver(period int64, lines ...string) {
	b.t.Helper()
	to, err := destination.Places{Dir: b.dir}.Of(b.subscription)
	if err != nil {
		b.t.Fatal(err)
	}
	b.number++
	err = to.Deliver(context.Background(), &delivery.Batch{
		Subscription: b.subscription, Format: b.subscription.Format, Period: time.Unix(period, 0), Number: b.number,
		Entries: func(yield func(delivery.Entry, error) bool) {
			for _, line := range lines {
				if !yield(delivery.Entry{Stream: strings.Fields(line)[0], Line: []byte(line)}, nil) {
					return
				}
			}
		},
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// wants judges what the reader has that is new.
func (b *bed) wants(lines ...string) {
	b.t.Helper()
	var got []string
	for row, err := range b.reader.Rows() {
		if err != nil {
			b.t.Fatal(err)
		}
		got = append(got, row.String())
	}
	if !slices.Equal(got, lines) {
		b.t.Errorf("read %q, want %q", got, lines)
	}
}

// Whatever the destination, each record is read once, in the order of its delivery.
func TestReader(t *testing.T) {
	for _, row := range []struct {
		to      string
		parquet bool
	}{{"s3://logs/p", false}, {"s3://logs", true}, {"cloudwatch:/vpc/flow", false}, {"file:web.log", false}} {
		b := newBed(t, row.to, row.parquet)
		b.wants()
		b.deliver(300, "eni-1 310 ACCEPT")
		b.deliver(0, "eni-1 320 ACCEPT", "eni-2 330 REJECT")
		first := []string{"eni-1 310 ACCEPT", "eni-1 320 ACCEPT", "eni-2 330 REJECT"}
		if b.subscription.Destination.Kind == flowlog.S3 { // the older file first
			first = append(first[1:], first[0])
		}
		b.wants(first...)
		b.wants()
		b.deliver(600, "eni-2 610 REJECT", "eni-1 605 -")
		next := []string{"eni-2 610 REJECT", "eni-1 605 -"}
		if b.subscription.Destination.Kind == flowlog.CloudWatch { // the streams of a group by time
			slices.Reverse(next)
		}
		b.wants(next...)
		b.wants()
		if n := b.reader.Foreign(); n != 0 {
			t.Errorf("%s: %d lines are foreign", row.to, n)
		}
	}
}

func (b *bed) write(path, text string, flags int) {
	b.t.Helper()
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(b.dir, path), flags|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		b.t.Fatal(err)
	}
}

// Half a line is one that is being written. What a full disk made the lab take back comes again in the same place.
func TestReaderOfAFileThatIsWritten(t *testing.T) {
	b := newBed(t, "file:web.log", false)
	b.write("web.log", "interface-id st", os.O_APPEND)
	b.wants()
	b.write("web.log", "art action\neni-1 1 ACCEPT\neni-2 2 AC", os.O_APPEND)
	b.wants("eni-1 1 ACCEPT")
	b.write("web.log", "CEPT\n", os.O_APPEND)
	b.wants("eni-2 2 ACCEPT")
	if err := os.Truncate(filepath.Join(b.dir, "web.log"), int64(len("interface-id start action\n"))); err != nil {
		t.Fatal(err)
	}
	b.wants()
	b.write("web.log", "eni-1 1 ACCEPT\neni-2 2 ACCEPT\neni-3 3 ACCEPT\n", os.O_APPEND)
	b.wants("eni-3 3 ACCEPT")

	// Another file in its place is another one.
	b.write("other.log", "interface-id start action\neni-4 4 ACCEPT\nnonsense\n", 0)
	if err := os.Rename(filepath.Join(b.dir, "other.log"), filepath.Join(b.dir, "web.log")); err != nil {
		t.Fatal(err)
	}
	b.wants("eni-4 4 ACCEPT")
	if n := b.reader.Foreign(); n != 1 {
		t.Errorf("%d lines are foreign, want 1", n)
	}
}

// A damaged file is told, and the others are read.
func TestReaderOfDamagedFiles(t *testing.T) {
	b := newBed(t, "s3://logs", false)
	b.deliver(0, "eni-1 1 ACCEPT")
	b.deliver(300, "eni-1 301 ACCEPT")
	var files []string
	_ = filepath.WalkDir(b.dir, func(path string, e fs.DirEntry, _ error) error {
		if !e.IsDir() {
			files = append(files, path)
		}
		return nil
	})
	if len(files) != 2 {
		t.Fatalf("files %q", files)
	}
	if err := os.Truncate(files[0], 15); err != nil {
		t.Fatal(err)
	}
	var rows, problems int
	for _, err := range b.reader.Rows() {
		if err != nil {
			problems++
			if !strings.Contains(err.Error(), files[0]) {
				t.Errorf("the error does not name the file: %v", err)
			}
		} else {
			rows++
		}
	}
	if rows != 1 || problems != 1 {
		t.Errorf("%d rows and %d problems", rows, problems)
	}

	b = newBed(t, "file:/dev/null", false)
	for _, err := range b.reader.Rows() {
		if err == nil || !strings.Contains(err.Error(), "/dev/null is no file that can be read back") {
			t.Errorf("of a device: %v", err)
		}
	}
}

func TestCatalog(t *testing.T) {
	dir := t.TempDir()
	if _, err := catalog.Read(dir, "shop"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	state := catalog.StateOf(delivery.State{Cause: delivery.AccessError, Waiting: delivery.Counts{Records: 1}})
	c := &catalog.Catalog{Lab: "shop", Rate: 2, Now: noon, Written: noon.Add(time.Hour), Logs: []catalog.Log{
		{Name: "web", ID: "fl-1", Ended: true}, {Name: "web", ID: "fl-2", State: state}, {Name: "db", ID: "fl-3"}}}
	if err := c.Write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := catalog.Read(dir, "shop")
	if err != nil {
		t.Fatal(err)
	}
	if got.Dir != dir || got.Find("web").ID != "fl-2" || got.Find("web").State != state || state.Status != "FAILED" || got.Find("app") != nil {
		t.Errorf("read %+v", got)
	}
	if names := strings.Join(got.Names(), " "); names != "web db" {
		t.Errorf("names %s", names)
	}
	if labs, err := catalog.Labs(dir); err != nil || !slices.Equal(labs, []string{"shop"}) {
		t.Errorf("labs %q, %v", labs, err)
	}
	if at := got.Time(noon.Add(time.Hour + time.Minute)); !at.Equal(noon.Add(2 * time.Minute)) {
		t.Errorf("lab time %v", at)
	}
	got.Over = true
	if at := got.Time(noon.Add(2 * time.Hour)); !at.Equal(noon) {
		t.Errorf("lab time %v, but the lab has ended", at)
	}
	if err := os.WriteFile(catalog.Path(dir, "shop"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := catalog.Read(dir, "shop"); err == nil || !strings.Contains(err.Error(), "shop.json") {
		t.Errorf("a damaged catalog: %v", err)
	}
	if err := c.Write(filepath.Join(dir, "none")); err == nil {
		t.Error("written to a folder that does not exist")
	}
}
