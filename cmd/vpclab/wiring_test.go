package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/check"
	"github.com/vpclab/vpclab/ctrl/hostnet"
	"github.com/vpclab/vpclab/ctrl/lab"
	"github.com/vpclab/vpclab/ctrl/scenario"
)

func TestBlame(t *testing.T) {
	for _, row := range []struct {
		err  error
		want int
	}{
		{nil, statusPassed},
		{fmt.Errorf("up: %w", &hostnet.InUseError{Lab: "shop"}), statusMachine},
		{fmt.Errorf("attach: %w: no tcx", lab.ErrMachine), statusMachine},
		{&os.SyscallError{Syscall: "unshare", Err: syscall.EPERM}, statusMachine},
		{fmt.Errorf("apply: %w", &hostnet.FileLimitError{Need: 88, Limit: 20}), statusMachine},
		{&os.PathError{Op: "write", Path: "/run/vpclab/shop/manifest.json.new", Err: syscall.ENOSPC}, statusMachine},
		{&os.PathError{Op: "mkdir", Path: "/run/vpclab", Err: syscall.EROFS}, statusMachine},
		{fmt.Errorf("enter namespace: %w", syscall.EMFILE), statusMachine},
		{&check.StartError{Program: "./srv", Err: syscall.ENOENT}, statusUsage},
		{&check.StartError{Program: "./srv", Err: syscall.ENOMEM}, statusMachine},
		{errors.New("out of cheese"), statusBroken},
		{errors.Join(errors.New("x"), &os.PathError{Op: "open", Path: "/run/vpclab", Err: syscall.EPERM}), statusMachine},
	} {
		if got := statusOf(blame(row.err)); got != row.want {
			t.Errorf("%v: status %d, want %d", row.err, got, row.want)
		}
	}
}

func TestACheckThatTheMachineForbidsIsNotVpclabsFailure(t *testing.T) {
	for want, err := range map[int]error{
		statusMachine: fmt.Errorf("open socket in app/web: socket: %w", syscall.EPERM),
		statusBroken:  errors.New("getsockname: out of cheese"),
	} {
		r := check.Result{Check: &scenario.Check{Do: scenario.Do{Verb: scenario.Ping}}, Err: err}
		if got := checkStatus(r); got != want {
			t.Errorf("%v: status %d, want %d", err, got, want)
		}
	}
}

// A pipe stands in for a process: its read end becomes readable when the other end is closed, as a pidfd does when its process ends.
func TestWaitGone(t *testing.T) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(ends[0])
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(interrupted{syscall.SIGINT})
	if err := waitGone(ctx, ends[0]); err != (interrupted{syscall.SIGINT}) {
		t.Errorf("interrupted while it waits: %v", err)
	}
	if err := unix.Close(ends[1]); err != nil {
		t.Fatal(err)
	}
	if err := waitGone(context.Background(), ends[0]); err != nil {
		t.Errorf("gone: %v", err)
	}
}
