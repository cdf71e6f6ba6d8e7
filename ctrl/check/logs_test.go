package check

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

var web = flowlog.FormatOf(flowlog.InterfaceID, flowlog.SrcAddr, flowlog.DstPort, flowlog.Action, flowlog.LogStatus)

// rows are records of an interface that writes the format web.
func rows(t *testing.T, lines ...string) []flowlog.Row {
	t.Helper()
	var all []flowlog.Row
	for _, line := range lines {
		row, err := web.Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, row)
	}
	return all
}

// record is what a check says of flow log web: "dstport=80 action=ACCEPT".
func record(t *testing.T, text string) scenario.Record {
	t.Helper()
	r := scenario.Record{Log: "web", Text: "web: " + text}
	for _, word := range strings.Fields(text) {
		c, err := flowlog.ParseCondition(word)
		if err != nil {
			t.Fatal(err)
		}
		r.Wants = append(r.Wants, scenario.Want{Field: c.Field, OneOf: []string{c.Value}})
	}
	return r
}

func TestLogsOfACheck(t *testing.T) {
	sent, refused := "eni-1 10.0.0.4 80 ACCEPT OK", "eni-2 10.0.0.4 80 REJECT OK"
	idle := "eni-3 - - - NODATA"
	for _, row := range []struct {
		name      string
		delivered []string
		idle      []string
		logs      []string
		noLogs    []string
		detail    string // "" passes
		near      string // the fields in which each record differs
	}{
		{"it is there", []string{refused, sent}, nil, []string{"interface-id=eni-1 dstport=80"}, nil, "", ""},
		{"each is there", []string{refused, sent}, nil, []string{"action=ACCEPT", "action=REJECT"}, []string{"dstport=81"}, "", ""},
		{"any will do", []string{sent}, nil, []string{""}, nil, "", ""},
		{"nothing is there", nil, []string{idle}, []string{"dstport=80"}, nil,
			"expected a record in flow log web: dstport=80, but nothing of this check is in it", ""},
		{"another is there", []string{sent}, nil, []string{"dstport=80", "dstport=443"}, nil,
			"expected a record in flow log web: dstport=443, but the one that is there differs", "eni-1 dstport"},
		{"others are there, the nearest first", []string{refused, sent}, nil, []string{"interface-id=eni-1 dstport=443 action=ACCEPT"}, nil,
			"expected a record in flow log web: interface-id=eni-1 dstport=443 action=ACCEPT, but the 2 that are there differ",
			"eni-1 dstport, eni-2 interface-id dstport action"},
		{"none must be", []string{sent}, nil, nil, []string{"action=REJECT"}, "", ""},
		{"one must not be", []string{sent, refused}, nil, nil, []string{"action=REJECT"},
			"expected no record in flow log web: action=REJECT, but there is one", "eni-2"},
		{"several must not be", []string{sent, refused}, nil, []string{"action=ACCEPT"}, []string{"dstport=80"},
			"expected no record in flow log web: dstport=80, but there are 2", "eni-1, eni-2"},
		{"an idle interface", []string{sent}, []string{idle}, []string{"interface-id=eni-3 log-status=NODATA"}, nil, "", ""},
		{"no idle interface", []string{sent}, nil, []string{"interface-id=eni-3 log-status=NODATA"}, nil,
			"expected a record in flow log web: interface-id=eni-3 log-status=NODATA, but there is none", ""},
		{"an idle interface that must not be", []string{sent}, []string{idle}, nil, []string{"log-status=NODATA"},
			"expected no record in flow log web: log-status=NODATA, but there is one", "eni-3"},
		{"an idle interface is nothing of this check", []string{sent}, []string{idle}, nil, []string{"interface-id=eni-3"}, "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := &scenario.Check{}
			for _, text := range row.logs {
				c.Logs = append(c.Logs, record(t, text))
			}
			for _, text := range row.noLogs {
				c.NoLogs = append(c.NoLogs, record(t, text))
			}
			r := Result{Check: c, Pass: true, Got: scenario.OK}
			judgeLogs(&r, logsOf(c), map[string]Records{"web": {Conn: rows(t, row.delivered...), Idle: rows(t, row.idle...)}})
			if r.Pass != (row.detail == "") || r.Detail != row.detail || (r.Wrong == nil) != r.Pass {
				t.Fatalf("pass %v: %q, want %q", r.Pass, r.Detail, row.detail)
			}
			if r.Pass {
				return
			}
			var near []string
			for _, n := range r.Wrong.Near {
				eni, _ := n.Row.Value(flowlog.InterfaceID)
				near = append(near, strings.Trim(fmt.Sprint(eni, " ", strings.Trim(fmt.Sprint(n.Differs), "[]")), " "))
			}
			if got := strings.Join(near, ", "); got != row.near {
				t.Errorf("shown are %q, want %q", got, row.near)
			}
		})
	}
}

// The lab is asked once a check, about its very connection and about each flow log once, when its outcome is known.
func TestFlowLogsAreReadOnce(t *testing.T) {
	lab := &twin{logs: map[string]Records{"web": {Conn: rows(t, "eni-1 10.0.0.4 80 ACCEPT OK"), Idle: rows(t, "eni-3 - - - NODATA")},
		"all": {Conn: rows(t, "eni-2 10.0.0.4 80 REJECT OK")}}}
	r := start(t, lab)
	r.Starting = func(netip.Addr) bool { return true }
	both := []scenario.Record{record(t, "action=ACCEPT"), {Log: "all"}, record(t, "dstport=80")}
	port := serve(t, "tcp")
	good := run(t, r, scenario.Check{Do: tcpTo(local4, port), Logs: both})
	want(t, good, true, scenario.OK, "seen as 127.0.0.1")
	if asked := lab.asked[len(lab.asked)-1]; asked.DstPort != port || asked.SrcPort == 0 || !slices.Equal(lab.read, []string{"web,all"}) {
		t.Errorf("asked for %q of %v", lab.read, asked)
	}
	if len(good.Logs) != 2 || good.Logs[0].Log != "web" || good.Logs[1].Row.String() != "eni-2 10.0.0.4 80 REJECT OK" {
		t.Errorf("its records are %v", good.Logs)
	}

	tried := run(t, r, scenario.Check{Do: tcpTo(local4, freePort(t, "tcp")), Logs: both, Wait: 3 * patience})
	want(t, tried, false, scenario.Refused, "expected ok, got refused")
	if len(lab.read) != 2 || len(tried.Logs) != 2 || tried.Wrong != nil {
		t.Errorf("after several tries flow logs were read %d times; %d records, wrong is %v", len(lab.read)-1, len(tried.Logs), tried.Wrong)
	}

	missing := run(t, r, scenario.Check{Do: tcpTo(local4, port), Logs: []scenario.Record{record(t, "dstport=443")}})
	want(t, missing, false, scenario.OK, "expected a record in flow log web: dstport=443")
	nobody := run(t, r, scenario.Check{Do: tcpTo(local4, port), NoLogs: []scenario.Record{record(t, "log-status=NODATA")}})
	want(t, nobody, false, scenario.OK, "expected no record in flow log web: log-status=NODATA, but there is one")
	if len(nobody.Logs) != 2 {
		t.Errorf("its records are %v, want the idle interface's too", nobody.Logs)
	}

	lab.read = nil
	want(t, run(t, r, scenario.Check{Do: tcpTo(local4, port)}), true, scenario.OK, "")
	want(t, run(t, r, scenario.Check{Do: say("nothing"), Logs: both}), false, "", "no connection is held")
	if lab.read != nil {
		t.Errorf("flow logs were read for checks without, or that could not be carried out: %q", lab.read)
	}
}

// deafLab cannot deliver.
type deafLab struct{ twin }

func (*deafLab) Records(context.Context, uint64, flow.Tuple, []string) (map[string]Records, error) {
	return nil, errors.New("deliver web: no space left on device")
}

func TestRecordsThatCannotBeRead(t *testing.T) {
	c := scenario.Check{Do: tcpTo(local4, serve(t, "tcp")), NoLogs: []scenario.Record{record(t, "dstport=80")}, Wait: time.Minute}
	r := run(t, start(t, &deafLab{}), c)
	want(t, r, false, "", "read flow logs: deliver web: no space left on device")
	if r.Err == nil {
		t.Error("that is a failed check, not an error")
	}
}
