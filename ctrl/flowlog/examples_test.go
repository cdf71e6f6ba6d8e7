package flowlog_test

import (
	"net/netip"
	"testing"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// The records of this file are those of the VPC user guide's page "Flow log record examples", byte for byte.

func TestExampleAcceptedAndRejected(t *testing.T) {
	b := at(t, 1418530010)
	b.join(1, instance(), "172.31.16.21")
	b.subscribe(everything(t, ""), 1418530010)
	b.Add(sample(1, "in", tcp("172.31.16.139", 20641, "172.31.16.21", 22), 20, 4249, 1418530010, 1418530069))
	wants(t, b.lines(1418530070),
		"2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530069 ACCEPT OK")

	b = at(t, 1418530000)
	b.join(1, instance(), "172.31.9.12")
	b.subscribe(flowlog.Subscription{ID: "fl-1", Resource: eni}, 1418530000) // the default interval is ten minutes
	b.Add(rejected(sample(1, "in", tcp("172.31.9.69", 49761, "172.31.9.12", 3389), 20, 4249, 1418530010, 1418530070)))
	wants(t, b.lines(1418530600),
		"2 123456789010 eni-1235b8ca123456789 172.31.9.69 172.31.9.12 49761 3389 6 20 4249 1418530010 1418530070 REJECT OK")
}

func TestExampleNoData(t *testing.T) {
	b := at(t, 1431280875)
	b.subscribe(everything(t, ""), 1431280876)
	b.join(1, instance(), "172.31.9.12")
	wants(t, b.lines(1431280935), "2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - NODATA")
}

func TestExampleSkipData(t *testing.T) {
	b := &bed{flowlog.NewAggregator(flowlog.Options{Start: unix(1431280875), Flows: 1}), t}
	b.subscribe(everything(t, ""), 1431280876)
	b.join(1, instance(), "172.31.9.12")
	skipped := instance()
	skipped.ID = "eni-11111111aaaaaaaaa"
	b.join(2, skipped, "172.31.9.13")
	b.Add(sample(1, "in", tcp("172.31.9.69", 1, "172.31.9.12", 2), 1, 40, 1431280880, 1431280880))
	b.Add(
		sample(2, "in", tcp("172.31.9.69", 1, "172.31.9.13", 2), 3, 120, 1431280880, 1431280890),
		sample(2, "in", tcp("172.31.9.69", 3, "172.31.9.13", 2), 4, 160, 1431280880, 1431280890))
	windows := b.Close(unix(1431280935))
	if got, want := windows[0].Skipped(), (flowlog.Skipped{Flows: 2, Packets: 7, Bytes: 280}); got != want {
		t.Errorf("skipped %+v, want %+v", got, want)
	}
	var lines []string
	for s, r := range windows[0].Records() {
		lines = append(lines, string(s.Format.Append(nil, r)))
	}
	wants(t, lines,
		"2 123456789010 eni-1235b8ca123456789 172.31.9.69 172.31.9.12 1 2 6 1 40 1431280880 1431280880 ACCEPT OK",
		"2 123456789010 eni-11111111aaaaaaaaa - - - - - - - 1431280876 1431280934 - SKIPDATA")
}

func TestExamplePing(t *testing.T) {
	const (
		host, here = "203.0.113.12", "172.31.16.139"
		request    = "2 123456789010 eni-1235b8ca123456789 203.0.113.12 172.31.16.139 0 0 1 4 336 1432917027 1432917142 "
		reply      = "2 123456789010 eni-1235b8ca123456789 172.31.16.139 203.0.113.12 0 0 1 4 336 1432917094 1432917142 "
	)
	in := sample(1, "in", ping(host, here, 8), 4, 336, 1432917027, 1432917142)
	out := sample(1, "out", ping(here, host, 0), 4, 336, 1432917094, 1432917142)
	for _, row := range []struct {
		name    string
		samples []flowlog.Sample
		want    []string
	}{
		{"the ACL allows both ways", []flowlog.Sample{in, out}, []string{request + "ACCEPT OK", reply + "ACCEPT OK"}},
		{"the ACL denies the way out", []flowlog.Sample{in, rejected(out)}, []string{request + "ACCEPT OK", reply + "REJECT OK"}},
		{"the group denies the way in", []flowlog.Sample{rejected(in)}, []string{request + "REJECT OK"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := at(t, 1432917000)
			b.join(1, instance(), here)
			b.subscribe(flowlog.Subscription{ID: "fl-1", Resource: vpc, Interval: flowlog.LongInterval}, 1432917000)
			b.Add(row.samples...)
			wants(t, b.lines(1432917600), row.want...)
		})
	}
}

func TestExampleIPv6(t *testing.T) {
	b := at(t, 1477913700)
	b.join(1, instance(), "172.31.16.21", "2001:db8:1234:a102:3304:8879:34cf:4071")
	b.subscribe(flowlog.Subscription{ID: "fl-1", Resource: vpc}, 1477913700)
	b.Add(sample(1, "in", tcp("2001:db8:1234:a100:8d6e:3477:df66:f105", 34892, "2001:db8:1234:a102:3304:8879:34cf:4071", 22),
		54, 8855, 1477913708, 1477913820))
	wants(t, b.lines(1477914300), "2 123456789010 eni-1235b8ca123456789 2001:db8:1234:a100:8d6e:3477:df66:f105 "+
		"2001:db8:1234:a102:3304:8879:34cf:4071 34892 22 6 54 8855 1477913708 1477913820 ACCEPT OK")
}

// The page's format of TCP flag sequences; the server is 10.0.0.62:5001.
func TestExampleTCPFlags(t *testing.T) {
	const (
		format = "version vpc-id subnet-id instance-id interface-id account-id type srcaddr dstaddr srcport dstport pkt-srcaddr pkt-dstaddr " +
			"protocol bytes packets start end action tcp-flags log-status"
		head   = "3 vpc-abcdefab012345678 subnet-aaaaaaaa012345678 i-01234567890123456 eni-1235b8ca123456789 123456789010 IPv4 "
		synACK = flow.SYN | flow.ACK
	)
	b := at(t, 1566848865)
	b.join(1, instance(), "10.0.0.62")
	b.subscribe(everything(t, format), 1566848865)
	ask, answer := tcp("52.213.180.42", 43416, "10.0.0.62", 5001), tcp("10.0.0.62", 5001, "52.213.180.42", 43416)

	// The connection opens in the first interval, carries data in the second and closes in the third.
	b.Add(
		flags(flow.SYN, sample(1, "in", ask, 1, 60, 1566848875, 1566848875)),
		flags(0, sample(1, "in", ask, 7, 508, 1566848876, 1566848924)),
		flags(synACK, sample(1, "out", answer, 1, 60, 1566848876, 1566848876)),
		flags(0, sample(1, "out", answer, 6, 328, 1566848876, 1566848924)))
	wants(t, b.lines(1566848925),
		head+"52.213.180.42 10.0.0.62 43416 5001 52.213.180.42 10.0.0.62 6 568 8 1566848875 1566848924 ACCEPT 2 OK",
		head+"10.0.0.62 52.213.180.42 5001 43416 10.0.0.62 52.213.180.42 6 388 7 1566848876 1566848924 ACCEPT 18 OK")
	const pshACKECE = 0x08 | flow.ACK | 0x40 // what a sampler that tells of every ACK would say
	b.Add(flags(pshACKECE, sample(1, "in", ask, 2, 104, 1566848930, 1566848931)))
	wants(t, b.lines(1566848985), head+"52.213.180.42 10.0.0.62 43416 5001 52.213.180.42 10.0.0.62 6 104 2 1566848930 1566848931 ACCEPT 0 OK")
	b.Add(
		flags(flow.FIN, sample(1, "in", ask, 15, 4000, 1566848985, 1566848986)),
		flags(flow.FIN, sample(1, "out", answer, 13, 3000, 1566848985, 1566848986)))
	wants(t, b.lines(1566849045),
		head+"10.0.0.62 52.213.180.42 5001 43416 10.0.0.62 52.213.180.42 6 3000 13 1566848985 1566848986 ACCEPT 1 OK",
		head+"52.213.180.42 10.0.0.62 43416 5001 52.213.180.42 10.0.0.62 6 4000 15 1566848985 1566848986 ACCEPT 1 OK")

	// One that opens and closes within an interval, and one that is refused.
	ask2, answer2 := tcp("52.213.180.42", 43638, "10.0.0.62", 5001), tcp("10.0.0.62", 5001, "52.213.180.42", 43638)
	refused, refusal := tcp("52.213.180.42", 43700, "10.0.0.62", 81), tcp("10.0.0.62", 81, "52.213.180.42", 43700)
	b.Add(
		flags(flow.SYN|flow.FIN, sample(1, "in", ask2, 11, 3403, 1566849050, 1566849053)),
		flags(synACK|flow.FIN, sample(1, "out", answer2, 9, 1784, 1566849051, 1566849053)),
		flags(flow.SYN|0x40|0x80, sample(1, "in", refused, 1, 60, 1566849060, 1566849060)), // with ECE and CWR
		flags(flow.RST|flow.ACK, sample(1, "out", refusal, 1, 40, 1566849061, 1566849061)))
	wants(t, b.lines(1566849105),
		head+"52.213.180.42 10.0.0.62 43638 5001 52.213.180.42 10.0.0.62 6 3403 11 1566849050 1566849053 ACCEPT 3 OK",
		head+"10.0.0.62 52.213.180.42 5001 43638 10.0.0.62 52.213.180.42 6 1784 9 1566849051 1566849053 ACCEPT 19 OK",
		head+"52.213.180.42 10.0.0.62 43700 81 52.213.180.42 10.0.0.62 6 60 1 1566849060 1566849060 ACCEPT 2 OK",
		head+"10.0.0.62 52.213.180.42 81 43700 10.0.0.62 52.213.180.42 6 40 1 1566849061 1566849061 ACCEPT 4 OK")
}

func TestExampleNATGateway(t *testing.T) {
	b := at(t, 0)
	gateway := instance()
	gateway.ID, gateway.Managed = "eni-1235b8ca123456789", true
	b.join(1, gateway, "10.0.0.220")
	client := instance()
	client.ID = "eni-22222222aaaaaaaaa"
	b.join(2, client, "10.0.1.5")
	b.subscribe(everything(t, "instance-id interface-id srcaddr dstaddr pkt-srcaddr pkt-dstaddr"), 0)
	b.Add(
		sample(1, "in", tcp("10.0.1.5", 40000, "203.0.113.5", 443), 1, 60, 1, 1),
		sample(1, "out", tcp("10.0.0.220", 1024, "203.0.113.5", 443), 1, 60, 2, 2),
		sample(1, "in", tcp("203.0.113.5", 443, "10.0.0.220", 1024), 1, 60, 3, 3),
		sample(1, "out", tcp("203.0.113.5", 443, "10.0.1.5", 40000), 1, 60, 4, 4),
		sample(2, "out", tcp("10.0.1.5", 40000, "203.0.113.5", 443), 1, 60, 1, 1),
		sample(2, "in", tcp("203.0.113.5", 443, "10.0.1.5", 40000), 1, 60, 4, 4))
	wants(t, b.lines(60),
		"- eni-1235b8ca123456789 10.0.1.5 10.0.0.220 10.0.1.5 203.0.113.5",
		"- eni-1235b8ca123456789 10.0.0.220 203.0.113.5 10.0.0.220 203.0.113.5",
		"- eni-1235b8ca123456789 203.0.113.5 10.0.0.220 203.0.113.5 10.0.0.220",
		"- eni-1235b8ca123456789 10.0.0.220 10.0.1.5 203.0.113.5 10.0.1.5",
		"i-01234567890123456 eni-22222222aaaaaaaaa 10.0.1.5 203.0.113.5 10.0.1.5 203.0.113.5",
		"i-01234567890123456 eni-22222222aaaaaaaaa 203.0.113.5 10.0.1.5 203.0.113.5 10.0.1.5")
}

func TestExampleRegionalNATGateway(t *testing.T) {
	b := at(t, 0)
	b.join(1, flowlog.Interface{Account: account, VPC: vpc, Resource: "nat-1234567890abcdef", Managed: true})
	b.subscribe(everything(t, "resource-id instance-id interface-id subnet-id srcaddr dstaddr pkt-srcaddr pkt-dstaddr"), 0)
	b.Add(
		sample(1, "in", tcp("10.0.1.5", 40000, "203.0.113.5", 443), 1, 60, 1, 1),
		sample(1, "out", tcp("107.22.182.139", 1024, "203.0.113.5", 443), 1, 60, 2, 2))
	wants(t, b.lines(60),
		"nat-1234567890abcdef - - - 10.0.1.5 203.0.113.5 10.0.1.5 203.0.113.5",
		"nat-1234567890abcdef - - - 107.22.182.139 203.0.113.5 107.22.182.139 203.0.113.5")
}

// A transit gateway's interface forwards what is not its own, in both directions.
func TestExampleTransitGateway(t *testing.T) {
	b := at(t, 0)
	arrives, replies := instance(), instance()
	arrives.ID, replies.ID = "eni-33333333333333333", "eni-22222222222222222"
	arrives.Managed, replies.Managed = true, true
	b.join(1, arrives, "10.40.1.175")
	b.join(2, replies, "10.40.2.31")
	b.subscribe(everything(t, "interface-id instance-id srcaddr dstaddr pkt-srcaddr pkt-dstaddr"), 0)
	b.Add(
		sample(1, "out", tcp("10.20.33.164", 39812, "10.40.2.236", 80), 1, 60, 1, 1),
		sample(2, "in", tcp("10.40.2.236", 80, "10.20.33.164", 39812), 1, 60, 1, 1))
	wants(t, b.lines(60),
		"eni-33333333333333333 - 10.40.1.175 10.40.2.236 10.20.33.164 10.40.2.236",
		"eni-22222222222222222 - 10.40.2.236 10.40.2.31 10.40.2.236 10.20.33.164")
}

func TestExampleServiceAndPath(t *testing.T) {
	b := &bed{flowlog.NewAggregator(flowlog.Options{Start: unix(1616729280), Services: flowlog.NewServices([]flowlog.ServicePrefix{
		{netip.MustParsePrefix("52.95.128.0/21"), "S3"},
		{netip.MustParsePrefix("52.95.128.0/21"), "AMAZON"},
		{netip.MustParsePrefix("52.0.0.0/8"), "EC2"},
		{netip.MustParsePrefix("10.0.0.0/8"), "EC2"}, // private addresses are nobody's
	})}), t}
	b.join(1, instance(), "10.0.0.71")
	b.subscribe(everything(t, "version srcaddr dstaddr srcport dstport protocol start end type packets bytes account-id vpc-id subnet-id "+
		"instance-id interface-id region az-id sublocation-type sublocation-id action tcp-flags pkt-srcaddr pkt-dstaddr pkt-src-aws-service "+
		"pkt-dst-aws-service traffic-path flow-direction log-status"), 1616729280)
	b.Add(
		path(8, flags(flow.SYN|flow.ACK|flow.FIN,
			sample(1, "in", tcp("52.95.128.179", 80, "10.0.0.71", 34210), 14, 15044, 1616729292, 1616729339))),
		path(8, flags(flow.SYN|flow.FIN, sample(1, "out", tcp("10.0.0.71", 34210, "52.95.128.179", 80), 7, 471, 1616729292, 1616729339))))
	const where = "123456789010 vpc-abcdefab012345678 subnet-aaaaaaaa012345678 i-01234567890123456 " +
		"eni-1235b8ca123456789 ap-southeast-2 apse2-az3 - - "
	wants(t, b.lines(1616729340),
		"5 10.0.0.71 52.95.128.179 34210 80 6 1616729292 1616729339 IPv4 7 471 "+where+"ACCEPT 3 10.0.0.71 52.95.128.179 - S3 8 egress OK",
		"5 52.95.128.179 10.0.0.71 80 34210 6 1616729292 1616729339 IPv4 14 15044 "+where+"ACCEPT 19 52.95.128.179 10.0.0.71 S3 - - ingress OK")
}

// The limits page: what is sent to a secondary address shows the primary one in dstaddr.
func TestSecondaryAddress(t *testing.T) {
	b := at(t, 0)
	b.join(1, instance(), "10.0.0.10", "10.0.0.99", "2001:db8::10", "2001:db8::99")
	b.subscribe(everything(t, "flow-direction srcaddr dstaddr pkt-srcaddr pkt-dstaddr"), 0)
	b.Add(
		sample(1, "in", tcp("10.0.0.11", 40000, "10.0.0.99", 80), 1, 60, 1, 1),
		sample(1, "out", tcp("10.0.0.99", 80, "10.0.0.11", 40000), 1, 60, 2, 2),
		sample(1, "in", tcp("2001:db8::11", 40000, "2001:db8::99", 80), 1, 60, 3, 3),
		sample(1, "out", tcp("2001:db8:ffff::1", 80, "2001:db8::11", 40000), 1, 60, 4, 4), // an appliance forwards
		sample(1, "out", tcp("203.0.113.5", 80, "10.0.0.11", 40000), 1, 60, 5, 5))
	wants(t, b.lines(60),
		"ingress 10.0.0.11 10.0.0.10 10.0.0.11 10.0.0.99",
		"egress 10.0.0.99 10.0.0.11 10.0.0.99 10.0.0.11",
		"ingress 2001:db8::11 2001:db8::99 2001:db8::11 2001:db8::99",
		"egress 2001:db8::10 2001:db8::11 2001:db8:ffff::1 2001:db8::11",
		"egress 10.0.0.10 10.0.0.11 203.0.113.5 10.0.0.11")
}
