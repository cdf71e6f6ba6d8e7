// Package fabric is a VPC as packets meet it: the immutable compiled Network of one revision, and the walk of a packet over it, hop by
// hop, to a verdict with a reason. It keeps no state and does no I/O; what is remembered of connections is handed to it.
package fabric
