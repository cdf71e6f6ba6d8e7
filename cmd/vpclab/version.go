package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func versionCommand(c *console) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the versions of vpclab, Go and the kernel",
		Example: `  vpclab version`,
		Args:    noArguments,
		RunE: act(func(context.Context, []string) error {
			kernel, err := kernelRelease()
			if err != nil {
				return err
			}
			c.print(fmt.Sprintf("vpclab %s\n%s %s/%s\nLinux %s\n", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH, kernel))
			return nil
		}),
	}
}

// buildVersion is the version of the running binary as the Go tool recorded it.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "of unknown origin"
	}
	return describeBuild(info)
}

// describeBuild reads "v0.3.0" of a module from the proxy; version control's stamp, where there is one, stands behind it: "devel
// (38a195d71c02, 2026-11-22, modified)". Go gives an untagged checkout a version too, which says the same with more digits.
func describeBuild(info *debug.BuildInfo) string {
	version := info.Main.Version
	if version == "" || version == "(devel)" || strings.HasPrefix(version, "v0.0.0-") {
		version = "devel"
	}
	stamp := map[string]string{}
	for _, s := range info.Settings {
		stamp[s.Key] = s.Value
	}
	var about []string
	if r := stamp["vcs.revision"]; r != "" {
		about = append(about, r[:min(12, len(r))])
	}
	if day, _, ok := strings.Cut(stamp["vcs.time"], "T"); ok {
		about = append(about, day)
	}
	if stamp["vcs.modified"] == "true" {
		about = append(about, "modified")
	}
	if len(about) == 0 {
		return version
	}
	return version + " (" + strings.Join(about, ", ") + ")"
}

// kernelRelease is what `uname -r` prints.
func kernelRelease() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("uname: %w", err)
	}
	return unix.ByteSliceToString(u.Release[:]), nil
}
