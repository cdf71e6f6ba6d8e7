package lab

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/ctrl/lab/labtest"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// loggedLab has a flow log of everything, in a form that is easy to read.
const loggedLab = `
name: labtest-logged
clock: {start: 2026-01-01T00:00:00Z, rate: 0}
vpcs:
  a:
    cidr: 10.0.0.0/16
    subnets: {p: {cidr: 10.0.0.0/24, az: a}, q: {cidr: 10.0.1.0/24, az: b}}
    security_groups: {open: {ingress: [udp 53 from 10.0.0.0/16, tcp 9000 from 10.0.0.0/16]}}
    instances: {web: {subnet: p, ip: 10.0.0.10, sg: [open]}, app: {subnet: q, ip: 10.0.1.10, sg: [open]}}
flow_logs:
  all:
    resource: vpc.a
    traffic: all
    interval: 60s
    destination: s3://unused
    format: "${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${bytes} ${action} ${flow-direction} ${tcp-flags} ${log-status}"
`

// told are the records that were told since a time, one line each, but for those that say that there was nothing.
func (b bed) told(since int64) []string {
	b.logs.mu.Lock()
	defer b.logs.mu.Unlock()
	var lines []string
	for i := range b.logs.recent.records {
		if t := &b.logs.recent.records[i]; t.at >= since && t.record.Status == flowlog.OK {
			lines = append(lines, t.format.Row(&t.record).String())
		}
	}
	slices.Sort(lines)
	return lines
}

// TestFlowLog: crafted packets become records at both ends, when the window is over.
func TestFlowLog(t *testing.T) {
	both(t, func(t *testing.T, offload bool) {
		b := build(t, loggedLab, offload)
		web, app := node("a", "web"), node("a", "app")
		b.silence(web)
		b.silence(app)
		tap := b.tap(web)
		for range 3 {
			for _, p := range []labtest.Packet{labtest.UDP("10.0.0.10", 1000, "10.0.1.10", 53), labtest.UDP("10.0.0.10", 1000, "10.0.1.10", 54)} {
				if err := tap.Send(tap.Frame(p.Bytes())); err != nil {
					t.Fatal(err)
				}
			}
		}
		until(t, "all packets are decided", func() bool {
			y := b.tallyOf(web)
			return y.delivered.Packets == 3 && y.dropped[flow.SGRulesMismatch].Packets == 3
		})
		begun := monotonic()
		if got := b.told(0); len(got) != 0 {
			t.Errorf("before the window is over: %q", got)
		}
		if err := b.Advance(time.Minute); err != nil {
			t.Fatal(err)
		}
		size := " 3 " + strconv.Itoa(3*len(labtest.UDP("10.0.0.10", 1000, "10.0.1.10", 53).Bytes()))
		if got, want := b.told(begun), []string{
			"10.0.0.10 10.0.1.10 1000 53 17" + size + " ACCEPT egress 0 OK",
			"10.0.0.10 10.0.1.10 1000 53 17" + size + " ACCEPT ingress 0 OK",
			"10.0.0.10 10.0.1.10 1000 54 17" + size + " ACCEPT egress 0 OK",
			"10.0.0.10 10.0.1.10 1000 54 17" + size + " REJECT ingress 0 OK",
		}; !slices.Equal(got, want) {
			t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestFlowLogOfAConnection: a connection that both ends close is two records at each end, with what their kernels sent.
func TestFlowLogOfAConnection(t *testing.T) {
	both(t, func(t *testing.T, offload bool) {
		b := build(t, loggedLab, offload)
		web, app := node("a", "web"), node("a", "app")
		b.plain(web, app)
		x := transfer{bed: b, from: web, to: app, addr: netip.MustParseAddrPort("10.0.1.10:9000"), fromPort: 9001, forTime: 100 * time.Millisecond}
		x.open()
		x.run()
		until(t, "both kernels' packets are counted", func() bool {
			return b.tallyOf(web).delivered.Packets == x.clientSent().Packets && b.tallyOf(app).delivered.Packets == x.serverSent().Packets
		})
		if err := b.Advance(time.Minute); err != nil {
			t.Fatal(err)
		}
		line := func(src, dst string, sent packetsSent, direction, flags string) string {
			return strings.Join([]string{src, dst, "6", strconv.Itoa(int(sent.Packets)), strconv.Itoa(int(sent.Bytes)), "ACCEPT", direction, flags, "OK"}, " ")
		}
		want := []string{
			line("10.0.0.10 10.0.1.10", "9001 9000", x.clientSent(), "egress", "3"),
			line("10.0.0.10 10.0.1.10", "9001 9000", x.clientSent(), "ingress", "3"),
			line("10.0.1.10 10.0.0.10", "9000 9001", x.serverSent(), "egress", "19"),
			line("10.0.1.10 10.0.0.10", "9000 9001", x.serverSent(), "ingress", "19"),
		}
		if got := b.told(0); !slices.Equal(got, want) {
			t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}
