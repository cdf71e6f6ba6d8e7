package fastpath

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/dataplane/flow"
)

// errNoTCX is the answer of a kernel that is too old, or built without its eBPF hook for network devices.
var errNoTCX = errors.New("the kernel has no tcx hook: needs Linux 6.6 or later with CONFIG_NET_XGRESS")

// missingTCX reports whether a query for tcx programs failed because there can be none.
func missingTCX(err error) bool {
	return errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.EINVAL)
}

// explain adds to an error of the bpf system call what a person can do about it.
func explain(err error) error {
	var refused *ebpf.VerifierError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM):
		// What the library guesses beside it, a limit of locked memory, is of kernels before 5.11.
		return fmt.Errorf("%w: needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (run it as root), and no kernel lockdown", unix.EPERM)
	case errors.As(err, &refused):
		return fmt.Errorf("the kernel's verifier refuses the program: %w: needs Linux 6.6 or later", err)
	case errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("%w: needs Linux 6.6 or later with eBPF and tcx", err)
	case errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("%w: the maps need more memory than there is", err)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%w: the interface is not in this network namespace", err)
	}
	return err
}

// full turns the kernel's ways of saying that the map takes no more into flow.ErrFull: it holds as many entries as it may, or the
// pool for new ones was not refilled yet.
func full(err error) error {
	if errors.Is(err, unix.E2BIG) || errors.Is(err, unix.ENOMEM) {
		return flow.ErrFull
	}
	return err
}
