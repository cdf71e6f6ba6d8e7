package check

import (
	"net/netip"
	"testing"
)

func TestReportedSource(t *testing.T) {
	for _, test := range []struct{ name, body, want string }{
		{"a built-in listener", `{"source": "10.0.0.4", "source_port": 40000, "local": "10.0.0.5", "local_port": 80}`, "10.0.0.4"},
		{"a service that says who asks", `{"service": "sqs", "via": "public", "source": "198.51.100.7"}`, "198.51.100.7"},
		{"somebody else's page", `{"source": "10.0.0.4"}`, ""},
		{"no JSON", "<html>", ""},
	} {
		want, _ := netip.ParseAddr(test.want)
		if got := reportedSource([]byte(test.body)); got != want {
			t.Errorf("%s: got %v", test.name, got)
		}
	}
}
