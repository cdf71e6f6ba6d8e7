package ratio

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, row := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{7}, 7},
		{[]float64{3, 1, 2}, 2},
		{[]float64{4, 1, 3, 2}, 2.5},
		{[]float64{0.9, 100, 0.8, 0.7, 0.85}, 0.85},
	} {
		given := slices.Clone(row.values)
		if got := Median(row.values); got != row.want {
			t.Errorf("median of %v is %v, want %v", row.values, got, row.want)
		}
		if !slices.Equal(row.values, given) {
			t.Errorf("the caller's values %v were reordered to %v", given, row.values)
		}
	}
	if got := Median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing is %v", got)
	}
}

// The coverages were worked out in whole numbers: one minus twice the sum of the binomial coefficients below k, over 2 to the n.
func TestRankAgreesWithExactArithmetic(t *testing.T) {
	for _, row := range []struct {
		n, k     int
		coverage float64
	}{
		{0, 0, 0}, {1, 0, 0}, {5, 0, 0},
		{6, 1, 0.9688}, {7, 1, 0.9844}, {8, 1, 0.9922}, {9, 2, 0.9609}, {10, 2, 0.9785}, {11, 2, 0.9883}, {12, 3, 0.9614},
		{15, 4, 0.9648}, {17, 5, 0.9510}, {20, 6, 0.9586}, {25, 8, 0.9567}, {30, 10, 0.9572}, {100, 40, 0.9648},
	} {
		k, coverage := rank(row.n)
		if k != row.k || math.Abs(coverage-row.coverage) > 0.00005 {
			t.Errorf("n %d: k %d with %.4f, want %d with %.4f", row.n, k, coverage, row.k, row.coverage)
		}
	}
}

func TestMedianInterval(t *testing.T) {
	fifteen := []float64{15, 1, 14, 2, 13, 3, 12, 4, 11, 5, 10, 6, 9, 7, 8}
	given := slices.Clone(fifteen)
	i := MedianInterval(fifteen)
	if i.Low != 4 || i.High != 12 || !i.Exists() {
		t.Errorf("of 1 to 15: %+v, want the 4th smallest and the 4th largest", i)
	}
	if !slices.Equal(fifteen, given) {
		t.Error("the caller's values were reordered")
	}
	if i := MedianInterval([]float64{1, 2, 3, 4, 5}); i.Exists() || i != (Interval{}) {
		t.Errorf("of five values: %+v, want none", i)
	}
	if i := MedianInterval([]float64{1, 1, 1, 1, 1, 1}); i.Low != 1 || i.High != 1 {
		t.Errorf("of equal values: %+v", i)
	}
}

func TestIntervalCoversTheMedianAsOftenAsItSays(t *testing.T) {
	const rounds, n = 4000, 15
	r := rand.New(rand.NewPCG(1, 2))
	covered := 0
	for range rounds {
		values := make([]float64, n)
		for j := range values {
			values[j] = r.ExpFloat64() // skewed, as benchmark figures are; its median is ln 2
		}
		i := MedianInterval(values)
		if i.Low <= math.Ln2 && math.Ln2 <= i.High {
			covered++
		}
	}
	_, want := rank(n)
	if got := float64(covered) / rounds; math.Abs(got-want) > 0.01 {
		t.Errorf("covered in %.4f of all rounds, want %.4f", got, want)
	}
}

func TestOfDividesPairByPair(t *testing.T) {
	got := Of([]Pair{{Subject: 9, Base: 10}, {Subject: 30, Base: 20}})
	if want := []float64{0.9, 1.5}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
