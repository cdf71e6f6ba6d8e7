package scenario

import (
	"maps"
	"slices"
)

// mark copies a tree as a part of the nth step's patch.
func mark(n *node, step int) *node {
	out := *n
	out.step = step
	out.items, out.entries = slices.Clone(n.items), slices.Clone(n.entries)
	for i, item := range out.items {
		out.items[i] = mark(item, step)
	}
	for i := range out.entries {
		out.entries[i].step = step
		out.entries[i].value = mark(out.entries[i].value, step)
	}
	return &out
}

// merge applies a JSON merge patch (RFC 7396): null removes, mappings merge, all else replaces. The result shares what the patch does
// not touch; what it does touch has the patch's position. missing is told of every null whose key the target does not have.
func merge(target, patch *node, missing func(entry, *node)) *node {
	if patch.kind != mapping {
		return patch
	}
	out := &node{kind: mapping, place: patch.place, step: patch.step}
	if target != nil && target.kind == mapping {
		out.entries, out.index = slices.Clone(target.entries), maps.Clone(target.index)
	}
	removed := map[string]bool{}
	for _, e := range patch.entries {
		old, exists := out.find(e.key)
		if e.value.null() {
			if !exists {
				missing(e, target)
			}
			removed[old.key] = removed[old.key] || exists
			continue
		}
		if !exists {
			e.value = merge(nil, e.value, missing)
			out.add(e)
			continue
		}
		e.value = merge(old.value, e.value, missing)
		at := out.index[canonical(old.key)]
		e.key = old.key
		out.entries[at] = e
	}
	if len(removed) > 0 {
		out.keep(func(e entry) bool { return !removed[e.key] })
	}
	return out
}

// keep drops the entries that a function does not want.
func (n *node) keep(want func(entry) bool) {
	entries := n.entries
	n.entries, n.index = nil, nil
	for _, e := range entries {
		if want(e) {
			n.add(e)
		}
	}
}
