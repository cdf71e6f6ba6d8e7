package expression

import (
	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
)

// operand is what a condition compares: a path, a value, or the size of one.
type operand interface {
	// value is false if the item has no such thing.
	value(item attribute.Item) (attribute.Value, bool)
}

// literal is a value out of ExpressionAttributeValues.
type literal attribute.Value

func (l literal) value(attribute.Item) (attribute.Value, bool) { return attribute.Value(l), true }

// sizeOf is size(…).
type sizeOf struct{ of operand }

func (s sizeOf) value(item attribute.Item) (attribute.Value, bool) {
	v, ok := s.of.value(item)
	if !ok || !sized(v.Type) {
		return attribute.Value{}, false
	}
	size := len(v.Text) + len(v.List) + len(v.Map)
	return attribute.Value{Type: attribute.Numeric, Number: attribute.Integer(size)}, true
}

func sized(t attribute.Type) bool {
	return t != attribute.Numeric && t != attribute.Bool && t != attribute.Null
}

// operand = path | value | "size" "(" operand ")"
func (p *parser) operand() operand {
	switch {
	case p.now.kind == value:
		return p.literal()
	case !p.calls():
		return p.path()
	}
	function := p.next().text
	if function != "size" {
		p.misplaced(function)
	}
	p.operator()
	args := p.arguments(function, 1)
	p.checkType(args[0], function, sized)
	return sizeOf{args[0]}
}

// misplaced says of a function that it is not one, or not one for this place.
func (p *parser) misplaced(function string) {
	switch function {
	case "size", "attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains", "if_not_exists", "list_append":
		p.fail("The function is not allowed to be used this way in an expression; function: %s", function)
	}
	p.fail("Invalid function name; function: %s", function)
}

// arguments = "(" operand { "," operand } ")"
func (p *parser) arguments(function string, want int) []operand {
	p.must("(")
	args := []operand{p.operand()}
	for p.take(",") {
		args = append(args, p.operand())
	}
	p.must(")")
	if len(args) != want {
		p.fail("Incorrect number of operands for operator or function; operator or function: %s, number of operands: %d", function, len(args))
	}
	return args
}

// checkType refuses a value that can never be right. What a path leads to is known with the item.
func (p *parser) checkType(o operand, operator string, right func(attribute.Type) bool) {
	if l, ok := o.(literal); ok && !right(l.Type) {
		p.fail("Incorrect operand type for operator or function; operator or function: %s, operand type: %s", operator, l.Type)
	}
}

// distinct refuses to compare an attribute with itself.
func (p *parser) distinct(operator string, first operand, rest ...operand) {
	path, ok := first.(Path)
	for _, o := range rest {
		if other, also := o.(Path); ok && also && comparePaths(path, other) == 0 {
			p.fail("The first operand must be distinct from the remaining operands for this operator or function; operator: %s, first operand: %v", operator, path)
		}
	}
}
