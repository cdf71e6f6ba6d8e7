package scenario

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

// traffic writes a rule's protocol part: protocol, ports, ICMP type/code.
func traffic(t vpc.Traffic) string {
	return fmt.Sprintf("%d %d-%d %d/%d", t.Protocol, t.FromPort, t.ToPort, t.ICMPType, t.ICMPCode)
}

func TestRules(t *testing.T) {
	for _, test := range []struct{ text, traffic, peer string }{
		{"tcp 80 from 0.0.0.0/0", "6 80-80 -1/-1", "0.0.0.0/0"},
		{"tcp from ::/0", "6 0-65535 -1/-1", "::/0"},
		{"udp 5000-5010 from pl.corp", "17 5000-5010 -1/-1", "pl.corp"},
		{"6 22 from sg.bastion", "6 22-22 -1/-1", "sg.bastion"},
		{"tcp 0-65535 from app/sg.web", "6 0-65535 -1/-1", "app/sg.web"},
		{"icmp from 10.0.0.5/8", "1 0-65535 -1/-1", "10.0.0.0/8"},
		{"icmp 8 from 10.0.0.0/8", "1 0-65535 8/-1", "10.0.0.0/8"},
		{"icmp 8/0 from 10.0.0.0/8", "1 0-65535 8/0", "10.0.0.0/8"},
		{"icmpv6 128/0 from 2001:db8::1/128", "58 0-65535 128/0", "2001:db8::1/128"},
		{"58 2 from ::/0", "58 0-65535 2/-1", "::/0"},
		{"all from sg.web", "-1 0-65535 -1/-1", "sg.web"},
		{"47 from 10.0.0.0/8", "47 0-65535 -1/-1", "10.0.0.0/8"},
		{"  tcp\t80   from 10.0.0.0/8 ", "6 80-80 -1/-1", "10.0.0.0/8"},
	} {
		rule, f := parseRule(test.text, ingress)
		if f != nil {
			t.Errorf("%q: %s", test.text, f.what)
			continue
		}
		peer := rule.CIDR.String()
		switch {
		case rule.PrefixList != "":
			peer = "pl." + rule.PrefixList
		case rule.Group.VPC != "":
			peer = rule.Group.VPC + "/sg." + rule.Group.Name
		case rule.Group.Name != "":
			peer = "sg." + rule.Group.Name
		}
		if got := traffic(rule.Traffic); got != test.traffic || peer != test.peer || rule.Text != test.text {
			t.Errorf("%q: %s from %s, text %q; want %s from %s", test.text, got, peer, rule.Text, test.traffic, test.peer)
		}
		if !groupIngress.matches(test.text) {
			t.Errorf("%q: the schema's pattern refuses it", test.text)
		}
	}
}

func TestACLEntries(t *testing.T) {
	entry, f := parseEntry("100 allow tcp 1024-65535 from 10.0.0.9/8", ingress)
	if f != nil || entry.Number != 100 || !entry.Allow || traffic(entry.Traffic) != "6 1024-65535 -1/-1" ||
		entry.CIDR != netip.MustParsePrefix("10.0.0.0/8") {
		t.Errorf("%+v %v", entry, f)
	}
	entry, f = parseEntry("32766 deny all to ::/0", egress)
	if f != nil || entry.Number != 32766 || entry.Allow || traffic(entry.Traffic) != "-1 0-65535 -1/-1" ||
		entry.Text != "32766 deny all to ::/0" {
		t.Errorf("%+v %v", entry, f)
	}
	for _, text := range []string{"100 allow tcp 80 from 10.0.0.0/8", "1 deny all from ::/0"} {
		if !aclIngress.matches(text) || !aclEgress.matches(strings.Replace(text, "from", "to", 1)) {
			t.Errorf("%q: the schema's pattern refuses it", text)
		}
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"350s": 350 * time.Second, "1h30m": 90 * time.Minute, "2d": 48 * time.Hour, "1.5d": 36 * time.Hour,
		"1d1ns": 24*time.Hour + 1, "500ms": time.Second / 2,
	} {
		if got, f := parseDuration(text); f != nil || got != want {
			t.Errorf("%s is %v (%v), want %v", text, got, f, want)
		}
	}
	for _, text := range []string{"", "1", "s", "-1s", "1w", "0s", "0.1ns", "1 s", "1e3s", "99999999999999999999d",
		strings.Repeat("9", 400) + "s"} {
		if got, f := parseDuration(text); f == nil {
			t.Errorf("%q is %v, want a fault", text, got)
		}
	}
}

func TestHosts(t *testing.T) {
	d := newDirectory(parse(t, lab).Model, true)
	for _, test := range []struct {
		text, want string
		family     family
	}{
		{"10.1.2.3", "10.1.2.3", anyFamily},
		{"2001:db8::9", "2001:db8::9", ipv6},
		{"app/web", "10.0.0.4", anyFamily},
		{"data/web", "10.0.0.5", anyFamily},
		{"twin", "10.0.0.4", anyFamily},
		{"app/web.public", "198.51.100.7", ipv4},
		{"app/web.ipv6", "2600:1f18:aa00::4", anyFamily},
		{"app/web", "2600:1f18:aa00::4", ipv6},
		{"db", "10.0.0.5", ipv4},
		{"db.eth0", "10.0.0.5", ipv4},
		{"db.eth1", "10.0.0.6", ipv4},
		{"db.eth2", "10.0.0.7", ipv4},
		{"app/db.eth1.ipv6", "2600:1f18:aa00::6", anyFamily},
		{"example", "203.0.113.80", anyFamily},
		{"example", "2001:db8:cafe::80", ipv6},
		{"example.ipv6", "2001:db8:cafe::80", anyFamily},
		{"example.public", "203.0.113.80", anyFamily},
	} {
		if got, f := d.address(test.text, test.family); f != nil || got.String() != test.want {
			t.Errorf("%s (family %d) is %v (%v), want %s", test.text, test.family, got, f, test.want)
		}
	}
	if n, f := d.node("data/twin"); f != nil || n.String() != "data/twin" {
		t.Errorf("node data/twin is %v (%v)", n, f)
	}
}

func TestSend(t *testing.T) {
	s := parse(t, lab)
	d := newDirectory(s.Model, true)
	own := netip.MustParseAddr("10.0.0.4")
	db := netip.MustParseAddr("10.0.0.5")
	for text, want := range map[string]Packet{
		"send udp 1000->53 from 1.2.3.4 to db": {Protocol: 17, Src: netip.MustParseAddr("1.2.3.4"), Dst: db, SrcPort: 1000, DstPort: 53, TTL: 64},
		"send tcp 80 to db":                    {Protocol: 6, Src: own, Dst: db, SrcPort: 40000, DstPort: 80, TCPFlags: 2, TTL: 64},
		"send tcp 80 to db flags syn,ack ttl 1 size 100 fragment df": {Protocol: 6, Src: own, Dst: db, SrcPort: 40000, DstPort: 80,
			TCPFlags: 0x12, TTL: 1, Size: 100, Fragment: true, DontFragment: true},
		"send tcp 80 flags none to db": {Protocol: 6, Src: own, Dst: db, SrcPort: 40000, DstPort: 80, TTL: 64},
		"send icmp 3/4 to db":          {Protocol: 1, Src: own, Dst: db, ICMPType: 3, ICMPCode: 4, TTL: 64},
		"send icmp 8 to db":            {Protocol: 1, Src: own, Dst: db, ICMPType: 8, TTL: 64},
		"send 47 to db size 8900":      {Protocol: 47, Src: own, Dst: db, Size: 8900, TTL: 64},
		"send udp 53 fragments 104 to db size 100": {Protocol: 17, Src: own, Dst: db, SrcPort: 40000, DstPort: 53, TTL: 64, Size: 100,
			FragmentSize: 104},
		"send icmp 8 to db size 100 df fragments 16-108,0-24,16-32": {Protocol: 1, Src: own, Dst: db, ICMPType: 8, TTL: 64, Size: 100,
			DontFragment: true, Pieces: []Piece{{16, 108}, {0, 24}, {16, 32}}},
		"send icmpv6 128 to db.ipv6": {Protocol: 58, Src: netip.MustParseAddr("2600:1f18:aa00::4"),
			Dst: netip.MustParseAddr("2600:1f18:aa00::5"), ICMPType: 128, TTL: 64},
	} {
		do, f := parseDo(text, d, Node{"app", "web"})
		if f != nil || !reflect.DeepEqual(do.Send, want) || do.Addr != want.Dst {
			t.Errorf("%s: %+v (%v), want %+v", text, do.Send, f, want)
		}
		if !doText.matches(text) {
			t.Errorf("%q: the schema's pattern refuses it", text)
		}
	}
}

func TestHTTP(t *testing.T) {
	d := newDirectory(parse(t, lab).Model, true)
	for text, want := range map[string]struct {
		url  string
		port uint16
	}{
		"http http://example":                              {"http://203.0.113.80", 80},
		"http http://twin/a%20b?c=d":                       {"http://10.0.0.4/a%20b?c=d", 80},
		"http http://twin:8080/":                           {"http://10.0.0.4:8080/", 8080},
		"http http://[2001:db8:cafe::80]/":                 {"http://[2001:db8:cafe::80]/", 80},
		"http http://[2001:db8:cafe::80]:8080/x":           {"http://[2001:db8:cafe::80]:8080/x", 8080},
		"http http://db.eth1.ipv6/":                        {"http://[2600:1f18:aa00::6]/", 80},
		"http http://198.51.100.7:80/" + "very/long/path/": {"http://198.51.100.7/very/long/path/", 80},
	} {
		do, f := parseDo(text, d, Node{})
		if f != nil || do.URL != want.url || do.Port != want.port {
			t.Errorf("%s: %s port %d (%v), want %s port %d", text, do.URL, do.Port, f, want.url, want.port)
		}
	}
}

func TestSplitArgs(t *testing.T) {
	for text, want := range map[string][]string{
		`exec ip route`:               {"exec", "ip", "route"},
		`exec sh -c 'a "b" $c'`:       {"exec", "sh", "-c", `a "b" $c`},
		`exec sh -c "a 'b' \"c\" \n"`: {"exec", "sh", "-c", `a 'b' "c" \n`},
		`exec a\ b '' c`:              {"exec", "a b", "", "c"},
	} {
		got, f := splitArgs(text)
		if f != nil || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Errorf("%s: %q (%v), want %q", text, got, f, want)
		}
	}
}

// merged applies patches to a lab's text and writes the result's VPCs in one line.
func merged(t *testing.T, target string, patches ...string) string {
	t.Helper()
	r := &reporter{}
	tree := r.readYAML([]byte(target))
	for i, patch := range patches {
		n := r.readYAML([]byte(patch))
		if n == nil {
			t.Fatal(r.err())
		}
		tree = merge(tree, mark(n, i+1), func(e entry, _ *node) { t.Errorf("%s is missing", e.key) })
	}
	return flat(tree)
}

func flat(n *node) string {
	var parts []string
	switch n.kind {
	case scalar:
		return n.text
	case list:
		for _, item := range n.items {
			parts = append(parts, flat(item))
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	for _, e := range n.entries {
		parts = append(parts, e.key+":"+flat(e.value))
	}
	return "{" + strings.Join(parts, " ") + "}"
}

// TestMerge follows the examples of RFC 7396, appendix A, as far as mappings reach, and adds keys that are prefixes.
func TestMerge(t *testing.T) {
	for _, test := range []struct{ target, patch, want string }{
		{"{a: b}", "{a: c}", "{a:c}"},
		{"{a: b}", "{b: c}", "{a:b b:c}"},
		{"{a: b}", "{a: null}", "{}"},
		{"{a: b, b: c}", "{a: null}", "{b:c}"},
		{"{a: [b]}", "{a: c}", "{a:c}"},
		{"{a: c}", "{a: [b]}", "{a:[b]}"},
		{"{a: {b: c}}", "{a: {b: d, c: null, }}", "{a:{b:d}}"},
		{"{a: [{b: c}]}", "{a: [1]}", "{a:[1]}"},
		{"{a: foo}", "{b: {c: null, d: {e: null}}}", "{a:foo b:{d:{}}}"},
		{"{e: x}", "{e: {a: 1}}", "{e:{a:1}}"},
		{"{10.0.0.0/8: a, \"::/0\": b}", "{10.9.9.9/8: c, \"0:0::/0\": null}", "{10.0.0.0/8:c}"},
	} {
		r := &reporter{}
		got := flat(merge(r.readYAML([]byte(test.target)), mark(r.readYAML([]byte(test.patch)), 1), func(entry, *node) {}))
		if got != test.want {
			t.Errorf("%s patched by %s is %s, want %s", test.target, test.patch, got, test.want)
		}
	}
	if got := merged(t, "{a: {b: 1, c: [1, 2]}}", "{a: {b: 2}}", "{a: {c: [3]}}", "{a: {b: null}}"); got != "{a:{c:[3]}}" {
		t.Errorf("patches do not accumulate: %s", got)
	}
}

func TestMergeLeavesTheTargetAlone(t *testing.T) {
	r := &reporter{}
	target := r.readYAML([]byte("{a: {b: 1, c: {d: 2}}}"))
	before := flat(target)
	merge(target, mark(r.readYAML([]byte("{a: {b: null, c: {d: 3}, e: 4}}")), 1), func(entry, *node) {})
	if got := flat(target); got != before {
		t.Errorf("the target became %s", got)
	}
}

func TestChanges(t *testing.T) {
	s := parse(t, lab+`checks:
  - change: {vpcs: {app: {instances: {late: {subnet: web}}, subnets: {web: {routes: {10.9.1.1/16: null}}}}}}
  - {from: late, do: tcp 80 to app/web}
  - change: {vpcs: {app: {instances: {db: null, web: {ip: 10.0.0.99}}}}}
  - {from: late, do: tcp 80 to app/web}
  - change: {vpcs: {app: {security_groups: {other: null}, subnets: {web: {routes: {10.7.0.0/16: blackhole}}}}}}
`)
	first, second, third := s.Steps[0].Change, s.Steps[2].Change, s.Steps[4].Change
	if s.Model.VPC("app").Instance("late") != nil || first.VPC("app").Instance("late") == nil {
		t.Error("the first change does not add late, or adds it to the file's own model")
	}
	if n := len(first.VPC("app").RouteTable("web").Routes); n != 1 {
		t.Errorf("%d routes after one of two was removed by another spelling", n)
	}
	if second.VPC("app").Instance("late") == nil || second.VPC("app").Instance("db") != nil {
		t.Error("patches do not accumulate")
	}
	late := first.VPC("app").Instance("late").Interfaces[0].IP
	if got := second.VPC("app").Instance("late").Interfaces[0].IP; got != late || !late.IsValid() {
		t.Errorf("late had %s and has %s after a change that does not concern it", late, got)
	}
	if a, b := s.Steps[1].Check.Do.Addr, s.Steps[3].Check.Do.Addr; a.String() != "10.0.0.4" || b.String() != "10.0.0.99" {
		t.Errorf("web is %s and then %s: a check's address is that of its step", a, b)
	}
	if rule := third.VPC("app").SecurityGroup("web").Ingress[0]; !rule.Stale {
		t.Errorf("the rule whose group was removed is not stale: %+v", rule)
	}
	if s.Steps[1].Check.From != (Node{"app", "late"}) {
		t.Errorf("from %v", s.Steps[1].Check.From)
	}
}

func TestRemovedTargetIsABlackhole(t *testing.T) {
	s := parse(t, lab+"checks:\n  - change: {vpcs: {app: {instances: {db: null}}}}\n  - change: {about: x}\n")
	for _, step := range s.Steps {
		route := step.Change.VPC("app").RouteTable("web").Routes[0]
		if !route.Blackhole || route.Target.Name != "db" {
			t.Errorf("line %d: %+v is no blackhole", step.Line, route)
		}
	}
}

func TestHeldConnections(t *testing.T) {
	s := parse(t, lab+`checks:
  - {from: app/web, do: tcp 80 to db, keep: ssh}
  - {do: say ssh, seen_as: app/web, expect: timeout}
  - {from: app/web, do: close ssh}
  - {from: db, do: udp 53 to app/web, keep: ssh}
  - {do: close ssh}
`)
	for i, want := range []string{"app/web", "app/web", "app/web", "app/db", "app/db"} {
		if got := s.Steps[i].Check.From.String(); got != want {
			t.Errorf("step %d is from %s, want %s", i+1, got, want)
		}
	}
	if c := s.Steps[1].Check; c.Do.Held != "ssh" || c.SeenAs.String() != "10.0.0.4" || c.Expect.Outcome != Timeout {
		t.Errorf("say: %+v", c)
	}
}
