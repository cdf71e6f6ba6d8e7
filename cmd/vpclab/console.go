package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// console is where people read: results on out, progress and errors on err. On a terminal the progress is one line that is drawn
// over and over below what has been printed. Its methods may be called from any goroutine.
type console struct {
	out, err io.Writer
	live     bool       // err is a terminal that can move its cursor
	outStyle style      // of results
	errStyle style      // of notes
	size     func() int // columns of out; 0 when it is no terminal

	mu     sync.Mutex
	stage  string // the stage last shown
	status bool   // a status line stands on the terminal
	failed error  // the first error of writing results
}

// style is how a stream is dressed: colours only on a terminal without NO_COLOR, symbols only where the locale can show them.
type style struct{ colour, symbols bool }

// standardConsole is the console of the process's own streams.
func standardConsole() *console {
	return newConsole(os.Stdout, os.Stderr, os.Getenv)
}

func newConsole(out, err *os.File, getenv func(string) string) *console {
	outTerm, errTerm := term.IsTerminal(int(out.Fd())), term.IsTerminal(int(err.Fd()))
	return &console{
		out: out, err: err,
		live:     errTerm && getenv("TERM") != "dumb",
		outStyle: dress(outTerm, getenv),
		errStyle: dress(errTerm, getenv),
		size: func() int {
			if !outTerm {
				return 0
			}
			w, _, err := term.GetSize(int(out.Fd()))
			if err != nil {
				return 0
			}
			return w
		},
	}
}

// dress decides the style of a stream by its environment (https://no-color.org: any value but the empty one forbids colour).
func dress(terminal bool, getenv func(string) string) style {
	locale := getenv("LC_ALL")
	for _, name := range []string{"LC_CTYPE", "LANG"} {
		if locale == "" {
			locale = getenv(name)
		}
	}
	locale = strings.ToLower(locale)
	return style{
		colour:  terminal && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb",
		symbols: terminal && (strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")),
	}
}

func (s style) paint(code, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bold(t string) string  { return s.paint("1", t) }
func (s style) dim(t string) string   { return s.paint("2", t) }
func (s style) red(t string) string   { return s.paint("31", t) }
func (s style) green(t string) string { return s.paint("32", t) }

// print writes a result: whole lines, for standard output.
func (c *console) print(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clear()
	if _, err := io.WriteString(c.out, text); err != nil && c.failed == nil {
		c.failed = fmt.Errorf("write results: %w", err)
	}
}

// note writes one or more lines beside the results, on standard error.
func (c *console) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clear()
	fmt.Fprintf(c.err, format+"\n", args...)
}

// progress shows what lab is busy with: a stage, and on a terminal how far it has come. Where nothing can be drawn over, a new stage
// is one line.
func (c *console) progress(lab, stage, detail string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := lab + ": " + stage
	fresh := text != c.stage
	c.stage = text
	if !c.live {
		if fresh {
			fmt.Fprintf(c.err, "%s\n", text)
		}
		return
	}
	if detail != "" {
		text += " " + detail
	}
	fmt.Fprint(c.err, "\r\x1b[K"+c.errStyle.dim(shorten(text, max(20, c.columns()-1))))
	c.status = true
}

// quiet takes the status line away and forgets the stage.
func (c *console) quiet() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clear()
	c.stage = ""
}

// clear takes the status line away; the caller holds the lock.
func (c *console) clear() {
	if c.status {
		fmt.Fprint(c.err, "\r\x1b[K")
		c.status = false
	}
}

// columns is the terminal's width, 80 when only standard error is a terminal.
func (c *console) columns() int {
	if w := c.size(); w > 0 {
		return w
	}
	return 80
}

// written is the first error of writing results.
func (c *console) written() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

// Write makes the console the standard output of what cobra prints.
func (c *console) Write(p []byte) (int, error) {
	c.print(string(p))
	return len(p), c.written()
}
