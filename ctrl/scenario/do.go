package scenario

import (
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// verbs are those of the language, for near matches.
var verbs = []string{"ping", "ping6", "tcp", "udp", "http", "dns", "s3", "dynamodb", "exec", "send", "say", "close"}

// parseDo reads what a check does. Hosts are looked up in d; without d only the form is checked. from is who acts, if that is known:
// it gives `send` its source address.
func parseDo(s string, d *directory, from Node) (Do, *fault) {
	do := Do{Text: strings.TrimSpace(s)}
	p := split(s)
	verb := p.take()
	do.Verb = Verb(verb.text)
	switch do.Verb {
	case Ping, Ping6:
		return do.ping(p, d)
	case TCP, UDP:
		return do.connect(p, d)
	case HTTP:
		return do.http(p, d)
	case DNS:
		return do.query(p)
	case S3:
		return do.s3(p, s, d, from)
	case DynamoDB:
		return do.dynamodb(p, s, d, from)
	case Exec:
		argv, f := splitArgs(s)
		if f == nil && len(argv) < 2 {
			f = faultf(p.end, "write `exec PROGRAM ARG…`", "the program is missing")
		}
		if f != nil {
			return do, f
		}
		do.Argv = argv[1:]
		return do, nil
	case Send:
		var f *fault
		do.Send, f = parseSend(p, d, from)
		do.Addr = do.Send.Dst
		return do, f
	case Say, Close:
		name := p.take()
		if name.text == "" {
			return do, faultf(name.at, "write the name that an earlier check's `keep` gave it", "the connection is missing")
		}
		if f := checkName(name.text); f != nil {
			return do, f.shift(name.at)
		}
		do.Held = name.text
		return do, p.rest()
	}
	if verb.text == "" {
		return do, faultf(0, "begin with "+choices(verbs), "there is nothing to do")
	}
	return do, faultf(verb.at, didYouMean(verb.text, verbs, "begin with"), "%s is nothing that a check does", quote(verb.text))
}

// resolve finds the address that a word stands for, or the DNS name that it is.
func resolve(w word, d *directory, want family) (netip.Addr, string, *fault) {
	if w.text == "" {
		return netip.Addr{}, "", faultf(w.at, "name an address, an instance, an internet host or a DNS name", "the host is missing")
	}
	if d == nil {
		return netip.Addr{}, "", nil
	}
	a, name, f := d.destination(w.text, want)
	return a, name, f.shift(w.at)
}

// resolveAddress is resolve where a DNS name will not do.
func resolveAddress(w word, d *directory) (netip.Addr, *fault) {
	a, name, f := resolve(w, d, anyFamily)
	if name != "" {
		f = faultf(w.at, "name an address, an instance or an internet host", "a crafted packet has addresses, and %s is a DNS name", quote(name))
	}
	return a, f
}

func (do Do) ping(p *phrase, d *directory) (Do, *fault) {
	want := ipv4
	if do.Verb == Ping6 {
		want = ipv6
	}
	var f *fault
	if do.Addr, do.Name, f = resolve(p.take(), d, want); f != nil {
		return do, f
	}
	return do, p.rest()
}

func (do Do) connect(p *phrase, d *directory) (Do, *fault) {
	port := p.take()
	n, ok := parseNumber(port.text, 65535)
	if !ok || n == 0 {
		hint := "write " + quote(string(do.Verb)+" 80 to HOST")
		if port.text == "" {
			return do, faultf(port.at, hint, "the port is missing")
		}
		return do, faultf(port.at, hint, "%s is not a port from 1 to 65535", quote(port.text))
	}
	do.Port = uint16(n)
	if w := p.take(); w.text != "to" {
		return do, faultf(w.at, "write "+quote(string(do.Verb)+" "+port.text+" to HOST"), "expected `to`%s", notThis(w))
	}
	var f *fault
	if do.Addr, do.Name, f = resolve(p.take(), d, anyFamily); f != nil {
		return do, f
	}
	return do, p.rest()
}

// http reads a URL. A name in it stands for its address, unless it is a DNS name; VPC/NAME cannot, as its slash would begin the path.
func (do Do) http(p *phrase, d *directory) (Do, *fault) {
	w := p.take()
	const form = "write `http http://HOST/`, with HOST an address, an instance, an internet host or a DNS name"
	if w.text == "" {
		return do, faultf(w.at, form, "the URL is missing")
	}
	u, err := url.Parse(w.text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return do, faultf(w.at, form, "%s is not an http URL", quote(w.text))
	}
	if !strings.HasPrefix(w.text, u.Scheme) {
		return do, faultf(w.at, "write "+quote(u.Scheme), "a URL's scheme is in lower case")
	}
	do.TLS, do.Port = u.Scheme == "https", schemePorts[u.Scheme]
	if u.Port() != "" || strings.HasSuffix(u.Host, ":") {
		n, ok := parseNumber(u.Port(), 65535)
		if !ok || n == 0 {
			return do, faultf(w.at, "ports go from 1 to 65535", "%s is not a port", quote(u.Port()))
		}
		do.Port = uint16(n)
	}
	at := w.at + runes(u.Scheme+"://")
	if strings.HasPrefix(u.Host, "[") {
		at++
	}
	var f *fault
	if do.Addr, do.Name, f = resolve(word{u.Hostname(), at}, d, anyFamily); f != nil {
		return do, f
	}
	if do.Addr.IsValid() {
		u.Host = do.Addr.String()
		if do.Addr.Is6() {
			u.Host = "[" + u.Host + "]"
		}
		if do.Port != schemePorts[u.Scheme] {
			u.Host = netip.AddrPortFrom(do.Addr, do.Port).String()
		}
	}
	do.URL = u.String()
	return do, p.rest()
}

// schemePorts are the ports of URLs that name none.
var schemePorts = map[string]uint16{"http": 80, "https": 443}

// splitArgs takes a command apart as a shell would that expands nothing: blanks separate words, single and double quotes and
// backslashes keep them together.
func splitArgs(s string) ([]string, *fault) {
	var (
		argv          []string
		current       strings.Builder
		open, escaped bool
		quoted        rune
		quotedAt, at  int
	)
	for _, c := range s {
		switch {
		case escaped:
			if quoted == '"' && c != '"' && c != '\\' {
				current.WriteByte('\\')
			}
			current.WriteRune(c)
			escaped = false
		case c == '\\' && quoted != '\'':
			open, escaped = true, true
		case quoted != 0:
			if c == quoted {
				quoted = 0
			} else {
				current.WriteRune(c)
			}
		case c == '\'' || c == '"':
			open, quoted, quotedAt = true, c, at
		case c == ' ' || c == '\t' || c == '\n':
			if open {
				argv = append(argv, current.String())
				current.Reset()
			}
			open = false
		default:
			open = true
			current.WriteRune(c)
		}
		at++
	}
	if quoted != 0 || escaped {
		return nil, faultf(quotedAt, "close it", "the quotation does not end")
	}
	if open {
		argv = append(argv, current.String())
	}
	return argv, nil
}

// tcpFlags are the flag words of `send`, by the header's bits (RFC 9293 section 3.1).
var tcpFlags = map[string]uint8{
	"fin": flow.FIN, "syn": flow.SYN, "rst": flow.RST, "psh": 0x08, "ack": flow.ACK, "urg": 0x20, "ece": 0x40, "cwr": 0x80,
}

var tcpFlagNames = []string{"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"}

// What `send` fills in where the text says nothing.
const (
	sendSourcePort = 40000
	sendTTL        = 64
	maxSendSize    = 8900 // with any headers below the interface's 9001 bytes
	fragmentUnit   = 8    // fragments begin at multiples of it (RFC 791)
	maxPieces      = 64
)

// headerSizes are the bytes of IP payload before the packet's own.
var headerSizes = map[uint8]int{flow.TCP: 20, flow.UDP: 8, flow.ICMP: 8, flow.ICMPv6: 8}

// sendWords are the words that may follow what `send` sends, in any order, each once.
var sendWords = []string{"from", "to", "size", "ttl", "flags", "fragment", "fragments", "df"}

// parseSend reads one crafted packet:
//
//	PROTO WHAT to HOST [from HOST] [size BYTES] [ttl N] [flags FLAG,FLAG] [fragment] [fragments BYTES|FROM-TO,FROM-TO…] [df]
//
// PROTO is tcp, udp, icmp, icmpv6 or a protocol number. WHAT is PORT or SOURCE->PORT for tcp and udp, TYPE or TYPE/CODE for ICMP,
// and nothing for others. `from` forges the source; `fragment` makes the packet a first fragment with more to follow. `fragments`
// splits the packet: into fragments of BYTES bytes of IP payload, sent in order, or into the pieces of its IP payload that are listed,
// sent in that order. The IP payload begins with the header of TCP (20 bytes), UDP or ICMP (8 bytes); pieces may overlap, repeat or
// leave a part out.
func parseSend(p *phrase, d *directory, sender Node) (Packet, *fault) {
	out := Packet{TTL: sendTTL}
	proto := p.take()
	number, f := parseProtocol(proto, sendProtocols)
	if f != nil {
		return out, f
	}
	out.Protocol = uint8(number)
	if f := out.what(p, proto); f != nil {
		return out, f
	}
	seen := map[string]word{}
	for w := p.take(); w.text != ""; w = p.take() {
		if _, twice := seen[w.text]; twice {
			return out, faultf(w.at, "remove one", "%s is here twice", quote(w.text))
		}
		seen[w.text] = w
		if f := out.option(w, p, d); f != nil {
			return out, f
		}
	}
	if _, ok := seen["to"]; !ok {
		return out, faultf(p.end, "add `to HOST`", "the destination is missing")
	}
	if w, ok := seen["fragments"]; ok {
		if f := out.divisible(); f != nil {
			return out, f.shift(w.at)
		}
	}
	if d == nil || !d.complete {
		return out, nil
	}
	return out, out.settle(seen["from"], proto, d, sender)
}

// what reads ports, or type and code.
func (out *Packet) what(p *phrase, proto word) *fault {
	switch out.Protocol {
	case flow.TCP, flow.UDP:
		if out.Protocol == flow.TCP {
			out.TCPFlags = flow.SYN
		}
		w := p.take()
		from, to, both := strings.Cut(w.text, "->")
		if !both {
			from, to = strconv.Itoa(sendSourcePort), w.text
		}
		src, ok := parseNumber(from, 65535)
		dst, ok2 := parseNumber(to, 65535)
		if !ok || !ok2 {
			return faultf(w.at, "write `PORT` or `SOURCE->PORT`, as in `1000->53`", "expected ports%s", notThis(w))
		}
		out.SrcPort, out.DstPort = uint16(src), uint16(dst)
	case flow.ICMP, flow.ICMPv6:
		w := p.take()
		typ, code, f := parseICMP(w)
		if f != nil {
			return f
		}
		out.ICMPType, out.ICMPCode = uint8(typ), uint8(max(code, 0))
	default:
		if w := p.peek(); w.text != "" && w.text[0] >= '0' && w.text[0] <= '9' {
			return faultf(w.at, "remove it", "protocol %s has no ports", quote(proto.text))
		}
	}
	return nil
}

// option reads one of sendWords with its value.
func (out *Packet) option(w word, p *phrase, d *directory) (f *fault) {
	switch w.text {
	case "to":
		out.Dst, f = resolveAddress(p.take(), d)
	case "from":
		out.Src, f = resolveAddress(p.take(), d)
	case "size":
		out.Size, f = sendNumber(p.take(), w.text, 0, maxSendSize)
	case "ttl":
		var n int
		n, f = sendNumber(p.take(), w.text, 0, 255)
		out.TTL = uint8(n)
	case "flags":
		if out.Protocol != flow.TCP {
			return faultf(w.at, "remove it", "only tcp has flags")
		}
		out.TCPFlags, f = parseFlags(p.take())
	case "fragment":
		out.Fragment = true
	case "fragments":
		f = out.fragments(p.take())
	case "df":
		out.DontFragment = true
	default:
		return faultf(w.at, didYouMean(w.text, sendWords, "the words here are"), "%s is not part of a packet", quote(w.text))
	}
	return f
}

// fragments reads a size of fragments, or a list of pieces.
func (out *Packet) fragments(w word) *fault {
	const form = "write `fragments 512`, or pieces as in `fragments 0-512,512-1008`"
	if !strings.ContainsAny(w.text, "-,") {
		n, ok := parseNumber(w.text, maxSendSize)
		if !ok || n == 0 || n%fragmentUnit != 0 {
			most := maxSendSize / fragmentUnit * fragmentUnit
			return faultf(w.at, form, "`fragments` takes a multiple of 8 from 8 to %d%s", most, notThis(w))
		}
		out.FragmentSize = n
		return nil
	}
	at := w.at
	for _, text := range strings.Split(w.text, ",") {
		first, last, _ := strings.Cut(text, "-")
		from, ok := parseNumber(first, maxSendSize)
		to, ok2 := parseNumber(last, math.MaxUint16)
		switch {
		case !ok || !ok2 || from >= to:
			return faultf(at, form, "%s is not a piece of a packet", quote(text))
		case from%fragmentUnit != 0:
			return faultf(at, fmt.Sprintf("begin at %d or %d", from/fragmentUnit*fragmentUnit, (from/fragmentUnit+1)*fragmentUnit),
				"a fragment cannot begin at byte %d: it begins at a multiple of 8", from)
		case len(out.Pieces) == maxPieces:
			return faultf(at, "send fewer", "there are more than %d pieces", maxPieces)
		}
		out.Pieces = append(out.Pieces, Piece{from, to})
		at += utf8.RuneCountInString(text) + 1
	}
	return nil
}

// divisible checks that the fragments that are asked for are fragments of the packet.
func (out *Packet) divisible() *fault {
	length := headerSizes[out.Protocol] + out.Size
	switch {
	case out.Fragment:
		return faultf(0, "keep one of them", "`fragment` and `fragments` exclude each other")
	case out.FragmentSize >= length:
		return faultf(0, "give it a larger `size`, or make the fragments smaller",
			"an IP payload of %d bytes is not split into fragments of %d", length, out.FragmentSize)
	}
	for _, piece := range out.Pieces {
		switch {
		case piece.To > length:
			return faultf(0, "end it there, or give the packet a larger `size`",
				"the packet's IP payload ends at byte %d, before %d", length, piece.To)
		case piece.To%fragmentUnit != 0 && piece.To != length:
			return faultf(0, fmt.Sprintf("the packet's IP payload ends at byte %d", length),
				"a fragment that is not the last cannot end at byte %d: it ends at a multiple of 8", piece.To)
		}
	}
	return nil
}

func sendNumber(w word, of string, least, most int) (int, *fault) {
	n, ok := parseNumber(w.text, most)
	if !ok || n < least {
		return 0, faultf(w.at, "", "%s takes a number from %d to %d%s", quote(of), least, most, notThis(w))
	}
	return n, nil
}

// parseFlags reads `syn,ack`; `none` is no flag at all.
func parseFlags(w word) (uint8, *fault) {
	if w.text == "none" {
		return 0, nil
	}
	var flags uint8
	at := w.at
	for _, name := range strings.Split(w.text, ",") {
		bit, ok := tcpFlags[name]
		if !ok {
			return 0, faultf(at, "write them as in `syn,ack`, or `none`; there are "+choices(tcpFlagNames),
				"%s is not a TCP flag", quote(name))
		}
		flags |= bit
		at += utf8.RuneCountInString(name) + 1
	}
	return flags, nil
}

// settle gives the packet the sender's own address if it has no other, and checks that the addresses and the protocol go together.
func (out *Packet) settle(from, proto word, d *directory, sender Node) *fault {
	if !out.Dst.IsValid() {
		return nil
	}
	if from.text == "" && sender.Name != "" {
		want, form := ipv4, sender.String()
		if out.Dst.Is6() {
			want = ipv6
		}
		a, f := d.address(form, want)
		if f != nil {
			return faultf(0, "add `from ADDRESS`", "%s has no address to send to %s from", sender, out.Dst)
		}
		out.Src = a
	}
	switch {
	case out.Src.IsValid() && out.Src.Is4() != out.Dst.Is4():
		return faultf(from.at, "", "source %s and destination %s are of different IP versions", out.Src, out.Dst)
	case out.Protocol == flow.ICMP && out.Dst.Is6():
		return faultf(proto.at, "use `icmpv6`", "icmp goes over IPv4, and %s is IPv6", out.Dst)
	case out.Protocol == flow.ICMPv6 && out.Dst.Is4():
		return faultf(proto.at, "use `icmp`", "icmpv6 goes over IPv6, and %s is IPv4", out.Dst)
	case out.DontFragment && out.Dst.Is6():
		return faultf(proto.at, "remove `df`", "IPv6 has no don't-fragment flag")
	}
	return nil
}
