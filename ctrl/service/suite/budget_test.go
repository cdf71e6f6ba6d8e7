package suite

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func has(turn <-chan struct{}) bool {
	if turn == nil {
		return true
	}
	select {
	case <-turn:
		return true
	default:
		return false
	}
}

// Who wants more than there is waits, in the order in which they came, and others do not.
func TestBudget(t *testing.T) {
	b := budget{callers: map[netip.Addr]*share{}}
	web, db := netip.MustParseAddr("100.64.0.1"), netip.MustParseAddr("100.64.0.2")
	for range memory / wholeBody {
		if !has(b.ask(web, wholeBody)) {
			t.Fatal("there is no room")
		}
	}
	large, small := b.ask(web, wholeBody), b.ask(web, 1)
	if has(large) || has(small) {
		t.Error("there is more room than there should be")
	}
	if !has(b.ask(db, 2*memory)) || has(b.ask(db, 1)) {
		t.Error("another caller has no room of its own")
	}
	b.give(web, wholeBody)
	if !has(large) || has(small) {
		t.Error("the first one that waited is not the first one that has room")
	}
	b.give(web, wholeBody)
	if !has(small) {
		t.Error("the second one has no room")
	}
	b.give(db, 2*memory)
	b.give(db, 1)
	b.give(web, 1)
	for range memory/wholeBody - 1 {
		b.give(web, wholeBody)
	}
	if len(b.callers) != 0 {
		t.Errorf("left are %v", b.callers)
	}
}

func TestMemoryOfRequests(t *testing.T) {
	for _, row := range []struct {
		service, method string
		length, want    int64
	}{
		{"s3", "GET", 0, 0},
		{"s3", "PUT", 100, 100},
		{"s3", "PUT", 5 << 30, objectBody},
		{"s3", "PUT", -1, objectBody},
		{"s3", "POST", -1, wholeBody},
		{"dynamodb", "POST", 1000, 1000},
		{"dynamodb", "POST", 1 << 40, wholeBody},
		{"dynamodb", "PUT", -1, wholeBody},
	} {
		r, err := http.NewRequest(row.method, "http://x/", strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = row.length
		if got := memoryOf(row.service, r); got != row.want {
			t.Errorf("%s to %s of %d bytes: %d, want %d", row.method, row.service, row.length, got, row.want)
		}
	}
}
