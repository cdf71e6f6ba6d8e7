package fastpath

import (
	"reflect"
	"testing"

	"github.com/cilium/ebpf/btf"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// The structs that Go and C share have one layout: the C side is read from the object's type information.
func TestLayouts(t *testing.T) {
	spec, err := loadFabric()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		c     string
		value any
		size  uintptr
	}{
		{"counters", flow.Counters{}, 40},
		{"counters", fabricCounters{}, 40},
		{"drop_counter", flow.DropCounter{}, 16},
		{"drop_counter", fabricDropCounter{}, 16},
		{"generation_cell", fabricGenerationCell{}, 8},
		{"flow_key", fabricFlowKey{}, 48},
		{"flow_entry", fabricFlowEntry{}, 184},
		{"neighbor_key", fabricNeighborKey{}, 20},
		{"attachment", fabricAttachment{}, 28},
	} {
		var c *btf.Struct
		if err := spec.Types.TypeByName(row.c, &c); err != nil {
			t.Fatal(err)
		}
		goType := reflect.TypeOf(row.value)
		if uintptr(c.Size) != row.size || goType.Size() != row.size {
			t.Errorf("%s is %d bytes in C, %s is %d; want %d", row.c, c.Size, goType, goType.Size(), row.size)
		}
		var fields []reflect.StructField
		for i := range goType.NumField() {
			if f := goType.Field(i); f.Type.Size() > 0 {
				fields = append(fields, f)
			}
		}
		if len(fields) != len(c.Members) {
			t.Errorf("%s has %d members in C, %s has %d", row.c, len(c.Members), goType, len(fields))
			continue
		}
		for i, m := range c.Members {
			if uintptr(m.Offset.Bytes()) != fields[i].Offset {
				t.Errorf("%s.%s is at %d in C, %s.%s at %d", row.c, m.Name, m.Offset.Bytes(), goType, fields[i].Name, fields[i].Offset)
			}
		}
	}
}

// Memory is shared as slices, so a value fills its whole multiple of 8 bytes in the kernel's array.
func TestSharedValuesFillTheirCells(t *testing.T) {
	spec, err := loadFabric()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{fabricMapSlots, fabricMapDrops, fabricMapGenerations} {
		if size := spec.Maps[name].ValueSize; size%8 != 0 {
			t.Errorf("a value of %s has %d bytes", name, size)
		}
	}
}

// The object's own sizes are the loader's defaults.
func TestDefaultSizes(t *testing.T) {
	spec, err := loadFabric()
	if err != nil {
		t.Fatal(err)
	}
	sizes := Config{}.withDefaults().mapSizes()
	for name, m := range spec.Maps {
		if m.MaxEntries != sizes[name] {
			t.Errorf("map %s has %d entries in C, %d in Go", name, m.MaxEntries, sizes[name])
		}
	}
	if c := (Config{MaxSlots: 7, MaxFlows: 9}).withDefaults(); c.MaxSlots != 8 || c.MaxFlows != 9 || c.MaxDomains != 1024 {
		t.Errorf("sizes %+v", c)
	}
}

// Memory reaches the last slot and the last attachment's last reason, and what is written there is in the maps.
func TestMemoryIsTheMaps(t *testing.T) {
	r := newRig(t)
	m := r.Memory()
	if len(m.Slots) != slotsInTest || len(m.Drops) != 16*flow.ReasonStride {
		t.Fatalf("%d slots and %d drop counters", len(m.Slots), len(m.Drops))
	}
	m.Slots[slotsInTest-1].Add(3, 4, 5, 6)
	m.Drop(15, flow.ReasonStride-1).Add(7, 8)
	var c fabricCounters
	if err := r.objects.Slots.Lookup(uint32(slotsInTest-1), &c); err != nil || c != (fabricCounters{Packets: 3, Bytes: 4, First: 6, Last: 6, Flags: 5, Recent: 5}) {
		t.Errorf("the last slot holds %+v, %v", c, err)
	}
	var d fabricDropCounter
	if err := r.objects.Drops.Lookup(uint32(16*flow.ReasonStride-1), &d); err != nil || d != (fabricDropCounter{Packets: 7, Bytes: 8}) {
		t.Errorf("the last drop counter holds %+v, %v", d, err)
	}
	if err := r.SetGeneration(7, 9); err != nil {
		t.Fatal(err)
	}
	var g fabricGenerationCell
	if err := r.objects.Generations.Lookup(uint32(7), &g); err != nil || g.Generation != 9 {
		t.Errorf("the last generation is %+v, %v", g, err)
	}
}
