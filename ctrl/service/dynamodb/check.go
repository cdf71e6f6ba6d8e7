package dynamodb

import (
	"slices"
	"strings"

	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
	"github.com/vpclab/vpclab/ctrl/service/dynamodb/expression"
)

// Beginnings of AWS's messages.
const (
	parameters = "One or more parameter values were invalid: "
	detected   = "1 validation error detected: "
)

// enum refuses a value that is there and not one of those.
func enum(member, v string, values ...string) error {
	if v == "" || slices.Contains(values, v) {
		return nil
	}
	return attribute.Invalidf(detected+"Value '%s' at '%s' failed to satisfy constraint: Member must satisfy enum value set: [%s]",
		v, member, strings.Join(values, ", "))
}

// placeholders are in every request with expressions.
type placeholders struct {
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues attribute.Item
}

func (p placeholders) scope() (*expression.Scope, error) {
	return expression.NewScope(p.ExpressionAttributeNames, p.ExpressionAttributeValues)
}

// parsed are the expressions of a request. Those that it does not have are their zero values.
type parsed struct {
	condition  expression.Condition
	filter     expression.Condition
	projection expression.Projection
	update     expression.Update
	key        expression.Key
}

// texts are a request's expressions; nil: it has none.
type texts struct{ condition, filter, projection, update, key *string }

// parse reads a request's expressions and insists that they use all placeholders.
func (p placeholders) parse(t texts, k *tableKey) (all parsed, err error) {
	scope, err := p.scope()
	if err != nil {
		return all, err
	}
	for _, read := range []struct {
		text *string
		by   func(text string) error
	}{
		{t.key, func(x string) (err error) { all.key, err = scope.Key(x, k.Partition.Name, k.Sort.Name); return err }},
		{t.condition, func(x string) (err error) {
			all.condition, err = scope.Condition(expression.ConditionExpression, x)
			return err
		}},
		{t.filter, func(x string) (err error) {
			all.filter, err = scope.Condition(expression.FilterExpression, x)
			return err
		}},
		{t.projection, func(x string) (err error) { all.projection, err = scope.Projection(x); return err }},
		{t.update, func(x string) (err error) { all.update, err = scope.Update(x); return err }},
	} {
		if read.text != nil {
			if err := read.by(*read.text); err != nil {
				return all, err
			}
		}
	}
	return all, scope.Unused()
}
