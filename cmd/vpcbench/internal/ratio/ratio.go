// Package ratio says how one series of measurements compares with another that was taken turn by turn with it. It measures nothing,
// and assumes nothing of how the figures are distributed.
package ratio

import (
	"math"
	"slices"
)

// Confidence is the least probability with which an Interval covers the true median.
const Confidence = 0.95

// Pair is one measurement of each side, taken right after one another, so that what the machine did meanwhile meets both alike.
type Pair struct {
	Subject, Base float64
}

// Interval bounds the median, from Low to High.
type Interval struct {
	Low, High float64
	// Coverage is the probability that the true median lies inside, at least Confidence. It is a little more, since the bounds are
	// measured values and nothing between them. 0 means that there were too few values for any interval.
	Coverage float64
}

// Exists reports whether there were enough values: at least six.
func (i Interval) Exists() bool { return i.Coverage > 0 }

// Of divides each pair's subject by its base.
func Of(pairs []Pair) []float64 {
	ratios := make([]float64, len(pairs))
	for i, p := range pairs {
		ratios[i] = p.Subject / p.Base
	}
	return ratios
}

// Median is the middle value, or the mean of the two middle ones. Without values it is not a number.
func Median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// MedianInterval is the exact interval for the median from order statistics (the one that belongs to the sign test): each value lies
// below the true median with probability one half, so the number that do is binomial, and the k-th smallest and k-th largest value
// enclose the median unless fewer than k values lie on one side of it. k is the largest that keeps Confidence. For 15 values it is 4,
// with a coverage of 0.965.
func MedianInterval(values []float64) Interval {
	k, coverage := rank(len(values))
	if k == 0 {
		return Interval{}
	}
	sorted := slices.Sorted(slices.Values(values))
	return Interval{Low: sorted[k-1], High: sorted[len(sorted)-k], Coverage: coverage}
}

// rank is the largest k for which fewer than k of n fair coins show heads with a probability of at most half of what Confidence
// leaves, and the interval's coverage; 0 if there is none.
func rank(n int) (k int, coverage float64) {
	below := 0.0 // probability of fewer than k+1 heads
	for i := range n {
		below += math.Exp(logChoose(n, i) - float64(n)*math.Ln2)
		if 2*below > 1-Confidence {
			break
		}
		k, coverage = i+1, 1-2*below
	}
	return k, coverage
}

func logChoose(n, k int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}
