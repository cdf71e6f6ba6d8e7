package logfile

import (
	"compress/gzip"
	"fmt"
	"io"

	"github.com/vpclab/vpclab/ctrl/flowlog"
)

// Encoder writes one file. Records come as lines of the file's format, without their ends; Close ends the file, not what is below it.
type Encoder interface {
	Add(line []byte) error
	Close() error
}

// text is gzipped text.
type text struct{ z *gzip.Writer }

// NewText begins a gzipped text file: the header, then a record a line.
func NewText(w io.Writer, f flowlog.Format) (Encoder, error) {
	t := &text{gzip.NewWriter(w)}
	return t, t.Add([]byte(f.Header()))
}

// Add implements Encoder.
func (t *text) Add(line []byte) error {
	_, err := t.z.Write(line)
	if err == nil {
		_, err = t.z.Write([]byte{'\n'})
	}
	if err != nil {
		return fmt.Errorf("gzip: %w", err)
	}
	return nil
}

// Close implements Encoder.
func (t *text) Close() error { return t.z.Close() }
