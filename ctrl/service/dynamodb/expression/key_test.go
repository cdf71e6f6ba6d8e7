package expression

import "testing"

func TestKeyConditions(t *testing.T) {
	for _, row := range []struct{ text, operator, low, high string }{
		{"id = :s", "", "", ""},
		{":s = id", "", "", ""},
		{"id = :s AND n = :n", "=", "5", "5"},
		{"n < :n AND id = :s", "<", "5", "5"},
		{"(id = :s) AND (:n < n)", ">", "5", "5"},
		{"id = :s AND n BETWEEN :one AND :nine", "BETWEEN", "1", "9"},
		{"id = :s AND begins_with(n, :a)", "begins_with", "a", "a"},
	} {
		k, err := scope(t).Key(row.text, "id", "n")
		if err != nil || k.Partition.Text != "ab" || k.Operator != row.operator {
			t.Errorf("%s: %+v, %v", row.text, k, err)
			continue
		}
		if k.Operator != "" && (k.Sort.Plain() != row.low || k.High.Plain() != row.high) {
			t.Errorf("%s: from %s to %s", row.text, k.Sort.Plain(), k.High.Plain())
		}
	}
}

func TestKeyConditionsThatAreRefused(t *testing.T) {
	for _, row := range []struct{ text, sort, want string }{
		{"x = :s", "n", "Query condition missed key schema element: id"},
		{"id = :s AND x = :n", "n", "Query condition missed key schema element: n"},
		{"id = :s AND x = :n", "", "Query key condition not supported"},
		{"id > :s", "n", "Query key condition not supported"},
		{"id = :s AND n = :n AND x = :n", "n", "Query key condition not supported"},
		{"id = :s AND id = :z", "n", "KeyConditionExpressions must only contain one condition per key"},
		{"id = :s OR n = :n", "n", "Invalid operator used in KeyConditionExpression: OR"},
		{"id = :s AND NOT n = :n", "n", "Invalid operator used in KeyConditionExpression: NOT"},
		{"id IN (:s)", "n", "Invalid operator used in KeyConditionExpression: IN"},
		{"id <> :s", "n", "Invalid operator used in KeyConditionExpression: <>"},
		{"attribute_exists(id)", "n", "Invalid operator used in KeyConditionExpression: attribute_exists"},
		{"id.x = :s", "n", "KeyConditionExpressions cannot have conditions on nested attributes"},
		{"id = n", "n", "KeyConditionExpressions cannot contain nested operations"},
		{"size(id) = :n", "n", "KeyConditionExpressions cannot contain nested operations"},
		{"id =", "n", `Invalid KeyConditionExpression: Syntax error; token: "<EOF>", near: "="`},
	} {
		if _, err := scope(t).Key(row.text, "id", row.sort); message(err) != row.want {
			t.Errorf("%s: got %v, want %s", row.text, err, row.want)
		}
	}
}
