package dynamodb

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
	"github.com/vpclab/vpclab/ctrl/service/dynamodb/expression"
)

// anyRequest is what the requests of all operations tell about what they are for.
type anyRequest struct {
	itemRequest
	ResourceArn   string
	RequestItems  map[string]json.RawMessage
	TransactItems []map[string]itemRequest
}

// itemRequest is a request for one table.
type itemRequest struct {
	TableName                 string
	Key, Item                 attribute.Item
	KeyConditionExpression    string
	ProjectionExpression      string
	UpdateExpression          string
	ConditionExpression       string
	FilterExpression          string
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues attribute.Item
	Select, ReturnValues      string
}

// wanted is what a request wants of one table.
type wanted struct {
	action string // without the service's name
	table  string // a name or an ARN
	keys   map[string][]string
}

// transactActions are the actions by the members of a transaction's items.
var transactActions = map[string]string{"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem", "Get": "GetItem"}

// further are operations that a backend may have beyond ours. Those that name their tables in a way that we do not read, PartiQL's among
// them, are not let through: no policy could be asked about them.
var further = map[string]bool{"DescribeContinuousBackups": true, "DescribeLimits": true, "DescribeTimeToLive": true, "ListTagsOfResource": true,
	"TagResource": true, "UntagResource": true, "UpdateContinuousBackups": true, "UpdateTable": true, "UpdateTimeToLive": true}

// accountWide are operations about no table in particular.
var accountWide = map[string]bool{"DescribeEndpoints": true, "DescribeLimits": true, "ListTables": true}

// authorize asks the gate about everything that a request is for.
func (s *Server) authorize(ctx context.Context, operation string, body []byte) error {
	if operations[operation] == nil && (s.backend == nil || !further[operation]) {
		return unknownOperation(operation)
	}
	if accountWide[operation] {
		return s.gate.Authorize(ctx, service.Access{Action: "dynamodb:" + operation, Resource: "*", Account: s.account(ctx)})
	}
	var r anyRequest
	if err := json.Unmarshal(body, &r); err != nil {
		return serialization(err)
	}
	all := s.wants(ctx, operation, &r)
	if len(all) == 0 {
		return nothingNamed(operation)
	}
	for _, w := range all {
		if err := s.allow(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// nothingNamed says which parameter is missing.
func nothingNamed(operation string) error {
	member := "tableName"
	switch {
	case strings.HasPrefix(operation, "Batch"):
		member = "requestItems"
	case strings.HasPrefix(operation, "Transact"):
		member = "transactItems"
	}
	return attribute.Invalidf(detected+"Value null at '%s' failed to satisfy constraint: Member must not be null", member)
}

// wants are what a request wants, table by table.
func (s *Server) wants(ctx context.Context, operation string, r *anyRequest) (all []wanted) {
	for _, members := range r.TransactItems {
		for member, item := range members {
			all = append(all, wanted{transactActions[member], item.TableName, s.conditionKeys(ctx, &item)})
		}
	}
	for _, table := range slices.Sorted(maps.Keys(r.RequestItems)) {
		all = append(all, wanted{operation, table, s.batchKeys(ctx, table, r.RequestItems[table])})
	}
	for _, table := range []string{r.TableName, r.ResourceArn} {
		if table != "" {
			all = append(all, wanted{operation, table, s.conditionKeys(ctx, &r.itemRequest)})
		}
	}
	return all
}

// allow asks the gate about one table.
func (s *Server) allow(ctx context.Context, w wanted) error {
	if w.action == "" {
		return attribute.Invalid("TransactItems can only contain one of Check, Put, Update or Delete")
	}
	name, err := s.resolve(ctx, w.table)
	if err != nil {
		return err
	}
	return s.gate.Authorize(ctx, service.Access{Action: "dynamodb:" + w.action, Resource: name.arn(), Account: name.Account,
		Policy: s.policy(name), Keys: w.keys})
}

func (s *Server) policy(name tableName) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.declared[name]; t != nil {
		return t.Policy
	}
	return ""
}

// conditionKeys are the keys that policies may ask for (service authorization reference, condition keys for Amazon DynamoDB).
// Of an expression that cannot be read there are none, as the request is refused anyway.
func (s *Server) conditionKeys(ctx context.Context, r *itemRequest) map[string][]string {
	keys := map[string][]string{}
	set := func(key string, values ...string) {
		if strings.Join(values, "") != "" {
			keys["dynamodb:"+key] = values
		}
	}
	set("Select", r.Select)
	set("ReturnValues", r.ReturnValues)
	set("Attributes", r.attributes()...)
	if t := s.keyOf(ctx, r.TableName); t != nil {
		set("LeadingKeys", r.leading(t)...)
	}
	return keys
}

// attributes are the names of what is read or written; none for a read that asks for all there is.
func (r *itemRequest) attributes() []string {
	scope, err := expression.NewScope(r.ExpressionAttributeNames, r.ExpressionAttributeValues)
	if err != nil || r.Item == nil && r.UpdateExpression == "" && r.ProjectionExpression == "" {
		return nil
	}
	names := maps.Clone(r.Item)
	if names == nil {
		names = attribute.Item{}
	}
	projection, _ := scope.Projection(r.ProjectionExpression)
	update, _ := scope.Update(r.UpdateExpression)
	condition, _ := scope.Condition(expression.ConditionExpression, r.ConditionExpression)
	filter, _ := scope.Condition(expression.FilterExpression, r.FilterExpression)
	for _, p := range slices.Concat(projection, update.Paths(), condition.Paths(), filter.Paths()) {
		names[p.Root()] = attribute.Value{}
	}
	return slices.Sorted(maps.Keys(names))
}

// leading are the partition keys, wherever in the request they stand: a backend may look at members that the operation should not have.
func (r *itemRequest) leading(k *tableKey) (all []string) {
	for _, item := range []attribute.Item{r.Key, r.Item} {
		if v, ok := item[k.Partition.Name]; ok {
			all = append(all, v.Plain())
		}
	}
	scope, err := expression.NewScope(r.ExpressionAttributeNames, r.ExpressionAttributeValues)
	if err != nil {
		return all
	}
	if condition, err := scope.Key(r.KeyConditionExpression, k.Partition.Name, k.Sort.Name); err == nil {
		all = append(all, condition.Partition.Plain())
	}
	return all
}

// batchKeys are the condition keys of one table in a batch.
func (s *Server) batchKeys(ctx context.Context, table string, text json.RawMessage) map[string][]string {
	k := s.keyOf(ctx, table)
	if k == nil {
		return nil
	}
	var gets struct{ Keys []attribute.Item }
	var writes []map[string]itemRequest
	_ = json.Unmarshal(text, &gets) // it is the one or the other, or is refused later
	_ = json.Unmarshal(text, &writes)
	leading := map[string]bool{}
	for _, key := range gets.Keys {
		leading[key[k.Partition.Name].Plain()] = true
	}
	for _, members := range writes {
		for _, w := range members {
			for _, l := range w.leading(k) {
				leading[l] = true
			}
		}
	}
	if len(leading) == 0 {
		return nil
	}
	return map[string][]string{"dynamodb:LeadingKeys": slices.Sorted(maps.Keys(leading))}
}

// keyOf is the primary key of a table, nil if it is not known: of a backend's tables, that of those which the scenario declares.
func (s *Server) keyOf(ctx context.Context, table string) *tableKey {
	name, err := s.resolve(ctx, table)
	if err != nil {
		return nil
	}
	if s.store != nil {
		if t, err := s.store.table(name); err == nil {
			return &t.Key
		}
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.declared[name]; t != nil {
		return keyOfDeclared(t)
	}
	return nil
}
