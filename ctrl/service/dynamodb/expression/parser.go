package expression

import (
	"strconv"

	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
)

// AWS's limits (developer guide, Service, account, and table quotas).
const (
	maxLength    = 4096 // bytes of an expression
	maxOperators = 300
)

// parser reads one expression. The first mistake ends it: parse recovers what failed.
type parser struct {
	scope     *Scope
	text      string
	last, now token
	operators int
	paths     []Path // in the order in which they are written
}

// stop is thrown by fail and caught by parse, so that the grammar's functions read as the grammar does.
type stop struct{ why attribute.Invalid }

// parse reads an expression, of which kind is the parameter's name, by a rule that must take all of it.
func (s *Scope) parse(kind, text string, rule func(*parser)) (p *parser, err error) {
	s.parsed = true
	if text == "" {
		return nil, attribute.Invalidf("Invalid %s: The expression can not be empty;", kind)
	}
	if len(text) > maxLength {
		return nil, attribute.Invalidf("Invalid %s: Expression size has exceeded the maximum allowed size; expression size: %d", kind, len(text))
	}
	p = &parser{scope: s, text: text}
	defer func() {
		if r := recover(); r != nil {
			failed, ok := r.(stop)
			if !ok {
				panic(r) // not ours: it goes on its way
			}
			err = attribute.Invalidf("Invalid %s: %s", kind, failed.why)
		}
	}()
	p.next()
	rule(p)
	if p.now.kind != end {
		p.syntax()
	}
	return p, nil
}

// fail ends the parsing.
func (p *parser) fail(format string, args ...any) {
	panic(stop{attribute.Invalidf(format, args...)}) // parse, which called us, recovers it
}

// syntax says that the present token should not be there.
func (p *parser) syntax() {
	following := scan(p.text, p.now.to)
	p.fail(`Syntax error; token: "%s", near: "%s"`, p.now.text, p.text[p.last.from:following.to])
}

func (p *parser) next() token {
	p.last, p.now = p.now, scan(p.text, p.now.to)
	return p.last
}

// take goes past a symbol if it is the present one.
func (p *parser) take(text string) bool {
	if !p.now.is(text) {
		return false
	}
	p.next()
	return true
}

// must goes past a symbol that has to be there.
func (p *parser) must(text string) {
	if !p.take(text) {
		p.syntax()
	}
}

// takeKeyword goes past a keyword if it is the present token.
func (p *parser) takeKeyword(capitals string) bool {
	if !p.now.keyword(capitals) {
		return false
	}
	p.next()
	return true
}

// operator counts one more.
func (p *parser) operator() {
	if p.operators++; p.operators > maxOperators {
		p.fail("The expression contains too many operators; max allowed operator count: %d", maxOperators)
	}
}

// path = name { "." name | "[" number "]" }
func (p *parser) path() Path {
	path := Path{{Name: p.attributeName()}}
	for {
		switch {
		case p.take("."):
			path = append(path, Step{Name: p.attributeName()})
		case p.take("["):
			path = append(path, p.index())
		default:
			p.paths = append(p.paths, path)
			return path
		}
	}
}

func (p *parser) index() Step {
	if p.now.kind != number {
		p.syntax()
	}
	i, err := strconv.Atoi(p.next().text)
	if err != nil || i > 1<<30 {
		p.fail("List index is not within the allowable range; index: [%s]", p.last.text)
	}
	p.must("]")
	return Step{Index: i, List: true}
}

func (p *parser) attributeName() string {
	t := p.now
	switch t.kind {
	case word:
		if reserved(t.text) {
			p.fail("Attribute name is a reserved keyword; reserved keyword: %s", t.text)
		}
		p.next()
		return t.text
	case name:
		real, ok := p.scope.names[t.text]
		if !ok {
			p.fail("An expression attribute name used in the document path is not defined; attribute name: %s", t.text)
		}
		p.scope.usedNames[t.text] = true
		p.next()
		return real
	}
	p.syntax()
	return "" // syntax does not return
}

func (p *parser) literal() literal {
	t := p.now
	if t.kind != value {
		p.syntax()
	}
	v, ok := p.scope.values[t.text]
	if !ok {
		p.fail("An expression attribute value used in expression is not defined; attribute value: %s", t.text)
	}
	p.scope.usedValues[t.text] = true
	p.next()
	return literal(v)
}

// calls says that the present token is a function's name with its bracket.
func (p *parser) calls() bool {
	return p.now.kind == word && scan(p.text, p.now.to).is("(")
}
