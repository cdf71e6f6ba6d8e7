package dns

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

// Times to live in seconds: AWS's for its own names, and Route 53's for "there is no such name" and for the name servers of a zone.
const (
	ttl           = 60
	negativeTTL   = 900
	nameServerTTL = 172800
)

func header(name string, rrtype uint16, seconds uint32) dns.RR_Header {
	return dns.RR_Header{Name: dns.CanonicalName(name), Rrtype: rrtype, Class: dns.ClassINET, Ttl: seconds}
}

// address is an A or AAAA record.
func address(name string, a netip.Addr, seconds uint32) dns.RR {
	if a.Is4() {
		return &dns.A{Hdr: header(name, dns.TypeA, seconds), A: a.AsSlice()}
	}
	return &dns.AAAA{Hdr: header(name, dns.TypeAAAA, seconds), AAAA: a.AsSlice()}
}

// addresses are the A and AAAA records of a name.
func addresses(name string, all ...netip.Addr) (records []dns.RR) {
	for _, a := range all {
		if a.IsValid() {
			records = append(records, address(name, a, ttl))
		}
	}
	return records
}

// pointer is the PTR record of an address.
func pointer(a netip.Addr, name string) dns.RR {
	arpa, err := dns.ReverseAddr(a.WithZone("").String())
	if err != nil {
		panic(err) // an address without a zone has a reverse name
	}
	return &dns.PTR{Hdr: header(arpa, dns.TypePTR, ttl), Ptr: dns.CanonicalName(name)}
}

// authority is a zone's SOA record, with what Route 53 writes in it.
func authority(origin string) dns.RR {
	return &dns.SOA{
		Hdr: header(origin, dns.TypeSOA, negativeTTL), Ns: "ns-1536.awsdns-00.co.uk.", Mbox: "awsdns-hostmaster.amazon.com.",
		Serial: 1, Refresh: 7200, Retry: 900, Expire: 1209600, Minttl: 86400,
	}
}

// nameServers are those of every private hosted zone. They can be asked by nobody: the zone is answered by the resolver (Route 53 developer
// guide, working with private hosted zones).
func nameServers(origin string) (records []dns.RR) {
	for _, server := range []string{"ns-0.awsdns-00.com.", "ns-512.awsdns-00.net.", "ns-1024.awsdns-00.org.", "ns-1536.awsdns-00.co.uk."} {
		records = append(records, &dns.NS{Hdr: header(origin, dns.TypeNS, nameServerTTL), Ns: server})
	}
	return records
}

// parse makes the records of a private hosted zone's record set.
func parse(r vpc.ZoneRecord) (records []dns.RR, err error) {
	if _, ok := dns.IsDomainName(r.Name); !ok {
		return nil, fmt.Errorf("record %q: no domain name", r.Name)
	}
	for _, value := range r.Values {
		rr, err := parseValue(r, value)
		if err != nil {
			return nil, fmt.Errorf("record %s %s %q: %w", r.Name, r.Type, value, err)
		}
		records = append(records, rr)
	}
	return records, nil
}

func parseValue(r vpc.ZoneRecord, value string) (dns.RR, error) {
	h := header(r.Name, dns.StringToType[r.Type], r.TTL)
	fields := strings.Fields(value)
	switch h.Rrtype {
	case dns.TypeA, dns.TypeAAAA:
		a, err := netip.ParseAddr(value)
		if err != nil || a.Zone() != "" || a.Is4() != (h.Rrtype == dns.TypeA) {
			return nil, fmt.Errorf("no address of this type")
		}
		return address(r.Name, a, r.TTL), nil
	case dns.TypeCNAME:
		target, err := domain(fields)
		return &dns.CNAME{Hdr: h, Target: target}, err
	case dns.TypeNS:
		target, err := domain(fields)
		return &dns.NS{Hdr: h, Ns: target}, err
	case dns.TypePTR:
		target, err := domain(fields)
		return &dns.PTR{Hdr: h, Ptr: target}, err
	case dns.TypeMX:
		n, target, err := numbered(fields, 1)
		return &dns.MX{Hdr: h, Preference: n[0], Mx: target}, err
	case dns.TypeSRV:
		n, target, err := numbered(fields, 3)
		return &dns.SRV{Hdr: h, Priority: n[0], Weight: n[1], Port: n[2], Target: target}, err
	case dns.TypeTXT:
		return &dns.TXT{Hdr: h, Txt: characterStrings(value)}, nil
	}
	return nil, fmt.Errorf("no record type of private hosted zones here")
}

func domain(fields []string) (string, error) {
	if len(fields) != 1 {
		return "", fmt.Errorf("not one domain name")
	}
	if _, ok := dns.IsDomainName(fields[0]); !ok {
		return "", fmt.Errorf("no domain name")
	}
	return dns.Fqdn(fields[0]), nil
}

// numbered reads count 16-bit numbers and a domain name: "10 mail.corp.internal".
func numbered(fields []string, count int) (n [3]uint16, target string, err error) {
	if len(fields) != count+1 {
		return n, "", fmt.Errorf("not %d numbers and a domain name", count)
	}
	for i, f := range fields[:count] {
		v, err := strconv.ParseUint(f, 10, 16)
		if err != nil {
			return n, "", fmt.Errorf("%q is no number from 0 to 65535", f)
		}
		n[i] = uint16(v)
	}
	target, err = domain(fields[count:])
	return n, target, err
}

// characterStrings cuts a TXT value into pieces of at most 255 bytes (RFC 1035, section 3.3.14), in the library's way of writing them.
func characterStrings(value string) (pieces []string) {
	for {
		piece := value[:min(len(value), 255)]
		pieces = append(pieces, strings.ReplaceAll(piece, `\`, `\\`))
		if value = value[len(piece):]; value == "" {
			return pieces
		}
	}
}
