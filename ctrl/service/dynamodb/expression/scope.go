package expression

import (
	"maps"
	"slices"
	"strings"

	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
)

// The parameters that hold expressions, as messages name them.
const (
	ConditionExpression    = "ConditionExpression"
	FilterExpression       = "FilterExpression"
	KeyConditionExpression = "KeyConditionExpression"
	ProjectionExpression   = "ProjectionExpression"
	UpdateExpression       = "UpdateExpression"
)

// Scope is what the placeholders in the expressions of one request stand for: #name and :value.
type Scope struct {
	names      map[string]string
	values     map[string]attribute.Value
	usedNames  map[string]bool
	usedValues map[string]bool
	parsed     bool
}

// NewScope is a scope. Maps that are there and empty are an error, as are placeholders that are not spelled as such.
func NewScope(names map[string]string, values map[string]attribute.Value) (*Scope, error) {
	s := &Scope{names: names, values: values, usedNames: map[string]bool{}, usedValues: map[string]bool{}}
	if names != nil && len(names) == 0 {
		return nil, attribute.Invalid("ExpressionAttributeNames must not be empty")
	}
	if values != nil && len(values) == 0 {
		return nil, attribute.Invalid("ExpressionAttributeValues must not be empty")
	}
	if key, ok := misspelled(maps.Keys(names), '#'); ok {
		return nil, attribute.Invalidf(`ExpressionAttributeNames contains invalid key: Syntax error; key: "%s"`, key)
	}
	if key, ok := misspelled(maps.Keys(values), ':'); ok {
		return nil, attribute.Invalidf(`ExpressionAttributeValues contains invalid key: Syntax error; key: "%s"`, key)
	}
	return s, nil
}

func misspelled(keys func(func(string) bool), mark byte) (string, bool) {
	for _, key := range slices.Sorted(keys) {
		if len(key) < 2 || key[0] != mark || strings.ContainsFunc(key[1:], func(r rune) bool { return !isWord(r) }) {
			return key, true
		}
	}
	return "", false
}

// Unused is an error if some placeholder is in none of the expressions that were parsed.
func (s *Scope) Unused() error {
	switch {
	case s.names != nil && !s.parsed:
		return attribute.Invalid("ExpressionAttributeNames can only be specified when using expressions")
	case s.values != nil && !s.parsed:
		return attribute.Invalid("ExpressionAttributeValues can only be specified when using expressions")
	}
	if left := unused(maps.Keys(s.names), s.usedNames); left != "" {
		return attribute.Invalidf("Value provided in ExpressionAttributeNames unused in expressions: keys: {%s}", left)
	}
	if left := unused(maps.Keys(s.values), s.usedValues); left != "" {
		return attribute.Invalidf("Value provided in ExpressionAttributeValues unused in expressions: keys: {%s}", left)
	}
	return nil
}

func unused(keys func(func(string) bool), used map[string]bool) string {
	left := slices.DeleteFunc(slices.Sorted(keys), func(k string) bool { return used[k] })
	return strings.Join(left, ", ")
}
