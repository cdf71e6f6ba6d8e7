// SPDX-License-Identifier: GPL-2.0-only OR MIT
//
// The constants of the wire, and the sizes of maps unless the loader sets others. Headers are read by offset: the bit fields of
// <linux/ip.h> and <linux/tcp.h> follow the machine that compiles, not the target.

#pragma once

// unlikely keeps what seldom happens out of the way of a packet that has an entry: the less code lies on it, the less has to come
// from slower memory, as nearly all of the kernel runs between two packets.
#define unlikely(condition) __builtin_expect(!!(condition), 0)

#include <bpf/bpf_endian.h>

// Defaults of fastpath.Config.
#define MAX_FLOWS (1 << 20)
#define MAX_SLOTS (1 << 18)
#define MAX_ATTACHMENTS 4096
#define MAX_DOMAINS 1024
// Places for the devices of attachments, by the low bits of the interface index: a power of two.
#define DEVICES (1 << 16)
// Drop counters of one attachment: flow.ReasonStride, a power of two.
#define REASON_STRIDE 64
// Addresses of one attachment, on average over all.
#define ADDRESSES 16

#define ETHERTYPE_IPV4 bpf_htons(0x0800)
#define ETHERTYPE_ARP bpf_htons(0x0806)
#define ETHERTYPE_VLAN bpf_htons(0x8100)
#define ETHERTYPE_IPV6 bpf_htons(0x86dd)
#define ETHERTYPE_QINQ bpf_htons(0x88a8)

#define ETHERNET_SIZE 14
#define IPV4_SIZE 20
#define IPV6_SIZE 40
#define TCP_SIZE 20
#define UDP_SIZE 8
#define ICMP_SIZE 8
// The longest headers that the fast path reads.
#define HEADERS (ETHERNET_SIZE + IPV6_SIZE + TCP_SIZE)

#define PROTOCOL_HOP_BY_HOP 0
#define PROTOCOL_ICMP 1
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_ROUTING 43
#define PROTOCOL_FRAGMENT 44
#define PROTOCOL_ICMPV6 58
#define PROTOCOL_NO_NEXT_HEADER 59
#define PROTOCOL_DESTINATION_OPTIONS 60
#define PROTOCOL_MOBILITY 135
#define PROTOCOL_HIP 139
#define PROTOCOL_SHIM6 140

// TCP flag bits of the header's 14th byte (RFC 9293).
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

#define ICMP_ECHO_REPLY 0
#define ICMP_ECHO_REQUEST 8
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY 129
#define ICMPV6_LISTENER_QUERY 130
#define ICMPV6_LISTENER_DONE 132
#define ICMPV6_ROUTER_SOLICITATION 133
#define ICMPV6_NEIGHBOR_SOLICITATION 135
#define ICMPV6_NEIGHBOR_ADVERTISEMENT 136
#define ICMPV6_LISTENER_REPORT_V2 143

// From <linux/pkt_cls.h> and <linux/if_packet.h>.
#define TC_ACT_SHOT 2
#define PACKET_HOST 0
