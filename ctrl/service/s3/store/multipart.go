package store

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rclone/gofakes3"
)

// upload is a multipart upload under way.
type upload struct {
	bucket, key string
	meta        map[string]string
	parts       map[int]part
}

// part is a part of an upload, in a file under the bucket's tmp.
type part struct {
	file     string
	size     int64
	md5      string // hex
	modified time.Time
}

// Part is a part of an upload, as others see it.
type Part struct {
	Number   int
	ETag     string
	Size     int64
	Modified time.Time
}

// Parts are those of an upload that are there, by number; gofakes3.ErrNoSuchUpload if it is not one of this key.
func (s *Store) Parts(bucket, key string, id gofakes3.UploadID) ([]Part, error) {
	u, ok := s.upload(id)
	if !ok || u.bucket != bucket || u.key != key {
		return nil, noSuchUpload()
	}
	var parts []Part
	for _, n := range slices.Sorted(maps.Keys(u.parts)) {
		p := u.parts[n]
		parts = append(parts, Part{n, quoted(p.md5), p.size, p.modified})
	}
	return parts, nil
}

// smallestPart is what every part but the last has at least (S3 user guide, multipart upload limits).
const smallestPart = 5 << 20

// CreateMultipartUpload begins an upload. It ends when it is completed or aborted, when its bucket goes, or with the process.
func (s *Store) CreateMultipartUpload(_ context.Context, bucket, key string, meta map[string]string) (gofakes3.UploadID, error) {
	var random [32]byte
	rand.Read(random[:]) // it never fails
	id := gofakes3.UploadID(hex.EncodeToString(random[:]))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uploads[id] = &upload{bucket: bucket, key: key, meta: meta, parts: map[int]part{}}
	return id, nil
}

// UploadPart stores a part; an earlier one of the same number is replaced.
func (s *Store) UploadPart(_ context.Context, bucket, _ string, id gofakes3.UploadID, number int, size int64, in io.Reader) (string, error) {
	f, err := s.spool(bucket, in)
	if err != nil {
		return "", fault(err)
	}
	if f.size != size {
		return "", fault(errors.Join(incomplete(), discard(f.File)))
	}
	if err := f.Close(); err != nil {
		return "", fault(errors.Join(err, os.Remove(f.Name())))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.uploads[id]
	if u == nil { // aborted meanwhile
		return "", fault(errors.Join(noSuchUpload(), os.Remove(f.Name())))
	}
	if old, ok := u.parts[number]; ok {
		err = os.Remove(old.file)
	}
	u.parts[number] = part{file: f.Name(), size: f.size, md5: f.md5, modified: s.now()}
	return quoted(f.md5), fault(err)
}

// CompleteMultipartUpload makes an object of the parts that are named.
func (s *Store) CompleteMultipartUpload(ctx context.Context, bucket, key string, id gofakes3.UploadID, want *gofakes3.CompleteMultipartUploadRequest) (gofakes3.VersionID, string, error) {
	u, ok := s.upload(id)
	if !ok {
		return "", "", noSuchUpload()
	}
	parts, err := u.choose(ctx, want.Parts)
	if err != nil {
		return "", "", err
	}
	f, err := s.join(bucket, parts)
	if err != nil {
		return "", "", fault(err)
	}
	o := object{Key: key, MD5: md5OfParts(parts), Meta: u.meta}
	for _, p := range parts {
		o.Parts = append(o.Parts, p.size)
	}
	if err := s.commit(ctx, bucket, f, o); err != nil {
		return "", "", err
	}
	return "", quoted(o.etag()), fault(s.forget(id))
}

// AbortMultipartUpload ends an upload and throws its parts away.
func (s *Store) AbortMultipartUpload(_ context.Context, _, _ string, id gofakes3.UploadID) error {
	return fault(s.forget(id))
}

// upload is a copy of an upload as it is now.
func (s *Store) upload(id gofakes3.UploadID) (upload, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	u, ok := s.uploads[id]
	if !ok {
		return upload{}, false
	}
	c := *u
	c.parts = maps.Clone(u.parts)
	return c, true
}

// Uploading says whether an upload to a bucket is under way.
func (s *Store) Uploading(bucket string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, u := range s.uploads {
		if u.bucket == bucket {
			return true
		}
	}
	return false
}

func (s *Store) forget(id gofakes3.UploadID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.uploads[id]
	if u == nil {
		return nil
	}
	delete(s.uploads, id)
	var errs []error
	for _, p := range u.parts {
		errs = append(errs, os.Remove(p.file))
	}
	return errors.Join(errs...)
}

// choose finds the parts that a completion names: ascending, with their entity tags, and none but the last too small.
func (u upload) choose(ctx context.Context, want []gofakes3.CompletedPart) ([]part, error) {
	if len(want) == 0 {
		return nil, gofakes3.ErrMalformedXML
	}
	if !ascending(want) {
		return nil, gofakes3.ErrorMessage(gofakes3.ErrInvalidPartOrder,
			"The list of parts was not in ascending order. Parts must be ordered by part number.")
	}
	var parts []part
	for i, w := range want {
		p, ok := u.parts[w.PartNumber]
		if !ok || strings.Trim(w.ETag, `"`) != p.md5 {
			return nil, gofakes3.ErrorMessage(gofakes3.ErrInvalidPart,
				"One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.")
		}
		if i < len(want)-1 && p.size < smallestPart {
			noteOf(ctx).Status = http.StatusBadRequest
			return nil, gofakes3.ErrorMessage("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
		}
		parts = append(parts, p)
	}
	return parts, nil
}

func ascending(parts []gofakes3.CompletedPart) bool {
	for i := range parts[1:] {
		if parts[i].PartNumber >= parts[i+1].PartNumber {
			return false
		}
	}
	return true
}

// join copies parts into one file, from file to file in the kernel.
func (s *Store) join(bucket string, parts []part) (*spooled, error) {
	f, err := os.CreateTemp(s.path(bucket, "tmp"), "put-*")
	if err != nil {
		return nil, err
	}
	var size int64
	for _, p := range parts {
		if err := errors.Join(s.Room(), appendFile(f, p.file)); err != nil {
			return nil, errors.Join(err, discard(f))
		}
		size += p.size
	}
	return &spooled{File: f, size: size}, nil
}

func appendFile(to *os.File, name string) error {
	from, err := os.Open(name)
	if err != nil {
		return err
	}
	defer from.Close()
	_, err = io.Copy(to, from)
	return err
}

// md5OfParts is the MD5 of the parts' MD5 sums, which S3 makes the entity tag of.
func md5OfParts(parts []part) string {
	h := md5.New()
	for _, p := range parts {
		sum, _ := hex.DecodeString(p.md5) // it was made by EncodeToString
		h.Write(sum)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func noSuchUpload() error {
	return gofakes3.ErrorMessage(gofakes3.ErrNoSuchUpload,
		"The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.")
}
