package flowlog

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Notation is how rows are shown.
type Notation string

// The notations.
const (
	Table Notation = "table" // columns under their names
	Raw   Notation = "raw"   // lines as they are delivered
	JSON  Notation = "json"  // an object a line; "-" is null
)

// ParseNotation finds a notation by its name.
func ParseNotation(name string) (Notation, error) {
	switch n := Notation(name); n {
	case Table, Raw, JSON:
		return n, nil
	}
	return "", fmt.Errorf("format %s: it is table, raw or json", quoted(name))
}

// Printer shows rows.
type Printer struct {
	w        io.Writer
	notation Notation
	header   string // of the table that is being printed
}

// NewPrinter makes a printer that writes to w.
func NewPrinter(w io.Writer, n Notation) *Printer { return &Printer{w: w, notation: n} }

// Print shows rows and waits for no more of them: the columns of a table are as wide as these rows need. Names stand above a table's
// first row, and again where the format changes.
func (p *Printer) Print(rows []Row) error {
	var err error
	switch p.notation {
	case JSON:
		for _, r := range rows {
			if _, err = p.w.Write(append(r.json(), '\n')); err != nil {
				break
			}
		}
	case Raw:
		for _, r := range rows {
			if _, err = io.WriteString(p.w, r.String()+"\n"); err != nil {
				break
			}
		}
	default:
		err = p.table(rows)
	}
	if err != nil {
		return fmt.Errorf("print records: %w", err)
	}
	return nil
}

func (p *Printer) table(rows []Row) error {
	t := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		if header := r.format.Header(); header != p.header {
			if err := t.Flush(); err != nil {
				return err
			}
			p.header = header
			fmt.Fprintln(t, strings.ReplaceAll(header, " ", "\t"))
		}
		fmt.Fprintln(t, strings.Join(r.values, "\t"))
	}
	return t.Flush()
}

// json is the row as an object, in the format's order.
func (r Row) json() []byte {
	b := []byte("{")
	for i, f := range r.format.Fields() {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "%q:", f)
		switch value := r.values[i]; {
		case value == "-":
			b = append(b, "null"...)
		case f.Kind() == String:
			text, _ := json.Marshal(value) // a string always has a JSON form
			b = append(b, text...)
		default:
			b = append(b, value...)
		}
	}
	return append(b, '}')
}
