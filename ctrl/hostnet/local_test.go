package hostnet

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// services is a lab of a services' namespace and one guest, between which the test carries the packets:
//
//	guest, 100.96.0.5 and fd00:c::5 ── e2 ── wire ── e1 ── services, 10.255.0.2 and fd00:5::2, local 100.80.0.0/12 and fd00:a::/48
//
// The guest's addresses are those that callers stand for: of no subnet of the services', and beside their own prefixes.
type services struct {
	*Host
	svc, guest string

	mu   sync.Mutex
	sent []netip.AddrPort // sources of TCP segments that the services sent
}

func newServices(t *testing.T, lab string) *services {
	t.Helper()
	s := &services{Host: openLab(t, lab), svc: ServicesNamespace(lab), guest: stampOf(lab) + "app.web"}
	apply(t, s.Host, s.desired("100.80.0.0/12", "fd00:a::/48"))
	s.connect(t)
	return s
}

func (s *services) desired(local ...string) Desired {
	router4, router6 := netip.MustParseAddr("169.254.0.1"), netip.MustParseAddr("fe80::1")
	return Desired{
		Lab:    s.lab,
		Guests: []Guest{{Namespace: s.svc, Local: prefixes(local...)}, {Namespace: s.guest}},
		Attachments: []Attachment{
			{Index: 1, Namespace: s.svc, Device: "eth0", MAC: MAC{2, 0, 0, 0, 0, 1}, MTU: 9001, Default: true,
				Addrs: prefixes("10.255.0.2/32", "fd00:5::2/128"), Router4: router4, Router6: router6},
			{Index: 2, Namespace: s.guest, Device: "eth0", MAC: MAC{2, 0, 0, 0, 0, 2}, MTU: 9001, Default: true,
				Addrs: prefixes("100.96.0.5/32", "fd00:c::5/128"), Router4: router4, Router6: router6},
		},
	}
}

// connect carries frames between e1 and e2 until the test ends. The neighbours are known, as nobody answers for them here.
func (s *services) connect(t *testing.T) {
	t.Helper()
	for _, a := range s.desired().Attachments {
		err := s.InGuest(a.Namespace, func() error {
			l, err := netlink.LinkByName(a.Device)
			if err != nil {
				return err
			}
			for _, router := range []netip.Addr{a.Router4, a.Router6} {
				n := &netlink.Neigh{LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT, IP: router.AsSlice(), HardwareAddr: RouterMAC[:]}
				if err := netlink.NeighSet(n); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	one, two := s.wire(t, 1), s.wire(t, 2)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { s.carry(done, one, two, MAC{2, 0, 0, 0, 0, 2}) })
	wg.Go(func() { s.carry(done, two, one, MAC{2, 0, 0, 0, 0, 1}) })
	t.Cleanup(func() {
		close(done)
		wg.Wait()
		unix.Close(one)
		unix.Close(two)
	})
}

// wire opens eN as whoever sits there sees it, with the header that tells of checksums that are yet to be made (packet(7)).
func (s *services) wire(t *testing.T, index uint32) (fd int) {
	t.Helper()
	ports, _ := s.Ports(index)
	err := s.InFabric(func() (err error) {
		const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // network byte order
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		for _, option := range []int{unix.PACKET_VNET_HDR, unix.PACKET_IGNORE_OUTGOING} {
			if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, option, 1); err != nil {
				return err
			}
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: int(ports.Veth)})
	})
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func (s *services) carry(done chan struct{}, from, to int, mac MAC) {
	const header = 10 // of virtio_net_hdr
	buf := make([]byte, 1<<17)
	for {
		select {
		case <-done:
			return
		default:
		}
		fds := []unix.PollFd{{Fd: int32(from), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, 10); n == 0 || err != nil {
			continue
		}
		n, err := unix.Read(from, buf)
		if err != nil || n < header+14 {
			continue
		}
		s.note(buf[header:n], mac)
		copy(buf[header:], mac[:])
		_, _ = unix.Write(to, buf[:n]) // what does not arrive is sent again
	}
}

func (s *services) note(frame []byte, to MAC) {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	tcp, ok := p.TransportLayer().(*layers.TCP)
	if !ok || to != (MAC{2, 0, 0, 0, 0, 2}) {
		return
	}
	src, _ := netip.AddrFromSlice(p.NetworkLayer().NetworkFlow().Src().Raw())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, netip.AddrPortFrom(src, uint16(tcp.SrcPort)))
}

// in runs f in a namespace, and ends the test with its error.
func (s *services) in(t *testing.T, namespace string, f func() error) {
	t.Helper()
	if err := s.InGuest(namespace, f); err != nil {
		t.Fatal(err)
	}
}

const soon = 10 * time.Second

var ofServices = []string{"100.80.0.0", "100.95.255.255", "fd00:a::", "fd00:a:0:1:2:3:4:5"}

func TestAListenerIsAskedAtEveryLocalAddress(t *testing.T) {
	s := newServices(t, "hostnettest-svc")
	var l net.Listener
	s.in(t, s.svc, func() (err error) {
		l, err = net.Listen("tcp", ":80")
		return err
	})
	defer l.Close()
	go answer(l)
	ask := func(to string) (string, error) {
		var c net.Conn
		err := s.InGuest(s.guest, func() (err error) {
			c, err = net.DialTimeout("tcp", netip.AddrPortFrom(netip.MustParseAddr(to), 80).String(), soon)
			return err
		})
		if err != nil {
			return "", err
		}
		defer c.Close()
		text, err := io.ReadAll(c)
		return string(text), err
	}
	for _, to := range ofServices {
		got, err := ask(to)
		want := fmt.Sprintf("%s asked at %s", s.callerOf(to), to)
		if err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}

	// Beyond the prefix nobody is asked; what is routed back and forth dies silently, so it is asked in the services' namespace itself.
	s.in(t, s.svc, func() error {
		for to, want := range map[string]bool{"100.95.255.255": true, "100.96.0.0": false, "fd00:a::1": true, "fd00:b::1": false} {
			routes, err := netlink.RouteGet(net.ParseIP(to))
			if err != nil {
				return err
			}
			if got := routes[0].Type == unix.RTN_LOCAL; got != want {
				t.Errorf("%s is local: %v", to, got)
			}
		}
		return nil
	})
}

// callerOf is the guest's address of the family.
func (s *services) callerOf(to string) string {
	if netip.MustParseAddr(to).Is4() {
		return "100.96.0.5"
	}
	return "fd00:c::5"
}

// answer tells each caller who it is and whom it asked.
func answer(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		from, own := c.RemoteAddr().(*net.TCPAddr).AddrPort(), c.LocalAddr().(*net.TCPAddr).AddrPort()
		fmt.Fprintf(c, "%s asked at %s", from.Addr().Unmap(), own.Addr().Unmap())
		c.Close()
	}
}

func TestADatagramIsAnsweredFromTheAddressThatWasAsked(t *testing.T) {
	s := newServices(t, "hostnettest-svcudp")
	for _, to := range ofServices {
		addr := netip.AddrPortFrom(netip.MustParseAddr(to), 53)
		network := "udp6"
		if addr.Addr().Is4() {
			network = "udp4"
		}
		var server, client *net.UDPConn
		s.in(t, s.svc, func() (err error) {
			if server, err = net.ListenUDP(network, &net.UDPAddr{Port: 53}); err != nil {
				return err
			}
			return wantPacketInfo(server, network)
		})
		s.in(t, s.guest, func() (err error) {
			client, err = net.DialUDP(network, nil, net.UDPAddrFromAddrPort(addr)) // takes answers from addr alone
			return err
		})
		if err := client.SetDeadline(time.Now().Add(soon)); err != nil {
			t.Fatal(err)
		}
		// A device that has just come up may lose the first packets, which TCP sends again by itself.
		err := os.ErrDeadlineExceeded
		for deadline := time.Now().Add(soon); errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(deadline); {
			if _, err := client.Write([]byte("who?")); err != nil {
				t.Fatal(err)
			}
			err = answerFromAsked(server, network)
		}
		if err != nil {
			t.Fatalf("%s: %v", to, err)
		}
		buf := make([]byte, 64)
		if n, err := client.Read(buf); err != nil || string(buf[:n]) != "who? me" {
			t.Errorf("from %s: %q, %v", to, buf[:n], err)
		}
		client.Close()
		server.Close()
	}
}

func wantPacketInfo(c *net.UDPConn, network string) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	level, option := unix.IPPROTO_IP, unix.IP_PKTINFO
	if network == "udp6" {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO
	}
	controlErr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, 1) })
	return errors.Join(controlErr, err)
}

// answerFromAsked answers one datagram from the address that its packet information tells.
func answerFromAsked(c *net.UDPConn, network string) error {
	buf, oob := make([]byte, 64), make([]byte, 128)
	if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	n, oobn, _, from, err := c.ReadMsgUDPAddrPort(buf, oob)
	if err != nil {
		return err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		return fmt.Errorf("packet information %v: %v", messages, err)
	}
	var own []byte
	if data := messages[0].Data; network == "udp4" {
		own = unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: [4]byte(data[8:12])}) // in_pktinfo: index, spec_dst, addr
	} else {
		own = unix.PktInfo6(&unix.Inet6Pktinfo{Addr: [16]byte(data[:16])})
	}
	_, _, err = c.WriteMsgUDPAddrPort(append(buf[:n:n], " me"...), own, from)
	return err
}

func TestASocketConnectsFromALocalAddress(t *testing.T) {
	s := newServices(t, "hostnettest-svcdial")
	var l net.Listener
	s.in(t, s.guest, func() (err error) {
		l, err = net.Listen("tcp", ":80")
		return err
	})
	defer l.Close()
	go answer(l)
	for _, from := range ofServices {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: soon}
		to := s.callerOf(from)
		var c net.Conn
		s.in(t, s.svc, func() (err error) {
			c, err = dialer.Dial("tcp", netip.AddrPortFrom(netip.MustParseAddr(to), 80).String())
			return err
		})
		text, err := io.ReadAll(c)
		if want := from + " asked at " + to; err != nil || string(text) != want {
			t.Errorf("got %q, %v, want %q", text, err, want)
		}
		own := c.LocalAddr().(*net.TCPAddr).AddrPort()
		c.Close()
		s.mu.Lock()
		if !slices.Contains(s.sent, own) {
			t.Errorf("nothing left eth0 from %s, only from %v", own, s.sent)
		}
		s.mu.Unlock()
	}
	err := s.InGuest(s.svc, func() error {
		_, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.ParseIP("100.97.0.1")})
		return err
	})
	if !errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Errorf("a socket at an address beyond the prefixes: %v", err)
	}
}

func TestLocalPrefixesFollowChanges(t *testing.T) {
	s := newServices(t, "hostnettest-local")
	want := s.desired("100.80.0.0/12", "fd00:a::/48")
	if n := apply(t, s.Host, want); n.Total() != 0 {
		t.Errorf("a second apply changed %+v", n)
	}
	own := prefix("100.112.0.0/16")
	s.in(t, s.svc, func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return errors.Join(netlink.RouteDel(localRoute(prefix("100.80.0.0/12"), lo)), netlink.RouteAdd(localRoute(own, lo)))
	})
	if n := apply(t, s.Host, want); n.Guests != 1 || n.Total() != 1 {
		t.Errorf("the repair changed %+v", n)
	}
	changed := s.desired("100.80.0.0/16", "fd00:a::/48", "fd00:d::/48")
	if n := apply(t, s.Host, changed); n.Guests != 3 || n.Total() != 3 {
		t.Errorf("the change made %+v", n)
	}
	if got := s.local(t); !slices.Equal(got, prefixes("100.80.0.0/16", "100.112.0.0/16", "fd00:a::/48", "fd00:d::/48")) {
		t.Errorf("local are %v", got)
	}
	if n := apply(t, s.Host, s.desired()); n.Guests != 3 || n.Sysctls != 1 || n.Total() != 4 {
		t.Errorf("taking all away made %+v", n)
	}
	if got := s.local(t); !slices.Equal(got, []netip.Prefix{own}) {
		t.Errorf("local are %v, want what the guest itself added", got)
	}
}

// local lists the prefixes that are local beside those of a lo as it comes.
func (s *services) local(t *testing.T) (found []netip.Prefix) {
	t.Helper()
	s.in(t, s.svc, func() error {
		return withHandle(s.guests[s.svc].ns, func(nh *netlink.Handle) error {
			lo, err := nh.LinkByName("lo")
			if err != nil {
				return err
			}
			found, err = observeLocal(nh, lo)
			return err
		})
	})
	slices.SortFunc(found, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	return slices.DeleteFunc(found, func(p netip.Prefix) bool { return p.Addr().IsLoopback() })
}
