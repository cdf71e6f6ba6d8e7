// SPDX-License-Identifier: GPL-2.0-only OR MIT
//
// Counters, and the state of a connection that they tell.

#pragma once

#include <bpf/bpf_helpers.h>

#include "config.h"
#include "maps.h"
#include "parse.h"

static __always_inline void count_drop(__u32 attachment, __u32 reason, __u64 packets, __u64 bytes)
{
	__u32 i = attachment * REASON_STRIDE + (reason & (REASON_STRIDE - 1));
	struct drop_counter *d = bpf_map_lookup_elem(&drops, &i);

	if (!d)
		return;
	__sync_fetch_and_add(&d->packets, packets);
	__sync_fetch_and_add(&d->bytes, bytes);
}

// recent_flags is flow.RecentFlags: what a flow log tells of a packet's TCP flags.
static __always_inline __u32 recent_flags(__u8 flags)
{
	return flags & (TCP_FIN | TCP_SYN | TCP_RST | (flags & TCP_SYN ? TCP_ACK : 0));
}

static __always_inline void count_flow(struct counters *c, const struct packet *p, __u64 now)
{
	__sync_fetch_and_add(&c->packets, p->packets);
	__sync_fetch_and_add(&c->bytes, p->bytes);
	if (c->first == 0)
		__sync_val_compare_and_swap(&c->first, 0, now);
	c->last = now;
	// Flags seldom bring news, and an atomic operation for each packet is not free.
	if (p->tcp_flags & ~c->flags)
		__sync_fetch_and_or(&c->flags, p->tcp_flags);
	if (unlikely(recent_flags(p->tcp_flags)))
		__sync_fetch_and_or(&c->recent, recent_flags(p->tcp_flags));
}

// flow_state is flow.StateOf; a test holds the two together.
static __always_inline enum flow_state flow_state(__u8 protocol, const struct counters *own, const struct counters *peer)
{
	__u32 either = own->flags | peer->flags, both = own->flags & peer->flags;

	switch (protocol) {
	case PROTOCOL_TCP:
		if ((either & TCP_RST) || (both & TCP_FIN))
			return STATE_CLOSING;
		if (both & TCP_ACK)
			return STATE_ESTABLISHED;
		break;
	case PROTOCOL_UDP:
		if (own->packets >= 2 && peer->packets >= 2)
			return STATE_ESTABLISHED;
		break;
	}
	return STATE_OPENING;
}

// begins says whether a packet is the first of a TCP connection.
static __always_inline int begins(const struct packet *p)
{
	return (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

// idle_for is how long a connection has been silent. One whose first packet is still on its way is not idle at all.
static __always_inline __u64 idle_for(const struct counters *own, const struct counters *peer, __u64 now)
{
	__u64 last = own->last > peer->last ? own->last : peer->last;

	// Another processor may have stamped a packet after we read the clock.
	return last == 0 || last > now ? 0 : now - last;
}
