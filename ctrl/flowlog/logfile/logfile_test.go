package logfile_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/ctrl/flowlog/logfile"
)

const (
	header = "version vpc-id srcaddr srcport bytes start tcp-flags traffic-path log-status pkt-src-aws-service"
	egress = "5 vpc-1 10.0.0.1 443 4249 1418530010 19 8 OK S3"
	idle   = "5 - - - - 1418530010 - - NODATA -"
)

func format(t testing.TB, header string) flowlog.Format {
	t.Helper()
	f, err := flowlog.ParseHeader(header)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// encoded is a file of some lines.
func encoded(t testing.TB, kind string, f flowlog.Format, lines ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	e := logfile.NewParquet(&out, f)
	if kind == "text" {
		var err error
		if e, err = logfile.NewText(&out, f); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range lines {
		if err := e.Add([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// read are the lines of a file, and the error that reading ended with.
func read(b []byte, f flowlog.Format) (lines []string, err error) {
	for row, err := range logfile.Rows(bytes.NewReader(b), int64(len(b)), f) {
		if err != nil {
			return lines, err
		}
		lines = append(lines, row.String())
	}
	return lines, nil
}

func TestTextFile(t *testing.T) {
	z, err := gzip.NewReader(bytes.NewReader(encoded(t, "text", format(t, header), egress, idle)))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if want := header + "\n" + egress + "\n" + idle + "\n"; string(text) != want || err != nil {
		t.Errorf("got %v\n%s\nwant\n%s", err, text, want)
	}
}

// A reader that shares nothing with the writer finds the names, the documented types and the values.
func TestParquetByAnotherReader(t *testing.T) {
	var lines []string
	for i := range 100_000 { // more than a row group
		lines = append(lines, fmt.Sprintf("5 vpc-1 10.0.0.1 %d %d 1418530010 19 8 OK S3", i%65536, i))
	}
	lines[77] = idle
	b := encoded(t, "parquet", format(t, header), lines...)
	f, err := file.NewParquetReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	s := f.MetaData().Schema
	var got []string
	for i := range s.NumColumns() {
		c := s.Column(i)
		got = append(got, fmt.Sprintf("%s %s %s", c.Name(), c.PhysicalType(), c.ConvertedType()))
	}
	want := []string{
		"version INT32 INT_32", "vpc_id BYTE_ARRAY UTF8", "srcaddr BYTE_ARRAY UTF8", "srcport INT32 INT_32", "bytes INT64 INT_64",
		"start INT64 INT_64", "tcp_flags INT32 INT_32", "traffic_path INT32 INT_32", "log_status BYTE_ARRAY UTF8",
		"pkt_src_aws_service BYTE_ARRAY UTF8",
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("columns are\n%s\nwant\n%s", g, w)
	}
	if f.NumRowGroups() != 2 {
		t.Errorf("%d row groups", f.NumRowGroups())
	}

	tables, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	table, err := tables.ReadTable(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer table.Release()
	rows := array.NewTableReader(table, 0)
	defer rows.Release()
	n := 0
	for rows.Next() {
		batch := rows.RecordBatch()
		for i := range int(batch.NumRows()) {
			var values []string
			for _, column := range batch.Columns() {
				value := "-"
				if column.IsValid(i) {
					value = column.ValueStr(i)
				}
				values = append(values, value)
			}
			if got := strings.Join(values, " "); got != lines[n] {
				t.Fatalf("row %d is %s, want %s", n, got, lines[n])
			}
			n++
		}
	}
	if n != len(lines) {
		t.Errorf("%d rows, want %d", n, len(lines))
	}
}

// Each kind of file reads back; what is cut off within a record loses that record only.
func TestReadBack(t *testing.T) {
	f := format(t, header)
	plain := egress + "\n" + idle + "\n"
	for name, b := range map[string][]byte{
		"gzipped text":          encoded(t, "text", f, egress, idle),
		"parquet":               encoded(t, "parquet", f, egress, idle),
		"text":                  []byte(plain),
		"text with a header":    []byte(header + "\n" + plain),
		"text that is unending": []byte(plain + "5 vpc-1 10.0."),
	} {
		lines, err := read(b, f)
		if err != nil || strings.Join(lines, "\n")+"\n" != plain {
			t.Errorf("%s: %v\n%s", name, err, strings.Join(lines, "\n"))
		}
	}
	if lines, err := read(nil, f); lines != nil || err != nil {
		t.Errorf("an empty file: %q, %v", lines, err)
	}
	for name, b := range map[string][]byte{
		"line 2: record has 2 values": []byte(egress + "\nno record\n"),
		"unexpected EOF":              encoded(t, "text", f, egress, idle)[:40],
		"read log file":               []byte("PAR1 and nothing else PAR1"),
		"there is no field":           strangers(t),
	} {
		if lines, err := read(b, f); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %q, %v", name, lines, err)
		}
	}
}

// strangers is a Parquet file with a column that is no field of ours.
func strangers(t *testing.T) []byte {
	return bytes.Replace(encoded(t, "parquet", format(t, "srcaddr"), "10.0.0.1"), []byte("srcaddr"), []byte("dogname"), -1)
}

func TestLinesThatAreNoRecords(t *testing.T) {
	f := format(t, "srcaddr bytes")
	for _, line := range []string{"", "10.0.0.1", "10.0.0.1 1 2", "10.0.0.1 x"} {
		if err := logfile.NewParquet(io.Discard, f).Add([]byte(line)); err == nil {
			t.Errorf("%q was taken", line)
		}
	}
}

// A damaged file ends with an error or with the file, wherever a bit is wrong.
func TestDamagedFiles(t *testing.T) {
	f := format(t, header)
	for _, kind := range []string{"text", "parquet"} {
		whole := encoded(t, kind, f, egress, idle)
		for i := 0; i < len(whole); i += 3 {
			b := bytes.Clone(whole)
			b[i] ^= 1 << (i % 8)
			if lines, err := read(b, f); err == nil && len(lines) > 2 {
				t.Fatalf("%s with byte %d changed: %q", kind, i, lines)
			}
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	f := format(b, header)
	for _, kind := range []string{"text", "parquet"} {
		b.Run(kind, func(b *testing.B) {
			lines := make([]string, 10_000)
			for i := range lines {
				lines[i] = fmt.Sprintf("5 vpc-1 10.0.0.1 %d %d 1418530010 19 8 OK S3", i, i)
			}
			size := 0
			for b.Loop() {
				size = len(encoded(b, kind, f, lines...))
			}
			b.ReportMetric(float64(size)/float64(len(lines)), "bytes/record")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(lines)), "ns/record")
		})
	}
}
