package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// glyph is one character of a pattern: r itself, or a wildcard.
type glyph struct {
	kind glyphKind
	r    rune
}

type glyphKind uint8

const (
	literal       glyphKind = iota
	one                     // ?
	many                    // *
	oneInSegment            // ? that is no colon
	manyInSegment           // * without a colon
)

// pattern is a text with wildcards and variables.
type pattern struct {
	glyphs    []glyph
	variables []variable
}

// variable is replaced by a condition key's value before glyphs[at].
type variable struct {
	at          int
	key         string // lower case
	fallback    string
	hasFallback bool
}

// variableForm is what stands between the braces: a key, and maybe a default in single quotes.
var variableForm = regexp.MustCompile(`^\s*([^\s:,']+:[^,']*[^\s,'])\s*(?:,\s*'(.*)'\s*)?$`)

// compilePattern reads a text. Without variables, or without wild, what would be one is plain text.
func compilePattern(n *node, variables, wild bool) (p pattern, err error) {
	for rest := n.text; rest != ""; {
		next := strings.Index(rest, "${")
		if !variables || next < 0 {
			next = len(rest)
		}
		p.add(rest[:next], wild)
		if rest = rest[next:]; rest == "" {
			break
		}
		inside, after, ok := cutVariable(rest)
		if !ok {
			return p, n.fault(fmt.Sprintf("%q opens a variable and does not close it", rest), "close it by }, or write ${$} for a $")
		}
		if err := p.variable(n, inside); err != nil {
			return p, err
		}
		rest = after
	}
	return p, nil
}

func (p *pattern) add(s string, wild bool) {
	for _, r := range s {
		g := glyph{r: r}
		switch {
		case wild && r == '*':
			g = glyph{kind: many}
		case wild && r == '?':
			g = glyph{kind: one}
		}
		p.glyphs = append(p.glyphs, g)
	}
}

// cutVariable splits "${inside}after". A brace within quotes does not end it.
func cutVariable(s string) (inside, after string, ok bool) {
	quoted := false
	for i, r := range s {
		switch {
		case r == '\'':
			quoted = !quoted
		case r == '}' && !quoted:
			return s[2:i], s[i+1:], true
		}
	}
	return "", "", false
}

func (p *pattern) variable(n *node, inside string) error {
	if inside == "*" || inside == "?" || inside == "$" {
		p.glyphs = append(p.glyphs, glyph{r: rune(inside[0])})
		return nil
	}
	m := variableForm.FindStringSubmatchIndex(inside)
	if m == nil {
		return n.fault(fmt.Sprintf("unknown variable ${%s}", inside), "it is ${KEY} or ${KEY, 'default'} with a condition key such as aws:PrincipalAccount, or ${*}, ${?}, ${$}")
	}
	v := variable{at: len(p.glyphs), key: strings.ToLower(inside[m[2]:m[3]]), hasFallback: m[4] >= 0}
	if v.hasFallback {
		v.fallback = inside[m[4]:m[5]]
	}
	p.variables = append(p.variables, v)
	return nil
}

// longest is how many characters a pattern may have with the request's values in it: more than any value that it could match.
const longest = 1 << 16

// resolve puts the request's values in; wildcards in them are plain characters. false: a variable has no value, or several, and no default;
// or the pattern becomes too long, as a value that comes many times makes it.
func (p *pattern) resolve(k keys) ([]glyph, bool) {
	if len(p.variables) == 0 {
		return p.glyphs, true
	}
	var out []glyph
	from := 0
	for _, v := range p.variables {
		value := v.fallback
		if values := k[v.key]; len(values) == 1 && values[0] != "" {
			value = values[0]
		} else if !v.hasFallback {
			return nil, false
		}
		out = append(out, p.glyphs[from:v.at]...)
		for _, r := range value {
			out = append(out, glyph{r: r})
		}
		if len(out) > longest {
			return nil, false
		}
		from = v.at
	}
	return append(out, p.glyphs[from:]...), true
}

// match says that a whole text fits. Its time is the product of both lengths, whatever the wildcards.
func match(glyphs []glyph, text string) bool {
	runes := []rune(text)
	if tooLong(glyphs, len(runes)) {
		return false
	}
	// reached[i]: the glyphs so far fit the first i characters.
	reached, next := make([]bool, len(runes)+1), make([]bool, len(runes)+1)
	reached[0] = true
	for _, g := range glyphs {
		next[0] = reached[0] && g.repeats()
		for i, r := range runes {
			if g.repeats() {
				next[i+1] = reached[i+1] || next[i] && g.fits(r)
			} else {
				next[i+1] = reached[i] && g.fits(r)
			}
		}
		reached, next = next, reached
	}
	return reached[len(runes)]
}

// tooLong says that glyphs stand for more characters than there are.
func tooLong(glyphs []glyph, characters int) bool {
	for _, g := range glyphs {
		if !g.repeats() {
			characters--
		}
	}
	return characters < 0
}

func (g glyph) repeats() bool { return g.kind == many || g.kind == manyInSegment }

func (g glyph) fits(r rune) bool {
	switch g.kind {
	case one, many:
		return true
	case oneInSegment, manyInSegment:
		return r != ':'
	}
	return g.r == r
}

// inSegments keeps wildcards within the first five segments of an ARN from matching a colon. With crossing, a * at the end of a segment
// may nevertheless, as in a Resource.
func inSegments(glyphs []glyph, crossing bool) []glyph {
	out := slices.Clone(glyphs)
	colons := 0
	for i := range out {
		last := i+1 == len(out) || out[i+1] == glyph{r: ':'}
		switch {
		case colons == arnColons:
			return out
		case out[i] == glyph{r: ':'}:
			colons++
		case out[i].kind == one:
			out[i].kind = oneInSegment
		case out[i].kind == many && !(crossing && last):
			out[i].kind = manyInSegment
		}
	}
	return out
}

// arnColons stand before the sixth and last part of an ARN.
const arnColons = 5

func colons(glyphs []glyph) (n int) {
	for _, g := range glyphs {
		if (g == glyph{r: ':'}) {
			n++
		}
	}
	return n
}
