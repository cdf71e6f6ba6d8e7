// SPDX-License-Identifier: GPL-2.0-only OR MIT
//
// The fast path. It decides nothing: it answers for neighbours, looks up what the engine has decided, and otherwise asks the
// engine.
//
//	guest ── eN ──[from_eni]──┬─ control, broadcast, foreign MAC … ── answered, or dropped by name
//	                          ├─ entry: count, rewrite ────────────── peer redirect into the receiver's NIC
//	                          └─ no valid entry: upcall ── tN ── engine ── tM ──[to_eni]── peer redirect into the receiver's NIC

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "lib/config.h"
#include "lib/types.h"
#include "lib/maps.h"
#include "lib/parse.h"
#include "lib/count.h"
#include "lib/rewrite.h"
#include "lib/neighbor.h"

#define barrier() asm volatile("" ::: "memory")

static __always_inline __u64 mixed(__u64 word)
{
	return word ^ word >> 32;
}

// digest condenses a key to a word, by which its entry is found: the kernel takes half the time to find an eight-byte key. Two keys
// of one digest displace each other's entries, which costs time and nothing else. The high bits of a word are mixed into the low
// ones, or any two keys that differ in the highest bits of two words would meet. fastpath computes the same.
static __always_inline __u64 digest(const struct flow_key *k)
{
	return mixed(k->ends) * 0x9e3779b97f4a7c15 + k->network * 0xbf58476d1ce4e5b9 +
	       mixed(k->source[0]) * 0x94d049bb133111eb + mixed(k->source[1]) * 0xff51afd7ed558ccd +
	       mixed(k->destination[0]) * 0xc4ceb9fe1a85ec53 + mixed(k->destination[1]) * 0xd6e8feb86659fd93;
}

static __always_inline int same_key(const struct flow_key *a, const struct flow_key *b)
{
	return !((a->ends ^ b->ends) | (a->network ^ b->network) | (a->source[0] ^ b->source[0]) | (a->source[1] ^ b->source[1]) |
		 (a->destination[0] ^ b->destination[0]) | (a->destination[1] ^ b->destination[1]));
}

static __always_inline __u64 read_now(const __u64 *word)
{
	return *(volatile const __u64 *)word;
}

static __always_inline int current(const struct domain *d)
{
	__u32 index = d->index;
	struct generation_cell *cell = bpf_map_lookup_elem(&generations, &index);

	return cell && cell->generation == d->generation;
}

static __always_inline int same_domain(const struct domain *a, const struct domain *b)
{
	return a->index == b->index && a->generation == b->generation;
}

// all_current is about the VPC of either end, which mostly is one.
static __always_inline int all_current(const struct domain *domains)
{
	return current(&domains[0]) && (same_domain(&domains[0], &domains[1]) || current(&domains[1]));
}

// suits_state is for packets to which it matters how far the connection is: a SYN, and the first after some silence.
static __always_inline int suits_state(const struct flow_entry *e, const struct packet *p, __u32 slot, const struct counters *own,
				       __u64 now)
{
	__u32 opposite = slot ^ 1;
	const struct counters *peer = bpf_map_lookup_elem(&slots, &opposite);
	enum flow_state state;

	if (!peer)
		return 0;
	state = flow_state(p->protocol, own, peer);
	if (idle_for(own, peer, now) > e->idle[state])
		return 0;
	// A SYN begins a connection: it never rides an old one, nor the refusal of a packet that belonged to none.
	return !begins(p) || (state == STATE_OPENING && e->decision.reason != REASON_NO_TRACKED_CONNECTION);
}

// hit is an entry that holds for a packet.
struct hit {
	struct decision decision;
	struct counters *own; // of the packet's direction
	__u64 now;
};

// look_up finds the packet's entry, and whether it still holds for this packet.
static __always_inline outcome look_up(const struct packet *p, struct hit *hit)
{
	__u64 key = digest(&p->key), installation;
	const struct flow_entry *e = bpf_map_lookup_elem(&flows, &key);
	__u32 slot;

	if (!e)
		return UPCALL;
	installation = read_now(&e->installation);
	barrier();
	if (!same_key(&e->key, &p->key) || !all_current(e->domains) || p->largest > e->mtu)
		return UPCALL;
	slot = e->slot;
	hit->own = bpf_map_lookup_elem(&slots, &slot);
	if (!hit->own)
		return UPCALL;
	__builtin_memcpy(&hit->decision, &e->decision, offsetof(struct decision, source));
	if (unlikely(hit->decision.rewrite)) {
		__u8 hops = hit->decision.rewrite >> REWRITE_HOPS_SHIFT;

		// A packet that would not survive its way is for the engine to tell of.
		if (p->ttl <= hops || ((hit->decision.rewrite & REWRITE_MSS) && (p->tcp_flags & TCP_SYN)))
			return UPCALL;
		hit->decision.source = e->decision.source;
		hit->decision.destination = e->decision.destination;
	}

	// As late as may be: the clock waits for all that was begun before it, and so do the counters, which come next.
	hit->now = bpf_ktime_get_ns();
	if (hit->now > e->expires)
		return UPCALL;
	// After less than the least limit there is no need to ask for the state.
	if (unlikely(begins(p) || hit->now - hit->own->last > e->patience) && !suits_state(e, p, slot, hit->own, hit->now))
		return UPCALL;
	barrier();
	return read_now(&e->end) == installation && read_now(&e->installation) == installation ? NEXT : UPCALL;
}

// follow does what the entry says. The slot counts every packet of the flow; of those, the drop counter counts the ones that
// end here.
static __always_inline outcome follow(struct __sk_buff *skb, const struct packet *p, const struct hit *hit)
{
	const struct decision *d = &hit->decision;

	count_flow(hit->own, p, hit->now);
	if (d->verdict != VERDICT_DELIVER)
		return d->reason & (REASON_STRIDE - 1);
	if (rewrite(skb, p, d) || arrive(skb))
		return REASON_DELIVERY_FAILED;
	return DELIVER;
}

// reachable says whether the headers can be read in place, as far as the frame has them.
static __always_inline int reachable(const struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	return data + HEADERS <= end || skb->len <= end - data;
}

// parse_whole is parse for a frame that was not understood, and of whose headers a part lies elsewhere in memory. The guest's kernel
// puts them together, so that this is rare; and putting them together here may cost more than all else.
static __noinline outcome parse_whole(struct __sk_buff *skb, const struct attachment *from, struct packet *p)
{
	if (bpf_skb_pull_data(skb, skb->len < HEADERS ? skb->len : HEADERS))
		return REASON_DELIVERY_FAILED;
	return parse(skb, from, p);
}

// from_eni sees at eN what the guest sends.
SEC("tcx/ingress")
int from_eni(struct __sk_buff *skb)
{
	const struct attachment *from = attachment_of(skb->ifindex);
	struct packet p = {};
	struct hit hit = {};
	outcome o;

	if (!from || !from->index) // fastpath attaches the program after the entry, and removes it before
		return TC_ACT_SHOT;
	o = parse(skb, from, &p);
	if (unlikely(o != NEXT && !reachable(skb)))
		o = parse_whole(skb, from, &p);
	if (o == NEXT) {
		o = look_up(&p, &hit);
		if (o == NEXT && hit.own)
			o = follow(skb, &p, &hit);
	} else {
		measure_frame(skb, &p);
		if (o == RESOLVE)
			o = answer_arp(skb, from);
		if (o == SOLICIT)
			o = answer_solicitation(skb, from);
	}

	switch (o) {
	case DELIVER:
		return bpf_redirect_peer(hit.decision.out, 0);
	case UPCALL:
		return bpf_redirect(from->tun, 0);
	case ANSWER:
		count_drop(from->index, REASON_NONE, p.packets, p.bytes);
		// Not by way of eN's queue: for up to a second after the link came up there is none, and the first answer would be lost.
		return bpf_redirect_peer(from->veth, 0);
	default:
		count_drop(from->index, o, p.packets, p.bytes);
		return TC_ACT_SHOT;
	}
}

// to_eni sees at tN what the engine delivers. The engine has counted it.
SEC("tcx/ingress")
int to_eni(struct __sk_buff *skb)
{
	const struct attachment *to = attachment_of(skb->ifindex);
	__u32 bytes = skb->len, packets = skb->gso_segs ?: 1;
	struct ethhdr eth = {.h_proto = skb->protocol};

	if (!to || !to->index)
		return TC_ACT_SHOT;
	__builtin_memcpy(eth.h_dest, to->guest_mac, ETH_ALEN);
	__builtin_memcpy(eth.h_source, to->router_mac, ETH_ALEN);
	if (bpf_skb_change_head(skb, sizeof(eth), 0) || bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0) || arrive(skb)) {
		count_drop(to->index, REASON_DELIVERY_FAILED, packets, bytes);
		return TC_ACT_SHOT;
	}
	return bpf_redirect_peer(to->veth, 0);
}

char __license[] SEC("license") = "Dual MIT/GPL";
