package expression

import (
	"slices"

	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
)

// What AWS says of updates that do not fit the item.
const (
	missing    = attribute.Invalid("The provided expression refers to an attribute that does not exist in the item")
	wrongType  = attribute.Invalid("An operand in the update expression has an incorrect data type")
	wrongPlace = attribute.Invalid("The document path provided in the update expression is invalid for update")
)

// term is what SET puts in place: worked out from the item as it was.
type term interface {
	of(attribute.Item) (attribute.Value, error)
}

type (
	sum struct {
		a, b  term
		minus bool
	}
	ifNotExists struct {
		path Path
		or   term
	}
	listAppend struct{ a, b term }
)

func (l literal) of(attribute.Item) (attribute.Value, error) { return attribute.Value(l), nil }

func (p Path) of(item attribute.Item) (attribute.Value, error) {
	v, ok := p.value(item)
	if !ok {
		return v, missing
	}
	return v, nil
}

func (t ifNotExists) of(item attribute.Item) (attribute.Value, error) {
	if v, ok := t.path.value(item); ok {
		return v, nil
	}
	return t.or.of(item)
}

// both are two terms, which must be of one type.
func both(item attribute.Item, a, b term, t attribute.Type) (x, y attribute.Value, err error) {
	if x, err = a.of(item); err != nil {
		return x, y, err
	}
	if y, err = b.of(item); err != nil {
		return x, y, err
	}
	if x.Type != t || y.Type != t {
		return x, y, wrongType
	}
	return x, y, nil
}

func (t sum) of(item attribute.Item) (attribute.Value, error) {
	a, b, err := both(item, t.a, t.b, attribute.Numeric)
	if err != nil {
		return a, err
	}
	add := attribute.Number.Add
	if t.minus {
		add = attribute.Number.Sub
	}
	n, err := add(a.Number, b.Number)
	return attribute.Value{Type: attribute.Numeric, Number: n}, err
}

func (t listAppend) of(item attribute.Item) (attribute.Value, error) {
	a, b, err := both(item, t.a, t.b, attribute.List)
	return attribute.Value{Type: attribute.List, List: slices.Concat(a.List, b.List)}, err
}
