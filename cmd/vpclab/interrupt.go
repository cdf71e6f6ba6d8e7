package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// interrupted is the cause of a context that a signal ended.
type interrupted struct{ signal syscall.Signal }

func (i interrupted) Error() string { return "interrupted by " + unix.SignalName(i.signal) }

// watchSignals ends the returned context at the first signal that asks the program to go. A lab is removed by whoever holds it once
// the context is done, and a further signal does not cut that short: told is called for each, with how many came so far. The
// returned stop gives the signals their usual effect back.
//
// SIGPIPE is among them because Go ends a program that writes to a closed standard output: `vpclab run … | head` would leave its
// lab behind. A signal that the parent chose to ignore (nohup, a shell's background job) stays ignored.
func watchSignals(parent context.Context, told func(s syscall.Signal, count int)) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	arrived := make(chan os.Signal, 8)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE} {
		if !signal.Ignored(s) {
			signal.Notify(arrived, s)
		}
	}
	done := make(chan struct{})
	go runSignals(arrived, done, func(s syscall.Signal, count int) {
		cancel(interrupted{s})
		told(s, count)
	})
	return ctx, func() {
		signal.Stop(arrived)
		close(done)
		cancel(context.Canceled)
	}
}

func runSignals(arrived <-chan os.Signal, done <-chan struct{}, each func(syscall.Signal, int)) {
	for count := 1; ; count++ {
		select {
		case s := <-arrived:
			each(s.(syscall.Signal), count)
		case <-done:
			return
		}
	}
}
