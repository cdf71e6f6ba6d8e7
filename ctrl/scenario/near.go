package scenario

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// maxCandidates and maxNearLength bound the work of finding a near match in files of any size.
const (
	maxCandidates = 1000
	maxNearLength = 40
)

// near returns the candidate that a person most likely meant by word, or "" when none is close.
func near(word string, candidates []string) string {
	if word == "" || len(word) > maxNearLength {
		return ""
	}
	if len(candidates) > maxCandidates {
		candidates = candidates[:maxCandidates]
	}
	best, least := "", (utf8.RuneCountInString(word)+2)/3+1
	for _, c := range candidates {
		if len(c) > maxNearLength {
			continue
		}
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < least {
			best, least = c, d
		}
	}
	if best != "" || len(word) < 3 {
		return best
	}
	for _, c := range candidates {
		if strings.HasPrefix(c, word) || len(c) >= 3 && strings.HasPrefix(word, c) {
			return c
		}
	}
	return ""
}

// distance counts the insertions, deletions, replacements and swaps of neighbours that turn a into b (optimal string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}

// didYouMean is the hint for a word that is none of the candidates: the near match, or else the choices, unless they are many.
func didYouMean(word string, candidates []string, otherwise string) string {
	if c := near(word, candidates); c != "" {
		return "did you mean " + quote(c) + "?"
	}
	if otherwise != "" && len(candidates) > 0 {
		return otherwise + " " + choices(candidates)
	}
	return ""
}

// choices lists words for people: `a`, `b` or `c`.
func choices(words []string) string {
	const most = 16
	quoted := make([]string, 0, len(words))
	for _, w := range words {
		quoted = append(quoted, quote(w))
	}
	if len(quoted) > most {
		quoted = append(slices.Clone(quoted[:most]), "…")
		return strings.Join(quoted, ", ")
	}
	if len(quoted) == 1 {
		return quoted[0]
	}
	return strings.Join(quoted[:len(quoted)-1], ", ") + " or " + quoted[len(quoted)-1]
}
