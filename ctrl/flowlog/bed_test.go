package flowlog_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/dataplane/fabric"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// bed is an aggregator with interfaces that are called by their number, and the lines that came out of it.
type bed struct {
	*flowlog.Aggregator
	t *testing.T
}

const (
	account = "123456789010"
	eni     = "eni-1235b8ca123456789"
	vpc     = "vpc-abcdefab012345678"
)

// unix is a second as the documentation's records have it.
func unix(s int64) time.Time { return time.Unix(s, 0).UTC() }

// at makes a bed whose lab starts at a Unix second.
func at(t *testing.T, start int64) *bed {
	t.Helper()
	return &bed{flowlog.NewAggregator(flowlog.Options{Start: unix(start)}), t}
}

// join adds an interface with its addresses, the first one its primary one.
func (b *bed) join(index uint32, i flowlog.Interface, addrs ...string) {
	for _, a := range addrs {
		i.Addrs = append(i.Addrs, netip.MustParseAddr(a))
	}
	if len(i.Addrs) > 0 && i.Addrs[0].Is4() {
		i.Primary = i.Addrs[0]
	}
	b.SetInterface(index, i, time.Time{})
}

// instance is the documentation's interface.
func instance() flowlog.Interface {
	return flowlog.Interface{ID: eni, Account: account, VPC: vpc, Subnet: "subnet-aaaaaaaa012345678", Instance: "i-01234567890123456",
		AZ: "apse2-az3", Region: "ap-southeast-2"}
}

func (b *bed) subscribe(s flowlog.Subscription, now int64) {
	b.t.Helper()
	if err := b.Subscribe(&s, unix(now)); err != nil {
		b.t.Fatal(err)
	}
}

// everything subscribes to all traffic of the VPC every minute in a format, the default one if it is empty.
func everything(t *testing.T, format string) flowlog.Subscription {
	t.Helper()
	s := flowlog.Subscription{ID: "fl-1234abcd", Account: account, Region: "us-east-1", Resource: vpc, Interval: time.Minute}
	if format != "" {
		f, err := flowlog.ParseFormat("${" + strings.ReplaceAll(format, " ", "} ${") + "}")
		if err != nil {
			t.Fatal(err)
		}
		s.Format = f
	}
	return s
}

// lines are those of all windows that are over at a Unix second, each behind its subscription's ID if there are several.
func (b *bed) lines(now int64) (lines []string) {
	for _, w := range b.Close(unix(now)) {
		for s, r := range w.Records() {
			lines = append(lines, string(s.Format.Append(nil, r)))
		}
	}
	return lines
}

// wants compares lines.
func wants(t *testing.T, got []string, want ...string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}

// sample is what an interface saw: "in" or "out" of it.
func sample(index uint32, way string, tuple flow.Tuple, packets, bytes uint64, first, last int64) flowlog.Sample {
	s := flowlog.Sample{Interface: index, Direction: fabric.Egress, Tuple: tuple, Accept: true,
		Packets: packets, Bytes: bytes, First: unix(first), Last: unix(last)}
	if way == "in" {
		s.Direction = fabric.Ingress
	}
	return s
}

func rejected(s flowlog.Sample) flowlog.Sample { s.Accept = false; return s }

func flags(f uint8, s flowlog.Sample) flowlog.Sample { s.Flags = f; return s }

func path(p uint8, s flowlog.Sample) flowlog.Sample { s.TrafficPath = p; return s }

func tuple(protocol uint8, src string, srcPort uint16, dst string, dstPort uint16) flow.Tuple {
	return flow.MakeTuple(protocol, netip.MustParseAddr(src), srcPort, netip.MustParseAddr(dst), dstPort)
}

func tcp(src string, srcPort uint16, dst string, dstPort uint16) flow.Tuple {
	return tuple(flow.TCP, src, srcPort, dst, dstPort)
}

// ping is an echo request (type 8) or reply (type 0) of some identifier.
func ping(src, dst string, icmpType uint16) flow.Tuple {
	return tuple(flow.ICMP, src, 4711, dst, icmpType)
}
