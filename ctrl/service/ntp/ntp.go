// Package ntp is the Amazon Time Sync Service of a lab: it answers SNTP requests (RFC 4330, and the server's side of RFC 5905) at
// 169.254.169.123 and fd00:ec2::123 with the lab's time. It sets no clock, has no other servers to ask, smears no leap seconds and
// authenticates nobody.
package ntp

import (
	"encoding/binary"
	"time"
)

const (
	size   = 48 // bytes of a packet without extensions
	client = 3  // modes
	server = 4
	// stratum of AWS's service as instances see it, and its reference: itself, as there is nothing behind it.
	stratum = 3
	// precision of the lab's clock: 2^-20 s, about a microsecond.
	precision = -20
)

var reference = [4]byte{169, 254, 169, 123}

// Offsets of a packet's fields (RFC 5905, figure 8).
const (
	atStratum, atPoll, atPrecision             = 1, 2, 3
	atReference, atUpdated                     = 12, 16
	atOriginate, atReceive, atTransmit, toHere = 24, 32, 40, 48
)

// reply is the answer to a packet that was received at a time; the time of transmission is still missing. false: it is no request of a
// client. Extensions and authenticators are not looked at.
func reply(p []byte, received time.Time) ([]byte, bool) {
	if len(p) < size {
		return nil, false
	}
	version, mode := p[0]>>3&7, p[0]&7
	if mode != client || version < 1 || version > 4 {
		return nil, false
	}
	a := make([]byte, size)
	a[0] = version<<3 | server
	a[atStratum], a[atPoll], a[atPrecision] = stratum, p[atPoll], byte(256+precision)
	copy(a[atReference:], reference[:])
	put(a[atUpdated:], received.Truncate(time.Minute))
	copy(a[atOriginate:atReceive], p[atTransmit:toHere])
	put(a[atReceive:], received)
	return a, true
}

// sent fills in the time of transmission.
func sent(a []byte, now time.Time) { put(a[atTransmit:], now) }

// epoch is 1900 by the Unix clock, in seconds.
const epoch = -2208988800

// put writes a timestamp: seconds since 1900 in 32 bits, which begin anew in 2036, and the fraction in 32 more.
func put(b []byte, t time.Time) {
	binary.BigEndian.PutUint32(b, uint32(t.Unix()-epoch))
	binary.BigEndian.PutUint32(b[4:], uint32(uint64(t.Nanosecond())<<32/1e9))
}
