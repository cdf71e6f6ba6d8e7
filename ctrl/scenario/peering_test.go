package scenario

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

// peerings is a file of three VPCs; connections and checks follow.
const peerings = `name: peers
vpcs:
  app: {cidr: 10.0.0.0/16, subnets: {web: {cidr: 10.0.0.0/24}}, instances: {web: {subnet: web}}}
  data: {cidr: 10.9.0.0/16}
  far: {cidr: 10.7.0.0/16, region: eu-west-1, dns: {support: false}}
peerings:
`

func TestPeeringsAreRead(t *testing.T) {
	src, err := os.ReadFile("testdata/valid/peering.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := parse(t, string(src))
	p := s.Model.Peering("app-data")
	if p.Requester != "app" || p.Accepter != "data" || !p.Accept || p.Reject || !p.DNSRequester || !p.DNSAccepter ||
		p.Encryption != vpc.NoEncryption || p.ExpectState != vpc.Active || p.State != vpc.Active {
		t.Errorf("app-data is %+v", p)
	}
	if want := (vpc.Link{Delay: 1500 * time.Microsecond, Rate: 64000}); p.Link != want {
		t.Errorf("its link is %+v, want %+v", p.Link, want)
	}
	if want := (vpc.Link{Delay: 10 * time.Second, Loss: 1, Rate: 1e12}); s.Model.Peering("app-far").Link != want {
		t.Errorf("the link of app-far is %+v, want %+v", s.Model.Peering("app-far").Link, want)
	}
	if route := s.Model.VPC("data").RouteTable("db").Routes[0]; route.Target != (vpc.Target{Kind: vpc.TargetPeering, Name: "app-data"}) {
		t.Errorf("the route of db leads to %v", route.Target)
	}
	if c := s.Steps[1].Check; c.At != "peering.app-far" || c.Because != "PCX_REQUIRES_ADDRESS_IN_VPC_CIDR" {
		t.Errorf("the second check is %+v", c)
	}
	states := func(m *vpc.Model) string {
		var texts []string
		for _, p := range m.Peerings {
			texts = append(texts, p.Name+" "+string(p.State))
		}
		return strings.Join(texts, ", ")
	}
	for i, want := range map[int]string{
		4: "app-data active, app-far active, app-lab active, far-lab rejected, twins failed, late pending-acceptance",
		6: "app-far active, app-lab active, far-lab rejected, twins failed, late expired",
		8: "app-far active, app-lab active, far-lab rejected, twins failed, late expired, app-data active",
	} {
		if got := states(s.Steps[i].Change); got != want {
			t.Errorf("after step %d: %s, want %s", i, got, want)
		}
	}
	if m := s.Steps[6].Change; m.Elapsed != 7*24*time.Hour {
		t.Errorf("%v have passed, want seven days", m.Elapsed)
	}
}

// TestPeeringDNSNamesHosts: the options need both DNS attributes, so they are the default of `hostnames`.
func TestPeeringDNSNamesHosts(t *testing.T) {
	m := parse(t, peerings+"  p: {requester: app, accepter: data, dns: {accepter: true}}\n").Model
	if !m.VPC("app").DNSHostnames || !m.VPC("data").DNSHostnames || m.VPC("far").DNSHostnames {
		t.Error("app and data have public host names, and far has not")
	}
	if m = parse(t, peerings+"  p: {requester: app, accepter: data}\n").Model; m.VPC("app").DNSHostnames {
		t.Error("without the options there are public host names")
	}
	for _, connection := range []string{"  p: {requester: app, accepter: far, dns: {requester: true}}\n",
		"  p: {requester: app, accepter: dta, dns: {requester: true}}\n"} {
		if _, err := Parse("x.yaml", []byte(peerings+connection)); err == nil {
			t.Errorf("%s is right", connection)
		}
	}
}

func TestLinks(t *testing.T) {
	for text, want := range map[string]vpc.Link{
		"{delay: 60ms, loss: 0.1%, rate: 1Gbit}": {Delay: 60 * time.Millisecond, Loss: 0.001, Rate: 1e9},
		"{loss: 0%, rate: 64kbit}":               {Rate: 64000},
		"{loss: 100%, rate: 2500000bit}":         {Loss: 1, Rate: 2500000},
		"{rate: 1.5Mbit}":                        {Rate: 1500000},
		"{delay: 1us}":                           {Delay: time.Microsecond},
		"{}":                                     {},
	} {
		m := parse(t, peerings+"  p: {requester: app, accepter: data, link: "+text+"}\n").Model
		if got := m.Peering("p").Link; got != want {
			t.Errorf("%s is %+v, want %+v", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"1Mbps": "`1Mbit`", "1mb/s": "`1Mbit`", "10kbits": "`10kbit`", "5Gbit/s": "`5Gbit`", "8k": "`8kbit`", "5MB": "1Gbit", "80": "1Gbit",
	} {
		if _, f := parseRate(text); f == nil || !strings.Contains(f.hint, want) {
			t.Errorf("%s: %+v, want a hint of %s", text, f, want)
		}
	}
}

// TestMuchTimePasses: a file may let centuries pass without an overflow.
func TestMuchTimePasses(t *testing.T) {
	steps := "checks:\n" + strings.Repeat("  - advance: 3652d\n", 40) + "  - change: {vpcs: {app: {dns: {hostnames: true}}}}\n"
	s := parse(t, peerings+"  p: {requester: app, accepter: data, accept: false}\n"+steps)
	if p := s.Steps[40].Change.Peering("p"); p.State != vpc.Expired {
		t.Errorf("p is %s", p.State)
	}
}

// TestConsequencesOfWrongVPCs: a connection of a VPC whose addresses are wrong is not judged.
func TestConsequencesOfWrongVPCs(t *testing.T) {
	file := strings.Replace(peerings, "10.9.0.0/16", "10.9.0.0", 1) + "  p: {requester: app, accepter: data, expect_state: failed}\n"
	_, err := Parse("x.yaml", []byte(file))
	if errs, ok := err.(Errors); !ok || len(errs) != 1 || !strings.Contains(errs[0].What, "is not a CIDR") {
		t.Errorf("got %v", err)
	}
}

// TestPeeringHops: an instance may be called peering, and a connection eth1.
func TestPeeringHops(t *testing.T) {
	file := strings.Replace(peerings, "web: {subnet: web}", "peering: {subnet: web, interfaces: {eth1: {subnet: web}}}", 1) +
		"  eth1: {requester: app, accepter: data}\nchecks:\n"
	for _, at := range []string{"peering.eth1", "peering.eth1/sg-in", "peering/sg-in"} {
		c := parse(t, file+"  - {from: peering, do: ping 10.9.0.9, expect: timeout, at: "+at+"}\n").Steps[0].Check
		if c.At != at {
			t.Errorf("at is %s, want %s", c.At, at)
		}
	}
}
