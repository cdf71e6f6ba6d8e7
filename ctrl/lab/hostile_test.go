package lab

import (
	"bytes"
	"fmt"
	"maps"
	"os/exec"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/lab/labtest"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// siege is what a guest may and may not do, whatever it does to its own namespace.
type siege struct {
	bed
	tap    *labtest.Tap // the guest's, who is web of the table's lab
	nearby *labtest.Tap
	app    *labtest.Tap
	index  uint32
}

func newSiege(t *testing.T, offload bool) *siege {
	s := &siege{bed: build(t, tableLab, offload)}
	for _, name := range []string{"web", "near", "app"} {
		s.silence(node("a", name))
	}
	s.tap, s.nearby, s.app = s.bed.tap(node("a", "web")), s.bed.tap(node("a", "near")), s.bed.tap(node("a", "app"))
	s.index = s.attachmentOf(node("a", "web")).Index
	return s
}

// send sends a frame and returns what it is counted as.
func (s *siege) send(frame []byte) fate {
	s.t.Helper()
	count := func() fate { return fateOf(s.fast.Memory(), s.engine.Stats(), s.index) }
	before := count()
	if err := s.tap.Send(frame); err != nil {
		s.t.Fatal(err)
	}
	until(s.t, "the packet is counted", func() bool { return count().total() > before.total() })
	return count().since(before)
}

// holds checks that the verdicts are what they were: twice, since the second packet may be the fast path's.
func (s *siege) holds(after string) {
	s.t.Helper()
	for _, row := range []struct {
		packet labtest.Packet
		want   string
		heard  *labtest.Tap
	}{
		{labtest.UDP(web, 1000, near, 53), delivered, s.nearby},
		{labtest.TCP(web, 1000, app, 8080, syn), delivered, s.app},
		{labtest.UDP(web, 1000, app, 22), flow.SGRulesMismatch.String(), nil},
		{labtest.UDP(web, 1000, db, 22), flow.ACLRestriction.String(), nil},
		{labtest.UDP(near, 1000, app, 8080), flow.SourceDestCheck.String(), nil},
		{labtest.UDP(web6, 1000, app6, 22), flow.SGRulesMismatch.String(), nil},
	} {
		for range 2 {
			b := row.packet.Bytes()
			if got, want := s.send(s.tap.Frame(b)), (fate{row.want: 1}); !maps.Equal(got, want) {
				s.t.Errorf("after %s: %x is counted as %v, want %v", after, b, got, want)
			}
			if row.heard == nil {
				continue
			}
			if frame, err := row.heard.Await(patience); frame == nil {
				s.t.Errorf("after %s: %x does not arrive: %v", after, b, err)
			}
		}
	}
	for _, tap := range []*labtest.Tap{s.nearby, s.app} {
		if frame, err := tap.Receive(); frame != nil || err != nil {
			s.t.Errorf("after %s: somebody hears %x (%v)", after, frame, err)
		}
	}
}

// setLink changes a property of the guest's eth0 by an ioctl.
func setLink(request uint, set func(*unix.Ifreq)) func() error {
	return func() error {
		req, err := unix.NewIfreq("eth0")
		if err != nil {
			return err
		}
		set(req)
		return ioctl(request, req)
	}
}

// Root inside a guest can ruin its own networking, and nothing else.
func TestGuestCannotSwitchEnforcementOff(t *testing.T) {
	both(t, func(t *testing.T, offload bool) {
		s := newSiege(t, offload)
		s.holds("nothing")
		guest := node("a", "web")
		for _, act := range []struct {
			name string
			do   func() error
		}{
			{"promiscuous mode", setLink(unix.SIOCSIFFLAGS, func(r *unix.Ifreq) { r.SetUint16(unix.IFF_UP | unix.IFF_PROMISC) })},
			{"taking a neighbour's address", func() error { return setAddress("eth0", [4]byte{10, 0, 0, 11}) }},
			{"taking the router's address", func() error { return setAddress("eth0:1", [4]byte{10, 0, 0, 1}) }},
			{"an MTU of 65535", setLink(unix.SIOCSIFMTU, func(r *unix.Ifreq) { r.SetUint32(65535) })},
			{"an MTU of 68", setLink(unix.SIOCSIFMTU, func(r *unix.Ifreq) { r.SetUint32(68) })},
			{"the MTU as it was", setLink(unix.SIOCSIFMTU, func(r *unix.Ifreq) { r.SetUint32(9001) })},
			{"down and up", func() error {
				if err := setLink(unix.SIOCSIFFLAGS, func(r *unix.Ifreq) { r.SetUint16(0) })(); err != nil {
					return err
				}
				return setLink(unix.SIOCSIFFLAGS, func(r *unix.Ifreq) { r.SetUint16(unix.IFF_UP) })()
			}},
		} {
			s.do(guest, act.do)
			s.holds(act.name)
		}
		for _, command := range []string{
			"tc qdisc add dev eth0 clsact",
			"tc filter add dev eth0 egress matchall action pass",
			"tc qdisc del dev eth0 clsact",
			"nft flush ruleset",
			"ip rule flush",
			"ip route flush table all",
			"ip -6 route flush table all",
			"ip neigh flush all",
		} {
			argv := strings.Fields(command)
			program, err := exec.LookPath(argv[0])
			if err != nil {
				t.Logf("this machine has no %s", argv[0])
				continue
			}
			// It may well fail: then the guest has not even harmed itself.
			var output []byte
			var failure error
			s.do(guest, func() error {
				output, failure = exec.Command(program, argv[1:]...).CombinedOutput()
				return nil
			})
			s.holds(fmt.Sprintf("%s (%v: %s)", command, failure, output))
		}
		s.changesMAC()
		s.spoofsNeighbours()
	})
}

// changesMAC gives the guest another MAC address: frames with it are refused, and those with the old one are what they were.
func (s *siege) changesMAC() {
	s.t.Helper()
	own := s.tap.MAC
	mac := [6]byte{2, 1, 2, 3, 4, 5}
	s.do(node("a", "web"), func() error { return setMAC("eth0", mac) })
	s.holds("another MAC address")
	s.tap.MAC = mac
	got := s.send(s.tap.Frame(labtest.UDP(web, 1000, near, 53).Bytes()))
	s.tap.MAC = own
	if want := (fate{flow.SourceMACMismatch.String(): 1}); !maps.Equal(got, want) {
		s.t.Errorf("a frame from another MAC address is counted as %v", got)
	}
	s.do(node("a", "web"), func() error { return setMAC("eth0", own) })
}

// setMAC is SIOCSIFHWADDR, for which unix.Ifreq has no setter.
func setMAC(device string, mac [6]byte) error {
	req := struct {
		name   [unix.IFNAMSIZ]byte
		family uint16
		mac    [6]byte
		_      [16]byte
	}{family: unix.ARPHRD_ETHER, mac: mac}
	copy(req.name[:], device)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFHWADDR, uintptr(unsafe.Pointer(&req))); errno != 0 {
		return errno
	}
	return nil
}

// spoofsNeighbours has the guest claim to be somebody else by ARP, neighbour discovery, router advertisements and redirects.
// Nobody hears of it.
func (s *siege) spoofsNeighbours() {
	s.t.Helper()
	everybody := [6]byte{0x33, 0x33, 0, 0, 0, 1}
	advertisement := func(src, dst string) []byte { return labtest.ICMP(src, dst, 134, 0, 0).TTL(255).Size(56).Bytes() }
	announcement := arp(near)(s.tap.Frame(nil))
	announcement[21] = 2 // a reply that nobody asked for
	for _, spoof := range []struct {
		name  string
		frame []byte
		want  string
	}{
		{"an ARP announcement", announcement, control},
		{"a neighbour advertisement", s.tap.Frame(labtest.ICMP(near6, web6, 136, 0, 0).TTL(255).Bytes()), control},
		{"a router advertisement to all", withDestination(everybody, s.tap.Frame(advertisement("fe80::1", "ff02::1"))), flow.Multicast.String()},
		{"a router advertisement to one", s.tap.Frame(advertisement("fe80::1", near6)), flow.SourceDestCheck.String()},
		{"a router advertisement to one's link-local address", s.tap.Frame(advertisement("fe80::1", "fe80::2")), flow.ServiceUnavailable.String()},
		{"a redirect", s.tap.Frame(labtest.ICMP("fe80::1", near6, 137, 0, 0).TTL(255).Size(80).Bytes()), flow.SourceDestCheck.String()},
		{"an ICMP redirect in the router's name", s.tap.Frame(labtest.Unreachable("10.0.0.1", near, labtest.UDP(near, 1, host, 2)).Bytes()),
			flow.SourceDestCheck.String()},
	} {
		if got, want := s.send(spoof.frame), (fate{spoof.want: 1}); !maps.Equal(got, want) {
			s.t.Errorf("%s is counted as %v, want %v", spoof.name, got, want)
		}
		if frame, err := s.nearby.Receive(); frame != nil || err != nil {
			s.t.Errorf("%s: near hears %x (%v)", spoof.name, frame, err)
		}
	}
	s.holds("spoofing")
}

func withDestination(mac [6]byte, frame []byte) []byte {
	copy(frame, mac[:])
	return frame
}

// A guest or a host that raises its own MTU sends packets that are dropped by name, each once and with all its bytes; what may be cut
// crosses the internet gateway in pieces.
func TestJumboFrames(t *testing.T) {
	both(t, func(t *testing.T, offload bool) {
		b := build(t, tableLab, offload)
		for _, from := range []struct {
			name    string
			packet  labtest.Packet
			largest int
		}{
			{"web", labtest.UDP(web, 1000, near, 53), 9001},
			{"web", labtest.UDP(web6, 1000, near6, 53), 9001},
			{"example", labtest.UDP(host, 1000, webPublic, 80).Fragment(labtest.DontFragment), 1500},
			{"example", labtest.UDP(host6, 1000, web6, 80), 1500},
		} {
			n := node("a", from.name)
			if from.name == "example" {
				n = node("", from.name)
			}
			b.silence(n)
			b.do(n, setLink(unix.SIOCSIFMTU, func(r *unix.Ifreq) { r.SetUint32(65535) }))
			tap, index := b.tap(n), b.attachmentOf(n).Index
			for _, size := range []int{from.largest + 1, 20000, 65535} {
				for range 2 {
					counter := b.fast.Memory().Drop(index, flow.MTUExceeded)
					before, all := counter.Read(), fateOf(b.fast.Memory(), b.engine.Stats(), index)
					if err := tap.Send(tap.Frame(from.packet.Size(size).Bytes())); err != nil {
						t.Fatal(err)
					}
					if !eventually(func() bool { return counter.Read().Packets > before.Packets }) {
						t.Fatalf("%d bytes from %s are counted as %v", size, from.name, fateOf(b.fast.Memory(), b.engine.Stats(), index).since(all))
					}
					want := fate{flow.MTUExceeded.String(): 1}
					if got := fateOf(b.fast.Memory(), b.engine.Stats(), index).since(all); !maps.Equal(got, want) {
						t.Errorf("%d bytes from %s are counted as %v", size, from.name, got)
					}
					if got := counter.Read().Bytes - before.Bytes; got != uint64(size) {
						t.Errorf("%d bytes from %s are counted as %d bytes", size, from.name, got)
					}
				}
			}
		}
		b.silence(node("a", "two"))
		tap, receiver, index := b.tap(node("", "example")), b.tap(node("a", "two")), b.attachmentOf(node("", "example")).Index
		whole, cut := labtest.UDP(host, 1000, twoPublic, 53).Size(1501), labtest.UDP(host, 1000, two, 53).Size(1501)
		for range 2 {
			before := fateOf(b.fast.Memory(), b.engine.Stats(), index)
			if err := tap.Send(tap.Frame(whole.Bytes())); err != nil {
				t.Fatal(err)
			}
			for _, piece := range []labtest.Packet{cut.Piece(0, 1480), cut.Piece(1480, 0)} {
				frame, err := receiver.Await(patience)
				if want := handover(receiver, piece); err != nil || !bytes.Equal(frame, want) {
					t.Errorf("1501 bytes that may be cut arrive as\n%x, want\n%x (%v)", frame, want, err)
				}
			}
			if got, want := fateOf(b.fast.Memory(), b.engine.Stats(), index).since(before), (fate{delivered: 1}); !maps.Equal(got, want) {
				t.Errorf("1501 bytes that may be cut are counted as %v", got)
			}
		}
	})
}
