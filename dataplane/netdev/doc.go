// Package netdev moves batches of IP packets between this process and the kernel through TUN devices. It does not make, name or
// configure the devices, and never looks at what the packets say.
package netdev

// Headroom is how many bytes before each packet Read leaves free and Write uses: a virtio-net header has 10.
const Headroom = 16

// Device is one attachment's door between the kernel and this process. A packet is a whole IP packet without link header. Read and
// WaitReadable are for one goroutine at a time; Write and Close may be called from any. After Close, or when the device is gone,
// they return os.ErrClosed.
type Device interface {
	// WaitReadable blocks until a packet waits or the device fails. It needs no buffers, so that only devices with something to say
	// have to be given some.
	WaitReadable() error

	// Read waits for packets and puts packet i at bufs[i][Headroom:Headroom+sizes[i]]. Every buffer is as long as Headroom and the
	// device's MTU; there are BatchSize of them, and as many sizes. It may return 0 without an error: the packet was lost, and the
	// device counted it.
	Read(bufs [][]byte, sizes []int) (int, error)

	// Write hands the kernel packets, each Headroom bytes into its buffer, and returns how many it took; one that is refused does not
	// stop the others. It scribbles over buffers, joins packets of one flow into the capacity of the first (see Pool), and may reorder
	// and lengthen the elements of bufs.
	Write(bufs [][]byte) (int, error)

	// BatchSize is the number of buffers that Read needs to lose nothing.
	BatchSize() int

	Close() error
}
