package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// The committed files are those that the generator writes today.
func TestGeneratedFilesAreFresh(t *testing.T) {
	root := filepath.Join("..", "..", "..", "..")
	for path, render := range files {
		have, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Errorf("%v: run `go generate ./dataplane/flow`", err)
			continue
		}
		if !bytes.Equal(have, render(flow.Reasons())) {
			t.Errorf("%s is stale: run `go generate ./dataplane/flow`", path)
		}
	}
}

func TestEveryReasonFitsItsStride(t *testing.T) {
	if n := len(flow.Reasons()); n > flow.ReasonStride {
		t.Fatalf("%d reasons do not fit %d counters", n, flow.ReasonStride)
	}
}

func TestRender(t *testing.T) {
	table := []flow.ReasonInfo{
		{Reason: 0, Code: "NONE"},
		{Reason: 7, Code: "NO_COFFEE", About: "Tea | or\nnothing.", Source: "vpclab"},
	}
	if got, want := string(header(table)), "enum reason {\n\tREASON_NONE = 0,\n\tREASON_NO_COFFEE = 7,\n};\n"; !strings.HasSuffix(got, want) {
		t.Errorf("header is %q, want the end %q", got, want)
	}
	if got, want := string(page(table)), "|---|---|---|\n| `NO_COFFEE` | Tea \\| or nothing. | vpclab |\n"; !strings.HasSuffix(got, want) {
		t.Errorf("page is %q, want the end %q", got, want)
	}
}
