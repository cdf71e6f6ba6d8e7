package vpc

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// logged adds flow logs "NAME RESOURCE WORD…": all traffic of 600 s to file:x, unless words say "accept", "reject", "60s" and the like,
// "to=DESTINATION", "format=TEXT", "hive", "per_hour" and "parquet".
func (m *Model) logged(logs ...string) *Model {
	for _, text := range logs {
		f := strings.Fields(text)
		l := &FlowLog{Name: f[0], Resource: resource(f[1]), Traffic: LogAll, Destination: "file:x"}
		for _, word := range f[2:] {
			key, value, _ := strings.Cut(word, "=")
			interval, err := time.ParseDuration(word)
			switch {
			case err == nil:
				l.Interval = interval
			case key == "to":
				l.Destination = value
			case key == "format":
				l.Format = value
			case key == "hive":
				l.Hive = true
			case key == "per_hour":
				l.PerHour = true
			case key == "parquet":
				l.FileFormat = ParquetFiles
			default:
				l.Traffic = LogTraffic(word)
			}
		}
		m.FlowLogs = append(m.FlowLogs, l)
	}
	return m
}

func resource(text string) Resource {
	owner, rest, foreign := strings.Cut(text, "/")
	if !foreign {
		owner, rest = "", text
	}
	kind, name, _ := strings.Cut(rest, ".")
	return Resource{Kind: ResourceKind(kind), VPC: owner, Name: name}
}

// watched is a lab of two VPCs with everything that a flow log can watch.
func watched() *Model {
	data := abroad("data", "10.9.0.0/16", subnet("web", "10.9.0.0/24"))
	data.Account = "210987654321"
	return lab(network("app", "10.0.0.0/16", subnet("web", "10.0.0.0/24"), subnet("back", "10.0.1.0/24"), nat("out", "web", "private"),
		instance("fw", "web", "+eth1=back")), data)
}

func TestFlowLogsAreSubscribed(t *testing.T) {
	m := complete(t, watched().logged("all vpc.app", "subnet data/subnet.web 60s", "fw instance.fw", "back subnet.back accept",
		"second eni.fw.eth1", "out nat.out reject"), nil)
	app, data := m.VPC("app"), m.VPC("data")
	for i, want := range []struct {
		resource, id string
		of           *VPC
	}{
		{"vpc.app", string(app.ID), app},
		{"data/subnet.web", string(data.Subnet("web").ID), data},
		{"app/instance.fw", string(app.ENI("fw").ID), app},
		{"app/subnet.back", string(app.Subnet("back").ID), app},
		{"app/eni.fw.eth1", string(app.ENI("fw.eth1").ID), app},
		{"app/nat.out", string(app.NATGateway("out").ENIID), app},
	} {
		l := m.FlowLogs[i]
		id := FlowLogID(NewID("fl", want.of.Account, want.of.Region, want.of.Name, "flow_log", l.Name))
		if got, want := l.Subscription, (Subscription{ID: id, ResourceID: want.id, Account: want.of.Account, Region: want.of.Region}); got != want {
			t.Errorf("%s: %+v, want %+v", l.Name, got, want)
		}
		if l.Resource.String() != want.resource || l.FileFormat != TextFiles {
			t.Errorf("%s watches %s in %s", l.Name, l.Resource, l.FileFormat)
		}
	}
	if m.FlowLog("all").Interval != LongInterval || m.FlowLog("subnet").Interval != ShortInterval || m.FlowLog("nothing") != nil {
		t.Error("intervals are 600 s unless said otherwise, and nothing is no flow log")
	}
	for name, eni := range map[string]*ENI{"all": app.ENI("fw.eth1"), "fw": app.ENI("fw"), "second": app.ENI("fw.eth1")} {
		if !m.FlowLog(name).Covers(app.ID, app.Subnet(eni.Subnet).ID, eni.ID) || m.FlowLog("subnet").Covers(app.ID, app.Subnet(eni.Subnet).ID, eni.ID) {
			t.Errorf("%s covers %s, and the other VPC's subnet does not", name, eni.Name)
		}
	}
	if new(Subscription).Covers("", "", "") {
		t.Error("what has no resource covers nothing")
	}
}

func TestWrongFlowLogs(t *testing.T) {
	const exists = "FlowLogAlreadyExists: there is an existing Flow Log with the same configuration and log destination; it is 'a': remove one of the two"
	many := func(n int) *Model {
		m := watched()
		for i := range n {
			m.logged(fmt.Sprintf("l%d vpc.app to=file:%d", i, i))
		}
		return m
	}
	judge(t, []wrong{
		{"the VPC exists", watched().logged("a vpc.ap"), []string{
			"flow_logs.a.resource: the VPC 'ap' does not exist; declare it in `vpcs` or use one of app, data"}},
		{"so does the other VPC", watched().logged("a dta/subnet.web"), []string{"flow_logs.a.resource: the VPC 'dta' does not exist; did you mean data?"}},
		{"a subnet is one of the VPC's", watched().logged("a data/subnet.back"), []string{
			"flow_logs.a.resource: the subnet 'back' does not exist; declare it in `subnets` or use one of web"}},
		{"an instance exists", watched().logged("a instance.fwall"), []string{
			"flow_logs.a.resource: the instance 'fwall' does not exist; declare it in `instances` or use one of fw"}},
		{"an interface exists", watched().logged("a eni.fw.eth2"), []string{
			"flow_logs.a.resource: the network interface 'fw.eth2' does not exist; did you mean fw.eth1?"}},
		{"a gateway exists", watched().logged("a nat.ouut"), []string{"flow_logs.a.resource: the NAT gateway 'ouut' does not exist; did you mean out?"}},
		{"it is clear whose it is", watched().logged("a subnet.web"), []string{
			"flow_logs.a.resource: the subnet 'web' is in several VPCs; write app/subnet.web or data/subnet.web"}},
		{"there are two intervals", watched().logged("a vpc.app 61s"), []string{
			"flow_logs.a.interval: invalid Flow Log Max Aggregation Interval: 61s; it is 60s or 600s"}},
		{"names are names", watched().logged("A vpc.app"), []string{"flow_logs.A: 'A' is not a name for a flow log; a name has 1 to 31 lower-case " +
			"letters, digits and hyphens and starts with a letter"}},
		{"no two are alike", watched().logged("a instance.fw 600s", "b app/eni.fw"), []string{"flow_logs.b: " + exists}},
		{"they differ in traffic", watched().logged("a vpc.app", "b vpc.app accept", "c vpc.app reject"), nil},
		{"or interval", watched().logged("a vpc.app", "b vpc.app 60s"), nil},
		{"or destination", watched().logged("a vpc.app", "b vpc.app to=s3://logs", "c vpc.app to=s3://logs hive"), nil},
		{"or format", watched().logged("a vpc.app", "b vpc.app format=${action}"), nil},
		{"or resource", watched().logged("a vpc.app", "b vpc.data", "c app/subnet.web"), nil},
		{"250 fit", many(250), nil},
		{"251 do not", many(252), []string{"flow_logs.l250: FlowLogsLimitExceeded: the maximum number of flow logs per resource has been reached; " +
			"vpc.app has 250 already"}},
	})
}

// TestWrongFlowLogChanges: nothing of a flow log changes, but it may go, and come back as another.
func TestWrongFlowLogChanges(t *testing.T) {
	fixed := func(key, was, is string) string {
		return fmt.Sprintf("flow_logs.a.%s: `%s` of flow log 'a' cannot be changed from %s to %s; flow logs do not change: declare one of another name, "+
			"or remove this one and declare it anew in the next change", key, key, was, is)
	}
	for _, row := range []struct {
		name          string
		before, after *Model
		want          []string
	}{
		{"it stays", watched().logged("a vpc.app"), watched().logged("a vpc.app 600s"), nil},
		{"it goes", watched().logged("a vpc.app"), watched(), nil},
		{"another comes", watched().logged("a vpc.app"), watched().logged("b vpc.app"), nil},
		{"its resource stays", watched().logged("a vpc.app"), watched().logged("a vpc.data"), []string{fixed("resource", "vpc.app", "vpc.data")}},
		{"however it is written", watched().logged("a instance.fw"), watched().logged("a app/instance.fw"), nil},
		{"all the rest stays", watched().logged("a vpc.app"), watched().logged("a vpc.app accept 60s to=s3://b format=${action} hive per_hour parquet"),
			[]string{fixed("traffic", "all", "accept"), fixed("interval", "600s", "60s"), fixed("destination", "file:x", "s3://b"),
				fixed("format", "the default", "${action}"), fixed("hive", "false", "true"), fixed("per_hour", "false", "true"),
				fixed("file_format", "text", "parquet")}},
		{"another VPC may take the name", lab(network("app", "10.0.0.0/16", subnet("web", "10.0.0.0/24"))).logged("a subnet.web"),
			watched().logged("a subnet.web"), nil},
		{"a new one needs a resource", watched(), lab(network("app", "10.0.0.0/16")).logged("a vpc.data"), []string{
			"flow_logs.a.resource: the VPC 'data' does not exist; declare it in `vpcs` or use one of app"}},
	} {
		t.Run(row.name, func(t *testing.T) { same(t, row.after.Complete(complete(t, row.before, nil)), row.want) })
	}
}

// TestFlowLogsEndWithTheirResource: a resource of the same name is another one, and a flow log of the same name too.
func TestFlowLogsEndWithTheirResource(t *testing.T) {
	first := complete(t, watched().logged("a vpc.data", "b instance.fw"), nil)
	gone := complete(t, lab(network("app", "10.0.0.0/16")).logged("a vpc.data", "b instance.fw"), first)
	for _, l := range gone.FlowLogs {
		was := first.FlowLog(l.Name).Subscription
		if was.Ended = true; l.Subscription != was || l.Covers(first.VPC("data").ID, "", first.VPC("app").ENI("fw").ID) {
			t.Errorf("%s: %+v, want %+v", l.Name, l.Subscription, was)
		}
	}
	back := complete(t, watched().logged("a vpc.data", "b instance.fw", "c vpc.data"), gone)
	if !back.FlowLog("a").Ended || back.FlowLog("c").Ended {
		t.Error("what has ended goes on, or the new one has ended with it")
	}
	without := complete(t, watched().logged("b instance.fw"), back)
	if again := complete(t, watched().logged("a vpc.data", "b instance.fw"), without); again.FlowLog("a").Ended || !again.FlowLog("b").Ended {
		t.Error("one that was removed and declared anew has ended, or one that was not has begun")
	}
}

func TestZoneIDs(t *testing.T) {
	for zone, want := range map[string]string{
		"us-east-1a": "use1-az1", "us-east-1f": "use1-az6", "us-east-2b": "use2-az2", "us-west-1a": "usw1-az1", "us-west-2d": "usw2-az4",
		"ca-central-1a": "cac1-az1", "ca-west-1c": "caw1-az3", "sa-east-1a": "sae1-az1", "eu-west-1c": "euw1-az3", "eu-central-1b": "euc1-az2",
		"eu-north-1a": "eun1-az1", "eu-south-2a": "eus2-az1", "ap-south-1a": "aps1-az1", "ap-east-1b": "ape1-az2", "ap-southeast-2c": "apse2-az3",
		"ap-northeast-1a": "apne1-az1", "af-south-1a": "afs1-az1", "me-central-1a": "mec1-az1", "il-central-1a": "ilc1-az1",
		"us-gov-west-1a": "usgw1-az1", "us-gov-east-1b": "usge1-az2", "cn-north-1a": "cnn1-az1", "cn-northwest-1b": "cnnw1-az2",
		"us-east-1": "", "a": "", "": "", "us-east-1-wl1-bos-wlz-1": "",
	} {
		if got := ZoneID(zone); got != want {
			t.Errorf("%q is %q, want %q", zone, got, want)
		}
	}
}
