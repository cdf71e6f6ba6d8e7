package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vpclab/vpclab/ctrl/scenario"
)

// scenarioFiles turns what the command line names into scenario files in path order, each once. A folder stands for every *.yaml
// file below it, without those that are hidden (an editor's .#shop.yaml) or in hidden folders, and without pipes and devices, which a
// walk must not wait for. The error lists all that is wrong.
func scenarioFiles(args []string) ([]string, error) {
	var files []string
	var problems []error
	for _, arg := range args {
		found, err := expand(filepath.Clean(arg))
		if err != nil {
			problems = append(problems, err)
		}
		files = append(files, found...)
	}
	if len(problems) > 0 {
		return nil, &failure{statusUsage, errors.Join(problems...)}
	}
	slices.SortFunc(files, comparePaths)
	return slices.Compact(files), nil
}

func expand(path string) ([]string, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && path == "-":
		return nil, wrong("-: no such file or folder; standard input is /dev/stdin")
	case errors.Is(err, fs.ErrNotExist):
		return nil, wrong("%s: no such file or folder%s", path, didYouMean(path, siblings(path)))
	case err != nil:
		return nil, wrong("%s: %v", path, cause(err))
	case !info.IsDir():
		return []string{path}, nil
	}
	root := path + string(filepath.Separator) // so that a link to a folder is walked, too
	var files []string
	other := "" // one that may be meant
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		hidden := p != root && strings.HasPrefix(d.Name(), ".")
		switch {
		case err != nil:
			return err
		case d.IsDir() && hidden:
			return filepath.SkipDir
		case d.IsDir() || hidden || d.Type()&(fs.ModeNamedPipe|fs.ModeSocket|fs.ModeDevice) != 0:
		case filepath.Ext(p) == ".yaml":
			files = append(files, p)
		case filepath.Ext(p) == ".yml":
			other = p
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, wrong("%v", unopened(err))
	case len(files) == 0 && other != "":
		return nil, wrong("%s: no *.yaml file in this folder or below; name %s itself, or end its name in .yaml", path, other)
	case len(files) == 0:
		return nil, wrong("%s: no *.yaml file in this folder or below; name a scenario file", path)
	}
	return files, nil
}

// comparePaths orders files as a walk through their folders does: component by component, so that a/z comes before a-b/a.
func comparePaths(a, b string) int {
	return slices.Compare(strings.Split(a, string(filepath.Separator)), strings.Split(b, string(filepath.Separator)))
}

// siblings lists the scenario files and folders beside a path that does not exist.
func siblings(path string) []string {
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // then there is nothing to propose
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() || filepath.Ext(e.Name()) == ".yaml" {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	return names
}

// cause is the last part of a file error, whose path the caller has already named.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// unopened is a file error without the system call's name.
func unopened(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s: %w", filepath.Clean(p.Path), p.Err)
	}
	return err
}

// loadAll reads every file before anything is built. Its errors belong to the files by index; they are nil when all files are right.
func loadAll(files []string) (loaded []*scenario.Scenario, problems []error) {
	loaded = make([]*scenario.Scenario, len(files))
	problems = make([]error, len(files))
	for i, file := range files {
		s, err := scenario.Load(file)
		if err != nil {
			problems[i] = &failure{statusUsage, unopened(err)}
			continue
		}
		loaded[i] = s
	}
	return loaded, problems
}
