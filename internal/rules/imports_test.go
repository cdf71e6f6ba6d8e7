package rules

import (
	"fmt"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Imports point one way, from the command line down to the packet:
//
//	cmd
//	 └─ ctrl/lab ─── ctrl/check ─ ctrl/scenario ─┐
//	     ├─ ctrl/compile ────────────────────────┴─ ctrl/vpc
//	     │    ├─ ctrl/hostnet                       (netlink)
//	     │    └─ dataplane/fabric ──┐
//	     ├─ dataplane/engine ───────┼─ dataplane/flow
//	     │    └─ netdev, packet ────┤
//	     ├─ dataplane/link ─ netdev ┤
//	     └─ ebpf/fastpath ──────────┘               (eBPF)

// layer says which of our packages a package may import, and what would be lost if it imported more. A name stands for what lies
// below it, too.
type layer struct {
	pkg string
	may []string
	why string
}

// layers has a row for each package; what lies below a row's package and has no row of its own follows it.
var layers = []layer{
	{"cmd", []string{"ctrl", "dataplane/flow"},
		"programs wire and print; packets and the kernel are decided below, where tests reach"},
	{"cmd/vpcbench", []string{"cmd/vpcbench/internal", "ctrl/hostnet/baseline", "ctrl/lab", "ctrl/scenario", "ctrl/service", "ctrl/vpc"},
		"the bench measures labs from outside, as a user has them, and their services on a bare pair, too"},
	{"cmd/vpcbench/internal", nil, "loads and statistics know nothing of vpclab, or the comparison would not be fair"},

	{"ctrl/vpc", nil, "the model is values and AWS's rules: whatever else exists may depend on it, so it depends on nothing"},
	{"ctrl/policy", nil, "a decision follows from documents and a request alone: who asks and by which way is said by whoever knows"},
	{"ctrl/scenario", []string{"ctrl/flowlog", "ctrl/policy", "ctrl/vpc", "dataplane/fabric", "dataplane/flow"},
		"a file becomes a model and checks; policies are judged where they stand; of packets it knows the names of hops, reasons and flow logs' fields, and of labs nothing"},
	{"ctrl/compile", []string{"ctrl/flowlog", "ctrl/vpc", "ctrl/hostnet", "dataplane/fabric", "dataplane/flow"},
		"one model in, one plan out: the lower layers own the types that it fills, and nothing that acts is in reach"},
	{"ctrl/hostnet", []string{"ctrl/hostnet"}, "the host's state is links and addresses; what they are for is decided above"},
	{"ctrl/doctor", []string{"ctrl/hostnet"}, "it must be able to say what is wrong where nothing else works"},
	{"ctrl/flowlog", []string{"dataplane/fabric", "dataplane/flow"},
		"records come from samples and time alone: whoever samples the counters tells what an interface is"},
	{"ctrl/flowlog/logfile", []string{"ctrl/flowlog"}, "a file is lines in and bytes out, wherever it goes"},
	{"ctrl/flowlog/delivery", []string{"ctrl/flowlog"},
		"it spools, waits and tries again for a Destination that it declares, so that no protocol is in its way"},
	{"ctrl/flowlog/destination", []string{"ctrl/flowlog"}, "a destination stores what it is handed and knows of no lab"},
	{"ctrl/flowlog/catalog", []string{"ctrl/flowlog"}, "whoever reads flow logs has files alone, and often no lab that runs any more"},
	{"ctrl/check", []string{"ctrl/flowlog", "ctrl/scenario", "ctrl/vpc", "dataplane/flow"},
		"checks see a lab only through the interface that they declare; what flow logs delivered are rows to them"},
	{"ctrl/lab", []string{"ctrl/check", "ctrl/compile", "ctrl/flowlog", "ctrl/hostnet", "ctrl/scenario", "ctrl/service", "ctrl/vpc", "dataplane", "ebpf/fastpath"},
		"it is the one place that joins the model, the host, the engine, the fast path and the services"},

	{"ctrl/service/dns", []string{"ctrl/service", "ctrl/vpc"},
		"names follow from the model and from who asks; sockets are handed in, and packets are not in reach"},
	{"ctrl/service", []string{"ctrl/vpc"}, "what services have in common is who asks and whether he may"},
	{"ctrl/service/authority", nil, "certificates follow from names alone; who asks for them is nobody's business here"},
	{"ctrl/service/iam", []string{"ctrl/policy", "ctrl/service", "ctrl/vpc"},
		"who signed is worked out from the model; what the policies say is package policy's, and what is done then the services'"},
	{"ctrl/service/imds", []string{"ctrl/service", "ctrl/vpc"},
		"metadata is the model's, seen by one instance; names and connections are handed in"},
	{"ctrl/service/ntp", []string{"ctrl/service"}, "time is handed in, and who asks is all that is known of the lab"},
	{"ctrl/service/privatelink", []string{"ctrl/service", "ctrl/vpc"},
		"a load balancer joins sockets that it is handed; namespaces and addresses are its owner's"},
	{"ctrl/service/s3", []string{"ctrl/service", "ctrl/vpc"},
		"who may do what is asked of a Gate; how a request came here, and in which lab, is not its business"},
	{"ctrl/service/s3/store", []string{"ctrl/vpc"}, "files and an index: policies and accounts' rights were judged before"},
	{"ctrl/service/front", []string{"ctrl/service"}, "it joins connections to who was asked, by their ends alone"},
	{"ctrl/service/suite", []string{"ctrl/policy", "ctrl/service", "ctrl/vpc"},
		"it is the one place that joins the services; the lab hands it a namespace, clocks and a directory"},
	{"ctrl/service/dynamodb", []string{"ctrl/service", "ctrl/vpc"}, "tables know who may do what by the Gate alone, and of the lab what it declares"},
	{"ctrl/service/dynamodb/attribute", nil, "data is what it is whatever is done with it: it must be fuzzed and tested without a table"},
	{"ctrl/service/dynamodb/expression", []string{"ctrl/service/dynamodb/attribute"}, "an expression is asked about one item and finds none by itself"},
	{"ctrl/service/whoami", []string{"ctrl/service", "ctrl/vpc"}, "it tells what the context says and keeps nothing"},

	{"dataplane/flow", nil, "the words that Go and eBPF share: everybody imports them"},
	{"dataplane/flow/internal/genreasons", []string{"dataplane/flow"}, "it writes out the table of reasons and nothing else"},
	{"dataplane/packet", []string{"dataplane/flow"}, "bytes only: it must be fuzzed and reused without a network"},
	{"dataplane/netdev", []string{"dataplane/netdev"}, "packets in, packets out; it never looks at what they say"},
	{"dataplane/link", []string{"dataplane/flow", "dataplane/netdev"},
		"a wire knows frames and the reasons why it loses some; who may use it is decided at its ends"},
	{"dataplane/fabric", []string{"dataplane/fabric", "dataplane/flow"},
		"policy is pure: a walk must be repeatable from its arguments alone"},
	{"dataplane/fragment", []string{"dataplane/flow", "dataplane/packet"},
		"who waits for whom is bytes and time; it must be fuzzed without a network"},
	{"dataplane/engine", []string{"dataplane/fabric", "dataplane/flow", "dataplane/fragment", "dataplane/netdev", "dataplane/packet"},
		"the engine declares the Offloader that it needs, so that it runs without a kernel and the fast path without policy"},
	{"ebpf/fastpath", []string{"dataplane/flow"}, "the fast path is a cache: policy that it cannot reach it cannot hold"},

	{"scenarios", nil, "scenarios are data; the test that runs them is all there is"},
	{"internal/rules", nil, "the rules judge the tree and are no part of it"},
}

// testsMay is what tests import beyond their package's row: twins, references and the layers on top that set a scene.
var testsMay = map[string][]string{
	"cmd/vpcbench":     {"ctrl/hostnet/baseline"},
	"ctrl/compile":     {"ctrl/scenario"},
	"ctrl/flowlog":     {"dataplane/fabric", "dataplane/flow"},
	"dataplane/netdev": {"dataplane/packet"},
	"scenarios":        {"ctrl"},
	"internal/rules":   {"ctrl/scenario"},
}

// layerOf is the row of a package: its own, or that of the nearest folder above.
func layerOf(pkg string) (layer, bool) {
	var found layer
	for _, l := range layers {
		if below(pkg, l.pkg) && len(l.pkg) > len(found.pkg) {
			found = l
		}
	}
	return found, found.pkg != ""
}

// strangeImports are imports of our own packages against the layers.
func strangeImports(s source) (findings []string) {
	l, known := layerOf(s.pkg())
	if !known {
		return []string{s.finding(s.file.Package, "package %s has no row in internal/rules: say what it may import of ours, and why", s.pkg())}
	}
	may := l.may
	if s.test {
		may = append(slices.Clone(may), s.pkg(), l.pkg)
		for _, pkg := range slices.Sorted(maps.Keys(testsMay)) {
			if below(s.pkg(), pkg) {
				may = append(may, testsMay[pkg]...)
			}
		}
	}
	s.imports(func(path string, at token.Pos) {
		ours, ok := strings.CutPrefix(path, module+"/")
		switch {
		case !ok || below(ours, may...) && !below(ours, "cmd"):
		case below(ours, "cmd") && !below(s.pkg(), "cmd"):
			findings = append(findings, s.finding(at, "%s imports %s: nothing imports a program", s.pkg(), ours))
		case below(ours, "cmd") && below(ours, may...):
		default:
			findings = append(findings, s.finding(at, "%s must not import %s: %s", s.pkg(), ours, l.why))
		}
	})
	return findings
}

// outsider says where something that is not ours may be imported.
type outsider struct {
	path  string // an import path; what lies below it follows it
	in    []string
	tests []string // where tests import it beyond that; "" is everywhere
	why   string
}

// outsiders has a row for each module that we depend on, and for those of the standard library's packages that have a place.
var outsiders = []outsider{
	{"github.com/vishvananda", []string{"ctrl/hostnet"}, nil,
		"what changes the host or a thread's namespace is in one place, so that it can be diffed, stamped and removed"},
	{"github.com/cilium/ebpf", []string{"ebpf/fastpath", "ctrl/doctor"}, []string{"ctrl/lab"},
		"maps and programs are loaded in one place; the doctor tries out whether that would work, and a test spoils what is on a wire"},
	{"golang.zx2c4.com/wireguard/tun", []string{"dataplane/netdev", "dataplane/link", "ctrl/hostnet/baseline"}, nil,
		"its limits and oddities are dealt with once; a link is a TUN device to WireGuard"},
	{"golang.zx2c4.com/wireguard", []string{"dataplane/link", "ctrl/hostnet/baseline"}, nil,
		"what WireGuard keeps and loses is bounded and told in one place; the bench compares with it bare"},
	{"github.com/google/gopacket", []string{"ctrl/check"}, []string{""},
		"the hot path has its own header views; gopacket is for crafted packets, and the tests' independent reference"},
	{"github.com/gaissmai/bart", []string{"dataplane/fabric", "ctrl/compile", "ctrl/flowlog"}, nil,
		"prefixes are looked up in what compile built, and in flow logs' table of services"},
	{"github.com/goccy/go-yaml", []string{"ctrl/scenario"}, nil, "strings and positions end at the parser"},
	{"github.com/santhosh-tekuri/jsonschema", nil, []string{"ctrl/scenario"}, "we write a schema; only tests read it"},
	{"github.com/parquet-go/parquet-go", []string{"ctrl/flowlog/logfile"}, nil, "what it needs and what it panics about is dealt with once"},
	{"github.com/apache/arrow-go", nil, []string{"ctrl/flowlog/logfile"}, "the tests' independent reader of Parquet; it is large"},
	{"github.com/elastic/go-grok", nil, []string{"ctrl/flowlog"}, "the tests' independent reader of records"},
	{"github.com/beevik/ntp", nil, []string{"ctrl/lab", "ctrl/service/ntp"}, "the tests' independent client of the time service, alone and from inside an instance"},
	{"golang.org/x/net", []string{"ctrl/service/dns", "ctrl/service/ntp", "ctrl/service/suite"}, nil,
		"datagrams go out from the address that was asked, and metadata with the hop limit that an instance chose"},
	{"github.com/aws", []string{"cmd/vpcbench/internal/load", "ctrl/check", "ctrl/flowlog/destination", "ctrl/service/s3"}, []string{"ctrl/service/dynamodb", "ctrl/service/iam", "ctrl/service/imds", "scenarios"},
		"AWS's APIs are spoken at the edge, and requests are signed there; the rest has its own types"},
	{"github.com/rclone/gofakes3", []string{"ctrl/service/s3"}, nil, "S3's protocol is spoken in one place, behind the policies"},
	{"github.com/miekg/dns", []string{"cmd/vpcbench", "ctrl/check", "ctrl/service/dns"}, []string{"ctrl/lab"}, "DNS messages are for those who ask and those who answer"},
	{"go.etcd.io/bbolt", []string{"ctrl/service/dynamodb"}, nil, "one service stores on disk by itself; nobody else needs a database"},
	{"github.com/spf13", []string{"cmd"}, nil, "flags are for command lines"},
	{"golang.org/x/term", []string{"cmd"}, nil, "terminals are for command lines"},
	{"golang.org/x/text", []string{"cmd"}, nil, "the width of text matters on terminals only"},
	{"github.com/rogpeppe/go-internal", nil, []string{"cmd"}, "scripts test the command line"},
	{"github.com/pires/go-proxyproto", nil, []string{"ctrl/lab", "ctrl/service/privatelink"}, "the tests' independent parser of PROXY headers"},
	{"golang.org/x/sys", []string{"cmd", "ctrl/check", "ctrl/doctor", "ctrl/flowlog/destination", "ctrl/hostnet", "ctrl/lab", "ctrl/service/privatelink",
		"dataplane/netdev", "ebpf/fastpath"},
		[]string{""}, "model, compiler, walk and engine make no system calls"},

	{"os/exec", []string{"ctrl/check", "ctrl/hostnet/baseline"}, []string{"ctrl/hostnet", "cmd/vpclab", "ctrl/lab", "internal/rules", "scenarios"},
		"we do not shell out: checks run guests' programs, the baseline loads its rules by nft, and tests start themselves anew to kill them, or " +
			"ask what is installed"},
	{"net", []string{"cmd", "ctrl/check", "ctrl/doctor", "ctrl/hostnet", "ctrl/lab", "ctrl/service", "ebpf/fastpath"}, []string{""},
		"addresses are netip's; sockets belong to the edges"},
	{"os", []string{"cmd", "ctrl/check", "ctrl/doctor", "ctrl/flowlog/catalog", "ctrl/flowlog/delivery", "ctrl/flowlog/destination", "ctrl/hostnet",
		"ctrl/lab", "ctrl/service/s3/store", "ctrl/scenario", "dataplane/netdev", "ebpf/fastpath", "dataplane/flow/internal", "dataplane/engine", "dataplane/link"}, []string{""},
		"model, compiler and walk do no I/O: values in, values out (engine and link need os.ErrClosed, which devices end with)"},
	{"syscall", []string{"cmd", "ctrl/check", "ctrl/hostnet", "ctrl/service/front", "ctrl/service/privatelink", "ctrl/service/suite", "dataplane/netdev"}, []string{""},
		"x/sys/unix is what we use; syscall only where the standard library speaks it (os/exec, os/signal, RawConn)"},
	{"unsafe", []string{"ebpf/fastpath", "cmd/vpcbench/internal/load"}, []string{""},
		"memory shared with the kernel, and nothing else"},
	{"log", []string{"dataplane/flow/internal", "ctrl/check", "ctrl/service/s3", "ctrl/service/suite"}, nil,
		"an error is returned or told to the user once, a dropped packet is a counter; checks and services only silence the log of net/http"},
}

// covers says that a row speaks of an import. Of the standard library a row names one package, not what lies below it: net is not
// net/netip.
func (o outsider) covers(path string) bool {
	if strings.Contains(o.path, ".") {
		return below(path, o.path)
	}
	return path == o.path
}

// strayImports are imports of others' packages outside their places.
func strayImports(s source) (findings []string) {
	if s.generated {
		return nil
	}
	s.imports(func(path string, at token.Pos) {
		row := slices.IndexFunc(outsiders, func(o outsider) bool { return o.covers(path) })
		if row < 0 {
			if host, _, _ := strings.Cut(path, "/"); strings.Contains(host, ".") && !below(path, module) {
				findings = append(findings, s.finding(at,
					"%s has no row in internal/rules: a dependency needs its places here, and a sentence in ARCHITECTURE.md", path))
			}
			return
		}
		o := outsiders[row]
		if !below(s.pkg(), o.in...) && !(s.test && below(s.pkg(), o.tests...)) {
			findings = append(findings, s.finding(at, "%s must not import %s: %s", s.pkg(), path, o.why))
		}
	})
	return findings
}

func TestImportsPointOneWay(t *testing.T) {
	for _, s := range tree(t) {
		report(t, strangeImports(s))
	}
}

func TestEveryImportHasItsPlace(t *testing.T) {
	for _, s := range tree(t) {
		report(t, strayImports(s))
	}
}

// A row that nothing needs permits what nobody decided.
func TestNoRowIsLeftOver(t *testing.T) {
	used := map[string]bool{}
	pkgs := map[string]bool{}
	for _, s := range tree(t) {
		l, _ := layerOf(s.pkg())
		pkgs[l.pkg] = true
		s.imports(func(path string, _ token.Pos) {
			for _, o := range outsiders {
				used[o.path] = used[o.path] || o.covers(path)
			}
		})
	}
	for _, l := range layers {
		if !pkgs[l.pkg] {
			t.Errorf("the layer %s has no package", l.pkg)
		}
	}
	for _, o := range outsiders {
		if strings.Contains(o.path, ".") && !used[o.path] {
			t.Errorf("nobody imports %s", o.path)
		}
	}
}

func TestDependenciesAreExplained(t *testing.T) {
	page := read(t, "ARCHITECTURE.md")
	direct := regexp.MustCompile(`(?m)^\s+([^\s/]+\.[^\s]+) v[^\s]+$`).FindAllStringSubmatch(read(t, "go.mod"), -1)
	if len(direct) < 5 {
		t.Fatalf("go.mod names %d direct dependencies: run go mod tidy", len(direct))
	}
	for _, d := range direct {
		owner := strings.Join(strings.Split(d[1], "/")[:2], "/") // one sentence does for golang.org/x
		if !strings.Contains(page, owner) {
			t.Errorf("ARCHITECTURE.md does not say what %s saves us, who keeps it and its licence", d[1])
		}
	}
}

// The rules see what they forbid.
func TestImportRulesBite(t *testing.T) {
	for _, row := range []struct{ file, imports, want string }{
		{"dataplane/engine/x.go", module + "/ctrl/vpc", "dataplane/engine must not import ctrl/vpc: the engine declares the Offloader"},
		{"dataplane/engine/x_test.go", module + "/ctrl/vpc", "dataplane/engine must not import ctrl/vpc"},
		{"dataplane/fabric/x.go", module + "/ebpf/fastpath", "dataplane/fabric must not import ebpf/fastpath: policy is pure"},
		{"ebpf/fastpath/x.go", module + "/dataplane/fabric", "ebpf/fastpath must not import dataplane/fabric: the fast path is a cache"},
		{"ctrl/vpc/x.go", module + "/dataplane/flow", "ctrl/vpc must not import dataplane/flow: the model is values"},
		{"ctrl/scenario/x.go", module + "/ctrl/lab", "ctrl/scenario must not import ctrl/lab: a file becomes a model"},
		{"ctrl/lab/x.go", module + "/cmd/vpclab", "ctrl/lab imports cmd/vpclab: nothing imports a program"},
		{"ctrl/lab/x_test.go", module + "/cmd/vpclab", "nothing imports a program"},
		{"cmd/vpclab/x.go", module + "/dataplane/engine", "cmd/vpclab must not import dataplane/engine: programs wire and print"},
		{"ctrl/newcomer/x.go", "fmt", "package ctrl/newcomer has no row in internal/rules"},
		{"ctrl/lab/x.go", "github.com/vishvananda/netlink", "ctrl/lab must not import github.com/vishvananda/netlink: what changes the host"},
		{"ctrl/lab/x_test.go", "github.com/vishvananda/netlink/nl", "ctrl/lab must not import github.com/vishvananda/netlink/nl"},
		{"dataplane/engine/x.go", "github.com/google/gopacket/layers", "dataplane/engine must not import github.com/google/gopacket/layers"},
		{"ctrl/lab/x.go", "os/exec", "ctrl/lab must not import os/exec: we do not shell out"},
		{"dataplane/fabric/x.go", "net", "dataplane/fabric must not import net: addresses are netip's"},
		{"ctrl/lab/x.go", "example.com/leftpad", "example.com/leftpad has no row in internal/rules"},
		{"dataplane/engine/x_test.go", "github.com/google/gopacket/layers", ""},
		{"dataplane/fabric/x.go", "net/netip", ""},
		{"ctrl/hostnet/baseline/x.go", "github.com/vishvananda/netlink", ""},
		{"ctrl/lab/x.go", module + "/ebpf/fastpath", ""},
	} {
		s, err := parse(row.file, fmt.Appendf(nil, "package p\nimport _ %q\n", row.imports))
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(append(strangeImports(s), strayImports(s)...), "\n")
		if row.want == "" && got != "" || !strings.Contains(got, row.want) {
			t.Errorf("%s importing %s: got %q, want %q", row.file, row.imports, got, row.want)
		}
	}
}
