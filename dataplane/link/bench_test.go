package link

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/netdev"
)

// credit lets at most windowSize packets be between the one who sends and the one who receives: what a TCP connection would do.
type credit struct {
	mu       sync.Mutex
	returned sync.Cond
	out      int
}

func newCredit() *credit {
	c := &credit{}
	c.returned.L = &c.mu
	return c
}

func (c *credit) take(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.out+n > windowSize {
		c.returned.Wait()
	}
	c.out += n
}

func (c *credit) give(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out -= n
	c.returned.Signal()
}

// drain waits until nothing is out.
func (c *credit) drain() {
	c.take(windowSize)
	c.give(windowSize)
}

// batchOf is what a guest's large packet of 64 KB becomes: packets of one size.
func batchOf(size int) [][]byte {
	frames := make([][]byte, max(1, 65535/size))
	for i := range frames {
		frames[i] = make([]byte, netdev.Headroom+size)
		packet := frames[i][netdev.Headroom:]
		packet[0], packet[2], packet[3] = 4<<4|5, byte(size>>8), byte(size)
		packet[12], packet[16] = 10, 10
	}
	return frames
}

// BenchmarkEncrypted compares an encrypted link without a shape with bare WireGuard devices, in turns:
//
//	go test -bench Encrypted -benchtime 2s -count 5 ./dataplane/link
func BenchmarkEncrypted(b *testing.B) {
	for _, size := range []int{8500, 1400} {
		b.Run(fmt.Sprintf("size=%d/link", size), func(b *testing.B) { benchmarkLink(b, size) })
		b.Run(fmt.Sprintf("size=%d/bare", size), func(b *testing.B) { benchmarkBare(b, size) })
	}
}

func benchmarkLink(b *testing.B, size int) {
	c := newCredit()
	l, err := New(Config{
		Name: "bench", Encrypted: true, Open: backbone(b),
		Arrive: func(_ int, frames [][]byte, _ []uint32) { c.give(len(frames)) },
		Lost: func(_ int, _ uint32, why flow.Reason, _ int, _ []byte) {
			b.Errorf("lost: %v", why)
			c.give(1)
		},
	})
	must(b, err)
	defer l.Close()
	measure(b, c, size, func(frames [][]byte) { l.Send(0, 1, frames) })
}

// measure sends b.N packets of a size in batches.
func measure(b *testing.B, c *credit, size int, send func(frames [][]byte)) {
	frames := batchOf(size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	begun, used := time.Now(), processorTime()
	b.ResetTimer()
	for left := b.N; left > 0; {
		n := min(left, len(frames))
		c.take(n)
		send(frames[:n])
		left -= n
	}
	c.drain()
	b.ReportMetric(float64(b.N)*float64(size)*8/1e9/time.Since(begun).Seconds(), "Gbit/s")
	b.ReportMetric(float64(processorTime()-used)/float64(b.N), "cpu-ns/op")
}

// memory is a TUN device in memory, the plainest that there could be.
type memory struct {
	in     chan [][]byte
	out    func(n int)
	closed chan struct{}
	events chan tun.Event
}

func newMemory(out func(n int)) *memory {
	return &memory{in: make(chan [][]byte, windowSize), out: out, closed: make(chan struct{}), events: make(chan tun.Event)}
}

func (m *memory) File() *os.File           { return nil }
func (m *memory) MTU() (int, error)        { return maxPacket, nil }
func (m *memory) Name() (string, error)    { return "memory", nil }
func (m *memory) Events() <-chan tun.Event { return m.events }
func (m *memory) BatchSize() int           { return batchSize }

func (m *memory) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	select {
	case frames := <-m.in:
		for i, f := range frames {
			sizes[i] = copy(bufs[i][offset:], f[netdev.Headroom:])
		}
		return len(frames), nil
	case <-m.closed:
		return 0, os.ErrClosed
	}
}

func (m *memory) Write(bufs [][]byte, _ int) (int, error) {
	m.out(len(bufs))
	return len(bufs), nil
}

func (m *memory) Close() error {
	close(m.closed)
	close(m.events)
	return nil
}

func benchmarkBare(b *testing.B, size int) {
	c := newCredit()
	open := backbone(b)
	keys, err := newKeys()
	must(b, err)
	var ends tunnel
	var sockets [2]*socket
	var tuns [2]*memory
	for end := range ends {
		sockets[end] = &socket{Bind: conn.NewStdNetBind(), open: open}
		tuns[end] = newMemory(c.give)
		ends[end] = device.NewDevice(tuns[end], sockets[end], &device.Logger{Verbosef: device.DiscardLogf, Errorf: device.DiscardLogf})
		must(b, ends.configure(end, keys))
		must(b, ends[end].IpcSet(fmt.Sprintf("public_key=%x\nallowed_ip=0.0.0.0/0\n", keys[1-end].PublicKey().Bytes())))
	}
	defer ends.close()
	for _, end := range []int{1, 0} {
		must(b, ends.connect(end, keys, sockets[1-end].port))
	}
	measure(b, c, size, func(frames [][]byte) { tuns[0].in <- frames })
}

// processorTime is what the process has used so far, in all its threads.
func processorTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
