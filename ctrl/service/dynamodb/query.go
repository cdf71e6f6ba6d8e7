package dynamodb

import (
	"bytes"
	"context"

	"go.etcd.io/bbolt"

	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
	"github.com/vpclab/vpclab/ctrl/service/dynamodb/expression"
)

// maxPage is how many bytes of items a query or scan reads at once.
const maxPage = 1 << 20

// reading is what queries and scans have in common.
type reading struct {
	placeholders
	measured
	TableName            string
	IndexName            *string
	FilterExpression     *string
	ProjectionExpression *string
	Select               string
	Limit                *int
	ExclusiveStartKey    attribute.Item
	ConsistentRead       bool // every answer is the latest here
}

func (r *reading) check() error {
	err := enum("select", r.Select, "SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES")
	switch {
	case err != nil:
	case r.IndexName != nil:
		err = attribute.Invalidf("The table does not have the specified index: %s", *r.IndexName)
	case r.Limit != nil && *r.Limit < 1:
		err = attribute.Invalidf(detected+"Value '%d' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1", *r.Limit)
	case r.Select == "ALL_PROJECTED_ATTRIBUTES":
		err = attribute.Invalid(parameters + "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")
	case r.Select == "SPECIFIC_ATTRIBUTES" && r.ProjectionExpression == nil:
		err = attribute.Invalid("Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES")
	case r.Select != "" && r.Select != "SPECIFIC_ATTRIBUTES" && r.ProjectionExpression != nil:
		err = attribute.Invalidf("Cannot specify the ProjectionExpression when choosing to get %s", r.Select)
	}
	return firstOf(err, r.measured.check())
}

type queryRequest struct {
	reading
	KeyConditionExpression *string
	ScanIndexForward       *bool
}

func (s *Server) query(ctx context.Context, r *queryRequest) (any, error) {
	if r.KeyConditionExpression == nil {
		return nil, attribute.Invalid("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
	}
	n, k, err := s.find(ctx, r.TableName)
	if err != nil {
		return nil, err
	}
	all, err := r.parse(texts{key: r.KeyConditionExpression, filter: r.FilterExpression, projection: r.ProjectionExpression}, k)
	if err := firstOf(err, r.check(), k.fits(all.key), k.outside(all.filter)); err != nil {
		return nil, err
	}
	p := &page{key: k, span: spanOf(all.key), backward: r.ScanIndexForward != nil && !*r.ScanIndexForward, parsed: all}
	if r.ExclusiveStartKey != nil {
		if err := p.startAfter(r.ExclusiveStartKey); err != nil {
			return nil, err
		}
		if !bytes.HasPrefix(p.start, partitionPrefix(all.key.Partition)) {
			return nil, attribute.Invalid("The provided starting key is outside query boundaries based on provided conditions")
		}
	}
	return s.read(n, &r.reading, p)
}

// fits says what is wrong with the values of a key condition.
func (k *tableKey) fits(c expression.Key) error {
	types := []attribute.Type{c.Partition.Type}
	if c.Operator != "" {
		types = append(types, c.Sort.Type, c.High.Type)
	}
	for i, t := range types {
		if want := []string{k.Partition.Type, k.Sort.Type, k.Sort.Type}[i]; string(t) != want {
			return attribute.Invalid(parameters + "Condition parameter type does not match schema type")
		}
	}
	return nil
}

// outside refuses filters on the key, which the key condition is for.
func (k *tableKey) outside(filter expression.Condition) error {
	for _, p := range filter.Paths() {
		if k.has(p.Root()) {
			return attribute.Invalidf("Filter Expression can only contain non-primary key attributes: Primary key attribute: %s", p.Root())
		}
	}
	return nil
}

type scanRequest struct {
	reading
	Segment, TotalSegments *uint64
}

// maxSegments of a parallel scan.
const maxSegments = 1_000_000

func (s *Server) scan(ctx context.Context, r *scanRequest) (any, error) {
	n, k, err := s.find(ctx, r.TableName)
	if err != nil {
		return nil, err
	}
	all, err := r.parse(texts{filter: r.FilterExpression, projection: r.ProjectionExpression}, k)
	if err := firstOf(err, r.check()); err != nil {
		return nil, err
	}
	p := &page{key: k, parsed: all}
	if p.span, err = r.segment(); err != nil {
		return nil, err
	}
	if r.ExclusiveStartKey != nil {
		if err := p.startAfter(r.ExclusiveStartKey); err != nil {
			return nil, err
		}
	}
	return s.read(n, &r.reading, p)
}

func (r *scanRequest) segment() (span, error) {
	switch {
	case r.Segment == nil && r.TotalSegments == nil:
		return span{}, nil
	case r.Segment == nil:
		return span{}, attribute.Invalid("The Segment parameter is required but was not present in the request when parameter TotalSegments is present")
	case r.TotalSegments == nil:
		return span{}, attribute.Invalid("The TotalSegments parameter is required but was not present in the request when Segment parameter is present")
	case *r.TotalSegments < 1 || *r.TotalSegments > maxSegments:
		return span{}, attribute.Invalidf(detected+"Value '%d' at 'totalSegments' failed to satisfy constraint: Member must have value between 1 and %d", *r.TotalSegments, maxSegments)
	case *r.Segment >= *r.TotalSegments:
		return span{}, attribute.Invalidf("The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: %d is not less than TotalSegments: %d", *r.Segment, *r.TotalSegments)
	}
	return segment(*r.Segment, *r.TotalSegments), nil
}

// read reads a page and makes the answer of it.
func (s *Server) read(n tableName, r *reading, p *page) (any, error) {
	if r.Limit != nil {
		p.limit = *r.Limit
	}
	err := s.store.db.View(func(tx *bbolt.Tx) error {
		items, err := itemsIn(tx, n)
		if err != nil {
			return err
		}
		return p.read(items.Cursor())
	})
	if err != nil {
		return nil, err
	}
	answer := map[string]any{"Count": len(p.items), "ScannedCount": p.scanned}
	if r.Select != "COUNT" {
		answer["Items"] = p.items
	}
	if p.last != nil {
		answer["LastEvaluatedKey"] = p.last
	}
	r.add(answer, n.Name, readUnits(p.size, r.ConsistentRead))
	return answer, nil
}
