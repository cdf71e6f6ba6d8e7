package hostnet

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// hint adds what usually cures err: capability for a missing permission, and a way out of the limits that labs meet.
func hint(err error, capability string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w (%s; run as root)", err, capability)
	case errors.Is(err, unix.EMFILE):
		return fmt.Errorf("%w (raise the limit: ulimit -n)", err)
	case errors.Is(err, unix.ENFILE):
		return fmt.Errorf("%w (raise the limit: sysctl fs.file-max)", err)
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("%w (in a container: run it privileged)", err)
	}
	return err
}

// StateError says what is wrong with a path below /run, where labs have their folders, and what would cure it. Nil stays nil.
func StateError(err error) error { return folderError(err, "/run") }

// folderError says what is wrong with a path below a folder.
func folderError(err error, folder string) error {
	var path *fs.PathError
	name := folder
	if errors.As(err, &path) {
		name = path.Path
	}
	switch {
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("%w (free space on the file system of %s)", err, filepath.Dir(name))
	case errors.Is(err, unix.ENOTDIR) || errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%w (a file is in the way of vpclab's folder: remove it)", err)
	}
	return hint(err, "needs write access to "+folder)
}
