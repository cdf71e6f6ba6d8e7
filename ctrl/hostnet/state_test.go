package hostnet

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOneOfManyClaimsALab(t *testing.T) {
	s := store{root: filepath.Join(t.TempDir(), "vpclab")}
	var won, refused atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			_, err := s.claim("x")
			var inUse *InUseError
			switch {
			case err == nil:
				won.Add(1)
			case errors.As(err, &inUse):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || refused.Load() != 15 {
		t.Errorf("%d won and %d were refused", won.Load(), refused.Load())
	}
	info, err := os.Stat(s.dir("x"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the lab's folder is %v, %v", info.Mode(), err)
	}
	if err := s.release("x"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.root); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the last lab left the folder of all labs: %v", err)
	}
	if err := s.release("x"); err != nil {
		t.Errorf("a second release: %v", err)
	}
}

// Claims and releases that overlap never fail because one removes the folder that the other is about to use.
func TestLabsComeAndGoTogether(t *testing.T) {
	s := store{root: filepath.Join(t.TempDir(), "vpclab")}
	var wg sync.WaitGroup
	for _, lab := range []string{"a", "b", "c", "d"} {
		wg.Go(func() {
			for range 100 {
				if _, err := s.claim(lab); err != nil {
					t.Error(err)
				}
				if err := s.release(lab); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestADeadOwnerGivesWay(t *testing.T) {
	me, err := self()
	if err != nil {
		t.Fatal(err)
	}
	later, boot, none := me, me, owner{}
	later.Start++
	boot.Boot = "another boot"
	for name, text := range map[string]any{
		"a process of the same number that began later": later, "a process before the last boot": boot,
		"nobody": none, "no owner at all": "x",
	} {
		s := store{root: filepath.Join(t.TempDir(), "vpclab")}
		if err := os.MkdirAll(s.dir("x"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := s.write("x", "owner.json", text); err != nil {
			t.Fatal(err)
		}
		if dying, err := s.claim("x"); err != nil || dying != nil {
			t.Errorf("%s: %v, %v", name, dying, err)
		}
		if o, ok, err := s.owner("x"); !ok || err != nil || o != me {
			t.Errorf("%s: now the owner is %+v, %v", name, o, err)
		}
	}
}

func TestAFileInTheWay(t *testing.T) {
	root := filepath.Join(t.TempDir(), "vpclab")
	if err := os.WriteFile(root, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	want := "mkdir " + root + ": not a directory (a file is in the way of vpclab's folder: remove it)"
	if _, err := (store{root: root}).claim("x"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	s := store{root: filepath.Join(t.TempDir(), "vpclab")}
	if err := os.MkdirAll(s.root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.dir("x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	want = "mkdir " + s.dir("x") + ": file exists (a file is in the way of vpclab's folder: remove it)"
	if _, err := s.claim("x"); err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestAFullDisk(t *testing.T) {
	needRoot(t)
	root := t.TempDir()
	if err := unix.Mount("vpclabtest", root, "tmpfs", 0, "size=16k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(root, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(root, "filler"), make([]byte, 1<<16), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	s := store{root: filepath.Join(root, "vpclab")}
	_, err := s.claim("x")
	if err == nil || !strings.Contains(err.Error(), "no space left on device (free space on the file system of "+root) {
		t.Errorf("got %v", err)
	}
	if isDir(s.root) {
		t.Error("its folder is left")
	}
	// What a dead process left is still there for `down`.
	manifest := filepath.Join(s.dir("x"), "manifest.json")
	if err := errors.Join(os.MkdirAll(s.dir("x"), 0o700), os.WriteFile(manifest, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.claim("x"); !errors.Is(err, unix.ENOSPC) || !isThere(manifest) {
		t.Errorf("got %v; the manifest is there: %v", err, isThere(manifest))
	}
}

func TestManifestTellsWhatTheLabIsMadeOf(t *testing.T) {
	h := openLab(t, "hostnettest-manifest")
	apply(t, h, desired(h.lab, 2))
	apply(t, h, desired(h.lab, 1))
	data, err := os.ReadFile(filepath.Join(stateRoot, h.lab, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	if m.Lab != h.lab || m.Fabric != "vpclab-hostnettest-manifest._fabric" || len(m.Namespaces) != 1 || len(m.Attachments) != 1 ||
		m.Attachments[0].Index != 1 || m.Attachments[0].Addrs[0] != "10.0.0.10/24" {
		t.Errorf("the manifest is %s", data)
	}
	if index, err := os.ReadFile(filepath.Join(stateRoot, h.lab, "index")); err != nil || string(index) != "3\n" {
		t.Errorf("the index file is %q, %v", index, err)
	}
}

func TestForeignProcIsRefused(t *testing.T) {
	proc := t.TempDir()
	if err := os.Symlink("4711", filepath.Join(proc, "self")); err != nil {
		t.Fatal(err)
	}
	if err := ownProc(proc, 4711); err != nil {
		t.Errorf("our own: %v", err)
	}
	err := ownProc(proc, 1)
	if err == nil || !strings.Contains(err.Error(), `another PID namespace: this process is "4711" there and 1 here`) {
		t.Errorf("another's: %v", err)
	}
}
