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

static __always_inline long rewrite_ipv4(struct __sk_buff *skb, const struct packet *p, __u32 offset, __be32 old, __be32 new)
{
	long refused = 0;

	if (p->checksum && p->pseudo)
		refused |= bpf_l4_csum_replace(skb, p->checksum, old, new, p->pseudo | p->mangled | sizeof(new));
	refused |= bpf_l3_csum_replace(skb, ETHERNET_SIZE + offsetof(struct ipv4_header, checksum), old, new, sizeof(new));
	return refused | bpf_skb_store_bytes(skb, ETHERNET_SIZE + offset, &new, sizeof(new), 0);
}

static __always_inline long rewrite_ipv6(struct __sk_buff *skb, const struct packet *p, __u32 offset,
					 const struct address *old, const struct address *new)
{
	long refused = 0;

	if (p->checksum) {
		__s64 difference = bpf_csum_diff((__be32 *)old->word, sizeof(*old), (__be32 *)new->word, sizeof(*new), 0);

		if (difference < 0)
			return difference;
		refused |= bpf_l4_csum_replace(skb, p->checksum, 0, difference, p->pseudo | p->mangled);
	}
	return refused | bpf_skb_store_bytes(skb, ETHERNET_SIZE + offset, new, sizeof(*new), 0);
}

static __always_inline long rewrite_port(struct __sk_buff *skb, const struct packet *p, __u32 offset, __be16 old, __be16 new)
{
	long refused = bpf_l4_csum_replace(skb, p->checksum, old, new, p->mangled | sizeof(new));

	return refused | bpf_skb_store_bytes(skb, p->upper + offset, &new, sizeof(new), 0);
}

static __always_inline long rewrite_addresses(struct __sk_buff *skb, const struct packet *p, const struct flow_entry *e)
{
	const struct flow_key *k = &p->key;
	long refused = 0;

	if (k->family == 4) {
		if (e->rewrite & REWRITE_SOURCE)
			refused |= rewrite_ipv4(skb, p, offsetof(struct ipv4_header, source), k->source.word[3], e->source.word[3]);
		if (e->rewrite & REWRITE_DESTINATION)
			refused |= rewrite_ipv4(skb, p, offsetof(struct ipv4_header, destination), k->destination.word[3],
						e->destination.word[3]);
		return refused;
	}
	if (e->rewrite & REWRITE_SOURCE)
		refused |= rewrite_ipv6(skb, p, offsetof(struct ipv6_header, source), &k->source, &e->source);
	if (e->rewrite & REWRITE_DESTINATION)
		refused |= rewrite_ipv6(skb, p, offsetof(struct ipv6_header, destination), &k->destination, &e->destination);
	return refused;
}

static __always_inline long rewrite_ports(struct __sk_buff *skb, const struct packet *p, const struct flow_entry *e)
{
	const struct flow_key *k = &p->key;
	long refused = 0;

	switch (k->protocol) {
	case PROTOCOL_TCP:
	case PROTOCOL_UDP:
		if (e->rewrite & REWRITE_SOURCE_PORT)
			refused |= rewrite_port(skb, p, 0, k->source_port, e->source_port);
		if (e->rewrite & REWRITE_DESTINATION_PORT)
			refused |= rewrite_port(skb, p, 2, k->destination_port, e->destination_port);
		break;
	case PROTOCOL_ICMP:
	case PROTOCOL_ICMPV6:
		if (e->rewrite & REWRITE_SOURCE_PORT)
			refused |= rewrite_port(skb, p, 4, k->source_port, e->source_port);
		break;
	}
	return refused;
}

// rewrite makes the packet what its receiver is to see, Ethernet header included.
static __always_inline long rewrite(struct __sk_buff *skb, const struct packet *p, const struct flow_entry *e)
{
	long refused = 0;

	if (e->rewrite) {
		refused |= rewrite_addresses(skb, p, e);
		refused |= rewrite_ports(skb, p, e);
	}
	return refused | bpf_skb_store_bytes(skb, 0, &e->macs, sizeof(e->macs), 0);
}

// arrive sets what the receiver's kernel would have set, had the packet come in by the wire. Older kernels do not clear marks
// on a peer redirect.
static __always_inline long arrive(struct __sk_buff *skb)
{
	skb->mark = 0;
	skb->priority = 0;
	return skb->pkt_type == PACKET_HOST ? 0 : bpf_skb_change_type(skb, PACKET_HOST);
}
