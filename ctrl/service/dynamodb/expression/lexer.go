package expression

import "strings"

type kind uint8

const (
	end    kind = iota
	word        // an attribute's name, a function or a keyword
	name        // #n
	value       // :v
	number      // of an index
	symbol      // operators, brackets and the like
)

// token is a piece of an expression.
type token struct {
	kind     kind
	text     string
	from, to int // where it is in the expression
}

func (t token) is(symbolText string) bool { return t.kind == symbol && t.text == symbolText }

// keyword says that the token is a keyword, which is written in capitals here and in any letters there.
func (t token) keyword(capitals string) bool {
	return t.kind == word && strings.EqualFold(t.text, capitals)
}

func isLetter(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }
func isDigit(r rune) bool  { return '0' <= r && r <= '9' }
func isWord(r rune) bool   { return isLetter(r) || isDigit(r) || r == '_' }

// scan finds the token at or after a place. What starts none is a symbol of one character, which no rule of the grammar takes.
func scan(text string, at int) token {
	for at < len(text) && strings.IndexByte(" \t\r\n", text[at]) >= 0 {
		at++
	}
	if at == len(text) {
		return token{kind: end, text: "<EOF>", from: at, to: at}
	}
	k, length := symbol, 1
	switch c := rune(text[at]); {
	case isLetter(c):
		k, length = word, prefix(text[at:], 0, isWord)
	case isDigit(c):
		k, length = number, prefix(text[at:], 0, isDigit)
	case c == '#':
		k, length = name, prefix(text[at:], 1, isWord)
	case c == ':':
		k, length = value, prefix(text[at:], 1, isWord)
	case strings.HasPrefix(text[at:], "<>"), strings.HasPrefix(text[at:], "<="), strings.HasPrefix(text[at:], ">="):
		length = 2
	}
	return token{kind: k, text: text[at : at+length], from: at, to: at + length}
}

// prefix is how many bytes from the start satisfy a rule; the first ones are not asked.
func prefix(text string, first int, rule func(rune) bool) int {
	n := first
	for n < len(text) && rule(rune(text[n])) {
		n++
	}
	return n
}
