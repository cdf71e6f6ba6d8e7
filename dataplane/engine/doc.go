// Package engine decides the packets that the fast path hands up: it decodes a packet, finds or begins its connection, walks the
// network, applies the result and offloads it. It owns the flow table, what interfaces track, and the counters' slots. It knows neither
// devices nor eBPF, and time is handed to it.
package engine
