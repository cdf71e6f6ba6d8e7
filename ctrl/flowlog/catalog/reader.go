package catalog

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/ctrl/flowlog/logfile"
)

// Reader reads the delivered records of one flow log, each once: what it has read it does not read again. It is for one goroutine.
type Reader struct {
	log    Log
	format flowlog.Format
	to     flowlog.Destination
	dir    string

	files   map[string]*progress
	foreign int
}

// progress is how far a file was read.
type progress struct {
	info fs.FileInfo
	read int64 // bytes, always whole lines
}

// Reader makes a reader of a log of the catalog.
func (c *Catalog) Reader(l *Log) (*Reader, error) {
	format, err := flowlog.ParseFormat(l.Format)
	if err != nil {
		return nil, fmt.Errorf("flow log %s: %w", l.Name, err)
	}
	to, err := flowlog.ParseDestination(l.Destination)
	if err != nil {
		return nil, fmt.Errorf("flow log %s: %w", l.Name, err)
	}
	return &Reader{log: *l, format: format, to: to, dir: c.Dir, files: map[string]*progress{}}, nil
}

// Format is the format of the log's records.
func (r *Reader) Format() flowlog.Format { return r.format }

// Foreign counts the lines that were not of the log's format: another log's that shares the log group, or somebody's own.
func (r *Reader) Foreign() int { return r.foreign }

// Rows are the records that were delivered since the last call, in the order of delivery; those of a log group by their start. Beside an
// error the range goes on with the next file.
func (r *Reader) Rows() iter.Seq2[flowlog.Row, error] {
	switch r.to.Kind {
	case flowlog.S3:
		return r.objects()
	case flowlog.CloudWatch:
		return r.streams()
	}
	path := r.to.Path
	if !filepath.IsAbs(path) {
		path = filepath.Join(r.dir, path)
	}
	return func(yield func(flowlog.Row, error) bool) { r.lines(path, true, yield) }
}

// object is a file in a bucket.
type object struct {
	path, name string // name is the path without the digest at its end
	info       fs.FileInfo
}

// objects reads the files in S3 that are new. They come there whole.
func (r *Reader) objects() iter.Seq2[flowlog.Row, error] {
	return func(yield func(flowlog.Row, error) bool) {
		found, err := r.newObjects()
		if err != nil && !yield(flowlog.Row{}, err) {
			return
		}
		for _, o := range found {
			r.files[o.path] = &progress{info: o.info}
			if !readObject(o.path, r.format, yield) {
				return
			}
		}
	}
}

// newObjects finds the files of the log that were not read yet, by their five minutes and then by their age.
func (r *Reader) newObjects() ([]object, error) {
	var found []object
	mark := "_" + r.log.ID + "_"
	root := filepath.Join(r.dir, r.to.Bucket, filepath.FromSlash(r.to.Prefix), "AWSLogs")
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return gone(err)
		}
		ours := strings.Contains(e.Name(), mark) && (strings.HasSuffix(path, ".log.gz") || strings.HasSuffix(path, ".log.parquet"))
		if !ours || r.files[path] != nil {
			return nil
		}
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			return gone(err)
		}
		found = append(found, object{path, path[:strings.LastIndexByte(path, '_')], info})
		return nil
	})
	slices.SortStableFunc(found, func(a, b object) int {
		return cmp.Or(cmp.Compare(a.name, b.name), a.info.ModTime().Compare(b.info.ModTime()))
	})
	return found, err
}

// readObject yields the rows of a file; false ends the range.
func readObject(path string, format flowlog.Format, yield func(flowlog.Row, error) bool) bool {
	f, err := os.Open(path)
	if err != nil {
		return gone(err) == nil || yield(flowlog.Row{}, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return yield(flowlog.Row{}, err)
	}
	for row, err := range logfile.Rows(f, info.Size(), format) {
		if err != nil {
			return yield(row, fmt.Errorf("%s: %w", path, err))
		}
		if !yield(row, nil) {
			return false
		}
	}
	return true
}

// gone is err, but nil for a file that is not there, or not any more.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// streams reads what is new in the files of a log group.
func (r *Reader) streams() iter.Seq2[flowlog.Row, error] {
	return func(yield func(flowlog.Row, error) bool) {
		folder := filepath.Join(r.dir, filepath.FromSlash(strings.TrimPrefix(r.to.Group, "/")))
		paths, err := filepath.Glob(filepath.Join(escaped(folder), "*-"+strings.ToLower(r.log.Traffic)))
		if err != nil && !yield(flowlog.Row{}, err) {
			return
		}
		var rows []flowlog.Row
		for _, path := range paths {
			more := r.lines(path, false, func(row flowlog.Row, err error) bool {
				if err != nil {
					return yield(row, err)
				}
				rows = append(rows, row)
				return true
			})
			if !more {
				return
			}
		}
		slices.SortStableFunc(rows, func(a, b flowlog.Row) int { return cmp.Compare(began(a), began(b)) })
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}
}

// escaped is a path in which Glob sees no pattern.
func escaped(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// began is a row's start, 0 if it does not say.
func began(r flowlog.Row) int64 {
	value, _ := r.Value(flowlog.Start)
	seconds, _ := strconv.ParseInt(value, 10, 64) // "-" and "" are 0
	return seconds
}

// lines reads the whole lines that a text file has got; false ends the range. A file that has become shorter has had lines taken back that
// a full disk did not take whole: they come again at the same place. Another file in its place is read from its beginning.
func (r *Reader) lines(path string, header bool, yield func(flowlog.Row, error) bool) bool {
	f, err := os.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return gone(err) == nil || yield(flowlog.Row{}, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return yield(flowlog.Row{}, err)
	}
	if !info.Mode().IsRegular() {
		return yield(flowlog.Row{}, fmt.Errorf("%s is no file that can be read back", path))
	}
	p := r.files[path]
	if p == nil || !os.SameFile(p.info, info) {
		p = &progress{info: info}
		r.files[path] = p
	}
	data, err := io.ReadAll(io.NewSectionReader(f, p.read, max(0, info.Size()-p.read)))
	if err != nil {
		return yield(flowlog.Row{}, err)
	}
	for len(data) > 0 {
		end := bytes.IndexByte(data, '\n')
		if end < 0 {
			break
		}
		line := string(data[:end])
		first := p.read == 0
		data, p.read = data[end+1:], p.read+int64(end)+1
		if first && header && line == r.format.Header() {
			continue
		}
		row, err := r.format.Parse(line)
		if err != nil {
			r.foreign++
			continue
		}
		if !yield(row, nil) {
			return false
		}
	}
	return true
}
