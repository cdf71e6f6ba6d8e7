package policy

import (
	"fmt"
	"slices"
	"strings"
)

// resources are patterns of ARNs of which one must match, or none if not.
type resources struct {
	not      bool
	patterns []pattern
}

const resourceHint = `it is an ARN of six parts, such as "arn:aws:s3:::logs/*", or "*"`

func parseResources(n *node, not, variables bool) (r resources, err error) {
	r.not = not
	items, err := n.strings("Resource")
	if err != nil {
		return r, err
	}
	for _, item := range items {
		p, err := compilePattern(item, variables, true)
		if err != nil {
			return r, err
		}
		p.glyphs = inSegments(p.glyphs, true)
		if err := checkResource(item, p); err != nil {
			return r, err
		}
		r.patterns = append(r.patterns, p)
	}
	return r, nil
}

func checkResource(n *node, p pattern) error {
	// A * that reaches over colons may stand for parts that are not written.
	whole := colons(p.glyphs) >= arnColons || slices.Contains(p.glyphs, glyph{kind: many})
	switch {
	case n.text == "*":
	case !strings.HasPrefix(n.text, "arn:"), !whole:
		return n.fault(fmt.Sprintf("%q is no resource", n.text), resourceHint)
	case len(p.variables) > 0 && colons(p.glyphs[:p.variables[0].at]) < arnColons:
		return n.fault(fmt.Sprintf("%q has a variable too early", n.text), "a variable may stand behind the fifth colon only")
	}
	return nil
}

// match says that a resource is among them. A pattern whose variable has no value matches nothing.
func (r *resources) match(resource string, k keys) bool {
	for i := range r.patterns {
		if glyphs, ok := r.patterns[i].resolve(k); ok && match(glyphs, resource) {
			return !r.not
		}
	}
	return r.not
}
