package fastpath

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// Config sizes the maps. A zero field means its default.
type Config struct {
	MaxFlows       int // entries of the flow cache; default 1048576 (some 256 bytes each, taken as they are used)
	MaxSlots       int // counters, two for each connection; default 262144 (40 bytes each, taken at once)
	MaxAttachments int // attachment indices are below it; default 4096 (1 KB each, taken at once)
	MaxDomains     int // domain indices are below it; default 1024
}

func (c Config) withDefaults() Config {
	for _, size := range []struct {
		value    *int
		standard int
	}{
		{&c.MaxFlows, 1 << 20},
		{&c.MaxSlots, 1 << 18},
		{&c.MaxAttachments, 4096},
		{&c.MaxDomains, 1024},
	} {
		if *size.value == 0 {
			*size.value = size.standard
		}
	}
	c.MaxSlots += c.MaxSlots % 2 // slots come in pairs
	return c
}

// devices is how many places there are for the devices of attachments (32 bytes each, taken at once), as the programs know it: a
// power of two. A namespace numbers its interfaces upwards, so that two that exist at one time seldom share a place.
const devices = 1 << 16

// addresses is how many neighbours are expected of an attachment, on average.
const addresses = 16

func (c Config) mapSizes() map[string]uint32 {
	return map[string]uint32{
		fabricMapAttachments: devices,
		fabricMapNeighbors:   addresses * uint32(c.MaxAttachments),
		fabricMapFlows:       uint32(c.MaxFlows),
		fabricMapGenerations: uint32(c.MaxDomains),
		fabricMapSlots:       uint32(c.MaxSlots),
		fabricMapDrops:       flow.ReasonStride * uint32(c.MaxAttachments),
	}
}

// FastPath is a loaded fast path. Its methods may be called from several goroutines at once.
type FastPath struct {
	config  Config
	objects fabricObjects
	memory  mappings

	installations atomic.Uint64 // the last one's number

	mu       sync.RWMutex
	attached map[uint32]*attached
	closed   bool
}

// Load loads the programs and makes their maps. Nothing happens to any packet before Attach.
func Load(config Config) (*FastPath, error) {
	config = config.withDefaults()
	spec, err := loadFabric()
	if err != nil {
		return nil, fmt.Errorf("load fast path: %w", err)
	}
	for name, size := range config.mapSizes() {
		spec.Maps[name].MaxEntries = size
	}
	f := &FastPath{config: config, attached: map[uint32]*attached{}}
	if err := spec.LoadAndAssign(&f.objects, nil); err != nil {
		return nil, fmt.Errorf("load fast path: %w", explain(err))
	}
	// After the programs, because the kernel answers the question only to those who may load them.
	if err := haveTCX(); err != nil {
		return nil, fmt.Errorf("load fast path: %w", errors.Join(explain(err), f.objects.Close()))
	}
	if err := f.memory.open(&f.objects.fabricMaps, config); err != nil {
		return nil, fmt.Errorf("load fast path: %w", errors.Join(explain(err), f.objects.Close()))
	}
	return f, nil
}

// haveTCX asks the kernel which programs the loopback device has. The answer does not matter; a kernel older than 6.6 has none.
func haveTCX() error {
	const loopback = 1
	_, err := link.QueryPrograms(link.QueryOptions{Target: loopback, Attach: ebpf.AttachTCXIngress})
	if missingTCX(err) {
		return errNoTCX
	}
	return err
}

// Memory is the memory of counters that the programs count into. It stays mapped until Close, and may not be touched afterwards.
func (f *FastPath) Memory() flow.Memory { return f.memory.counters }

// Install caches a decision; an entry that the key already has is replaced. A dropping entry needs no receiver. An entry of one
// VPC names its domain twice. flow.ErrFull says that there is no room.
func (f *FastPath) Install(key flow.Key, entry flow.Entry) error {
	k := encodeKey(key)
	value, err := f.encode(key, k, entry)
	if err != nil {
		return fmt.Errorf("install flow %s of attachment %d: %w", key.Tuple, key.Attachment, err)
	}
	value.Installation = f.installations.Add(1)
	value.End = value.Installation
	if err := f.objects.Flows.Update(digest(k), &value, ebpf.UpdateAny); err != nil {
		return fmt.Errorf("install flow %s of attachment %d: %w", key.Tuple, key.Attachment, full(err))
	}
	return nil
}

// encode makes the map's value of an entry.
func (f *FastPath) encode(key flow.Key, k fabricFlowKey, entry flow.Entry) (fabricFlowEntry, error) {
	if err := f.config.check(entry); err != nil {
		return fabricFlowEntry{}, err
	}
	if entry.Verdict == flow.Drop {
		return encodeDrop(k, entry), nil
	}
	f.mu.RLock()
	receiver := f.attached[entry.Out]
	f.mu.RUnlock()
	if receiver == nil {
		return fabricFlowEntry{}, fmt.Errorf("receiver %d is not attached", entry.Out)
	}
	return encodeDeliver(key, k, entry, receiver.Attachment)
}

// Evict removes entries, and with one perhaps that of a flow of the same digest. One that is not there is fine.
func (f *FastPath) Evict(keys ...flow.Key) error {
	var failures []error
	for _, key := range keys {
		if err := f.objects.Flows.Delete(digest(encodeKey(key))); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			failures = append(failures, fmt.Errorf("evict flow %s of attachment %d: %w", key.Tuple, key.Attachment, err))
		}
	}
	return errors.Join(failures...)
}

// Quiesce returns when no packet is under way any more that had found an entry which was evicted before: the program runs under RCU, and
// a global membarrier waits for a grace period (membarrier(2)). On a machine whose processors run without a timer tick (nohz_full) it does
// not exist, and a packet or two may still be under way.
func (f *FastPath) Quiesce() error {
	const global = 1 // MEMBARRIER_CMD_GLOBAL
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, global, 0, 0); errno != 0 && errno != unix.EINVAL && errno != unix.ENOSYS {
		return fmt.Errorf("wait for packets under way: %w", errno)
	}
	return nil
}

// SetGeneration makes every entry stale that remembers another generation of the domain.
func (f *FastPath) SetGeneration(domain, generation uint32) error {
	if int(domain) >= f.config.MaxDomains {
		return fmt.Errorf("set generation of domain %d: the fast path was loaded for %d domains", domain, f.config.MaxDomains)
	}
	atomic.StoreUint32(&f.memory.generations[domain].Generation, generation)
	return nil
}

// chunk is how many entries one system call reads. The kernel wants room for a whole hash bucket.
const chunk = 4096

// Wipe removes every entry that was there when it was called.
func (f *FastPath) Wipe() error {
	if _, err := each(f.objects.Flows.BatchLookupAndDelete); err != nil {
		return fmt.Errorf("wipe flow cache: %w", err)
	}
	return nil
}

// Flows counts the entries, valid or not. A million of them take most of a second.
func (f *FastPath) Flows() (int, error) {
	n, err := each(f.objects.Flows.BatchLookup)
	if err != nil {
		return 0, fmt.Errorf("count flow cache: %w", err)
	}
	return n, nil
}

// each runs a batch operation over the flow cache and returns how many entries it met.
func each(batch func(*ebpf.MapBatchCursor, any, any, *ebpf.BatchOptions) (int, error)) (int, error) {
	keys, values := make([]uint64, chunk), make([]fabricFlowEntry, chunk)
	total := 0
	for cursor := new(ebpf.MapBatchCursor); ; {
		n, err := batch(cursor, keys, values, nil)
		total += n
		if errors.Is(err, ebpf.ErrKeyNotExist) { // the end
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// Close detaches everything and gives up maps and memory. Whoever counts into Memory or sets generations must have ended.
// Closing twice is fine.
func (f *FastPath) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	var failures []error
	for index, a := range f.attached {
		failures = append(failures, a.close())
		delete(f.attached, index)
	}
	failures = append(failures, f.memory.close(), f.objects.Close())
	return errors.Join(failures...)
}
