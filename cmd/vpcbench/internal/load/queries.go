package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Named is a network at whose far end a resolver is, and many clients at the near one.
type Named interface {
	Network
	// Clients is how many there are, each of which may ask 1024 times a second. InClient enters the first.
	Clients() int
	// In is InClient for client i, from 0.
	In(i int, f func() error) error
	// Resolver is where all of them ask for an A record of NameAsked, of which there is one.
	Resolver() netip.AddrPort
}

// NameAsked is the name that queries ask for.
const NameAsked = "bench.example.com"

const (
	atOnce = 4 // queries of a client that wait for their answers
	// round is the shortest time in which each client asks that often: below the limit of 1024 a second.
	round = atOnce * time.Second / 1000
)

// queries has all clients ask a few times at once, again and again, as soon as all answers to the last queries are there.
func queries(ctx context.Context, n Named, d time.Duration) (Result, error) {
	on, err := apart()
	if err != nil {
		return Result{}, err
	}
	a, err := newAskers(n)
	if err != nil {
		return Result{}, err
	}
	over, release := newBell(ctx)
	defer release()
	var answered int
	var took time.Duration
	asked := onThread(on.client, func() error {
		if err := a.round(); err != nil {
			return err
		}
		over.start(d)
		start := time.Now()
		last := start
		for !over.Rung() {
			_ = unix.Nanosleep(&unix.Timespec{Nsec: max(0, round-time.Since(last)).Nanoseconds()}, nil) // a signal may cut it short, which the limit bears
			last = time.Now()
			if err := a.round(); err != nil {
				return err
			}
			answered += atOnce * len(a.sockets)
		}
		took = time.Since(start)
		return nil
	}, a.sockets...)
	if err := <-asked; err != nil {
		return Result{}, err
	}
	if answered == 0 {
		return Result{}, errors.New("no query was answered")
	}
	return Result{Rate: float64(answered) / took.Seconds(), Took: took}, nil
}

// askers are the clients' sockets.
type askers struct {
	sockets []int
	query   []byte
	id      uint16
	buf     [512]byte
}

func newAskers(n Named) (*askers, error) {
	a := &askers{query: query()}
	for i := range n.Clients() {
		err := n.In(i, func() error {
			fd, err := dial(n.Resolver(), unix.SOCK_DGRAM)
			if err == nil {
				a.sockets = append(a.sockets, fd)
			}
			return err
		})
		if err != nil {
			for _, fd := range a.sockets {
				unix.Close(fd)
			}
			return nil, err
		}
	}
	return a, nil
}

// query is a DNS query for an A record (RFC 1035, section 4.1), with an ID of 0.
func query() []byte {
	q := []byte{0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0} // recursion desired, one question
	for label := range strings.SplitSeq(NameAsked, ".") {
		q = append(append(q, byte(len(label))), label...)
	}
	return append(q, 0, 0, 1, 0, 1)
}

// round sends the queries of all clients, and then receives all answers, in whatever order they come to each.
func (a *askers) round() error {
	for _, fd := range a.sockets {
		for i := range uint16(atOnce) {
			binary.BigEndian.PutUint16(a.query, a.id+i)
			if _, err := write(fd, a.query); err != nil {
				return fmt.Errorf("send: %w", err)
			}
		}
	}
	for _, fd := range a.sockets {
		if err := a.receive(fd); err != nil {
			return err
		}
	}
	a.id += atOnce
	return nil
}

func (a *askers) receive(fd int) error {
	var seen [atOnce]bool
	for range atOnce {
		n, err := read(fd, a.buf[:])
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		i, err := a.check(a.buf[:n])
		if err != nil {
			return err
		}
		if seen[i] {
			return errors.New("two answers to one query")
		}
		seen[i] = true
	}
	return nil
}

// check says which of the round's queries an answer is for.
func (a *askers) check(answer []byte) (int, error) {
	const flags, answers = 2, 6
	if len(answer) < len(a.query) {
		return 0, fmt.Errorf("an answer of %d bytes", len(answer))
	}
	i := binary.BigEndian.Uint16(answer) - a.id
	if i >= atOnce {
		return 0, errors.New("an answer to another query")
	}
	rcode := answer[flags+1] & 15
	if answer[flags]>>7 != 1 || rcode != 0 || binary.BigEndian.Uint16(answer[answers:]) != 1 {
		return 0, fmt.Errorf("the answer has code %d and %d records, want 0 and 1", rcode, binary.BigEndian.Uint16(answer[answers:]))
	}
	return int(i), nil
}
