// Package load puts the loads of vpcbench on two ends of a network and counts what arrives. It builds no network, compares
// nothing, and knows nothing of vpclab.
//
// Both ends run in this process, each on a thread of its own with blocking system calls, as the usual C benchmarks do it: Go's
// poller would add its own wake-ups to every round trip. Where the far end is a service, only the client is ours.
package load

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"
)

// Port is the server's port, TCP and UDP.
const Port = 5201

// Threads is how many threads a load keeps in system calls. A process whose other goroutines are part of what is measured wants as
// many more in GOMAXPROCS, because the runtime takes a processor back from a blocked thread only after a while.
const Threads = 2

// Network is a network under load, seen from the client.
type Network interface {
	// InClient runs f on a locked OS thread in the client's namespace. Sockets that f opens stay there.
	InClient(f func() error) error
}

// Ends is a network both of whose ends are ours.
type Ends interface {
	Network
	// InServer is InClient for the server's namespace.
	InServer(f func() error) error
	// ServerAddr is the server's IPv4 address as the client reaches it.
	ServerAddr() netip.Addr
}

// Result is what one run of a load reached.
type Result struct {
	Rate     float64       // per second, in the load's unit; more is better
	Took     time.Duration // over which Rate was counted
	P50, P99 time.Duration // of one round trip; zero in loads that time none
	Reset    int           // connections that the other end reset, not counted in Rate; 0 in other loads
}

// Far is what is at the far end of a network.
type Far uint8

// The far ends.
const (
	Ours     Far = iota // the network has Ends
	Objects             // it is a Store
	Resolver            // it is Named
)

// Load is one kind of traffic.
type Load struct {
	Name  string // as after --only
	Title string // as in the table
	Unit  string // of Rate: "bit/s", or "/s" for what Title counts
	Far   Far    // what is at the far end of the networks that it runs on
	run   func(ctx context.Context, n Network, d time.Duration) (Result, error)
	About string // what the figure means, in lines of at most 105 columns
}

// Run puts the load on for d. It returns early with the context's error if that ends.
func (l Load) Run(ctx context.Context, n Network, d time.Duration) (Result, error) {
	r, err := l.run(ctx, n, d)
	if ctx.Err() != nil {
		return Result{}, fmt.Errorf("%s: %w", l.Name, context.Cause(ctx))
	}
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", l.Name, err)
	}
	return r, nil
}

// All lists the loads in the order of the report.
func All() []Load {
	return []Load{
		{"tcp", "bulk TCP", "bit/s", Ours, on(bulk),
			`One TCP stream, written and read in pieces of 128 KiB; payload counted where it is received. The ends
run on two CPUs.`},
		{"rr", "round trips", "/s", Ours, on(roundTrips),
			`One byte to and fro on one TCP connection, the next only after the last came back; with the median and
the 99th percentile of one round trip. Both ends run on one CPU, so that no wake-up of another hides
the way between them.`},
		{"crr", "connections", "/s", Ours, on(connections),
			`Connect, one byte to and fro, close with RST, and again: each connection is a new flow, so this is
where first packets cost. Both ends run on one CPU.`},
		{"pps", "packets", "/s", Ours, on(packets),
			`UDP datagrams of 18 bytes (the smallest Ethernet frame), sent as fast as the sender can; counted where
they are received. The ends run on two CPUs.`},
		{"s3-get", "S3 GET 1 MiB", "bit/s", Objects, on(getObjects),
			`One object of 1 MiB, got from an S3 again and again on one HTTP connection; signed once, and judged by
signature, policies and file anew each time.`},
		{"s3-put", "S3 PUT 1 MiB", "bit/s", Objects, on(putObjects),
			`The same the other way; the S3 also hashes the data, twice, and writes them to a file.`},
		{"s3-small", "S3 GET 1 KiB", "/s", Objects, on(getSmallObjects),
			`One object of 1 KiB, got again and again on one HTTP connection; with the median and the 99th percentile
of one request.`},
		{"dns", "DNS queries", "/s", Resolver, on(queries),
			`UDP queries for one name, from many clients at once and of each less than 1024 a second, which is what a
VPC's resolver takes from one interface; answers counted in all. One that does not come ends the run.`},
	}
}

// on is a load for one kind of network as one for all.
func on[N Network](run func(context.Context, N, time.Duration) (Result, error)) func(context.Context, Network, time.Duration) (Result, error) {
	return func(ctx context.Context, n Network, d time.Duration) (Result, error) {
		of, ok := n.(N)
		if !ok {
			return Result{}, errors.New("not a load for such a network")
		}
		return run(ctx, of, d)
	}
}

// bell rings when a run's time is over or its context has ended.
type bell struct {
	rung  atomic.Bool
	timer *time.Timer
}

// newBell returns a bell whose time does not run yet, and what releases it.
func newBell(ctx context.Context) (b *bell, release func()) {
	b = new(bell)
	forget := context.AfterFunc(ctx, b.ring)
	return b, func() {
		forget()
		if b.timer != nil {
			b.timer.Stop()
		}
	}
}

// start lets the time run. The thread that counts calls it as it begins: on a busy machine it may begin late.
func (b *bell) start(d time.Duration) { b.timer = time.AfterFunc(d, b.ring) }

func (b *bell) ring() { b.rung.Store(true) }

// Rung reports whether the run is over. It is cheap enough to ask before every system call.
func (b *bell) Rung() bool { return b.rung.Load() }
