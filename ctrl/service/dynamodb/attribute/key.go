package attribute

import "encoding/binary"

// AppendOrdered appends the bytes of a string, number or binary that sort as the values do. They are unambiguous at the end of a key alone.
func AppendOrdered(key []byte, v Value) []byte {
	if v.Type == Numeric {
		return v.Number.appendOrdered(key)
	}
	return append(key, v.Text...)
}

// A number sorts by its sign, its exponent and its digits. What is negative sorts the other way round, so that each byte is inverted, and
// an end marks that of two which begin alike the longer one comes first.
//
//	sign (1) | exponent (2) | digits | 0xff, if negative
const (
	below byte = iota + 1
	zero
	above
)

func (n Number) appendOrdered(key []byte) []byte {
	if n.digits == "" {
		return append(key, zero)
	}
	exponent := uint16(n.exponent - minExponent)
	if !n.negative {
		return append(binary.BigEndian.AppendUint16(append(key, above), exponent), n.digits...)
	}
	key = binary.BigEndian.AppendUint16(append(key, below), ^exponent)
	for _, d := range []byte(n.digits) {
		key = append(key, ^d)
	}
	return append(key, 0xff)
}
