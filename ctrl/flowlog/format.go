package flowlog

import (
	"fmt"
	"slices"
	"strings"
)

// Format is the fields of a record, in their order. The zero Format is the default one.
type Format struct{ chosen []Field }

// defaultFields are those of version 2 (VPC user guide, flow log records, default format).
var defaultFields = Fields()[:LogStatus+1]

// AllFields is the format that has every field, in AWS's order.
func AllFields() Format { return Format{Fields()} }

// FormatOf is the format of some fields.
func FormatOf(chosen ...Field) Format { return Format{chosen} }

// FormatError says what is wrong with the text of a format, and where.
type FormatError struct {
	At   int    // byte offset of the mistake in the text
	What string // what is wrong
	Hint string // what would be right; may be empty
}

// Error reads `format, column 12: there is no field pksrcaddr; did you mean pkt-srcaddr?`.
func (e *FormatError) Error() string {
	text := fmt.Sprintf("format, column %d: %s", e.At+1, e.What)
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// ParseFormat reads AWS's notation: one or more of `${field}`, in any order, with spaces between them. The error is a *FormatError.
func ParseFormat(text string) (Format, error) {
	var f Format
	for rest := text; ; {
		rest = strings.TrimLeft(rest, " \t\r\n")
		if rest == "" {
			break
		}
		at := len(text) - len(rest)
		var item string
		if end := strings.IndexAny(rest, " \t\r\n"); end >= 0 {
			item, rest = rest[:end], rest[end:]
		} else {
			item, rest = rest, ""
		}
		field, err := parseField(item, at)
		if err != nil {
			return Format{}, err
		}
		if slices.Contains(f.chosen, field) {
			return Format{}, &FormatError{At: at, What: "field " + field.String() + " stands there twice"}
		}
		f.chosen = append(f.chosen, field)
	}
	if len(f.chosen) == 0 {
		return Format{}, &FormatError{What: "it has no field", Hint: "write one or more, such as ${srcaddr} ${dstaddr}"}
	}
	return f, nil
}

// parseField reads one `${field}` that stands at an offset of the format.
func parseField(item string, at int) (Field, error) {
	name, opened := strings.CutPrefix(item, "${")
	name, closed := strings.CutSuffix(name, "}")
	if f, ok := FieldOf(name); ok && !(opened && closed) {
		return 0, &FormatError{At: at, What: quoted(item) + " is not written as a field", Hint: "write ${" + f.String() + "}"}
	}
	if !opened || !closed {
		return 0, &FormatError{At: at, What: quoted(item) + " is not written as a field",
			Hint: "fields are written ${srcaddr}, with spaces between them"}
	}
	return knownField(name, at+len("${"))
}

// knownField finds a field whose name stands at an offset of some text.
func knownField(name string, at int) (Field, error) {
	if f, ok := FieldOf(name); ok {
		return f, nil
	}
	err := &FormatError{At: at, What: "there is no field " + quoted(name)}
	if near := nearest(name); near != "" {
		err.Hint = "did you mean " + near + "?"
	}
	return 0, err
}

// quoted shows what somebody wrote, as much of it as says where it is.
func quoted(s string) string {
	const most = 40
	if len(s) > most {
		s = s[:most] + "…"
	}
	return fmt.Sprintf("%q", s)
}

// Fields are the format's fields in their order; the slice is shared and must not be changed.
func (f Format) Fields() []Field {
	if f.chosen == nil {
		return defaultFields
	}
	return f.chosen
}

// Version is what the format's records have in the field version: the highest version among its fields.
func (f Format) Version() int {
	highest := 2
	for _, field := range f.Fields() {
		highest = max(highest, field.Version())
	}
	return highest
}

// String is the format in AWS's notation: "${version} ${account-id} …".
func (f Format) String() string { return "${" + strings.Join(f.names(), "} ${") + "}" }

// Header is the first line of a text file in S3, without its end: the fields' names.
func (f Format) Header() string { return strings.Join(f.names(), " ") }

func (f Format) names() []string {
	names := make([]string, len(f.Fields()))
	for i, field := range f.Fields() {
		names[i] = field.String()
	}
	return names
}

// Append writes a record's line, without its end.
func (f Format) Append(b []byte, r *Record) []byte {
	for i, field := range f.Fields() {
		if i > 0 {
			b = append(b, ' ')
		}
		if field == Version {
			b = number(b, uint8(f.Version()))
			continue
		}
		b = field.append(b, r)
	}
	return b
}
