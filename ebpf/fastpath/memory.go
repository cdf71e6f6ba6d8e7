package fastpath

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// mappings are the array maps as memory. The kernel gives each value a multiple of 8 bytes and the whole a multiple of a page;
// every type here is a multiple of 8 bytes, which a test watches, so that they are plain slices.
type mappings struct {
	counters    flow.Memory
	generations []fabricGenerationCell
	bytes       [][]byte
}

func (m *mappings) open(maps *fabricMaps, c Config) error {
	var err error
	if m.counters.Slots, err = mapValues[flow.Counters](m, "slots", maps.Slots, c.MaxSlots); err != nil {
		return errors.Join(err, m.close())
	}
	if m.counters.Drops, err = mapValues[flow.DropCounter](m, "drops", maps.Drops, c.MaxAttachments*flow.ReasonStride); err != nil {
		return errors.Join(err, m.close())
	}
	if m.generations, err = mapValues[fabricGenerationCell](m, "generations", maps.Generations, c.MaxDomains); err != nil {
		return errors.Join(err, m.close())
	}
	return nil
}

// mapValues maps an array map of n values of type T.
func mapValues[T any](m *mappings, name string, from *ebpf.Map, n int) ([]T, error) {
	var value T
	page := os.Getpagesize()
	size := (n*int(unsafe.Sizeof(value)) + page - 1) / page * page
	b, err := unix.Mmap(from.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s as memory: %w", name, err)
	}
	m.bytes = append(m.bytes, b)
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n), nil
}

func (m *mappings) close() error {
	var failures []error
	for _, b := range m.bytes {
		failures = append(failures, unix.Munmap(b))
	}
	*m = mappings{}
	return errors.Join(failures...)
}
