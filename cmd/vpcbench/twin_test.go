package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
)

// twin is a bed on the loopback interface that writes into the diary when a server is started on it and when it is closed.
type twin struct {
	name  string
	diary *diary
}

// diary is what happened to a test's beds.
type diary struct {
	mu      sync.Mutex
	entries []string
}

func (d *diary) note(entry string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries = append(d.entries, entry)
}

func (t twin) Name() string                  { return t.name }
func (t twin) About() string                 { return "loopback in the part of " + t.name }
func (t twin) InClient(f func() error) error { return f() }

func (t twin) InServer(f func() error) error {
	t.diary.note("run " + t.name)
	return f()
}

func (t twin) ServerAddr() netip.Addr {
	pid := os.Getpid()
	return netip.AddrFrom4([4]byte{127, 78, byte(pid >> 8), byte(pid)})
}

func (t twin) Close() error {
	t.diary.note("close " + t.name)
	return nil
}

// open is an opener of twins. The beds named in broken fail.
func (d *diary) open(broken ...string) opener {
	return func(_ context.Context, name string) (Bed, error) {
		for _, b := range broken {
			if b == name {
				return nil, fmt.Errorf("build bed %s: %w", name, errBroken)
			}
		}
		d.note("open " + name)
		return twin{name, d}, nil
	}
}

var errBroken = errors.New("operation not permitted")
