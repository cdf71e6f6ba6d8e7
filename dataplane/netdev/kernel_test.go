package netdev_test

import (
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/dataplane/netdev"
)

// kernel is a network namespace of its own with one TUN device in it:
//
//	packet socket ── netdevtest0, 10.9.0.1/24 and its kernel ── /dev/net/tun ── netdev.TUN
//
// The packet socket sends out of the device what no ordinary program would (large packets of any segment size) and sees how
// packets that were written come in. Nothing is left of it when the test ends: the namespace lives as long as the descriptors.
type kernel struct {
	dev  *netdev.TUN
	sock int // AF_PACKET with virtio-net headers
	link int // interface index
	run  func(func() error) error
}

const (
	device  = "netdevtest0"
	ours4   = "10.9.0.1" // the kernel's address
	theirs4 = "10.9.0.2" // somebody behind the TUN
)

// needRoot skips a test that needs root, or fails it where REQUIRE_ROOT says that everything must run.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("REQUIRE_ROOT") == "1" {
		t.Fatal("needs root, and REQUIRE_ROOT=1 says there is")
	}
	t.Skip("needs root")
}

// newNamespace returns a function that runs functions inside a new network namespace until the test ends.
func newNamespace(t testing.TB) func(func() error) error {
	t.Helper()
	calls, results := make(chan func() error), make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and with it the namespace
		results <- unix.Unshare(unix.CLONE_NEWNET)
		for f := range calls {
			results <- f()
		}
	}()
	must(t, <-results)
	t.Cleanup(func() { close(calls) })
	return func(f func() error) error {
		calls <- f
		return <-results
	}
}

// openTUN makes a device and returns its descriptor.
func openTUN(name string, flags uint16) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		ifr.SetUint16(flags)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	if err != nil {
		unix.Close(fd)
	}
	return fd, err
}

func newKernel(t testing.TB) *kernel {
	t.Helper()
	needRoot(t)
	k := &kernel{run: newNamespace(t)}
	var fd int
	must(t, k.run(func() (err error) {
		// Without IPv6 the device carries nothing that the test has not sent.
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		fd, err = openTUN(device, unix.IFF_TUN|unix.IFF_NO_PI|unix.IFF_VNET_HDR)
		return err
	}))
	dev, err := netdev.NewTUN(fd)
	must(t, err)
	k.dev = dev
	t.Cleanup(func() { must(t, dev.Close()) })
	must(t, k.run(k.configure))
	must(t, k.run(k.openPacketSocket))
	t.Cleanup(func() { unix.Close(k.sock) })
	return k
}

// configure gives the device its address and MTU 9001 and sets it up.
func (k *kernel) configure() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	for _, step := range []struct {
		request uint
		set     func(*unix.Ifreq)
	}{
		{unix.SIOCSIFADDR, func(r *unix.Ifreq) { must4(r, 10, 9, 0, 1) }},
		{unix.SIOCSIFNETMASK, func(r *unix.Ifreq) { must4(r, 255, 255, 255, 0) }},
		{unix.SIOCSIFMTU, func(r *unix.Ifreq) { r.SetUint32(9001) }},
		{unix.SIOCSIFFLAGS, func(r *unix.Ifreq) { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING) }},
	} {
		ifr, err := unix.NewIfreq(device)
		if err != nil {
			return err
		}
		step.set(ifr)
		if err := unix.IoctlIfreq(s, step.request, ifr); err != nil {
			return err
		}
	}
	return nil
}

func must4(r *unix.Ifreq, a ...byte) {
	if err := r.SetInet4Addr(a); err != nil {
		panic(err)
	}
}

func (k *kernel) openPacketSocket() error {
	all := wire(unix.ETH_P_ALL)
	s, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all))
	if err != nil {
		return err
	}
	k.sock = s
	if k.link, err = index(); err != nil {
		return err
	}
	wait := unix.NsecToTimeval(int64(5 * time.Second))
	return errors.Join(
		unix.SetsockoptInt(s, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.SetsockoptInt(s, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20), // a batch of small packets overflows the default
		unix.SetsockoptTimeval(s, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
		unix.Bind(s, &unix.SockaddrLinklayer{Protocol: all, Ifindex: k.link}))
}

// wire is a 16-bit number in the byte order of the network.
func wire(n uint16) uint16 { return binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, n)) }

// index is the device's interface index.
func index() (int, error) {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq(device)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFINDEX, ifr); err != nil {
		return 0, err
	}
	return int(ifr.Uint32()), nil
}

// remove deletes the device, as the end of a lab does while the descriptors are still open.
func (k *kernel) remove() error {
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	m := make([]byte, unix.SizeofNlMsghdr+unix.SizeofIfInfomsg)
	*(*unix.NlMsghdr)(unsafe.Pointer(&m[0])) = unix.NlMsghdr{Len: uint32(len(m)), Type: unix.RTM_DELLINK, Flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK}
	(*unix.IfInfomsg)(unsafe.Pointer(&m[unix.SizeofNlMsghdr])).Index = int32(k.link)
	if err := unix.Sendto(s, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(s, answer, 0)
	if err != nil {
		return err
	}
	if code := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:n])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}

// offload is the virtio-net header of a packet (include/uapi/linux/virtio_net.h).
type offload struct {
	flags, gso                          uint8
	headers, size, csumStart, csumField uint16
}

func (o offload) bytes() []byte {
	b := []byte{o.flags, o.gso}
	for _, v := range []uint16{o.headers, o.size, o.csumStart, o.csumField} {
		b = binary.NativeEndian.AppendUint16(b, v)
	}
	return b
}

// send lets the kernel transmit a packet through the device; o says how it is to be segmented.
func (k *kernel) send(o offload, ip []byte) error {
	proto := uint16(unix.ETH_P_IP)
	if ip[0]>>4 == 6 {
		proto = unix.ETH_P_IPV6
	}
	to := &unix.SockaddrLinklayer{Protocol: wire(proto), Ifindex: k.link}
	return unix.Sendto(k.sock, append(o.bytes(), ip...), 0, to)
}

// receive returns the next packet that came in through the device.
func (k *kernel) receive() (offload, []byte, error) {
	b := make([]byte, 1<<17)
	n, _, err := unix.Recvfrom(k.sock, b, 0)
	if err != nil {
		return offload{}, nil, err
	}
	word := func(at int) uint16 { return binary.NativeEndian.Uint16(b[at:]) }
	return offload{b[0], b[1], word(2), word(4), word(6), word(8)}, b[10:n], nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
