package expression

import (
	"maps"
	"slices"

	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
)

// Apply is the item after the update. What the update reads is the item as it was, in whatever order it is written.
func (u Update) Apply(item attribute.Item) (attribute.Item, error) {
	now := attribute.Value{Type: attribute.Map, Map: item}
	var err error
	for _, a := range u.ordered() {
		v := attribute.Value{}
		if v, err = a.term.of(item); err != nil {
			return nil, err
		}
		if now, err = assign(now, a.path, v); err != nil {
			return nil, err
		}
	}
	for _, gathering := range []struct {
		actions []action
		join    func(old, v attribute.Value) (attribute.Value, error)
	}{{u.add, plus}, {u.drop, without}} {
		for _, a := range gathering.actions {
			if now, err = a.gather(now, item, gathering.join); err != nil {
				return nil, err
			}
		}
	}
	for _, a := range u.removals() {
		if now, err = remove(now, a.path); err != nil {
			return nil, err
		}
	}
	return now.Map, nil
}

// ordered are the settings so that those beyond the end of a list are appended by their index.
func (u Update) ordered() []action {
	return slices.SortedStableFunc(slices.Values(u.set), func(a, b action) int { return comparePaths(a.path, b.path) })
}

// removals begin at the end of a list, as those before move what follows.
func (u Update) removals() []action {
	return slices.SortedStableFunc(slices.Values(u.remove), func(a, b action) int { return comparePaths(b.path, a.path) })
}

// gather is what ADD and DELETE do: join what is there with a value. What is there is the zero Value if nothing is.
func (a action) gather(now attribute.Value, item attribute.Item, join func(old, v attribute.Value) (attribute.Value, error)) (attribute.Value, error) {
	v, err := a.term.of(item)
	if err != nil {
		return now, err
	}
	old, exists := a.path.value(item)
	joined, err := join(old, v)
	switch {
	case err != nil:
		return now, err
	case joined.Type != "":
		return assign(now, a.path, joined)
	case exists:
		return remove(now, a.path)
	}
	return now, nil
}

// plus adds a number to a number, or elements to a set.
func plus(old, v attribute.Value) (attribute.Value, error) {
	switch {
	case old.Type == "":
		return v, nil
	case old.Type != v.Type:
		return old, wrongType
	case old.Type == attribute.Numeric:
		n, err := old.Number.Add(v.Number)
		return attribute.Value{Type: attribute.Numeric, Number: n}, err
	}
	added := slices.DeleteFunc(slices.Clone(v.List), old.Elements())
	return attribute.Value{Type: old.Type, List: slices.Concat(old.List, added)}, nil
}

// without takes elements out of a set. A set without elements is none: the zero Value.
func without(old, v attribute.Value) (attribute.Value, error) {
	switch {
	case old.Type == "":
		return old, nil
	case old.Type != v.Type:
		return old, wrongType
	}
	left := slices.DeleteFunc(slices.Clone(old.List), v.Elements())
	if len(left) == 0 {
		return attribute.Value{}, nil
	}
	return attribute.Value{Type: old.Type, List: left}, nil
}

// assign is a value with another one in the place to which a path leads.
func assign(in attribute.Value, path Path, v attribute.Value) (attribute.Value, error) {
	if len(path) == 0 {
		return v, nil
	}
	step := path[0]
	child, exists := step.of(in)
	if !step.fits(in) || !exists && len(path) > 1 {
		return in, wrongPlace
	}
	child, err := assign(child, path[1:], v)
	if err != nil {
		return in, err
	}
	switch {
	case !step.List:
		in.Map = maps.Clone(in.Map)
		if in.Map == nil {
			in.Map = attribute.Item{}
		}
		in.Map[step.Name] = child
	case exists:
		in.List = slices.Clone(in.List)
		in.List[step.Index] = child
	default:
		in.List = append(slices.Clip(in.List), child)
	}
	return in, nil
}

// fits says that the value is a list for an index, or a map for a name.
func (s Step) fits(v attribute.Value) bool {
	return s.List && v.Type == attribute.List || !s.List && v.Type == attribute.Map
}

// remove is a value without the place to which a path leads. A place that is empty already stays so.
func remove(in attribute.Value, path Path) (attribute.Value, error) {
	step := path[0]
	child, exists := step.of(in)
	switch {
	case !step.fits(in), !exists && len(path) > 1:
		return in, wrongPlace
	case !exists:
		return in, nil
	case len(path) > 1:
		child, err := remove(child, path[1:])
		if err != nil {
			return in, err
		}
		return assign(in, path[:1], child)
	}
	if step.List {
		in.List = slices.Delete(slices.Clone(in.List), step.Index, step.Index+1)
		return in, nil
	}
	in.Map = maps.Clone(in.Map)
	delete(in.Map, step.Name)
	return in, nil
}
