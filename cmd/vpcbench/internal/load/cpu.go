package load

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// placement says on which CPU each end of a load runs. Left alone, the scheduler moves the ends together and apart from run to run,
// and a round trip is several times longer apart (waking an idle CPU) than together: a bare veth pair then differs from itself by a
// third.
type placement struct{ client, server int }

// together puts both ends on one CPU, where a round trip holds the way through the network and two context switches, and no wake-up of
// another CPU that would hide the difference between two networks.
func together() (placement, error) {
	_, last, err := allowed()
	return placement{last, last}, err
}

// apart gives each end a CPU of its own, if there are two: streams are as fast as the machine can make them.
func apart() (placement, error) {
	first, last, err := allowed()
	return placement{first, last}, err
}

// allowed is the first and the last CPU that this thread may run on.
func allowed() (first, last int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return 0, 0, fmt.Errorf("read allowed CPUs: %w", err)
	}
	first = -1
	for cpu, left := 0, set.Count(); left > 0; cpu++ {
		if !set.IsSet(cpu) {
			continue
		}
		if first < 0 {
			first = cpu
		}
		last = cpu
		left--
	}
	return first, last, nil
}

// pin binds the calling thread to one CPU; back undoes it.
func pin(cpu int) (back func() error, err error) {
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, fmt.Errorf("read allowed CPUs: %w", err)
	}
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return nil, fmt.Errorf("move to CPU %d: %w", cpu, err)
	}
	return func() error {
		if err := unix.SchedSetaffinity(0, &before); err != nil {
			return fmt.Errorf("leave CPU %d: %w", cpu, err)
		}
		return nil
	}, nil
}
