package expression

import (
	"testing"
)

func TestUpdates(t *testing.T) {
	const before = `{"id":{"S":"k"},"n":{"N":"5"},"l":{"L":[{"N":"0"},{"N":"1"},{"N":"2"}]},"m":{"M":{"a":{"N":"1"}}},"ss":{"SS":["a","b"]}}`
	for _, row := range []struct{ text, want string }{
		{"SET x = :s", `{"x":{"S":"ab"}}`},
		{"set n = n + :one", `{"n":{"N":"6"}}`},
		{"SET n = :one - n", `{"n":{"N":"-4"}}`},
		{"SET n = :n, x = n", `{"n":{"N":"5"},"x":{"N":"5"}}`},
		{"SET n = :nine, x = n", `{"n":{"N":"9"},"x":{"N":"5"}}`},
		{"SET x = if_not_exists(x, :one) + :one", `{"x":{"N":"2"}}`},
		{"SET n = if_not_exists(n, :one) + :one", `{"n":{"N":"6"}}`},
		{"SET x = if_not_exists(x, if_not_exists(y, :s))", `{"x":{"S":"ab"}}`},
		{"SET l = list_append(l, :l)", `{"l":{"L":[{"N":"0"},{"N":"1"},{"N":"2"},{"S":"x"}]}}`},
		{"SET l = list_append(:l, l)", `{"l":{"L":[{"S":"x"},{"N":"0"},{"N":"1"},{"N":"2"}]}}`},
		{"SET l[1] = :s", `{"l":{"L":[{"N":"0"},{"S":"ab"},{"N":"2"}]}}`},
		{"SET l[9] = :nine, l[7] = :n", `{"l":{"L":[{"N":"0"},{"N":"1"},{"N":"2"},{"N":"5"},{"N":"9"}]}}`},
		{"SET m.b = :s", `{"m":{"M":{"a":{"N":"1"},"b":{"S":"ab"}}}}`},
		{"SET m.a = m.a + :one", `{"m":{"M":{"a":{"N":"2"}}}}`},
		{"REMOVE n", `{"n":null}`},
		{"REMOVE x", `{}`},
		{"REMOVE m.a, m.b", `{"m":{"M":{}}}`},
		{"REMOVE l[0], l[2]", `{"l":{"L":[{"N":"1"}]}}`},
		{"REMOVE l[7]", `{}`},
		{"REMOVE l[0] SET l[5] = :n", `{"l":{"L":[{"N":"1"},{"N":"2"},{"N":"5"}]}}`},
		{"ADD n :one", `{"n":{"N":"6"}}`},
		{"ADD x :one", `{"x":{"N":"1"}}`},
		{"ADD ss :ss", `{"ss":{"SS":["a","b","c"]}}`},
		{"ADD x :ns", `{"x":{"NS":["1"]}}`},
		{"ADD m.a :one", `{"m":{"M":{"a":{"N":"2"}}}}`},
		{"DELETE ss :ss", `{"ss":{"SS":["b"]}}`},
		{"DELETE x :ss", `{}`},
		{"SET #n = :s REMOVE n ADD x :one DELETE ss :ss", `{"name":{"S":"ab"},"n":null,"x":{"N":"1"},"ss":{"SS":["b"]}}`},
	} {
		item := itemOf(t, before)
		u, err := scope(t).Update(row.text)
		if err != nil {
			t.Errorf("%s: %v", row.text, err)
			continue
		}
		got, err := u.Apply(item)
		if err != nil {
			t.Errorf("%s: %v", row.text, err)
			continue
		}
		if want := changed(t, before, row.want); textOf(t, got) != want {
			t.Errorf("%s:\n got %s\nwant %s", row.text, textOf(t, got), want)
		}
		if textOf(t, item) != textOf(t, itemOf(t, before)) {
			t.Errorf("%s changed the item that it was given", row.text)
		}
	}
}

func TestASetWithoutElementsIsGone(t *testing.T) {
	u, err := scope(t).Update("DELETE ss :ss")
	if err != nil {
		t.Fatal(err)
	}
	got, err := u.Apply(itemOf(t, `{"id":{"S":"k"},"ss":{"SS":["c","a"]}}`))
	if err != nil || textOf(t, got) != `{"id":{"S":"k"}}` {
		t.Errorf("got %s, %v", textOf(t, got), err)
	}
}

func TestUpdatesThatDoNotFitTheItem(t *testing.T) {
	for _, row := range []struct {
		text string
		want error
	}{
		{"SET x = gone", missing}, {"SET x = gone + :one", missing}, {"SET x = list_append(gone, :l)", missing},
		{"SET x = s + :one", wrongType}, {"SET x = list_append(s, :l)", wrongType}, {"ADD s :one", wrongType}, {"ADD n :ss", wrongType}, {"DELETE n :ss", wrongType}, {"ADD ss :ns", wrongType},
		{"SET gone.x = :s", wrongPlace}, {"SET s.x = :s", wrongPlace}, {"SET m[0] = :s", wrongPlace}, {"SET l.x = :s", wrongPlace}, {"SET l[7].x = :s", wrongPlace},
		{"REMOVE gone.x", wrongPlace}, {"REMOVE s.x", wrongPlace}, {"REMOVE s[0]", wrongPlace},
	} {
		u, err := scope(t).Update(row.text)
		if err != nil {
			t.Errorf("%s: %v", row.text, err)
			continue
		}
		if _, err := u.Apply(itemOf(t, sample)); err != row.want {
			t.Errorf("%s: got %v, want %v", row.text, err, row.want)
		}
	}
}

func TestUpdatesThatAreRefused(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{"", "The expression can not be empty;"},
		{"x = :s", `Syntax error; token: "x", near: "x ="`},
		{"SET", `Syntax error; token: "<EOF>", near: "SET"`},
		{"SET x", `Syntax error; token: "<EOF>", near: "x"`},
		{"SET x = :s,", `Syntax error; token: "<EOF>", near: ","`},
		{"SET x = :one + :one + :one", `Syntax error; token: "+", near: ":one + :one"`},
		{"SET x = :s SET y = :s", `The "SET" section can only be used once in an update expression;`},
		{"SET x = :s + :one", "Incorrect operand type for operator or function; operator or function: +, operand type: S"},
		{"SET x = list_append(l, :s)", "Incorrect operand type for operator or function; operator or function: list_append, operand type: S"},
		{"SET x = list_append(l)", "Incorrect number of operands for operator or function; operator or function: list_append, number of operands: 1"},
		{"SET x = if_not_exists(:s, :s)", "Operator or function requires a document path; operator or function: if_not_exists"},
		{"SET x = size(s)", "The function is not allowed to be used this way in an expression; function: size"},
		{"ADD x :s", "Incorrect operand type for operator or function; operator: ADD, operand type: STRING, typeSet: ALLOWED_FOR_ADD_OPERAND"},
		{"DELETE x :n", "Incorrect operand type for operator or function; operator: DELETE, operand type: NUMBER, typeSet: ALLOWED_FOR_DELETE_OPERAND"},
		{"SET a = :s REMOVE a.b", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a, b]"},
		{"SET a[0] = :s, a.b = :s", "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [a, [0]], path two: [a, b]"},
	} {
		if _, err := scope(t).Update(row.text); message(err) != "Invalid UpdateExpression: "+row.want {
			t.Errorf("%s: got %v, want %s", row.text, err, row.want)
		}
	}
}

// changed is an item with other values for some attributes; null: gone.
func changed(t *testing.T, before, changes string) string {
	t.Helper()
	item := itemOf(t, before)
	for name, v := range nullable(t, changes) {
		delete(item, name)
		if v != nil {
			item[name] = *v
		}
	}
	return textOf(t, item)
}
