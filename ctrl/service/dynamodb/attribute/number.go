package attribute

import (
	"cmp"
	"errors"
	"math/big"
	"strconv"
	"strings"
)

// Number is an exact decimal of at most 38 significant digits, between 1E-130 and 9.99…E+125 in magnitude, or zero. Equal numbers are equal
// values (developer guide, Supported data types).
type Number struct {
	negative bool
	digits   string // without zeros at either end; empty for zero
	exponent int    // the number is 0.DIGITS times ten to it; 0 for zero
}

const (
	maxDigits   = 38
	maxExponent = 126  // of 9.99E+125
	minExponent = -129 // of 1E-130
)

// What AWS says of numbers that it does not take.
const (
	overflow  = Invalid("Number overflow. Attempting to store a number with magnitude larger than supported range")
	underflow = Invalid("Number underflow. Attempting to store a number with magnitude smaller than supported range")
	precise   = Invalid("Attempting to store more than 38 significant digits in a Number")
)

// ParseNumber reads a decimal: digits, perhaps with a sign, a point and an exponent.
func ParseNumber(text string) (Number, error) {
	if text == "" {
		return Number{}, Invalid("The parameter cannot be converted to a numeric value")
	}
	n, ok := parseDecimal(text)
	if !ok {
		return Number{}, Invalidf("The parameter cannot be converted to a numeric value: %s", text)
	}
	if len(n.digits) > maxDigits {
		return Number{}, precise
	}
	return n, n.inRange()
}

func (n Number) inRange() error {
	switch {
	case n.exponent > maxExponent:
		return overflow
	case n.exponent < minExponent:
		return underflow
	}
	return nil
}

func parseDecimal(text string) (Number, bool) {
	var n Number
	rest := text
	switch rest[0] {
	case '-', '+':
		n.negative, rest = rest[0] == '-', rest[1:]
	}
	exponent := 0
	if i := strings.IndexAny(rest, "eE"); i >= 0 {
		var ok bool
		if exponent, ok = parseExponent(rest[i+1:]); !ok {
			return n, false
		}
		rest = rest[:i]
	}
	whole, fraction, _ := strings.Cut(rest, ".")
	n.digits = whole + fraction
	if n.digits == "" || strings.Trim(n.digits, "0123456789") != "" {
		return n, false
	}
	n.exponent = len(whole) + exponent
	return n.normal(), true
}

// parseExponent reads an exponent. One that is beyond any number's range is as good as another.
func parseExponent(text string) (int, bool) {
	e, err := strconv.Atoi(text)
	if errors.Is(err, strconv.ErrRange) {
		err = nil // Atoi gives the nearest that it has
	}
	return max(-1e7, min(e, 1e7)), err == nil
}

// normal is the number without zeros at either end.
func (n Number) normal() Number {
	significant := strings.TrimLeft(n.digits, "0")
	n.exponent -= len(n.digits) - len(significant)
	n.digits = strings.TrimRight(significant, "0")
	if n.digits == "" {
		return Number{}
	}
	return n
}

// String is the number without an exponent, as DynamoDB returns it.
func (n Number) String() string {
	sign := ""
	if n.negative {
		sign = "-"
	}
	switch {
	case n.digits == "":
		return "0"
	case n.exponent <= 0:
		return sign + "0." + strings.Repeat("0", -n.exponent) + n.digits
	case n.exponent >= len(n.digits):
		return sign + n.digits + strings.Repeat("0", n.exponent-len(n.digits))
	}
	return sign + n.digits[:n.exponent] + "." + n.digits[n.exponent:]
}

// sign is -1, 0 or 1.
func (n Number) sign() int {
	switch {
	case n.digits == "":
		return 0
	case n.negative:
		return -1
	}
	return 1
}

// Compare orders numbers.
func (n Number) Compare(m Number) int {
	if n.sign() != m.sign() || n.digits == "" {
		return cmp.Compare(n.sign(), m.sign())
	}
	return n.sign() * cmp.Or(cmp.Compare(n.exponent, m.exponent), strings.Compare(n.digits, m.digits))
}

// Add is the exact sum. One that does not fit is an overflow, as AWS calls it, even if only its digits are too many.
func (n Number) Add(m Number) (Number, error) {
	scale := min(n.scale(), m.scale())
	sum := new(big.Int).Add(n.scaled(scale), m.scaled(scale))
	text := new(big.Int).Abs(sum).String()
	total := Number{negative: sum.Sign() < 0, digits: text, exponent: len(text) + scale}.normal()
	if len(total.digits) > maxDigits {
		return Number{}, overflow
	}
	return total, total.inRange()
}

// Sub is the exact difference; its errors are Add's.
func (n Number) Sub(m Number) (Number, error) {
	m.negative = !m.negative && m.digits != ""
	return n.Add(m)
}

// scale is the power of ten of the last digit.
func (n Number) scale() int { return n.exponent - len(n.digits) }

// scaled is the number as a multiple of ten to the scale, which is not above its own.
func (n Number) scaled(scale int) *big.Int {
	i := new(big.Int)
	if n.digits == "" {
		return i
	}
	i.SetString(n.digits+strings.Repeat("0", n.scale()-scale), 10) // digits and nothing else
	if n.negative {
		i.Neg(i)
	}
	return i
}

// size is about what DynamoDB stores: a byte for two digits, one more, and one for a sign.
func (n Number) size() int {
	size := (len(n.digits)+1)/2 + 1
	if n.negative {
		size++
	}
	return size
}

// Integer is a whole number.
func Integer(i int) Number {
	n, _ := parseDecimal(strconv.Itoa(i)) // which is one
	return n
}
