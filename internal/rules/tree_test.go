package rules

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	root   = "../.." // from this package
	module = "github.com/vpclab/vpclab"
)

// source is one Go file.
type source struct {
	path      string // from the repository's root
	test      bool
	generated bool
	set       *token.FileSet
	file      *ast.File
}

// pkg is the package's folder, which is its import path below the module.
func (s source) pkg() string { return path.Dir(s.path) }

// program says that the file belongs to a program rather than to a library.
func (s source) program() bool { return s.file.Name.Name == "main" }

// finding is a place where a rule is broken, in the form that editors and terminals follow: FILE:LINE: what is wrong.
func (s source) finding(at token.Pos, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: %s", s.path, s.line(at), fmt.Sprintf(format, args...))
}

// line is where something stands, counted from 1.
func (s source) line(at token.Pos) int { return s.set.Position(at).Line }

// imports calls f for each import of the file.
func (s source) imports(f func(path string, at token.Pos)) {
	for _, i := range s.file.Imports {
		f(strings.Trim(i.Path.Value, "`\""), i.Pos())
	}
}

// uses calls f for each use of one of a package's names, called or not: `time.Now` handed on is a clock, too.
func (s source) uses(imported string, f func(name string, at token.Pos)) {
	local := ""
	for _, i := range s.file.Imports {
		if strings.Trim(i.Path.Value, "`\"") != imported {
			continue
		}
		local = path.Base(imported)
		if i.Name != nil {
			local = i.Name.Name
		}
	}
	if local == "" {
		return
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := selector.X.(*ast.Ident); ok && x.Name == local {
				f(selector.Sel.Name, selector.Pos())
			}
		}
		return true
	})
}

// parse reads one file.
func parse(name string, text []byte) (source, error) {
	s := source{path: name, test: strings.HasSuffix(name, "_test.go"), set: token.NewFileSet()}
	var err error
	s.file, err = parser.ParseFile(s.set, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err == nil {
		s.generated = ast.IsGenerated(s.file)
	}
	return s, err
}

// sources are all Go files of the module. Folders that are modules of their own are not part of it.
var sources = sync.OnceValues(func() ([]source, error) {
	var all []source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, other := os.Stat(filepath.Join(name, "go.mod"))
			if name != root && (other == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		s, err := parse(filepath.ToSlash(relative), text)
		all = append(all, s)
		return err
	})
	return all, err
})

// tree are all Go files, at least as many as would make a rule worth something.
func tree(t *testing.T) []source {
	t.Helper()
	all, err := sources()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("only %d Go files found: the rules would pass unread", len(all))
	}
	return all
}

// packages are the files of each package by its folder, without tests and generated files.
func packages(t *testing.T) map[string][]source {
	t.Helper()
	byPkg := map[string][]source{}
	for _, s := range tree(t) {
		if !s.test && !s.generated {
			byPkg[s.pkg()] = append(byPkg[s.pkg()], s)
		}
	}
	return byPkg
}

// committed are the repository's files as a clone would have them, and those that will be once they are committed.
func committed(t *testing.T) []string {
	t.Helper()
	git := exec.Command("git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	git.Dir = root
	out, err := git.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	var names []string
	for name := range bytes.SplitSeq(bytes.TrimRight(out, "\x00"), []byte{0}) {
		if _, err := os.Lstat(filepath.Join(root, string(name))); err == nil { // else deleted, and not yet committed
			names = append(names, string(name))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// report fails the test with each finding.
func report(t *testing.T, findings []string) {
	t.Helper()
	for _, f := range findings {
		t.Error(f)
	}
}

// below says that a package is one of the folders or lies in one: "a" holds "a" and "a/b".
func below(pkg string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return f == "" || pkg == f || strings.HasPrefix(pkg, f+"/") })
}
