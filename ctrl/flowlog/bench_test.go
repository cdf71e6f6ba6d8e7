package flowlog_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/dataplane/flow"
)

const million = 1_000_000

// manyFlows calls f with a sample of each of n flows, in the given second.
func manyFlows(n int, second int64, f func(flowlog.Sample)) {
	base := tcp("10.0.0.1", 1, "10.1.0.0", 443)
	for i := range n {
		k := base
		k.SrcPort, k.Dst[14], k.Dst[15] = uint16(i), byte(i>>24), byte(i>>16)
		f(sample(1, "out", k, 2, 120, second, second+1))
	}
}

func millionBed(tb testing.TB) *flowlog.Aggregator {
	a := flowlog.NewAggregator(flowlog.Options{Start: unix(0)})
	a.SetInterface(1, named("eni-1"), unix(0))
	if err := a.Subscribe(&flowlog.Subscription{ID: "fl-1", Resource: vpc, Interval: time.Minute}, unix(0)); err != nil {
		tb.Fatal(err)
	}
	return a
}

// A million flows take a bounded number of bytes each, and a sample of one that is known takes none.
func TestMemoryOfAMillionFlows(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	a := millionBed(t)
	manyFlows(million, 1, func(s flowlog.Sample) { a.Add(s) })
	runtime.GC()
	runtime.ReadMemStats(&after)
	if got := (after.HeapAlloc - before.HeapAlloc) / million; got > 110 {
		t.Errorf("%d bytes a flow", got)
	} else {
		t.Logf("%d bytes a flow", got)
	}
	known := sample(1, "out", tcp("10.0.0.1", 0, "10.1.0.0", 443), 1, 40, 2, 2)
	known.Tuple.SrcPort = 77
	if n := testing.AllocsPerRun(100, func() { a.Add(known) }); n > 0 {
		t.Errorf("a sample allocates %v times", n)
	}
	windows := a.Close(unix(60))
	packets, n := uint64(0), 0
	for _, r := range windows[0].Records() {
		packets += r.Packets
		n++
	}
	if n != million || packets != 2*million+101 {
		t.Errorf("%d records of %d packets", n, packets)
	}
}

func BenchmarkAdd(b *testing.B) {
	a := millionBed(b)
	manyFlows(million, 1, func(s flowlog.Sample) { a.Add(s) })
	known := make([]flowlog.Sample, 0, 1<<16)
	manyFlows(1<<16, 2, func(s flowlog.Sample) { known = append(known, s) })
	b.ReportAllocs()
	for b.Loop() {
		a.Add(known...)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(known)), "ns/sample")
}

// BenchmarkMillionFlows is a window of a million new flows, from the first sample to the last line.
func BenchmarkMillionFlows(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		a := millionBed(b)
		manyFlows(million, 1, func(s flowlog.Sample) { a.Add(s) })
		var line []byte
		for s, r := range a.Close(unix(60))[0].Records() {
			line = s.Format.Append(line[:0], r)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	i := instance()
	r := flowlog.Record{Of: &i, Tuple: tcp("10.0.0.1", 40000, "203.0.113.5", 443), Accept: true, TCPFlags: flow.SYN, Packets: 20, Bytes: 4249,
		Start: 1418530010, End: 1418530070}
	var f flowlog.Format
	line := f.Append(nil, &r)
	b.ReportAllocs()
	for b.Loop() {
		line = f.Append(line[:0], &r)
	}
}
