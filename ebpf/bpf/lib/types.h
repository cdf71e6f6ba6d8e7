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

// flow_key is flow.Key in whole words, because a processor waits when it reads as one what it has just written in pieces.
// Addresses are as in struct address.
struct flow_key {
	__u64 ends;    // attachment << 32 | source port << 16 | destination port; of an ICMP echo message the identifier and the type
	__u64 network; // family (4 or 6) << 8 | protocol
	__u64 source[2];
	__u64 destination[2];
};

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
	REWRITE_MSS = 16, // of a SYN, which is for the engine
};

// How often the packet is routed stands above them: by so much its TTL falls.
#define REWRITE_HOPS_SHIFT 8

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

// decision is what becomes of the packets of a flow.
struct decision {
	__u32 out; // the veth of the attachment that receives a Deliver
	__u8 verdict;
	__u8 reason;
	__u16 rewrite;
	struct macs macs;
	__be16 source_port;
	__be16 destination_port;
	struct address source;
	struct address destination;
};

// flow_entry is flow.Entry: the cached decision for one flow. Times are monotonic nanoseconds. What never comes, or has no limit,
// is the largest number.
//
// An entry is found by a digest of its key, and the key itself is compared. The kernel reuses the memory of a deleted element at
// once, while another processor may still hold a pointer to it: no two installations have the same number, so that what was read
// between two equal ones at both ends of an entry is of one piece.
struct flow_entry {
	__u64 installation;
	struct flow_key key;
	__u64 patience; // the least of the idle limits
	struct domain domains[2];
	__u64 expires;
	__u32 slot;
	__u32 mtu; // in bytes of IP packet
	struct decision decision;
	__u64 idle[STATES];
	__u64 end;
};

// counters is flow.Counters: one direction's totals, in a slot.
struct counters {
	__u64 packets;
	__u64 bytes;
	__u64 first;
	__u64 last;
	__u32 flags;
	__u32 recent;
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
