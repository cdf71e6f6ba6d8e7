// SPDX-License-Identifier: GPL-2.0-only OR MIT
//
// From a frame to a flow key: the door, and the headers behind it.

#pragma once

#include <bpf/bpf_helpers.h>
#include <linux/if_ether.h>

#include "config.h"
#include "reasons.h"
#include "types.h"

// An outcome is what a stage decides: to go on, or how the packet ends. Every value below REASON_STRIDE is a drop for that
// reason; REASON_NONE is the end of a control packet that the fabric itself consumed.
typedef __u32 outcome;

enum {
	NEXT = REASON_STRIDE,
	UPCALL,	 // to the engine
	ANSWER,	 // the packet has become its own answer: back to the guest
	DELIVER, // to the entry's receiver
	RESOLVE, // an ARP message
	SOLICIT, // a neighbour solicitation
};

// packet is what the stages learn of a frame.
struct packet {
	struct flow_key key;
	__u32 ip_bytes; // of the IP packet; before segmentation, if it is to be segmented
	__u32 headers;	// IP and upper-layer header bytes, which every segment repeats
	__u32 largest;	// bytes of the largest IP packet on the wire
	__u32 packets;	// on the wire
	__u64 bytes;	// on the wire, of IP
	__u8 protocol;
	__u8 tcp_flags;
	__u8 ttl; // or hop limit
};

// The headers as bytes: no bit fields, and no alignment that a frame does not have.

struct ipv4_header {
	__u8 version_size;
	__u8 tos;
	__be16 length;
	__be16 id;
	__be16 fragment;
	__u8 ttl;
	__u8 protocol;
	__u16 checksum;
	__be32 source;
	__be32 destination;
};

struct ipv6_header {
	__u8 version_class;
	__u8 class_label[3];
	__be16 payload;
	__u8 next;
	__u8 hop_limit;
	struct address source;
	struct address destination;
};

static __always_inline int same_mac(const __u8 *a, const __u8 *b)
{
	const __u16 *x = (const __u16 *)a, *y = (const __u16 *)b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2];
}

static __always_inline int broadcast_mac(const __u8 *mac)
{
	const __u16 *m = (const __u16 *)mac;

	return (m[0] & m[1] & m[2]) == 0xffff;
}

static __always_inline void mapped(struct address *a, __be32 ipv4)
{
	a->word[0] = 0;
	a->word[1] = 0;
	a->word[2] = bpf_htonl(0xffff);
	a->word[3] = ipv4;
}

// mapped_half is the second half of mapped, in one word.
static __always_inline __u64 mapped_half(__be32 ipv4)
{
	const __be32 half[2] = {bpf_htonl(0xffff), ipv4};
	__u64 word;

	__builtin_memcpy(&word, half, sizeof(word));
	return word;
}

static __always_inline int unspecified(const struct address *a)
{
	return (a->word[0] | a->word[1] | a->word[2] | a->word[3]) == 0;
}

// short_packet is the fate of a packet whose IP header is not all there. The engine sees no ethertype, so that only the door can
// tell a packet of the other version.
static __always_inline outcome short_packet(const __u8 *ip, void *end, __u8 version)
{
	if ((void *)(ip + 1) > end)
		return REASON_MALFORMED_FRAME;
	return *ip >> 4 == version ? UPCALL : REASON_MALFORMED_PACKET;
}

// door_ipv4 refuses what the whole subnet would hear.
static __always_inline outcome door_ipv4(const struct ethhdr *eth, void *end)
{
	const struct ipv4_header *ip = (void *)(eth + 1);

	if (unlikely(eth->h_dest[0] & 1))
		return broadcast_mac(eth->h_dest) ? REASON_BROADCAST_UNSUPPORTED : REASON_MULTICAST_UNSUPPORTED;
	if (unlikely((void *)(ip + 1) > end))
		return short_packet(&ip->version_size, end, 4);
	if (unlikely(ip->version_size >> 4 != 4))
		return REASON_MALFORMED_PACKET;
	if (unlikely(ip->destination == 0xffffffff))
		return REASON_BROADCAST_UNSUPPORTED;
	if (unlikely((ip->destination & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000)))
		return REASON_MULTICAST_UNSUPPORTED;
	return NEXT;
}

// control_icmpv6 sorts out the messages of the link itself. Of neighbour discovery only solicitations deserve an answer: the
// router sends no advertisements, so that guests get their routes from their configuration, and it needs no announcement of
// addresses, since it knows who has which.
static __always_inline outcome control_icmpv6(__u8 type)
{
	switch (type) {
	case ICMPV6_NEIGHBOR_SOLICITATION:
		return SOLICIT;
	case ICMPV6_NEIGHBOR_ADVERTISEMENT:
	case ICMPV6_ROUTER_SOLICITATION:
		return REASON_NONE;
	}
	return NEXT;
}

// listener_report recognises MLD (RFC 3810), which hides behind a hop-by-hop header of eight bytes with a router alert.
static __always_inline int listener_report(const __u8 *extension, void *end)
{
	__u8 type;

	if ((void *)(extension + 9) > end || extension[0] != PROTOCOL_ICMPV6 || extension[1] != 0)
		return 0;
	type = extension[8];
	return (type >= ICMPV6_LISTENER_QUERY && type <= ICMPV6_LISTENER_DONE) || type == ICMPV6_LISTENER_REPORT_V2;
}

// door_ipv6 finds the control packets of the link, and refuses all other multicast.
static __always_inline outcome door_ipv6(const struct ethhdr *eth, void *end)
{
	const struct ipv6_header *ip = (void *)(eth + 1);
	const __u8 *upper = (void *)(ip + 1);
	int group = eth->h_dest[0] & 1;

	if (unlikely((void *)(ip + 1) > end)) {
		outcome o = short_packet(&ip->version_class, end, 6);

		return o == UPCALL && group ? REASON_MULTICAST_UNSUPPORTED : o;
	}
	if (unlikely(ip->version_class >> 4 != 6))
		return REASON_MALFORMED_PACKET;
	if (unlikely(ip->next == PROTOCOL_ICMPV6 && (void *)(upper + 1) <= end)) {
		outcome control = control_icmpv6(*upper);

		if (control != NEXT)
			return control;
	}
	if (!unlikely(group || *(const __u8 *)&ip->destination == 0xff))
		return NEXT;
	if (ip->next == PROTOCOL_HOP_BY_HOP && listener_report(upper, end))
		return REASON_NONE;
	return REASON_MULTICAST_UNSUPPORTED;
}

// parse_ipv4 leaves options, fragments, and what a router has to refuse, to the engine.
static __always_inline outcome parse_ipv4(struct packet *p, const struct ipv4_header *ip)
{
	p->ttl = ip->ttl;
	if (unlikely(ip->version_size != 0x45 || (ip->fragment & bpf_htons(0x3fff)) || ip->ttl == 0))
		return UPCALL;
	// ICMPv6 without IPv6 is a protocol number like any other, but its tuple could be taken for an echo's.
	if (unlikely(ip->protocol == PROTOCOL_ICMPV6))
		return UPCALL;
	p->protocol = ip->protocol;
	p->ip_bytes = bpf_ntohs(ip->length);
	p->headers = IPV4_SIZE;
	p->key.network = 4 << 8 | ip->protocol;
	p->key.source[1] = mapped_half(ip->source);
	p->key.destination[1] = mapped_half(ip->destination);
	return NEXT;
}

// extends tells the next headers that are no upper layer, and ICMP, which is none without IPv4.
static __always_inline int extends(__u8 next)
{
	switch (next) {
	case PROTOCOL_HOP_BY_HOP:
	case PROTOCOL_ICMP:
	case PROTOCOL_ROUTING:
	case PROTOCOL_FRAGMENT:
	case PROTOCOL_NO_NEXT_HEADER:
	case PROTOCOL_DESTINATION_OPTIONS:
	case PROTOCOL_MOBILITY:
	case PROTOCOL_HIP:
	case PROTOCOL_SHIM6:
		return 1;
	}
	return 0;
}

static __always_inline outcome parse_ipv6(struct packet *p, const struct ipv6_header *ip)
{
	const __u64 *source = (const void *)&ip->source, *destination = (const void *)&ip->destination;

	p->ttl = ip->hop_limit;
	if (unlikely(ip->hop_limit == 0 || extends(ip->next)))
		return UPCALL;
	p->protocol = ip->next;
	p->ip_bytes = IPV6_SIZE + bpf_ntohs(ip->payload);
	p->headers = IPV6_SIZE;
	p->key.network = 6 << 8 | ip->next;
	p->key.source[0] = source[0];
	p->key.source[1] = source[1];
	p->key.destination[0] = destination[0];
	p->key.destination[1] = destination[1];
	return NEXT;
}

// version is the family of a packet whose IP header was read.
static __always_inline int version(const struct packet *p)
{
	return p->key.network >> 8;
}

static __always_inline void set_ports(struct packet *p, __be16 source, __be16 destination)
{
	p->key.ends |= (__u32)source << 16 | destination;
}

static __always_inline outcome parse_tcp(struct packet *p, const __u8 *tcp, void *end)
{
	__u32 size;

	if (unlikely((void *)(tcp + TCP_SIZE) > end))
		return UPCALL;
	size = tcp[12] >> 4 << 2;
	if (unlikely(size < TCP_SIZE))
		return UPCALL;
	set_ports(p, *(__be16 *)tcp, *(__be16 *)(tcp + 2));
	p->tcp_flags = tcp[13];
	p->headers += size;
	return NEXT;
}

static __always_inline outcome parse_udp(struct packet *p, const __u8 *udp, void *end)
{
	__u32 length;

	if (unlikely((void *)(udp + UDP_SIZE) > end))
		return UPCALL;
	length = bpf_ntohs(*(__be16 *)(udp + 4));
	if (unlikely(length < UDP_SIZE || p->headers + length > p->ip_bytes))
		return UPCALL;
	set_ports(p, *(__be16 *)udp, *(__be16 *)(udp + 2));
	p->headers += UDP_SIZE;
	return NEXT;
}

// parse_icmp takes echo messages only. Their code is not part of the key, so one that is not 0 goes to the engine.
static __always_inline outcome parse_icmp(struct packet *p, const __u8 *icmp, void *end, __u8 request, __u8 reply)
{
	if ((void *)(icmp + ICMP_SIZE) > end)
		return UPCALL;
	if ((icmp[0] != request && icmp[0] != reply) || icmp[1] != 0)
		return UPCALL;
	set_ports(p, *(__be16 *)(icmp + 4), bpf_htons(icmp[0]));
	p->headers += ICMP_SIZE;
	return NEXT;
}

static __always_inline outcome parse_upper(struct packet *p, const __u8 *upper, void *end)
{
	switch (p->protocol) {
	case PROTOCOL_TCP:
		return parse_tcp(p, upper, end);
	case PROTOCOL_UDP:
		return parse_udp(p, upper, end);
	case PROTOCOL_ICMP:
		return parse_icmp(p, upper, end, ICMP_ECHO_REQUEST, ICMP_ECHO_REPLY);
	case PROTOCOL_ICMPV6:
		return parse_icmp(p, upper, end, ICMPV6_ECHO_REQUEST, ICMPV6_ECHO_REPLY);
	}
	return NEXT;
}

// measure counts the packet as the wire will: each segment of a GSO packet repeats the headers. The length in the header decides,
// because a short frame is padded; it may not promise more than the frame holds, nor less than the headers.
static __always_inline outcome measure(const struct __sk_buff *skb, struct packet *p)
{
	__u32 have = skb->len - ETHERNET_SIZE, segment = skb->gso_size;

	if (unlikely(p->ip_bytes < p->headers || p->ip_bytes > have))
		return UPCALL;
	p->packets = 1;
	p->bytes = p->largest = p->ip_bytes;
	if (segment) {
		// Of other protocols it is not known what each segment repeats: the engine receives the segments. Padding there is none.
		if ((p->protocol != PROTOCOL_TCP && p->protocol != PROTOCOL_UDP) || p->ip_bytes != have)
			return UPCALL;
		// A packet that a guest makes from a virtio header has a size without a number.
		p->packets = skb->gso_segs ?: (p->ip_bytes - p->headers + segment - 1) / segment ?: 1;
		p->bytes += (__u64)(p->packets - 1) * p->headers;
		p->largest = segment + p->headers;
	}
	return NEXT;
}

// measure_frame counts a frame whose headers are not understood as one packet of all that follows its Ethernet header.
static __always_inline void measure_frame(const struct __sk_buff *skb, struct packet *p)
{
	p->packets = skb->gso_segs ?: 1;
	p->bytes = skb->len - ETHERNET_SIZE;
}

// parse_ip passes an IP packet through its door and reads its headers. The verifier wants each upper layer at an offset that it
// knows.
static __always_inline outcome parse_ip(struct packet *p, const struct ethhdr *eth, void *end)
{
	void *ip = (void *)(eth + 1);
	outcome o;

	if (eth->h_proto == ETHERTYPE_IPV4) {
		o = door_ipv4(eth, end);
		if (o == NEXT)
			o = parse_ipv4(p, ip);
		if (o == NEXT)
			o = parse_upper(p, ip + IPV4_SIZE, end);
	} else {
		o = door_ipv6(eth, end);
		if (o == NEXT)
			o = parse_ipv6(p, ip);
		if (o == NEXT)
			o = parse_upper(p, ip + IPV6_SIZE, end);
	}
	return o;
}

// parse drops by name what no VPC carries, finds what the fabric answers itself, and reads the headers of all else.
static __always_inline outcome parse(struct __sk_buff *skb, const struct attachment *from, struct packet *p)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const struct ethhdr *eth = data;
	outcome o;

	if (unlikely((void *)(eth + 1) > end))
		return REASON_MALFORMED_FRAME;
	// The kernel has taken the outer tag out of the frame; a second one is still in it.
	if (unlikely(skb->vlan_present || eth->h_proto == ETHERTYPE_VLAN || eth->h_proto == ETHERTYPE_QINQ))
		return REASON_VLAN_TAGGED;
	if (unlikely(!same_mac(eth->h_source, from->guest_mac)))
		return REASON_SOURCE_MAC_MISMATCH;
	switch (eth->h_proto) {
	case ETHERTYPE_IPV4:
	case ETHERTYPE_IPV6:
		p->key.ends = (__u64)from->index << 32;
		o = parse_ip(p, eth, end);
		return o == NEXT ? measure(skb, p) : o;
	case ETHERTYPE_ARP:
		return RESOLVE;
	}
	return REASON_UNSUPPORTED_ETHERTYPE;
}
