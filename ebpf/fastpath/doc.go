// Package fastpath loads the eBPF programs, attaches them to attachments' devices, and keeps the maps that they read: it
// installs and evicts what the engine decided, and shares the counters as memory. It decides nothing, allocates no slots, and
// makes no devices.
package fastpath

// Run scripts/generate-ebpf.sh rather than this line alone: it names the compiler and its flags.
//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -target bpfel,bpfeb -type address -type domain -type macs -type flow_key -type decision fabric ../bpf/vpclab.bpf.c
