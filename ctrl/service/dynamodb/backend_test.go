package dynamodb

import (
	"slices"
	"strings"
	"testing"

	"github.com/vpclab/vpclab/ctrl/service"
)

// The backend is another Server, whose accounts and regions are those that the proxy tells it.
func TestABackendDoesTheWorkBehindOurGate(t *testing.T) {
	backend := newBed(t)
	b := newBedWith(t, Config{Backend: backend.url})
	orders := hashTable("orders")
	orders.Region, orders.Account = eu, other
	b.declare(hashTable("users"), orders)
	b.declare(hashTable("users"), orders) // again: all is there
	for _, row := range []struct{ account, region, want string }{{ours1, us, "users"}, {other, eu, "orders"}} {
		if got := backend.tables(row.account, row.region); !slices.Equal(got, []string{row.want}) {
			t.Errorf("%s in %s has %v, want %s", row.account, row.region, got, row.want)
		}
	}
	b.must("PutItem", `{"TableName":"users","Item":{"id":{"S":"a"}}}`)
	backend.is("Scan", `{"TableName":"users","Select":"COUNT"}`, `{"Count":1,"ScannedCount":1}`)
	b.fails("PutItem", `{"TableName":"users","Item":{}}`, validation, "One or more parameter values were invalid: Missing the key id")
	b.gate.asked, b.gate.deny = nil, func(a service.Access) bool { return a.Action == "dynamodb:DeleteItem" }
	b.fails("DeleteItem", `{"TableName":"users","Key":{"id":{"S":"a"}}}`, "AccessDeniedException", "User: somebody is not authorized")
	backend.is("Scan", `{"TableName":"users","Select":"COUNT"}`, `{"Count":1,"ScannedCount":1}`)
	if got := b.gate.asked[0].Keys["dynamodb:LeadingKeys"]; !slices.Equal(got, []string{"a"}) {
		t.Errorf("leading keys are %v", got)
	}
	b.gate.asked, b.gate.deny = nil, nil
	b.must("BatchWriteItem", `{"RequestItems":{"users":[{"PutRequest":{"Item":{"id":{"S":"secret"}}}}]}}`)
	b.fails("PutItem", `{"TableName":"users","Key":{"id":{"S":"mine"}},"Item":{"id":{"S":"secret"}}}`, validation, "vpclab's DynamoDB does not support the parameter Key")
	if got := b.gate.asked[1].Keys["dynamodb:LeadingKeys"]; !slices.Equal(got, []string{"mine", "secret"}) {
		t.Errorf("leading keys of a request with two are %v", got)
	}
	b.gate.asked = nil
	for _, hidden := range []string{`{"Statement":"x"}`, `{"Statement":"x","TableName":"users"}`, `{"Statement":"x","TransactItems":[{}]}`} {
		b.fails("ExecuteStatement", hidden, "UnknownOperationException", "")
	}
	b.fails("TransactWriteItems", `{"TransactItems":[{}]}`, validation, "1 validation error detected: Value null at 'transactItems'")
	if len(b.gate.asked) > 0 {
		t.Errorf("the gate was asked %v", b.gate.asked)
	}
	b.fails("UpdateTable", `{"TableName":"users"}`, "UnknownOperationException", "") // says the backend
	if len(b.gate.asked) != 1 || b.gate.asked[0].Action != "dynamodb:UpdateTable" {
		t.Errorf("the gate was asked %v", b.gate.asked)
	}
	b.declare(sortTable("users"))
	b.fails("GetItem", `{"TableName":"users","Key":{"id":{"S":"a"}}}`, validation, "The provided key element does not match the schema")
	if got := backend.tables(other, eu); len(got) > 0 {
		t.Errorf("the backend still has %v", got)
	}
}

func TestABackendThatIsNotThere(t *testing.T) {
	b := newBedWith(t, Config{Backend: "http://127.0.0.1:1"})
	if err := b.server.Update(nil); err != nil {
		t.Errorf("nothing to declare: %v", err)
	}
	if _, text := b.ask("Scan", `{"TableName":"users"}`); !strings.Contains(text, "InternalServerError") || !strings.Contains(text, "backend 127.0.0.1:1: dial tcp") {
		t.Errorf("got %s", text)
	}
	err := b.server.Update(append(declaredIn(eu, "orders"), declaredIn(us, "users")...))
	if err == nil || strings.Count(err.Error(), "connection refused") != 2 {
		t.Errorf("two tables: %v", err)
	}
}

func TestBackendsAreURLs(t *testing.T) {
	for _, bad := range []string{"localhost:8000", "ftp://x", "http://", "%"} {
		if _, err := New(Config{Backend: bad}); err == nil || !strings.HasSuffix(err.Error(), "want a URL such as http://127.0.0.1:8000") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
