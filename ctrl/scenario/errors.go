package scenario

import (
	"fmt"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Error is one mistake in a scenario file.
type Error struct {
	File       string
	Line, Col  int    // from 1; columns count characters
	What       string // what is wrong
	Hint       string // what would be right; may be empty
	SourceLine string // the line as it stands in the file, without its end
}

// maxExcerpt bounds, in characters, how much of a source line a message shows.
const maxExcerpt = 120

// Error reads "FILE:LINE:COL: what is wrong; what would be right", then the line with a caret under the column.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: %s", e.File, e.Line, e.Col, e.What)
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	if strings.TrimSpace(e.SourceLine) == "" {
		return b.String()
	}
	line, caret := excerpt(e.SourceLine, e.Col)
	fmt.Fprintf(&b, "\n    %s\n    %s^", line, caret)
	return b.String()
}

// excerpt cuts a window out of a long line and makes the padding that puts a caret under the column. Tabs stay tabs in both, so
// that they line up; other control characters become spaces.
func excerpt(line string, col int) (shown, padding string) {
	start := 0
	if col > maxExcerpt-20 {
		start = col - maxExcerpt/2
	}
	var text, pad strings.Builder
	pos := 0
	for _, r := range line {
		pos++
		if pos <= start {
			continue
		}
		if pos > start+maxExcerpt {
			break
		}
		if r != '\t' && !unicode.IsPrint(r) {
			r = ' '
		}
		text.WriteRune(r)
		if pos >= col {
			continue
		}
		if r != '\t' {
			r = ' '
		}
		pad.WriteRune(r)
	}
	return strings.TrimRight(text.String(), " "), pad.String()
}

// Errors are all the mistakes of one file, in the order of their positions.
type Errors []*Error

// Error lists them all, one after another.
func (es Errors) Error() string {
	texts := make([]string, len(es))
	for i, e := range es {
		texts[i] = e.Error()
	}
	return strings.Join(texts, "\n")
}

// maxErrors bounds how many mistakes are collected: beyond it, the file is something else than a scenario.
const maxErrors = 500

// fault is a mistake inside a text, before its place in the file is known.
type fault struct {
	at         int // offset in characters
	what, hint string
}

func faultf(at int, hint, format string, args ...any) *fault {
	return &fault{at: at, what: fmt.Sprintf(format, args...), hint: hint}
}

// shift moves a fault that was found in a part of a text to its place in the whole.
func (f *fault) shift(by int) *fault {
	if f != nil {
		f.at += by
	}
	return f
}

// quote shows a piece of the file inside a message: between backquotes, on one line, not endless.
func quote(s string) string {
	const most = 60
	clean := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	if utf8.RuneCountInString(clean) > most {
		clean = string([]rune(clean)[:most]) + "…"
	}
	return "`" + clean + "`"
}

// reporter collects errors and knows the file they are in.
type reporter struct {
	file  string
	lines []string
	errs  Errors
	seen  map[string]bool
	total int // reported, duplicates left out, also beyond maxErrors
}

func (r *reporter) report(at place, what, hint string) {
	key := fmt.Sprintf("%d:%d:%s", at.line, at.col, what)
	if r.seen[key] {
		return
	}
	r.total++
	if len(r.errs) == maxErrors {
		return
	}
	if r.seen == nil {
		r.seen = map[string]bool{}
	}
	r.seen[key] = true
	e := &Error{File: r.file, Line: at.line, Col: at.col, What: what, Hint: hint}
	if at.line >= 1 && at.line <= len(r.lines) {
		e.SourceLine = r.lines[at.line-1]
	}
	r.errs = append(r.errs, e)
}

// err returns what was collected, sorted, or nil.
func (r *reporter) err() error {
	if len(r.errs) == 0 {
		return nil
	}
	sort.SliceStable(r.errs, func(i, j int) bool {
		a, b := r.errs[i], r.errs[j]
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Col < b.Col
	})
	if last := len(r.errs) - 1; r.total > maxErrors {
		r.errs = append(r.errs, &Error{File: r.file, Line: r.errs[last].Line, Col: r.errs[last].Col,
			What: fmt.Sprintf("%d more mistakes are not shown", r.total-maxErrors)})
	}
	return r.errs
}
