package link

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// wire is the way of the messages from one end to the other, with somebody at it.
type wire struct {
	conn.Bind
	meddle func(w *wire, messages [][]byte) [][]byte // returns what goes on

	mu    sync.Mutex
	bytes int
	kinds map[byte]int // messages by their type
	plain int          // messages with the secret
	kept  [][]byte
	to    conn.Endpoint
}

// wires is a maker of binds, and what it has made: for end 0, then for end 1.
func wires(meddle func(w *wire, messages [][]byte) [][]byte) (func() conn.Bind, *[]*wire) {
	made := &[]*wire{}
	return func() conn.Bind {
		w := &wire{Bind: conn.NewStdNetBind(), meddle: meddle, kinds: map[byte]int{}}
		*made = append(*made, w)
		return w
	}, made
}

func (w *wire) Send(messages [][]byte, to conn.Endpoint) error {
	w.mu.Lock()
	w.to = to
	for _, m := range messages {
		w.bytes += len(m)
		w.kinds[m[0]]++
		if bytes.Contains(m, secret) {
			w.plain++
		}
	}
	if w.meddle != nil {
		messages = w.meddle(w, messages)
	}
	w.mu.Unlock()
	if len(messages) == 0 {
		return nil
	}
	return w.Bind.Send(messages, to)
}

// isPacket says that a message carries a packet of the link, which a keepalive and a hello do not.
func isPacket(message []byte) bool {
	return message[0] == device.MessageTransportType && len(message) > device.MessageTransportSize+headerLen+device.PaddingMultiple
}

func TestNothingOnTheWireIsReadable(t *testing.T) {
	bind, made := wires(nil)
	b := newBed(t, options{encrypted: true, bind: bind})
	for range 20 {
		b.send(0, 100, 1400, 9001)
		b.send(1, 100, 1400, 9001)
		b.settle()
	}
	for end, w := range *made {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.plain != 0 || w.bytes < 20*(100+1400+9001) {
			t.Errorf("end %d: of %d bytes, %d messages can be read", end, w.bytes, w.plain)
		}
	}
	// The same look finds it where it is.
	w := &wire{kinds: map[byte]int{}, meddle: func(*wire, [][]byte) [][]byte { return nil }}
	must(t, w.Send([][]byte{packetOf(0, 100)}, nil))
	if w.plain != 1 {
		t.Error("a packet cannot be read even without encryption: the test proves nothing")
	}
}

// A byte is changed in each 20th message, everywhere in it.
func TestAChangedPacketIsBrokenAndNoOther(t *testing.T) {
	var seen, changed atomic.Int64
	bind, _ := wires(func(_ *wire, messages [][]byte) [][]byte {
		for _, m := range messages {
			if !isPacket(m) {
				continue
			}
			if n := int(seen.Add(1)); n%20 == 0 {
				m[n*7919%len(m)] ^= 0x10
				changed.Add(1)
			}
		}
		return messages
	})
	b := newBed(t, options{encrypted: true, bind: bind})
	for range 40 {
		b.send(0, repeat(30, 1000)...)
		eventually(t, "the packets pass", func() bool { return b.under(0) < windowSize/2 })
	}
	b.settle()
	if changed.Load() != 40*30/20 {
		t.Errorf("%d packets changed", changed.Load())
	}
	b.wantLost(0, map[flow.Reason]int{flow.LinkBroken: 40 * 30 / 20})
}

func TestAPacketThatComesTwiceArrivesOnce(t *testing.T) {
	bind, _ := wires(func(w *wire, messages [][]byte) [][]byte {
		var twice [][]byte
		for _, m := range messages {
			twice = append(twice, m)
			if isPacket(m) && len(twice) < batchSize {
				twice = append(twice, slices.Clone(m))
			}
		}
		return twice
	})
	b := newBed(t, options{encrypted: true, bind: bind})
	for range 20 {
		b.send(0, repeat(30, 1000)...)
		b.settle()
	}
	b.wantLost(0, nil)
}

// Ten packets are held back on the wire until they were given up, and then let go.
func TestAPacketThatComesTooLateIsDiscarded(t *testing.T) {
	var holding atomic.Bool
	holding.Store(true)
	bind, made := wires(func(w *wire, messages [][]byte) [][]byte {
		return slices.DeleteFunc(slices.Clone(messages), func(m []byte) bool {
			keep := holding.Load() && isPacket(m)
			if keep {
				w.kept = append(w.kept, slices.Clone(m))
			}
			return keep
		})
	})
	b := newBed(t, options{encrypted: true, bind: bind})
	b.send(0, repeat(10, 1000)...)
	b.settle()
	b.wantLost(0, map[flow.Reason]int{flow.LinkBroken: 10})

	w := (*made)[0]
	holding.Store(false)
	w.mu.Lock()
	kept, to := w.kept, w.to
	w.mu.Unlock()
	if len(kept) != 10 {
		t.Fatalf("%d messages held back", len(kept))
	}
	must(t, w.Bind.Send(kept, to))
	b.send(0, repeat(10, 1000)...) // these come out after them
	b.settle()
	b.wantLost(0, map[flow.Reason]int{flow.LinkBroken: 10})
}

// Nothing comes through: the window holds what it holds, is given up, and is used again.
func TestACutWireIsTold(t *testing.T) {
	var cut atomic.Bool
	cut.Store(true)
	bind, _ := wires(func(_ *wire, messages [][]byte) [][]byte {
		if cut.Load() && isPacket(messages[0]) {
			return nil
		}
		return messages
	})
	b := newBed(t, options{encrypted: true, bind: bind})
	const sent = 3000
	for b.sentBy(0) < sent {
		b.send(0, repeat(100, 1400)...)
	}
	if got, limit := b.under(0), windowSize+maxBacklog; got > limit {
		t.Errorf("%d packets are under way, more than %d", got, limit)
	}
	b.settle()
	broken, full := b.lostFrom(0, flow.LinkBroken), b.lostFrom(0, flow.LinkQueueFull)
	if broken < windowSize || broken+full != sent {
		t.Errorf("%d packets broken and %d without room, of %d", broken, full, sent)
	}
	cut.Store(false)
	b.send(0, repeat(100, 1400)...)
	b.settle()
	b.wantLost(0, map[flow.Reason]int{flow.LinkBroken: broken, flow.LinkQueueFull: full})
}

// peerOf is what an end's device knows about the other end.
func peerOf(t *testing.T, d *device.Device) *device.Peer {
	t.Helper()
	config, err := d.IpcGet()
	must(t, err)
	_, rest, _ := strings.Cut(config, "\npublic_key=")
	key, err := hex.DecodeString(rest[:64])
	must(t, err)
	return d.LookupPeer(device.NoisePublicKey(key))
}

// New keys are asked for, as after 120 s, while packets flow both ways. WireGuard does so at most every 5 s.
func TestNewKeysLoseNothing(t *testing.T) {
	bind, made := wires(nil)
	b := newBed(t, options{encrypted: true, bind: bind})
	peer := peerOf(t, b.link.tunnel[0])
	initiations := func() int {
		w := (*made)[0]
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.kinds[device.MessageInitiationType]
	}
	if initiations() != 1 {
		t.Fatalf("%d handshakes to begin with", initiations())
	}
	flowing := func() {
		for end := range 2 {
			b.send(end, repeat(20, 1400)...)
			eventually(t, "the packets pass", func() bool { return b.under(end) < windowSize/2 })
		}
	}
	eventually(t, "a handshake", func() bool {
		must(t, peer.SendHandshakeInitiation(false))
		flowing()
		return initiations() == 2
	})
	for range 200 {
		flowing()
	}
	b.settle()
	b.wantLost(0, nil)
	b.wantLost(1, nil)
}
