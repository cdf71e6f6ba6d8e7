package scenario

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

// maxName is the length of a domain name without its last dot (RFC 1035 section 2.3.4).
const maxName = 253

// defaultTTL is Route 53's in its console, in seconds.
const defaultTTL = 300

// apex is the record name that stands for the zone itself.
const apex = "@"

// recordTypes are the types of records that a private zone has, in the order in which messages list them.
var recordTypes = []struct {
	name  string
	about string
	is    shape
}{
	{"A", "IPv4 addresses.", listOf(addr4)},
	{"AAAA", "IPv6 addresses.", listOf(text{want: "an IPv6 address", pattern: `^` + reAddr6 + `$`, parse: checkAddr(ipv6)})},
	{"CNAME", "The name that this one is another of.", targetName},
	{"MX", "Mail servers: preferences and names.", listOf(numbered("`10 mail.corp.internal`", 1))},
	{"NS", "Name servers.", listOf(targetName)},
	{"PTR", "The names of an address.", listOf(targetName)},
	{"SRV", "Services: priorities, weights, ports and names.", listOf(numbered("`1 10 5269 xmpp.corp.internal`", 3))},
	{"TXT", "Texts.", listOf(freeText)},
}

// targetName is a name that a record leads to.
var targetName = text{want: "a domain name", pattern: `^` + reTarget + `$`, parse: checkTargetName}

// numbered is a value of so many numbers from 0 to 65535 and a name.
func numbered(example string, count int) text {
	pattern := `^` + reEdge + `([0-9]{1,5}` + reSpace + `){` + strconv.Itoa(count) + `}` + reHost + reEdge + `$`
	return text{want: "a value such as " + example, pattern: pattern, parse: func(s string) *fault {
		p := split(s)
		for range count {
			w := p.take()
			if _, ok := parseNumber(w.text, 65535); !ok {
				return faultf(w.at, "write one such as "+example, "expected a number from 0 to 65535%s", notThis(w))
			}
		}
		w := p.take()
		if f := checkTargetName(w.text); f != nil {
			return f.shift(w.at)
		}
		return p.rest()
	}}
}

func recordSetFields() []field {
	var fields []field
	for _, t := range recordTypes {
		fields = append(fields, field{key: t.name, about: t.about, is: t.is})
	}
	return append(fields, field{key: "TTL", about: "How long an answer may be kept, in seconds; 300 by default.", is: recordTTL})
}

func checkTargetName(s string) *fault {
	if !compiled(`^`+reTarget+`$`).MatchString(s) || len(strings.TrimSuffix(s, ".")) > maxName {
		return faultf(0, "write one such as db.corp.internal", "%s is not a domain name", quote(s))
	}
	return nil
}

func checkDomain(s string) *fault {
	switch lower := strings.TrimSuffix(strings.ToLower(s), "."); {
	case compiled(reDomain).MatchString(s) && len(s) <= maxName:
		return nil
	case lower != s && compiled(reDomain).MatchString(lower):
		return faultf(0, "write "+quote(lower), "a zone's name is in lower case and without a last dot")
	}
	return faultf(0, "write one such as corp.internal", "%s is not a domain name", quote(s))
}

func checkRecordName(s string) *fault {
	switch lower := strings.TrimSuffix(strings.ToLower(s), "."); {
	case compiled(reRecord).MatchString(s):
		return nil
	case lower != s && compiled(reRecord).MatchString(lower):
		return faultf(0, "write "+quote(lower), "a record's name is in lower case and without a last dot")
	}
	return faultf(0, "write one such as `db`, `*.db`, or `@` for the zone itself", "%s is not a name within the zone", quote(s))
}

// privateZones reads the private zones. Records of one name that DNS does not have together are reported in Route 53's words.
func (r *reader) privateZones(n *node) []*vpc.PrivateZone {
	var zones []*vpc.PrivateZone
	for _, e := range n.all() {
		z := &vpc.PrivateZone{Name: e.key, VPCs: textsOf(e.value.get("vpcs"))}
		byName := map[string][]vpc.ZoneRecord{}
		for _, record := range e.value.get("records").all() {
			r.zoneRecords(z, byName, record)
		}
		zones = append(zones, z)
	}
	return zones
}

// zoneRecords adds the record sets of one name to a zone.
func (r *reader) zoneRecords(z *vpc.PrivateZone, byName map[string][]vpc.ZoneRecord, e entry) {
	name := wholeName(e.key, z.Name)
	if len(name) > maxName {
		r.report(r.keyAt(e), quote(name)+" is not a domain name", "a whole name has at most 253 characters")
		return
	}
	sets := recordSets(e.value)
	known := recordSetObject.known()
	strange := slices.ContainsFunc(e.value.keys(), func(key string) bool { return !slices.Contains(known, key) })
	if len(sets) == 0 && !strange && !e.value.anyBad() {
		r.report(r.keyAt(e), quote(e.key)+" has no records", "give it an address, or a mapping such as {CNAME: db.corp.internal}")
	}
	for _, set := range sets {
		set.Name = name
		if f := conflict(z, byName[name], set); f != nil {
			r.report(r.keyAt(e), f.what, f.hint)
			continue
		}
		byName[name] = append(byName[name], set)
		z.Records = append(z.Records, set)
	}
}

// wholeName is a record's whole name: its key is relative to the zone, unless it ends with the zone's name.
func wholeName(key, zone string) string {
	switch {
	case key == apex, key == zone:
		return zone
	case strings.HasSuffix(key, "."+zone):
		return key
	}
	return key + "." + zone
}

// recordSets are the record sets that a value says, without their name: addresses by their family, or a mapping by types.
func recordSets(n *node) []vpc.ZoneRecord {
	if n.kind == mapping {
		return typedSets(n)
	}
	sets := []vpc.ZoneRecord{{Type: "A", TTL: defaultTTL}, {Type: "AAAA", TTL: defaultTTL}}
	for _, a := range addrsOf(n) {
		family := 0
		if a.Is6() {
			family = 1
		}
		sets[family].Values = append(sets[family].Values, a.String())
	}
	return slices.DeleteFunc(sets, func(s vpc.ZoneRecord) bool { return len(s.Values) == 0 })
}

func typedSets(n *node) []vpc.ZoneRecord {
	ttl, ok := parseNumber(textOf(n.get("TTL")), 1<<31-1)
	if !ok {
		ttl = defaultTTL
	}
	var sets []vpc.ZoneRecord
	for _, t := range recordTypes {
		set := vpc.ZoneRecord{Type: t.name, TTL: uint32(ttl)}
		for _, value := range textsOf(n.get(t.name)) {
			set.Values = append(set.Values, recordValue(t.name, value))
		}
		if len(set.Values) > 0 {
			sets = append(sets, set)
		}
	}
	return sets
}

// recordValue is a value as records have it: addresses in one notation, names without their last dot, numbers one blank apart.
func recordValue(typ, value string) string {
	if a, err := netip.ParseAddr(value); err == nil && (typ == "A" || typ == "AAAA") {
		return a.String()
	}
	if typ == "TXT" {
		return value
	}
	return strings.TrimSuffix(strings.Join(strings.Fields(value), " "), ".")
}

// conflict says why Route 53 refuses a record set beside those that the zone has under its name.
func conflict(z *vpc.PrivateZone, others []vpc.ZoneRecord, set vpc.ZoneRecord) *fault {
	const alias = "CNAME"
	for i, value := range set.Values {
		if slices.Contains(set.Values[:i], value) {
			return faultf(0, "remove one of the two", "duplicate Resource Record: '%s'", value)
		}
	}
	if set.Type == alias && set.Name == z.Name {
		return faultf(0, "name addresses, or another name", "RRSet of type CNAME with DNS name %s. is not permitted at apex in zone %s.", set.Name, z.Name)
	}
	for _, other := range others {
		switch {
		case other.Type == set.Type:
			return faultf(0, "keep one of the two", "tried to create resource record set [name='%s.', type='%s'] but it already exists", set.Name, set.Type)
		case other.Type == alias || set.Type == alias:
			return faultf(0, "a name that is a CNAME has no other records",
				"RRSet of type %s with DNS name %s. is not permitted as it conflicts with other records with the same DNS name in zone %s.",
				set.Type, set.Name, z.Name)
		}
	}
	return nil
}

// isDNSName reports whether a HOST is a DNS name, which whoever acts has to look up: it has a dot, and is neither an address nor a
// reference, nor what was probably meant for one.
func (d *directory) isDNSName(s string) bool {
	first, rest, dotted := strings.Cut(s, ".")
	last := s[strings.LastIndexByte(s, '.')+1:]
	if !dotted || !dnsName.matches(s) || len(s) > maxName || last != "" && strings.Trim(last, "0123456789") == "" {
		return false
	}
	if d.domains[strings.ToLower(s)] {
		return true
	}
	form, _, further := strings.Cut(rest, ".")
	isForm := form == "public" || form == "ipv6" || form == "eth0" || device.matches(form)
	switch {
	case isForm && (!further || strings.HasPrefix(form, "eth")):
		return false
	case slices.Contains([]string{"nat", "endpoint", serviceKind}, first):
		return further && last != "public" && last != "ipv6" && len(d.gateways[form]) == 0 && len(d.managedNamed(first, form)) == 0
	case further:
		return true
	case d.hosts[first] != nil || len(d.instances[first]) > 0:
		return near(rest, []string{"public", "ipv6", "eth1", "eth2"}) == ""
	}
	return true
}

// destination resolves the HOST of a check: an address as `address` does, or else a DNS name.
func (d *directory) destination(s string, want family) (netip.Addr, string, *fault) {
	if d.isDNSName(s) {
		return netip.Addr{}, s, nil
	}
	a, f := d.address(s, want)
	if f != nil && f.hint == "" && !strings.ContainsAny(s, "./") {
		f.hint = "a DNS name has a dot"
	}
	return a, "", f
}

// runes is the length of a text in characters.
func runes(s string) int { return utf8.RuneCountInString(s) }
