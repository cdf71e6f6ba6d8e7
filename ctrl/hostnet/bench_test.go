package hostnet

import (
	"context"
	"testing"
)

// BenchmarkLab builds, applies again and removes a lab of 500 attachments. Aim: up in about 2 s, down in less than 1 s.
func BenchmarkLab(b *testing.B) {
	needRoot(b)
	d := desired("hostnettest-bench", 500)
	for i := range d.Attachments {
		d.Attachments[i].Addrs = d.Attachments[i%200].Addrs
	}
	for b.Loop() {
		h, err := Open(d.Lab)
		if err != nil {
			b.Fatal(err)
		}
		start := b.Elapsed()
		err = h.Apply(context.Background(), d)
		up := b.Elapsed()
		if err == nil {
			err = h.Apply(context.Background(), d)
		}
		again := b.Elapsed()
		if closeErr := h.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric((up - start).Seconds(), "s-up")
		b.ReportMetric((again - up).Seconds(), "s-again")
		b.ReportMetric((b.Elapsed() - again).Seconds(), "s-down")
	}
}
