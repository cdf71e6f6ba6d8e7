// Package labtest is what tests of a running lab share: packets as they stand on the wire, a bare Ethernet tap in a guest, and
// a list of what is on the machine. It knows nothing of how a lab decides.
package labtest
