package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/vpclab/vpclab/ctrl/service"
)

func (b *bed) sdk() *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{Region: us, BaseEndpoint: &b.url, Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: ours1, SecretAccessKey: "secret"}, nil
		})})
}

func text(s string) *types.AttributeValueMemberS    { return &types.AttributeValueMemberS{Value: s} }
func decimal(s string) *types.AttributeValueMemberN { return &types.AttributeValueMemberN{Value: s} }

// AWS's own client finds what it expects: shapes, errors' types, checksums, pages, waiters.
func TestTheSDKFindsDynamoDB(t *testing.T) {
	b := newBed(t)
	ctx, client, table := t.Context(), b.sdk(), aws.String("orders")
	_, err := client.CreateTable(ctx, &dynamodb.CreateTableInput{TableName: table, BillingMode: types.BillingModePayPerRequest,
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}, {AttributeName: aws.String("n"), KeyType: types.KeyTypeRange}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}, {AttributeName: aws.String("n"), AttributeType: types.ScalarAttributeTypeN}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := dynamodb.NewTableExistsWaiter(client).Wait(ctx, &dynamodb.DescribeTableInput{TableName: table}, time.Minute); err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		item := map[string]types.AttributeValue{"id": text("a"), "n": decimal(fmt.Sprint(n)), "raw": &types.AttributeValueMemberB{Value: []byte{0, 255}}, "tags": &types.AttributeValueMemberSS{Value: []string{"x", "y"}},
			"nested": &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{"list": &types.AttributeValueMemberL{Value: []types.AttributeValue{&types.AttributeValueMemberNULL{Value: true}, &types.AttributeValueMemberBOOL{}}}}}}
		if _, err := client.PutItem(ctx, &dynamodb.PutItemInput{TableName: table, Item: item}); err != nil {
			t.Fatal(err)
		}
	}
	pages := dynamodb.NewQueryPaginator(client, &dynamodb.QueryInput{TableName: table, KeyConditionExpression: aws.String("id = :id"), ExpressionAttributeValues: map[string]types.AttributeValue{":id": text("a")}, Limit: aws.Int32(2)})
	var found []string
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			found = append(found, item["n"].(*types.AttributeValueMemberN).Value)
		}
	}
	if !slices.Equal(found, []string{"0", "1", "2", "3", "4"}) {
		t.Errorf("found %v", found)
	}
	out, err := client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: table, Key: map[string]types.AttributeValue{"id": text("a"), "n": decimal("1")}, UpdateExpression: aws.String("SET nested.#l[1] = :v DELETE tags :gone"),
		ExpressionAttributeNames: map[string]string{"#l": "list"}, ExpressionAttributeValues: map[string]types.AttributeValue{":v": decimal("7"), ":gone": &types.AttributeValueMemberSS{Value: []string{"x"}}}, ReturnValues: types.ReturnValueAllNew})
	if err != nil {
		t.Fatal(err)
	}
	if got := out.Attributes["tags"].(*types.AttributeValueMemberSS).Value; !slices.Equal(got, []string{"y"}) {
		t.Errorf("tags are %v", got)
	}
}

func TestTheSDKKnowsTheErrors(t *testing.T) {
	b := newBed(t)
	b.declare(hashTable("users"))
	ctx, client, table := t.Context(), b.sdk(), aws.String("users")
	item := map[string]types.AttributeValue{"id": text("a")}
	_, err := client.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String("nobody"), Key: item})
	if _, ok := errors.AsType[*types.ResourceNotFoundException](err); !ok {
		t.Errorf("no table: %v", err)
	}
	once := &dynamodb.PutItemInput{TableName: table, Item: item, ConditionExpression: aws.String("attribute_not_exists(id)"), ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}
	if _, err := client.PutItem(ctx, once); err != nil {
		t.Error(err)
	}
	_, err = client.PutItem(ctx, once)
	if e, ok := errors.AsType[*types.ConditionalCheckFailedException](err); !ok || len(e.Item) != 1 {
		t.Errorf("a second time: %v", err)
	}
	_, err = client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{{Put: &types.Put{TableName: table, Item: item, ConditionExpression: once.ConditionExpression}}}})
	if e, ok := errors.AsType[*types.TransactionCanceledException](err); !ok || len(e.CancellationReasons) != 1 || *e.CancellationReasons[0].Code != "ConditionalCheckFailed" {
		t.Errorf("in a transaction: %v", err)
	}
	b.gate.deny = func(service.Access) bool { return true }
	_, err = client.GetItem(ctx, &dynamodb.GetItemInput{TableName: table, Key: item})
	if e, ok := errors.AsType[smithy.APIError](err); !ok || e.ErrorCode() != "AccessDeniedException" || e.ErrorMessage() != "User: somebody is not authorized to perform: dynamodb:GetItem on resource: arn:aws:dynamodb:us-east-1:111111111111:table/users" {
		t.Errorf("denied: %v", err)
	}
}
