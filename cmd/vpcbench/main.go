// Command vpcbench measures vpclab against its limit, a bare veth pair, and against its peer, forwarding by the kernel, in one run on
// one machine. It neither tunes the machine nor judges it: its figures are ratios, and only they are worth comparing.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/vpclab/vpclab/cmd/vpcbench/internal/load"
)

func main() {
	// The loads keep threads in system calls; without processors to spare for them, vpclab's engine, which runs in this process,
	// would wait for the runtime to take one back.
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + load.Threads)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// The labs' names are fixed, so that a run cleans up after one that was killed; and two runs at once, which would measure each
	// other, are refused.
	status := execute(ctx, openBeds("vpcbench"), os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}
