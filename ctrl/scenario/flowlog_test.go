package scenario

import (
	"os"
	"testing"
	"time"

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
