package main

import (
	"testing"
	"time"
)

func TestColumns(t *testing.T) {
	for text, want := range map[string]int{"": 0, "abc": 3, "✓ ok": 4, "日本": 4, "e\u0301": 1, "a\u200db": 2} {
		if got := columns(text); got != want {
			t.Errorf("columns(%q) = %d, want %d", text, got, want)
		}
	}
}

func TestShorten(t *testing.T) {
	for _, row := range []struct {
		text string
		n    int
		want string
	}{
		{"abcdef", 6, "abcdef"}, {"abcdef", 5, "abcd…"}, {"abcdef", 1, "…"}, {"abcdef", 0, "abcdef"},
		{"日本語", 4, "日…"}, {"日本語", 5, "日本…"},
	} {
		if got := shorten(row.text, row.n); got != row.want {
			t.Errorf("shorten(%q, %d) = %q, want %q", row.text, row.n, got, row.want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"a\tb\nc": "a b\nc", "\x1b[31mred": "[31mred", "\u009b2J": "2J",
		"bad \xff byte": "bad \ufffd byte", "right\u202eto left": "rightto left",
	} {
		if got := printable(text); got != want {
			t.Errorf("printable(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.0 ms", 420 * time.Microsecond: "0.4 ms", 9949 * time.Microsecond: "9.9 ms", 9960 * time.Microsecond: "10 ms",
		999 * time.Millisecond: "999 ms", 999600 * time.Microsecond: "1.00 s",
		5020 * time.Millisecond: "5.02 s", 123 * time.Second: "2m03s",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestNear(t *testing.T) {
	names := []string{"run", "validate", "version", "down", "doctor"}
	for word, want := range map[string]string{
		"rn": "run", "rnu": "run", "Run": "run", "vlidate": "validate", "val": "validate",
		"v": "", "do": "", "dwon": "down", "zebra": "", "": "",
	} {
		if got := near(word, names); got != want {
			t.Errorf("near(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	for _, row := range []struct{ got, want string }{
		{count(0, "check"), "0 checks"}, {count(1, "check"), "1 check"}, {count(2, "VPC"), "2 VPCs"},
		{count(2, "file was", "files were"), "2 files were"},
	} {
		if row.got != row.want {
			t.Errorf("%q, want %q", row.got, row.want)
		}
	}
}
