package dynamodb

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

// Requests that are made to cost much are refused, and the table is as it was.
func TestWhatIsRefusedAtOnce(t *testing.T) {
	b := newBed(t)
	b.declare(hashTable("orders"))
	deep := func(open, end string) string {
		return `{"TableName": "orders", "Item": {"id": {"S": "a"}, "x": ` + strings.Repeat(open, 100_000) + `{"S":"x"}` + strings.Repeat(end, 100_000) + `}}`
	}
	within := `{"TableName": "orders", "Item": {"id": {"S": "a"}, "x": ` + strings.Repeat(`{"L":[`, 33) + `{"S":"x"}` + strings.Repeat(`]}`, 33) + `}}`
	put := func(value string) string {
		return `{"TableName": "orders", "Item": {"id": {"S": "a"}, "x": ` + value + `}}`
	}
	condition := func(text string) string {
		return fmt.Sprintf(`{"TableName": "orders", "Item": {"id": {"S": "a"}}, "ConditionExpression": %q}`, text)
	}
	const serialization, validation = "SerializationException", "ValidationException"
	for _, row := range []struct{ what, body, kind, message string }{
		{"lists within lists", deep(`{"L":[`, `]}`), serialization, ""},
		{"maps within maps", deep(`{"M":{"a":`, `}}`), serialization, ""},
		{"arrays within arrays", strings.Repeat("[", 1_000_000), serialization, ""},
		{"objects that do not end", strings.Repeat(`{"a":`, 1_000_000), serialization, ""},
		{"a level too many", within, validation, "Nesting Levels have exceeded supported limits"},
		{"no JSON", "\x00\xff", serialization, ""},
		{"nothing", "", serialization, ""},
		{"null", "null", validation, ""},
		{"two requests", `{"TableName": "orders", "Item": {"id": {"S": "a"}}}{"TableName": "other"}`, serialization, ""},
		{"a large item", put(`{"S": "` + strings.Repeat("x", 400<<10) + `"}`), validation, "Item size has exceeded the maximum allowed size"},
		{"a number of a million digits", put(`{"N": "` + strings.Repeat("9", 1_000_000) + `"}`), validation, "Attempting to store more than 38 significant digits"},
		{"a number beyond all", put(`{"N": "1e999999999999999999"}`), validation, "Number overflow"},
		{"a number below all", put(`{"N": "1e-999999999999999999"}`), validation, "Number underflow"},
		{"a long expression", condition(strings.Repeat("a = a OR ", 1000) + "a = a"), validation, "Invalid ConditionExpression: Expression size has exceeded"},
		{"brackets within brackets", condition(strings.Repeat("(", 4000)), validation, "Invalid ConditionExpression: "},
		{"not not", condition(strings.Repeat("NOT ", 1000) + "a"), validation, "Invalid ConditionExpression: The expression contains too many operators"},
	} {
		b.fails("PutItem", row.body, row.kind, row.message)
	}
	b.is("GetItem", `{"TableName": "orders", "Key": {"id": {"S": "a"}}}`, `{}`)
}

// Many requests may come in one; many more may not.
func TestLargeRequestsAreRefused(t *testing.T) {
	b := newBed(t)
	b.declare(&vpc.Table{Name: "orders", Region: us, Account: ours1, Key: vpc.KeyAttribute{Name: "id", Type: "S"}})
	status, text := b.ask("PutItem", `{"TableName": "orders", "Item": {"id": {"S": "`+strings.Repeat("a", 16<<20)+`"}}}`)
	if status != 413 || !strings.Contains(text, "RequestEntityTooLargeException") {
		t.Errorf("17 MB: %d %s", status, text)
	}
	items := strings.Repeat(`{"PutRequest": {"Item": {"id": {"S": "a"}}}},`, 10_000)
	b.fails("BatchWriteItem", `{"RequestItems": {"orders": [`+strings.TrimSuffix(items, ",")+`]}}`, "ValidationException", "")
}

// Where there is no room, nothing is stored; what is there can be read and deleted.
func TestNoRoom(t *testing.T) {
	full := false
	b := newBedWith(t, Config{Path: filepath.Join(t.TempDir(), "tables"), Room: func() error {
		if full {
			return errors.New("no room")
		}
		return nil
	}})
	b.declare(hashTable("orders"))
	const put, key = `{"TableName": "orders", "Item": {"id": {"S": "a"}}}`, `{"TableName": "orders", "Key": {"id": {"S": "a"}}}`
	b.must("PutItem", put)
	full = true
	b.fails("PutItem", put, "InternalServerError", "no room")
	b.fails("UpdateItem", key, "InternalServerError", "no room")
	b.is("GetItem", key, `{"Item":{"id":{"S":"a"}}}`)
	b.must("DeleteItem", key)
	b.is("GetItem", key, `{}`)
}
