// Package flow holds the words that the engine and the eBPF program share: the key of a flow, the verdict cached for it, the
// counters kept beside it, the timeouts and the drop reasons. It decides nothing and does no I/O.
package flow

//go:generate go run ./internal/genreasons
