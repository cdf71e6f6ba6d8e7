package store

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"
	"time"
)

// object is what is known of an object beside its data. In its file it is the footer, so that the data begins where the file does and
// the kernel can send it from there:
//
//	data (Size bytes) | object in JSON | length of that (8 bytes, big endian)
type object struct {
	Key      string
	Size     int64             // bytes of data
	MD5      string            // hex; of the parts' MD5 sums if there are parts
	Parts    []int64           `json:",omitempty"` // sizes; none if it was put in one piece
	Modified time.Time         // lab time
	Meta     map[string]string // headers by their canonical names
}

// etag is the object's entity tag, without quotes.
func (o object) etag() string {
	if len(o.Parts) > 0 {
		return fmt.Sprintf("%s-%d", o.MD5, len(o.Parts))
	}
	return o.MD5
}

const lengthSize = 8

func readFooter(path string) (o object, err error) {
	f, err := os.Open(path)
	if err != nil {
		return object{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return object{}, err
	}
	var length [lengthSize]byte
	end := info.Size() - lengthSize
	if _, err := f.ReadAt(length[:], max(end, 0)); err != nil {
		return object{}, fmt.Errorf("%s: no footer: %w", path, err)
	}
	start := end - int64(binary.BigEndian.Uint64(length[:]))
	if start < 0 || start > end {
		return object{}, fmt.Errorf("%s: not an object", path)
	}
	if err := json.NewDecoder(io.NewSectionReader(f, start, end-start)).Decode(&o); err != nil {
		return object{}, fmt.Errorf("%s: footer: %w", path, err)
	}
	if o.Size != start {
		return object{}, fmt.Errorf("%s: %d bytes of data, but the footer says %d", path, start, o.Size)
	}
	return o, nil
}

// appendFooter ends an object's file.
func appendFooter(f *os.File, o object) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(binary.BigEndian.AppendUint64(text, uint64(len(text))), o.Size)
	return err
}

// objectFile is the file of a key. A key may have any characters and 1024 bytes, which a file's name may not.
func (s *Store) objectFile(bucket, key string) string {
	sum := sha256.Sum256([]byte(key))
	return s.path(bucket, "objects", hex.EncodeToString(sum[:]))
}

// summer is the protocol library's reader, which sums up what it reads anyway.
type summer interface{ Sum([]byte) []byte }

type hashing struct {
	io.Reader
	hash.Hash
}

func (h hashing) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	h.Hash.Write(p[:n])
	return n, err
}

// copyBuffers are large, as what goes through them is: a write to a file should be worth its system call.
var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

// spooled is a file under tmp that will be an object or a part.
type spooled struct {
	*os.File
	size int64
	md5  string // hex
}

// spool copies a reader into a temporary file of a bucket, a buffer at a time.
func (s *Store) spool(bucket string, in io.Reader) (*spooled, error) {
	sum, ok := in.(summer)
	if !ok {
		h := hashing{in, md5.New()}
		in, sum = h, h
	}
	f, err := os.CreateTemp(s.path(bucket, "tmp"), "put-*")
	if err != nil {
		return nil, err
	}
	buffer := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buffer)
	n, err := io.CopyBuffer(roomy{f, s.Room}, in, *buffer)
	if err != nil {
		return nil, errors.Join(err, discard(f))
	}
	return &spooled{File: f, size: n, md5: hex.EncodeToString(sum.Sum(nil))}, nil
}

// roomy writes to a file while there is room.
type roomy struct {
	to   io.Writer
	room func() error
}

func (r roomy) Write(p []byte) (int, error) {
	if err := r.room(); err != nil {
		return 0, err
	}
	return r.to.Write(p)
}

func discard(f *os.File) error {
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// copied is up to which size, in bytes, a section is copied: it then leaves in one segment with the head of the answer, while sendfile needs
// the head to have left before.
const copied = 4 << 10

// section is a piece of an open object's file. A large one writes itself in a way that ends in sendfile where it is written to a TCP socket.
type section struct {
	file *os.File
	left int64
}

func (s *section) Read(p []byte) (int, error) {
	n, err := io.LimitReader(s.file, s.left).Read(p)
	s.left -= int64(n)
	return n, err
}

func (s *section) WriteTo(w io.Writer) (int64, error) {
	if s.left <= copied {
		return s.copyTo(w)
	}
	n, err := io.Copy(w, io.LimitReader(s.file, s.left))
	s.left -= n
	return n, err
}

// copyTo writes all at once.
func (s *section) copyTo(w io.Writer) (int64, error) {
	buffer := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buffer)
	data := (*buffer)[:s.left]
	if _, err := io.ReadFull(s.file, data); err != nil {
		return 0, err
	}
	n, err := w.Write(data)
	s.left -= int64(n)
	return int64(n), err
}

func (s *section) Close() error { return s.file.Close() }
