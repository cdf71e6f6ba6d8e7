package fastpath

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// Attachment is what the programs know of an attachment.
type Attachment struct {
	Index     uint32  // from 1: as the owner of an address, 0 is the router
	Veth, TUN int     // interface indices in the fabric's namespace
	GuestMAC  [6]byte // of the NIC at the other end of the veth; all that it sends comes from there
	RouterMAC [6]byte // of whom the guest meets in its subnet
	Scope     uint32  // of its neighbours
}

func (a Attachment) encode() fabricAttachment {
	return fabricAttachment{
		Index: a.Index, Tun: uint32(a.TUN), Veth: uint32(a.Veth), Scope: a.Scope,
		GuestMac: a.GuestMAC, RouterMac: a.RouterMAC,
	}
}

func (c Config) checkAttachment(a Attachment) error {
	switch {
	case a.Index == 0:
		return errors.New("index 0 is the router's")
	case int64(a.Index) >= int64(c.MaxAttachments):
		return fmt.Errorf("the fast path was loaded for indices below %d", c.MaxAttachments)
	case a.Veth <= 0 || a.TUN <= 0:
		return fmt.Errorf("interfaces %d and %d: an index is above 0", a.Veth, a.TUN)
	}
	return nil
}

// attached is an attachment whose devices run the programs.
type attached struct {
	Attachment
	maps  *fabricMaps
	links []link.Link
}

// Attach starts the programs on both devices of an attachment. Interface indices are those of the calling thread's network
// namespace, which must be the fabric's.
func (f *FastPath) Attach(a Attachment) error {
	if err := f.config.checkAttachment(a); err != nil {
		return fmt.Errorf("attach %d: %w", a.Index, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return fmt.Errorf("attach %d: the fast path is closed", a.Index)
	}
	if f.attached[a.Index] != nil {
		return fmt.Errorf("attach %d: it is attached already", a.Index)
	}
	made, err := f.attach(a)
	if err != nil {
		return fmt.Errorf("attach %d: %w", a.Index, err)
	}
	f.attached[a.Index] = made
	return nil
}

// attach leaves nothing behind if it fails. The programs find their attachment from the first packet on.
func (f *FastPath) attach(a Attachment) (*attached, error) {
	made := &attached{Attachment: a, maps: &f.objects.fabricMaps}
	if err := made.enter(); err != nil {
		return nil, errors.Join(err, made.close())
	}
	for _, door := range []struct {
		name    string
		device  int
		program *ebpf.Program
	}{
		{"TUN", a.TUN, f.objects.ToEni},
		{"veth", a.Veth, f.objects.FromEni},
	} {
		l, err := link.AttachTCX(link.TCXOptions{Interface: door.device, Program: door.program, Attach: ebpf.AttachTCXIngress})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s, interface %d: %w", door.name, door.device, explain(err)), made.close())
		}
		made.links = append(made.links, l)
	}
	return made, nil
}

// enter puts the attachment where the programs look it up.
func (a *attached) enter() error {
	value := a.encode()
	for _, device := range []int{a.Veth, a.TUN} {
		var have fabricAttachment
		if err := a.maps.Attachments.Lookup(place(device), &have); err != nil {
			return fmt.Errorf("interface %d: %w", device, err)
		}
		if err := taken(have, device); err != nil {
			return err
		}
		if err := a.maps.Attachments.Put(place(device), &value); err != nil {
			return fmt.Errorf("interface %d: %w", device, err)
		}
	}
	return nil
}

// place is where the programs look for the attachment of a device.
func place(device int) uint32 { return uint32(device) % devices }

// taken says to whom a device's place belongs already.
func taken(by fabricAttachment, device int) error {
	switch {
	case by.Index == 0:
		return nil
	case by.Veth == uint32(device) || by.Tun == uint32(device):
		return fmt.Errorf("interface %d belongs to another attachment", device)
	}
	return fmt.Errorf("interface %d: its place is taken by attachment %d, as their interfaces' indices differ by a multiple of %d: "+
		"detach that one, or make the interface again", device, by.Index, devices)
}

// close ends the programs on the devices, then takes the attachment out of the map. The kernel waits for packets that are still
// in them.
func (a *attached) close() error {
	var failures []error
	for _, l := range a.links {
		failures = append(failures, l.Close())
	}
	for _, device := range []int{a.Veth, a.TUN} {
		var have fabricAttachment
		if a.maps.Attachments.Lookup(place(device), &have) != nil || have.Index != a.Index {
			continue // gone, or another's
		}
		if err := a.maps.Attachments.Put(place(device), &fabricAttachment{}); err != nil {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// Detach ends what Attach began. The devices may be gone already; an attachment that is not attached is fine. Entries that
// deliver to it stay: their packets are lost until they are evicted or stale.
func (f *FastPath) Detach(index uint32) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.attached[index]
	if a == nil {
		return nil
	}
	delete(f.attached, index)
	if err := a.close(); err != nil {
		return fmt.Errorf("detach %d: %w", index, err)
	}
	return nil
}

func neighborKey(scope uint32, addr netip.Addr) fabricNeighborKey {
	return fabricNeighborKey{Scope: scope, Address: encodeAddress(addr.As16())}
}

// SetNeighbor lets the fabric answer, in a scope, who asks for addr: owner is the attachment that has it, or 0 for the router,
// which says so in neighbour advertisements. Nobody is told of an address of its own.
func (f *FastPath) SetNeighbor(scope uint32, addr netip.Addr, owner uint32) error {
	if !addr.IsValid() {
		return fmt.Errorf("set neighbor of scope %d: no address", scope)
	}
	if err := f.objects.Neighbors.Update(neighborKey(scope, addr), owner, ebpf.UpdateAny); err != nil {
		return fmt.Errorf("set neighbor %s of scope %d: %w", addr, scope, err)
	}
	return nil
}

// RemoveNeighbor ends the answers for addr. An address that has none is fine.
func (f *FastPath) RemoveNeighbor(scope uint32, addr netip.Addr) error {
	if !addr.IsValid() {
		return fmt.Errorf("remove neighbor of scope %d: no address", scope)
	}
	if err := f.objects.Neighbors.Delete(neighborKey(scope, addr)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("remove neighbor %s of scope %d: %w", addr, scope, err)
	}
	return nil
}
