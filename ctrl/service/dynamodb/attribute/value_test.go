package attribute

import (
	"encoding/json"
	"strings"
	"testing"
)

func value(t testing.TB, text string) Value {
	t.Helper()
	var v Value
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func TestValuesKeepTheirJSON(t *testing.T) {
	for _, text := range []string{
		`{"S":"a\"ü"}`, `{"S":""}`, `{"N":"1.5"}`, `{"B":"AQI="}`, `{"BOOL":false}`, `{"BOOL":true}`, `{"NULL":true}`, `{"SS":["b","a"]}`, `{"NS":["1","2"]}`, `{"BS":["AQ==","Ag=="]}`,
		`{"L":[]}`, `{"L":[{"S":"x"},{"L":[{"N":"1"}]}]}`, `{"M":{}}`, `{"M":{"a":{"S":"x"},"b":{"M":{"c":{"NULL":true}}}}}`,
	} {
		v := value(t, text)
		again, err := json.Marshal(v)
		if err != nil || string(again) != text {
			t.Errorf("%s became %s, %v", text, again, err)
		}
		if !Equal(v, value(t, string(again))) {
			t.Errorf("%s is not equal to itself", text)
		}
	}
}

func TestValuesThatAreRefused(t *testing.T) {
	const supplied, parameter = "Supplied AttributeValue ", "One or more parameter values were invalid: "
	for _, row := range []struct{ in, want string }{
		{`{}`, supplied + "is empty, must contain"},
		{`{"X":"a"}`, supplied + "is empty, must contain"},
		{`{"S":"a","N":"1"}`, supplied + "has more than one"},
		{`{"NULL":false}`, parameter + "Null attribute value types"},
		{`{"SS":[]}`, parameter + "An string set  may not be empty"},
		{`{"NS":["1","1.0"]}`, parameter + "Input collection [1, 1.0] contains duplicates."},
		{`{"N":"x"}`, "The parameter cannot be converted to a numeric value: x"},
		{`{"B":"!"}`, "binary value"},
		{`{"S":1}`, "json: cannot unmarshal"},
		{`7`, "json: cannot unmarshal"},
		{strings.Repeat(`{"L":[`, 34) + strings.Repeat(`]}`, 34), "Nesting Levels have exceeded supported limits"},
	} {
		var v Value
		if err := json.Unmarshal([]byte(row.in), &v); err == nil || !strings.HasPrefix(err.Error(), row.want) {
			t.Errorf("%s: got %v, want %s", row.in, err, row.want)
		}
	}
	value(t, strings.Repeat(`{"L":[`, 32)+strings.Repeat(`]}`, 32))
}

func TestEquality(t *testing.T) {
	for _, row := range []struct {
		a, b string
		want bool
	}{
		{`{"N":"1"}`, `{"N":"1.0"}`, true},
		{`{"N":"1"}`, `{"S":"1"}`, false},
		{`{"SS":["a","b"]}`, `{"SS":["b","a"]}`, true},
		{`{"SS":["a","b"]}`, `{"SS":["a"]}`, false},
		{`{"L":[{"S":"a"},{"S":"b"}]}`, `{"L":[{"S":"b"},{"S":"a"}]}`, false},
		{`{"M":{"a":{"N":"1"}}}`, `{"M":{"a":{"N":"1e0"}}}`, true},
		{`{"M":{"a":{"N":"1"}}}`, `{"M":{"b":{"N":"1"}}}`, false},
		{`{"BOOL":true}`, `{"BOOL":false}`, false},
	} {
		if got := Equal(value(t, row.a), value(t, row.b)); got != row.want {
			t.Errorf("%s equals %s: %v", row.a, row.b, got)
		}
	}
}

func TestOnlyOneTypeHasAnOrder(t *testing.T) {
	if c, ok := Compare(value(t, `{"S":"Z"}`), value(t, `{"S":"a"}`)); !ok || c >= 0 {
		t.Errorf("Z against a: %d, %v; strings sort by their bytes", c, ok)
	}
	for _, other := range []string{`{"N":"1"}`, `{"BOOL":true}`} {
		if _, ok := Compare(value(t, `{"S":"1"}`), value(t, other)); ok {
			t.Errorf("a string and %s have an order", other)
		}
	}
	if _, ok := Compare(value(t, `{"BOOL":true}`), value(t, `{"BOOL":true}`)); ok {
		t.Error("booleans have an order")
	}
}

func TestSizes(t *testing.T) {
	for _, row := range []struct {
		in   string
		want int
	}{
		{`{"S":"ü"}`, 2}, {`{"B":"AQI="}`, 2}, {`{"BOOL":true}`, 1}, {`{"NULL":true}`, 1}, {`{"SS":["ab","c"]}`, 3},
		{`{"L":[{"S":"abc"}]}`, 3 + 1 + 3}, {`{"M":{"ab":{"S":"abc"}}}`, 3 + 1 + 2 + 3},
	} {
		if got := value(t, row.in).Size(); got != row.want {
			t.Errorf("%s takes %d, want %d", row.in, got, row.want)
		}
	}
}

// As many elements as an item may have are compared by the time it takes to read them, not by each with each.
func TestLargeSetsAreEqualSoon(t *testing.T) {
	const elements = 100_000
	var a, b Value
	a.Type, b.Type = NumberSet, NumberSet
	for i := range elements {
		a.List = append(a.List, Value{Type: Numeric, Number: Integer(i)})
		b.List = append(b.List, Value{Type: Numeric, Number: Integer(elements - 1 - i)})
	}
	for range 3 { // each with each, that is five billion comparisons each time
		if !Equal(a, b) {
			t.Fatal("they are not equal")
		}
	}
	b.List[0].Number = Integer(elements)
	if Equal(a, b) {
		t.Error("one element differs")
	}
}
