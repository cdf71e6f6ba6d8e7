package netdev_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/dataplane/netdev"
	"github.com/vpclab/vpclab/dataplane/packet"
)

func TestTUNAnswersPing(t *testing.T) {
	k := newKernel(t)
	ping := ip4(t, theirs4, ours4, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: 7, Seq: 1}, gopacket.Payload("hello"))
	write(t, k.dev, ping)
	got := read(t, k.dev, netdev.NewPool(9001, 1))
	var p packet.Info
	if len(got) != 1 || !packet.Decode(got[0], &p) {
		t.Fatalf("% x", got)
	}
	if s := p.Tuple.String(); s != "icmp type 0 id 7 10.9.0.1 > 10.9.0.2" || !bytes.HasSuffix(got[0], []byte("hello")) {
		t.Errorf("%s: % x", s, got[0])
	}
}

func TestTUNSplitsLargePackets(t *testing.T) {
	for _, row := range []struct {
		name          string
		data, segment int
		want          []int // bytes of data in each packet
	}{
		{"one segment and a half", 1500, 1000, []int{1000, 500}},
		{"exactly three segments", 3000, 1000, []int{1000, 1000, 1000}},
		{"segments of a 9001-byte MTU", 60000, 8961, []int{8961, 8961, 8961, 8961, 8961, 8961, 6234}},
		{"as many segments as a batch has buffers", 12800, 100, slicesOf(100, 128)},
	} {
		t.Run(row.name, func(t *testing.T) {
			k := newKernel(t)
			data := pattern(row.data)
			must(t, k.send(largeTCP(row.segment), ip4(t, ours4, theirs4, segment(1000), gopacket.Payload(data))))
			var sizes []int
			var stream []byte
			for i, b := range read(t, k.dev, netdev.NewPool(9001, 1)) {
				tcp := checked(t, b)
				if tcp.Seq != uint32(1000+len(stream)) {
					t.Errorf("packet %d has sequence number %d, want %d", i, tcp.Seq, 1000+len(stream))
				}
				sizes, stream = append(sizes, len(tcp.Payload)), append(stream, tcp.Payload...)
			}
			if fmt.Sprint(sizes) != fmt.Sprint(row.want) || !bytes.Equal(stream, data) {
				t.Errorf("segments of %v, want %v; data equal: %v", sizes, row.want, bytes.Equal(stream, data))
			}
			if n := k.dev.TooManySegments() + k.dev.Unreadable(); n != 0 {
				t.Errorf("%d reads lost something", n)
			}
		})
	}
}

func TestTUNSplitsLargeIPv6Packets(t *testing.T) {
	k := newKernel(t)
	data := pattern(20000)
	ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: net.ParseIP("2001:db8::1"), DstIP: net.ParseIP("2001:db8::2")}
	tcp := segment(0)
	must(t, tcp.SetNetworkLayerForChecksum(ip))
	buf := gopacket.NewSerializeBuffer()
	must(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, tcp, gopacket.Payload(data)))
	large := largeTCP(8941)
	large.gso, large.headers, large.csumStart = unix.VIRTIO_NET_HDR_GSO_TCPV6, 60, 40
	must(t, k.send(large, buf.Bytes()))
	var stream []byte
	for _, b := range read(t, k.dev, netdev.NewPool(9001, 1)) {
		checkSum(t, b)
		stream = append(stream, b[60:]...)
	}
	if !bytes.Equal(stream, data) {
		t.Errorf("%d bytes of data differ from the %d sent", len(stream), len(data))
	}
}

// What a guest sends by UDP segmentation offload comes through the kernel's own output path, not a packet socket.
func TestTUNSplitsUDP(t *testing.T) {
	k := newKernel(t)
	data := pattern(4500)
	must(t, k.run(func() error {
		s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(s)
		return errors.Join(unix.SetsockoptInt(s, unix.SOL_UDP, unix.UDP_SEGMENT, 1000),
			unix.Sendto(s, data, 0, &unix.SockaddrInet4{Port: 53, Addr: netip.MustParseAddr(theirs4).As4()}))
	}))
	pool := netdev.NewPool(9001, 1)
	var stream []byte
	for n := 0; n < 5; {
		for _, b := range read(t, k.dev, pool) {
			checkSum(t, b)
			stream = append(stream, b[28:]...)
			n++
		}
	}
	if !bytes.Equal(stream, data) {
		t.Errorf("%d bytes of data differ from the %d sent", len(stream), len(data))
	}
}

func TestTUNLosesSegmentsBeyondTheBatch(t *testing.T) {
	k := newKernel(t)
	pool := netdev.NewPool(9001, 1)
	must(t, k.send(largeTCP(100), ip4(t, ours4, theirs4, segment(0), gopacket.Payload(pattern(12900)))))
	got := read(t, k.dev, pool)
	if len(got) != 128 || k.dev.TooManySegments() != 1 {
		t.Errorf("%d packets, counted %d times; want 128 of the 129, and 1", len(got), k.dev.TooManySegments())
	}
	for _, b := range got {
		checked(t, b)
	}
	reads(t, k, pool)
}

// A guest with an MTU larger than its attachment's sends segments for which no buffer has room.
func TestTUNLosesWhatFitsNoBuffer(t *testing.T) {
	k := newKernel(t)
	pool := netdev.NewPool(1500, 1)
	for _, row := range []struct {
		name string
		how  offload
		size int
	}{
		{"a large packet of segments that are too large", largeTCP(8000), 30000},
		{"a packet that is too large", offload{}, 1501 - 40},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := k.dev.Unreadable()
			must(t, k.send(row.how, ip4(t, ours4, theirs4, segment(0), gopacket.Payload(pattern(row.size)))))
			if got := read(t, k.dev, pool); len(got) != 0 || k.dev.Unreadable() != before+1 {
				t.Errorf("%d packets, counted %d times; want none, and once", len(got), k.dev.Unreadable()-before)
			}
			reads(t, k, pool)
		})
	}
}

// Buffers whose capacity is larger than their length must not hide that a segment does not fit.
func TestTUNLosesSegmentsThatOnlyTheCapacityHolds(t *testing.T) {
	k := newKernel(t)
	bufs, sizes := make([][]byte, 128), make([]int, 128)
	for i := range bufs {
		bufs[i] = make([]byte, netdev.Headroom+1500, netdev.Headroom+9001)
	}
	must(t, k.send(largeTCP(8000), ip4(t, ours4, theirs4, segment(0), gopacket.Payload(pattern(30000)))))
	if n, err := k.dev.Read(bufs, sizes); n != 0 || err != nil || k.dev.Unreadable() != 1 {
		t.Errorf("%d packets, %v, counted %d times; want none, and once", n, err, k.dev.Unreadable())
	}
	reads(t, k, netdev.NewPool(1500, 1))
}

// What Read has split, Write joins again: the kernel gets one packet, not dozens.
func TestTUNJoinsWhatItSplit(t *testing.T) {
	for _, segmentSize := range []int{1460, 8961} {
		t.Run(fmt.Sprintf("segments of %d bytes", segmentSize), func(t *testing.T) {
			k := newKernel(t)
			data := pattern(60000)
			must(t, k.send(largeTCP(segmentSize), ip4(t, ours4, theirs4, segment(0), gopacket.Payload(data))))
			pool := netdev.NewPool(9001, 1)
			batch := pool.Get()
			n, err := k.dev.Read(batch.Bufs, batch.Sizes)
			must(t, err)
			var frames [][]byte
			for i := range n {
				b := batch.Packet(i) // the way back: swapping addresses keeps every checksum
				src := [4]byte(b[12:])
				copy(b[12:16], b[16:20])
				copy(b[16:20], src[:])
				frames = append(frames, batch.Frame(i))
			}
			if taken, err := k.dev.Write(frames); err != nil || taken != n {
				t.Fatalf("%d of %d packets taken: %v", taken, n, err)
			}
			how, b, err := k.receive()
			must(t, err)
			if how.gso != unix.VIRTIO_NET_HDR_GSO_TCPV4 || int(how.size) != segmentSize || !bytes.Equal(b[40:], data) {
				t.Errorf("%+v with %d bytes; want all %d in one packet of segments", how, len(b)-40, len(data))
			}
		})
	}
}

// However much room the caller's buffers have, what is joined stays an IP packet.
func TestTUNJoinsNoMoreThanAPacketHolds(t *testing.T) {
	k := newKernel(t)
	data := pattern(100 * 1000)
	var frames [][]byte
	for at := 0; at < len(data); at += 1000 {
		f := make([]byte, netdev.Headroom, 1<<18)
		frames = append(frames, append(f, ip4(t, theirs4, ours4, segment(uint32(at)), data[at:at+1000])...))
	}
	if n, err := k.dev.Write(frames); n != 100 || err != nil {
		t.Fatalf("%d of 100 packets taken: %v", n, err)
	}
	var stream []byte
	for len(stream) < len(data) {
		_, b, err := k.receive()
		must(t, err)
		if int(binary.BigEndian.Uint16(b[2:])) != len(b) {
			t.Fatalf("a packet of %d bytes says that it has %d", len(b), binary.BigEndian.Uint16(b[2:]))
		}
		stream = append(stream, b[40:]...)
	}
	if !bytes.Equal(stream, data) {
		t.Error("the data differ")
	}
}

// More flows than wireguard's table of flows has room for, and more packets than one of its batches.
func TestTUNWritesManyFlows(t *testing.T) {
	k := newKernel(t)
	var frames [][]byte
	for port := range 300 {
		frames = append(frames, frame(ip4(t, theirs4, ours4, &layers.UDP{SrcPort: layers.UDPPort(port + 1), DstPort: 9}, gopacket.Payload("x"))))
	}
	if n, err := k.dev.Write(frames); n != 300 || err != nil {
		t.Fatalf("%d of 300 packets taken: %v", n, err)
	}
	seen := map[uint16]bool{}
	for range 300 {
		_, b, err := k.receive()
		must(t, err)
		seen[binary.BigEndian.Uint16(b[20:])] = true
	}
	if len(seen) != 300 {
		t.Errorf("%d of 300 flows arrived", len(seen))
	}
}

func TestTUNWriteRefused(t *testing.T) {
	k := newKernel(t)
	good := ip4(t, theirs4, ours4, &layers.UDP{SrcPort: 5, DstPort: 9}, gopacket.Payload("x"))
	bad := bytes.Clone(good)
	bad[0] = 0x75

	t.Run("one of three", func(t *testing.T) {
		n, err := k.dev.Write([][]byte{frame(good), frame(bad), frame(good)})
		if want := "tun netdevtest0: write: 1 of 3 packets refused: invalid argument"; n != 2 || err == nil || err.Error() != want || !errors.Is(err, unix.EINVAL) {
			t.Errorf("%d taken: %v\nwant %s", n, err, want)
		}
	})
	t.Run("an empty packet", func(t *testing.T) {
		n, err := k.dev.Write([][]byte{frame(good), make([]byte, netdev.Headroom)})
		if want := "tun netdevtest0: write: packet 2 of 2 is empty"; n != 0 || err == nil || err.Error() != want {
			t.Errorf("%d taken: %v\nwant %s", n, err, want)
		}
	})
	t.Run("all, by a device that is down", func(t *testing.T) {
		must(t, k.run(func() error {
			s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(s)
			ifr, err := unix.NewIfreq(device)
			if err != nil {
				return err
			}
			return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr)
		}))
		n, err := k.dev.Write([][]byte{frame(good), frame(good)})
		if want := "tun netdevtest0: write: 2 of 2 packets refused: input/output error"; n != 0 || err == nil || err.Error() != want {
			t.Errorf("%d taken: %v\nwant %s", n, err, want)
		}
	})
}

// A lab removes its devices before it closes their descriptors.
func TestTUNWhoseDeviceIsRemoved(t *testing.T) {
	k := newKernel(t)
	waiting := waiter(k.dev.WaitReadable)
	waiting.begun(t)
	must(t, k.run(k.remove))
	waiting.ends(t, os.ErrClosed)
	pool := netdev.NewPool(9001, 1)
	batch := pool.Get()
	if _, err := k.dev.Read(batch.Bufs, batch.Sizes); !errors.Is(err, os.ErrClosed) {
		t.Errorf("read: %v", err)
	}
	if _, err := k.dev.Write([][]byte{frame(pattern(40))}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("write: %v", err)
	}
	if err := k.dev.WaitReadable(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("wait again: %v", err)
	}
}

func TestNewTUNRefuses(t *testing.T) {
	t.Run("a file", func(t *testing.T) {
		fd, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
		must(t, err)
		refused(t, fd, "take over tun descriptor: no device is attached: inappropriate ioctl for device")
	})
	t.Run("a descriptor without a device", func(t *testing.T) {
		needRoot(t)
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		must(t, err)
		refused(t, fd, "take over tun descriptor: no device is attached: file descriptor in bad state")
	})
	for _, row := range []struct {
		name  string
		flags uint16
		want  string
	}{
		{"a device without virtio-net headers", unix.IFF_TUN | unix.IFF_NO_PI,
			"take over tun descriptor: device netdevtest0 has no offloads: make it with IFF_VNET_HDR"},
		{"an ethernet device", unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR,
			"take over tun descriptor: device netdevtest0 carries Ethernet frames: make it with IFF_TUN"},
	} {
		t.Run(row.name, func(t *testing.T) {
			needRoot(t)
			var fd int
			must(t, newNamespace(t)(func() (err error) {
				fd, err = openTUN(device, row.flags)
				return err
			}))
			refused(t, fd, row.want)
		})
	}
}

// refused checks that NewTUN refuses fd for the reason, and has closed it.
func refused(t *testing.T, fd int, want string) {
	t.Helper()
	_, err := netdev.NewTUN(fd)
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); !errors.Is(err, unix.EBADF) {
		t.Errorf("the descriptor is still open: %v", err)
	}
}

func TestTUNDoesNotAllocate(t *testing.T) {
	k := newKernel(t)
	batch := netdev.NewPool(9001, 1).Get()
	ping := ip4(t, theirs4, ours4, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: 7}, gopacket.Payload("x"))
	bufs := [][]byte{nil}
	buf := frame(ping)
	allocs := testing.AllocsPerRun(100, func() {
		copy(buf[netdev.Headroom:], ping)
		bufs[0] = buf
		_, err := k.dev.Write(bufs)
		must(t, err)
		must(t, k.dev.WaitReadable())
		n, err := k.dev.Read(batch.Bufs, batch.Sizes)
		if n != 1 || err != nil {
			t.Fatal(n, err)
		}
	})
	if allocs >= 1 {
		t.Errorf("%v allocations a packet", allocs)
	}
}

// BenchmarkTUN reads 60000 bytes that the kernel sends as one packet, and writes them back.
func BenchmarkTUN(b *testing.B) {
	for _, row := range []struct {
		name string
		join bool
	}{{"joined", true}, {"one by one", false}} {
		b.Run(row.name, func(b *testing.B) {
			k := newKernel(b)
			pool := netdev.NewPool(9001, 1)
			large := append(largeTCP(8961).bytes(), ip4(b, ours4, theirs4, segment(0), gopacket.Payload(pattern(60000)))...)
			to := &unix.SockaddrLinklayer{Protocol: wire(unix.ETH_P_IP), Ifindex: k.link}
			frames := make([][]byte, 0, 128)
			b.SetBytes(60000)
			for b.Loop() {
				must(b, unix.Sendto(k.sock, large, 0, to))
				must(b, k.dev.WaitReadable())
				batch := pool.Get()
				n, err := k.dev.Read(batch.Bufs, batch.Sizes)
				must(b, err)
				frames = frames[:0]
				for i := range n {
					f := batch.Frame(i)
					if !row.join {
						f = f[:len(f):len(f)]
					}
					frames = append(frames, f)
				}
				_, err = k.dev.Write(frames)
				must(b, err)
				pool.Put(batch)
			}
		})
	}
}

// ip4 builds an IPv4 packet.
func ip4(t testing.TB, src, dst string, l4 gopacket.SerializableLayer, payload gopacket.Payload) []byte {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, Flags: layers.IPv4DontFragment, SrcIP: netip.MustParseAddr(src).AsSlice(), DstIP: netip.MustParseAddr(dst).AsSlice()}
	switch l := l4.(type) {
	case *layers.TCP:
		ip.Protocol = layers.IPProtocolTCP
		must(t, l.SetNetworkLayerForChecksum(ip))
	case *layers.UDP:
		ip.Protocol = layers.IPProtocolUDP
		must(t, l.SetNetworkLayerForChecksum(ip))
	case *layers.ICMPv4:
		ip.Protocol = layers.IPProtocolICMPv4
	}
	buf := gopacket.NewSerializeBuffer()
	must(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, l4, payload))
	return bytes.Clone(buf.Bytes())
}

func segment(seq uint32) *layers.TCP {
	return &layers.TCP{SrcPort: 999, DstPort: 443, Seq: seq, ACK: true, Window: 64000}
}

// largeTCP describes a TCP packet without options that is to be sent in segments of so many bytes of data.
func largeTCP(size int) offload {
	return offload{flags: unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, gso: unix.VIRTIO_NET_HDR_GSO_TCPV4, headers: 40, size: uint16(size), csumStart: 20, csumField: 16}
}

// frame is a packet with its headroom.
func frame(p []byte) []byte { return append(make([]byte, netdev.Headroom), p...) }

func write(t testing.TB, dev netdev.Device, packets ...[]byte) {
	t.Helper()
	var frames [][]byte
	for _, p := range packets {
		frames = append(frames, frame(p))
	}
	if n, err := dev.Write(frames); err != nil || n != len(packets) {
		t.Fatalf("%d of %d packets taken: %v", n, len(packets), err)
	}
}

// read returns copies of the packets of one Read.
func read(t testing.TB, dev netdev.Device, pool *netdev.Pool) [][]byte {
	t.Helper()
	waiting := waiter(dev.WaitReadable)
	waiting.ends(t, nil)
	batch := pool.Get()
	defer pool.Put(batch)
	n, err := dev.Read(batch.Bufs, batch.Sizes)
	must(t, err)
	var packets [][]byte
	for i := range n {
		packets = append(packets, bytes.Clone(batch.Packet(i)))
	}
	return packets
}

// reads checks that the device still reads after it has lost something.
func reads(t *testing.T, k *kernel, pool *netdev.Pool) {
	t.Helper()
	p := ip4(t, ours4, theirs4, segment(5), gopacket.Payload("still here"))
	must(t, k.send(offload{}, p))
	if got := read(t, k.dev, pool); len(got) != 1 || !bytes.Equal(got[0], p) {
		t.Errorf("the next packet: % x, want % x", got, p)
	}
}

// checked verifies the packet's checksums and returns its TCP header.
func checked(t *testing.T, b []byte) *layers.TCP {
	t.Helper()
	checkSum(t, b)
	tcp, ok := gopacket.NewPacket(b, layers.LayerTypeIPv4, gopacket.Default).Layer(layers.LayerTypeTCP).(*layers.TCP)
	if !ok {
		t.Fatalf("no TCP: % x", b)
	}
	return tcp
}

// checkSum verifies the lengths and checksums of a TCP or UDP packet without options (RFC 1071).
func checkSum(t *testing.T, b []byte) {
	t.Helper()
	sum := func(parts ...[]byte) uint16 {
		var s uint32
		for _, p := range parts {
			for i, c := range p {
				s += uint32(c) << (8 * (1 - i%2))
				s = s>>16 + s&0xffff
			}
		}
		return uint16(s)
	}
	headers, addrs, proto := 20, b[12:20], b[9]
	good := int(binary.BigEndian.Uint16(b[2:])) == len(b) && sum(b[:20]) == 0xffff
	if b[0]>>4 == 6 {
		headers, addrs, proto = 40, b[8:40], b[6]
		good = int(binary.BigEndian.Uint16(b[4:])) == len(b)-40
	}
	pseudo := binary.BigEndian.AppendUint16([]byte{0, proto}, uint16(len(b)-headers))
	if !good || sum(addrs, pseudo, b[headers:]) != 0xffff {
		t.Errorf("a length or checksum is wrong: % x", b[:min(60, len(b))])
	}
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 / 3)
	}
	return b
}

func slicesOf(size, n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = size
	}
	return s
}

// waiter runs f, which blocks.
func waiter(f func() error) *waiting {
	w := &waiting{started: make(chan struct{}), done: make(chan error, 1)}
	go func() {
		close(w.started)
		w.done <- f()
	}()
	return w
}

type waiting struct {
	started chan struct{}
	done    chan error
}

// begun waits until f runs, and checks that it stays blocked for a moment.
func (w *waiting) begun(t testing.TB) {
	t.Helper()
	<-w.started
	select {
	case err := <-w.done:
		t.Fatalf("did not block: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
}

// ends checks that f returns want before long.
func (w *waiting) ends(t testing.TB, want error) {
	t.Helper()
	select {
	case err := <-w.done:
		if !errors.Is(err, want) {
			t.Fatalf("%v, want %v", err, want)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("still blocked")
	}
}
