package expression

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
)

// disjunction = conjunction { "OR" conjunction }. It says whether all of it was one pair of brackets, as the other rules do.
func (p *parser) disjunction() (t test, bracketed bool) {
	t, bracketed = p.conjunction()
	for p.takeKeyword("OR") {
		p.operator()
		b, _ := p.conjunction()
		t, bracketed = or{t, b}, false
	}
	return t, bracketed
}

// conjunction = negation { "AND" negation }
func (p *parser) conjunction() (t test, bracketed bool) {
	t, bracketed = p.negation()
	for p.takeKeyword("AND") {
		p.operator()
		b, _ := p.negation()
		t, bracketed = and{t, b}, false
	}
	return t, bracketed
}

// negation = "NOT" negation | "(" disjunction ")" | function | comparison
func (p *parser) negation() (t test, bracketed bool) {
	switch {
	case p.takeKeyword("NOT"):
		p.operator()
		t, _ = p.negation()
		return not{t}, false
	case p.take("("):
		t, redundant := p.disjunction()
		p.must(")")
		if redundant {
			p.fail("The expression has redundant parentheses;")
		}
		return t, true
	case p.calls() && p.now.text != "size":
		return p.function(), false
	}
	return p.comparison(), false
}

// function = name "(" operand { "," operand } ")"
func (p *parser) function() test {
	t := call{function: p.next().text}
	p.operator()
	switch t.function {
	case "attribute_exists", "attribute_not_exists":
		t.args = p.arguments(t.function, 1)
		p.needsPath(t.function, t.args[0])
	case "attribute_type":
		t.args = p.arguments(t.function, 2)
		p.needsPath(t.function, t.args[0])
		p.typeName(t.args[1])
	case "begins_with":
		t.args = p.arguments(t.function, 2)
		p.distinct(t.function, t.args[0], t.args[1])
		p.checkType(t.args[0], t.function, textual)
		p.checkType(t.args[1], t.function, textual)
	case "contains":
		t.args = p.arguments(t.function, 2)
		p.distinct(t.function, t.args[0], t.args[1])
	default:
		p.misplaced(t.function)
	}
	return t
}

func (p *parser) needsPath(function string, o operand) {
	if _, ok := o.(Path); !ok {
		p.fail("Operator or function requires a document path; operator or function: %s", function)
	}
}

// typeName checks the second operand of attribute_type.
func (p *parser) typeName(o operand) {
	l, ok := o.(literal)
	if !ok || l.Type != attribute.String {
		p.fail("Incorrect operand type for operator or function; operator or function: attribute_type, operand type: %s", l.Type)
	}
	if !slices.Contains(attribute.Types, attribute.Type(l.Text)) {
		var names []string
		for _, t := range attribute.Types {
			names = append(names, string(t))
		}
		p.fail("Invalid attribute type name found; type: %s, valid types: {%s}", l.Text, strings.Join(names, ","))
	}
}

// comparison = operand ( comparator operand | "BETWEEN" operand "AND" operand | "IN" "(" operand { "," operand } ")" )
func (p *parser) comparison() test {
	a := p.operand()
	switch {
	case p.takeKeyword("BETWEEN"):
		return p.between(a)
	case p.takeKeyword("IN"):
		return p.in(a)
	case p.now.kind != symbol || !slices.Contains([]string{"=", "<>", "<", "<=", ">", ">="}, p.now.text):
		p.syntax()
	}
	operator := p.next().text
	p.operator()
	b := p.operand()
	p.distinct(operator, a, b)
	if operator != "=" && operator != "<>" {
		p.checkType(a, operator, attribute.Type.Ordered)
		p.checkType(b, operator, attribute.Type.Ordered)
	}
	return comparison{operator, a, b}
}

func (p *parser) between(of operand) test {
	p.operator()
	t := between{of: of, low: p.operand()}
	if !p.takeKeyword("AND") {
		p.syntax()
	}
	t.high = p.operand()
	p.distinct("BETWEEN", of, t.low, t.high)
	for _, o := range []operand{of, t.low, t.high} {
		p.checkType(o, "BETWEEN", attribute.Type.Ordered)
	}
	p.bounds(t)
	return t
}

// bounds checks what can be known of them without an item.
func (p *parser) bounds(t between) {
	low, ok := t.low.(literal)
	high, also := t.high.(literal)
	if !ok || !also {
		return
	}
	order, same := attribute.Compare(attribute.Value(low), attribute.Value(high))
	bounds := fmt.Sprintf("lower bound operand: AttributeValue: {%s:%s}, upper bound operand: AttributeValue: {%s:%s}",
		low.Type, attribute.Value(low).Plain(), high.Type, attribute.Value(high).Plain())
	switch {
	case !same:
		p.fail("The BETWEEN operator requires same data type for lower and upper bounds; %s", bounds)
	case order > 0:
		p.fail("The BETWEEN operator requires upper bound to be greater than or equal to lower bound; %s", bounds)
	}
}

// maxIn is how many operands IN takes.
const maxIn = 100

func (p *parser) in(of operand) test {
	p.operator()
	p.must("(")
	t := in{of: of, all: []operand{p.operand()}}
	for p.take(",") {
		t.all = append(t.all, p.operand())
	}
	p.must(")")
	if len(t.all) > maxIn {
		p.fail("The IN operator is provided with too many operands; number of operands: %d", len(t.all))
	}
	p.distinct("IN", of, t.all...)
	return t
}
