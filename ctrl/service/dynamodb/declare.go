package dynamodb

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

// Update makes the tables that a scenario declares and deletes those that it does not declare any more; what clients have made stays.
// Policies change at once. A declared table whose key changed is made anew, empty; one whose name a client's table of another key has is an
// error.
func (s *Server) Update(tables []*vpc.Table) error {
	declared := make(map[tableName]*vpc.Table, len(tables))
	for _, t := range tables {
		declared[tableName{t.Account, t.Region, t.Name}] = t
	}
	s.mu.Lock()
	before := s.declared
	s.declared = declared
	s.mu.Unlock()
	if s.backend != nil {
		return s.updateBackend(before, declared)
	}
	return s.store.db.Update(func(tx *bbolt.Tx) error {
		if err := dropUndeclared(tx, declared); err != nil {
			return err
		}
		for _, n := range sortedNames(declared) {
			if err := s.declare(tx, n, *keyOfDeclared(declared[n])); err != nil {
				return err
			}
		}
		return nil
	})
}

func sortedNames(tables map[tableName]*vpc.Table) []tableName {
	return slices.SortedFunc(maps.Keys(tables), func(a, b tableName) int { return strings.Compare(a.arn(), b.arn()) })
}

// dropUndeclared deletes tables that an earlier scenario has declared, perhaps in an earlier process.
func dropUndeclared(tx *bbolt.Tx, declared map[tableName]*vpc.Table) error {
	var gone []tableName
	err := tx.Bucket(tablesBucket).ForEach(func(key, _ []byte) error {
		n := nameOfKey(key)
		t, err := tableIn(tx, n)
		if err == nil && t.Declared && declared[n] == nil {
			gone = append(gone, n)
		}
		return err
	})
	for _, n := range gone {
		err = errors.Join(err, deleteIn(tx, n))
	}
	return err
}

// declare makes a table, or keeps the one there is.
func (s *Server) declare(tx *bbolt.Tx, n tableName, key tableKey) error {
	t := &table{ID: tableID(), Key: key, Created: s.now()}
	if tx.Bucket(tablesBucket).Get(n.key()) != nil {
		old, err := tableIn(tx, n)
		if err != nil {
			return err
		}
		switch {
		case old.Key == key:
			t = old
		case !old.Declared:
			return fmt.Errorf("table %s: a client made one of this name with another key: delete it first", n.arn())
		default:
			if err := deleteIn(tx, n); err != nil {
				return err
			}
		}
	}
	t.Declared = true
	return t.put(tx, n)
}

func keyOfDeclared(t *vpc.Table) *tableKey { return &tableKey{Partition: t.Key, Sort: t.Sort} }
