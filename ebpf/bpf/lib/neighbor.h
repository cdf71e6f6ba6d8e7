// SPDX-License-Identifier: GPL-2.0-only OR MIT
//
// ARP and neighbour discovery. The fabric answers for every address of the guest's subnet with the router's MAC, and never for
// the guest's own: a guest that asks for that wants to know whether somebody else uses it.

#pragma once

#include <bpf/bpf_helpers.h>
#include <linux/if_ether.h>

#include "config.h"
#include "maps.h"
#include "parse.h"
#include "rewrite.h"
#include "types.h"

struct arp_frame {
	struct ethhdr eth;
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_size;
	__u8 protocol_size;
	__be16 operation;
	__u8 sender_mac[6];
	__u8 sender[4];
	__u8 target_mac[6];
	__u8 target[4];
} __attribute__((packed));

#define ARP_REQUEST bpf_htons(1)
#define ARP_REPLY bpf_htons(2)
#define ARP_HARDWARE_ETHERNET bpf_htons(1)

// nd_message is a neighbour solicitation or advertisement (RFC 4861, section 4) with room for one link-layer address option.
struct nd_message {
	__u8 type;
	__u8 code;
	__u16 checksum;
	__u8 flags;
	__u8 reserved[3];
	struct address target;
	__u8 option;
	__u8 option_size; // in units of eight bytes
	__u8 option_mac[6];
};

#define ND_SIZE 24 // without options
#define ND_ADVERTISEMENT_SIZE 32
#define ND_OPTIONS_MAX 8
#define ND_HOP_LIMIT 255
#define ND_OPTION_TARGET_MAC 2
#define ND_FLAG_ROUTER 0x80
#define ND_FLAG_SOLICITED 0x40
#define ND_FLAG_OVERRIDE 0x20

struct nd_frame {
	struct ethhdr eth;
	struct ipv6_header ip;
	struct nd_message nd;
} __attribute__((packed));

// find looks for the owner of an address that an attachment asks for. NEXT means that there is one to answer for.
static __always_inline outcome find(const struct attachment *from, const struct address *target, __u32 *owner)
{
	struct neighbor_key key = {.scope = from->scope, .address = *target};
	__u32 *found = bpf_map_lookup_elem(&neighbors, &key);

	if (!found)
		return REASON_UNKNOWN_NEIGHBOR;
	if (*found == from->index)
		return REASON_DUPLICATE_ADDRESS_DETECTION;
	*owner = *found;
	return NEXT;
}

// answer_arp turns a request into its reply (RFC 826). A function of its own, as its buffers would crowd the stack of from_eni.
static __noinline outcome answer_arp(struct __sk_buff *skb, const struct attachment *from)
{
	struct arp_frame f;
	struct address target;
	__be32 asked, asking;
	__u32 owner;
	outcome o;

	if (bpf_skb_load_bytes(skb, 0, &f, sizeof(f)))
		return REASON_MALFORMED_FRAME;
	if (f.hardware != ARP_HARDWARE_ETHERNET || f.protocol != ETHERTYPE_IPV4)
		return REASON_UNSUPPORTED_ETHERTYPE;
	if (f.hardware_size != ETH_ALEN || f.protocol_size != sizeof(asked))
		return REASON_MALFORMED_FRAME;
	if (f.operation == ARP_REPLY) // an announcement: the fabric knows who has which address
		return REASON_NONE;
	if (f.operation != ARP_REQUEST)
		return REASON_UNSUPPORTED_ETHERTYPE;
	if (!same_mac(f.sender_mac, from->guest_mac))
		return REASON_SOURCE_MAC_MISMATCH;
	__builtin_memcpy(&asking, f.sender, sizeof(asking));
	__builtin_memcpy(&asked, f.target, sizeof(asked));
	if (asking == 0 || asking == asked) // RFC 5227: a probe, an announcement
		return REASON_DUPLICATE_ADDRESS_DETECTION;
	mapped(&target, asked);
	o = find(from, &target, &owner);
	if (o != NEXT)
		return o;

	f.operation = ARP_REPLY;
	__builtin_memcpy(f.eth.h_dest, f.sender_mac, ETH_ALEN);
	__builtin_memcpy(f.eth.h_source, from->router_mac, ETH_ALEN);
	__builtin_memcpy(f.target_mac, f.sender_mac, ETH_ALEN);
	__builtin_memcpy(f.target, f.sender, sizeof(asking));
	__builtin_memcpy(f.sender_mac, from->router_mac, ETH_ALEN);
	__builtin_memcpy(f.sender, &asked, sizeof(asked));
	return bpf_skb_store_bytes(skb, 0, &f, sizeof(f), 0) || arrive(skb) ? REASON_DELIVERY_FAILED : ANSWER;
}

// sound_options checks that no option of a solicitation is empty or runs over its end (RFC 4861, section 7.1.1).
static __always_inline int sound_options(struct __sk_buff *skb, __u32 size)
{
	__u32 at = ND_SIZE;

	for (int i = 0; i < ND_OPTIONS_MAX && at < size; i++) {
		__u8 option[2];

		if (bpf_skb_load_bytes(skb, ETHERNET_SIZE + IPV6_SIZE + at, option, sizeof(option)) || option[1] == 0)
			return 0;
		at += option[1] * 8;
	}
	return at == size;
}

// sound_solicitation is RFC 4861, section 7.1.1, but for the checksum: it may not be there yet, and nothing damages a frame in
// a veth.
static __always_inline int sound_solicitation(struct __sk_buff *skb, const struct nd_frame *f)
{
	__u32 size = bpf_ntohs(f->ip.payload);

	if (f->ip.hop_limit != ND_HOP_LIMIT || f->nd.code != 0)
		return 0;
	if (size < ND_SIZE || size + IPV6_SIZE + ETHERNET_SIZE > skb->len)
		return 0;
	if (*(const __u8 *)&f->nd.target == 0xff)
		return 0;
	return sound_options(skb, size);
}

static __always_inline __u16 nd_checksum(const struct nd_frame *f)
{
	__be32 tail[2] = {bpf_htonl(ND_ADVERTISEMENT_SIZE), bpf_htonl(PROTOCOL_ICMPV6)};
	struct {
		struct address source, destination;
		struct nd_message nd;
	} covered = {.source = f->ip.source, .destination = f->ip.destination, .nd = f->nd};
	__u64 sum;

	sum = bpf_csum_diff(0, 0, tail, sizeof(tail), 0);
	sum = bpf_csum_diff(0, 0, (__be32 *)&covered, sizeof(covered), sum);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

// answer_solicitation turns a solicitation into its advertisement.
static __noinline outcome answer_solicitation(struct __sk_buff *skb, const struct attachment *from)
{
	struct nd_frame f = {};
	struct address asking, asked;
	__u32 owner = 0;
	outcome o;

	if (bpf_skb_load_bytes(skb, 0, &f, ETHERNET_SIZE + IPV6_SIZE + ND_SIZE))
		return REASON_MALFORMED_FRAME;
	if (!sound_solicitation(skb, &f))
		return REASON_MALFORMED_PACKET;
	asking = f.ip.source;
	asked = f.nd.target;
	if (unspecified(&asking)) // RFC 4862, section 5.4
		return REASON_DUPLICATE_ADDRESS_DETECTION;
	o = find(from, &asked, &owner);
	if (o != NEXT)
		return o;

	__builtin_memcpy(f.eth.h_dest, f.eth.h_source, ETH_ALEN);
	__builtin_memcpy(f.eth.h_source, from->router_mac, ETH_ALEN);
	f.ip.payload = bpf_htons(ND_ADVERTISEMENT_SIZE);
	f.ip.destination = asking;
	f.ip.source = asked;
	f.nd.type = ICMPV6_NEIGHBOR_ADVERTISEMENT;
	f.nd.checksum = 0;
	// A guest drops its default route if the router ceases to call itself one.
	f.nd.flags = ND_FLAG_SOLICITED | ND_FLAG_OVERRIDE | (owner == 0 ? ND_FLAG_ROUTER : 0);
	__builtin_memset(f.nd.reserved, 0, sizeof(f.nd.reserved));
	f.nd.option = ND_OPTION_TARGET_MAC;
	f.nd.option_size = 1;
	__builtin_memcpy(f.nd.option_mac, from->router_mac, ETH_ALEN);
	f.nd.checksum = nd_checksum(&f);
	if (bpf_skb_change_tail(skb, sizeof(f), 0) || bpf_skb_store_bytes(skb, 0, &f, sizeof(f), 0) || arrive(skb))
		return REASON_DELIVERY_FAILED;
	return ANSWER;
}
