package dynamodb

import (
	"fmt"
	"strings"
	"testing"
)

const validation = "ValidationException"

func TestPutGetDelete(t *testing.T) {
	b := newBed(t)
	b.declare(hashTable("users"))
	b.is("PutItem", `{"TableName":"users","Item":{"id":{"S":"a"},"n":{"N":"1.50"}}}`, `{}`)
	b.is("GetItem", `{"TableName":"users","Key":{"id":{"S":"a"}},"ConsistentRead":true}`, `{"Item":{"id":{"S":"a"},"n":{"N":"1.5"}}}`)
	b.is("GetItem", `{"TableName":"users","Key":{"id":{"S":"b"}}}`, `{}`)
	b.is("GetItem", `{"TableName":"users","Key":{"id":{"S":"a"}},"ProjectionExpression":"n, gone"}`, `{"Item":{"n":{"N":"1.5"}}}`)
	b.is("GetItem", `{"TableName":"users","Key":{"id":{"S":"a"}},"ProjectionExpression":"gone"}`, `{"Item":{}}`)
	b.is("PutItem", `{"TableName":"users","Item":{"id":{"S":"a"}},"ReturnValues":"ALL_OLD"}`, `{"Attributes":{"id":{"S":"a"},"n":{"N":"1.5"}}}`)
	b.is("DeleteItem", `{"TableName":"users","Key":{"id":{"S":"a"}},"ReturnValues":"ALL_OLD"}`, `{"Attributes":{"id":{"S":"a"}}}`)
	b.is("DeleteItem", `{"TableName":"users","Key":{"id":{"S":"a"}},"ReturnValues":"ALL_OLD"}`, `{}`)
	b.is("GetItem", `{"TableName":"users","Key":{"id":{"S":"a"}}}`, `{}`)
}

func TestConditionsGuardWrites(t *testing.T) {
	b := newBed(t)
	b.declare(hashTable("users"))
	const failedAs, message = "ConditionalCheckFailedException", "The conditional request failed"
	once := `{"TableName":"users","Item":{"id":{"S":"a"},"v":{"N":"1"}},"ConditionExpression":"attribute_not_exists(id)"}`
	b.is("PutItem", once, `{}`)
	b.fails("PutItem", once, failedAs, message)
	guarded := func(v string) string {
		return `{"TableName":"users","Key":{"id":{"S":"a"}},"ConditionExpression":"v = :v","ExpressionAttributeValues":{":v":{"N":"` + v + `"}}}`
	}
	b.fails("DeleteItem", guarded("2"), failedAs, message)
	b.is("DeleteItem", guarded("1"), `{}`)
	b.fails("UpdateItem", `{"TableName":"users","Key":{"id":{"S":"a"}},"UpdateExpression":"SET v = :v","ConditionExpression":"attribute_exists(id)","ExpressionAttributeValues":{":v":{"N":"1"}}}`, failedAs, message)
	b.is("GetItem", `{"TableName":"users","Key":{"id":{"S":"a"}}}`, `{}`)
}

func TestAFailedConditionTellsTheItem(t *testing.T) {
	b := newBed(t)
	b.declare(hashTable("users"))
	b.must("PutItem", `{"TableName":"users","Item":{"id":{"S":"a"}}}`)
	for _, row := range []struct {
		want string
		has  bool
	}{{"ALL_OLD", true}, {"NONE", false}} {
		status, text := b.ask("PutItem", `{"TableName":"users","Item":{"id":{"S":"a"}},"ConditionExpression":"attribute_not_exists(id)","ReturnValuesOnConditionCheckFailure":"`+row.want+`"}`)
		if status != 400 || strings.Contains(text, `"Item":{"id":{"S":"a"}}`) != row.has {
			t.Errorf("%s: %d %s", row.want, status, text)
		}
	}
}

func TestUpdatesReturnWhatIsAskedFor(t *testing.T) {
	for _, row := range []struct{ returns, want string }{
		{"", `{}`},
		{"NONE", `{}`},
		{"ALL_OLD", `{"Attributes":{"id":{"S":"a"},"m":{"M":{"x":{"N":"1"},"y":{"N":"2"}}},"n":{"N":"1"}}}`},
		{"ALL_NEW", `{"Attributes":{"id":{"S":"a"},"m":{"M":{"x":{"N":"9"},"y":{"N":"2"}}},"n":{"N":"2"},"z":{"S":"new"}}}`},
		{"UPDATED_OLD", `{"Attributes":{"m":{"M":{"x":{"N":"1"}}},"n":{"N":"1"}}}`},
		{"UPDATED_NEW", `{"Attributes":{"m":{"M":{"x":{"N":"9"}}},"n":{"N":"2"},"z":{"S":"new"}}}`},
	} {
		b := newBed(t)
		b.declare(hashTable("users"))
		b.must("PutItem", `{"TableName":"users","Item":{"id":{"S":"a"},"n":{"N":"1"},"m":{"M":{"x":{"N":"1"},"y":{"N":"2"}}}}}`)
		b.is("UpdateItem", `{"TableName":"users","Key":{"id":{"S":"a"}},"ReturnValues":"`+row.returns+`","UpdateExpression":"SET m.x = :nine, z = :new ADD n :one",
			"ExpressionAttributeValues":{":nine":{"N":"9"},":new":{"S":"new"},":one":{"N":"1"}}}`, row.want)
	}
}

func TestAnUpdateMakesTheItem(t *testing.T) {
	b := newBed(t)
	b.declare(hashTable("users"))
	b.is("UpdateItem", `{"TableName":"users","Key":{"id":{"S":"a"}}}`, `{}`)
	b.is("GetItem", `{"TableName":"users","Key":{"id":{"S":"a"}}}`, `{"Item":{"id":{"S":"a"}}}`)
	b.is("UpdateItem", `{"TableName":"users","Key":{"id":{"S":"b"}},"UpdateExpression":"ADD hits :one","ExpressionAttributeValues":{":one":{"N":"1"}},"ReturnValues":"UPDATED_NEW"}`,
		`{"Attributes":{"hits":{"N":"1"}}}`)
	b.is("UpdateItem", `{"TableName":"users","Key":{"id":{"S":"b"}},"UpdateExpression":"REMOVE hits","ReturnValues":"UPDATED_NEW"}`, `{}`)
}

func TestWhatIsWrongWithItems(t *testing.T) {
	b := newBed(t)
	b.declare(sortTable("events"))
	const parameter, key, schema = "One or more parameter values were invalid: ", `"Key":{"id":{"S":"a"},"seq":{"N":"1"}}`, "The provided key element does not match the schema"
	for _, row := range []struct{ operation, members, want string }{
		{"PutItem", `"Item":{"id":{"S":"a"}}`, parameter + "Missing the key seq in the item"},
		{"PutItem", `"Item":{"id":{"S":"a"},"seq":{"S":"1"}}`, parameter + "Type mismatch for key seq expected: N actual: S"},
		{"PutItem", `"Item":{"id":{"S":""},"seq":{"N":"1"}}`, "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: id"},
		{"PutItem", `"Item":{"id":{"S":"` + strings.Repeat("x", 2049) + `"},"seq":{"N":"1"}}`, parameter + "Size of hashkey has exceeded"},
		{"PutItem", `"Item":{"id":{"S":"a"},"seq":{"N":"1"},"x":{"S":"` + strings.Repeat("x", 400<<10) + `"}}`, "Item size has exceeded the maximum allowed size"},
		{"PutItem", `"Item":{"id":{"S":"a"},"seq":{"N":"1"},"x":{"N":"` + strings.Repeat("1", 39) + `"}}`, "Attempting to store more than 38 significant digits in a Number"},
		{"PutItem", `"Item":{"id":{"S":"a"},"seq":{"N":"1"},"":{"S":"x"}}`, parameter + "attribute names must not be empty"},
		{"PutItem", `"Item":{"id":{"S":"a"},"seq":{"N":"1"}},"ReturnValues":"ALL_NEW"`, "Return values set to invalid value"},
		{"PutItem", `"Item":{"id":{"S":"a"},"seq":{"N":"1"}},"ReturnValues":"X"`, "1 validation error detected: Value 'X' at 'returnValues' failed to satisfy constraint: Member must satisfy enum value set: ["},
		{"PutItem", `"Item":{"id":{"S":"a"},"seq":{"N":"1"}},"ReturnConsumedCapacity":"X"`, "1 validation error detected: Value 'X' at 'returnConsumedCapacity'"},
		{"PutItem", `"Item":{"id":{"S":"a"},"seq":{"N":"1"}},"Expected":{}`, "vpclab's DynamoDB does not support the parameter Expected"},
		{"PutItem", `"Item":{"id":{"S":"a"},"seq":{"N":"1"}},"ConditionExpression":"a ="`, `Invalid ConditionExpression: Syntax error; token: "<EOF>"`},
		{"PutItem", `"Item":{"id":{"S":"a"},"seq":{"N":"1"}},"ExpressionAttributeNames":{"#a":"a"}`, "ExpressionAttributeNames can only be specified when using expressions"},
		{"GetItem", `"Key":{"id":{"S":"a"}}`, schema},
		{"GetItem", `"Key":{"id":{"S":"a"},"seq":{"S":"1"}}`, schema},
		{"GetItem", `"Key":{"id":{"S":"a"},"when":{"N":"1"}}`, schema},
		{"GetItem", `"Key":{"id":{"S":"a"},"seq":{"N":"1"},"x":{"N":"1"}}`, schema},
		{"GetItem", key + `,"AttributesToGet":["x"]`, "vpclab's DynamoDB does not support the parameter AttributesToGet"},
		{"DeleteItem", `"Key":{"id":{"S":"a"}}`, schema},
		{"DeleteItem", key + `,"ReturnValues":"UPDATED_NEW"`, "Return values set to invalid value"},
		{"UpdateItem", `"Key":{"id":{"S":"a"}}`, schema},
		{"UpdateItem", key + `,"UpdateExpression":"SET id = :v","ExpressionAttributeValues":{":v":{"S":"x"}}`, parameter + "Cannot update attribute id. This attribute is part of the key"},
		{"UpdateItem", key + `,"UpdateExpression":"SET x = gone"`, "The provided expression refers to an attribute that does not exist in the item"},
		{"UpdateItem", key + `,"UpdateExpression":"SET x = :v","ExpressionAttributeValues":{":v":{"S":"` + strings.Repeat("x", 400<<10) + `"}}`, "Item size to update has exceeded the maximum allowed size"},
	} {
		b.fails(row.operation, `{"TableName":"events",`+row.members+`}`, validation, row.want)
	}
	b.is("Scan", `{"TableName":"events","Select":"COUNT"}`, `{"Count":0,"ScannedCount":0}`)
	b.must("UpdateItem", `{"TableName":"events",`+key+`}`)
	b.is("Scan", `{"TableName":"events","Select":"COUNT"}`, `{"Count":1,"ScannedCount":1}`)
}

func TestConsumedCapacity(t *testing.T) {
	b := newBed(t)
	b.declare(hashTable("users"))
	long := strings.Repeat("x", 5000)
	units := func(n string) string { return `{"ConsumedCapacity":{"CapacityUnits":` + n + `,"TableName":"users"}}` }
	b.is("PutItem", `{"TableName":"users","Item":{"id":{"S":"a"},"x":{"S":"`+long+`"}},"ReturnConsumedCapacity":"TOTAL"}`, units("5"))
	for _, row := range []struct{ consistent, want string }{{"true", "2"}, {"false", "1"}} {
		b.is("GetItem", `{"TableName":"users","Key":{"id":{"S":"a"}},"ProjectionExpression":"gone","ReturnConsumedCapacity":"TOTAL","ConsistentRead":`+row.consistent+`}`,
			`{"ConsumedCapacity":{"CapacityUnits":`+row.want+`,"TableName":"users"},"Item":{}}`)
	}
	b.is("PutItem", `{"TableName":"users","Item":{"id":{"S":"a"}},"ReturnConsumedCapacity":"INDEXES"}`, `{"ConsumedCapacity":{"CapacityUnits":5,"Table":{"CapacityUnits":5},"TableName":"users"}}`)
	b.is("DeleteItem", `{"TableName":"users","Key":{"id":{"S":"b"}},"ReturnConsumedCapacity":"TOTAL"}`, units("1"))
	b.is("DeleteItem", `{"TableName":"users","Key":{"id":{"S":"b"}},"ReturnConsumedCapacity":"NONE"}`, `{}`)
}

// events are items 1 to n of one partition.
func (b *bed) events(id string, n int) {
	b.t.Helper()
	for i := range n {
		b.must("PutItem", fmt.Sprintf(`{"TableName":"events","Item":{"id":{"S":"%s"},"seq":{"N":"%d"},"odd":{"BOOL":%v}}}`, id, i+1, i%2 == 0))
	}
}
