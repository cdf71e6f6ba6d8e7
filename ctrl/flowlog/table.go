package flowlog

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"
)

// count is one flow's totals in one window.
type count struct {
	key
	first, last    int64 // Unix nanoseconds
	packets, bytes uint64
	flags, path    uint8
}

// table holds counts by their keys: open addressing over indices, counts in chunks that never move. A million counts take a million
// times their 88 bytes and 8 MiB of indices, at any moment of their growth; a Go map of them takes twice as much.
type table struct {
	seed   maphash.Seed
	slots  []uint32 // 1 + the index of a count, 0 if free; a power of two, at most three quarters taken
	chunks [][]count
	len    int
}

const chunkLen = 1 << 10

func newTable() *table { return &table{seed: maphash.MakeSeed(), slots: make([]uint32, 64)} }

// at is the count of an index.
func (t *table) at(i uint32) *count { return &t.chunks[i/chunkLen][i%chunkLen] }

// slot is where a key's index stands, or the free slot where it would.
func (t *table) slot(k *key) *uint32 {
	mask := uint64(len(t.slots) - 1)
	for i := maphash.Comparable(t.seed, *k) & mask; ; i = (i + 1) & mask {
		if t.slots[i] == 0 || t.at(t.slots[i]-1).key == *k {
			return &t.slots[i]
		}
	}
}

// find returns a key's count, nil if there is none.
func (t *table) find(k *key) *count {
	if s := *t.slot(k); s != 0 {
		return t.at(s - 1)
	}
	return nil
}

// add makes the count of a key that has none.
func (t *table) add(k *key) *count {
	if t.len*4 >= len(t.slots)*3 {
		t.grow()
	}
	if t.len%chunkLen == 0 {
		t.chunks = append(t.chunks, make([]count, chunkLen))
	}
	c := t.at(uint32(t.len))
	c.key = *k
	t.len++
	*t.slot(k) = uint32(t.len)
	return c
}

func (t *table) grow() {
	t.slots = make([]uint32, 2*len(t.slots))
	for i := range t.len {
		*t.slot(&t.at(uint32(i)).key) = uint32(i) + 1
	}
}

// order lists the counts' indices by interface, first packet, and then whatever is the same at every run.
func (t *table) order() []uint32 {
	all := make([]uint32, t.len)
	for i := range all {
		all[i] = uint32(i)
	}
	slices.SortFunc(all, func(i, j uint32) int { return t.at(i).compare(t.at(j)) })
	return all
}

func (c *count) compare(o *count) int {
	if by := cmp.Or(cmp.Compare(c.iface, o.iface), cmp.Compare(c.first, o.first)); by != 0 {
		return by
	}
	return cmp.Or(
		cmp.Compare(c.tuple.Family, o.tuple.Family), cmp.Compare(c.tuple.Protocol, o.tuple.Protocol),
		bytes.Compare(c.tuple.Src[:], o.tuple.Src[:]), cmp.Compare(c.tuple.SrcPort, o.tuple.SrcPort),
		bytes.Compare(c.tuple.Dst[:], o.tuple.Dst[:]), cmp.Compare(c.tuple.DstPort, o.tuple.DstPort), cmp.Compare(c.kind, o.kind))
}
