package logfile

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/vpclab/vpclab/ctrl/flowlog"
)

// Column is the name of a field's column: in Parquet, AWS writes names with underscores.
func Column(f flowlog.Field) string { return strings.ReplaceAll(f.String(), "-", "_") }

// goTypes are the Go types whose Parquet types are those of AWS's table: INT_32, INT_64, STRING.
var goTypes = map[flowlog.Kind]reflect.Type{
	flowlog.Int32:  reflect.TypeFor[int32](),
	flowlog.Int64:  reflect.TypeFor[int64](),
	flowlog.String: reflect.TypeFor[string](),
}

// schema has a column for each field, in the format's order, all of them optional: what a text file calls "-" is null. The order is why the
// schema is made from a struct type; the library sorts the columns of a group.
func schema(f flowlog.Format) *parquet.Schema {
	columns := make([]reflect.StructField, len(f.Fields()))
	for i, field := range f.Fields() {
		columns[i] = reflect.StructField{
			Name: "F" + strconv.Itoa(i), Type: goTypes[field.Kind()],
			Tag: reflect.StructTag(`parquet:"` + Column(field) + `,optional"`),
		}
	}
	return parquet.NewSchema("vpcflowlogs", parquet.SchemaOf(reflect.New(reflect.StructOf(columns)).Interface()))
}

const (
	// batchRows are handed to the library at once.
	batchRows = 512
	// groupRows bound what the library holds of a file before it writes.
	groupRows = 64 << 10
)

// columns is a Parquet file.
type columns struct {
	w      *parquet.GenericWriter[any]
	fields []flowlog.Field
	rows   []parquet.Row
}

// NewParquet begins a Parquet file.
func NewParquet(w io.Writer, f flowlog.Format) Encoder {
	return &columns{
		w: parquet.NewGenericWriter[any](w, schema(f), parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(groupRows),
			parquet.CreatedBy("vpclab", "", "")),
		fields: f.Fields(),
	}
}

// Add implements Encoder.
func (c *columns) Add(line []byte) error {
	row := make(parquet.Row, 0, len(c.fields))
	for i, field := range c.fields {
		value, rest, more := bytes.Cut(line, []byte{' '})
		if more != (i < len(c.fields)-1) {
			return fmt.Errorf("parquet: record %q has not %d values", line, len(c.fields))
		}
		line = rest
		v, err := valueOf(field, string(value))
		if err != nil {
			return err
		}
		row = append(row, levelled(v, i))
	}
	c.rows = append(c.rows, row)
	if len(c.rows) < batchRows {
		return nil
	}
	return c.flush()
}

// levelled says for a value, or for null, that it is there, or not, in its column.
func levelled(v parquet.Value, column int) parquet.Value {
	if v.IsNull() {
		return v.Level(0, 0, column)
	}
	return v.Level(0, 1, column)
}

func valueOf(f flowlog.Field, text string) (parquet.Value, error) {
	if text == "-" {
		return parquet.NullValue(), nil
	}
	if f.Kind() == flowlog.String {
		return parquet.ByteArrayValue([]byte(text)), nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return parquet.Value{}, fmt.Errorf("parquet: %s: %w", f, err)
	}
	if f.Kind() == flowlog.Int32 {
		return parquet.Int32Value(int32(n)), nil
	}
	return parquet.Int64Value(n), nil
}

func (c *columns) flush() error {
	_, err := c.w.WriteRows(c.rows)
	c.rows = c.rows[:0]
	if err != nil {
		return fmt.Errorf("parquet: %w", err)
	}
	return nil
}

// Close implements Encoder.
func (c *columns) Close() error {
	if err := c.flush(); err != nil {
		return err
	}
	if err := c.w.Close(); err != nil {
		return fmt.Errorf("parquet: %w", err)
	}
	return nil
}
