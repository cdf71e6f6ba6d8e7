package flowlog

// nearest is the field's name that a word is probably a slip of, or "": at most a third of its letters differ.
func nearest(word string) string {
	const longest = 40
	if len(word) > longest {
		return ""
	}
	best, least := "", len(word)/3+1
	for f := range numFields {
		if d := distance(word, fields[f].name); d < least {
			best, least = fields[f].name, d
		}
	}
	return best
}

// distance is Levenshtein's: the insertions, deletions and substitutions of bytes that turn a into b.
func distance(a, b string) int {
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
