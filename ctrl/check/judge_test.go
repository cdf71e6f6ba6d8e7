package check

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

func TestJudge(t *testing.T) {
	timeout := seen{outcome: scenario.Timeout, detail: "no answer within 5s"}
	ok := seen{outcome: scenario.OK}
	tooBig := seen{outcome: scenario.Unreachable, detail: "ICMP fragmentation needed from 10.0.0.1, MTU 1500", mtu: 1500}
	expect := func(o scenario.Outcome) scenario.Expect { return scenario.Expect{Outcome: o} }
	mtu := func(n int) scenario.Expect { return scenario.Expect{Outcome: scenario.Unreachable, MTU: n} }
	drops := []Drop{{Reason: flow.ACLRestriction, At: "db/acl-in"}, droppedBySG}
	sees := func(a string) seen { return seen{outcome: scenario.OK, source: netip.MustParseAddr(a)} }
	rows := []struct {
		name   string
		check  scenario.Check
		seen   seen
		drops  []Drop
		detail string // "" passes
	}{
		{"ok is the default", scenario.Check{}, ok, nil, ""},
		{"another outcome", scenario.Check{Expect: expect(scenario.OK)}, timeout, nil, "expected ok, got timeout: no answer within 5s"},
		{"an unexpected success", scenario.Check{Expect: expect(scenario.Timeout)}, ok, nil, "expected timeout, got ok"},
		{"drops alone do not decide", scenario.Check{}, ok, drops, ""},
		{"the first drop's reason", scenario.Check{Expect: expect(scenario.Timeout), Because: "SUBNET_ACL_RESTRICTION"}, timeout, drops, ""},
		{"a later drop's reason", scenario.Check{Expect: expect(scenario.Timeout), Because: "ENI_SG_RULES_MISMATCH"}, timeout, drops,
			"expected a packet dropped for ENI_SG_RULES_MISMATCH, got one for SUBNET_ACL_RESTRICTION at db/acl-in"},
		{"no drop", scenario.Check{Expect: expect(scenario.Timeout), Because: "ENI_SG_RULES_MISMATCH"}, timeout, nil,
			"expected a packet dropped for ENI_SG_RULES_MISMATCH, but none was"},
		{"the hop in full", scenario.Check{Expect: expect(scenario.Timeout), At: "db/acl-in"}, timeout, drops, ""},
		{"the hop without its name", scenario.Check{Expect: expect(scenario.Timeout), At: "acl-in"}, timeout, drops, ""},
		{"half a word is no hop", scenario.Check{Expect: expect(scenario.Timeout), At: "in"}, timeout, drops,
			"expected a packet dropped at in, got one for SUBNET_ACL_RESTRICTION at db/acl-in"},
		{"another node's hop", scenario.Check{Expect: expect(scenario.Timeout), Because: "SUBNET_ACL_RESTRICTION", At: "web/acl-in"}, timeout, drops,
			"expected a packet dropped for SUBNET_ACL_RESTRICTION at web/acl-in, got one for SUBNET_ACL_RESTRICTION at db/acl-in"},
		{"seen as the right address", scenario.Check{SeenAs: netip.MustParseAddr("10.0.0.5")}, sees("10.0.0.5"), nil, ""},
		{"seen as another", scenario.Check{SeenAs: netip.MustParseAddr("10.0.0.5")}, sees("198.18.0.1"), nil,
			"expected the listener to see 10.0.0.5, but it saw 198.18.0.1"},
		{"seen by a listener that tells nothing", scenario.Check{SeenAs: netip.MustParseAddr("10.0.0.5")}, ok, nil,
			"expected the listener to see 10.0.0.5, but it did not say whom it saw"},
		{"the MTU", scenario.Check{Expect: mtu(1500)}, tooBig, nil, ""},
		{"another MTU", scenario.Check{Expect: mtu(1400)}, tooBig, nil, "expected MTU 1400, got 1500"},
		{"no MTU", scenario.Check{Expect: mtu(1400)}, seen{outcome: scenario.Unreachable, detail: "ICMP host unreachable from 10.0.0.1"}, nil,
			"expected an ICMP error with MTU 1400, got ICMP host unreachable from 10.0.0.1"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := judge(&row.check, row.seen, row.drops)
			if r.Pass != (row.detail == "") || !r.Pass && r.Detail != row.detail {
				t.Errorf("pass %v: %q, want %q", r.Pass, r.Detail, row.detail)
			}
			if len(row.drops) > 0 && (r.Reason != flow.ACLRestriction || r.At != "db/acl-in") {
				t.Errorf("the first drop is %v at %q", r.Reason, r.At)
			}
		})
	}
}

func TestWatch(t *testing.T) {
	zero := time.Unix(0, 0)
	at := func(ms int) time.Time { return zero.Add(time.Duration(ms) * time.Millisecond) }
	policy, busy, hasty := droppedBySG, Drop{Reason: flow.UpcallQueueFull}, Drop{Reason: flow.LinkLocalAllowance}
	carried := Drop{Reason: flow.SGRulesMismatch, Carried: true}
	type look struct {
		ms        int
		drops     []Drop
		heard     bool
		over      bool
		connected bool
	}
	rows := []struct {
		name  string
		looks []look
	}{
		{"nothing happens", []look{{0, nil, false, false, false}, {4999, nil, false, false, false}, {5000, nil, false, true, false}}},
		{"silence after a drop", []look{{40, []Drop{policy}, false, false, false}, {539, []Drop{policy}, false, false, false}, {540, []Drop{policy}, false, true, false}}},
		{"retransmissions do not prolong it", []look{{40, []Drop{policy}, false, false, false}, {500, []Drop{policy, policy}, false, false, false},
			{540, []Drop{policy, policy}, false, true, false}}},
		{"an arrival after the drop", []look{{40, []Drop{policy}, false, false, false}, {100, []Drop{policy}, true, false, false}, {4000, []Drop{policy}, false, false, false},
			{4100, []Drop{policy, policy}, false, false, false}, {4600, []Drop{policy, policy}, false, true, false}}},
		{"a full queue is not the end", []look{{40, []Drop{busy}, false, false, false}, {4000, []Drop{busy}, false, false, false}, {4100, []Drop{busy, policy}, false, false, false},
			{4600, []Drop{busy, policy}, false, true, false}}},
		{"nor is a query too many", []look{{40, []Drop{hasty}, false, false, false}, {1100, []Drop{hasty}, false, false, false}, {4999, []Drop{hasty, hasty}, false, false, false},
			{5000, []Drop{hasty, hasty}, false, true, false}}},
		{"the connection is made all the same", []look{{40, []Drop{policy}, false, false, true}, {4999, []Drop{policy}, false, false, false}}},
		{"a load balancer makes it before it asks its target", []look{{40, []Drop{carried}, false, false, true}, {60, []Drop{carried}, false, false, false},
			{559, []Drop{carried}, false, false, false}, {560, []Drop{carried}, false, true, false}}},
		{"whose target answers in the end", []look{{40, []Drop{carried}, false, false, true}, {60, []Drop{carried}, true, false, false},
			{4999, []Drop{carried}, false, false, false}}},
		{"or finds another one", []look{{40, []Drop{carried}, false, false, true}, {60, []Drop{carried}, false, false, false},
			{80, nil, false, false, false}, {4999, nil, false, false, false}}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			w := watch{deadline: at(5000)}
			for _, l := range row.looks {
				w.observe(at(l.ms), l.drops)
				if l.heard {
					w.arrived()
				}
				if l.connected {
					w.connected()
				}
				if w.over(at(l.ms)) != l.over {
					t.Fatalf("at %d ms: over is %v", l.ms, !l.over)
				}
			}
		})
	}
}
