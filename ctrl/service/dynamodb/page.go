package dynamodb

import (
	"bytes"

	"go.etcd.io/bbolt"

	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
)

// page is one answer of a query or scan: what it looks for, and what it has found.
type page struct {
	parsed
	span
	key      *tableKey
	start    []byte // storage key after which it begins; nil: at the span's end
	backward bool
	limit    int // of items that are looked at; 0: none

	items   []attribute.Item
	scanned int
	size    int            // of all that was looked at, in bytes
	last    attribute.Item // key of the last item that was looked at, if there may be more; nil: there is no more
}

// startAfter begins after a key that an earlier page ended with.
func (p *page) startAfter(key attribute.Item) error {
	if err := p.key.check(key); err != nil {
		return attribute.Invalidf("The provided starting key is invalid: %v", err)
	}
	p.start = p.key.storage(key)
	return nil
}

// read reads until the limit, the page's size or the end.
func (p *page) read(c *bbolt.Cursor) error {
	p.items = []attribute.Item{}
	next := c.Next
	if p.backward {
		next = c.Prev
	}
	var previous attribute.Item
	for at, text := p.first(c); at != nil && p.holds(at); at, text = next() {
		item, err := itemOf(text)
		if err != nil {
			return err
		}
		size := item.Size()
		if p.scanned > 0 && p.size+size > maxPage {
			p.last = p.key.of(previous)
			return nil
		}
		p.take(item, size)
		if p.scanned == p.limit { // AWS does not look whether there is another one
			p.last = p.key.of(item)
			return nil
		}
		previous = item
	}
	return nil
}

func (p *page) take(item attribute.Item, size int) {
	p.scanned++
	p.size += size
	if p.filter.Holds(item) {
		p.items = append(p.items, project(item, p.projection))
	}
}

// first is the first item of the page, by its direction; it may be outside of the span.
func (p *page) first(c *bbolt.Cursor) (at, text []byte) {
	if !p.backward {
		from := p.from
		if p.start != nil && bytes.Compare(after(p.start), from) > 0 {
			from = after(p.start)
		}
		return c.Seek(from)
	}
	end := p.to
	if p.start != nil && (end == nil || bytes.Compare(p.start, end) < 0) {
		end = p.start
	}
	if end == nil {
		return c.Last()
	}
	if at, _ := c.Seek(end); at == nil {
		return c.Last()
	}
	return c.Prev()
}

// holds says that a storage key is in the span.
func (s span) holds(at []byte) bool {
	return bytes.Compare(at, s.from) >= 0 && (s.to == nil || bytes.Compare(at, s.to) < 0)
}
