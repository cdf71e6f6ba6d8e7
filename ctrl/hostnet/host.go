package hostnet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Host is one lab's part of the machine. All methods may be called concurrently; Apply calls come one after another.
//
// What Host has made is removed by Close, or, after a crash, by Down or the next Open of the same lab.
type Host struct {
	lab   string
	store store
	ipv6  bool // the kernel speaks it

	ctx    context.Context // ends when Close begins, so that an Apply in progress gives up
	cancel context.CancelFunc

	applying sync.Mutex // held by Apply and Close

	mu       sync.RWMutex
	closed   bool
	fabric   *os.File
	guests   map[string]*guest
	attached map[uint32]*attached
	retired  map[uint32]bool // indices of attachments that are gone
	next     uint32
	changes  Changes
	notes    []string
}

// guest is a namespace that is there.
type guest struct {
	Guest // as it was last applied in full; nothing but Namespace before that
	ns    *os.File
}

// attached is an attachment that is there, or as much of it as could be made.
type attached struct {
	Attachment // as it was last applied in full; nothing but Index, Namespace and Device before that
	whole      bool
	ports      Ports
}

// Changes counts what an Apply changed in the kernel.
type Changes struct {
	Namespaces int // made or named again
	Links      int // veth pairs and TUNs made, and properties of those in the fabric set
	Guests     int // addresses, routes, rules and properties of guests' interfaces
	Sysctls    int
	Files      int // resolver files written or removed
	Removed    int // links and namespaces
}

// Total is the sum.
func (c Changes) Total() int {
	return c.Namespaces + c.Links + c.Guests + c.Sysctls + c.Files + c.Removed
}

var errClosed = errors.New("lab is closed")

// Open takes the lab's name for this process: an *InUseError says which living process has it. What a dead process left of the lab is
// removed first.
func Open(lab string) (*Host, error) {
	h, err := open(lab, machine())
	var inUse *InUseError
	if errors.As(err, &inUse) {
		return nil, err // which names the lab
	}
	if err != nil {
		return nil, fmt.Errorf("open lab %s: %w", lab, err)
	}
	return h, nil
}

func open(lab string, s store) (*Host, error) {
	if err := checkLabName(lab); err != nil {
		return nil, err
	}
	// Known before anything is made: removing it takes files, too.
	if err := raiseFileLimit(FilesFor(0)); err != nil {
		return nil, err
	}
	dying, err := s.claim(lab)
	if err != nil {
		return nil, err
	}
	cleaned := s.expedited(lab, rcuExpedited, func() error { return clean(lab, dying) })
	if err := errors.Join(cleaned, s.reset(lab)); err != nil {
		return nil, errors.Join(err, s.release(lab))
	}
	h := &Host{
		lab: lab, store: s, ipv6: systemHasIPv6(),
		guests: map[string]*guest{}, attached: map[uint32]*attached{}, retired: map[uint32]bool{},
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	if err := h.openFabric(); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

func (h *Host) openFabric() error {
	if err := h.store.write(h.lab, "manifest.json", manifestOf(Desired{Lab: h.lab})); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	if err := h.store.locked(shareNamespaceDir); err != nil {
		return err
	}
	ns, err := createNamespace(FabricNamespace(h.lab))
	if err != nil {
		return fmt.Errorf("namespace %s: %w", FabricNamespace(h.lab), err)
	}
	h.fabric = ns
	return InNamespace(ns, func() error {
		_, err := setSysctls(fabricSysctls(h.ipv6))
		return err
	})
}

// Ports returns the two doors of an attachment. The descriptor belongs to Host, which closes it when the attachment goes, unless
// TakeTUN has handed it over.
func (h *Host) Ports(index uint32) (Ports, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	a, ok := h.attached[index]
	if !ok || !a.whole {
		return Ports{}, false
	}
	return a.ports, true
}

// TakeTUN hands over the TUN descriptor of an attachment: the caller closes it. It can be taken once.
//
// When the attachment is removed, by Apply or by Close, its device goes first: every read or write of the descriptor then fails
// with EBADFD and a poll of it returns at once, which is the reader's sign to end and to close it. The reader may as well be ended
// and closed before; either order is safe.
func (h *Host) TakeTUN(index uint32) (fd int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a, ok := h.attached[index]
	switch {
	case !ok || !a.whole:
		return -1, fmt.Errorf("take TUN of attachment %d: there is no such attachment", index)
	case a.ports.FD < 0:
		return -1, fmt.Errorf("take TUN of attachment %d: it was taken before", index)
	}
	fd, a.ports.FD = a.ports.FD, -1
	return fd, nil
}

// NextIndex is the smallest attachment index that the lab has never used. It is kept in the lab's folder.
func (h *Host) NextIndex() uint32 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.next
}

// Changes tells what the last Apply changed; all zero means that the machine was as wanted.
func (h *Host) Changes() Changes {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.changes
}

// Notes tell what the last Apply could not do though the lab works, a sentence each.
func (h *Host) Notes() []string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Clone(h.notes)
}

// Dir is the lab's folder for state, on a file system in memory. What is put there goes with the lab.
func (h *Host) Dir() string { return h.store.dir(h.lab) }

// InFabric runs f on a thread inside the namespace of the fabric, as InNamespace does.
func (h *Host) InFabric(f func() error) error {
	h.mu.RLock()
	fabric, closed := h.fabric, h.closed
	h.mu.RUnlock()
	if closed {
		return errClosed
	}
	return InNamespace(fabric, f)
}

// InGuest runs f on a thread inside a guest's namespace, as InNamespace does.
func (h *Host) InGuest(namespace string, f func() error) error {
	h.mu.RLock()
	g, ok := h.guests[namespace]
	closed := h.closed
	h.mu.RUnlock()
	switch {
	case closed:
		return errClosed
	case !ok:
		return fmt.Errorf("namespace %s: the lab has no such guest", namespace)
	}
	return InNamespace(g.ns, f)
}

// Traffic is what the kernel counted at an attachment since it was made.
type Traffic struct {
	Sent    uint64 // frames that the guest sent, at eN; one that is to be segmented counts once
	Dropped uint64 // packets that tN's queue refused, because the engine did not read them in time
}

// Traffic reads each attachment's counts.
func (h *Host) Traffic() (map[uint32]Traffic, error) {
	all := map[uint32]Traffic{}
	err := h.inFabric(func(nh *netlink.Handle) error {
		links, err := observeFabric(nh, aliasOf(h.lab))
		if err != nil {
			return err
		}
		statistics := func(name string) netlink.LinkStatistics {
			if l, ok := links[name]; ok && l.Attrs().Statistics != nil {
				return *l.Attrs().Statistics
			}
			return netlink.LinkStatistics{}
		}
		h.mu.RLock()
		defer h.mu.RUnlock()
		for index := range h.attached {
			all[index] = Traffic{Sent: statistics(vethName(index)).RxPackets, Dropped: statistics(tunName(index)).TxDropped}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read traffic: %w", err)
	}
	return all, nil
}

func (h *Host) inFabric(f func(*netlink.Handle) error) error {
	h.mu.RLock()
	fabric, closed := h.fabric, h.closed
	h.mu.RUnlock()
	if closed {
		return errClosed
	}
	return withHandle(fabric, f)
}

// Close removes everything of the lab: processes in its namespaces, links, descriptors that nobody took, names and state. It may be
// called at any moment, also during an Apply, which then ends with an error, and more than once.
func (h *Host) Close() error {
	h.cancel()
	h.applying.Lock()
	defer h.applying.Unlock()
	h.mu.Lock()
	done := h.closed
	h.closed = true
	h.mu.Unlock()
	if done {
		return nil
	}
	// Links before descriptors: closing a TUN that still has its device costs 17 ms each.
	err := h.Expedited(func() error { return clean(h.lab, nil) })
	h.closeFiles()
	if err = errors.Join(err, h.store.release(h.lab)); err != nil {
		return fmt.Errorf("close lab %s: %w", h.lab, err)
	}
	return nil
}

func (h *Host) closeFiles() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.attached {
		a.closeTUN()
	}
	for _, g := range h.guests {
		g.ns.Close()
	}
	if h.fabric != nil {
		h.fabric.Close()
	}
	h.attached, h.guests = nil, nil
}

// closeTUN closes the descriptor if it is still ours.
func (a *attached) closeTUN() {
	if a.ports.FD >= 0 {
		unix.Close(a.ports.FD)
		a.ports.FD = -1
	}
}
