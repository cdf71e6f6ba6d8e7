package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/rclone/gofakes3"
)

// ListBucket lists a page of a bucket's keys after the marker, in the order of their bytes; keys that share what comes before the next
// delimiter are told as one common prefix (S3 API, ListObjectsV2).
func (s *Store) ListBucket(_ context.Context, name string, prefix *gofakes3.Prefix, page gofakes3.ListBucketPage) (*gofakes3.ObjectList, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b := s.buckets[name]
	if b == nil {
		return nil, noSuchBucket()
	}
	if prefix == nil {
		prefix = &gofakes3.Prefix{}
	}
	list, last, n := gofakes3.NewObjectList(), "", int64(0)
	for i := b.first(prefix.Prefix, page.Marker); i < len(b.keys) && strings.HasPrefix(b.keys[i], prefix.Prefix); n++ {
		key := b.keys[i]
		common := commonPrefix(key, prefix)
		if common != "" && common == page.Marker { // told on the page before
			i, n = b.past(common), n-1
			continue
		}
		if page.MaxKeys > 0 && n == page.MaxKeys {
			list.IsTruncated, list.NextMarker = true, last
			break
		}
		if common != "" {
			list.AddPrefix(common)
			i, last = b.past(common), common
			continue
		}
		list.Add(b.content(key))
		i, last = i+1, key
	}
	return list, nil
}

// first is the place of the first key with a prefix, and after a marker.
func (b *bucket) first(prefix, marker string) int {
	i, _ := slices.BinarySearch(b.keys, prefix)
	after, found := slices.BinarySearch(b.keys, marker)
	if found {
		after++
	}
	return max(i, after)
}

// past is the place of the first key behind all that have a prefix.
func (b *bucket) past(prefix string) int {
	i, _ := slices.BinarySearchFunc(b.keys, prefix, func(key, prefix string) int {
		if strings.HasPrefix(key, prefix) || key < prefix {
			return -1
		}
		return 1
	})
	return i
}

// commonPrefix is what a key shares with its neighbours up to the delimiter; empty if it has none behind the prefix.
func commonPrefix(key string, p *gofakes3.Prefix) string {
	if p.Delimiter == "" {
		return ""
	}
	head, _, found := strings.Cut(key[len(p.Prefix):], p.Delimiter)
	if !found {
		return ""
	}
	return p.Prefix + head + p.Delimiter
}

func (b *bucket) content(key string) *gofakes3.Content {
	o := b.objects[key]
	return &gofakes3.Content{
		Key:          key,
		LastModified: gofakes3.NewContentTime(o.Modified),
		ETag:         quoted(o.etag()),
		Size:         o.Size,
		StorageClass: "STANDARD",
		Owner:        &gofakes3.UserInfo{ID: CanonicalID(b.Account), DisplayName: b.Account},
	}
}

// CanonicalID stands for an account's canonical user ID: 64 hex digits, always the same.
func CanonicalID(account string) string {
	sum := sha256.Sum256([]byte("canonical user " + account))
	return hex.EncodeToString(sum[:])
}
