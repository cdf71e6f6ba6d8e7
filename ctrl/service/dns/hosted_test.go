package dns

import (
	"strings"
	"testing"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

func TestPrivateHostedZones(t *testing.T) {
	m := lab(network("app", "10.0.0.0/16", instance("web", "10.0.0.10", "public=198.51.100.10"),
		endpoint("1", "sqs", "private", "a=10.0.0.7")), network("data", "10.1.0.0/16"))
	host(m, "www.example.com", "203.0.113.5")
	zoned(m, "Corp.internal", "app",
		"db.corp.internal A 10.0.1.5 | 10.0.1.6",
		"db.corp.internal AAAA 2001:db8::5",
		"www.corp.internal CNAME db.corp.internal",
		"out.corp.internal CNAME www.example.com",
		"gone.corp.internal CNAME gone.example.com",
		"aws.corp.internal CNAME ec2-198-51-100-10.compute-1.amazonaws.com",
		"one.corp.internal CNAME two.corp.internal",
		"two.corp.internal CNAME one.corp.internal",
		"*.apps.corp.internal A 10.0.1.7",
		"a.b.apps.corp.internal A 10.0.1.8",
		"corp.internal MX 10 mail.corp.internal",
		"_sip._tcp.corp.internal SRV 1 2 5060 db.corp.internal",
		"corp.internal TXT v=spf1 \\ -all",
		"strange.corp.internal A nonsense",
		"elsewhere.org A 10.0.1.9")
	zoned(m, "eu.corp.internal", "app", "db.eu.corp.internal A 10.0.2.5", "eu.corp.internal NS ns.corp.internal | ns2.corp.internal")
	zoned(m, "example.com", "data", "api.example.com A 10.1.0.5")
	zoned(m, "sqs.us-east-1.amazonaws.com", "app data", "sqs.us-east-1.amazonaws.com A 10.0.3.5")
	zoned(m, "internal", "app", "x.internal A 10.0.4.5")
	zoned(m, "0.10.in-addr.arpa", "app", "10.0.0.10.in-addr.arpa PTR web.corp.internal")
	const nodata, nxdomain = "NODATA of corp.internal.", "NXDOMAIN of corp.internal."
	check(t, m, []row{
		{"app", "db.corp.internal A", "10.0.1.5 10.0.1.6"},
		{"app", "DB.corp.INTERNAL AAAA", "2001:db8::5"},
		{"app", "db.corp.internal TXT", nodata},
		{"app", "nobody.corp.internal A", nxdomain},
		{"app", "corp.internal A", nodata},
		{"app", "corp.internal MX", "10 mail.corp.internal."},
		{"app", "corp.internal TXT", `"v=spf1 \\ -all"`},
		{"app", "_sip._tcp.corp.internal SRV", "1 2 5060 db.corp.internal."},
		{"app", "_tcp.corp.internal SRV", nodata},
		{"app", "corp.internal SOA", "ns-1536.awsdns-00.co.uk. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"},
		{"app", "corp.internal NS", "ns-0.awsdns-00.com. ns-512.awsdns-00.net. ns-1024.awsdns-00.org. ns-1536.awsdns-00.co.uk."},
		{"app", "db.corp.internal NS", nodata},
		{"app", "eu.corp.internal NS", "ns.corp.internal. ns2.corp.internal."}, // its own
		{"data", "corp.internal NS", "NXDOMAIN of ."},
		{"data", "db.corp.internal A", "NXDOMAIN of ."},
		// aliases
		{"app", "www.corp.internal A", "db.corp.internal. 10.0.1.5 10.0.1.6"},
		{"app", "www.corp.internal CNAME", "db.corp.internal."},
		{"app", "www.corp.internal TXT", "db.corp.internal. " + nodata},
		{"app", "out.corp.internal A", "www.example.com. 203.0.113.5"},
		{"app", "gone.corp.internal A", "gone.example.com. NXDOMAIN of ."},
		{"app", "aws.corp.internal A", "ec2-198-51-100-10.compute-1.amazonaws.com. 10.0.0.10"},
		{"app", "one.corp.internal A", "SERVFAIL"},
		// wildcards
		{"app", "x.apps.corp.internal A", "10.0.1.7"},
		{"app", "y.x.apps.corp.internal A", "10.0.1.7"},
		{"app", "x.apps.corp.internal AAAA", nodata},
		{"app", "apps.corp.internal A", nodata},
		{"app", "b.apps.corp.internal A", nodata}, // a name below it is there
		{"app", "c.b.apps.corp.internal A", nxdomain},
		{"app", "*.apps.corp.internal A", "10.0.1.7"},
		// which zone
		{"app", "db.eu.corp.internal A", "10.0.2.5"},
		{"app", "www.eu.corp.internal A", "NXDOMAIN of eu.corp.internal."},
		{"app", "strange.corp.internal A", nxdomain},
		{"app", "elsewhere.org A", "NXDOMAIN of ."},
		{"data", "api.example.com A", "10.1.0.5"},
		{"data", "www.example.com A", "NXDOMAIN of example.com."}, // never the public one
		{"app", "www.example.com A", "203.0.113.5"},
		{"app", "sqs.us-east-1.amazonaws.com A", "10.0.3.5"}, // before the endpoint's
		{"data", "sqs.us-east-1.amazonaws.com A", "10.0.3.5"},
		{"app", "x.internal A", "10.0.4.5"},
		{"app", "y.internal A", "NXDOMAIN of internal."},
		{"app", "ip-10-0-0-10.ec2.internal A", "10.0.0.10"}, // AWS's own zone is the longer one
		{"app", "10.0.0.10.in-addr.arpa PTR", "web.corp.internal."},
		{"app", "7.0.0.10.in-addr.arpa PTR", "NXDOMAIN of 0.10.in-addr.arpa."},
	})
}

func TestRecordsThatAreNone(t *testing.T) {
	for _, x := range []struct{ rrtype, value, want string }{
		{"A", "10.0.0.1", ""},
		{"A", "2001:db8::1", "no address of this type"},
		{"A", "10.0.0", "no address of this type"},
		{"AAAA", "2001:db8::1", ""},
		{"AAAA", "10.0.0.1", "no address of this type"},
		{"AAAA", "fe80::1%eth0", "no address of this type"},
		{"CNAME", "a.example", ""},
		{"CNAME", "a.example b.example", "not one domain name"},
		{"CNAME", "a..example", "no domain name"},
		{"NS", "ns.example", ""},
		{"NS", "", "not one domain name"},
		{"PTR", "a.example", ""},
		{"PTR", strings.Repeat("a", 64) + ".example", "no domain name"},
		{"MX", "10 mail.example", ""},
		{"MX", "mail.example", "not 1 numbers and a domain name"},
		{"MX", "65536 mail.example", `"65536" is no number from 0 to 65535`},
		{"SRV", "1 2 3 a.example", ""},
		{"SRV", "1 2 a.example", "not 3 numbers and a domain name"},
		{"TXT", "anything", ""},
		{"TXT", strings.Repeat("x", 600), ""},
		{"DNAME", "a.example", "no record type of private hosted zones here"},
	} {
		_, err := parse(vpc.ZoneRecord{Name: "x.example", Type: x.rrtype, Values: []string{x.value}})
		switch {
		case x.want == "" && err != nil:
			t.Errorf("%s %q: %v", x.rrtype, x.value, err)
		case x.want != "" && (err == nil || !strings.HasSuffix(err.Error(), ": "+x.want)):
			t.Errorf("%s %q: got %v, want %s", x.rrtype, x.value, err, x.want)
		}
	}
	if _, err := parse(vpc.ZoneRecord{Name: "x..example", Type: "A"}); err == nil || !strings.Contains(err.Error(), "no domain name") {
		t.Errorf("a name with an empty label: %v", err)
	}
}
