package vpc

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// managedText writes the addresses of a VPC's endpoints and load balancers as "endpoint sqs web 10.0.0.7".
func managedText(v *VPC) []string {
	var texts []string
	write := func(kind, name string, interfaces []*EndpointInterface) {
		for _, i := range interfaces {
			text := fmt.Sprintf("%s %s %s %s", kind, name, i.Subnet, i.IP)
			if i.IPv6.IsValid() {
				text += " " + i.IPv6.String()
			}
			texts = append(texts, text)
		}
	}
	for _, e := range v.Endpoints {
		write("endpoint", e.Name, e.Interfaces)
	}
	for _, s := range v.EndpointServices {
		write("service", s.Name, s.Interfaces)
	}
	return texts
}

// private is a VPC with all kinds of interfaces; what else is in it may follow.
func private(parts ...part) *Model {
	return lab(network("app", "10.0.0.0/16", append([]part{dnsNames, ipv6("2600:1f18::/56"), subnet("web", "10.0.0.0/24", "2600:1f18::/64"),
		subnet("back", "10.0.1.0/24", "az=b"), nat("out", "web", "private"), instance("a", "web"), instance("b", "back")}, parts...)...))
}

func TestEndpointAddressesComeLast(t *testing.T) {
	m := complete(t, private(offer("shop", "a,b"), endpoint("sqs", "sqs", "in=web,back:10.0.1.9"), endpoint("sns", "sns", "in=web", "dual"),
		endpoint("s3", "s3", "tables=main"), instance("late", "web")), nil)
	want := []string{"endpoint sqs web 10.0.0.7", "endpoint sqs back 10.0.1.9", "endpoint sns web 10.0.0.8 2600:1f18::6",
		"service shop web 10.0.0.9", "service shop back 10.0.1.5"}
	if got := managedText(m.VPC("app")); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestChangeKeepsEndpointAddresses(t *testing.T) {
	before := complete(t, private(offer("shop", "a,b"), endpoint("gone", "kms", "in=web"), endpoint("sqs", "sqs", "in=web,back"),
		endpoint("sns", "sns", "in=web", "dual")), nil)
	after := complete(t, private(endpoint("new", "ssm", "in=web"), instance("late", "web"), endpoint("sns", "sns", "in=web", "dual"),
		offer("shop", "b,a"), endpoint("sqs", "sqs", "in=back,web")), before)
	want := []string{"endpoint new web 10.0.0.10", "endpoint sns web 10.0.0.8 2600:1f18::5", "endpoint sqs back 10.0.1.5", "endpoint sqs web 10.0.0.7",
		"service shop back 10.0.1.6", "service shop web 10.0.0.9"}
	if got := managedText(after.VPC("app")); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := eni(t, after, "app", "late").IP.String(); got != "10.0.0.6" {
		t.Errorf("the new instance has %s, want the address that is free again, 10.0.0.6", got)
	}
	other := complete(t, private(endpoint("sqs", "kms", "in=web:10.0.0.9")), before)
	if got := managedText(other.VPC("app")); got[0] != "endpoint sqs web 10.0.0.9" {
		t.Errorf("an endpoint of another service has %s", got)
	}
}

func TestLoadBalancerStaysWithoutTargets(t *testing.T) {
	before := complete(t, private(instance("c", "back"), offer("shop", "c")), nil)
	after := complete(t, private(offer("shop", "c")), before)
	if got := managedText(after.VPC("app")); !slices.Equal(got, []string{"service shop back 10.0.1.6"}) {
		t.Errorf("%q", got)
	}
}

// TestIDsOfEndpoints compares them with all others of the lab.
func TestIDsOfEndpoints(t *testing.T) {
	m := complete(t, private(instance("sqs", "web"), nat("sqs", "web", "private"), endpoint("sqs", "sqs", "in=web,back"), offer("sqs", "a,b")), nil)
	v := m.VPC("app")
	ids := map[string]bool{}
	for _, e := range v.InstanceENIs() {
		ids[string(e.ID)] = true
	}
	for _, g := range v.NATGateways {
		ids[string(g.ENIID)] = true
	}
	before := len(ids)
	e, s := v.Endpoint("sqs"), v.EndpointService("sqs")
	for _, i := range append(slices.Clone(e.Interfaces), s.Interfaces...) {
		ids[string(i.ID)] = true
		if !strings.HasPrefix(string(i.ID), "eni-") {
			t.Errorf("an interface is %s", i.ID)
		}
	}
	if len(ids) != before+4 {
		t.Errorf("4 interfaces have %d IDs of their own", len(ids)-before)
	}
	if !strings.HasPrefix(string(e.ID), "vpce-0") && len(e.ID) != len("vpce-")+17 || !strings.HasPrefix(string(s.ID), "vpce-svc-") {
		t.Errorf("IDs %s and %s", e.ID, s.ID)
	}
	if again := complete(t, private(endpoint("sqs", "sqs", "in=web,back")), nil).VPC("app").Endpoint("sqs"); again.ID != e.ID {
		t.Errorf("%s and then %s", e.ID, again.ID)
	}
}

// TestRowsOfGatewayEndpoints shows that a row is in its tables only, and of the VPC's region.
func TestRowsOfGatewayEndpoints(t *testing.T) {
	m := complete(t, lab(
		network("app", "10.0.0.0/16", subnet("web", "10.0.0.0/24", "table=web"), table("web"), table("other"),
			endpoint("s3", "s3", "tables=web,main"), endpoint("second", "s3", "tables=other"), endpoint("none", "dynamodb")),
		network("far", "10.1.0.0/16", in("eu-west-1"), endpoint("s3", "s3", "tables=main"))), nil)
	app, far := m.VPC("app"), m.VPC("far")
	for _, row := range []struct {
		v                 *VPC
		table, addr, want string
	}{
		{app, "web", "52.216.0.1", "endpoint.s3"}, {app, "main", "52.216.0.1", "endpoint.s3"}, {app, "other", "52.216.0.1", "endpoint.second"},
		{app, "web", "52.94.0.1", "no route"}, {far, "main", "52.216.0.1", "no route"},
		{far, "main", far.PrefixList("s3").Entries[0].Addr().Next().String(), "endpoint.s3"},
	} {
		if got := lookup(row.v.EffectiveRoutes(row.v.RouteTable(row.table)), row.addr); got != row.want {
			t.Errorf("from table %s of %s %s goes to %s, want %s", row.table, row.v.Name, row.addr, got, row.want)
		}
	}
	r, ok := app.Endpoint("s3").Row(app, "web")
	if !ok || r.PrefixList != "s3" || r.Target.String() != "endpoint.s3" || r.Origin != CreateRoute || r.Destination != netip.MustParsePrefix("52.216.0.0/16") {
		t.Errorf("row %+v", r)
	}
}

func TestAWSManagedPrefixLists(t *testing.T) {
	m := complete(t, lab(
		network("app", "10.0.0.0/16", group("web", allow(tcp(443, 443), "pl.s3"), allow(tcp(443, 443), "pl.dynamodb")), prefixList("corp", "10.8.0.0/16")),
		network("far", "10.1.0.0/16", in("eu-west-1"))), nil)
	app, far := m.VPC("app"), m.VPC("far")
	if got := app.PrefixList("dynamodb").Entries; len(got) != 1 || got[0].String() != "52.94.0.0/24" {
		t.Errorf("pl.dynamodb is %v", got)
	}
	if app.PrefixList("s3").ID == far.PrefixList("s3").ID || app.PrefixList("s3").Entries[0] == far.PrefixList("s3").Entries[0] {
		t.Error("two regions have one list")
	}
	if app.PrefixList("sqs") != nil || app.PrefixList("corp") == nil || len(app.PrefixLists) != 1 {
		t.Error("pl.sqs is there, or AWS's lists are the VPC's own")
	}
}

// TestEndpointStates follows an endpoint through changes of its service.
func TestEndpointStates(t *testing.T) {
	state := func(words ...string) *Model {
		return lab(network("app", "10.0.0.0/16", subnet("web", "10.0.0.0/24"), endpoint("e", "data/shop", "in=web")),
			network("data", "10.9.0.0/16", subnet("db", "10.9.0.0/24"), instance("db", "db"), offer("shop", "db", words...)))
	}
	none := lab(network("app", "10.0.0.0/16", subnet("web", "10.0.0.0/24"), endpoint("e", "data/shop", "in=web")),
		network("data", "10.9.0.0/16", subnet("db", "10.9.0.0/24"), instance("db", "db")))
	steps := []struct {
		model *Model
		want  EndpointState
	}{
		{state("acceptance"), EndpointPendingAcceptance},
		{state(), EndpointPendingAcceptance}, // a request that was made waits
		{state("acceptance", "accepted=app/e"), EndpointAvailable},
		{state("acceptance"), EndpointAvailable}, // acceptance is not taken back
		{state("acceptance", "rejected=app/e"), EndpointRejected},
		{state("acceptance"), EndpointRejected},
		{state("accepted=app/e"), EndpointAvailable},
		{none, EndpointFailed},
		{state(), EndpointFailed}, // for good
	}
	var prev *Model
	for i, step := range steps {
		complete(t, step.model, prev)
		if got := step.model.VPC("app").Endpoint("e").State; got != step.want {
			t.Errorf("step %d: %s, want %s", i+1, got, step.want)
		}
		prev = step.model
	}
	if removed := none.Removed; !slices.Contains(removed, "data/endpoint_service.shop") {
		t.Errorf("removed %v", removed)
	}
	if got := complete(t, state(), nil).VPC("app").Endpoint("e").State; got != EndpointAvailable {
		t.Errorf("without acceptance it is %s", got)
	}
}

func TestPrincipalsOfEndpointServices(t *testing.T) {
	for _, row := range []struct {
		principals, account string
		want                bool
	}{
		{"", "123456789012", true}, // its own
		{"", "555555555555", false},
		{"*", "555555555555", true},
		{"555555555555", "555555555555", true},
		{"444444444444", "555555555555", false},
		{"arn:aws:iam::555555555555:role/net", "555555555555", true},
		{"arn:aws:iam::555555555555:root", "444444444444", false},
	} {
		words := []string{}
		if row.principals != "" {
			words = append(words, "for="+row.principals)
		}
		m := lab(network("app", "10.0.0.0/16", of(row.account), subnet("web", "10.0.0.0/24"), endpoint("e", "data/shop", "in=web")),
			network("data", "10.9.0.0/16", subnet("db", "10.9.0.0/24"), instance("db", "db"), offer("shop", "db", words...)))
		if problems := m.Complete(nil); (len(problems) == 0) != row.want {
			t.Errorf("%q and account %s: %v", row.principals, row.account, problems)
		}
	}
}

// TestPrincipalsAreAskedOnce: who was let in stays when the permission goes.
func TestPrincipalsAreAskedOnce(t *testing.T) {
	shop := func(words ...string) *Model {
		return lab(network("app", "10.0.0.0/16", of("555555555555"), subnet("web", "10.0.0.0/24"), endpoint("e", "data/shop", "in=web")),
			network("data", "10.9.0.0/16", subnet("db", "10.9.0.0/24"), instance("db", "db"), offer("shop", "db", words...)))
	}
	before := complete(t, shop("for=*"), nil)
	if after := complete(t, shop(), before); after.VPC("app").Endpoint("e").State != EndpointAvailable {
		t.Error("the endpoint is not available any more")
	}
}

func TestEndpointQuotas(t *testing.T) {
	var interfaces, gateways []part
	for n := range 51 {
		interfaces = append(interfaces, endpoint(fmt.Sprintf("i%d", n), "sqs", "in=web"))
	}
	for n := range 21 {
		gateways = append(gateways, endpoint(fmt.Sprintf("g%d", n), "s3"))
	}
	judge(t, []wrong{
		{"50 interface endpoints a VPC", private(interfaces...), []string{
			"vpcs.app.endpoints: the maximum number of interface VPC endpoints has been reached; there are 51 and a VPC has at most 50"}},
		{"50 are right", private(interfaces[:50]...), nil},
		{"20 gateway endpoints a region", private(gateways...), []string{"vpcs.app.endpoints.g20: VpcEndpointLimitExceeded: the maximum number of " +
			"gateway VPC endpoints has been reached; account 123456789012 has 20 in us-east-1 already"}},
		{"20 are right", private(gateways[:20]...), nil},
		{"another region has 20 of its own", lab(network("app", "10.0.0.0/16", gateways[:20]...), network("far", "10.1.0.0/16", append(gateways[:20:20],
			in("eu-west-1"))...)), nil},
	})
}

func TestEndpointLookups(t *testing.T) {
	m := complete(t, private(endpoint("one", "sqs", "in=web"), endpoint("two", "sns", "in=web,back"), endpoint("s3", "s3"), offer("shop", "a")), nil)
	v := m.VPC("app")
	for name, want := range map[string]bool{"one": true, "one.web": true, "one.back": false, "two": false, "two.back": true, "s3": false, "no": false} {
		if got := v.EndpointInterface(name) != nil; got != want {
			t.Errorf("%s is an interface: %v, want %v", name, got, want)
		}
	}
	if m.EndpointService(ServiceRef{"app", "shop"}) != v.EndpointService("shop") || m.EndpointService(ServiceRef{Name: "s3"}) != nil ||
		m.EndpointService(ServiceRef{"other", "shop"}) != nil {
		t.Error("endpoint services are not found by their references")
	}
	m.DownZones = []string{"us-east-1b"}
	if m.ZoneDown("us-east-1a") || !m.ZoneDown("us-east-1b") {
		t.Error("the wrong zone is down")
	}
}

func TestFlowLogsOfEndpoints(t *testing.T) {
	m := private(endpoint("one", "sqs", "in=web"), endpoint("two", "sns", "in=web,back"))
	for _, name := range []string{"one", "two.back"} {
		m.FlowLogs = append(m.FlowLogs, &FlowLog{Name: strings.ReplaceAll(name, ".", "-"), Resource: Resource{Kind: ResourceEndpoint, Name: name},
			Traffic: LogAll, Destination: "file:" + name})
	}
	complete(t, m, nil)
	v := m.VPC("app")
	if m.FlowLogs[0].ResourceID != string(v.Endpoint("one").Interfaces[0].ID) || m.FlowLogs[1].ResourceID != string(v.Endpoint("two").Interfaces[1].ID) {
		t.Errorf("they watch %s and %s", m.FlowLogs[0].ResourceID, m.FlowLogs[1].ResourceID)
	}
}

func TestDefaultsOfServices(t *testing.T) {
	m := private()
	m.Region, m.Account = "eu-west-1", "555555555555"
	m.Services.Buckets = []*Bucket{{Name: "logs"}, {Name: "far", Region: "us-east-1", Account: "123456789012"}}
	m.Services.Tables = []*Table{{Name: "orders"}}
	complete(t, m, nil)
	if b := m.Services.Buckets; b[0].Region != "eu-west-1" || b[0].Account != "555555555555" || b[1].Region != "us-east-1" || b[1].Account != "123456789012" {
		t.Errorf("buckets %+v %+v", b[0], b[1])
	}
	if table := m.Services.Tables[0]; table.Region != "eu-west-1" || table.Account != "555555555555" {
		t.Errorf("table %+v", table)
	}
	if i := m.VPC("app").Instance("a"); i.Role.Name != "a" || i.Metadata.HopLimit != 1 {
		t.Errorf("role %q, hop limit %d", i.Role.Name, i.Metadata.HopLimit)
	}
}

// TestWrongEndpoints has what the scenario language cannot say; the rest is among its wrong files.
func TestWrongEndpoints(t *testing.T) {
	zones := private()
	zones.Zones = []*PrivateZone{{Name: "corp", VPCs: []string{"app"}}, {Name: "corp", VPCs: []string{"app"}}}
	judge(t, []wrong{
		{"a type that there is not", lab(network("app", "10.0.0.0/16", func(v *VPC) { v.Endpoints = []*Endpoint{{Name: "e", Service: ServiceRef{Name: "s3"}}} })),
			[]string{"vpcs.app.endpoints.e.type: '' is not a type of endpoint; use gateway or interface"}},
		{"two of one name", private(endpoint("e", "s3"), endpoint("e", "dynamodb")),
			[]string{"vpcs.app.endpoints.e: the VPC endpoint 'e' already exists; give one of the two another name"}},
		{"a route by hand", private(endpoint("e", "s3"), table("main", "10.8.0.0/16 endpoint.e")), []string{
			"vpcs.app.route_tables.main.routes.10.8.0.0/16: route table contains unsupported route target: endpoint.e. VPC Endpoints of this type " +
				"cannot be used as route targets; name this table in a gateway endpoint's `route_tables`: its row comes and goes with that"}},
		{"a service without a port", private(func(v *VPC) {
			v.EndpointServices = []*EndpointService{{Name: "s", Targets: []string{"a"}, Ports: []uint16{0}}}
		}), []string{"vpcs.app.endpoint_services.s.ports: 0 is not a port to listen on; ports are from 1 to 65535"}},
		{"two zones of one name", zones, []string{"private_zones.corp.vpcs: the VPC app in region us-east-1 has already been associated with the " +
			"hosted zone with the same domain name; make one zone of the two"}},
	})
}
