package dynamodb

import (
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/vpclab/vpclab/ctrl/service"
)

func TestTheGateIsAskedForEachTable(t *testing.T) {
	const users, orders = "arn:aws:dynamodb:us-east-1:111111111111:table/users", "arn:aws:dynamodb:us-east-1:111111111111:table/orders"
	type keys = map[string][]string
	for _, row := range []struct {
		operation, body string
		want            []service.Access
	}{
		{"ListTables", `{}`, []service.Access{{Action: "dynamodb:ListTables", Resource: "*"}}},
		{"DescribeEndpoints", `{}`, []service.Access{{Action: "dynamodb:DescribeEndpoints", Resource: "*"}}},
		{"DescribeTable", `{"TableName":"users"}`, []service.Access{{Action: "dynamodb:DescribeTable", Resource: users, Keys: keys{}}}},
		{"GetItem", `{"TableName":"users","Key":{"id":{"S":"a"}}}`, []service.Access{{Action: "dynamodb:GetItem", Resource: users, Keys: keys{"dynamodb:LeadingKeys": {"a"}}}}},
		{"GetItem", `{"TableName":"users","Key":{"id":{"S":"a"}},"ProjectionExpression":"x.y, #z","ExpressionAttributeNames":{"#z":"z"}}`,
			[]service.Access{{Action: "dynamodb:GetItem", Resource: users, Keys: keys{"dynamodb:LeadingKeys": {"a"}, "dynamodb:Attributes": {"x", "z"}}}}},
		{"PutItem", `{"TableName":"users","Item":{"id":{"S":"a"},"x":{"S":"y"}},"ReturnValues":"ALL_OLD","ConditionExpression":"attribute_not_exists(w)"}`,
			[]service.Access{{Action: "dynamodb:PutItem", Resource: users, Keys: keys{"dynamodb:LeadingKeys": {"a"}, "dynamodb:Attributes": {"id", "w", "x"}, "dynamodb:ReturnValues": {"ALL_OLD"}}}}},
		{"UpdateItem", `{"TableName":"users","Key":{"id":{"S":"a"}},"UpdateExpression":"SET x = if_not_exists(y, :v) REMOVE z","ExpressionAttributeValues":{":v":{"S":"v"}}}`,
			[]service.Access{{Action: "dynamodb:UpdateItem", Resource: users, Keys: keys{"dynamodb:LeadingKeys": {"a"}, "dynamodb:Attributes": {"x", "y", "z"}}}}},
		{"Query", `{"TableName":"users","KeyConditionExpression":"id = :i","ExpressionAttributeValues":{":i":{"S":"a"}},"Select":"COUNT"}`,
			[]service.Access{{Action: "dynamodb:Query", Resource: users, Keys: keys{"dynamodb:LeadingKeys": {"a"}, "dynamodb:Select": {"COUNT"}}}}},
		{"Scan", `{"TableName":"users"}`, []service.Access{{Action: "dynamodb:Scan", Resource: users, Keys: keys{}}}},
		{"BatchGetItem", `{"RequestItems":{"users":{"Keys":[{"id":{"S":"b"}},{"id":{"S":"a"}}]},"orders":{"Keys":[{"id":{"S":"c"}}]}}}`, []service.Access{
			{Action: "dynamodb:BatchGetItem", Resource: orders, Keys: keys{"dynamodb:LeadingKeys": {"c"}}}, {Action: "dynamodb:BatchGetItem", Resource: users, Keys: keys{"dynamodb:LeadingKeys": {"a", "b"}}}}},
		{"BatchWriteItem", `{"RequestItems":{"users":[{"PutRequest":{"Item":{"id":{"S":"b"}}}},{"DeleteRequest":{"Key":{"id":{"S":"a"}}}}]}}`,
			[]service.Access{{Action: "dynamodb:BatchWriteItem", Resource: users, Keys: keys{"dynamodb:LeadingKeys": {"a", "b"}}}}},
		{"TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"users","Item":{"id":{"S":"a"}}}},{"ConditionCheck":{"TableName":"orders","Key":{"id":{"S":"b"}},"ConditionExpression":"attribute_not_exists(id)"}}]}`, []service.Access{
			{Action: "dynamodb:PutItem", Resource: users, Keys: keys{"dynamodb:LeadingKeys": {"a"}, "dynamodb:Attributes": {"id"}}}, {Action: "dynamodb:ConditionCheckItem", Resource: orders, Keys: keys{"dynamodb:LeadingKeys": {"b"}}}}},
		{"TransactGetItems", `{"TransactItems":[{"Get":{"TableName":"orders","Key":{"id":{"S":"a"}}}}]}`, []service.Access{{Action: "dynamodb:GetItem", Resource: orders, Keys: keys{"dynamodb:LeadingKeys": {"a"}}}}},
	} {
		b := newBed(t)
		b.declare(hashTable("users"), hashTable("orders"))
		b.must(row.operation, row.body)
		for i := range row.want {
			row.want[i].Account = ours1
		}
		if !reflect.DeepEqual(b.gate.asked, row.want) {
			t.Errorf("%s %s:\n  asked %+v\n   want %+v", row.operation, row.body, b.gate.asked, row.want)
		}
	}
}

func TestWhatTheGateDeniesIsNotDone(t *testing.T) {
	b := newBed(t)
	b.declare(hashTable("users"), hashTable("orders"))
	b.gate.deny = func(a service.Access) bool {
		return strings.HasSuffix(a.Resource, "/users") && a.Action != "dynamodb:Scan"
	}
	const put, message = `"Put":{"TableName":"%","Item":{"id":{"S":"a"}}}`, "User: somebody is not authorized to perform: dynamodb:"
	for _, row := range []struct{ operation, body string }{
		{"PutItem", `{"TableName":"%","Item":{"id":{"S":"a"}}}`},
		{"BatchWriteItem", `{"RequestItems":{"%":[` + putOf(1) + `]}}`},
		{"TransactWriteItems", `{"TransactItems":[{` + put + `}]}`},
		{"DeleteTable", `{"TableName":"%"}`},
	} {
		b.fails(row.operation, strings.ReplaceAll(row.body, "%", "users"), "AccessDeniedException", message)
		b.must(row.operation, strings.ReplaceAll(row.body, "%", "orders"))
	}
	b.is("Scan", `{"TableName":"users","Select":"COUNT"}`, `{"Count":0,"ScannedCount":0}`)
	b.fails("GetItem", `{"TableName":"nobody/users"}`, validation, "Invalid table/index name.")
}

// One who may read one table cannot name another in letters that only some decoders take.
func TestMembersAreSpelledOneWay(t *testing.T) {
	b := newBed(t)
	b.declare(hashTable("users"), hashTable("secret"))
	b.fails("Scan", `{"TableName":"users","tablename":"secret"}`, validation, "unknown parameter tablename: it is spelled TableName")
	b.fails("Scan", `{"tableName":"secret"}`, validation, "unknown parameter tableName: it is spelled TableName")
	b.fails("BatchGetItem", `{"RequestItems":{"users":{"Keys":[{"id":{"S":"a"}}],"keys":[]}}}`, validation, "unknown parameter keys: it is spelled Keys")
	b.fails("TransactGetItems", `{"TransactItems":[{"Get":{"TableName":"users","TABLENAME":"secret","Key":{"id":{"S":"a"}}}}]}`, validation, "unknown parameter TABLENAME: it is spelled TableName")
	if len(b.gate.asked) > 0 {
		t.Errorf("the gate was asked %v", b.gate.asked)
	}
	b.must("Scan", `{"TableName":"secret","TableName":"users"}`)
	if got := b.gate.asked[0].Resource; !strings.HasSuffix(got, "/users") {
		t.Errorf("asked about %s: the last of two counts", got)
	}
	b.must("PutItem", `{"TableName":"users","Item":{"id":{"S":"a"},"item":{"S":"x"},"ITEM":{"S":"y"},"keys":{"M":{"Put":{"S":"z"},"put":{"S":"z"}}}}}`)
	b.declare(hashTable("keys"))
	b.must("BatchGetItem", `{"RequestItems":{"keys":{"Keys":[{"id":{"S":"a"}}]}}}`)
}

func TestPoliciesChangeAtOnce(t *testing.T) {
	b := newBed(t)
	users := hashTable("users")
	for _, policy := range []string{"", `{"Version":"2012-10-17","Statement":[]}`, ""} {
		users.Policy = policy
		b.declare(users)
		b.gate.asked = nil
		b.must("Scan", `{"TableName":"users"}`)
		if got := b.gate.asked[0].Policy; got != policy {
			t.Errorf("the gate was given %q, want %q", got, policy)
		}
	}
}

func TestRequestsThatAreNone(t *testing.T) {
	b := newBed(t)
	b.declare(hashTable("users"))
	b.fails("ExecuteStatement", `{"Statement":"SELECT * FROM users"}`, "UnknownOperationException", "vpclab's DynamoDB does not support the operation ExecuteStatement")
	b.fails("UpdateTable", `{"TableName":"users"}`, "UnknownOperationException", "vpclab's DynamoDB does not support the operation UpdateTable")
	b.fails("", `{}`, "UnknownOperationException", "")
	b.fails("Scan", `{`, "SerializationException", "unexpected EOF")
	b.fails("Scan", `[]`, "SerializationException", "json: cannot unmarshal array")
	b.fails("Scan", `{"TableName":7}`, "SerializationException", "json: cannot unmarshal number")
	b.fails("Scan", `{"TableName":"users","Limit":"x"}`, "SerializationException", "json: cannot unmarshal string")
	b.fails("Scan", `{}`, validation, "1 validation error detected: Value null at 'tableName'")
	b.fails("Scan", `"`+strings.Repeat("x", maxBody)+`"`, "RequestEntityTooLargeException", "Request size exceeded the limit of 16 MB")
	b.is("DescribeEndpoints", `{}`, `{"Endpoints":[{"Address":"dynamodb.us-east-1.amazonaws.com","CachePeriodInMinutes":1440}]}`)
	answer, err := http.Get(b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK || answer.ContentLength != int64(len("healthy: dynamodb.us-east-1.amazonaws.com ")) {
		t.Errorf("GET: %+v", answer)
	}
}
