package netdev

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Go's scheduler interrupts threads by SIGURG; here somebody else does, all the time.
func TestPollOutlivesSignals(t *testing.T) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread, done, ended := unix.Gettid(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			default:
				if err := unix.Tgkill(unix.Getpid(), thread, unix.SIGURG); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	defer func() {
		close(done)
		<-ended
	}()

	fds := []unix.PollFd{{Fd: int32(pipe[0]), Events: unix.POLLIN}}
	deadline := time.Now().Add(10 * time.Second)
	for interrupted := 0; interrupted < 20; {
		if time.Now().After(deadline) {
			t.Fatalf("of all system calls only %d were interrupted: this proves nothing", interrupted)
		}
		if _, err := unix.Poll(fds, 0); err == unix.EINTR {
			interrupted++
		}
		if err := poll(fds); err != nil || fds[0].Revents != 0 {
			t.Fatalf("an empty pipe: %v, events %#x", err, fds[0].Revents)
		}
	}
}
