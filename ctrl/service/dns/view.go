package dns

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

// view is what one VPC sees: zones by their origin, of which the longest that holds a name answers for it. The root holds them all.
type view map[string]*zone

// shared has for each region what its VPCs know of each other without being peers: IP names of RFC 1918 addresses. As such a name says its
// address, it does not matter that VPCs use the same ones.
func shared(m *vpc.Model, public *zone) map[string]*zone {
	all := map[string]*zone{}
	for _, v := range m.VPCs {
		if !named(v) {
			continue
		}
		if all[v.Region] == nil {
			all[v.Region] = newZone(".", public)
		}
		for _, i := range interfaces(v) {
			if i.private.IsPrivate() {
				all[v.Region].add(addresses(ipName(v.Region, i.private), i.private)...)
			}
		}
	}
	return all
}

// newView is what v sees, whose resolver is on. Names of interfaces, private hosted zones and private DNS need both attributes.
func newView(m *vpc.Model, v *vpc.VPC, public, region *zone) view {
	if !named(v) {
		return view{".": public}
	}
	own := newZone(".", region)
	own.addInside(v)
	for _, peer := range resolvablePeers(m, v) {
		own.addInside(peer)
	}
	w := view{".": own}
	for _, z := range m.Zones {
		if slices.Contains(z.VPCs, v.Name) {
			w.addHosted(z)
		}
	}
	for _, e := range v.Endpoints {
		w.addPrivateDNS(m, v, e)
	}
	for _, origin := range amazonDomains(v.Region) {
		w.put(newZone(origin, own))
	}
	return w
}

// put adds a zone unless there is one of its origin: private hosted zones come first.
func (w view) put(z *zone) {
	if w[z.origin] == nil {
		w[z.origin] = z
	}
}

// addInside adds the names of v's interfaces as they resolve within it.
func (z *zone) addInside(v *vpc.VPC) {
	for _, i := range interfaces(v) {
		name := ipName(v.Region, i.private)
		z.add(addresses(name, i.private)...)
		z.add(pointer(i.private, name))
		if i.public.IsValid() {
			z.add(addresses(publicName(v.Region, i.public), i.private)...)
		}
	}
	for _, i := range v.Instances {
		if len(i.Interfaces) > 0 {
			z.addResource(ResourceName(v, i), i.Interfaces[0])
		}
	}
}

// addResource adds an instance's resource name: it leads to the primary interface, in both families.
func (z *zone) addResource(name string, e *vpc.ENI) {
	z.add(addresses(name, e.IP, e.IPv6)...)
	if e.IPv6.IsValid() {
		z.add(pointer(e.IPv6, name))
	}
}

// resolvablePeers are the VPCs at the other end of v's active peering connections whose side lets the remote VPC resolve its names. Both
// need both attributes; the caller has seen to v's (peering guide, DNS resolution).
func resolvablePeers(m *vpc.Model, v *vpc.VPC) (peers []*vpc.VPC) {
	for _, p := range m.Peerings {
		allowed := p.Requester == v.Name && p.DNSAccepter || p.Accepter == v.Name && p.DNSRequester
		if peer := m.VPC(p.Peer(v.Name)); allowed && p.Active() && peer != nil && named(peer) {
			peers = append(peers, peer)
		}
	}
	return peers
}

// addHosted adds a private hosted zone, with the name servers that Route 53 gives it unless it names others. A record set that is none of
// its type is left out: whoever reads the scenario refuses it.
func (w view) addHosted(hosted *vpc.PrivateZone) {
	z := newZone(dns.CanonicalName(hosted.Name), nil)
	for _, r := range hosted.Records {
		if records, err := parse(r); err == nil {
			z.add(records...)
		}
	}
	if z.names[z.origin][dns.TypeNS] == nil {
		z.add(nameServers(z.origin)...)
	}
	w.put(z)
}

// addPrivateDNS adds the hidden zones by which an endpoint takes over its service's names.
func (w view) addPrivateDNS(m *vpc.Model, v *vpc.VPC, e *vpc.Endpoint) {
	s, ok := privateService(v, e)
	if !ok || e.State != vpc.EndpointAvailable {
		return
	}
	hidden := map[string]*zone{}
	for _, name := range serviceNames(s, v.Region) {
		origin := dns.CanonicalName(strings.TrimPrefix(name, "*."))
		if hidden[origin] == nil {
			hidden[origin] = newZone(origin, nil)
		}
		hidden[origin].add(endpointAddresses(e, name, healthy(m, v, e))...)
	}
	for _, z := range hidden {
		w.put(z)
	}
}

// amazonDomains are those for which the resolver has rules of its own: a private hosted zone of a shorter name does not hide what is in
// them (Route 53 developer guide, autodefined system rules).
func amazonDomains(region string) []string {
	domains := []string{internalDomain(region) + ".", publicDomain(region) + ".", "10.in-addr.arpa.", "168.192.in-addr.arpa."}
	for n := 16; n < 32; n++ {
		domains = append(domains, fmt.Sprintf("%d.172.in-addr.arpa.", n))
	}
	return domains
}

// holder is the zone that answers for a name.
func (w view) holder(name string) *zone {
	for {
		if z := w[name]; z != nil {
			return z
		}
		name = parent(name)
	}
}

// maxChain is how many CNAME records an answer follows.
const maxChain = 8

// resolve answers a question of class IN. The SOA record comes with a negative answer.
func (w view) resolve(q dns.Question) (answer []dns.RR, soa dns.RR, rcode int) {
	name := q.Name
	for range maxChain + 1 {
		canonical := dns.CanonicalName(name)
		z := w.holder(canonical)
		n, exists := z.find(canonical)
		switch {
		case !exists:
			return answer, z.soa(), dns.RcodeNameError
		case q.Qtype == dns.TypeANY:
			return append(answer, minimal(name)), nil, dns.RcodeSuccess
		case n[q.Qtype] != nil:
			return append(answer, n[q.Qtype].under(name)...), nil, dns.RcodeSuccess
		case n[dns.TypeCNAME] == nil:
			return answer, z.soa(), dns.RcodeSuccess
		}
		alias := n[dns.TypeCNAME].under(name)[0]
		answer = append(answer, alias)
		name = alias.(*dns.CNAME).Target
	}
	return nil, nil, dns.RcodeServerFailure // a loop, or as good as one
}

// minimal answers a question for any type (RFC 8482, section 4.2).
func minimal(name string) dns.RR {
	h := header(name, dns.TypeHINFO, ttl)
	h.Name = name
	return &dns.HINFO{Hdr: h, Cpu: "RFC8482"}
}
