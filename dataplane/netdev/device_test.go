package netdev_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/vpclab/vpclab/dataplane/netdev"
	"github.com/vpclab/vpclab/dataplane/netdev/netdevtest"
)

// peer is a device and what is on its other side.
type peer struct {
	dev      netdev.Device
	inject   func([]byte) error
	received func() ([]byte, error)
}

// TestDevice holds the kernel's device and the one in memory to the same promises.
func TestDevice(t *testing.T) {
	t.Run("tun", func(t *testing.T) {
		testDevice(t, func(t *testing.T) peer {
			k := newKernel(t)
			return peer{k.dev, func(p []byte) error { return k.send(offload{}, p) }, func() ([]byte, error) {
				_, p, err := k.receive()
				return p, err
			}}
		})
	})
	t.Run("memory", func(t *testing.T) {
		testDevice(t, func(t *testing.T) peer {
			d := netdevtest.New()
			inject := func(p []byte) error {
				if d.Inject(p) != 1 {
					return errors.New("no room")
				}
				return nil
			}
			return peer{d, inject, func() ([]byte, error) {
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				defer cancel()
				return d.Receive(ctx)
			}}
		})
	})
}

func testDevice(t *testing.T, open func(*testing.T) peer) {
	// up and down are packets of growing size, which no device joins.
	var up, down [][]byte
	for i := range 5 {
		data := gopacket.Payload(pattern(10 + i))
		up = append(up, ip4(t, ours4, theirs4, &layers.UDP{SrcPort: 1, DstPort: 2}, data))
		down = append(down, ip4(t, theirs4, ours4, &layers.UDP{SrcPort: 2, DstPort: 1}, data))
	}
	pool := netdev.NewPool(1500, 1)

	t.Run("packets are read in their order", func(t *testing.T) {
		p := open(t)
		for _, b := range up {
			must(t, p.inject(b))
		}
		var got [][]byte
		for len(got) < len(up) {
			got = append(got, read(t, p.dev, pool)...)
		}
		equal(t, got, up)
	})
	t.Run("packets are written in their order", func(t *testing.T) {
		p := open(t)
		write(t, p.dev, down...)
		var got [][]byte
		for range down {
			b, err := p.received()
			must(t, err)
			got = append(got, b)
		}
		equal(t, got, down)
	})
	t.Run("it blocks until a packet waits, and knows of it as often as it is asked", func(t *testing.T) {
		p := open(t)
		w := waiter(p.dev.WaitReadable)
		w.begun(t)
		must(t, p.inject(up[0]))
		w.ends(t, nil)
		waiter(p.dev.WaitReadable).ends(t, nil)
		equal(t, read(t, p.dev, pool), up[:1])
		waiter(p.dev.WaitReadable).begun(t)
	})
	t.Run("a packet that is too large is lost, the next one is not", func(t *testing.T) {
		p := open(t)
		must(t, p.inject(ip4(t, ours4, theirs4, &layers.UDP{SrcPort: 1, DstPort: 2}, pattern(1501-28))))
		must(t, p.inject(up[0]))
		var got [][]byte
		for len(got) == 0 {
			got = read(t, p.dev, pool)
		}
		equal(t, got, up[:1])
	})
	t.Run("closing ends what waits", func(t *testing.T) {
		p := open(t)
		w := waiter(p.dev.WaitReadable)
		w.begun(t)
		must(t, p.dev.Close())
		w.ends(t, os.ErrClosed)
	})
	t.Run("closing ends a read", func(t *testing.T) {
		p := open(t)
		batch := pool.Get()
		defer pool.Put(batch)
		w := waiter(func() error { _, err := p.dev.Read(batch.Bufs, batch.Sizes); return err })
		w.begun(t)
		must(t, p.dev.Close())
		w.ends(t, os.ErrClosed)
	})
	t.Run("a closed device is closed", func(t *testing.T) {
		p := open(t)
		must(t, p.dev.Close())
		must(t, p.dev.Close())
		waiter(p.dev.WaitReadable).ends(t, os.ErrClosed)
		batch := pool.Get()
		defer pool.Put(batch)
		if n, err := p.dev.Read(batch.Bufs, batch.Sizes); n != 0 || !errors.Is(err, os.ErrClosed) {
			t.Errorf("read: %d, %v", n, err)
		}
		if n, err := p.dev.Write([][]byte{frame(down[0])}); n != 0 || !errors.Is(err, os.ErrClosed) {
			t.Errorf("write: %d, %v", n, err)
		}
	})
	t.Run("a batch of the pool is one that it can fill", func(t *testing.T) {
		p := open(t)
		batch := pool.Get()
		defer pool.Put(batch)
		if len(batch.Bufs) != p.dev.BatchSize() || len(batch.Sizes) != p.dev.BatchSize() {
			t.Errorf("%d buffers and %d sizes for batches of %d", len(batch.Bufs), len(batch.Sizes), p.dev.BatchSize())
		}
	})
}

func equal(t *testing.T, got, want [][]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d packets, want %d", len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("packet %d\n got % x\nwant % x", i, got[i], want[i])
		}
	}
}
