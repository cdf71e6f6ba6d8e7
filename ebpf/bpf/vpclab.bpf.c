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

// seal condenses a key to a word. Keys that differ in one 64-bit word never share a seal, since every factor is odd; others do
// by a chance of 2^-64. fastpath computes the same.
static __always_inline __u64 seal(const struct flow_key *key)
{
	const __u64 *w = (const __u64 *)key;

	return w[0] * 0x9e3779b97f4a7c15 + w[1] * 0xbf58476d1ce4e5b9 + w[2] * 0x94d049bb133111eb + w[3] * 0xff51afd7ed558ccd +
	       w[4] * 0xc4ceb9fe1a85ec53 + w[5] * 0xd6e8feb86659fd93;
}

// copy_entry copies an entry that another processor may be deleting, and its memory reusing, right now. The writer fills an
// element from its beginning: a copy whose end is sealed is complete, and an original whose beginning is still sealed
// afterwards had not begun to change.
static __always_inline int copy_entry(struct flow_entry *copy, const struct flow_entry *found, __u64 expected)
{
	*copy = *found;
	barrier();
	return copy->end_seal == expected && *(volatile const __u64 *)&found->seal == expected;
}

static __always_inline int current(const struct domain *d)
{
	__u32 index = d->index;
	struct generation_cell *cell = bpf_map_lookup_elem(&generations, &index);

	return cell && cell->generation == d->generation;
}

// look_up finds the packet's entry, and whether it still holds for this packet.
static __always_inline outcome look_up(const struct __sk_buff *skb, const struct packet *p, struct flow_entry *e,
					    struct counters **own, __u64 now)
{
	const struct flow_entry *found = bpf_map_lookup_elem(&flows, &p->key);
	const struct counters *peer;
	enum flow_state state;
	__u32 slot, opposite;
	__u64 limit;

	if (!found || !copy_entry(e, found, seal(&p->key)))
		return UPCALL;
	if (!current(&e->domains[0]) || !current(&e->domains[1]))
		return UPCALL;
	if (e->expires && now > e->expires)
		return UPCALL;

	slot = e->slot;
	opposite = slot ^ 1;
	*own = bpf_map_lookup_elem(&slots, &slot);
	peer = bpf_map_lookup_elem(&slots, &opposite);
	if (!*own || !peer)
		return UPCALL;
	state = flow_state(p->key.protocol, *own, peer);
	limit = e->idle[state];
	if (limit && idle_for(*own, peer, now) > limit)
		return UPCALL;

	// A SYN begins a connection: it never rides an old one, nor the refusal of a packet that belonged to none.
	if ((p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN &&
	    (state != STATE_OPENING || e->reason == REASON_NO_TRACKED_CONNECTION))
		return UPCALL;
	if (e->mtu && (skb->gso_size ? skb->gso_size + p->headers : p->ip_bytes) > e->mtu)
		return UPCALL;
	return NEXT;
}

// follow does what the entry says. The slot counts every packet of the flow; of those, the drop counter counts the ones that
// end here.
static __always_inline outcome follow(struct __sk_buff *skb, const struct packet *p, const struct flow_entry *e,
					   struct counters *own, __u64 now)
{
	count_flow(own, p, now);
	if (e->verdict != VERDICT_DELIVER)
		return e->reason & (REASON_STRIDE - 1);
	if (rewrite(skb, p, e) || arrive(skb))
		return REASON_DELIVERY_FAILED;
	return DELIVER;
}

// reach makes the headers readable in place, as far as the frame has them.
static __always_inline long reach(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (data + HEADERS <= end || skb->len <= end - data)
		return 0;
	return bpf_skb_pull_data(skb, skb->len < HEADERS ? skb->len : HEADERS);
}

// from_eni sees at eN what the guest sends.
SEC("tcx/ingress")
int from_eni(struct __sk_buff *skb)
{
	__u32 device = skb->ifindex;
	const struct attachment *from = bpf_map_lookup_elem(&attachments, &device);
	struct packet p = {};
	struct flow_entry e;
	__u32 receiver = 0;
	outcome o;

	if (!from) // fastpath attaches the program after the entry, and removes it before
		return TC_ACT_SHOT;
	// Until the headers are understood, a frame counts as one packet of all that follows its Ethernet header.
	p.packets = skb->gso_segs ?: 1;
	p.bytes = skb->len - ETHERNET_SIZE;

	o = reach(skb) ? REASON_DELIVERY_FAILED : door(skb, from);
	if (o == RESOLVE)
		o = answer_arp(skb, from);
	if (o == SOLICIT)
		o = answer_solicitation(skb, from);
	if (o == NEXT)
		o = parse(skb, from, &p);
	if (o == NEXT) {
		struct counters *own = NULL;
		__u64 now = bpf_ktime_get_ns();

		o = look_up(skb, &p, &e, &own, now);
		if (o == NEXT && own) {
			receiver = e.out;
			o = follow(skb, &p, &e, own, now);
		}
	}

	switch (o) {
	case DELIVER:
		return bpf_redirect_peer(receiver, 0);
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
	__u32 device = skb->ifindex;
	const struct attachment *to = bpf_map_lookup_elem(&attachments, &device);
	__u32 bytes = skb->len, packets = skb->gso_segs ?: 1;
	struct ethhdr eth = {.h_proto = skb->protocol};

	if (!to)
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
