package attribute

import (
	"maps"
	"slices"
	"strings"
)

// Type is the type of a value, as the DynamoDB API writes it.
type Type string

// The types.
const (
	String    Type = "S"
	Numeric   Type = "N"
	Binary    Type = "B"
	Bool      Type = "BOOL"
	Null      Type = "NULL"
	StringSet Type = "SS"
	NumberSet Type = "NS"
	BinarySet Type = "BS"
	List      Type = "L"
	Map       Type = "M"
)

// Types are all types there are.
var Types = []Type{String, Numeric, Binary, Bool, Null, StringSet, NumberSet, BinarySet, List, Map}

// Value is an attribute's value. It is not changed once it is made, as values are shared.
type Value struct {
	Type   Type
	Text   string  // of String; of Binary its bytes
	Number Number  // of Numeric
	Bool   bool    // of Bool
	List   []Value // of List; of a set its elements, no two of them equal
	Map    Item    // of Map
}

// Item is the attributes of an item by name.
type Item map[string]Value

// elements are the types of sets by their elements'.
var elements = map[Type]Type{StringSet: String, NumberSet: Numeric, BinarySet: Binary}

// IsSet says that the value is a set.
func (v Value) IsSet() bool { return elements[v.Type] != "" }

// Ordered says that values of the type have an order: strings, numbers and binaries, which keys are made of.
func (t Type) Ordered() bool { return t == String || t == Numeric || t == Binary }

// Equal says that two values are the same, sets whatever their order.
func Equal(a, b Value) bool {
	switch {
	case a.Type != b.Type:
		return false
	case a.IsSet():
		has := b.Elements()
		return len(a.List) == len(b.List) && !slices.ContainsFunc(a.List, func(v Value) bool { return !has(v) })
	case a.Type == List:
		return slices.EqualFunc(a.List, b.List, Equal)
	case a.Type == Map:
		return maps.EqualFunc(a.Map, b.Map, Equal)
	}
	return a.Text == b.Text && a.Number == b.Number && a.Bool == b.Bool
}

// Has says that a list or set has an element.
func (v Value) Has(element Value) bool {
	return slices.ContainsFunc(v.List, func(e Value) bool { return Equal(e, element) })
}

// Elements finds out at once whether a set has an element, each time it is asked: a set may have a hundred thousand.
func (v Value) Elements() (has func(element Value) bool) {
	known := make(map[scalarKey]bool, len(v.List))
	for _, e := range v.List {
		known[e.key()] = true
	}
	return func(element Value) bool { return known[element.key()] }
}

// scalarKey is what two equal elements of sets have in common, and no others.
type scalarKey struct {
	of     Type
	text   string
	number Number
}

func (v Value) key() scalarKey { return scalarKey{v.Type, v.Text, v.Number} }

// Compare orders two values of one ordered type: strings by their UTF-8 bytes, binaries by theirs, numbers as numbers. false: they have no
// order.
func Compare(a, b Value) (int, bool) {
	switch {
	case a.Type != b.Type || !a.Type.Ordered():
		return 0, false
	case a.Type == Numeric:
		return a.Number.Compare(b.Number), true
	}
	return strings.Compare(a.Text, b.Text), true
}

// Size is what a value takes of an item's 400 KB, in bytes (developer guide, DynamoDB item sizes and formats).
func (v Value) Size() int {
	switch v.Type {
	case String, Binary:
		return len(v.Text)
	case Numeric:
		return v.Number.size()
	case Bool, Null:
		return 1
	case Map:
		return 3 + v.Map.Size() + len(v.Map)
	}
	n := 0
	for _, e := range v.List {
		n += e.Size()
	}
	if v.Type == List {
		n += 3 + len(v.List)
	}
	return n
}

// Size is the item's, names included, in bytes.
func (i Item) Size() int {
	n := 0
	for name, v := range i {
		n += len(name) + v.Size()
	}
	return n
}
