package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// machine is what a reader has to know of the machine to place the rates; the ratios depend on it less.
type machine struct {
	Kernel string `json:"kernel"` // "Linux 6.18.44"
	Arch   string `json:"arch"`   // x86_64
	CPU    string `json:"cpu,omitempty"`
	CPUs   int    `json:"cpus"`
	Load   string `json:"load,omitempty"` // load average of the last minute, at the start
	Go     string `json:"go"`
}

// thisMachine reads the facts. What the kernel does not tell is left empty.
func thisMachine() machine {
	m := machine{Kernel: "Linux", Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), Go: runtime.Version()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel += " " + unix.ByteSliceToString(u.Release[:])
		m.Arch = unix.ByteSliceToString(u.Machine[:])
	}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.CPU = cpuModel(info)
	}
	if average, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load, _, _ = strings.Cut(string(average), " ")
	}
	return m
}

// cpuModel finds the first processor's model name; not every architecture has one (proc_cpuinfo(5)).
func cpuModel(info []byte) string {
	for line := range bytes.Lines(info) {
		if key, value, found := strings.Cut(string(line), ":"); found && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func (m machine) String() string {
	cpu := m.CPU
	if cpu == "" {
		cpu = "processors"
	}
	s := fmt.Sprintf("%s, %s, %d x %s", m.Kernel, m.Arch, m.CPUs, cpu)
	if m.Load != "" {
		s += ", load average " + m.Load
	}
	return s
}
