package engine

import (
	"errors"
	"fmt"
	"sync"

	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/netdev"
)

// Switch moves packets between the devices of attachments and the engine.
type Switch struct {
	engine *Engine
	now    func() int64 // monotonic nanoseconds
	pool   *netdev.Pool
	failed func(attachment uint32, err error)

	mu      sync.RWMutex
	devices map[uint32]netdev.Device
	readers sync.WaitGroup
}

// Batches of largestMTU bytes, at most maxBatches of them at a time, bound the memory for packets in flight whatever the number of
// devices.
const (
	largestMTU = 9001
	maxBatches = 16
)

// NewSwitch makes a switch without devices. failed is told when a device breaks for another reason than being closed.
func NewSwitch(e *Engine, now func() int64, failed func(attachment uint32, err error)) *Switch {
	return &Switch{
		engine: e, now: now, pool: netdev.NewPool(largestMTU, maxBatches), failed: failed, devices: map[uint32]netdev.Device{},
	}
}

// Plug begins to read an attachment's device. The switch owns it from now on.
func (s *Switch) Plug(attachment uint32, d netdev.Device) {
	s.mu.Lock()
	s.devices[attachment] = d
	s.mu.Unlock()
	s.readers.Go(func() { s.runReader(attachment, d) })
}

// Unplug closes an attachment's device; one that is not there is fine.
func (s *Switch) Unplug(attachment uint32) error {
	s.mu.Lock()
	d := s.devices[attachment]
	delete(s.devices, attachment)
	s.mu.Unlock()
	if d == nil {
		return nil
	}
	return d.Close()
}

// Close closes all devices and waits for their readers.
func (s *Switch) Close() error {
	s.mu.Lock()
	devices := s.devices
	s.devices = map[uint32]netdev.Device{}
	s.mu.Unlock()
	var errs []error
	for _, d := range devices {
		errs = append(errs, d.Close())
	}
	s.readers.Wait()
	return errors.Join(errs...)
}

// reader is the goroutine of one device, with the slices that it uses again for each batch.
type reader struct {
	*Switch
	attachment uint32
	device     netdev.Device
	packets    [][]byte
	outs       []uint32
	group      [][]byte
	lengths    []int
}

func (s *Switch) runReader(attachment uint32, d netdev.Device) {
	r := reader{Switch: s, attachment: attachment, device: d}
	for {
		err := r.forward()
		if err == nil {
			continue
		}
		// A device that was unplugged ends in silence; one that closes by itself would leave its guest deaf.
		if s.plugged(attachment, d) {
			s.failed(attachment, fmt.Errorf("read attachment %d: %w", attachment, err))
		}
		return
	}
}

func (s *Switch) plugged(attachment uint32, d netdev.Device) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.devices[attachment] == d
}

// forward waits for a batch, has it decided, and writes each packet to where it goes.
func (r *reader) forward() error {
	if err := r.device.WaitReadable(); err != nil {
		return err
	}
	batch := r.pool.Get()
	defer r.pool.Put(batch)
	// A guest that raises its own MTU sends packets that are too large. The first buffer has room for any of them, so that they are
	// refused like others, with a path and their size.
	batch.Bufs[0] = batch.Bufs[0][:cap(batch.Bufs[0])]
	n, err := r.device.Read(batch.Bufs, batch.Sizes)
	if err != nil {
		return err
	}
	if n == 0 {
		// The device lost a packet that was to be cut into segments of more than the largest MTU.
		r.engine.countDrop(r.attachment, flow.MTUExceeded, 0)
		return nil
	}
	r.packets, r.outs = r.packets[:0], r.outs[:0]
	for i := range n {
		r.packets = append(r.packets, batch.Packet(i))
		r.outs = append(r.outs, 0)
	}
	emitted := r.engine.Handle(r.now(), r.attachment, r.packets, r.outs)
	r.deliver(batch)
	for _, x := range emitted {
		r.group, r.lengths = append(r.group[:0], x.Frame), append(r.lengths[:0], len(x.Frame)-netdev.Headroom)
		r.write(x.Out)
	}
	return nil
}

// deliver writes the packets of a batch, those for one attachment together and in their order.
func (r *reader) deliver(b *netdev.Batch) {
	for i, out := range r.outs {
		if out == 0 {
			continue
		}
		r.group, r.lengths = r.group[:0], r.lengths[:0]
		for j := i; j < len(r.outs); j++ {
			if r.outs[j] == out {
				r.group = append(r.group, b.Frame(j))
				r.lengths = append(r.lengths, b.Sizes[j])
				r.outs[j] = 0
			}
		}
		r.write(out)
	}
}

// write hands the group to a device. What the kernel refuses is a drop; which of the group it was is not known, nor does it matter.
func (r *reader) write(out uint32) {
	r.mu.RLock()
	d := r.devices[out]
	r.mu.RUnlock()
	written := 0
	if d != nil {
		written, _ = d.Write(r.group)
	}
	if written < len(r.lengths) {
		r.engine.undelivered(r.attachment, r.lengths[written:])
	}
}

// undelivered counts packets that the kernel refused.
func (e *Engine) undelivered(from uint32, lengths []int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, length := range lengths {
		e.revoke(from, flow.DeliveryFailed, length)
	}
}

// revoke counts a packet as a drop and not as the delivery that its flow's slot took it for. Slots only grow, so the correction stands
// beside them; the sum comes out right modulo 2^64.
func (e *Engine) revoke(from uint32, r flow.Reason, length int) {
	e.countDrop(from, r, length)
	t := e.delivered[from]
	e.delivered[from] = Count{t.Packets - 1, t.Bytes - uint64(length)}
}
