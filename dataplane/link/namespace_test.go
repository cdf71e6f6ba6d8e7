package link

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// needRoot skips a test that needs root, or fails it where REQUIRE_ROOT says that everything must run.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("REQUIRE_ROOT") == "1" {
		t.Fatal("needs root, and REQUIRE_ROOT=1 says there is")
	}
	t.Skip("needs root")
}

// backbone returns a function that runs functions inside a new network namespace, in which nothing but the loopback device is up, until
// the test ends.
func backbone(t testing.TB) func(func() error) error {
	t.Helper()
	needRoot(t)
	calls, results := make(chan func() error), make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and with it the namespace
		results <- unix.Unshare(unix.CLONE_NEWNET)
		for f := range calls {
			results <- f()
		}
	}()
	must(t, <-results)
	t.Cleanup(func() { close(calls) })
	inside := func(f func() error) error {
		calls <- f
		return <-results
	}
	must(t, inside(loopbackUp))
	return inside
}

// loopbackUp sets the loopback device up; its MTU is 65536 by itself.
func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
