// SPDX-License-Identifier: GPL-2.0-only OR MIT
//
// Address and port translation with the checksums kept right, also in packets whose checksum is still to be completed: there the
// field holds the sum of the pseudo header only, which is what BPF_F_PSEUDO_HDR is for. Each function returns 0, or not 0 if the
// kernel refused, and then the packet is fit for nothing but to be dropped.

#pragma once

#include <bpf/bpf_helpers.h>
#include <stddef.h>

#include "config.h"
#include "parse.h"
#include "types.h"

// checksum is the upper layer's.
struct checksum {
	__u32 offset; // in the frame; 0 if rewriting leaves it alone
	__u64 pseudo; // BPF_F_PSEUDO_HDR if it covers the addresses
	__u64 flags;  // BPF_F_MARK_MANGLED_0 if a zero checksum means none
};

static __always_inline struct checksum checksum_of(__u8 protocol, __u32 upper)
{
	switch (protocol) {
	case PROTOCOL_TCP:
		return (struct checksum){upper + 16, BPF_F_PSEUDO_HDR, 0};
	case PROTOCOL_UDP:
		return (struct checksum){upper + 6, BPF_F_PSEUDO_HDR, BPF_F_MARK_MANGLED_0};
	case PROTOCOL_ICMP:
		return (struct checksum){upper + 2, 0, 0};
	case PROTOCOL_ICMPV6: // RFC 4443, section 2.3
		return (struct checksum){upper + 2, BPF_F_PSEUDO_HDR, 0};
	}
	return (struct checksum){};
}

static __always_inline long rewrite_ipv4(struct __sk_buff *skb, const struct checksum *c, __u32 offset, __be32 old, __be32 new)
{
	long refused = 0;

	if (c->offset && c->pseudo)
		refused |= bpf_l4_csum_replace(skb, c->offset, old, new, c->pseudo | c->flags | sizeof(new));
	refused |= bpf_l3_csum_replace(skb, ETHERNET_SIZE + offsetof(struct ipv4_header, checksum), old, new, sizeof(new));
	return refused | bpf_skb_store_bytes(skb, ETHERNET_SIZE + offset, &new, sizeof(new), 0);
}

static __always_inline long rewrite_ipv6(struct __sk_buff *skb, const struct checksum *c, __u32 offset, const __u64 *old,
					 const struct address *new)
{
	long refused = 0;

	if (c->offset) {
		__s64 difference = bpf_csum_diff((__be32 *)old, sizeof(*new), (__be32 *)new->word, sizeof(*new), 0);

		if (difference < 0)
			return difference;
		refused |= bpf_l4_csum_replace(skb, c->offset, 0, difference, c->pseudo | c->flags);
	}
	return refused | bpf_skb_store_bytes(skb, ETHERNET_SIZE + offset, new, sizeof(*new), 0);
}

static __always_inline long rewrite_port(struct __sk_buff *skb, const struct checksum *c, __u32 offset, __be16 old, __be16 new)
{
	long refused = bpf_l4_csum_replace(skb, c->offset, old, new, c->flags | sizeof(new));

	return refused | bpf_skb_store_bytes(skb, offset, &new, sizeof(new), 0);
}

// ipv4_of is the address of which mapped_half made the second half of an address.
static __always_inline __be32 ipv4_of(const __u64 *address)
{
	__be32 word[4];

	__builtin_memcpy(word, address, sizeof(word));
	return word[3];
}

static __always_inline long rewrite_addresses(struct __sk_buff *skb, const struct packet *p, const struct checksum *c,
					      const struct decision *d)
{
	const __u64 *source = p->key.source, *destination = p->key.destination;
	long refused = 0;

	if (version(p) == 4) {
		if (d->rewrite & REWRITE_SOURCE)
			refused |= rewrite_ipv4(skb, c, offsetof(struct ipv4_header, source), ipv4_of(source), d->source.word[3]);
		if (d->rewrite & REWRITE_DESTINATION)
			refused |= rewrite_ipv4(skb, c, offsetof(struct ipv4_header, destination), ipv4_of(destination),
						d->destination.word[3]);
		return refused;
	}
	if (d->rewrite & REWRITE_SOURCE)
		refused |= rewrite_ipv6(skb, c, offsetof(struct ipv6_header, source), source, &d->source);
	if (d->rewrite & REWRITE_DESTINATION)
		refused |= rewrite_ipv6(skb, c, offsetof(struct ipv6_header, destination), destination, &d->destination);
	return refused;
}

static __always_inline long rewrite_ports(struct __sk_buff *skb, const struct packet *p, const struct checksum *c, __u32 upper,
					  const struct decision *d)
{
	__be16 source = p->key.ends >> 16, destination = p->key.ends;
	long refused = 0;

	switch (p->protocol) {
	case PROTOCOL_TCP:
	case PROTOCOL_UDP:
		if (d->rewrite & REWRITE_SOURCE_PORT)
			refused |= rewrite_port(skb, c, upper, source, d->source_port);
		if (d->rewrite & REWRITE_DESTINATION_PORT)
			refused |= rewrite_port(skb, c, upper + 2, destination, d->destination_port);
		break;
	case PROTOCOL_ICMP:
	case PROTOCOL_ICMPV6:
		if (d->rewrite & REWRITE_SOURCE_PORT)
			refused |= rewrite_port(skb, c, upper + 4, source, d->source_port);
		break;
	}
	return refused;
}

static __always_inline long rewrite_ttl(struct __sk_buff *skb, const struct packet *p, __u8 hops)
{
	__u8 ttl = p->ttl - hops;
	__be16 old = bpf_htons(p->ttl << 8 | p->protocol), new = bpf_htons(ttl << 8 | p->protocol);
	long refused;

	if (version(p) != 4) // no checksum covers it
		return bpf_skb_store_bytes(skb, ETHERNET_SIZE + offsetof(struct ipv6_header, hop_limit), &ttl, sizeof(ttl), 0);
	refused = bpf_l3_csum_replace(skb, ETHERNET_SIZE + offsetof(struct ipv4_header, checksum), old, new, sizeof(new));
	return refused | bpf_skb_store_bytes(skb, ETHERNET_SIZE + offsetof(struct ipv4_header, ttl), &ttl, sizeof(ttl), 0);
}

// translate writes new addresses and ports, and counts the TTL down. A function of its own, as most packets have no need of it.
static __noinline long translate(struct __sk_buff *skb, const struct packet *p, const struct decision *d)
{
	__u32 upper = ETHERNET_SIZE + (version(p) == 4 ? IPV4_SIZE : IPV6_SIZE);
	struct checksum c = checksum_of(p->protocol, upper);

	__u8 hops = d->rewrite >> REWRITE_HOPS_SHIFT;

	if (hops && rewrite_ttl(skb, p, hops))
		return -1;
	return rewrite_addresses(skb, p, &c, d) | rewrite_ports(skb, p, &c, upper, d);
}

// rewrite makes the packet what its receiver is to see, Ethernet header included.
static __always_inline long rewrite(struct __sk_buff *skb, const struct packet *p, const struct decision *d)
{
	if (d->rewrite && translate(skb, p, d))
		return -1;
	return bpf_skb_store_bytes(skb, 0, &d->macs, sizeof(d->macs), 0);
}

// arrive sets what the receiver's kernel would have set, had the packet come in by the wire. Older kernels do not clear marks
// on a peer redirect.
static __always_inline long arrive(struct __sk_buff *skb)
{
	skb->mark = 0;
	skb->priority = 0;
	return skb->pkt_type == PACKET_HOST ? 0 : bpf_skb_change_type(skb, PACKET_HOST);
}
