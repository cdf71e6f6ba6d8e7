package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/vpclab/vpclab/ctrl/flowlog"
)

// Entry is one record on its way.
type Entry struct {
	Stream     string // the interface's, in a log group
	Start, End int64  // Unix seconds
	Packets    uint64 // 0 in a NODATA or SKIPDATA record
	Bytes      uint64
	Line       []byte // as it is delivered, without its end; valid until the next entry
}

// Batch is what a destination takes at once or not at all.
type Batch struct {
	Subscription *flowlog.Subscription
	Format       flowlog.Format // of the lines: a spool of an earlier life may have had another
	Period       time.Time      // for S3 the begin of the five minutes in which its records ended, else the end of their window
	Number       int            // which tells it from others of its period, and is the same when it comes again
	Entries      iter.Seq2[Entry, error]
}

// Destination stores batches.
type Destination interface {
	// Deliver stores a batch. A nil error means that all of it will be found there; after an error the same batch comes again, and
	// what of it was stored may be stored twice. An error may be a *Failure.
	Deliver(ctx context.Context, b *Batch) error
}

// Cause is AWS's word for why a delivery failed (EC2 API, FlowLog, DeliverLogsErrorMessage).
type Cause string

// The causes.
const (
	AccessError  Cause = "Access error"
	RateLimited  Cause = "Rate limited"
	UnknownError Cause = "Unknown error"
)

// Failure is an error of which the cause is known.
type Failure struct {
	Cause Cause
	Err   error
}

func (f *Failure) Error() string { return f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

// causeOf is the cause of an error, UnknownError unless it says so itself.
func causeOf(err error) Cause {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f.Cause
	}
	return UnknownError
}

// Counts are totals of records.
type Counts struct{ Records, Packets, Bytes uint64 }

func (c *Counts) add(o Counts) {
	c.Records += o.Records
	c.Packets += o.Packets
	c.Bytes += o.Bytes
}

// subtract takes away what had been added.
func (c *Counts) subtract(o Counts) {
	c.Records -= o.Records
	c.Packets -= o.Packets
	c.Bytes -= o.Bytes
}

// A spooled line is what is delivered behind the fields that delivery itself needs, whatever the subscription's format:
//
//	START END PACKETS BYTES STREAM LINE
const envelope = 5

// appendEntry writes a record's spooled line with its end.
func appendEntry(b []byte, f flowlog.Format, r *flowlog.Record) []byte {
	stream := r.Of.Stream()
	if stream == "" {
		stream = "-"
	}
	b = fmt.Appendf(b, "%d %d %d %d %s ", r.Start, r.End, r.Packets, r.Bytes, stream)
	return append(f.Append(b, r), '\n')
}

var errNoEntry = errors.New("no spooled record")

// parseEntry reads a spooled line without its end.
func parseEntry(line []byte) (Entry, error) {
	var parts [envelope][]byte
	for i := range parts {
		var more bool
		if parts[i], line, more = bytes.Cut(line, []byte{' '}); !more {
			return Entry{}, errNoEntry
		}
	}
	var e Entry
	var errs [4]error
	e.Start, errs[0] = strconv.ParseInt(string(parts[0]), 10, 64)
	e.End, errs[1] = strconv.ParseInt(string(parts[1]), 10, 64)
	e.Packets, errs[2] = strconv.ParseUint(string(parts[2]), 10, 64)
	e.Bytes, errs[3] = strconv.ParseUint(string(parts[3]), 10, 64)
	e.Stream, e.Line = string(parts[4]), line
	if len(line) == 0 || errors.Join(errs[:]...) != nil {
		return Entry{}, errNoEntry
	}
	return e, nil
}

func (e *Entry) counts() Counts { return Counts{1, e.Packets, e.Bytes} }
