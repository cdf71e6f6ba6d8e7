package dynamodb

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

type (
	keyElement          struct{ AttributeName, KeyType string }
	attributeDefinition struct{ AttributeName, AttributeType string }
	throughput          struct{ ReadCapacityUnits, WriteCapacityUnits int64 }
	billingMode         struct{ BillingMode string }

	createTableRequest struct {
		TableName                 string
		KeySchema                 []keyElement
		AttributeDefinitions      []attributeDefinition
		BillingMode               string
		ProvisionedThroughput     *throughput
		DeletionProtectionEnabled bool
		GlobalSecondaryIndexes    []any
		LocalSecondaryIndexes     []any
		StreamSpecification       struct{ StreamEnabled bool }
		TableClass                string
	}
)

func (s *Server) createTable(ctx context.Context, r *createTableRequest) (any, error) {
	n, err := s.resolve(ctx, r.TableName)
	if err != nil {
		return nil, err
	}
	t, err := r.table()
	if err != nil {
		return nil, err
	}
	t.ID, t.Created = tableID(), s.now()
	err = s.store.db.Update(func(tx *bbolt.Tx) error {
		if tx.Bucket(tablesBucket).Get(n.key()) != nil {
			return failed("ResourceInUseException", "Table already exists: %s", n.Name)
		}
		return t.put(tx, n)
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{"TableDescription": t.describe(n, "CREATING", 0, 0)}, nil
}

// tableID is a random UUID.
func tableID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)                        // it never fails
	b[6], b[8] = b[6]&0xf|0x40, b[8]&0x3f|0x80 // version 4
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// table is the table that a request describes.
func (r *createTableRequest) table() (*table, error) {
	switch {
	case len(r.GlobalSecondaryIndexes)+len(r.LocalSecondaryIndexes) > 0:
		return nil, attribute.Invalid("vpclab's DynamoDB does not support secondary indexes")
	case r.StreamSpecification.StreamEnabled:
		return nil, attribute.Invalid("vpclab's DynamoDB does not support streams")
	case r.DeletionProtectionEnabled:
		return nil, attribute.Invalid("vpclab's DynamoDB does not support deletion protection")
	case r.TableClass != "" && r.TableClass != "STANDARD":
		return nil, attribute.Invalid("vpclab's DynamoDB supports the table class STANDARD alone")
	}
	t := &table{}
	var err error
	if t.Key, err = r.key(); err != nil {
		return nil, err
	}
	t.Read, t.Write, err = r.capacity()
	return t, err
}

func (r *createTableRequest) capacity() (read, write int64, err error) {
	if err := enum("billingMode", r.BillingMode, "PROVISIONED", "PAY_PER_REQUEST"); err != nil {
		return 0, 0, err
	}
	p := r.ProvisionedThroughput
	switch {
	case r.BillingMode == "PAY_PER_REQUEST" && p != nil:
		return 0, 0, attribute.Invalid(parameters + "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST")
	case r.BillingMode == "PAY_PER_REQUEST":
		return 0, 0, nil
	case p == nil:
		return 0, 0, attribute.Invalid(parameters + "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED")
	case p.ReadCapacityUnits < 1 || p.WriteCapacityUnits < 1:
		return 0, 0, attribute.Invalid(detected + "Value at 'provisionedThroughput' failed to satisfy constraint: Member must have value greater than or equal to 1")
	}
	return p.ReadCapacityUnits, p.WriteCapacityUnits, nil
}

func (r *createTableRequest) key() (k tableKey, err error) {
	if len(r.KeySchema) < 1 || len(r.KeySchema) > 2 {
		return k, attribute.Invalid(detected + "Value at 'keySchema' failed to satisfy constraint: Member must have length between 1 and 2")
	}
	if r.KeySchema[0].KeyType != "HASH" {
		return k, attribute.Invalid("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
	}
	if k.Partition, err = r.keyAttribute(r.KeySchema[0].AttributeName); err != nil {
		return k, err
	}
	if len(r.KeySchema) == 2 {
		if r.KeySchema[1].KeyType != "RANGE" {
			return k, attribute.Invalid("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type")
		}
		if k.Sort, err = r.keyAttribute(r.KeySchema[1].AttributeName); err != nil {
			return k, err
		}
	}
	switch {
	case k.Partition.Name == k.Sort.Name:
		return k, attribute.Invalid("Both the Hash Key and the Range Key element in the KeySchema have the same name")
	case len(r.AttributeDefinitions) != len(r.KeySchema):
		return k, attribute.Invalid(parameters + "Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions")
	}
	return k, nil
}

func (r *createTableRequest) keyAttribute(name string) (a vpc.KeyAttribute, err error) {
	i := slices.IndexFunc(r.AttributeDefinitions, func(d attributeDefinition) bool { return d.AttributeName == name })
	if i < 0 || name == "" {
		return a, attribute.Invalidf(parameters+"Some index key attributes are not defined in AttributeDefinitions. Keys: [%s]", name)
	}
	t := r.AttributeDefinitions[i].AttributeType
	return vpc.KeyAttribute{Name: name, Type: t}, enum("attributeDefinitions.member.attributeType", t, "S", "N", "B")
}
