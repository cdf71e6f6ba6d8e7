package check

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/vpclab/vpclab/ctrl/scenario"
)

// askDynamoDB makes one signed request to DynamoDB with the SDK and its defaults, but for retries: there are none. The item that `get`
// found is the body, as plain JSON; it is empty, and the outcome `ok`, if there is no such item.
func askDynamoDB(p *probe, do scenario.DynamoDBDo) seen {
	credentials, err := p.credentials()
	if err != nil {
		return seenOf(err)
	}
	item, err := itemOf(do.Item)
	if err != nil {
		return seen{err: fmt.Errorf("dynamodb %s %s: %w", do.Op, do.Table, err)}
	}
	base, err := p.baseEndpoint(do.By)
	if err != nil {
		return seen{err: err}
	}
	client := dynamodb.New(dynamodb.Options{
		Region: do.Region, Credentials: credentials, HTTPClient: browser{p}, Retryer: aws.NopRetryer{}, BaseEndpoint: base,
	})
	switch do.Op {
	case scenario.Put:
		if _, err := client.PutItem(p.ctx, &dynamodb.PutItemInput{TableName: &do.Table, Item: item}); err != nil {
			return seenOfService(p, err)
		}
		return seen{outcome: scenario.OK}
	case scenario.Get:
		out, err := client.GetItem(p.ctx, &dynamodb.GetItemInput{TableName: &do.Table, Key: item})
		if err != nil {
			return seenOfService(p, err)
		}
		return seenOfItem(out.Item)
	}
	return seen{err: fmt.Errorf("dynamodb %s: there is no such operation", do.Op)}
}

func seenOfItem(item map[string]types.AttributeValue) seen {
	if item == nil {
		none := ""
		return seen{outcome: scenario.OK, detail: "there is no such item", body: &none}
	}
	text, err := json.Marshal(plainMap(item))
	if err != nil {
		return seen{err: fmt.Errorf("dynamodb item: %w", err)}
	}
	body := string(text)
	return seen{outcome: scenario.OK, detail: clip(body), body: &body}
}

// itemOf reads a JSON object as an item's attributes: a string is S, a number N, true and false BOOL, null NULL, a list L, an object M.
func itemOf(text string) (map[string]types.AttributeValue, error) {
	value, err := readJSON(text)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s is not a JSON object", clip(text))
	}
	return attributes(object), nil
}

func readJSON(text string) (value any, err error) {
	if !json.Valid([]byte(text)) {
		return nil, fmt.Errorf("%s is not JSON", clip(text))
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber() // a number keeps its digits
	err = d.Decode(&value)
	return value, err
}

func attributes(object map[string]any) map[string]types.AttributeValue {
	item := map[string]types.AttributeValue{}
	for name, value := range object {
		item[name] = attribute(value)
	}
	return item
}

func attribute(value any) types.AttributeValue {
	switch v := value.(type) {
	case string:
		return &types.AttributeValueMemberS{Value: v}
	case json.Number:
		return &types.AttributeValueMemberN{Value: v.String()}
	case bool:
		return &types.AttributeValueMemberBOOL{Value: v}
	case []any:
		list := make([]types.AttributeValue, len(v))
		for i, element := range v {
			list[i] = attribute(element)
		}
		return &types.AttributeValueMemberL{Value: list}
	case map[string]any:
		return &types.AttributeValueMemberM{Value: attributes(v)}
	}
	return &types.AttributeValueMemberNULL{Value: true}
}

// plain is an attribute as JSON has it. A set is a list; bytes are base64.
func plain(a types.AttributeValue) any {
	switch a := a.(type) {
	case *types.AttributeValueMemberS:
		return a.Value
	case *types.AttributeValueMemberN:
		return json.Number(a.Value)
	case *types.AttributeValueMemberBOOL:
		return a.Value
	case *types.AttributeValueMemberB:
		return a.Value
	case *types.AttributeValueMemberSS:
		return a.Value
	case *types.AttributeValueMemberNS:
		numbers := make([]json.Number, len(a.Value))
		for i, n := range a.Value {
			numbers[i] = json.Number(n)
		}
		return numbers
	case *types.AttributeValueMemberBS:
		return a.Value
	case *types.AttributeValueMemberL:
		list := make([]any, len(a.Value))
		for i, element := range a.Value {
			list[i] = plain(element)
		}
		return list
	case *types.AttributeValueMemberM:
		return plainMap(a.Value)
	}
	return nil
}

func plainMap(item map[string]types.AttributeValue) map[string]any {
	object := map[string]any{}
	for name, a := range item {
		object[name] = plain(a)
	}
	return object
}

// canonicalJSON is JSON without blanks and with sorted keys; what is no JSON stays as it is.
func canonicalJSON(text string) string {
	value, err := readJSON(text)
	if err != nil {
		return text
	}
	b, err := json.Marshal(value)
	if err != nil {
		return text
	}
	return string(b)
}
