// Package compile turns a model into what the data plane looks up and what the kernel must hold. It is pure: equal input gives equal
// output; it reads no clock and does no I/O.
package compile
