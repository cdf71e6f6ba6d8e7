package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vpclab/vpclab/cmd/vpcbench/internal/load"
)

// call runs a command line on twins.
func call(ctx context.Context, open opener, line ...string) (status int, stdout, stderr string) {
	var out, errs strings.Builder
	status = execute(ctx, open, line, &out, &errs)
	return status, out.String(), errs.String()
}

func TestWrongCommandLines(t *testing.T) {
	for _, row := range []struct{ line, want string }{
		{"now", `argument "now": vpcbench takes flags only`},
		{"--fast", "unknown flag: --fast"},
		{"--pairs 0", "--pairs 0: must be from 1 to 1000"},
		{"--pairs 1001", "--pairs 1001: must be from 1 to 1000"},
		{"--pairs many", `invalid argument "many" for "--pairs" flag: strconv.ParseInt: parsing "many": invalid syntax`},
		{"--seconds 0.01", "--seconds 0.01: must be from 0.1 to 600"},
		{"--seconds NaN", "--seconds NaN: must be from 0.1 to 600"},
		{"--quick --pairs 9", "--quick: chooses the pairs and seconds itself; leave out --pairs and --seconds"},
		{"--only tpc", "--only tpc: no such load; loads are tcp, rr, crr, pps, s3-get, s3-put, s3-small, dns"},
		{"--only=", "--only: names no load; loads are tcp, rr, crr, pps, s3-get, s3-put, s3-small, dns"},
		{"--compare vpclab", "--compare vpclab: must be two beds, as vpclab/veth; beds are vpclab, vpclab-off, vpclab-nat, vpclab-log, vpclab-peering, vpclab-joined, kernel, wireguard, veth, vpclab-s3, veth-s3, vpclab-dns, veth-dns"},
		{"--compare vpclab/bridge", "--compare vpclab/bridge: must be two beds, as vpclab/veth; beds are vpclab, vpclab-off, vpclab-nat, vpclab-log, vpclab-peering, vpclab-joined, kernel, wireguard, veth, vpclab-s3, veth-s3, vpclab-dns, veth-dns"},
		{"--compare vpclab-s3/veth", "--compare vpclab-s3/veth: no load runs on both; vpclab-s3 compares with veth-s3, and vpclab-dns with veth-dns"},
		{"--only rr --compare vpclab-s3/veth-s3", "--only rr: no such load runs on vpclab-s3/veth-s3"},
		{"--compare=", "--compare: names no beds, as vpclab/veth"},
		{"--json /nowhere/report.json", "--json: open /nowhere/report.json: no such file or directory"},
	} {
		d := new(diary)
		status, stdout, stderr := call(t.Context(), d.open(), strings.Fields(row.line)...)
		if want := "vpcbench: " + row.want + "\nSee vpcbench --help.\n"; status != statusUsage || stderr != want || stdout != "" {
			t.Errorf("%s: status %d, stdout %q, stderr %q, want %q", row.line, status, stdout, stderr, want)
		}
		if len(d.entries) > 0 {
			t.Errorf("%s: %q for a wrong command line", row.line, d.entries)
		}
	}
}

func TestTableGoesToStdoutAndProgressToStderr(t *testing.T) {
	d := new(diary)
	status, stdout, stderr := call(t.Context(), d.open(), "--pairs=1", "--seconds=0.1", "--only=rr", "--compare=vpclab/veth")
	if status != statusHold {
		t.Fatalf("status %d: %s", status, stderr)
	}
	for _, want := range []string{"round trips  vpclab", "not judged", "loopback in the part of veth", "no measurement: "} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	if want := "2 beds are up; measuring takes about 0s\nmeasuring round trips vpclab/veth\n"; stderr != want {
		t.Errorf("stderr %q, want %q", stderr, want)
	}
	slices.Sort(d.entries)
	want := []string{"close veth", "close vpclab", "open veth", "open vpclab", "run veth", "run vpclab"}
	if !slices.Equal(d.entries, want) {
		t.Errorf("got %q", d.entries)
	}
}

func TestJSONToStdoutAndToAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.json")
	for _, to := range []string{"-", file} {
		status, stdout, stderr := call(t.Context(), new(diary).open(), "--pairs=1", "--seconds=0.1",
			"--only=rr,tcp", "--compare=kernel/veth", "--json="+to)
		if status != statusHold {
			t.Fatalf("status %d: %s", status, stderr)
		}
		document, table := stdout, stderr
		if to == file {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			document, table = string(content), stdout
		}
		var r report
		if err := json.Unmarshal([]byte(document), &r); err != nil {
			t.Fatalf("--json %s: %v in %q", to, err, document)
		}
		if c := r.Comparisons; len(c) != 2 || c[0].Load != "tcp" || c[0].Subject.Rate <= 0 || c[1].Subject.P50 <= 0 {
			t.Errorf("--json %s: got %+v", to, r.Comparisons)
		}
		if !strings.Contains(table, "bulk TCP     kernel") {
			t.Errorf("--json %s: no table in %q", to, table)
		}
	}
}

func TestBedThatCannotBeBuiltIsStatusThree(t *testing.T) {
	d := new(diary)
	status, stdout, stderr := call(t.Context(), d.open(veth), "--quick")
	if want := "vpcbench: build bed veth: operation not permitted\n"; status != statusCannot || stderr != want || stdout != "" {
		t.Errorf("status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
	if want := []string{"open vpclab", "close vpclab"}; !slices.Equal(d.entries, want) {
		t.Errorf("got %q, want %q", d.entries, want)
	}
}

func TestInterruptedRunClosesItsBeds(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	d := new(diary)
	status, stdout, stderr := call(ctx, func(ctx context.Context, name string) (Bed, error) {
		if name == veth { // the second bed
			interrupt()
		}
		return d.open()(ctx, name)
	}, "--quick", "--only=rr", "--json=-")
	if status != statusCannot || !strings.HasSuffix(stderr, "vpcbench: bed veth: rr: context canceled\n") {
		t.Errorf("status %d, stderr %q", status, stderr)
	}
	var r report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || r.Error != "bed veth: rr: context canceled" || len(r.Comparisons) != 0 {
		t.Errorf("%v in %s", err, stdout)
	}
	for _, bed := range []string{vpclab, vpclabOff, kernel, veth} {
		if !slices.Contains(d.entries, "close "+bed) {
			t.Errorf("bed %s was left open: %q", bed, d.entries)
		}
	}
}

func TestHelpExplainsEveryFigure(t *testing.T) {
	status, stdout, _ := call(t.Context(), new(diary).open(), "--help")
	if status != statusHold {
		t.Errorf("status %d", status)
	}
	var want []string
	for _, l := range load.All() {
		want = append(want, "\n  "+l.Name+" ")
	}
	for _, bed := range bedNames {
		want = append(want, "\n  "+bed+" ")
	}
	for _, target := range targets {
		want = append(want, target.versus.String())
	}
	for _, w := range append(want, "median", "interval", "Exit status: 0") {
		if !strings.Contains(stdout, w) {
			t.Errorf("no %q in\n%s", w, stdout)
		}
	}
	for line := range strings.Lines(stdout) {
		if len(line) > 161 {
			t.Errorf("line of %d columns: %s", len(line), line)
		}
	}
}

// The real beds, shortly: everything is up, carries traffic, and every bed's part is in the report. The bucket of the S3's beds is for the
// endpoint alone, so that objects in vpclab-s3 have come through it.
func TestRealBeds(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("REQUIRE_ROOT") == "1" {
			t.Fatal("REQUIRE_ROOT=1, but the tests do not run as root")
		}
		t.Skip("needs root")
	}
	status, stdout, stderr := call(t.Context(), openBeds("vpcbench-test"), "--pairs=1", "--seconds=0.2",
		"--only=tcp,rr,s3-get,s3-put,s3-small,dns", "--compare=vpclab/vpclab-off,kernel/veth,vpclab-s3/veth-s3,vpclab-dns/veth-dns", "--json=-")
	if status != statusHold {
		t.Fatalf("status %d: %s", status, stderr)
	}
	var r report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Beds) != 8 || len(r.Comparisons) != 8 {
		t.Fatalf("%d beds, %d comparisons", len(r.Beds), len(r.Comparisons))
	}
	for _, c := range r.Comparisons {
		if c.Subject.Rate <= 0 || c.Base.Rate <= 0 {
			t.Errorf("%s %s/%s: %v and %v a second", c.Load, c.Subject.Bed, c.Base.Bed, c.Subject.Rate, c.Base.Rate)
		}
	}
}
