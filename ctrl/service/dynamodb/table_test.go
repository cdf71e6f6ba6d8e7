package dynamodb

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

const definition = `"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],"BillingMode":"PAY_PER_REQUEST"`

func (b *bed) tables(account, region string) []string {
	b.t.Helper()
	_, text := b.askAs(account, region, "ListTables", `{}`)
	var answer struct{ TableNames []string }
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		b.t.Fatal(err)
	}
	return answer.TableNames
}

func TestTablesComeAndGo(t *testing.T) {
	b := newBed(t)
	b.fails("DescribeTable", `{"TableName":"users"}`, "ResourceNotFoundException", "Requested resource not found: Table: users not found")
	b.fails("PutItem", `{"TableName":"users","Item":{"id":{"S":"a"}}}`, "ResourceNotFoundException", "Requested resource not found")
	if text := b.must("CreateTable", `{"TableName":"users",`+definition+`}`); !strings.Contains(text, `"TableStatus":"CREATING"`) {
		t.Errorf("created: %s", text)
	}
	b.fails("CreateTable", `{"TableName":"users",`+definition+`}`, "ResourceInUseException", "Table already exists: users")
	b.must("PutItem", `{"TableName":"users","Item":{"id":{"S":"a"},"x":{"S":"yz"}}}`)
	text := b.must("DescribeTable", `{"TableName":"users"}`)
	for _, want := range []string{`"TableStatus":"ACTIVE"`, `"ItemCount":1`, `"TableSizeBytes":6`, `"CreationDateTime":1767323045`, `"TableArn":"arn:aws:dynamodb:us-east-1:111111111111:table/users"`,
		`"BillingModeSummary":{"BillingMode":"PAY_PER_REQUEST"}`, `"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]`} {
		if !strings.Contains(text, want) {
			t.Errorf("described: %s\nwant %s", text, want)
		}
	}
	b.must("DeleteTable", `{"TableName":"users"}`)
	b.fails("DeleteTable", `{"TableName":"users"}`, "ResourceNotFoundException", "Requested resource not found: Table: users not found")
	b.must("CreateTable", `{"TableName":"users",`+definition+`}`)
	b.is("Scan", `{"TableName":"users"}`, `{"Count":0,"Items":[],"ScannedCount":0}`)
}

func TestTablesAreOfAnAccountAndARegion(t *testing.T) {
	b := newBed(t)
	b.must("CreateTable", `{"TableName":"users",`+definition+`}`)
	for _, row := range []struct {
		account, region string
		want            []string
	}{{ours1, us, []string{"users"}}, {ours1, eu, []string{}}, {other, us, []string{}}} {
		if got := b.tables(row.account, row.region); !slices.Equal(got, row.want) {
			t.Errorf("%s in %s has %v, want %v", row.account, row.region, got, row.want)
		}
	}
	const users = `{"TableName":"arn:aws:dynamodb:us-east-1:111111111111:table/users"}`
	if status, text := b.askAs(other, us, "Scan", users); status != 200 {
		t.Errorf("by its ARN: %d %s", status, text)
	}
	if status, text := b.askAs(other, eu, "Scan", users); status != 400 || !strings.Contains(text, "is not of this endpoint's region, eu-west-1") {
		t.Errorf("by its ARN in another region: %d %s", status, text)
	}
	b.fails("Scan", `{"TableName":"arn:aws:s3:::bucket"}`, validation, "Invalid table ARN: arn:aws:s3:::bucket")
	b.fails("Scan", `{"TableName":"a/b"}`, validation, "Invalid table/index name.")
}

func TestListsHavePages(t *testing.T) {
	b := newBed(t)
	b.declare(hashTable("aaa"), hashTable("bbb"), hashTable("ccc"))
	b.is("ListTables", `{"Limit":2}`, `{"LastEvaluatedTableName":"bbb","TableNames":["aaa","bbb"]}`)
	b.is("ListTables", `{"Limit":2,"ExclusiveStartTableName":"bbb"}`, `{"TableNames":["ccc"]}`)
	b.is("ListTables", `{}`, `{"TableNames":["aaa","bbb","ccc"]}`)
	b.fails("ListTables", `{"Limit":0}`, validation, "1 validation error detected: Value '0' at 'limit'")
}

func TestTablesThatAreRefused(t *testing.T) {
	b := newBed(t)
	attributes := func(schema, definitions string) string {
		return `"BillingMode":"PAY_PER_REQUEST","KeySchema":[` + schema + `],"AttributeDefinitions":[` + definitions + `]`
	}
	const hash, sort, id, at = `{"AttributeName":"id","KeyType":"HASH"}`, `{"AttributeName":"at","KeyType":"RANGE"}`, `{"AttributeName":"id","AttributeType":"S"}`, `{"AttributeName":"at","AttributeType":"N"}`
	for _, row := range []struct{ members, want string }{
		{attributes("", ""), "1 validation error detected: Value at 'keySchema'"},
		{attributes(sort, at), "Invalid KeySchema: The first KeySchemaElement is not a HASH key type"},
		{attributes(hash+","+hash, id), "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type"},
		{attributes(hash+","+sort, id), "One or more parameter values were invalid: Some index key attributes are not defined in AttributeDefinitions. Keys: [at]"},
		{attributes(hash, id+","+at), "One or more parameter values were invalid: Number of attributes in KeySchema does not exactly match"},
		{attributes(hash, `{"AttributeName":"id","AttributeType":"BOOL"}`), "1 validation error detected: Value 'BOOL' at"},
		{attributes(hash+`,{"AttributeName":"id","KeyType":"RANGE"}`, id), "Both the Hash Key and the Range Key element in the KeySchema have the same name"},
		{definition + `,"ProvisionedThroughput":{"ReadCapacityUnits":1,"WriteCapacityUnits":1}`, "One or more parameter values were invalid: Neither ReadCapacityUnits"},
		{definition + `,"BillingMode":"PROVISIONED"`, "One or more parameter values were invalid: ReadCapacityUnits and WriteCapacityUnits must both"},
		{definition + `,"BillingMode":"PROVISIONED","ProvisionedThroughput":{"ReadCapacityUnits":0,"WriteCapacityUnits":1}`, "1 validation error detected: Value at 'provisionedThroughput'"},
		{definition + `,"GlobalSecondaryIndexes":[{}]`, "vpclab's DynamoDB does not support secondary indexes"},
		{definition + `,"LocalSecondaryIndexes":[{}]`, "vpclab's DynamoDB does not support secondary indexes"},
		{definition + `,"StreamSpecification":{"StreamEnabled":true}`, "vpclab's DynamoDB does not support streams"},
		{definition + `,"DeletionProtectionEnabled":true`, "vpclab's DynamoDB does not support deletion protection"},
		{definition + `,"TableClass":"STANDARD_INFREQUENT_ACCESS"`, "vpclab's DynamoDB supports the table class STANDARD alone"},
		{definition + `,"Tags":[]`, "vpclab's DynamoDB does not support the parameter Tags"},
	} {
		b.fails("CreateTable", `{"TableName":"users",`+row.members+`}`, validation, row.want)
	}
	b.must("CreateTable", `{"TableName":"users",`+attributes(hash+","+sort, at+","+id)+`,"DeletionProtectionEnabled":false,"StreamSpecification":{"StreamEnabled":false}}`)
	b.must("CreateTable", `{"TableName":"provisioned",`+definition+`,"BillingMode":"PROVISIONED","ProvisionedThroughput":{"ReadCapacityUnits":5,"WriteCapacityUnits":6}}`)
	if text := b.must("DescribeTable", `{"TableName":"provisioned"}`); !strings.Contains(text, `"ReadCapacityUnits":5,"WriteCapacityUnits":6`) || strings.Contains(text, "BillingModeSummary") {
		t.Errorf("described: %s", text)
	}
}

func TestDeclaredTablesFollowTheScenario(t *testing.T) {
	b := newBed(t)
	item, count := func(table string) string {
		return `{"TableName":"` + table + `","Item":{"id":{"S":"a"},"seq":{"N":"1"}}}`
	}, func(table string) string { return `{"TableName":"` + table + `","Select":"COUNT"}` }
	b.declare(hashTable("users"), hashTable("orders"))
	b.must("CreateTable", `{"TableName":"mine",`+definition+`}`)
	for _, table := range []string{"users", "orders", "mine"} {
		b.must("PutItem", item(table))
	}
	b.declare(hashTable("users"), sortTable("orders"))
	b.is("Scan", count("users"), `{"Count":1,"ScannedCount":1}`)  // kept
	b.is("Scan", count("orders"), `{"Count":0,"ScannedCount":0}`) // of another key: made anew
	b.declare(hashTable("orders"))
	if got, want := b.tables(ours1, us), []string{"mine", "orders"}; !slices.Equal(got, want) {
		t.Errorf("tables are %v, want %v", got, want)
	}
	if err := b.server.Update([]*vpc.Table{sortTable("mine")}); err == nil || !strings.HasSuffix(err.Error(), "table/mine: a client made one of this name with another key: delete it first") {
		t.Errorf("a client's table of another key: %v", err)
	}
	b.declare(hashTable("mine")) // adopted
	b.is("Scan", count("mine"), `{"Count":1,"ScannedCount":1}`)
	b.declare()
	if got := b.tables(ours1, us); len(got) > 0 {
		t.Errorf("tables are %v, want none", got)
	}
}

func TestTheStoreOutlivesTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tables")
	t.Run("before", func(t *testing.T) {
		b := newBedWith(t, Config{Path: path})
		b.declare(hashTable("users"), hashTable("gone"))
		b.must("PutItem", `{"TableName":"users","Item":{"id":{"S":"a"},"n":{"N":"99999999999999999999999999999999999999"},"b":{"B":"AP8="}}}`)
		if _, err := New(Config{Path: path}); err == nil || err.Error() != "open "+path+": another process has it" {
			t.Errorf("a second one: %v", err)
		}
	})
	b := newBedWith(t, Config{Path: path})
	b.declare(hashTable("users"))
	b.is("GetItem", `{"TableName":"users","Key":{"id":{"S":"a"}}}`, `{"Item":{"b":{"B":"AP8="},"id":{"S":"a"},"n":{"N":"99999999999999999999999999999999999999"}}}`)
	if got := b.tables(ours1, us); !slices.Equal(got, []string{"users"}) {
		t.Errorf("tables are %v: what an earlier process declared is gone with its declaration", got)
	}
}
