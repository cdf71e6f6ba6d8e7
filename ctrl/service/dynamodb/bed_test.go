package dynamodb

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

const (
	us, eu       = "us-east-1", "eu-west-1"
	ours1, other = "111111111111", "222222222222"
)

// bed is a Server behind HTTP. Whoever asks writes account and region into the Authorization header, as SDKs do with the access key.
type bed struct {
	t      *testing.T
	server *Server
	url    string
	clock  time.Time
	gate   gate
}

// gate allows what deny does not, and remembers what it was asked.
type gate struct {
	mu    sync.Mutex
	asked []service.Access
	deny  func(service.Access) bool
}

func (g *gate) Authorize(_ context.Context, a service.Access) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, a)
	if g.deny != nil && g.deny(a) {
		return &service.Denied{Code: "AccessDenied", Message: "User: somebody is not authorized to perform: " + a.Action + " on resource: " + a.Resource}
	}
	return nil
}

type accountKey struct{}

func newBed(t *testing.T) *bed {
	t.Helper()
	return newBedWith(t, Config{Path: filepath.Join(t.TempDir(), "tables")})
}

func newBedWith(t *testing.T, c Config) *bed {
	t.Helper()
	b := &bed{t: t, clock: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	c.Gate, c.Now = &b.gate, func() time.Time { return b.clock }
	c.Account = func(ctx context.Context) string { a, _ := ctx.Value(accountKey{}).(string); return a }
	var err error
	if b.server, err = New(c); err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		account, region := credential(r)
		ctx := service.With(context.WithValue(r.Context(), accountKey{}, account), service.Caller{Service: "dynamodb", Region: region})
		b.server.ServeHTTP(w, r.WithContext(ctx))
	}))
	b.url = h.URL
	t.Cleanup(func() {
		h.Close()
		if err := b.server.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// credential is the account and region in an Authorization header; ours in us-east-1 without one.
func credential(r *http.Request) (account, region string) {
	_, c, ok := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	if parts := strings.Split(c, "/"); ok && len(parts) > 2 {
		return parts[0], parts[2]
	}
	return ours1, us
}

func (b *bed) declare(tables ...*vpc.Table) {
	b.t.Helper()
	if err := b.server.Update(tables); err != nil {
		b.t.Fatal(err)
	}
}

// hashTable has a partition key alone, sortTable a sort key that is a number, too.
func hashTable(name string) *vpc.Table {
	return &vpc.Table{Name: name, Region: us, Account: ours1, Key: vpc.KeyAttribute{Name: "id", Type: "S"}}
}

func sortTable(name string) *vpc.Table {
	t := hashTable(name)
	t.Sort = vpc.KeyAttribute{Name: "seq", Type: "N"}
	return t
}

// ask sends a request and gives the answer's status and body.
func (b *bed) ask(operation, body string) (int, string) {
	b.t.Helper()
	return b.askAs(ours1, us, operation, body)
}

func (b *bed) askAs(account, region, operation, body string) (int, string) {
	b.t.Helper()
	r, err := http.NewRequest(http.MethodPost, b.url, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", targetPrefix+operation)
	r.Header.Set("Authorization", backendAuthorization(account, region))
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	if want := strconv.FormatUint(uint64(crc32.ChecksumIEEE(text)), 10); answer.Header.Get("X-Amz-Crc32") != want || answer.Header.Get("X-Amzn-RequestId") == "" {
		b.t.Errorf("%s: the answer's headers are %v", operation, answer.Header)
	}
	return answer.StatusCode, string(text)
}

// must asks and insists on success; the answer is without white space and with sorted members, as Go writes it.
func (b *bed) must(operation, body string) string {
	b.t.Helper()
	status, text := b.ask(operation, body)
	if status != http.StatusOK {
		b.t.Fatalf("%s %s: %d %s", operation, body, status, text)
	}
	return text
}

// is asks and compares the answer.
func (b *bed) is(operation, body, want string) {
	b.t.Helper()
	if got := b.must(operation, body); got != compact(b.t, want) {
		b.t.Errorf("%s %s:\n got %s\nwant %s", operation, body, got, compact(b.t, want))
	}
}

// fails asks and compares the error: its type without the namespace, and its message.
func (b *bed) fails(operation, body, kind, message string) {
	b.t.Helper()
	status, text := b.ask(operation, body)
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		b.t.Fatal(err)
	}
	if _, got, _ := strings.Cut(e.Type, "#"); status == http.StatusOK || got != kind || !strings.HasPrefix(e.Message, message) {
		b.t.Errorf("%s %s:\n got %d %s\nwant %s: %s", operation, body, status, text, kind, message)
	}
}

func compact(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, []byte(text)); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out.String()
}

func declaredIn(region string, names ...string) (all []*vpc.Table) {
	for _, name := range names {
		t := hashTable(name)
		t.Region = region
		all = append(all, t)
	}
	return all
}

// store puts items 0 to n-1 into a table of ours at once.
func (b *bed) store(table string, n int, members string) {
	b.t.Helper()
	name := tableName{ours1, us, table}
	err := b.server.store.db.Update(func(tx *bbolt.Tx) error {
		t, err := tableIn(tx, name)
		for i := range n {
			text := strings.TrimSuffix(keyOf(i), "}") + "," + members + "}"
			item, err2 := itemOf([]byte(text))
			err = errors.Join(err, err2, tx.Bucket(itemsBucket).Bucket(name.key()).Put(t.Key.storage(item), []byte(text)))
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
}
