package lab

import (
	"maps"
	"net/netip"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/lab/labtest"
	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// twinLab has two VPCs with one CIDR, whose instances have equal addresses.
const twinLab = `
name: labtest-twin
vpcs:
  a:
    cidr: 10.0.0.0/16
    subnets: {p: {cidr: 10.0.0.0/24, az: a}, q: {cidr: 10.0.1.0/24, az: a}}
    security_groups: {open: {ingress: [all from 0.0.0.0/0]}}
    instances: {web: {subnet: p, ip: 10.0.0.10, sg: [open]}, app: {subnet: q, ip: 10.0.1.10, sg: [open]}}
  b:
    cidr: 10.0.0.0/16
    subnets: {p: {cidr: 10.0.0.0/24, az: a}, q: {cidr: 10.0.1.0/24, az: a}}
    security_groups: {open: {ingress: [all from 0.0.0.0/0]}}
    instances:
      web: {subnet: p, ip: 10.0.0.10, sg: [open]}
      app: {subnet: q, ip: 10.0.1.10, sg: [open]}
      only: {subnet: q, ip: 10.0.1.99, sg: [open]}
`

// Connections of equal addresses and ports run side by side, and each VPC's counts are those of its own.
func TestSameCIDR(t *testing.T) {
	both(t, func(t *testing.T, offload bool) {
		b := build(t, twinLab, offload)
		var transfers []*transfer
		before := map[scenario.Node]tally{}
		for _, vpc := range []string{"a", "b"} {
			web, app := node(vpc, "web"), node(vpc, "app")
			b.plain(web, app)
			before[web], before[app] = b.tallyOf(web), b.tallyOf(app)
			x := &transfer{bed: b, from: web, to: app, addr: netip.MustParseAddrPort("10.0.1.10:9000"), fromPort: 9001}
			x.forTime = 200 * time.Millisecond
			if vpc == "b" {
				x.forTime = 300 * time.Millisecond // so that the counts differ
			}
			x.open()
			transfers = append(transfers, x)
		}
		done := make(chan struct{}, len(transfers))
		for _, x := range transfers {
			go func() {
				x.run()
				done <- struct{}{}
			}()
		}
		for range transfers {
			<-done
		}
		for _, x := range transfers {
			x.balance(before[x.from], before[x.to])
		}
		if transfers[0].got == transfers[1].got {
			t.Errorf("both transferred %d bytes: the counts prove nothing", transfers[0].got)
		}
	})
}

// A guest of one VPC that crafts frames for another's, whatever it writes into them, is heard by nobody there, and nothing of
// the other's is counted.
func TestSameCIDRHostile(t *testing.T) {
	both(t, func(t *testing.T, offload bool) {
		b := build(t, twinLab, offload)
		nodes := []scenario.Node{node("a", "web"), node("a", "app"), node("b", "web"), node("b", "app"), node("b", "only")}
		taps := map[scenario.Node]*labtest.Tap{}
		for _, n := range nodes {
			b.silence(n)
			taps[n] = b.tap(n)
		}
		fates := func() map[scenario.Node]fate {
			found := map[scenario.Node]fate{}
			for _, n := range nodes {
				found[n] = fateOf(b.fast.Memory(), b.engine.Stats(), b.attachmentOf(n).Index)
			}
			return found
		}
		attacker, friend, victim := taps[nodes[0]], nodes[1], taps[nodes[3]]
		for _, attack := range []struct {
			name     string
			src, dst [6]byte
			packet   labtest.Packet
			want     fate
			heard    bool // by the attacker's own neighbour, who has the victim's address
		}{
			{"to the victim's MAC", attacker.MAC, victim.MAC, labtest.UDP("10.0.0.10", 1, "10.0.1.10", 2), fate{delivered: 1}, true},
			{"from the victim's MAC", victim.MAC, attacker.Router, labtest.UDP("10.0.1.10", 2, "10.0.0.10", 1),
				fate{flow.SourceMACMismatch.String(): 1}, false},
			{"from the router's MAC", attacker.Router, victim.MAC, labtest.UDP("10.0.0.10", 1, "10.0.1.10", 2),
				fate{flow.SourceMACMismatch.String(): 1}, false},
			{"to an address that only the other VPC has", attacker.MAC, taps[nodes[4]].MAC, labtest.UDP("10.0.0.10", 1, "10.0.1.99", 2),
				fate{flow.UnknownDestination.String(): 1}, false},
			{"from an address that only the other VPC has", attacker.MAC, attacker.Router, labtest.UDP("10.0.1.99", 1, "10.0.1.10", 2),
				fate{flow.SourceDestCheck.String(): 1}, false},
		} {
			for range 2 { // the second may meet the fast path
				before := fates()
				frame := attacker.Frame(attack.packet.Bytes())
				copy(frame, attack.dst[:])
				copy(frame[6:], attack.src[:])
				if err := attacker.Send(frame); err != nil {
					t.Fatal(err)
				}
				until(t, attack.name+" is counted", func() bool { return fates()[nodes[0]].total() > before[nodes[0]].total() })
				after := fates()
				for _, n := range nodes {
					want := fate{}
					if n == nodes[0] {
						want = attack.want
					}
					if got := after[n].since(before[n]); !maps.Equal(got, want) {
						t.Errorf("%s: of %s are counted %v, want %v", attack.name, n, got, want)
					}
				}
				if attack.heard {
					if frame, err := taps[friend].Await(patience); frame == nil {
						t.Errorf("%s: %s hears nothing: %v", attack.name, friend, err)
					}
				}
				for _, n := range nodes {
					if frame, err := taps[n].Receive(); frame != nil || err != nil {
						t.Errorf("%s: %s hears %x (%v)", attack.name, n, frame, err)
					}
				}
			}
		}
	})
}
