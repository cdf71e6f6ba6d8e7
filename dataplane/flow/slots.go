package flow

import "sync/atomic"

// Counters are one direction's totals. Packets are wire packets, Bytes IP bytes; First and Last are monotonic nanoseconds; Flags
// are the TCP flags seen, OR-ed. First and Recent tell of the time since they were last taken. The layout is shared with eBPF (struct
// counters), which adds to the same memory.
type Counters struct {
	Packets, Bytes uint64
	First, Last    uint64
	Flags          uint32
	Recent         uint32 // FIN, SYN and RST; ACK is that of a SYN-ACK
}

// Add counts packets as handled in userspace. It is safe beside the eBPF program and other callers.
func (c *Counters) Add(packets, bytes uint64, flags uint8, now int64) {
	atomic.AddUint64(&c.Packets, packets)
	atomic.AddUint64(&c.Bytes, bytes)
	atomic.CompareAndSwapUint64(&c.First, 0, uint64(now))
	atomic.StoreUint64(&c.Last, uint64(now))
	if old := atomic.LoadUint32(&c.Flags); old|uint32(flags) != old {
		atomic.OrUint32(&c.Flags, uint32(flags))
	}
	if recent := RecentFlags(flags); recent != 0 {
		atomic.OrUint32(&c.Recent, uint32(recent))
	}
}

// RecentFlags is what Recent keeps of a packet's TCP flags: those that a flow log tells. Of an ACK it tells only that of a SYN-ACK (VPC
// user guide, flow log records).
func RecentFlags(flags uint8) uint8 {
	if flags&SYN == 0 {
		flags &^= ACK
	}
	return flags & (FIN | SYN | RST | ACK)
}

// Take reads the counters and begins First and Recent anew. A packet that is counted at the same moment may find itself in one of them
// before, and in the other after it.
func (c *Counters) Take() Counters {
	t := c.Read()
	t.First = atomic.SwapUint64(&c.First, 0)
	t.Recent = atomic.SwapUint32(&c.Recent, 0)
	return t
}

// Read takes a copy that is consistent field by field.
func (c *Counters) Read() Counters {
	return Counters{
		Packets: atomic.LoadUint64(&c.Packets), Bytes: atomic.LoadUint64(&c.Bytes),
		First: atomic.LoadUint64(&c.First), Last: atomic.LoadUint64(&c.Last),
		Flags: atomic.LoadUint32(&c.Flags), Recent: atomic.LoadUint32(&c.Recent),
	}
}

// Reset clears the counters of a slot that nobody counts into any more.
func (c *Counters) Reset() {
	atomic.StoreUint64(&c.Packets, 0)
	atomic.StoreUint64(&c.Bytes, 0)
	atomic.StoreUint64(&c.First, 0)
	atomic.StoreUint64(&c.Last, 0)
	atomic.StoreUint32(&c.Flags, 0)
	atomic.StoreUint32(&c.Recent, 0)
}

// DropCounter is the total of one attachment's packets dropped for one reason. The layout is shared with eBPF (struct drops).
type DropCounter struct{ Packets, Bytes uint64 }

// Add counts dropped packets.
func (d *DropCounter) Add(packets, bytes uint64) {
	atomic.AddUint64(&d.Packets, packets)
	atomic.AddUint64(&d.Bytes, bytes)
}

// Read takes a copy.
func (d *DropCounter) Read() DropCounter {
	return DropCounter{atomic.LoadUint64(&d.Packets), atomic.LoadUint64(&d.Bytes)}
}

// Memory is where counters live: memory shared with eBPF, or the heap when there is none. Slots are used in pairs, 2p and 2p+1, one
// for each direction of a connection. Drops are indexed by attachment*ReasonStride + reason; reason None counts control
// packets (ARP, neighbour discovery) that the fabric answered itself.
type Memory struct {
	Slots []Counters
	Drops []DropCounter
}

// NewMemory allocates counters on the heap.
func NewMemory(slots, attachments int) Memory {
	return Memory{Slots: make([]Counters, slots), Drops: make([]DropCounter, attachments*ReasonStride)}
}

// Drop returns the counter of an attachment's drops for one reason.
func (m Memory) Drop(attachment uint32, r Reason) *DropCounter {
	return &m.Drops[int(attachment)*ReasonStride+int(r)]
}
