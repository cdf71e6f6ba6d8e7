package scenarios

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/vpclab/vpclab/ctrl/check"
	"github.com/vpclab/vpclab/ctrl/flowlog/catalog"
	"github.com/vpclab/vpclab/ctrl/lab"
	"github.com/vpclab/vpclab/ctrl/scenario"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestDelivered compares the files that flow logs deliver with golden ones, byte for byte, with the fast path on and off: lab time stands
// still, packets are crafted, and identifiers are derived from names.
func TestDelivered(t *testing.T) {
	needRoot(t)
	// The scenario's name does not end in .yaml, so that who runs this folder's scenarios has no flow logs written among the golden files.
	const golden, file = "testdata/delivered", "scenario.yaml.txt"
	for _, offload := range []bool{true, false} {
		t.Run(fmt.Sprintf("offload=%t", offload), func(t *testing.T) {
			got := deliver(t, filepath.Join(golden, file), offload)
			if *update && offload {
				writeTree(t, golden, got)
				return
			}
			want := readTree(t, golden)
			delete(want, file)
			for name, content := range want {
				if got[name] != content {
					t.Errorf("%s is\n%s\nwant\n%s", name, got[name], content)
				}
			}
			for name, content := range got {
				if _, ok := want[name]; !ok {
					t.Errorf("%s is not wanted:\n%s", name, content)
				}
			}
		})
	}
}

// deliver runs a scenario in a folder of its own, from its beginning to the lab's end, and returns the files that it left there.
func deliver(t *testing.T, file string, offload bool) map[string]string {
	t.Helper()
	dir := t.TempDir()
	s := loadCopy(t, file, dir)
	l, err := lab.Start(t.Context(), s, lab.Options{Offload: offload, Out: filepath.Join(dir, "out")})
	if err != nil {
		t.Fatal(err)
	}
	runner := check.NewRunner(l)
	for _, step := range s.Steps {
		runStep(t.Context(), t, l, runner, step)
	}
	runner.Close()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := l.Undelivered(); err != nil {
		t.Error(err)
	}
	left := readTree(t, dir)
	delete(left, filepath.Base(file))
	delete(left, filepath.Join("out", filepath.Base(catalog.Path("", s.Name)))) // says when it was written
	return left
}

// loadCopy reads a scenario whose relative paths begin in dir.
func loadCopy(t *testing.T, file, dir string) *scenario.Scenario {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, filepath.Base(file))
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := scenario.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	rename(s, fmt.Sprintf("test-%d-%d", os.Getpid(), labs.Add(1)))
	return s
}

// readTree reads the files below a folder by their paths in it. One that is compressed is read as what is in it.
func readTree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if filepath.Ext(name) == ".gz" {
			name = name[:len(name)-len(".gz")]
			if content, err = unzip(content); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
		files[name] = string(content)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func unzip(b []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func writeTree(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
