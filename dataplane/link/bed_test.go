package link

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"

	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/netdev"
)

// patient is how long a test waits for what must happen.
const patient = 60 * time.Second

// eventually waits until something is so.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	beat := time.NewTicker(time.Millisecond)
	defer beat.Stop()
	for deadline := time.Now().Add(patient); !so(); <-beat.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patient)
		}
	}
}

// secret is in each packet that is large enough, and nowhere else.
var secret = []byte("as it was when it went in")

// packetOf is a packet whose bytes follow from its number.
func packetOf(number uint64, size int) []byte {
	frame := make([]byte, netdev.Headroom+size)
	packet := frame[netdev.Headroom:]
	seed := [32]byte{31: 11}
	binary.BigEndian.PutUint64(seed[:], number)
	_, _ = rand.NewChaCha8(seed).Read(packet)
	packet[0] = 4<<4 | 5
	if number%2 == 1 {
		packet[0] = 6 << 4
	}
	binary.BigEndian.PutUint64(packet[1:], number)
	if size >= 100 {
		copy(packet[40:], secret)
	}
	return frame
}

// senderOf is who sends a packet.
func senderOf(number uint64) uint32 { return uint32(number * 2654435761) }

// bed is a link with everything that went in and came out. Packets are numbered for each end where they go in.
type bed struct {
	t    testing.TB
	link *Link
	hold func(end int) // runs in Arrive, if there is one

	mu       sync.Mutex
	sent     [2]int
	arrived  [2]int // by the end where they went in
	sizes    [2]map[uint64]int
	next     [2]uint64 // the lowest number that may still arrive
	lost     [2]map[flow.Reason]int
	lostLens [2]int
}

// options are what a test changes about its bed.
type options struct {
	shape     Shape
	encrypted bool
	bind      func() conn.Bind
	hold      func(end int)
}

func newBed(t testing.TB, o options) *bed {
	t.Helper()
	b := &bed{t: t, hold: o.hold}
	for end := range 2 {
		b.sizes[end], b.lost[end] = map[uint64]int{}, map[flow.Reason]int{}
	}
	c := Config{Name: "test", Shape: o.shape, Encrypted: o.encrypted, Arrive: b.arrive, Lost: b.lose}
	if o.encrypted {
		c.Open = backbone(t)
	}
	if o.bind == nil {
		o.bind = conn.NewStdNetBind
	}
	l, err := newLink(c, o.bind, 1)
	must(t, err)
	b.link = l
	t.Cleanup(func() { must(t, l.Close()) })
	return b
}

// send sends the next packets, with these sizes, from one end.
func (b *bed) send(end int, sizes ...int) {
	frames := make([][]byte, 0, len(sizes))
	b.mu.Lock()
	sender := senderOf(uint64(b.sent[end]))
	for _, size := range sizes {
		number := uint64(b.sent[end])
		b.sent[end]++
		b.sizes[end][number] = size
		frames = append(frames, packetOf(number, size))
		if senderOf(number) != sender { // each has its own: one by one
			b.mu.Unlock()
			b.link.Send(end, sender, frames[:len(frames)-1])
			b.mu.Lock()
			frames, sender = frames[len(frames)-1:], senderOf(number)
		}
	}
	b.mu.Unlock()
	b.link.Send(end, sender, frames)
}

func (b *bed) arrive(end int, frames [][]byte, senders []uint32) {
	if b.hold != nil {
		b.hold(end)
	}
	from := 1 - end
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(frames) != len(senders) || len(frames) == 0 || len(frames) > batchSize {
		b.t.Errorf("%d frames of %d senders arrive at once", len(frames), len(senders))
		return
	}
	for i, f := range frames {
		number := binary.BigEndian.Uint64(f[netdev.Headroom+1:])
		size, ok := b.sizes[from][number]
		if !ok || !bytes.Equal(f[netdev.Headroom:], packetOf(number, size)[netdev.Headroom:]) {
			b.t.Errorf("end %d: packet %d did not arrive once as it was", end, number)
			return
		}
		if senders[i] != senderOf(number) {
			b.t.Errorf("end %d: packet %d arrives from sender %d, sent by %d", end, number, senders[i], senderOf(number))
		}
		if number < b.next[from] {
			b.t.Errorf("end %d: packet %d arrives after packet %d", end, number, b.next[from]-1)
		}
		b.next[from] = number + 1
		b.arrived[from]++
		delete(b.sizes[from], number)
		clear(f[:cap(f)]) // it is ours
	}
}

func (b *bed) lose(end int, sender uint32, why flow.Reason, length int, packet []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost[end][why]++
	b.lostLens[end] += length
	if known := why != flow.LinkBroken; known != (packet != nil) || known && len(packet) != length {
		b.t.Errorf("%s of %d bytes is told with a packet of %d", why, length, len(packet))
	}
}

func (b *bed) sentBy(end int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sent[end]
}

// arrivedFrom counts what went in at an end and has come out.
func (b *bed) arrivedFrom(end int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.arrived[end]
}

// lostFrom counts what went in at an end and was lost for a reason.
func (b *bed) lostFrom(end int, why flow.Reason) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lost[end][why]
}

// under says how many packets from an end are neither there nor lost.
func (b *bed) under(end int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.sent[end] - b.arrived[end]
	for _, lost := range b.lost[end] {
		n -= lost
	}
	return n
}

// settle waits until each packet has arrived or was lost, once.
func (b *bed) settle() {
	b.t.Helper()
	eventually(b.t, "all packets are told", func() bool { return b.under(0) == 0 && b.under(1) == 0 })
}

// wantLost checks how many packets of an end were lost, for each reason, and that what was lost is what did not arrive.
func (b *bed) wantLost(end int, want map[flow.Reason]int) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	total, missing := 0, 0
	for _, why := range []flow.Reason{flow.LinkLoss, flow.LinkQueueFull, flow.LinkBroken, flow.MTUExceeded, flow.MalformedPacket} {
		if b.lost[end][why] != want[why] {
			b.t.Errorf("end %d: %d packets lost for %v, want %d", end, b.lost[end][why], why, want[why])
		}
		total += b.lost[end][why]
	}
	for _, size := range b.sizes[end] {
		missing += size
	}
	if total != b.sent[end]-b.arrived[end] || missing != b.lostLens[end] {
		b.t.Errorf("end %d: %d sent, %d arrived, %d lost; %d bytes did not arrive, %d are lost",
			end, b.sent[end], b.arrived[end], total, missing, b.lostLens[end])
	}
}
