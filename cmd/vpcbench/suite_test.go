package main

import (
	"slices"
	"testing"
	"time"

	"github.com/vpclab/vpclab/cmd/vpcbench/internal/load"
)

func named(t *testing.T, name string) load.Load {
	t.Helper()
	for _, l := range load.All() {
		if l.Name == name {
			return l
		}
	}
	t.Fatalf("no load %q", name)
	return load.Load{}
}

func TestPairsAreInterleavedAndTakeTurns(t *testing.T) {
	d := new(diary)
	p := plan{
		lines: linesOf([]load.Load{named(t, "rr")}, []versus{{vpclab, veth}, {kernel, veth}}),
		pairs: 3,
		each:  5 * time.Millisecond,
	}
	beds, err := p.openAll(t.Context(), d.open())
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	done, err := p.measure(t.Context(), beds, func(line, int, int) { told++ })
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"open vpclab", "open veth", "open kernel",
		"run veth", "run vpclab", "run vpclab", "run veth", "run veth", "run vpclab",
		"run veth", "run kernel", "run kernel", "run veth", "run veth", "run kernel",
	}
	if !slices.Equal(d.entries, want) {
		t.Errorf("got  %q\nwant %q", d.entries, want)
	}
	if told != 6 {
		t.Errorf("told of %d pairs, want 6", told)
	}
	if len(done) != 2 || done[0].versus != p.lines[0].versus || done[1].versus != p.lines[1].versus {
		t.Fatalf("got %v", done)
	}
	for _, o := range done {
		for i, r := range o.ratios() {
			if run := o.runs[i]; !(r > 0) || r != run.subject.Rate/run.base.Rate {
				t.Errorf("%v pair %d: ratio %v of %v and %v", o.versus, i, r, run.subject.Rate, run.base.Rate)
			}
		}
	}
}

func TestEffortAndLengthOfAPlan(t *testing.T) {
	for _, row := range []struct {
		pairs  int
		each   time.Duration
		judges bool
		takes  time.Duration
	}{
		{15, 2 * time.Second, true, 4 * time.Minute},
		{20, 3 * time.Second, true, 8 * time.Minute},
		{14, 2 * time.Second, false, 224 * time.Second},
		{15, 1900 * time.Millisecond, false, 228 * time.Second},
	} {
		p := plan{lines: linesOf(load.All(), []versus{{vpclab, veth}}), pairs: row.pairs, each: row.each}
		if p.judges() != row.judges || p.takes() != row.takes {
			t.Errorf("%d pairs of %v: judges %v, takes %v, want %v and %v", row.pairs, row.each, p.judges(), p.takes(), row.judges, row.takes)
		}
	}
}

// Loads that ask a service run where there is one, and the others elsewhere.
func TestLoadsRunWhereTheyCan(t *testing.T) {
	var got []string
	for _, l := range linesOf(load.All(), []versus{{vpclab, veth}, {vpclabS3, vethS3}, {vpclabDNS, vethDNS}}) {
		got = append(got, l.load.Name+" "+l.subject)
	}
	want := []string{"tcp vpclab", "rr vpclab", "crr vpclab", "pps vpclab", "s3-get vpclab-s3", "s3-put vpclab-s3", "s3-small vpclab-s3", "dns vpclab-dns"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
