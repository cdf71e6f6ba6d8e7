package netdev

import "sync"

// batchSize is the number of packets of a batch: what a TUN needs (wireguard's conn.IdealBatchSize).
const batchSize = 128

// joinCap is the capacity of a buffer into which Write may join packets. wireguard joins as long as the result is within the
// capacity less the headroom twice, and does not see when it outgrows the largest IP packet: this is where it would.
const joinCap = 2*Headroom + 65535

// Pool hands out batches of buffers for devices of one MTU.
//
// A batch for 9001 bytes has 1.2 MB, not the 8 MB of 128 buffers that each hold the largest packet: a large packet is split into
// segments of at most the MTU before it gets here. Only the first buffer has room for the largest packet, so that Write can join the segments
// of a large packet again, which Read has put into the batch from its start: one write instead of dozens.
type Pool struct {
	mtu   int
	slots chan struct{} // one for each batch that is out
	free  sync.Pool
}

// NewPool makes a pool of which at most limit batches are out at a time, for packets of up to mtu bytes (1 to 65535).
func NewPool(mtu, limit int) *Pool {
	return &Pool{mtu: mtu, slots: make(chan struct{}, limit)}
}

// Get returns a batch, and waits while the limit is out. Wait for a device to be readable first: a batch that waits with its
// owner is one that a busy device lacks.
func (p *Pool) Get() *Batch {
	p.slots <- struct{}{}
	if b, ok := p.free.Get().(*Batch); ok {
		return b
	}
	return newBatch(p.mtu)
}

// Put takes a batch back, which must come from Get; nothing of it may be used afterwards.
func (p *Pool) Put(b *Batch) {
	p.free.Put(b)
	<-p.slots
}

// Batch is the buffers of one Read.
type Batch struct {
	Bufs  [][]byte // for Read; hand Write a slice of its own, because it changes the elements
	Sizes []int    // of the packets, in bytes
}

func newBatch(mtu int) *Batch {
	const line = 64 // buffers that share no cache line
	size := Headroom + mtu
	first, stride := (joinCap+line-1)&^(line-1), (size+line-1)&^(line-1)
	slab := make([]byte, first+(batchSize-1)*stride)
	b := &Batch{Bufs: make([][]byte, batchSize), Sizes: make([]int, batchSize)}
	b.Bufs[0] = slab[:size:joinCap]
	for i := 1; i < batchSize; i++ {
		at := first + (i-1)*stride
		b.Bufs[i] = slab[at : at+size : at+size]
	}
	return b
}

// Packet is packet i of the last Read.
func (b *Batch) Packet(i int) []byte { return b.Frame(i)[Headroom:] }

// Frame is packet i with its headroom before it, as Write takes it.
func (b *Batch) Frame(i int) []byte { return b.Bufs[i][:Headroom+b.Sizes[i]] }
