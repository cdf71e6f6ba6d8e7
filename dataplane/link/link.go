package link

import (
	"fmt"
	"math/rand/v2"
	"sync"

	"golang.zx2c4.com/wireguard/conn"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// Config is what a link is made of.
type Config struct {
	Name  string // of the link, for errors
	Shape Shape  // of each direction

	// Encrypted puts a WireGuard tunnel between the ends: nobody who watches or changes what is on the wire learns or changes what a
	// packet says.
	Encrypted bool

	// Open calls f on a thread that is in the network namespace where the tunnel's sockets are to be, and returns its error. There,
	// 127.0.0.1 is up with an MTU of at least 9073 bytes + 28, better 65535. It is called while New runs; not if Encrypted is false.
	Open func(f func() error) error

	// Arrive is handed packets that came out at an end, in the order in which they went in, with the sender of each. The packets, as in
	// package netdev, lie netdev.Headroom bytes into their frames. All of it is the callee's until it returns: it may change the bytes
	// and the elements of the slices, and write to the capacity of a frame. It is called by one goroutine at a time for each end. While
	// it does not return, nothing else arrives there.
	Arrive func(end int, frames [][]byte, senders []uint32)

	// Lost is told of each packet that went in at an end and will not come out: LinkLoss, LinkQueueFull or LinkBroken; MTUExceeded if
	// it has more than 9001 bytes, and MalformedPacket if it has none. The length is in bytes. packet is what went in, until the call
	// returns; nil if that is LinkBroken, since nothing of it is known any more. It is called by several goroutines, by Send too, so it
	// must not wait for what Send's caller holds.
	Lost func(end int, sender uint32, why flow.Reason, length int, packet []byte)
}

// Link carries packets between its ends 0 and 1. Each packet given to Send ends in exactly one of: one Arrive at the other end, or one
// Lost. The exception is what is under way when Close is called.
//
// Its memory is bounded: for each direction 64 MiB of packets that wait, of which 256 wait for their transmission (or for the other end
// if nothing delays them), and 256 inside the encryption. No lock of the link is held while Arrive or Lost run, and they may call Send.
type Link struct {
	name   string
	dirs   [2]*direction
	tunnel tunnel
	plain  sync.WaitGroup
	once   sync.Once
}

// New makes a link, which packets can pass at once. An encrypted one has made its handshake (some milliseconds). Errors are a Shape out of
// its bounds, a socket that could not be opened, or no handshake within 12 s.
func New(c Config) (*Link, error) {
	return newLink(c, conn.NewStdNetBind, rand.Uint64())
}

// newLink is New with the sockets and the seed of the losses.
func newLink(c Config, bind func() conn.Bind, seed uint64) (*Link, error) {
	if err := c.Shape.check(); err != nil {
		return nil, fmt.Errorf("make link %s: %w", c.Name, err)
	}
	l := &Link{name: c.Name}
	for end := range l.dirs {
		l.dirs[end] = newDirection(end, &c, seed)
	}
	if !c.Encrypted {
		for _, d := range l.dirs {
			l.plain.Go(d.runPlain)
		}
		return l, nil
	}
	var err error
	if l.tunnel, err = openTunnel(l.dirs, c.Open, bind); err == nil {
		err = greetings(l.dirs)
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("make link %s: %w", c.Name, err)
	}
	return l, nil
}

// Send gives the link packets, each netdev.Headroom bytes into its frame, that go in at an end (0 or 1), and says who sent them: a number
// that means nothing to the link. It copies what it keeps and does not wait for the link. Any goroutine may call it; the packets
// of one call stay in order. After Close it does nothing.
func (l *Link) Send(end int, sender uint32, frames [][]byte) {
	for len(frames) > 0 {
		n := min(len(frames), batchSize)
		l.dirs[end].send(sender, frames[:n])
		frames = frames[n:]
	}
}

// Reshape gives both directions another shape, while packets flow. Those under way arrive as if the delay had always been the new one,
// and are not lost to the new loss; of one under transmission the rest is sent at the new rate. A Shape out of its bounds changes nothing.
func (l *Link) Reshape(s Shape) error {
	if err := s.check(); err != nil {
		return fmt.Errorf("reshape link %s: %w", l.name, err)
	}
	for _, d := range l.dirs {
		d.reshape(s)
	}
	return nil
}

// Close ends the link and forgets what is under way. After it has returned, neither Arrive nor Lost is called, and no socket is open. It must
// not be called from within them. A second call waits for the first; it always returns nil.
func (l *Link) Close() error {
	l.once.Do(l.close)
	return nil
}

func (l *Link) close() {
	for _, d := range l.dirs {
		d.close()
	}
	l.tunnel.close()
	l.plain.Wait()
}
