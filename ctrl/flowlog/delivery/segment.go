package delivery

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/vpclab/vpclab/ctrl/flowlog"
)

// file is what a segment is written to.
type file interface {
	io.WriteCloser
	Truncate(size int64) error
	Sync() error
}

// createFile makes a file that nobody had made, and appends to it.
func createFile(path string) (file, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_APPEND|os.O_WRONLY, 0o600)
}

// segment is a file of the spool, which becomes one batch: a header line with the format of the records in it, then spooled lines.
// PERIOD-NUMBER.segment is its name.
type segment struct {
	path   string
	number int
	period int64 // Unix seconds, as in Batch
	due    int64 // Unix seconds of lab time from when it is delivered
	format flowlog.Format
	counts Counts // of all lines, written or not
	size   int64  // bytes of the file that are whole lines
	body   int64  // bytes that a text file of it would have

	file    file   // nil when nothing is added any more
	pending []byte // lines, and at first the header, that are to be written
}

const (
	segmentEnding = ".segment"
	// writeSize is how much is written at once.
	writeSize = 64 << 10
)

func segmentPath(dir string, period int64, number int) string {
	return filepath.Join(dir, fmt.Sprintf("%d-%d%s", period, number, segmentEnding))
}

// parseSegmentName is the way back from a segment's path.
func parseSegmentName(path string) (period int64, number int, err error) {
	name := strings.TrimSuffix(filepath.Base(path), segmentEnding)
	if _, err := fmt.Sscanf(name, "%d-%d", &period, &number); err != nil {
		return 0, 0, fmt.Errorf("spool %s: it is not called as a segment is", path)
	}
	return period, number, nil
}

// begin makes the segment's file.
func (s *segment) begin(create func(path string) (file, error)) (err error) {
	header := s.format.Header() + "\n"
	s.pending, s.body = []byte(header), int64(len(header))
	s.file, err = create(s.path)
	return err
}

// add puts a spooled line, which has a line of body bytes in it, behind the others.
func (s *segment) add(line []byte, e Counts, body int) {
	s.pending = append(s.pending, line...)
	s.counts.add(e)
	s.body += int64(body)
}

// write brings to the disk what is pending. If the disk does not take it, nothing of it is there afterwards, and lost are its lines.
func (s *segment) write() (lost []byte, err error) {
	if len(s.pending) == 0 || s.file == nil {
		return nil, nil
	}
	_, err = s.file.Write(s.pending)
	if err == nil {
		s.size += int64(len(s.pending))
		s.pending = s.pending[:0]
		return nil, nil
	}
	lost, s.pending = s.pending, nil
	if s.size == 0 { // the header is still to be written
		end := bytes.IndexByte(lost, '\n') + 1
		s.pending, lost = append(s.pending, lost[:end]...), lost[end:]
	}
	if undo := s.file.Truncate(s.size); undo != nil { // half a line may stand there: nothing may follow it
		s.file.Close()
		s.file = nil
		err = errors.Join(err, undo)
	}
	return lost, err
}

// seal ends the segment: nothing is added any more.
func (s *segment) seal() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file, s.pending = nil, nil
	return err
}

// recoverSegment reads a segment of an earlier life and cuts off what was not written to its end.
func recoverSegment(path string) (*segment, error) {
	period, number, err := parseSegmentName(path)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewReaderSize(f, writeSize)
	header, err := lines.ReadString('\n')
	if errors.Is(err, io.EOF) {
		return &segment{path: path, number: number}, nil // it died before there was a line
	}
	if err != nil {
		return nil, err
	}
	format, err := flowlog.ParseHeader(strings.TrimSuffix(header, "\n"))
	if err != nil {
		return nil, fmt.Errorf("spool %s: %w", path, err)
	}
	s := &segment{path: path, number: number, period: period, format: format, size: int64(len(header))}
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		e, torn := parseEntry(bytes.TrimSuffix(line, []byte{'\n'}))
		if err != nil || torn != nil {
			return s, f.Truncate(s.size)
		}
		s.counts.add(e.counts())
		s.size += int64(len(line))
	}
}

// entries are the records in the file.
func (s *segment) entries() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		f, err := os.Open(s.path)
		if err != nil {
			yield(Entry{}, fmt.Errorf("read spool: %w", err))
			return
		}
		defer f.Close()
		lines := bufio.NewReaderSize(io.NewSectionReader(f, 0, s.size), writeSize)
		for n := 0; ; n++ {
			line, err := lines.ReadBytes('\n')
			if errors.Is(err, io.EOF) && len(line) == 0 {
				return
			}
			if n == 0 && err == nil { // the header
				continue
			}
			var e Entry
			if err == nil {
				e, err = parseEntry(line[:len(line)-1])
			}
			if err != nil {
				err = fmt.Errorf("read spool %s: line %d: %w", s.path, n+1, err)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}
