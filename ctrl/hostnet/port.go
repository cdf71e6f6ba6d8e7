package hostnet

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Ports are the two doors of an attachment in the fabric's namespace.
type Ports struct {
	Veth, TUN uint32 // interface indices of eN and tN
	// FD is the TUN's descriptor, non-blocking, made with IFF_TUN|IFF_NO_PI|IFF_VNET_HDR; -1 once it was taken.
	FD int
}

const (
	// tunQueueLen is in packets; the default of 500 drops bursts.
	tunQueueLen = 4096
	// vethMTU lets every packet of a guest through to the fabric: one that is too large is refused there, by name. The kernel would drop
	// it between the two ends of the veth, unseen.
	vethMTU = 65535
	// tunMaxSegs keeps a read within the 128 segments that wireguard's tun package splits into.
	tunMaxSegs = 64
)

func vethName(index uint32) string { return fmt.Sprintf("e%d", index) }

func tunName(index uint32) string { return fmt.Sprintf("t%d", index) }

// vethDevice is how eN should look. All of them share the router's address, as the guest's neighbour is always the router.
func vethDevice(alias string) device {
	return device{Up: true, MTU: vethMTU, MAC: RouterMAC, Alias: alias, Group: linkGroup}
}

func tunDevice(a Attachment, alias string) device {
	return device{Up: true, MTU: a.MTU, Alias: alias, Group: linkGroup, TxQueueLen: tunQueueLen, GSOMaxSegs: tunMaxSegs}
}

// ensureVeth makes eN and the guest's NIC, or corrects eN. The calling thread is in the fabric, as h is. known is eN as observed, nil
// if there is none.
func ensureVeth(h *netlink.Handle, known netlink.Link, a Attachment, alias string, guest *os.File) (
	index uint32, changes int, err error,
) {
	want, name := vethDevice(alias), vethName(a.Index)
	made := known == nil
	if made {
		if err := addVeth(h, a, want, guest); err != nil {
			return 0, 0, fmt.Errorf("add veth %s: %w", name, hint(err, "needs CAP_NET_ADMIN"))
		}
		changes = 1
		if known, err = h.LinkByName(name); err != nil {
			return 0, changes, fmt.Errorf("find %s: %w", name, err)
		}
	}
	n, err := setDevice(h, known, want) // of a new veth the alias, which the kernel ignores when it makes one
	if err != nil {
		return 0, changes, err
	}
	if !made {
		changes += n
	}
	if changes > 0 {
		_, err = verifyDevice(h, name, want)
	}
	return uint32(known.Attrs().Index), changes, err
}

func addVeth(h *netlink.Handle, a Attachment, want device, guest *os.File) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = vethName(a.Index), want.MTU, want.MAC[:]
	attrs.Group, attrs.Flags = want.Group, net.FlagUp
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerHardwareAddr, veth.PeerMTU = a.Device, a.MAC[:], uint32(a.MTU)
	veth.PeerNamespace = netlink.NsFd(int(guest.Fd()))
	err := h.LinkAdd(veth)
	runtime.KeepAlive(guest)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("%w (load the module: modprobe veth)", err)
	}
	return err
}

// createTUN makes tN in the namespace of the calling thread. The device lives as long as its descriptor.
func createTUN(h *netlink.Handle, a Attachment, alias string) (index uint32, fd int, err error) {
	name := tunName(a.Index)
	if fd, err = openTUN(name); err != nil {
		return 0, -1, fmt.Errorf("add TUN %s: %w", name, err)
	}
	index, err = setUpTUN(h, name, tunDevice(a, alias))
	if err != nil {
		unix.Close(fd)
		return 0, -1, err
	}
	return index, fd, nil
}

func setUpTUN(h *netlink.Handle, name string, want device) (index uint32, err error) {
	l, err := h.LinkByName(name)
	if err != nil {
		return 0, fmt.Errorf("find %s: %w", name, err)
	}
	if _, err := setDevice(h, l, want); err != nil {
		return 0, err
	}
	// No queueing discipline: what does not fit into the TUN's own queue is counted in its tx_dropped, and nothing is lost elsewhere.
	root := netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Parent: netlink.HANDLE_ROOT}
	if err := h.QdiscReplace(&netlink.GenericQdisc{QdiscAttrs: root, QdiscType: "noqueue"}); err != nil {
		return 0, fmt.Errorf("set queueing of %s: %w", name, err)
	}
	if l, err = verifyDevice(h, name, want); err != nil {
		return 0, err
	}
	return uint32(l.Attrs().Index), nil
}

func openTUN(name string) (fd int, err error) {
	const path = "/dev/net/tun"
	fd, err = unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO):
		return -1, fmt.Errorf("open %s: %w (load the module: modprobe tun; in a container: give it the device)", path, err)
	case err != nil:
		return -1, fmt.Errorf("open %s: %w", path, hint(err, "needs access to the device"))
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err == nil {
		// Only now: epoll does not work on a TUN before it has its device.
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return -1, hint(err, "needs CAP_NET_ADMIN")
	}
	return fd, nil
}

// removePorts deletes the eN and tN of the given attachments, as far as they are there, by one message.
func removePorts(h *netlink.Handle, links map[string]netlink.Link, indices []uint32) (removed int, err error) {
	var errs []error
	for _, index := range indices {
		for _, name := range []string{vethName(index), tunName(index)} {
			l, ok := links[name]
			if !ok {
				continue
			}
			err := h.LinkSetGroup(l, doomedGroup)
			if errors.Is(err, unix.ENODEV) {
				continue
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("remove %s: %w", name, err))
				continue
			}
			removed++
		}
	}
	return removed, errors.Join(errs...)
}

// observeFabric lists the links that carry the lab's stamp, by name.
func observeFabric(h *netlink.Handle, alias string) (map[string]netlink.Link, error) {
	list, err := h.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links of the fabric: %w", hint(err, "needs CAP_NET_ADMIN"))
	}
	links := map[string]netlink.Link{}
	for _, l := range list {
		a := l.Attrs()
		if a.Alias == alias || a.Group == linkGroup || a.Group == doomedGroup {
			links[a.Name] = l
		}
	}
	return links, nil
}
