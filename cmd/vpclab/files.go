package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vpclab/vpclab/ctrl/scenario"
)

// scenarioFiles turns what the command line names into scenario files in path order, each once. A folder stands for every *.yaml
// file below it, without those in folders whose name begins with a dot. The error lists all that is wrong.
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
	case errors.Is(err, fs.ErrNotExist):
		return nil, wrong("%s: no such file or folder%s", path, didYouMean(path, siblings(path)))
	case err != nil:
		return nil, wrong("%s: %v", path, cause(err))
	case !info.IsDir():
		return []string{path}, nil
	}
	var files []string
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != path && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case !d.IsDir() && filepath.Ext(p) == ".yaml":
			files = append(files, p)
		}
		return nil
	})
	if err != nil {
		return nil, wrong("%s: %v", path, err)
	}
	if len(files) == 0 {
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

// loadAll reads every file before anything is built. Its errors belong to the files by index; they are nil when all files are right.
func loadAll(files []string) (loaded []*scenario.Scenario, problems []error) {
	loaded = make([]*scenario.Scenario, len(files))
	problems = make([]error, len(files))
	for i, file := range files {
		s, err := scenario.Load(file)
		if err != nil {
			problems[i] = &failure{statusUsage, err}
			continue
		}
		loaded[i] = s
	}
	return loaded, problems
}
