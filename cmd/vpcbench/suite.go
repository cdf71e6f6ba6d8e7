package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vpclab/vpclab/cmd/vpcbench/internal/load"
	"github.com/vpclab/vpclab/cmd/vpcbench/internal/ratio"
)

// versus is two beds that are compared; the ratio is subject over base.
type versus struct{ subject, base string }

// String is the form of --compare.
func (v versus) String() string { return v.subject + "/" + v.base }

// target is the least ratio that vpclab promises for a load.
type target struct {
	load string
	versus
	ratio float64
}

var targets = []target{
	{"tcp", versus{vpclab, veth}, 0.9},
	{"rr", versus{vpclab, veth}, 0.9},
	{"tcp", versus{vpclabOff, veth}, 0.35},
	{"tcp", versus{vpclabNAT, veth}, 0.85},
	{"rr", versus{vpclabNAT, veth}, 0.85},
	{"pps", versus{vpclabNAT, veth}, 0.85},
	{"tcp", versus{vpclabLog, vpclab}, 0.97},
	{"crr", versus{vpclabLog, vpclab}, 0.97},
	{"tcp", versus{vpclabPeering, wireGuard}, 0.85},
	{"tcp", versus{vpclabJoined, veth}, 0.9},
	{"s3-get", versus{vpclabS3, vethS3}, 0.85},
	{"s3-put", versus{vpclabS3, vethS3}, 0.85},
	{"s3-small", versus{vpclabS3, vethS3}, 0.85},
}

// The least effort with which a target is judged: 15 pairs of 2 s.
const (
	targetPairs = 15
	targetEach  = 2 * time.Second
)

// plan is what to measure.
type plan struct {
	lines []line
	pairs int           // of each line
	each  time.Duration // of one run, two of which make a pair
}

// line is one load on two beds that are compared.
type line struct {
	load load.Load
	versus
}

// linesOf are all loads on all beds that are compared, as far as they go together.
func linesOf(loads []load.Load, compared []versus) []line {
	var lines []line
	for _, l := range loads {
		for _, v := range compared {
			if farEnd(v.subject) == l.Far {
				lines = append(lines, line{l, v})
			}
		}
	}
	return lines
}

// judges reports whether the plan takes enough effort to judge a target.
func (p plan) judges() bool { return p.pairs >= targetPairs && p.each >= targetEach }

// takes is how long the plan's runs take in all.
func (p plan) takes() time.Duration {
	return time.Duration(2*len(p.lines)*p.pairs) * p.each
}

// beds names the beds that the plan needs, each once.
func (p plan) beds() []string {
	var names []string
	for _, l := range p.lines {
		for _, name := range []string{l.subject, l.base} {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// outcome is a line's runs. runs[i] are the i-th pair's.
type outcome struct {
	line
	runs []run
}

// run is one pair of runs.
type run struct{ subject, base load.Result }

// ratios divides pair by pair.
func (o outcome) ratios() []float64 {
	pairs := make([]ratio.Pair, len(o.runs))
	for i, r := range o.runs {
		pairs[i] = ratio.Pair{Subject: r.subject.Rate, Base: r.base.Rate}
	}
	return ratio.Of(pairs)
}

// opener builds the bed of that name.
type opener func(ctx context.Context, name string) (Bed, error)

// openAll builds the plan's beds; if one fails it removes the others.
func (p plan) openAll(ctx context.Context, open opener) (map[string]Bed, error) {
	beds := make(map[string]Bed)
	for _, name := range p.beds() {
		b, err := open(ctx, name)
		if err != nil {
			return nil, errors.Join(err, closeAll(beds))
		}
		beds[name] = b
	}
	return beds, nil
}

func closeAll(beds map[string]Bed) error {
	var errs []error
	for _, b := range beds {
		errs = append(errs, b.Close())
	}
	return errors.Join(errs...)
}

// measure carries out the plan on its beds. After an error it returns the comparisons that were finished.
func (p plan) measure(ctx context.Context, beds map[string]Bed, tell progress) ([]outcome, error) {
	var done []outcome
	for _, l := range p.lines {
		o := outcome{line: l}
		for i := range p.pairs {
			tell(l, i, p.pairs)
			r, err := p.pair(ctx, l.load, beds[l.subject], beds[l.base], i)
			if err != nil {
				return done, err
			}
			o.runs = append(o.runs, r)
		}
		done = append(done, o)
	}
	return done, nil
}

// pair runs the load on both beds. The bed that goes first alternates, so that a drift of the machine favours neither.
func (p plan) pair(ctx context.Context, l load.Load, subject, base Bed, i int) (run, error) {
	var r run
	turns := []turn{{base, &r.base}, {subject, &r.subject}}
	if !baseFirst(i) {
		slices.Reverse(turns)
	}
	for _, t := range turns {
		var err error
		if *t.into, err = l.Run(ctx, t.bed, p.each); err != nil {
			return run{}, fmt.Errorf("bed %s: %w", t.bed.Name(), err)
		}
	}
	return r, nil
}

type turn struct {
	bed  Bed
	into *load.Result
}

// baseFirst reports whether the i-th pair, from 0, begins with its base.
func baseFirst(i int) bool { return i%2 == 0 }
