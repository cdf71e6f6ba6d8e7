package expression

import "testing"

// Whatever is written, an expression is read or refused, and what was read can be asked.
func FuzzExpression(f *testing.F) {
	for _, text := range []string{
		"n = :n AND (begins_with(s, :s) OR NOT size(l) > :one)", "SET l[9] = list_append(l, :l), n = if_not_exists(x, :n) - n REMOVE m.li[0], m.i ADD ss :ss DELETE ns :ns",
		"l[2].deep, #n, m.li[1]", "id = :s AND n BETWEEN :one AND :nine", "n IN (:one, :n)", "attribute_type(s, :tS)", "((", "SET a = ", "l[99999999999999999999]", "#", ":",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		item := itemOf(t, sample)
		if c, err := scope(t).Condition(ConditionExpression, text); err == nil {
			c.Holds(item)
			c.Holds(nil)
		}
		if p, err := scope(t).Projection(text); err == nil {
			p.Of(item)
			p.Of(nil)
		}
		if u, err := scope(t).Update(text); err == nil {
			_, _ = u.Apply(item)
			_, _ = u.Apply(nil)
		}
		_, _ = scope(t).Key(text, "id", "n")
		if textOf(t, item) != textOf(t, itemOf(t, sample)) {
			t.Errorf("%q changed the item", text)
		}
	})
}
