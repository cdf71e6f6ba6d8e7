package expression

import (
	"slices"
	"strings"

	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
)

// Condition is a condition or filter. The zero Condition always holds.
type Condition struct {
	root  test
	paths []Path
}

// Holds says whether an item, which may be nil for one that does not exist, meets the condition.
func (c Condition) Holds(item attribute.Item) bool { return c.root == nil || c.root.holds(item) }

// Paths are the paths in it, as they are written.
func (c Condition) Paths() []Path { return c.paths }

// Condition reads a condition; kind is ConditionExpression or FilterExpression.
func (s *Scope) Condition(kind, text string) (Condition, error) {
	var c Condition
	p, err := s.parse(kind, text, func(p *parser) { c.root, _ = p.disjunction() })
	if err != nil {
		return Condition{}, err
	}
	c.paths = p.paths
	return c, nil
}

// test is a condition or a part of one.
type test interface {
	holds(attribute.Item) bool
}

type (
	and        struct{ a, b test }
	or         struct{ a, b test }
	not        struct{ a test }
	comparison struct {
		operator string
		a, b     operand
	}
	between struct{ of, low, high operand }
	in      struct {
		of  operand
		all []operand
	}
	call struct {
		function string
		args     []operand
	}
)

func (t and) holds(i attribute.Item) bool { return t.a.holds(i) && t.b.holds(i) }
func (t or) holds(i attribute.Item) bool  { return t.a.holds(i) || t.b.holds(i) }
func (t not) holds(i attribute.Item) bool { return !t.a.holds(i) }

// What does not exist is equal to nothing and has no order.
func (t comparison) holds(i attribute.Item) bool {
	a, hasA := t.a.value(i)
	b, hasB := t.b.value(i)
	equal := hasA && hasB && attribute.Equal(a, b)
	switch t.operator {
	case "=":
		return equal
	case "<>":
		return !equal
	}
	order, ok := attribute.Compare(a, b)
	if !ok || !hasA || !hasB {
		return false
	}
	switch t.operator {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

func (t between) holds(i attribute.Item) bool {
	return comparison{">=", t.of, t.low}.holds(i) && comparison{"<=", t.of, t.high}.holds(i)
}

func (t in) holds(i attribute.Item) bool {
	return slices.ContainsFunc(t.all, func(o operand) bool { return comparison{"=", t.of, o}.holds(i) })
}

func (t call) holds(i attribute.Item) bool {
	a, exists := t.args[0].value(i)
	switch t.function {
	case "attribute_exists":
		return exists
	case "attribute_not_exists":
		return !exists
	}
	b, ok := t.args[1].value(i)
	if !exists || !ok {
		return false
	}
	switch t.function {
	case "attribute_type":
		return string(a.Type) == b.Text
	case "begins_with":
		return a.Type == b.Type && textual(a.Type) && strings.HasPrefix(a.Text, b.Text)
	}
	return contains(a, b)
}

// textual are the types of text and bytes.
func textual(t attribute.Type) bool { return t == attribute.String || t == attribute.Binary }

// contains: a part of a string or binary, an element of a set or list.
func contains(a, b attribute.Value) bool {
	if textual(a.Type) {
		return a.Type == b.Type && strings.Contains(a.Text, b.Text)
	}
	return a.Has(b)
}
