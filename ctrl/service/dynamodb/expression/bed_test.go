package expression

import (
	"encoding/json"
	"testing"

	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
)

func itemOf(t testing.TB, text string) attribute.Item {
	t.Helper()
	var i attribute.Item
	if err := json.Unmarshal([]byte(text), &i); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return i
}

func textOf(t testing.TB, i attribute.Item) string {
	t.Helper()
	text, err := json.Marshal(i)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// scope has #n for "name", #d for "a.b", and values of all types by their types' names.
func scope(t testing.TB) *Scope {
	t.Helper()
	s, err := NewScope(map[string]string{"#n": "name", "#d": "a.b"}, itemOf(t, `{
		":s": {"S": "ab"}, ":a": {"S": "a"}, ":z": {"S": "z"}, ":n": {"N": "5"}, ":one": {"N": "1"}, ":nine": {"N": "9"}, ":b": {"B": "AQI="}, ":b1": {"B": "AQ=="},
		":true": {"BOOL": true}, ":null": {"NULL": true}, ":l": {"L": [{"S": "x"}]}, ":m": {"M": {}}, ":ss": {"SS": ["a", "c"]}, ":ns": {"NS": ["1"]},
		":tS": {"S": "S"}, ":tX": {"S": "X"}}`))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const sample = `{"id": {"S": "k"}, "s": {"S": "abc"}, "n": {"N": "5"}, "b": {"B": "AQID"}, "t": {"BOOL": true}, "nil": {"NULL": true}, "name": {"S": "ab"}, "a.b": {"S": "dotted"},
	"l": {"L": [{"S": "x"}, {"N": "2"}, {"M": {"deep": {"N": "7"}}}]}, "m": {"M": {"i": {"S": "ab"}, "li": {"L": [{"N": "1"}, {"N": "2"}, {"N": "3"}]}}},
	"ss": {"SS": ["a", "b"]}, "ns": {"NS": ["1", "5.0"]}}`

func nullable(t testing.TB, text string) map[string]*attribute.Value {
	t.Helper()
	var m map[string]*attribute.Value
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return m
}
