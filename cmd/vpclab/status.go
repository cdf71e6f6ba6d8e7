package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
)

// The exit statuses. Of several files the highest counts: what says most about whether the other results can be trusted.
const (
	statusPassed  = 0 // all passed
	statusFailed  = 1 // a check failed
	statusUsage   = 2 // a file or the command line is wrong; nothing was built
	statusMachine = 3 // this machine cannot run it: no root, no tcx, the lab's name is taken
	statusBroken  = 4 // something of vpclab's own broke

	// A run that a signal ended says nothing about the checks that were left, so none of the above would be true. It ends as a shell
	// reports a program that the signal killed: 130 after Ctrl-C (SIGINT), 143 after SIGTERM, 129 after SIGHUP.
	statusSignal = 128
)

// failure is an error that knows the exit status it leads to.
type failure struct {
	status int
	err    error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// wrong is the failure of a wrong file or command line.
func wrong(format string, args ...any) error {
	return &failure{statusUsage, fmt.Errorf(format, args...)}
}

// statusOf is the exit status of an error; one that names none is vpclab's own.
func statusOf(err error) int {
	var f *failure
	var i interrupted
	switch {
	case err == nil:
		return statusPassed
	case errors.As(err, &i):
		return statusSignal + int(i.signal)
	case errors.Is(err, syscall.EPIPE): // who read our output has gone, and left before a SIGPIPE reached us
		return statusSignal + int(syscall.SIGPIPE)
	case errors.As(err, &f):
		return f.status
	}
	return statusBroken
}

// interruption is the signal that ended ctx, or nil while none has.
func interruption(ctx context.Context) error {
	if i, ok := errors.AsType[interrupted](context.Cause(ctx)); ok {
		return i
	}
	return ctx.Err()
}
