package dynamodb

import (
	"context"

	"go.etcd.io/bbolt"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
)

type tableRequest struct{ TableName string }

func (s *Server) describeTable(ctx context.Context, r *tableRequest) (any, error) {
	n, err := s.resolve(ctx, r.TableName)
	if err != nil {
		return nil, err
	}
	var d map[string]any
	err = s.store.db.View(func(tx *bbolt.Tx) error {
		t, err := tableIn(tx, n)
		if err != nil {
			return failed("ResourceNotFoundException", "Requested resource not found: Table: %s not found", n.Name)
		}
		items, size, err := contents(tx, n)
		d = t.describe(n, "ACTIVE", items, size)
		return err
	})
	return map[string]any{"Table": d}, err
}

// contents counts a table's items and their bytes.
func contents(tx *bbolt.Tx, n tableName) (items, size int, err error) {
	b, err := itemsIn(tx, n)
	if err != nil {
		return 0, 0, err
	}
	err = b.ForEach(func(_, text []byte) error {
		item, err := itemOf(text)
		items, size = items+1, size+item.Size()
		return err
	})
	return items, size, err
}

func (s *Server) deleteTable(ctx context.Context, r *tableRequest) (any, error) {
	n, err := s.resolve(ctx, r.TableName)
	if err != nil {
		return nil, err
	}
	var t *table
	err = s.store.db.Update(func(tx *bbolt.Tx) error {
		if t, err = tableIn(tx, n); err != nil {
			return failed("ResourceNotFoundException", "Requested resource not found: Table: %s not found", n.Name)
		}
		return deleteIn(tx, n)
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{"TableDescription": t.describe(n, "DELETING", 0, 0)}, nil
}

type listTablesRequest struct {
	ExclusiveStartTableName string
	Limit                   *int
}

// maxTables is how many names an answer has at most.
const maxTables = 100

func (s *Server) listTables(ctx context.Context, r *listTablesRequest) (any, error) {
	limit := maxTables
	if r.Limit != nil {
		limit = *r.Limit
	}
	if limit < 1 || limit > maxTables {
		return nil, attribute.Invalidf(detected+"Value '%d' at 'limit' failed to satisfy constraint: Member must have value between 1 and 100", limit)
	}
	names := []string{}
	prefix := tableName{Account: s.account(ctx), Region: service.From(ctx).Region}
	answer := map[string]any{}
	err := s.store.db.View(func(tx *bbolt.Tx) error {
		start := prefix
		start.Name = r.ExclusiveStartTableName
		c := tx.Bucket(tablesBucket).Cursor()
		for k, _ := c.Seek(start.key()); k != nil; k, _ = c.Next() {
			n := nameOfKey(k)
			switch {
			case n.Account != prefix.Account || n.Region != prefix.Region:
				return nil
			case n.Name == r.ExclusiveStartTableName:
				continue
			case len(names) == limit:
				answer["LastEvaluatedTableName"] = names[limit-1]
				return nil
			}
			names = append(names, n.Name)
		}
		return nil
	})
	answer["TableNames"] = names
	return answer, err
}

func (s *Server) describeEndpoints(ctx context.Context, _ *struct{}) (any, error) {
	host := "dynamodb." + service.From(ctx).Region + ".amazonaws.com"
	return map[string]any{"Endpoints": []any{map[string]any{"Address": host, "CachePeriodInMinutes": 1440}}}, nil
}

// describe is the table as the API tells of it.
func (t *table) describe(n tableName, status string, items, size int) map[string]any {
	var schema []keyElement
	var definitions []attributeDefinition
	for i, a := range t.Key.attributes() {
		schema = append(schema, keyElement{a.Name, []string{"HASH", "RANGE"}[i]})
		definitions = append(definitions, attributeDefinition{a.Name, a.Type})
	}
	d := map[string]any{
		"TableName": n.Name, "TableArn": n.arn(), "TableId": t.ID, "TableStatus": status,
		"KeySchema": schema, "AttributeDefinitions": definitions,
		"CreationDateTime": float64(t.Created.UnixMilli()) / 1000, "ItemCount": items, "TableSizeBytes": size,
		"ProvisionedThroughput":     map[string]any{"ReadCapacityUnits": t.Read, "WriteCapacityUnits": t.Write, "NumberOfDecreasesToday": 0},
		"DeletionProtectionEnabled": false,
	}
	if t.Read == 0 {
		d["BillingModeSummary"] = billingMode{"PAY_PER_REQUEST"}
	}
	return d
}
