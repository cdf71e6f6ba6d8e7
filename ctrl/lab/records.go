package lab

import (
	"context"
	"fmt"
	"time"

	"github.com/vpclab/vpclab/ctrl/check"
	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// Records implements check.Lab. Lab time moves to the end of the windows that are open, where records are made; their delivery takes
// longer, and is not waited for.
func (l *Lab) Records(ctx context.Context, mark uint64, conn flow.Tuple, logs []string) (map[string]check.Records, error) {
	l.settle(ctx, conn)
	connection := l.engine.Family(conn) // of flows that may end when time moves
	now := l.Now()
	var wait time.Duration
	for _, name := range logs {
		end, ok := l.logs.windowEnd(name, now)
		if !ok {
			return nil, fmt.Errorf("there is no flow log %s", name)
		}
		wait = max(wait, end.Sub(now))
	}
	if err := l.Advance(wait); err != nil {
		return nil, err
	}
	l.logs.mu.Lock()
	defer l.logs.mu.Unlock()
	all := map[string]check.Records{}
	for _, name := range logs {
		all[name] = l.logs.recent.since(int64(mark), name, connection)
	}
	return all, nil
}

// How long Records waits, in real time, for packets of a connection that are still on their way: a listener closes when its client has,
// and an ACK may be held back for 40 ms (Linux, TCP_DELACK_MIN).
const (
	settled      = 100 * time.Millisecond // without another packet
	settlingTime = time.Second            // at most, also with one side that has closed alone
)

// settle waits until a connection's packets have been counted.
func (l *Lab) settle(ctx context.Context, conn flow.Tuple) {
	deadline, beat := time.NewTimer(settlingTime), time.NewTicker(time.Millisecond)
	defer deadline.Stop()
	defer beat.Stop()
	counted, since := uint64(0), time.Now()
	for {
		packets, halfClosed := l.engine.Progress(conn)
		if packets != counted || halfClosed {
			counted, since = packets, time.Now()
		}
		if time.Since(since) > settled {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-deadline.C:
			return
		case <-beat.C:
		}
	}
}

// recent are the latest records, for checks that ask for theirs.
type recent struct{ records []told }

// told is a record that a flow log has told, at a monotonic time.
type told struct {
	log    string
	format flowlog.Format
	record flowlog.Record
	at     int64
}

// maxRecent bounds how many records are kept for checks: more than one check causes.
const maxRecent = 1 << 16

func (r *recent) add(t told) {
	if len(r.records) == maxRecent {
		r.records = append(r.records[:0], r.records[maxRecent/2:]...)
	}
	r.records = append(r.records, t)
}

// since are a flow log's records that were told since a monotonic time: of a connection, given by the tuples of its packets, and of none.
func (r *recent) since(mark int64, log string, connection map[flow.Tuple]bool) (found check.Records) {
	recorded := map[flow.Tuple]bool{}
	for t := range connection {
		if t.Protocol != flow.TCP && t.Protocol != flow.UDP {
			t.SrcPort, t.DstPort = 0, 0 // as in records
		}
		recorded[t] = true
	}
	for i := range r.records {
		t := &r.records[i]
		switch {
		case t.at < mark || t.log != log:
		case t.record.Status != flowlog.OK:
			found.Idle = append(found.Idle, t.format.Row(&t.record))
		case recorded[t.record.Tuple]:
			found.Conn = append(found.Conn, t.format.Row(&t.record))
		}
	}
	return found
}
