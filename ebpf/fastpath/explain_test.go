package fastpath

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/dataplane/flow"
)

func TestExplain(t *testing.T) {
	for _, row := range []struct {
		err  error
		want string
	}{
		{unix.EPERM, "operation not permitted: needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (run it as root), and no kernel lockdown"},
		{fmt.Errorf("map create: %w", unix.EPERM), "operation not permitted: needs CAP_BPF"},
		{&ebpf.VerifierError{Cause: unix.EACCES, Log: []string{"R1 invalid mem access"}}, "the kernel's verifier refuses the program: "},
		{fmt.Errorf("program: %w", ebpf.ErrNotSupported), "program: not supported: needs Linux 6.6 or later with eBPF and tcx"},
		{unix.ENOMEM, "cannot allocate memory: the maps need more memory than there is"},
		{unix.ENODEV, "no such device: the interface is not in this network namespace"},
		{errNoTCX, "the kernel has no tcx hook: needs Linux 6.6 or later with CONFIG_NET_XGRESS"},
	} {
		got := explain(row.err)
		if !strings.HasPrefix(got.Error(), row.want) {
			t.Errorf("%v is explained as %q, want %q", row.err, got, row.want)
		}
		if !errors.Is(got, row.err) && !errors.Is(got, unix.EPERM) {
			t.Errorf("%v is lost in %q", row.err, got)
		}
	}
	if explain(nil) != nil {
		t.Error("nothing to explain was explained")
	}
}

func TestMissingTCX(t *testing.T) {
	for err, want := range map[error]bool{unix.EINVAL: true, ebpf.ErrNotSupported: true, unix.EPERM: false, nil: false} {
		if got := missingTCX(err); got != want {
			t.Errorf("%v: %t", err, got)
		}
	}
}

func TestFull(t *testing.T) {
	for _, err := range []error{unix.E2BIG, fmt.Errorf("update: %w", unix.ENOMEM)} {
		if !errors.Is(full(err), flow.ErrFull) {
			t.Errorf("%v is not full", err)
		}
	}
	if err := full(unix.EPERM); !errors.Is(err, unix.EPERM) {
		t.Errorf("%v", err)
	}
}

// A thread without capabilities gets the hint, and nothing else.
func TestLoadWithoutCapabilities(t *testing.T) {
	needsRoot(t)
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: nobody else shall run without capabilities
		head, none := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, [2]unix.CapUserData{}
		if err := unix.Capset(&head, &none[0]); err != nil {
			result <- err
			return
		}
		_, err := Load(Config{})
		result <- err
	}()
	err := <-result
	if err == nil || !strings.HasPrefix(err.Error(), "load fast path: operation not permitted: needs CAP_BPF") {
		t.Errorf("error %v", err)
	}
}

// A kernel older than 6.6 is told by haveTCX, and this one is not.
func TestThisKernelHasTCX(t *testing.T) {
	needsRoot(t)
	if err := haveTCX(); err != nil {
		t.Fatal(err)
	}
}
