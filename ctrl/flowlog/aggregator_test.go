package flowlog_test

import (
	"errors"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// log is a subscription that prints little.
func log(t *testing.T, id, resource string, traffic flowlog.Traffic, interval time.Duration) flowlog.Subscription {
	t.Helper()
	s := everything(t, "interface-id srcaddr dstaddr packets start end action log-status")
	s.ID, s.Resource, s.Traffic, s.Interval = id, resource, traffic, interval
	return s
}

// told are the lines of all windows that are over, behind their subscription's ID.
func (b *bed) told(now int64) (lines []string) {
	for _, w := range b.Close(unix(now)) {
		for s, r := range w.Records() {
			lines = append(lines, s.ID+": "+string(s.Format.Append(nil, r)))
		}
	}
	return lines
}

func named(id string) flowlog.Interface {
	i := instance()
	i.ID = id
	return i
}

// A VPC's log, its subnet's and the interface's each deliver their own copy; the traffic type chooses.
func TestLogsOfAllLevelsDeliver(t *testing.T) {
	b := at(t, 0)
	b.join(1, named("eni-1"), "10.0.0.1")
	other := named("eni-2")
	other.Subnet = "subnet-2"
	b.join(2, other, "10.0.1.1")
	stranger := named("eni-3")
	stranger.VPC, stranger.Subnet = "vpc-3", "subnet-3"
	b.join(3, stranger, "10.0.1.1")
	b.subscribe(log(t, "vpc", vpc, flowlog.All, time.Minute), 0)
	b.subscribe(log(t, "subnet", "subnet-2", flowlog.Accept, time.Minute), 0)
	b.subscribe(log(t, "eni", "eni-2", flowlog.Reject, time.Minute), 0)
	b.Add(
		sample(1, "out", tcp("10.0.0.1", 1, "10.0.1.1", 2), 1, 40, 1, 1),
		sample(2, "in", tcp("10.0.0.1", 1, "10.0.1.1", 2), 1, 40, 2, 2),
		rejected(sample(2, "in", tcp("10.0.0.1", 3, "10.0.1.1", 4), 2, 80, 3, 3)),
		sample(3, "in", tcp("10.0.0.1", 3, "10.0.1.1", 4), 2, 80, 3, 3))
	wants(t, b.told(60),
		"vpc: eni-1 10.0.0.1 10.0.1.1 1 1 1 ACCEPT OK",
		"vpc: eni-2 10.0.0.1 10.0.1.1 1 2 2 ACCEPT OK",
		"subnet: eni-2 10.0.0.1 10.0.1.1 1 2 2 ACCEPT OK",
		"vpc: eni-2 10.0.0.1 10.0.1.1 2 3 3 REJECT OK",
		"eni: eni-2 10.0.0.1 10.0.1.1 2 3 3 REJECT OK")
	if got := b.Strays(); got != (flowlog.Skipped{}) {
		t.Errorf("strays %+v", got)
	}
	b.Add(sample(9, "in", tcp("10.0.0.1", 3, "10.0.1.1", 4), 2, 80, 61, 61))
	if got, want := b.Strays(), (flowlog.Skipped{Flows: 1, Packets: 2, Bytes: 80}); got != want {
		t.Errorf("a sample of nobody's interface: strays %+v, want %+v", got, want)
	}
}

// NODATA means that there was no traffic at all, not that there was none of the type: that is what AWS's page says of it.
func TestNoDataIsNoTraffic(t *testing.T) {
	b := at(t, 0)
	b.join(1, named("eni-1"), "10.0.0.1")
	b.subscribe(log(t, "fl", vpc, flowlog.Reject, time.Minute), 0)
	b.Add(sample(1, "out", tcp("10.0.0.1", 1, "10.0.1.1", 2), 1, 40, 1, 1))
	wants(t, b.told(60))
	wants(t, b.told(180),
		"fl: eni-1 - - - 60 119 - NODATA",
		"fl: eni-1 - - - 120 179 - NODATA")
}

func TestSkipDataIsOfTheTypeWanted(t *testing.T) {
	b := &bed{flowlog.NewAggregator(flowlog.Options{Start: unix(0), Flows: 1}), t}
	b.join(1, named("eni-1"), "10.0.0.1")
	b.subscribe(log(t, "yes", vpc, flowlog.Accept, time.Minute), 0)
	b.subscribe(log(t, "no", vpc, flowlog.Reject, time.Minute), 0)
	keeps := sample(1, "out", tcp("10.0.0.1", 1, "10.0.1.1", 2), 1, 40, 1, 1)
	b.Add(keeps, rejected(sample(1, "out", tcp("10.0.0.1", 1, "10.0.1.1", 3), 1, 40, 1, 1)), keeps)
	wants(t, b.told(60), "yes: eni-1 10.0.0.1 10.0.1.1 2 1 1 ACCEPT OK", "no: eni-1 - - - 0 59 - SKIPDATA")
}

// Interfaces come and go within windows; what is sampled of one that has gone still counts.
func TestInterfacesComeAndGo(t *testing.T) {
	b := at(t, 0)
	b.subscribe(log(t, "fl", vpc, flowlog.All, time.Minute), 0)
	b.SetInterface(1, named("eni-1"), unix(30))
	b.SetInterface(2, named("eni-2"), unix(40))
	wants(t, b.told(60), "fl: eni-1 - - - 30 59 - NODATA", "fl: eni-2 - - - 40 59 - NODATA")
	b.RemoveInterface(1, unix(80))
	b.RemoveInterface(2, unix(80))
	b.Add(sample(1, "in", tcp("10.0.1.1", 1, "10.0.0.1", 2), 1, 40, 79, 79))
	wants(t, b.told(120), "fl: eni-1 10.0.1.1 10.0.0.1 1 79 79 ACCEPT OK", "fl: eni-2 - - - 60 79 - NODATA")
	wants(t, b.told(180))
	b.Add(sample(1, "in", tcp("10.0.1.1", 1, "10.0.0.1", 2), 1, 40, 181, 181))
	if b.Strays().Flows != 1 {
		t.Error("a sample of an interface that went long ago is no stray")
	}
}

// A log that is made within a window wants what comes after it.
func TestLogsComeAndGo(t *testing.T) {
	b := at(t, 0)
	b.join(1, named("eni-1"), "10.0.0.1")
	b.subscribe(log(t, "first", vpc, flowlog.All, time.Minute), 0)
	b.Add(sample(1, "in", tcp("10.0.1.1", 1, "10.0.0.1", 2), 1, 40, 10, 10))
	b.subscribe(log(t, "second", "eni-1", flowlog.All, time.Minute), 20)
	b.Add(sample(1, "in", tcp("10.0.1.1", 3, "10.0.0.1", 4), 1, 40, 30, 30))
	wants(t, b.told(60),
		"first: eni-1 10.0.1.1 10.0.0.1 1 10 10 ACCEPT OK",
		"first: eni-1 10.0.1.1 10.0.0.1 1 30 30 ACCEPT OK",
		"second: eni-1 10.0.1.1 10.0.0.1 1 30 30 ACCEPT OK")
	b.Unsubscribe("first")
	b.Unsubscribe("second")
	b.subscribe(log(t, "long", "eni-1", flowlog.All, 0), 700) // in the second ten minutes
	wants(t, b.told(1200), "long: eni-1 - - - 700 1199 - NODATA")
	b.Unsubscribe("long")
	b.Add(sample(1, "in", tcp("10.0.1.1", 1, "10.0.0.1", 2), 1, 40, 1201, 1201))
	wants(t, b.told(9000))
}

// The end of a lab cuts a window short: it tells of flows, and not that there were none.
func TestEndOfTheLab(t *testing.T) {
	b := at(t, 0)
	b.join(1, named("eni-1"), "10.0.0.1")
	b.join(2, named("eni-2"), "10.0.0.2")
	b.subscribe(log(t, "fl", vpc, flowlog.All, time.Minute), 0)
	b.Add(sample(1, "in", tcp("10.0.1.1", 1, "10.0.0.1", 2), 1, 40, 70, 70))
	var lines []string
	for _, w := range b.Finish(unix(80)) {
		for s, r := range w.Records() {
			lines = append(lines, string(s.Format.Append(nil, r)))
		}
	}
	wants(t, lines,
		"eni-1 - - - 0 59 - NODATA", "eni-2 - - - 0 59 - NODATA",
		"eni-1 10.0.1.1 10.0.0.1 1 70 70 ACCEPT OK")
}

// A flow that lasts is a record in each window, a change of the rules two in one; what is sampled late counts in the window that is open.
func TestWindows(t *testing.T) {
	b := at(t, 0)
	b.join(1, named("eni-1"), "10.0.0.1")
	b.subscribe(log(t, "short", vpc, flowlog.All, time.Minute), 0)
	b.subscribe(log(t, "long", vpc, flowlog.All, 10*time.Minute), 0)
	tuple := tcp("10.0.0.1", 1, "10.0.1.1", 2)
	b.Add(
		sample(1, "out", tuple, 1, 40, 59, 59), sample(1, "out", tuple, 2, 80, 60, 61), // both read at 61
		rejected(sample(1, "out", tuple, 4, 160, 62, 63)))
	wants(t, b.told(61), "short: eni-1 10.0.0.1 10.0.1.1 1 59 59 ACCEPT OK")
	b.Add(sample(1, "out", tuple, 8, 320, 58, 59))
	wants(t, b.told(120),
		"short: eni-1 10.0.0.1 10.0.1.1 10 58 61 ACCEPT OK",
		"short: eni-1 10.0.0.1 10.0.1.1 4 62 63 REJECT OK")
	b.Add(sample(1, "out", tuple, 16, 640, 599, 599))
	lines := b.told(600)
	wants(t, lines[len(lines)-3:],
		"short: eni-1 10.0.0.1 10.0.1.1 16 599 599 ACCEPT OK",
		"long: eni-1 10.0.0.1 10.0.1.1 27 58 599 ACCEPT OK",
		"long: eni-1 10.0.0.1 10.0.1.1 4 62 63 REJECT OK")
}

// Two pings between the same hosts, and an error in between, are one flow: ICMP has no ports in records.
func TestICMPHasNoPorts(t *testing.T) {
	b := at(t, 0)
	b.join(1, named("eni-1"), "10.0.0.1")
	b.subscribe(everything(t, "srcport dstport protocol packets traffic-path tcp-flags"), 0)
	b.Add(
		flags(flow.SYN, path(1, sample(1, "out", tuple(flow.ICMP, "10.0.0.1", 7, "10.0.1.1", 8), 1, 84, 1, 1))),
		path(4, sample(1, "out", tuple(flow.ICMP, "10.0.0.1", 9, "10.0.1.1", 8), 1, 84, 3, 3)),
		path(1, sample(1, "out", tuple(flow.ICMP, "10.0.0.1", 0, "10.0.1.1", 3), 1, 84, 2, 2)))
	wants(t, b.lines(60), "0 0 1 3 4 0")
}

func TestDuplicatesAreRefused(t *testing.T) {
	b := at(t, 0)
	s := log(t, "fl-1", vpc, flowlog.All, 0)
	b.subscribe(s, 0)
	s.ID, s.Interval = "fl-2", 10*time.Minute // which is the default
	var exists *flowlog.ExistsError
	if err := b.Subscribe(&s, unix(0)); !errors.As(err, &exists) || exists.Other != "fl-1" {
		t.Errorf("a second one: %v", err)
	}
	s.Destination.Bucket = "elsewhere"
	b.subscribe(s, 0)
	for _, wrong := range []flowlog.Subscription{{ID: "fl-3", Resource: vpc, Interval: time.Hour}, {ID: "fl-3"}, {Resource: vpc}} {
		if err := b.Subscribe(&wrong, unix(0)); err == nil {
			t.Errorf("%+v was accepted", wrong)
		}
	}
}

func TestTrafficTypes(t *testing.T) {
	for word, want := range map[string]flowlog.Traffic{"all": flowlog.All, "ACCEPT": flowlog.Accept, "Reject": flowlog.Reject} {
		if got, err := flowlog.ParseTraffic(word); got != want || err != nil {
			t.Errorf("%s: %v, %v", word, got, err)
		}
	}
	if _, err := flowlog.ParseTraffic("some"); err == nil {
		t.Error("some is a traffic type")
	}
}
