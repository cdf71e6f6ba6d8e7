package dynamodb

import (
	"context"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
)

// Limits of batches (API reference).
const (
	maxBatchGets   = 100
	maxBatchWrites = 25
)

type (
	batchGetItemRequest struct {
		measured
		RequestItems map[string]*batchGets
	}
	// batchGets are the gets of one table. It is given back for what did not fit, in the same form.
	batchGets struct {
		Keys                     []attribute.Item
		ProjectionExpression     *string           `json:",omitempty"`
		ExpressionAttributeNames map[string]string `json:",omitempty"`
		ConsistentRead           bool              `json:",omitempty"`
	}
)

func (s *Server) batchGetItem(ctx context.Context, r *batchGetItemRequest) (any, error) {
	n := 0
	for _, gets := range r.RequestItems {
		if gets == nil || len(gets.Keys) == 0 {
			return nil, attribute.Invalid(detected + "Value at 'requestItems.member.keys' failed to satisfy constraint: Member must have length greater than or equal to 1")
		}
		n += len(gets.Keys)
	}
	if n > maxBatchGets {
		return nil, attribute.Invalid("Too many items requested for the BatchGetItem call")
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	b := batch{responses: map[string][]attribute.Item{}, left: map[string]*batchGets{}, units: map[string]float64{}}
	err := s.store.db.View(func(tx *bbolt.Tx) error {
		for _, table := range sortedKeys(r.RequestItems) {
			if err := b.read(ctx, s, tx, table, r.RequestItems[table]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	answer := map[string]any{"Responses": b.responses, "UnprocessedKeys": b.left}
	r.addAll(answer, b.units)
	return answer, nil
}

// batch is what a batch of gets has found.
type batch struct {
	responses map[string][]attribute.Item
	left      map[string]*batchGets // what is beyond the size of an answer
	units     map[string]float64
	size      int // bytes
}

// read reads one table's items.
func (b *batch) read(ctx context.Context, s *Server, tx *bbolt.Tx, table string, gets *batchGets) error {
	b.responses[table] = []attribute.Item{}
	seen := map[string]bool{}
	for i, key := range gets.Keys {
		g := get{TableName: table, Key: key, ProjectionExpression: gets.ProjectionExpression, ExpressionAttributeNames: gets.ExpressionAttributeNames}
		f, err := g.read(ctx, s, tx)
		if err != nil {
			return err
		}
		if seen[string(f.at)] {
			return duplicates
		}
		seen[string(f.at)] = true
		if b.size += f.size; b.size > maxBody {
			rest := *gets
			rest.Keys = gets.Keys[i:]
			b.left[table] = &rest
			return nil
		}
		b.units[f.table.Name] += readUnits(f.size, gets.ConsistentRead)
		if f.item != nil {
			b.responses[table] = append(b.responses[table], f.item)
		}
	}
	return nil
}

const duplicates = attribute.Invalid("Provided list of item keys contains duplicates")

type (
	batchWriteItemRequest struct {
		measured
		ReturnItemCollectionMetrics string
		RequestItems                map[string][]batchWrite
	}
	batchWrite struct {
		PutRequest    *struct{ Item attribute.Item }
		DeleteRequest *struct{ Key attribute.Item }
	}
)

func (s *Server) batchWriteItem(ctx context.Context, r *batchWriteItemRequest) (any, error) {
	writes, err := r.writes(ctx, s)
	if err != nil {
		return nil, err
	}
	units := map[string]float64{}
	err = s.store.db.Update(func(tx *bbolt.Tx) error {
		for _, w := range writes {
			done, err := w.do(tx)
			if err != nil {
				return err
			}
			units[w.table.Name] += writeUnits(done)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	answer := map[string]any{"UnprocessedItems": map[string]any{}}
	r.addAll(answer, units)
	return answer, nil
}

// writes are all that a batch asks for, checked.
func (r *batchWriteItemRequest) writes(ctx context.Context, s *Server) (all []*write, err error) {
	if err := firstOf(r.check(), enum("returnItemCollectionMetrics", r.ReturnItemCollectionMetrics, "SIZE", "NONE")); err != nil {
		return nil, err
	}
	for _, table := range sortedKeys(r.RequestItems) {
		for _, b := range r.RequestItems[table] {
			w, err := b.write(ctx, s, table)
			if err != nil {
				return nil, err
			}
			all = append(all, w)
		}
	}
	if len(all) > maxBatchWrites || len(all) == 0 {
		return nil, attribute.Invalid("Too many items requested for the BatchWriteItem call")
	}
	if repeated(all) {
		return nil, duplicates
	}
	return all, nil
}

func (b batchWrite) write(ctx context.Context, s *Server, table string) (*write, error) {
	c := conditional{TableName: table}
	switch {
	case b.PutRequest != nil && b.DeleteRequest == nil:
		return (&put{conditional: c, Item: b.PutRequest.Item}).write(ctx, s)
	case b.DeleteRequest != nil && b.PutRequest == nil:
		return (&remove{conditional: c, Key: b.DeleteRequest.Key}).write(ctx, s)
	}
	return nil, attribute.Invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
}

// repeated says that two of the writes are of one item.
func repeated(all []*write) bool {
	same := func(a, b *write) bool { return a.table == b.table && string(a.at) == string(b.at) }
	for i, w := range all {
		if slices.ContainsFunc(all[:i], func(other *write) bool { return same(w, other) }) {
			return true
		}
	}
	return false
}
