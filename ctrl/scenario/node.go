package scenario

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	yamlparser "github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Limits of one file. They keep the time and memory of reading it small whatever it holds; a lab of a thousand instances stays far
// below them.
const (
	maxBytes = 1 << 20
	maxKeys  = 20000 // the YAML parser's time grows with the square of a mapping's keys
	maxDepth = 32
)

// place is a position in a file; both count from 1, columns in characters.
type place struct{ line, col int }

// nodeKind is what a node is.
type nodeKind uint8

const (
	scalar nodeKind = iota
	list
	mapping
)

// String is the kind as messages call it.
func (k nodeKind) String() string { return [...]string{"a single value", "a list", "a mapping"}[k] }

// scalarType is what YAML 1.2's core schema takes an unquoted scalar for, in the words of JSON Schema.
type scalarType string

const (
	typeString  scalarType = "string"
	typeInteger scalarType = "integer"
	typeNumber  scalarType = "number"
	typeBoolean scalarType = "boolean"
	typeNull    scalarType = "null"
)

// node is one value of the file. Nodes are shared between the models of several steps and never change after they are made, apart
// from bad.
type node struct {
	kind  nodeKind
	place place
	// step says which text the node stands in: 0 is the file itself, n the patch of the nth step.
	step int
	bad  bool // a mistake was reported here; do not look closer

	text   string // of a scalar, as written
	typ    scalarType
	quoted bool

	items   []*node
	entries []entry
	index   map[string]int // position in entries by canonical key
}

// entry is one key of a mapping with its value.
type entry struct {
	key   string
	place place
	step  int
	value *node
}

// get returns the value of a key, or nil.
func (n *node) get(key string) *node {
	if n == nil || n.kind != mapping {
		return nil
	}
	if i, ok := n.index[canonical(key)]; ok {
		return n.entries[i].value
	}
	return nil
}

// canonical is what two spellings of a key have in common: route keys compare as prefixes.
func canonical(key string) string {
	if p, err := netip.ParsePrefix(key); err == nil {
		return p.Masked().String()
	}
	return key
}

// has reports whether the mapping has the key.
func (n *node) has(key string) bool { return n.get(key) != nil }

// add appends an entry; the key must be new.
func (n *node) add(e entry) {
	if n.index == nil {
		n.index = map[string]int{}
	}
	n.index[canonical(e.key)] = len(n.entries)
	n.entries = append(n.entries, e)
}

// null reports whether the node is an unquoted null, or nothing.
func (n *node) null() bool { return n.kind == scalar && n.typ == typeNull }

// keys lists a mapping's keys in file order.
func (n *node) keys() []string {
	if n == nil {
		return nil
	}
	keys := make([]string, len(n.entries))
	for i, e := range n.entries {
		keys[i] = e.key
	}
	return keys
}

// find returns the entry of a key.
func (n *node) find(key string) (entry, bool) {
	if i, ok := n.index[canonical(key)]; ok {
		return n.entries[i], true
	}
	return entry{}, false
}

// size counts the nodes of a tree.
func (n *node) size() int {
	total := 1
	for _, item := range n.items {
		total += item.size()
	}
	for _, e := range n.entries {
		total += e.value.size()
	}
	return total
}

// anyBad reports whether a mistake was reported anywhere in the tree.
func (n *node) anyBad() bool {
	if n.bad {
		return true
	}
	for _, item := range n.items {
		if item.anyBad() {
			return true
		}
	}
	for _, e := range n.entries {
		if e.value.anyBad() {
			return true
		}
	}
	return false
}

// YAML 1.2.2 section 10.3.2, the core schema.
var (
	yamlNull    = regexp.MustCompile(`^(null|Null|NULL|~|)$`)
	yamlBoolean = regexp.MustCompile(`^(true|True|TRUE|false|False|FALSE)$`)
	yamlInteger = regexp.MustCompile(`^([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$`)
	yamlNumber  = regexp.MustCompile(`^([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$`)
)

func plainType(text string) scalarType {
	switch {
	case yamlNull.MatchString(text):
		return typeNull
	case yamlBoolean.MatchString(text):
		return typeBoolean
	case yamlInteger.MatchString(text):
		return typeInteger
	case yamlNumber.MatchString(text):
		return typeNumber
	}
	return typeString
}

// readYAML turns a file's text into a tree. It reports what is no YAML, and what is YAML but no scenario: anchors, aliases, merge
// keys, tags, directives, complex keys and several documents. A file that is not even that gives nil.
func (r *reporter) readYAML(src []byte) *node {
	text := strings.TrimPrefix(string(src), "\ufeff")
	if !r.readable(text) {
		return nil
	}
	tokens := tokenize(text)
	if !r.plainYAML(tokens) {
		return nil
	}
	file, err := parseTokens(tokens)
	if err != nil {
		r.reportSyntax(err)
		return nil
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		r.report(place{1, 1}, "the file is empty", "a scenario has at least `name` and `vpcs`")
		return nil
	}
	return r.convert(file.Docs[0].Body)
}

// namespaced are words of policy documents with colons inside: ARNs, condition keys and actions.
var namespaced = regexp.MustCompile(`\b(arn:[^\s"',\[\]{}]+|(aws|` + strings.Join(serviceCodes(), "|") + `):[A-Za-z*][A-Za-z0-9*?-]*)`)

// colon stands for a colon while the YAML lexer looks: inside {} and [] it takes `aws:SourceVpc` for a key and its value, though YAML
// wants a blank behind the colon (YAML 1.2.2 section 7.3.3). It is of Unicode's private use.
const colon = "\ue03a"

func tokenize(text string) token.Tokens {
	if strings.Contains(text, colon) {
		return lexer.Tokenize(text)
	}
	tokens := lexer.Tokenize(namespaced.ReplaceAllStringFunc(text, func(word string) string {
		inner := strings.TrimRight(word, ":")
		return strings.ReplaceAll(inner, ":", colon) + word[len(inner):]
	}))
	for _, tk := range tokens {
		tk.Value = strings.ReplaceAll(tk.Value, colon, ":")
	}
	return tokens
}

// readable checks size and characters.
func (r *reporter) readable(text string) bool {
	if len(text) > maxBytes {
		r.report(place{1, 1}, "the file is larger than 1 MiB", "split it")
		return false
	}
	at := place{1, 1}
	for i, c := range text {
		switch {
		case c == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd"):
			r.report(at, "the file is not UTF-8 text", "save it as UTF-8")
			return false
		case c == '\r' && strings.HasPrefix(text[i+1:], "\n"):
			continue
		case c < ' ' && c != '\n' && c != '\t', c == 0x7f:
			r.report(at, "the file has the control character "+strconv.QuoteRune(c), "write \\x.. inside double quotes")
			return false
		}
		if at.col++; c == '\n' {
			at = place{at.line + 1, 1}
		}
	}
	return true
}

// refusedTokens is the YAML that scenarios do without: a file says everything once, where it holds.
var refusedTokens = map[token.Type][2]string{
	token.AnchorType:     {"YAML anchors are not part of the scenario language", "write the value out, or quote a text that begins with `&`"},
	token.AliasType:      {"YAML aliases are not part of the scenario language", "write the value out, or quote a text that begins with `*`"},
	token.MergeKeyType:   {"YAML merge keys are not part of the scenario language", "write the keys out"},
	token.TagType:        {"YAML tags are not part of the scenario language", "remove it, or quote a text that begins with `!`"},
	token.DirectiveType:  {"YAML directives are not part of the scenario language", "remove the line, or quote a text that begins with `%`"},
	token.MappingKeyType: {"`? ` keys are not part of the scenario language", "write `key: value`"},
}

// plainYAML refuses, by position, tokens that scenarios do without, and nesting that the YAML parser would have to recurse into.
func (r *reporter) plainYAML(tokens token.Tokens) bool {
	var (
		before  = len(r.errs)
		keys    int
		flow    int
		columns []int
		content bool
	)
	open := func(column int) {
		for len(columns) > 0 && columns[len(columns)-1] > column {
			columns = columns[:len(columns)-1]
		}
		if len(columns) == 0 || columns[len(columns)-1] < column {
			columns = append(columns, column)
		}
	}
	for _, tk := range tokens {
		at := placeOf(tk)
		if refused, ok := refusedTokens[tk.Type]; ok {
			r.report(at, refused[0], refused[1])
		}
		switch tk.Type {
		case token.DocumentHeaderType:
			if content {
				r.report(at, "a file holds one scenario", "put the second document into a file of its own")
				return false
			}
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow = max(flow-1, 0)
		case token.SequenceEntryType:
			if flow == 0 {
				open(at.col)
			}
		case token.MappingValueType:
			if keys++; flow == 0 && tk.Prev != nil {
				open(placeOf(tk.Prev).col)
			}
		}
		content = content || tk.Type != token.CommentType
		if flow+len(columns) > maxDepth {
			r.report(at, "the file is nested more than "+strconv.Itoa(maxDepth)+" levels deep", "no part of the language is")
			return false
		}
		if keys > maxKeys {
			r.report(at, "the file has more than "+strconv.Itoa(maxKeys)+" keys", "split it")
			return false
		}
	}
	return len(r.errs) == before
}

// parseTokens calls the YAML parser; a crash inside it is an error of the file.
func parseTokens(tokens token.Tokens) (file *ast.File, err error) {
	defer func() {
		if recover() != nil {
			file, err = nil, &yaml.SyntaxError{Message: "the YAML parser cannot read it"}
		}
	}()
	return yamlparser.Parse(tokens, 0, yamlparser.AllowDuplicateMapKey())
}

func (r *reporter) reportSyntax(err error) {
	at, what := place{1, 1}, err.Error()
	if e, ok := err.(yaml.Error); ok {
		what = e.GetMessage()
		if tk := e.GetToken(); tk != nil {
			at = placeOf(tk)
		}
	}
	hint := ""
	if at.line <= len(r.lines) && at.line > 0 {
		switch line := r.lines[at.line-1]; {
		case strings.Contains(what, "'\t'"):
			what, hint = "a tab cannot stand here", "indent with spaces"
		case compiled(`[:,\[{] *\$\{`).MatchString(line):
			hint = "quote a text with a brace inside {} and [], as in \"${endpoint.s3}\""
		case strings.Contains(line, "::") && !strings.Contains(line, "arn:"):
			hint = "quote an IPv6 address or a URL here, as in \"::/0\""
		case strings.Contains(what, "mapping value is not allowed"):
			hint = "quote a text that contains a colon and a space"
		case strings.Contains(what, "tab character"):
			hint = "indent with spaces"
		case strings.Contains(what, "reserved character"):
			hint = "quote the text"
		}
	}
	r.report(at, "this is not valid YAML: "+what, hint)
}

func placeOf(tk *token.Token) place {
	if tk == nil || tk.Position == nil {
		return place{1, 1}
	}
	return place{max(tk.Position.Line, 1), max(tk.Position.Column, 1)}
}

// convert makes our own tree of the YAML parser's. plainYAML has bounded its depth.
func (r *reporter) convert(n ast.Node) *node {
	switch n := n.(type) {
	case *ast.MappingNode:
		return r.convertMapping(n, n.Values)
	case *ast.MappingValueNode:
		return r.convertMapping(n, []*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		out := &node{kind: list, place: placeOf(n.Start)}
		for _, value := range n.Values {
			out.items = append(out.items, r.convert(value))
		}
		return out
	case *ast.LiteralNode:
		return &node{place: placeOf(n.GetToken()), text: n.Value.Value, typ: typeString, quoted: true}
	}
	if n == nil {
		return &node{typ: typeNull, place: place{1, 1}}
	}
	tk := n.GetToken()
	out := &node{place: placeOf(tk), text: tk.Value}
	switch tk.Type {
	case token.SingleQuoteType, token.DoubleQuoteType:
		out.typ, out.quoted = typeString, true
	case token.ImplicitNullType:
		out.text, out.typ = "", typeNull
	default:
		out.typ = plainType(tk.Value)
	}
	return out
}

func (r *reporter) convertMapping(n ast.Node, values []*ast.MappingValueNode) *node {
	out := &node{kind: mapping, place: placeOf(n.GetToken())}
	for i, v := range values {
		if v.Key == nil {
			continue
		}
		tk := v.Key.GetToken()
		e := entry{key: tk.Value, place: placeOf(tk)}
		if m, ok := n.(*ast.MappingNode); i == 0 && !(ok && m.IsFlowStyle) {
			out.place = e.place // a block mapping begins with its first key
		}
		if at, twice := out.index[canonical(e.key)]; twice {
			r.report(e.place, "the key "+quote(e.key)+" is here twice", "the first is in line "+strconv.Itoa(out.entries[at].place.line))
			continue
		}
		e.value = r.convert(v.Value)
		out.add(e)
	}
	return out
}

// inside is the place of a character within a scalar's text. Where the file does not spell the text literally (escapes, folded
// lines), it is the scalar's own place.
func (r *reporter) inside(n *node, offset int) place {
	at := n.place
	if offset <= 0 || n.kind != scalar || at.line > len(r.lines) {
		return at
	}
	line := []rune(r.lines[at.line-1])
	start := at.col - 1
	if n.quoted {
		start++
	}
	if start > len(line) || !strings.HasPrefix(string(line[start:]), n.text) {
		return at
	}
	return place{at.line, start + 1 + offset}
}
