package rules

import (
	"bytes"
	"context"
	"debug/elf"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/scenario"
)

// block is a fenced block of a page.
type block struct {
	language string
	line     int // of its first line of text, counted from 1
	text     string
}

// blocks are a page's fenced blocks.
func blocks(page string) (all []block) {
	var open *block
	for i, line := range strings.Split(page, "\n") {
		language, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open == nil:
			open = &block{language: strings.TrimSpace(language), line: i + 2}
		case fence:
			all, open = append(all, *open), nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	return all
}

// commands are the lines of a page's shell blocks, as one would type them.
func commands(page string) (all []string) {
	for _, b := range blocks(page) {
		if b.language != "sh" {
			continue
		}
		for line := range strings.Lines(b.text) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), "  # ")
			if line != "" && !strings.HasPrefix(line, "#") {
				all = append(all, line)
			}
		}
	}
	return all
}

// pages are the documentation that people read.
func pages(t *testing.T) []string {
	t.Helper()
	found := slices.DeleteFunc(committed(t), func(name string) bool { return filepath.Ext(name) != ".md" })
	for _, name := range []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/flow-logs.md", "docs/reasons.md"} {
		if !slices.Contains(found, name) {
			t.Errorf("%s is missing", name)
		}
	}
	return found
}

// A newcomer with Go and a Linux machine needs two commands: one that shows what vpclab is, and one that proves it.
func TestReadmeHasTwoCommands(t *testing.T) {
	have := commands(read(t, "README.md"))
	if len(have) != 2 {
		t.Fatalf("README.md has %d commands, not two: %q", len(have), have)
	}
	if !strings.Contains(have[0], "go build") || !strings.HasSuffix(have[0], "vpclab run scenarios/tour.yaml") {
		t.Errorf("README.md's first command does not build vpclab and run the tour: %s", have[0])
	}
	if !strings.HasSuffix(have[1], "go test ./...") { // this test is part of it, so it is not run here
		t.Errorf("README.md's second command does not run the tests: %s", have[1])
	}
}

func TestReadmesFirstCommandEndsInPassed(t *testing.T) {
	needRoot(t)
	have := commands(read(t, "README.md"))
	if len(have) == 0 {
		t.Fatal("README.md has no command")
	}
	clone := cloneTree(t)
	// A tour may be running on this machine, and a lab's name is taken while it runs.
	tour := filepath.Join(clone, "scenarios", "tour.yaml")
	edit(t, tour, regexp.MustCompile(`(?m)^name: .*$`), "name: rules-readme")

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "sh", "-c", have[0])
	shell.Dir = clone
	shell.Env = append(os.Environ(), "PATH="+withSudo(t)+string(os.PathListSeparator)+os.Getenv("PATH"))
	var out, complaints bytes.Buffer
	shell.Stdout, shell.Stderr = &out, &complaints
	if err := shell.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", have[0], err, out.Bytes(), complaints.Bytes())
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if last := lines[len(lines)-1]; !regexp.MustCompile(`^[1-9][0-9]+ passed, 0 failed$`).MatchString(last) {
		t.Errorf("%s ends with %q, not with ten or more `passed, 0 failed`\n%s", have[0], last, out.Bytes())
	}
}

// The page on flow logs has a scenario, commands, and what they print: byte for byte, as IDs are derived and the clock is set.
func TestFlowLogsPage(t *testing.T) {
	needRoot(t)
	found := blocks(read(t, "docs/flow-logs.md"))
	if len(found) != 3 || found[0].language != "yaml" || found[1].language != "sh" || found[2].language != "" {
		t.Fatalf("the page has not a scenario, commands and their output, but %d blocks", len(found))
	}
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "vpclab"), "./cmd/vpclab")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	file := filepath.Join(dir, "flow-logs.yaml")
	if err := os.WriteFile(file, []byte(found[0].text), 0o600); err != nil {
		t.Fatal(err)
	}
	edit(t, file, regexp.MustCompile(`(?m)^name: .*$`), "name: rules-flow-logs") // that one may be running
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "sh", "-ec", found[1].text)
	shell.Dir = dir
	shell.Env = append(os.Environ(), "PATH="+withSudo(t)+string(os.PathListSeparator)+os.Getenv("PATH"))
	var out, complaints bytes.Buffer
	shell.Stdout, shell.Stderr = &out, &complaints
	if err := shell.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", found[1].text, err, out.Bytes(), complaints.Bytes())
	}
	_, records, _ := strings.Cut(out.String(), " passed, 0 failed\n")
	if records != found[2].text {
		t.Errorf("the flow log of docs/flow-logs.md is\n%swant what is printed:\n%s", found[2].text, records)
	}
}

// withSudo is a folder with a sudo for machines where root has none.
func withSudo(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := exec.LookPath("sudo"); err != nil {
		if err := os.WriteFile(filepath.Join(dir, "sudo"), []byte("#!/bin/sh\nexec \"$@\"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// cloneTree copies what a clone would hold to a folder of its own.
func cloneTree(t *testing.T) string {
	t.Helper()
	clone := t.TempDir()
	for _, name := range committed(t) {
		to := filepath.Join(clone, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := copyFile(filepath.Join(root, name), to); err != nil {
			t.Fatal(err)
		}
	}
	return clone
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	state, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, state.Mode().Perm())
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}

// edit replaces the one place that an expression finds.
func edit(t *testing.T, name string, at *regexp.Regexp, with string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(at.FindAll(text, -1)); n != 1 {
		t.Fatalf("%s: %v is found %d times", filepath.Base(name), at, n)
	}
	if err := os.WriteFile(name, at.ReplaceAll(text, []byte(with)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// needRoot skips a test that builds labs where that cannot be done.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("REQUIRE_ROOT") == "1" {
		t.Fatal("needs root")
	}
	t.Skip("needs root")
}

// A program of ours is one file that needs nothing beside it, not even a loader.
func TestMakeBuildsAStaticBinary(t *testing.T) {
	build := regexp.MustCompile(`(?m)^build:.*\n\t(.*)$`).FindStringSubmatch(read(t, "Makefile"))
	if build == nil {
		t.Fatal("Makefile has no verb build")
	}
	binary := filepath.Join(t.TempDir(), "vpclab")
	command := strings.Replace(build[1], "-o vpclab", "-o "+binary, 1)
	shell := exec.Command("sh", "-c", command)
	shell.Dir = root
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	f, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("%s makes a binary with a segment %v: it is not static", build[1], p.Type)
		}
	}
}

func TestScenariosInPagesAreRight(t *testing.T) {
	found := 0
	for _, page := range pages(t) {
		for _, b := range blocks(read(t, page)) {
			if b.language == "yaml" {
				found++
				if _, err := scenario.Parse(page, []byte(b.text)); err != nil {
					t.Errorf("the block at %s:%d is no scenario (its lines count from 1): %v", page, b.line, err)
				}
			}
		}
	}
	if found == 0 {
		t.Error("no page shows a scenario")
	}
}

// What pages name, as it is written in them.
var (
	makeVerb   = regexp.MustCompile(`(?m)^(?:sudo )?make ([a-z]+)`)
	vpclabVerb = regexp.MustCompile(`(?m)(?:^|\./|sudo )vpclab ([a-z]+)(.*)$`)
	flagName   = regexp.MustCompile(`--[a-z]+`)
	linkTarget = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	pathName   = regexp.MustCompile("`((?:cmd|ctrl|dataplane|docs|ebpf|internal|scenarios|scripts|tools)/[a-zA-Z0-9_./-]*)`")
)

func TestPagesNameVerbsOfMakeThatExist(t *testing.T) {
	makefile := read(t, "Makefile")
	found := 0
	for _, page := range pages(t) {
		for _, m := range makeVerb.FindAllStringSubmatch(code(read(t, page)), -1) {
			found++
			if !regexp.MustCompile(`(?m)^` + m[1] + `:`).MatchString(makefile) {
				t.Errorf("%s: the Makefile has no verb %s", page, m[1])
			}
		}
	}
	if found == 0 {
		t.Error("no page names a verb of make")
	}
}

func TestPagesNameCommandsThatExist(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "vpclab")
	build := exec.Command("go", "build", "-o", binary, "./cmd/vpclab")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	help := map[string]string{}
	for _, page := range pages(t) {
		for _, m := range vpclabVerb.FindAllStringSubmatch(code(read(t, page)), -1) {
			verb, arguments := m[1], m[2]
			if _, asked := help[verb]; !asked {
				out, err := exec.Command(binary, verb, "--help").CombinedOutput()
				if err != nil {
					t.Errorf("%s: vpclab has no command %s: %v\n%s", page, verb, err, out)
				}
				help[verb] = string(out)
			}
			for _, flag := range flagName.FindAllString(arguments, -1) {
				if !strings.Contains(help[verb], flag) {
					t.Errorf("%s: vpclab %s has no flag %s", page, verb, flag)
				}
			}
		}
	}
	if len(help) < 3 {
		t.Errorf("the pages name only %d of vpclab's commands", len(help))
	}
}

func TestPagesNameFilesThatExist(t *testing.T) {
	found := 0
	exists := func(page, name string) {
		found++
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Errorf("%s names %s, which does not exist", page, name)
		}
	}
	for _, page := range pages(t) {
		text := read(t, page)
		for _, m := range linkTarget.FindAllStringSubmatch(text, -1) {
			exists(page, filepath.Join(filepath.Dir(page), m[1]))
		}
		for _, m := range pathName.FindAllStringSubmatch(text, -1) {
			exists(page, m[1])
		}
	}
	if found < 10 {
		t.Errorf("the pages name only %d files", found)
	}
}

// code is what a page sets as code, in blocks and in lines, a line each.
func code(page string) string {
	var all strings.Builder
	for _, b := range blocks(page) {
		if b.language == "sh" {
			all.WriteString(b.text)
		}
	}
	for _, m := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(page, -1) {
		all.WriteString(m[1] + "\n")
	}
	return all.String()
}

func TestNamesInPagesAreFound(t *testing.T) {
	page := "Type `make soak`, or `sudo ./vpclab run --keep x`; see [it](docs/x.md#y) and `ctrl/vpc`.\n```sh\nmake\ngo build && ./vpclab down\n```\n"
	for _, row := range []struct {
		in   string
		by   *regexp.Regexp
		want []string
	}{
		{code(page), makeVerb, []string{"soak"}},
		{code(page), vpclabVerb, []string{"down", "run"}},
		{page, linkTarget, []string{"docs/x.md"}},
		{page, pathName, []string{"ctrl/vpc"}},
	} {
		var got []string
		for _, m := range row.by.FindAllStringSubmatch(row.in, -1) {
			got = append(got, m[1])
		}
		if !slices.Equal(got, row.want) {
			t.Errorf("%v finds %q, want %q", row.by, got, row.want)
		}
	}
}

func TestBlocksAreFound(t *testing.T) {
	page := "# p\n```sh\ngo build  # first\n# a remark\n\ngo test ./...\n```\ntext\n```yaml\nname: x\n```\n```\nplain\n```\n"
	if got, want := commands(page), []string{"go build", "go test ./..."}; !slices.Equal(got, want) {
		t.Errorf("commands are %q, want %q", got, want)
	}
	if got := blocks(page); len(got) != 3 || got[1] != (block{"yaml", 10, "name: x\n"}) {
		t.Errorf("blocks are %+v", got)
	}
}
