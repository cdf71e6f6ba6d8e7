package suite

import "testing"

func TestRoom(t *testing.T) {
	const mb = 1 << 20
	for _, row := range []struct {
		free, all uint64
		want      bool
	}{
		{256 * mb, 1000_000 * mb, true},
		{255 * mb, 1000_000 * mb, false},
		{40 * mb, 800 * mb, true},
		{39 * mb, 800 * mb, false},
	} {
		if err := enough("/run", row.free, row.all); (err == nil) != row.want {
			t.Errorf("%d MB of %d: %v", row.free/mb, row.all/mb, err)
		}
	}
	want := "no room in /run: 124 KB are free on its file system, and the last 819 KB are not for buckets and tables; make room there"
	if err := enough("/run", 124<<10, 16*mb); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if room("/no/such/folder") == nil {
		t.Error("a folder that is not there has room")
	}
}
