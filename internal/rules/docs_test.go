package rules

import (
	"go/ast"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	sentenceEnd = regexp.MustCompile(`[.!?](\s|$)`)
	denial      = regexp.MustCompile(`(?i)\b(no|not|nor|none|never|nothing|neither|only|without|cannot)\b`)
)

// packageDoc judges a package by what its files say above `package`.
func packageDoc(files []source) string {
	var docs []string
	for _, s := range files {
		if s.file.Doc != nil {
			docs = append(docs, strings.TrimSpace(s.file.Doc.Text()))
		}
	}
	switch {
	case len(docs) == 0:
		return "has no doc comment"
	case len(docs) > 1:
		return "has several doc comments; one file says what it is"
	case len(sentenceEnd.FindAllString(docs[0], -1)) < 2 && !strings.Contains(docs[0], ";"):
		return "is described in one sentence; a second says what it does not do"
	case !denial.MatchString(docs[0]):
		return "does not say what it does not do"
	}
	return ""
}

// undocumented are a file's exported names without a comment. Names in a group are documented by the group or one by one, and methods
// that only meet an interface by their type.
func undocumented(s source) (findings []string) {
	for _, d := range s.file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
				findings = append(findings, s.finding(d.Pos(), "%s is exported and says nothing", d.Name.Name))
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
						findings = append(findings, s.finding(spec.Pos(), "%s is exported and says nothing", spec.Name.Name))
					}
				case *ast.ValueSpec:
					said := d.Doc != nil || spec.Doc != nil || spec.Comment != nil
					if i := slices.IndexFunc(spec.Names, (*ast.Ident).IsExported); i >= 0 && !said {
						findings = append(findings, s.finding(spec.Pos(), "%s is exported and says nothing", spec.Names[i].Name))
					}
				}
			}
		}
	}
	return findings
}

// wellKnown are methods that everybody knows by their name and signature: errors, sort, fmt and encoding ask for them.
var wellKnown = map[string]bool{"Error": true, "String": true, "Unwrap": true, "Is": true, "Len": true, "Less": true, "Swap": true}

// exportedReceiver says that people can come by the method: it is a function, or one of an exported type.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if generic, ok := t.(*ast.IndexExpr); ok {
		t = generic.X
	}
	name, ok := t.(*ast.Ident)
	return ok && name.IsExported() && !wellKnown[d.Name.Name]
}

func TestPackagesSayWhatTheyAreAndAreNot(t *testing.T) {
	byPkg := packages(t)
	for _, s := range tree(t) { // a package of tests alone says it in one of them
		if _, ok := byPkg[s.pkg()]; !ok && s.test {
			byPkg[s.pkg()] = nil
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(byPkg)) {
		files := byPkg[pkg]
		if files == nil {
			files = slices.DeleteFunc(slices.Clone(tree(t)), func(s source) bool { return s.pkg() != pkg })
		}
		if wrong := packageDoc(files); wrong != "" {
			t.Errorf("package %s %s", pkg, wrong)
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	for _, files := range packages(t) {
		for _, s := range files {
			report(t, undocumented(s))
		}
	}
}

func TestDocumentationRulesBite(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{"package p", "has no doc comment"},
		{"// Package p counts sheep.\npackage p", "one sentence"},
		{"// Package p counts sheep. It counts them well.\npackage p", "does not say what it does not do"},
		{"// Package p counts sheep. It does not wake them.\npackage p", ""},
		{"// Package p counts sheep; it wakes none.\npackage p", ""},
	} {
		s := sample(t, "p/p.go", row.text)
		if got := packageDoc([]source{s}); !strings.Contains(got, row.want) || row.want == "" && got != "" {
			t.Errorf("%q: got %q, want %q", row.text, got, row.want)
		}
	}
	for _, row := range []struct{ text, want string }{
		{"func Count() int { return 0 }", "Count is exported"},
		{"type Sheep int", "Sheep is exported"},
		{"const (\n\ta = 1\n\tB = 2\n)", "B is exported"},
		{"var Wool int", "Wool is exported"},
		{"// A sheep.\ntype Sheep int\nfunc (Sheep) Shear() {}", "Shear is exported"},
		{"// Count counts.\nfunc Count() int { return 0 }", ""},
		{"type sheep int\nfunc (*sheep) Shear() {}", ""},
		{"// Colours of wool.\nconst (\n\tWhite = 1\n\tBlack = 2\n)", ""},
		{"const (\n\tWhite = 1 // as snow\n)", ""},
	} {
		got := strings.Join(undocumented(sample(t, "p/p.go", "package p\n"+row.text)), "\n")
		if !strings.Contains(got, row.want) || row.want == "" && got != "" {
			t.Errorf("%q: got %q, want %q", row.text, got, row.want)
		}
	}
}

// sample is a file that a rule is tried on.
func sample(t *testing.T, name, text string) source {
	t.Helper()
	s, err := parse(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
