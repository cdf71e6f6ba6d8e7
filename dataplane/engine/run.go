package engine

import (
	"errors"
	"fmt"
	"sync"

	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/netdev"
)

// Switch moves packets between the devices of attachments, the ends of links, and the engine.
type Switch struct {
	engine *Engine
	now    func() int64 // monotonic nanoseconds
	pool   *netdev.Pool
	failed func(attachment uint32, err error)

	mu      sync.RWMutex
	devices map[uint32]netdev.Device
	ends    map[uint32]*end
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
		engine: e, now: now, pool: netdev.NewPool(largestMTU, maxBatches), failed: failed,
		devices: map[uint32]netdev.Device{}, ends: map[uint32]*end{},
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

// Close closes all devices and waits for their readers. Links belong to who joined them.
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

// Into takes packets of sender into a link: frames with netdev.Headroom bytes in front, which it copies. It does not wait.
type Into func(sender uint32, frames [][]byte)

// end is the end of a link.
type end struct {
	forwarder
	into Into
}

// Join makes an attachment the end of a link.
func (s *Switch) Join(attachment uint32, into Into) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends[attachment] = &end{forwarder{Switch: s, attachment: attachment}, into}
}

// Leave takes the end of a link away; one that is not there is fine.
func (s *Switch) Leave(attachment uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ends, attachment)
}

// Emerge forwards what came out of a link at an end; senders[i] is the attachment that sent frame i into it. Frames have netdev.Headroom
// bytes in front and are edited in place. Calls for one end come one after another.
func (s *Switch) Emerge(attachment uint32, frames [][]byte, senders []uint32) {
	s.mu.RLock()
	e := s.ends[attachment]
	s.mu.RUnlock()
	if e == nil {
		return // the link is being taken away
	}
	e.take(frames)
	emitted := s.engine.HandleEmerged(s.now(), attachment, e.packets, senders, e.outs)
	e.deliver(frames)
	e.send(emitted)
}

// forwarder hands a source's packets to the engine and from there to where they go, with slices that it uses again for each batch.
type forwarder struct {
	*Switch
	attachment uint32
	packets    [][]byte
	outs       []uint32
	group      [][]byte
	lengths    []int
}

// take makes ready for a batch.
func (f *forwarder) take(frames [][]byte) {
	f.packets, f.outs = f.packets[:0], f.outs[:0]
	for _, frame := range frames {
		f.packets = append(f.packets, frame[netdev.Headroom:])
		f.outs = append(f.outs, 0)
	}
}

// deliver writes the packets of a batch, those for one attachment together and in their order.
func (f *forwarder) deliver(frames [][]byte) {
	for i, out := range f.outs {
		if out == 0 {
			continue
		}
		f.group, f.lengths = f.group[:0], f.lengths[:0]
		for j := i; j < len(f.outs); j++ {
			if f.outs[j] == out {
				f.add(frames[j])
				f.outs[j] = 0
			}
		}
		f.write(out)
	}
}

// send writes what the engine itself sends.
func (f *forwarder) send(emitted []Emission) {
	for _, x := range emitted {
		f.group, f.lengths = f.group[:0], f.lengths[:0]
		f.add(x.Frame)
		f.write(x.Out)
	}
}

// add puts a frame into the group. Its length is kept apart, as a device may edit what it writes.
func (f *forwarder) add(frame []byte) {
	f.group = append(f.group, frame)
	f.lengths = append(f.lengths, len(frame)-netdev.Headroom)
}

// write hands the group to a link or a device. What the kernel refuses is a drop; which of the group it was is not known, nor does it
// matter.
func (f *forwarder) write(out uint32) {
	f.mu.RLock()
	d, e := f.devices[out], f.ends[out]
	f.mu.RUnlock()
	if e != nil {
		e.into(f.attachment, f.group)
		return
	}
	written := 0
	if d != nil {
		written, _ = d.Write(f.group)
	}
	if written < len(f.lengths) {
		f.engine.undelivered(f.attachment, f.lengths[written:])
	}
}

// reader is the goroutine of one device.
type reader struct {
	forwarder
	device netdev.Device
	frames [][]byte
}

func (s *Switch) runReader(attachment uint32, d netdev.Device) {
	r := reader{forwarder: forwarder{Switch: s, attachment: attachment}, device: d}
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
	r.frames = r.frames[:0]
	for i := range n {
		r.frames = append(r.frames, batch.Frame(i))
	}
	r.take(r.frames)
	emitted := r.engine.Handle(r.now(), r.attachment, r.packets, r.outs)
	r.deliver(r.frames)
	r.send(emitted)
	return nil
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
