package dynamodb

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
)

// pageOf is what tests look at of a query's or scan's answer.
type pageOf struct {
	Items               []attribute.Item
	Count, ScannedCount int
	LastEvaluatedKey    attribute.Item
}

func (b *bed) page(operation, members string) (p pageOf) {
	b.t.Helper()
	if err := json.Unmarshal([]byte(b.must(operation, `{"TableName":"events",`+members+`}`)), &p); err != nil {
		b.t.Fatal(err)
	}
	return p
}

func (p pageOf) ats() (all []string) {
	for _, i := range p.Items {
		all = append(all, i["seq"].Plain())
	}
	return all
}

func TestQueriesFindARange(t *testing.T) {
	b := newBed(t)
	b.declare(sortTable("events"))
	b.events("a", 3)
	b.events("b", 12)
	b.must("PutItem", `{"TableName":"events","Item":{"id":{"S":"b"},"seq":{"N":"-2.5"}}}`)
	for _, row := range []struct{ condition, more, want string }{
		{"", "", "-2.5 1 2 3 4 5 6 7 8 9 10 11 12"},
		{"", `"ScanIndexForward":false,`, "12 11 10 9 8 7 6 5 4 3 2 1 -2.5"},
		{" AND seq = :two", "", "2"},
		{" AND seq < :two", "", "-2.5 1"},
		{" AND seq <= :two", "", "-2.5 1 2"},
		{" AND seq > :ten", "", "11 12"},
		{" AND seq >= :ten", "", "10 11 12"},
		{" AND seq > :ten", `"ScanIndexForward":false,`, "12 11"},
		{" AND seq BETWEEN :two AND :ten", "", "2 3 4 5 6 7 8 9 10"},
		{" AND seq BETWEEN :two AND :ten", `"Limit":3,`, "2 3 4"},
		{" AND seq BETWEEN :two AND :ten", `"Limit":3,"ScanIndexForward":false,`, "10 9 8"},
		{" AND seq BETWEEN :two AND :ten", `"FilterExpression":"odd = :true",`, "3 5 7 9"},
		{" AND seq BETWEEN :two AND :ten", `"FilterExpression":"odd = :true","Limit":3,`, "3"},
	} {
		values := []string{`":id":{"S":"b"}`}
		for name, v := range map[string]string{":two": `{"N":"2"}`, ":ten": `{"N":"10"}`, ":true": `{"BOOL":true}`} {
			if strings.Contains(row.condition+row.more, name) {
				values = append(values, fmt.Sprintf("%q:%s", name, v))
			}
		}
		p := b.page("Query", row.more+`"KeyConditionExpression":"id = :id`+row.condition+`","ExpressionAttributeValues":{`+strings.Join(values, ",")+`}`)
		if got := strings.Join(p.ats(), " "); got != row.want {
			t.Errorf("%s %s: got %s, want %s", row.condition, row.more, got, row.want)
		}
	}
}

func TestQueriesByTextAndBytes(t *testing.T) {
	b := newBed(t)
	text, raw := hashTable("events"), hashTable("raw")
	text.Sort.Name, text.Sort.Type = "seq", "S"
	raw.Sort.Name, raw.Sort.Type = "seq", "B"
	b.declare(text, raw)
	for _, at := range []string{"a", "ab", "abc", "b", "ü"} {
		b.must("PutItem", `{"TableName":"events","Item":{"id":{"S":"x"},"seq":{"S":"`+at+`"}}}`)
	}
	for _, at := range []string{"AA==", "/w==", "//8="} {
		b.must("PutItem", `{"TableName":"raw","Item":{"id":{"S":"x"},"seq":{"B":"`+at+`"}}}`)
	}
	p := b.page("Query", `"KeyConditionExpression":"id = :x AND begins_with(seq, :a)","ExpressionAttributeValues":{":x":{"S":"x"},":a":{"S":"ab"}}`)
	if got := p.ats(); !slices.Equal(got, []string{"ab", "abc"}) {
		t.Errorf("begins_with finds %v", got)
	}
	b.is("Query", `{"TableName":"raw","KeyConditionExpression":"id = :x AND begins_with(seq, :a)","ExpressionAttributeValues":{":x":{"S":"x"},":a":{"B":"/w=="}},"ScanIndexForward":false,"ProjectionExpression":"seq"}`,
		`{"Count":2,"Items":[{"seq":{"B":"//8="}},{"seq":{"B":"/w=="}}],"ScannedCount":2}`)
}

// Page by page, forwards, backwards and in segments, everything comes once.
func TestPagesCoverEverything(t *testing.T) {
	b := newBed(t)
	b.declare(sortTable("events"))
	for _, id := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		b.events(id, 5)
	}
	query := `"KeyConditionExpression":"id = :id","ExpressionAttributeValues":{":id":{"S":"c"}}`
	for _, row := range []struct {
		operation string
		members   []string
		want      int
	}{
		{"Scan", []string{`"Limit":4`}, 35},
		{"Scan", []string{`"Limit":35`}, 35},
		{"Scan", []string{`"Limit":2,"Segment":0,"TotalSegments":3`, `"Limit":2,"Segment":1,"TotalSegments":3`, `"Limit":2,"Segment":2,"TotalSegments":3`}, 35},
		{"Query", []string{query + `,"Limit":2`}, 5},
		{"Query", []string{query + `,"Limit":2,"ScanIndexForward":false`}, 5},
	} {
		seen := map[string]bool{}
		for _, members := range row.members {
			start := ""
			for {
				p := b.page(row.operation, members+start)
				for _, i := range p.Items {
					k := i["id"].Text + i["seq"].Plain()
					if seen[k] {
						t.Errorf("%v: %s comes twice", row.members, k)
					}
					seen[k] = true
				}
				if p.LastEvaluatedKey == nil {
					break
				}
				text, _ := json.Marshal(p.LastEvaluatedKey)
				start = `,"ExclusiveStartKey":` + string(text)
			}
		}
		if len(seen) != row.want {
			t.Errorf("%v: %d items, want %d", row.members, len(seen), row.want)
		}
	}
}

func TestAPageIsAMegabyte(t *testing.T) {
	b := newBed(t)
	b.declare(sortTable("events"))
	for i := range 4 {
		b.must("PutItem", fmt.Sprintf(`{"TableName":"events","Item":{"id":{"S":"a"},"seq":{"N":"%d"},"x":{"S":"%s"}}}`, i, strings.Repeat("x", 390<<10)))
	}
	p := b.page("Scan", `"Select":"COUNT"`)
	if p.Count != 2 || p.LastEvaluatedKey["seq"].Plain() != "1" {
		t.Errorf("the first page has %d, up to %v", p.Count, p.LastEvaluatedKey)
	}
	p = b.page("Scan", `"Select":"COUNT","ExclusiveStartKey":{"id":{"S":"a"},"seq":{"N":"1"}}`)
	if p.Count != 2 || p.LastEvaluatedKey != nil {
		t.Errorf("the second page has %d, up to %v", p.Count, p.LastEvaluatedKey)
	}
}

func TestQueriesAndScansThatAreRefused(t *testing.T) {
	b := newBed(t)
	b.declare(sortTable("events"))
	key := func(condition, values string) string {
		return `"KeyConditionExpression":"` + condition + `","ExpressionAttributeValues":{` + values + `}`
	}
	id := key("id = :a", `":a":{"S":"a"}`)
	for _, row := range []struct{ operation, members, want string }{
		{"Query", `"Limit":1`, "Either the KeyConditions or KeyConditionExpression parameter must be specified"},
		{"Query", id + `,"IndexName":"x"`, "The table does not have the specified index: x"},
		{"Query", id + `,"Limit":0`, "1 validation error detected: Value '0' at 'limit'"},
		{"Query", key("seq = :a", `":a":{"N":"1"}`), "Query condition missed key schema element: id"},
		{"Query", key("id = :a", `":a":{"N":"1"}`), "One or more parameter values were invalid: Condition parameter type does not match schema type"},
		{"Query", key("id = :a AND seq = :a", `":a":{"S":"1"}`), "One or more parameter values were invalid: Condition parameter type does not match schema type"},
		{"Query", id + `,"FilterExpression":"attribute_exists(seq)"`, "Filter Expression can only contain non-primary key attributes: Primary key attribute: seq"},
		{"Query", id + `,"ExclusiveStartKey":{"id":{"S":"b"},"seq":{"N":"1"}}`, "The provided starting key is outside query boundaries based on provided conditions"},
		{"Query", id + `,"ExclusiveStartKey":{"id":{"S":"b"}}`, "The provided starting key is invalid: The provided key element does not match the schema"},
		{"Query", id + `,"Select":"SPECIFIC_ATTRIBUTES"`, "Must specify the AttributesToGet or ProjectionExpression"},
		{"Query", id + `,"Select":"COUNT","ProjectionExpression":"x"`, "Cannot specify the ProjectionExpression when choosing to get COUNT"},
		{"Query", id + `,"Select":"ALL_PROJECTED_ATTRIBUTES"`, "One or more parameter values were invalid: ALL_PROJECTED_ATTRIBUTES can be used only"},
		{"Query", id + `,"QueryFilter":{}`, "vpclab's DynamoDB does not support the parameter QueryFilter"},
		{"Scan", `"Segment":1`, "The TotalSegments parameter is required"},
		{"Scan", `"TotalSegments":1`, "The Segment parameter is required"},
		{"Scan", `"Segment":2,"TotalSegments":2`, "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: 2 is not less than TotalSegments: 2"},
		{"Scan", `"Segment":0,"TotalSegments":0`, "1 validation error detected: Value '0' at 'totalSegments'"},
		{"Scan", `"Select":"X"`, "1 validation error detected: Value 'X' at 'select'"},
	} {
		b.fails(row.operation, `{"TableName":"events",`+row.members+`}`, validation, row.want)
	}
	b.is("Query", `{"TableName":"events",`+id+`}`, `{"Count":0,"Items":[],"ScannedCount":0}`)
}
