package attribute

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// maxDepth is how deep lists and maps lie in one another at most (developer guide, quotas).
const maxDepth = 32

// UnmarshalJSON reads a value in DynamoDB's JSON: {"S": "text"}, {"N": "1.5"}.
func (v *Value) UnmarshalJSON(text []byte) (err error) {
	*v, err = decode(text, 0)
	return err
}

func decode(text json.RawMessage, depth int) (Value, error) {
	if depth > maxDepth {
		return Value{}, Invalid("Nesting Levels have exceeded supported limits")
	}
	var fields map[Type]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return Value{}, err
	}
	if len(fields) > 1 {
		return Value{}, Invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
	}
	for t, field := range fields {
		return decodeAs(t, field, depth)
	}
	return Value{}, unknownType
}

const unknownType = Invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")

func decodeAs(t Type, text json.RawMessage, depth int) (Value, error) {
	switch t {
	case String, Numeric, Binary:
		var s string
		if err := json.Unmarshal(text, &s); err != nil {
			return Value{}, err
		}
		return scalar(t, s)
	case Bool:
		v := Value{Type: t}
		return v, json.Unmarshal(text, &v.Bool)
	case Null:
		return decodeNull(text)
	case StringSet, NumberSet, BinarySet:
		return decodeSet(t, text)
	case List:
		return decodeList(text, depth)
	case Map:
		return decodeMap(text, depth)
	}
	return Value{}, unknownType
}

// scalar is a string, number or binary from its text in JSON.
func scalar(t Type, text string) (Value, error) {
	switch t {
	case Numeric:
		n, err := ParseNumber(text)
		return Value{Type: t, Number: n}, err
	case Binary:
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return Value{}, fmt.Errorf("binary value: %v", err)
		}
		return Value{Type: t, Text: string(b)}, nil
	}
	return Value{Type: t, Text: text}, nil
}

func decodeNull(text json.RawMessage) (Value, error) {
	var is bool
	if err := json.Unmarshal(text, &is); err != nil {
		return Value{}, err
	}
	if !is {
		return Value{}, Invalid("One or more parameter values were invalid: Null attribute value types must have the value of true")
	}
	return Value{Type: Null}, nil
}

var setNames = map[Type]string{StringSet: "string", NumberSet: "number", BinarySet: "binary"}

func decodeSet(t Type, text json.RawMessage) (Value, error) {
	var all []string
	if err := json.Unmarshal(text, &all); err != nil {
		return Value{}, err
	}
	if len(all) == 0 {
		return Value{}, Invalidf("One or more parameter values were invalid: An %s set  may not be empty", setNames[t])
	}
	v := Value{Type: t}
	seen := map[string]bool{}
	for _, s := range all {
		e, err := scalar(elements[t], s)
		if err != nil {
			return Value{}, err
		}
		if seen[e.Plain()] {
			return Value{}, Invalidf("One or more parameter values were invalid: Input collection [%s] contains duplicates.", strings.Join(all, ", "))
		}
		seen[e.Plain()] = true
		v.List = append(v.List, e)
	}
	return v, nil
}

func decodeList(text json.RawMessage, depth int) (Value, error) {
	var all []json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return Value{}, err
	}
	v := Value{Type: List, List: make([]Value, len(all))}
	for i := range all {
		var err error
		if v.List[i], err = decode(all[i], depth+1); err != nil {
			return Value{}, err
		}
	}
	return v, nil
}

func decodeMap(text json.RawMessage, depth int) (Value, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return Value{}, err
	}
	v := Value{Type: Map, Map: make(Item, len(all))}
	for name, field := range all {
		var err error
		if v.Map[name], err = decode(field, depth+1); err != nil {
			return Value{}, err
		}
	}
	return v, nil
}

// Plain is a string, number or binary as its JSON has it: text, a decimal, Base64.
func (v Value) Plain() string {
	switch v.Type {
	case Numeric:
		return v.Number.String()
	case Binary:
		return base64.StdEncoding.EncodeToString([]byte(v.Text))
	}
	return v.Text
}

// MarshalJSON writes the value in DynamoDB's JSON.
func (v Value) MarshalJSON() ([]byte, error) {
	var content any
	switch {
	case v.Type.Ordered():
		content = v.Plain()
	case v.Type == Bool:
		content = v.Bool
	case v.Type == Null:
		content = true
	case v.Type == Map:
		content = v.Map
	case v.Type == List:
		content = v.List
	default:
		content = v.plains()
	}
	return json.Marshal(map[Type]any{v.Type: content})
}

func (v Value) plains() []string {
	all := make([]string, len(v.List))
	for i, e := range v.List {
		all[i] = e.Plain()
	}
	return all
}
