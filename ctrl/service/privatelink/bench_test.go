package privatelink

import (
	"io"
	"net"
	"testing"
	"time"
)

// BenchmarkProxy carries bytes to a target and waits until the last has arrived.
func BenchmarkProxy(b *testing.B) {
	bed := newBed(b)
	arrived := make(chan int64, 1)
	bed.listen(one, func(c *net.TCPConn) {
		n, _ := io.Copy(io.Discard, c)
		arrived <- n
		c.Close()
	})
	bed.Update([]Service{bed.shop(one)})
	c := bed.ask(ofShop)
	if err := c.SetDeadline(time.Time{}); err != nil {
		b.Fatal(err)
	}
	chunk := make([]byte, 1<<16)
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		if _, err := c.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
	if err := c.CloseWrite(); err != nil {
		b.Fatal(err)
	}
	if got, want := <-arrived, int64(b.N)*int64(len(chunk)); got != want {
		b.Errorf("%d of %d bytes arrived", got, want)
	}
}
