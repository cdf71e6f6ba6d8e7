// Package check runs the checks of a scenario inside a lab's namespaces and judges what came back. It knows sockets, not how the
// lab is built or how packets are decided.
package check
