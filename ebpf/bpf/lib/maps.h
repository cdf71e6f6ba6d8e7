// SPDX-License-Identifier: GPL-2.0-only OR MIT
//
// What the programs remember. Sizes are defaults; the loader sets them.

#pragma once

#include <bpf/bpf_helpers.h>

#include "config.h"
#include "types.h"

// Attachments by the low bits of an interface index; each stands here twice, by its veth and by its TUN. An array, because every
// packet begins with this look-up.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct attachment);
	__uint(max_entries, DEVICES);
} attachments SEC(".maps");

// attachment_of finds the attachment of a device that runs a program; fastpath lets no two of them have one place. An index of 0
// says that there is none.
static __always_inline const struct attachment *attachment_of(__u32 device)
{
	__u32 place = device & (DEVICES - 1);

	return bpf_map_lookup_elem(&attachments, &place);
}

// Who answers for an address, in each scope: the index of its attachment, 0 for the router.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct neighbor_key);
	__type(value, __u32);
	__uint(max_entries, ADDRESSES * MAX_ATTACHMENTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} neighbors SEC(".maps");

// The cached decisions, by the digest of their key. Preallocated, a million of them would cost a quarter of a gigabyte up front.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u64);
	__type(value, struct flow_entry);
	__uint(max_entries, MAX_FLOWS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} flows SEC(".maps");

// Each domain's current generation.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct generation_cell);
	__uint(max_entries, MAX_DOMAINS);
	__uint(map_flags, BPF_F_MMAPABLE);
} generations SEC(".maps");

// Counters of flows. A connection's two directions are slots 2p and 2p+1.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct counters);
	__uint(max_entries, MAX_SLOTS);
	__uint(map_flags, BPF_F_MMAPABLE);
} slots SEC(".maps");

// Counters of drops, at attachment * REASON_STRIDE + reason.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct drop_counter);
	__uint(max_entries, MAX_ATTACHMENTS * REASON_STRIDE);
	__uint(map_flags, BPF_F_MMAPABLE);
} drops SEC(".maps");
