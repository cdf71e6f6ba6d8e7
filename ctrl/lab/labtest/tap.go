package labtest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// Ethertypes.
const (
	IPv4 = 0x0800
	ARP  = 0x0806
	VLAN = 0x8100
	IPv6 = 0x86dd
)

// Tap sends and receives Ethernet frames at a guest's interface, past the guest's own IP.
type Tap struct {
	MAC, Router [6]byte // the guest's, and whom it sends to
	fd          int
	buf         [1 << 16]byte
}

// Inside runs f in a guest's network namespace.
type Inside func(f func() error) error

// Open makes a tap at a guest's interface.
func Open(inside Inside, device string, mac, router [6]byte) (*Tap, error) {
	t := &Tap{MAC: mac, Router: router, fd: -1}
	err := inside(func() error {
		ifi, err := net.InterfaceByName(device)
		if err != nil {
			return err
		}
		if t.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(t.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(t.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
			return err
		}
		return unix.Bind(t.fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: ifi.Index})
	})
	if err != nil {
		t.Close()
		return nil, fmt.Errorf("tap %s: %w", device, err)
	}
	return t, nil
}

func networkOrder(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

// Close ends the tap.
func (t *Tap) Close() {
	if t.fd >= 0 {
		unix.Close(t.fd)
		t.fd = -1
	}
}

// Frame puts an Ethernet header to the router before an IP packet. The ethertype follows the first byte; a packet that is
// neither version is called IPv4.
func (t *Tap) Frame(packet []byte) []byte {
	ethertype := uint16(IPv4)
	if len(packet) > 0 && packet[0]>>4 == 6 {
		ethertype = IPv6
	}
	return t.FrameOf(ethertype, packet)
}

// FrameOf is Frame with another ethertype.
func (t *Tap) FrameOf(ethertype uint16, packet []byte) []byte {
	b := append(append(make([]byte, 0, 14+len(packet)), t.Router[:]...), t.MAC[:]...)
	return append(binary.BigEndian.AppendUint16(b, ethertype), packet...)
}

// Send puts a frame on the wire.
func (t *Tap) Send(frame []byte) error {
	for tries := 0; ; tries++ {
		_, err := unix.SendmsgN(t.fd, frame, nil, nil, 0)
		// ENETDOWN is reported once after the interface was down, whatever it is now.
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENETDOWN) && tries == 0 {
			continue
		}
		return err
	}
}

// Receive returns the next frame that reached the guest, or nil if none waits.
func (t *Tap) Receive() ([]byte, error) {
	n, _, err := unix.Recvfrom(t.fd, t.buf[:], 0)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR), errors.Is(err, unix.ENETDOWN):
		return nil, nil // ENETDOWN: the interface was down for a while
	case err != nil:
		return nil, err
	}
	return append([]byte(nil), t.buf[:n]...), nil
}

// Await waits for the next frame; nil when none came in time.
func (t *Tap) Await(patience time.Duration) ([]byte, error) {
	fds := []unix.PollFd{{Fd: int32(t.fd), Events: unix.POLLIN}}
	for deadline := time.Now().Add(patience); ; {
		frame, err := t.Receive()
		left := time.Until(deadline)
		if frame != nil || err != nil || left < 0 {
			return frame, err
		}
		if _, err := unix.Poll(fds, int(left.Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			return nil, err
		}
	}
}
