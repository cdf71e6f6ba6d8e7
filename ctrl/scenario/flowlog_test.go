package scenario

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

func validFile(t *testing.T, name string) *Scenario {
	t.Helper()
	src, err := os.ReadFile("testdata/valid/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(src))
}

func TestFlowLogsAreRead(t *testing.T) {
	m := validFile(t, "flow-logs.yaml").Model
	app, data := m.VPC("app"), m.VPC("data")
	text := vpc.LogFiles{FileFormat: vpc.TextFiles}
	for i, want := range []vpc.FlowLog{
		{Name: "everything", Resource: vpc.Resource{Kind: "vpc", VPC: "app", Name: "app"}, Traffic: "all", Interval: time.Minute,
			Destination: "s3://logs/prefix", LogFiles: text, Subscription: vpc.Subscription{ResourceID: string(app.ID)}},
		{Name: "one", Resource: vpc.Resource{Kind: "instance", VPC: "app", Name: "web"}, Traffic: "reject", Interval: 10 * time.Minute,
			Destination: "cloudwatch:/vpc/web", Format: "${version} ${interface-id} ${srcaddr} ${dstaddr} ${action}", LogFiles: text,
			Subscription: vpc.Subscription{ResourceID: string(app.ENI("web").ID)}},
		{Name: "columns", Resource: vpc.Resource{Kind: "subnet", VPC: "app", Name: "web"}, Traffic: "accept", Interval: 10 * time.Minute,
			Destination: "s3://logs", LogFiles: vpc.LogFiles{Hive: true, PerHour: true, FileFormat: vpc.ParquetFiles},
			Subscription: vpc.Subscription{ResourceID: string(app.Subnet("web").ID)}},
		{Name: "plain", Resource: vpc.Resource{Kind: "subnet", VPC: "data", Name: "web"}, Traffic: "all", Interval: 10 * time.Minute,
			Destination: "file:out/flows.log", LogFiles: text, Subscription: vpc.Subscription{ResourceID: string(data.Subnet("web").ID)}},
		{Name: "second", Resource: vpc.Resource{Kind: "eni", VPC: "app", Name: "web.eth1"}, Traffic: "all", Interval: 10 * time.Minute,
			Destination: "file:second.log", LogFiles: text, Subscription: vpc.Subscription{ResourceID: string(app.ENI("web.eth1").ID)}},
		{Name: "gateway", Resource: vpc.Resource{Kind: "nat", VPC: "app", Name: "out"}, Traffic: "all", Interval: time.Minute,
			Destination: "cloudwatch:/nat", LogFiles: text, Subscription: vpc.Subscription{ResourceID: string(app.NATGateway("out").ENIID)},
			Format: "${instance-id} ${interface-id} ${srcaddr} ${dstaddr} ${pkt-srcaddr} ${pkt-dstaddr} ${flow-direction} ${tcp-flags}"},
	} {
		v := m.VPC(want.Resource.VPC)
		want.Account, want.Region = v.Account, v.Region
		want.ID = vpc.FlowLogID(vpc.NewID("fl", v.Account, v.Region, v.Name, "flow_log", want.Name))
		if got := *m.FlowLogs[i]; got != want {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
}

// TestFlowLogsThroughChanges: one goes and comes back as another, and the log of an interface ends with it.
func TestFlowLogsThroughChanges(t *testing.T) {
	s := validFile(t, "flow-logs.yaml")
	states := func(m *vpc.Model) string {
		var texts []string
		for _, l := range m.FlowLogs {
			text := l.Name + " " + l.Resource.String()
			if l.Ended {
				text += " ended"
			}
			texts = append(texts, text)
		}
		return strings.Join(texts, ", ")
	}
	for i, want := range map[int]string{
		2: "everything vpc.app, columns app/subnet.web, plain data/subnet.web, second app/eni.web.eth1 ended, gateway app/nat.out",
		3: "everything vpc.app, columns app/subnet.web, plain data/subnet.web, gateway app/nat.out, one app/subnet.web",
	} {
		if got := states(s.Steps[i].Change); got != want {
			t.Errorf("after step %d: %s\nwant %s", i, got, want)
		}
	}
	second := s.Steps[2].Change.FlowLog("second")
	if was := s.Model.FlowLog("second"); second.ResourceID != was.ResourceID || second.ID != was.ID {
		t.Errorf("ended, it is %+v, and was %+v", second.Subscription, was.Subscription)
	}
}

// wantsOf writes what a record wants: "interface-id=eni-1 srcaddr=10.0.0.4|10.0.0.5".
func wantsOf(r Record) string {
	var texts []string
	for _, w := range r.Wants {
		texts = append(texts, w.Field.String()+"="+strings.Join(w.OneOf, "|"))
	}
	return strings.Join(texts, " ")
}

func TestRecordsAreRead(t *testing.T) {
	s := validFile(t, "flow-logs.yaml")
	app := s.Model.VPC("app")
	c := s.Steps[0].Check
	id := func(name string) string { return "interface-id=" + string(app.ENI(name).ID) }
	for i, want := range []struct{ text, wants string }{
		{"everything: interface app, flow-direction egress, dstport 81, action ACCEPT", id("app") + " srcaddr=10.0.1.5 dstport=81 action=ACCEPT"},
		{"everything: interface web, flow-direction ingress, srcaddr app, dstaddr app/web, action REJECT, account-id 123456789012",
			id("web") + " dstaddr=10.0.0.4 srcaddr=10.0.1.5 dstaddr=10.0.0.4 action=REJECT account-id=123456789012"},
		{"one: interface app/web, action REJECT", id("web") + " action=REJECT"},
		{"gateway: interface nat.out, flow-direction ingress, pkt-dstaddr 10.0.0.4, tcp-flags -", "interface-id=" +
			string(app.NATGateway("out").ENIID) + " flow-direction=ingress pkt-dstaddr=10.0.0.4 tcp-flags=-"},
	} {
		if got := c.Logs[i]; got.Text != want.text || wantsOf(got) != want.wants || got.Idle() {
			t.Errorf("%s\n%s\nwant %s\n%s", got.Text, wantsOf(got), want.text, want.wants)
		}
	}
	if len(c.NoLogs) != 2 || c.NoLogs[0].Text != "columns: any record" || len(c.NoLogs[0].Wants) != 0 || len(c.Logs) != 4 {
		t.Errorf("no_logs %+v", c.NoLogs)
	}
	if idle := s.Steps[1].Check.Logs[0]; idle.Log != "plain" || !idle.Idle() {
		t.Errorf("no record of no packets: %+v", idle)
	}
}

// TestDirectionByAddresses: without the field, an interface's own addresses tell, whichever of them it is.
func TestDirectionByAddresses(t *testing.T) {
	s := parse(t, lab+"flow_logs: {all: {resource: vpc.app, traffic: all, destination: file:x}}\nchecks:\n"+
		"  - {from: twin, do: ping twin, logs: [{log: all, interface: app/web, flow-direction: egress}, {log: all, log-status: OK}]}\n")
	web := s.Model.VPC("app").ENI("web")
	logs := s.Steps[0].Check.Logs
	want := fmt.Sprintf("interface-id=%s srcaddr=%s|%s", web.ID, web.IP, web.IPv6)
	if got := wantsOf(logs[0]); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	format := flowlog.FormatOf(flowlog.InterfaceID, flowlog.SrcAddr)
	for source, differ := range map[string][]flowlog.Field{
		web.IP.String(): nil, web.IPv6.StringExpanded(): nil, "10.0.0.99": {flowlog.SrcAddr}, "-": {flowlog.SrcAddr},
	} {
		row, err := format.Parse(string(web.ID) + " " + source)
		if err != nil {
			t.Fatal(err)
		}
		if got := logs[0].Differs(row); !slices.Equal(got, differ) {
			t.Errorf("from %s: differs in %v, want %v", source, got, differ)
		}
	}
	if logs[1].Idle() {
		t.Error("log-status OK is a record of packets")
	}
}
