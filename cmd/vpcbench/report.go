package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/vpclab/vpclab/cmd/vpcbench/internal/load"
	"github.com/vpclab/vpclab/cmd/vpcbench/internal/ratio"
)

// verdict is how a comparison stands to its target.
type verdict string

const (
	holds     verdict = "holds"      // the interval reaches the target
	missed    verdict = "missed"     // it does not
	notJudged verdict = "not judged" // too few or too short runs for a judgement
)

// report is one run of vpcbench, as --json writes it.
type report struct {
	Machine     machine    `json:"machine"`
	Started     time.Time  `json:"started"`
	Pairs       int        `json:"pairs"`
	Seconds     float64    `json:"seconds"` // of one run, two of which make a pair
	Judged      bool       `json:"judged"`  // false: too few or too short runs for a judgement
	Beds        []bedAbout `json:"beds"`
	Comparisons []compared `json:"comparisons"`
	Error       string     `json:"error,omitempty"` // why comparisons are missing
}

type bedAbout struct {
	Name  string `json:"name"`
	About string `json:"about"`
}

// compared is one load on two beds.
type compared struct {
	Load     string    `json:"load"`
	Title    string    `json:"-"`
	Unit     string    `json:"unit"`
	Subject  side      `json:"subject"`
	Base     side      `json:"base"`
	Ratio    float64   `json:"ratio"`              // the median of the pairs' ratios
	Interval *interval `json:"interval,omitempty"` // absent below six pairs
	Target   float64   `json:"target,omitempty"`
	Verdict  verdict   `json:"verdict,omitempty"`
	Pairs    []pair    `json:"pairs"`
}

// side is one bed's part in a comparison, as medians over its runs.
type side struct {
	Bed  string  `json:"bed"`
	Rate float64 `json:"rate"`
	P50  float64 `json:"p50_us,omitempty"` // microseconds, of one round trip
	P99  float64 `json:"p99_us,omitempty"`
	// Reset is how many connections were reset in all runs. They are not counted in Rate.
	Reset int `json:"reset,omitempty"`
}

type interval struct {
	Low      float64 `json:"low"`
	High     float64 `json:"high"`
	Coverage float64 `json:"coverage"`
}

type pair struct {
	Subject float64 `json:"subject"`
	Base    float64 `json:"base"`
	First   string  `json:"first"` // the bed that ran first
}

// judge compares an outcome's ratios with the target, if the load has one on these beds.
func judge(o outcome, targets []target, effort bool) compared {
	ratios := o.ratios()
	c := compared{
		Load: o.load.Name, Title: o.load.Title, Unit: o.load.Unit,
		Subject: sideOf(o.subject, o.runs, func(r run) load.Result { return r.subject }),
		Base:    sideOf(o.base, o.runs, func(r run) load.Result { return r.base }),
		Ratio:   ratio.Median(ratios),
	}
	within := ratio.MedianInterval(ratios)
	if within.Exists() {
		c.Interval = &interval{within.Low, within.High, within.Coverage}
	}
	for i, r := range o.runs {
		first := o.subject
		if baseFirst(i) {
			first = o.base
		}
		c.Pairs = append(c.Pairs, pair{r.subject.Rate, r.base.Rate, first})
	}
	for _, t := range targets {
		if t.load != o.load.Name || t.versus != o.versus {
			continue
		}
		c.Target = t.ratio
		switch {
		case !effort || !within.Exists():
			c.Verdict = notJudged
		case within.High >= t.ratio:
			c.Verdict = holds
		default:
			c.Verdict = missed
		}
	}
	return c
}

func sideOf(bed string, runs []run, of func(run) load.Result) side {
	var rates, p50, p99 []float64
	var reset int
	for _, r := range runs {
		one := of(r)
		rates = append(rates, one.Rate)
		p50 = append(p50, micros(one.P50))
		p99 = append(p99, micros(one.P99))
		reset += one.Reset
	}
	return side{Bed: bed, Rate: ratio.Median(rates), P50: ratio.Median(p50), P99: ratio.Median(p99), Reset: reset}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// with names the comparisons of that verdict.
func (r report) with(v verdict) (names []string) {
	for _, c := range r.Comparisons {
		if c.Verdict == v {
			names = append(names, fmt.Sprintf("%s %s/%s", c.Title, c.Subject.Bed, c.Base.Bed))
		}
	}
	return names
}

// summary is the report's last line.
func (r report) summary() string {
	held, failed, open := r.with(holds), r.with(missed), r.with(notJudged)
	switch {
	case r.Error != "":
		return "incomplete: " + r.Error
	case len(failed) > 0:
		return fmt.Sprintf("%d of %d targets missed: %s", len(failed), len(held)+len(failed), strings.Join(failed, ", "))
	case len(held) > 0:
		return fmt.Sprintf("every judged target holds: %s", strings.Join(held, ", "))
	case len(open) > 0:
		return fmt.Sprintf("no measurement: a target is judged from at least %d pairs of %v s", targetPairs, targetEach.Seconds())
	}
	return "none of these comparisons has a target"
}

// err is errMissed if a target was missed.
func (r report) err() error {
	if len(r.with(missed)) > 0 {
		return errMissed
	}
	return nil
}

// writeJSON writes the report as one indented document.
func (r report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// writeTable writes the report for people.
func (r report) writeTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s\n%d interleaved pairs of runs of %v s for each line\n\n", r.Machine, r.Pairs, r.Seconds)
	fmt.Fprintln(t, "load\tsubject\t\tbase\t\tratio\t95 % interval\ttarget\tverdict")
	for _, c := range r.Comparisons {
		within, least, stands := "-", "-", "-"
		if c.Interval != nil {
			within = fmt.Sprintf("%.3f to %.3f", c.Interval.Low, c.Interval.High)
		}
		if c.Target > 0 {
			least, stands = fmt.Sprintf("%.2f", c.Target), string(c.Verdict)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%.3f\t%s\t%s\t%s\n", c.Title, c.Subject.Bed, c.Subject.text(c.Unit),
			c.Base.Bed, c.Base.text(c.Unit), c.Ratio, within, least, stands)
	}
	fmt.Fprintln(t)
	for _, b := range r.Beds {
		fmt.Fprintf(t, "%s\t%s\n", b.Name, b.About)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, `
A ratio is the median over the pairs of subject divided by base; a target holds if the interval reaches it. Of round
trips and small objects the median and the 99th percentile are in brackets.
%s
`, r.summary())
	return err
}

// text is "31.2 Gbit/s", "43.1 k/s (22.0/41.0 us)", or "9.80 k/s, 2 reset".
func (s side) text(unit string) string {
	text := scaled(s.Rate) + unit
	if s.P50 > 0 {
		text += fmt.Sprintf(" (%.1f/%.1f us)", s.P50, s.P99)
	}
	if s.Reset > 0 {
		text += fmt.Sprintf(", %d reset", s.Reset)
	}
	return text
}

// scaled is a rate with three digits and its decimal prefix: "31.2 G", "43.1 k", "870 ".
func scaled(v float64) string {
	prefixes := []string{"", "k", "M", "G", "T"}
	i := 0
	for ; v >= 999.5 && i < len(prefixes)-1; i++ {
		v /= 1000
	}
	digits := 2
	switch {
	case i == 0 || v >= 99.95:
		digits = 0
	case v >= 9.995:
		digits = 1
	}
	return fmt.Sprintf("%.*f %s", digits, v, prefixes[i])
}
