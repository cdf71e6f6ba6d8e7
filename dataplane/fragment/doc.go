// Package fragment remembers the fragments of packets, so that each is judged as its first one was: only that has ports. It holds copies of
// those that come too early, and keeps what overlaps away from receivers. It reassembles nothing, decides nothing about packets,
// and knows the time only as an argument.
package fragment
