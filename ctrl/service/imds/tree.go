package imds

import (
	"slices"
	"strings"
)

// tree is an instance's metadata by path below the version. What is empty is not there.
type tree map[string]string

// find is the text at a path, or the list of what is below it: a line each, with "/" after what has more below. A slash at the end of a
// path is for lists, which do without, too.
func (t tree) find(path string) (string, bool) {
	if text, ok := t[path]; ok {
		return text, true
	}
	prefix := strings.TrimSuffix(path, "/") + "/"
	if path == "" {
		prefix = ""
	}
	var names []string
	for key := range t {
		if rest, ok := strings.CutPrefix(key, prefix); ok {
			names = append(names, entry(rest, prefix == ""))
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), "\n"), len(names) > 0
}

// entry is how a list names the way to what is below it. The topmost list has no slashes.
func entry(rest string, topmost bool) string {
	name, _, deeper := strings.Cut(rest, "/")
	if deeper && !topmost {
		return name + "/"
	}
	return name
}

func (t tree) set(path, text string) {
	if text != "" {
		t[path] = text
	}
}
