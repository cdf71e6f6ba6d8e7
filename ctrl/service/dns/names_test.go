package dns

import (
	"slices"
	"testing"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

func TestNamesOfInterfaces(t *testing.T) {
	web := instance("web", "10.0.0.10", "public=198.51.100.10")
	for _, x := range []struct {
		v                         *vpc.VPC
		private, resource, public string
	}{
		{network("app", "10.0.0.0/16", web), "ip-10-0-0-10.ec2.internal", "i-web.ec2.internal", "ec2-198-51-100-10.compute-1.amazonaws.com"},
		{network("app", "10.0.0.0/16", web, in("eu-west-1")), "ip-10-0-0-10.eu-west-1.compute.internal",
			"i-web.eu-west-1.compute.internal", "ec2-198-51-100-10.eu-west-1.compute.amazonaws.com"},
		{network("app", "10.0.0.0/16", web, attributes(true, false)), "ip-10-0-0-10.ec2.internal", "i-web.ec2.internal", ""},
		{network("app", "10.0.0.0/16", web, attributes(false, false)), "ip-10-0-0-10.ec2.internal", "i-web.ec2.internal", ""},
		{network("app", "10.0.0.0/16", instance("db", "10.0.0.11")), "ip-10-0-0-11.ec2.internal", "i-db.ec2.internal", ""},
		{network("app", "10.0.0.0/16", instance("six", "2001:db8::6")), "i-six.ec2.internal", "i-six.ec2.internal", ""},
	} {
		i := x.v.Instances[0]
		e := i.Interfaces[0]
		if got := PrivateName(x.v, e); got != x.private {
			t.Errorf("private name %q, want %q", got, x.private)
		}
		if got := ResourceName(x.v, i); got != x.resource {
			t.Errorf("resource name %q, want %q", got, x.resource)
		}
		if got := PublicName(x.v, e); got != x.public {
			t.Errorf("public name %q, want %q", got, x.public)
		}
	}
}

func TestNamesOfEndpoints(t *testing.T) {
	m := lab(
		network("app", "10.0.0.0/16",
			endpoint("1", "sqs", "private", "a=10.0.0.7", "b=10.0.1.7"),
			endpoint("2", "s3", "a=10.0.0.8"),
			endpoint("3", "data/shop", "private", "b=10.0.1.9"),
			endpoint("4", "s3", "gateway"),
			endpoint("5", "data/gone", "a=10.0.0.9"),
			endpoint("6", "nobody/shop", "a=10.0.0.9")),
		network("data", "10.1.0.0/16", offers("shop", "10.1.0.4")),
		network("plain", "10.2.0.0/16", attributes(true, false), endpoint("7", "sqs", "private", "a=10.2.0.7")),
	)
	var got []string
	for _, v := range m.VPCs {
		for _, e := range v.Endpoints {
			got = append(got, EndpointNames(m, v, e)...)
		}
	}
	want := []string{
		"vpce-1-a209cad1.sqs.us-east-1.vpce.amazonaws.com",
		"vpce-1-a209cad1-us-east-1a.sqs.us-east-1.vpce.amazonaws.com",
		"vpce-1-a209cad1-us-east-1b.sqs.us-east-1.vpce.amazonaws.com",
		"sqs.us-east-1.amazonaws.com",
		"vpce-2-7923bc88.s3.us-east-1.vpce.amazonaws.com",
		"vpce-2-7923bc88-us-east-1a.s3.us-east-1.vpce.amazonaws.com",
		"vpce-3-4863e14a.vpce-svc-shop.us-east-1.vpce.amazonaws.com",
		"vpce-3-4863e14a-us-east-1b.vpce-svc-shop.us-east-1.vpce.amazonaws.com",
		"vpce-7-2ad19484.sqs.us-east-1.vpce.amazonaws.com",
		"vpce-7-2ad19484-us-east-1a.sqs.us-east-1.vpce.amazonaws.com",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
