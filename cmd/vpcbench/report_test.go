package main

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/vpclab/vpclab/cmd/vpcbench/internal/load"
)

// measured is an outcome whose ratios are those given; its base always reaches 1000.
func measured(t *testing.T, name string, v versus, ratios ...float64) outcome {
	o := outcome{line: line{named(t, name), v}}
	for _, r := range ratios {
		o.runs = append(o.runs, run{subject: load.Result{Rate: 1000 * r}, base: load.Result{Rate: 1000}})
	}
	return o
}

// around is fifteen ratios whose median is m and whose 95 % interval is m-0.04 to m+0.04.
func around(m float64) []float64 {
	var ratios []float64
	for i := -7; i <= 7; i++ {
		ratios = append(ratios, m+float64(i)/100)
	}
	return ratios
}

func TestVerdicts(t *testing.T) {
	on, off, other := versus{vpclab, veth}, versus{vpclabOff, veth}, versus{vpclab, kernel}
	for _, row := range []struct {
		about   string
		outcome outcome
		effort  bool
		target  float64
		verdict verdict
	}{
		{"median above the target", measured(t, "tcp", on, around(0.95)...), true, 0.9, holds},
		{"median below, interval reaches", measured(t, "tcp", on, around(0.87)...), true, 0.9, holds},
		{"interval does not reach", measured(t, "tcp", on, around(0.85)...), true, 0.9, missed},
		{"round trips have the same target", measured(t, "rr", on, around(0.85)...), true, 0.9, missed},
		{"without offload the target is lower", measured(t, "tcp", off, around(0.4)...), true, 0.35, holds},
		{"and can be missed", measured(t, "tcp", off, around(0.3)...), true, 0.35, missed},
		{"too little effort", measured(t, "tcp", on, around(0.95)...), false, 0.9, notJudged},
		{"no interval from five pairs", measured(t, "tcp", on, 1, 1, 1, 1, 1), true, 0.9, notJudged},
		{"connections have no target", measured(t, "crr", on, around(0.5)...), true, 0, ""},
		{"an S3 through a gateway endpoint", measured(t, "s3-get", versus{vpclabS3, vethS3}, around(0.8)...), true, 0.85, missed},
		{"the kernel is no target", measured(t, "tcp", other, around(0.5)...), true, 0, ""},
	} {
		c := judge(row.outcome, targets, row.effort)
		if c.Target != row.target || c.Verdict != row.verdict {
			t.Errorf("%s: target %v %q, want %v %q", row.about, c.Target, c.Verdict, row.target, row.verdict)
		}
	}
}

func TestSummaryAndStatus(t *testing.T) {
	of := func(verdicts ...verdict) report {
		var r report
		for _, v := range verdicts {
			r.Comparisons = append(r.Comparisons, compared{Title: "bulk TCP", Subject: side{Bed: vpclab}, Base: side{Bed: veth}, Verdict: v})
		}
		return r
	}
	broken := of(holds)
	broken.Error = "bed vpclab: rr: no progress for 3s"
	for _, row := range []struct {
		report  report
		summary string
		err     error
	}{
		{of(holds, "", holds), "every judged target holds: bulk TCP vpclab/veth, bulk TCP vpclab/veth", nil},
		{of(holds, missed, ""), "1 of 2 targets missed: bulk TCP vpclab/veth", errMissed},
		{of(notJudged, ""), "no measurement: a target is judged from at least 15 pairs of 2 s", nil},
		{of("", ""), "none of these comparisons has a target", nil},
		{broken, "incomplete: bed vpclab: rr: no progress for 3s", nil},
	} {
		if got := row.report.summary(); got != row.summary {
			t.Errorf("got %q, want %q", got, row.summary)
		}
		if got := row.report.err(); !errors.Is(got, row.err) {
			t.Errorf("%s: error %v, want %v", row.summary, got, row.err)
		}
	}
}

func sample(t *testing.T) report {
	trips := measured(t, "rr", versus{vpclab, veth}, 0.95, 0.96, 0.97)
	for i := range trips.runs {
		trips.runs[i].subject.P50, trips.runs[i].subject.P99 = 22*time.Microsecond, 41*time.Microsecond
		trips.runs[i].base.P50, trips.runs[i].base.P99 = 21*time.Microsecond, 40*time.Microsecond
	}
	bulk := measured(t, "tcp", versus{vpclabOff, veth}, around(0.4)...)
	for i := range bulk.runs {
		bulk.runs[i].subject.Rate *= 30e6
		bulk.runs[i].base.Rate *= 30e6
	}
	crr := measured(t, "crr", versus{vpclab, kernel}, around(1.2)...)
	crr.runs[3].subject.Reset, crr.runs[9].subject.Reset = 1, 2
	return report{
		Machine: machine{Kernel: "Linux 6.18.0", Arch: "x86_64", CPU: "Example CPU", CPUs: 4, Load: "0.10", Go: "go1.26"},
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Pairs:   15, Seconds: 2, Judged: true,
		Beds: []bedAbout{{vpclab, "a VPC"}, {veth, "a bare pair"}},
		Comparisons: []compared{
			judge(bulk, targets, true),
			judge(trips, targets, true),
			judge(crr, targets, true),
		},
	}
}

func TestTable(t *testing.T) {
	var got strings.Builder
	if err := sample(t).writeTable(&got); err != nil {
		t.Fatal(err)
	}
	const want = `Linux 6.18.0, x86_64, 4 x Example CPU, load average 0.10
15 interleaved pairs of runs of 2 s for each line

load         subject                            base                             ratio  95 % interval   target  verdict
bulk TCP     vpclab-off  12.0 Gbit/s            veth    30.0 Gbit/s              0.400  0.360 to 0.440  0.35    holds
round trips  vpclab      960 /s (22.0/41.0 us)  veth    1.00 k/s (21.0/40.0 us)  0.960  -               0.90    not judged
connections  vpclab      1.20 k/s, 3 reset      kernel  1.00 k/s                 1.200  1.160 to 1.240  -       -

vpclab  a VPC
veth    a bare pair

A ratio is the median over the pairs of subject divided by base; a target holds if the interval reaches it. Of round
trips and small objects the median and the 99th percentile are in brackets.
every judged target holds: bulk TCP vpclab-off/veth
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &got, want)
	}
}

func TestJSONHoldsEveryRun(t *testing.T) {
	var text strings.Builder
	if err := sample(t).writeJSON(&text); err != nil {
		t.Fatal(err)
	}
	var got report
	d := json.NewDecoder(strings.NewReader(text.String()))
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if len(got.Comparisons) != 3 {
		t.Fatalf("%d comparisons", len(got.Comparisons))
	}
	c := got.Comparisons[0]
	if c.Load != "tcp" || c.Unit != "bit/s" || c.Subject.Bed != vpclabOff || c.Base.Bed != veth || c.Verdict != holds ||
		c.Target != 0.35 {
		t.Errorf("got %+v", c)
	}
	if math.Abs(c.Ratio-0.4) > 1e-9 || math.Abs(c.Interval.Low-0.36) > 1e-9 || math.Abs(c.Interval.High-0.44) > 1e-9 {
		t.Errorf("ratio %v, interval %+v", c.Ratio, c.Interval)
	}
	if len(c.Pairs) != 15 || c.Pairs[0].First != veth || c.Pairs[1].First != vpclabOff || c.Pairs[0].Base != 30e9 {
		t.Errorf("pairs %+v", c.Pairs)
	}
	trips := got.Comparisons[1]
	if trips.Interval != nil || trips.Subject.P50 != 22 || trips.Base.P99 != 40 {
		t.Errorf("round trips %+v", trips)
	}
	for _, key := range []string{`"kernel": "Linux 6.18.0"`, `"started": "2026-01-02T03:04:05Z"`,
		`"judged": true`, `"seconds": 2`, `"p50_us": 22`} {
		if !strings.Contains(text.String(), key) {
			t.Errorf("no %s in\n%s", key, &text)
		}
	}
}

func TestScaled(t *testing.T) {
	for _, row := range []struct {
		rate float64
		want string
	}{
		{0, "0 "}, {870, "870 "}, {999.4, "999 "}, {999.6, "1.00 k"}, {12_345, "12.3 k"}, {999_600, "1.00 M"},
		{31_234_567_890, "31.2 G"}, {4e15, "4000 T"},
	} {
		if got := scaled(row.rate); got != row.want {
			t.Errorf("%v: %q, want %q", row.rate, got, row.want)
		}
	}
}

func TestMachine(t *testing.T) {
	two := []byte("processor\t: 0\nmodel name\t: Example CPU @ 2.0GHz\nmodel name\t: Other\n")
	if got := cpuModel(two); got != "Example CPU @ 2.0GHz" {
		t.Errorf("model is %q", got)
	}
	arm := machine{Kernel: "Linux 6.6", Arch: "aarch64", CPU: cpuModel([]byte("processor\t: 0\nBogoMIPS\t: 50\n")), CPUs: 8}
	if got := arm.String(); got != "Linux 6.6, aarch64, 8 x processors" {
		t.Errorf("got %q", got)
	}
	if m := thisMachine(); !strings.HasPrefix(m.Kernel, "Linux ") || m.CPUs < 1 || m.Arch == "" {
		t.Errorf("this machine is %+v", m)
	}
}
