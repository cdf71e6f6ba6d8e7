package scenario

import (
	"errors"
	"os"
	"testing"

	"github.com/vpclab/vpclab/ctrl/flowlog"
)

// FuzzParse reads anything. A file is either wrong, and then each mistake has a place in it, or right, and then the schema agrees.
func FuzzParse(f *testing.F) {
	for _, folder := range []string{"valid", "wrong"} {
		for _, file := range files(f, folder) {
			src, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(src)
		}
	}
	f.Add([]byte(lab))
	f.Add([]byte(gatewayLab))
	f.Add([]byte(serviceLab))
	f.Fuzz(func(t *testing.T, src []byte) {
		s, err := Parse("fuzz.yaml", src)
		if err == nil {
			if s.Model == nil {
				t.Fatal("no error and no model")
			}
			if err := schemaError(t, src); err != nil {
				t.Fatalf("the parser accepts what the schema refuses: %v", err)
			}
			return
		}
		var errs Errors
		if !errors.As(err, &errs) || len(errs) == 0 {
			t.Fatalf("error is %T: %v", err, err)
		}
		for _, e := range errs {
			if e.Line < 1 || e.Col < 1 || e.What == "" || e.File != "fuzz.yaml" {
				t.Fatalf("error without a place or a text: %+v", e)
			}
		}
	})
}

// FuzzRule reads anything as a rule, as an ACL's entry, and as the values of links and flow logs. What is accepted matches the schema's
// pattern, and reads the same when it is read again.
func FuzzRule(f *testing.F) {
	for _, seed := range []string{
		"tcp 80 from 0.0.0.0/0", "100 allow tcp 1024-65535 from 10.0.0.0/8", "icmp 8/0 from sg.web", "all from data/sg.db", "udp 53 from pl.corp",
		"6 22 from ::/0", "tcp 80-20 from 10.0.0.5", "tcp 80 from 123456789012/sg.db", "tcp 80 from 1/sg-0a",
		"0.1%", "100Mbit", "1.5kbit", "60ms",
		"s3://logs/prefix", "s3://lo", "s3://logs/a/../AWSLogs", "cloudwatch:/vpc/web", "file:out/x.log", "arn:aws:s3:::logs", "file:é", "file",
		"${version} ${srcaddr}", "${srcaddr} dstaddr", " ${pksrcaddr}é ${", "vpc.app", "data/subnet.web", "eni.web.eth1", "app/eni.web.eth", "nat.",
		"6", "-", "65536", "99999999999999999999",
		"dns db.corp.internal AAAA", "dns 2001:db8::1", "s3 put logs/a 'b c' in eu-west-1", "s3 list logs by app/endpoint.s3", "s3 get logs/é by endpoint.",
		`dynamodb put orders {"id": 1} in us-west-2`, "dynamodb get orders 1 \"2", "http https://db.example.com:8443/", "data/endpoint.sqs.web", "endpoint.",
		"corp.internal", "_sip._tcp", "*.any", "@", "10 mail.corp", "1 2 3 sip.corp.", "id N", "logs.a--b", "data/shop", "com.amazonaws.us-east-1.s3",
		"endpoint.sqs/sg-in", "http://127.0.0.1:9000",
		"send udp 53 to db size 100 fragments 48-108,0-48", "send icmp 8 to db size 99 fragments 16", " icmpv6\t128/0 from 2001:db8::/32 ", "tcp 80 to x", "", "é",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if rule, fault := parseRule(s, ingress); fault != nil {
			checkFault(t, s, fault)
		} else {
			if !groupIngress.matches(s) {
				t.Fatalf("%q is a rule, but the schema refuses it", s)
			}
			if again, _ := parseRule(rule.Text, ingress); again != rule {
				t.Fatalf("%q reads as %+v and then as %+v", s, rule, again)
			}
		}
		if entry, fault := parseEntry(s, egress); fault != nil {
			checkFault(t, s, fault)
		} else if !aclEgress.matches(s) || entry.Number < 1 || entry.Number > 32766 || !entry.CIDR.IsValid() {
			t.Fatalf("%q is an entry %+v, but should not be", s, entry)
		}
		fields := []text{fieldValue(flowlog.SrcPort), fieldValue(flowlog.Protocol), fieldValue(flowlog.Bytes)}
		fields = append(fields, linkDelay, linkLoss, linkRate, watched, destination, logFormat, serviceForms, endpointRef, bucketName, keyText,
			backendURL, zoneName, recordName, targetName, numbered("x", 1), numbered("x", 3), wholeZone)
		for _, value := range fields {
			if fault := value.parse(s); fault != nil {
				checkFault(t, s, fault)
			} else if !value.matches(s) {
				t.Fatalf("%q is %s, but the schema refuses it", s, value.want)
			}
		}
		if _, fault := parseDo(s, nil, Node{}); fault != nil {
			checkFault(t, s, fault)
		} else if !doText.matches(s) {
			t.Fatalf("%q can be done, but the schema refuses it", s)
		}
	})
}

// serviceForms is serviceText with the schema's pattern for any service: which there are is not for its form to say.
var serviceForms = text{want: "a service", parse: serviceText.parse, pattern: `^([A-Za-z0-9][A-Za-z0-9.-]*|` + reName + `/` + reName + `)$`}

// checkFault checks that a fault lies inside the text and says something.
func checkFault(t *testing.T, s string, f *fault) {
	t.Helper()
	if f.what == "" || f.at < 0 || f.at > len([]rune(s)) {
		t.Fatalf("%q: fault %+v", s, f)
	}
}
