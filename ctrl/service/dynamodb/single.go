package dynamodb

import (
	"context"

	"go.etcd.io/bbolt"

	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
	"github.com/vpclab/vpclab/ctrl/service/dynamodb/expression"
)

// returning is in every request that writes one item and may ask for it. Of collection metrics there are none without local indexes.
type returning struct {
	measured
	ReturnValues                string
	ReturnItemCollectionMetrics string
}

// check refuses what a request may not ask for. AWS has one message for what is known elsewhere, and another for what is not.
func (r returning) check(values ...string) error {
	err := enum("returnValues", r.ReturnValues, "ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW")
	if err == nil && enum("", r.ReturnValues, values...) != nil {
		err = attribute.Invalid("Return values set to invalid value")
	}
	return firstOf(err, r.measured.check(), enum("returnItemCollectionMetrics", r.ReturnItemCollectionMetrics, "SIZE", "NONE"))
}

// answer is the answer to a request that has written an item.
func (r returning) answer(n tableName, done written, by expression.Update) (any, error) {
	answer := map[string]any{}
	var item attribute.Item
	switch r.ReturnValues {
	case "ALL_OLD":
		item = done.old
	case "ALL_NEW":
		item = done.now
	case "UPDATED_OLD":
		item = part(done.old, by)
	case "UPDATED_NEW":
		item = part(done.now, by)
	}
	if item != nil {
		answer["Attributes"] = item
	}
	r.add(answer, n.Name, writeUnits(done))
	return answer, nil
}

// part is what an update has changed of an item; nil: nothing that it has.
func part(item attribute.Item, by expression.Update) attribute.Item {
	if len(by.Targets()) == 0 {
		return nil
	}
	if p := expression.Projection(by.Targets()).Of(item); len(p) > 0 {
		return p
	}
	return nil
}

type putItemRequest struct {
	put
	returning
}

func (s *Server) putItem(ctx context.Context, r *putItemRequest) (any, error) {
	return s.writeWhole(ctx, r.returning, r.write)
}

type deleteItemRequest struct {
	remove
	returning
}

func (s *Server) deleteItem(ctx context.Context, r *deleteItemRequest) (any, error) {
	return s.writeWhole(ctx, r.returning, r.write)
}

// writeWhole does a write of a whole item, of which nothing but what was there before can be returned.
func (s *Server) writeWhole(ctx context.Context, r returning, prepare func(context.Context, *Server) (*write, error)) (any, error) {
	if err := r.check("NONE", "ALL_OLD"); err != nil {
		return nil, err
	}
	w, err := prepare(ctx, s)
	if err != nil {
		return nil, err
	}
	done, err := s.write(w)
	if err != nil {
		return nil, err
	}
	return r.answer(w.table, done, expression.Update{})
}

type updateItemRequest struct {
	update
	returning
}

func (s *Server) updateItem(ctx context.Context, r *updateItemRequest) (any, error) {
	if err := r.returning.check("NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"); err != nil {
		return nil, err
	}
	w, by, err := r.write(ctx, s)
	if err != nil {
		return nil, err
	}
	done, err := s.write(w)
	if err != nil {
		return nil, err
	}
	return r.answer(w.table, done, by)
}

// get is what a single request, a batch and a transaction ask for.
type get struct {
	TableName                string
	Key                      attribute.Item
	ProjectionExpression     *string
	ExpressionAttributeNames map[string]string
}

type getItemRequest struct {
	get
	measured
	ConsistentRead bool // every answer is the latest here
}

func (s *Server) getItem(ctx context.Context, r *getItemRequest) (any, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	var g found
	err := s.store.db.View(func(tx *bbolt.Tx) (err error) {
		g, err = r.read(ctx, s, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	answer := map[string]any{}
	if g.item != nil {
		answer["Item"] = g.item
	}
	r.add(answer, g.table.Name, readUnits(g.size, r.ConsistentRead))
	return answer, nil
}

// found is what a get has found.
type found struct {
	table tableName
	at    []byte
	item  attribute.Item // the wanted part; nil: there is no item
	size  int            // of the whole item, in bytes
}

func (g *get) read(ctx context.Context, s *Server, tx *bbolt.Tx) (f found, err error) {
	if f.table, err = s.resolve(ctx, g.TableName); err != nil {
		return f, err
	}
	t, err := tableIn(tx, f.table)
	if err != nil {
		return f, err
	}
	all, err := placeholders{ExpressionAttributeNames: g.ExpressionAttributeNames}.parse(texts{projection: g.ProjectionExpression}, &t.Key)
	if err := firstOf(err, t.Key.check(g.Key)); err != nil {
		return f, err
	}
	f.at = t.Key.storage(g.Key)
	items, err := itemsIn(tx, f.table)
	if err != nil {
		return f, err
	}
	item, err := itemAt(items, f.at)
	f.item, f.size = project(item, all.projection), item.Size()
	return f, err
}

// project is the wanted part of an item; all of it without a projection.
func project(item attribute.Item, p expression.Projection) attribute.Item {
	if p == nil || item == nil {
		return item
	}
	if part := p.Of(item); part != nil {
		return part
	}
	return attribute.Item{}
}
