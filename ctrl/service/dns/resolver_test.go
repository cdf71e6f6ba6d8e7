package dns

import (
	"testing"

	"github.com/miekg/dns"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// The attributes' matrix (VPC user guide, DNS attributes for your VPC).
func TestAttributes(t *testing.T) {
	machines := []part{instance("web", "10.0.0.10", "10.0.0.11", "public=198.51.100.10", "2001:db8::10"), nat("10.0.0.20", "198.51.100.20")}
	with := func(support, hostnames bool) *vpc.Model {
		parts := append([]part{attributes(support, hostnames)}, machines...)
		m := lab(network("app", "10.0.0.0/16", parts...), network("other", "10.5.0.0/16"))
		return zoned(host(m, "example.com www.example.com", "203.0.113.5"), "corp.internal", "app", "db.corp.internal A 10.0.1.5")
	}
	check(t, with(true, true), []row{
		{"app", "ip-10-0-0-10.ec2.internal A", "10.0.0.10"},
		{"app", "ip-10-0-0-10.ec2.internal AAAA", "NODATA of ec2.internal."},
		{"app", "ip-10-0-0-11.ec2.internal A", "10.0.0.11"},
		{"app", "ip-10-0-0-20.ec2.internal A", "10.0.0.20"},
		{"app", "ip-10-0-0-12.ec2.internal A", "NXDOMAIN of ec2.internal."},
		{"app", "ip-10-0-0-10.us-east-1.compute.internal A", "NXDOMAIN of ."},
		{"app", "i-web.ec2.internal A", "10.0.0.10"},
		{"app", "i-web.ec2.internal AAAA", "2001:db8::10"},
		{"app", "i-nobody.ec2.internal A", "NXDOMAIN of ec2.internal."},
		{"app", "ec2.internal A", "NODATA of ec2.internal."},
		{"app", "ec2-198-51-100-10.compute-1.amazonaws.com A", "10.0.0.10"},
		{"app", "ec2-198-51-100-20.compute-1.amazonaws.com A", "10.0.0.20"},
		{"app", "ec2-198-51-100-10.compute-1.amazonaws.com AAAA", "NODATA of compute-1.amazonaws.com."},
		{"app", "db.corp.internal A", "10.0.1.5"},
		{"app", "10.0.0.10.in-addr.arpa PTR", "ip-10-0-0-10.ec2.internal."},
		{"app", "99.0.0.10.in-addr.arpa PTR", "NXDOMAIN of 10.in-addr.arpa."},
		{"app", "0.0.10.in-addr.arpa PTR", "NODATA of 10.in-addr.arpa."},
		{"app", "0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR", "i-web.ec2.internal."},
		{"app", "10.100.51.198.in-addr.arpa PTR", "ec2-198-51-100-10.compute-1.amazonaws.com."},
		{"app", "example.com A", "203.0.113.5"},
		{"other", "ec2-198-51-100-10.compute-1.amazonaws.com A", "198.51.100.10"},
		{"other", "10.100.51.198.in-addr.arpa PTR", "ec2-198-51-100-10.compute-1.amazonaws.com."},
		{"other", "10.0.0.10.in-addr.arpa PTR", "NXDOMAIN of 10.in-addr.arpa."},
		{"other", "db.corp.internal A", "NXDOMAIN of ."},
	})
	check(t, with(true, false), []row{
		{"app", "ip-10-0-0-10.ec2.internal A", "NXDOMAIN of ."},
		{"app", "i-web.ec2.internal AAAA", "NXDOMAIN of ."},
		{"app", "ec2-198-51-100-10.compute-1.amazonaws.com A", "NXDOMAIN of ."},
		{"app", "10.0.0.10.in-addr.arpa PTR", "NXDOMAIN of ."},
		{"app", "db.corp.internal A", "NXDOMAIN of ."},
		{"app", "example.com A", "203.0.113.5"},
		{"app", "sqs.us-east-1.amazonaws.com A", "52.119.0.1"},
		{"other", "ec2-198-51-100-10.compute-1.amazonaws.com A", "NXDOMAIN of compute-1.amazonaws.com."},
		{"other", "ip-10-0-0-10.ec2.internal A", "NXDOMAIN of ec2.internal."},
	})
	check(t, with(false, false), []row{
		{"app", "ip-10-0-0-10.ec2.internal A", "silence"},
		{"app", "example.com A", "silence"},
		{"other", "example.com A", "203.0.113.5"},
	})
	check(t, with(false, true), []row{
		{"app", "example.com A", "silence"},
		{"other", "ec2-198-51-100-10.compute-1.amazonaws.com A", "NXDOMAIN of compute-1.amazonaws.com."},
	})
}

func TestOtherVPCs(t *testing.T) {
	m := lab(
		network("app", "10.0.0.0/16"),
		network("data", "10.1.0.0/16", instance("db", "10.1.0.9", "2001:db8:1::9", "public=198.51.100.19")),
		network("odd", "100.64.0.0/16", instance("odd", "100.64.0.9")),
		network("far", "10.2.0.0/16", in("eu-west-1"), instance("far", "10.2.0.9", "public=198.51.100.29")),
		network("mute", "10.3.0.0/16", attributes(true, false), instance("mute", "10.3.0.9")),
	)
	const farName = "ip-10-2-0-9.eu-west-1.compute.internal A"
	const farPublic = "ec2-198-51-100-29.eu-west-1.compute.amazonaws.com A"
	check(t, m, []row{ // within a region, RFC 1918 addresses by their IP names alone
		{"app", "ip-10-1-0-9.ec2.internal A", "10.1.0.9"},
		{"app", "i-db.ec2.internal A", "NXDOMAIN of ec2.internal."},
		{"data", "i-db.ec2.internal A", "10.1.0.9"},
		{"app", "ip-100-64-0-9.ec2.internal A", "NXDOMAIN of ec2.internal."},
		{"odd", "ip-100-64-0-9.ec2.internal A", "100.64.0.9"},
		{"odd", "9.0.64.100.in-addr.arpa PTR", "ip-100-64-0-9.ec2.internal."},
		{"app", farName, "NXDOMAIN of ."},
		{"far", farName, "10.2.0.9"},
		{"app", "ip-10-3-0-9.ec2.internal A", "NXDOMAIN of ec2.internal."},
	})
	peered(m, "app", "data", vpc.Active, "accepter")
	peered(m, "far", "app", vpc.Active, "requester")
	peered(m, "odd", "app", vpc.Active, "")
	check(t, m, []row{
		{"app", "ec2-198-51-100-19.compute-1.amazonaws.com A", "10.1.0.9"},
		{"odd", "ec2-198-51-100-19.compute-1.amazonaws.com A", "198.51.100.19"},
		{"app", "i-db.ec2.internal AAAA", "2001:db8:1::9"},
		{"app", "9.0.1.10.in-addr.arpa PTR", "ip-10-1-0-9.ec2.internal."},
		{"app", farName, "10.2.0.9"},
		{"data", farName, "NXDOMAIN of ."},
		{"app", farPublic, "10.2.0.9"},
		{"data", farPublic, "198.51.100.29"},
		{"far", "ip-10-1-0-9.ec2.internal A", "NXDOMAIN of ."},
		{"app", "ip-100-64-0-9.ec2.internal A", "NXDOMAIN of ec2.internal."},
	})
}

// The peering's DNS option works for the side that has it, while the connection is active, between VPCs with both attributes.
func TestPeeringOption(t *testing.T) {
	const name = "ec2-198-51-100-19.compute-1.amazonaws.com A"
	for _, x := range []struct {
		state     vpc.PeeringState
		sides     string
		hostnames bool // of the asking VPC
		want      string
	}{
		{vpc.Active, "accepter", true, "10.1.0.9"},
		{vpc.Active, "requester accepter", true, "10.1.0.9"},
		{vpc.Active, "requester", true, "198.51.100.19"},
		{vpc.Active, "", true, "198.51.100.19"},
		{vpc.PendingAcceptance, "accepter", true, "198.51.100.19"},
		{vpc.Deleted, "accepter", true, "198.51.100.19"},
		{vpc.Active, "accepter", false, "198.51.100.19"},
	} {
		m := lab(network("app", "10.0.0.0/16", attributes(true, x.hostnames)),
			network("data", "10.1.0.0/16", instance("db", "10.1.0.9", "public=198.51.100.19")))
		peered(m, "app", "data", x.state, x.sides)
		if got := ask(New(m), from(m, "app"), name); got != x.want {
			t.Errorf("%s, %q, hostnames %v: got %s, want %s", x.state, x.sides, x.hostnames, got, x.want)
		}
	}
}

func TestInternet(t *testing.T) {
	m := host(lab(network("app", "10.0.0.0/16")), "www.Example.com cdn.example.net", "203.0.113.5", "2001:db8:5::5")
	host(m, "www.example.com", "203.0.113.6")
	host(m, "", "203.0.113.7")
	check(t, m, []row{
		{"app", "www.example.com A", "203.0.113.5 203.0.113.6"},
		{"app", "WWW.eXample.COM AAAA", "2001:db8:5::5"},
		{"app", "cdn.example.net A", "203.0.113.5"},
		{"app", "www.example.com MX", "NODATA of ."},
		{"app", "example.com A", "NODATA of ."},
		{"app", "com SOA", "NODATA of ."},
		{"app", "mail.example.com A", "NXDOMAIN of ."},
		{"app", "a.www.example.com A", "NXDOMAIN of ."},
		{"app", "www.google.com A", "NXDOMAIN of ."},
		{"app", "com.www.example A", "NXDOMAIN of ."},
		{"app", `www\.example.com A`, "NXDOMAIN of ."},
		{"app", ". SOA", "ns-1536.awsdns-00.co.uk. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"},
		{"app", "5.113.0.203.in-addr.arpa PTR", "www.example.com."},
		{"app", "7.113.0.203.in-addr.arpa PTR", "NXDOMAIN of ."},
		{"app", "www.example.com ANY", `"RFC8482" ""`},
		{"app", "mail.example.com ANY", "NXDOMAIN of ."},
		{"", "www.example.com A", "203.0.113.5 203.0.113.6"},
		{"", "s3.us-east-1.amazonaws.com A", "52.216.0.1"},
		{"", "mail.example.com A", "NXDOMAIN of ."},
	})
}

// TestInternetSeesNoPrivateNames: what a VPC knows of itself is not for the internet.
func TestInternetSeesNoPrivateNames(t *testing.T) {
	m := zoned(lab(network("app", "10.0.0.0/16")), "corp.internal", "app", "db.corp.internal A 10.0.0.9")
	check(t, m, []row{
		{"app", "db.corp.internal A", "10.0.0.9"},
		{"", "db.corp.internal A", "NXDOMAIN of ."},
	})
}

func TestServices(t *testing.T) {
	m := lab(network("app", "10.0.0.0/16"), network("own", "10.1.0.0/16", in("xx-lab-1")))
	addr := func(code, region string) string {
		s, _ := vpc.FindService(code)
		return s.Addr(region).String()
	}
	check(t, m, []row{
		{"app", "sqs.us-east-1.amazonaws.com A", addr("sqs", "us-east-1")},
		{"app", "sqs.us-east-1.amazonaws.com AAAA", "NODATA of ."},
		{"app", "ec2.eu-west-1.amazonaws.com A", addr("ec2", "eu-west-1")},
		{"app", "sqs.xx-lab-1.amazonaws.com A", addr("sqs", "xx-lab-1")},
		{"app", "sqs.xx-lab-2.amazonaws.com A", "NXDOMAIN of ."},
		{"app", "lambda.us-east-1.amazonaws.com A", "NXDOMAIN of ."},
		{"app", "logs.sqs.us-east-1.amazonaws.com A", "NXDOMAIN of ."},
		{"app", "s3.eu-west-1.amazonaws.com A", addr("s3", "eu-west-1")},
		{"app", "logs.s3.eu-west-1.amazonaws.com A", addr("s3", "eu-west-1")},
		{"app", "my.logs.s3.eu-west-1.amazonaws.com A", addr("s3", "eu-west-1")},
		{"app", "logs.s3.eu-west-1.amazonaws.com AAAA", "NODATA of ."},
		{"app", "s3.amazonaws.com A", addr("s3", "us-east-1")},
		{"app", "logs.s3.amazonaws.com A", addr("s3", "us-east-1")},
		{"app", "sts.amazonaws.com A", addr("sts", "us-east-1")},
		{"app", "sqs.amazonaws.com A", "NXDOMAIN of ."},
		{"app", "123456789012.ddb.eu-west-1.amazonaws.com A", addr("dynamodb", "eu-west-1")},
		{"app", "ddb.eu-west-1.amazonaws.com A", "NODATA of ."},
		{"app", "eu-west-1.amazonaws.com A", "NODATA of ."},
		{"app", "amazonaws.com A", "NODATA of ."},
		{"own", "logs.s3.amazonaws.com A", addr("s3", "us-east-1")},
	})
}

// What is no ordinary question is turned down for the reason that it is not.
func TestRefusals(t *testing.T) {
	m := host(lab(network("app", "10.0.0.0/16")), "example.com", "203.0.113.5")
	question := func(change func(*dns.Msg)) *dns.Msg {
		q := query("example.com A")
		change(q)
		return q
	}
	for what, x := range map[string]struct {
		q    *dns.Msg
		want int
	}{
		"a question":        {question(func(q *dns.Msg) {}), dns.RcodeSuccess},
		"EDNS":              {question(func(q *dns.Msg) { q.SetEdns0(1232, true) }), dns.RcodeSuccess},
		"checking disabled": {question(func(q *dns.Msg) { q.CheckingDisabled = true }), dns.RcodeSuccess},
		"an iterative one":  {question(func(q *dns.Msg) { q.RecursionDesired = false }), dns.RcodeRefused},
		"CHAOS":             {question(func(q *dns.Msg) { q.Question[0].Qclass = dns.ClassCHAOS }), dns.RcodeRefused},
		"class ANY":         {question(func(q *dns.Msg) { q.Question[0].Qclass = dns.ClassANY }), dns.RcodeRefused},
		"a zone transfer":   {question(func(q *dns.Msg) { q.Question[0].Qtype = dns.TypeAXFR }), dns.RcodeRefused},
		"type OPT":          {question(func(q *dns.Msg) { q.Question[0].Qtype = dns.TypeOPT }), dns.RcodeRefused},
		"no question":       {question(func(q *dns.Msg) { q.Question = nil }), dns.RcodeFormatError},
		"two questions":     {question(func(q *dns.Msg) { q.Question = append(q.Question, q.Question[0]) }), dns.RcodeFormatError},
		"EDNS twice":        {question(func(q *dns.Msg) { q.SetEdns0(1232, true).SetEdns0(512, true) }), dns.RcodeFormatError},
		"EDNS version 1":    {question(func(q *dns.Msg) { q.SetEdns0(1232, true).IsEdns0().SetVersion(1) }), dns.RcodeBadVers},
		"an update":         {question(func(q *dns.Msg) { q.Opcode = dns.OpcodeUpdate }), dns.RcodeNotImplemented},
		"a notification":    {question(func(q *dns.Msg) { q.Opcode = dns.OpcodeNotify }), dns.RcodeNotImplemented},
	} {
		got := New(m).Answer(from(m, "app"), x.q)
		if got == nil || got.Rcode != x.want {
			t.Errorf("%s: got %v, want %s", what, got, dns.RcodeToString[x.want])
			continue
		}
		if !got.RecursionAvailable || got.Authoritative || got.Id != x.q.Id || got.Opcode != x.q.Opcode {
			t.Errorf("%s: header %+v", what, got.MsgHdr)
		}
		if (len(got.Answer) > 0) != (x.want == dns.RcodeSuccess) {
			t.Errorf("%s: answer %v", what, got.Answer)
		}
		if (got.IsEdns0() != nil) != (x.q.IsEdns0() != nil) {
			t.Errorf("%s: EDNS is not spoken as it is heard", what)
		}
	}
}

func TestSilence(t *testing.T) {
	m := host(lab(network("app", "10.0.0.0/16")), "example.com", "203.0.113.5")
	answer := query("example.com A")
	answer.Response = true
	for what, x := range map[string]struct {
		from service.Caller
		q    *dns.Msg
		want bool
	}{
		"a VPC":            {from(m, "app"), query("example.com A"), true},
		"the internet":     {from(m, ""), query("example.com A"), true},
		"nobody":           {service.Caller{Service: Name}, query("example.com A"), false},
		"an answer":        {from(m, "app"), answer, false},
		"a VPC that's new": {service.Caller{Service: Name, VPC: network("new", "10.7.0.0/16")}, query("example.com A"), false},
	} {
		if got := New(m).Answer(x.from, x.q); (got != nil) != x.want {
			t.Errorf("%s: got %v", what, got)
		}
	}
}

// Who asks over the internet sees no VPC's own names.
func TestTheInternetAsks(t *testing.T) {
	m := lab(network("app", "10.0.0.0/16", instance("web", "10.0.0.10", "public=198.51.100.10"), endpoint("sqs", "sqs", "a=10.0.0.9", "private")))
	m = zoned(host(m, "example.com", "203.0.113.5"), "corp.internal", "app", "db.corp.internal A 10.0.1.5")
	internet := service.Caller{Service: Name, Via: service.Public}
	for question, want := range map[string]string{
		"example.com A": "203.0.113.5",
		"ec2-198-51-100-10.compute-1.amazonaws.com A": "198.51.100.10",
		"sqs.us-east-1.amazonaws.com A":               "52.119.0.1",
		"ip-10-0-0-10.ec2.internal A":                 "NXDOMAIN of .",
		"10.0.0.10.in-addr.arpa PTR":                  "NXDOMAIN of .",
		"db.corp.internal A":                          "NXDOMAIN of .",
	} {
		if got := ask(New(m), internet, question); got != want {
			t.Errorf("%s: got %q, want %q", question, got, want)
		}
	}
}

func TestUpperAndLowerCaseAreKept(t *testing.T) {
	m := host(lab(network("app", "10.0.0.0/16")), "example.com", "203.0.113.5")
	got := New(m).Answer(from(m, "app"), query("eXAMple.coM A"))
	if got.Question[0].Name != "eXAMple.coM." || got.Answer[0].Header().Name != "eXAMple.coM." {
		t.Errorf("got %v", got)
	}
}
