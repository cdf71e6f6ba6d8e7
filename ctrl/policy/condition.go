package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// condition is one operator on one key with its values. All conditions of a statement must hold.
type condition struct {
	operator
	set      set
	ifExists bool
	label    string // the operator as written: "ForAnyValue:StringLike"
	name     string // the key as written
	key      string // in lower case
	values   []matcher
}

// set is how an operator meets the values of a key that has several.
type set uint8

const (
	plainSet set = iota
	forAllValues
	forAnyValue
)

func parseConditions(n *node, variables bool) (out []condition, err error) {
	if n.kind != object {
		return nil, n.fault("Condition is "+n.kind.String(), `it is an object of operators: {"StringEquals": {"aws:SourceVpce": "vpce-1"}}`)
	}
	for _, m := range n.members {
		c, err := parseOperator(m)
		if err != nil {
			return nil, err
		}
		if m.value.kind != object {
			return nil, m.value.fault(fmt.Sprintf("%s has %s", m.key, m.value.kind), `it has an object of condition keys: {"aws:SourceVpce": "vpce-1"}`)
		}
		for _, key := range m.value.members {
			if c.values, err = c.parseValues(key, variables); err != nil {
				return nil, err
			}
			c.name, c.key = key.key, strings.ToLower(key.key)
			out = append(out, c)
		}
	}
	return out, nil
}

// parseOperator splits "ForAnyValue:StringLikeIfExists" into its three parts.
func parseOperator(m member) (c condition, err error) {
	c.label = m.key
	name, all := strings.CutPrefix(m.key, "ForAllValues:")
	if all {
		c.set = forAllValues
	} else if rest, found := strings.CutPrefix(m.key, "ForAnyValue:"); found {
		name, c.set = rest, forAnyValue
	}
	name, c.ifExists = strings.CutSuffix(name, "IfExists")
	i := slices.IndexFunc(operators, func(o operator) bool { return o.name == name })
	if i < 0 {
		return c, m.at.unknown("condition operator", name, operatorNames())
	}
	c.operator = operators[i]
	if c.null && (c.ifExists || c.set != plainSet) {
		return c, m.at.fault(m.key+" does not exist", "Null stands alone: it asks itself whether a key exists")
	}
	return c, nil
}

func operatorNames() (names []string) {
	for _, o := range operators {
		names = append(names, o.name)
	}
	return names
}

func (c *condition) parseValues(key member, variables bool) (out []matcher, err error) {
	if before, after, found := strings.Cut(key.key, ":"); !found || before == "" || after == "" {
		return nil, key.at.fault(fmt.Sprintf("%q is no condition key", key.key), `it is SERVICE:KEY, such as "aws:SourceVpce" or "s3:prefix"`)
	}
	items := []*node{key.value}
	if key.value.kind == list {
		items = key.value.items
	}
	if len(items) == 0 {
		return nil, key.value.fault(key.key+" has an empty list", "give at least one value")
	}
	for _, item := range items {
		if item.kind != str && item.kind != number && item.kind != boolean {
			return nil, item.fault(fmt.Sprintf("%s has %s as a value", key.key, item.kind), "a value is a string, a number, true or false")
		}
		m, err := c.compile(item, variables)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// keys are a request's condition keys, in lower case.
type keys map[string][]string

// holds decides the condition. A negated operator holds where none of its values matches, and so where the request has no such key.
func (c *condition) holds(k keys) bool {
	values := k[c.key]
	if c.null {
		return c.matches(fmt.Sprint(len(values) == 0), k)
	}
	if c.set != plainSet && onlyEmpty(values) {
		values = nil // AWS counts an empty string as no value here
	}
	if len(values) == 0 {
		return c.ifExists || c.set == forAllValues || c.set == plainSet && c.negated
	}
	fits := func(v string) bool { return c.matches(v, k) != c.negated }
	fails := func(v string) bool { return !fits(v) }
	if c.set == forAnyValue || c.set == plainSet && !c.negated {
		return slices.ContainsFunc(values, fits)
	}
	return !slices.ContainsFunc(values, fails)
}

func onlyEmpty(values []string) bool {
	return !slices.ContainsFunc(values, func(v string) bool { return v != "" })
}

// matches says that one of the condition's values matches, the operator taken without its negation.
func (c *condition) matches(value string, k keys) bool {
	for _, m := range c.values {
		if m(value, k) {
			return true
		}
	}
	return false
}

// explain says for a person what the condition met.
func (c *condition) explain(k keys, held bool) string {
	verb := "does not hold"
	if held {
		verb = "holds"
	}
	met := "the request has none"
	if values := k[c.key]; len(values) > 0 {
		met = "the request has " + cmp.Or(strings.Join(values, ", "), `""`)
	}
	return fmt.Sprintf("%s %s %s: %s", c.label, c.name, verb, met)
}
