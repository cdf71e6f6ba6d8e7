package logfile

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/vpclab/vpclab/ctrl/flowlog"
)

// The first bytes of files that are not text.
const (
	gzipMagic    = "\x1f\x8b"
	parquetMagic = "PAR1"
)

// Rows reads a file of any kind, which its first bytes tell. Text without a header is read in the given format. The range ends with the
// first error.
func Rows(file io.ReaderAt, size int64, format flowlog.Format) iter.Seq2[flowlog.Row, error] {
	magic := make([]byte, len(parquetMagic))
	n, err := file.ReadAt(magic, 0)
	magic = magic[:n]
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return failed(err)
	case string(magic) == parquetMagic:
		return parquetRows(file, size)
	case strings.HasPrefix(string(magic), gzipMagic):
		z, err := gzip.NewReader(io.NewSectionReader(file, 0, size))
		if err != nil {
			return failed(err)
		}
		return textRows(z, format)
	}
	return textRows(io.NewSectionReader(file, 0, size), format)
}

func failed(err error) iter.Seq2[flowlog.Row, error] {
	return func(yield func(flowlog.Row, error) bool) { yield(flowlog.Row{}, fmt.Errorf("read log file: %w", err)) }
}

// textRows reads lines. A last line without its end is one that is being written: it is left out.
func textRows(r io.Reader, format flowlog.Format) iter.Seq2[flowlog.Row, error] {
	return func(yield func(flowlog.Row, error) bool) {
		lines := bufio.NewReader(r)
		for n := 1; ; n++ {
			line, err := lines.ReadString('\n')
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(flowlog.Row{}, fmt.Errorf("read log file: line %d: %w", n, err))
				return
			}
			line = strings.TrimSuffix(line, "\n")
			if n == 1 {
				if header, err := flowlog.ParseHeader(line); err == nil {
					format = header
					continue
				}
			}
			row, err := format.Parse(line)
			if err != nil {
				err = fmt.Errorf("line %d: %w", n, err)
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

func parquetRows(file io.ReaderAt, size int64) iter.Seq2[flowlog.Row, error] {
	return func(yield func(flowlog.Row, error) bool) {
		var f *parquet.File
		var format flowlog.Format
		if err := guarded(func() (err error) {
			if f, err = parquet.OpenFile(file, size); err == nil {
				format, err = formatOf(f.Schema())
			}
			return err
		}); err != nil {
			failed(err)(yield)
			return
		}
		for _, group := range f.RowGroups() {
			if !groupRowsOf(group, format, yield) {
				return
			}
		}
	}
}

// guarded calls the library, which panics about some damaged files.
func guarded(f func() error) (err error) {
	defer func() {
		if why := recover(); why != nil {
			err = fmt.Errorf("damaged Parquet: %v", why)
		}
	}()
	return f()
}

func formatOf(s *parquet.Schema) (flowlog.Format, error) {
	var names []string
	for _, column := range s.Columns() {
		names = append(names, strings.ReplaceAll(strings.Join(column, "."), "_", "-"))
	}
	return flowlog.ParseHeader(strings.Join(names, " "))
}

// groupRowsOf yields the rows of one group; false ends the range.
func groupRowsOf(group parquet.RowGroup, format flowlog.Format, yield func(flowlog.Row, error) bool) bool {
	rows := group.Rows()
	defer rows.Close()
	batch := make([]parquet.Row, batchRows)
	for {
		var n int
		err := guarded(func() (err error) {
			n, err = rows.ReadRows(batch)
			return err
		})
		for _, r := range batch[:n] {
			row, err := format.RowOf(texts(r))
			if !yield(row, err) || err != nil {
				return false
			}
		}
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			failed(err)(yield)
			return false
		}
	}
}

// texts are the values of a row as text files have them.
func texts(r parquet.Row) []string {
	values := make([]string, len(r))
	for i, v := range r {
		values[i] = "-"
		if !v.IsNull() {
			values[i] = v.String()
		}
	}
	return values
}
