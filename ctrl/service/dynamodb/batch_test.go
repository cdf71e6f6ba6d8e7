package dynamodb

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func repeat(n int, f func(i int) string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = f(i)
	}
	return strings.Join(all, ",")
}

func keyOf(i int) string { return fmt.Sprintf(`{"id":{"S":"%03d"}}`, i) }
func putOf(i int) string { return `{"PutRequest":{"Item":` + keyOf(i) + `}}` }

func TestBatches(t *testing.T) {
	b := newBed(t)
	b.declare(hashTable("users"), hashTable("orders"))
	b.is("BatchWriteItem", `{"RequestItems":{"users":[`+repeat(24, putOf)+`],"orders":[`+putOf(7)+`]},"ReturnConsumedCapacity":"TOTAL"}`,
		`{"ConsumedCapacity":[{"CapacityUnits":1,"TableName":"orders"},{"CapacityUnits":24,"TableName":"users"}],"UnprocessedItems":{}}`)
	b.is("BatchWriteItem", `{"RequestItems":{"users":[{"DeleteRequest":{"Key":`+keyOf(0)+`}},`+putOf(30)+`]}}`, `{"UnprocessedItems":{}}`)
	b.is("BatchGetItem", `{"RequestItems":{"users":{"Keys":[`+keyOf(0)+`,`+keyOf(1)+`],"ProjectionExpression":"#i","ExpressionAttributeNames":{"#i":"id"}},"orders":{"Keys":[`+keyOf(7)+`,`+keyOf(8)+`]}}}`,
		`{"Responses":{"orders":[`+keyOf(7)+`],"users":[`+keyOf(1)+`]},"UnprocessedKeys":{}}`)
	const duplicate = "Provided list of item keys contains duplicates"
	for _, row := range []struct{ operation, items, want string }{
		{"BatchWriteItem", `"users":[` + repeat(26, putOf) + `]`, "Too many items requested for the BatchWriteItem call"},
		{"BatchWriteItem", `"users":[` + putOf(1) + `,{"DeleteRequest":{"Key":` + keyOf(1) + `}}]`, duplicate},
		{"BatchWriteItem", `"users":[{}]`, "Supplied AttributeValue has more than one datatypes set"},
		{"BatchGetItem", `"users":{"Keys":[` + repeat(101, keyOf) + `]}`, "Too many items requested for the BatchGetItem call"},
		{"BatchGetItem", `"users":{"Keys":[` + keyOf(1) + `,` + keyOf(1) + `]}`, duplicate},
		{"BatchGetItem", `"users":{"Keys":[]}`, "1 validation error detected: Value at 'requestItems.member.keys'"},
		{"BatchGetItem", ``, "1 validation error detected: Value null at 'requestItems'"},
	} {
		b.fails(row.operation, `{"RequestItems":{`+row.items+`}}`, validation, row.want)
	}
	b.fails("BatchGetItem", `{"RequestItems":{"nobody":{"Keys":[`+keyOf(1)+`]}}}`, "ResourceNotFoundException", "Requested resource not found")
}

func TestABatchIsSixteenMegabytes(t *testing.T) {
	b := newBed(t)
	b.declare(hashTable("users"))
	const n = 45
	b.store("users", n, `"x":{"S":"`+strings.Repeat("x", 390<<10)+`"}`)
	text := b.must("BatchGetItem", `{"RequestItems":{"users":{"Keys":[`+repeat(n, keyOf)+`],"ProjectionExpression":"id"}}}`)
	if got := strings.Count(text[:strings.Index(text, "UnprocessedKeys")], `"S"`); got != 42 || !strings.HasSuffix(text, `"UnprocessedKeys":{"users":{"Keys":[`+repeat(3, func(i int) string { return keyOf(42 + i) })+`],"ProjectionExpression":"id"}}}`) {
		t.Errorf("%d items, then %s", got, text[len(text)-200:])
	}
}

const transfer = `{"TransactItems":[
	{"Update":{"TableName":"users","Key":{"id":{"S":"a"}},"UpdateExpression":"SET n = n - :n","ConditionExpression":"n >= :n","ExpressionAttributeValues":{":n":{"N":"AMOUNT"}},"ReturnValuesOnConditionCheckFailure":"ALL_OLD"}},
	{"Update":{"TableName":"users","Key":{"id":{"S":"b"}},"UpdateExpression":"ADD n :n","ExpressionAttributeValues":{":n":{"N":"AMOUNT"}}}},
	{"ConditionCheck":{"TableName":"users","Key":{"id":{"S":"open"}},"ConditionExpression":"attribute_exists(id)"}}]`

func TestTransactionsAreAllOrNothing(t *testing.T) {
	b := newBed(t)
	b.declare(hashTable("users"))
	send := func(amount string) (int, string) {
		return b.ask("TransactWriteItems", strings.ReplaceAll(transfer, "AMOUNT", amount)+"}")
	}
	balances := func(want string) {
		t.Helper()
		b.is("TransactGetItems", `{"TransactItems":[{"Get":{"TableName":"users","Key":{"id":{"S":"a"}},"ProjectionExpression":"n"}},{"Get":{"TableName":"users","Key":{"id":{"S":"b"}}}}]}`, want)
	}
	b.is("TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"users","Item":{"id":{"S":"a"},"n":{"N":"10"}}}},{"Put":{"TableName":"users","Item":{"id":{"S":"open"}}}}],"ReturnConsumedCapacity":"TOTAL"}`,
		`{"ConsumedCapacity":[{"CapacityUnits":4,"TableName":"users"}]}`)
	if status, text := send("7"); status != 200 {
		t.Fatalf("the first transfer: %d %s", status, text)
	}
	balances(`{"Responses":[{"Item":{"n":{"N":"3"}}},{"Item":{"id":{"S":"b"},"n":{"N":"7"}}}]}`)
	status, text := send("7")
	want := `{"CancellationReasons":[{"Code":"ConditionalCheckFailed","Message":"The conditional request failed","Item":{"id":{"S":"a"},"n":{"N":"3"}}},{"Code":"None"},{"Code":"None"}],"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"Transaction cancelled, please refer cancellation reasons for specific reasons [ConditionalCheckFailed, None, None]"}`
	if status != 400 || text != want {
		t.Errorf("the second transfer: %d %s", status, text)
	}
	b.must("TransactWriteItems", `{"TransactItems":[{"Delete":{"TableName":"users","Key":{"id":{"S":"open"}}}}]}`)
	if status, text := send("1"); status != 400 || !strings.Contains(text, "specific reasons [None, None, ConditionalCheckFailed]") {
		t.Errorf("the third transfer: %d %s", status, text)
	}
	balances(`{"Responses":[{"Item":{"n":{"N":"3"}}},{"Item":{"id":{"S":"b"},"n":{"N":"7"}}}]}`)
}

func TestTransactionsThatAreRefused(t *testing.T) {
	b := newBed(t)
	b.declare(hashTable("users"))
	deletion := func(i int) string { return `{"Delete":{"TableName":"users","Key":` + keyOf(i) + `}}` }
	for _, row := range []struct{ items, want string }{
		{"", "1 validation error detected: Value null at 'transactItems'"},
		{repeat(101, deletion), "1 validation error detected: Value at 'transactItems'"},
		{deletion(1) + "," + deletion(1), "Transaction request cannot include multiple operations on one item"},
		{`{"Put":{"TableName":"users","Item":` + keyOf(1) + `},"Delete":{"TableName":"users","Key":` + keyOf(1) + `}}`, "TransactItems can only contain one of Check, Put, Update or Delete"},
		{`{"put":{"TableName":"users","Item":` + keyOf(1) + `}}`, "unknown parameter put: it is spelled Put"},
	} {
		b.fails("TransactWriteItems", `{"TransactItems":[`+row.items+`]}`, validation, row.want)
	}
	b.must("TransactWriteItems", `{"TransactItems":[`+repeat(100, deletion)+`]}`)
	b.fails("TransactWriteItems", `{"TransactItems":[{"Update":{"TableName":"users","Key":`+keyOf(1)+`,"UpdateExpression":"SET n = gone"}}]}`, "TransactionCanceledException",
		"Transaction cancelled, please refer cancellation reasons for specific reasons [ValidationError]")
}

func TestATokenMakesATransactionOnce(t *testing.T) {
	b := newBed(t)
	b.declare(hashTable("users"))
	add := func(amount string) string {
		return `{"ClientRequestToken":"x","TransactItems":[{"Update":{"TableName":"users","Key":{"id":{"S":"a"}},"UpdateExpression":"ADD n :n","ExpressionAttributeValues":{":n":{"N":"` + amount + `"}}}}]}`
	}
	n := func(want string) {
		t.Helper()
		b.is("GetItem", `{"TableName":"users","Key":{"id":{"S":"a"}},"ProjectionExpression":"n"}`, `{"Item":{"n":{"N":"`+want+`"}}}`)
	}
	b.must("TransactWriteItems", add("1"))
	b.must("TransactWriteItems", add("1"))
	n("1")
	b.fails("TransactWriteItems", add("2"), "IdempotentParameterMismatchException", "The request uses the same client token")
	b.clock = b.clock.Add(tokenLife - time.Second)
	b.must("TransactWriteItems", add("1"))
	n("1")
	b.clock = b.clock.Add(time.Second)
	b.must("TransactWriteItems", add("2"))
	n("3")
}
