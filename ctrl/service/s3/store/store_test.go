package store

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rclone/gofakes3"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, func() time.Time { return time.Unix(1e9, 0) })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *Store, bucket, key, text string) {
	t.Helper()
	_, err := s.PutObject(context.Background(), bucket, key, map[string]string{}, strings.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
}

func files(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// What a process leaves that dies in the middle of something is neither an object nor a bucket.
func TestWhatADeadProcessLeaves(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Create(Bucket{Name: "logs"}); err != nil {
		t.Fatal(err)
	}
	put(t, s, "logs", "a", "x")
	if err := os.WriteFile(filepath.Join(dir, "logs", "tmp", "put-1"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if left := files(t, filepath.Join(dir, "logs", "tmp", "*")); len(left) > 0 || !s.Has("logs", "a") {
		t.Errorf("left are %v; the object is there: %v", left, s.Has("logs", "a"))
	}
	if err := os.Remove(filepath.Join(dir, "logs", "bucket.json")); err != nil { // as far as removing the bucket got
		t.Fatal(err)
	}
	s = open(t, dir)
	if _, ok := s.Bucket("logs"); ok {
		t.Error("a bucket that was being removed is there")
	}
	if err := s.Create(Bucket{Name: "logs"}); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if _, ok := s.Bucket("logs"); !ok || s.Has("logs", "a") {
		t.Errorf("made again, the bucket is there: %v; it has the old object: %v", ok, s.Has("logs", "a"))
	}
}

// A file that is no object stops us, with its name: to go on would be to lose it.
func TestSpoiltFiles(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{"", "no footer"},
		{"short", "no footer"},
		{"data and then no footer at all", "not an object"},
		{"data{}\x00\x00\x00\x00\x00\x00\x00\x02", "4 bytes of data, but the footer says 0"},
		{"data[]\x00\x00\x00\x00\x00\x00\x00\x02", "footer: "},
		{"\xff\xff\xff\xff\xff\xff\xff\xff", "not an object"},
	} {
		dir := t.TempDir()
		if err := open(t, dir).Create(Bucket{Name: "logs"}); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "logs", "objects", "spoilt"), []byte(row.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(dir, time.Now)
		if err == nil || !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), "open bucket logs: ") {
			t.Errorf("%q: got %v, want %q", row.text, err, row.want)
		}
	}
}

// A reader that has begun goes on with the object that it began with.
func TestAnObjectIsReplacedUnderItsReaders(t *testing.T) {
	s := open(t, t.TempDir())
	if err := s.Create(Bucket{Name: "logs"}); err != nil {
		t.Fatal(err)
	}
	put(t, s, "logs", "a", "old")
	o, err := s.GetObject(context.Background(), "logs", "a", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Contents.Close()
	put(t, s, "logs", "a", "newer")
	got := make([]byte, 10)
	if n, err := o.Contents.Read(got); string(got[:n]) != "old" {
		t.Errorf("got %q, %v", got[:n], err)
	}
}

func TestFailedWritesLeaveNoFiles(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Create(Bucket{Name: "logs"}); err != nil {
		t.Fatal(err)
	}
	_, err := s.PutObject(context.Background(), "logs", "a", map[string]string{}, strings.NewReader("short"), 6)
	if !gofakes3.HasErrorCode(err, gofakes3.ErrIncompleteBody) {
		t.Errorf("a short body: got %v", err)
	}
	if err := s.Remove("logs"); err != nil {
		t.Fatal(err)
	}
	_, err = s.PutObject(context.Background(), "logs", "a", map[string]string{}, strings.NewReader("x"), 1)
	if err == nil {
		t.Error("an object was put into a bucket that is gone")
	}
	if left := files(t, filepath.Join(dir, "*", "*", "*")); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
}

func TestBucketNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"abc": true, "a.b": true, "my-logs.2031": true, strings.Repeat("a", 63): true,
		"ab": false, strings.Repeat("a", 64): false, "Abc": false, "a_b": false, "-ab": false, "ab-": false, "a..b": false, "10.0.0.1": false, "xn--abc": false,
		"..": false, "a/b": false, "sthree-abc": false, "abc-s3alias": false, "abc--ol-s3": false, "abc.mrap": false, "abcmrap": true, "s3alias": true,
	} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("%q: got %v", name, err)
		}
	}
}
