package check

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/vpclab/vpclab/ctrl/scenario"
	"github.com/vpclab/vpclab/dataplane/flow"
)

func asking(name, kind string) scenario.Do {
	return scenario.Do{Verb: scenario.DNS, DNS: scenario.Query{Name: name, Type: kind}}
}

func TestDNS(t *testing.T) {
	lab := newTown(t)
	lab.resolve(t, zone(t, "www.corp. CNAME db.corp.", "db.corp. A 10.0.1.5", "db.corp. A 10.0.1.6", "db.corp. AAAA 2001:db8::5",
		`text.corp. TXT "Hello " "World"`, "corp. MX 10 Mail.corp.", "_x._tcp.corp. SRV 0 5 5060 sip.corp."))
	r := start(t, lab)
	rows := []struct {
		name, kind string
		answers    []string
		pass       bool
		got        scenario.Outcome
		detail     string
	}{
		{"db.corp", "A", []string{"10.0.1.6", "10.0.1.5"}, true, scenario.OK, "10.0.1.5, 10.0.1.6"},
		{"db.corp", "A", nil, true, scenario.OK, "10.0.1.5, 10.0.1.6"},
		{"db.corp", "A", []string{"10.0.1.5"}, false, scenario.OK, "expected answers 10.0.1.5, got 10.0.1.5, 10.0.1.6"},
		{"db.corp", "A", []string{}, false, scenario.OK, "expected answers none, got 10.0.1.5, 10.0.1.6"},
		{"db.corp", "AAAA", []string{"2001:DB8:0:0::5"}, true, scenario.OK, "2001:db8::5"},
		{"db.corp", "TXT", []string{}, true, scenario.OK, "db.corp has no record of type TXT"},
		{"db.corp", "TXT", []string{"x"}, false, scenario.OK, "expected answers x, got none"},
		{"www.corp", "A", []string{"10.0.1.5", "10.0.1.6"}, true, scenario.OK, ""},
		{"www.corp", "CNAME", []string{"DB.corp."}, true, scenario.OK, "db.corp"},
		{"text.corp", "TXT", []string{"Hello World"}, true, scenario.OK, ""},
		{"text.corp", "TXT", []string{"hello world"}, false, scenario.OK, "expected answers hello world, got Hello World"},
		{"corp", "MX", []string{"10 mail.corp"}, true, scenario.OK, ""},
		{"_x._tcp.corp", "SRV", []string{"0 5 5060 sip.corp"}, true, scenario.OK, ""},
		{"gone.corp", "A", nil, false, scenario.NXDomain, "expected ok, got nxdomain: there is no name gone.corp"},
	}
	for _, row := range rows {
		t.Run(row.kind+" of "+row.name, func(t *testing.T) {
			want(t, run(t, r, scenario.Check{Do: asking(row.name, row.kind), Expect: scenario.Expect{Answers: row.answers}}), row.pass, row.got, row.detail)
		})
	}
	want(t, run(t, r, scenario.Check{Do: asking("gone.corp", "A"), Expect: scenario.Expect{Outcome: scenario.NXDomain}}), true, scenario.NXDomain, "")
	want(t, run(t, r, scenario.Check{Do: asking("db.corp", "QUX")}), false, "", `there is no record type "QUX"`)
}

func TestResolversOtherAnswers(t *testing.T) {
	for _, row := range []struct {
		name   string
		answer dns.HandlerFunc
		pass   bool
		expect scenario.Outcome
		got    scenario.Outcome
		detail string
	}{
		{"REFUSED is refused", code(dns.RcodeRefused), true, scenario.Refused, scenario.Refused, "the resolver answers REFUSED for a.corp"},
		{"SERVFAIL is nothing that a file can expect", code(dns.RcodeServerFailure), false, scenario.OK, Failed, "the resolver answers SERVFAIL for a.corp"},
		{"a truncated answer is asked for again by TCP", truncated, true, scenario.OK, scenario.OK, "10.0.0.1"},
		{"a connection that ends without an answer", onlyTruncated, false, scenario.OK, Failed, "it closed the connection without an answer"},
		{"an answer to another question is none", stranger, true, scenario.Timeout, scenario.Timeout,
			"resolver 127.0.0.53 asked for a.corp: no answer within 200ms"},
		{"an answer to the second question", later(code(dns.RcodeSuccess)), true, scenario.OK, scenario.OK, "a.corp has no record of type A"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			lab := newTown(t)
			lab.resolve(t, row.answer)
			c := scenario.Check{Do: asking("a.corp", "A"), Expect: scenario.Expect{Outcome: row.expect}}
			if row.expect == scenario.Timeout {
				c.Wait = 200 * time.Millisecond
			}
			want(t, run(t, start(t, lab), c), row.pass, row.got, row.detail)
		})
	}
}

func code(n int) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) { w.WriteMsg(new(dns.Msg).SetRcode(q, n)) }
}

func byUDP(w dns.ResponseWriter) bool { return w.LocalAddr().Network() == "udp" }

func truncated(w dns.ResponseWriter, q *dns.Msg) {
	answer := new(dns.Msg).SetReply(q)
	answer.Truncated = byUDP(w)
	if !answer.Truncated {
		answer.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(10, 0, 0, 1)}}
	}
	w.WriteMsg(answer)
}

func onlyTruncated(w dns.ResponseWriter, q *dns.Msg) {
	if byUDP(w) {
		truncated(w, q)
		return
	}
	w.Close()
}

func stranger(w dns.ResponseWriter, q *dns.Msg) {
	answer := new(dns.Msg).SetReply(q)
	answer.Id++
	w.WriteMsg(answer)
}

// later answers from the second question on.
func later(answer dns.HandlerFunc) dns.HandlerFunc {
	asked := 0
	return func(w dns.ResponseWriter, q *dns.Msg) {
		if asked++; asked > 1 {
			answer(w, q)
		}
	}
}

func TestNamesAsHost(t *testing.T) {
	lab := newTown(t)
	lab.resolve(t, zone(t, "alias.corp. CNAME web.corp.", "web.corp. A 127.0.0.43", "six.corp. AAAA ::1"))
	r := start(t, lab)
	lab.serveLines(t, "http", 80)
	lab.serveLines(t, "udp", 9000)
	to := func(verb scenario.Verb, name string, port uint16) scenario.Do {
		do := scenario.Do{Verb: verb, Name: name, Port: port}
		if verb == scenario.HTTP {
			do.URL = fmt.Sprintf("http://%s:%d/", name, port)
		}
		return do
	}
	for _, row := range []struct {
		do     scenario.Do
		pass   bool
		got    scenario.Outcome
		detail string
	}{
		{to(scenario.TCP, "web.corp", 80), true, scenario.OK, "seen as 127.0.0.1:"},
		{to(scenario.TCP, "alias.corp", 80), true, scenario.OK, "seen as 127.0.0.1:"},
		{to(scenario.TCP, "six.corp", 80), true, scenario.OK, "seen as [::1]:"},
		{to(scenario.UDP, "web.corp", 9000), true, scenario.OK, "seen as 127.0.0.1:"},
		{to(scenario.HTTP, "web.corp", 80), true, scenario.OK, "status 200"},
		{to(scenario.Ping, "web.corp", 0), true, scenario.OK, "echo reply"},
		{to(scenario.Ping6, "six.corp", 0), true, scenario.OK, "echo reply"},
		{to(scenario.Ping, "six.corp", 0), false, Failed, "six.corp exists, but has no A record"},
		{to(scenario.Ping6, "web.corp", 0), false, Failed, "web.corp exists, but has no AAAA record"},
		{to(scenario.TCP, "gone.corp", 80), false, scenario.NXDomain, "there is no name gone.corp"},
		{to(scenario.HTTP, "gone.corp", 80), false, scenario.NXDomain, "there is no name gone.corp"},
		{to(scenario.TCP, "web.corp", 81), false, scenario.Refused, "RST in answer to the SYN"},
	} {
		t.Run(fmt.Sprintf("%s %s %d", row.do.Verb, row.do.Name, row.do.Port), func(t *testing.T) {
			want(t, run(t, r, scenario.Check{Do: row.do}), row.pass, row.got, row.detail)
		})
	}
}

func TestWithoutAResolverNothingIsLookedUp(t *testing.T) {
	lab := &twin{}
	want(t, run(t, start(t, lab), scenario.Check{Do: asking("a.corp", "A")}), false, "", "resolve a.corp: app/web has no resolver")
}

// Who refuses is then the resolver, not a program that does not listen yet.
func TestAResolversRefusalIsNotTriedAgain(t *testing.T) {
	lab := newTown(t)
	lab.resolve(t, code(dns.RcodeRefused))
	r := start(t, lab)
	r.Starting = func(netip.Addr) bool { return true }
	for _, do := range []scenario.Do{asking("a.corp", "A"), {Verb: scenario.TCP, Name: "a.corp", Port: 80}} {
		result := run(t, r, scenario.Check{Do: do})
		want(t, result, false, scenario.Refused, "expected ok, got refused: the resolver answers REFUSED for a.corp")
		if result.MS > 2000 {
			t.Errorf("%s was tried for %v ms", do.Verb, result.MS)
		}
	}
}

// A query that is dropped ends the check as early as any other packet would.
func TestADroppedQueryIsTheReason(t *testing.T) {
	lab := newTown(t)
	lab.resolve(t, func(dns.ResponseWriter, *dns.Msg) {})
	lab.dropTo(53, droppedBySG)
	for _, do := range []scenario.Do{asking("db.corp", "A"), {Verb: scenario.TCP, Name: "db.corp", Port: 80}} {
		result := run(t, start(t, lab), scenario.Check{Do: do, Expect: scenario.Expect{Outcome: scenario.Timeout}, Because: "ENI_SG_RULES_MISMATCH"})
		want(t, result, true, scenario.Timeout, "resolver 127.0.0.53 asked for db.corp: dropped at web/sg-in for ENI_SG_RULES_MISMATCH")
		if result.MS > 3000 {
			t.Errorf("%s took %v ms, want about 500", do.Verb, result.MS)
		}
	}
}

// What is dropped of a connection that has served its purpose does not end the next one, but is told of.
func TestOnlyTheConnectionThatIsWaitedForEndsACheck(t *testing.T) {
	lab := &twin{}
	now := time.Unix(0, 0)
	r := &Runner{lab: lab, now: func() time.Time { return now }}
	p := newProbe(t.Context(), r, &scenario.Check{})
	wait := func(d time.Duration) error {
		now = now.Add(d)
		return p.poll()
	}
	p.begin(flow.MakeTuple(flow.TCP, guest4, 40000, metadataAt, 80))
	lab.dropTo(80, droppedBySG)
	if err := wait(quiet - tick); err != nil {
		t.Fatal(err)
	}
	p.begin(flow.MakeTuple(flow.TCP, guest4, 40001, peer4, 443))
	if err := wait(2 * quiet); err != nil {
		t.Errorf("a drop of the earlier connection ended it: %v", err)
	}
	lab.dropTo(443, Drop{Reason: flow.ACLRestriction, At: "web/acl-out"})
	if err := wait(quiet); err != nil {
		t.Errorf("it ended at once: %v", err)
	}
	if e, ok := ended(wait(quiet)); !ok || e.detail != "dropped at web/acl-out for SUBNET_ACL_RESTRICTION" {
		t.Errorf("got %v", e)
	}
	if len(p.drops) != 2 || p.drops[0].At != "web/sg-in" {
		t.Errorf("told of are %+v", p.drops)
	}
}
