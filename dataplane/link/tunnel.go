package link

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
)

const (
	// keepalive is how often, in seconds, one end speaks on an idle link. Keys are renewed by whoever made the session, as soon as it
	// sends something after 120 s, and are void after 180 s (WireGuard paper, section 6.1). Were they void, both ends could ask for new
	// ones at the same time, each would answer and neither would finish, and packets would be lost until one asks again 5 s later.
	keepalive = 25

	// handshakeTime is how long the first handshake may take: WireGuard asks again every 5 s.
	handshakeTime = 12 * time.Second
)

// tunnel is the encryption: two WireGuard devices that talk to each other over UDP on the loopback address.
type tunnel [2]*device.Device

// socket is the UDP socket of one device, opened where the link's owner wants it.
type socket struct {
	conn.Bind
	open func(func() error) error
	port uint16 // that the kernel chose
}

// Open opens the socket inside the owner's function.
func (s *socket) Open(port uint16) (receive []conn.ReceiveFunc, actual uint16, err error) {
	err = s.open(func() (err error) {
		receive, actual, err = s.Bind.Open(port)
		return err
	})
	s.port = actual
	return receive, actual, err
}

// openTunnel makes a tunnel between the two ends of a pair of directions, and returns when packets can pass both ways.
func openTunnel(dirs [2]*direction, open func(func() error) error, bind func() conn.Bind) (t tunnel, err error) {
	keys, err := newKeys()
	if err != nil {
		return t, err
	}
	silent := &device.Logger{Verbosef: device.DiscardLogf, Errorf: device.DiscardLogf}
	var sockets [2]*socket
	for end := range t {
		sockets[end] = &socket{Bind: bind(), open: open}
		t[end] = device.NewDevice(newDoor(dirs[end], dirs[1-end]), sockets[end], silent)
	}
	for end := range t {
		if err := t.configure(end, keys); err != nil {
			return t, err
		}
	}
	for _, end := range []int{1, 0} {
		if err := t.connect(end, keys, sockets[1-end].port); err != nil {
			return t, err
		}
	}
	return t, nil
}

// newKeys makes a private key for each end. They are nowhere but in the memory of this process.
func newKeys() (keys [2]*ecdh.PrivateKey, err error) {
	for end := range keys {
		if keys[end], err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
			return keys, fmt.Errorf("make key: %w", err)
		}
	}
	return keys, nil
}

// configure gives an end's device its key, its peer and its socket.
func (t tunnel) configure(end int, keys [2]*ecdh.PrivateKey) error {
	secret := keys[end].Bytes()
	config := []byte("private_key=")
	config = hex.AppendEncode(config, secret)
	config = fmt.Appendf(config, "\nlisten_port=0\npublic_key=%x\nallowed_ip=%s\n", keys[1-end].PublicKey().Bytes(), prefixes[1-end])
	defer clear(config)
	defer clear(secret)
	if err := t[end].IpcSetOperation(bytes.NewReader(config)); err != nil {
		return fmt.Errorf("configure end %d: %w", end, err)
	}
	if err := t[end].Up(); err != nil {
		return fmt.Errorf("open socket of end %d: %w", end, err)
	}
	return nil
}

// connect tells an end's device where its peer is. That of end 0 begins the handshake, so end 1 has to know first.
func (t tunnel) connect(end int, keys [2]*ecdh.PrivateKey, port uint16) error {
	peer := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
	config := fmt.Sprintf("public_key=%x\nupdate_only=true\nendpoint=%s\n", keys[1-end].PublicKey().Bytes(), peer)
	if end == 0 {
		config += fmt.Sprintf("persistent_keepalive_interval=%d\n", keepalive)
	}
	if err := t[end].IpcSet(config); err != nil {
		return fmt.Errorf("connect end %d: %w", end, err)
	}
	return nil
}

// close ends the devices with their goroutines and sockets, and overwrites their private keys.
func (t tunnel) close() {
	for _, d := range t {
		if d == nil {
			continue
		}
		d.Close()
		_ = d.SetPrivateKey(device.NoisePrivateKey{}) // it never fails
	}
}

// errNoHandshake is a tunnel through which nothing came.
var errNoHandshake = errors.New("no handshake")

// greetings makes the first handshake: a packet without content passes each way, first from end 0, so that the two do not ask at the
// same time.
func greetings(dirs [2]*direction) error {
	for _, d := range dirs {
		d.mu.Lock()
		d.greet = true
		d.wakeLocked()
		d.mu.Unlock()
		if !d.clock.await(d.greeted, handshakeTime) {
			return fmt.Errorf("%w within %v", errNoHandshake, handshakeTime)
		}
	}
	return nil
}
