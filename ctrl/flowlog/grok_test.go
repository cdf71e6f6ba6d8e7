package flowlog_test

import (
	"strings"
	"testing"

	"github.com/elastic/go-grok"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// vpcFlowLog is the pattern by which Logstash users read default records, in terms of the patterns that every grok has.
const vpcFlowLog = `^%{NUMBER:version} %{NOTSPACE:account_id} %{NOTSPACE:interface_id} (?:-|%{IP:srcaddr}) (?:-|%{IP:dstaddr}) ` +
	`(?:-|%{NONNEGINT:srcport}) (?:-|%{NONNEGINT:dstport}) (?:-|%{NONNEGINT:protocol}) (?:-|%{NONNEGINT:packets}) ` +
	`(?:-|%{NONNEGINT:bytes}) %{POSINT:start} %{POSINT:end} (?:-|(?P<action>ACCEPT|REJECT)) (?P<log_status>OK|NODATA|SKIPDATA)$`

// A parser that nobody here wrote finds in a line what was put into it.
func TestGrokReadsDefaultRecords(t *testing.T) {
	g := grok.New()
	if err := g.Compile(vpcFlowLog, true); err != nil {
		t.Fatal(err)
	}
	b := at(t, 1418530000)
	b.join(1, instance(), "172.31.16.21", "2001:db8::21")
	idle := instance()
	idle.ID = "eni-0idle"
	b.join(2, idle, "172.31.16.22")
	b.subscribe(everything(t, ""), 1418530000)
	b.Add(
		sample(1, "in", tcp("172.31.16.139", 20641, "172.31.16.21", 22), 20, 4249, 1418530010, 1418530011),
		rejected(sample(1, "in", ping("203.0.113.12", "172.31.16.21", 8), 4, 336, 1418530020, 1418530021)),
		sample(1, "out", tuple(flow.UDP, "2001:db8::21", 5353, "2001:db8:0:1::1", 53), 1, 99, 1418530030, 1418530031))
	fields := strings.Fields("version account_id interface_id srcaddr dstaddr srcport dstport protocol packets bytes start end action log_status")
	lines := b.lines(1418530060)
	if len(lines) != 4 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, line := range lines {
		got, err := g.ParseString(line)
		if err != nil || len(got) == 0 {
			t.Errorf("%s: %v", line, err)
			continue
		}
		var again []string
		for _, f := range fields {
			value := got[f]
			if value == "" {
				value = "-"
			}
			again = append(again, value)
		}
		if joined := strings.Join(again, " "); joined != line {
			t.Errorf("%s\nis read as\n%s", line, joined)
		}
	}
}
