package rules

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"strings"
	"testing"
)

// A habit is what we do not do, and why. It finds the places in one file where it was done.
type habit struct {
	name string
	find func(source) []string
}

var habits = []habit{
	{"sleep", sleeps},
	{"clock", clocks},
	{"exit", exits},
	{"panic", panics},
	{"init", inits},
	{"marker", markers},
	{"suppression", suppressions},
	{"skip", skips},
}

// sleeps: waiting is polling with a deadline. A sleep is too short on a busy machine and too long on every other.
func sleeps(s source) (findings []string) {
	s.uses("time", func(name string, at token.Pos) {
		if name == "Sleep" {
			findings = append(findings, s.finding(at, "time.Sleep: wait for what you wait for, with a deadline"))
		}
	})
	return findings
}

// timeless are the packages that are handed the time: a lab's clock may stand still, jump or run at another rate.
var timeless = []string{"dataplane", "ebpf", "ctrl/vpc", "ctrl/policy", "ctrl/scenario", "ctrl/compile", "ctrl/flowlog",
	"ctrl/service/dynamodb", "ctrl/service/s3", "ctrl/service/whoami"}

// realTime is the file where packets are given the time that they take: real packets take real time, whatever a lab's clock does.
const realTime = "dataplane/link/clock.go"

// clocks: nothing that decides about packets or models asks the system for the time.
func clocks(s source) (findings []string) {
	if s.test || !below(s.pkg(), timeless...) || s.path == realTime {
		return nil
	}
	s.uses("time", func(name string, at token.Pos) {
		switch name {
		case "Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker":
			findings = append(findings, s.finding(at, "time.%s: %s is handed the time", name, s.pkg()))
		}
	})
	return findings
}

// exits: only a program ends the process; whoever else does takes the caller's cleanup with it.
func exits(s source) (findings []string) {
	if s.program() {
		return nil
	}
	s.uses("os", func(name string, at token.Pos) {
		if name == "Exit" && !s.test { // tests have TestMain, and start themselves anew
			findings = append(findings, s.finding(at, "os.Exit outside a program: return an error"))
		}
	})
	s.uses("log", func(name string, at token.Pos) {
		if strings.HasPrefix(name, "Fatal") || strings.HasPrefix(name, "Panic") {
			findings = append(findings, s.finding(at, "log.%s outside a program: return an error", name))
		}
	})
	return findings
}

// panics: no input crashes the process. A panic stands where something cannot happen, and a comment on its line or the line above says
// why it cannot.
func panics(s source) (findings []string) {
	if s.test || s.program() {
		return nil
	}
	said := map[int]bool{}
	for _, group := range s.file.Comments {
		for line := s.line(group.Pos()); line <= s.line(group.End()); line++ {
			said[line] = true
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if f, ok := call.Fun.(*ast.Ident); ok && f.Name == "panic" {
			if line := s.line(call.Pos()); !said[line] && !said[line-1] {
				findings = append(findings, s.finding(call.Pos(), "panic without a comment on why it cannot happen; if it can, return an error"))
			}
		}
		return true
	})
	return findings
}

// inits: what runs before main cannot be passed its arguments, cannot fail and cannot be left out of a test.
func inits(s source) (findings []string) {
	for _, d := range s.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			findings = append(findings, s.finding(f.Pos(), "func init: say it where it is used"))
		}
	}
	return findings
}

var marker = regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)

// markers: what is left to do is an issue, where it is seen and has an end.
func markers(s source) (findings []string) {
	for _, group := range s.file.Comments {
		for _, c := range group.List {
			if m := marker.FindString(c.Text); m != "" {
				findings = append(findings, s.finding(c.Pos(), "%s: do it, or open an issue", m))
			}
		}
	}
	return findings
}

var (
	ignored    = regexp.MustCompile(`^//lint:(file-)?ignore\b`)
	ignoredFor = regexp.MustCompile(`^//lint:(file-)?ignore [A-Z]+[0-9]+(,[A-Z]+[0-9]+)* \S+ \S+`)
)

// suppressions: a linter is silenced with its code and a reason, or not at all.
func suppressions(s source) (findings []string) {
	for _, group := range s.file.Comments {
		for _, c := range group.List {
			switch {
			case strings.HasPrefix(c.Text, "//no"+"lint"):
				findings = append(findings, s.finding(c.Pos(), "none of our linters reads nolint: //lint:ignore CODE why"))
			case ignored.MatchString(c.Text) && !ignoredFor.MatchString(c.Text):
				findings = append(findings, s.finding(c.Pos(), "a suppression says which check and why: //lint:ignore CODE why"))
			}
		}
	}
	return findings
}

// skips: a test is skipped for want of root alone, and not where REQUIRE_ROOT=1 says that root is there.
func skips(s source) (findings []string) {
	if !s.test {
		return nil
	}
	for _, d := range s.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		var skipped []ast.Node
		asks := false
		ast.Inspect(f.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				switch n.Sel.Name {
				case "Skip", "Skipf", "SkipNow":
					if len(f.Type.Params.List) > 0 { // of a testing.TB, not of a scanner
						skipped = append(skipped, n)
					}
				}
			case *ast.BasicLit:
				asks = asks || n.Value == `"REQUIRE_ROOT"`
			}
			return true
		})
		if asks {
			continue
		}
		for _, n := range skipped {
			findings = append(findings, s.finding(n.Pos(),
				"a skip that REQUIRE_ROOT=1 does not turn into a failure: a test may not pass by not running"))
		}
	}
	return findings
}

func TestHabits(t *testing.T) {
	for _, h := range habits {
		t.Run(h.name, func(t *testing.T) {
			for _, s := range tree(t) {
				if !s.generated {
					report(t, h.find(s))
				}
			}
		})
	}
}

// The same in what is not Go.
func TestOtherFilesHaveNoMarkers(t *testing.T) {
	looked := 0
	for _, name := range committed(t) {
		switch path.Ext(name) {
		case ".c", ".h", ".sh", ".yaml", ".md", ".txtar", "":
		default:
			continue
		}
		looked++
		for i, line := range strings.Split(read(t, name), "\n") {
			if m := marker.FindString(line); m != "" {
				t.Errorf("%s:%d: %s: do it, or open an issue", name, i+1, m)
			}
		}
	}
	if looked < 20 {
		t.Errorf("looked at %d files: the rule would pass unread", looked)
	}
}

// The eBPF programs call helpers that the kernel gives to GPL-compatible programs alone, and Go's side is MIT: each file says which.
func TestKernelCodeNamesItsLicence(t *testing.T) {
	looked := 0
	for _, name := range committed(t) {
		if below(name, "ebpf/bpf") {
			looked++
			if !strings.HasPrefix(read(t, name), "// SPDX-License-Identifier: GPL-2.0-only OR MIT\n") {
				t.Errorf("%s does not begin with its SPDX licence", name)
			}
		}
	}
	if looked == 0 {
		t.Error("no eBPF sources found")
	}
}

func TestHabitRulesBite(t *testing.T) {
	for _, row := range []struct{ file, text, want string }{
		{"ctrl/lab/x_test.go", `import "time"` + "\nfunc f() { time.Sleep(1) }", "time.Sleep: wait for"},
		{"ctrl/lab/x.go", `import clock "time"` + "\nvar f = clock.Sleep", "time.Sleep: wait for"},
		{"dataplane/engine/x.go", `import "time"` + "\nvar f = time.Now", "time.Now: dataplane/engine is handed the time"},
		{"dataplane/link/x.go", `import "time"` + "\nvar f = time.Now", "time.Now: dataplane/link is handed the time"},
		{realTime, `import "time"` + "\nvar f = time.Now", ""},
		{"ctrl/lab/x.go", `import "time"` + "\nvar f = time.Now", ""},
		{"dataplane/engine/x_test.go", `import "time"` + "\nvar f = time.Now", ""},
		{"ctrl/lab/x.go", `import "os"` + "\nfunc f() { os.Exit(1) }", "os.Exit outside a program"},
		{"ctrl/lab/x.go", `import "log"` + "\nfunc f() { log.Fatalf(``) }", "log.Fatalf outside a program"},
		{"ctrl/lab/x.go", "func f() { panic(1) }", "panic without a comment"},
		{"ctrl/lab/x.go", "func f() {\n\t// The table above has it.\n\tpanic(1)\n}", ""},
		{"ctrl/lab/x.go", "func f() { panic(1) } // the table has it", ""},
		{"ctrl/lab/x.go", "func init() {}", "func init"},
		{"ctrl/lab/x.go", "type t int\nfunc (t) init() {}", ""},
		{"ctrl/lab/x.go", "// FIX" + "ME: later\nvar a int", "do it, or open an issue"},
		{"ctrl/lab/x.go", "var a int //no" + "lint:errcheck", "none of our linters reads nolint"},
		{"ctrl/lab/x.go", "//lint:ignore SA4000\nvar a int", "a suppression says which check and why"},
		{"ctrl/lab/x.go", "//lint:ignore SA4000 the manual counts from three\nvar a int", ""},
		{"ctrl/lab/x_test.go", "func TestX(t *testing.T) { t.Skip(`today`) }", "a skip that REQUIRE_ROOT=1"},
		{"ctrl/lab/x_test.go", "func root(t *testing.T) {\n\tif os.Getenv(\"REQUIRE_ROOT\") == `1` {\n\t\tt.Fatal()\n\t}\n\tt.Skip()\n}", ""},
	} {
		s := sample(t, row.file, "package p\n"+row.text)
		var found []string
		for _, h := range habits {
			found = append(found, h.find(s)...)
		}
		got := strings.Join(found, "\n")
		if !strings.Contains(got, row.want) || row.want == "" && got != "" {
			t.Errorf("%s: %q: got %q, want %q", row.file, row.text, got, row.want)
		}
	}
}
