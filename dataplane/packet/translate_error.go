package packet

import (
	"encoding/binary"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// translateError translates an ICMP error to the other family, with the packet that it quotes:
//
//	[ header | type, code, rest | quoted header | quoted beginning of the upper layer ]
//
// Extensions behind the quote (RFC 4884) are left out.
func translateError(dst, b []byte, p *Info, t Translation) ([]byte, bool) {
	to4 := p.Tuple.Family == 6
	message := b[p.L4:p.Length]
	inner := icmpHeader
	quoted := quotation(message, p)
	var q Info
	if p.Fragment || p.routed || !leadsTo(to4, t.Rewrite) || quoted == nil || quoted[inner]>>4 != p.Tuple.Family ||
		!decode(quoted, inner, &q, quote) {
		return dst, false
	}
	quoted = quoted[:min(len(quoted), inner+q.Length)]
	from := icmpHead{kind: p.ICMPType, code: p.ICMPCode, rest: binary.BigEndian.Uint32(message[4:])}
	headers := ipv6Header
	head, ok := error46(from, &q)
	if to4 {
		headers = ipv4Header
		head, ok = error64(from, &q)
	}
	if !ok {
		return dst, false
	}

	t.Quote.Hops = 0 // a quote shows the packet as the router had it
	start := len(dst)
	out := room(dst, headers+icmpHeader)
	if to4 { // which refuses a quote that is an error itself
		out, ok = translate64(out, quoted, inner, &q, t.Quote, 0)
	} else {
		out, ok = translate46(out, quoted, inner, &q, t.Quote, quote)
		out = out[:min(len(out), start+maxError6)]
	}
	if !ok || len(out)-start > 0xffff {
		return dst, false
	}
	e := out[start:]
	h := e[headers:]
	head.put(h)
	copy(h[2:4], message[2:4])
	old, src, to := sum(message), t.Src.As16(), t.Dst.As16()
	if to4 {
		old += pseudo(6, flow.ICMPv6, &p.Tuple.Src, &p.Tuple.Dst, len(message))
		replaced(old, sum(h)).apply(h[2:])
		f := ipv4{tos: trafficClass(b), ttl: p.TTL - t.Hops, proto: flow.ICMP, id: t.ID, src: src, dst: to}
		if len(e) > mayFragment {
			f.frag = flagDF
		}
		putIPv4(e, f)
		return out, true
	}
	replaced(old, sum(h)+pseudo(6, flow.ICMPv6, &src, &to, len(h))).apply(h[2:])
	putIPv6(e, len(e), ipv6{class: b[1], next: flow.ICMPv6, hops: p.TTL - t.Hops, src: src, dst: to})
	return out, true
}

// quotation is an error's message as far as it quotes a packet; nil if it quotes nothing. The message may say where the quote
// ends (RFC 4884): in words of four bytes in ICMP, of eight in ICMPv6; zero is "at the end".
func quotation(message []byte, p *Info) []byte {
	size := 0
	switch {
	case p.Tuple.Family == 4 && (p.ICMPType == 3 || p.ICMPType == 11 || p.ICMPType == 12):
		size = int(message[5]) * 4
	case p.Tuple.Family == 6 && (p.ICMPType == 1 || p.ICMPType == 3):
		size = int(message[4]) * 8
	}
	if size > 0 {
		message = message[:min(len(message), icmpHeader+size)]
	}
	if len(message) == icmpHeader {
		return nil
	}
	return message
}

// error64 is what an ICMPv6 error becomes in IPv4; false if it is dropped (RFC 7915, section 5.2). q is the packet that it quotes.
func error64(m icmpHead, q *Info) (icmpHead, bool) {
	const unreachable, tooBig, timeExceeded, parameterProblem = 1, 2, 3, 4
	switch m.kind {
	case unreachable:
		codes := [...]uint8{0: 1, 1: 10, 2: 1, 3: 1, 4: 3}
		if int(m.code) < len(codes) {
			return icmpHead{kind: 3, code: codes[m.code]}, true
		}
	case tooBig:
		less := ipv6Header - ipv4Header
		if q.FragmentData != 0 {
			less += fragmentHeader
		}
		mtu := min(max(int64(m.rest)-int64(less), minMTU4), 0xffff)
		return icmpHead{kind: 3, code: 4, rest: uint32(mtu)}, true
	case timeExceeded:
		return icmpHead{kind: 11, code: m.code}, true
	case parameterProblem:
		switch m.code {
		case 0:
			pointer, ok := pointer64(m.rest)
			return icmpHead{kind: 12, rest: uint32(pointer) << 24}, ok
		case 1: // next header unknown
			return icmpHead{kind: 3, code: 2}, true
		}
	}
	return icmpHead{}, false
}

// error46 is what an ICMP error becomes in IPv6; false if it is dropped (RFC 7915, section 4.2). q is the packet that it quotes.
func error46(m icmpHead, q *Info) (icmpHead, bool) {
	const unreachable, timeExceeded, parameterProblem = 3, 11, 12
	switch m.kind {
	case unreachable:
		switch m.code {
		case 0, 1, 5, 6, 7, 8, 11, 12:
			return icmpHead{kind: 1, code: 0}, true
		case 9, 10, 13, 15:
			return icmpHead{kind: 1, code: 1}, true
		case 2: // protocol unreachable: a parameter problem at the next header field
			return icmpHead{kind: 4, code: 1, rest: 6}, true
		case 3:
			return icmpHead{kind: 1, code: 4}, true
		case 4:
			mtu := int(m.rest & 0xffff)
			if mtu == 0 {
				mtu = plateau(q.Length)
			}
			return icmpHead{kind: 2, rest: uint32(max(mtu+ipv6Header-ipv4Header, minMTU6))}, true
		}
	case timeExceeded:
		return icmpHead{kind: 3, code: m.code}, true
	case parameterProblem:
		if m.code == 0 || m.code == 2 {
			pointer, ok := pointer46(m.rest >> 24)
			return icmpHead{kind: 4, rest: pointer}, ok
		}
	}
	return icmpHead{}, false
}

// The smallest MTUs, in bytes, that a link may have (RFC 791, RFC 8200).
const (
	minMTU4 = 68
	minMTU6 = 1280
)

// plateau is the likely MTU of a router that did not tell it, when it refused a packet of length bytes (RFC 1191, section 7.1): the next
// smaller of the usual ones that IPv6 could use; 0 if there is none.
func plateau(length int) int {
	for _, mtu := range [...]int{32000, 17914, 8166, 4352, 2002, 1492} {
		if mtu < length {
			return mtu
		}
	}
	return 0
}

// pointer64 is the IPv4 header field that corresponds to the one at an offset of the IPv6 header (RFC 7915, figure 6).
func pointer64(at uint32) (uint8, bool) {
	switch {
	case at <= 1:
		return uint8(at), true
	case at == 4, at == 5:
		return 2, true
	case at == 6:
		return 9, true
	case at == 7:
		return 8, true
	case at >= 8 && at < 24:
		return 12, true
	case at >= 24 && at < 40:
		return 16, true
	}
	return 0, false
}

// pointer46 is the IPv6 header field that corresponds to the one at an offset of the IPv4 header (RFC 7915, figure 3).
func pointer46(at uint32) (uint32, bool) {
	switch {
	case at <= 1:
		return at, true
	case at == 2, at == 3:
		return 4, true
	case at == 8:
		return 7, true
	case at == 9:
		return 6, true
	case at >= 12 && at < 16:
		return 8, true
	case at >= 16 && at < 20:
		return 24, true
	}
	return 0, false
}
