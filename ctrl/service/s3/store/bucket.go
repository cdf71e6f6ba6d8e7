package store

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/rclone/gofakes3"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// Bucket finds a bucket by its name, which is unique in the lab.
func (s *Store) Bucket(name string) (Bucket, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, ok := s.buckets[name]
	if !ok {
		return Bucket{}, false
	}
	return b.Bucket, true
}

// Buckets are those of an account, by name.
func (s *Store) Buckets(account string) []Bucket {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []Bucket
	for _, b := range s.buckets {
		if b.Account == account {
			list = append(list, b.Bucket)
		}
	}
	slices.SortFunc(list, func(a, b Bucket) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Create makes an empty bucket and dates it; gofakes3.ErrBucketAlreadyExists if the name is taken, whoever has it.
func (s *Store) Create(b Bucket) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buckets[b.Name] != nil {
		return gofakes3.ErrBucketAlreadyExists
	}
	return s.createLocked(b)
}

func (s *Store) createLocked(b Bucket) error {
	if err := CheckName(b.Name); err != nil {
		return err
	}
	b.Created = s.now()
	// A process that died may have left something of a bucket of that name.
	if err := errors.Join(os.RemoveAll(s.path(b.Name)), s.folders(b.Name), s.save(b)); err != nil {
		return fmt.Errorf("make bucket %s: %w", b.Name, err)
	}
	s.buckets[b.Name] = &bucket{Bucket: b, objects: map[string]object{}}
	return nil
}

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// reserved are beginnings and ends of names that S3 keeps for itself.
var reserved = regexp.MustCompile(`^(xn--|sthree-|amzn-s3-demo-)|(-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)$`)

// CheckName says whether a bucket may be called so: 3 to 63 lower-case letters, digits, dots and hyphens, no IP address, and nothing
// reserved (S3 user guide, bucket naming rules). The error is InvalidBucketName.
func CheckName(name string) error {
	_, err := netip.ParseAddr(name)
	if err == nil || !bucketName.MatchString(name) || strings.Contains(name, "..") || reserved.MatchString(name) {
		return gofakes3.ErrorMessage(gofakes3.ErrInvalidBucketName, "The specified bucket is not valid.")
	}
	return nil
}

// SetPolicy gives a bucket another policy; empty: none. gofakes3.ErrNoSuchBucket if it is gone.
func (s *Store) SetPolicy(name, policy string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[name]
	if b == nil {
		return gofakes3.ErrNoSuchBucket
	}
	next := b.Bucket
	next.Policy = policy
	return s.changeLocked(b, next)
}

func (s *Store) changeLocked(b *bucket, next Bucket) error {
	if err := s.save(next); err != nil {
		return fmt.Errorf("change bucket %s: %w", next.Name, err)
	}
	b.Bucket = next
	return nil
}

// Remove takes a bucket away, with all that is in it.
func (s *Store) Remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.removeLocked(name)
}

func (s *Store) removeLocked(name string) error {
	delete(s.buckets, name)
	for id, u := range s.uploads {
		if u.bucket == name {
			delete(s.uploads, id)
		}
	}
	// Without this file the rest is no bucket, should we not get further.
	if err := os.Remove(s.path(name, "bucket.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove bucket %s: %w", name, err)
	}
	return os.RemoveAll(s.path(name))
}

// Declare makes the buckets of a scenario exist, and removes those that an earlier one declared and this one does not, with their
// objects. Buckets that clients made stay. A policy that a client changed stays until the scenario's text of it changes.
func (s *Store) Declare(want []*vpc.Bucket) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	declared := map[string]bool{}
	var errs []error
	for _, w := range want {
		declared[w.Name] = true
		errs = append(errs, s.declareLocked(w))
	}
	for name, b := range s.buckets {
		if b.Declared && !declared[name] {
			errs = append(errs, s.removeLocked(name))
		}
	}
	return errors.Join(errs...)
}

func (s *Store) declareLocked(w *vpc.Bucket) error {
	b := s.buckets[w.Name]
	if b == nil {
		return s.createLocked(Bucket{Name: w.Name, Region: w.Region, Account: w.Account, Policy: w.Policy, Declared: true, DeclaredPolicy: w.Policy})
	}
	next := b.Bucket
	next.Region, next.Account = w.Region, w.Account
	if !b.Declared || b.DeclaredPolicy != w.Policy {
		next.Policy = w.Policy
	}
	next.Declared, next.DeclaredPolicy = true, w.Policy
	if next == b.Bucket {
		return nil
	}
	return s.changeLocked(b, next)
}
