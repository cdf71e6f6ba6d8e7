package expression

import "github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"

// Key is a key condition: one partition, and perhaps a range in it.
type Key struct {
	Partition attribute.Value
	// Operator of the sort key's condition: "=", "<", "<=", ">", ">=", "BETWEEN", "begins_with"; empty: none.
	Operator string
	// Sort is what the sort key is compared with; of BETWEEN the lower bound, and High the upper one.
	Sort, High attribute.Value
}

// What AWS says of key conditions that do not fit the key.
const (
	unsupportedKey = attribute.Invalid("Query key condition not supported")
	nestedKey      = attribute.Invalid("KeyConditionExpressions cannot contain nested operations")
)

// Key reads a key condition for a key of the names; sort is empty if it has one attribute alone.
func (s *Scope) Key(text, partition, sort string) (Key, error) {
	c, err := s.Condition(KeyConditionExpression, text)
	if err != nil {
		return Key{}, err
	}
	found := map[string]Key{}
	if err := split(c.root, found); err != nil {
		return Key{}, err
	}
	p, ok := found[partition]
	switch {
	case !ok:
		return Key{}, attribute.Invalidf("Query condition missed key schema element: %s", partition)
	case p.Operator != "=":
		return Key{}, unsupportedKey
	case len(found) == 1:
		return Key{Partition: p.Sort}, nil
	}
	k, ok := found[sort]
	switch {
	case sort != "" && !ok:
		return Key{}, attribute.Invalidf("Query condition missed key schema element: %s", sort)
	case len(found) > 2 || !ok:
		return Key{}, unsupportedKey
	}
	k.Partition = p.Sort
	return k, nil
}

// split gathers the conditions that AND joins, by the attribute that each is about.
func split(t test, found map[string]Key) error {
	if both, ok := t.(and); ok {
		if err := split(both.a, found); err != nil {
			return err
		}
		return split(both.b, found)
	}
	name, k, err := single(t)
	if err != nil {
		return err
	}
	if _, twice := found[name]; twice {
		return attribute.Invalid("KeyConditionExpressions must only contain one condition per key")
	}
	found[name] = k
	return nil
}

// single is the condition on one attribute of a key.
func single(t test) (string, Key, error) {
	operator, operands := shape(t)
	switch operator {
	case "=", "<", "<=", ">", ">=", "BETWEEN", "begins_with":
	default:
		return "", Key{}, attribute.Invalidf("Invalid operator used in KeyConditionExpression: %s", operator)
	}
	if _, turned := operands[0].(literal); turned && len(operands) == 2 && operator != "begins_with" {
		operator, operands = mirrored[operator], []operand{operands[1], operands[0]}
	}
	k := Key{Operator: operator}
	path, ok := operands[0].(Path)
	low, also := operands[1].(literal)
	high, high2 := operands[len(operands)-1].(literal)
	if !ok || !also || !high2 {
		return "", Key{}, nestedKey
	}
	if len(path) > 1 {
		return "", Key{}, attribute.Invalid("KeyConditionExpressions cannot have conditions on nested attributes")
	}
	k.Sort, k.High = attribute.Value(low), attribute.Value(high)
	return path.Root(), k, nil
}

// mirrored are the comparators with their sides exchanged.
var mirrored = map[string]string{"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

// shape is a condition as an operator and its operands.
func shape(t test) (string, []operand) {
	switch t := t.(type) {
	case comparison:
		return t.operator, []operand{t.a, t.b}
	case between:
		return "BETWEEN", []operand{t.of, t.low, t.high}
	case call:
		return t.function, t.args
	case in:
		return "IN", nil
	case not:
		return "NOT", nil
	}
	return "OR", nil
}
