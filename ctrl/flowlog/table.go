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
// times their 88 bytes and 16 MiB of slots, at any moment of their growth; a Go map of them takes twice as much.
type table struct {
	seed   maphash.Seed
	slots  []slot // a power of two, at most three quarters taken
	chunks [][]count
	len    int
}

// slot leads to a count. A part of its key's hash keeps probes away from other counts, each of which would be a cache miss.
type slot struct {
	next uint32 // 1 + the count's index; 0: the slot is free
	hash uint32
}

const chunkLen = 1 << 10

func newTable() *table { return &table{seed: maphash.MakeSeed(), slots: make([]slot, 64)} }

// at is the count of an index.
func (t *table) at(i uint32) *count { return &t.chunks[i/chunkLen][i%chunkLen] }

func (t *table) hash(k *key) uint32 { return uint32(maphash.Comparable(t.seed, *k)) }

// find returns a key's count, nil if there is none.
func (t *table) find(k *key) *count {
	hash, mask := t.hash(k), uint32(len(t.slots)-1)
	for i := hash & mask; t.slots[i].next != 0; i = (i + 1) & mask {
		if s := t.slots[i]; s.hash == hash {
			if c := t.at(s.next - 1); c.key == *k {
				return c
			}
		}
	}
	return nil
}

// add makes the count of a key that has none.
func (t *table) add(k *key) *count {
	if t.len*4 >= len(t.slots)*3 {
		old := t.slots
		t.slots = make([]slot, 2*len(old))
		for _, s := range old {
			if s.next != 0 {
				t.place(s)
			}
		}
	}
	if t.len%chunkLen == 0 {
		t.chunks = append(t.chunks, make([]count, chunkLen))
	}
	c := t.at(uint32(t.len))
	c.key = *k
	t.len++
	t.place(slot{uint32(t.len), t.hash(k)})
	return c
}

// place puts a slot where probes find it.
func (t *table) place(s slot) {
	mask := uint32(len(t.slots) - 1)
	i := s.hash & mask
	for t.slots[i].next != 0 {
		i = (i + 1) & mask
	}
	t.slots[i] = s
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
