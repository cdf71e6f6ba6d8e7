package store

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rclone/gofakes3"
)

// Where there is no room, nothing is stored and nothing is left; what is there can be read and deleted.
func TestRoom(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Create(Bucket{Name: "logs"}); err != nil {
		t.Fatal(err)
	}
	put(t, s, "logs", "a", "x")
	ctx := context.Background()
	id, err := s.CreateMultipartUpload(ctx, "logs", "b", map[string]string{})
	if err != nil {
		t.Fatal(err)
	}
	s.Room = func() error { return errors.New("no room") }
	_, putErr := s.PutObject(ctx, "logs", "b", map[string]string{}, strings.NewReader("x"), 1)
	_, copyErr := s.CopyObject(ctx, "logs", "a", "logs", "b", map[string]string{})
	_, partErr := s.UploadPart(ctx, "logs", "b", id, 1, 1, strings.NewReader("x"))
	for what, err := range map[string]error{"put": putErr, "copy": copyErr, "part": partErr} {
		if known, ok := err.(gofakes3.Error); !ok || known.ErrorCode() != gofakes3.ErrInternal || !strings.Contains(err.Error(), "no room") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if left := files(t, filepath.Join(dir, "logs", "tmp", "*")); len(left) > 0 || s.Has("logs", "b") {
		t.Errorf("left are %v; the object is there: %v", left, s.Has("logs", "b"))
	}
	if _, err := s.DeleteObject(ctx, "logs", "a"); err != nil {
		t.Error(err)
	}
}
