package hostnet

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Apply makes the machine match want: it observes what is there, makes and corrects what is missing or different, several guests at a
// time, verifies each link that it touched, and last removes what is not wanted any more. A second Apply of the same state changes
// nothing. Errors of different guests are joined; what could be made stays, and the next Apply goes on from there.
//
// An attachment keeps its namespace and its device, and an index is never used again for another attachment. What a guest adds to its
// own namespace is left alone; what it removes or changes of ours is put right.
func (h *Host) Apply(ctx context.Context, want Desired) error {
	h.applying.Lock()
	defer h.applying.Unlock()
	h.mu.RLock()
	closed := h.closed
	h.mu.RUnlock()
	if closed {
		return fmt.Errorf("apply: %w", errClosed)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.ctx, cancel)()

	r := run{Host: h, want: want, alias: aliasOf(h.lab)}
	err := r.apply(ctx)
	h.mu.Lock()
	h.changes, h.notes = r.counts(), r.notes
	h.mu.Unlock()
	if err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	return nil
}

// run is one Apply.
type run struct {
	*Host
	want  Desired
	alias string
	links map[string]netlink.Link // of the fabric, as observed at the start

	namespaces, devices, guestware, sysctls, files, removed atomic.Int64
	notes                                                   []string
}

func (r *run) counts() Changes {
	return Changes{
		Namespaces: int(r.namespaces.Load()), Links: int(r.devices.Load()), Guests: int(r.guestware.Load()),
		Sysctls: int(r.sysctls.Load()), Files: int(r.files.Load()), Removed: int(r.removed.Load()),
	}
}

func (r *run) apply(ctx context.Context) error {
	if err := errors.Join(r.want.check(r.lab, r.ipv6), r.checkIndices()); err != nil {
		return err
	}
	if err := raiseFileLimit(FilesFor(len(r.want.Attachments))); err != nil {
		return err
	}
	if err := r.record(); err != nil {
		return err
	}
	err := r.inFabric(func(nh *netlink.Handle) (err error) {
		r.links, err = observeFabric(nh, r.alias)
		return err
	})
	if err != nil {
		return err
	}
	// Add before remove, but for what stands in the way of something new: a device of the same name in the same namespace.
	blocking, rest := r.obsoleteAttachments()
	if err := r.removeAttachments(blocking); err != nil {
		return err
	}
	// Before the guests, so that whoever enters a new one finds its resolver. Without, they work but for names: they are built all the same.
	if err := errors.Join(r.applyResolvers(), r.applyGuests(ctx)); err != nil {
		return err
	}
	if err := r.removeAttachments(rest); err != nil {
		return err
	}
	if err := errors.Join(r.removeGuests(), r.pruneResolvers()); err != nil {
		return err
	}
	return r.store.write(r.lab, "manifest.json", manifestOf(r.want))
}

// checkIndices refuses an attachment that is another one under an old index.
func (r *run) checkIndices() error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var errs []error
	for _, a := range r.want.Attachments {
		have, ok := r.attached[a.Index]
		switch {
		case r.retired[a.Index]:
			errs = append(errs, a.error(errors.New("its index belonged to an attachment that is gone; use a new one")))
		case ok && (have.Namespace != a.Namespace || have.Device != a.Device):
			errs = append(errs, a.error(fmt.Errorf("its index belongs to %s %s; use a new one", have.Namespace, have.Device)))
		}
	}
	return errors.Join(errs...)
}

// record writes what will be made before it is made.
func (r *run) record() error {
	all := r.want
	r.mu.Lock()
	for _, a := range r.want.Attachments {
		r.next = max(r.next, a.Index+1)
	}
	next := r.next
	for _, a := range r.attached {
		if !slices.ContainsFunc(r.want.Attachments, func(w Attachment) bool { return w.Index == a.Index }) {
			all.Attachments = append(slices.Clip(all.Attachments), a.Attachment)
		}
	}
	for name, g := range r.guests {
		if !slices.ContainsFunc(r.want.Guests, func(w Guest) bool { return w.Namespace == name }) {
			all.Guests = append(slices.Clip(all.Guests), g.Guest)
		}
	}
	r.mu.Unlock()
	if err := r.store.write(r.lab, "index", next); err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	if err := r.store.write(r.lab, "manifest.json", manifestOf(all)); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return nil
}

// obsoleteAttachments lists the attachments that are not wanted: those whose device a wanted one is to have, and the others.
func (r *run) obsoleteAttachments() (blocking, rest []uint32) {
	wanted := map[uint32]bool{}
	devices := map[[2]string]bool{}
	for _, a := range r.want.Attachments {
		wanted[a.Index] = true
		devices[[2]string{a.Namespace, a.Device}] = true
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for index, a := range r.attached {
		switch {
		case wanted[index]:
		case devices[[2]string{a.Namespace, a.Device}]:
			blocking = append(blocking, index)
		default:
			rest = append(rest, index)
		}
	}
	return blocking, rest
}

func (r *run) removeAttachments(indices []uint32) error {
	if len(indices) == 0 {
		return nil
	}
	err := r.inFabric(func(nh *netlink.Handle) error {
		n, err := removePorts(nh, r.links, indices)
		r.removed.Add(int64(n))
		return err
	})
	if err == nil {
		err = removeGroup(r.fabric, doomedGroup)
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, index := range indices {
		r.attached[index].closeTUN()
		delete(r.attached, index)
		r.retired[index] = true
	}
	return nil
}

func (r *run) removeGuests() error {
	r.mu.Lock()
	var gone []*guest
	for name, g := range r.guests {
		if !slices.ContainsFunc(r.want.Guests, func(w Guest) bool { return w.Namespace == name }) {
			gone = append(gone, g)
			delete(r.guests, name)
		}
	}
	r.mu.Unlock()
	spaces := map[identity]bool{}
	var errs []error
	for _, g := range gone {
		id, err := identityOfFile(g.ns)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		spaces[id] = true
	}
	errs = append(errs, killInside(spaces, patience))
	for _, g := range gone {
		errs = append(errs, removeNamespace(g.Namespace))
		g.ns.Close()
		r.removed.Add(1)
	}
	return errors.Join(errs...)
}

// workers bounds how many guests are built at once. The kernel makes links one at a time, so more bring nothing.
var workers = min(8, 2*runtime.NumCPU())

func (r *run) applyGuests(ctx context.Context) error {
	attachments := map[string][]Attachment{}
	for _, a := range r.want.Attachments {
		attachments[a.Namespace] = append(attachments[a.Namespace], a)
	}
	return eachGuest(ctx, r.want.Guests, func(g Guest) error { return r.applyGuest(g, attachments[g.Namespace]) })
}

// eachGuest calls f for every guest, some at a time, until the context ends, and joins the errors.
func eachGuest[G any](ctx context.Context, guests []G, f func(G) error) error {
	queue := make(chan G)
	errs := make([][]error, workers)
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			for g := range queue {
				if err := f(g); err != nil {
					errs[i] = append(errs[i], err)
				}
			}
		})
	}
	var ended error
	for _, g := range guests {
		if ended = ctx.Err(); ended != nil {
			break
		}
		queue <- g
	}
	close(queue)
	wg.Wait()
	return errors.Join(append(slices.Concat(errs...), ended)...)
}

func (r *run) applyGuest(g Guest, attachments []Attachment) error {
	ns, err := r.ensureGuest(g)
	if err != nil {
		return fmt.Errorf("guest %s: %w", g.Namespace, err)
	}
	err = InNamespace(ns.ns, func() error {
		n, err := setSysctls(guestSysctls(g, r.ipv6))
		r.sysctls.Add(int64(n))
		return err
	})
	if err != nil {
		return fmt.Errorf("guest %s: %w", g.Namespace, err)
	}
	err = r.inFabric(func(nh *netlink.Handle) error {
		for _, a := range attachments {
			if err := r.ensurePorts(nh, a, ns); err != nil {
				return a.error(err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return withHandle(ns.ns, func(nh *netlink.Handle) error {
		if err := r.ensureLoopback(nh, g, ns); err != nil {
			return fmt.Errorf("guest %s: %w", g.Namespace, err)
		}
		for _, a := range attachments {
			if err := r.ensureNIC(nh, a); err != nil {
				return a.error(err)
			}
		}
		return nil
	})
}

// ensureGuest makes the guest's namespace, or gives it its name back.
func (r *run) ensureGuest(g Guest) (*guest, error) {
	r.mu.RLock()
	have := r.guests[g.Namespace]
	r.mu.RUnlock()
	if have == nil {
		ns, err := createNamespace(g.Namespace)
		if err != nil {
			return nil, err
		}
		r.namespaces.Add(1)
		have = &guest{Guest{Namespace: g.Namespace}, ns}
		r.mu.Lock()
		r.guests[g.Namespace] = have
		r.mu.Unlock()
		return have, nil
	}
	mine, err := identityOfFile(have.ns)
	if err != nil {
		return nil, err
	}
	if named, err := identityOf(namespacePath(g.Namespace)); err != nil || named != mine {
		if err := nameNamespace(have.ns, g.Namespace); err != nil {
			return nil, err
		}
		r.namespaces.Add(1)
	}
	return have, nil
}

// ensurePorts makes or corrects eN, tN and the guest's bare NIC. What was made is remembered at once, so that a failure half way is
// gone on from.
func (r *run) ensurePorts(nh *netlink.Handle, a Attachment, g *guest) error {
	r.mu.Lock()
	have := r.attached[a.Index]
	if have == nil {
		have = &attached{Attachment: Attachment{Index: a.Index, Namespace: a.Namespace, Device: a.Device}, ports: Ports{FD: -1}}
		r.attached[a.Index] = have
	}
	ports := have.ports
	r.mu.Unlock()

	veth, n, err := ensureVeth(nh, r.links[vethName(a.Index)], a, r.alias, g.ns)
	r.devices.Add(int64(n))
	if err != nil {
		return err
	}
	ports.Veth = veth
	if known := r.links[tunName(a.Index)]; known != nil {
		n, err := setDevice(nh, known, tunDevice(a, r.alias))
		r.devices.Add(int64(n))
		if err == nil && n > 0 {
			_, err = verifyDevice(nh, tunName(a.Index), tunDevice(a, r.alias))
		}
		if err != nil {
			return err
		}
		ports.TUN = uint32(known.Attrs().Index)
	} else {
		tun, fd, err := createTUN(nh, a, r.alias)
		if err != nil {
			return err
		}
		r.devices.Add(1)
		r.mu.Lock()
		have.closeTUN() // of a device that somebody deleted
		have.ports.FD = fd
		r.mu.Unlock()
		ports.TUN = tun
	}
	r.mu.Lock()
	have.ports.Veth, have.ports.TUN = ports.Veth, ports.TUN
	r.mu.Unlock()
	return nil
}

func (r *run) ensureLoopback(nh *netlink.Handle, g Guest, have *guest) error {
	lo, err := nh.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	want := deviceOf(lo, device{TxQueueLen: 1, GSOMaxSegs: 1})
	want.Up = true
	n, err := setDevice(nh, lo, want)
	r.guestware.Add(int64(n))
	if err != nil {
		return err
	}
	n, err = applyLocal(nh, lo, g.Local, have.Local)
	r.guestware.Add(int64(n))
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		// As with addresses: both may be there now.
		have.Local = append(slices.Clip(have.Local), missing(g.Local, have.Local)...)
		return err
	}
	have.Guest = g
	have.Local = slices.Clone(g.Local)
	return nil
}

func (r *run) ensureNIC(nh *netlink.Handle, a Attachment) error {
	r.mu.RLock()
	before := r.attached[a.Index].Attachment
	r.mu.RUnlock()
	n, err := applyNIC(nh, a.Device, nicOf(a, ""), nicOf(before, ""))
	r.guestware.Add(int64(n))
	r.mu.Lock()
	defer r.mu.Unlock()
	have := r.attached[a.Index]
	if err != nil {
		// Both what was there and what was wanted may be there now; the next Apply must know both to remove what it does not want.
		have.Addrs = append(slices.Clip(have.Addrs), missing(a.Addrs, have.Addrs)...)
		return err
	}
	have.Attachment, have.whole = a, true
	have.Addrs = slices.Clone(a.Addrs)
	return nil
}

// FilesFor is how many descriptors a lab of that many attachments needs: the TUN, the namespace, the reader's and the eBPF program's,
// and some for everything else.
func FilesFor(attachments int) uint64 { return uint64(4*attachments + 64) }

// raiseFileLimit lifts the soft limit of open files to the hard one if that is needed.
func raiseFileLimit(need uint64) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read limit of open files: %w", err)
	}
	if err := checkFileLimit(need, limit.Max); err != nil || limit.Cur >= need {
		return err
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise limit of open files to %d: %w", limit.Max, err)
	}
	return nil
}

// FileLimitError says that this process may not open as many files as its lab needs.
type FileLimitError struct{ Need, Limit uint64 }

func (e *FileLimitError) Error() string {
	return fmt.Sprintf("this lab needs %d open files, and the limit is %d: raise it (ulimit -Hn %d, or LimitNOFILE= of the service)",
		e.Need, e.Limit, e.Need)
}

func checkFileLimit(need, hard uint64) error {
	if need <= hard {
		return nil
	}
	return &FileLimitError{need, hard}
}
