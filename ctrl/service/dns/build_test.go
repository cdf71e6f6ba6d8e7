package dns

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// The constructors below let a model be read aloud.

type part func(*vpc.VPC)

// network is a VPC with both DNS attributes on, in us-east-1 with the subnets a (us-east-1a) and b (us-east-1b).
func network(name, cidr string, parts ...part) *vpc.VPC {
	v := &vpc.VPC{
		Name: name, ID: vpc.VPCID("vpc-" + name), Region: "us-east-1", CIDRs: []netip.Prefix{netip.MustParsePrefix(cidr)},
		DNSSupport: true, DNSHostnames: true,
	}
	for _, p := range parts {
		p(v)
	}
	for _, zone := range []string{"a", "b"} {
		v.Subnets = append(v.Subnets, &vpc.Subnet{Name: zone, AZ: v.Region + zone})
	}
	return v
}

func attributes(support, hostnames bool) part {
	return func(v *vpc.VPC) { v.DNSSupport, v.DNSHostnames = support, hostnames }
}

func in(region string) part { return func(v *vpc.VPC) { v.Region = region } }

// instance has the addresses of its interface: private ones, and "public=".
func instance(name string, words ...string) part {
	return func(v *vpc.VPC) {
		e := &vpc.ENI{Name: name, Device: "eth0", Subnet: "a"}
		for _, word := range words {
			public, isPublic := strings.CutPrefix(word, "public=")
			switch {
			case isPublic:
				e.Public = netip.MustParseAddr(public)
			case strings.Contains(word, ":"):
				e.IPv6 = netip.MustParseAddr(word)
			case e.IP.IsValid():
				e.Secondary = append(e.Secondary, netip.MustParseAddr(word))
			default:
				e.IP = netip.MustParseAddr(word)
			}
		}
		v.Instances = append(v.Instances, &vpc.Instance{Name: name, ID: vpc.InstanceID("i-" + name), Interfaces: []*vpc.ENI{e}})
	}
}

// nat is a NAT gateway with a private and a public address.
func nat(private, public string) part {
	return func(v *vpc.VPC) {
		a := vpc.NATAddress{IP: netip.MustParseAddr(private), Public: netip.MustParseAddr(public)}
		v.NATGateways = append(v.NATGateways, &vpc.NATGateway{Name: "out", Subnet: "a", Addresses: []vpc.NATAddress{a}})
	}
}

// endpoint leads to a service ("s3", "data/shop") from interfaces "SUBNET=ADDRESS[,ADDRESS6]"; the words "private" and "dualstack" are
// its options, "pending" and "gateway" make it something else.
func endpoint(name, to string, words ...string) part {
	return func(v *vpc.VPC) {
		e := &vpc.Endpoint{Name: name, ID: vpc.EndpointID("vpce-" + name), Type: vpc.InterfaceEndpoint, State: vpc.EndpointAvailable}
		if owner, service, own := strings.Cut(to, "/"); own {
			e.Service = vpc.ServiceRef{VPC: owner, Name: service}
		} else {
			e.Service.Name = to
		}
		for _, word := range words {
			subnet, addrs, isInterface := strings.Cut(word, "=")
			switch {
			case isInterface:
				four, six, _ := strings.Cut(addrs, ",")
				i := &vpc.EndpointInterface{Subnet: subnet, IP: netip.MustParseAddr(four)}
				i.IPv6, _ = netip.ParseAddr(six)
				e.Interfaces = append(e.Interfaces, i)
			case word == "private":
				e.PrivateDNS = true
			case word == "dualstack":
				e.DualStack = true
			case word == "pending":
				e.State = vpc.EndpointPendingAcceptance
			case word == "gateway":
				e.Type = vpc.GatewayEndpoint
			}
		}
		v.Endpoints = append(v.Endpoints, e)
	}
}

// offers is an endpoint service with a load balancer at that address.
func offers(name, addr string) part {
	return func(v *vpc.VPC) {
		v.EndpointServices = append(v.EndpointServices, &vpc.EndpointService{
			Name: name, ID: vpc.EndpointServiceID("vpce-svc-" + name),
			Interfaces: []*vpc.EndpointInterface{{Subnet: "a", IP: netip.MustParseAddr(addr)}},
		})
	}
}

func lab(vpcs ...*vpc.VPC) *vpc.Model {
	return &vpc.Model{Name: "test", Region: "us-east-1", VPCs: vpcs}
}

// peered connects two VPCs; the words are those of the sides that let the other resolve.
func peered(m *vpc.Model, requester, accepter string, state vpc.PeeringState, sides string) *vpc.Model {
	m.Peerings = append(m.Peerings, &vpc.Peering{
		Name: requester + "-" + accepter, Requester: requester, Accepter: accepter, Life: vpc.Life{State: state},
		DNSRequester: strings.Contains(sides, "requester"), DNSAccepter: strings.Contains(sides, "accepter"),
	})
	return m
}

func host(m *vpc.Model, names string, addrs ...string) *vpc.Model {
	h := &vpc.Host{Name: "host", Names: strings.Fields(names)}
	for _, a := range addrs {
		h.Addrs = append(h.Addrs, netip.MustParseAddr(a))
	}
	m.Hosts = append(m.Hosts, h)
	return m
}

// zoned adds a private hosted zone for VPCs with record sets "NAME TYPE VALUE"; a further value is a further record.
func zoned(m *vpc.Model, name, vpcs string, records ...string) *vpc.Model {
	z := &vpc.PrivateZone{Name: name, VPCs: strings.Fields(vpcs)}
	for _, text := range records {
		f := strings.SplitN(text, " ", 3)
		z.Records = append(z.Records, vpc.ZoneRecord{Name: f[0], Type: f[1], TTL: 300, Values: strings.Split(f[2], " | ")})
	}
	m.Zones = append(m.Zones, z)
	return m
}

// from is somebody in a VPC of the model, or on the internet if it has no name.
func from(m *vpc.Model, name string) service.Caller {
	if name == "" {
		return service.Caller{Service: Name, Via: service.Public, Addr: netip.MustParseAddr("203.0.113.77")}
	}
	return service.Caller{Service: Name, VPC: m.VPC(name), Addr: netip.MustParseAddr("10.0.0.77")}
}

// query is a question "NAME TYPE".
func query(text string) *dns.Msg {
	name, rrtype, _ := strings.Cut(text, " ")
	return new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.StringToType[rrtype])
}

// ask is what a caller gets to hear: the records' values without their names, after a CNAME too; or NODATA, or the code, with the zone whose
// SOA record comes with it; or "silence".
func ask(r *Resolver, c service.Caller, question string) string {
	m := r.Answer(c, query(question))
	if m == nil {
		return "silence"
	}
	var words []string
	for _, rr := range m.Answer {
		words = append(words, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	switch {
	case m.Rcode != dns.RcodeSuccess:
		words = append(words, dns.RcodeToString[m.Rcode])
	case len(m.Ns) > 0:
		words = append(words, "NODATA")
	}
	for _, rr := range m.Ns {
		words = append(words, "of "+rr.Header().Name)
	}
	return strings.Join(words, " ")
}

// row is a question of somebody in a VPC, and what they hear.
type row struct{ vpc, question, want string }

func check(t *testing.T, m *vpc.Model, rows []row) {
	t.Helper()
	for _, x := range rows {
		// A resolver of its own for each, as addresses take turns.
		if got := ask(New(m), from(m, x.vpc), x.question); got != x.want {
			t.Errorf("%s asks %s: got %q, want %q", x.vpc, x.question, got, x.want)
		}
	}
}
