package labtest

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Traces lists what is on this machine that a lab may have left or spoiled, one line each, sorted: named namespaces, mounts and files that
// carry its name, the machine's own resolver files with their times and text, links of this namespace, processes that are children of this
// one or have the given command line, and this process's open files by kind. Two equal lists mean that nothing was left, and nothing taken
// away.
func Traces(lab string, commands ...string) ([]string, error) {
	var list []string
	for _, f := range []func() ([]string, error){
		func() ([]string, error) { return named("/run/netns", "vpclab-"+lab+".") },
		func() ([]string, error) { return named("/run/vpclab", lab) },
		func() ([]string, error) { return named("/etc/netns", "vpclab-"+lab+".") },
		resolvers,
		orphans,
		func() ([]string, error) { return mounts(lab) },
		links,
		func() ([]string, error) { return processes(commands) },
		openFiles,
	} {
		found, err := f()
		if err != nil {
			return nil, err
		}
		list = append(list, found...)
	}
	slices.Sort(list)
	return list, nil
}

func named(dir, prefix string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var list []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			list = append(list, "file "+filepath.Join(dir, e.Name()))
		}
	}
	return list, nil
}

// resolvers are the machine's resolv.conf and the folders and files of network namespaces that are not a lab's, with their times and text.
func resolvers() ([]string, error) {
	paths := []string{"/etc/resolv.conf"}
	for _, pattern := range []string{"/etc/netns/*", "/etc/netns/*/*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		paths = append(paths, found...)
	}
	var list []string
	for _, path := range paths {
		if strings.HasPrefix(path, "/etc/netns/vpclab-") || strings.HasPrefix(path, "/etc/netns/.vpclab") { // see orphans
			continue
		}
		info, err := os.Stat(path)
		var text []byte
		if err == nil && !info.IsDir() {
			text, err = os.ReadFile(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, fmt.Sprintf("file %s of %s %q", path, info.ModTime(), text))
	}
	return list, nil
}

// orphans are the mark and the draft of labs' resolver files where no lab has one.
func orphans() ([]string, error) {
	// Labs hold the lock on the folder of their folders while they write or remove such files.
	if labs, err := os.Open("/run/vpclab"); err == nil {
		defer labs.Close()
		if err := unix.Flock(int(labs.Fd()), unix.LOCK_SH); err != nil {
			return nil, err
		}
	}
	if folders, err := named("/etc/netns", "vpclab-"); err != nil || len(folders) > 0 {
		return nil, err
	}
	return named("/etc/netns", ".vpclab")
}

func mounts(lab string) ([]string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var list []string
	for _, line := range strings.Split(string(text), "\n") {
		if strings.Contains(line, "vpclab-"+lab+".") || strings.Contains(line, "/vpclab/"+lab) {
			list = append(list, "mount "+line)
		}
	}
	return list, nil
}

func links() ([]string, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var list []string
	for _, i := range interfaces {
		list = append(list, "link "+i.Name)
	}
	return list, nil
}

func processes(commands []string) ([]string, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var list []string
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil {
			continue // gone meanwhile
		}
		command := strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
		if parentOf(pid) == os.Getpid() || slices.Contains(commands, command) {
			list = append(list, fmt.Sprintf("process %d %s", pid, command))
		}
	}
	return list, nil
}

// parentOf reads a process's parent (proc_pid_stat(5)); 0 if it is gone.
func parentOf(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return parent
}

// number is what tells one socket or pipe from another.
var number = regexp.MustCompile(`\d+`)

func openFiles() ([]string, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	var list []string
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name()))
		if err != nil {
			continue // the folder itself
		}
		list = append(list, "open "+number.ReplaceAllString(target, "N"))
	}
	return list, nil
}
