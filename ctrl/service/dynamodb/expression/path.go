package expression

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
)

// Path leads to an attribute, or into one: info.rating[0]. The first step is a name.
type Path []Step

// Step is a name in a map or a place in a list.
type Step struct {
	Name  string
	Index int
	List  bool // Index counts
}

// String is the path as AWS's messages write it: [info, rating, [0]].
func (p Path) String() string {
	steps := make([]string, len(p))
	for i, s := range p {
		steps[i] = s.Name
		if s.List {
			steps[i] = fmt.Sprintf("[%d]", s.Index)
		}
	}
	return "[" + strings.Join(steps, ", ") + "]"
}

// Root is the name of the item's attribute.
func (p Path) Root() string { return p[0].Name }

func compareSteps(a, b Step) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.Index, b.Index))
}

func comparePaths(a, b Path) int { return slices.CompareFunc(a, b, compareSteps) }

// value is what the path leads to in an item.
func (p Path) value(item attribute.Item) (attribute.Value, bool) {
	v := attribute.Value{Type: attribute.Map, Map: item}
	for _, s := range p {
		var ok bool
		if v, ok = s.of(v); !ok {
			return v, false
		}
	}
	return v, true
}

// of is the step's part of a value.
func (s Step) of(v attribute.Value) (part attribute.Value, ok bool) {
	switch {
	case s.List && v.Type == attribute.List && s.Index < len(v.List):
		return v.List[s.Index], true
	case !s.List && v.Type == attribute.Map:
		part, ok = v.Map[s.Name]
	}
	return part, ok
}

// disjoint is an error if two of the paths lead into one another, or cannot both be right.
func disjoint(paths []Path) error {
	for i, a := range paths {
		for _, b := range paths[:i] {
			if at := differ(a, b); at == min(len(a), len(b)) {
				return attribute.Invalidf("Two document paths overlap with each other; must remove or rewrite one of these paths; path one: %v, path two: %v", b, a)
			} else if a[at].List != b[at].List {
				return attribute.Invalidf("Two document paths conflict with each other; must remove or rewrite one of these paths; path one: %v, path two: %v", b, a)
			}
		}
	}
	return nil
}

// differ is the first step at which two paths are not the same, or the length of the shorter one.
func differ(a, b Path) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}
