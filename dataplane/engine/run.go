package engine

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/vpclab/vpclab/dataplane/flow"
	"github.com/vpclab/vpclab/dataplane/netdev"
)

// Switch moves packets between the devices of attachments and the engine.
type Switch struct {
	engine *Engine
	now    func() int64 // monotonic nanoseconds
	pool   *netdev.Pool

	mu      sync.RWMutex
	devices map[uint32]netdev.Device
	readers sync.WaitGroup
	failed  func(attachment uint32, err error)
}

// NewSwitch makes a switch without devices. failed is told when a device breaks for another reason than being closed.
func NewSwitch(e *Engine, now func() int64, failed func(attachment uint32, err error)) *Switch {
	return &Switch{engine: e, now: now, pool: netdev.NewPool(), devices: map[uint32]netdev.Device{}, failed: failed}
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

func (s *Switch) runReader(attachment uint32, d netdev.Device) {
	for {
		if err := s.forward(attachment, d); err != nil {
			if !errors.Is(err, os.ErrClosed) && s.plugged(attachment, d) {
				s.failed(attachment, fmt.Errorf("read attachment %d: %w", attachment, err))
			}
			return
		}
	}
}

func (s *Switch) plugged(attachment uint32, d netdev.Device) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.devices[attachment] == d
}

// forward waits for a batch, has it decided, and writes each packet to where it goes.
func (s *Switch) forward(attachment uint32, d netdev.Device) error {
	if err := d.WaitReadable(); err != nil {
		return err
	}
	batch := s.pool.Get(d)
	defer s.pool.Put(batch)
	n, err := d.Read(batch.Buffers, batch.Sizes)
	if err != nil {
		return err
	}
	batch.Packets, batch.Outs = batch.Packets[:0], batch.Outs[:0]
	for i := range n {
		batch.Packets = append(batch.Packets, batch.Buffers[i][netdev.Headroom:netdev.Headroom+batch.Sizes[i]])
		batch.Outs = append(batch.Outs, 0)
	}
	s.engine.Handle(s.now(), attachment, batch.Packets, batch.Outs)
	s.deliver(attachment, batch)
	return nil
}

// deliver writes the packets of a batch, those for one attachment together and in their order.
func (s *Switch) deliver(from uint32, b *netdev.Batch) {
	for i := range b.Outs {
		out := b.Outs[i]
		if out == 0 {
			continue
		}
		b.Group = b.Group[:0]
		for j := i; j < len(b.Outs); j++ {
			if b.Outs[j] == out {
				b.Group = append(b.Group, b.Buffers[j][:netdev.Headroom+b.Sizes[j]])
				b.Outs[j] = 0
			}
		}
		s.write(from, out, b.Group)
	}
}

func (s *Switch) write(from, out uint32, packets [][]byte) {
	s.mu.RLock()
	d := s.devices[out]
	s.mu.RUnlock()
	written := 0
	if d != nil {
		written, _ = d.Write(packets)
	}
	if written < len(packets) {
		s.engine.undelivered(from, packets[written:])
	}
}

// undelivered counts packets that the kernel refused: drops, and not the deliveries that their flows' slots took them for.
func (e *Engine) undelivered(from uint32, packets [][]byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range packets {
		length := len(p) - netdev.Headroom
		e.countDrop(from, flow.DeliveryFailed, length)
		// Slots only grow, so the correction stands beside them; the sum comes out right modulo 2^64.
		t := e.delivered[from]
		e.delivered[from] = Count{t.Packets - 1, t.Bytes - uint64(length)}
	}
}
