// SPDX-License-Identifier: GPL-2.0-only OR MIT
//
// The types that cross to Go. bpf2go makes the Go declarations; fastpath converts them to the types of dataplane/flow.

#pragma once

#include <linux/bpf.h>
#include <linux/types.h>

// attachment is anything that can send into the fabric. It is found by the index of either of its devices: the veth whose other
// end is the guest's NIC, and the TUN that leads to the engine. Its own index is never 0, which means the router.
struct attachment {
	__u32 index;
	__u32 tun;
	__u32 veth;
	__u32 scope; // whose neighbors it sees: its subnet
	__u8 guest_mac[6];
	__u8 router_mac[6];
};

// address is an IPv6 address, or an IPv4 address in its IPv4-mapped form; in network order.
struct address {
	__be32 word[4];
};

struct neighbor_key {
	__u32 scope;
	struct address address;
};

// flow_key is flow.Key. Ports are in network order; for an ICMP echo message source_port is the identifier and destination_port
// the type. It fills its 48 bytes without a gap, so that no byte of a key is left to chance, and is read as words by seal.
struct flow_key {
	__u32 attachment;
	__u8 protocol;
	__u8 family; // 4 or 6
	__be16 source_port;
	__be16 destination_port;
	__u16 zero[3];
	struct address source;
	struct address destination;
} __attribute__((aligned(8)));

enum verdict {
	VERDICT_DELIVER = 1,
	VERDICT_DROP = 2,
};

enum flow_state {
	STATE_OPENING,
	STATE_ESTABLISHED,
	STATE_CLOSING,
	STATES,
};

// What an entry rewrites: a set of these bits.
enum rewrite {
	REWRITE_SOURCE = 1,
	REWRITE_DESTINATION = 2,
	REWRITE_SOURCE_PORT = 4, // or the ICMP echo identifier
	REWRITE_DESTINATION_PORT = 8,
};

// domain is one VPC's revision, as an entry remembers it.
struct domain {
	__u32 index;
	__u32 generation;
};

// macs are the addresses of an Ethernet header, in its order.
struct macs {
	__u8 receiver[6];
	__u8 router[6];
};

// flow_entry is flow.Entry: the cached decision for one flow. Times are monotonic nanoseconds, and 0 means never.
//
// It begins and ends with the seal of its key. The kernel reuses the memory of a deleted element at once, while another processor
// may still hold a pointer to it; the seals tell a reader that what it copied belongs to the flow that it looked up.
struct flow_entry {
	__u64 seal;
	__u64 expires;
	__u64 idle[STATES];
	struct domain domains[2];
	__u32 out; // the veth of the attachment that receives a Deliver
	__u32 slot;
	__u16 mtu; // in bytes of IP packet; 0 means no limit
	__u8 verdict;
	__u8 reason;
	__u16 rewrite;
	__be16 source_port;
	__be16 destination_port;
	struct macs macs;
	__u16 zero;
	struct address source;
	struct address destination;
	__u64 end_seal;
};

// counters is flow.Counters: one direction's totals, in a slot.
struct counters {
	__u64 packets;
	__u64 bytes;
	__u64 first;
	__u64 last;
	__u32 flags;
	__u32 zero;
};

// drop_counter is flow.DropCounter.
struct drop_counter {
	__u64 packets;
	__u64 bytes;
};

// generation_cell is one domain's generation. Array maps give each value a multiple of 8 bytes; the second word says so to Go,
// which reads the map as memory.
struct generation_cell {
	__u32 generation;
	__u32 zero;
};
