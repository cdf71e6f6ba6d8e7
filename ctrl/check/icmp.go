package check

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// icmpError is one ICMP error message, learned from a socket's error queue or from a captured packet.
type icmpError struct {
	proto      uint8 // flow.ICMP or flow.ICMPv6
	kind, code uint8
	mtu        int // bytes; 0 unless the message carries one
	from       netip.Addr
}

// The error types of ICMP (RFC 792) and ICMPv6 (RFC 4443), and the codes that are told apart.
const (
	icmpUnreachable     = 3
	icmpSourceQuench    = 4
	icmpTimeExceeded    = 11
	icmpParameter       = 12
	icmpHostUnreachable = 1 // code
	icmpPortUnreachable = 3 // code
	icmpFragNeeded      = 4 // code

	icmp6Unreachable     = 1
	icmp6TooBig          = 2
	icmp6TimeExceeded    = 3
	icmp6Parameter       = 4
	icmp6AddrUnreachable = 3 // code
	icmp6PortUnreachable = 4 // code
)

func (e icmpError) is(kind4, code4, kind6, code6 uint8) bool {
	if e.proto == flow.ICMP {
		return e.kind == kind4 && e.code == code4
	}
	return e.kind == kind6 && e.code == code6
}

// isError reports whether the message is one of the errors that quote a packet.
func (e icmpError) isError() bool {
	if e.proto == flow.ICMP {
		switch e.kind {
		case icmpUnreachable, icmpSourceQuench, icmpTimeExceeded, icmpParameter:
			return true
		}
		return false
	}
	return e.kind >= icmp6Unreachable && e.kind <= icmp6Parameter
}

// outcome is `refused` for a closed port and `unreachable` for everything else.
func (e icmpError) outcome() scenario.Outcome {
	if e.is(icmpUnreachable, icmpPortUnreachable, icmp6Unreachable, icmp6PortUnreachable) {
		return scenario.Refused
	}
	return scenario.Unreachable
}

// neighbourFailed reports whether no packet carried this error: the sender's own kernel made it up because ARP or neighbour discovery
// found nobody. It then comes from an address of the sender itself.
func (e icmpError) neighbourFailed(own netip.Addr) bool {
	return e.from == own && e.is(icmpUnreachable, icmpHostUnreachable, icmp6Unreachable, icmp6AddrUnreachable)
}

// end is the outcome of an operation that met this error on its way from own to remote.
func (e icmpError) end(own, remote netip.Addr) *end {
	if e.neighbourFailed(own) {
		return &end{outcome: scenario.Timeout, detail: fmt.Sprintf("nobody on the subnet answers for %s", remote)}
	}
	return &end{outcome: e.outcome(), detail: e.String(), mtu: e.mtu}
}

// String reads "ICMP host unreachable from 10.0.0.1".
func (e icmpError) String() string {
	name := fmt.Sprintf("error type %d code %d", e.kind, e.code)
	if known, ok := icmpNames[[3]uint8{e.proto, e.kind, e.code}]; ok {
		name = known
	}
	family := "ICMP"
	if e.proto == flow.ICMPv6 {
		family = "ICMPv6"
	}
	s := fmt.Sprintf("%s %s from %s", family, name, e.from)
	if e.mtu > 0 {
		s += fmt.Sprintf(", MTU %d", e.mtu)
	}
	return s
}

var icmpNames = map[[3]uint8]string{
	{flow.ICMP, icmpUnreachable, 0}:                       "network unreachable",
	{flow.ICMP, icmpUnreachable, icmpHostUnreachable}:     "host unreachable",
	{flow.ICMP, icmpUnreachable, 2}:                       "protocol unreachable",
	{flow.ICMP, icmpUnreachable, icmpPortUnreachable}:     "port unreachable",
	{flow.ICMP, icmpUnreachable, icmpFragNeeded}:          "fragmentation needed",
	{flow.ICMP, icmpUnreachable, 13}:                      "administratively prohibited",
	{flow.ICMP, icmpTimeExceeded, 0}:                      "time to live exceeded",
	{flow.ICMPv6, icmp6Unreachable, 0}:                    "no route to destination",
	{flow.ICMPv6, icmp6Unreachable, 1}:                    "administratively prohibited",
	{flow.ICMPv6, icmp6Unreachable, icmp6AddrUnreachable}: "address unreachable",
	{flow.ICMPv6, icmp6Unreachable, icmp6PortUnreachable}: "port unreachable",
	{flow.ICMPv6, icmp6TooBig, 0}:                         "packet too big",
	{flow.ICMPv6, icmp6TimeExceeded, 0}:                   "hop limit exceeded",
}

// queuedError decodes the control message that recvmsg(MSG_ERRQUEUE) returns: struct sock_extended_err, followed by the address of
// whoever sent the error (ip(7), ipv6(7)). It reports false for anything but an ICMP error.
func queuedError(oob []byte) (icmpError, bool) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return icmpError{}, false
	}
	for _, m := range messages {
		ours := m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_RECVERR ||
			m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		if ours {
			return extendedError(m.Data)
		}
	}
	return icmpError{}, false
}

// extendedError reads errno(4) origin(1) type(1) code(1) pad(1) info(4) data(4) and then a sockaddr_in or sockaddr_in6.
func extendedError(b []byte) (icmpError, bool) {
	const fixed = 16
	if len(b) < fixed+8 {
		return icmpError{}, false
	}
	e := icmpError{kind: b[5], code: b[6]}
	switch b[4] {
	case unix.SO_EE_ORIGIN_ICMP:
		e.proto = flow.ICMP
	case unix.SO_EE_ORIGIN_ICMP6:
		e.proto = flow.ICMPv6
	default:
		return icmpError{}, false
	}
	if e.is(icmpUnreachable, icmpFragNeeded, icmp6TooBig, 0) {
		e.mtu = int(binary.NativeEndian.Uint32(b[8:]))
	}
	switch sockaddr := b[fixed:]; binary.NativeEndian.Uint16(sockaddr) {
	case unix.AF_INET:
		e.from = netip.AddrFrom4([4]byte(sockaddr[4:8]))
	case unix.AF_INET6:
		if len(sockaddr) >= 24 {
			e.from = netip.AddrFrom16([16]byte(sockaddr[8:24])).Unmap()
		}
	}
	return e, true
}
