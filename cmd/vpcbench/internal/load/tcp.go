package load

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// piece is how much one system call moves in bulk TCP, in bytes; iperf3 has the same default.
const piece = 128 << 10

// bulk sends one stream. The receiver counts, from the first piece on; its RST ends the sender.
func bulk(ctx context.Context, e Ends, d time.Duration) (Result, error) {
	on, err := apart()
	if err != nil {
		return Result{}, err
	}
	c, s, err := connection(e)
	if err != nil {
		return Result{}, err
	}
	over, release := newBell(ctx)
	defer release()

	sent := onThread(on.client, func() error {
		buf := make([]byte, piece)
		// At least one piece, for which the receiver waits.
		for ended := false; !ended; ended = over.Rung() {
			if _, err := write(c, buf); err != nil {
				return unless(over, fmt.Errorf("send: %w", err))
			}
		}
		return nil
	}, c)
	var received int64
	var took time.Duration
	counted := onThread(on.server, func() error {
		defer over.ring()
		buf := make([]byte, piece)
		if _, err := read(s, buf); err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		over.start(d)
		start := time.Now()
		defer func() { took = time.Since(start) }()
		for !over.Rung() {
			n, err := read(s, buf)
			if err != nil {
				return unless(over, fmt.Errorf("receive: %w", err))
			}
			if n == 0 {
				return unless(over, errors.New("receive: the connection was closed"))
			}
			received += int64(n)
		}
		return nil
	}, s)
	if err := errors.Join(<-counted, <-sent); err != nil {
		return Result{}, err
	}
	if received == 0 {
		return Result{}, errors.New("no byte was received")
	}
	return Result{Rate: 8 * float64(received) / took.Seconds(), Took: took}, nil
}

// roundTrips sends a byte to and fro. The first trip, which may wait for the server's thread to begin, does not count.
func roundTrips(ctx context.Context, e Ends, d time.Duration) (Result, error) {
	on, err := together()
	if err != nil {
		return Result{}, err
	}
	c, s, err := connection(e)
	if err != nil {
		return Result{}, err
	}
	over, release := newBell(ctx)
	defer release()

	echoed := onThread(on.server, func() error {
		return echo(s, over)
	}, s)
	trips := make([]time.Duration, 0, 1<<17)
	var took time.Duration
	asked := onThread(on.client, func() error {
		defer over.ring()
		if err := ask(c); err != nil {
			return err
		}
		over.start(d)
		start := time.Now()
		last := start
		for !over.Rung() {
			if err := ask(c); err != nil {
				return err
			}
			now := time.Now()
			trips = append(trips, now.Sub(last))
			last = now
		}
		took = last.Sub(start)
		return nil
	}, c)
	if err := <-echoed; err != nil {
		return Result{}, errors.Join(<-asked, fmt.Errorf("answer: %w", err))
	}
	if err := <-asked; err != nil {
		return Result{}, err
	}
	if len(trips) == 0 {
		return Result{}, errors.New("no round trip was finished")
	}
	slices.Sort(trips)
	return Result{
		Rate: float64(len(trips)) / took.Seconds(),
		Took: took,
		P50:  trips[len(trips)/2],
		P99:  trips[len(trips)*99/100],
	}, nil
}

// connections opens one connection after the other. The server handles them in turn, because the client has only one at a time.
// The first, which may wait for the server's thread to begin, does not count.
//
// A few connections may be reset by the server's kernel, seen in about one of 60000 through a lab and never on the other beds. Captured at
// both ends: the last segment of the handshake and the first byte arrive in order, within 16 us and on two CPUs, and the byte is answered with
// RST, as Linux misses the socket that the other CPU is making of the request (commit "inet: Avoid ehash lookup race in inet_ehash_insert()"
// closes most of that gap). In a lab the engine delivers the SYN on a CPU of its own, so that the handshake goes on there; on the other beds
// all happens on the client's. Such connections are counted apart; see tooMany.
func connections(ctx context.Context, e Ends, d time.Duration) (Result, error) {
	on, err := together()
	if err != nil {
		return Result{}, err
	}
	l, err := serve(e, unix.SOCK_STREAM)
	if err != nil {
		return Result{}, err
	}
	defer unix.Close(l)
	limit := unix.NsecToTimeval(abandon.Nanoseconds())
	if err := unix.SetsockoptTimeval(l, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return Result{}, fmt.Errorf("set socket options: %w", err)
	}
	over, release := newBell(ctx)
	defer release()

	// The server ends when its socket is shut down, and not with the time: the client's last connection may still wait for it. That
	// nothing comes any more is the client's to say.
	served := onThread(on.server, func() error {
		for {
			s, err := accept(l)
			if err == errStalled {
				continue
			}
			if err != nil {
				return unless(over, fmt.Errorf("accept: %w", err))
			}
			err = echo(s, over)
			unix.Close(s)
			if err != nil && err != errStalled {
				return fmt.Errorf("answer: %w", err)
			}
		}
	})
	to := netip.AddrPortFrom(e.ServerAddr(), Port)
	var made, reset int
	var took time.Duration
	err = e.InClient(func() (err error) {
		back, err := pin(on.client)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, back()) }()
		if err := connectAndAsk(to); err != nil && !errors.Is(err, unix.ECONNRESET) {
			return err
		}
		over.start(d)
		start := time.Now()
		defer func() { took = time.Since(start) }()
		for !over.Rung() {
			err := connectAndAsk(to)
			switch {
			case err == nil:
				made++
			case errors.Is(err, unix.ECONNRESET):
				reset++
			default:
				return err
			}
		}
		return nil
	})
	over.ring()
	_ = unix.Shutdown(l, unix.SHUT_RD) // it wakes the server; a listener that is gone has woken it
	if err := errors.Join(err, <-served); err != nil {
		return Result{}, err
	}
	if tooMany(reset, made) {
		return Result{}, fmt.Errorf("%d connections were reset, %d finished", reset, made)
	}
	return Result{Rate: float64(made) / took.Seconds(), Took: took, Reset: reset}, nil
}

// tooMany is whether resets are a fault of the bed: more than one, and more than one in a hundred. One alone says nothing in a short run.
func tooMany(reset, made int) bool { return made == 0 || reset > max(1, made/100) }

func connectAndAsk(to netip.AddrPort) error {
	c, err := dial(to, unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	defer unix.Close(c)
	return ask(c)
}

// abandon is when the server gives up a connection that was reset without its knowledge.
const abandon = 200 * time.Millisecond

// ask sends one byte and waits for one.
func ask(c int) error {
	var b [1]byte
	if _, err := write(c, b[:]); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	n, err := read(c, b[:])
	if err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	if n == 0 {
		return errors.New("receive: the connection was closed")
	}
	return nil
}

// echo sends back what comes until the other end closes, which it does with RST.
func echo(s int, over *bell) error {
	var b [1]byte
	for {
		n, err := read(s, b[:])
		if n == 0 {
			return nil
		}
		if err == nil {
			_, err = write(s, b[:])
		}
		switch err {
		case nil:
		case unix.ECONNRESET, unix.EPIPE:
			return nil
		default:
			return unless(over, err)
		}
	}
}

// unless is err, or nil once the run is over: then one end has closed under the other's hands, as it should.
func unless(over *bell, err error) error {
	if over.Rung() {
		return nil
	}
	return err
}
