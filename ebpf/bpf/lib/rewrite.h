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

// A sum in one's complement (RFC 1071) that may still have to be folded. It does not depend on the order of bytes.
typedef __u64 sum;

// replaced is by how much the sum over some words changes when one of them does.
static __always_inline sum replaced(__u32 old, __u32 new)
{
	return (sum)(__u32)~old + new;
}

static __always_inline __u32 fold(sum s)
{
	s = (__u32)s + (s >> 32);
	return (__u32)s + (s >> 32);
}

static __always_inline __u16 fold_whole(sum s)
{
	__u32 half = fold(s);

	half = (half & 0xffff) + (half >> 16);
	return (half & 0xffff) + (half >> 16);
}

// The beginning of a frame, as far as a rewrite may change it. It is put together on the stack and written by one call, since calls are
// what a rewrite costs. The stack wants words at their place, so that the frame begins after `unused`.
struct ipv4_beginning {
	__u16 unused;
	struct macs macs;
	__be16 ethertype;
	struct ipv4_header ip;
	__be16 ports[2];
};

struct ipv6_beginning {
	__u16 unused;
	struct macs macs;
	__be16 ethertype;
	struct ipv6_header ip;
	__be16 ports[2];
};

// new_ports says whether there are any, and sets them; changed is by how much their sum does.
static __always_inline int new_ports(const struct packet *p, const struct decision *d, __be16 *ports, sum *changed)
{
	__be16 source = p->key.ends >> 16, destination = p->key.ends;

	ports[0] = d->rewrite & REWRITE_SOURCE_PORT ? d->source_port : source;
	ports[1] = d->rewrite & REWRITE_DESTINATION_PORT ? d->destination_port : destination;
	if (!(d->rewrite & (REWRITE_SOURCE_PORT | REWRITE_DESTINATION_PORT)))
		return 0;
	*changed = replaced(source, ports[0]) + replaced(destination, ports[1]);
	return p->protocol == PROTOCOL_TCP || p->protocol == PROTOCOL_UDP;
}

// rewrite_identifier is for ICMP echo messages, in which it stands where others have ports.
static __always_inline long rewrite_identifier(struct __sk_buff *skb, const struct packet *p, const struct decision *d, __u32 offset)
{
	if (!(d->rewrite & REWRITE_SOURCE_PORT) || (p->protocol != PROTOCOL_ICMP && p->protocol != PROTOCOL_ICMPV6))
		return 0;
	return bpf_skb_store_bytes(skb, offset, &d->source_port, sizeof(d->source_port), 0);
}

// rewrite_checksum tells the upper layer's checksum by how much the sums of addresses and ports changed. It takes a call for each,
// because in a packet whose checksum is still to be completed the addresses are in it and the ports are not.
static __always_inline long rewrite_checksum(struct __sk_buff *skb, const struct checksum *c, sum addresses, sum ports)
{
	long refused = 0;

	if (c->offset && c->pseudo && addresses)
		refused |= bpf_l4_csum_replace(skb, c->offset, 0, fold(addresses), c->pseudo | c->flags);
	if (c->offset && ports)
		refused |= bpf_l4_csum_replace(skb, c->offset, 0, fold(ports), c->flags);
	return refused;
}

// write_beginning writes the new beginning of a frame, up to the upper layer's header and the ports in it.
static __always_inline long write_beginning(struct __sk_buff *skb, const struct packet *p, const struct decision *d, __u32 upper,
					    sum addresses, const struct macs *frame, __be16 *ports)
{
	struct checksum c = checksum_of(p->protocol, upper);
	sum changed = 0;
	__u32 size = upper;

	if (new_ports(p, d, ports, &changed))
		size += 2 * sizeof(*ports);
	return rewrite_checksum(skb, &c, addresses, changed) | rewrite_identifier(skb, p, d, upper + 4) |
	       bpf_skb_store_bytes(skb, 0, frame, size, 0);
}

static __always_inline long translate_ipv4(struct __sk_buff *skb, const struct packet *p, const struct decision *d)
{
	const __u32 upper = ETHERNET_SIZE + IPV4_SIZE;
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ipv4_beginning b = {.macs = d->macs, .ethertype = ETHERTYPE_IPV4};
	sum addresses = 0, header;
	__u8 ttl;

	if (data + upper > end)
		return -1; // parsed without having been there
	__builtin_memcpy(&b.ip, data + ETHERNET_SIZE, sizeof(b.ip));
	if (d->rewrite & REWRITE_SOURCE) {
		addresses += replaced(b.ip.source, d->source.word[3]);
		b.ip.source = d->source.word[3];
	}
	if (d->rewrite & REWRITE_DESTINATION) {
		addresses += replaced(b.ip.destination, d->destination.word[3]);
		b.ip.destination = d->destination.word[3];
	}
	ttl = b.ip.ttl - (d->rewrite >> REWRITE_HOPS_SHIFT);
	header = addresses + replaced(bpf_htons(b.ip.ttl << 8), bpf_htons(ttl << 8));
	b.ip.ttl = ttl;
	b.ip.checksum = ~fold_whole(header + (__u16)~b.ip.checksum);
	return write_beginning(skb, p, d, upper, addresses, &b.macs, b.ports);
}

// set_address returns by how much the sum over the address changes.
static __always_inline sum set_address(struct address *a, const struct address *new)
{
	sum changed = 0;

	for (int i = 0; i < 4; i++)
		changed += replaced(a->word[i], new->word[i]);
	*a = *new;
	return changed;
}

static __always_inline long translate_ipv6(struct __sk_buff *skb, const struct packet *p, const struct decision *d)
{
	const __u32 upper = ETHERNET_SIZE + IPV6_SIZE;
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ipv6_beginning b = {.macs = d->macs, .ethertype = ETHERTYPE_IPV6};
	sum addresses = 0;

	if (data + upper > end)
		return -1; // parsed without having been there
	__builtin_memcpy(&b.ip, data + ETHERNET_SIZE, sizeof(b.ip));
	if (d->rewrite & REWRITE_SOURCE)
		addresses += set_address(&b.ip.source, &d->source);
	if (d->rewrite & REWRITE_DESTINATION)
		addresses += set_address(&b.ip.destination, &d->destination);
	b.ip.hop_limit -= d->rewrite >> REWRITE_HOPS_SHIFT;
	return write_beginning(skb, p, d, upper, addresses, &b.macs, b.ports);
}

// translate writes new addresses and ports, counts the TTL down, and addresses the frame. A function of its own, as most packets have
// no need of it.
static __noinline long translate(struct __sk_buff *skb, const struct packet *p, const struct decision *d)
{
	return version(p) == 4 ? translate_ipv4(skb, p, d) : translate_ipv6(skb, p, d);
}

// rewrite makes the packet what its receiver is to see, Ethernet header included.
static __always_inline long rewrite(struct __sk_buff *skb, const struct packet *p, const struct decision *d)
{
	if (d->rewrite)
		return translate(skb, p, d);
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
