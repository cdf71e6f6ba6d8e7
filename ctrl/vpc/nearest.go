package vpc

import (
	"fmt"
	"strings"
)

// declareOr is the hint for a reference to what the file does not declare: the name that was probably meant, else the names there
// are, else how to declare it.
func declareOr(section, name string, known []string) string {
	if near := nearest(name, known); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	declare := fmt.Sprintf("declare it in `%s`", section)
	if len(known) == 0 || len(known) > 8 {
		return declare
	}
	return declare + " or use one of " + strings.Join(known, ", ")
}

func namesOf[T any](all []*T, nameOf func(*T) string) []string {
	names := make([]string, len(all))
	for i, x := range all {
		names[i] = nameOf(x)
	}
	return names
}

// nearest is the known name that name is probably a slip of: at most a third of its letters differ. It is empty if there is none, or
// if looking would take long in a file that is not made for people.
func nearest(name string, known []string) string {
	if len(name) > 64 || len(known) > 200 {
		return ""
	}
	best, distance := "", len(name)/3+1
	for _, k := range known {
		if len(k) >= len(name)+distance {
			continue
		}
		if d := editDistance(name, k); d < distance {
			best, distance = k, d
		}
	}
	return best
}

// editDistance is Levenshtein's: the insertions, deletions and substitutions of bytes that turn a into b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
