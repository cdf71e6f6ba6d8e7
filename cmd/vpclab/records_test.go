package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vpclab/vpclab/ctrl/check"
	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/ctrl/scenario"
)

// withRecords is a check whose flow log has not what it asserts, beside a drop that was expected.
func withRecords(t *testing.T, n int) check.Result {
	t.Helper()
	format := flowlog.FormatOf(flowlog.InterfaceID, flowlog.SrcAddr, flowlog.DstPort, flowlog.Bytes, flowlog.Action)
	c := &scenario.Check{Name: "web is refused", From: scenario.Node{VPC: "app", Name: "web"}, Do: scenario.Do{Text: "tcp 5432 to db"},
		Expect: scenario.Expect{Outcome: scenario.Timeout}}
	want := scenario.Record{Log: "all", Text: "all: interface db, dstport 5432, action REJECT"}
	r := check.Result{Check: c, Got: scenario.Timeout, Drops: []check.Drop{aDrop}, Wrong: &check.WrongRecord{Want: want}}
	for i := range n {
		row, err := format.Parse(fmt.Sprintf("eni-0a1b2c3d4e5f60718 10.0.0.4 %d %d ACCEPT", 5432-i, 60*(i+1)))
		if err != nil {
			t.Fatal(err)
		}
		differs := []flowlog.Field{flowlog.Action}
		if i > 0 {
			differs = []flowlog.Field{flowlog.DstPort, flowlog.Action}
		}
		r.Logs = append(r.Logs, check.Logged{Log: "all", Row: row})
		r.Wrong.Near = append(r.Wrong.Near, check.Near{Row: row, Differs: differs})
	}
	r.Detail = r.Wrong.String()
	return r
}

func TestMissingRecordsAreExplained(t *testing.T) {
	golden(t, "records.txt", explain(withRecords(t, 0), style{})+explain(withRecords(t, 2), style{})+explain(withRecords(t, maxRecords+2), style{}))
}

func TestRecordsAsJSON(t *testing.T) {
	r := &report{Scenario: &scenario.Scenario{Name: "logged"}, Results: []check.Result{withRecords(t, 1)}}
	r.Results[0].Logs = slices.Concat(r.Results[0].Logs, withRecords(t, 2).Logs[1:])
	text, err := encodeReport(r)
	if err != nil {
		t.Fatal(err)
	}
	const want = `"logs":[{"log":"all","record":{"interface-id":"eni-0a1b2c3d4e5f60718","srcaddr":"10.0.0.4","dstport":5432,"bytes":60,"action":"ACCEPT"}},` +
		`{"log":"all","record":{"interface-id":"eni-0a1b2c3d4e5f60718","srcaddr":"10.0.0.4","dstport":5431,"bytes":120,"action":"ACCEPT"}}]`
	if !strings.Contains(string(text), want) {
		t.Errorf("got %s\nwant %s", text, want)
	}
}
