package hostnet

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestResolverText(t *testing.T) {
	addr := netip.MustParseAddr
	for want, g := range map[string]Guest{
		"": {Namespace: "x", Search: "ec2.internal"},
		"# vpclab wrote this for x and writes it again\nnameserver 10.0.0.2\noptions timeout:1 attempts:2\n": {
			Namespace: "x", Resolver: []netip.Addr{addr("10.0.0.2")},
		},
		"# vpclab wrote this for x and writes it again\nnameserver 10.0.0.2\nnameserver fd00:ec2::253\nsearch ec2.internal\n" +
			"options timeout:1 attempts:2\n": {
			Namespace: "x", Resolver: []netip.Addr{addr("10.0.0.2"), addr("fd00:ec2::253")}, Search: "ec2.internal",
		},
	} {
		if got := resolverText(g); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
}

// A step is something that happens to a folder.
type step func(r resolvers) error

func steps(s ...step) []step { return s }

func written(namespace, text string) step {
	return func(r resolvers) error { _, err := r.write(namespace, text); return err }
}

func pruned(lab string, keep ...string) step {
	return func(r resolvers) error {
		kept := map[string]bool{}
		for _, k := range keep {
			kept[k] = true
		}
		_, err := r.prune(lab, kept)
		return err
	}
}

// theirs is a file that somebody else puts there.
func theirs(name string) step {
	return func(r resolvers) error {
		path := filepath.Join(r.root, name)
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("theirs"), 0o600))
	}
}

func emptied(namespace string) step {
	return func(r resolvers) error { return os.Remove(r.file(namespace)) }
}

// want is what is in the folder in the end, nil if it is gone.
func TestResolverFilesComeAndGo(t *testing.T) {
	const web, db, api = "vpclab-shop.app.web", "vpclab-shop.app.db", "vpclab-other.app.api"
	const webs, apis = web + "/resolv.conf", api + "/resolv.conf"
	for name, row := range map[string]struct {
		steps []step
		want  map[string]string
	}{
		"written": {
			steps(written(web, "a"), written(web, "b")),
			map[string]string{".vpclab": "vpclab made this folder and removes it with its last lab.\n", webs: "b"},
		},
		"kept and removed": {
			steps(theirs("vpn/resolv.conf"), written(web, "a"), written(db, "a"), pruned("shop", web)),
			map[string]string{"vpn/resolv.conf": "theirs", webs: "a"},
		},
		"another lab's stays": {
			steps(theirs("x"), written(web, "a"), written(api, "a"), pruned("shop")),
			map[string]string{"x": "theirs", apis: "a"},
		},
		"the last takes our folder along": {
			steps(written(web, "a"), written(api, "a"), pruned("shop"), pruned("other")), nil,
		},
		"a folder of theirs stays": {
			steps(theirs("vpn/resolv.conf"), written(web, "a"), pruned("shop")), map[string]string{"vpn/resolv.conf": "theirs"},
		},
		"our folder stays once they use it": {
			steps(written(web, "a"), theirs("vpn/hosts"), pruned("shop")), map[string]string{"vpn/hosts": "theirs"},
		},
		"their file in a folder of ours stays": {
			steps(theirs(web+"/hosts"), written(web, "a"), pruned("shop")), map[string]string{web + "/hosts": "theirs"},
		},
		"a crash while a file was written": {
			steps(written(web, "a"), theirs(".vpclab.new"), pruned("shop")), nil,
		},
		"a crash before a file was written": {
			steps(written(web, "a"), emptied(web), pruned("shop")), nil,
		},
		"nothing was there": {steps(pruned("shop")), nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := resolvers{filepath.Join(t.TempDir(), "netns")}
			for _, step := range row.steps {
				if err := step(r); err != nil {
					t.Fatal(err)
				}
			}
			if got := filesIn(t, r.root); !maps.Equal(got, row.want) {
				t.Errorf("got %q\nwant %q", got, row.want)
			}
			if isDir(r.root) != (row.want != nil) {
				t.Errorf("the folder is there: %v", isDir(r.root))
			}
		})
	}
}

func filesIn(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	paths, err := filepath.Glob(root + "/*/*")
	if err != nil {
		t.Fatal(err)
	}
	top, err := filepath.Glob(root + "/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(paths, top...) {
		if isDir(path) {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, _ := filepath.Rel(root, path)
		found[name] = string(text)
	}
	return found
}

func TestResolverFilesAreWrittenOnce(t *testing.T) {
	r := resolvers{filepath.Join(t.TempDir(), "netns")}
	for i, want := range []bool{true, false} {
		if changed, err := r.write("vpclab-shop.app.web", "a"); err != nil || changed != want {
			t.Errorf("write %d: %v, %v", i, changed, err)
		}
	}
	info, err := os.Stat(r.file("vpclab-shop.app.web"))
	if err != nil || info.Mode() != 0o644 {
		t.Errorf("everybody reads it: %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(r.dir("vpclab-shop.app.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want := "mkdir " + r.dir("vpclab-shop.app.db") + ": file exists (a file is in the way of vpclab's folder: remove it)"
	if _, err := r.write("vpclab-shop.app.db", "a"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// tmpfs mounts a file system for resolver files.
func tmpfs(t *testing.T, options string) (root string) {
	t.Helper()
	needRoot(t)
	root = t.TempDir()
	if err := unix.Mount("vpclabtest", root, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(root, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return root
}

// Where nothing can be written the lab works and says so; where it should have been possible it is an error, and the guests are there.
func TestResolverFilesThatCannotBeWritten(t *testing.T) {
	full, readOnly := tmpfs(t, "size=16k"), tmpfs(t, "size=16k")
	if err := os.WriteFile(filepath.Join(full, "filler"), make([]byte, 1<<16), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	if err := unix.Mount("", readOnly, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	h := openLab(t, "hostnettest-unwritable")
	d := desired(h.lab, 2)

	h.store.resolvers.root = readOnly
	n := apply(t, h, d)
	notes := h.Notes()
	want := ": read-only file system (in a container: run it privileged): `ip netns exec` shows guests the machine's own resolv.conf"
	if n.Files != 0 || len(notes) != 1 || !strings.HasPrefix(notes[0], "mkdir "+readOnly+"/vpclab-") || !strings.HasSuffix(notes[0], want) {
		t.Errorf("changes %+v, notes %q", n, notes)
	}
	if n := apply(t, h, d); n.Total() != 0 {
		t.Errorf("a second apply changed %+v", n)
	}
	if got := resolverSeen(t, h, d.Guests[0].Namespace); got != resolverText(d.Guests[0]) {
		t.Errorf("programs see %q", got)
	}

	h.store.resolvers.root = full
	d = desired(h.lab, 3)
	err := h.Apply(t.Context(), d)
	if err == nil || !strings.HasPrefix(err.Error(), "apply: write resolver files: ") ||
		!strings.Contains(err.Error(), "no space left on device (free space on the file system of "+full) {
		t.Errorf("a full disk: %v", err)
	}
	if _, ok := h.Ports(3); !ok || len(h.Notes()) != 0 {
		t.Errorf("the new guest is there: %v; notes %q", ok, h.Notes())
	}

	h.store.resolvers.root = filepath.Join(t.TempDir(), "netns")
	if n := apply(t, h, d); n.Files != 3 {
		t.Errorf("with room, the next apply wrote %+v", n)
	}
}

// resolverSeen is /etc/resolv.conf as a program sees it that vpclab starts in a guest.
func resolverSeen(t *testing.T, h *Host, namespace string) string {
	t.Helper()
	var out []byte
	err := h.InGuest(namespace, func() (err error) {
		if err := h.ShowResolver(namespace); err != nil {
			return err
		}
		out, err = exec.Command("cat", resolvConf).Output()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestGuestsHaveTheirResolver(t *testing.T) {
	h := openLab(t, "hostnettest-resolver")
	before, err := os.ReadFile(resolvConf)
	if err != nil {
		t.Fatal(err)
	}
	d := desired(h.lab, 3)
	d.Guests[1].Search = "corp.internal"
	d.Guests[2].Resolver = nil
	apply(t, h, d)
	for i, want := range []string{resolverText(d.Guests[0]), resolverText(d.Guests[1]), string(before)} {
		if got := resolverSeen(t, h, d.Guests[i].Namespace); got != want {
			t.Errorf("what we start in guest %d sees\n%swant\n%s", i, got, want)
		}
		out, err := exec.Command("ip", "netns", "exec", d.Guests[i].Namespace, "cat", resolvConf).CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("ip netns exec sees in guest %d\n%s%v, want\n%s", i, out, err, want)
		}
	}
	if after, err := os.ReadFile(resolvConf); err != nil || string(after) != string(before) {
		t.Errorf("the machine's file is now %q, %v", after, err)
	}
	if err := h.ShowResolver("vpclab-hostnettest-resolver.app.none"); err == nil || !strings.Contains(err.Error(), "has no such guest") {
		t.Errorf("a guest that is not there: %v", err)
	}

	// A guest's user writes the file through its mount; the next Apply puts it right, gives another its own and takes one away.
	file := resolvers{netnsConf}.file
	if err := os.WriteFile(file(d.Guests[0].Namespace), []byte("nameserver 192.0.2.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	d.Guests[1].Resolver = nil
	d.Guests[2].Resolver = d.Guests[0].Resolver
	if n := apply(t, h, d); n.Files != 3 || n.Total() != 3 {
		t.Errorf("the change made %+v", n)
	}
	for i, g := range d.Guests {
		text, err := os.ReadFile(file(g.Namespace))
		if string(text) != resolverText(g) || (err != nil) != (resolverText(g) == "") {
			t.Errorf("guest %d has %q, %v", i, text, err)
		}
		if got := resolverSeen(t, h, g.Namespace); resolverText(g) != "" && got != resolverText(g) {
			t.Errorf("what we start in guest %d sees %q", i, got)
		}
	}
	if n := apply(t, h, d); n.Total() != 0 {
		t.Errorf("another apply changed %+v", n)
	}
	apply(t, h, Desired{Lab: h.lab, Guests: d.Guests[2:], Attachments: d.Attachments[2:]})
	names, err := resolvers{netnsConf}.stamped()
	if err != nil || !slices.Equal(names[h.lab], []string{d.Guests[2].Namespace}) {
		t.Errorf("the files left are %v, %v", names[h.lab], err)
	}
}

// Whoever has been shown another file is another thread than any that goes on.
func TestThreadsWithMountsOfTheirOwnEnd(t *testing.T) {
	h := openLab(t, "hostnettest-mounts")
	d := desired(h.lab, 1)
	apply(t, h, d)
	home, err := identityOf("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		resolverSeen(t, h, d.Guests[0].Namespace)
	}
	elsewhere := func() (list []string) {
		tasks, err := filepath.Glob("/proc/self/task/*/ns/mnt")
		if err != nil || len(tasks) == 0 {
			t.Fatal(tasks, err)
		}
		for _, task := range tasks {
			if id, err := identityOf(task); err == nil && id != home {
				list = append(list, task)
			}
		}
		return list
	}
	waitFor(t, "the threads' end", func() bool { return len(elsewhere()) == 0 })
	if now, err := identityOf("/proc/self/ns/mnt"); err != nil || now != home {
		t.Errorf("the process moved: %v, %v", now, err)
	}
}

// After a boot nothing is left of a lab but its files in /etc.
func TestDownFindsResolverFilesAlone(t *testing.T) {
	needRoot(t)
	const lab = "hostnettest-boot"
	t.Cleanup(func() {
		if err := Down(lab); err != nil {
			t.Error(err)
		}
	})
	s := machine()
	err := s.locked(func() error {
		_, err := s.resolvers.write(stampOf(lab)+"app.web", "# vpclab\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	left, err := Leftovers()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(left, func(l Leftover) bool { return l.Lab == lab })
	if i < 0 || left[i].Alive {
		t.Errorf("leftovers are %+v", left)
	}
	if err := Down(lab); err != nil {
		t.Fatal(err)
	}
	if after := traces(t, lab); len(after) != 0 {
		t.Errorf("after down: %v", after)
	}
}

// withoutResolvConf runs on a machine of its own whose /etc/resolv.conf is a link that leads somewhere, one that leads nowhere, or absent.
func withoutResolvConf(lab string) {
	err := errors.Join(unix.Mount("etc", "/etc", "tmpfs", 0, ""), unix.Mount("run", "/run", "tmpfs", 0, ""))
	if err == nil && !strings.HasSuffix(lab, "-absent") {
		err = os.Symlink("../run/stub/resolv.conf", resolvConf)
	}
	if err == nil && strings.HasSuffix(lab, "-link") {
		err = errors.Join(os.Mkdir("/run/stub", 0o755), os.WriteFile("/run/stub/resolv.conf", []byte("the machine's\n"), 0o644))
	}
	if err == nil {
		err = os.WriteFile("/etc/hosts", []byte("127.0.0.1 localhost\n"), 0o644)
	}
	var h *Host
	if err == nil {
		h, err = Open(lab)
	}
	var inside []byte
	if err == nil {
		d := desired(lab, 1)
		g := d.Guests[0].Namespace
		err = h.Apply(h.ctx, d)
		if err == nil {
			err = h.InGuest(g, func() (err error) {
				if err := h.ShowResolver(g); err != nil {
					return err
				}
				inside, err = exec.Command("cat", resolvConf, "/etc/hosts").CombinedOutput()
				return err
			})
		}
		err = errors.Join(err, h.Close())
	}
	outside, _ := os.ReadFile(resolvConf)
	entries, _ := filepath.Glob("/etc/*")
	fmt.Printf("inside: %soutside: %q, %v, %v\n", inside, outside, entries, err)
	os.Exit(0)
}

func TestTheMachinesResolvConfMayBeALinkOrAbsent(t *testing.T) {
	needRoot(t)
	for lab, outside := range map[string]string{
		"hostnettest-etc-link":   `"the machine's\n", [/etc/hosts /etc/resolv.conf]`,
		"hostnettest-etc-broken": `"", [/etc/hosts /etc/resolv.conf]`,
		"hostnettest-etc-absent": `"", [/etc/hosts]`,
	} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "HOSTNET_TEST_ETC="+lab)
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS} // which also mounts / private
		out, err := cmd.CombinedOutput()
		want := "inside: " + resolverText(desired(lab, 1).Guests[0]) + "127.0.0.1 localhost\noutside: " + outside + ", <nil>\n"
		if err != nil || string(out) != want {
			t.Errorf("%s: %v\n%swant\n%s", lab, err, out, want)
		}
	}
}
