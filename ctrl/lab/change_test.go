package lab

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/lab/labtest"
	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// changeLab has two instances that talk, and around them instances and addresses that come, go and move.
const changeLab = `
name: labtest-change
vpcs:
  a:
    cidr: 10.0.0.0/16
    internet_gateway: true
    subnets:
      p: {cidr: 10.0.0.0/24, az: a, routes: {0.0.0.0/0: igw}}
      q: {cidr: 10.0.1.0/24, az: a}
    security_groups: {open: {ingress: [all from 0.0.0.0/0]}}
    instances:
      web: {subnet: p, ip: 10.0.0.10, sg: [open]}
      app: {subnet: q, ip: 10.0.1.10, sg: [open]}
      x: {subnet: q, ip: 10.0.1.20, secondary: [10.0.1.30], eip: 198.51.100.7, sg: [open]}
      y: {subnet: q, ip: 10.0.1.21, sg: [open]}
  b:
    cidr: 10.0.0.0/16
    subnets: {p: {cidr: 10.0.0.0/24, az: a}}
    instances: {z: {subnet: p}}
internet:
  hosts: {customer: {ip: 203.0.113.80}}
checks:
  - change: {vpcs: {b: {instances: {z: null, w: {subnet: p}}}}}
  - change: {vpcs: {a: {instances: {late: {subnet: q, ip: 10.0.1.40, sg: [open]}}}}}
  - change: {vpcs: {a: {instances: {x: {secondary: [], eip: null}, y: {secondary: [10.0.1.30], eip: 198.51.100.7}}}}}
  - change: {vpcs: {a: {instances: {late: null}}}}
`

func (b bed) apply(s *scenario.Scenario, step int) {
	b.t.Helper()
	m := s.Model
	if step >= 0 {
		m = s.Steps[step].Change
	}
	if err := b.Apply(context.Background(), m); err != nil {
		b.t.Fatal(err)
	}
}

// Instances appear and vanish beside a connection, which does not notice.
func TestChangeBesideTraffic(t *testing.T) {
	both(t, func(t *testing.T, offload bool) {
		s := scenarioOnce(t, changeLab)
		b := start(t, s, offload)
		web, app := node("a", "web"), node("a", "app")
		b.plain(web, app)
		client, server := b.tallyOf(web), b.tallyOf(app)
		x := transfer{bed: b, from: web, to: app, addr: netip.MustParseAddrPort("10.0.1.10:9000"), forTime: 500 * time.Millisecond}
		x.open()
		changes := during(20*time.Millisecond, func(n int) error {
			m := s.Model
			if step := n % (len(s.Steps) + 1); step > 0 {
				m = s.Steps[step-1].Change
			}
			return b.Apply(context.Background(), m)
		})
		x.enough = func() bool { return int(changes.calls.Load()) > len(s.Steps) }
		x.run()
		if _, err := changes.stop(); err != nil {
			t.Error(err)
		}
		if x.stall > time.Second {
			t.Errorf("nothing arrived for %v", x.stall)
		}
		x.balance(client, server)
	})
}

// An instance that is there after a change can be reached, and one that is gone cannot; one that comes back under its old name
// is another attachment.
func TestInstancesAppearAndVanish(t *testing.T) {
	both(t, func(t *testing.T, offload bool) {
		s := scenarioOnce(t, changeLab)
		b := start(t, s, offload)
		late := netip.MustParseAddr("10.0.1.40")
		reaches := func(want flow.Reason) {
			t.Helper()
			b.reaches(node("a", "web"), labtest.UDP("10.0.0.10", 1000, late.String(), 9), want)
		}
		indices := map[uint32]bool{}
		for range 3 {
			b.apply(s, -1)
			reaches(flow.UnknownDestination)
			b.apply(s, 1)
			reaches(flow.None)
			index := b.attachmentOf(node("a", "late")).Index
			if indices[index] {
				t.Errorf("index %d is used again", index)
			}
			indices[index] = true
			if n := b.deviceCounter(fmt.Sprintf("t%d", index), transmitted); n > 100 {
				t.Errorf("a new device has sent %d packets", n)
			}
		}
	})
}

// reaches sends a packet twice and checks that it is delivered, or dropped for a reason.
func (b bed) reaches(from scenario.Node, p labtest.Packet, want flow.Reason) {
	b.t.Helper()
	tap, index := b.tap(from), b.attachmentOf(from).Index
	what := delivered
	if want != flow.None {
		what = want.String()
	}
	for range 2 {
		fates := func() fate { return fateOf(b.fast.Memory(), b.engine.Stats(), index) }
		before := fates()[what]
		if err := tap.Send(tap.Frame(p.Bytes())); err != nil {
			b.t.Fatal(err)
		}
		if all := fates(); !eventually(func() bool { return fates()[what] == before+1 }) {
			b.t.Fatalf("not counted as %s but as %v", what, fates().since(all))
		}
	}
}

// An address that moves to another instance leads there at once, private or public, also for those who have just used it.
func TestAddressesMove(t *testing.T) {
	both(t, func(t *testing.T, offload bool) {
		s := scenarioOnce(t, changeLab)
		b := start(t, s, offload)
		taps := map[string]*labtest.Tap{"x": b.tap(node("a", "x")), "y": b.tap(node("a", "y"))}
		for round := range 3 {
			for step, owner := range []string{"x", "y"} {
				b.apply(s, step*3-1) // the model as it was, then the step that moves the address
				for _, path := range []struct {
					from          scenario.Node
					sent, arrives labtest.Packet
				}{
					{node("a", "web"), labtest.UDP("10.0.0.10", 1000, "10.0.1.30", 9), labtest.UDP("10.0.0.10", 1000, "10.0.1.30", 9)},
					{node("", "customer"), labtest.UDP("203.0.113.80", 1000, "198.51.100.7", 9),
						labtest.UDP("203.0.113.80", 1000, map[string]string{"x": "10.0.1.20", "y": "10.0.1.21"}[owner], 9)},
				} {
					b.reaches(path.from, path.sent, flow.None)
					for range 2 {
						b.hears(taps[owner], path.arrives.Bytes())
					}
				}
				for name, tap := range taps {
					for frame, _ := tap.Receive(); frame != nil; frame, _ = tap.Receive() {
						if name != owner && len(frame) > 23 && frame[23] == flow.UDP {
							t.Errorf("round %d: %s hears %x", round, name, frame)
						}
					}
				}
			}
		}
	})
}

// Applying what is applied changes nothing: not the kernel, not a generation, and the fast path keeps what it knows. A change
// of one VPC leaves another's flows alone.
func TestApplyTwice(t *testing.T) {
	s := scenarioOnce(t, changeLab)
	b := start(t, s, true)
	web := node("a", "web")
	upcalls := func() uint64 { return b.deviceCounter(fmt.Sprintf("t%d", b.attachmentOf(web).Index), transmitted) }
	p := labtest.UDP("10.0.0.10", 1000, "10.0.1.10", 9)
	b.reaches(web, p, flow.None)
	for _, change := range []struct {
		name      string
		step      int
		same, own bool // the model is as it was; the VPC of the flow is another
	}{
		{"the same model", -1, true, false},
		{"the same again", -1, true, false},
		{"another VPC", 0, false, false},
		{"another VPC, again", 0, true, false},
		{"its own VPC", 1, false, true},
		{"its own VPC, again", 1, true, false},
	} {
		generation, before, found := b.plan.Network.VPCs[0].Generation, upcalls(), b.offloaded()
		b.apply(s, change.step)
		if n := b.host.Changes(); change.same && n.Total() != 0 {
			t.Errorf("%s: changes of the kernel %+v", change.name, n)
		}
		if n := b.offloaded(); change.same && n != found {
			t.Errorf("%s: %d flows in the fast path, %d before", change.name, n, found)
		}
		if same := b.plan.Network.VPCs[0].Generation == generation; same == change.own {
			t.Errorf("%s: generation %d, before %d", change.name, b.plan.Network.VPCs[0].Generation, generation)
		}
		b.reaches(web, p, flow.None)
		if n := upcalls() - before; n != 0 && !change.own {
			t.Errorf("%s: %d upcalls", change.name, n)
		}
	}
}

// offloaded counts the flows that the fast path knows.
func (b bed) offloaded() int {
	b.t.Helper()
	n, err := b.fast.Flows()
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}
