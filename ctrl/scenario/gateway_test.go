package scenario

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

// gatewayLab has every kind of gateway; checks may follow.
const gatewayLab = `name: shop
tracking: {tcp_established: 350s, udp_stream: 2m}
vpcs:
  app:
    cidr: 10.0.0.0/16
    ipv6: 2600:1f18:aa00::/56
    internet_gateway: {routes: {10.0.1.0/24: instance.nat, "2600:1f18:aa00::/56": local}}
    egress_only_gateway: true
    subnets:
      open: {cidr: 10.0.0.0/24, routes: {0.0.0.0/0: igw, "::/0": igw}}
      web: {cidr: 10.0.1.0/24, ipv6: "2600:1f18:aa00:1::/64", routes: {0.0.0.0/0: nat.out, "::/0": eigw, "64:ff9b::/96": nat.out}}
    nat_gateways:
      out: {subnet: open, eip: 198.51.100.7, secondary: [auto, 198.51.100.8]}
      inner: {subnet: web, type: private, ip: 10.0.1.9, secondary: [10.0.1.10]}
    instances: {web: {subnet: web}, nat: {subnet: open, interfaces: {eth1: {subnet: open}}}}
  data:
    cidr: 10.9.0.0/16
    internet_gateway: true
    subnets: {db: {cidr: 10.9.0.0/24}}
    nat_gateways: {out: {subnet: db, type: public, eip: auto}}
    instances: {db: {subnet: db}}
internet:
  hosts: {example: {ip: 203.0.113.80}}
`

// natText writes a gateway's addresses as "PRIVATE PUBLIC".
func natText(g *vpc.NATGateway) string {
	var texts []string
	for _, a := range g.Addresses {
		texts = append(texts, fmt.Sprintf("%v %v", a.IP, a.Public))
	}
	return strings.Join(texts, ", ")
}

func TestGateways(t *testing.T) {
	m := parse(t, gatewayLab).Model
	if want := (vpc.Tracking{TCPEstablished: 350 * time.Second, UDPStream: 2 * time.Minute}); m.Tracking != want {
		t.Errorf("tracking %+v, want %+v", m.Tracking, want)
	}
	app, data := m.VPC("app"), m.VPC("data")
	if !app.InternetGateway || !app.EgressOnlyGateway || !data.InternetGateway || data.EgressOnlyGateway {
		t.Error("the gateways of app and data are not what the file says")
	}
	if got := fmt.Sprint(app.EdgeRoutes[0].Destination, " ", app.EdgeRoutes[0].Target, ", ", app.EdgeRoutes[1].Destination, " ",
		app.EdgeRoutes[1].Target); got != "10.0.1.0/24 instance.nat, 2600:1f18:aa00::/56 local" {
		t.Errorf("edge routes %s", got)
	}
	if data.EdgeRoutes != nil {
		t.Errorf("data has edge routes: %v", data.EdgeRoutes)
	}
	for _, row := range []struct {
		gateway *vpc.NATGateway
		private bool
		want    string
	}{
		{app.NATGateway("out"), false, "10.0.0.6 198.51.100.7, 10.0.0.7 198.18.0.1, 10.0.0.8 198.51.100.8"},
		{app.NATGateway("inner"), true, "10.0.1.9 invalid IP, 10.0.1.10 invalid IP"},
		{data.NATGateway("out"), false, "10.9.0.5 198.18.0.2"},
	} {
		if got := natText(row.gateway); got != row.want || row.gateway.Private != row.private {
			t.Errorf("%s: %s, private %v; want %s", row.gateway.Name, got, row.gateway.Private, row.want)
		}
	}
}

func TestGatewayHosts(t *testing.T) {
	s := parse(t, gatewayLab+`checks:
  - {from: web, do: tcp 80 to example, seen_as: app/nat.out.public}
  - {from: web, do: "http http://nat.inner:8080/"}
  - {from: example, do: ping data/nat.out.public, expect: timeout, because: NAT_INBOUND, at: nat.out}
`)
	if got := s.Steps[0].Check.SeenAs.String(); got != "198.51.100.7" {
		t.Errorf("seen as %s", got)
	}
	if got := s.Steps[1].Check.Do.URL; got != "http://10.0.1.9:8080/" {
		t.Errorf("URL %s", got)
	}
	if c := s.Steps[2].Check; c.Do.Addr.String() != "198.18.0.2" || c.Because != "NAT_INBOUND" || c.At != "nat.out" {
		t.Errorf("check %+v", c)
	}
	d := newDirectory(s.Model, true)
	for text, want := range map[string]string{
		"app/nat.out": "10.0.0.6", "data/nat.out": "10.9.0.5", "nat.inner": "10.0.1.9", "nat": "10.0.0.4", "nat.eth1": "10.0.0.5",
	} {
		if got, f := d.address(text, anyFamily); f != nil || got != netip.MustParseAddr(want) {
			t.Errorf("%s is %v (%v), want %s", text, got, f, want)
		}
	}
}

func TestGatewayHops(t *testing.T) {
	for _, at := range []string{"nat.out", "nat.out/acl-in", "nat.out/acl-out", "nat.out/route", "nat.eth1/sg-in", "nat/route", "eigw",
		"igw", "acl-in"} {
		s := parse(t, gatewayLab+"checks:\n  - {from: web, do: tcp 80 to example, expect: timeout, at: "+at+"}\n")
		if got := s.Steps[0].Check.At; got != at {
			t.Errorf("at %s, want %s", got, at)
		}
		if !hop.matches(at) {
			t.Errorf("%q: the schema's pattern refuses it", at)
		}
	}
}

// TestGatewayChanges takes gateways away and puts them back: their routes are blackholes in between, and addresses stay.
func TestGatewayChanges(t *testing.T) {
	s := parse(t, gatewayLab+`checks:
  - change: {vpcs: {app: {nat_gateways: {out: null}, egress_only_gateway: false, instances: {nat: null}}}}
  - change: {vpcs: {app: {nat_gateways: {inner: {secondary: null}}, internet_gateway: true}}}
  - change:
      tracking: {udp: 45s, udp_stream: null}
      vpcs: {app: {egress_only_gateway: true, nat_gateways: {out: {subnet: open, eip: auto}}}}
  - change:
      tracking: null
      vpcs: {app: {nat_gateways: {out: {secondary: [auto]}}, internet_gateway: {routes: {10.0.1.0/24: local}}}}
`)
	var got []string
	for _, step := range s.Steps {
		app := step.Change.VPC("app")
		var states []string
		for _, r := range append(app.EdgeRoutes[:len(app.EdgeRoutes):len(app.EdgeRoutes)], app.RouteTable("web").Routes...) {
			state := "active"
			if r.Blackhole {
				state = "blackhole"
			}
			states = append(states, r.Target.String()+" "+state)
		}
		got = append(got, strings.Join(states, ", "))
	}
	want := []string{
		"instance.nat blackhole, local active, nat.out blackhole, eigw blackhole, nat.out blackhole",
		"nat.out blackhole, eigw blackhole, nat.out blackhole",
		"nat.out active, eigw active, nat.out active",
		"local active, nat.out active, eigw active, nat.out active",
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("change %d: %s; want %s", i+1, got[i], want[i])
		}
	}
	third, last := s.Steps[2].Change, s.Steps[3].Change
	if got := natText(third.VPC("app").NATGateway("inner")); got != "10.0.1.9 invalid IP" {
		t.Errorf("inner has %s after its secondary address was removed", got)
	}
	first, again := natText(third.VPC("app").NATGateway("out")), natText(last.VPC("app").NATGateway("out"))
	if first != "10.0.0.4 198.18.0.3" || again != first+", 10.0.0.5 198.18.0.4" {
		t.Errorf("out has %s, and with a secondary address %s", first, again)
	}
	want3 := vpc.Tracking{TCPEstablished: 350 * time.Second, UDP: 45 * time.Second}
	if third.Tracking != want3 || last.Tracking != (vpc.Tracking{}) {
		t.Errorf("tracking %+v and then %+v", third.Tracking, last.Tracking)
	}
}

func TestCut(t *testing.T) {
	for _, row := range []struct {
		name   string
		packet Packet
		length int
		want   string
	}{
		{"whole", Packet{}, 108, "[]"},
		{"by size, in order, the last one shorter", Packet{FragmentSize: 48}, 108, "[{0 48} {48 96} {96 108}]"},
		{"by size without a rest", Packet{FragmentSize: 56}, 112, "[{0 56} {56 112}]"},
		{"as listed", Packet{Pieces: []Piece{{48, 108}, {0, 48}}}, 108, "[{48 108} {0 48}]"},
	} {
		if got := fmt.Sprint(row.packet.Cut(row.length)); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}

func TestTooManyPieces(t *testing.T) {
	send := func(pieces int) *fault {
		_, f := parseDo("send udp 53 to 10.0.0.9 fragments 0-8"+strings.Repeat(",0-8", pieces-1), nil, Node{})
		return f
	}
	if f := send(64); f != nil {
		t.Errorf("64 pieces: %s", f.what)
	}
	if f := send(65); f == nil || f.what != "there are more than 64 pieces" || f.hint != "send fewer" {
		t.Errorf("65 pieces: %+v", f)
	}
}
