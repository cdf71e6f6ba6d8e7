package hostnet

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// resolvConf is the file that programs read.
const resolvConf = "/etc/resolv.conf"

// ShowResolver lets the calling thread, and whatever it starts from now on, see the guest's resolv.conf as /etc/resolv.conf, in a mount
// namespace of its own; the machine's file is not touched, and other mounts come and go there as they do outside. A guest without
// a resolver sees what the machine has.
//
// It is called inside InGuest. The thread is locked for good and ends with the function that InGuest was given.
func (h *Host) ShowResolver(namespace string) error {
	h.mu.RLock()
	g, ok := h.guests[namespace]
	closed, text := h.closed, ""
	if ok {
		text = resolverText(g.Guest)
	}
	h.mu.RUnlock()
	switch {
	case closed:
		return errClosed
	case !ok:
		return fmt.Errorf("namespace %s: the lab has no such guest", namespace)
	case text == "":
		return nil
	}
	if err := showResolver(text, h.Dir()); err != nil {
		return fmt.Errorf("show resolv.conf of %s: %w", namespace, hint(err, "needs CAP_SYS_ADMIN"))
	}
	return nil
}

// showResolver uses room, any folder, as the place of a file system that lasts only until the file has its place.
func showResolver(text, room string) (err error) {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("create mount namespace: %w", err)
	}
	// What is mounted here stays here; what the machine unmounts goes here, too, and is not kept from ending.
	if err := unix.Mount("", "/", "none", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mount / as slave: %w", err)
	}
	if err := unix.Mount("vpclab", room, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755,size=64k"); err != nil {
		return fmt.Errorf("mount %s: %w", room, err)
	}
	// Its files stay where they are shown.
	defer func() { err = errors.Join(err, unix.Unmount(room, unix.MNT_DETACH)) }()
	file := filepath.Join(room, filepath.Base(resolvConf))
	if err := writePublic(file, text); err != nil {
		return err
	}
	err = unix.Mount(file, resolvConf, "", unix.MS_BIND, "")
	if errors.Is(err, unix.ENOENT) {
		return showOver(room)
	}
	if err != nil {
		return fmt.Errorf("mount %s: %w", resolvConf, err)
	}
	return nil
}

// showOver shows the file where the machine has none, or a link that leads nowhere, and nothing can be mounted on it: both folders
// as one, which cannot be written.
func showOver(room string) error {
	etc := filepath.Dir(resolvConf)
	if err := unix.Mount("overlay", etc, "overlay", unix.MS_RDONLY, "lowerdir="+room+":"+etc); err != nil {
		return fmt.Errorf("mount %s, as there is no %s to mount on: %w (make an empty one: touch %s)", etc, resolvConf, err, resolvConf)
	}
	return nil
}
