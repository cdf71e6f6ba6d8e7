package hostnet

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// process is a reference to one process, which another process of the same number cannot take over.
type process struct {
	pid  int
	file *os.File // a pidfd
}

func openProcess(pid int) (process, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return process{}, err
	}
	return process{pid, os.NewFile(uintptr(fd), fmt.Sprintf("pidfd of %d", pid))}, nil
}

func (p process) close() { p.file.Close() }

func (p process) kill() error {
	err := unix.PidfdSendSignal(int(p.file.Fd()), unix.SIGKILL, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// waitGone waits until all threads of the process have ended, which is when its descriptors are closed.
func (p process) waitGone(deadline time.Time) error {
	for {
		left := time.Until(deadline)
		if left < 0 {
			return fmt.Errorf("process %d (%s) does not end", p.pid, commandOf(p.pid))
		}
		fds := []unix.PollFd{{Fd: int32(p.file.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(left.Milliseconds())+1)
		if n > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for process %d: %w", p.pid, err)
		}
	}
}

// procStat is what /proc/PID/stat tells of a process.
type procStat struct {
	state byte
	flags uint64
	start uint64 // clock ticks since boot
}

func readStat(pid int) (procStat, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, err
	}
	return parseStat(data)
}

// parseStat reads the fields behind the command, which may itself hold spaces and parentheses (proc_pid_stat(5)).
func parseStat(data []byte) (procStat, error) {
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	//lint:ignore SA4000 the manual's numbers are worth seeing, the first one included
	const state, flags, start = 3 - 3, 9 - 3, 22 - 3 // the manual's numbers; the first field here is its third
	if len(fields) <= start {
		return procStat{}, fmt.Errorf("parse process status %q: too short", data)
	}
	f, flagsErr := strconv.ParseUint(fields[flags], 10, 64)
	s, startErr := strconv.ParseUint(fields[start], 10, 64)
	if err := errors.Join(flagsErr, startErr); err != nil {
		return procStat{}, err
	}
	return procStat{fields[state][0], f, s}, nil
}

// pfExiting is the kernel's PF_EXITING: the process is on its way out.
const pfExiting = 0x4

// dying reports whether a process has been killed but is not gone: with hundreds of TUN descriptors that takes seconds.
func (s procStat) dying(pid int) bool {
	if s.state == 'Z' || s.state == 'X' || s.flags&pfExiting != 0 {
		return true
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && killPending(status)
}

// killPending reports whether SIGKILL waits to be delivered.
func killPending(status []byte) bool {
	for _, line := range strings.Split(string(status), "\n") {
		name, value, _ := strings.Cut(line, ":")
		if name != "SigPnd" && name != "ShdPnd" {
			continue
		}
		set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err == nil && set&(1<<(uint(unix.SIGKILL)-1)) != 0 {
			return true
		}
	}
	return false
}

// commandOf is a process's command line, or its short name when it has none.
func commandOf(pid int) string {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err == nil && len(line) > 0 {
		return strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(name))
}

// killInside ends every process that lives in one of the namespaces, which are the lab's, so that the processes are its too. A
// process that merely has a thread there, as we do ourselves, does not live there.
func killInside(spaces map[identity]bool, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	// A process may fork while we look: look again until a round finds nobody.
	for {
		found, err := livingIn(spaces)
		if err != nil || len(found) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d (%s) and others keep coming back", found[0].pid, commandOf(found[0].pid))
		}
		var errs []error
		for _, p := range found {
			errs = append(errs, p.kill())
		}
		for _, p := range found {
			errs = append(errs, p.waitGone(deadline))
			p.close()
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
}

func livingIn(spaces map[identity]bool) ([]process, error) {
	if len(spaces) == 0 {
		return nil, nil
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	inside := func(pid int) bool {
		id, err := identityOf(filepath.Join("/proc", strconv.Itoa(pid), "ns/net"))
		return err == nil && spaces[id]
	}
	var found []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() || !inside(pid) {
			continue
		}
		p, err := openProcess(pid)
		if err != nil {
			continue // gone meanwhile
		}
		// Asked again, now that the number cannot pass to another process.
		if !inside(pid) {
			p.close()
			continue
		}
		found = append(found, p)
	}
	return found, nil
}

// owner is who holds a lab, as the lab's folder remembers it. The start time and the boot tell a process from a later one of the
// same number, also where /run outlives a boot.
type owner struct {
	PID     int    `json:"pid"`
	Start   uint64 `json:"start"` // clock ticks since boot
	Boot    string `json:"boot"`
	User    string `json:"user"`
	Command string `json:"command"`
}

func self() (owner, error) {
	if err := ownProc("/proc", os.Getpid()); err != nil {
		return owner{}, err
	}
	st, err := readStat(os.Getpid())
	if err != nil {
		return owner{}, err
	}
	boot, err := bootID()
	if err != nil {
		return owner{}, err
	}
	return owner{os.Getpid(), st.start, boot, userName(), strings.Join(os.Args, " ")}, nil
}

// ownProc refuses a /proc of another PID namespace: there our number is somebody else's, whom `down` would take for the lab's owner.
func ownProc(proc string, pid int) error {
	seen, err := os.Readlink(filepath.Join(proc, "self"))
	if err != nil {
		return fmt.Errorf("find this process in %s: %w", proc, err)
	}
	if seen != strconv.Itoa(pid) {
		return fmt.Errorf("%s belongs to another PID namespace: this process is %q there and %d here; mount a /proc of its own (unshare --mount-proc)",
			proc, seen, pid)
	}
	return nil
}

func bootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(id)), err
}

// userName is who called us, seen through sudo.
func userName() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if os.Geteuid() == 0 {
		return "root"
	}
	return fmt.Sprintf("uid %d", os.Geteuid())
}

// find returns the owner's process if it still exists, and whether it works or is on its way out.
func (o owner) find() (p process, exists, working bool) {
	boot, err := bootID()
	if err != nil || boot != o.Boot || o.PID <= 0 {
		return process{}, false, false
	}
	p, err = openProcess(o.PID)
	if err != nil {
		return process{}, false, false
	}
	st, err := readStat(o.PID)
	if err != nil || st.start != o.Start {
		p.close()
		return process{}, false, false
	}
	return p, true, !st.dying(o.PID)
}
