package lab

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/beevik/ntp"

	"github.com/vpclab/vpclab/ctrl/scenario"
)

// timeLab is an instance from which rules let nothing out.
const timeLab = `
name: labtest-time
vpcs:
  app:
    cidr: 10.0.0.0/16
    ipv6: 2600:1f18:aa00::/56
    subnets: {s: {cidr: 10.0.0.0/24, ipv6: "2600:1f18:aa00::/64", az: a, acl: nothing}}
    acls: {nothing: {ingress: [], egress: []}}
    security_groups: {silent: {egress: []}}
    instances: {web: {subnet: s, sg: [silent]}}
checks: []
`

// ntpFrom asks a time server from inside a guest.
func (b bed) ntpFrom(n scenario.Node, server string) (*ntp.Response, error) {
	return ntp.QueryWithOptions(server, ntp.QueryOptions{Timeout: patience, Dialer: func(_, remote string) (conn net.Conn, err error) {
		err = b.Do(n, func() (err error) {
			conn, err = new(net.Dialer).DialContext(context.Background(), "udp", remote)
			return err
		})
		return conn, err
	}})
}

// Instances have the machine's clock. What the time service tells is the lab's, however that runs.
func TestTimeServiceTellsTheLabsTime(t *testing.T) {
	for _, row := range []struct{ name, clock string }{
		{"as the machine's", "{rate: 1}"},
		{"in another year", `{start: "2031-06-01T00:00:00Z", rate: 1}`},
		{"a thousand times as fast", `{start: "2026-01-01T00:00:00Z", rate: 1000}`},
		{"by advance alone", `{start: "2026-01-01T00:00:00Z", rate: 0}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := build(t, timeLab+"clock: "+row.clock+"\n", true)
			for _, server := range []string{"169.254.169.123", "fd00:ec2::123"} {
				for range 2 {
					b.expectTime(server)
					if err := b.Advance(time.Hour); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// expectTime asks for the time, and the lab before and after. Timestamps are rounded to 2^-32 s.
func (b bed) expectTime(server string) {
	b.t.Helper()
	before := b.Now().Add(-time.Nanosecond)
	answer, err := b.ntpFrom(node("app", "web"), server)
	if err != nil {
		b.t.Fatal(err)
	}
	if after := b.Now().Add(time.Nanosecond); answer.Time.Before(before) || answer.Time.After(after) {
		b.t.Errorf("%s tells %v, between %v and %v of the lab", server, answer.Time, before, after)
	}
	if err := answer.Validate(); err != nil {
		b.t.Errorf("%s: %v", server, err)
	}
}
