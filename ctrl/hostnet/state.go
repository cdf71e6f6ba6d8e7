package hostnet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// stateRoot holds one folder a lab:
//
//	owner.json     the process that holds the lab
//	manifest.json  what the lab is made of, written before it is made
//	index          the smallest attachment index that the lab has never used
//
// Beside it, /etc/netns/NAMESPACE/resolv.conf is there for guests that have a resolver.
const stateRoot = "/run/vpclab"

// store is the folder of all labs' folders.
type store struct {
	root      string
	resolvers resolvers
}

// machine is the store of this machine's labs.
func machine() store { return store{stateRoot, resolvers{netnsConf}} }

func (s store) dir(lab string) string { return filepath.Join(s.root, lab) }

// Dir is the folder that a lab has for its state while it is there; Host.Dir is this lab's own.
func Dir(lab string) string { return machine().dir(lab) }

// InUseError says that a living process holds the lab.
type InUseError struct {
	Lab           string
	PID           int
	User, Command string
}

func (e *InUseError) Error() string {
	return fmt.Sprintf("lab %s is in use by process %d of %s (%s)", e.Lab, e.PID, e.User, e.Command)
}

// locked runs f while no other process changes who owns which lab. The lock is on the root folder itself, so that no lock file is
// left behind; the folder goes when it is empty.
func (s store) locked(f func() error) error {
	for {
		if err := makeDir(s.root); err != nil {
			return StateError(err)
		}
		dir, err := os.Open(s.root)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return StateError(err)
		}
		held, err := s.lock(dir)
		if err == nil && held {
			err = f()
			_ = os.Remove(s.root) // refused while a lab is in it, which is as it should be
		}
		dir.Close()
		if err != nil || held {
			return err
		}
	}
}

// lock waits for the folder; held is false if somebody removed it meanwhile.
func (s store) lock(dir *os.File) (held bool, err error) {
	for {
		err = unix.Flock(int(dir.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return false, fmt.Errorf("lock %s: %w", s.root, err)
	}
	mine, err := identityOfFile(dir)
	if err != nil {
		return false, err
	}
	there, err := identityOf(s.root)
	return err == nil && mine == there, nil
}

// claim makes this process the owner of the lab, and returns the dying process that had it, if there is one, for the caller to wait
// for and close. What the dead one left is still there.
func (s store) claim(lab string) (dying *process, err error) {
	me, err := self()
	if err != nil {
		return nil, err
	}
	err = s.locked(func() error {
		if dying, err = s.free(lab); err != nil {
			return err
		}
		if err := os.Mkdir(s.dir(lab), 0o700); err != nil && !(errors.Is(err, fs.ErrExist) && isDir(s.dir(lab))) {
			return StateError(err)
		}
		if err := s.write(lab, "owner.json", me); err != nil {
			_ = os.Remove(s.dir(lab)) // refused while it holds what a dead process left
			return err
		}
		return nil
	})
	if err != nil && dying != nil {
		dying.close()
		dying = nil
	}
	return dying, err
}

// free refuses a lab that a living process holds.
func (s store) free(lab string) (dying *process, err error) {
	o, ok, err := s.owner(lab)
	if err != nil || !ok {
		return nil, err
	}
	p, exists, working := o.find()
	switch {
	case working:
		p.close()
		return nil, &InUseError{lab, o.PID, o.User, o.Command}
	case exists:
		return &p, nil
	}
	return nil, nil
}

// owner reads who holds the lab. A folder without a readable owner was left by a process that died while it wrote it.
func (s store) owner(lab string) (o owner, ok bool, err error) {
	data, err := os.ReadFile(filepath.Join(s.dir(lab), "owner.json"))
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR):
		return owner{}, false, nil
	case err != nil:
		return owner{}, false, hint(err, "readable by root alone")
	}
	return o, json.Unmarshal(data, &o) == nil, nil
}

// release removes the lab's folder, and with the last lab what all share. A folder that is absent is fine.
func (s store) release(lab string) error {
	return s.locked(func() error {
		if err := os.RemoveAll(s.dir(lab)); err != nil {
			return err
		}
		if _, err := s.resolvers.prune(lab, nil); err != nil {
			return err
		}
		labs, err := s.labs()
		if err == nil && len(labs) == 0 && s.root == stateRoot {
			dropNamespaceDir()
		}
		return err
	})
}

// labs lists the labs that have a folder.
func (s store) labs() ([]string, error) {
	entries, err := os.ReadDir(s.root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, StateError(err)
	}
	var labs []string
	for _, e := range entries {
		if labName.MatchString(e.Name()) {
			labs = append(labs, e.Name())
		}
	}
	return labs, nil
}

// write replaces a file of the lab whole or not at all.
func (s store) write(lab, name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir(lab), name)
	err = os.WriteFile(path+".new", append(data, '\n'), 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		_ = os.Remove(path + ".new") // whatever of it was written
	}
	return StateError(err)
}

// reset removes what an earlier life of the lab wrote, but its owner.
func (s store) reset(lab string) error {
	entries, err := os.ReadDir(s.dir(lab))
	if err != nil {
		return StateError(err)
	}
	for _, e := range entries {
		if e.Name() == "owner.json" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(s.dir(lab), e.Name())); err != nil {
			return StateError(err)
		}
	}
	return s.locked(func() error {
		_, err := s.resolvers.prune(lab, nil)
		return err
	})
}

// makeDir makes a folder that other processes may remove whenever it is empty: then os.MkdirAll finds it, does not find it, and
// fails with "file exists".
func makeDir(path string) error {
	for {
		err := os.MkdirAll(path, 0o755)
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		if _, statErr := os.Lstat(path); statErr == nil && !isDir(path) {
			return err
		}
	}
}

func isDir(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

// manifest is what a lab is made of, for whoever looks at it from outside.
type manifest struct {
	Lab         string               `json:"lab"`
	Fabric      string               `json:"fabric"`
	Namespaces  []string             `json:"namespaces"`
	Attachments []manifestAttachment `json:"attachments"`
}

type manifestAttachment struct {
	Index     uint32   `json:"index"`
	Namespace string   `json:"namespace"`
	Device    string   `json:"device"`
	Addrs     []string `json:"addrs"`
}

func manifestOf(d Desired) manifest {
	m := manifest{Lab: d.Lab, Fabric: FabricNamespace(d.Lab), Namespaces: []string{}, Attachments: []manifestAttachment{}}
	for _, g := range d.Guests {
		m.Namespaces = append(m.Namespaces, g.Namespace)
	}
	for _, a := range d.Attachments {
		addrs := make([]string, len(a.Addrs))
		for i, p := range a.Addrs {
			addrs[i] = p.String()
		}
		m.Attachments = append(m.Attachments, manifestAttachment{a.Index, a.Namespace, a.Device, addrs})
	}
	return m
}
