package baseline

import (
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
)

// wireGuardMTU is that of a peering connection between regions, in bytes (EC2 user guide, network MTU).
const wireGuardMTU = 8500

// NewWireGuard joins client and server by two wireguard-go devices back to back, whose UDP passes the loopback of a third namespace: the
// most that an encrypted link between two VPCs can reach.
//
//	client wg0 ── wireguard-go ── UDP ── wireguard-go ── wg0 server
func NewWireGuard() (*Bed, error) {
	b := &Bed{name: "wireguard", about: "two bare wireguard-go devices back to back, MTU 8500", addr: pairedServerEnd.Addr()}
	return b.built(func() (err error) {
		for _, ns := range []**namespace{&b.client, &b.server, &b.router} {
			if *ns, err = newNamespace(false); err != nil {
				return err
			}
		}
		lo, err := b.router.links.LinkByName("lo")
		if err != nil {
			return err
		}
		if err := b.router.links.LinkSetUp(lo); err != nil {
			return err
		}
		return b.tunnel(end{b.client, "wg0", clientEnd}, end{b.server, "wg0", pairedServerEnd})
	})
}

// tunnel joins two ends by WireGuard devices that are each other's only peer.
func (b *Bed) tunnel(ends ...end) error {
	keys := make([]*ecdh.PrivateKey, len(ends))
	ports := make([]uint16, len(ends))
	for i, e := range ends {
		var err error
		if keys[i], err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
			return err
		}
		d, socket, err := e.newWireGuard(b.router)
		if err != nil {
			return fmt.Errorf("add wireguard device: %w", err)
		}
		b.devices = append(b.devices, d)
		if err := errors.Join(d.IpcSet(fmt.Sprintf("private_key=%x\n", keys[i].Bytes())), d.Up()); err != nil {
			return err
		}
		ports[i] = socket.port
	}
	for i, d := range b.devices {
		peer := 1 - i
		if err := d.IpcSet(fmt.Sprintf("public_key=%x\nallowed_ip=0.0.0.0/0\nendpoint=127.0.0.1:%d\n", keys[peer].PublicKey().Bytes(), ports[peer])); err != nil {
			return err
		}
	}
	for _, e := range ends {
		if err := e.bringUp(); err != nil {
			return fmt.Errorf("bring up %s: %w", e.device, err)
		}
	}
	return nil
}

// newWireGuard makes the end's TUN device and a WireGuard device behind it, with sockets in another namespace.
func (e end) newWireGuard(underlay *namespace) (*device.Device, *socket, error) {
	var fd int
	err := e.ns.do(func() (err error) {
		fd, err = openTUN(e.device)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	t, _, err := tun.CreateUnmonitoredTUNFromFD(fd)
	if err != nil {
		return nil, nil, errors.Join(err, unix.Close(fd))
	}
	link, err := e.ns.links.LinkByName(e.device)
	if err == nil {
		err = e.ns.links.LinkSetMTU(link, wireGuardMTU)
	}
	if err != nil {
		return nil, nil, errors.Join(err, t.Close())
	}
	s := &socket{Bind: conn.NewStdNetBind(), in: underlay}
	return device.NewDevice(t, s, device.NewLogger(device.LogLevelSilent, "")), s, nil
}

// socket opens WireGuard's sockets in a namespace and tells their port.
type socket struct {
	conn.Bind
	in   *namespace
	port uint16
}

// Open implements conn.Bind.
func (s *socket) Open(port uint16) (receive []conn.ReceiveFunc, actual uint16, err error) {
	err = s.in.do(func() (err error) {
		receive, actual, err = s.Bind.Open(port)
		return err
	})
	s.port = actual
	return receive, actual, err
}

// openTUN makes a TUN device, with segmentation offload, in the calling thread's namespace.
func openTUN(name string) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return -1, errors.Join(fmt.Errorf("add TUN %s: %w", name, err), unix.Close(fd))
	}
	return fd, nil
}
