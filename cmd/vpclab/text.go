package main

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// columns is how many columns of a terminal s takes: none for combining characters, two for wide ones.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	if r < 0x300 {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// pad fills s with spaces up to n columns.
func pad(s string, n int) string { return s + strings.Repeat(" ", max(0, n-columns(s))) }

// shorten cuts s to n columns, the last being an ellipsis; n of 0 or less leaves s as it is.
func shorten(s string, n int) string {
	if n <= 0 || columns(s) <= n {
		return s
	}
	used := 0
	for i, r := range s {
		if used+runeColumns(r) > n-1 {
			return s[:i] + "…"
		}
		used += runeColumns(r)
	}
	return s
}

// printable makes text from a file or a program harmless to a terminal: control characters other than a newline become spaces or
// vanish, so that no escape sequence gets through.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case unicode.IsControl(r), r == '\u202e', r == '\u2066', r == '\u2067', r == '\u2068', r == '\u2069':
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// line is text made harmless and put on one line.
func line(s string) string { return strings.Join(strings.Fields(printable(s)), " ") }

// count reads "1 check", "3 checks"; an irregular plural is given as the third argument.
func count(n int, noun string, plural ...string) string {
	if n == 1 {
		return "1 " + noun
	}
	if len(plural) > 0 {
		return fmt.Sprintf("%d %s", n, plural[0])
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// span reads "0.4 ms", "83 ms", "1.25 s", "2m03s".
func span(d time.Duration) string {
	switch {
	case d < 9950*time.Microsecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < 999500*time.Microsecond:
		return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond))
	case d < time.Minute:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
}

// near finds the candidate that word was most likely meant to be: at most a third of its letters differ, or it is the beginning of
// just one candidate. It is "" when none is close.
func near(word string, candidates []string) string {
	best, least := "", max(1, utf8.RuneCountInString(word)/3)+1
	var longer []string
	for _, c := range candidates {
		if d := distance(word, c); d < least {
			best, least = c, d
		}
		if word != "" && strings.HasPrefix(c, word) {
			longer = append(longer, c)
		}
	}
	if best == "" && len(longer) == 1 {
		return longer[0]
	}
	return best
}

// distance counts the runes to insert, delete, replace, or swap with their neighbour to get from a to b, letter case aside.
func distance(a, b string) int {
	from, to := []rune(strings.ToLower(a)), []rune(strings.ToLower(b))
	rows := make([][]int, len(from)+1)
	for i := range rows {
		rows[i] = make([]int, len(to)+1)
		rows[i][0] = i
	}
	for j := range to {
		rows[0][j+1] = j + 1
	}
	for i, r := range from {
		for j, s := range to {
			replace := rows[i][j]
			if r != s {
				replace++
			}
			rows[i+1][j+1] = min(replace, rows[i][j+1]+1, rows[i+1][j]+1)
			if i > 0 && j > 0 && r == to[j-1] && from[i-1] == s {
				rows[i+1][j+1] = min(rows[i+1][j+1], rows[i-1][j-1]+1)
			}
		}
	}
	return rows[len(from)][len(to)]
}

// didYouMean is the end of an error about word: "; did you mean x?", or "" without a near match.
func didYouMean(word string, candidates []string) string {
	if m := near(word, candidates); m != "" {
		return fmt.Sprintf("; did you mean %s?", m)
	}
	return ""
}
