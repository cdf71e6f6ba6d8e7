package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestTheStatusLineGivesWayToResults(t *testing.T) {
	var screen buffer
	c := &console{out: &screen, err: &screen, live: true, size: func() int { return 40 }}
	c.progress("shop", "building", "connect 1/2")
	c.progress("shop", "building", "connect 2/2")
	c.print("a result\n")
	c.progress("shop", "running checks", "2/9: one with a name that is longer than the terminal")
	c.note("a note")
	c.progress("shop", "removing", "")
	c.quiet()
	want := "\r\x1b[Kshop: building connect 1/2" +
		"\r\x1b[Kshop: building connect 2/2" +
		"\r\x1b[Ka result\n" +
		"\r\x1b[Kshop: running checks 2/9: one with a n…" +
		"\r\x1b[Ka note\n" +
		"\r\x1b[Kshop: removing" +
		"\r\x1b[K"
	if screen.String() != want {
		t.Errorf("got  %q\nwant %q", screen.String(), want)
	}
}

func TestPlainProgressIsALineAStage(t *testing.T) {
	var out, errs buffer
	c := plainConsole(&out, &errs)
	for _, detail := range []string{"1/3", "2/3", "3/3"} {
		c.progress("shop", "building", detail)
	}
	c.print("a result\n")
	c.progress("shop", "removing", "")
	c.quiet()
	if want := "shop: building\nshop: removing\n"; errs.String() != want || out.String() != "a result\n" {
		t.Errorf("standard error %q, want %q; standard output %q", errs.String(), want, out.String())
	}
}

func TestDress(t *testing.T) {
	utf8 := map[string]string{"LANG": "en_US.UTF-8", "TERM": "xterm"}
	with := func(name, value string) map[string]string {
		return map[string]string{"LANG": "C.utf8", "TERM": "xterm", name: value}
	}
	for _, row := range []struct {
		about    string
		terminal bool
		env      map[string]string
		want     style
	}{
		{"a terminal", true, utf8, style{colour: true, symbols: true}},
		{"a pipe", false, utf8, style{}},
		{"NO_COLOR", true, with("NO_COLOR", "1"), style{symbols: true}},
		{"an empty NO_COLOR", true, with("NO_COLOR", ""), style{colour: true, symbols: true}},
		{"a dumb terminal", true, with("TERM", "dumb"), style{symbols: true}},
		{"a locale without symbols", true, with("LC_ALL", "C"), style{colour: true}},
		{"LC_CTYPE before LANG", true, with("LC_CTYPE", "POSIX"), style{colour: true}},
	} {
		if got := dress(row.terminal, func(name string) string { return row.env[name] }); got != row.want {
			t.Errorf("%s: %+v, want %+v", row.about, got, row.want)
		}
	}
}

func TestAFileIsNoTerminal(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := newConsole(f, f, func(string) string { return "xterm.utf-8" })
	if c.live || c.outStyle != (style{}) || c.errStyle != (style{}) || c.size() != 0 {
		t.Errorf("dressed as a terminal: %+v", c)
	}
}

func TestTheFirstWriteErrorIsKept(t *testing.T) {
	var errs buffer
	c := &console{out: fullDisk{}, err: &errs, size: func() int { return 0 }}
	n, err := c.Write([]byte("help\n"))
	if n != 5 || err == nil || !strings.HasSuffix(err.Error(), syscall.ENOSPC.Error()) {
		t.Errorf("wrote %d, %v", n, err)
	}
	if c.written() != err {
		t.Errorf("kept %v, want %v", c.written(), err)
	}
}
