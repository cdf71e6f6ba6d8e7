package fastpath

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// space is a network namespace that lives as long as a thread of its own: it goes away with it, and its devices with it,
// however a test ends.
type space struct {
	t  *testing.T
	fd int
	do chan func()
}

func newSpace(t *testing.T) space {
	t.Helper()
	s := space{t: t, do: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			ready <- err
			return
		}
		var err error
		s.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		ready <- err
		for f := range s.do {
			f()
		}
	}()
	if err := <-ready; err != nil {
		t.Fatalf("new network namespace: %v", err)
	}
	t.Cleanup(func() {
		close(s.do)
		unix.Close(s.fd)
	})
	return s
}

// run calls f on the namespace's thread.
func (s space) run(f func() error) {
	s.t.Helper()
	result := make(chan error)
	s.do <- func() { result <- f() }
	if err := <-result; err != nil {
		s.t.Fatal(err)
	}
}

// sysctl sets values under /proc/sys/net.
func (s space) sysctl(values map[string]string) {
	s.t.Helper()
	s.run(func() error {
		for name, value := range values {
			if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o644); err != nil {
				return err
			}
		}
		return nil
	})
}

// message is a netlink message under construction.
type message []byte

func (m message) u32(v uint32) message { return binary.NativeEndian.AppendUint32(m, v) }

// attr appends an attribute, padded to four bytes.
func (m message) attr(kind uint16, value []byte) message {
	m = binary.NativeEndian.AppendUint16(m, uint16(4+len(value)))
	m = binary.NativeEndian.AppendUint16(m, kind)
	m = append(m, value...)
	for len(m)%4 != 0 {
		m = append(m, 0)
	}
	return m
}

func number(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// request sends one rtnetlink request and waits for its acknowledgement.
func (s space) request(kind, flags uint16, body message) {
	s.t.Helper()
	s.run(func() error {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		head := message{}.u32(uint32(16 + len(body)))
		head = binary.NativeEndian.AppendUint16(head, kind)
		head = binary.NativeEndian.AppendUint16(head, unix.NLM_F_REQUEST|unix.NLM_F_ACK|flags)
		head = head.u32(1).u32(0)
		if err := unix.Sendto(fd, append(head, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return err
		}
		answer := make([]byte, 4096)
		n, _, err := unix.Recvfrom(fd, answer, 0)
		if err != nil {
			return err
		}
		if n < 20 {
			return fmt.Errorf("rtnetlink request %d: answer of %d bytes", kind, n)
		}
		if code := int32(binary.NativeEndian.Uint32(answer[16:])); code != 0 {
			return fmt.Errorf("rtnetlink request %d: %w", kind, unix.Errno(-code))
		}
		return nil
	})
}

const create = unix.NLM_F_CREATE | unix.NLM_F_EXCL

func linkMessage(index uint32) message {
	return append(make(message, 4), message{}.u32(index).u32(0).u32(0)...)
}

// veth makes a pair: name here, eth0 in the guest's namespace.
func (s space) veth(name string, mac [6]byte, guest space, guestMAC [6]byte) {
	s.t.Helper()
	const infoPeer = 1
	peer := linkMessage(0).
		attr(unix.IFLA_IFNAME, []byte("eth0\x00")).
		attr(unix.IFLA_ADDRESS, guestMAC[:]).
		attr(unix.IFLA_MTU, number(9001)).
		attr(unix.IFLA_NET_NS_FD, number(uint32(guest.fd)))
	info := message{}.
		attr(unix.IFLA_INFO_KIND, []byte("veth")).
		attr(unix.IFLA_INFO_DATA, message{}.attr(infoPeer, peer))
	s.request(unix.RTM_NEWLINK, create, linkMessage(0).
		attr(unix.IFLA_IFNAME, []byte(name+"\x00")).
		attr(unix.IFLA_ADDRESS, mac[:]).
		attr(unix.IFLA_MTU, number(9001)).
		attr(unix.IFLA_LINKINFO, info))
}

// index looks up a device.
func (s space) index(name string) (index int) {
	s.t.Helper()
	s.run(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		r, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, r)
		index = int(r.Uint32())
		return err
	})
	return index
}

func (s space) up(index int) {
	s.t.Helper()
	body := message{unix.AF_UNSPEC, 0, 0, 0}.u32(uint32(index)).u32(unix.IFF_UP).u32(unix.IFF_UP)
	s.request(unix.RTM_NEWLINK, 0, body)
}

func family(a netip.Addr) byte {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func (s space) address(index int, p netip.Prefix) {
	s.t.Helper()
	body := message{family(p.Addr()), byte(p.Bits()), unix.IFA_F_NODAD, 0}.u32(uint32(index))
	s.request(unix.RTM_NEWADDR, create, body.attr(unix.IFA_LOCAL, p.Addr().AsSlice()).attr(unix.IFA_ADDRESS, p.Addr().AsSlice()))
}

// route makes a default route.
func (s space) route(index int, via netip.Addr) {
	s.t.Helper()
	body := message{family(via), 0, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_BOOT, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST}.u32(0)
	s.request(unix.RTM_NEWROUTE, create, body.attr(unix.RTA_GATEWAY, via.AsSlice()).attr(unix.RTA_OIF, number(uint32(index))))
}

// tun makes a TUN device with a virtio header before each packet.
func (s space) tun(name string) (fd int) {
	s.t.Helper()
	s.run(func() error {
		var err error
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
			return err
		}
		r, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		return unix.IoctlIfreq(fd, unix.TUNSETIFF, r)
	})
	s.t.Cleanup(func() { unix.Close(fd) })
	return fd
}
