package destination_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/ctrl/flowlog/delivery"
	"github.com/vpclab/vpclab/ctrl/flowlog/destination"
	"github.com/vpclab/vpclab/ctrl/flowlog/logfile"
	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// Ten minutes of traffic go through windows, spools and all kinds of destination. Whatever is read back there has exactly the packets and
// bytes that interfaces saw, by interface, direction and action, and each destination has them once.
func TestSumsAreExactAtEveryDestination(t *testing.T) {
	dir := t.TempDir()
	_, s3 := serveBucket(t)
	twin, logs := serveGroups(t)
	start := time.Date(2026, 10, 5, 11, 58, 30, 0, time.UTC) // windows of the lab are not those of files
	p := delivery.NewPublisher(flowlog.Options{Start: start}, filepath.Join(dir, "spool"))
	for i := range uint32(3) {
		p.SetInterface(i, flowlog.Interface{ID: fmt.Sprint("eni-", i), Account: "123456789012", VPC: "vpc-1",
			Primary: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})}, start)
	}
	local, remote := destination.Places{Dir: filepath.Join(dir, "out")}, destination.Places{S3: s3, Logs: logs}
	const format = "interface-id flow-direction action packets bytes start end log-status"
	for i, row := range []struct {
		to       string
		parquet  bool
		interval time.Duration
		at       destination.Places
	}{
		{"s3://text", false, time.Minute, local},
		{"s3://text10", false, 10 * time.Minute, local},
		{"s3://columns", true, time.Minute, local},
		{"s3://api", false, time.Minute, remote},
		{"cloudwatch:/files", false, time.Minute, local},
		{"cloudwatch:/api", false, 10 * time.Minute, remote},
		{"file:flows.log", false, time.Minute, local},
	} {
		s := subscription(t, row.to)
		f, err := flowlog.ParseHeader(format)
		if err != nil {
			t.Fatal(err)
		}
		s.ID, s.Format, s.Destination.Parquet, s.Interval = fmt.Sprint("fl-", i), f, row.parquet, row.interval
		d, err := row.at.Of(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Subscribe(s, d, delivery.Limits{Delay: time.Minute, File: 4000}, start); err != nil {
			t.Fatal(err)
		}
	}

	sent := sums{}
	rng := rand.New(rand.NewPCG(1, 2))
	for second := range 600 {
		now := start.Add(time.Duration(second) * time.Second)
		for range rng.IntN(20) {
			s := flowlog.Sample{
				Interface: rng.Uint32N(2), Direction: fabric.Direction(rng.IntN(2)), Accept: rng.IntN(5) > 0, First: now, Last: now,
				Tuple: flow.MakeTuple(flow.TCP, netip.AddrFrom4([4]byte{10, 0, 0, 9}), uint16(rng.IntN(30)), netip.AddrFrom4([4]byte{10, 0, 0, 8}), 80),
			}
			s.Packets = 1 + rng.Uint64N(100)
			s.Bytes = s.Packets * (40 + rng.Uint64N(1400))
			action := map[bool]string{true: "ACCEPT", false: "REJECT"}[s.Accept]
			sent.add(fmt.Sprintf("eni-%d %s %s", s.Interface, s.Direction, action), s.Packets, s.Bytes)
			p.Add(s)
		}
		p.Tick(now)
		if err := p.Deliver(context.Background(), now); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Finish(context.Background(), start.Add(600*time.Second)); err != nil {
		t.Fatal(err)
	}

	f, _ := flowlog.ParseHeader(format)
	for _, bucket := range []string{"text", "text10", "columns", "files", "flows.log"} {
		got := sums{}
		err := filepath.WalkDir(filepath.Join(dir, "out", bucket), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			got.read(t, path, b, f)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		got.equal(t, bucket, sent)
	}
	api := sums{}
	for stream, events := range twin.streams {
		for _, e := range events {
			api.read(t, stream, []byte(e.Message+"\n"), f)
		}
	}
	api.equal(t, "cloudwatch", sent)
}

// sums are packets and bytes by interface, direction and action.
type sums map[string][2]uint64

func (s sums) add(of string, packets, bytes uint64) {
	s[of] = [2]uint64{s[of][0] + packets, s[of][1] + bytes}
}

// read adds what a file has, and looks whether records in S3 end within their file's five minutes.
func (s sums) read(t *testing.T, path string, b []byte, f flowlog.Format) {
	t.Helper()
	for row, err := range logfile.Rows(bytes.NewReader(b), int64(len(b)), f) {
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		value := func(f flowlog.Field) string { v, _ := row.Value(f); return v }
		end, _ := strconv.ParseInt(value(flowlog.End), 10, 64)
		minutes := time.Unix(end-end%300, 0).UTC().Format("_20060102T1504Z_")
		if strings.Contains(path, "vpcflowlogs") && !strings.Contains(path, minutes) {
			t.Errorf("%s has a record of %s", path, minutes)
		}
		if value(flowlog.LogStatus) != "OK" {
			continue
		}
		packets, _ := strconv.ParseUint(value(flowlog.Packets), 10, 64)
		bytes, _ := strconv.ParseUint(value(flowlog.Bytes), 10, 64)
		s.add(value(flowlog.InterfaceID)+" "+value(flowlog.FlowDirection)+" "+value(flowlog.Action), packets, bytes)
	}
}

func (s sums) equal(t *testing.T, where string, want sums) {
	t.Helper()
	if got, want := fmt.Sprint(s), fmt.Sprint(want); got != want {
		t.Errorf("%s has\n%s\nsent were\n%s", where, got, want)
	}
}
