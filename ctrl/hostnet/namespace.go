package hostnet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// namespaceDir is where iproute2 looks for named namespaces, so that `ip netns exec` works on ours.
const namespaceDir = "/run/netns"

// threads bounds how many calls are inside a namespace at once: each occupies an OS thread, of which the Go runtime allows 10000.
var threads = make(chan struct{}, 2048)

var errGoexit = errors.New("the function called runtime.Goexit")

// InNamespace runs f on a locked OS thread inside the network namespace ns and returns f's error. Sockets and devices that f opens
// belong to the namespace and may be used anywhere afterwards. It may be called by thousands of goroutines; calls beyond 2048 at once
// wait for an earlier one, so f must not wait for a call that has yet to begin.
//
// The thread is restored afterwards, or thrown away if that fails or f has locked it once more. A process that f starts lives in the
// namespace and outlives the thread, except when it is started with Pdeathsig: the kernel delivers that signal when the *thread* that
// forked ends, and a thread that is thrown away takes such a child with it. Start processes without Pdeathsig: whatever lives in a
// lab's namespaces is killed by Close and Down.
func InNamespace(ns *os.File, f func() error) error {
	threads <- struct{}{}
	defer func() { <-threads }()
	result := make(chan error, 1)
	onThread(func() {
		err := errGoexit
		defer func() { result <- err }()
		restore, enterErr := enter(ns)
		if enterErr != nil {
			runtime.UnlockOSThread()
			err = fmt.Errorf("enter namespace %s: %w", filepath.Base(ns.Name()), enterErr)
			return
		}
		defer func() {
			if restore() == nil {
				runtime.UnlockOSThread()
			}
		}()
		err = f()
	})
	return <-result
}

// onThread runs f in a goroutine of its own, locked to a thread: if f ends while it is locked, the thread ends, too, and the caller's
// must not. The process's first thread cannot end and is what /proc/PID tells of, so f never runs there.
func onThread(f func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread()
			f()
		}()
		<-done // this thread is taken until then, so that f has another
		runtime.UnlockOSThread()
	}()
}

// enter moves the calling thread, which must be locked. Nothing has changed if it fails.
func enter(ns *os.File) (restore func() error, err error) {
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := setns(ns); err != nil {
		unix.Close(home)
		return nil, err
	}
	return func() error {
		defer unix.Close(home)
		return unix.Setns(home, unix.CLONE_NEWNET)
	}, nil
}

// setns goes through the file's own reference count, so that a Close at the same moment cannot hand us another file's number.
func setns(ns *os.File) error {
	raw, err := ns.SyscallConn()
	if err != nil {
		return err
	}
	var setErr error
	if err := raw.Control(func(fd uintptr) { setErr = unix.Setns(int(fd), unix.CLONE_NEWNET) }); err != nil {
		return err
	}
	return setErr
}

// shareNamespaceDir makes /run/netns a shared mount of its own, as the first `ip netns add` on a machine does (iproute2's
// netns_add). If that came second, it would mount a copy of the folder and of all names in it over ours; where the root file system is
// mounted private, removing a name from the copy leaves the one below, and its file cannot be removed. Where names are already, of others
// or of what a dead lab left, it is not done: it would do that very thing to them.
func shareNamespaceDir() error {
	for {
		if err := makeDir(namespaceDir); err != nil {
			return StateError(err)
		}
		err := unix.Mount("", namespaceDir, "none", unix.MS_SHARED|unix.MS_REC, "")
		if errors.Is(err, unix.EINVAL) { // no mount point yet
			if names, err := os.ReadDir(namespaceDir); err == nil && len(names) > 0 {
				return nil
			}
			if err = unix.Mount(namespaceDir, namespaceDir, "none", unix.MS_BIND|unix.MS_REC, ""); err == nil {
				continue
			}
		}
		switch {
		case errors.Is(err, unix.ENOENT): // another lab that leaves takes the folder along when it is empty
		case err != nil:
			return fmt.Errorf("mount %s: %w", namespaceDir, hint(err, "needs CAP_SYS_ADMIN"))
		default:
			return nil
		}
	}
}

// dropNamespaceDir takes /run/netns away if nobody has a name in it; iproute2 makes it anew whenever it needs it.
func dropNamespaceDir() {
	entries, err := os.ReadDir(namespaceDir)
	if err != nil || len(entries) > 0 {
		return
	}
	for unix.Unmount(namespaceDir, unix.UMOUNT_NOFOLLOW) == nil { // refused while somebody uses it
	}
	_ = os.Remove(namespaceDir) // refused if a name has come meanwhile
}

// createNamespace makes a network namespace and names it.
func createNamespace(name string) (ns *os.File, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		var home int
		if home, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			runtime.UnlockOSThread()
			return
		}
		defer unix.Close(home)
		ns, err = unshareNamed(name)
		if unix.Setns(home, unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	<-done
	return ns, err
}

// unshareNamed moves the calling thread into a new namespace that has a name.
func unshareNamed(name string) (*os.File, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("create namespace: %w", hint(err, "needs CAP_SYS_ADMIN"))
	}
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open namespace: %w", hint(err, "needs root"))
	}
	ns := os.NewFile(uintptr(fd), namespacePath(name))
	if err := nameNamespace(ns, name); err != nil {
		ns.Close()
		return nil, err
	}
	return ns, nil
}

func namespacePath(name string) string { return filepath.Join(namespaceDir, name) }

// nameNamespace binds the namespace to its name. The name is a plain file until the mount succeeds; removal takes both.
func nameNamespace(ns *os.File, name string) error {
	path := namespacePath(name)
	// The folder may vanish between the two calls: a lab that leaves takes it along when it is empty.
	for {
		if err := makeDir(namespaceDir); err != nil {
			return StateError(err)
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o444)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return StateError(err)
		}
		f.Close()
		break
	}
	source := fmt.Sprintf("/proc/thread-self/fd/%d", ns.Fd())
	if err := unix.Mount(source, path, "", unix.MS_BIND, ""); err != nil {
		_ = os.Remove(path) // an empty file at worst; what failed is the mount
		return fmt.Errorf("mount %s: %w", path, hint(err, "needs CAP_SYS_ADMIN"))
	}
	return nil
}

// removeNamespace takes the name away. The namespace itself goes with its last user. A name that is absent is fine.
func removeNamespace(name string) error {
	path := namespacePath(name)
	// Twice mounted (a rebind that raced with its removal) is twice unmounted; EINVAL says that nothing is mounted any more.
	for {
		err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			break
		}
		if err != nil {
			return fmt.Errorf("unmount %s: %w", path, hint(err, "needs CAP_SYS_ADMIN"))
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// stampedNamespaces lists the names under /run/netns that carry a lab's stamp, by lab. Files that are no namespace, which a crash
// between creating and mounting leaves, are listed too.
func stampedNamespaces() (map[string][]string, error) {
	entries, err := os.ReadDir(namespaceDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	found := map[string][]string{}
	for _, e := range entries {
		if lab, ok := labOf(e.Name()); ok {
			found[lab] = append(found[lab], e.Name())
		}
	}
	return found, nil
}

// identity tells namespaces apart.
type identity struct{ dev, ino uint64 }

func identityOf(path string) (identity, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return identity{}, err
	}
	return identity{uint64(st.Dev), st.Ino}, nil
}

func identityOfFile(f *os.File) (identity, error) {
	info, err := f.Stat()
	if err != nil {
		return identity{}, err
	}
	st := info.Sys().(*syscall.Stat_t)
	return identity{uint64(st.Dev), st.Ino}, nil
}

// isNamespace reports whether an open file is a namespace rather than the plain file below its mount point.
func isNamespace(f *os.File) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(int(f.Fd()), &st) == nil && st.Type == unix.NSFS_MAGIC
}
