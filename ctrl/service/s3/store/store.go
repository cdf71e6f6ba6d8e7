// Package store keeps the buckets and objects of the lab's S3 in a folder, as files, and is what the protocol library calls a backend. It
// knows no HTTP and no policy: who may do what was decided before.
//
//	DIR/BUCKET/bucket.json       region, owner, policy
//	DIR/BUCKET/objects/SHA256    an object, under the hash of its key: data, footer, the footer's length
//	DIR/BUCKET/tmp/              what is being written; emptied when the folder is opened
package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/rclone/gofakes3"
)

// Store is a folder of buckets. What is in the buckets is indexed in memory; data is read from and written to files.
type Store struct {
	// Room says why no more may be stored. It is asked for each piece of an object, and set before the first.
	Room func() error

	dir string
	now func() time.Time

	mu      sync.RWMutex
	buckets map[string]*bucket
	uploads map[gofakes3.UploadID]*upload
}

// Bucket is what is known of a bucket beside its objects.
type Bucket struct {
	Name, Region, Account string
	Policy                string // JSON; empty: none
	Created               time.Time
	// Declared buckets are a scenario's, and DeclaredPolicy is the policy that it wrote.
	Declared       bool
	DeclaredPolicy string
}

// bucket is a bucket with the index of its objects; keys are sorted.
type bucket struct {
	Bucket
	objects map[string]object
	keys    []string
}

// Open opens a folder, and makes it if need be. now is the lab's time, which objects and buckets are dated with. Multipart uploads that
// were under way when the folder was last used are gone.
func Open(dir string, now func() time.Time) (*Store, error) {
	s := &Store{Room: func() error { return nil }, dir: dir, now: now, buckets: map[string]*bucket{}, uploads: map[gofakes3.UploadID]*upload{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open objects: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open objects: %w", err)
	}
	for _, e := range entries {
		b, err := s.load(e.Name())
		if errors.Is(err, os.ErrNotExist) { // a bucket that was being made or removed
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open bucket %s: %w", e.Name(), err)
		}
		s.buckets[b.Name] = b
	}
	return s, nil
}

func (s *Store) load(name string) (*bucket, error) {
	text, err := os.ReadFile(s.path(name, "bucket.json"))
	if err != nil {
		return nil, err
	}
	b := &bucket{objects: map[string]object{}}
	if err := json.Unmarshal(text, &b.Bucket); err != nil {
		return nil, err
	}
	if err := errors.Join(os.RemoveAll(s.path(name, "tmp")), s.folders(name)); err != nil {
		return nil, err
	}
	files, err := os.ReadDir(s.path(name, "objects"))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		o, err := readFooter(s.path(name, "objects", f.Name()))
		if err != nil {
			return nil, err
		}
		b.objects[o.Key] = o
	}
	b.keys = slices.Sorted(maps.Keys(b.objects))
	return b, nil
}

func (s *Store) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

func (s *Store) folders(name string) error {
	return errors.Join(os.MkdirAll(s.path(name, "objects"), 0o700), os.MkdirAll(s.path(name, "tmp"), 0o700))
}

// save writes what is known of a bucket, in one step.
func (s *Store) save(b Bucket) error {
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	next := s.path(b.Name, "tmp", "bucket.json")
	if err := os.WriteFile(next, text, 0o600); err != nil {
		return err
	}
	return os.Rename(next, s.path(b.Name, "bucket.json"))
}
