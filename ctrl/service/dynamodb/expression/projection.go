package expression

import (
	"slices"

	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
)

// Projection is which attributes of an item, and which parts of them, are wanted.
type Projection []Path

// Projection reads a projection.
func (s *Scope) Projection(text string) (Projection, error) {
	p, err := s.parse(ProjectionExpression, text, func(p *parser) {
		p.path()
		for p.take(",") {
			p.path()
		}
		if err := disjoint(p.paths); err != nil {
			p.fail("%v", err)
		}
	})
	if err != nil {
		return nil, err
	}
	return p.paths, nil
}

// Of is the wanted part of an item. Elements of lists move together; what the item does not have is left out.
func (p Projection) Of(item attribute.Item) attribute.Item {
	paths := slices.SortedFunc(slices.Values(p), comparePaths)
	v, _ := pick(attribute.Value{Type: attribute.Map, Map: item}, paths)
	return v.Map
}

// pick is the part of a value to which sorted paths lead; false: to none.
func pick(v attribute.Value, paths []Path) (attribute.Value, bool) {
	if len(paths[0]) == 0 {
		return v, true
	}
	part := attribute.Value{Type: v.Type, Map: attribute.Item{}}
	for len(paths) > 0 {
		step, n := paths[0][0], 0
		var inner []Path
		for n < len(paths) && paths[n][0] == step {
			inner = append(inner, paths[n][1:])
			n++
		}
		paths = paths[n:]
		child, ok := step.of(v)
		if !ok {
			continue
		}
		if child, ok = pick(child, inner); !ok {
			continue
		}
		if step.List {
			part.List = append(part.List, child)
		} else {
			part.Map[step.Name] = child
		}
	}
	return part, len(part.List)+len(part.Map) > 0
}
