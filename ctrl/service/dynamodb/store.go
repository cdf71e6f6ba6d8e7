package dynamodb

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
)

// store is the file of tables and items:
//
//	tables  ACCOUNT/REGION/NAME -> table in JSON
//	items   ACCOUNT/REGION/NAME -> storage key -> item in DynamoDB's JSON
type store struct{ db *bbolt.DB }

var (
	tablesBucket = []byte("tables")
	itemsBucket  = []byte("items")
)

// lockWait is how long another process may hold the file.
const lockWait = time.Second

// table is what is stored of one.
type table struct {
	ID          string
	Key         tableKey
	Created     time.Time
	Read, Write int64 // provisioned capacity units; 0: on demand
	Declared    bool  // by the scenario
}

func openStore(path string) (*store, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("open %s: another process has it", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(tablesBucket)
		_, err2 := tx.CreateBucketIfNotExists(itemsBucket)
		return errors.Join(err, err2)
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare %s: %w", path, err), db.Close())
	}
	return &store{db}, nil
}

// noTable is what AWS says of a table that is not there.
func noTable() error { return failed("ResourceNotFoundException", "Requested resource not found") }

// table is a table, or noTable.
func (s *store) table(n tableName) (t *table, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		t, err = tableIn(tx, n)
		return err
	})
	return t, err
}

func tableIn(tx *bbolt.Tx, n tableName) (*table, error) {
	text := tx.Bucket(tablesBucket).Get(n.key())
	if text == nil {
		return nil, noTable()
	}
	t := &table{}
	if err := json.Unmarshal(text, t); err != nil {
		return nil, fmt.Errorf("table %s in the store: %v", n.arn(), err)
	}
	return t, nil
}

// put stores a table; a new one is empty.
func (t *table) put(tx *bbolt.Tx, n tableName) error {
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	_, err = tx.Bucket(itemsBucket).CreateBucketIfNotExists(n.key())
	return errors.Join(err, tx.Bucket(tablesBucket).Put(n.key(), text))
}

// deleteIn removes a table and its items.
func deleteIn(tx *bbolt.Tx, n tableName) error {
	return errors.Join(tx.Bucket(itemsBucket).DeleteBucket(n.key()), tx.Bucket(tablesBucket).Delete(n.key()))
}

// itemsIn are a table's items.
func itemsIn(tx *bbolt.Tx, n tableName) (*bbolt.Bucket, error) {
	b := tx.Bucket(itemsBucket).Bucket(n.key())
	if b == nil {
		return nil, noTable()
	}
	return b, nil
}

// itemAt is the item at a storage key; nil: none.
func itemAt(b *bbolt.Bucket, key []byte) (attribute.Item, error) {
	text := b.Get(key)
	if text == nil {
		return nil, nil
	}
	return itemOf(text)
}

func itemOf(text []byte) (attribute.Item, error) {
	var item attribute.Item
	if err := json.Unmarshal(text, &item); err != nil {
		return nil, fmt.Errorf("item in the store: %v", err)
	}
	return item, nil
}
