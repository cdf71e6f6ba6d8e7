package dynamodb

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
	"github.com/vpclab/vpclab/ctrl/service/dynamodb/expression"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// tableKey is a table's primary key. Sort has no name if there is none.
type tableKey struct{ Partition, Sort vpc.KeyAttribute }

// Limits of keys in bytes (developer guide, quotas).
const (
	maxPartition = 2048
	maxSort      = 1024
)

func (k *tableKey) attributes() []vpc.KeyAttribute {
	if k.Sort.Name == "" {
		return []vpc.KeyAttribute{k.Partition}
	}
	return []vpc.KeyAttribute{k.Partition, k.Sort}
}

func (k *tableKey) has(name string) bool {
	return name == k.Partition.Name || name == k.Sort.Name && name != ""
}

// of is the key of an item.
func (k *tableKey) of(item attribute.Item) attribute.Item {
	key := attribute.Item{}
	for _, a := range k.attributes() {
		key[a.Name] = item[a.Name]
	}
	return key
}

// check says what is wrong with a key that a request names.
func (k *tableKey) check(key attribute.Item) error {
	if len(key) != len(k.attributes()) {
		return attribute.Invalid("The provided key element does not match the schema")
	}
	for _, a := range k.attributes() {
		if v, ok := key[a.Name]; !ok || string(v.Type) != a.Type {
			return attribute.Invalid("The provided key element does not match the schema")
		}
	}
	return k.sizes(key)
}

// checkItem says what is wrong with the key of an item that is to be put.
func (k *tableKey) checkItem(item attribute.Item) error {
	for _, a := range k.attributes() {
		v, ok := item[a.Name]
		if !ok {
			return attribute.Invalidf(parameters+"Missing the key %s in the item", a.Name)
		}
		if string(v.Type) != a.Type {
			return attribute.Invalidf(parameters+"Type mismatch for key %s expected: %s actual: %s", a.Name, a.Type, v.Type)
		}
	}
	return k.sizes(item)
}

func (k *tableKey) sizes(item attribute.Item) error {
	for _, a := range k.attributes() {
		if v := item[a.Name]; v.Type != attribute.Numeric && v.Text == "" {
			kind := map[attribute.Type]string{attribute.String: "string", attribute.Binary: "binary"}[v.Type]
			return attribute.Invalidf("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty %s value. Key: %s", kind, a.Name)
		}
	}
	switch {
	case len(item[k.Partition.Name].Text) > maxPartition:
		return attribute.Invalid(parameters + "Size of hashkey has exceeded the maximum size limit of2048 bytes")
	case len(item[k.Sort.Name].Text) > maxSort:
		return attribute.Invalid(parameters + "Aggregated size of all range keys has exceeded the size limit of 1024 bytes")
	}
	return nil
}

// A storage key has the partitions in the order of a digest, as DynamoDB scatters them, and within one the items in the sort key's:
//
//	digest (8) | length of partition key | partition key | sort key, ordered
func (k *tableKey) storage(key attribute.Item) []byte {
	at := partitionPrefix(key[k.Partition.Name])
	if k.Sort.Name != "" {
		at = attribute.AppendOrdered(at, key[k.Sort.Name])
	}
	return at
}

func partitionPrefix(v attribute.Value) []byte {
	plain := attribute.AppendOrdered(nil, v)
	digest := sha256.Sum256(plain)
	return append(binary.AppendUvarint(digest[:8:8], uint64(len(plain))), plain...)
}

// span is a part of a table's storage keys: from the first up to, and without, the second. An end that is nil is the table's.
type span struct{ from, to []byte }

// segment is one of the parts of a parallel scan.
func segment(i, of uint64) span {
	s := span{from: boundary(i, of)}
	if i+1 < of {
		s.to = boundary(i+1, of)
	}
	return s
}

// boundary is the digest at which a segment begins.
func boundary(i, of uint64) []byte {
	at, _ := bits.Div64(i, 0, of) // i < of
	return binary.BigEndian.AppendUint64(nil, at)
}

// spanOf is what a key condition lets through.
func spanOf(k expression.Key) span {
	prefix := partitionPrefix(k.Partition)
	at := func(v attribute.Value) []byte { return attribute.AppendOrdered(prefix[:len(prefix):len(prefix)], v) }
	all := span{prefix, successor(prefix)}
	switch k.Operator {
	case "=":
		return span{at(k.Sort), after(at(k.Sort))}
	case "<":
		return span{all.from, at(k.Sort)}
	case "<=":
		return span{all.from, after(at(k.Sort))}
	case ">":
		return span{after(at(k.Sort)), all.to}
	case ">=":
		return span{at(k.Sort), all.to}
	case "BETWEEN":
		return span{at(k.Sort), after(at(k.High))}
	case "begins_with":
		return span{at(k.Sort), successor(at(k.Sort))}
	}
	return all
}

// after is the first key that comes after one.
func after(key []byte) []byte { return append(key[:len(key):len(key)], 0) }

// successor is the first key that comes after all that begin with a prefix; nil: none does.
func successor(prefix []byte) []byte {
	for n := len(prefix); n > 0; n-- {
		if prefix[n-1] < 0xff {
			next := append([]byte(nil), prefix[:n]...)
			next[n-1]++
			return next
		}
	}
	return nil
}
