package expression

import "testing"

func TestProjections(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{"id", `{"id":{"S":"k"}}`},
		{"id, gone", `{"id":{"S":"k"}}`},
		{"gone", `{}`},
		{"m.i, id", `{"id":{"S":"k"},"m":{"M":{"i":{"S":"ab"}}}}`},
		{"m.li[2], m.li[0]", `{"m":{"M":{"li":{"L":[{"N":"1"},{"N":"3"}]}}}}`},
		{"l[2].deep, l[7]", `{"l":{"L":[{"M":{"deep":{"N":"7"}}}]}}`},
		{"m.o, s.x", `{}`},
		{"#n, #d", `{"a.b":{"S":"dotted"},"name":{"S":"ab"}}`},
	} {
		p, err := scope(t).Projection(row.text)
		if err != nil {
			t.Errorf("%s: %v", row.text, err)
			continue
		}
		if got := textOf(t, p.Of(itemOf(t, sample))); got != row.want {
			t.Errorf("%s: got %s, want %s", row.text, got, row.want)
		}
	}
}

func TestProjectionsThatAreRefused(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{"a,", `Syntax error; token: "<EOF>", near: ","`},
		{"a b", `Syntax error; token: "b", near: "a b"`},
		{"f(a)", `Syntax error; token: "(", near: "f(a"`},
		{"a, a.b", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a, b]"},
		{"a.b, a[0]", "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [a, b], path two: [a, [0]]"},
	} {
		if _, err := scope(t).Projection(row.text); message(err) != "Invalid ProjectionExpression: "+row.want {
			t.Errorf("%s: got %v, want %s", row.text, err, row.want)
		}
	}
}
