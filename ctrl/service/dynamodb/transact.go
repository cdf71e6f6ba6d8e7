package dynamodb

import (
	"context"
	"errors"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
)

const (
	maxTransaction     = 100     // items
	maxTransactionSize = 4 << 20 // bytes
)

type (
	transactWriteItemsRequest struct {
		measured
		ClientRequestToken          string
		ReturnItemCollectionMetrics string
		TransactItems               []transactWrite
	}
	transactWrite struct {
		Put            *put
		Update         *update
		Delete         *remove
		ConditionCheck *remove
	}
)

// reason is why an item cancelled a transaction, or did not.
type reason struct {
	Code    string
	Message string         `json:",omitempty"`
	Item    attribute.Item `json:",omitempty"`
}

func (s *Server) transactWriteItems(ctx context.Context, r *transactWriteItemsRequest) (any, error) {
	writes, err := r.writes(ctx, s)
	if err != nil {
		return nil, err
	}
	if len(r.ClientRequestToken) > maxToken {
		return nil, attribute.Invalidf(detected+"Value at 'clientRequestToken' failed to satisfy constraint: Member must have length less than or equal to %d", maxToken)
	}
	if r.ClientRequestToken == "" {
		return s.transact(r, writes)
	}
	return s.tokens.once(s.now(), token{s.account(ctx), service.From(ctx).Region, r.ClientRequestToken}, r, func() (any, error) {
		return s.transact(r, writes)
	})
}

// transact makes all writes or none.
func (s *Server) transact(r *transactWriteItemsRequest, writes []*write) (any, error) {
	units := map[string]float64{}
	err := s.store.db.Update(func(tx *bbolt.Tx) error {
		reasons, cancelled, size := make([]reason, len(writes)), false, 0
		for i, w := range writes {
			done, err := w.do(tx)
			if reasons[i], err = reasonOf(err); err != nil {
				return err
			}
			cancelled = cancelled || reasons[i].Code != "None"
			size += done.now.Size()
			units[w.table.Name] += 2 * writeUnits(done)
		}
		switch {
		case size > maxTransactionSize:
			return attribute.Invalid("Transaction size has exceeded the maximum allowed size")
		case cancelled:
			return cancellation(reasons)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	answer := map[string]any{}
	r.addAll(answer, units)
	return answer, nil
}

// reasonOf is why a write fails its transaction. An error that is not the item's ends the request.
func reasonOf(err error) (reason, error) {
	f, failed := errors.AsType[*failure](err)
	i, invalid := errors.AsType[attribute.Invalid](err)
	switch {
	case err == nil:
		return reason{Code: "None"}, nil
	case invalid:
		return reason{Code: "ValidationError", Message: string(i)}, nil
	case failed && f.message == conditionFailed:
		old, _ := f.more["Item"].(attribute.Item)
		return reason{Code: "ConditionalCheckFailed", Message: conditionFailed, Item: old}, nil
	}
	return reason{}, err
}

func cancellation(reasons []reason) error {
	codes := make([]string, len(reasons))
	for i, r := range reasons {
		codes[i] = r.Code
	}
	f := failed("TransactionCanceledException", "Transaction cancelled, please refer cancellation reasons for specific reasons [%s]", strings.Join(codes, ", "))
	f.more = map[string]any{"CancellationReasons": reasons}
	return f
}

// writes are all that a transaction asks for, checked.
func (r *transactWriteItemsRequest) writes(ctx context.Context, s *Server) (all []*write, err error) {
	if err := checkTransaction(len(r.TransactItems), r.measured); err != nil {
		return nil, err
	}
	for _, t := range r.TransactItems {
		w, err := t.write(ctx, s)
		if err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	if repeated(all) {
		return nil, attribute.Invalid("Transaction request cannot include multiple operations on one item")
	}
	return all, nil
}

func checkTransaction(items int, m measured) error {
	if items < 1 || items > maxTransaction {
		return attribute.Invalid(detected + "Value at 'transactItems' failed to satisfy constraint: Member must have length between 1 and 100")
	}
	return m.check()
}

func (t transactWrite) write(ctx context.Context, s *Server) (w *write, err error) {
	n := 0
	if t.Put != nil {
		n++
		w, err = t.Put.write(ctx, s)
	}
	if t.Update != nil {
		n++
		w, _, err = t.Update.write(ctx, s)
	}
	if t.Delete != nil {
		n++
		w, err = t.Delete.write(ctx, s)
	}
	if t.ConditionCheck != nil {
		n++
		w, err = t.ConditionCheck.checkOnly(ctx, s)
	}
	if n != 1 {
		return nil, attribute.Invalid("TransactItems can only contain one of Check, Put, Update or Delete")
	}
	return w, err
}

type transactGetItemsRequest struct {
	measured
	TransactItems []struct{ Get *get }
}

func (s *Server) transactGetItems(ctx context.Context, r *transactGetItemsRequest) (any, error) {
	if err := checkTransaction(len(r.TransactItems), r.measured); err != nil {
		return nil, err
	}
	responses, units := []map[string]any{}, map[string]float64{}
	err := s.store.db.View(func(tx *bbolt.Tx) error {
		for _, t := range r.TransactItems {
			if t.Get == nil {
				return attribute.Invalid(detected + "Value null at 'transactItems.member.get' failed to satisfy constraint: Member must not be null")
			}
			f, err := t.Get.read(ctx, s, tx)
			if err != nil {
				return err
			}
			response := map[string]any{}
			if f.item != nil {
				response["Item"] = f.item
			}
			responses = append(responses, response)
			units[f.table.Name] += 2 * readUnits(f.size, true)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	answer := map[string]any{"Responses": responses}
	r.addAll(answer, units)
	return answer, nil
}
