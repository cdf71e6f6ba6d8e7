package scenario

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

// serviceLab has endpoints of all kinds; services, zones and checks may follow.
const serviceLab = `name: shop
vpcs:
  app:
    cidr: 10.0.0.0/16
    dns: {hostnames: true}
    subnets: {web: {cidr: 10.0.0.0/24, az: a}, back: {cidr: 10.0.1.0/24, az: b}}
    instances: {web: {subnet: web, role: {name: reader}, metadata: {tokens: required, hop_limit: 2, ipv6: true}}, db: {subnet: back, role: none, metadata: {enabled: false}}}
    endpoints:
      s3: {type: gateway, service: s3, route_tables: [main]}
      sqs: {type: interface, service: sqs, subnets: [web, back], ip: {back: 10.0.1.9}}
      sns: {type: interface, service: sns, subnets: [web], sg: [], private_dns: false}
      s3-too: {type: interface, service: s3, subnets: [back]}
      shop: {type: interface, service: data/shop, subnets: [web]}
  data:
    cidr: 10.9.0.0/16
    subnets: {db: {cidr: 10.9.0.0/24, az: a}}
    instances: {target: {subnet: db}}
    endpoints: {s3: {type: gateway, service: s3}, sqs: {type: interface, service: sqs, subnets: [db]}}
    endpoint_services: {shop: {targets: [target], ports: [80, 443], acceptance: true, accepted: [app/endpoint.shop, endpoint.sqs], principals: ["*"], proxy_protocol: true}}
internet:
  hosts: {example: {ip: [203.0.113.80], names: [example.com, example]}}
`

// sound is the lab without what is wrong in it on purpose: a group list that is empty, and an acceptance of an endpoint that leads elsewhere.
var sound = strings.NewReplacer(", sg: []", "", ", endpoint.sqs]", "]").Replace(serviceLab)

func TestServicesOfAFile(t *testing.T) {
	m := parse(t, sound+`services:
  s3: {buckets: {logs: {}, far.logs: {region: eu-west-1, account: 012345678901}}, backend: "http://127.0.0.1:9000"}
  dynamodb: {tables: {orders: {key: id}, visits: {key: who, sort: at N}}, backend: "https://db.example.com/x"}
private_zones:
  corp.internal:
    vpcs: [app, data]
    records:
      "@": {TXT: [" two words ", "v=spf1"], TTL: 5}
      db: [10.9.0.4, "2001:DB8:0::5", 10.9.0.5]
      a.b.corp.internal: {SRV: "1  2 80 db.corp.internal."}
`).Model
	app, data := m.VPC("app"), m.VPC("data")
	sqs, sns := app.Endpoint("sqs"), app.Endpoint("sns")
	if sqs.Type != vpc.InterfaceEndpoint || !sqs.PrivateDNS || sqs.Interfaces[0].IP.String() != "10.0.0.5" || sqs.Interfaces[1].IP.String() != "10.0.1.9" ||
		!slices.Equal(sqs.Groups, []vpc.GroupRef{{Name: "default"}}) || sqs.State != vpc.EndpointAvailable {
		t.Errorf("sqs %+v", sqs)
	}
	if sns.PrivateDNS || app.Endpoint("shop").PrivateDNS || data.Endpoint("sqs").PrivateDNS || app.Endpoint("s3").PrivateDNS {
		t.Error("private DNS where the file, the kind of service, the VPC's attributes or the type of endpoint forbid it")
	}
	if e := app.Endpoint("s3"); e.Type != vpc.GatewayEndpoint || !slices.Equal(e.RouteTables, []string{"main"}) || e.Groups != nil {
		t.Errorf("s3 %+v", e)
	}
	if e := app.Endpoint("shop"); e.Service != (vpc.ServiceRef{VPC: "data", Name: "shop"}) || e.State != vpc.EndpointAvailable {
		t.Errorf("shop %+v", e)
	}
	if s := data.EndpointService("shop"); !s.Acceptance || !s.ProxyProtocol || !slices.Equal(s.Ports, []uint16{80, 443}) ||
		!slices.Equal(s.Accepted, []vpc.EndpointRef{{VPC: "app", Name: "shop"}}) || !slices.Equal(s.Principals, []string{"*"}) || s.Interfaces[0].Subnet != "db" {
		t.Errorf("service %+v", s)
	}
	if web := app.Instance("web"); web.Role.Name != "reader" || web.Metadata != (vpc.Metadata{TokensRequired: true, HopLimit: 2, IPv6: true}) {
		t.Errorf("web %+v %+v", web.Role, web.Metadata)
	}
	if target := data.Instance("target"); target.Role != (vpc.Role{Name: "target"}) {
		t.Errorf("target %+v", target.Role)
	}
	if db := app.Instance("db"); !db.Metadata.Disabled || db.Metadata.HopLimit != 1 || db.Role != (vpc.Role{None: true}) {
		t.Errorf("db %+v %+v", db.Role, db.Metadata)
	}
	if s := m.Services; *s.Buckets[0] != (vpc.Bucket{Name: "logs", Region: "us-east-1", Account: "123456789012"}) ||
		*s.Buckets[1] != (vpc.Bucket{Name: "far.logs", Region: "eu-west-1", Account: "012345678901"}) ||
		s.S3Backend != "http://127.0.0.1:9000" || s.DynamoDBBackend != "https://db.example.com/x" {
		t.Errorf("services %+v", s)
	}
	if table := m.Services.Tables[1]; table.Key != (vpc.KeyAttribute{Name: "who", Type: "S"}) || table.Sort != (vpc.KeyAttribute{Name: "at", Type: "N"}) {
		t.Errorf("table %+v", table)
	}
	want := []vpc.ZoneRecord{
		{Name: "corp.internal", Type: "TXT", TTL: 5, Values: []string{" two words ", "v=spf1"}},
		{Name: "db.corp.internal", Type: "A", TTL: 300, Values: []string{"10.9.0.4", "10.9.0.5"}},
		{Name: "db.corp.internal", Type: "AAAA", TTL: 300, Values: []string{"2001:db8::5"}},
		{Name: "a.b.corp.internal", Type: "SRV", TTL: 300, Values: []string{"1 2 80 db.corp.internal"}},
	}
	if z := m.Zones[0]; z.Name != "corp.internal" || !slices.Equal(z.VPCs, []string{"app", "data"}) || !reflect.DeepEqual(z.Records, want) {
		t.Errorf("zone %+v", z)
	}
}

// TestWrongServiceLab shows that what `sound` replaces is wrong indeed.
func TestWrongServiceLab(t *testing.T) {
	_, err := Parse("lab.yaml", []byte(serviceLab))
	for _, want := range []string{"interface 'endpoint.sns' has no security group", "endpoint data/endpoint.sqs is not connected to endpoint service 'shop'; it leads to sqs"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%v", want, err)
		}
	}
}

func TestPeeringDNSGivesPrivateDNS(t *testing.T) {
	with := parse(t, sound+"peerings: {p: {requester: app, accepter: data, dns: {accepter: true}}}\n").Model
	if !with.VPC("data").Endpoint("sqs").PrivateDNS {
		t.Error("a VPC that has host names for its peering's sake has no private DNS")
	}
}

func TestQueries(t *testing.T) {
	d := newDirectory(parse(t, sound).Model, true)
	for text, want := range map[string]Query{
		"dns example.com":        {"example.com", "A"},
		"dns Example.com. aaaa":  {"Example.com", "AAAA"},
		"dns _sip._tcp.corp SRV": {"_sip._tcp.corp", "SRV"},
		"dns corp":               {"corp", "A"},
		"dns 10.9.0.4":           {"4.0.9.10.in-addr.arpa", "PTR"},
		"dns 10.9.0.4 PTR":       {"4.0.9.10.in-addr.arpa", "PTR"},
		"dns 2001:db8::a1":       {"1.a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", "PTR"},
	} {
		do, f := parseDo(text, d, Node{})
		if f != nil || do.DNS != want {
			t.Errorf("%s: %+v (%v), want %+v", text, do.DNS, f, want)
		}
		if !doText.matches(text) {
			t.Errorf("%q: the schema's pattern refuses it", text)
		}
	}
}

func TestServiceRequests(t *testing.T) {
	s := parse(t, sound+"services: {s3: {buckets: {far: {region: eu-west-1}}}, dynamodb: {tables: {orders: {key: id N, region: us-west-2}, visits: {key: who, sort: at N}}}}\n")
	d := newDirectory(s.Model, true)
	too := vpc.EndpointRef{VPC: "app", Name: "s3-too"}
	for text, want := range map[string]S3Do{
		"s3 get logs/a":                                       {Op: Get, Bucket: "logs", Key: "a", Region: "us-east-1"},
		"s3 get far/a/b":                                      {Op: Get, Bucket: "far", Key: "a/b", Region: "eu-west-1"},
		"s3 get far/a in us-east-2":                           {Op: Get, Bucket: "far", Key: "a", Region: "us-east-2"},
		"s3 list logs":                                        {Op: List, Bucket: "logs", Region: "us-east-1"},
		"s3 list logs/a/ by endpoint.s3-too":                  {Op: List, Bucket: "logs", Key: "a/", Region: "us-east-1", By: too},
		"s3 put logs/a hello  there":                          {Op: Put, Bucket: "logs", Key: "a", Text: "hello there", Region: "us-east-1"},
		"s3 get far/a by endpoint.s3-too":                     {Op: Get, Bucket: "far", Key: "a", Region: "us-east-1", By: too},
		`s3 put logs/a "hello  in us-east-2"`:                 {Op: Put, Bucket: "logs", Key: "a", Text: "hello  in us-east-2", Region: "us-east-1"},
		"s3 put logs/a in us-east-2":                          {Op: Put, Bucket: "logs", Key: "a", Text: "in us-east-2", Region: "us-east-1"},
		"s3 put logs/a x by app/endpoint.s3-too in eu-west-2": {Op: Put, Bucket: "logs", Key: "a", Text: "x", Region: "eu-west-2", By: too},
	} {
		do, f := parseDo(text, d, Node{"app", "web"})
		if f != nil || do.S3 != want {
			t.Errorf("%s: %+v (%v), want %+v", text, do.S3, f, want)
		}
		if !doText.matches(text) {
			t.Errorf("%q: the schema's pattern refuses it", text)
		}
	}
	for text, want := range map[string]DynamoDBDo{
		`dynamodb put orders {"id": 1, "a": "in b"}`: {Op: Put, Table: "orders", Item: `{"id": 1, "a": "in b"}`, Region: "us-west-2"},
		`dynamodb put other {"id": 1} in eu-west-1`:  {Op: Put, Table: "other", Item: `{"id": 1}`, Region: "eu-west-1"},
		`dynamodb get orders 7`:                      {Op: Get, Table: "orders", Item: `{"id":7}`, Region: "us-west-2"},
		`dynamodb get visits "a \"person" 7.50`:      {Op: Get, Table: "visits", Item: `{"at":7.50,"who":"a \"person"}`, Region: "us-east-1"},
		`dynamodb get other {"id": "x"}`:             {Op: Get, Table: "other", Item: `{"id": "x"}`, Region: "us-east-1"},
	} {
		do, f := parseDo(text, d, Node{"app", "web"})
		if f != nil || do.DynamoDB != want {
			t.Errorf("%s: %+v (%v), want %+v", text, do.DynamoDB, f, want)
		}
		if !doText.matches(text) {
			t.Errorf("%q: the schema's pattern refuses it", text)
		}
	}
}

// TestNamesAsHosts tells DNS names from addresses, references, and what was meant for one of them.
func TestNamesAsHosts(t *testing.T) {
	d := newDirectory(parse(t, sound).Model, true)
	for text, name := range map[string]bool{
		"example.com": true, "EXAMPLE.com": true, "sqs.us-east-1.amazonaws.com": true, "web.corp.internal": true, "db.io": true, "example.net": true,
		"nat.example.com": true, "endpoint.example.com": true, "nobody.com": true,
		"web": false, "example": false, "10.0.0.4": false, "2001:db8::5": false, "10.0.0.256": false, "web.public": false, "web.ipv6": false,
		"web.eth1.ipv6": false, "web.pubic": false, "wbe.public": false, "app/web.public": false, "endpoint.sqs": false, "endpoint.sqs.web": false,
		"endpoint.sqsx": false, "nat.out": false, "nat.out.public": false, "endpoint_service.shop": false, "example.ipv6": false, "a..b": false, "a.": false, ".a": false,
	} {
		if got := d.isDNSName(text); got != name {
			t.Errorf("%s is a DNS name: %v, want %v", text, got, name)
		}
	}
	do, f := parseDo("tcp 443 to sqs.us-east-1.amazonaws.com", d, Node{})
	if f != nil || do.Name != "sqs.us-east-1.amazonaws.com" || do.Addr.IsValid() || do.Port != 443 {
		t.Errorf("%+v (%v)", do, f)
	}
	for text, want := range map[string]string{
		"app/endpoint.sqs.back": "10.0.1.9", "endpoint.sns": "10.0.0.6", "endpoint.sns.web": "10.0.0.6", "data/endpoint.sqs": "10.9.0.5",
		"app/endpoint.sqs.web": "10.0.0.5", "endpoint_service.shop": "10.9.0.6", "data/endpoint_service.shop.db": "10.9.0.6",
	} {
		if got, f := d.address(text, anyFamily); f != nil || got.String() != want {
			t.Errorf("%s is %v (%v), want %s", text, got, f, want)
		}
	}
}

func TestURLs(t *testing.T) {
	d := newDirectory(parse(t, sound).Model, true)
	for text, want := range map[string]struct {
		url, name string
		tls       bool
		port      uint16
	}{
		"http http://example.com/a?b=c":                  {"http://example.com/a?b=c", "example.com", false, 80},
		"http https://sqs.us-east-1.amazonaws.com":       {"https://sqs.us-east-1.amazonaws.com", "sqs.us-east-1.amazonaws.com", true, 443},
		"http https://sqs.us-east-1.amazonaws.com:8443/": {"https://sqs.us-east-1.amazonaws.com:8443/", "sqs.us-east-1.amazonaws.com", true, 8443},
		"http https://db/":                               {"https://10.0.1.4/", "", true, 443},
		"http https://db:80/":                            {"https://10.0.1.4:80/", "", true, 80},
		"http http://db:443/":                            {"http://10.0.1.4:443/", "", false, 443},
		"http http://endpoint.sns/":                      {"http://10.0.0.6/", "", false, 80},
	} {
		do, f := parseDo(text, d, Node{})
		if f != nil || do.URL != want.url || do.Name != want.name || do.TLS != want.tls || do.Port != want.port {
			t.Errorf("%s: %s %q TLS %v port %d (%v), want %+v", text, do.URL, do.Name, do.TLS, do.Port, f, want)
		}
		if !doText.matches(text) {
			t.Errorf("%q: the schema's pattern refuses it", text)
		}
	}
}

func TestAnswers(t *testing.T) {
	s := parse(t, sound+`checks:
  - {from: web, do: dns x.corp A, expect: {answers: [db, endpoint.sns, 10.1.1.1]}}
  - {from: web, do: dns x.corp AAAA, expect: {answers: ["2001:DB8:0::5"]}}
  - {from: web, do: dns x.corp MX, expect: {answers: ["10  mail.corp."]}}
  - {from: web, do: dns x.corp TXT, expect: {answers: ["a  b."]}}
  - {from: web, do: dns x.corp, expect: {answers: []}}
  - {from: web, do: dns x.corp}
  - {from: web, do: s3 list logs, expect: {answers: [a/b, 007]}}
`)
	for i, want := range [][]string{{"10.0.1.4", "10.0.0.6", "10.1.1.1"}, {"2001:db8::5"}, {"10 mail.corp"}, {"a  b."}, {}, nil, {"a/b", "007"}} {
		if got := s.Steps[i].Check.Expect.Answers; !reflect.DeepEqual(got, want) {
			t.Errorf("check %d: %#v, want %#v", i+1, got, want)
		}
	}
}

func TestZonesGoDownAndUp(t *testing.T) {
	s := parse(t, sound+`checks:
  - {az_down: us-east-1b}
  - change: {vpcs: {app: {instances: {late: {subnet: web}}}}}
  - {az_down: us-east-1a}
  - {from: late, do: tcp 80 to db}
  - {az_up: us-east-1b}
`)
	if len(s.Model.DownZones) != 0 || s.Steps[1].Zone != (Zone{}) || s.Steps[3].Check == nil {
		t.Errorf("zones %v, steps %+v", s.Model.DownZones, s.Steps)
	}
	for i, want := range map[int]string{0: "[us-east-1b] {us-east-1b true}", 1: "[us-east-1b] { false}", 2: "[us-east-1a us-east-1b] {us-east-1a true}",
		4: "[us-east-1a] {us-east-1b false}"} {
		if got := fmt.Sprint(s.Steps[i].Change.DownZones, s.Steps[i].Zone); strings.ReplaceAll(got, "]{", "] {") != want {
			t.Errorf("step %d: %s, want %s", i+1, got, want)
		}
	}
	before, after := s.Steps[1].Change.VPC("app"), s.Steps[4].Change.VPC("app")
	if before.Instance("late").Interfaces[0].IP != after.Instance("late").Interfaces[0].IP || before == after {
		t.Error("the lab is another one after its zones went down and up")
	}
}

// policyOf is a bucket's policy as the model has it.
func policyOf(t *testing.T, text string) string {
	t.Helper()
	m := parse(t, sound+"services: {s3: {buckets: {logs: {policy: "+text+"}}}}\n").Model
	return m.Services.Buckets[0].Policy
}

func TestPolicies(t *testing.T) {
	id := map[string]string{}
	for _, v := range parse(t, sound).Model.VPCs {
		id["vpc."+v.Name] = string(v.ID)
		for _, e := range v.Endpoints {
			id[v.Name+"/endpoint."+e.Name] = string(e.ID)
		}
	}
	statement := func(rest string) string {
		return `{"Statement":{"Effect":"Allow","Principal":"*","Action":"*",` + rest + `}}`
	}
	for text, want := range map[string]string{
		`{Version: 2012-10-17, Statement: [{Effect: Deny, Principal: {AWS: 012345678901}, Action: [s3:Get*, "s3:PutObject"], Resource: arn:aws:s3:::logs/*}]}`:                             `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":{"AWS":"012345678901"},"Action":["s3:Get*","s3:PutObject"],"Resource":"arn:aws:s3:::logs/*"}]}`,
		`{Statement: {Effect: Allow, Principal: "*", Action: "*", Resource: "arn:aws:s3:::logs/<&>", Condition: {Bool: {aws:SecureTransport: true}, NumericLessThan: {s3:max-keys: 10}}}}`: statement(`"Resource":"arn:aws:s3:::logs/<&>","Condition":{"Bool":{"aws:SecureTransport":"true"},"NumericLessThan":{"s3:max-keys":"10"}}`),
		`{Statement: {Effect: Allow, Principal: "*", Action: "*", Resource: "*", Condition: {StringEquals: {aws:SourceVpce: ["${endpoint.sns}", "${data/endpoint.s3}", "é${app/endpoint.s3}${endpoint.shop}"]}}}}`: statement(`"Resource":"*","Condition":{"StringEquals":{"aws:SourceVpce":["` + id["app/endpoint.sns"] + `","` + id["data/endpoint.s3"] + `","é` +
			id["app/endpoint.s3"] + id["app/endpoint.shop"] + `"]}}`),
		`{Statement: {Effect: Allow, Principal: "*", Action: "*", Resource: "*", Condition: {StringEquals: {aws:SourceVpc: "${vpc.app} ${aws:SourceVpc} ${*}"}}}}`: statement(`"Resource":"*","Condition":{"StringEquals":{"aws:SourceVpc":"` + id["vpc.app"] + ` ${aws:SourceVpc} ${*}"}}`),
	} {
		if got := policyOf(t, text); got != want || !json.Valid([]byte(got)) {
			t.Errorf("%s is\n%s, want\n%s", text, got, want)
		}
	}
}

// TestPolicyReferencesOutliveTheirObjects: a policy may name an endpoint that a change removed, and has the ID of the one that comes later.
func TestPolicyReferencesOutliveTheirObjects(t *testing.T) {
	s := parse(t, sound+`services: {s3: {buckets: {logs: {policy: {Statement: {Effect: Deny, Principal: "*", Action: "*", Resource: "*",
  Condition: {StringNotEquals: {aws:SourceVpce: "${app/endpoint.s3}"}}}}}}}}
checks:
  - change: {vpcs: {app: {endpoints: {s3: null}}}}
  - change: {vpcs: {app: {endpoints: {s3: {type: gateway, service: s3}}}}}
  - change: {vpcs: {app: {instances: {web: {role: {policy: {Statement: [{Effect: Allow, Action: "*", Resource: "*"}]}}}}}}}
  - change: {vpcs: {app: {instances: {web: {role: {policy: {Version: "2012-10-17"}}}}}}}
  - change: {vpcs: {app: {instances: {web: {role: {policy: null}}}}}}
`)
	want := s.Model.Services.Buckets[0].Policy
	if !strings.Contains(want, string(s.Model.VPC("app").Endpoint("s3").ID)) {
		t.Errorf("policy %s", want)
	}
	for i, step := range s.Steps {
		if got := step.Change.Services.Buckets[0].Policy; got != want {
			t.Errorf("step %d: %s, want %s", i+1, got, want)
		}
	}
	for i, want := range map[int]string{2: `{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`,
		3: `{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}],"Version":"2012-10-17"}`, 4: ""} {
		if got := s.Steps[i].Change.VPC("app").Instance("web").Role.Policy; got != want {
			t.Errorf("step %d: role %s, want %s", i+1, got, want)
		}
	}
}

// TestColonsInsideBraces: what policies say with colons is text in every place of a file, and other YAML is what it was.
func TestColonsInsideBraces(t *testing.T) {
	for text, want := range map[string]string{
		`{a: {aws:SourceVpc: x}}`:               "{a:{aws:SourceVpc:x}}",
		`{a: [s3:GetObject, s3:*]}`:             "{a:[s3:GetObject s3:*]}",
		`{a: arn:aws:s3:::logs/*}`:              "{a:arn:aws:s3:::logs/*}",
		"arn:\n  a: b":                          "{arn:{a:b}}",
		"a: {s3: {aws: x}}":                     "{a:{s3:{aws:x}}}",
		`{a: "s3:Get", b: 's3:x'} # s3:comment`: "{a:s3:Get b:s3:x}",
		"a: |\n  s3:Get\n":                      "{a:s3:Get\n}",
	} {
		r := &reporter{}
		n := r.readYAML([]byte(text))
		if n == nil || flat(n) != want || len(r.errs) > 0 {
			t.Errorf("%s is %v (%v), want %s", text, n, r.err(), want)
		}
	}
}
