// Command genreasons writes the table of drop reasons for its other two readers: the C header of the eBPF program and the page
// of the documentation. It runs in dataplane/flow by `go generate`, and decides nothing about the reasons themselves.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// files are what is generated, by path from the repository's root.
var files = map[string]func([]flow.ReasonInfo) []byte{
	"ebpf/bpf/lib/reasons.h": header,
	"docs/reasons.md":        page,
}

func main() {
	log.SetFlags(0)
	root := filepath.Join("..", "..") // from dataplane/flow
	for path, render := range files {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(path, render(flow.Reasons()), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

// header renders the C enumeration.
func header(reasons []flow.ReasonInfo) []byte {
	var b bytes.Buffer
	b.WriteString("// SPDX-License-Identifier: GPL-2.0-only OR MIT\n")
	b.WriteString("// Code generated from dataplane/flow/reason.go by go generate. DO NOT EDIT.\n\n#pragma once\n\nenum reason {\n")
	for _, r := range reasons {
		fmt.Fprintf(&b, "\tREASON_%s = %d,\n", r.Code, r.Reason)
	}
	b.WriteString("};\n")
	return b.Bytes()
}

// page renders the documentation's table.
func page(reasons []flow.ReasonInfo) []byte {
	var b bytes.Buffer
	b.WriteString("<!-- Code generated from dataplane/flow/reason.go by go generate. DO NOT EDIT. -->\n\n# Why a packet did not arrive\n\n" +
		"Every packet that vpclab does not deliver has one of these reasons. They are what `because` takes in a check and what the drop\n" +
		"counters are named. Codes of AWS's Reachability Analyzer are used where it has one.\n\n" +
		"| reason | what happened | source |\n|---|---|---|\n")
	cell := strings.NewReplacer("|", `\|`, "\n", " ")
	for _, r := range reasons {
		if r.Reason == flow.None {
			continue
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.Code, cell.Replace(r.About), cell.Replace(r.Source))
	}
	return b.Bytes()
}
