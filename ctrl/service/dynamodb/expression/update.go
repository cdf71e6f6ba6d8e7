package expression

import (
	"slices"

	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
)

// Update is an update of an item. The zero Update changes nothing.
type Update struct {
	set, add, remove, drop []action // drop is what DELETE does
	targets, paths         []Path
}

// action changes what one path leads to.
type action struct {
	path Path
	term term // nil of a removal
}

// Targets are the paths that the update changes.
func (u Update) Targets() []Path { return u.targets }

// Paths are all paths in it, those that are only read as well.
func (u Update) Paths() []Path { return u.paths }

// Update reads an update.
func (s *Scope) Update(text string) (Update, error) {
	var u Update
	p, err := s.parse(UpdateExpression, text, func(p *parser) {
		seen := map[string]bool{}
		for p.now.kind != end || len(seen) == 0 {
			p.clause(&u, seen)
		}
		for _, a := range slices.Concat(u.set, u.remove, u.add, u.drop) {
			u.targets = append(u.targets, a.path)
		}
		if err := disjoint(u.targets); err != nil {
			p.fail("%v", err)
		}
	})
	if err != nil {
		return Update{}, err
	}
	u.paths = p.paths
	return u, nil
}

// clause = keyword action { "," action }
func (p *parser) clause(u *Update, seen map[string]bool) {
	actions, read, keyword := &u.set, p.setting, "SET"
	switch {
	case p.now.keyword("SET"):
	case p.now.keyword("REMOVE"):
		actions, read, keyword = &u.remove, p.removal, "REMOVE"
	case p.now.keyword("ADD"):
		actions, read, keyword = &u.add, p.addition, "ADD"
	case p.now.keyword("DELETE"):
		actions, read, keyword = &u.drop, p.deletion, "DELETE"
	default:
		p.syntax()
	}
	if seen[keyword] {
		p.fail(`The "%s" section can only be used once in an update expression;`, keyword)
	}
	seen[keyword] = true
	p.next()
	*actions = append(*actions, read())
	for p.take(",") {
		*actions = append(*actions, read())
	}
}

// setting = path "=" term [ ( "+" | "-" ) term ]
func (p *parser) setting() action {
	a := action{path: p.path()}
	p.must("=")
	p.operator()
	a.term = p.term()
	if p.now.is("+") || p.now.is("-") {
		operator := p.next().text
		p.operator()
		s := sum{a: a.term, b: p.term(), minus: operator == "-"}
		p.checkTerm(s.a, operator, isNumber)
		p.checkTerm(s.b, operator, isNumber)
		a.term = s
	}
	return a
}

func (p *parser) removal() action {
	p.operator()
	return action{path: p.path()}
}

func isNumber(t attribute.Type) bool { return t == attribute.Numeric }
func isList(t attribute.Type) bool   { return t == attribute.List }
func isSet(t attribute.Type) bool    { return attribute.Value{Type: t}.IsSet() }

func (p *parser) addition() action {
	return p.gathering("ADD", func(t attribute.Type) bool { return isNumber(t) || isSet(t) })
}

func (p *parser) deletion() action { return p.gathering("DELETE", isSet) }

// longNames are the types' names in the messages about ADD and DELETE.
var longNames = map[attribute.Type]string{attribute.String: "STRING", attribute.Numeric: "NUMBER", attribute.Binary: "BINARY",
	attribute.Bool: "BOOLEAN", attribute.Null: "NULL", attribute.List: "LIST", attribute.Map: "MAP"}

// gathering = path value
func (p *parser) gathering(operator string, right func(attribute.Type) bool) action {
	p.operator()
	a := action{path: p.path()}
	l := p.literal()
	if !right(l.Type) {
		p.fail("Incorrect operand type for operator or function; operator: %s, operand type: %s, typeSet: ALLOWED_FOR_%s_OPERAND", operator, longNames[l.Type], operator)
	}
	a.term = l
	return a
}

// term = path | value | "if_not_exists" "(" path "," term ")" | "list_append" "(" term "," term ")"
func (p *parser) term() term {
	switch {
	case p.now.kind == value:
		return p.literal()
	case !p.calls():
		return p.path()
	}
	function := p.next().text
	if function != "if_not_exists" && function != "list_append" {
		p.misplaced(function)
	}
	p.operator()
	p.must("(")
	args := []term{p.term()}
	for p.take(",") {
		args = append(args, p.term())
	}
	p.must(")")
	if len(args) != 2 {
		p.fail("Incorrect number of operands for operator or function; operator or function: %s, number of operands: %d", function, len(args))
	}
	if function == "list_append" {
		p.checkTerm(args[0], function, isList)
		p.checkTerm(args[1], function, isList)
		return listAppend{args[0], args[1]}
	}
	path, ok := args[0].(Path)
	if !ok {
		p.fail("Operator or function requires a document path; operator or function: %s", function)
	}
	return ifNotExists{path, args[1]}
}

func (p *parser) checkTerm(t term, operator string, right func(attribute.Type) bool) {
	if l, ok := t.(literal); ok {
		p.checkType(l, operator, right)
	}
}
