package flowlog

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Row is a record that was read back: a value for each field of a format. What does not apply is "-".
type Row struct {
	format Format
	values []string
}

// ParseHeader reads a text file's first line: the fields' names with a space between them.
func ParseHeader(line string) (Format, error) {
	var f Format
	at := 0
	for name := range strings.SplitSeq(line, " ") {
		field, err := knownField(name, at)
		if err != nil {
			return Format{}, err
		}
		f.chosen = append(f.chosen, field)
		at += len(name) + 1
	}
	return f, nil
}

// Parse reads a line of the format, without its end. What it takes, Row.String writes again byte for byte.
func (f Format) Parse(line string) (Row, error) {
	return f.RowOf(strings.Split(line, " "))
}

// RowOf makes a row of values in the format's order, and keeps them.
func (f Format) RowOf(values []string) (Row, error) {
	if len(values) != len(f.Fields()) {
		return Row{}, fmt.Errorf("record has %d values, its format %d", len(values), len(f.Fields()))
	}
	for i, field := range f.Fields() {
		if !field.takes(values[i]) {
			return Row{}, fmt.Errorf("record: %s is no %s", quoted(values[i]), field)
		}
	}
	return Row{f, values}, nil
}

// takes reports whether a field can have a value.
func (f Field) takes(value string) bool {
	if value == "-" {
		return true
	}
	switch f {
	case SrcAddr, DstAddr, PktSrcAddr, PktDstAddr:
		a, err := netip.ParseAddr(value)
		return err == nil && a.Zone() == ""
	}
	bits := 64
	switch f.Kind() {
	case String:
		return value != "" && !strings.ContainsAny(value, "\r\n")
	case Int32:
		bits = 32
	}
	n, err := strconv.ParseInt(value, 10, bits)
	return err == nil && strconv.FormatInt(n, 10) == value // and not "+1" or "01"
}

// Row is the record as somebody would read it who has its line.
func (f Format) Row(r *Record) Row {
	return Row{f, strings.Split(string(f.Append(nil, r)), " ")}
}

// Format is the row's.
func (r Row) Format() Format { return r.format }

// String is the row's line.
func (r Row) String() string { return strings.Join(r.values, " ") }

// Value is what the row says of a field; false if its format does not have it.
func (r Row) Value(f Field) (string, bool) {
	i := slices.Index(r.format.Fields(), f)
	if i < 0 {
		return "", false
	}
	return r.values[i], true
}

// Condition wants a field to have a value.
type Condition struct {
	Field Field
	Value string
}

// Filter wants all of its conditions.
type Filter []Condition

// ParseCondition reads `field=value`.
func ParseCondition(text string) (Condition, error) {
	name, value, ok := strings.Cut(text, "=")
	if !ok {
		return Condition{}, fmt.Errorf("condition %s: write field=value, as dstport=443", quoted(text))
	}
	field, err := knownField(name, 0)
	if err != nil {
		return Condition{}, fmt.Errorf("condition %s: %w", quoted(text), err)
	}
	if !field.takes(value) {
		return Condition{}, fmt.Errorf("condition %s: %s is no %s", quoted(text), quoted(value), field)
	}
	return Condition{field, value}, nil
}

// Match reports whether a row has all that the filter wants. What the row's format does not have, the row does not match.
func (f Filter) Match(r Row) bool {
	return !slices.ContainsFunc(f, func(c Condition) bool {
		value, ok := r.Value(c.Field)
		return !ok || !equal(value, c.Value)
	})
}

// equal compares values as people mean them: words in any case, addresses in any notation.
func equal(a, b string) bool {
	if strings.EqualFold(a, b) {
		return true
	}
	x, errX := netip.ParseAddr(a)
	y, errY := netip.ParseAddr(b)
	return errX == nil && errY == nil && x == y
}

// Missing are the fields that the filter asks for and a format does not have: no row of it will match.
func (f Filter) Missing(format Format) (missing []Field) {
	for _, c := range f {
		if !slices.Contains(format.Fields(), c.Field) {
			missing = append(missing, c.Field)
		}
	}
	return missing
}
