package s3_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/service/s3"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// BenchmarkGet is an object over a TCP connection that is kept alive.
func BenchmarkGet(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%d bytes", size), func(b *testing.B) {
			server, err := s3.New(s3.Config{Dir: b.TempDir(), Gate: &gate{}, Now: time.Now, Account: func(context.Context) string { return ours }})
			if err != nil {
				b.Fatal(err)
			}
			if err := server.Update([]*vpc.Bucket{{Name: "logs", Region: us, Account: ours}}); err != nil {
				b.Fatal(err)
			}
			web := httptest.NewServer(server)
			defer web.Close()
			client := web.Client()
			put, err := http.NewRequest(http.MethodPut, web.URL+"/logs/x", bytes.NewReader(random(size)))
			if err != nil {
				b.Fatal(err)
			}
			if _, err := client.Do(put); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size))
			for b.Loop() {
				answer, err := client.Get(web.URL + "/logs/x")
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, answer.Body); err != nil || n != int64(size) {
					b.Fatalf("%d bytes: %v", n, err)
				}
			}
		})
	}
}
