package policy

import "strings"

// nearest is the name that differs in at most two letters, or in nothing but case.
func nearest(name string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		d := 0
		if !strings.EqualFold(k, name) {
			d = edits(name, k, distance)
		}
		if d < distance {
			best, distance = k, d
		}
	}
	return best
}

// edits is how many bytes must be put in, left out or replaced to make b of a (Levenshtein); enough if it is at least that.
func edits(a, b string, enough int) int {
	if len(a)-len(b) >= enough || len(b)-len(a) >= enough {
		return enough
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			above := row[j+1]
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(above+1, row[j]+1, before+cost)
			before = above
		}
	}
	return row[len(b)]
}
