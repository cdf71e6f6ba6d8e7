// Package packet reads the headers of an IP packet, edits them with the checksums kept right, cuts packets into fragments, translates
// between IPv4 and IPv6, and builds the answers that a router gives by itself: ICMP errors and resets. It does not verify
// checksums, reassemble fragments, limit rates or decide anything.
package packet
