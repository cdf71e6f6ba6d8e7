package scenario

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/vpclab/vpclab/ctrl/vpc"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// word is one word of a mini-language with its offset in characters.
type word struct {
	text string
	at   int
}

// phrase is a text taken apart into words.
type phrase struct {
	words []word
	next  int
	end   int // offset just behind the last word
}

func split(s string) *phrase {
	p := &phrase{}
	at, start := 0, -1
	var begin int
	for i, c := range s + " " {
		blank := c == ' ' || c == '\t' || c == '\n'
		switch {
		case !blank && start < 0:
			start, begin = i, at
		case blank && start >= 0:
			p.words = append(p.words, word{s[start:i], begin})
			p.end, start = at, -1
		}
		at++
	}
	return p
}

// take returns the next word; its text is empty at the end.
func (p *phrase) take() word {
	w := p.peek()
	if p.next < len(p.words) {
		p.next++
	}
	return w
}

func (p *phrase) peek() word {
	if p.next < len(p.words) {
		return p.words[p.next]
	}
	return word{at: p.end}
}

// rest is a fault if words are left.
func (p *phrase) rest() *fault {
	if w := p.peek(); w.text != "" {
		return faultf(w.at, "remove it", "%s does not belong here", quote(w.text))
	}
	return nil
}

// The two directions of rules, by the word that a rule of theirs says.
const (
	ingress = "from"
	egress  = "to"
)

// directionNames are the keys of rule lists.
var directionNames = map[string]string{ingress: "ingress", egress: "egress"}

var protocols = map[string]int{"all": vpc.AllProtocols, "tcp": flow.TCP, "udp": flow.UDP, "icmp": flow.ICMP, "icmpv6": flow.ICMPv6}

// The protocol words, for near matches.
var (
	ruleProtocols = []string{"tcp", "udp", "icmp", "icmpv6", "all"}
	sendProtocols = ruleProtocols[:4]
)

// parseRule reads a security group's rule: `PROTO [PORT|PORT-PORT] from|to PEER`, where PEER is a CIDR, sg.NAME, VPC/sg.NAME or
// pl.NAME. A CIDR is kept in its canonical form (AuthorizeSecurityGroupIngress).
func parseRule(s, direction string) (vpc.SGRule, *fault) {
	rule := vpc.SGRule{Text: s}
	p := split(s)
	traffic, f := parseTraffic(p, direction)
	if f != nil {
		return rule, f
	}
	rule.Traffic = traffic
	peer := p.take()
	if f := parsePeer(peer, direction, &rule); f != nil {
		return rule, f
	}
	return rule, p.rest()
}

// parseEntry reads a network ACL's entry: `NUMBER allow|deny PROTO [PORT|PORT-PORT] from|to CIDR`, NUMBER from 1 to 32766
// (CreateNetworkAclEntry).
func parseEntry(s, direction string) (vpc.ACLEntry, *fault) {
	entry := vpc.ACLEntry{Text: s}
	p := split(s)
	number := p.take()
	n, ok := parseNumber(number.text, 32766)
	if !ok || n == 0 {
		return entry, faultf(number.at, "write "+quote("100 allow tcp 80 "+direction+" 0.0.0.0/0"),
			"a network ACL's entry begins with a number from 1 to 32766")
	}
	entry.Number = n
	switch verdict := p.take(); verdict.text {
	case "allow":
		entry.Allow = true
	case "deny":
	default:
		return entry, faultf(verdict.at, didYouMean(verdict.text, []string{"allow", "deny"}, "write"),
			"expected `allow` or `deny`%s", notThis(verdict))
	}
	var f *fault
	if entry.Traffic, f = parseTraffic(p, direction); f != nil {
		return entry, f
	}
	peer := p.take()
	if strings.Contains(peer.text, "sg.") || strings.Contains(peer.text, "pl.") {
		return entry, faultf(peer.at, "only security groups know other groups and prefix lists",
			"a network ACL's peer is a CIDR, not %s", quote(peer.text))
	}
	if entry.CIDR, f = parseCIDR(peer.text); f != nil {
		return entry, f.shift(peer.at)
	}
	return entry, p.rest()
}

// notThis says what stands in a place where something else should.
func notThis(w word) string {
	if w.text == "" {
		return ""
	}
	return ", not " + quote(w.text)
}

// parseTraffic reads the protocol, its ports or ICMP type, and the direction.
func parseTraffic(p *phrase, direction string) (vpc.Traffic, *fault) {
	t := vpc.Traffic{ToPort: 65535, ICMPType: vpc.AnyICMP, ICMPCode: vpc.AnyICMP}
	proto := p.take()
	number, f := parseProtocol(proto, ruleProtocols)
	if f != nil {
		return t, f
	}
	t.Protocol = number
	if w := p.peek(); w.text != "" && w.text != ingress && w.text != egress {
		if f := parseDetail(p, proto, &t); f != nil {
			return t, f
		}
	}
	switch w := p.take(); w.text {
	case direction:
	case ingress, egress:
		return t, faultf(w.at, "write "+quote(direction),
			"an %s rule says %s, not %s", directionNames[direction], quote(direction), quote(w.text))
	default:
		return t, faultf(w.at, "write "+quote(direction)+" and the peer", "expected %s%s", quote(direction), notThis(w))
	}
	return t, nil
}

// parseProtocol reads a protocol's name or IANA number.
func parseProtocol(w word, names []string) (int, *fault) {
	if w.text == "" {
		return 0, faultf(w.at, "begin with "+choices(names)+", or a protocol number", "the protocol is missing")
	}
	for _, name := range names {
		if w.text == name {
			return protocols[name], nil
		}
	}
	if n, ok := parseNumber(w.text, 255); ok {
		return n, nil
	}
	if _, ok := parseNumber(w.text, 1<<30); ok {
		return 0, faultf(w.at, "protocol numbers go from 0 to 255", "there is no protocol %s", quote(w.text))
	}
	return 0, faultf(w.at, didYouMean(w.text, names, "use a protocol number,"), "%s is not a protocol", quote(w.text))
}

// parseDetail reads what may follow a protocol: ports of TCP and UDP, type and code of ICMP.
func parseDetail(p *phrase, proto word, t *vpc.Traffic) (f *fault) {
	w := p.peek()
	switch t.Protocol {
	case flow.TCP, flow.UDP:
		p.take()
		t.FromPort, t.ToPort, f = parsePorts(w)
	case flow.ICMP, flow.ICMPv6:
		p.take()
		t.ICMPType, t.ICMPCode, f = parseICMP(w)
	default:
		if near(w.text, []string{ingress, egress}) == "" || w.text[0] >= '0' && w.text[0] <= '9' {
			return faultf(w.at, "remove it; only tcp and udp have ports", "%s takes no port", quote(proto.text))
		}
	}
	return f
}

func parsePorts(w word) (from, to uint16, f *fault) {
	first, last, ranged := strings.Cut(w.text, "-")
	a, ok := parseNumber(first, 65535)
	b := a
	ok2 := true
	if ranged {
		b, ok2 = parseNumber(last, 65535)
	}
	switch {
	case !ok || !ok2:
		return 0, 0, faultf(w.at, "ports go from 0 to 65535, as in `80` or `8000-8999`",
			"%s is neither a port nor a range of ports", quote(w.text))
	case a > b:
		return 0, 0, faultf(w.at, fmt.Sprintf("write `%d-%d`", b, a), "the range %s ends before it begins", quote(w.text))
	}
	return uint16(a), uint16(b), nil
}

// parseICMP reads TYPE or TYPE/CODE; without a code any matches.
func parseICMP(w word) (typ, code int, f *fault) {
	first, last, coded := strings.Cut(w.text, "/")
	typ, ok := parseNumber(first, 255)
	code = vpc.AnyICMP
	ok2 := true
	if coded {
		code, ok2 = parseNumber(last, 255)
	}
	if !ok || !ok2 {
		return 0, 0, faultf(w.at, "write a type or a type and a code from 0 to 255, as in `8` or `8/0`", "%s is not an ICMP type", quote(w.text))
	}
	return typ, code, nil
}

// parsePeer reads what a security group's rule lets in or out to.
func parsePeer(w word, direction string, rule *vpc.SGRule) *fault {
	const forms = "write a CIDR such as 10.0.0.0/16, `sg.NAME`, `VPC/sg.NAME` or `pl.NAME`"
	if w.text == "" {
		return faultf(w.at, forms, "the peer after %s is missing", quote(direction))
	}
	owner, rest, foreign := strings.Cut(w.text, "/")
	if !foreign {
		owner, rest = "", w.text
	}
	kind, name, named := strings.Cut(rest, ".")
	if !named {
		kind = ""
	}
	switch {
	case kind == "sg" && (!foreign || validName(owner)):
		if !validName(name) {
			return faultf(w.at+utf8.RuneCountInString(w.text)-utf8.RuneCountInString(name), nameHint, "%s is not a name", quote(name))
		}
		rule.Group = vpc.GroupRef{VPC: owner, Name: name}
		return nil
	case kind == "pl" && !foreign:
		if !validName(name) {
			return faultf(w.at+3, nameHint, "%s is not a name", quote(name))
		}
		rule.PrefixList = name
		return nil
	case foreign && isAccount(owner) && strings.HasPrefix(rest, "sg"):
		return faultf(w.at, "name the group's VPC, whose `account` says whose it is: write `VPC/sg.NAME`",
			"%s is an account where a VPC belongs", quote(owner))
	case kind == "pl" && validName(owner):
		return faultf(w.at, "write `pl.NAME`", "a prefix list belongs to its own VPC")
	}
	if !strings.ContainsAny(w.text, ":/") && (w.text[0] < '0' || w.text[0] > '9') {
		hint := forms
		switch {
		case slices.Contains([]string{"any", "anywhere", "everywhere", "all", "internet", "world"}, w.text):
			hint = "everywhere is 0.0.0.0/0, and ::/0 for IPv6"
		case validName(w.text):
			hint = "a security group is " + quote("sg."+w.text)
		}
		return faultf(w.at, hint, "%s is neither a CIDR, a security group nor a prefix list", quote(w.text))
	}
	if name, ok := strings.CutPrefix(w.text, "sg:"); ok && validName(name) {
		return faultf(w.at, "write "+quote("sg."+name), "%s is neither a CIDR, a security group nor a prefix list", quote(w.text))
	}
	cidr, f := parseCIDR(w.text)
	rule.CIDR = cidr
	return f.shift(w.at)
}

// isAccount reports whether s was meant as an account, right or not: AWS writes a group of another one as 123456789012/sg-….
func isAccount(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// parseCIDR reads an IPv4 or IPv6 prefix and returns it in canonical form, host bits cleared, as AWS does.
func parseCIDR(s string) (netip.Prefix, *fault) {
	const forms = "write one such as 10.0.0.0/16 or 2001:db8::/32"
	if p, err := netip.ParsePrefix(s); err == nil && !p.Addr().Is4In6() {
		return p.Masked(), nil
	}
	if a, err := netip.ParseAddr(s); err == nil && !a.Is4In6() && a.Zone() == "" {
		return netip.Prefix{}, faultf(0, fmt.Sprintf("a single address is %s/%d", a, a.BitLen()), "%s is not a CIDR", quote(s))
	}
	if s == "" {
		return netip.Prefix{}, faultf(0, forms, "the CIDR is missing")
	}
	return netip.Prefix{}, faultf(0, forms, "%s is not a CIDR", quote(s))
}

// parseAddr reads an IPv4 or IPv6 address.
func parseAddr(s string) (netip.Addr, *fault) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return netip.Addr{}, faultf(0, "write one such as 10.0.0.10 or 2001:db8::10", "%s is not an IP address", quote(s))
	}
	return a, nil
}

// parseNumber reads a decimal number from 0 to most, without sign or leading zeros.
func parseNumber(s string, most int) (int, bool) {
	if s == "" || len(s) > 1 && s[0] == '0' || s[0] < '0' || s[0] > '9' {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n <= most
}

// namePattern is what names look like.
const (
	namePattern = `^[a-z][a-z0-9-]{0,30}$`
	nameHint    = "names begin with a lower case letter, go on with a-z, 0-9 and -, and have at most 31 characters"
)

var nameForm = regexp.MustCompile(namePattern)

func validName(s string) bool { return nameForm.MatchString(s) }

func checkName(s string) *fault {
	if validName(s) {
		return nil
	}
	if kind, name, ok := strings.Cut(s, "."); ok && validName(name) && slices.Contains(referenceKinds, kind) {
		return faultf(0, "here the name alone will do: "+quote(name), "%s is not a name", quote(s))
	}
	return faultf(0, nameHint, "%s is not a name", quote(s))
}

// referenceKinds begin references where the kind is not clear from the key.
var referenceKinds = []string{"sg", "pl", "instance", "eni", "subnet", "acl", "vpc", "nat", "peering", "endpoint", "route_table"}
