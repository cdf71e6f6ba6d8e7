package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The test binary is also the commands that the scripts call: vpclab itself, and vpclab-twin, the same command line on a machine that
// only pretends, whose labs are files in the folder labs.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"vpclab":      main,
		"vpclab-twin": func() { os.Exit(execute(os.Args[1:], newTwin("labs"), standardConsole())) },
	})
}

// TestScripts runs what people type, and reads what they see.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/scripts",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits,
			"await": await,
		},
		Condition: func(name string) (bool, error) {
			if name != "root" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			if os.Geteuid() == 0 {
				return true, nil
			}
			if os.Getenv("REQUIRE_ROOT") == "1" {
				return false, errors.New("REQUIRE_ROOT=1, but this is not root")
			}
			return false, nil
		},
		RequireExplicitExec: true,
	})
}

// exits STATUS CMD ARG… runs a command that must end with that exit status.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS CMD ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit interface{ ExitCode() int }
		if !errors.As(err, &exit) {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// await FILE [TEXT] waits until a file is there, and has that text in it.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 || len(args) > 2 {
		ts.Fatalf("usage: await FILE [TEXT]")
	}
	var content []byte
	arrived := eventually(func() (there bool) {
		var err error
		content, err = os.ReadFile(ts.MkAbs(args[0]))
		return err == nil && (len(args) == 1 || strings.Contains(string(content), args[1]))
	})
	if !arrived {
		ts.Fatalf("%s did not come; the file has %q", strings.Join(args, " with "), content)
	}
}
