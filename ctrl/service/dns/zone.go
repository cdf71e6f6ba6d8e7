package dns

import (
	"sync/atomic"

	"github.com/miekg/dns"
)

// zone has the names under one origin. All names in it are canonical: in lower case, with the last dot.
type zone struct {
	origin string
	names  map[string]node
	below  *zone // where names are looked for that this one does not have
}

// node has a name's record sets by type. A name without any exists because there are names below it (RFC 8020).
type node map[uint16]*set

// set is a record set. Addresses take turns at the first place, as clients use that.
type set struct {
	records []dns.RR
	turn    atomic.Uint32
}

func newZone(origin string, below *zone) *zone {
	z := &zone{origin: origin, names: map[string]node{origin: {}}, below: below}
	z.add(authority(origin))
	return z
}

// add puts records in; one of another zone, or that it has already, is left out.
func (z *zone) add(records ...dns.RR) {
	for _, rr := range records {
		h := rr.Header()
		if !dns.IsSubDomain(z.origin, h.Name) {
			continue
		}
		for name := h.Name; z.names[name] == nil; name = parent(name) {
			z.names[name] = node{}
		}
		n := z.names[h.Name]
		if n[h.Rrtype] == nil {
			n[h.Rrtype] = &set{}
		}
		n[h.Rrtype].add(rr)
	}
}

func (s *set) add(rr dns.RR) {
	for _, have := range s.records {
		if dns.IsDuplicate(have, rr) {
			return
		}
	}
	s.records = append(s.records, rr)
}

// parent is the name without its first label.
func parent(name string) string {
	next, end := dns.NextLabel(name, 0)
	if end {
		return "."
	}
	return name[next:]
}

// find is what the zone has for a name: its own node, or that of the wildcard at its closest encloser (RFC 4592).
func (z *zone) find(name string) (node, bool) {
	if n, ok := z.node(name); ok {
		return n, true
	}
	for name != z.origin && name != "." {
		name = parent(name)
		if _, ok := z.node(name); ok {
			return z.node("*." + name)
		}
	}
	return nil, false
}

// node is the uppermost one of that name that has records.
func (z *zone) node(name string) (n node, exists bool) {
	for ; z != nil; z = z.below {
		if here, ok := z.names[name]; ok {
			n, exists = here, true
		}
		if len(n) > 0 {
			break
		}
	}
	return n, exists
}

// soa is the record that goes with negative answers.
func (z *zone) soa() dns.RR { return z.names[z.origin][dns.TypeSOA].records[0] }

// under are the set's records with this name as owner: a wildcard's get the name that was asked, and all its upper and lower case.
func (s *set) under(name string) []dns.RR {
	first := 0
	if n := len(s.records); n > 1 && isAddress(s.records[0]) {
		first = int(s.turn.Add(1)-1) % n
	}
	records := make([]dns.RR, len(s.records))
	for i := range records {
		records[i] = dns.Copy(s.records[(first+i)%len(records)])
		records[i].Header().Name = name
	}
	return records
}

func isAddress(rr dns.RR) bool {
	t := rr.Header().Rrtype
	return t == dns.TypeA || t == dns.TypeAAAA
}
