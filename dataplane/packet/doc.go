// Package packet reads the headers of an IP packet and edits addresses and ports in place with the checksums kept right. It does not
// build packets, verify checksums, reassemble fragments or decide anything.
package packet
