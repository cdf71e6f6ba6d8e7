package suite

import (
	"fmt"
	"syscall"
)

// reserve is how many bytes of the file system with buckets and tables are not for them: it is often the machine's /run, which others need,
// too. Of a small one it is a twentieth.
const reserve = 256 << 20

// room is an error if a folder's file system has no more than the reserve.
func room(dir string) error {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return fmt.Errorf("measure %s: %w", dir, err)
	}
	block := uint64(s.Bsize)
	return enough(dir, s.Bavail*block, s.Blocks*block)
}

func enough(dir string, free, all uint64) error {
	if least := min(reserve, all/20); free < least {
		return fmt.Errorf("no room in %s: %d KB are free on its file system, and the last %d KB are not for buckets and tables; make room there",
			dir, free>>10, least>>10)
	}
	return nil
}
