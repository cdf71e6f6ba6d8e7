package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/rclone/gofakes3"
)

// pieces remembers what was written to it, piece by piece, and what is read from elsewhere into it as one.
type pieces struct {
	all   [][]byte
	moved bool // by ReadFrom
}

func (p *pieces) Write(b []byte) (int, error) {
	p.all = append(p.all, bytes.Clone(b))
	return len(b), nil
}

func (p *pieces) ReadFrom(r io.Reader) (int64, error) {
	p.moved = true
	b, err := io.ReadAll(r)
	p.all = append(p.all, b)
	return int64(len(b)), err
}

// A small object, or range of one, goes out in one piece; a large one by the way that ends in sendfile. Nothing of the footer follows.
func TestObjectsGoOutInOnePieceOrBySendfile(t *testing.T) {
	s := open(t, t.TempDir())
	if err := s.Create(Bucket{Name: "logs"}); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		size       int
		start, end int64 // of a range; end 0: none
		moved      bool
	}{
		{0, 0, 0, false},
		{1, 0, 0, false},
		{copied, 0, 0, false},
		{copied + 1, 0, 0, true},
		{1 << 20, 0, 0, true},
		{1 << 20, 1000, 1009, false},
		{1 << 20, 1000, 1000 + copied, true},
	} {
		data := bytes.Repeat([]byte("0123456789"), row.size/10+1)[:row.size]
		put(t, s, "logs", "x", string(data))
		var want *gofakes3.ObjectRangeRequest
		if row.end > 0 {
			want = &gofakes3.ObjectRangeRequest{Start: row.start, End: row.end}
			data = data[row.start : row.end+1]
		}
		o, err := s.GetObject(context.Background(), "logs", "x", want)
		if err != nil {
			t.Fatal(err)
		}
		var p pieces
		n, err := o.Contents.(io.WriterTo).WriteTo(&p)
		if err != nil || n != int64(len(data)) || len(p.all) != 1 || !bytes.Equal(p.all[0], data) || p.moved != row.moved {
			t.Errorf("%+v: %d bytes in %d pieces, moved %v: %v", row, n, len(p.all), p.moved, err)
		}
		if err := o.Contents.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A file that is shorter than it should be is an error and not an object.
func TestTornObject(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/x")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := (&section{file: f, left: 5}).WriteTo(&pieces{}); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}
