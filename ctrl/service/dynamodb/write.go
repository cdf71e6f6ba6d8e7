package dynamodb

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
	"github.com/vpclab/vpclab/ctrl/service/dynamodb/expression"
)

// maxItem is an item's size in bytes at most.
const maxItem = 400 << 10

// write is a change of one item that is ready to be made.
type write struct {
	table     tableName
	at        []byte // storage key
	key       attribute.Item
	condition expression.Condition
	tellOld   bool // to whoever fails the condition
	// change is the item after the change, nil for none; nil if nothing is to change. An item that does not exist is nil.
	change func(old attribute.Item) (attribute.Item, error)
}

// written is an item before and after a write; nil: it was or is not there.
type written struct{ old, now attribute.Item }

// conditionFailed is what AWS says of a condition that does not hold.
const conditionFailed = "The conditional request failed"

func (w *write) do(tx *bbolt.Tx) (done written, err error) {
	items, err := itemsIn(tx, w.table)
	if err != nil {
		return done, err
	}
	if done.old, err = itemAt(items, w.at); err != nil {
		return done, err
	}
	done.now = done.old
	if !w.condition.Holds(done.old) {
		f := failed("ConditionalCheckFailedException", conditionFailed)
		if w.tellOld && done.old != nil {
			f.more = map[string]any{"Item": done.old}
		}
		return done, f
	}
	if w.change == nil {
		return done, nil
	}
	if done.now, err = w.change(done.old); err != nil {
		return done, err
	}
	return done, storeItem(items, w.at, done.now)
}

// storeItem stores an item in its place; nil removes what is there.
func storeItem(items *bbolt.Bucket, at []byte, item attribute.Item) error {
	if item == nil {
		return items.Delete(at)
	}
	text, err := json.Marshal(item)
	if err != nil {
		return err
	}
	return items.Put(at, text)
}

// do makes one write.
func (s *Server) write(w *write) (done written, err error) {
	err = s.store.db.Update(func(tx *bbolt.Tx) error {
		done, err = w.do(tx)
		return err
	})
	return done, err
}

// conditional is in every request that writes one item.
type conditional struct {
	placeholders
	TableName                           string
	ConditionExpression                 *string
	ReturnValuesOnConditionCheckFailure string
}

func (c *conditional) check() error {
	return enum("returnValuesOnConditionCheckFailure", c.ReturnValuesOnConditionCheckFailure, "ALL_OLD", "NONE")
}

// to begins a write of the item with a key that has been checked.
func (c *conditional) to(n tableName, k *tableKey, key attribute.Item, all parsed) *write {
	return &write{table: n, at: k.storage(key), key: k.of(key), condition: all.condition, tellOld: c.ReturnValuesOnConditionCheckFailure == "ALL_OLD"}
}

// find is the table that a request means, with its key.
func (s *Server) find(ctx context.Context, name string) (tableName, *tableKey, error) {
	n, err := s.resolve(ctx, name)
	if err != nil {
		return n, nil, err
	}
	t, err := s.store.table(n)
	if err != nil {
		return n, nil, err
	}
	return n, &t.Key, nil
}

// put, update and remove are what both single requests and transactions ask for.
type (
	put struct {
		conditional
		Item attribute.Item
	}
	update struct {
		conditional
		Key              attribute.Item
		UpdateExpression *string
	}
	remove struct {
		conditional
		Key attribute.Item
	}
)

func (p *put) write(ctx context.Context, s *Server) (*write, error) {
	n, k, err := s.find(ctx, p.TableName)
	if err != nil {
		return nil, err
	}
	all, err := p.parse(texts{condition: p.ConditionExpression}, k)
	if err != nil {
		return nil, err
	}
	if err := firstOf(p.check(), checkNames(p.Item), k.checkItem(p.Item)); err != nil {
		return nil, err
	}
	if p.Item.Size() > maxItem {
		return nil, attribute.Invalid("Item size has exceeded the maximum allowed size")
	}
	w := p.to(n, k, p.Item, all)
	w.change = func(attribute.Item) (attribute.Item, error) { return p.Item, nil }
	return w, nil
}

func (r *remove) write(ctx context.Context, s *Server) (*write, error) {
	w, err := r.checkOnly(ctx, s)
	if err == nil {
		w.change = func(attribute.Item) (attribute.Item, error) { return nil, nil }
	}
	return w, err
}

// checkOnly is a write that changes nothing and only has a condition.
func (r *remove) checkOnly(ctx context.Context, s *Server) (*write, error) {
	n, k, err := s.find(ctx, r.TableName)
	if err != nil {
		return nil, err
	}
	all, err := r.parse(texts{condition: r.ConditionExpression}, k)
	if err := firstOf(err, r.check(), k.check(r.Key)); err != nil {
		return nil, err
	}
	return r.to(n, k, r.Key, all), nil
}

func (u *update) write(ctx context.Context, s *Server) (*write, expression.Update, error) {
	n, k, err := s.find(ctx, u.TableName)
	if err != nil {
		return nil, expression.Update{}, err
	}
	all, err := u.parse(texts{condition: u.ConditionExpression, update: u.UpdateExpression}, k)
	if err := firstOf(err, u.check(), k.check(u.Key)); err != nil {
		return nil, all.update, err
	}
	for _, path := range all.update.Targets() {
		if k.has(path.Root()) {
			return nil, all.update, attribute.Invalidf(parameters+"Cannot update attribute %s. This attribute is part of the key", path.Root())
		}
	}
	w := u.to(n, k, u.Key, all)
	w.change = func(old attribute.Item) (attribute.Item, error) { return updated(old, w.key, all.update) }
	return w, all.update, nil
}

// updated is an item after an update, which makes it if there is none.
func updated(old, key attribute.Item, by expression.Update) (attribute.Item, error) {
	if old == nil {
		old = key
	}
	now, err := by.Apply(old)
	if err != nil {
		return nil, err
	}
	if now.Size() > maxItem {
		return nil, attribute.Invalid("Item size to update has exceeded the maximum allowed size")
	}
	return now, nil
}

// checkNames refuses attributes without a name.
func checkNames(item attribute.Item) error {
	if _, empty := item[""]; empty {
		return attribute.Invalid(parameters + "attribute names must not be empty")
	}
	return nil
}

// firstOf is the first error of those that there are.
func firstOf(errs ...error) error {
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return errs[i]
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
