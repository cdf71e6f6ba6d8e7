package expression

import (
	"strings"
	"testing"
)

func TestConditions(t *testing.T) {
	item := itemOf(t, sample)
	for _, row := range []struct {
		text string
		want bool
	}{
		{"n = :n", true}, {"n = :one", false}, {"n <> :one", true}, {"n <> :n", false}, {"gone <> :n", true}, {"gone = :n", false},
		{"n > :one", true}, {"n > :nine", false}, {"n < :nine", true}, {"n <= :n", true}, {"n >= :n", true}, {"s > :s", true}, {"b > :b", true}, {"s < :n", false}, {":one < n", true},
		{"gone < :n", false}, {"gone >= :n", false}, {"NOT gone < :n", true},
		{"n BETWEEN :one AND :nine", true}, {"n between :n and :n", true}, {"s BETWEEN :one AND :nine", false}, {"n BETWEEN :n AND :nine AND n <> :n", false},
		{"n IN (:one, :n)", true}, {"n in (:one)", false}, {"gone IN (:one)", false},
		{"attribute_exists(s)", true}, {"attribute_exists(gone)", false}, {"attribute_not_exists(gone)", true}, {"attribute_not_exists(s)", false},
		{"attribute_exists(m.i)", true}, {"attribute_exists(m.o)", false}, {"attribute_exists(l[2].deep)", true}, {"attribute_exists(l[3])", false}, {"attribute_exists(s[0])", false},
		{"attribute_type(s, :tS)", true}, {"attribute_type(n, :tS)", false},
		{"begins_with(s, :s)", true}, {"begins_with(s, :z)", false}, {"begins_with(b, :b)", true}, {"begins_with(n, :a)", false},
		{"contains(s, :s)", true}, {"contains(s, :z)", false}, {"contains(ss, :a)", true}, {"contains(ss, :s)", false}, {"contains(ns, :n)", true}, {"contains(l, :n)", false}, {"contains(b, :b1)", true},
		{"size(s) < :n", true}, {"size(l) = size(m.li)", true}, {"size(ss) > :one", true}, {"size(m) = size(ss)", true}, {"size(n) < :n", false}, {"size(b) < :n", true},
		{"#n = :s", true}, {"#d = :s", false}, {"attribute_exists(#d)", true}, {"m.#n = :s", false},
		{"n = :one AND n = :one OR s > :a", true}, {"n = :one AND (n = :n OR s > :a)", false}, {"NOT n = :one AND NOT n = :nine", true}, {"NOT (n = :n OR n = :one)", false}, {"not not n = :n", true},
		{"l[1] < n", true}, {"m.li[0] = :one", true}, {"t = :true", true}, {"nil = :null", true}, {"nil = :true", false}, {"ss = :ss", false}, {"m = :m", false},
	} {
		c, err := scope(t).Condition(ConditionExpression, row.text)
		if err != nil {
			t.Errorf("%s: %v", row.text, err)
			continue
		}
		if got := c.Holds(item); got != row.want {
			t.Errorf("%s: %v", row.text, got)
		}
	}
}

func TestConditionsThatAreRefused(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{"", "The expression can not be empty;"},
		{"n", `Syntax error; token: "<EOF>", near: "n"`},
		{"n =", `Syntax error; token: "<EOF>", near: "="`},
		{"n = :n )", `Syntax error; token: ")", near: ":n )"`},
		{"n == :n", `Syntax error; token: "=", near: "== :n"`},
		{"n = 5", `Syntax error; token: "5", near: "= 5"`},
		{"n & :n", `Syntax error; token: "&", near: "n & :n"`},
		{"(n = :n", `Syntax error; token: "<EOF>", near: ":n"`},
		{"_x = :n", `Syntax error; token: "_", near: "_x"`},
		{"l[x] = :n", `Syntax error; token: "x", near: "[x]"`},
		{"l[99999999999] = :n", "List index is not within the allowable range; index: [99999999999]"},
		{"((n = :n))", "The expression has redundant parentheses;"},
		{"name = :n", "Attribute name is a reserved keyword; reserved keyword: name"},
		{"m.Status = :n", "Attribute name is a reserved keyword; reserved keyword: Status"},
		{"#x = :n", "An expression attribute name used in the document path is not defined; attribute name: #x"},
		{"n = :x", "An expression attribute value used in expression is not defined; attribute value: :x"},
		{"foo(n)", "Invalid function name; function: foo"},
		{"Size(n) = :n", "Invalid function name; function: Size"},
		{"n = if_not_exists(n, :n)", "The function is not allowed to be used this way in an expression; function: if_not_exists"},
		{"size(n)", `Syntax error; token: "<EOF>", near: ")"`},
		{"attribute_exists(:n)", "Operator or function requires a document path; operator or function: attribute_exists"},
		{"begins_with(s)", "Incorrect number of operands for operator or function; operator or function: begins_with, number of operands: 1"},
		{"begins_with(s, :n)", "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N"},
		{"n < :true", "Incorrect operand type for operator or function; operator or function: <, operand type: BOOL"},
		{"size(:n) = :n", "Incorrect operand type for operator or function; operator or function: size, operand type: N"},
		{"attribute_type(s, :tX)", "Invalid attribute type name found; type: X, valid types: {S,N,B,BOOL,NULL,SS,NS,BS,L,M}"},
		{"attribute_type(s, n)", "Incorrect operand type for operator or function; operator or function: attribute_type, operand type: "},
		{"n = n", "The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [n]"},
		{"n BETWEEN :nine AND :one", "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: {N:9}, upper bound operand: AttributeValue: {N:1}"},
		{"n BETWEEN :one AND :z", "The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: AttributeValue: {N:1}, upper bound operand: AttributeValue: {S:z}"},
		{"n IN ()", `Syntax error; token: ")", near: "()"`},
		{"n IN (" + strings.Repeat(":n,", 100) + ":n)", "The IN operator is provided with too many operands; number of operands: 101"},
		{strings.Repeat("n = :n OR ", 200) + "n = :n", "The expression contains too many operators; max allowed operator count: 300"},
		{strings.Repeat(" ", 5000), "Expression size has exceeded the maximum allowed size; expression size: 5000"},
	} {
		_, err := scope(t).Condition(FilterExpression, row.text)
		if want := "Invalid FilterExpression: " + row.want; err == nil || err.Error() != want {
			t.Errorf("%.60q: got %v, want %s", row.text, err, want)
		}
	}
}

func TestPlaceholdersAreUsedAndSpelled(t *testing.T) {
	names := map[string]string{"#a": "x"}
	for _, row := range []struct {
		names  map[string]string
		values string
		text   string
		want   string
	}{
		{names, `{":v": {"S": "x"}}`, "#a = :v", ""},
		{nil, `{":v": {"S": "x"}}`, "a = :v", ""},
		{names, `{":v": {"S": "x"}}`, "a = :v", "Value provided in ExpressionAttributeNames unused in expressions: keys: {#a}"},
		{nil, `{":v": {"S": "x"}, ":w": {"S": "x"}, ":u": {"S": "x"}}`, "a = :v", "Value provided in ExpressionAttributeValues unused in expressions: keys: {:u, :w}"},
		{names, `null`, "", "ExpressionAttributeNames can only be specified when using expressions"},
		{nil, `{":v": {"S": "x"}}`, "", "ExpressionAttributeValues can only be specified when using expressions"},
		{nil, `{}`, "", "ExpressionAttributeValues must not be empty"},
		{map[string]string{}, `null`, "", "ExpressionAttributeNames must not be empty"},
		{map[string]string{"a": "x"}, `null`, "", `ExpressionAttributeNames contains invalid key: Syntax error; key: "a"`},
		{nil, `{":": {"S": "x"}}`, "", `ExpressionAttributeValues contains invalid key: Syntax error; key: ":"`},
	} {
		s, err := NewScope(row.names, itemOf(t, row.values))
		if err == nil && row.text != "" {
			if _, err := s.Condition(ConditionExpression, row.text); err != nil {
				t.Errorf("%s: %v", row.text, err)
			}
		}
		if err == nil {
			err = s.Unused()
		}
		if got := message(err); got != row.want {
			t.Errorf("%v, %s, %s: got %q, want %q", row.names, row.values, row.text, got, row.want)
		}
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
