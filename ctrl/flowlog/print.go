package flowlog

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
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
	widths   []int  // of its columns, which only grow
}

// NewPrinter makes a printer that writes to w.
func NewPrinter(w io.Writer, n Notation) *Printer { return &Printer{w: w, notation: n} }

// Print shows rows and waits for no more of them: the columns of a table are as wide as these rows and those before need. Names stand
// above a table's first row, and again where the format changes.
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
	for len(rows) > 0 {
		header, n := rows[0].format.Header(), 1
		for n < len(rows) && rows[n].format.Header() == header {
			n++
		}
		if err := p.tableOf(header, rows[:n]); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// tableOf prints rows of one format.
func (p *Printer) tableOf(header string, rows []Row) error {
	var lines [][]string
	if header != p.header {
		p.header, p.widths = header, make([]int, len(rows[0].values))
		lines = append(lines, rows[0].format.names())
	}
	for _, r := range rows {
		lines = append(lines, r.values)
	}
	for _, cells := range lines {
		for i, cell := range cells {
			p.widths[i] = max(p.widths[i], utf8.RuneCountInString(cell))
		}
	}
	var text strings.Builder
	for _, cells := range lines {
		for i, cell := range cells {
			text.WriteString(cell)
			if i < len(cells)-1 {
				text.WriteString(strings.Repeat(" ", p.widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		text.WriteByte('\n')
	}
	_, err := io.WriteString(p.w, text.String())
	return err
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
