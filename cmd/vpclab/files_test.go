package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/scenario"
)

func TestScenarioFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, file := range []string{"tour.yaml", "acl/b.yaml", "acl/a.yaml", "acl/deep/c.yaml", "acl-more/a.yaml", ".git/x.yaml",
		"notes.md", "other.yml", "none/x.txt", ".#tour.yaml", "legacy/a.yml"} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("acl/deep", "link"), unix.Mkfifo("acl/pipe.yaml", 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		about string
		args  []string
		want  []string
	}{
		{"a link to a folder", []string{"link"}, []string{"link/c.yaml"}},
		{"a pipe that is named, as <(…) of a shell is", []string{"acl/pipe.yaml"}, []string{"acl/pipe.yaml"}},
		{"a file", []string{"./tour.yaml"}, []string{"tour.yaml"}},
		{"a file named as such may be called anything", []string{"other.yml"}, []string{"other.yml"}},
		{"a folder, in path order", []string{"."}, []string{"acl/a.yaml", "acl/b.yaml", "acl/deep/c.yaml", "acl-more/a.yaml", "tour.yaml"}},
		{"several, sorted, each once", []string{"tour.yaml", "acl/b.yaml", "acl/deep", "./acl/b.yaml"},
			[]string{"acl/b.yaml", "acl/deep/c.yaml", "tour.yaml"}},
	} {
		got, err := scenarioFiles(row.args)
		if err != nil || !slices.Equal(got, row.want) {
			t.Errorf("%s: %v, %v; want %v", row.about, got, err, row.want)
		}
	}
	for want, args := range map[string][]string{
		"tur.yaml: no such file or folder; did you mean tour.yaml?":                                          {"tur.yaml"},
		"acl/aa.yaml: no such file or folder; did you mean acl/a.yaml?":                                      {"acl/aa.yaml"},
		"none: no *.yaml file in this folder or below; name a scenario file":                                 {"none"},
		"-: no such file or folder; standard input is /dev/stdin":                                            {"-"},
		"legacy: no *.yaml file in this folder or below; name legacy/a.yml itself, or end its name in .yaml": {"legacy"},
		"tour.yaml/x: not a directory":                                                                       {"tour.yaml/x"},
		"q: no such file or folder\nnone: no *.yaml file in this folder or below; name a scenario file":      {"q", "none", "tour.yaml"},
	} {
		_, err := scenarioFiles(args)
		if err == nil || err.Error() != want || statusOf(err) != statusUsage {
			t.Errorf("%v: error %v\nwant %s", args, err, want)
		}
	}
}

func TestUnreadableFilesAreNamedOnce(t *testing.T) {
	denied := &fs.PathError{Op: "open", Path: "shop.yaml", Err: syscall.EACCES}
	for _, err := range []error{denied, fmt.Errorf("read scenario: %w", denied)} {
		if got := unopened(err).Error(); got != "shop.yaml: permission denied" {
			t.Errorf("%v is told as %q", err, got)
		}
	}
	_, problems := loadAll([]string{t.TempDir()})
	if problems[0] == nil || !strings.HasSuffix(problems[0].Error(), ": is a directory") || statusOf(problems[0]) != statusUsage {
		t.Errorf("a folder where a file should be: %v", problems[0])
	}
}

func TestSelectSteps(t *testing.T) {
	steps := []scenario.Step{
		named("open", scenario.Do{Verb: scenario.TCP}, "ssh"),
		{Advance: 1},
		named("still there", scenario.Do{Verb: scenario.Say, Held: "ssh"}, ""),
		named("other", scenario.Do{Verb: scenario.Ping}, ""),
		named("hang up", scenario.Do{Verb: scenario.Close, Held: "ssh"}, ""),
		named("open again", scenario.Do{Verb: scenario.TCP}, "ssh"),
		named("still there, too", scenario.Do{Verb: scenario.Say, Held: "ssh"}, ""),
	}
	for _, row := range []struct {
		about string
		only  []string
		want  string
	}{
		{"without names all stay", nil, "open, advance, still there, other, hang up, open again, still there, too"},
		{"one, and the steps", []string{"other"}, "advance, other"},
		{"with the connection that it needs", []string{"still there"}, "open, advance, still there"},
		{"with the latest of that name", []string{"still there, too"}, "advance, open again, still there, too"},
		{"two", []string{"other", "hang up"}, "open, advance, other, hang up"},
		{"none of that name: nothing at all", []string{"absent"}, ""},
	} {
		var names []string
		for _, s := range selectSteps(steps, row.only) {
			if s.Check == nil {
				names = append(names, "advance")
				continue
			}
			names = append(names, s.Check.Name)
		}
		if got := strings.Join(names, ", "); got != row.want {
			t.Errorf("%s: %s, want %s", row.about, got, row.want)
		}
	}
}

func named(name string, do scenario.Do, keep string) scenario.Step {
	return scenario.Step{Check: &scenario.Check{Name: name, Do: do, Keep: keep}}
}
