package check

import (
	"fmt"
	"net/netip"

	"github.com/miekg/dns"

	"github.com/vpclab/vpclab/ctrl/scenario"
)

// destination is the address of a check's HOST: the one that the file means, or the first that the guest's own resolver answers for a DNS
// name.
func (p *probe) destination(do scenario.Do) (netip.Addr, error) {
	if do.Name == "" {
		return do.Addr, nil
	}
	switch do.Verb {
	case scenario.Ping:
		return p.resolve(do.Name, dns.TypeA)
	case scenario.Ping6:
		return p.resolve(do.Name, dns.TypeAAAA)
	}
	return p.resolve(do.Name, dns.TypeA, dns.TypeAAAA)
}

// resolve asks for the types in turn until there is an address. It becomes the check's target. A name without an address is `failed`.
func (p *probe) resolve(name string, kinds ...uint16) (netip.Addr, error) {
	for _, kind := range kinds {
		answer, err := p.ask(name, kind)
		if err != nil {
			return netip.Addr{}, err
		}
		for _, rr := range answer.Answer {
			if a, ok := addressIn(rr); ok && rr.Header().Rrtype == kind {
				p.target = a
				return a, nil
			}
		}
	}
	missing := dns.TypeToString[kinds[0]]
	for _, kind := range kinds[1:] {
		missing += " or " + dns.TypeToString[kind]
	}
	return netip.Addr{}, &end{outcome: Failed, detail: fmt.Sprintf("%s exists, but has no %s record", name, missing)}
}

func addressIn(rr dns.RR) (netip.Addr, bool) {
	switch rr := rr.(type) {
	case *dns.A:
		a, ok := netip.AddrFromSlice(rr.A)
		return a.Unmap(), ok
	case *dns.AAAA:
		return netip.AddrFromSlice(rr.AAAA)
	}
	return netip.Addr{}, false
}
