package hostnet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// netnsConf is where `ip netns exec NAME` looks for the files that it shows in /etc, in a folder of that name (ip-netns(8)).
const netnsConf = "/etc/netns"

// resolvers is a folder of guests' folders, each with the guest's resolv.conf; other files there are their users'. What changes it is
// called with the store locked. The zero value has no files and writes none.
type resolvers struct{ root string }

// mark is the file that says that the folder itself is ours, and goes with our last file in it.
func (r resolvers) mark() string { return filepath.Join(r.root, ".vpclab") }

// draft is a file that is being written. It is not in the guest's folder, where `ip netns exec` would want to show it.
func (r resolvers) draft() string { return filepath.Join(r.root, ".vpclab.new") }

func (r resolvers) dir(namespace string) string { return filepath.Join(r.root, namespace) }

func (r resolvers) file(namespace string) string {
	return filepath.Join(r.root, namespace, "resolv.conf")
}

// resolverText is a guest's resolv.conf (resolv.conf(5)); empty if it has none. An answer comes within the machine, so it is not waited
// for as if it came from afar.
func resolverText(g Guest) string {
	if len(g.Resolver) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# vpclab wrote this for %s and writes it again\n", g.Namespace)
	for _, a := range g.Resolver {
		fmt.Fprintf(&b, "nameserver %s\n", a)
	}
	if g.Search != "" {
		fmt.Fprintf(&b, "search %s\n", g.Search)
	}
	b.WriteString("options timeout:1 attempts:2\n")
	return b.String()
}

// write replaces a guest's file whole or not at all, if it differs.
func (r resolvers) write(namespace, text string) (changed bool, err error) {
	have, err := os.ReadFile(r.file(namespace))
	if r.root == "" || err == nil && string(have) == text {
		return false, nil
	}
	if err := r.makeRoot(); err != nil {
		return false, folderError(err, r.root)
	}
	if err := makeFolder(r.dir(namespace)); err != nil {
		return false, folderError(err, r.root)
	}
	err = writePublic(r.draft(), text)
	if err == nil {
		err = os.Rename(r.draft(), r.file(namespace))
	}
	if err != nil {
		_ = os.Remove(r.draft()) // whatever of it was written
		return false, folderError(err, r.root)
	}
	return true, nil
}

func (r resolvers) makeRoot() error {
	if info, err := os.Stat(r.root); err == nil && info.IsDir() { // or a link to one
		return nil
	}
	if err := makeFolder(r.root); err != nil {
		return err
	}
	if err := writePublic(r.mark(), "vpclab made this folder and removes it with its last lab.\n"); err != nil {
		return errors.Join(err, ignoreAbsent(os.Remove(r.mark())), os.Remove(r.root))
	}
	return nil
}

// makeFolder and writePublic let everybody read, whatever the umask.
func makeFolder(path string) error {
	if isDir(path) {
		return nil
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		return err
	}
	return os.Chmod(path, 0o755)
}

func writePublic(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return err
	}
	return os.Chmod(path, 0o644)
}

// stamped lists the namespaces for which there are files of ours, by lab. An empty folder is what a crash before its file leaves.
func (r resolvers) stamped() (map[string][]string, error) {
	if r.root == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(r.root)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, folderError(err, r.root)
	}
	found := map[string][]string{}
	for _, e := range entries {
		lab, ok := labOf(e.Name())
		if !ok || !e.IsDir() {
			continue
		}
		if others, _ := os.ReadDir(r.dir(e.Name())); len(others) == 0 || isThere(r.file(e.Name())) {
			found[lab] = append(found[lab], e.Name())
		}
	}
	return found, nil
}

// labs lists the labs that have files.
func (r resolvers) labs() ([]string, error) {
	found, err := r.stamped()
	var labs []string
	for lab := range found {
		labs = append(labs, lab)
	}
	return labs, err
}

// prune removes the lab's files but those of some namespaces, and with the last file of ours the folder if we made it.
func (r resolvers) prune(lab string, keep map[string]bool) (removed int, err error) {
	found, err := r.stamped()
	if err != nil || found == nil {
		return 0, err
	}
	left := 0
	for of, names := range found {
		for _, name := range names {
			if of != lab || keep[name] {
				left++
				continue
			}
			if err := r.remove(name); err != nil {
				return removed, err
			}
			removed++
		}
	}
	if left > 0 {
		return removed, nil
	}
	return removed, r.drop()
}

func (r resolvers) remove(namespace string) error {
	if err := ignoreAbsent(os.Remove(r.file(namespace))); err != nil {
		return folderError(err, r.root)
	}
	return ignoreFull(os.Remove(r.dir(namespace)))
}

// drop removes what is ours beside guests' files. Somebody else's folder stays, and so does ours once somebody else uses it.
func (r resolvers) drop() error {
	// Looked for first: where nothing can be written, even to remove what is absent is an error.
	if isThere(r.draft()) { // a process died while it wrote
		if err := os.Remove(r.draft()); err != nil {
			return err
		}
	}
	if !isThere(r.mark()) {
		return nil
	}
	if err := os.Remove(r.mark()); err != nil {
		return err
	}
	return ignoreFull(os.Remove(r.root))
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// ignoreFull lets a folder stay in which somebody else has something.
func ignoreFull(err error) error {
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
		return nil
	}
	return ignoreAbsent(err)
}

// applyResolvers writes the wanted files. Where nothing can be written at all, as in some containers, that is a note: programs of the
// lab have their resolver nevertheless, by ShowResolver.
func (r *run) applyResolvers() error {
	texts := map[string]string{}
	for _, g := range r.want.Guests {
		if text := resolverText(g); text != "" {
			texts[g.Namespace] = text
		}
	}
	if len(texts) == 0 {
		return nil
	}
	err := r.store.locked(func() error {
		for namespace, text := range texts {
			changed, err := r.store.resolvers.write(namespace, text)
			if err != nil {
				return err
			}
			if changed {
				r.files.Add(1)
			}
		}
		return nil
	})
	if errors.Is(err, unix.EROFS) {
		r.notes = append(r.notes, fmt.Sprintf("%v: `ip netns exec` shows guests the machine's own resolv.conf", err))
		return nil
	}
	if err != nil {
		return fmt.Errorf("write resolver files: %w", err)
	}
	return nil
}

// pruneResolvers removes files that are not wanted any more.
func (r *run) pruneResolvers() error {
	keep := map[string]bool{}
	for _, g := range r.want.Guests {
		if len(g.Resolver) > 0 {
			keep[g.Namespace] = true
		}
	}
	err := r.store.locked(func() error {
		n, err := r.store.resolvers.prune(r.lab, keep)
		r.files.Add(int64(n))
		return err
	})
	if err != nil {
		return fmt.Errorf("remove resolver files: %w", err)
	}
	return nil
}
