package attribute

import (
	"bytes"
	"math/big"
	"slices"
	"strings"
	"testing"
)

func number(t testing.TB, text string) Number {
	t.Helper()
	n, err := ParseNumber(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return n
}

func TestNumbersAreCanonical(t *testing.T) {
	nines := strings.Repeat("9", 38)
	for _, row := range []struct{ in, want string }{
		{"0", "0"}, {"-0", "0"}, {"0.000", "0"}, {"0e999999999999999999999", "0"},
		{"1", "1"}, {"+1", "1"}, {"007", "7"}, {"-1.50", "-1.5"}, {".5", "0.5"}, {"5.", "5"}, {"1e3", "1000"}, {"12.5E-3", "0.0125"},
		{"1e-130", "0." + strings.Repeat("0", 129) + "1"}, {"9e125", "9" + strings.Repeat("0", 125)},
		{nines, nines}, {nines + "000", nines + "000"}, {"0.00" + nines, "0.00" + nines},
	} {
		if got := number(t, row.in).String(); got != row.want {
			t.Errorf("%s is %s, want %s", row.in, got, row.want)
		}
		if again := number(t, row.want); again != number(t, row.in) {
			t.Errorf("%s: %v is not %v", row.in, again, number(t, row.in))
		}
	}
}

func TestNumbersThatAreNone(t *testing.T) {
	const not = "The parameter cannot be converted to a numeric value"
	for _, row := range []struct{ in, want string }{
		{"", not}, {"dog", not + ": dog"}, {"NaN", not + ": NaN"}, {"Infinity", not + ": Infinity"}, {"1e", not + ": 1e"}, {"e5", not + ": e5"},
		{"1 ", not + ": 1 "}, {"--1", not + ": --1"}, {"1.2.3", not + ": 1.2.3"}, {"0x10", not + ": 0x10"}, {"1e1.5", not + ": 1e1.5"}, {"1_000", not + ": 1_000"},
		{strings.Repeat("1", 39), string(precise)}, {"1e126", string(overflow)}, {"-1e999999999999999999999", string(overflow)}, {"1e-131", string(underflow)},
	} {
		if _, err := ParseNumber(row.in); err == nil || err.Error() != row.want {
			t.Errorf("%q: got %v, want %s", row.in, err, row.want)
		}
	}
}

func TestSumsAreExact(t *testing.T) {
	for _, row := range []struct{ a, b, sum, difference string }{
		{"0.1", "0.2", "0.3", "-0.1"},
		{"1", "-1", "0", "2"},
		{"99999999999999999999", "1", "100000000000000000000", "99999999999999999998"},
		{"0", "5", "5", "-5"}, {"5", "0", "5", "5"}, {"0", "0", "0", "0"},
		{"1e50", "1", "", ""},
		{"9e125", "9e125", "", "0"},
		{"9e125", "9e124", "99" + strings.Repeat("0", 124), "81" + strings.Repeat("0", 124)},
	} {
		sum, err := number(t, row.a).Add(number(t, row.b))
		difference, err2 := number(t, row.a).Sub(number(t, row.b))
		for _, got := range []struct {
			n    Number
			err  error
			want string
		}{{sum, err, row.sum}, {difference, err2, row.difference}} {
			if got.want == "" && got.err != overflow || got.want != "" && (got.err != nil || got.n != number(t, got.want)) {
				t.Errorf("%s and %s: %v, %v, want %q", row.a, row.b, got.n, got.err, got.want)
			}
		}
	}
}

// Numbers, their bytes in keys and big.Rat agree on the order.
func TestNumbersHaveOneOrder(t *testing.T) {
	texts := []string{"0", "1e-130", "-1e-130", "9e125", "-9e125", "1", "-1", "12", "123", "-12", "-123", "1.2", "0.12", "-0.12", "-1.23", "10", "100", "-10", "99", "-99", "1000.001"}
	for _, a := range texts {
		for _, b := range texts {
			x, _ := new(big.Rat).SetString(a)
			y, _ := new(big.Rat).SetString(b)
			m, n := Value{Type: Numeric, Number: number(t, a)}, Value{Type: Numeric, Number: number(t, b)}
			if got, ok := Compare(m, n); !ok || got != x.Cmp(y) {
				t.Errorf("Compare(%s, %s) = %d, want %d", a, b, got, x.Cmp(y))
			}
			if got := bytes.Compare(AppendOrdered(nil, m), AppendOrdered(nil, n)); got != x.Cmp(y) {
				t.Errorf("the keys of %s and %s compare as %d, want %d", a, b, got, x.Cmp(y))
			}
		}
	}
}

func TestNumbersTakeTheirDigits(t *testing.T) {
	var got []int
	for _, text := range []string{"0", "5", "-5", "12", "123", "1200", "0.0012"} {
		got = append(got, number(t, text).size())
	}
	if want := []int{1, 2, 3, 2, 3, 2, 2}; !slices.Equal(got, want) {
		t.Errorf("sizes are %v, want %v", got, want)
	}
}
