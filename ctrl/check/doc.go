// Package check runs the checks of a scenario inside a lab's namespaces and judges what came back; the built-in listeners and the
// programs of its nodes are here too. It knows sockets and processes, not how the lab is built or how packets are decided.
package check
