package fastpath

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// wired is an attachment with real devices and a guest behind them.
type wired struct {
	Attachment
	guest  space
	device int // the guest's NIC
	tun    int // descriptor
}

// wire builds two guests and no engine:
//
//	10.0.1.5, fd00:1::5  eth0 ── e1 [fabric] e2 ── eth0  10.0.2.9, fd00:2::9
//	                             t1          t2
func wire(t *testing.T, f *FastPath) (a, b *wired) {
	t.Helper()
	fabric := newSpace(t)
	fabric.sysctl(map[string]string{"ipv6/conf/default/disable_ipv6": "1"})
	build := func(index uint32, addrs ...string) *wired {
		w := &wired{guest: newSpace(t)}
		w.Attachment = Attachment{
			Index: index, Scope: index, GuestMAC: [6]byte{2, 0, 0, 0, 1, byte(index)}, RouterMAC: [6]byte{2, 0, 0, 0, 2, byte(index)},
		}
		veth, tun := fmt.Sprintf("e%d", index), fmt.Sprintf("t%d", index)
		w.guest.sysctl(map[string]string{"ipv6/conf/default/accept_ra": "0", "ipv6/conf/default/accept_dad": "0"})
		fabric.veth(veth, [6]byte{2, 0, 0, 0, 9, byte(index)}, w.guest, w.GuestMAC)
		w.tun = fabric.tun(tun)
		w.Veth, w.TUN = fabric.index(veth), fabric.index(tun)
		fabric.up(w.Veth)
		fabric.up(w.TUN)
		fabric.run(func() error { return f.Attach(w.Attachment) })

		w.device = w.guest.index("eth0")
		w.guest.up(w.device)
		for _, s := range addrs {
			p := netip.MustParsePrefix(s)
			w.guest.address(w.device, p)
			gateway := netip.MustParseAddr("fe80::1")
			if p.Addr().Is4() {
				gateway = p.Masked().Addr().Next()
			}
			if err := f.SetNeighbor(w.Scope, gateway, 0); err != nil {
				t.Fatal(err)
			}
			w.guest.route(w.device, gateway)
			if p.Addr().Is6() {
				eventually(t, func() error { return w.settled(p.Addr()) })
			}
		}
		return w
	}
	a = build(1, "10.0.1.5/24", "fd00:1::5/64")
	b = build(2, "10.0.2.9/24", "fd00:2::9/64")
	return a, b
}

// settled says whether the guest accepts packets for an address. The kernel makes the local route of an IPv6 address in the
// background, also without duplicate address detection, and after the address has ceased to be tentative.
func (w *wired) settled(addr netip.Addr) error {
	var table []byte
	w.guest.run(func() (err error) {
		table, err = os.ReadFile("/proc/thread-self/net/ipv6_route")
		return err
	})
	for line := range strings.Lines(string(table)) {
		// destination, its prefix length, source, its prefix length, next hop, metric, references, uses, flags, device
		f := strings.Fields(line)
		if len(f) != 10 || f[0] != hex.EncodeToString(addr.AsSlice()) {
			continue
		}
		const local = 0x80000000 // RTF_LOCAL
		if flags, err := strconv.ParseUint(f[8], 16, 32); err == nil && flags&local != 0 {
			return nil
		}
	}
	return fmt.Errorf("%s has no local route", addr)
}

// eventually polls until ok, or until the deadline with what was wrong last.
func eventually(t *testing.T, ok func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Error(err)
			return
		}
	}
}

// Real TCP streams, offloaded by the guest's kernel, cross with both ends translated; the slots hold what the senders sent.
func TestLiveTCP(t *testing.T) {
	needsRoot(t)
	f, err := Load(Config{MaxFlows: 64, MaxSlots: 64, MaxAttachments: 16, MaxDomains: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	a, b := wire(t, f)
	for i, row := range []struct {
		name                          string
		client, virtual, server, seen netip.AddrPort
		headers, first                uint64 // bytes of a data segment's headers, and of the SYN
	}{
		{"IPv4", addrPort("10.0.1.5:40000"), addrPort("198.51.100.7:80"), addrPort("10.0.2.9:9000"), addrPort("203.0.113.4:1234"), 52, 60},
		{"IPv6", addrPort("[fd00:1::5]:40000"), addrPort("[2001:db8::7]:80"), addrPort("[fd00:2::9]:9000"), addrPort("[2001:db8:1::4]:1234"), 72, 80},
	} {
		t.Run(row.name, func(t *testing.T) {
			slot := uint32(2 + 2*i)
			install := func(from, to *wired, src, dst, newSrc, newDst netip.AddrPort, slot uint32) {
				t.Helper()
				key := flow.Key{Attachment: from.Index, Tuple: flow.MakeTuple(flow.TCP, src.Addr(), src.Port(), dst.Addr(), dst.Port())}
				if err := f.Install(key, flow.Entry{Verdict: flow.Deliver, Out: to.Index, Slot: slot, MTU: 9001, Rewrite: flow.Rewrite{
					Src: newSrc.Addr(), Dst: newDst.Addr(), SrcPort: newSrc.Port(), DstPort: newDst.Port(),
				}}); err != nil {
					t.Fatal(err)
				}
			}
			install(b, a, row.server, row.seen, row.virtual, row.client, slot+1)
			install(a, b, row.client, row.virtual, row.seen, row.server, slot)

			const size = 8 << 20
			var listener net.Listener
			b.guest.run(func() (err error) {
				listener, err = net.Listen("tcp", row.server.String())
				return err
			})
			defer listener.Close()
			served := make(chan error, 1)
			var server *net.TCPConn
			go func() {
				c, err := listener.Accept()
				if err != nil {
					served <- err
					return
				}
				server = c.(*net.TCPConn)
				if got := server.RemoteAddr().String(); got != row.seen.String() {
					served <- fmt.Errorf("the server sees %s, want %s", got, row.seen)
					return
				}
				if n, err := io.CopyN(io.Discard, server, size); err != nil {
					served <- fmt.Errorf("after %d bytes: %w", n, err)
					return
				}
				_, err = server.Write([]byte("!"))
				served <- err
			}()
			var client *net.TCPConn
			a.guest.run(func() error {
				d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(row.client), Timeout: 5 * time.Second}
				c, err := d.Dial("tcp", row.virtual.String())
				if err == nil {
					client = c.(*net.TCPConn)
				}
				return err
			})
			defer client.Close()
			if err := client.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(client, bytes.NewReader(make([]byte, size))); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			if err := <-served; err != nil {
				t.Fatal(err)
			}
			defer server.Close()

			eventually(t, func() error {
				sent, answered := tcpInfo(t, client), tcpInfo(t, server)
				own, peer := f.Memory().Slots[slot].Read(), f.Memory().Slots[slot+1].Read()
				// The SYN-ACK is sent before there is a socket to count it, and again if the machine is slow.
				segments, answers := uint64(sent.Segs_out), uint64(answered.Segs_out)+1
				again := uint64(answered.Total_retrans)
				if own.Packets != segments || peer.Packets < answers || peer.Packets > answers+again {
					return fmt.Errorf("counted %d and %d packets, sent were %d and %d, perhaps %d more",
						own.Packets, peer.Packets, segments, answers, again)
				}
				if want := sent.Bytes_sent + row.first + (segments-1)*row.headers; own.Bytes != want {
					return fmt.Errorf("counted %d bytes, sent were %d", own.Bytes, want)
				}
				if s := flow.StateOf(flow.TCP, own, peer); s != flow.Established {
					return fmt.Errorf("state %d after flags %#x and %#x", s, own.Flags, peer.Flags)
				}
				return nil
			})
			if own := f.Memory().Slots[slot].Read(); own.Bytes < size {
				t.Errorf("only %d bytes were offloaded", own.Bytes)
			}
		})
	}
}

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func tcpInfo(t *testing.T, c *net.TCPConn) (info *unix.TCPInfo) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { info, failed = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	return info
}

// Both ways through userspace, and the frames that a test run cannot make.
func TestLiveUpcall(t *testing.T) {
	needsRoot(t)
	f, err := Load(Config{MaxFlows: 64, MaxSlots: 64, MaxAttachments: 16, MaxDomains: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	a, b := wire(t, f)
	whole := udp("10.0.1.5", 5, "10.0.2.9", 6)
	eth := ether(0)
	eth.SrcMAC, eth.DstMAC = mac(a.GuestMAC), mac(a.RouterMAC)
	frame := whole.frame(eth)
	six := udp("fd00:1::5", 5, "fd00:2::9", 6).frame(eth)
	stranger := patch(frame, 0, 2, 2, 2, 2, 2, 2) // to a MAC that nobody has

	packet := make(chan []byte, 16)
	b.guest.run(func() error {
		c, err := net.ListenPacket("udp", "10.0.2.9:6")
		if err != nil {
			return err
		}
		t.Cleanup(func() { c.Close() })
		go func() {
			for {
				buf := make([]byte, 10000)
				n, _, err := c.ReadFrom(buf)
				if err != nil {
					return
				}
				packet <- buf[:n]
			}
		}()
		return nil
	})
	receive := func() []byte {
		t.Helper()
		select {
		case p := <-packet:
			return p
		case <-time.After(5 * time.Second):
			t.Fatal("nothing arrived")
			return nil
		}
	}

	// Up: the TUN gets the IP packet alone, whichever MAC it was for.
	for _, frame := range [][]byte{frame, stranger, six, cut(frame, 14+10), cut(six, 14+30), cut(frame, 14+1)} {
		inject(t, a, frame)
		if got := readTUN(t, a.tun); !bytes.Equal(got, frame[14:]) {
			t.Errorf("the engine reads %x, want %x", got, frame[14:])
		}
	}
	// Down: what the engine writes reaches the guest's socket.
	if _, err := unix.Write(b.tun, append(make([]byte, 10), frame[14:14+whole.ipBytes()]...)); err != nil {
		t.Fatal(err)
	}
	if got := receive(); len(got) != whole.payload {
		t.Errorf("%d bytes arrived, want %d", len(got), whole.payload)
	}
	// Across: an entry delivers also what was for a MAC that nobody has.
	if err := f.Install(flow.Key{Attachment: a.Index, Tuple: whole.tuple}, flow.Entry{Verdict: flow.Deliver, Out: b.Index, Slot: 2}); err != nil {
		t.Fatal(err)
	}
	for _, frame := range [][]byte{frame, stranger} {
		inject(t, a, frame)
		if got := receive(); len(got) != whole.payload {
			t.Errorf("%d bytes arrived, want %d", len(got), whole.payload)
		}
	}
	// And what lies scattered in memory, headers and all.
	long := whole.with(payload(5000))
	injectScattered(t, a, long.frame(eth))
	if got := receive(); len(got) != long.payload {
		t.Errorf("%d bytes of a scattered packet arrived, want %d", len(got), long.payload)
	}

	// The kernel takes a tag out of the frame before the program sees it.
	tag := []byte{0x81, 0, 0, 5}
	for _, row := range []struct {
		name   string
		frame  []byte
		reason flow.Reason
	}{
		{"a VLAN tag", append(append(bytes.Clone(frame[:12]), tag...), frame[12:]...), flow.VLANTagged},
		{"two VLAN tags", append(append(bytes.Clone(frame[:12]), append(tag, tag...)...), frame[12:]...), flow.VLANTagged},
		{"nothing behind the Ethernet header", cut(frame, 14), flow.MalformedFrame},
		{"nothing behind the Ethernet header of IPv6", cut(six, 14), flow.MalformedFrame},
		{"half an IPv6 header to a group's MAC", patch(cut(six, 14+30), 0, 0x33, 0x33, 0, 0, 0, 1), flow.Multicast},
	} {
		before := f.Memory().Drop(a.Index, row.reason).Read()
		inject(t, a, row.frame)
		eventually(t, func() error {
			if after := f.Memory().Drop(a.Index, row.reason).Read(); after.Packets != before.Packets+1 {
				return fmt.Errorf("%s: %s was counted %d times, want once", row.name, row.reason, after.Packets-before.Packets)
			}
			return nil
		})
	}

	// Detached, the guest is on its own.
	if err := f.Detach(a.Index); err != nil {
		t.Fatal(err)
	}
	inject(t, a, frame)
	if n, err := unix.Read(a.tun, make([]byte, 100)); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("after Detach the engine still reads %d bytes, %v", n, err)
	}
}

// inject sends a frame from the guest's NIC as it is.
func inject(t *testing.T, w *wired, frame []byte) {
	t.Helper()
	w.guest.run(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: w.device, Protocol: binary.NativeEndian.Uint16(frame[12:])})
	})
}

// injectScattered is inject for a frame of which only the Ethernet header lies where the programs can read it at once. The kernel
// scatters those of a page and more.
func injectScattered(t *testing.T, w *wired, frame []byte) {
	t.Helper()
	w.guest.run(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
			return err
		}
		scattered := append(make([]byte, 10), frame...) // the virtio header says: no byte of headers
		return unix.Sendto(fd, scattered, 0, &unix.SockaddrLinklayer{Ifindex: w.device, Protocol: binary.NativeEndian.Uint16(frame[12:])})
	})
}

// readTUN waits for the next packet and takes its virtio header off.
func readTUN(t *testing.T, fd int) []byte {
	t.Helper()
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, 5000); err != nil || n == 0 {
		t.Fatalf("nothing came up: %v", err)
	}
	buf := make([]byte, 10000)
	n, err := unix.Read(fd, buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[10:n]
}
