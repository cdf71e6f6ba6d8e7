package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// place is where something stands in a document.
type place struct {
	line, col int
	path      string
}

var start = place{line: 1, col: 1}

const oneObject = "a policy document is one JSON object"

// fault is an error at the place: what is wrong, and what would be right.
func (p place) fault(problem, hint string) error {
	return &SyntaxError{Line: p.line, Col: p.col, Path: p.path, Problem: problem, Hint: hint}
}

// in is the same position with a longer path.
func (p place) in(name string) place {
	if p.path != "" {
		name = p.path + "." + name
	}
	p.path = name
	return p
}

type kind uint8

const (
	null kind = iota
	boolean
	number
	str
	list
	object
)

func (k kind) String() string {
	return [...]string{"null", "true or false", "a number", "a string", "a list", "an object"}[k]
}

// node is a JSON value that knows where it stands.
type node struct {
	place
	kind    kind
	text    string // of a string; a number or boolean as it is written
	items   []*node
	members []member
}

type member struct {
	key   string
	at    place // of the key
	value *node
}

// locator builds nodes from JSON that is known to be valid.
type locator struct {
	text    string
	decoder *json.Decoder
	// at is what lies before offset, so that lines are counted once.
	at     place
	offset int
	depth  int
}

// maxDepth is more than any policy needs.
const maxDepth = 16

// readJSON parses a document and remembers positions.
func readJSON(s string) (*node, error) {
	r := &locator{text: s, at: start, decoder: json.NewDecoder(strings.NewReader(s))}
	r.decoder.UseNumber()
	if err := r.check(); err != nil {
		return nil, err
	}
	return r.value("")
}

// check refuses what is no JSON, at the character that is wrong.
func (r *locator) check() error {
	var raw json.RawMessage
	err := json.Unmarshal([]byte(r.text), &raw)
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return nil
	}
	offset := int(syntax.Offset)
	if offset > 0 && !strings.HasPrefix(syntax.Error(), "unexpected end") {
		offset-- // it counts the wrong character
	}
	return r.position(min(offset, len(r.text)), "").fault("no valid JSON: "+syntax.Error(), oneObject)
}

// position is the place of an offset, which never lies before the last one asked for.
func (r *locator) position(offset int, path string) place {
	for _, c := range r.text[r.offset:offset] {
		r.at.col++
		if c == '\n' {
			r.at.line, r.at.col = r.at.line+1, 1
		}
	}
	r.offset = offset
	r.at.path = path
	return r.at
}

// next is the next token and where it begins.
func (r *locator) next(path string) (json.Token, place, error) {
	rest := r.text[r.decoder.InputOffset():]
	skipped := len(rest) - len(strings.TrimLeft(rest, " \t\r\n,:"))
	at := r.position(len(r.text)-len(rest)+skipped, path)
	token, err := r.decoder.Token()
	if err != nil { // only if the decoder disagrees with json.Unmarshal, which took it
		return nil, at, at.fault("no valid JSON: "+err.Error(), oneObject)
	}
	return token, at, nil
}

func (r *locator) value(path string) (*node, error) {
	token, at, err := r.next(path)
	if err != nil {
		return nil, err
	}
	n := &node{place: at}
	if r.depth++; r.depth > maxDepth {
		return nil, at.fault("the policy is nested too deep", fmt.Sprintf("%d lists and objects within each other are enough for any policy", maxDepth))
	}
	defer func() { r.depth-- }()
	switch token := token.(type) {
	case string:
		n.kind, n.text = str, token
	case json.Number:
		n.kind, n.text = number, token.String()
	case bool:
		n.kind, n.text = boolean, fmt.Sprint(token)
	case json.Delim:
		if token == '[' {
			n.kind = list
			return n, r.items(n)
		}
		n.kind = object
		return n, r.members(n)
	}
	return n, nil
}

func (r *locator) items(n *node) error {
	for r.decoder.More() {
		item, err := r.value(fmt.Sprintf("%s[%d]", n.path, len(n.items)))
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	_, _, err := r.next(n.path)
	return err
}

func (r *locator) members(n *node) error {
	seen := map[string]bool{}
	for r.decoder.More() {
		token, at, err := r.next(n.path)
		if err != nil {
			return err
		}
		key := fmt.Sprint(token)
		at = at.in(key)
		if seen[key] {
			return at.fault(fmt.Sprintf("%q is given twice", key), "put both values into one list")
		}
		seen[key] = true
		value, err := r.value(at.path)
		if err != nil {
			return err
		}
		n.members = append(n.members, member{key, at, value})
	}
	_, _, err := r.next(n.path)
	return err
}

// strings are the texts of a string or of a list of strings, at least one.
func (n *node) strings(what string) ([]*node, error) {
	items := []*node{n}
	if n.kind == list {
		items = n.items
	}
	if len(items) == 0 {
		return nil, n.fault(what+" is an empty list", "give at least one")
	}
	for _, item := range items {
		if item.kind != str {
			return nil, item.fault(fmt.Sprintf("%s is %s", what, item.kind), "it is a string or a list of strings")
		}
	}
	return items, nil
}

// unknown is the error for a name that is none of those known.
func (p place) unknown(what, name string, known []string) error {
	hint := "it is one of " + strings.Join(known, ", ")
	if near := nearest(name, known); near != "" {
		hint = "did you mean " + near + "?"
	}
	return p.fault(fmt.Sprintf("unknown %s %q", what, name), hint)
}
