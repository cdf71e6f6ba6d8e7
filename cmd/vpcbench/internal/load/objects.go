package load

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"golang.org/x/sys/unix"
)

// Store is a network at whose far end an S3 is.
type Store interface {
	Network
	Bucket() Bucket
}

// Bucket is where objects go, and as who they are put and got.
type Bucket struct {
	Addr                         netip.AddrPort // of the S3, as the client reaches it; it speaks HTTP there
	Host                         string         // the bucket's own name: "bench.s3.us-east-1.amazonaws.com"
	Region                       string
	AccessKeyID, SecretAccessKey string
}

// The sizes of objects in bytes.
const (
	large = 1 << 20
	small = 1 << 10
)

// putObjects puts the same large object again and again.
func putObjects(ctx context.Context, s Store, d time.Duration) (Result, error) {
	data := make([]byte, large)
	put, err := s.Bucket().sign(ctx, http.MethodPut, "/put", data)
	if err != nil {
		return Result{}, err
	}
	r, _, err := repeat(ctx, s, put, d)
	r.Rate *= 8 * large
	return r, err
}

// getObjects gets the same large object again and again.
func getObjects(ctx context.Context, s Store, d time.Duration) (Result, error) {
	r, _, err := get(ctx, s, large, d)
	r.Rate *= 8 * large
	return r, err
}

// getSmallObjects gets the same small object again and again, and times each.
func getSmallObjects(ctx context.Context, s Store, d time.Duration) (Result, error) {
	r, trips, err := get(ctx, s, small, d)
	if err != nil {
		return Result{}, err
	}
	slices.Sort(trips)
	r.P50, r.P99 = trips[len(trips)/2], trips[len(trips)*99/100]
	return r, nil
}

// get puts an object of a size, and gets it for d.
func get(ctx context.Context, s Store, size int, d time.Duration) (Result, []time.Duration, error) {
	b, path := s.Bucket(), fmt.Sprintf("/get-%d", size)
	put, err := b.sign(ctx, http.MethodPut, path, make([]byte, size))
	if err != nil {
		return Result{}, nil, err
	}
	if err := once(s, put); err != nil {
		return Result{}, nil, err
	}
	ask, err := b.sign(ctx, http.MethodGet, path, nil)
	if err != nil {
		return Result{}, nil, err
	}
	ask.size = size
	return repeat(ctx, s, ask, d)
}

// message is a signed request as it is sent, again and again: a signature is good for a quarter of an hour (Signature Version 4).
type message struct {
	text []byte
	size int // bytes of data in the answer
}

// sign makes a request for an object. Its signature covers the data.
func (b Bucket) sign(ctx context.Context, method, path string, data []byte) (message, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+b.Host+path, bytes.NewReader(data))
	if err != nil {
		return message{}, err
	}
	sum := sha256.Sum256(data)
	payload := hex.EncodeToString(sum[:])
	r.Header.Set("X-Amz-Content-Sha256", payload)
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	keys := aws.Credentials{AccessKeyID: b.AccessKeyID, SecretAccessKey: b.SecretAccessKey}
	if err := signer.SignHTTP(ctx, keys, r, payload, "s3", b.Region, time.Now()); err != nil {
		return message{}, err
	}
	var text bytes.Buffer
	if err := r.Write(&text); err != nil {
		return message{}, err
	}
	return message{text: text.Bytes()}, nil
}

// once sends a request on a connection of its own.
func once(s Store, m message) error {
	c, err := open(s)
	if err != nil {
		return err
	}
	defer unix.Close(c.fd)
	return c.exchange(m)
}

// repeat sends a request on one connection again and again, the next one after the whole answer to the last. Rate is requests a second;
// the first, for which the flow is new, does not count.
func repeat(ctx context.Context, s Store, m message, d time.Duration) (Result, []time.Duration, error) {
	on, err := apart()
	if err != nil {
		return Result{}, nil, err
	}
	c, err := open(s)
	if err != nil {
		return Result{}, nil, err
	}
	over, release := newBell(ctx)
	defer release()
	trips := make([]time.Duration, 0, 1<<17)
	var took time.Duration
	asked := onThread(on.client, func() error {
		if err := c.exchange(m); err != nil {
			return err
		}
		over.start(d)
		start := time.Now()
		last := start
		for !over.Rung() {
			if err := c.exchange(m); err != nil {
				return err
			}
			now := time.Now()
			trips = append(trips, now.Sub(last))
			last = now
		}
		took = last.Sub(start)
		return nil
	}, c.fd)
	if err := <-asked; err != nil {
		return Result{}, nil, err
	}
	if len(trips) == 0 {
		return Result{}, nil, errors.New("no request was answered")
	}
	return Result{Rate: float64(len(trips)) / took.Seconds(), Took: took}, trips, nil
}

// kept is an HTTP connection that is kept alive.
type kept struct {
	fd int
	in *bufio.Reader
}

// open connects to a store. Whoever opens closes the descriptor.
func open(s Store) (c kept, err error) {
	err = s.InClient(func() (err error) {
		c.fd, err = dial(s.Bucket().Addr, unix.SOCK_STREAM)
		return err
	})
	c.in = bufio.NewReaderSize(reader(c.fd), piece)
	return c, err
}

// reader is a socket to read from.
type reader int

func (r reader) Read(p []byte) (int, error) {
	n, err := read(int(r), p)
	if n == 0 && err == nil {
		return 0, errors.New("the connection was closed")
	}
	return max(n, 0), err
}

// exchange sends a request and reads the whole answer, which must be a success.
func (c kept) exchange(m message) error {
	for left := m.text; len(left) > 0; {
		n, err := write(c.fd, left)
		if err != nil {
			return fmt.Errorf("send: %w", err)
		}
		left = left[n:]
	}
	answer, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	if answer.StatusCode != http.StatusOK || answer.ContentLength != int64(m.size) {
		return fmt.Errorf("the answer is %s with %d bytes, want 200 with %d", answer.Status, answer.ContentLength, m.size)
	}
	if _, err := c.in.Discard(m.size); err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	return nil
}
