package scenario

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

var update = flag.Bool("update", false, "rewrite the expected messages")

// files lists the YAML files of a folder of testdata.
func files(t testing.TB, folder string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join("testdata", folder, "*.yaml"))
	if err != nil || len(found) == 0 {
		t.Fatalf("testdata/%s: no files (%v)", folder, err)
	}
	return found
}

// TestWrongFiles holds every bad scenario against the messages beside it.
func TestWrongFiles(t *testing.T) {
	wrong := files(t, "wrong")
	if len(wrong) < 25 {
		t.Errorf("only %d wrong files", len(wrong))
	}
	for _, file := range wrong {
		t.Run(filepath.Base(file), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse(filepath.Base(file), src)
			var errs Errors
			if !errors.As(err, &errs) {
				t.Fatalf("error is %T (%v), want Errors", err, err)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			got := err.Error() + "\n"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestErrorsAreSortedAndDistinct(t *testing.T) {
	for _, file := range files(t, "wrong") {
		_, err := Load(file)
		var errs Errors
		if !errors.As(err, &errs) {
			t.Fatalf("%s: %v", file, err)
		}
		for i, e := range errs[1:] {
			before := errs[i]
			if e.Line < before.Line || e.Line == before.Line && e.Col < before.Col {
				t.Errorf("%s: %d:%d is reported after %d:%d", file, e.Line, e.Col, before.Line, before.Col)
			}
			if *e == *before {
				t.Errorf("%s: reported twice: %v", file, e)
			}
		}
	}
}

func TestValidFiles(t *testing.T) {
	for _, file := range files(t, "valid") {
		s, err := Load(file)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if s.File != file || s.Name == "" || s.Model == nil {
			t.Errorf("%s: File %q, Name %q, Model %v", file, s.File, s.Name, s.Model)
		}
	}
}

func TestLoadOfAMissingFile(t *testing.T) {
	_, err := Load("testdata/nothing.yaml")
	if !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "read scenario: ") {
		t.Errorf("got %v", err)
	}
}

// lab is a small valid file; checks and further text may follow.
const lab = `name: shop
vpcs:
  app:
    cidr: 10.0.0.0/16
    ipv6: 2600:1f18:aa00::/56
    internet_gateway: true
    subnets:
      web: {cidr: 10.0.0.0/24, ipv6: "2600:1f18:aa00::/64", az: b, routes: {10.9.0.0/16: instance.db, "::/0": igw}}
    security_groups: {web: {ingress: [tcp 80 from sg.other]}, other: {}, closed: {egress: []}}
    instances:
      web: {subnet: web, eip: 198.51.100.7, sg: [web]}
      db: {subnet: web, forward: true, interfaces: {eth2: {subnet: web}, eth1: {subnet: web, source_dest_check: true}}, source_dest_check: false}
  data:
    cidr: 10.0.0.0/16
    subnets: {web: {cidr: 10.0.0.0/24}}
    instances: {twin: {subnet: web}, web: {subnet: web}}
internet:
  hosts: {example: {ip: [203.0.113.80, "2001:db8:cafe::80"]}}
`

func parse(t testing.TB, src string) *Scenario {
	t.Helper()
	s, err := Parse("lab.yaml", []byte(src))
	if err != nil {
		t.Fatalf("%v", err)
	}
	return s
}

func TestScenario(t *testing.T) {
	s := parse(t, "about: what it shows\naccount: 012345678901\nclock: {start: 2026-01-01T00:00:00Z, rate: 0}\n"+lab+`checks:
  - advance: 1d30s
  - {name: the page, from: app/web, do: http http://example/, expect: {status: 404, body: 007}, wait: 1m}
  - {from: example, do: "tcp 80 to app/web.public", expect: timeout, because: ENI_SG_RULES_MISMATCH, at: web/sg-in}
`)
	if s.Model.Account != "012345678901" {
		t.Errorf("account %s lost its zero", s.Model.Account)
	}
	if want := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC); !s.Clock.Start.Equal(want) || s.Clock.Rate != 0 {
		t.Errorf("clock %+v", s.Clock)
	}
	if s.Steps[0].Advance != 24*time.Hour+30*time.Second || s.Steps[0].Line != 23 {
		t.Errorf("first step %+v", s.Steps[0])
	}
	c := s.Steps[1].Check
	if c.Name != "the page" || c.From != (Node{"app", "web"}) || c.Do.URL != "http://203.0.113.80/" || c.Wait != time.Minute {
		t.Errorf("second check %+v", c)
	}
	if c.Expect.Outcome != OK || c.Expect.Status != 404 || c.Expect.Body == nil || *c.Expect.Body != "007" || c.Expect.Exit != nil {
		t.Errorf("expectation %+v", c.Expect)
	}
	c = s.Steps[2].Check
	if c.Name != "tcp 80 to app/web.public" || c.Do.Addr.String() != "198.51.100.7" ||
		c.Because != "ENI_SG_RULES_MISMATCH" || c.At != "web/sg-in" {
		t.Errorf("third check %+v", c)
	}
	if c.From != (Node{Name: "example"}) || c.From.String() != "example" {
		t.Errorf("from %v", c.From)
	}
}

func TestDefaults(t *testing.T) {
	s := parse(t, lab)
	if s.Clock.Rate != 1 || !s.Clock.Start.IsZero() {
		t.Errorf("clock %+v", s.Clock)
	}
	app := s.Model.VPC("app")
	if !app.DNSSupport || app.DNSHostnames || !app.InternetGateway {
		t.Errorf("support %v, hostnames %v, internet gateway %v", app.DNSSupport, app.DNSHostnames, app.InternetGateway)
	}
	if n := len(app.SecurityGroup("other").Egress); n != 2 {
		t.Errorf("egress left out has %d rules, want all IPv4 and all IPv6", n)
	}
	if n := len(app.SecurityGroup("closed").Egress); n != 0 {
		t.Errorf("egress: [] has %d rules, want none", n)
	}
	if az := app.Subnet("web").AZ; az != "us-east-1b" {
		t.Errorf("zone %s", az)
	}
	if table := app.Subnet("web").RouteTable; table != "web" || !app.RouteTable("web").Inline {
		t.Errorf("the subnet's own table is %s", table)
	}
	var names []string
	var checks []bool
	for _, eni := range app.Instance("db").Interfaces {
		names, checks = append(names, eni.Name), append(checks, eni.SourceDestCheck)
	}
	if got := strings.Join(names, " "); got != "db db.eth1 db.eth2" {
		t.Errorf("interfaces %s", got)
	}
	if want := []bool{false, true, false}; fmt.Sprint(checks) != fmt.Sprint(want) {
		t.Errorf("source/destination checks %v, want %v: further interfaces have the instance's", checks, want)
	}
}

func TestTargetOfAnInterface(t *testing.T) {
	for text, want := range map[string]vpc.Target{
		"igw":         {Kind: vpc.TargetInternetGateway},
		"eigw":        {Kind: vpc.TargetEgressOnly},
		"nat.out":     {Kind: vpc.TargetNATGateway, Name: "out"},
		"local":       {Kind: vpc.TargetLocal},
		"blackhole":   {Kind: vpc.TargetBlackhole},
		"instance.db": {Kind: vpc.TargetInstance, Name: "db"},
		"eni.db":      {Kind: vpc.TargetENI, Name: "db"},
		"eni.db.eth0": {Kind: vpc.TargetENI, Name: "db"},
		"eni.db.eth1": {Kind: vpc.TargetENI, Name: "db.eth1"},
	} {
		if f := checkTarget(text); f != nil {
			t.Errorf("%s: %s", text, f.what)
		}
		if got := targetOf(text); got != want {
			t.Errorf("%s is %v, want %v", text, got, want)
		}
		if !target.matches(text) {
			t.Errorf("%s: the schema's pattern refuses it", text)
		}
	}
}

// firstError returns a file's first error.
func firstError(t *testing.T, src string) *Error {
	t.Helper()
	_, err := Parse("lab.yaml", []byte(src))
	var errs Errors
	if !errors.As(err, &errs) {
		t.Fatalf("%q: %v, want Errors", src, err)
	}
	return errs[0]
}

func TestPositions(t *testing.T) {
	groups := func(rule string) string {
		return "name: shop\nvpcs:\n  app:\n    cidr: 10.0.0.0/16\n    security_groups: {web: {ingress: [" + rule + "]}}\n"
	}
	for _, test := range []struct {
		name, src string
		line, col int
	}{
		{"a plain rule: the word", groups("tcp 80 frm 10.0.0.0/8"), 5, 46},
		{"a quoted rule: the word", groups(`"tcp 80 frm 10.0.0.0/8"`), 5, 47},
		{"a rule with an escape: the rule", groups(`"tcp\u002080 frm 10.0.0.0/8"`), 5, 39},
		{"characters, not bytes", "{about: éé, nam: x, name: a, vpcs: {}}\n", 1, 13},
		{"a byte order mark is no column", "\ufeffnam: shop\nvpcs: {}\n", 1, 1},
		{"CRLF", "name: shop\r\nvpcs:\r\n  app: {cidr: 10.0.0.0/16, x: 1}\r\n", 3, 28},
		{"a block scalar: its indicator", lab + "checks:\n  - from: twin\n    do: |\n      ping nobody\n", 21, 9},
		{"a missing value: behind the key", "name:\nvpcs: {}\n", 1, 6},
		{"an unknown step", lab + "checks:\n  - {from: twin, do: ping twin}\n  - {}\n", 21, 5},
	} {
		if e := firstError(t, test.src); e.Line != test.line || e.Col != test.col {
			t.Errorf("%s: %d:%d, want %d:%d\n%v", test.name, e.Line, e.Col, test.line, test.col, e)
		}
	}
}

func TestErrorText(t *testing.T) {
	e := &Error{File: "a.yaml", Line: 3, Col: 4, What: "wrong", Hint: "right", SourceLine: "\tab\x1bc"}
	if got, want := e.Error(), "a.yaml:3:4: wrong; right\n    \tab c\n    \t  ^"; got != want {
		t.Errorf("got\n%q want\n%q", got, want)
	}
	long := &Error{File: "a.yaml", Line: 1, Col: 5000, What: "wrong",
		SourceLine: strings.Repeat("x", 4999) + "HERE" + strings.Repeat("x", 9999)}
	lines := strings.Split(long.Error(), "\n")
	if at := strings.Index(lines[2], "^"); len(lines) != 3 || len(lines[1]) > 140 || !strings.HasPrefix(lines[1][at:], "HERE") {
		t.Errorf("the caret of a long line is off:\n%s", long)
	}
}

// TestLimits reads files that are built to take long or to break the parser. Each has to be refused, or read, at once.
func TestLimits(t *testing.T) {
	const n = 200000
	for name, test := range map[string]struct{ src, want string }{
		"deep flow":     {"name: " + strings.Repeat("[", n), "nested more than"},
		"deep maps":     {strings.Repeat("{a: ", n), "nested more than"},
		"deep lists":    {strings.Repeat("- ", n), "nested more than"},
		"deep keys":     {deepKeys(300), "nested more than"},
		"many keys":     {strings.Repeat("a: b\n", n), "more than 20000 keys"},
		"too large":     {strings.Repeat("# comment\n", n), "larger than 1 MiB"},
		"anchors":       {strings.Repeat("&a ", n), "anchors are not part"},
		"complex keys":  {strings.Repeat("? ", n), "keys are not part"},
		"aliases":       {"a: [" + strings.Repeat("*a, ", n), "aliases are not part"},
		"documents":     {strings.Repeat("---\n", n), "holds one scenario"},
		"not UTF-8":     {"name: a\xffb", "not UTF-8"},
		"control":       {"name: a\x00b", "control character"},
		"long word":     {"name: " + strings.Repeat("a", n), "is not a name"},
		"unclosed":      {"name: \"" + strings.Repeat("a\n", n), "not valid YAML"},
		"many unknowns": {"name: x\nvpcs: {}\n" + manyUnknown(15000), "more mistakes are not shown"},
		"many changes":  {manyChanges(), "too many changes"},
	} {
		start := time.Now()
		_, err := Parse("big.yaml", []byte(test.src))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %.300v, want %q", name, err, test.want)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

func deepKeys(n int) string {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "%sa:\n", strings.Repeat(" ", i))
	}
	return b.String()
}

func manyUnknown(n int) string {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "unknown-%d: 1\n", i)
	}
	return b.String()
}

// manyChanges is a lab of some size with so many changes that to work through them all would take hours.
func manyChanges() string {
	var b bytes.Buffer
	b.WriteString("name: big\nvpcs:\n  app:\n    cidr: 10.0.0.0/16\n    subnets: {web: {cidr: 10.0.0.0/16}}\n    prefix_lists:\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "      l%d: [10.0.0.0/8, 11.0.0.0/8, 12.0.0.0/8, 13.0.0.0/8]\n", i)
	}
	b.WriteString("checks:\n" + strings.Repeat("  - change: {}\n", 15000))
	return b.String()
}

func TestNear(t *testing.T) {
	keys := []string{"subnets", "instances", "security_groups", "acls", "cidr"}
	for word, want := range map[string]string{
		"subnt": "subnets", "instnaces": "instances", "securitygroups": "security_groups", "Acls": "acls", "cdir": "cidr",
		"sec": "security_groups", "se": "", "colour": "", "": "", strings.Repeat("a", 1000): "",
	} {
		if got := near(word, keys); got != want {
			t.Errorf("near %q is %q, want %q", word, got, want)
		}
	}
	if d := distance("ab", "ba"); d != 1 {
		t.Errorf("a swap counts %d", d)
	}
	if d := distance("kitten", "sitting"); d != 3 {
		t.Errorf("kitten and sitting are %d apart, want 3", d)
	}
}
