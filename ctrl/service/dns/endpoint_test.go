package dns

import (
	"testing"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

func withEndpoints() *vpc.Model {
	return lab(
		network("app", "10.0.0.0/16",
			endpoint("1", "sqs", "private", "a=10.0.0.7,2001:db8::7", "b=10.0.1.7"),
			endpoint("2", "s3", "private", "dualstack", "a=10.0.0.8,2001:db8::8", "b=10.0.1.8"),
			endpoint("3", "data/shop", "b=10.0.1.9"),
			endpoint("4", "sns", "private", "pending", "a=10.0.0.6")),
		network("data", "10.1.0.0/16", offers("shop", "10.1.0.4")),
		network("plain", "10.2.0.0/16", attributes(true, false), endpoint("7", "sqs", "private", "a=10.2.0.7")),
	)
}

const (
	sqsName  = "vpce-1-a209cad1.sqs.us-east-1.vpce.amazonaws.com"
	sqsZoneA = "vpce-1-a209cad1-us-east-1a.sqs.us-east-1.vpce.amazonaws.com"
	sqsZoneB = "vpce-1-a209cad1-us-east-1b.sqs.us-east-1.vpce.amazonaws.com"
	s3Name   = "vpce-2-7923bc88.s3.us-east-1.vpce.amazonaws.com"
	s3ZoneB  = "vpce-2-7923bc88-us-east-1b.s3.us-east-1.vpce.amazonaws.com"
	shopName = "vpce-3-4863e14a.vpce-svc-shop.us-east-1.vpce.amazonaws.com"
)

func TestEndpointsOwnNamesArePublic(t *testing.T) {
	check(t, withEndpoints(), []row{
		{"app", sqsName + " A", "10.0.0.7 10.0.1.7"},
		{"data", sqsName + " A", "10.0.0.7 10.0.1.7"},
		{"plain", sqsName + " A", "10.0.0.7 10.0.1.7"},
		{"data", sqsName + " AAAA", "NODATA of ."}, // not dual-stack
		{"data", sqsZoneA + " A", "10.0.0.7"},
		{"data", sqsZoneB + " A", "10.0.1.7"},
		{"data", "queue." + sqsName + " A", "NXDOMAIN of ."},
		{"data", s3Name + " AAAA", "2001:db8::8"},
		{"data", "bucket." + s3Name + " A", "10.0.0.8 10.0.1.8"},
		{"data", "logs.bucket." + s3Name + " A", "10.0.0.8 10.0.1.8"},
		{"data", "bucket." + s3ZoneB + " A", "10.0.1.8"},
		{"data", s3ZoneB + " AAAA", "NODATA of ."}, // a subnet without IPv6
		{"data", shopName + " A", "10.0.1.9"},
		{"data", "vpce-svc-shop.us-east-1.vpce.amazonaws.com A", "NODATA of ."},
		{"app", "vpce-4-cbc5ca20.sns.us-east-1.vpce.amazonaws.com A", "NXDOMAIN of ."}, // pending
	})
}

func TestPrivateDNS(t *testing.T) {
	check(t, withEndpoints(), []row{
		{"app", "sqs.us-east-1.amazonaws.com A", "10.0.0.7 10.0.1.7"},
		{"app", "sqs.us-east-1.amazonaws.com AAAA", "NODATA of sqs.us-east-1.amazonaws.com."},
		{"app", "queue.sqs.us-east-1.amazonaws.com A", "NXDOMAIN of sqs.us-east-1.amazonaws.com."},
		{"app", "sqs.eu-west-1.amazonaws.com A", "52.119.138.1"},
		{"data", "sqs.us-east-1.amazonaws.com A", "52.119.0.1"},
		{"plain", "sqs.us-east-1.amazonaws.com A", "52.119.0.1"}, // it needs both attributes
		{"app", "s3.us-east-1.amazonaws.com A", "10.0.0.8 10.0.1.8"},
		{"app", "logs.s3.us-east-1.amazonaws.com A", "10.0.0.8 10.0.1.8"},
		{"app", "logs.s3.us-east-1.amazonaws.com AAAA", "2001:db8::8"},
		{"app", "logs.s3.amazonaws.com A", "52.216.0.1"}, // no regional name
		{"data", "logs.s3.us-east-1.amazonaws.com A", "52.216.0.1"},
		{"app", "sns.us-east-1.amazonaws.com A", "52.119.0.2"}, // pending
	})
}

// A zone that is down is left out of the regional name; the zonal ones say what they always said.
func TestZoneDown(t *testing.T) {
	m := withEndpoints()
	m.DownZones = []string{"us-east-1a"}
	check(t, m, []row{
		{"app", sqsName + " A", "10.0.1.7"},
		{"app", "sqs.us-east-1.amazonaws.com A", "10.0.1.7"},
		{"app", sqsZoneA + " A", "10.0.0.7"},
		{"app", sqsZoneB + " A", "10.0.1.7"},
		{"app", "bucket." + s3Name + " A", "10.0.1.8"},
		{"app", s3Name + " AAAA", "NODATA of ."},
		{"app", shopName + " A", "10.0.1.9"},
	})
	m.DownZones = []string{"us-east-1a", "us-east-1b"}
	check(t, m, []row{{"app", sqsName + " A", "10.0.0.7 10.0.1.7"}})
}

func TestAddressesTakeTurns(t *testing.T) {
	m := withEndpoints()
	r := New(m)
	for _, want := range []string{"10.0.0.7 10.0.1.7", "10.0.1.7 10.0.0.7", "10.0.0.7 10.0.1.7"} {
		if got := ask(r, from(m, "data"), sqsName+" A"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		ask(r, from(m, "data"), sqsName+" AAAA") // takes nobody's turn
	}
}

func TestAccountNamesFollowDynamoDBsEndpoint(t *testing.T) {
	m := lab(network("app", "10.0.0.0/16", endpoint("1", "dynamodb", "private", "a=10.0.0.7")), network("data", "10.1.0.0/16"))
	check(t, m, []row{
		{"app", "dynamodb.us-east-1.amazonaws.com A", "10.0.0.7"},
		{"app", "123456789012.ddb.us-east-1.amazonaws.com A", "10.0.0.7"},
		{"data", "123456789012.ddb.us-east-1.amazonaws.com A", "52.94.0.1"},
	})
}
