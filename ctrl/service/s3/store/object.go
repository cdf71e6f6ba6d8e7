package store

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/rclone/gofakes3"
)

// The protocol library asks for these; the service in front of it answers such requests itself, as it knows the accounts and regions
// that the library does not.

// ListBuckets is not used.
func (s *Store) ListBuckets(context.Context) ([]gofakes3.BucketInfo, error) {
	return nil, gofakes3.ErrNotImplemented
}

// CreateBucket is not used: see Create.
func (s *Store) CreateBucket(context.Context, string) error { return gofakes3.ErrNotImplemented }

// DeleteMulti is not used: each object is deleted by itself.
func (s *Store) DeleteMulti(context.Context, string, ...string) (gofakes3.MultiDeleteResult, error) {
	return gofakes3.MultiDeleteResult{}, gofakes3.ErrNotImplemented
}

// BucketExists says whether there is a bucket of a name.
func (s *Store) BucketExists(_ context.Context, name string) (bool, error) {
	_, ok := s.Bucket(name)
	return ok, nil
}

// DeleteBucket takes an empty bucket away.
func (s *Store) DeleteBucket(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[name]
	if b == nil {
		return noSuchBucket()
	}
	if len(b.keys) > 0 {
		return gofakes3.ErrorMessage(gofakes3.ErrBucketNotEmpty, "The bucket you tried to delete is not empty")
	}
	return fault(s.removeLocked(name))
}

// Has says whether a bucket has an object.
func (s *Store) Has(bucket, key string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, err := s.findLocked(bucket, key)
	return err == nil
}

func (s *Store) findLocked(bucket, key string) (object, error) {
	b := s.buckets[bucket]
	if b == nil {
		return object{}, noSuchBucket()
	}
	o, ok := b.objects[key]
	if !ok {
		return object{}, gofakes3.ErrorMessage(gofakes3.ErrNoSuchKey, "The specified key does not exist.")
	}
	return o, nil
}

// open finds an object and opens its file. Both under the lock: a moment later, another object may have the name.
func (s *Store) open(bucket, key string) (object, *os.File, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	o, err := s.findLocked(bucket, key)
	if err != nil {
		return object{}, nil, err
	}
	f, err := os.Open(s.objectFile(bucket, key))
	return o, f, fault(err)
}

// GetObject opens an object, or a range of it.
func (s *Store) GetObject(ctx context.Context, bucket, key string, want *gofakes3.ObjectRangeRequest) (*gofakes3.Object, error) {
	o, f, err := s.open(bucket, key)
	if err != nil {
		return nil, err
	}
	part, err := reaching(want, o.Size).Range(o.Size)
	if err != nil {
		return nil, fault(errors.Join(gofakes3.ErrorMessage(gofakes3.ErrInvalidRange, "The requested range is not satisfiable"), f.Close()))
	}
	data := &section{file: f, left: o.Size}
	if part != nil {
		data.left = part.Length
		if _, err := f.Seek(part.Start, io.SeekStart); err != nil {
			return nil, fault(errors.Join(err, f.Close()))
		}
	}
	return o.answer(ctx, part, data), nil
}

// reaching is a range that asks for no more of an object's end than there is (RFC 9110, byte ranges). The library takes that for an error.
func reaching(want *gofakes3.ObjectRangeRequest, size int64) *gofakes3.ObjectRangeRequest {
	if want == nil || !want.FromEnd || want.End <= size {
		return want
	}
	return &gofakes3.ObjectRangeRequest{FromEnd: true, End: size}
}

// HeadObject is an object without its data.
func (s *Store) HeadObject(ctx context.Context, bucket, key string) (*gofakes3.Object, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	o, err := s.findLocked(bucket, key)
	if err != nil {
		return nil, err
	}
	return o.answer(ctx, nil, http.NoBody), nil
}

func (o object) answer(ctx context.Context, part *gofakes3.ObjectRange, data io.ReadCloser) *gofakes3.Object {
	noteOf(ctx).Parts = len(o.Parts)
	sum, _ := hex.DecodeString(o.MD5) // it was made by EncodeToString
	return &gofakes3.Object{Name: o.Key, Metadata: o.Meta, Size: o.Size, Contents: data, Hash: sum, Range: part, PartSizes: o.Parts}
}

// PutObject stores an object; until that is done, readers get the one before.
func (s *Store) PutObject(ctx context.Context, bucket, key string, meta map[string]string, in io.Reader, size int64) (gofakes3.PutObjectResult, error) {
	f, err := s.spool(bucket, in)
	if err != nil {
		return gofakes3.PutObjectResult{}, fault(err)
	}
	if size >= 0 && f.size != size {
		return gofakes3.PutObjectResult{}, fault(errors.Join(incomplete(), discard(f.File)))
	}
	if name, value := noteOf(ctx).checksum(); name != "" {
		meta[name] = value
	}
	return gofakes3.PutObjectResult{}, s.commit(ctx, bucket, f, object{Key: key, MD5: f.md5, Meta: meta})
}

// commit makes a spooled file the object of a key.
func (s *Store) commit(ctx context.Context, bucket string, f *spooled, o object) error {
	o.Size, o.Modified = f.size, s.now()
	if err := appendFooter(f.File, o); err != nil {
		return fault(errors.Join(err, discard(f.File)))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.replaceLocked(ctx, bucket, f.Name(), o); err != nil {
		return fault(errors.Join(err, discard(f.File)))
	}
	return fault(f.Close())
}

func (s *Store) replaceLocked(ctx context.Context, bucket, file string, o object) error {
	b := s.buckets[bucket]
	if b == nil {
		return noSuchBucket()
	}
	old, exists := b.objects[o.Key]
	if err := gofakes3.CheckWriteConditions(ctx, exists, old.MD5); err != nil {
		return err
	}
	if err := os.Rename(file, s.objectFile(bucket, o.Key)); err != nil {
		return err
	}
	b.objects[o.Key] = o
	if i, found := slices.BinarySearch(b.keys, o.Key); !found {
		b.keys = slices.Insert(b.keys, i, o.Key)
	}
	return nil
}

// DeleteObject takes an object away; that there is none is fine.
func (s *Store) DeleteObject(_ context.Context, bucket, key string) (gofakes3.ObjectDeleteResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[bucket]
	if b == nil {
		return gofakes3.ObjectDeleteResult{}, noSuchBucket()
	}
	i, found := slices.BinarySearch(b.keys, key)
	if !found {
		return gofakes3.ObjectDeleteResult{}, nil
	}
	if err := os.Remove(s.objectFile(bucket, key)); err != nil {
		return gofakes3.ObjectDeleteResult{}, fault(err)
	}
	b.keys = slices.Delete(b.keys, i, i+1)
	delete(b.objects, key)
	return gofakes3.ObjectDeleteResult{}, nil
}

// CopyObject makes an object of another one's data.
func (s *Store) CopyObject(ctx context.Context, fromBucket, fromKey, bucket, key string, meta map[string]string) (gofakes3.CopyObjectResult, error) {
	o, f, err := s.copyOf(fromBucket, fromKey, bucket)
	if err != nil {
		return gofakes3.CopyObjectResult{}, err
	}
	for name, value := range o.Meta {
		if strings.HasPrefix(name, ChecksumHeader) {
			meta[name] = value
		}
	}
	if err := s.commit(ctx, bucket, f, object{Key: key, MD5: f.md5, Meta: meta}); err != nil {
		return gofakes3.CopyObjectResult{}, err
	}
	return gofakes3.CopyObjectResult{ETag: quoted(f.md5), LastModified: gofakes3.NewContentTime(s.now())}, nil
}

func (s *Store) copyOf(fromBucket, fromKey, bucket string) (object, *spooled, error) {
	o, from, err := s.open(fromBucket, fromKey)
	if err != nil {
		return object{}, nil, err
	}
	defer from.Close()
	f, err := s.spool(bucket, &section{file: from, left: o.Size})
	return o, f, fault(err)
}

// SetObjectTagging gives an object other tags, in the query encoding of the x-amz-tagging header; empty: none.
func (s *Store) SetObjectTagging(ctx context.Context, bucket, key, tagging string) error {
	o, f, err := s.copyOf(bucket, key, bucket)
	if err != nil {
		return err
	}
	o.Meta = maps.Clone(o.Meta)
	delete(o.Meta, gofakes3.TaggingMetadataKey)
	if tagging != "" {
		o.Meta[gofakes3.TaggingMetadataKey] = tagging
	}
	return s.retag(bucket, f, o)
}

// retag replaces an object by itself with other tags, unless another one has come meanwhile: tags do not date an object.
func (s *Store) retag(bucket string, f *spooled, o object) error {
	if err := appendFooter(f.File, o); err != nil {
		return fault(errors.Join(err, discard(f.File)))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now, err := s.findLocked(bucket, o.Key)
	if err == nil && (now.MD5 != o.MD5 || !now.Modified.Equal(o.Modified)) {
		return fault(discard(f.File))
	}
	if err == nil {
		err = s.replaceLocked(context.Background(), bucket, f.Name(), o)
	}
	if err != nil {
		return fault(errors.Join(err, discard(f.File)))
	}
	return fault(f.Close())
}
