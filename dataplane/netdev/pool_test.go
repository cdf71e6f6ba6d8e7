package netdev_test

import (
	"testing"

	"github.com/vpclab/vpclab/dataplane/netdev"
)

func TestPool(t *testing.T) {
	t.Run("buffers hold the MTU and do not overlap", func(t *testing.T) {
		for _, mtu := range []int{68, 1500, 9001, 65535} {
			batch := netdev.NewPool(mtu, 1).Get()
			for i, b := range batch.Bufs {
				if len(b) != netdev.Headroom+mtu {
					t.Fatalf("mtu %d: buffer %d has %d bytes", mtu, i, len(b))
				}
				for j := range b[:cap(b)] {
					b[:cap(b)][j] = byte(i)
				}
			}
			for i, b := range batch.Bufs {
				for j, c := range b[:cap(b)] {
					if c != byte(i) {
						t.Fatalf("mtu %d: byte %d of buffer %d is shared", mtu, j, i)
					}
				}
			}
		}
	})
	t.Run("a packet lies behind its headroom, and a frame keeps its capacity", func(t *testing.T) {
		batch := netdev.NewPool(1500, 1).Get()
		copy(batch.Bufs[0][netdev.Headroom:], "abc")
		batch.Sizes[0] = 3
		if string(batch.Packet(0)) != "abc" || len(batch.Frame(0)) != netdev.Headroom+3 || cap(batch.Frame(0)) != cap(batch.Bufs[0]) {
			t.Errorf("%q in %d bytes of %d", batch.Packet(0), len(batch.Frame(0)), cap(batch.Frame(0)))
		}
	})
	t.Run("at the limit it waits for a batch to come back", func(t *testing.T) {
		pool := netdev.NewPool(1500, 2)
		first := pool.Get()
		pool.Get()
		third := waiter(func() error { pool.Get(); return nil })
		third.begun(t)
		pool.Put(first)
		third.ends(t, nil)
	})
	t.Run("it reuses what comes back", func(t *testing.T) {
		pool := netdev.NewPool(9001, 1)
		// A new batch is four allocations; under the race detector sync.Pool forgets one batch in four.
		if allocs := testing.AllocsPerRun(200, func() { pool.Put(pool.Get()) }); allocs > 2 {
			t.Errorf("%v allocations a batch", allocs)
		}
	})
}
