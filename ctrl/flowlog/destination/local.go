package destination

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/ctrl/flowlog/delivery"
)

// local says of an error of the file system what its cause is, in AWS's words.
func local(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return &delivery.Failure{Cause: delivery.AccessError, Err: err}
	}
	return err
}

// tree is a folder of buckets.
type tree string

// put writes an object under another name first, so that nobody finds half of one.
func (t tree) put(_ context.Context, bucket, key string, body []byte) error {
	path := filepath.Join(string(t), bucket, filepath.FromSlash(key))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return local(err)
	}
	unfinished := path + ".part"
	err := writeFile(unfinished, body)
	if err == nil {
		err = os.Rename(unfinished, path)
	}
	if err != nil {
		_ = os.Remove(unfinished) // the disk may be full
		return local(err)
	}
	return nil
}

// shared is a folder of buckets whose objects somebody else gets, too.
type shared struct {
	tree
	also func(ctx context.Context, bucket, key string, body []byte) error // nil: nobody
}

func (s shared) put(ctx context.Context, bucket, key string, body []byte) error {
	if err := s.tree.put(ctx, bucket, key, body); err != nil || s.also == nil {
		return err
	}
	return s.also(ctx, bucket, key, body)
}

// writeFile writes a file that is on the disk afterwards.
func writeFile(path string, body []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	return errors.Join(err, f.Sync(), f.Close())
}

// plainFile is one text file with a header line.
type plainFile struct{ path string }

// Deliver implements delivery.Destination.
func (p *plainFile) Deliver(_ context.Context, b *delivery.Batch) error {
	if err := os.MkdirAll(filepath.Dir(p.path), 0o755); err != nil {
		return local(err)
	}
	var lines bytes.Buffer
	for e, err := range b.Entries {
		if err != nil {
			return err
		}
		lines.Write(e.Line)
		lines.WriteByte('\n')
	}
	return appendLines(p.path, b.Format.Header()+"\n", lines.Bytes())
}

// groups is a folder of log groups, which are folders of streams.
type groups struct{ dir string }

// Deliver implements delivery.Destination.
func (g *groups) Deliver(_ context.Context, b *delivery.Batch) error {
	d := b.Subscription.Destination
	folder := filepath.Join(g.dir, filepath.FromSlash(strings.TrimPrefix(d.Group, "/")))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return local(err)
	}
	var streams []string
	lines := map[string]*bytes.Buffer{}
	for e, err := range b.Entries {
		if err != nil {
			return err
		}
		name := Stream(b.Subscription, e.Stream)
		if lines[name] == nil {
			lines[name] = new(bytes.Buffer)
			streams = append(streams, name)
		}
		lines[name].Write(e.Line)
		lines[name].WriteByte('\n')
	}
	for _, name := range streams {
		if err := appendLines(filepath.Join(folder, name), "", lines[name].Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// Stream is the log stream of an interface's records: eni-…-all, -accept or -reject.
func Stream(s *flowlog.Subscription, stream string) string {
	return stream + "-" + strings.ToLower(s.Traffic.String())
}

// appendLines puts lines behind what a file has, all of them or none, and a header above if the file is new. What somebody who died left of
// a line is cut off. A file that does not begin with the header is somebody else's, and is not touched.
func appendLines(path, header string, lines []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o644)
	if err != nil {
		return local(err)
	}
	return errors.Join(appendTo(f, header, lines), f.Close())
}

func appendTo(f *os.File, header string, lines []byte) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() { // a pipe, a device
		_, err := f.Write(lines)
		return err
	}
	// Logs of one group share its streams: whoever looks at the end of the file must not see half of what another writes. Closing unlocks.
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if size > 0 {
		if size, err = wholeLines(f, header, size); err != nil {
			return err
		}
	}
	if size == 0 {
		lines = append([]byte(header), lines...)
	}
	if _, err = f.Write(lines); err == nil {
		err = f.Sync()
	}
	if err != nil {
		if undo := f.Truncate(size); undo != nil {
			return errors.Join(err, fmt.Errorf("and take back what was written: %w", undo))
		}
	}
	return err
}

// wholeLines cuts a file, of some size, to the end of its last whole line and returns its new size.
func wholeLines(f *os.File, header string, size int64) (int64, error) {
	begin := make([]byte, min(size, int64(len(header))))
	if _, err := f.ReadAt(begin, 0); err != nil {
		return 0, err
	}
	if !strings.HasPrefix(header, string(begin)) {
		return 0, fmt.Errorf("%s is no flow log of this format: its first line is not %q", f.Name(), strings.TrimSpace(header))
	}
	const most = 64 << 10 // longer than any record
	end := make([]byte, min(size, most))
	if _, err := f.ReadAt(end, size-int64(len(end))); err != nil {
		return 0, err
	}
	if torn := len(end) - 1 - bytes.LastIndexByte(end, '\n'); torn > 0 {
		size -= int64(torn)
		return size, f.Truncate(size)
	}
	return size, nil
}
